"""Records the run of a suite, so that it can be compared with the specification.

The suite's driver does one thing after the other, so the records of all machines stand in the
order in which things happened. There are no times in them, and nothing of the servers.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from keepstep.conformance.binding import camel_case
from keepstep.conformance.roles import RoleEntry, load_roles
from keepstep.core.machine import RoleMachine
from keepstep.errors import InvalidModel
from keepstep.testing.suites.driven_shell import Delivered
from keepstep.tla.manifest import Model, load_manifest
from keepstep.tla.sources import MANIFEST, Project
from keepstep.validation import recording as records

__all__ = ["RecordedRole", "RunRecorder", "recorded_role"]

_EXACT = 1 << 53
"""Numbers from here on are names: JSON readers may round them, and specifications have none."""
_WRAPPED = 1 << 64


class RecordedRole:
    """The role that a suite drives, as recordings of it begin.

    Args:
        project: The project that the class belongs to.
        entry: Its role.
        model: The model that its runs are compared with.
    """

    def __init__(self, project: Project, entry: RoleEntry, model: Model) -> None:
        self.project, self.entry, self.model = project, entry, model
        self._digests = records.spec_digests(project, model.spec)

    @property
    def name(self) -> str:
        """Name of the role module."""
        return self.entry.name

    def header(self, source: str, seed: int | None = None) -> records.RunHeader:
        """The first line of a recording."""
        return records.RunHeader(
            keepstep=records.FORMAT,
            protocol=Path(self.model.spec).stem,
            spec=self._digests,
            seed=seed,
            source=source,
            role=self.name,
            model=self.model.name,
            constants=dict(self.model.constants),
        )


@lru_cache(maxsize=64)
def recorded_role(machine: type[RoleMachine[Any]]) -> RecordedRole | None:
    """The role of a class, or of the derived class that it is made from.

    Its project is the folder with models/manifest.toml above the class's module, or else the
    current one.

    Returns:
        None if no project has the class, or its manifest names no model for its runs.

    Raises:
        InvalidModel: A manifest is wrong.
    """
    for each in machine.__mro__:
        file = getattr(sys.modules.get(each.__module__), "__file__", None)
        if file is None or not issubclass(each, RoleMachine) or each is RoleMachine:
            continue
        path = Path(file).resolve()
        for root in (*path.parents, Path.cwd()):
            if (root / MANIFEST).is_file():
                found = _role_of(Project(root), each.__module__, path)
                if found is not None:
                    return found
    return None


def _role_of(project: Project, module: str, file: Path) -> RecordedRole | None:
    for entry in load_roles(project):
        if entry.machine == module or (project.root / entry.machine).resolve() == file:
            if not entry.runs:
                return None
            models = {model.name: model for model in load_manifest(project).models}
            if entry.runs not in models:
                raise InvalidModel(f"role {entry.name}: there is no model {entry.runs!r}")
            return RecordedRole(project, entry, models[entry.runs])
    return None


class RunRecorder:
    """Keeps what the machines of one run were told and did.

    Args:
        role: What they are.
        source: Who records, for the reader of the file.
        seed: What repeats the run, if anything does.
        abstracted: For each field whose numbers the specification abstracts: their kind.
    """

    def __init__(
        self,
        role: RecordedRole,
        source: str = "",
        seed: int | None = None,
        abstracted: Mapping[str, str] | None = None,
    ) -> None:
        self._header = role.header(source, seed)
        self._abstracted = dict(abstracted or {})
        self._records: list[records.Record] = []
        self._numbers: dict[str, int] = {}
        self._ended = False

    @property
    def recording(self) -> records.Recording:
        """What was recorded so far."""
        return records.Recording(self._header, tuple(self._records), "the run")

    def start(self, name: str) -> str:
        """A process begins under a name, which an earlier one may have had.

        Returns:
            What the process is called here.
        """
        process, number = name, 1
        while process in self._numbers:
            number += 1
            process = f"{name}/{number}"
        self._add(records.Start(process, self._next(process), name))
        return process

    def deliver(self, process: str, delivered: Delivered, facts: object) -> None:
        """A machine took a step.

        Args:
            process: As `start` calls it.
            delivered: What it was told and did.
            facts: What it remembers since.
        """
        if delivered.told is None:
            return
        self._add(
            records.Input(
                process,
                self._next(process),
                type(delivered.told).__name__,
                _action_name(delivered.action),
                delivered.before,
                delivered.after,
                self._fields(facts),
                self._fields(delivered.told),
                tuple(
                    {"asks": type(each).__name__, **self._fields(each)}
                    for each in delivered.requests
                ),
            )
        )

    def stop(self, process: str) -> None:
        """A process has ended, in whatever way."""
        self._add(records.Stop(process, self._next(process)))

    def end(self) -> None:
        """The run is over; may be called again, and nothing is recorded after it."""
        if not self._ended:
            self._add(records.End(len(self._records)))
            self._ended = True

    def _add(self, record: records.Record) -> None:
        if not self._ended:
            self._records.append(record)

    def _next(self, process: str) -> int:
        number = self._numbers.get(process, 0)
        self._numbers[process] = number + 1
        return number

    def _fields(self, of: object) -> dict[str, Any]:
        if not is_dataclass(of):
            return {}
        return {
            camel_case(item.name): self._written(item.name, getattr(of, item.name))
            for item in fields(of)
        }

    def _written(self, name: str, value: Any) -> Any:
        """A value as it stands in a record."""
        match value:
            case enum.Enum():
                return self._written(name, value.value)
            case None | bool():
                return value
            case int() if name in self._abstracted:
                return f"{self._abstracted[name]}#{value}"
            case int():
                # Some servers' sessions are negative; they are written as the servers write them.
                return f"0x{value % _WRAPPED:x}" if abs(value) >= _EXACT else value
            case str():
                return value
            case frozenset():
                return sorted((self._written(name, each) for each in value), key=repr)
            case tuple() | list():
                return [self._written(name, each) for each in value]
            case Mapping():
                return {str(key): self._written(name, item) for key, item in value.items()}
        return self._fields(value)


def _action_name(action: str) -> str:
    name = camel_case(action)
    return name[:1].upper() + name[1:]
