"""Evaluate many formulas in many states, each no more often than it can differ.

What a formula gives depends on the cells that it reads, and it reads few. A `Decisions` is
a diagram that is grown as states come: a node names a cell; its branches are the values that
the cell has had; at the end of a path stands what the formulas give there. Formulas that ask
for the same cell next share a node, so that a state passes a dozen nodes for a hundred
formulas, and a formula is evaluated only where a path ends that no state has gone before.

This is sound whatever order a formula reads in: what it gives is a function of the cells that
it did read, and each of them is on the path before the result is written at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from keepstep.conformance.cells import Cells, Observed

__all__ = ["Decisions"]

R = TypeVar("R")


class _Node(Generic[R]):
    """Formulas that ask for the same cell next."""

    __slots__ = ("branches", "cell", "formulas", "path")

    def __init__(self, cell: int, path: frozenset[int], formulas: list[int]) -> None:
        self.cell = cell
        self.path = path
        self.formulas = formulas
        self.branches: dict[int, tuple[tuple[R, ...], tuple[_Node[R], ...]]] = {}


class Decisions(Generic[R]):
    """What formulas give in a state.

    Args:
        cells: How states are divided.
        formulas: Each gives its results, computed from an observed state.
    """

    def __init__(self, cells: Cells, formulas: Sequence[Callable[[Observed], Sequence[R]]]) -> None:
        self.formulas = formulas
        self.observed = Observed(cells)
        self.evaluations = 0
        self._roots: tuple[_Node[R], ...] | None = None
        self._always: tuple[R, ...] = ()
        self._known: dict[int, tuple[Sequence[R], list[int]]] = {}
        self._at: Sequence[int] | None = None

    def results(self, state: Sequence[int]) -> list[R]:
        """What all formulas give in a state, in no particular order."""
        if self._roots is None:
            self._always, self._roots = self._split(state, range(len(self.formulas)), frozenset())
        found = list(self._always)
        todo = list(self._roots)
        while todo:
            node = todo.pop()
            value = state[node.cell]
            branch = node.branches.get(value)
            if branch is None:
                path = node.path | {node.cell}
                branch = node.branches[value] = self._split(state, node.formulas, path)
            results, deeper = branch
            if results:
                found += results
            if deeper:
                todo += deeper
        return found

    def _split(
        self, state: Sequence[int], formulas: Sequence[int], path: frozenset[int]
    ) -> tuple[tuple[R, ...], tuple[_Node[R], ...]]:
        """What is decided once the cells of a path are known, and what to ask next."""
        results: list[R] = []
        asking: dict[int, list[int]] = {}
        for formula in formulas:
            given, reads = self._evaluate(state, formula)
            cell = next((cell for cell in reads if cell not in path), None)
            if cell is None:
                results += given
            else:
                asking.setdefault(cell, []).append(formula)
        nodes = tuple(_Node[R](cell, path, members) for cell, members in asking.items())
        return tuple(results), nodes

    def _evaluate(self, state: Sequence[int], formula: int) -> tuple[Sequence[R], list[int]]:
        if self._at is not state:
            self._at = state
            self._known = {}
        if formula not in self._known:
            self.evaluations += 1
            self.observed.begin(state)
            given = self.formulas[formula](self.observed)
            self._known[formula] = (given, list(self.observed.reads))
        return self._known[formula]
