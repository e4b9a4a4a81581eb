"""The `us8k` command: every subcommand parses, calls one module, prints, and returns an exit status."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import click

from us8k_batch.cli.base import Program
from us8k_batch.version import __version__

COMMANDS = {
    "extract": "extract",
    "plan": "extract",
    "status": "inspect",
    "verify": "inspect",
    "compact": "inspect",
    "pool": "train",
    "train": "train",
    "tune": "tuning",
    "experiment": "tuning",
    "predict": "predict",
    "compare": "train",
    "report": "report",
    "check": "dataset",
    "fetch": "fetch",
    "synth": "dataset",
    "demo": "demo",
}
"""Module of each command; a module is imported only when its command is used or listed."""


class LazyGroup(Program, click.Group):
    """A group whose commands are imported when they are needed, so that the command starts at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature is click's
        """Return the commands in the order of a user's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"us8k_batch.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Find a command; of one that there is not, say which was meant."""
        close = difflib.get_close_matches(args[0], COMMANDS, 1) if args[0] not in COMMANDS else []
        if close and not args[0].startswith("-"):
            ctx.fail(f"No such command '{args[0]}'. Did you mean {close[0]}?")
        return super().resolve_command(ctx, args)


@click.command(
    "us8k",
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done; 1 the job failed and can be resumed, or verify or check found something; "
    "2 bad request, nothing was touched; 3 done, with failed clips; 130 interrupted, resumable.",
)
@click.version_option(__version__, prog_name="us8k")
def main() -> None:
    """Turn labelled audio into features that can be trusted, and models into numbers that can be quoted."""
