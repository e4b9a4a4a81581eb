"""Keep what the benchmarks measured, and make the results page of it.

python benchmarks/results.py     # writes benchmarks/results.md and its pictures
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from us8k_batch.store.timings import MEANWHILE

HERE = Path(__file__).parent
MEASURED = HERE / "measured"
PACKAGES = ("numpy", "scipy", "numba", "librosa", "soxr", "soundfile", "resampy", "zarr", "pyarrow", "dask", "joblib")
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8c8c8c"
"""Told apart by the colour-blind."""


def keep(name: str, values: dict[str, Any]) -> None:
    """Keep one benchmark's figures until the page is made."""
    MEASURED.mkdir(exist_ok=True)
    (MEASURED / f"{name}.json").write_text(json.dumps(values, indent=1, default=float))


def kept(name: str) -> dict[str, Any] | None:
    """Return what a benchmark measured; None if it was not run."""
    path = MEASURED / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def table(head: str, rows: list[list[Any]]) -> list[str]:
    """Make a table; the first column is text."""
    names = head.split(" | ")
    lines = [f"| {' | '.join(names)} |", "|---|" + "---:|" * (len(names) - 1)]
    return [*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows), ""]


def machine() -> list[str]:
    """Say what it was measured on and with."""
    info = Path("/proc/cpuinfo")
    found = [
        line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {cores} cores ({found[0] if found else platform.machine()}, "
        f"{platform.system()}), Python {platform.python_version()}, {versions}.",
        "",
        "Both sides of every comparison took turns on the same files, from the page cache. Trust the ratios: "
        "milliseconds move with what else the machine does, and it was not idle. Where a spread is given, it is "
        "that of the middle half.",
        "",
    ]


def kernel(values: dict[str, Any]) -> list[str]:
    """One core, by encoding."""
    rows = [
        [f"{encoding}, {res_type}", f"{fast:.2f}", f"{slow:.2f}", f"**{ratio:.1f}**",
         f"{low:.1f} to {high:.1f}", f"{worst:.1g}"]
        for encoding, res_type, fast, slow, ratio, low, high, worst in values["rows"]
    ]  # fmt: skip
    head = "clip of 4 s, resampler | us8k, ms | librosa, ms | ratio | spread | max Δ of any value"
    return [
        "## From a file to MFCC and means, one core", "",
        "`make bench-kernel`: the engine against `librosa.load`, `librosa.feature.mfcc` and the mean.", "",
        *table(head, rows),
    ]  # fmt: skip


def peers(values: dict[str, Any]) -> list[str]:
    """One core, against what a user would consider."""
    rows = [
        [r["side"], f"{r['ms']:.2f}", f"{r['low']:.2f} to {r['high']:.2f}", f"{r['ratio']:.1f}",
         f"{r['ratio_low']:.1f} to {r['ratio_high']:.1f}", r["agreement"].replace("|", "")]
        for r in values["rows"]
    ]  # fmt: skip
    sort = "clips of all formats of the synthetic dataset" if values["kind"] == "synthetic" else "genuine clips"
    return [
        f"## Against other libraries: {values['clips']} {sort}", "",
        *table("side | ms a clip | spread | times ours | spread | agreement with librosa", rows),
    ]  # fmt: skip


def job(values: dict[str, Any]) -> list[str]:
    """Compare the whole job with joblib, and show where its time goes."""
    ours, loop = values["ours"], values["loop"]
    ratios = [b / a for a, b in zip(ours, loop, strict=True)]
    rows = [
        [name, f"{statistics.median(ms):.2f}", f"{min(ms):.2f} to {max(ms):.2f}", ratio]
        for name, ms, ratio in (
            ("`us8k extract`, from submit to published snapshot", ours, "1"),
            ("joblib + librosa, one .npy a clip", loop, f"**{statistics.median(ratios):.1f}**"),
        )
    ]
    stages = [[r["stage"], r["where"], f"{r['ms_per_clip']:.3f}", f"{r['share']:.1%}"] for r in values["stages"]]
    _picture_of_stages(values["stages"])
    start, (outside, spent) = values["start"], values["outside"]
    kernel = next(stage["ms_per_clip"] for stage in values["stages"] if stage["stage"] == "compute")
    return [
        f"## The whole job: {values['clips']} clips of 4 s, 44.1 kHz stereo, {values['workers']} processes", "",
        f"`python benchmarks/bench_job.py`. The largest difference of any MFCC value is {values['worst']:.1g}.", "",
        *table("side | ms a clip | from, to | times ours", rows),
        f"Start of the workers and a first small job: {start[0]:.1f} s, joblib's {start[1]:.1f} s.", "",
        f"Where the time of a worker goes. {MEANWHILE}", "",
        "![Time a clip by stage](breakdown.svg)", "",
        *table("stage | of the | ms a clip | share of the worker's time", stages),
        f"Outside of reading, hashing and the kernel ({', '.join(outside)}): {spent:.2f} ms a clip, "
        f"{spent / kernel:.2f} of the kernel's.", "",
    ]  # fmt: skip


def storage(disk: dict[str, Any] | None, bucket: dict[str, Any] | None) -> list[str]:
    """Layouts, and the reader."""
    lines = ["## Storage", "", "`python benchmarks/bench_storage.py`, written and read by Zarr itself.", ""]
    for where, values in (("on disk", disk), ("over S3 (a server of this machine)", bucket)):
        if values:
            rows = [
                [f"{r['shard']} / {r['chunk']} / {r['codec']}", f"{r['ratio']:.2f}", f"{r['write_ms']:.2f}",
                 f"{r['single_ms']:.1f}", f"{r['scan_mb']:.0f}"]
                for r in values["layouts"]
            ]  # fmt: skip
            head = "shard / chunk / codec | ratio | write, ms a clip | one clip, ms | scan, MB/s"
            lines += [f"{values['clips']} {values['kind']} clips {where}:", "", *table(head, rows)]
    rows = [
        [f"{values['reader']['clips']} clips {where}", f"{r['pooled_ms']:.0f}", f"{r['single_ms']:.1f}",
         f"{r['zarr_single_ms']:.1f}", f"{r['scan_mb']:.0f}", f"{r['zarr_scan_mb']:.0f}"]
        for where, values in (("on disk", disk), ("over S3", bucket)) if values and (r := values["reader"])
    ]  # fmt: skip
    head = "store as it is | all pooled vectors, ms | one clip, ms | by Zarr, ms | scan, MB/s | by Zarr, MB/s"
    return [*lines, "Our reader, which checks every row, and Zarr, which does not:", "", *table(head, rows)]


def scaling() -> list[str]:
    """Workers, clips, length, memory."""
    workers, clips, length, memory = (kept(f"scaling-{name}") for name in ("workers", "clips", "length", "memory"))
    lines = ["## Scaling", "", "`python benchmarks/bench_scaling.py`", "", "![Scaling](scaling.svg)", ""]
    if workers:
        rows = [
            [r["side"], f"{r['rate']:.0f}", f"{r['efficiency']:.2f}", f"{r['low']:.2f} to {r['high']:.2f}"]
            for r in workers["rows"]
        ]
        lines += table("workers | clips/s while extracting | two workers' efficiency beside it | from, to", rows)
        said = "A worker reads and hashes clips while its child computes others, so that one on two cores uses more"
        lines += [f"{said} than one of them.", ""]
    if clips:
        rows = [[r["clips"], f"{r['seconds']:.2f}", f"{1e3 * r['seconds'] / r['clips']:.2f}"] for r in clips["rows"]]
        lines += table("clips of 0.2 s | s, whole job | ms a clip", rows)
    if length:
        rows = [
            [r["seconds"], f"{r['ms_per_second']:.2f}", f"{r['worker_mb']:.0f}", f"{r['child_mb']:.0f}"]
            for r in length["rows"]
        ]
        lines += table("length of a clip, s | ms per second of audio | worker, MB | child, MB", rows)
    if memory:
        rows = [[r["clips"], f"{r['worker_mb']:.1f}", f"{r['child_mb']:.1f}"] for r in memory["rows"]]
        lines += table("clips in one worker | worker, MB | child, MB", rows)
        lines += ["What the worker grows by are Dask's logs of its tasks, which end at 1,000 entries.", ""]
    _picture_of_scaling(clips, length, memory)
    return lines


def _picture_of_stages(stages: list[dict[str, Any]]) -> None:
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(7, 3))
    names = [f"{stage['stage']} ({stage['where']})" for stage in stages]
    colours = [ORANGE if stage["where"] == "child" else GREY if _costs_nothing(stage) else BLUE for stage in stages]
    bars = axes.barh(names, [stage["ms_per_clip"] for stage in stages], color=colours)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("ms a clip")
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, "breakdown.svg")


def _costs_nothing(stage: dict[str, Any]) -> bool:
    """Tell whether a stage is a wait, or passes beside others."""
    return stage["stage"] in ("wait", "hold", "idle") or stage["where"] == "beside"


def _picture_of_scaling(clips: Any, length: Any, memory: Any) -> None:
    plt = _pyplot()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3))
    if clips:
        xs = [r["clips"] for r in clips["rows"]]
        left.plot(xs, [1e3 * r["seconds"] / r["clips"] for r in clips["rows"]], "o-", color=BLUE)
        left.set(xlabel="clips of 0.2 s", ylabel="ms a clip, whole job", xscale="log", ylim=(0, None))
        _name_ticks(left, xs)
    if length:
        xs = [r["seconds"] for r in length["rows"]]
        middle.plot(xs, [r["ms_per_second"] for r in length["rows"]], "o-", color=BLUE)
        middle.set(xlabel="length of a clip, s", ylabel="ms per second of audio", xscale="log", ylim=(0, None))
        _name_ticks(middle, xs)
    if memory:
        xs = [r["clips"] for r in memory["rows"]]
        right.plot(xs, [r["worker_mb"] for r in memory["rows"]], "o-", color=BLUE, label="worker")
        right.plot(xs, [r["child_mb"] for r in memory["rows"]], "s--", color=ORANGE, label="child")
        right.set(xlabel="clips in one worker", ylabel="resident memory, MB", ylim=(0, None))
        right.set_xticks(range(0, max(xs), 25_000), [f"{x:,}" for x in range(0, max(xs), 25_000)])
        right.legend(frameon=False, loc="lower center")
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, "scaling.svg")


def _name_ticks(axes: Any, xs: list[int]) -> None:
    """Name what was measured: the powers of ten of a logarithmic axis run into each other."""
    axes.set_xticks(xs, [f"{x:,}" for x in xs])
    axes.minorticks_off()


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "us8k", "savefig.facecolor": "white"})
    import matplotlib.pyplot as plt

    return plt


def _save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(HERE / name, metadata={"Date": None, "Creator": None})
    text = (HERE / name).read_text()
    (HERE / name).write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


def main() -> None:
    """Write the page from what was kept."""
    lines = ["# Results", "", "Made by `make bench`; every section names its command.", "", *machine()]
    for name, section in (("kernel", kernel), ("peers-synthetic", peers), ("peers-real", peers), ("job", job)):
        values = kept(name)
        lines += section(values) if values else []
    lines += storage(kept("storage-disk"), kept("storage-bucket"))
    lines += scaling()
    (HERE / "results.md").write_text("\n".join(lines).rstrip() + "\n")
    print(f"{HERE.name}/results.md")


if __name__ == "__main__":
    main()
