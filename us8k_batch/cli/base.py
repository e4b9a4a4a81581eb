"""What all commands share: --json, -v and -q, errors without tracebacks, exit statuses."""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from us8k_batch.cli.limits import MESSAGE, at_limit
from us8k_batch.errors import Us8kError


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command prints."""

    as_json: bool
    """One JSON object as the last line of stdout, everything human on stderr."""
    quiet: bool
    """Nothing human but errors."""

    def say(self, message: str) -> None:
        """Say a line while working."""
        if not self.quiet:
            click.echo(message, err=True)

    def result(self, text: str, values: dict[str, Any]) -> None:
        """Print the result: for a person, or for a program."""
        if not self.quiet:
            click.echo(text, err=self.as_json)
        if self.as_json:
            click.echo(json.dumps(values, allow_nan=False))


columns_option = click.option(
    "--columns",
    multiple=True,
    metavar="NAME=COLUMN,...",
    help="Columns of DATASET's metadata that have other names, such as path=filename,label=category,group=src_file.",
)
"""For commands that read a dataset's metadata."""


def command(name: str, example: str) -> Callable[[Callable[..., int]], click.Command]:
    """Make a command out of a function that takes an `Output` and returns an exit status."""

    def decorate(function: Callable[..., int]) -> click.Command:
        @functools.wraps(function)
        def call(*, as_json: bool, verbose: int, quiet: bool, **options: Any) -> None:
            logging.basicConfig(
                stream=sys.stderr,
                format="%(levelname)s %(name)s: %(message)s",
                level=logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)],
            )
            sys.exit(_run(name, function, Output(as_json, quiet), options))

        wrapped: Callable[..., Any] = call
        for option in (
            click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
            click.option("-v", "--verbose", count=True, help="Say more; twice: say all."),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line."),
        ):
            wrapped = option(wrapped)
        # Said here too, because a script in jobs/ is this command without the group that would pass it on.
        settings = {"help_option_names": ["-h", "--help"]}
        return click.command(name, epilog=f"\b\nExample:\n  {example}", context_settings=settings)(wrapped)

    return decorate


def _run(name: str, function: Callable[..., int], output: Output, options: dict[str, Any]) -> int:
    try:
        return function(output, **options)
    except Us8kError as error:
        status, message = error.exit_status, str(error)
    except KeyboardInterrupt:
        status, message = 130, "interrupted; what is committed stays, the same command resumes"
        if at_limit():  # OpenBLAS raises SIGINT where it cannot start its threads
            status, message = 1, MESSAGE
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        status, message = 1, str(error)
    except Exception as error:
        # Every library has another error for it; Python has one for memory.
        if not (isinstance(error, MemoryError) or at_limit()):
            raise
        status, message = 1, MESSAGE
    click.echo(f"us8k {name}: {message}", err=True)
    if output.as_json:
        click.echo(json.dumps({"error": message, "exit_status": status}))
    return status
