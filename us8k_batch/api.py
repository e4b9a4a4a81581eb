"""The Python interface: what the command's subcommands do, as functions that return what they found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from us8k_batch.reporting.report import Report
    from us8k_batch.run.describe import Description
    from us8k_batch.run.options import Options, Summary
    from us8k_batch.training.train import Trained

Place = str | PathLike[str]
"""A local path, or a URL of ``file://``, ``s3://`` or ``gs://``."""
Tell = Callable[[str], None]


def extract(
    dataset: Place,
    store: Place,
    *,
    features: Mapping[str, Any] | None = None,
    columns: Mapping[str, str] | None = None,
    clips_per_shard: int | None = None,
    engine: str = "auto",
    retry_failed: bool = False,
    refresh_versions: bool = False,
    allow_removal: bool = False,
    max_failures: int | str | None = None,
    force: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    scheduler_file: str | None = None,
    cluster: str | None = None,
    tell: Tell | None = None,
) -> Summary:
    """Bring a store up to date with a dataset; only what is new or changed is computed.

    In a script, call it below ``if __name__ == "__main__":``, because the workers of a local cluster import the
    script that started them.

    Parameters
    ----------
    dataset : str or path
        A folder in UrbanSound8K's layout, or a manifest: CSV or Parquet with ``path,label,fold[,group][,clip_id]``.
    store : str or path
        Where the features are, or will be.
    features : mapping, optional
        Parameters of a new store, such as ``{"n_mfcc": 20}``; the fields of `us8k_batch.config.FeatureConfig`.
    columns : mapping, optional
        By our name of a column of the metadata, its own name there: ``{"path": "filename", "label": "category"}``.
    clips_per_shard, workers : int, optional
        Shard size of a new store, 128 by default; workers of a local cluster, one per core by default.
    engine : str
        ``auto``, or ``librosa`` for the reference itself.
    retry_failed, refresh_versions, allow_removal, force : bool
        Try failed clips again; compute again what other library versions made; unpublish more than a tenth of the
        live clips; take the store over from another run.
    max_failures : int or str, optional
        Stop after so many failed clips, or a share such as ``"5%"``.
    scheduler, scheduler_file, cluster : str, optional
        A running scheduler's address; the file that it wrote; or a cluster's description, as in ``cluster/``.
    tell : callable, optional
        Told a line for a person now and then.

    Returns
    -------
    Summary
        What was done. Failed clips are no error: see ``failures``, and `us8k_batch.open_store`.

    Raises
    ------
    RequestError
        If it cannot be done as asked; nothing was written.
    JobError
        If the run stopped before it was done; the same call resumes it.

    Examples
    --------
    >>> import us8k_batch
    >>> done = us8k_batch.extract("synthetic", "features", workers=1)
    >>> done.extracted
    60
    >>> us8k_batch.extract("synthetic", "features").extracted  # nothing to do
    0
    """
    from us8k_batch.run.extract import extract as run
    from us8k_batch.run.options import Lines

    how: dict[str, Any] = {"retry_failed": retry_failed, "refresh_versions": refresh_versions}
    how |= {"allow_removal": allow_removal, "force": force}
    options = _options(
        dataset,
        store,
        features,
        columns=columns or {},
        clips_per_shard=clips_per_shard,
        engine=engine,
        max_failures=None if max_failures is None else str(max_failures),
        **how,
        where={"scheduler": scheduler, "scheduler_file": scheduler_file, "spec": cluster},
        workers=workers,
    )
    return run(options, Lines(partial(_tell, tell)))


def plan(
    dataset: Place,
    store: Place,
    *,
    features: Mapping[str, Any] | None = None,
    columns: Mapping[str, str] | None = None,
    clips_per_shard: int | None = None,
    engine: str = "auto",
    retry_failed: bool = False,
    refresh_versions: bool = False,
    explain: str | None = None,
) -> Description:
    """Say what `extract` would do, and why; nothing is written.

    Parameters
    ----------
    dataset, store, features, columns, clips_per_shard, engine, retry_failed, refresh_versions
        As `extract` takes them.
    explain : str, optional
        One clip's ``clip_id``: what would happen to it, and why.

    Returns
    -------
    Description
        ``values`` for a program, ``text`` for a person.

    Raises
    ------
    RequestError
        If the dataset or store cannot be used as asked, or has no such clip.

    Examples
    --------
    >>> import us8k_batch
    >>> us8k_batch.plan("synthetic", "new-features").values["planned"]["new"]
    60
    """
    from us8k_batch.run.describe import describe

    how: dict[str, Any] = {
        "retry_failed": retry_failed,
        "refresh_versions": refresh_versions,
        "columns": columns or {},
    }
    options = _options(dataset, store, features, clips_per_shard=clips_per_shard, engine=engine, **how)
    return describe(options, explain)


def cross_validate(
    store: Place,
    model: str = "xgboost",
    *,
    protocol: str = "folds",
    features: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    jobs: int | None = None,
    out: Place | None = None,
    allow_incomplete: bool = False,
    tell: Tell | None = None,
) -> Trained:
    """Train and test a model on a store, one fold after the other as test set, and write a run directory.

    Reads the store only. Needs the extra ``train``.

    Parameters
    ----------
    store : str or path
        What `extract` wrote.
    model : str
        ``xgboost``, ``svm``, ``random-forest``, ``knn``, ``mlp``, ``logistic``, ``dummy``, ``article-mlp``, ``cnn``.
    protocol : str
        ``folds``: each predefined fold once, the number to quote. ``grouped``: parts by recording. ``article``: the
        tutorial's random split, with its leak and the honest number beside it.
    features : str, optional
        ``mean``, ``mean+std``, ``salamon14`` or ``all``; the model's own by default.
    parameters : mapping, optional
        Parameters of the model that are to be other than its defaults.
    seed : int
        What all random numbers start from: the same seed, the same numbers.
    jobs : int, optional
        Splits fitted at a time; one per core by default.
    out : str or path, optional
        The run directory, a new one; the next free name in ``runs`` by default.
    allow_incomplete : bool
        Train although clips still lack their results.
    tell : callable, optional
        Told a line for a person now and then.

    Returns
    -------
    Trained
        ``scores``, ``document`` (what ``run.json`` says) and ``path``.

    Raises
    ------
    RequestError
        If it cannot be done as asked, or would leak; nothing was written then.

    Examples
    --------
    >>> import us8k_batch
    >>> run = us8k_batch.cross_validate("features", "dummy", out="run")
    >>> sorted(run.scores.folds)[:3]
    ['1', '10', '2']
    """
    from us8k_batch.training.progress import Lines
    from us8k_batch.training.train import TrainOptions, train

    options = TrainOptions(
        store=fspath(store),
        model=model,
        protocol=protocol,
        features=features,
        parameters=dict(parameters or {}),
        seed=seed,
        jobs=jobs,
        out=None if out is None else fspath(out),
        allow_incomplete=allow_incomplete,
    )
    return train(options, Lines(partial(_tell, tell)))


def report(
    target: Place | Sequence[Place], out: Place, *, dataset: Place | None = None, tell: Tell | None = None
) -> Report:
    """Write one self-contained HTML page about a store, a run, or several runs side by side.

    Parameters
    ----------
    target : str or path, or a sequence of them
        A store; or one run directory or more.
    out : str or path
        Local file to write; an older one is replaced.
    dataset : str or path, optional
        What the store was made from: then single clips can be seen and heard.
    tell : callable, optional
        Told what is being done.

    Returns
    -------
    Report
        Where the page is, what it is of, and its size in bytes.

    Raises
    ------
    RequestError
        If the target is neither, or the page cannot be written.

    Examples
    --------
    >>> import us8k_batch
    >>> us8k_batch.report("features", "report.html").kind
    'store'
    """
    from us8k_batch.reporting.report import report as write

    targets = [target] if isinstance(target, str | PathLike) else target
    place = None if dataset is None else fspath(dataset)
    return write([fspath(one) for one in targets], fspath(out), dataset=place, say=partial(_tell, tell))


def _tell(tell: Tell | None, message: str) -> None:
    """Tell a line; that ``print`` raises where stdout is closed or full ends nothing."""
    with contextlib.suppress(OSError):
        (tell or str)(message)


def _options(
    dataset: Place,
    store: Place,
    features: Mapping[str, Any] | None,
    *,
    where: Mapping[str, Any] | None = None,
    workers: int | None = None,
    **others: Any,
) -> Options:
    from us8k_batch.cluster.where import Where
    from us8k_batch.config import FeatureConfig
    from us8k_batch.run.options import Options
    from us8k_batch.settings import load_settings

    return Options(
        dataset=fspath(dataset),
        store=fspath(store),
        config=FeatureConfig.from_dict(dict(features or {})),
        given=frozenset(features or {}),
        where=Where(**(where or {})),
        settings=load_settings({"workers": workers}),
        **others,
    )
