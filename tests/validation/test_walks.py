"""Behaviours of the specification chosen by lot: none is ever refused, falsified ones alike."""

from __future__ import annotations

import random

import pytest

from keepstep.validation.election_abstraction import BARE, Event, Sight
from keepstep.validation.recording import Input, Outcome, Transaction
from keepstep.validation.validator import Reason, Validator, Verdict

from .election_walks import composition, read_late, scripted, walked
from .tampering import altered_by_lot, edited, renumbered, swapped

pytestmark = pytest.mark.tools

TO_A_LIST = """
S!OpenSession C!Attach S!ServeSync C!Survey S!MissList C!Restore S!ServeParent C!Resurvey
S!ServeList
"""
LEADING = f"""
{TO_A_LIST} C!Join S!ServeCreate C!Rank S!ServeList C!Verify S!ServeInspect C!Claim S!MissRead
C!Found S!ServeFound C!Reread S!ServeRead C!Bid S!ServeRaise C!Lead
"""


@pytest.fixture(scope="module")
def walker(validator):
    """Makes recordings of compositions, each of which is translated once."""
    systems = {}

    def system(count, without=()):
        key = (count, without)
        if key not in systems:
            systems[key] = composition(validator.spec, count, without)
        return systems[key]

    return system


@pytest.fixture(scope="module")
def script(validator, walker):
    """The recording of one contender's steps and those of its environment."""

    def run(labels):
        return scripted(validator.spec, validator.digests, walker(1), labels)

    return run


def by_lot(seed):
    return random.Random(seed)  # noqa: S311 - nothing here is secret


@pytest.mark.parametrize(
    ("count", "without", "length"),
    [(2, (), 140), (2, ("deadline", "parent", "wipe"), 120), (3, ("wipe",), 200)],
)
def test_no_behaviour_of_the_specification_is_ever_refused(
    validator, walker, count, without, length
):
    """One validator sees them all: what it remembers of one must be right for the next."""
    asking = Validator(validator.spec, validator.digests)
    led = 0
    for seed in range(12):
        lot = by_lot(f"{count} {length} {seed}")
        system = walker(count, without)
        recording = walked(validator.spec, validator.digests, system, length, lot)
        for each in (recording, read_late(recording, lot)):
            found = asking.validate(each)
            assert found.verdict is not Verdict.DIVERGES, f"seed {seed}: {found}"
            led += found.verdict is Verdict.VALID
    assert led > 5


def test_foresight_says_the_same_of_what_was_altered_by_lot(validator, walker):
    exact = Validator(validator.spec, validator.digests, exact=True)
    verdicts = set()
    for seed in range(4):
        lot = by_lot(seed)
        recording = walked(validator.spec, validator.digests, walker(2, ("wipe",)), 140, lot)
        for _ in range(3):
            altered = altered_by_lot(recording, lot)
            found, said = validator.validate(altered), exact.validate(altered)
            assert (found.verdict, found.reason, found.first_bad, found.certain) == (
                said.verdict,
                said.reason,
                said.first_bad,
                said.certain,
            )
            # What is reported does not depend on what was validated before.
            assert str(found) == str(said)
            verdicts.add(found.verdict)
    assert Verdict.DIVERGES in verdicts
    assert len(verdicts) > 1


def test_changes_that_lead_to_the_same_data_are_told_apart(validator, script):
    """A ticket may come after the epoch or before it, and the data are the same then."""
    candidates = validator.candidates_for(script(TO_A_LIST))
    drawn = Event(1, 1, BARE, serves="CreateTicket", record=5)
    founded = Event(1, 1, BARE, serves="FoundEpoch", record=5)
    sight = Sight(1)

    def number(event):
        return candidates.event(event, sight, candidates.context(BARE, 0, sight))

    assert number(drawn) != number(founded)
    assert number(drawn) == number(drawn._replace(record=9))


# --- Sessions of which nobody was told ---------------------------------------------------------

UNTOLD = f"""
{TO_A_LIST} S!Disconnect C!Join S!Notice C!Suspend S!Expire S!OpenSession S!ApplyLate
"""


def creates_of_tickets(recording):
    return [
        number
        for number, record in enumerate(recording.records)
        if isinstance(record, Transaction)
        and any(change.do == "create" and change.ephemeral for change in record.changes)
    ]


def test_a_ticket_may_be_drawn_under_a_session_that_nobody_was_told_of(validator, script):
    recording = script(UNTOLD)
    (number,) = creates_of_tickets(recording)
    told = [r.content for r in recording.records if isinstance(r, Input)]
    assert {"session": recording.records[number].session} not in told
    assert validator.validate(recording).reason is Reason.SHORT


def test_but_not_before_that_session_nor_by_somebody_else(validator, script):
    recording = script(UNTOLD)
    (number,) = creates_of_tickets(recording)
    assert recording.records[number - 1].does == "open"
    for forged in (
        swapped(recording, number - 1, number),
        edited(recording, number, session="0xdead"),
    ):
        found = validator.validate(forged)
        assert found.verdict is Verdict.DIVERGES, str(found)
    # Nobody asked for a ticket here.
    unasked = [r for r in recording.records if getattr(r, "action", "") != "Join"]
    found = validator.validate(renumbered(recording, unasked))
    assert found.verdict is Verdict.DIVERGES


def test_somebody_who_is_not_recorded_may_make_the_directory(validator, script):
    recording = script(LEADING)
    number = next(n for n, r in enumerate(recording.records) if getattr(r, "does", "") == "write")
    found = validator.validate(edited(recording, number, session="0xffff"))
    assert found.verdict is Verdict.VALID, str(found)
    assert found.statistics.assumed == 1
    assert validator.validate(recording).statistics.assumed == 0


# --- Commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [False, True])
def test_a_command_is_taken_by_its_own_action_only(validator, script, fresh):
    recording = script(f"{LEADING} C!Write S!ServeWrite C!Proceed Resign")
    asking = Validator(validator.spec, validator.digests) if fresh else validator
    if not fresh:
        assert asking.validate(recording).verdict is Verdict.VALID
    for action, told in (("Write", "ResignOrdered"), ("Resign", "DutyDue")):
        number = next(n for n, r in enumerate(recording.records) if is_step(r, action))
        content = {} if told == "ResignOrdered" else {"duty": "heartbeat"}
        found = asking.validate(edited(recording, number, told=told, content=content))
        assert (found.verdict, found.reason) == (Verdict.DIVERGES, Reason.ACTION), str(found)
    assert asking.validate(recording).verdict is Verdict.VALID


def test_an_input_does_not_do_what_a_command_does(validator, script):
    recording = script(f"{LEADING} S!Disconnect S!Notice Resign")
    assert validator.validate(recording).verdict is Verdict.VALID
    number = next(n for n, r in enumerate(recording.records) if is_step(r, "Resign"))
    found = validator.validate(edited(recording, number, told="Suspended"))
    assert (found.verdict, found.reason) == (Verdict.DIVERGES, Reason.ACTION), str(found)


def is_step(record, action):
    return isinstance(record, Input) and record.action == action


FOLLOWING = """
S!OpenSession C!Attach S!ServeSync C!Survey S!ServeList C!Join S!ServeCreate C!Rank S!ServeList
C!Wait S!ServeAwait
"""


def of(node, labels):
    return " ".join(f"{label}@{node}" for label in labels.split())


def test_a_watch_that_fires_though_its_ticket_stays_is_in_the_log(validator, walker):
    """Somebody has set the data of the ticket: a trace shows it as servers would."""
    labels = f"{of(1, LEADING)} {of(2, FOLLOWING)} S!Touch@2 C!Recheck@2"
    recording = scripted(validator.spec, validator.digests, walker(2), labels)
    assert validator.validate(recording).verdict is Verdict.VALID
    number = next(
        number
        for number, record in enumerate(recording.records)
        if isinstance(record, Transaction) and [c.do for c in record.changes] == ["set"]
    )
    without = [record for at, record in enumerate(recording.records) if at != number]
    found = validator.validate(renumbered(recording, without))
    assert (found.verdict, found.reason) == (Verdict.DIVERGES, Reason.UNTOLD)


def test_the_answer_that_a_watch_is_set_counts(validator, walker):
    """Whoever is told so is not told besides that the ticket was gone already."""
    labels = f"{of(1, LEADING)} {of(2, FOLLOWING)} S!Expire@1 S!Notify@2 C!Recheck@2"
    recording = scripted(validator.spec, validator.digests, walker(2), labels)
    assert validator.validate(recording).verdict is Verdict.VALID
    number = next(n for n, r in enumerate(recording.records) if is_step(r, "Recheck"))
    forged = edited(recording, number, told="TicketGone", action="Rerank")
    assert validator.validate(forged).reason is Reason.UNTOLD
    silent = [record for record in forged.records if not isinstance(record, Outcome)]
    assert len(silent) == len(forged.records) - 1
    assert validator.validate(renumbered(forged, silent)).verdict is Verdict.VALID
