from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import keepstep
from keepstep import evidence
from keepstep.lockfile import (
    model_tables,
    project_evidence,
    question_hash,
    staleness,
)
from keepstep.tla.manifest import load_manifest
from keepstep.tla.sources import Project, find_project, shipped_root


def test_staleness_names_what_differs() -> None:
    recorded = {"a.tla": "1", "b.tla": "1", "tool": "TLC 2.18"}
    assert staleness(recorded, dict(recorded)) == []
    assert staleness(recorded, {"a.tla": "2", "c.tla": "1"}, ignoring=("tool",)) == [
        "a.tla changed",
        "b.tla is gone",
        "c.tla is new",
    ]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something like an installed package: a deriver, and one class that it derived."""
    folder = tmp_path / "package"
    for name in ("derive", "roles"):
        (folder / name).mkdir(parents=True)
    (folder / "derive/emit.py").write_text("derives = True\n")
    (folder / "roles/mutex.py").write_text("class Mutex: ...\n")
    monkeypatch.setattr(evidence, "PACKAGE", folder)
    return folder


@pytest.fixture
def locked(project: Project, package: Path) -> Project:
    """A project whose evidence is complete and fresh."""
    manifest = load_manifest(project)
    tool = {"name": "TLC", "version": "2.18", "commit": "", "sha256": "abc"}
    found = {
        model.name: evidence.Found({"kind": "HOLDS"}, tool, 25, 10, 1.0, "2026-11-01")
        for model in manifest.models
    }
    evidence.lock_models(project, manifest, found)
    module = project.root / "spec/Mutex.tla"
    evidence.lock_derived(project, {package / "roles/mutex.py": [module]})
    return project


def test_fresh_evidence_is_verified(locked: Project, package: Path) -> None:
    found = project_evidence(locked.root, package)
    assert found.reasons == ()
    assert (found.status, found.date) == ("verified", "2026-11-01")
    assert found


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("alter", "named"),
    [
        (lambda root, _: edit(root / "spec/Mutex.tla", "Can two", "Can too"), "spec/Mutex.tla"),
        (lambda root, _: edit(root / "models/manifest.toml", "ROUNDS = 3", "ROUNDS = 2"), "good"),
        (
            lambda root, _: edit(root / "models/manifest.toml", '"good"', '"best"'),
            "model best has no locked verdict",
        ),
        (
            lambda root, _: edit(root / "models/manifest.toml", "= 10", "= 11"),
            "models/manifest.toml changed",
        ),
        (lambda _, package: edit(package / "roles/mutex.py", "...", "pass"), "roles/mutex.py"),
        (lambda _, package: edit(package / "derive/emit.py", "True", "1"), "deriver changed"),
        (
            lambda root, _: edit(root / "models/evidence.lock", '"HOLDS"', '"HOLES"'),
            "good was altered by hand",
        ),
        (
            lambda root, _: edit(root / "models/evidence.lock", '"format": 1', '"format": 2'),
            "altered by hand",
        ),
        (lambda root, _: (root / "models/evidence.lock").unlink(), "no derived class is locked"),
        (
            lambda root, _: (root / "models/More.tla").write_text("---- MODULE More ----\n===="),
            "models/More.tla is new",
        ),
    ],
)
def test_whatever_is_altered_is_named(
    locked: Project, package: Path, alter: Callable[[Path, Path], object], named: str
) -> None:
    alter(locked.root, package)
    found = project_evidence(locked.root, package)
    assert found.status == "unverified"
    assert not found
    assert named in "; ".join(found.reasons)


def test_a_class_of_the_project_itself_is_found_there(locked: Project, package: Path) -> None:
    own = locked.root / "src/mutex.py"
    own.parent.mkdir()
    own.write_text("class Mutex: ...\n")
    evidence.lock_derived(locked, {own: [locked.root / "spec/Mutex.tla"]})
    assert project_evidence(locked.root, package)
    own.write_text("class Mutex: pass\n")
    (reason,) = project_evidence(locked.root, package).reasons
    assert reason == "src/mutex.py: file changed"


def test_derived_files_are_compared_with_the_lock(locked: Project, package: Path) -> None:
    files = {package / "roles/mutex.py": [locked.root / "spec/Mutex.tla"]}
    assert evidence.stale_derived(locked, files) == {}
    edit(package / "roles/mutex.py", "...", "pass")
    assert evidence.stale_derived(locked, files) == {"roles/mutex.py": ["file changed"]}
    other = {package / "derive/emit.py": []}
    assert evidence.stale_derived(locked, other) == {"derive/emit.py": ["it is not locked"]}


def test_what_a_model_asks_is_hashed_alike_with_and_without_the_manifest_reader() -> None:
    project = find_project(shipped_root())
    manifest = load_manifest(project)
    tables = model_tables(project.root, tomllib.loads(project.manifest.read_text()))
    assert {name: question_hash(table) for name, table in tables.items()} == {
        name: question_hash(table) for name, table in manifest.tables.items()
    }


def python(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def copied(tmp_path: Path, project: Project) -> Path:
    """A copy of the package as a wheel would have it, with the mutex as what is shipped."""
    source = Path(keepstep.__file__).parent
    target = tmp_path / "site/keepstep"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "_shipped"))
    shutil.copytree(project.root, target / "_shipped")
    return target


STATUS = "from keepstep.roles import evidence; print(evidence().status)"


def test_a_stale_machine_can_be_imported_unless_evidence_is_required(copied: Path) -> None:
    site = str(copied.parent)
    asked = python(STATUS, PYTHONPATH=site)
    assert asked.stdout.strip() == "unverified", asked.stderr
    refused = python(STATUS, PYTHONPATH=site, KEEPSTEP_REQUIRE_EVIDENCE="1")
    assert refused.returncode != 0
    assert "StaleEvidence: unverified, and KEEPSTEP_REQUIRE_EVIDENCE=1" in refused.stderr
    assert "model good has no locked verdict" in refused.stderr


def test_a_fresh_machine_can_be_imported_where_evidence_is_required(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "PACKAGE", copied)
    place = Project(copied / "_shipped")
    manifest = load_manifest(place)
    tool = {"name": "TLC", "version": "2.18", "commit": "", "sha256": "abc"}
    found = {
        model.name: evidence.Found({"kind": "HOLDS"}, tool, 25, 10, 1.0, "2026-11-01")
        for model in manifest.models
    }
    evidence.lock_models(place, manifest, found)
    evidence.lock_derived(place, {copied / "roles/contender.py": [place.root / "spec/Mutex.tla"]})
    asked = python(STATUS, PYTHONPATH=str(copied.parent), KEEPSTEP_REQUIRE_EVIDENCE="1")
    assert asked.stdout.strip() == "verified", asked.stderr


def test_asking_for_evidence_loads_nothing_heavy() -> None:
    program = (
        "import sys, keepstep.lockfile\n"
        "from keepstep.lockfile import shipped_evidence\n"
        "shipped_evidence()\n"
        "print([name for name in ('msgspec', 'rich', 'click') if name in sys.modules])"
    )
    assert python(program).stdout.strip() == "[]"
