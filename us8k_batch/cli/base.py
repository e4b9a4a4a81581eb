"""What all commands share: --json, -v and -q, errors without tracebacks, exit statuses."""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from us8k_batch.cli import console, interrupts
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
            console.say(message)

    def answer(self, text: str, values: dict[str, Any]) -> None:
        """Print what the command is called for, for a person or a program; if that fails, so does the command."""
        if not self.quiet:
            (console.say if self.as_json else console.show)(text)
        if self.as_json:
            console.show(json.dumps(values, allow_nan=False))

    def result(self, text: str, values: dict[str, Any]) -> None:
        """Print what was done, which stands whether or not a person reads it; a program counts on its object."""
        self.answer(text, values)
        if not self.as_json:
            console.forget()


columns_option = click.option(
    "--columns",
    multiple=True,
    metavar="NAME=COLUMN,...",
    help="Columns of DATASET's metadata that have other names, such as path=filename,label=category,group=src_file.",
)
"""For commands that read a dataset's metadata."""


NOTHING = "nothing was written"
"""What is left by a command that writes its result whole or not at all, or none."""
RESUMES = "what is committed stays, the same command resumes"
"""What is left by an extraction."""
GOES_ON = "the same command goes on where it was"
"""What is left by a command that does not begin anew."""


class Program(click.Command):
    """A command as a program of its own: nothing that it cannot print ends it."""

    interrupted: str = NOTHING
    """What is true after Ctrl-C."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run it, and leave the process."""
        console.install()
        with console.answered(str(extra.get("prog_name") or "us8k")):
            return super().main(*args, **extra)


def command(name: str, example: str, *, interrupted: str = NOTHING) -> Callable[[Callable[..., int]], click.Command]:
    """Make a command out of a function that takes an `Output` and returns an exit status.

    Parameters
    ----------
    name, example : str
        What it is called, and a call to show in its help.
    interrupted : str
        What is true after Ctrl-C, beside that it was interrupted.
    """

    def decorate(function: Callable[..., int]) -> click.Command:
        @functools.wraps(function)
        def call(*, as_json: bool, verbose: int, quiet: bool, **options: Any) -> None:
            console.install()
            logging.basicConfig(
                stream=sys.stderr,
                format="%(levelname)s %(name)s: %(message)s",
                level=logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)],
            )
            with console.answered(f"us8k {name}"), interrupts.passed_on():
                sys.exit(_run(name, function, Output(as_json, quiet), options, interrupted))

        wrapped: Callable[..., Any] = call
        for option in (
            click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
            click.option("-v", "--verbose", count=True, help="Say more; twice: say all."),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line."),
        ):
            wrapped = option(wrapped)
        # Said here too, because a script in jobs/ is this command without the group that would pass it on.
        settings = {"help_option_names": ["-h", "--help"]}
        epilog = f"\b\nExample:\n  {example}"
        made: Program = click.command(name, cls=Program, epilog=epilog, context_settings=settings)(wrapped)
        made.interrupted = interrupted
        return made

    return decorate


def _run(name: str, function: Callable[..., int], output: Output, options: dict[str, Any], interrupted: str) -> int:
    try:
        return function(output, **options)
    except Us8kError as error:
        status, message = error.exit_status, str(error)
    except KeyboardInterrupt:
        status, message = 130, f"interrupted; {interrupted}"
        if at_limit():  # OpenBLAS raises SIGINT where it cannot start its threads
            status, message = 1, f"{MESSAGE}; {interrupted}"
    except OSError as error:
        status, message = 1, str(error)
    except Exception as error:
        # Every library has another error for it; Python has one for memory.
        if not (isinstance(error, MemoryError) or at_limit()):
            raise
        status, message = 1, f"{MESSAGE}; {interrupted}"
    console.say(f"us8k {name}: {message}")
    if output.as_json:
        console.show(json.dumps({"error": message, "exit_status": status}))
    return status
