"""A run whose dataset and store are in a bucket: the same store as on a disk, and no credentials anywhere in it."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import obstore
import pyarrow.parquet as pq
import pytest
from clusters import HandStarted
from datasets import change_rows, make_manifest, upload, write_tone
from stores import files

import us8k_batch
from us8k_batch.objects import open_bucket, open_objects


@dataclass(frozen=True)
class Place:
    """A dataset and a store, both in a bucket, and the dataset on this disk, too."""

    bucket: str
    manifest: Path
    folder: Path
    scheduler: str
    keys: tuple[str, ...]
    """What is in the environment to get there, and should be nowhere else."""

    @property
    def dataset(self) -> str:
        """The manifest's URL."""
        return f"{self.bucket}/dataset/manifest.csv"

    @property
    def store(self) -> str:
        """The store's URL."""
        return f"{self.bucket}/some/features"

    def put(self, name: str) -> None:
        """Upload one file of the dataset again."""
        obstore.put(open_bucket(f"{self.bucket}/dataset"), name, (self.manifest.parent / name).read_bytes())

    def assert_untold(self, told: bytes, where: str) -> None:
        """Prove that something holds none of the keys."""
        for key in self.keys:
            assert key.encode() not in told, where

    def us8k(self, command: str, *arguments: str, status: int = 0) -> str:
        """Run the real command; return all that it said."""
        done = subprocess.run(
            [sys.executable, "-m", "us8k_batch", command, *arguments, "-vv"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        said = done.stdout + done.stderr
        (self.folder / "said.txt").open("a").write(said)
        assert done.returncode == status, said
        return said

    def extract(self, *options: str, store: str = "", status: int = 0) -> dict[str, int]:
        """Bring the store up to date; return how many clips had what done to them."""
        said = self.us8k(
            "extract", self.dataset, store or self.store, "--clips-per-shard", "2", "--scheduler", self.scheduler,
            *options, status=status,
        )  # fmt: skip
        found = re.findall(r"(\d+) clips are live in .* (\d+) failed or are missing; (\d+) extracted", said)
        return dict(zip(("live", "failures", "extracted"), map(int, found[-1]), strict=True))

    def stamps(self) -> dict[str, tuple[str, str]]:
        """Return ETag and time of every object of the store: whatever is written anew shows."""
        found = boto3.client("s3").list_objects_v2(Bucket=self.bucket.removeprefix("s3://"), Prefix="some/")
        return {entry["Key"]: (entry["ETag"], str(entry["LastModified"])) for entry in found["Contents"]}


@pytest.fixture
def place(s3: str, tmp_path: Path, temporary_keys: tuple[str, ...]) -> Iterator[Place]:
    """Make the dataset, and start a worker that has the credentials in its environment, as the client has."""
    manifest = make_manifest(tmp_path / "dataset", clips=6, seconds=0.1)
    upload(manifest.parent, f"{s3}/dataset")
    with HandStarted(folder=tmp_path / "dask") as hand:
        hand.start_scheduler().start_workers(1)
        yield Place(s3, manifest, tmp_path, hand.address, temporary_keys)


def test_a_bucket_is_only_another_place(place: Place) -> None:
    """Dataset and store in a bucket: extract, nothing to do, change, relabel, verify, read; as on a disk.

    And what stands in the environment to get there is in no object, no line of output, and no log of a worker.
    """
    assert place.extract() == {"live": 6, "failures": 0, "extracted": 6}
    stamps = place.stamps()

    # Nothing to do.
    assert place.extract()["extracted"] == 0
    assert place.stamps() == stamps

    # The same from a disk. What a bucket says of its objects, ETags, is in the plans only.
    on_disk = place.folder / "on_disk"
    place_on_disk = [str(place.manifest), str(on_disk), "--clips-per-shard", "2", "--scheduler", place.scheduler]
    place.us8k("extract", *place_on_disk)
    theirs, ours = files(place.store), files(on_disk)
    assert theirs.keys() == ours.keys()
    assert [key for key in ours if ours[key] != theirs[key]] == ["plans/000001.parquet"]

    # One clip has other content.
    write_tone(place.manifest.parent / "audio/clip000.wav", frequency=5000, seconds=0.1)
    place.put("audio/clip000.wav")
    assert place.extract() == {"live": 6, "failures": 0, "extracted": 1}
    assert place.stamps().items() >= {k: v for k, v in stamps.items() if "/commits/" in k or "/c/" in k}.items()

    # One clip has another label: nobody is asked to decode, or even there to be asked.
    change_rows(place.manifest, lambda rows: [rows[0] | {"label": "snow"}, *rows[1:]])
    place.put("manifest.csv")
    assert place.extract("--scheduler", "tcp://127.0.0.1:1")["extracted"] == 0

    assert "all is as it was committed" in place.us8k("verify", place.store)
    store = us8k_batch.open_store(place.store)
    assert store.complete
    assert store.mfcc[:].shape[0] == 6
    assert store.pooled.set_index("clip_id")["label"]["audio/clip000.wav"] == "snow"
    bucket = open_bucket(place.store)
    table = pq.read_table(io.BytesIO(bytes(obstore.get(bucket, "pooled.parquet").bytes())))
    assert table.to_pandas().equals(store.pooled)

    objects = open_objects(place.store)
    told = {info.key: objects.get(info.key) for info in objects.list("")}
    assert any(key.startswith("runs/") for key in told)
    told |= {str(path): path.read_bytes() for path in place.folder.glob("**/*.txt")}
    assert len([key for key in told if key.endswith(".txt")]) == 2
    for key, data in told.items():
        place.assert_untold(data, key)


def test_a_bucket_that_refuses_says_so_without_a_secret(place: Place) -> None:
    """A bucket that is not there: exit 2 before anything is touched, and no credentials in what is said."""
    said = place.us8k("extract", place.dataset, "s3://no-such-bucket/store", status=2)
    assert "s3://no-such-bucket/store" in said
    place.assert_untold(said.encode(), "output")
