"""The command that makes a run again."""

from __future__ import annotations

import shlex

import pytest
from click.testing import CliRunner
from run_documents import make_article, make_document

from us8k_batch.cli import main
from us8k_batch.config import read_options
from us8k_batch.training.reproduce import command_of


def test_the_command_says_all_that_decides_the_numbers() -> None:
    """Store, model, protocol, features, seed and parameters other than the defaults; quoted for a shell."""
    assert shlex.split(command_of(make_document())) == [
        "us8k", "train", "a & b", "--model", "xgboost", "--protocol", "folds", "--features", "mean+std",
        "--seed", "3", "--set", "n_estimators=7",
    ]  # fmt: skip
    assert "--protocol article" in command_of(make_article())
    assert command_of(make_document(allow_incomplete=True)).endswith(" --allow-incomplete")


def test_a_search_is_made_again_with_what_it_left_alone() -> None:
    """Parameters that were fixed are set, also at their default; those that were searched are not."""
    space = {"learning_rate": {}, "n_estimators": {}}
    tuning = {"trials": 5, "space": space, "splits": {}}
    words = shlex.split(command_of(make_document(tuning=tuning)))
    assert words[:2] == ["us8k", "tune"]
    assert "--trials 5" in " ".join(words)
    assert "--jobs 2" in " ".join(words)
    assert "max_depth=4" in words
    assert not [word for word in words if word.startswith(("n_estimators=", "--protocol"))]


@pytest.mark.parametrize("value", ["none", "scale", "3", "a b", 'say "x"', 0.1, 1e-05, True, [64, 96], "true", ""])
def test_values_come_back_as_they_were(value: object) -> None:
    """What stands after --set is read as the same value, of the same type."""
    words = shlex.split(command_of(make_document(parameters={"strange": value})))
    read = read_options(None, [words[words.index("--set") + 1]])["strange"]
    assert (read, type(read)) == (value, type(value))


def test_a_model_of_another_release_keeps_all_its_parameters() -> None:
    """What is not known here has no defaults that could be left out."""
    assert "--set max_depth=4" in command_of(make_document(model="resnet"))


def test_the_command_line_knows_every_option() -> None:
    """The commands are what `us8k` takes: the store that is not there is all it complains about."""
    tuning = {"trials": 5, "space": {"learning_rate": {}}, "splits": {}}
    for document in (make_document(), make_document(tuning=tuning, allow_incomplete=True)):
        said = CliRunner().invoke(main, shlex.split(command_of(document))[1:])
        assert said.exit_code == 2
        assert "no store here" in said.output
