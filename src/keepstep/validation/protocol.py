"""What has to be known of a user's specification before runs can be compared with it.

Which leaves of its composition are steps of the role, that are recorded, and which are the
environment's; how to have as many nodes as a run had; and which variables can be forgotten.

Two kinds of variables are forgotten, so that they do not tell states apart. A *counter* is only
ever increased, and otherwise only asked whether it is below a constant of its own (`faults <
FAULTS`): it bounds a model, and no run. The constant is raised beyond all runs, and then the
counter makes no difference. A variable that is *idle* never decides whether a step is possible,
nor what another variable that is not idle becomes: it is there for the properties only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from keepstep.conformance.player import RoleForm
from keepstep.conformance.roles import constants_of, load_roles, read_spec
from keepstep.conformance.run import Role, behaviour_of, prepare_roles, stage
from keepstep.derive.ast import App, Bind, Expression, Let, Lit, Name, Operator, Spec, walk
from keepstep.derive.system import System
from keepstep.errors import InvalidModel
from keepstep.tla.manifest import Model, load_manifest
from keepstep.tla.sources import Project
from keepstep.tla.values import Fn
from keepstep.validation.recording import spec_digests

__all__ = ["BEYOND", "Protocol", "find_counters", "find_idle", "load_protocol"]

BEYOND = 1_000_000
"""More than any run counts."""

_AND = frozenset({"$ConjList", "\\land", "/\\"})
_OR = frozenset({"$DisjList", "\\lor", "\\/"})
_BELOW = frozenset({"<", "<=", "\\leq"})
_ABOVE = frozenset({">", ">=", "\\geq"})


@dataclass(frozen=True, slots=True)
class Protocol:
    """A user's specification, as runs are compared with it.

    Attributes:
        name: Of the composition's module; recordings call it so.
        role: The role whose steps are recorded.
        names: What the composition calls the role's variables, where it differs.
        model: The model whose constants hold.
        spec: The composition, as SANY reads it.
        digests: SHA-256 of each of its modules, by name.
        actions: For each label of a leaf that is a step of the role: the role's action.
        node_constants: The constants that are the set of nodes.
        node_suffix: How the names of nodes end: `_OF_NODE`.
        counters: For each variable that is forgotten as a counter: its constant.
        idle: The variables that are forgotten because nothing depends on them.
        bounds: Other constants of the model that are numbers, with their values.
    """

    name: str
    role: Role
    names: Mapping[str, str]
    model: Model
    spec: Spec
    digests: Mapping[str, str]
    actions: Mapping[str, str]
    node_constants: tuple[str, ...]
    node_suffix: str
    counters: Mapping[str, str]
    idle: frozenset[str]
    bounds: Mapping[str, int] = field(default_factory=dict)

    @property
    def form(self) -> RoleForm:
        """What the marks of the role module say."""
        return self.role.form

    def here(self, variable: str) -> str:
        """What the composition calls a variable of the role."""
        return self.names.get(variable, variable)

    def nodes(self, count: int) -> tuple[str, ...]:
        """The names of so many nodes in the specification."""
        return tuple(f"n{number}{self.node_suffix}" for number in range(1, count + 1))

    def constants(self, count: int) -> dict[str, Any]:
        """The constants for so many nodes, as the manifest writes them."""
        raised = dict.fromkeys(self.counters.values(), BEYOND)
        nodes = {name: list(self.nodes(count)) for name in self.node_constants}
        return {**self.model.constants, **raised, **nodes}

    def system(self, count: int) -> System:
        """The composition of so many nodes as functions.

        Raises:
            InvalidSpec: Something in it cannot be translated.
        """
        model = msgspec.structs.replace(self.model, constants=self.constants(count), invariants=[])
        return stage(self.spec, model, []).system


@lru_cache(maxsize=8)
def load_protocol(project: Project, role: str) -> Protocol | None:
    """The specification with which runs of a role are compared; read once in a process.

    Args:
        project: The project.
        role: Name of the role module.

    Returns:
        None if the manifest names no model for the runs of this role.

    Raises:
        InvalidModel: The manifest is wrong, or no constant is the set of nodes.
        InvalidSpec: A module has an error, or cannot be translated.
        ToolMissing: Java or SANY is missing.
    """
    entry = next((each for each in load_roles(project) if each.name == role), None)
    if entry is None or not entry.runs:
        return None
    model = next(each for each in load_manifest(project).models if each.name == entry.runs)
    roles = prepare_roles(project)
    spec = read_spec(project, project.root / model.spec)
    staged = stage(spec, model, roles)
    mine = [
        (each, prefix, names) for each, prefix, names in staged.parts if each.entry.name == role
    ]
    if len(mine) != 1:
        raise InvalidModel(
            f"{model.name}: {model.spec} has {len(mine)} instances of {role}, not one"
        )
    ((chosen, prefix, names),) = mine
    _, next_ = behaviour_of(spec, model)
    leaves = dict(_leaf_nodes(spec, spec.named(next_).body, next_))
    wanted = frozenset(prefix + action for action in chosen.form.actions)
    actions = {
        label: name.removeprefix(prefix)
        for label, nodes in leaves.items()
        if (name := _only_action(spec, label, nodes, wanted))
    }
    state = staged.system.number(names.get(chosen.form.state, chosen.form.state))
    modes = next(iter(staged.system.initial()))[state]
    constants, suffix = _nodes_of(model, modes)
    own = {names.get(name, name) for name in chosen.form.own}
    everything = [node for nodes in leaves.values() for node in nodes]
    counters = find_counters(spec, everything, own)
    bounds = {
        name: value
        for name, value in model.constants.items()
        if type(value) is int and name not in counters.values()
    }
    return Protocol(
        spec.root, chosen, names, model, spec, spec_digests(project, model.spec), actions,
        constants, suffix, counters, find_idle(spec, everything, own | counters.keys()), bounds,
    )  # fmt: skip


def _nodes_of(model: Model, modes: Any) -> tuple[tuple[str, ...], str]:
    """The constants that are the set of nodes, and how the names of nodes end."""
    nodes = frozenset(modes) if isinstance(modes, Fn) else frozenset()
    found = tuple(
        name for name, value in constants_of(dict(model.constants)).items() if value == nodes
    )
    if not found or not all(isinstance(node, str) for node in nodes):
        raise InvalidModel(
            f"{model.name}: no constant is the set of nodes of the role, as names; runs can only be"
            ' compared with a model that has one, for example NODES = ["n1_OF_NODE"]'
        )
    _, mark, kind = str(min(nodes)).partition("_OF_")
    return found, mark + kind


# --- Which leaves are steps of the role -----------------------------------------------------


def _leaf_nodes(spec: Spec, node: Expression, label: str) -> Iterator[tuple[str, list[Expression]]]:
    """Each label with the formulas that carry it, found as `derive.system` finds the leaves.

    What depends on the state is followed no further, so that nothing that is read is left out.
    """
    found: dict[str, list[Expression]] = {}

    def reads(nodes: Iterable[Expression | None]) -> bool:
        return any(
            isinstance(part, Name) and part.kind == "variable"
            for node in nodes
            if node is not None
            for part in _all_parts(spec, node)
        )

    def follow(node: Expression, label: str) -> None:
        match node:
            case App(op, args) if op in _OR:
                for arg in args:
                    follow(arg, label)
            case Bind("$BoundedExists", bounds, body) if not reads(b.over for b in bounds):
                follow(body, label)
            case Let(definitions, body) if not any(
                each.params or reads([each.body]) for each in definitions
            ):
                follow(body, label)
            case App(source="defined", uid=uid, args=args) if not reads(args):
                operator = spec.operators[uid]
                if operator.at.module in spec.extended and not operator.instance:
                    follow(operator.body, operator.name)
                else:
                    found.setdefault(operator.name, []).append(operator.body)
                    origins.setdefault(operator.name, []).append(node)
            case _:
                found.setdefault(label, []).append(node)

    origins: dict[str, list[Expression]] = {}
    follow(node, label)
    for name, nodes in found.items():
        yield name, [*origins.get(name, ()), *nodes]


def _only_action(spec: Spec, label: str, nodes: list[Expression], wanted: frozenset[str]) -> str:
    """The role's action that the formulas of a label apply; "" if it is none of the role's.

    Raises:
        InvalidModel: There are several, so that a record does not say which leaf it is.
    """
    names = {
        part.op
        for node in nodes
        for part in _all_parts(spec, node)
        if isinstance(part, App) and part.op in wanted
    }
    if len(names) > 1:
        raise InvalidModel(
            f"{spec.root}: {label} is several actions of the role at once:"
            f" {', '.join(sorted(names))}; give each a definition of its own, so that a recorded"
            " step can be told from the others"
        )
    return next(iter(names), "")


def _all_parts(spec: Spec, node: Expression) -> Iterator[Expression]:
    """A formula and everything below it, definitions included, each of them once."""
    seen: set[str] = set()
    todo = [node]
    while todo:
        for part in walk(todo.pop()):
            yield part
            if isinstance(part, App) and part.source == "defined" and part.uid not in seen:
                seen.add(part.uid)
                todo.append(spec.operators[part.uid].body)


# --- What can be forgotten ------------------------------------------------------------------


def find_counters(spec: Spec, nodes: list[Expression], own: set[str]) -> dict[str, str]:
    """The variables that only bound a model, each with its constant.

    Args:
        spec: The specification.
        nodes: The formulas of all leaves.
        own: Variables that are none, whatever is done with them.
    """
    reading = _Counting(spec)
    for node in nodes:
        reading.formula(node, holds=True)
    limits = reading.limits
    return {
        variable: next(iter(constants))
        for variable, constants in limits.items()
        if len(constants) == 1
        and variable not in own | reading.otherwise
        and reading.constants.get(next(iter(constants))) == {variable}
    }


class _Counting:
    """Sorts the uses of variables into increases, limits, and everything else."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.limits: dict[str, set[str]] = {}
        self.constants: dict[str, set[str]] = {}
        self.otherwise: set[str] = set()
        self._seen: set[tuple[str, bool]] = set()

    def formula(  # noqa: C901 - a case for each operator
        self, node: Expression, *, holds: bool
    ) -> None:
        """Read a formula; `holds` if the step needs it to be true."""
        match node:
            case App(op, args) if op in _AND | _OR:
                for arg in args:
                    self.formula(arg, holds=holds)
            case Bind("$BoundedExists", bounds, body):
                for bound in bounds:
                    if bound.over is not None:
                        self.formula(bound.over, holds=False)
                self.formula(body, holds=holds)
            case Let(definitions, body):
                for definition in definitions:
                    self.formula(definition.body, holds=False)
                self.formula(body, holds=holds)
            case App("$IfThenElse", (condition, yes, no)):
                self.formula(condition, holds=False)
                self.formula(yes, holds=holds)
                self.formula(no, holds=holds)
            case App("UNCHANGED"):
                pass
            case App(op, (Name(variable, "variable"), Name(constant, "constant"))) if (
                holds and op in _BELOW
            ):
                self.limit(variable, constant)
            case App(op, (Name(constant, "constant"), Name(variable, "variable"))) if (
                holds and op in _ABOVE
            ):
                self.limit(variable, constant)
            case App("=", (App("'", (Name(one),)), App("+", (Name(other), Lit(step))))) if (
                one == other and isinstance(step, int) and step > 0
            ):
                pass
            case App(source="defined", uid=uid, args=args):
                for arg in args:
                    self.formula(arg, holds=False)
                if (uid, holds) not in self._seen:
                    self._seen.add((uid, holds))
                    self.formula(self.spec.operators[uid].body, holds=holds)
            case Name(name, "variable"):
                self.otherwise.add(name)
            case Name(name, "constant"):
                self.constants.setdefault(name, set()).add("")
            case App(args=args):
                for arg in args:
                    self.formula(arg, holds=False)
            case Bind(_, bounds, body):
                for bound in bounds:
                    if bound.over is not None:
                        self.formula(bound.over, holds=False)
                self.formula(body, holds=False)

    def limit(self, variable: str, constant: str) -> None:
        """A variable has to be below a constant."""
        self.limits.setdefault(variable, set()).add(constant)
        self.constants.setdefault(constant, set()).add(variable)


def find_idle(spec: Spec, nodes: list[Expression], needed: set[str]) -> frozenset[str]:
    """The variables that neither decide what is possible nor what becomes of a needed one.

    Args:
        spec: The specification.
        nodes: The formulas of all leaves.
        needed: Variables that are needed in any case.
    """
    reading = _Reading(spec)
    for node in nodes:
        reading.formula(node, "")
    kept = set(needed) | reading.into.get("", set())
    while True:
        more = {name for variable in kept for name in reading.into.get(variable, ())} - kept
        if not more:
            break
        kept |= more
    return frozenset(variable.name for variable in spec.variables) - kept


class _Reading:
    """Finds which variables what is read for: "" where it decides whether a step is possible."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.into: dict[str, set[str]] = {}
        self._seen: set[tuple[str, str]] = set()

    def formula(  # noqa: C901 - a case for each operator
        self, node: Expression, into: str
    ) -> None:
        """Read a formula that is needed for the next value of a variable, or for "" a guard."""
        match node:
            case App("=", (App("'", (Name(variable, "variable"),)), value)) if not into:
                self.formula(value, variable)
            case App("UNCHANGED"):
                pass
            case App(source="defined", uid=uid, args=args):
                for arg in args:
                    self.formula(arg, into)
                self.operator(self.spec.operators[uid], into)
            case Name(name, "variable"):
                self.into.setdefault(into, set()).add(name)
            case App(args=args):
                for arg in args:
                    self.formula(arg, into)
            case Bind(_, bounds, body):
                for bound in bounds:
                    if bound.over is not None:
                        self.formula(bound.over, into)
                self.formula(body, into)
            case Let(definitions, body):
                for definition in definitions:
                    self.formula(definition.body, into)
                self.formula(body, into)

    def operator(self, operator: Operator, into: str) -> None:
        """Read what a definition stands for, once for each variable that it is needed for."""
        if (operator.uid, into) not in self._seen:
            self._seen.add((operator.uid, into))
            self.formula(operator.body, into)
