"""The `us8k` command: every subcommand parses, calls one module, prints, and returns an exit status."""

from __future__ import annotations

import importlib

import click

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


class LazyGroup(click.Group):
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
