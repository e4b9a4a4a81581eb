"""What a run would do, in words and numbers; nothing is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from us8k_batch.errors import ObjectNotFoundError, RequestError
from us8k_batch.likeness import lookalikes, warnings
from us8k_batch.objects import Objects
from us8k_batch.planning.plan import Plan
from us8k_batch.planning.resolve import SEEN, Status
from us8k_batch.run.options import Options
from us8k_batch.run.prepare import Prepared, prepare
from us8k_batch.store.layout import RUNS


@dataclass(frozen=True, slots=True)
class Description:
    """A plan, for a person and for a program."""

    text: str
    values: dict[str, Any]


_MEANING = {
    "new": "never committed: will be extracted",
    "changed": "another source or other versions: will be extracted anew",
    "touched": "same size, other time or ETag: will be hashed",
    "relabelled": "other metadata, or back again: will be published, not decoded",
    "retried": "failed earlier: will be tried again",
    "removed": "no longer in the metadata: will leave the published tables",
    "missing": "no readable file: listed as failures",
    "unchanged": "nothing to do",
}


def describe(options: Options, clip_id: str | None = None) -> Description:
    """Say what ``us8k extract`` would do with the same options, or with one clip, and why.

    Raises
    ------
    RequestError
        If the dataset or store cannot be used as asked, or has no such clip.
    """
    found = prepare(options)
    plan = found.plan
    counts = plan.counts()
    rate = _last_rate(found.objects) if found.info else None
    values: dict[str, Any] = {
        "store": found.objects.url,
        "planned": counts,
        "resumed": len(plan.resume),
        "abandoned_shards": len(plan.abandon),
        "read_bytes": plan.read_bytes,
        "estimated_seconds": round(plan.n_extract / rate, 1) if rate else None,
        "nothing_to_do": found.info is not None and plan.nothing_to_do,
        "publish": list(plan.publish),
    }
    alike = warnings(lookalikes(found.catalog.clips))
    values["warnings"] = alike
    if clip_id is not None:
        values["explained"] = _explain(found, clip_id)
        return Description(f"{clip_id}: {values['explained']}", values)
    lines = [f"{counts[name]:>9,} {name:<11}{_MEANING[name]}" for name in _MEANING]
    if len(plan.resume):
        lines.append(f"{len(plan.resume):>9,} resumed    rows that an earlier run handed out, among the above")
    lines.extend(f"shard {shard} will be given up: {why}" for shard, why in sorted(plan.abandon.items())[:10])
    lines.append(f"to read: {plan.read_bytes / 1e6:,.1f} MB in {plan.n_extract + len(plan.hash):,} clips")
    if rate and plan.n_extract:
        lines.append(f"estimate: {plan.n_extract / rate:,.0f} s at the last run's {rate:,.0f} clips/s")
    lines.append("to publish: " + (", ".join(plan.publish) or _after(plan)))
    lines.extend(f"warning: {line}" for line in alike)
    return Description("\n".join(lines), values)


def _after(plan: Plan) -> str:
    return "what is extracted" if plan.n_extract else "nothing"


def _explain(found: Prepared, clip_id: str) -> str:
    plan = found.plan
    at = pc.index(plan.clips["clip_id"], clip_id).as_py()
    if at < 0:
        return _explain_absent(found, clip_id)
    clip = plan.clips.slice(at, 1).to_pylist()[0]
    status = Status(int(plan.resolution.status[at]))
    place = int(plan.resolution.place[at])
    row = found.state.index.slice(place, 1).to_pylist()[0] if found.state and place >= 0 else None
    if status is Status.MISSING:
        return f"will not run: {clip['error']} ({clip['detail']})"
    handed_out = plan.resume.filter(pc.equal(plan.resume["clip_id"], clip_id))
    if len(handed_out):
        return f"will run: an earlier run gave it row {handed_out['row'][0].as_py()} and did not finish"
    if row is None:
        return "will run: no row was ever committed for it"
    seen = ", ".join(f"{name} {row[name]} -> {clip[name]}" for name in SEEN if row[name] != clip[name])
    failed = f" as a failure: {row['stage']}/{row['error']} ({row['detail']})" if row["error"] else ""
    text = {
        Status.UNCHANGED: f"will not run: row {row['row']} holds it{failed}, and its source looks the same",
        Status.RETURNED: f"will not run: row {row['row']} holds it, and it is back unchanged",
        Status.RETRY: f"will run again: committed in row {row['row']}{failed}",
        Status.REFRESH: f"will run again: row {row['row']} was computed with other versions",
        Status.TOUCHED: f"will be hashed, and run only if its bytes differ from row {row['row']}: {seen}",
        Status.CHANGED: f"will run: its source is another one than in row {row['row']}: {seen}",
    }[status]
    if at in plan.relabelled:
        text += "; its metadata changed and will be published"
    return text


def _explain_absent(found: Prepared, clip_id: str) -> str:
    index = found.state.index if found.state else None
    rows = index.filter(pc.equal(index["clip_id"], clip_id)).to_pylist() if index else []
    if not rows:
        raise RequestError(
            f"--explain {clip_id}: neither dataset nor store has such a clip (clip_id is case-sensitive)"
        )
    if rows[-1]["state"] == "removed":
        return f"will not run: it left the dataset; row {rows[-1]['row']} is kept in case that it returns"
    return (
        f"will not run: the dataset does not name it any more; row {rows[-1]['row']} will leave the published tables"
    )


def _last_rate(objects: Objects) -> float | None:
    names = sorted((info.key for info in objects.list(RUNS) if info.key.endswith(".json")), reverse=True)
    for key in names[:10]:
        try:
            record = json.loads(objects.get(key))
            done, seconds = record["extracted"] + record["failed"], record["seconds"]
        except (ObjectNotFoundError, ValueError, KeyError, TypeError):
            continue
        if done and seconds:
            return float(done / seconds)
    return None
