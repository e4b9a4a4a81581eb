"""One extraction run: look, and if there is anything to do, hold the lease and do it."""

from __future__ import annotations

import time

from us8k_batch.cluster.where import refuse_import_of_main
from us8k_batch.likeness import lookalikes, warnings
from us8k_batch.run.options import Options, Progress, Summary
from us8k_batch.run.prepare import guard_removal, prepare, summarise


def extract(options: Options, progress: Progress) -> Summary:
    """Bring a store up to date with a dataset.

    Parameters
    ----------
    options : Options
        What was asked for.
    progress : Progress
        Where to tell what is being done.

    Returns
    -------
    Summary
        What was done. When there is nothing to do, no lease is taken and no byte is written.

    Raises
    ------
    RequestError
        If it cannot be done as asked; nothing was written.
    JobError
        If the run stopped before it was done; the same command resumes it.
    """
    refuse_import_of_main()
    started = time.monotonic()
    if options.performance_report is not None:
        from us8k_batch.cluster.report import refuse_report

        refuse_report(options.performance_report)
    found = prepare(options)
    for line in warnings(lookalikes(found.catalog.clips)):
        progress.tell(f"warning: {line}")
    guard_removal(options, found.plan)
    if found.info is not None and found.plan.nothing_to_do:
        return summarise(found, found.plan.counts(), started)
    # Dask and Zarr cost more to import than finding out that there is nothing to do.
    from us8k_batch.features.mel import empty_bands
    from us8k_batch.run.session import hold_and_work

    empty = empty_bands(options.config if found.info is None else found.info.config)
    if empty:
        progress.tell(f"warning: {empty}")
    return hold_and_work(options, progress, found.catalog, found.objects, started, found.state)
