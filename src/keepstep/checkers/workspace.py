"""The folder in which a tool reads a model: its modules, edited if the model is a mutant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepstep.errors import InvalidModel, InvalidSpec, KeepstepError
from keepstep.tla.mutation import mutate_text
from keepstep.tla.values import render

if TYPE_CHECKING:
    from keepstep.tla.manifest import Model
    from keepstep.tla.sources import Project

__all__ = ["Workspace", "as_tla", "explain_sany", "lay_out", "module_texts"]


@dataclass(frozen=True, slots=True)
class Workspace:
    """The modules of a model in one folder.

    Attributes:
        folder: Where they are.
        root: Name of the model's module.
        origins: For each module the file that it was copied from, as messages name it.
    """

    folder: Path
    root: str
    origins: dict[str, str]


@lru_cache(maxsize=256)
def _text(path: Path, changed: int) -> str:
    del changed
    return path.read_text(encoding="utf-8")


def module_texts(project: Project, model: Model) -> dict[str, str]:
    """The text of each module that a model needs, by name, mutations applied.

    Raises:
        InvalidModel: A module is missing, or a mutation does not fit.
    """
    closure = project.closure(project.root / model.spec, shims=model.checker == "tlc")
    texts = {
        name: _text(path, path.stat().st_mtime_ns) for name, path in sorted(closure.files.items())
    }
    for edit in model.mutation:
        if edit.module not in texts:
            raise InvalidModel(f"{model.name}: {model.spec} does not use a module {edit.module!r}")
        texts[edit.module] = mutate_text(
            texts[edit.module],
            old=edit.old,
            new=edit.new,
            operator=edit.operator,
            place=f"{model.name}: mutation of {edit.module}",
        )
    return texts


def lay_out(project: Project, model: Model, folder: Path) -> Workspace:
    """Write the modules of a model into a folder.

    Raises:
        InvalidModel: As `module_texts`.
    """
    for name, text in module_texts(project, model).items():
        (folder / f"{name}.tla").write_text(text, encoding="utf-8")
    closure = project.closure(project.root / model.spec, shims=model.checker == "tlc")
    origins = {name: project.relative(path) for name, path in closure.files.items()}
    return Workspace(folder, closure.root, origins)


def as_tla(value: Any) -> str:
    """A constant of the manifest as TLA+ writes it; an array is a set."""
    if isinstance(value, list):
        return "{" + ", ".join(as_tla(item) for item in value) + "}"
    return render(value)


_ENCOUNTERED = re.compile(
    r'(Encountered "[^\n]*?"|Was expecting[^\n]*|Lexical error)?[^\n]*'
    r"at line (\d+),? col(?:umn)? (\d+)"
)
_AT = re.compile(r"^line (\d+), col \d+ to line \d+, col \d+ of module (\w+)\s*$")
_PARSING = re.compile(r"^Parsing file (\S+)")


def explain_sany(lines: list[str], workspace: Workspace) -> KeepstepError | None:
    """What SANY complained about, with file and line; None if it did not."""
    parsing = ""
    for number, line in enumerate(lines):
        if found := _PARSING.match(line):
            parsing = Path(found[1]).stem
        if found := _AT.match(line.strip()):
            message = next((rest.strip() for rest in lines[number + 1 :] if rest.strip()), "")
            origin = workspace.origins.get(found[2], found[2])
            return InvalidSpec(_sentence(message), origin, int(found[1]))
        if found := _ENCOUNTERED.search(line):
            # SANY reads one module at a time, so the error is in the one it read last.
            origin = workspace.origins.get(parsing, parsing)
            return InvalidSpec(f"syntax error: {_sentence(line)}", origin, int(found[2]))
    return None


def _sentence(text: str) -> str:
    return text.strip().strip("*").strip().rstrip(".")
