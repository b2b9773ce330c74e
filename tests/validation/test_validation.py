"""Recordings of real runs: fresh ones fit, falsified ones do not, meagre ones prove too little."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from tests.stateful.seeded_bugs import SEEDED_BUGS
from tests.stateful.test_seeded_bugs import SAVED

from keepstep.testing.election.scenarios import scenarios
from keepstep.testing.election.suite import SavedRun
from keepstep.testing.election.world import Step
from keepstep.validation.election_abstraction import Abstraction
from keepstep.validation.recording import (
    End,
    Input,
    Recording,
    Transaction,
    read_recordings,
)
from keepstep.validation.validator import (
    FEWEST_STEPS,
    Edge,
    Foresight,
    Reason,
    Validator,
    Verdict,
    _Bad,
    _Run,
)

from .tampering import TAMPERINGS, renumbered

pytestmark = [pytest.mark.zookeeper, pytest.mark.tools]

SCENARIOS = ["killed", "deposed", "given up", "parent gone", "wiped", "restarted", "lapsing"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fresh_run_is_a_behaviour_of_the_specification(record, validator, name):
    found = validator.validate(record(scenarios()[name]))
    assert found.verdict is Verdict.VALID, str(found)
    assert found.statistics.steps > FEWEST_STEPS
    assert found.statistics.largest >= 1
    assert found.shortest_prefix is None


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_a_falsified_run_is_refused_for_its_reason(handover, validator, tamper):
    found = validator.validate(tamper(handover))
    assert found.verdict is Verdict.DIVERGES
    assert found.reason is TAMPERINGS[tamper], str(found)


def test_the_run_that_is_falsified_is_valid_itself(handover, validator):
    assert len(TAMPERINGS) >= 12
    found = validator.validate(handover)
    assert found.verdict is Verdict.VALID, str(found)
    assert found.edges[Edge("C!Lead", "raising")] == 2
    assert found.statistics.assumed == 0


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_the_prefix_fails_and_none_that_is_shorter(handover, validator, tamper):
    found = validator.validate(tamper(handover))
    prefix = found.shortest_prefix
    assert validator.validate(prefix).verdict is Verdict.DIVERGES
    shorter = prefix.prefix(len(prefix.records) - 1)
    assert validator.validate(shorter).reason is Reason.TRUNCATED


def test_a_report_says_what_was_recorded_and_what_would_have_been_possible(handover, validator):
    tamper = next(t for t in TAMPERINGS if t.__name__ == "altered_action")
    found = validator.validate(tamper(handover))
    lines = str(found).splitlines()
    assert lines[0] == f"{found.place}: {Reason.ACTION}"
    assert '"action":"Verify"' in lines[1]
    told = "\n".join(lines)
    assert "Wait (Somebody is ahead: watch the nearest of them only" in told
    assert "was in one of" in told
    assert 'mode = "ranking"' in told
    assert found.explanation.states


@pytest.mark.parametrize("name", ["deposed", "given up", "wiped"])
def test_foresight_changes_no_verdict(record, validator, name):
    recording = record(scenarios()[name])
    exact = Validator(validator.spec, validator.digests, exact=True).validate(recording)
    foreseen = validator.validate(recording)
    assert exact.verdict is foreseen.verdict is Verdict.VALID
    assert exact.edges == foreseen.edges
    assert exact.statistics.mean > foreseen.statistics.mean >= 1


# --- Too little -------------------------------------------------------------------------------


def cut(recording):
    return recording.prefix(len(recording.records) - 1)


def miscounted(recording):
    return Recording(recording.header, (*recording.records[:-1], End(3)))


def without_steps(recording):
    """All but the first steps; what is in the log before a step was asked for before it."""
    steps = [n for n, record in enumerate(recording.records) if isinstance(record, Input)]
    return renumbered(recording, recording.records[: steps[3] + 1] + recording.records[-1:])


@pytest.mark.parametrize(
    ("reduce", "reason"),
    [
        (lambda recording: recording.prefix(0), Reason.EMPTY),
        (cut, Reason.TRUNCATED),
        (miscounted, Reason.MISCOUNTED),
        (without_steps, Reason.SHORT),
    ],
)
def test_a_recording_that_proves_too_little_is_under_covered(handover, validator, reduce, reason):
    found = validator.validate(reduce(handover))
    assert found.verdict is Verdict.UNDER_COVERED
    assert found.reason is reason


def test_a_run_without_a_leader_is_under_covered(record, validator):
    steps = [Step("start")]
    for _ in range(3):
        steps += [
            Step("reach", {"who": 0, "state": "fencing"}),
            Step("cut", {"who": 0}),
            Step("deliver", {"who": 0, "lane": "state"}),
        ]
    found = validator.validate(record(steps, finish=False))
    assert (found.verdict, found.reason) == (Verdict.UNDER_COVERED, Reason.LEADERLESS), str(found)


# --- Faulty shells ----------------------------------------------------------------------------

SEEN = {
    "owner-by-name": Reason.CONTENT,
    "unknown-create-not-created": Reason.CONTENT,
    "unfenced-write": Reason.UNSAFE,
}
"""The mistakes that show in what is recorded. The others end a run, or only keep it from ending."""


@pytest.mark.parametrize("name", SEEN)
def test_the_run_of_a_faulty_shell_diverges(record, validator, name):
    saved = SavedRun.load(SAVED / f"{name}.json")
    recording = record(saved.steps, shell_class=SEEDED_BUGS[name])
    found = validator.validate(recording)
    assert (found.verdict, found.reason) == (Verdict.DIVERGES, SEEN[name]), str(found)


# --- Speed ------------------------------------------------------------------------------------


def test_what_was_worked_out_once_is_remembered(handover, validator):
    validator.validate(handover)
    candidates = validator.candidates_for(handover)
    before = candidates.remembered
    validator.validate(handover)
    assert candidates.remembered == before


def test_records_hold_no_clocks_and_no_data_of_users(handover):
    kinds = Counter(type(record).__name__ for record in handover.records)
    assert kinds["Input"] > FEWEST_STEPS
    assert kinds["Transaction"] > 5
    written = [r for r in handover.records if isinstance(r, Transaction | Input)]
    assert "time" not in json.dumps([list(r.__struct_fields__) for r in written])


def test_foresight_takes_nothing_away_that_comes_to_the_end(record, validator):
    for name in ("deposed", "given up", "wiped"):
        recording = record(scenarios()[name])
        abstraction = Abstraction(recording)
        full = dict.fromkeys(abstraction.processes, Foresight.FULL)
        run = _Run(validator.candidates_for(recording), recording, abstraction, full)
        run.walk()
        assert run.statistics.steps


BEHIND = Path(__file__).parent / "recordings/a-follower-behind.jsonl"
"""Of three real servers, with a contender that was shown a list without its own ticket."""


def test_a_list_that_is_out_of_date_takes_a_second_look(validator):
    (recorded,) = read_recordings(BEHIND)
    header = msgspec.structs.replace(recorded.header, spec=dict(validator.digests))
    recording = dataclasses.replace(recorded, header=header)
    assert validator.validate(recording).verdict is Verdict.VALID
    candidates, abstraction = validator.candidates_for(recording), Abstraction(recording)
    foresight = dict.fromkeys(abstraction.processes, Foresight.LUCKY)
    with pytest.raises(_Bad) as raised:
        _Run(candidates, recording, abstraction, foresight).walk()
    foresight[raised.value.process] = Foresight.STALE
    _Run(candidates, recording, abstraction, foresight).walk()
    alone = msgspec.structs.replace(header, servers=1)
    assert validator.validate(dataclasses.replace(recording, header=alone)).verdict is (
        Verdict.DIVERGES
    )
