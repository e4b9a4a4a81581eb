"""GRID.toml: what it means, and that no typing error gets through."""

from __future__ import annotations

from pathlib import Path

import pytest

from us8k_batch.errors import RequestError
from us8k_batch.training.grid import read_grid


def write(folder: Path, text: str) -> str:
    """Write a grid."""
    file = folder / "grid.toml"
    file.write_text(text)
    return str(file)


def test_cells_are_all_combinations(tmp_path: Path) -> None:
    """Models times features times protocols times seeds, each once, each with its parameters."""
    grid = 'models = ["svm", "knn"]\nfeatures = ["mean", "all"]\nseeds = [0, 7]\nprotocols = ["folds", "article"]\n'
    cells = read_grid(write(tmp_path, grid + "[parameters.svm]\nC = 3"))
    assert len({cell.name for cell in cells}) == len(cells) == 16
    assert {cell.parameters["C"] for cell in cells if cell.model == "svm"} == {3}
    assert cells[0].name == "svm-mean-folds-seed0"


def test_only_models_must_be_named(tmp_path: Path) -> None:
    """Without more, each model runs once, under the predefined folds, on what it takes by default."""
    assert [cell.name for cell in read_grid(write(tmp_path, 'models = ["svm"]'))] == ["svm-salamon14-folds-seed0"]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ('model = ["svm"]', r"unknown key 'model': did you mean 'models'\? known are models, features"),
        ('models = ["smv"]', r"unknown models: 'smv': did you mean 'svm'\?"),
        ('models = ["svm"]\nfeatures = ["salomon14"]', r"'salomon14': did you mean 'salamon14'\?"),
        ('models = ["svm"]\nprotocols = ["fold"]', r"protocols: 'fold': did you mean 'folds'\?"),
        ('models = ["svm"]\nseeds = [0, "1"]', "seeds: '1', expected whole numbers"),
        ('models = ["svm"]\nseeds = [-1]', "seeds: -1, expected whole numbers"),
        ('models = ["svm"]\nseeds = [true]', "seeds: True, expected whole numbers"),
        ('models = ["svm"]\nseeds = 3', "seeds = 3: expected a list"),
        ('models = "svm"', "models = 'svm': expected a list"),
        ('models = ["svm", "svm"]', "names something twice"),
        ("seeds = [1]", "models is missing or empty"),
        ('models = ["svm"]\n[parameters.knn]\nn_neighbors = 3', "unknown parameters for model 'knn'"),
        ('models = ["svm"]\n[parameters.svm]\nc = 3', r"parameters.svm: model svm has no parameter 'c': known are C"),
        ('models = ["svm"]\n[parameters.svm]\nC = "big"', "expected a value like 10.0"),
        ('models = ["svm"]\nparameters = 3', "expected a table for each model"),
        ('models = ["svm"', "expected a TOML file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, grid: str, message: str) -> None:
    """An error names the file, the key, what stands there and what is known."""
    with pytest.raises(RequestError, match=message) as caught:
        read_grid(write(tmp_path, grid))
    assert "grid.toml" in str(caught.value)


def test_a_grid_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is a bad request."""
    with pytest.raises(RequestError, match="No such file"):
        read_grid(str(tmp_path / "grid.toml"))
