"""From a dataset's own columns to a catalog's, for each layout."""

from __future__ import annotations

import pyarrow as pa
import pytest

from us8k_batch.catalog.columns import PUBLISHED_NAMES
from us8k_batch.catalog.layouts import describe_clips
from us8k_batch.catalog.metadata import Metadata, parse_csv
from us8k_batch.errors import DatasetError

OFFICIAL = """slice_file_name,fsID,start,end,salience,fold,classID,class
100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark
100263-2-0-117.wav,100263,58.5,62.5,1,5,2,children_playing
"""


def describe(layout: str, text: str) -> pa.Table:
    """Describe the clips of a CSV."""
    return describe_clips(layout, parse_csv("m.csv", text.encode()))


def refused(layout: str, text: str) -> str:
    """Return the message with which a CSV is refused."""
    with pytest.raises(DatasetError) as caught:
        describe(layout, text)
    return str(caught.value)


def test_urbansound8k_rows_become_clips():
    """The id is the file's name, the path follows from the fold, the recording is the fsID; all columns travel."""
    clips = describe("urbansound8k", OFFICIAL)
    assert clips.slice(1).to_pylist() == [
        {
            "clip_id": "100263-2-0-117.wav",
            "path": "audio/fold5/100263-2-0-117.wav",
            "fold": 5,
            "label": "children_playing",
            "group": "100263",
            "slice_file_name": "100263-2-0-117.wav",
            "fsID": 100263,
            "start": 58.5,
            "end": 62.5,
            "salience": 1,
            "classID": 2,
            "class": "children_playing",
        }
    ]
    assert dict(zip(clips.schema.names, clips.schema.types, strict=True)) == {
        "clip_id": pa.string(),
        "path": pa.string(),
        "fold": pa.int32(),
        "label": pa.string(),
        "group": pa.string(),
        "slice_file_name": pa.string(),
        "fsID": pa.int64(),
        "start": pa.float64(),
        "end": pa.float64(),
        "salience": pa.int64(),
        "classID": pa.int64(),
        "class": pa.string(),
    }


def test_class_name_is_class():
    """Some copies of the CSV call it so."""
    assert describe("urbansound8k", OFFICIAL.replace("classID,class", "classID,class_name")).equals(
        describe("urbansound8k", OFFICIAL)
    )


def test_urbansound8k_may_have_more_columns_or_fewer():
    """Only what names a clip is needed; what a user added travels."""
    clips = describe("urbansound8k", "note,slice_file_name,fsID,fold,class\nx,a.wav,1,2,dog_bark\n")
    assert clips.to_pylist() == [
        {
            "clip_id": "a.wav",
            "path": "audio/fold2/a.wav",
            "fold": 2,
            "label": "dog_bark",
            "group": "1",
            "note": "x",
            "slice_file_name": "a.wav",
            "fsID": 1,
            "class": "dog_bark",
        }
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("100263-2-0-117.wav,100263", "../100263.wav,100263", "m.csv, line 3: slice_file_name = '../100263.wav': "),
        ("100263-2-0-117.wav,100263", "/etc/passwd,100263", "m.csv, line 3: slice_file_name = '/etc/passwd': "),
        ("100263-2-0-117.wav,100263", ",100263", "m.csv, line 3: slice_file_name = nothing: "),
        ("100263-2-0-117.wav,100263", "100263-2-0-117.wav,x1", "m.csv, line 3: fsID = 'x1': "),
        ("62.5,1,5,2", "62.5,1,five,2", "m.csv, line 3: fold = 'five': "),
        ("62.5,1,5,2", "62.5,1,5.5,2", "m.csv, line 3: fold = '5.5': "),
        ("58.5,62.5", "58.5,late", "m.csv, line 3: end = 'late': "),
        ("children_playing", " ", "m.csv, line 3: class = ' ': "),
        ("100263-2-0-117.wav,100263", "100032-3-0-0.wav,100263", "m.csv, line 3: clip_id '100032-3-0-0.wav' stands"),
        ("fsID,", "fs_id,", "m.csv: no column fsID; found 'slice_file_name', 'fs_id', "),
        ("salience", "size", "m.csv: column 'size' has a name that means another thing"),
        ("salience", "label", "m.csv: column 'label' has a name that means another thing"),
        ("salience", "mfcc_mean_00", "m.csv: column 'mfcc_mean_00' has a name that means another thing"),
    ],
)
def test_an_urbansound8k_row_that_cannot_be_right_is_named(old, new, message):
    """The message begins with the file, the line and the value."""
    assert refused("urbansound8k", OFFICIAL.replace(old, new)).startswith(message)


def test_a_manifest_row_becomes_a_clip():
    """The id defaults to the tidied path; groups may be unknown; other columns travel."""
    clips = describe("manifest", "path,note,label,fold\n./a//b.wav,7,dog,1\n")
    assert clips.to_pylist() == [
        {"clip_id": "a/b.wav", "path": "a/b.wav", "fold": 1, "label": "dog", "group": None, "note": 7}
    ]
    assert clips.schema.types[:5] == [pa.string(), pa.string(), pa.int32(), pa.string(), pa.string()]


def test_a_manifest_may_name_its_clips_and_recordings():
    """A given clip_id stays when the file is moved; a group without a name is unknown."""
    clips = describe("manifest", "clip_id,path,label,fold,group\nx,a.wav,dog,1,100\ny,b.wav,dog,2,\n")
    assert clips["clip_id"].to_pylist() == ["x", "y"]
    assert clips["group"].to_pylist() == ["100", None]
    assert clips.column_names == ["clip_id", "path", "fold", "label", "group"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,fold\na.wav,1\n", "m.csv: no column label; found 'path', 'fold'. Expected path,label,fold"),
        ("path;label;fold\na;b;1\n", "m.csv: no column path, label, fold; found 'path;label;fold'"),
        (OFFICIAL, "m.csv: no column path, label; found"),
        ("path,label,fold\na.wav,dog,1\n../b.wav,dog,1\n", "m.csv, line 3: path = '../b.wav': "),
        (
            "path,label,fold\na.wav,dog,1\n./a.wav,dog,1\n",
            "m.csv, line 3: clip_id 'a.wav' stands already at m.csv, line 2",
        ),
        ("path,label,fold\na.wav,dog,1\nb.wav,,1\n", "m.csv, line 3: label = nothing: "),
        ("path,label,fold,clip_id\na.wav,dog,1,\n", "m.csv, line 2: clip_id = nothing: "),
        ('path,label,fold\na.wav,"do\ng",1\n', "m.csv, line 2: label = 'do\\ng': "),
        ("path,label,fold,duration\na.wav,dog,1,2\n", "m.csv: column 'duration' has a name"),
    ],
)
def test_a_manifest_row_that_cannot_be_right_is_named(text, message):
    """The message begins with the file, the line and the value."""
    assert refused("manifest", text).startswith(message)


def test_urbansound8k_given_as_a_manifest_is_recognised():
    """The message says what to give instead."""
    assert "give the folder that holds metadata/ and audio/" in refused("manifest", OFFICIAL)


@pytest.mark.parametrize("name", sorted({*PUBLISHED_NAMES} - {"clip_id", "path", "fold", "label", "group"}))
def test_no_column_may_pass_for_one_that_is_published(name):
    """Every name of the published tables is refused."""
    assert f"column {name!r}" in refused("manifest", f"path,label,fold,{name}\na.wav,dog,1,2\n")


def test_a_parquet_manifest_keeps_its_types():
    """Numbers may be labels, groups and ids; other columns keep the type that they have."""
    table = pa.table(
        {
            "path": ["a.wav"],
            "label": [3],
            "fold": pa.array([1], pa.uint8()),
            "group": [100],
            "clip_id": [7],
            "taken": pa.array([0], pa.date32()),
            "code": ["007"],
        }
    )
    clips = describe_clips("manifest", Metadata("m.parquet", table, None))
    assert clips.drop_columns(["taken"]).to_pylist() == [
        {"clip_id": "7", "path": "a.wav", "fold": 1, "label": "3", "group": "100", "code": "007"}
    ]
    assert clips.schema.field("taken").type == pa.date32()


def test_folds_may_be_beside_the_metadata():
    """The most used mirror has UrbanSound8K.csv beside fold1 to fold10; the clips keep their names."""
    official = describe("urbansound8k", OFFICIAL)
    clips = describe_clips("urbansound8k", parse_csv("m.csv", OFFICIAL.encode()), audio="")
    assert clips["path"].to_pylist() == ["fold5/100032-3-0-0.wav", "fold5/100263-2-0-117.wav"]
    assert clips.drop_columns("path").equals(official.drop_columns("path"))


def test_numbers_that_pandas_made_floats_of_are_the_same_clips():
    """Folds, recordings and class numbers of a column that had gaps."""
    floats = OFFICIAL.replace(",1,5,3,", ",1.0,5.0,3.0,").replace("100263,58.5", "100263.0,58.5")
    assert describe("urbansound8k", floats).equals(describe("urbansound8k", OFFICIAL))


def test_columns_of_other_names_may_be_named():
    """ESC-50's own table is a manifest; a value that cannot be right is named by the column that it stands in."""
    text = "filename,fold,category,src_file\na.wav,1,dog,7\nb.wav,2,rain,\n"
    columns = {"path": "filename", "label": "category", "group": "src_file"}
    clips = describe_clips("manifest", parse_csv("m.csv", text.encode()), columns=columns)
    assert clips.to_pylist()[0] == {
        "clip_id": "a.wav",
        "path": "a.wav",
        "fold": 1,
        "label": "dog",
        "group": "7",
        "filename": "a.wav",
        "category": "dog",
        "src_file": 7,
    }
    with pytest.raises(DatasetError, match=r"m\.csv, line 3: filename = '\.\./b\.wav': expected"):
        describe_clips("manifest", parse_csv("m.csv", text.replace("b.wav", "../b.wav").encode()), columns=columns)
    assert "--columns path=filename" in refused("manifest", text)


@pytest.mark.parametrize(("begin", "end"), [("start", "end"), ("onset", "offset"), ("Start_Time", "End_Time")])
def test_parts_of_one_file_are_refused(begin, end):
    """Every row would get the features of the whole file; the message names the row and says what to do."""
    rows = "a.wav,dog,1,x,0,4\nb.wav,dog,1,y,0,4\n./a.wav,rain,1,z,4,8\n"
    message = refused("manifest", f"path,label,fold,clip_id,{begin},{end}\n{rows}")
    assert message.startswith(f"m.csv, line 4: path 'a.wav' with {begin} = 4, but 0 at m.csv, line 2: ")
    assert "cut the file into one file per row" in message
    without_ids = "path,label,fold,start\na.wav,dog,1,0\na.wav,dog,1,\n"
    assert "line 3: path 'a.wav' with start = None, but 0" in refused("manifest", without_ids)


def test_times_of_whole_files_travel():
    """UrbanSound8K says of each file which part of a recording it is; so may a manifest."""
    text = "path,label,fold,clip_id,start,end\na.wav,dog,1,x,0,4\nb.wav,dog,1,y,4,8.5\na.wav,rain,1,z,0,4.0\n"
    assert describe("manifest", text)["end"].to_pylist() == [4.0, 8.5, 4.0]
