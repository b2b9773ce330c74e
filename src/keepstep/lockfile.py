"""The evidence lock as a file, and the one function that decides what is stale.

Everything here is cheap and needs the standard library only, because importing a role
machine may ask for it. `keepstep.evidence` fills the lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepstep.errors import InvalidModel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

__all__ = [
    "Evidence",
    "Lock",
    "deriver_hash",
    "hash_file",
    "model_tables",
    "project_evidence",
    "project_files",
    "question_hash",
    "read_lock",
    "shipped_evidence",
    "staleness",
    "write_lock",
]

FORMAT = 1
_NOT_PART_OF_THE_QUESTION = frozenset(
    [
        *("name", "protocol", "lane", "seconds", "memory_mb", "workers", "why", "bug", "feature"),
        *("compare", "expected", "violated", "distinct_states", "coverage", "never"),
    ]
)
"""Keys of a model that change neither what is asked of a tool nor what it can answer."""


@dataclass
class Lock:
    """What was found out, when, and from which inputs.

    Attributes:
        models: For each model its verdict, its inputs, and how it was found.
        derived: For each derived file its inputs, its own bytes among them.
        files: The hash of each file of the specification and the models.
        problem: Why the file cannot be trusted, or "".
    """

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    derived: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def _entry_digest(name: str, entry: Mapping[str, Any]) -> str:
    bare = {key: value for key, value in entry.items() if key != "digest"}
    text = json.dumps([name, bare], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _whole_digest(*parts: Mapping[str, Any]) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_lock(path: Path) -> Lock:
    """Read the lock; one that is missing is empty.

    A lock that was altered by hand is read with `problem` set, which names what was altered.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        models, derived, files = found["models"], found["derived"], found["files"]
        entries = {**models, **derived}
        altered = [
            name for name, entry in entries.items() if entry["digest"] != _entry_digest(name, entry)
        ]
        shaped = all(isinstance(entry["inputs"], dict) for entry in entries.values())
        whole = found["digest"] == _whole_digest(models, derived, files)
        known = found["format"] == FORMAT
    except FileNotFoundError:
        return Lock(problem="")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Lock(problem=f"{path.name} cannot be read ({type(error).__name__}: {error})")
    if not shaped:
        return Lock(problem=f"{path.name} cannot be read: an entry has no table of inputs")
    if altered:
        problem = f"{path.name}: the entry of {', '.join(sorted(altered))} was altered by hand"
    elif not whole or not known:
        problem = f"{path.name} was altered by hand"
    else:
        problem = ""
    return Lock(models, derived, files, problem)


def write_lock(path: Path, lock: Lock) -> None:
    """Write the lock with its digests, sorted, so that a change shows as a small difference.

    Raises:
        InvalidModel: The file cannot be written.
    """
    models = {name: _signed(name, entry) for name, entry in sorted(lock.models.items())}
    derived = {name: _signed(name, entry) for name, entry in sorted(lock.derived.items())}
    document = {
        "format": FORMAT,
        "digest": _whole_digest(models, derived, lock.files),
        "models": models,
        "derived": derived,
        "files": lock.files,
    }
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        raise InvalidModel(f"cannot write {path}: {error.strerror}") from None


def _signed(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "digest": _entry_digest(name, entry)}


def staleness(
    recorded: Mapping[str, str], current: Mapping[str, str], ignoring: Collection[str] = ()
) -> list[str]:
    """Why evidence is stale: which of its inputs are not what they were.

    Every leg of the chain asks this function, with all its inputs on both sides.

    Args:
        recorded: Name and hash (or version) of each input when the evidence was made.
        current: The same as they are now.
        ignoring: Inputs that are not there to be compared now, as the version of a missing tool.

    Returns:
        One phrase for each difference; nothing if the evidence is fresh.
    """
    reasons: list[str] = []
    for name in sorted({*recorded, *current} - set(ignoring)):
        if name not in recorded:
            reasons.append(f"{name} is new")
        elif name not in current:
            reasons.append(f"{name} is gone")
        elif recorded[name] != current[name]:
            reasons.append(f"{name} changed")
    return reasons


def hash_file(path: Path) -> str:
    """SHA-256 of a small file; "missing" if it is not there."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "missing"


def project_files(root: Path) -> dict[str, str]:
    """The hash of each file in spec/ and models/ of a project, the lock left out."""
    return {
        path.relative_to(root).as_posix(): hash_file(path)
        for top in ("spec", "models")
        for path in sorted((root / top).rglob("*"))
        if path.suffix in {".tla", ".toml", ".cfg"} and path.is_file()
    }


def question_hash(table: Mapping[str, Any]) -> str:
    """The hash of what a model of the manifest asks of its tool.

    Args:
        table: The model as it stands in the manifest, with the defaults of its checker.
    """
    question = {key: value for key, value in table.items() if key not in _NOT_PART_OF_THE_QUESTION}
    text = json.dumps(question, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def model_tables(root: Path, manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each model's table with the defaults of its checker and the edits of its mutant.

    Args:
        root: The project, for the files of mutants that the manifest names.
        manifest: The manifest as it stands in its file. What is wrong in it is left out here;
            `keepstep.tla.manifest` refuses it.
    """
    mutants: dict[str, Any] = {}
    for file in manifest.get("mutants", []):
        try:
            mutants |= tomllib.loads((root / str(file)).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    found: dict[str, dict[str, Any]] = {}
    for table in manifest.get("model", []):
        defaults = manifest.get("defaults", {}).get(table.get("checker"), {})
        merged = {**defaults, **{key: table[key] for key in table if key != "mutant"}}
        if table.get("mutant") in mutants:
            merged["mutation"] = mutants[table["mutant"]].get("edits")
        found[str(table.get("name"))] = merged
    return found


def deriver_hash(package: Path) -> str:
    """The hash of the deriver's own source in an installed package."""
    digest = hashlib.sha256()
    for path in sorted((package / "derive").glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@dataclass(frozen=True)
class Evidence:
    """Whether the shipped machines are what the locked evidence is about.

    Attributes:
        status: "verified" or "unverified".
        reasons: Why it is unverified, one phrase each.
        date: The day of the oldest locked verdict, or "".
    """

    status: str
    reasons: tuple[str, ...] = ()
    date: str = ""

    def __bool__(self) -> bool:
        return self.status == "verified"


def shipped_evidence(package: Path | None = None) -> Evidence:
    """Compare the lock that is shipped with the specification, models and classes beside it.

    No tool runs, and only small files are read.
    """
    package = package or Path(__file__).resolve().parent
    places = (package / "_shipped", package.parents[1])
    root = next((place for place in places if (place / "models/manifest.toml").is_file()), None)
    if root is None:
        return Evidence("unverified", ("the specification is not part of this installation",))
    return project_evidence(root, package)


def project_evidence(root: Path, package: Path) -> Evidence:
    """As `shipped_evidence`, for the project in `root` and the classes in `package`."""
    lock = read_lock(root / "models/evidence.lock")
    reasons = [lock.problem] if lock.problem else []
    try:
        manifest = tomllib.loads((root / "models/manifest.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Evidence("unverified", (*reasons, "the manifest cannot be read"))
    reasons += staleness(lock.files, project_files(root))
    reasons += _stale_models(root, manifest, lock)
    reasons += _stale_classes(root, package, lock)
    dates = [str(entry.get("date", "")) for entry in lock.models.values()]
    return Evidence("unverified" if reasons else "verified", tuple(reasons), min(dates, default=""))


def _stale_models(root: Path, manifest: Mapping[str, Any], lock: Lock) -> Iterable[str]:
    hashes: dict[str, str] = {}
    tables = model_tables(root, manifest)
    for name, table in tables.items():
        entry = lock.models.get(name)
        if entry is None:
            yield f"model {name} has no locked verdict"
            continue
        current = {"question": question_hash(table)}
        for path in entry["inputs"]:
            if path.endswith(".tla"):
                hashes.setdefault(path, hash_file(root / path))
                current[path] = hashes[path]
        stale = staleness(entry["inputs"], current, ignoring=("tool", "java"))
        if stale:
            yield f"model {name}: {', '.join(stale)}"


def _stale_classes(root: Path, package: Path, lock: Lock) -> Iterable[str]:
    deriver = deriver_hash(package)
    if not lock.derived:
        yield "no derived class is locked"
    for name, entry in sorted(lock.derived.items()):
        # A class of the package is named within it, one of another project within that project.
        file = package / name if (package / name).is_file() else root / name
        current = {"file": hash_file(file), "deriver": deriver}
        for path in entry["inputs"]:
            if path.endswith(".tla"):
                current[path] = hash_file(root / path)
        stale = staleness(entry["inputs"], current)
        if stale:
            yield f"{name}: {', '.join(stale)}"
