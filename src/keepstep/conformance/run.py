"""Compare every role of a project with its specification, in every way there is."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keepstep.checkers.tlc import dump_graph
from keepstep.conformance.binding import Binding
from keepstep.conformance.disjointness import Overlap, find_overlaps
from keepstep.conformance.player import Cast, RoleForm, read_form
from keepstep.conformance.role_table import RoleTable, TableResult, build_role_table
from keepstep.conformance.roles import (
    RoleEntry,
    constants_of,
    load_machine,
    load_roles,
    read_spec,
)
from keepstep.conformance.shape import find_oddities, first_value
from keepstep.conformance.system_graph import Comparison, SystemGraph
from keepstep.derive.ast import App, Bind, Expression, Let, Name, Spec, conjuncts, walk
from keepstep.derive.system import Played, System, translate
from keepstep.errors import InvalidModel, KeepstepError
from keepstep.process import Supervisor, scratch_folder
from keepstep.tla.dot import plain_label
from keepstep.tla.manifest import Model, load_manifest
from keepstep.tla.sources import Project, declared_constants

__all__ = [
    "ConformReport",
    "ModelResult",
    "Role",
    "RoleResult",
    "behaviour_of",
    "conform",
    "graph_models",
    "peak_memory_mb",
    "prepare_roles",
    "stage",
]

Progress = Callable[[str], None]


@dataclass(slots=True)
class Role:
    """A role, its specification and its class.

    Attributes:
        entry: Its entry in the manifest.
        spec: Its module, as SANY reads it.
        form: What the marks of the module say.
        constants: The constants of its role table.
        quiet: The value of an inbox that holds nothing.
        table: Its role table, once it is built.
    """

    entry: RoleEntry
    spec: Spec
    form: RoleForm
    constants: dict[str, Any]
    quiet: Any
    table: RoleTable | None = None

    def cast(self, project: Project, *, remember: bool = True) -> Cast:
        """The shipped class, ready to play.

        Raises:
            InvalidModel: It cannot be imported.
        """
        binding = Binding(load_machine(project, self.entry))
        return Cast(self.form, binding, self.constants, remember=remember)


@dataclass(frozen=True, slots=True)
class RoleResult:
    """What was found out about a role on its own."""

    name: str
    oddities: tuple[str, ...]
    overlaps: tuple[Overlap, ...]
    table: TableResult
    seconds: float

    @property
    def equal(self) -> bool:
        """Nothing differs."""
        return not self.oddities and not self.overlaps and self.table.equal


@dataclass(frozen=True, slots=True)
class ModelResult:
    """What was found out about a composition.

    Attributes:
        name: Of the model.
        lane: Its lane.
        comparison: Of the graphs.
        executions: Distinct steps of the real classes.
        refusals: Those that they refused.
        tlc_seconds: How long TLC took.
        problem: What else is wrong, or "".
    """

    name: str
    lane: str
    comparison: Comparison
    executions: int
    refusals: int
    tlc_seconds: float
    problem: str

    @property
    def equal(self) -> bool:
        """Nothing differs."""
        return self.comparison.equal and not self.problem


@dataclass(frozen=True, slots=True)
class ConformReport:
    """Everything that was found out.

    Attributes:
        roles: One result a role.
        models: One result a model.
        never: Actions of a composition that no graph of the quick lane takes, by specification.
        left_out: The models whose graphs were not compared because guards overlap.
        seconds: How long all took.
        memory_mb: The most memory that this process ever had.
    """

    roles: tuple[RoleResult, ...]
    models: tuple[ModelResult, ...]
    never: dict[str, tuple[str, ...]]
    left_out: tuple[str, ...]
    seconds: float
    memory_mb: int

    @property
    def equal(self) -> bool:
        """The classes are what the specification says, and every action was seen."""
        return (
            all(role.equal for role in self.roles)
            and all(model.equal for model in self.models)
            and not any(self.never.values())
        )


def peak_memory_mb() -> int:
    """The most memory that this process ever had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)


def prepare_roles(project: Project) -> list[Role]:
    """The roles of a project, read.

    Raises:
        InvalidModel: The project has none, or an entry is wrong.
        InvalidSpec: A module has an error, or lacks a mark.
        ToolMissing: SANY or Java is missing.
    """
    entries = load_roles(project)
    if not entries:
        raise InvalidModel(
            f"{project.relative(project.manifest)} has no [[role]], so there is nothing to compare"
        )
    roles = []
    for entry in entries:
        _require_constants(project, entry)
        spec = read_spec(project, project.root / entry.spec)
        form, constants = read_form(spec), constants_of(entry.constants)
        quiet = first_value(spec, form.inbox, constants)
        roles.append(Role(entry, spec, form, constants, quiet))
    return roles


def _require_constants(project: Project, entry: RoleEntry) -> None:
    text = (project.root / entry.spec).read_text(encoding="utf-8")
    missing = [name for name in declared_constants(text) if name not in entry.constants]
    if missing:
        raise InvalidModel(
            f"{project.relative(project.manifest)}: role {entry.spec!r}: key 'constants': gives no"
            f' value to {", ".join(missing)}; write constants = {{ NODES = ["n1_OF_NODE"], ... }}'
        )


def graph_models(project: Project, lane: str) -> list[Model]:
    """The models of a lane whose graphs are compared.

    Raises:
        InvalidModel: There is none, or the manifest is wrong.
    """
    models = [m for m in load_manifest(project).pick([], lane) if m.mode == "graph"]
    if not models:
        raise InvalidModel(
            f"{project.relative(project.manifest)} has no model of mode = 'graph' in this lane"
        )
    return models


# --- Staging a composition ----------------------------------------------------------------


@dataclass(slots=True)
class Stage:
    """A composition whose roles can be played.

    Attributes:
        system: Its translation.
        constants: The values of its constants.
        parts: For each instance of a role: the role, its prefix, its variables' names here.
    """

    system: System
    constants: dict[str, Any]
    parts: list[tuple[Role, str, dict[str, str]]] = field(default_factory=list)

    def play(self, casts: dict[str, Cast]) -> None:
        """Let casts, by the names of their role modules, play all roles."""
        for cast in casts.values():
            cast.use(self.constants)
        self.system.players = {
            prefix: casts[role.entry.name].join(self.system, role.quiet, names)
            for role, prefix, names in self.parts
        }


def stage(spec: Spec, model: Model, roles: Sequence[Role]) -> Stage:
    """Translate a composition so that its roles can be played.

    Args:
        spec: The composition, as SANY reads it.
        model: The model of it.
        roles: All roles of the project; those that it has no instance of are not played.

    Raises:
        InvalidSpec: Something in it cannot be translated.
    """
    parts: list[tuple[Role, str, dict[str, str]]] = []
    played = []
    for role in roles:
        prefixes = sorted(
            {
                operator.instance
                for operator in spec.operators.values()
                if operator.at.module == role.entry.name and operator.instance
            }
        )
        for prefix in prefixes:
            names = _names_here(role, spec, prefix)
            parts.append((role, prefix, names))
            writes = frozenset(names.get(name, name) for name in role.form.own)
            played.append(Played(prefix, frozenset(role.form.actions), writes))
    init, next_ = behaviour_of(spec, model)
    system = translate(
        spec,
        constants_of(model.constants),
        init=init,
        next_=next_,
        invariants=model.invariants,
        played=played,
    )
    return Stage(system, constants_of(model.constants), parts)


def behaviour_of(spec: Spec, model: Model) -> tuple[str, str]:
    """The names of the initial predicate and the next-state action of a model."""
    if not model.specification:
        return model.init, model.next
    init = next_ = ""
    todo = [App(model.specification, (), "defined", model.specification)]
    while todo:
        operator = spec.named(todo.pop().op)
        for part in conjuncts(operator.body):
            match part:
                case App("[]", (App("$SquareAct", (App(op, (), "defined"), _)),)):
                    next_ = op
                case App(op, (), "defined") if _is_temporal(spec, part):
                    todo.append(part)
                case App(op, (), "defined") if not init:
                    init = op
    if not init or not next_:
        raise InvalidModel(
            f"{model.name}: {model.specification} must have the form Init /\\ [][Next]_vars"
        )
    return init, next_


def _is_temporal(spec: Spec, node: Expression) -> bool:
    return any(
        isinstance(part, App)
        and (
            part.op in ("[]", "<>", "$WF", "$SF", "$SquareAct")
            or (part.source == "defined" and _is_temporal(spec, spec.operators[part.uid].body))
        )
        for part in walk(node)
    )


def _names_here(role: Role, spec: Spec, prefix: str) -> dict[str, str]:
    """What a composition calls the variables of a role."""
    found: dict[str, str] = {}
    for action in role.form.actions:
        if prefix + action in spec.operators:
            _match(role.spec.named(action).body, spec.named(prefix + action).body, found)
    return found


def _match(own: Expression, here: Expression, found: dict[str, str]) -> None:
    """Walk two trees that differ by a substitution of variables only."""
    match own, here:
        case Name(name, "variable"), Name(other, "variable"):
            found[name] = other
        case App(args=args), App(args=others) if len(args) == len(others):
            for one, other_arg in zip(args, others, strict=True):
                _match(one, other_arg, found)
        case Bind(bounds=bounds, body=body), Bind(bounds=other_bounds, body=other_body):
            for bound, other_bound in zip(bounds, other_bounds, strict=True):
                if bound.over is not None and other_bound.over is not None:
                    _match(bound.over, other_bound.over, found)
            _match(body, other_body, found)
        case Let(body=body), Let(body=other_body):
            _match(body, other_body, found)


# --- Running ------------------------------------------------------------------------------


def conform(
    project: Project, lane: str = "quick", *, progress: Progress = lambda _text: None
) -> ConformReport:
    """Compare the classes of a project with its specification.

    Args:
        project: Where the specification and the manifest are.
        lane: "quick", or "full" for all models of mode = "graph".
        progress: Told what is done at the moment.

    Raises:
        KeepstepError: Something could not be run, or the input is bad.
    """
    began = time.perf_counter()
    supervisor = Supervisor()
    roles = prepare_roles(project)
    models = graph_models(project, lane)
    casts = {role.entry.name: role.cast(project) for role in roles}
    with scratch_folder() as folder, _one_thread(supervisor) as pool:
        # TLC writes the next graph while this thread compares the one before.
        tables = [pool.submit(_table, project, role, folder, supervisor) for role in roles]
        dumps = [pool.submit(_dump, project, model, folder, supervisor) for model in models]
        results = []
        for role, table in zip(roles, tables, strict=True):
            progress(f"role table of {role.entry.name}: TLC takes each step")
            role.table = table.result()
            progress(f"role table of {role.entry.name}: the class takes each step")
            results.append(_compare_role(project, role))
        specs: dict[str, Spec] = {}
        compared = []
        seen: dict[str, set[str]] = {}
        wanted: dict[str, set[str]] = {}
        # Of two actions that one input enables the library takes the first, and no graph shows
        # more about that; TLC may need minutes for the first one.
        left_out = tuple(model.name for model in models) if _any_overlap(results) else ()
        if left_out:
            supervisor.end_all()
            models, dumps = [], []
        for model, dump in zip(models, dumps, strict=True):
            progress(f"{model.name}: TLC explores")
            try:
                path, distinct, seconds = dump.result()
            except KeepstepError:
                # A role that differs is the better news: it is often why there is no graph.
                if all(result.equal for result in results):
                    raise
                break
            progress(f"{model.name}: comparing {distinct:,} states")
            if model.spec not in specs:
                specs[model.spec] = read_spec(project, project.root / model.spec)
            staged = stage(specs[model.spec], model, roles)
            compared.append(_compare_model(model, staged, casts, path, distinct, seconds))
            path.unlink()
            if model.lane == "quick":
                wanted.setdefault(model.spec, set()).update(_actions_of(staged))
                seen.setdefault(model.spec, set()).update(compared[-1].comparison.fired)
    never = {spec: tuple(sorted(names - seen[spec])) for spec, names in wanted.items()}
    return ConformReport(
        tuple(results),
        tuple(compared),
        never,
        left_out,
        time.perf_counter() - began,
        peak_memory_mb(),
    )


def _any_overlap(results: Sequence[RoleResult]) -> bool:
    return any(result.overlaps for result in results)


class _one_thread:  # noqa: N801 - reads as a statement
    """One thread for the tools, which end when the block is left early."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tlc")

    def __enter__(self) -> ThreadPoolExecutor:
        return self.pool

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.supervisor.end_all()
        self.pool.shutdown(wait=True, cancel_futures=True)


def _table(project: Project, role: Role, folder: Path, supervisor: Supervisor) -> RoleTable:
    inner = folder / f"table-{role.entry.name}"
    inner.mkdir()
    return build_role_table(project, role.entry, role.spec, role.form, inner, supervisor)


def _dump(
    project: Project, model: Model, folder: Path, supervisor: Supervisor
) -> tuple[Path, int, float]:
    path, outcome = dump_graph(project, model, folder, supervisor=supervisor)
    return path, outcome.distinct_states or 0, outcome.seconds


def _compare_role(project: Project, role: Role) -> RoleResult:
    began = time.perf_counter()
    cast = role.cast(project)
    if role.table is None:
        raise InvalidModel(f"role {role.entry.name} has no table")
    oddities = find_oddities(cast, role.spec, role.constants)
    table = role.table.compare(cast)
    if memory := role.table.find_memory(cast):
        oddities.append(memory)
    overlaps = find_overlaps(cast, role.table)
    return RoleResult(
        role.entry.name,
        tuple(oddities),
        tuple(overlaps),
        table,
        time.perf_counter() - began,
    )


def _compare_model(
    model: Model, staged: Stage, casts: dict[str, Cast], path: Path, distinct: int, seconds: float
) -> ModelResult:
    before = _total(casts)
    staged.play(casts)
    comparison = SystemGraph(staged.system, path).compare()
    problem = ""
    if distinct != comparison.states:
        problem = f"TLC counts {distinct:,} states, its graph has {comparison.states:,}"
    elif model.distinct_states not in (None, comparison.states):
        problem = f"the manifest expects {model.distinct_states:,} states"
    after = _total(casts)
    return ModelResult(
        model.name,
        model.lane,
        comparison,
        after[0] - before[0],
        after[1] - before[1],
        seconds,
        problem,
    )


def _total(casts: dict[str, Cast]) -> tuple[int, int]:
    return (
        sum(cast.executions for cast in casts.values()),
        sum(cast.refusals for cast in casts.values()),
    )


def _actions_of(staged: Stage) -> Iterator[str]:
    """Every action that should be seen: those that Next lists, and those of the roles."""
    for leaf in staged.system.leaves:
        yield plain_label(leaf.label)
    for role, _, _ in staged.parts:
        yield from role.form.actions
