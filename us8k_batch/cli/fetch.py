"""``us8k fetch``: download the real UrbanSound8K."""

from __future__ import annotations

import sys

import click

from us8k_batch.cli.base import GOES_ON, Output, command


@command("fetch", "us8k fetch data/ --accept-licence", interrupted=GOES_ON)
@click.argument("folder", metavar="DIR")
@click.option("--accept-licence", is_flag=True, help="Accept the dataset's licence, which is shown otherwise.")
@click.option(
    "--subset",
    type=click.IntRange(1, 8732),
    metavar="N",
    help="Only a taste: the first N clips of the archive, with a manifest.",
)
@click.option("--keep-archive", is_flag=True, help="Keep the archive (6 GB) once it is unpacked.")
@click.option("--url", metavar="URL", help="Another copy of the archive.")
@click.option("--md5", metavar="HEX", help="The checksum of that copy, if it is packed otherwise.")
def fetch(
    output: Output,
    *,
    folder: str,
    accept_licence: bool,
    subset: int | None,
    keep_archive: bool,
    url: str | None,
    md5: str | None,
) -> int:
    """Download UrbanSound8K (6 GB, 7 GB unpacked) into DIR, prove it and unpack it.

    Given again after an interruption, the same command goes on where it was.
    """
    from us8k_batch.catalog import fetch as fetching
    from us8k_batch.cli.transfer import TerminalTransfer
    from us8k_batch.errors import RequestError

    if not accept_licence:
        output.say(fetching.LICENCE)
        if not (sys.stdin.isatty() and click.confirm("Accept it?", err=True)):
            raise RequestError("the licence was not accepted; add --accept-licence once you have read it")
    telling = TerminalTransfer(output)
    if subset is not None:
        done = fetching.fetch_taste(folder, telling, subset, url=url or fetching.URL)
    else:
        done = fetching.fetch(
            folder, telling, url=url or fetching.URL, md5=(md5 or fetching.MD5).lower(), keep_archive=keep_archive
        )
    text = f"{done.clips} clips, {done.genuine} of them proved genuine, {done.size / 1e9:.2f} GB in {done.dataset}"
    if done.was_there:
        text = f"{done.dataset} is there already: {done.clips} clips of the right sizes (nothing to do)"
    output.result(text, done.to_dict())
    return 0
