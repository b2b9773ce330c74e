"""The evidence of a project: which inputs it is about, and how it gets into the lock.

What is stale is decided by `keepstep.lockfile.staleness` alone; here is what it is given.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepstep.lockfile import (
    Lock,
    deriver_hash,
    hash_file,
    project_files,
    question_hash,
    read_lock,
    staleness,
    write_lock,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keepstep.tla.manifest import Manifest, Model
    from keepstep.tla.sources import Project

__all__ = [
    "Found",
    "Locked",
    "current_inputs",
    "derived_inputs",
    "lock_derived",
    "lock_models",
    "locked_verdict",
    "stale_derived",
]

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Found:
    """A verdict that a tool has just given, or that is cached for the very same inputs.

    Attributes:
        verdict: As a JSON object.
        tool: Name, version, commit and SHA-256 of the tool.
        java: Major version of Java.
        states: Number of distinct states, if the tool counts them.
        seconds: How long it took.
        date: The day on which the tool ran.
    """

    verdict: Mapping[str, Any]
    tool: Mapping[str, str]
    java: int
    states: int | None
    seconds: float
    date: str


@dataclass(frozen=True, slots=True)
class Locked:
    """What the lock says about a model.

    Attributes:
        verdict: As a JSON object.
        date: The day on which the tool ran.
        digest: Of its entry in the lock.
        stale: Why the verdict is stale; empty if it is fresh.
    """

    verdict: Mapping[str, Any]
    date: str
    digest: str
    stale: tuple[str, ...]


def today() -> str:
    """The day, in UTC, as the lock has it."""
    return dt.datetime.now(tz=dt.UTC).date().isoformat()


def current_inputs(project: Project, manifest: Manifest, model: Model) -> dict[str, str]:
    """Every input of a model that lies in the project: its modules and its question.

    Raises:
        InvalidModel: A module is missing.
    """
    closure = project.closure(project.root / model.spec, shims=model.checker == "tlc")
    found = {project.relative(path): hash_file(path) for path in closure.files.values()}
    found["question"] = question_hash(manifest.tables[model.name])
    return found


def locked_verdict(project: Project, manifest: Manifest, model: Model, lock: Lock) -> Locked | None:
    """What the lock says about a model, and whether it still holds; None if it says nothing."""
    entry = lock.models.get(model.name)
    if entry is None:
        return None
    reasons = staleness(
        entry["inputs"], current_inputs(project, manifest, model), ignoring=("tool", "java")
    )
    if lock.problem:
        reasons.insert(0, lock.problem)
    return Locked(entry["verdict"], entry["date"], str(entry.get("digest")), tuple(reasons))


def lock_models(project: Project, manifest: Manifest, found: Mapping[str, Found]) -> list[str]:
    """Write verdicts into the lock; entries of models that are no more are dropped.

    A lock that was altered by hand is not trusted: what it said before is dropped.

    Returns:
        The names of the models whose entry is new or changed.

    Raises:
        InvalidModel: The lock cannot be written.
    """
    lock = read_lock(project.lock)
    if lock.problem:
        lock = Lock()
    known = {model.name: model for model in manifest.models}
    kept = {name: entry for name, entry in lock.models.items() if name in known}
    changed: list[str] = []
    for name, result in found.items():
        tool = result.tool
        inputs = current_inputs(project, manifest, known[name])
        named = (tool["name"], tool["version"], tool["commit"])
        inputs["tool"] = " ".join(part for part in named if part)
        inputs["java"] = str(result.java)
        entry: dict[str, Any] = {
            "verdict": dict(result.verdict),
            "inputs": inputs,
            "tool_sha256": tool.get("sha256", ""),
            "date": result.date,
            "states": result.states,
            "seconds": round(result.seconds, 1),
        }
        before = {key: kept.get(name, {}).get(key) for key in ("verdict", "inputs", "states")}
        if before != {key: entry[key] for key in before}:
            changed.append(name)
            kept[name] = entry
    lock.models = kept
    lock.files = project_files(project.root)
    write_lock(project.lock, lock)
    return changed


def derived_inputs(project: Project, file: Path, modules: Iterable[Path]) -> dict[str, str]:
    """The inputs of a derived file: its own bytes, its modules and the deriver."""
    found = {project.relative(path): hash_file(path) for path in modules}
    return {**found, "file": hash_file(file), "deriver": deriver_hash(PACKAGE)}


def lock_derived(project: Project, files: Mapping[Path, Iterable[Path]]) -> None:
    """Write derived files into the lock, in place of those that it had.

    Args:
        project: The project whose lock it is.
        files: For each derived file the modules that it is derived from.

    Raises:
        InvalidModel: The lock cannot be written.
    """
    lock = read_lock(project.lock)
    if lock.problem:
        lock = Lock()
    lock.derived = {
        _name_of(project, file): {"inputs": derived_inputs(project, file, modules)}
        for file, modules in files.items()
    }
    lock.files = project_files(project.root)
    write_lock(project.lock, lock)


def stale_derived(project: Project, files: Mapping[Path, Iterable[Path]]) -> dict[str, list[str]]:
    """For each derived file why its locked evidence is stale; files that are fresh are left out."""
    lock = read_lock(project.lock)
    stale: dict[str, list[str]] = {}
    for file, modules in files.items():
        name = _name_of(project, file)
        entry = lock.derived.get(name)
        if entry is None:
            stale[name] = ["it is not locked"]
            continue
        reasons = staleness(entry["inputs"], derived_inputs(project, file, modules))
        if lock.problem:
            reasons.insert(0, lock.problem)
        if reasons:
            stale[name] = reasons
    return stale


def _name_of(project: Project, file: Path) -> str:
    """A derived file as the lock names it: within the package, or within the project."""
    file = file.resolve()
    if file.is_relative_to(PACKAGE):
        return file.relative_to(PACKAGE).as_posix()
    return project.relative(file)
