"""The words of core.machine that derived classes use."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from statemachine import Event, State

from keepstep.core.ids import NodeId
from keepstep.core.machine import (
    Cell,
    Input,
    Refused,
    RoleMachine,
    internally,
    only,
    the,
    where,
)
from keepstep.errors import InternalError, LocalViolation


@dataclass(frozen=True)
class Task:
    name: str
    attempt: int


class Hint(Input):
    pass


class Move(Input):
    pass


class Walker(RoleMachine[int]):
    here = State(initial=True)
    there = State()

    hint = Event(internally(here, there, on="note", cond="is_small"))
    move = Event(here.to(there, on="go") | there.to(here, on="go"))

    def is_small(self) -> bool:
        return self.facts < 2

    def note(self) -> None:
        self.model.facts += 1

    def go(self) -> None:
        pass


def test_internally_leaves_each_state_as_it_is_and_keeps_the_guard():
    machine = Walker(Cell(NodeId("n"), 0))
    for told in (Hint(), Move(), Hint()):
        machine.step(told)
    assert (machine.model.state, machine.facts) == ("there", 2)
    with pytest.raises(Refused):
        machine.step(Hint())


def test_the_value_that_must_be_there():
    assert the(0) == 0
    with pytest.raises(InternalError):
        the(None)


def test_the_only_element():
    assert only(x for x in (3, 3)) == 3
    for elements in ((), (1, 2)):
        with pytest.raises(InternalError):
            only(elements)


def test_records_are_found_by_a_field():
    tasks = frozenset({Task("a", 1), Task("a", 2), Task("b", 1)})
    assert set(where(tasks, name="a")) == {Task("a", 1), Task("a", 2)}
    assert set(where(tasks, attempt=1)) == {Task("a", 1), Task("b", 1)}
    assert not where(tasks, name="c")
    assert set(where(tasks - {Task("a", 1)}, name="a")) == {Task("a", 2)}


def test_settings_come_from_the_cell():
    machine = Walker(Cell(NodeId("n"), 0, settings=Task("a", 1)))
    assert machine.settings_of(Task) == Task("a", 1)
    with pytest.raises(LocalViolation, match="Hint"):
        machine.settings_of(Hint)
