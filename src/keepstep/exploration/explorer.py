"""Runs of a whole system in memory: the shipped classes before the derived environment.

Nothing happens on its own. In a state the explorer knows every labelled step that may come
next, the environment's by functions derived from the specification and the roles' by executing
the classes as they are shipped (or, to tell the two apart, by derived functions as well). A
`Chooser` picks one; after each step the invariants are checked. Where nothing can happen, or a
run is long enough, the next begins at the initial state. The same seed makes the same runs.

States are numbered when they are first reached, and what can happen in one is worked out once,
so that the runs of a campaign get faster as they go. A run that breaks something is a list of
labelled steps, which can be taken again and made shorter.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from keepstep.checkers.tlc import dump_graph
from keepstep.checkers.toolchain import cache_folder
from keepstep.conformance.binding import Misfit
from keepstep.conformance.cells import Cells, Observed, Undivided
from keepstep.conformance.decisions import Decisions
from keepstep.conformance.player import Cast, Misstep
from keepstep.conformance.roles import read_spec
from keepstep.conformance.run import Role, Stage, prepare_roles, stage
from keepstep.conformance.system_graph import SystemGraph, plain
from keepstep.derive.system import Leaf, System
from keepstep.errors import Divergence, InvalidModel, InvalidSpec, LocalViolation
from keepstep.evidence import current_inputs
from keepstep.process import scratch_folder
from keepstep.tla.dot import plain_label
from keepstep.tla.manifest import Model, load_manifest
from keepstep.tla.operations import Undefined
from keepstep.tla.sources import Project
from keepstep.tla.values import render
from keepstep.validation.validator import Edge

__all__ = [
    "Breach",
    "Chooser",
    "Exploration",
    "Explorer",
    "Labelled",
    "Move",
    "Uniform",
    "View",
    "explore",
    "load_explorer",
    "reached_by_tlc",
    "shrink",
    "take",
]


class Move(NamedTuple):
    """A step that may come next.

    Attributes:
        edge: The number of its edge.
        action: The number of its action, arguments included.
        target: The number of the state that it leads to.
    """

    edge: int
    action: int
    target: int


class Labelled(NamedTuple):
    """A step as it can be taken again.

    Attributes:
        label: The action with its arguments: `S!Disconnect("n1_OF_NODE")`.
        pick: Which of its successors, where it has several.
    """

    label: str
    pick: int = 0

    def __str__(self) -> str:
        return plain(self.label) + (f" #{self.pick + 1}" if self.pick else "")


@dataclass(frozen=True, slots=True)
class View:
    """What there is to know about a state.

    Attributes:
        moves: What may come next.
        modes: The mode of each node, by number.
        offers: The actions, by the number of their name, that each node is offered; by number.
        problems: What is wrong here: names of invariants, or what a class did.
    """

    moves: tuple[Move, ...]
    modes: tuple[str, ...]
    offers: tuple[frozenset[int], ...]
    problems: tuple[str, ...]


class Explorer:
    """The states of a composition, numbered as they are reached; 0 is the initial one.

    Args:
        system: The composition; its roles' players are set.
        state: The variable that holds the mode of each node.

    Attributes:
        edges: Every edge that was possible in a state that was looked at.
        nodes: The nodes, in order.
        node_of: The number of the node of each action; -1 of one that is no node's.
        name_of: The number of the name of each action.
        names: The names of actions, without arguments.
        labels: The actions with their arguments.
        foresees: It knows where a move leads before it is taken.

    Raises:
        InvalidSpec: It has several initial states, or none.
    """

    foresees = True
    spends: frozenset[int] = frozenset()

    def __init__(self, system: System, state: str = "mode") -> None:
        self._system = system
        initial = list(system.initial())
        if len(initial) != 1:
            raise InvalidSpec(f"there are {len(initial)} initial states, not one")
        self._initial = initial[0]
        self._leaves: tuple[Leaf, ...] = tuple(
            sorted(system.leaves, key=lambda leaf: leaf.full_label)
        )
        variable = system.number(state)
        self.nodes: tuple[Any, ...] = tuple(sorted(self._initial[variable], key=render))
        self.node_of = [
            next((n for n, node in enumerate(self.nodes) if node in leaf.arguments), -1)
            for leaf in self._leaves
        ]
        self.labels = [leaf.full_label for leaf in self._leaves]
        self.names = sorted({leaf.label for leaf in self._leaves})
        self.name_of = [self.names.index(leaf.label) for leaf in self._leaves]
        self.edges: list[Edge] = []
        self._edge_numbers: dict[tuple[int, str], int] = {}
        self._state = state
        self._begin(frozenset())

    def _begin(self, whole: frozenset[str]) -> None:
        self._cells = Cells(self._system.variables, self._initial, None, whole)
        steps = [self._formula(number, leaf) for number, leaf in enumerate(self._leaves)]
        tests = [self._test(name) for name in self._system.invariants]
        self._decisions: Decisions[tuple[int, tuple[tuple[int, int], ...], str]] = Decisions(
            self._cells, [*steps, *tests]
        )
        first = self._cells.encode(self._initial)
        self._states = [first]
        self._numbers = {first: 0}
        self._views: list[View | None] = [None]
        names = [self._cells.name(cell) for cell in range(len(self._cells))]
        self._mode_cells = [
            names.index(f"{self._state}[{str(node).partition('_OF_')[0]}]") for node in self.nodes
        ]

    def _formula(
        self, number: int, leaf: Leaf
    ) -> Callable[[Observed], list[tuple[int, tuple[tuple[int, int], ...], str]]]:
        def results(state: Observed) -> list[tuple[int, tuple[tuple[int, int], ...], str]]:
            try:
                return [(number, self._cells.changes(update), "") for update in leaf.run(state)]
            except (Misstep, Misfit) as problem:
                return [(-1, (), str(problem))]
            except Undefined as error:
                raise InvalidSpec(f"{leaf.full_label} is not defined here: {error}") from error

        return results

    def _test(
        self, name: str
    ) -> Callable[[Observed], list[tuple[int, tuple[tuple[int, int], ...], str]]]:
        predicate = self._system.invariants[name]

        def results(state: Observed) -> list[tuple[int, tuple[tuple[int, int], ...], str]]:
            return [] if predicate(state) else [(-1, (), name)]

        return results

    def interest(self, name: int) -> float:  # noqa: ARG002
        """Each edge is as good as any other."""
        return 1.0

    @property
    def size(self) -> int:
        """How many states have been reached."""
        return len(self._states)

    def view(self, number: int) -> View:
        """What there is to know about a state.

        Raises:
            InvalidSpec: The specification asks for something undefined there.
        """
        known = self._views[number]
        if known is None:
            known = self._views[number] = self._look(number)
        return known

    def _look(self, number: int) -> View:
        state, values = self._states[number], self._cells.values
        try:
            results = self._decisions.results(state)
        except Undivided as found:  # cannot happen to a state of a specification with types
            raise InvalidSpec(f"the domain of {found.variable} is not fixed") from found
        modes = tuple(values[cell][state[cell]] for cell in self._mode_cells)
        steps, problems = {}, set()
        for action, changes, problem in results:
            if problem:
                problems.add(problem)
            else:
                after = list(state)
                for cell, value in changes:
                    after[cell] = value
                steps[action, tuple(after)] = changes
        by_action: dict[int, list[tuple[int, ...]]] = {}
        for action, reached in steps:
            by_action.setdefault(action, []).append(reached)
        moves = []
        offers: list[set[int]] = [set() for _ in self.nodes]
        for action in sorted(by_action):
            node = self.node_of[action]
            mode = modes[node] if node >= 0 else ""
            edge = self._edge(self.name_of[action], mode)
            if node >= 0:
                offers[node].add(self.name_of[action])
            ways = by_action[action]
            if len(ways) > 1:  # The order must not depend on the order of anything in a set.
                ways = sorted(ways, key=lambda way: self._told(state, way))
            moves += [Move(edge, action, self._number(way)) for way in ways]
        return View(tuple(moves), modes, tuple(map(frozenset, offers)), tuple(sorted(problems)))

    def _told(self, before: Sequence[int], after: Sequence[int]) -> list[tuple[int, str]]:
        values = self._cells.values
        return [
            (cell, render(values[cell][after[cell]]))
            for cell in range(len(self._cells))
            if before[cell] != after[cell]
        ]

    def _edge(self, name: int, mode: str) -> int:
        number = self._edge_numbers.get((name, mode))
        if number is None:
            number = self._edge_numbers[name, mode] = len(self.edges)
            self.edges.append(Edge(self.names[name], mode))
        return number

    def _number(self, state: tuple[int, ...]) -> int:
        number = self._numbers.get(state)
        if number is None:
            number = self._numbers[state] = len(self._states)
            self._states.append(state)
            self._views.append(None)
        return number

    def labelled(self, state: int, move: Move) -> Labelled:
        """A step as it can be taken again in another run."""
        same = [other for other in self.view(state).moves if other.action == move.action]
        return Labelled(self.labels[move.action], same.index(move))

    def find(self, state: int, step: Labelled) -> Move | None:
        """The move that a labelled step is in a state; None if it is not possible there."""
        same = [m for m in self.view(state).moves if self.labels[m.action] == step.label]
        return same[min(step.pick, len(same) - 1)] if same else None

    def changes(self, before: int, after: int) -> list[str]:
        """What a step changed, one line for each cell."""
        told = dict(self._told(self._states[after], self._states[before]))
        return [
            f"{self._cells.name(cell)}: {plain(told[cell])} -> {plain(new)}"
            for cell, new in self._told(self._states[before], self._states[after])
        ]

    def everything(self, most: int = 1_000_000) -> set[Edge]:
        """Every edge that is possible in some reachable state, by looking at all of them.

        Raises:
            LocalViolation: There are more states.
        """
        number = 0
        while number < self.size:
            self.view(number)
            number += 1
            if number > most:
                raise LocalViolation(f"there are more than {most:,} states")
        return set(self.edges)


# --- Choosing -----------------------------------------------------------------------------


class Chooser(Protocol):
    """Picks what happens next. What it goes by is frozen while a run lasts."""

    def begin(self) -> None:
        """A run begins at state 0."""

    def choose(self, state: int, view: View) -> Move | None:
        """One of the moves of a state that has any; None to end the run."""

    def end(self, path: Sequence[tuple[int, Move]]) -> None:
        """The run has ended: what was done, each with the state before it."""


class Uniform:
    """Picks each step that is possible with the same probability.

    Args:
        seed: Repeats the choices.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - nobody must not guess it

    def begin(self) -> None:
        """Nothing is to be prepared."""

    def choose(self, state: int, view: View) -> Move | None:  # noqa: ARG002
        """Any of them."""
        return self._random.choice(view.moves)

    def end(self, path: Sequence[tuple[int, Move]]) -> None:
        """Nothing is learned."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A run that broke something.

    Attributes:
        problem: The invariant that is false at its end, or what a class did.
        steps: The run.
    """

    problem: str
    steps: tuple[Labelled, ...]

    def story(self, explorer: Explorer) -> list[str]:
        """The run step by step, each with what it changed."""
        lines, state = [], 0
        for number, step in enumerate(self.steps, 1):
            move = explorer.find(state, step)
            if move is None:
                raise LocalViolation(f"step {number}, {step}, is not possible here")
            lines.append(f"{number}. {step}")
            lines += [f"     {change}" for change in explorer.changes(state, move.target)]
            state = move.target
        return [*lines, f"-> {self.problem}"]


@dataclass(slots=True)
class Exploration:
    """What a campaign of runs has found.

    Attributes:
        steps: How many steps were taken.
        runs: In how many runs.
        first: After how many steps each edge was first taken.
        breach: The run that broke something; None if none did.
    """

    steps: int = 0
    runs: int = 0
    first: dict[Edge, int] = field(default_factory=dict)
    breach: Breach | None = None

    def steps_until(self, wanted: Iterable[Edge], share: float = 1.0) -> int | None:
        """After how many steps a share of some edges had been taken; None if it was not."""
        wanted = set(wanted)
        times = sorted(self.first[edge] for edge in wanted if edge in self.first)
        enough = -int(-share * len(wanted) // 1)
        if enough == 0:
            return 0
        return times[enough - 1] if len(times) >= enough else None


def explore(
    explorer: Explorer,
    chooser: Chooser,
    *,
    steps: int,
    length: int = 60,
    until: Iterable[Edge] = (),
) -> Exploration:
    """Run a system until something breaks, all wanted edges were taken, or it is enough.

    Args:
        explorer: The system.
        chooser: Picks what happens.
        steps: How many steps to take in all.
        length: How many steps a run has at most.
        until: Stop once all of these were taken, if there are any.

    Raises:
        InvalidSpec: The specification asks for something undefined in a state.
    """
    found = Exploration()
    missing, has_goal = set(until), bool(until)
    seen: set[int] = set()
    while found.steps < steps and found.breach is None and (missing or not has_goal):
        found.runs += 1
        chooser.begin()
        path: list[tuple[int, Move]] = []
        state = 0
        while True:
            view = explorer.view(state)
            if view.problems:
                taken = tuple(explorer.labelled(before, move) for before, move in path)
                found.breach = Breach(view.problems[0], taken)
                break
            if not view.moves or len(path) >= length or found.steps >= steps:
                break
            move = chooser.choose(state, view)
            if move is None:
                break
            found.steps += 1
            path.append((state, move))
            if move.edge not in seen:
                seen.add(move.edge)
                edge = explorer.edges[move.edge]
                found.first[edge] = found.steps
                missing.discard(edge)
            state = move.target
        chooser.end(path)
        if not path:
            break  # Nothing is possible at all.
    return found


# --- Taking a run again, and making it shorter ---------------------------------------------


def take(explorer: Explorer, steps: Iterable[Labelled]) -> tuple[list[Labelled], tuple[str, ...]]:
    """Take labelled steps, leaving out those that are not possible when their turn comes.

    Returns:
        The steps that were taken, up to the first state in which something is wrong, and what
        is wrong there.
    """
    state, taken = 0, []
    for step in steps:
        if explorer.view(state).problems:
            break
        move = explorer.find(state, step)
        if move is not None:
            taken.append(step)
            state = move.target
    return taken, explorer.view(state).problems


def shrink(explorer: Explorer, breach: Breach) -> Breach:
    """Leave out steps as long as the same thing is wrong in the end.

    Raises:
        Divergence: The run does not break this in this system.
    """
    taken, problems = take(explorer, breach.steps)
    if breach.problem not in problems:
        raise Divergence(f"the run does not break {breach.problem} here")
    best = taken
    size = max(1, len(best) // 2)
    while size:
        begin, shorter = 0, False
        while begin < len(best):
            fewer, problems = take(explorer, [*best[:begin], *best[begin + size :]])
            if breach.problem in problems and len(fewer) < len(best):
                best, shorter = fewer, True
            else:
                begin += size
        # With single steps again and again, until nothing can be left out any more.
        size = size // 2 if size > 1 or not shorter else 1
    return Breach(breach.problem, tuple(best))


# --- Loading ------------------------------------------------------------------------------


def _model_named(project: Project, name: str) -> Model:
    models = {model.name: model for model in load_manifest(project).models}
    if name not in models:
        raise InvalidModel(f"{project.relative(project.manifest)} has no model {name!r}")
    return models[name]


def _staged(project: Project, model: Model, player: str) -> tuple[Stage, list[Role]]:
    roles = prepare_roles(project)
    spec = read_spec(project, project.root / model.spec)
    played = stage(spec, model, roles if player == "class" else [])
    if player == "class":
        played.play({role.entry.name: role.cast(project) for role in roles})
    return played, roles


def load_explorer(
    project: Project, name: str, *, player: str = "class", cast: Cast | None = None
) -> Explorer:
    """The explorer of a model of the manifest.

    Args:
        project: The project.
        name: The name of the model, of which constants and invariants are taken.
        player: "class" to play the roles by the shipped classes, "spec" by derived functions.
        cast: Plays in place of the shipped class of its role.

    Raises:
        KeepstepError: Something could not be run, or the input is bad.
    """
    if player not in ("class", "spec"):
        raise LocalViolation(f"roles are played by 'class' or by 'spec', not by {player!r}")
    played, roles = _staged(project, _model_named(project, name), player)
    if cast is not None:
        casts = {role.entry.name: role.cast(project) for role in roles}
        played.play({**casts, cast.form.module: cast})
    states = {role.form.state for role in roles}
    return Explorer(played.system, min(states))


def reached_by_tlc(project: Project, name: str) -> frozenset[Edge]:
    """Every edge that TLC took in a model, from its graph of states.

    TLC 2.18 does not say which node took a step, so each edge of its graph is looked up among
    the steps that the derived functions have for the same label and the same target. The
    result is kept in the user's cache, under the hashes of all that it depends on.

    Raises:
        KeepstepError: TLC could not be run, or its graph is not the one that is derived.
    """
    model = _model_named(project, name)
    inputs = current_inputs(project, load_manifest(project), model)
    file = cache_folder("edges") / f"{name}.json"
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["inputs"] == inputs:
            return frozenset(Edge(str(label), str(mode)) for label, mode in kept["edges"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # There is none yet, or it was cut off: it is made anew.
    played, roles = _staged(project, model, "spec")
    with scratch_folder() as folder:
        dump, _ = dump_graph(project, model, folder)
        graph = SystemGraph(played.system, dump)
    found = _edges_of(graph, min(role.form.state for role in roles))
    document = {"inputs": inputs, "edges": sorted((edge.label, edge.mode) for edge in found)}
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=1), encoding="utf-8")
    fresh.replace(file)
    return found


def _edges_of(graph: SystemGraph, state: str) -> frozenset[Edge]:
    """The edges of TLC's graph, each step with the mode of the node that took it."""
    system, cells = graph.system, graph.cells
    names = [cells.name(cell) for cell in range(len(cells))]
    nodes = sorted(next(iter(system.initial()))[system.number(state)], key=render)
    mode_cell = {n: names.index(f"{state}[{str(n).partition('_OF_')[0]}]") for n in nodes}
    node_of = [next((n for n in nodes if n in leaf.arguments), None) for leaf in system.leaves]

    def formula(number: int, leaf: Leaf) -> Callable[[Observed], list[tuple[int, Any]]]:
        return lambda seen: [(number, cells.changes(update)) for update in leaf.run(seen)]

    decisions = Decisions(cells, [formula(n, leaf) for n, leaf in enumerate(system.leaves)])
    found: set[Edge] = set()
    for place, before in enumerate(graph.graph.states):
        ours: dict[tuple[int, tuple[int, ...]], int] = {}
        for number, changes in decisions.results(before):
            after = list(before)
            for cell, value in changes:
                after[cell] = value
            ours[graph.leaf_labels[number], tuple(after)] = number
        for label, target in graph.graph.edges(place):
            number = ours.get((graph.their_labels[label], graph.graph.states[target]), -1)
            if number < 0:
                name = plain_label(graph.graph.labels[label])
                raise Divergence(f"TLC takes {name} where the derived functions do not")
            node = node_of[number]
            mode = "" if node is None else cells.values[mode_cell[node]][before[mode_cell[node]]]
            found.add(Edge(system.leaves[number].label, str(mode)))
    return frozenset(found)
