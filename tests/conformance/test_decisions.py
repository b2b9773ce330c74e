"""The decision diagram gives what direct evaluation gives, and evaluates less."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product

import pytest

from keepstep.conformance.cells import Cells, Items, Observed, Undivided
from keepstep.conformance.decisions import Decisions
from keepstep.tla.operations import apply, put
from keepstep.tla.values import Fn

VARIABLES = ("a", "f", "s")
STATES = [
    (a, Fn(x=x, y=y), frozenset(s))
    for a, x, y, s in product(range(3), range(2), range(2), [(), (1,), (1, 2)])
]


def random_formula(seed: int) -> Callable[[object], list[str]]:
    """A formula that reads cells in an order that depends on what it read."""

    def formula(state: object) -> list[str]:
        luck = random.Random(seed)  # noqa: S311 - the same formula each time
        given = state
        total = 0
        for _ in range(4):
            match luck.choice("afsx"):
                case "a":
                    total += given[0]
                case "f":
                    total += apply(given[1], luck.choice("xy"))
                case "s":
                    total += len(given[2])
                case "x" if total > luck.randrange(4):
                    return [f"{seed}: early {total}"]
        return [f"{seed}: {total}"] if total % 3 else []

    return formula


def test_it_agrees_with_direct_evaluation_in_every_state() -> None:
    formulas = [random_formula(seed) for seed in range(60)]
    cells = Cells(VARIABLES, STATES[0])
    decisions = Decisions(cells, formulas)
    for state in STATES * 2:
        direct = sorted(result for formula in formulas for result in formula(state))
        assert sorted(decisions.results(cells.encode(state))) == direct
    assert decisions.evaluations < len(formulas) * len(STATES)


def test_a_formula_is_evaluated_again_only_where_it_can_differ() -> None:
    cells = Cells(VARIABLES, STATES[0])
    decisions = Decisions(cells, [lambda state: [apply(state[1], "x")]])
    for state in STATES:
        assert decisions.results(cells.encode(state)) == [state[1]["x"]]
    assert decisions.evaluations == 2


def test_sharing_does_not_hide_a_formula_that_reads_something_else() -> None:
    """Negative control: with a diagram that forgot a cell, this would give a wrong result."""
    cells = Cells(VARIABLES, STATES[0])
    decisions = Decisions(
        cells,
        [lambda s: [("short", s[0])], lambda s: [("long", s[0], s[2] if s[0] else frozenset())]],
    )
    for state in STATES:
        expected = {("short", state[0]), ("long", state[0], state[2] if state[0] else frozenset())}
        assert set(decisions.results(cells.encode(state))) == expected


def test_a_changed_item_is_the_only_cell_written() -> None:
    cells = Cells(VARIABLES, STATES[0])
    observed = Observed(cells)
    observed.begin(cells.encode(STATES[0]))
    changed = put(observed[1], ("y",), 1)
    assert observed.reads == {}
    ((cell, number),) = cells.changes(((1, changed),))
    assert cells.name(cell) == "f[y]"
    assert cells.values[cell][number] == 1


def test_a_divided_function_can_be_used_whole() -> None:
    cells = Cells(VARIABLES, STATES[0])
    observed = Observed(cells)
    observed.begin(cells.encode(STATES[0]))
    items = observed[1]
    assert isinstance(items, Items)
    assert items == Fn(x=0, y=0)
    assert hash(items) == hash(Fn(x=0, y=0))
    assert len(observed.reads) == 2


def test_another_domain_is_noticed() -> None:
    cells = Cells(VARIABLES, STATES[0])
    with pytest.raises(Undivided) as caught:
        cells.encode((0, Fn(x=0), frozenset()))
    assert caught.value.variable == "f"
    whole = Cells(VARIABLES, STATES[0], whole=frozenset({"f"}))
    assert whole.encode((0, Fn(x=0), frozenset())) == (0, 0, 0)


def test_truth_and_one_in_different_cells_stay_apart() -> None:
    cells = Cells(("a", "b"), (1, True))
    cells.encode((1, True))
    assert cells.values[0] == [1]
    assert cells.values[1] == [True]
    assert type(cells.values[1][0]) is bool
