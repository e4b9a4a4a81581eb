"""``us8k predict``: new audio through the models of a run."""

from __future__ import annotations

import click

from us8k_batch.cli.base import Output, command


@command("predict", "us8k predict runs/svm-001 street.wav dog.ogg")
@click.argument("run")
@click.argument("audio", nargs=-1, required=True)
@click.option(
    "--track",
    "trackers",
    multiple=True,
    metavar="NAME",
    help="Also hand sounds and probabilities to mlflow, tensorboard or comet (offline); may be repeated.",
)
def predict(output: Output, *, run: str, audio: tuple[str, ...], trackers: tuple[str, ...]) -> int:
    """Classify AUDIO files with the models of RUN, and say how sure that is.

    RUN has one model for each of its test sets; their probabilities are averaged. Exit status 3: some files
    could not be classified, and it says why.
    """
    from pathlib import Path

    from us8k_batch.predict import predict as ask
    from us8k_batch.training.tracking import refuse_unknown, track_sounds

    refuse_unknown(trackers)
    done = ask(run, audio)
    said = {one.path: one.probabilities for one in done.predictions}
    failed = track_sounds(Path(run).absolute(), trackers, said)
    notes = [f"note: {warning}" for warning in [*done.warnings, *failed]]
    output.answer("\n".join([*done.lines(), *notes]), {**done.to_dict(), "tracking": failed})
    return done.exit_status
