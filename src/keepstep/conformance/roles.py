"""The roles of a project: which module, which class, and the alphabet of its role table.

They are the `[[role]]` tables of models/manifest.toml:

    [[role]]
    spec = "spec/election/Contender.tla"
    machine = "keepstep.roles.contender"      # or a file of the project: "roles/contender.py"
    equivalent = "models/election/equivalent.toml"
    constants = { NODES = ["n1_OF_NODE"], DUTIES = ["d1_OF_DUTY"] }
    [role.domains]
    NODE = ["n1_OF_NODE", "n2_OF_NODE"]
    number = [1, 2]
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from keepstep.checkers.toolchain import find_java, find_tlc
from keepstep.derive.ast import Spec
from keepstep.derive.sany import Sany
from keepstep.errors import InvalidModel, InvalidSpec
from keepstep.tla.sources import Project

__all__ = [
    "LOADED",
    "RoleEntry",
    "constants_of",
    "load_machine",
    "load_roles",
    "load_source",
    "read_spec",
]


LOADED = "keepstep_played_"
"""How the names of modules begin that are loaded from a text."""


class RoleEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One role of the manifest.

    Attributes:
        spec: The role module, relative to the project.
        machine: The module with the derived class: a dotted name, or a file of the project.
        equivalent: The list of mutants that change nothing, relative to the project, or "".
        constants: The role module's constants in the role table; an array is a set.
        domains: What a type, a field or a fact ranges over in the role table: the values, or
            a set as TLA+ writes it.
        runs: The model with whose composition and constants runs of a suite are compared, or "".
    """

    spec: str
    machine: str
    equivalent: str = ""
    constants: dict[str, bool | int | str | list[Any]] = {}
    domains: dict[str, list[Any] | str] = {}
    runs: str = ""

    @property
    def name(self) -> str:
        """The name of the role module."""
        return Path(self.spec).stem


def load_roles(project: Project) -> list[RoleEntry]:
    """The roles of a project, in the order of its manifest.

    Raises:
        InvalidModel: The manifest cannot be read, or an entry has an unknown or a wrong key.
    """
    shown = project.relative(project.manifest)
    try:
        found = tomllib.loads(project.manifest.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidModel(f"{shown}: cannot be read: {error}") from None
    entries = []
    tables = found.get("role", [])
    if not isinstance(tables, list):  # A [role] without the double brackets names no role.
        tables = []
    for number, table in enumerate(tables, start=1):
        place = f"{shown}: role {table.get('spec', f'number {number}')!r}"
        try:
            entry = msgspec.convert(table, RoleEntry)
        except msgspec.ValidationError as error:
            raise InvalidModel(f"{place}: {error}") from None
        if not (project.root / entry.spec).is_file():
            raise InvalidModel(f"{place}: key 'spec': there is no file {entry.spec}")
        entries.append(entry)
    return entries


def load_machine(project: Project, entry: RoleEntry) -> ModuleType:
    """Import the module with the role's class, from the file that is shipped.

    Raises:
        InvalidModel: There is no such module.
    """
    if entry.machine.endswith(".py"):
        path = project.root / entry.machine
        if not path.is_file():
            raise InvalidModel(f"role {entry.name}: there is no file {entry.machine}")
        return load_source(path.read_text(encoding="utf-8"), str(path))
    try:
        return importlib.import_module(entry.machine)
    except ModuleNotFoundError as error:
        raise InvalidModel(f"role {entry.name}: {_why_missing(entry, error.name or '')}") from None


def _why_missing(entry: RoleEntry, name: str) -> str:
    """Why the module of a role cannot be imported for want of one, and the cure."""
    package = entry.machine.partition(".")[0]
    if name == package and package != entry.machine:
        return (
            f"Python finds no package {package}; install your project, or set PYTHONPATH to the"
            f" folder that {package} is in"
        )
    if entry.machine == name or entry.machine.startswith(f"{name}."):
        return f"there is no module {name}; derive it with: keepstep derive"
    return f"{entry.machine} imports {name}, and there is no such module"


def load_source(text: str, origin: str) -> ModuleType:
    """Execute the text of a role's module under a name of its own."""
    name = LOADED + hashlib.sha256(f"{origin}\n{text}".encode()).hexdigest()[:16]
    spec = importlib.util.spec_from_loader(name, loader=None, origin=origin)
    if spec is None:
        raise InvalidModel(f"cannot load {origin}")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name while they are made, and later for annotations.
    sys.modules[name] = module
    try:
        exec(compile(text, origin, "exec"), module.__dict__)  # noqa: S102
    except BaseException:
        del sys.modules[name]
        raise
    return module


def read_spec(project: Project, module: Path) -> Spec:
    """A module of a project and all it needs, as SANY reads it.

    Raises:
        InvalidSpec: It has an error.
        InvalidModel: A module that it needs is missing.
        ToolMissing: Java or SANY is missing.
        ToolFailed: SANY could not be run.
    """
    sany = Sany(find_java().path, find_tlc().jar)
    try:
        return sany.read(module, project.search_path(module, shims=True))
    except InvalidSpec:
        # If it is for want of a module, this says where it was looked for, and the cure.
        project.closure(module, shims=True)
        raise


def constants_of(values: dict[str, Any]) -> dict[str, Any]:
    """The constants of a model as values; an array is a set."""
    return {name: _value(value) for name, value in values.items()}


def _value(value: Any) -> Any:
    return frozenset(map(_value, value)) if isinstance(value, list) else value
