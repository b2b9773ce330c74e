"""The role table, disjointness and the shape of a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from keepstep.conformance.disjointness import find_overlaps
from keepstep.conformance.player import Cast
from keepstep.conformance.role_table import RoleTable, build_role_table
from keepstep.conformance.run import Role
from keepstep.conformance.shape import find_oddities
from keepstep.errors import InvalidModel
from keepstep.tla.sources import Project

Make = Callable[[str], Cast]
pytestmark = pytest.mark.tools


def test_the_class_as_it_is_equals_its_table(table: RoleTable, make: Make) -> None:
    cast = make("")
    found = table.compare(cast)
    assert found.difference is None, str(found.difference)
    assert found.configurations == 5940
    assert found.executions == len(table.questions) == 6120
    assert found.refusals == 5328
    assert found.accepted == 792


@pytest.mark.parametrize(
    ("edit", "told", "given"),
    [
        # The first three are where no system graph looks: nothing ever leads there.
        (
            (
                "ranking.from_(waiting, verifying, leaving, => "
                "ranking.from_(waiting, verifying, leaving, joining,"
            ),
            "in state 'joining'",
            "Rerank",
        ),
        (
            (
                'epoch_read = Event(fencing.to(raising, on="bid")) => '
                'epoch_read = Event(fencing.to(raising, on="bid") | leading.to(raising, on="bid"))'
            ),
            "in state 'leading'",
            "Bid (to 'raising'",
        ),
        (
            "if t.number < min => if t.number <= min",
            "told TicketsListed",
            "Wait",
        ),
        ("self.ask(WriteFenced(self.facts.fence)) => pass", "told Write", "outbox NoRequest"),
        (
            (
                "self.ask(WriteFenced(self.facts.fence)) => "
                "self.ask(WriteFenced(self.facts.fence)); self.ask(ListTickets())"
            ),
            "told Write",
            "asks for 2 things at once",
        ),
        (
            'leading.to(leaving, on="resign") => leading.to(leaving, cond="is_first", on="resign")',
            "told Resign",
            "the class raises",
        ),
    ],
)
def test_a_wrong_class_is_told_with_its_configuration(
    table: RoleTable, make: Make, edit: str, told: str, given: str
) -> None:
    for first_only in (False, True):
        difference = table.compare(make(edit), first_only=first_only).difference
        assert difference is not None
        assert told in difference.where
        assert given in difference.given


def test_a_step_depends_on_the_cell_and_the_input_alone(table: RoleTable, make: Make) -> None:
    """The memo rests on this: the same questions in another order, and to a machine of its own."""
    forward, backward, alone = make(""), make(""), make("")
    alone.remember = False
    there = {q: forward.step(q.configuration, q.input(forward)) for q in table.questions}
    back = {q: backward.step(q.configuration, q.input(backward)) for q in reversed(table.questions)}
    assert there == back
    for question in table.questions[::50]:
        fresh = make("")
        assert fresh.step(question.configuration, question.input(fresh)) == there[question]
        assert alone.step(question.configuration, question.input(alone)) == there[question]
        assert alone.step(question.configuration, question.input(alone)) == there[question]


def test_a_step_that_depends_on_more_is_noticed(table: RoleTable, make: Make) -> None:
    """Negative control of the test above: a class that counts."""
    cast = make("self.ask(CreateTicket()) => self.count = getattr(self, 'count', 0) + 1; "
                "self.remember(fence=self.count)")  # fmt: skip
    table.compare(cast)
    assert "answers differently when asked again" in table.find_memory(cast)
    assert table.find_memory(make("")) == ""


def test_what_the_specification_does_not_define_must_not_be_accepted(
    table: RoleTable, make: Make
) -> None:
    question = next(q for q in table.questions if table.expected.get(q) and not q.command)
    stricter = RoleTable(
        table.form,
        {**table.expected, question: frozenset()},
        table.questions,
        frozenset({question}),
        table.quiet_outbox,
        table.configurations,
    )
    difference = stricter.compare(make("")).difference
    assert difference is not None
    assert difference.expected == "has no defined successor"
    assert difference.count == 1


# --- Disjointness ---


def test_no_two_actions_overlap(table: RoleTable, make: Make) -> None:
    assert find_overlaps(make(""), table) == []


def test_overlapping_guards_are_told_with_both_names(table: RoleTable, make: Make) -> None:
    cast = make('"has_ticket and not is_first", on="wait" => "has_ticket", on="wait"')
    (overlap,) = find_overlaps(cast, table)
    assert overlap.actions == ("Wait", "Verify")
    assert "Wait and Verify overlap in state 'ranking' with session = " in str(overlap)
    assert "told TicketsListed(" in str(overlap)


def test_a_guard_that_only_the_order_protects_is_told(table: RoleTable, make: Make) -> None:
    cast = make('"has_ticket and not is_first", on="wait" => "not is_first", on="wait"')
    found = find_overlaps(cast, table)
    assert any("the guard of Wait raises ValueError" in str(overlap) for overlap in found)


# --- Shape ---


def test_the_shape_is_right(role: Role, make: Make) -> None:
    assert find_oddities(make(""), role.spec, role.constants) == []


@pytest.mark.parametrize(
    ("edit", "oddity"),
    [
        (
            (
                "offline = State(initial=True) => offline = State()\n"
                "    start = State(initial=True)\n"
                "    begun = Event(start.to(offline))"
            ),
            "the class starts in start, the specification in offline",
        ),
        (
            "    session: int = 0 =>     session: int = 1",
            "session is first 1 in the class, 0 in the specification",
        ),
        (
            (
                'epoch_moved = Event(raising.to(ranking, on="give_way")) => '
                'epoch_move = Event(raising.to(ranking, on="give_way"))'
            ),
            "no input triggers the event epoch_move of the class",
        ),
        (
            (
                'write_accepted = Event(writing.to(leading, on="proceed")) => '
                'write_accepted = Event(writing.to(leading, on="write"))'
            ),
            "the class never takes the action Proceed",
        ),
    ],
)
def test_an_odd_shape_is_told(role: Role, make: Make, edit: str, oddity: str) -> None:
    assert oddity in find_oddities(make(edit), role.spec, role.constants)


# --- The alphabet ---


@pytest.mark.parametrize(
    ("domains", "message"),
    [
        ({"session": [1]}, "must say which values ticket takes .* ticket = "),
        (None, "names colour, which nothing ranges over"),
    ],
)
def test_an_alphabet_that_does_not_fit(
    study: Project, role: Role, tmp_path: Path, domains: dict[str, list[int]] | None, message: str
) -> None:
    given = domains if domains is not None else {**role.entry.domains, "colour": [1]}
    entry = msgspec.structs.replace(role.entry, domains=given)
    with pytest.raises(InvalidModel, match=message):
        build_role_table(replace(study), entry, role.spec, role.form, tmp_path)
