"""``us8k fetch``: the real archive's way from a server to a dataset that is proved, in one command."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from archives import CLIPS, GENUINE, TOP, make_archive, serve
from click.testing import CliRunner, Result

from us8k_batch.catalog import download, fetch
from us8k_batch.catalog.dataset import open_catalog
from us8k_batch.cli import main

ARCHIVE = make_archive()
MD5 = hashlib.md5(ARCHIVE, usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def small_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take six clips for the genuine ones, and ask again without a pause."""
    monkeypatch.setattr(fetch, "load_genuine", lambda: GENUINE)
    monkeypatch.setattr(download, "STEP", 1000)
    monkeypatch.setattr("us8k_batch.objects.retry.PAUSES", (0.0,))


def run(folder: Path, url: str, *more: str, accept: bool = True) -> Result:
    """Run the command."""
    accepted = ["--accept-licence"] if accept else []
    return CliRunner().invoke(main, ["fetch", str(folder), "--url", url, "--md5", MD5, *accepted, *more])


def test_one_command_from_the_server_to_a_dataset(tmp_path: Path) -> None:
    """Downloaded, proved, unpacked, and the archive removed; a second time there is nothing to do, and no request."""
    with serve(ARCHIVE) as served:
        done = run(tmp_path / "data", served.url, "--json")
        assert done.exit_code == 0, done.stderr
        values = json.loads(done.stdout)
        assert values == {
            "dataset": str(tmp_path / "data" / TOP),
            "clips": 6,
            "genuine": 6,
            "size": sum(map(len, CLIPS.values())),
            "was_there": False,
        }
        assert os.listdir(tmp_path / "data") == [TOP]
        assert len(open_catalog(values["dataset"]).clips) == 6
        served.asked.clear()
        again = run(tmp_path / "data", served.url)
        assert (again.exit_code, served.asked) == (0, [])
        assert "is there already: 6 clips" in again.stdout


def test_the_licence_is_shown_and_must_be_accepted(tmp_path: Path) -> None:
    """Without it nothing is asked of the server and nothing written."""
    with serve(ARCHIVE) as served:
        done = run(tmp_path / "data", served.url, accept=False)
        assert done.exit_code == 2
        assert "non-commercial" in " ".join(done.stderr.split())
        assert "--accept-licence" in done.stderr
        assert served.asked == []
    assert os.listdir(tmp_path) == []


def test_an_interrupted_fetch_goes_on(tmp_path: Path) -> None:
    """The server fails in the middle: exit 1; the same command goes on, also where half an unpacking lies."""
    with serve(ARCHIVE) as served:
        served.cut = 10
        done = run(tmp_path, served.url)
        assert done.exit_code == 1
        assert "the same command goes on" in done.stderr
        served.cut = None
        (tmp_path / f"{TOP}.unpacking").mkdir()
        (tmp_path / f"{TOP}.unpacking" / "half.wav").write_bytes(b"x")
        assert run(tmp_path, served.url, "--keep-archive").exit_code == 0
    assert sorted(os.listdir(tmp_path)) == [TOP, f"{TOP}.tar.gz"]
    assert not (tmp_path / TOP / "half.wav").exists()


def test_a_small_disk_is_refused_before_the_download(tmp_path: Path) -> None:
    """An archive larger than any disk: exit 2, with both numbers, and no byte was asked for."""
    with serve(ARCHIVE, claims=10**16) as served:
        done = run(tmp_path / "data", served.url)
        assert done.exit_code == 2
        assert "10000000.0 to download" in done.stderr
        assert [method for method, _ in served.asked] == ["HEAD"]
    assert os.listdir(tmp_path) == []


def test_an_archive_of_something_else_leaves_nothing(tmp_path: Path) -> None:
    """The right checksum, but not a dataset: exit 1, what to do about it, and no half dataset."""
    other = make_archive()[:200]
    with serve(other) as served:
        done = run(tmp_path, served.url, "--md5", hashlib.md5(other, usedforsecurity=False).hexdigest())
    assert done.exit_code == 1
    assert f"{TOP}.tar.gz: not the archive that was expected" in done.stderr
    assert "remove it and run the same command again" in done.stderr
    assert not (tmp_path / TOP).exists()
    assert not (tmp_path / f"{TOP}.unpacking").exists()


def test_an_incomplete_dataset_in_the_place_is_named_and_left_alone(tmp_path: Path) -> None:
    """A clip is missing: exit 2, nothing is downloaded over it."""
    with serve(ARCHIVE) as served:
        run(tmp_path, served.url)
        (tmp_path / TOP / next(iter(CLIPS))).unlink()
        served.asked.clear()
        done = run(tmp_path, served.url)
    assert (done.exit_code, served.asked) == (2, [])
    assert "1 of 6 genuine clips are missing" in done.stderr


def test_a_taste_reads_the_beginning_only(tmp_path: Path) -> None:
    """The first clips, proved one by one, with a manifest that can be extracted from."""
    with serve(ARCHIVE) as served:
        done = run(tmp_path, served.url, "--subset", "4", "--json")
        assert done.exit_code == 0, done.stderr
        clips = open_catalog(json.loads(done.stdout)["dataset"]).clips.to_pylist()
        assert [(clip["clip_id"], clip["fold"], clip["group"]) for clip in clips[:2]] == [
            ("100-0-0-0.wav", 1, "100"),
            ("102-2-0-0.wav", 1, "102"),
        ]
        assert {clip["label"] for clip in clips} == {"air_conditioner", "car_horn", "children_playing", "dog_bark"}
        assert run(tmp_path, served.url, "--subset", "4").exit_code == 2


def test_a_taste_of_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip that is not the genuine one: exit 1, and nothing is left."""
    digests = [bytes(32)] * 6
    monkeypatch.setattr(fetch, "load_genuine", lambda: GENUINE.set_column(2, "sha256", [digests]))
    with serve(ARCHIVE) as served:
        assert run(tmp_path, served.url, "--subset", "2").exit_code == 1
    assert os.listdir(tmp_path) == []


def test_what_is_in_the_way_is_told_and_the_archive_kept(tmp_path: Path) -> None:
    """The disk's own error, without a traceback; what was downloaded is not lost by it."""
    with serve(ARCHIVE) as served:
        assert run(tmp_path, served.url, "--keep-archive").exit_code == 0
        shutil.rmtree(tmp_path / TOP)
        (tmp_path / f"{TOP}.unpacking").write_text("a file in the way")
        done = run(tmp_path, served.url)
    assert done.exit_code == 1
    assert (tmp_path / f"{TOP}.tar.gz").exists()
