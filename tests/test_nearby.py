"""What a missing clip may be meant to be."""

from __future__ import annotations

import pytest
from datasets import make_manifest, read_rows, upload, write_rows, write_tone

from us8k_batch.catalog import nearby
from us8k_batch.catalog.dataset import open_catalog
from us8k_batch.catalog.local import LocalSource

CASES = [
    ("audio/Caf\u00e9.wav", "audio/Cafe\u0301.wav"),
    ("audio/Cafe\u0301.wav", "audio/Caf\u00e9.wav"),
    ("audio/a.WAV", "audio/a.wav"),
    ("audio/a.wav ", "audio/a.wav"),
    ("audio/a.wav", "audio/a .wav"),
    ("audio/a.mp3", "audio/a.wav"),
    ("audio/a b.wav", "audio/a\u00a0b.wav"),
    ("Audio/a.wav", "audio/a.wav"),
    ("G\u00e9/x/a.wav", "Ge\u0301/X/a.wav"),
    ("audio/a.wav", "other/a.wav"),
    ("a.wav", "other/a.wav"),
]


def details(dataset: str) -> dict[str, str | None]:
    """Return what the catalog says of each clip that cannot be read."""
    clips = open_catalog(dataset).clips
    return dict(zip(clips["path"].to_pylist(), clips["detail"].to_pylist(), strict=True))


@pytest.mark.parametrize("where", ["disk", "bucket"])
@pytest.mark.parametrize(("named", "there"), CASES)
def test_a_missing_clip_is_told_what_is_there_instead(tmp_path, request, where, named, there):
    """Unicode form, case, space, extension, a folder's name, another folder: the message names the file."""
    write_tone(tmp_path / there)
    write_tone(tmp_path / "other/there.wav")
    rows = [{"path": path, "label": "dog", "fold": "1"} for path in (named, "other/there.wav")]
    write_rows(tmp_path / "manifest.csv", rows)
    url = str(tmp_path) if where == "disk" else upload(tmp_path, f"{request.getfixturevalue('s3')}/near")
    found = details(url)
    assert found["other/there.wav"] is None
    assert found[named].startswith(f"no such file, but there is {there!r}")


def test_what_is_nowhere_is_missing_plainly(tmp_path):
    """No hint is better than a wrong one."""
    manifest = make_manifest(tmp_path, clips=4)
    rows = read_rows(manifest)
    write_rows(manifest, [*rows, rows[0] | {"path": "audio/another.wav"}, rows[0] | {"path": "nowhere/b.wav"}])
    found = details(str(manifest))
    assert found["audio/another.wav"] == found["nowhere/b.wav"] == "no such file"


def test_folders_are_listed_once_whatever_the_number_of_clips(tmp_path, monkeypatch):
    """A thousand missing clips cost two listings: of their folder, and of the one above."""
    make_manifest(tmp_path, clips=2, formats=("WAV",))
    rows = [{"path": f"audio/{i}.wav", "label": "dog", "fold": "1"} for i in range(1000)]
    write_rows(tmp_path / "manifest.csv", rows)
    asked: list[str] = []
    names = LocalSource.names
    monkeypatch.setattr(LocalSource, "names", lambda self, folder: asked.append(folder) or names(self, folder))
    assert set(details(str(tmp_path)).values()) == {"no such file"}
    assert sorted(asked) == ["", "audio"]


def test_a_folder_outside_of_the_dataset_is_not_listed(tmp_path):
    """Nobody learns from a missing clip what there is beyond a link."""
    write_tone(tmp_path / "secret/a.wav")
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/link").symlink_to(tmp_path / "secret")
    source = LocalSource(str(tmp_path / "dataset"))
    import pyarrow as pa

    paths = pa.array(["link/A.wav"])
    assert nearby.nearby(source, paths, paths) == [None]
