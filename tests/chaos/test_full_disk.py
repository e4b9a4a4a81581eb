"""A disk that is full, for real: a small tmpfs in a mount namespace of its own, which grows later."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest
from disturbed import Site, differing

import us8k_batch

MOUNT = ("unshare", "--mount", "--propagation", "private", "sh", "-ec")
SCRIPT = """
mkdir -p "$2" && mount -t tmpfs -o size="$1" tmpfs "$2"
shift 2
status=0
"$@" || status=$?
echo "ended $status"
cp -a "$STORE" "$COPY"
mount -o remount,size=200m "$STORE"
"$@"
cp -a "$STORE" "$GROWN"
"""


def can_mount() -> bool:
    """Tell whether this machine lets us mount."""
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run([*MOUNT, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="mounting is not permitted here")
@pytest.mark.parametrize("size", ["200k", "400k"])
def test_a_full_disk_ends_the_run_and_a_larger_one_goes_on(
    size: str, site: Site, undisturbed: dict[str, bytes], record_property: Callable[[str, object], None]
) -> None:
    """Exit 1, the cause in words, and nothing half done; the same command on the grown disk leaves what it should."""
    copy, grown = site.folder / "full", site.folder / "grown"
    site.environment = {"STORE": str(site.store), "COPY": str(copy), "GROWN": str(grown)}
    client = site.client("--workers", 2, wrapped=(*MOUNT, SCRIPT, "sh", size, site.store))
    assert client.wait(900) == 0, site.said()[-3000:]
    said = site.said()
    assert "ended 1" in said
    assert "No space left on device" in said
    assert "Traceback" not in said
    commits = len(list((copy / "commits").glob("*.parquet")))
    assert differing(grown, undisturbed) == []
    assert not list(grown.rglob(".tmp-*"))
    if (copy / "pooled.parquet").exists():
        assert len(us8k_batch.open_store(str(copy)).mfcc[:])
    record_property("figure", f"{size}: exit 1 after {commits} commits; grown, equal")
