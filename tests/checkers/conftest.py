from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from keepstep.checkers.toolchain import find_apalache, find_tlc
from keepstep.errors import ToolMissing
from keepstep.process import Supervisor
from keepstep.tla.manifest import Model, load_manifest
from keepstep.tla.sources import Project

FIXTURES = Path(__file__).parent / "fixtures"
Define = Callable[[str], tuple[Project, Model]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the tools that this machine has are still found, by their variables."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KEEPSTEP_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def tlc(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """TLC from the user's cache, although the test's own cache is empty."""
    jar = find_tlc().jar
    request.getfixturevalue("cache")
    monkeypatch.setenv("TLA2TOOLS_JAR", str(jar))


@pytest.fixture
def apalache(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    try:
        home = find_apalache().home
    except ToolMissing as error:
        pytest.skip(str(error))
    request.getfixturevalue("cache")
    monkeypatch.setenv("APALACHE_HOME", str(home))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The mutex, in a folder that the test may change."""
    root = tmp_path / "project"
    shutil.copytree(FIXTURES / "mutex", root)
    return Project(root)


@pytest.fixture
def define(project: Project) -> Define:
    """Write a manifest with one model, on top of sensible keys, and load it."""

    def write(keys: str, spec: str = "spec/Mutex.tla") -> tuple[Project, Model]:
        constants = 'constants = { PROCS = ["p1_OF_PROC", "p2_OF_PROC"], ROUNDS = 3 }\n'
        own = "" if "constants" in keys or "typecheck" in keys else constants
        head = f'[[model]]\nname = "one"\nspec = "{spec}"\n'
        project.manifest.write_text(head + own + keys, encoding="utf-8")
        return project, load_manifest(project).models[0]

    return write


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor()
