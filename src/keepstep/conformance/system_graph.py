"""The graph of a whole system, the roles played by the real classes, against TLC's graph.

TLC has explored the composition and written every state and labelled edge. For each of its
states this module computes the labelled successors, the environment by functions derived from
the specification and the roles by executing the shipped classes, and compares them with the
edges that TLC wrote for it, both ways: nothing missing, nothing extra, the same labels.

Why no second exploration is needed: the initial states of both are compared as sets. If they
are equal, and if in every state that TLC reached both have the same successors, then by
induction over the length of a path every state that the code reaches is one that TLC reached,
and every edge that leaves it was compared. A successor that TLC does not know is a difference
in the state that it leaves, so a difference cannot hide behind itself either.
"""

from __future__ import annotations

import gc
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from keepstep.conformance.binding import Misfit
from keepstep.conformance.cells import Cells, Observed, Undivided
from keepstep.conformance.decisions import Decisions
from keepstep.conformance.player import Misstep
from keepstep.derive.system import Leaf, System
from keepstep.errors import InvalidSpec
from keepstep.tla.dot import Graph, plain_label, printed_order, read_graph
from keepstep.tla.operations import Undefined
from keepstep.tla.values import render

__all__ = ["Change", "Comparison", "Mismatch", "Step", "SystemGraph", "plain"]

_Changes: TypeAlias = tuple[tuple[int, int], ...]
_Result: TypeAlias = tuple[int, _Changes, str]
"""A formula, the cells that it assigns, and what is wrong with it, if anything."""


@dataclass(frozen=True, slots=True)
class Change:
    """A cell with its value before and after a step, as TLA+ writes them."""

    cell: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: its action and what it changes."""

    action: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The nearest place where code and specification differ.

    Attributes:
        path: The steps to it from an initial state.
        problem: What differs there, in one sentence.
        step: The step that only one of them takes, if it is that.
        count: In how many states they differ.
    """

    path: tuple[Step, ...]
    problem: str
    step: Step | None
    count: int

    def __str__(self) -> str:
        count, steps = self.count, len(self.path)
        lines = [f"They differ in {count} of the states; the nearest is after {steps} steps:"]
        width = len(str(len(self.path)))
        for number, step in enumerate(self.path, start=1):
            lines.append(f"  {number:>{width}}. {step.action}")
            lines += _shown(step.changes, width + 6)
        lines.append(f"  {'->':>{width}} {self.problem}")
        if self.step is not None:
            lines += _shown(self.step.changes, width + 6)
        return "\n".join(lines)


def _shown(changes: Sequence[Change], indent: int) -> list[str]:
    width = max((len(change.cell) for change in changes), default=0)
    return [
        f"{'':{indent}}{change.cell:<{width}}  {change.before} -> {change.after}"
        for change in changes
    ]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found and what it cost.

    Attributes:
        states: Distinct states of TLC's graph.
        edges: Its labelled edges.
        fired: Labels of the actions that are taken somewhere, unqualified, without arguments.
        violated: Invariants that are false in some state, though TLC did not say so.
        mismatch: The nearest difference, or None if the graphs are equal.
        evaluations: How often a formula was evaluated.
        seconds: From the dump to the verdict.
    """

    states: int
    edges: int
    fired: frozenset[str]
    violated: tuple[str, ...]
    mismatch: Mismatch | None
    evaluations: int
    seconds: float

    @property
    def equal(self) -> bool:
        """The graphs are equal, and the invariants hold."""
        return self.mismatch is None and not self.violated

    @property
    def rate(self) -> float:
        """Edges compared in a second."""
        return self.edges / self.seconds if self.seconds else 0.0


class SystemGraph:
    """A graph of TLC, read once and compared as often as wanted.

    Args:
        system: The translated composition.
        dump: The file that TLC wrote.

    Raises:
        ToolFailed: The dump is not complete.
        InvalidSpec: The translation and the dump are not of the same specification.
    """

    def __init__(self, system: System, dump: Path) -> None:
        self.system = system
        initial = list(system.initial())
        if not initial:
            raise InvalidSpec("the specification has no initial state")
        whole: frozenset[str] = frozenset()
        started = time.perf_counter()
        order = printed_order(dump)
        if set(order) != set(system.variables):
            raise InvalidSpec("the dump has other variables than the specification")
        while True:
            self.cells = Cells(system.variables, initial[0], order, whole)
            try:
                with _no_collection():
                    self.graph: Graph = read_graph(dump, self.cells.encode_text)
                    self.initial = {self.cells.encode(state) for state in initial}
                break
            except Undivided as found:
                whole |= {found.variable}
        with _no_collection():
            self.index = {state: place for place, state in enumerate(self.graph.states)}
        self._label_numbers: dict[str, int] = {}
        with_arguments = any("(" in label for label in self.graph.labels)
        self.their_labels = [self._label(plain_label(label)) for label in self.graph.labels]
        self.leaf_labels = [
            self._label(plain_label(leaf.full_label if with_arguments else leaf.label))
            for leaf in system.leaves
        ]
        self.reading = time.perf_counter() - started

    def _label(self, text: str) -> int:
        return self._label_numbers.setdefault(text, len(self._label_numbers))

    def compare(self, *, first_only: bool = False) -> Comparison:
        """Compare every state's successors with TLC's edges.

        Args:
            first_only: Stop at the first difference, which need not be the nearest.

        Raises:
            InvalidSpec: The specification asks for something undefined in a reachable state.
        """
        started = time.perf_counter()
        with _no_collection():
            found = _Comparing(self).run(first_only=first_only)
        seconds = self.reading + time.perf_counter() - started
        return Comparison(
            states=len(self.graph.states),
            edges=len(self.graph.edge_targets),
            fired=frozenset(plain_label(self.system.leaves[leaf].label) for leaf in found.fired),
            violated=tuple(sorted(found.violated)),
            mismatch=found.mismatch,
            evaluations=found.decisions.evaluations,
            seconds=seconds,
        )


class _Comparing:
    """One comparison under way."""

    def __init__(self, of: SystemGraph) -> None:
        self.of, self.graph, self.cells = of, of.graph, of.cells
        self.leaves: tuple[Leaf, ...] = of.system.leaves
        self.invariants = tuple(of.system.invariants.items())
        steps = [self.formula(number, leaf) for number, leaf in enumerate(self.leaves)]
        tests = [self.test(number) for number in range(len(self.invariants))]
        self.decisions: Decisions[_Result] = Decisions(self.cells, [*steps, *tests])
        self.fired: set[int] = set()
        self.violated: set[str] = set()
        self.different: list[int] = []
        self.mismatch: Mismatch | None = None

    def formula(self, number: int, leaf: Leaf) -> Callable[[Observed], list[_Result]]:
        def results(state: Observed) -> list[_Result]:
            try:
                return [(number, self.cells.changes(update), "") for update in leaf.run(state)]
            except (Misstep, Misfit) as problem:
                return [(number, (), str(problem))]
            except Undefined as error:
                raise InvalidSpec(
                    f"{leaf.full_label} is not defined where TLC is: {error}"
                ) from error

        return results

    def test(self, number: int) -> Callable[[Observed], list[_Result]]:
        name, predicate = self.invariants[number]

        def results(state: Observed) -> list[_Result]:
            try:
                return [] if predicate(state) else [(-1, (), name)]
            except Undefined as error:
                raise InvalidSpec(f"{name} is not defined where TLC is: {error}") from error

        return results

    def run(self, *, first_only: bool) -> _Comparing:
        if self.of.initial != {self.graph.states[place] for place in self.graph.initial}:
            self.mismatch = Mismatch((), "the initial states differ", None, 1)
            return self
        results = self.decisions.results
        index = self.of.index.get
        ours, theirs = self.of.leaf_labels, self.of.their_labels
        first, labels, targets = (
            self.graph.first_edge, self.graph.edge_labels, self.graph.edge_targets,
        )  # fmt: skip
        size = len(self.graph.states)
        fired = set()
        for place, state in enumerate(self.graph.states):
            mine = set()
            for leaf, changes, problem in results(state):
                if problem:
                    if leaf < 0:
                        self.violated.add(problem)
                    else:
                        mine.add(-1)
                    continue
                fired.add(leaf)
                after = list(state)
                for cell, value in changes:
                    after[cell] = value
                target = index(tuple(after))
                mine.add(-1 if target is None else ours[leaf] * size + target)
            wanted = {
                theirs[labels[edge]] * size + targets[edge]
                for edge in range(first[place], first[place + 1])
            }
            if mine != wanted:
                self.different.append(place)
                if first_only:
                    break
        self.fired = fired
        if self.different:
            self.mismatch = self.nearest()
        return self

    # --- Telling a difference ---

    def nearest(self) -> Mismatch:
        """The difference with the shortest path to it, by TLC's edges."""
        wanted = set(self.different)
        came: dict[int, tuple[int, int]] = {}
        queue = deque(self.graph.initial)
        seen = set(queue)
        found = next((place for place in queue if place in wanted), None)
        while queue and found is None:
            place = queue.popleft()
            for label, target in self.graph.edges(place):
                if target not in seen:
                    seen.add(target)
                    came[target] = (place, label)
                    queue.append(target)
                    if target in wanted:
                        found = target
                        break
        if found is None:  # only TLC could have reached it; tell it without a path
            found = self.different[0]
        path = []
        place = found
        while place in came:
            before, label = came[place]
            path.append(self.step(before, self.of.their_labels[label], self.graph.states[place]))
            place = before
        problem, step = self.difference(found)
        return Mismatch(tuple(reversed(path)), problem, step, len(self.different))

    def difference(self, place: int) -> tuple[str, Step | None]:
        """The first thing that differs in a state."""
        state = self.graph.states[place]
        theirs = {
            (self.of.their_labels[label], self.graph.states[target])
            for label, target in self.graph.edges(place)
        }
        mine: dict[tuple[int, tuple[int, ...]], int] = {}
        for leaf, changes, problem in sorted(self.decisions.results(state), key=str):
            if problem and leaf >= 0:
                return problem, None
            if leaf >= 0:
                after = list(state)
                for cell, value in changes:
                    after[cell] = value
                mine[self.of.leaf_labels[leaf], tuple(after)] = leaf
        for key in sorted(mine.keys() - theirs):
            name = _short(self.leaves[mine[key]].full_label)
            step = Step(name, self.changes(state, key[1]))
            return f"the code can take {name}, the specification cannot:", step
        key = min(theirs - mine.keys())
        name = self.label_text(key[0])
        step = Step(name, self.changes(state, key[1]))
        return f"the specification can take {name}, the code cannot:", step

    def label_text(self, label: int) -> str:
        return next(t for t, number in self.of._label_numbers.items() if number == label)  # noqa: SLF001

    def step(self, place: int, label: int, after: tuple[int, ...]) -> Step:
        """A step that both take, with the arguments that only our side may know."""
        state = self.graph.states[place]
        name = self.label_text(label)
        for leaf, changes, problem in self.decisions.results(state):
            if leaf >= 0 and not problem and self.of.leaf_labels[leaf] == label:
                mine = list(state)
                for cell, value in changes:
                    mine[cell] = value
                if tuple(mine) == after:
                    name = self.leaves[leaf].full_label
                    break
        return Step(_short(name), self.changes(state, after))

    def changes(self, before: Sequence[int], after: Sequence[int]) -> tuple[Change, ...]:
        values = self.cells.values
        return tuple(
            Change(
                self.cells.name(cell),
                plain(render(values[cell][before[cell]])),
                plain(render(values[cell][after[cell]])),
            )
            for cell in range(len(self.cells))
            if before[cell] != after[cell]
        )


def plain(text: str) -> str:
    """A value as a person reads it: a variant as a call, names without their types."""
    text = re.sub(r'"(\w+?)_OF_[A-Z_]+"', r"\1", text)
    text = re.sub(r'\[tag \|-> "(\w+)", value \|-> U\]', r"\1", text)
    return re.sub(r'\[tag \|-> "(\w+)", value \|-> \[(.*?)\]\]', r"\1[\2]", text)


def _short(label: str) -> str:
    """A label without qualification and types: `Attach(n1)`."""
    return plain(label.partition("(")[0].rpartition("!")[2] + _arguments(label))


def _arguments(label: str) -> str:
    _, bracket, rest = label.partition("(")
    return bracket + rest


class _no_collection:  # noqa: N801 - reads as a statement
    """The collector finds no garbage in millions of tuples, and looks again and again."""

    def __enter__(self) -> None:
        self.was = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self.was:
            gc.enable()
