"""The page of a run, ``report.html`` in its folder: how good it is, where it fails, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from us8k_batch.pages.shell import Section, card, code, facts, folded, grid, note, notes, render_page
from us8k_batch.pages.tables import Number, pairs, percent, table
from us8k_batch.training import page_models, page_scores, rundir
from us8k_batch.training.curves import read_curves
from us8k_batch.training.mistakes import Mistake, worst_mistakes
from us8k_batch.training.page_scores import ends, joined, spread
from us8k_batch.training.reproduce import command_of
from us8k_batch.training.shape import refuse_other

MOST_MISTAKES = 24
"""Mistakes that are shown."""


def run_page(
    folder: Path,
    document: Mapping[str, Any],
    *,
    heard: Mapping[str, Markup] | None = None,
    remarks: Sequence[str] = (),
) -> str:
    """Make the page.

    Parameters
    ----------
    folder : Path
        The run directory; its curves and predictions are read, its figures are not: they may come from a stranger.
    document : mapping
        What its ``run.json`` says; without digests while the run is being written.
    heard : mapping of str to Markup, optional
        Players by clip_id, of some of the clips that `mistakes_of` names.
    remarks : sequence of str
        What a reader should know besides, such as other versions here than where the run was made.

    Returns
    -------
    str
        A whole HTML document that needs no network.

    Raises
    ------
    DamageError
        If something is not what a run writes.
    """
    refuse_other(document, f"{folder}/{rundir.DOCUMENT}")
    protocol = shown_protocol(document)
    scores = scores_of(document, protocol)
    classes, article = document["classes"], document.get("article")
    sections = [Section("The tutorial's number", tuple(_article(document)))] if article else []
    sections += [Section("Folds", tuple(page_scores.folds(document, protocol, scores)))]
    published = tuple(page_scores.published(document, protocol, scores))
    sections += [Section("Published", published)] if published else []
    sections += [
        Section("Confusion", tuple(page_scores.confusion(classes, scores))),
        Section("Classes", tuple(page_scores.by_class(classes, scores))),
        Section("Calibration", tuple(page_scores.calibration(scores))),
    ]
    curves = read_curves(folder / rundir.METRICS)
    shown = [name for name in (protocol, document["protocol"]) if name in curves]
    if shown:
        parts = page_models.learning({name: curves[name] for name in dict.fromkeys(shown)})
        sections.append(Section("Learning", tuple(parts)))
    if document.get("layers"):
        sections.append(Section("Network", tuple(page_models.network(document["layers"]))))
    worth = (document.get("importance") or {}).get(protocol)
    if worth:
        sections.append(Section("Features", tuple(page_models.importance(worth))))
    if document.get("tuning"):
        sections.append(Section("Tuning", tuple(page_models.tuning(document["tuning"], scores))))
    worst = mistakes_of(folder, document)
    sections += [
        Section("Mistakes", tuple(page_models.mistakes(worst, heard or {}))),
        Section("How to make it again", tuple(_again(document))),
    ]
    tuned = ", tuned" if document.get("tuning") else ""
    title = f"{document['model']} on {document['features']['name']}, {document['protocol']}{tuned}"
    return render_page(title, sections, lead=list(_lead(document, protocol, scores, remarks)))


def mistakes_of(folder: Path, document: Mapping[str, Any]) -> list[Mistake]:
    """Return the mistakes that the page shows.

    Raises
    ------
    DamageError
        If something is not what a run writes.
    """
    refuse_other(document, f"{folder}/{rundir.DOCUMENT}")
    return worst_mistakes(folder / rundir.PREDICTIONS, shown_protocol(document), MOST_MISTAKES)


def shown_protocol(document: Mapping[str, Any]) -> str:
    """Return the protocol whose scores are shown: the honest one where the run's own is the article's."""
    honest = (document.get("article") or {}).get("honest_protocol")
    return str(honest if honest in document["beside"] else document["protocol"])


def scores_of(document: Mapping[str, Any], protocol: str) -> Mapping[str, Any]:
    """Return a run's scores under one of its protocols."""
    scores: Mapping[str, Any] = document["beside"].get(protocol, document["scores"])
    return scores


def _lead(
    document: Mapping[str, Any], protocol: str, scores: Mapping[str, Any], remarks: Sequence[str]
) -> Iterator[Markup | str]:
    article = document.get("article")
    if article is None:
        yield Markup(
            '<p><span class="big">{}</span> accuracy, mean ± standard deviation over {} splits ({})</p>'
        ).format(spread(scores), len(scores["folds"]), protocol)
    elif article["honest_protocol"] is None:
        yield Markup(
            '<p><span class="big">{}</span> of a random split; <b>no honest score can be had</b></p>'
        ).format(percent(article["test_accuracy"]))
    else:
        yield Markup(
            '<p><span class="big">{}</span> honest ({}), where the tutorial\'s random split says <b>{}</b></p>'
        ).format(spread(scores), protocol, percent(article["test_accuracy"]))
    yield facts(
        [
            ("95 % interval of the mean", ends(scores) or "one split only"),
            ("macro-F1", f"{scores['macro_f1']:.3f}"),
            ("calibration error", f"{scores['expected_calibration_error']:.3f}"),
            ("always the largest class", percent(page_scores.chance(scores))),
            ("clips", f"{document['clips']:,}"),
            ("classes", f"{len(document['classes']):,}"),
        ]
    )
    yield notes([*document["warnings"], *remarks])


def _article(document: Mapping[str, Any]) -> Iterator[Markup | str]:
    article = document["article"]
    shared, clips, honest = article["shared_clips"], article["test_clips"], article["honest_protocol"]
    if shared is None:
        leak = (
            "The dataset does not say which recording a clip was cut from: how many test clips the model knows by "
            "another slice of the same recording is unknown, which is not none."
        )
    else:
        leak = (
            f"{percent(shared / max(1, clips))} of the test clips of this random split are slices of a recording of "
            "which the model has learnt another slice: the number also says how well it recognises recordings."
        )
    yield note(leak)
    rows: list[tuple[Any, ...]] = [
        ("before training, test clips", percent(article["pretraining_accuracy"])),
        ("clips learnt from", percent(article["train_accuracy"])),
        ("test clips of the random split: the tutorial's number", percent(article["test_accuracy"])),
        (
            "of which share a recording with a clip learnt from",
            Number("unknown" if shared is None else f"{shared:,} of {clips:,}"),
        ),
        (
            f"honest ({honest})" if honest else "honest: cannot be had",
            spread({"accuracy_mean": article["honest_accuracy"], "accuracy_std": article["honest_std"]})
            if article["honest_accuracy"] is not None
            else None,
        ),
    ]
    yield table(("", "accuracy"), rows, caption="What the tutorial prints, and what it does not")
    if honest:
        yield f"All that follows is of {honest}, which does not leak."


def _again(document: Mapping[str, Any]) -> Iterator[Markup | str]:
    store, protocol = document["store"], document["protocol"]
    yield "This command, on the same publication of the store and with the same versions, gives the same numbers:"
    yield code(command_of(document))
    yield pairs(
        [
            ("store", store["url"]),
            ("publication", store["snapshot_id"]),
            ("clips in the test sets", f"sha256 {document['splits'][protocol]['digest']}"),
            ("seed", str(document["seed"])),
            ("features", joined(document["features"]["statistics"]) or document["features"]["name"]),
            ("made", document["created"]),
            ("on", joined(f"{name} {value}" for name, value in (document.get("machine") or {}).items()) or None),
            ("trials at a time" if document.get("tuning") else "splits at a time", str(document["jobs"])),
            ("seconds", joined(f"{name} {spent:,.1f}" for name, spent in document["seconds"].items())),
            ("run", f"sha256 {document['digest']}" if document.get("digest") else "its digest stands in run.json"),
        ]
    )
    versions = document.get("versions") or rundir.versions()
    cards = [
        card(
            "Parameters where no search chose others" if document.get("tuning") else "Parameters of the model",
            pairs(_values(document["parameters"])),
        ),
        card("Versions that the models were made with", pairs(versions.items())),
    ]
    for i, engine in enumerate(store["versions"]):
        which = "" if len(store["versions"]) == 1 else f" ({i + 1} of {len(store['versions'])})"
        cards.append(card(f"Versions that the features were made with{which}", pairs(engine.items())))
    yield grid(cards)
    yield folded(
        "What was computed of each clip",
        table(("parameter", "value"), _values(store["config"]), caption="Parameters of the features"),
    )
    if document.get("files"):
        listed = table(("file", "sha256"), document["files"].items(), caption="Files of the run")
        yield folded(f"Digests of all {len(document['files']):,} files", listed)


def _values(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        yield name, joined(value) if isinstance(value, list) else str(value)
