"""Checking a dataset: every defect is found, and a good dataset has none."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import soundfile
from audio_files import flac_promising, make_audio, patched, vbr_mp3, wav_promising
from datasets import change_rows, make_manifest, make_urbansound8k, upload, write_rows, write_tone

from us8k_batch.catalog import survey
from us8k_batch.catalog.check import check
from us8k_batch.catalog.genuine import load_genuine


def problems_of(report) -> dict[str, set[str]]:
    """Return the clips of each kind of problem."""
    found: dict[str, set[str]] = {}
    for row in report.problems.to_pylist():
        found.setdefault(row["problem"], set()).add(row["clip_id"])
    return found


def test_a_good_dataset_has_no_finding(tmp_path):
    """A synthetic dataset in UrbanSound8K's layout, of several formats, is fine."""
    report = check(str(make_urbansound8k(tmp_path, clips=40)))
    assert report.findings == 0
    assert (report.clips, report.present) == (40, 40)
    assert report.genuine is None
    assert sum(count for folds in report.classes.values() for count in folds.values()) == 40


def test_every_defect_of_a_clip_is_found(tmp_path):
    """Missing, not a file, no audio, empty in two ways, cut off: each under its own name."""
    manifest = make_manifest(tmp_path, clips=8, formats=["WAV"])
    clips = sorted((tmp_path / "audio").iterdir())
    clips[0].unlink()
    clips[1].unlink()
    os.mkfifo(clips[1])
    clips[2].write_bytes(b"no audio")
    clips[3].write_bytes(b"")
    write_tone(clips[4], seconds=0)
    clips[5].write_bytes(clips[5].read_bytes()[:-100])
    report = check(str(manifest))
    ids = [f"audio/{clip.name}" for clip in clips]
    assert problems_of(report) == {
        "missing": {ids[0]},
        "not_a_file": {ids[1]},
        "not_decodable": {ids[2]},
        "empty": {ids[3], ids[4]},
        "truncated": {ids[5]},
    }
    assert report.findings == 6
    assert report.present == 6
    assert report.problem_counts["empty"] == 2


def test_what_is_only_odd_is_no_problem(tmp_path):
    """A length that the writing program could not know, in WAV or FLAC, is not one that is missing."""
    manifest = make_manifest(tmp_path, clips=4, formats=["WAV", "FLAC"])
    wavs, flacs = sorted(tmp_path.glob("audio/*.wav")), sorted(tmp_path.glob("audio/*.flac"))
    wavs[0].write_bytes(patched(wav_promising(wavs[0].read_bytes(), 0xFFFFFFFF), 4, b"\xff" * 4))
    wavs[1].write_bytes(wav_promising(wavs[1].read_bytes(), 0x7FFFF000))
    flacs[0].write_bytes(flac_promising(flacs[0].read_bytes(), 0))
    report = check(str(manifest))
    assert report.findings == 0
    assert report.durations.maximum < 10


def test_what_would_go_wrong_with_mp3_and_ogg_is_found(tmp_path):
    """Cut or joined files, lengths that are guessed, other kinds: named, with what is there and what is read."""
    rows = []
    for name, data in {
        "good.mp3": (mp3 := make_audio(seconds=2, format="MP3")),
        "cut.mp3": mp3[: len(mp3) // 2],
        "joined.mp3": mp3 + make_audio(seconds=1, format="MP3"),
        "loud.mp3": vbr_mp3(loud_first=True, seconds=4),
        "quiet.mp3": vbr_mp3(loud_first=False, seconds=4),
        "chained.ogg": make_audio(format="OGG") + make_audio(format="OGG", seed=1),
        "phone.m4a": b"\0\0\0\x1cftypM4A \0\0\2\0" + bytes(1000),
        "nan.wav": make_audio(np.full((100, 1), np.nan), subtype="FLOAT"),
    }.items():
        (tmp_path / name).write_bytes(data)
        rows.append({"path": name, "label": "a", "fold": 1})
    write_rows(tmp_path / "manifest.csv", rows)
    report = check(str(tmp_path / "manifest.csv"))
    assert problems_of(report) == {
        "truncated": {"cut.mp3"},
        "joined": {"joined.mp3", "chained.ogg"},
        "wrong_length": {"loud.mp3", "quiet.mp3"},
        "unsupported_format": {"phone.m4a"},
        "not_finite": {"nan.wav"},
    }
    details = {row["clip_id"]: row["detail"] for row in report.problems.to_pylist()}
    assert "4.0" in details["loud.mp3"]
    assert "2.000 s of 3." in details["joined.mp3"]
    assert "ffmpeg" in details["phone.m4a"]


def test_a_clip_far_longer_than_the_rest_is_found(tmp_path):
    """It will fail in a new store, whose width it does not decide."""
    manifest = make_manifest(tmp_path, clips=5, formats=["WAV"])
    clip = tmp_path / "audio/clip002.wav"
    soundfile.write(clip, np.zeros(600_000, np.float32), 1, subtype="PCM_16")
    report = check(str(manifest))
    assert problems_of(report) == {"too_long": {"audio/clip002.wav"}}
    assert "600000 s" in report.problems["detail"][0].as_py()


def test_the_same_bytes_twice_are_found(tmp_path):
    """Under whatever names, with the folds and labels that they sit in; empty files are not copies of each other."""
    manifest = make_manifest(tmp_path, clips=6, formats=["WAV"])
    clips = sorted((tmp_path / "audio").iterdir())
    shutil.copy(clips[0], clips[3])
    clips[4].write_bytes(b"")
    clips[5].write_bytes(b"")
    report = check(str(manifest))
    (copies,) = report.duplicates
    assert copies.clip_ids == ("audio/clip000.wav", "audio/clip003.wav")
    assert (copies.clips, copies.folds, copies.labels) == (2, (1, 2), ("dog", "rain"))
    assert report.findings == 3


def test_a_recording_in_several_folds_is_found(tmp_path):
    """With its clips by fold and label; clips without a group cross nothing."""
    manifest = make_manifest(tmp_path, clips=6)
    change_rows(manifest, lambda rows: [row | {"group": "one" if i < 3 else ""} for i, row in enumerate(rows)])
    report = check(str(manifest))
    (crossing,) = report.crossings
    assert crossing.group == "one"
    assert not crossing.known
    assert [(part.fold, part.label, part.clips) for part in crossing.parts] == [
        (1, "dog", 1),
        (1, "rain", 1),
        (2, "dog", 1),
    ]
    assert report.findings == 1
    assert report.recordings == 1


def test_a_dataset_without_groups_says_that_leaks_are_unknown(tmp_path):
    """It does not say that there are none."""
    manifest = make_manifest(tmp_path, clips=4)
    change_rows(manifest, lambda rows: [{key: row[key] for key in ("path", "label", "fold")} for row in rows])
    report = check(str(manifest))
    assert report.recordings is None
    assert any("unknown" in line for line in report.lines())


def test_labels_and_recordings_that_look_alike_are_found(tmp_path):
    """A space, a capital or a Unicode form hides a class or a leak; quoted, counted, and nothing is changed."""
    labels, groups = ["rain", "rain ", "Rain"], ["tape", "tape "]
    rows = [
        {"path": f"{i}.wav", "label": labels[i % 3], "fold": str(1 + i % 2), "group": groups[i % 2]} for i in range(6)
    ]
    for i in range(6):
        write_tone(tmp_path / f"{i}.wav", frequency=300.0 + i)
    write_rows(tmp_path / "manifest.csv", rows)
    before = (tmp_path / "manifest.csv").read_bytes()
    report = check(str(tmp_path))
    assert report.findings == 2
    lines = "\n".join(report.lines())
    assert "look like one class, and are 3 classes: 'Rain' (2 clips), 'rain' (2 clips), 'rain ' (2 clips)" in lines
    assert "'tape' (3 clips), 'tape ' (3 clips); in folds 1, 2, a leak if they are one" in lines
    assert [one["column"] for one in json.loads(json.dumps(report.to_dict()))["lookalikes"]] == ["label", "group"]
    assert (tmp_path / "manifest.csv").read_bytes() == before


def test_class_numbers_with_gaps_are_no_crash(tmp_path):
    """A manifest's own columns may be empty here and there."""
    manifest = make_manifest(
        tmp_path,
        clips=4,
        columns={"classID": lambda i: "3" if i % 2 else "", "class": lambda i: "a" if i > 1 else ""},
    )
    assert check(str(manifest)).contradictions == ()


def test_class_numbers_that_contradict_names_are_found(tmp_path):
    """One number under two names, and one name under two numbers."""
    folder = make_urbansound8k(tmp_path, clips=30, seconds=0.1)
    change_rows(folder, lambda rows: [rows[0] | {"class": "siren"}, *rows[1:]])
    report = check(str(folder))
    assert report.contradictions == (
        "classID 0 has several class: air_conditioner, siren, expected one",
        "class siren has several classID: 0, 8, expected one",
    )
    assert report.findings == 2


def test_the_census_counts_every_readable_clip(tmp_path):
    """Containers, codings, rates, channels and durations, most frequent first."""
    rows = []
    for i, (rate, channels, format_, seconds) in enumerate(
        [(44100, 2, "WAV", 0.05), (44100, 1, "WAV", 0.5), (8000, 1, "FLAC", 2.0), (44100, 2, "WAV", 4.0)]
    ):
        write_tone(tmp_path / f"{i}.x", rate=rate, channels=channels, format=format_, seconds=seconds)
        rows.append({"path": f"{i}.x", "label": "a", "fold": "1"})
    write_rows(tmp_path / "manifest.csv", rows)
    report = check(str(tmp_path))
    assert report.census == {
        "container": {"WAV": 3, "FLAC": 1},
        "subtype": {"PCM_16": 4},
        "sample_rate": {"44100": 3, "8000": 1},
        "channels": {"1": 2, "2": 2},
    }
    assert list(report.census["container"]) == ["WAV", "FLAC"]
    shape = report.durations
    assert (shape.minimum, shape.median, shape.maximum) == (0.05, 1.25, 4.0)
    assert {limits for limits, count in shape.histogram.items() if count} == {
        "0 to 0.1",
        "0.5 to 1",
        "2 to 4",
        "4 to 5",
    }


def test_urbansound8k_is_compared_with_the_genuine_one(real_data, tmp_path):
    """One clip replaced, one cut, one added, the rest missing: each is told, and genuine ones are recognised."""
    official = real_data / "UrbanSound8K"
    present = sorted(path.relative_to(official).as_posix() for path in official.glob("audio/*/*.wav"))
    for path in ["metadata/UrbanSound8K.csv", *present]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(official / path, tmp_path / path)
    data = bytearray((tmp_path / present[0]).read_bytes())
    data[-1] ^= 1
    (tmp_path / present[0]).write_bytes(data)
    (tmp_path / present[1]).write_bytes((tmp_path / present[1]).read_bytes()[:-2])
    change_rows(tmp_path, lambda rows: [*rows, rows[0] | {"slice_file_name": "mine.wav"}])
    report = check(str(tmp_path))
    details = {row["path"]: row["detail"] for row in report.problems.to_pylist() if row["problem"] == "not_genuine"}
    size = (official / present[1]).stat().st_size
    assert details == {
        present[0]: "as long as the genuine one, but of other content",
        present[1]: f"{size - 2} bytes, the genuine one has {size}",
    }
    assert present[1].split("/")[-1] in problems_of(report)["truncated"]
    assert report.genuine == {"genuine": len(present) - 2, "differ": 2, "absent": 8732 - len(present), "foreign": 1}


def test_a_clip_under_a_genuine_name_must_be_the_genuine_one(tmp_path):
    """Size and digest of every clip of UrbanSound8K are known, so that a replaced one is found anywhere."""
    row = {"slice_file_name": "100032-3-0-0.wav", "fsID": "100032", "fold": "5", "classID": "3", "class": "dog_bark"}
    write_rows(tmp_path / "metadata/UrbanSound8K.csv", [row])
    write_tone(tmp_path / "audio/fold5/100032-3-0-0.wav")
    report = check(str(tmp_path))
    assert problems_of(report) == {"not_genuine": {"100032-3-0-0.wav"}}
    assert report.problems["detail"].to_pylist() == ["11068 bytes, the genuine one has 56060"]


def test_the_five_recordings_in_two_folds_are_told_but_no_finding(real_data):
    """They are part of the official protocol: 152 clips, each recording under two labels."""
    report = check(str(real_data / "UrbanSound8K"))
    assert [crossing.group for crossing in report.crossings] == ["106905", "132016", "176638", "180937", "77751"]
    assert sum(part.clips for crossing in report.crossings for part in crossing.parts) == 152
    assert all(crossing.known and len(crossing.parts) == 2 for crossing in report.crossings)
    assert report.findings == report.problem_counts["missing"] == 8732 - report.present


def test_a_further_recording_in_two_folds_is_a_finding(real_data, tmp_path):
    """Only what the genuine dataset has is excused."""
    (tmp_path / "metadata").mkdir()
    shutil.copyfile(real_data / "UrbanSound8K/metadata/UrbanSound8K.csv", tmp_path / "metadata/UrbanSound8K.csv")
    change_rows(tmp_path, lambda rows: [rows[0], rows[1] | {"fold": "6"}, *rows[2:]])
    report = check(str(tmp_path))
    assert [crossing.group for crossing in report.crossings if not crossing.known] == ["100263"]
    assert report.findings == 8732 + 1


def test_the_report_is_json_and_text(tmp_path):
    """Both name the findings; long lists are cut, with their length beside them."""
    manifest = make_manifest(tmp_path, clips=50, formats=["WAV"], seconds=0.01)
    shutil.rmtree(tmp_path / "audio")
    report = check(str(manifest))
    values = json.loads(json.dumps(report.to_dict()))
    assert values["findings"] == values["problems"]["missing"]["clips"] == 50
    assert len(values["problems"]["missing"]["examples"]) == 20
    assert values["durations"] is None
    text = "\n".join(report.lines())
    assert "missing: 50" in text
    assert text.endswith("50 findings")


def test_a_bucket_is_checked_like_a_folder(tmp_path, s3):
    """The same findings, whether the bytes are near or far."""
    manifest = make_manifest(tmp_path / "data", clips=5, formats=["WAV", "OGG"])
    (tmp_path / "data/audio/clip000.wav").unlink()
    (tmp_path / "data/audio/clip001.ogg").write_bytes(b"x")
    upload(manifest.parent, s3)
    here, there = check(str(manifest)).to_dict(), check(f"{s3}/manifest.csv").to_dict()
    assert here | {"dataset": ""} == there | {"dataset": ""}


def test_large_clips_are_read_one_at_a_time(tmp_path, monkeypatch):
    """No second clip is read while one fills the memory that there is; the report does not depend on it."""
    manifest = make_manifest(tmp_path, clips=9, formats=["WAV"])
    expected = check(str(manifest)).to_dict()
    held: list[int] = []
    most: list[int] = []
    examine = survey._examine

    def watch(*args: object) -> object:
        held.append(1)
        most.append(len(held))
        result = examine(*args)
        held.pop()
        return result

    monkeypatch.setattr(survey, "_examine", watch)
    monkeypatch.setattr(survey, "HELD_BYTES", 1)
    monkeypatch.setattr(survey, "BATCH", 2)
    done: list[int] = []
    assert check(str(manifest), done.append).to_dict() == expected
    assert done == list(range(1, 10))
    assert max(most) == 1


def test_a_synthetic_dataset_is_never_taken_for_the_genuine_one(tmp_path):
    """No path of it is one of UrbanSound8K's."""
    folder = make_urbansound8k(tmp_path, clips=30, seconds=0.05)
    made = {path.relative_to(folder).as_posix() for path in folder.glob("audio/*/*.wav")}
    assert not made & set(load_genuine()["path"].to_pylist())


@pytest.mark.parametrize("cut", [44, 45, 46])
def test_a_header_without_samples_behind_it_is_no_crash(tmp_path, cut):
    """A file that ends with its header is truncated, whatever the header promised."""
    manifest = make_manifest(tmp_path, clips=1, formats=["WAV"])
    clip = tmp_path / "audio/clip000.wav"
    clip.write_bytes(clip.read_bytes()[:cut])
    assert problems_of(check(str(manifest))) == {"truncated": {"audio/clip000.wav"}}


def test_the_genuine_clips_are_known_beside_their_metadata_too(real_data, tmp_path):
    """The mirror that has the folds beside UrbanSound8K.csv holds the same clips."""
    source = real_data / "UrbanSound8K"
    shutil.copytree(source / "audio", tmp_path / "mirror")
    shutil.copy(source / "metadata/UrbanSound8K.csv", tmp_path / "mirror")
    assert check(str(tmp_path / "mirror")).genuine == check(str(source)).genuine
