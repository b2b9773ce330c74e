"""Kill mutants: run the layers of conformance against wrong classes, the cheap ones first.

That the text of a mutant differs from what the deriver writes is not counted: it would kill
everything and show nothing about the layers.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from keepstep.checkers.tlc import dump_graph
from keepstep.conformance.binding import Binding, forget_types
from keepstep.conformance.disjointness import find_overlaps
from keepstep.conformance.mutants import Mutant
from keepstep.conformance.player import Cast
from keepstep.conformance.role_table import build_role_table
from keepstep.conformance.roles import LOADED, RoleEntry, load_source, read_spec
from keepstep.conformance.run import Role, Stage, graph_models, prepare_roles, stage
from keepstep.conformance.shape import find_oddities
from keepstep.conformance.system_graph import SystemGraph
from keepstep.errors import InvalidModel
from keepstep.process import Supervisor
from keepstep.tla.sources import Project

__all__ = ["LAYERS", "Arena", "Equivalent", "Killed", "build_arena", "load_equivalents"]

LAYERS = ("construction", "shape", "disjointness", "role table", "system graph")
"""In the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Killed:
    """What became of a mutant.

    Attributes:
        name: Its name.
        what: What was done.
        layer: The layer that killed it, or "".
        reason: How that layer saw it.
    """

    name: str
    what: str
    layer: str
    reason: str


class Equivalent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mutant that changes nothing, and the argument why."""

    mutant: str
    argument: str


def load_equivalents(project: Project, role: RoleEntry) -> dict[str, str]:
    """The arguments for the equivalent mutants of a role, by their names.

    Raises:
        InvalidModel: The list cannot be read, has something else in it or a mutant twice, or an
            entry lacks its argument.
    """
    if not role.equivalent:
        return {}
    path = project.root / role.equivalent
    shown = project.relative(path)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        entries = msgspec.convert(found.pop("equivalent", []), list[Equivalent])
    except FileNotFoundError:
        raise InvalidModel(f"role {role.name}: there is no file {shown}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InvalidModel(f"{shown}: {error}") from None
    if found:
        raise InvalidModel(f"{shown}: unknown key {min(found)!r}; allowed is: equivalent")
    arguments: dict[str, str] = {}
    for entry in entries:
        if len(entry.argument.split()) < 5:
            raise InvalidModel(f"{shown}: {entry.mutant} needs an argument why it changes nothing")
        if entry.mutant in arguments:
            raise InvalidModel(f"{shown}: {entry.mutant} is listed twice")
        arguments[entry.mutant] = " ".join(entry.argument.split())
    return arguments


class Arena:
    """A role with everything that is needed to judge a class for it, computed once.

    Args:
        role: The role, with its table.
        graphs: The staged compositions with TLC's graphs of them.
        others: The casts of the other roles.
    """

    def __init__(
        self, role: Role, graphs: Sequence[tuple[Stage, SystemGraph]], others: dict[str, Cast]
    ) -> None:
        if role.table is None:
            raise InvalidModel(f"role {role.entry.name} has no table")
        self.role, self.graphs, self.others = role, graphs, others
        self.table = role.table

    def judge(self, text: str, origin: str) -> tuple[str, str]:
        """The layer that tells a class from the role, and how; two empty texts if none does."""
        before = set(sys.modules)
        try:
            return self.judge_loaded(lambda: load_source(text, origin))
        finally:
            for name in set(sys.modules) - before:
                if name.startswith(LOADED):
                    del sys.modules[name]
            forget_types()

    def judge_loaded(self, load: Callable[[], ModuleType]) -> tuple[str, str]:
        """As `judge`, of a module that something else loads."""
        try:
            cast = Cast(self.role.form, Binding(load()), self.role.constants)
        except Exception as error:  # noqa: BLE001 - whatever happens, it was noticed
            return "construction", f"{type(error).__name__}: {error}"
        looks = (self._shape, self._overlap, self._table, self._graph)
        for layer, look in zip(LAYERS[1:], looks, strict=True):
            if reason := look(cast):
                return layer, reason
        return "", ""

    def _shape(self, cast: Cast) -> str:
        return next(iter(find_oddities(cast, self.role.spec, self.role.constants)), "")

    def _overlap(self, cast: Cast) -> str:
        overlaps = find_overlaps(cast, self.table, first_only=True)
        return str(overlaps[0]) if overlaps else ""

    def _table(self, cast: Cast) -> str:
        cast.use(self.role.constants)
        difference = self.table.compare(cast, first_only=True).difference
        if difference is None:
            return self.table.find_memory(cast)
        return f"{difference.where}: {difference.given}, not {difference.expected}"

    def _graph(self, cast: Cast) -> str:
        for staged, graph in self.graphs:
            staged.play({**self.others, self.role.entry.name: cast})
            mismatch = graph.compare(first_only=True).mismatch
            if mismatch is not None:
                return mismatch.problem
        return ""

    def kill(self, mutants: Iterable[Mutant]) -> list[Killed]:
        """Judge every mutant."""
        results = []
        for mutant in mutants:
            layer, reason = self.judge(mutant.text, f"mutant {mutant.name}")
            results.append(Killed(mutant.name, mutant.what, layer, reason))
        return results


def build_arena(
    project: Project,
    folder: Path,
    lane: str = "quick",
    *,
    progress: Callable[[str], None] = lambda _: None,
    supervisor: Supervisor | None = None,
) -> list[Arena]:
    """An arena for each role of a project.

    Args:
        project: The project.
        folder: An empty folder for what is generated.
        lane: Whose graphs are used.
        progress: Told what is done at the moment.
        supervisor: Ends TLC when it is told to.

    Raises:
        KeepstepError: Something could not be run, or the input is bad.
    """
    roles = prepare_roles(project)
    for role in roles:
        progress(f"role table of {role.entry.name}: TLC takes each step")
        inner = folder / f"table-{role.entry.name}"
        inner.mkdir()
        role.table = build_role_table(project, role.entry, role.spec, role.form, inner, supervisor)
    graphs: list[tuple[Stage, SystemGraph]] = []
    specs: dict[str, Any] = {}
    for model in graph_models(project, lane):
        progress(f"{model.name}: TLC explores")
        path, _ = dump_graph(project, model, folder, supervisor=supervisor)
        if model.spec not in specs:
            specs[model.spec] = read_spec(project, project.root / model.spec)
        staged = stage(specs[model.spec], model, roles)
        graphs.append((staged, SystemGraph(staged.system, path)))
        path.unlink()
    casts = {role.entry.name: role.cast(project) for role in roles}
    arenas = []
    for role in roles:
        others = {name: cast for name, cast in casts.items() if name != role.entry.name}
        mine = [
            (staged, graph)
            for staged, graph in graphs
            if any(part.entry.name == role.entry.name for part, _, _ in staged.parts)
        ]
        arenas.append(Arena(role, mine, others))
    return arenas
