"""Optional parts: what is imported is declared, and a hint is a command that works."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from us8k_batch import extras
from us8k_batch.errors import MissingExtraError
from us8k_batch.extras import EXTRAS, need

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    """Return the distributions of requirements, those of an extra of ours by its own requirements."""
    found = set()
    for line in requirements:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[([a-z]+)\])?", line)
        assert match is not None
        name, extra = match.groups()
        found |= names(PROJECT["optional-dependencies"][extra]) if name == PROJECT["name"] else {normal(name)}
    return found


def normal(name: str) -> str:
    """Return a distribution's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> Iterator[tuple[Path, str]]:
    """Yield every module of somebody else's that the package imports, wherever in a file."""
    for file in (ROOT / "us8k_batch").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in (
                "require",
                "import_module",
            ):
                modules = [str(one.value) for one in node.args[:1] if isinstance(one, ast.Constant)]
            for module in modules:
                top = module.partition(".")[0]
                if top not in sys.stdlib_module_names and top != "us8k_batch":
                    yield file, top


def test_what_is_imported_is_declared() -> None:
    """Nothing comes by chance with something else: it may be gone, or another version, tomorrow."""
    declared = names(PROJECT["dependencies"]).union(*map(names, PROJECT["optional-dependencies"].values()))
    providers = metadata.packages_distributions()
    strange = {
        (str(file.relative_to(ROOT)), top)
        for file, top in imported()
        if not {normal(name) for name in providers.get(top, ())} & declared
    }
    assert strange == set()


def test_every_optional_part_is_declared_with_what_it_imports() -> None:
    """What is looked for before the work begins is what the extra installs."""
    providers = metadata.packages_distributions()
    for extra, modules in EXTRAS.items():
        brought = names(PROJECT["optional-dependencies"][extra])
        assert all({normal(name) for name in providers[module]} & brought for module in modules), extra


def test_what_is_missing_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is missing, at once; what is there is not named."""
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(MissingExtraError, match=r"^a needs skops, xgboost, which are not installed: .*\[train\]"):
        need("train", "a")
    need("report", "pictures")


@pytest.mark.parametrize(
    ("origin", "asked"),
    [
        ({}, "'us8k-batch[train]'"),
        ({"url": "file:///nowhere", "dir_info": {}}, "'us8k-batch[train]'"),
        ({"url": ROOT.as_uri(), "dir_info": {}}, f"'{ROOT}[train]'"),
        ({"url": ROOT.as_uri(), "dir_info": {"editable": True}}, f"-e '{ROOT}[train]'"),
        ({"url": "file:///x.whl", "archive_info": {}}, "'us8k-batch[train] @ file:///x.whl'"),
        ({"url": "https://h/r", "vcs_info": {"vcs": "git"}}, "'us8k-batch[train] @ git+https://h/r'"),
    ],
)
def test_a_hint_asks_for_what_is_installed(
    origin: Mapping[str, Any], asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an index by name; from a checkout, file or repository by where it came from."""
    monkeypatch.chdir(tmp_path)
    beside = ROOT if origin.get("dir_info", {}).get("editable") else tmp_path
    assert extras._asked("train", origin, beside) == asked


def test_a_hint_in_a_checkout_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its folder, a dot is enough."""
    monkeypatch.chdir(ROOT)
    assert extras._asked("train", {}, ROOT) == "-e '.[train]'"
