"""Where the specification and the models are, and which modules a module needs.

A *project* is a folder that holds `models/manifest.toml`. The modules of a project are
found in the folder of the module that names them, in `spec/` and its folders, in `models/`
and its folders; shims of modules that a checker brings along only where they are wanted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from keepstep.errors import InvalidModel, InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BUNDLED",
    "Closure",
    "Project",
    "blank_comments",
    "declared_constants",
    "declared_variables",
    "defined_operators",
    "find_project",
    "needed_modules",
    "shipped_root",
]

MANIFEST = "models/manifest.toml"
SHIMS = "models/shims"

BUNDLED = frozenset(
    [
        *("Apalache", "Bags", "FiniteSets", "FiniteSetsExt", "Folds", "Functions", "Integers"),
        *("Json", "Naturals", "Option", "Randomization", "RealTime", "Reals", "Sequences"),
        *("SequencesExt", "TLC", "TLCExt", "Toolbox", "Variants"),
    ]
)
"""Modules that a checker may bring along; one that the project has too is the project's."""


_STOOD_IN = frozenset(["Variants"])
"""Modules of Apalache alone, for which there is a stand-in; TLC and SANY bring none along."""


def shipped_root() -> Path:
    """The project that comes with Keepstep: of the wheel, or of an editable checkout.

    Raises:
        InvalidModel: This installation has neither.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / "_shipped", package.parents[1]):
        if (root / MANIFEST).is_file():
            return root
    raise InvalidModel(
        "this installation of keepstep has no specification of its own; "
        "give a project with --project DIR"
    )


def find_project(given: Path | None, *, manifest: bool = True) -> Project:
    """The project to work on: the one given, else the current folder if it is one, else ours.

    Args:
        given: Its folder; None if nobody has said.
        manifest: Whether the manifest matters. Then a current folder that has modules and no
            manifest is refused: nobody who stands there means our project.

    Raises:
        InvalidModel: The folder given holds no manifest, or the current one lacks it.
    """
    if given is not None:
        root = given.resolve()
        if not (root / MANIFEST).is_file():
            raise InvalidModel(f"{given} is no project: it has no {MANIFEST}")
        return Project(root)
    here = Path.cwd()
    lacks_it = not (here / MANIFEST).is_file() and any((here / "spec").glob("**/*.tla"))
    if manifest and lacks_it:
        raise InvalidModel(
            f"the current folder has modules in spec/ and no {MANIFEST}; write one, or name"
            " another project with --project DIR"
        )
    return Project(here if (here / MANIFEST).is_file() else shipped_root())


@dataclass(frozen=True)
class Closure:
    """A module and all that it needs.

    Attributes:
        root: Name of the module itself.
        files: Path of each module of the project, by its name.
        bundled: Names of the modules that the checker brings along.
    """

    root: str
    files: dict[str, Path]
    bundled: frozenset[str]


@dataclass(frozen=True)
class Project:
    """A folder with a specification, its models and their manifest."""

    root: Path
    _closures: dict[tuple[Path, bool], Closure] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def manifest(self) -> Path:
        """Path of the manifest."""
        return self.root / MANIFEST

    @property
    def lock(self) -> Path:
        """Path of the evidence lock."""
        return self.root / "models/evidence.lock"

    def relative(self, path: Path) -> str:
        """A path as it is written in the manifest, the lock and messages."""
        inside = path.is_relative_to(self.root)
        return path.relative_to(self.root).as_posix() if inside else str(path)

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        found: list[Path] = []
        for top in ("spec", "models"):
            base = self.root / top
            if base.is_dir():
                below = sorted(path for path in base.rglob("*") if path.is_dir())
                found += [base, *below]
        shims = self.root / SHIMS
        return tuple(path for path in found if path != shims)

    def search_path(self, module: Path, *, shims: bool) -> list[Path]:
        """The folders in which the modules of `module` are looked for, the first one first.

        Args:
            module: The file whose modules are wanted; its own folder comes first.
            shims: Whether stand-ins for modules of Apalache belong to it (TLC and SANY).
        """
        folders = [module.resolve().parent, *self._folders]
        if shims and (self.root / SHIMS).is_dir():
            folders.append(self.root / SHIMS)
        return list(dict.fromkeys(folders))

    def closure(self, module: Path, *, shims: bool) -> Closure:
        """The module and every module that it extends or instantiates, to any depth.

        Raises:
            InvalidModel: A module is nowhere to be found.
        """
        key = (module, shims)
        if key not in self._closures:
            self._closures[key] = self._find_closure(module, shims=shims)
        return self._closures[key]

    def _find_closure(self, module: Path, *, shims: bool) -> Closure:
        if not module.is_file():
            raise InvalidModel(f"there is no module {self.relative(module)}")
        folders = self.search_path(module, shims=shims)
        files = {module.stem: module}
        bundled: set[str] = set()
        queue = [module]
        while queue:
            path = queue.pop()
            for name in needed_modules(_read(path)):
                if name in files:
                    continue
                place = next((p for p in (d / f"{name}.tla" for d in folders) if p.is_file()), None)
                if place is not None:
                    files[name] = place
                    queue.append(place)
                elif name in BUNDLED and not (shims and name in _STOOD_IN):
                    bundled.add(name)
                else:
                    looked = ", ".join(self.relative(d) or "." for d in folders)
                    raise InvalidModel(
                        f"{self.relative(path)} needs the module {name}, which is in none of:"
                        f" {looked}{_copy_of(name)}"
                    )
        return Closure(module.stem, dict(sorted(files.items())), frozenset(bundled))


def _copy_of(name: str) -> str:
    """The cure for a module that is missing, if it is one that comes with Keepstep to be copied."""
    try:
        root = shipped_root()
    except InvalidModel:
        return ""
    for folder in ("spec", SHIMS):
        if (root / folder / f"{name}.tla").is_file():
            copied = root / folder / f"{name}.tla"
            return f"; Keepstep has one: mkdir -p {folder} && cp {copied} {folder}/"
    return ""


def _read(path: Path) -> str:
    try:
        return _read_at(path, path.stat().st_mtime_ns)
    except UnicodeDecodeError:
        raise InvalidSpec("is not UTF-8 text", str(path)) from None
    except OSError as error:
        raise InvalidModel(f"cannot read {path}: {error.strerror}") from None


@lru_cache(maxsize=256)
def _read_at(path: Path, changed: int) -> str:
    del changed
    return path.read_text(encoding="utf-8")


_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|\\\*[^\n]*|\(\*|\*\)')


@lru_cache(maxsize=256)
def blank_comments(text: str) -> str:
    """The text with every comment replaced by as many blanks, so that places stay the same."""
    parts: list[str] = []
    depth = 0
    place = 0
    for found in _COMMENT.finditer(text):
        mark = found[0]
        between = text[place : found.start()]
        parts.append(_blank(between) if depth else between)
        place = found.end()
        if mark == "(*":
            depth += 1
        if depth or mark.startswith("\\*"):
            parts.append(_blank(mark))
        else:
            parts.append(mark)
        if mark == "*)" and depth:
            depth -= 1
    rest = text[place:]
    parts.append(_blank(rest) if depth else rest)
    return "".join(parts)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


_EXTENDS = re.compile(r"\bEXTENDS\s+(\w+(?:\s*,\s*\w+)*)")
_INSTANCE = re.compile(r"\bINSTANCE\s+(\w+)")


def needed_modules(text: str) -> tuple[str, ...]:
    """Names of the modules that a module's text extends or instantiates, in order."""
    return tuple(dict.fromkeys(_needed(blank_comments(text))))


def _needed(code: str) -> Iterator[str]:
    for found in _EXTENDS.finditer(code):
        yield from (name.strip() for name in found[1].split(","))
    for found in _INSTANCE.finditer(code):
        yield found[1]


_OPERATOR = re.compile(
    r"^\s*(?:LOCAL\s+)?([A-Za-z_]\w*)\s*(?:\([^()]*(?:\([^()]*\)[^()]*)*\))?\s*==(?!=)",
    re.MULTILINE,
)
_DECLARATION_END = (
    r"(?=^\s*(?:LOCAL\s|VARIABLES?\b|CONSTANTS?\b|ASSUME\b|AXIOM\b|THEOREM\b|INSTANCE\b|RECURSIVE\b"
    r"|[A-Za-z_]\w*\s*(?:\([^()]*\)|\[[^\]]*\])?\s*==|-{4,}|={4,})|\Z)"
)
_CONSTANTS = re.compile(rf"^\s*CONSTANTS?\b(.*?){_DECLARATION_END}", re.MULTILINE | re.DOTALL)
_VARIABLES = re.compile(rf"^\s*VARIABLES?\b(.*?){_DECLARATION_END}", re.MULTILINE | re.DOTALL)


def defined_operators(text: str) -> frozenset[str]:
    """Names that a module's text defines with `==`; a cheap reading, SANY has the last word."""
    return frozenset(found[1] for found in _OPERATOR.finditer(blank_comments(text)))


def declared_constants(text: str) -> tuple[str, ...]:
    """Names of the constants that a module's text declares."""
    return _declared(_CONSTANTS, text)


def declared_variables(text: str) -> tuple[str, ...]:
    """Names of the variables that a module's text declares, in order."""
    return _declared(_VARIABLES, text)


def _declared(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    names: list[str] = []
    for found in pattern.finditer(blank_comments(text)):
        names += re.findall(r"[A-Za-z_]\w*", re.sub(r"\([^)]*\)", "", found[1]))
    return tuple(dict.fromkeys(names))
