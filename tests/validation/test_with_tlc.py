"""TLC agrees: what counts as falsified it refuses as well, and it takes the steps that were found.

TLC searches the whole composition from the specification itself, without the candidates of
`keepstep.validation.candidates` and without the translation into Python.
"""

from __future__ import annotations

import json
import random

import pytest
from click.testing import CliRunner

from keepstep.cli.validate import command
from keepstep.testing.election.scenarios import scenarios
from keepstep.testing.election.world import Step
from keepstep.tla.itf import read_itf
from keepstep.validation.behaviour import find_behaviour
from keepstep.validation.recording import write_recordings
from keepstep.validation.trace_module import confirm_steps, search
from keepstep.validation.validator import Edge, Verdict

from .tampering import TAMPERINGS, altered_by_lot

pytestmark = [pytest.mark.zookeeper, pytest.mark.tools]


@pytest.mark.timeout(600)
def test_tlc_finds_a_behaviour_for_the_run_that_is_falsified(project, validator, handover):
    assert search(project, validator.candidates_for(handover), handover)


SOME = {"dropped_write", "altered_list", "forged_success"}
"""Kinds that the quick lane asks TLC about; each takes about ten seconds."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "tamper",
    [
        tamper if tamper.__name__ in SOME else pytest.param(tamper, marks=pytest.mark.full)
        for tamper in TAMPERINGS
    ],
    ids=lambda tamper: tamper.__name__,
)
def test_tlc_finds_none_for_a_falsified_run(project, validator, handover, tamper):
    assert not search(project, validator.candidates_for(handover), tamper(handover))


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(8))
def test_tlc_says_the_same_of_a_run_that_was_altered_by_lot(project, validator, record, seed):
    lot = random.Random(seed)  # noqa: S311 - nothing here is secret
    trouble = lot.choice(["expire", "give_up", "drop_reply", "cut"])
    steps = [Step("begin", {"count": 1}), Step(trouble, {"who": 0}), Step("run")]
    altered = altered_by_lot(record(steps, finish=False), lot)
    fits = validator.validate(altered).verdict is not Verdict.DIVERGES
    assert search(project, validator.candidates_for(altered), altered) is fits


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["wiped", pytest.param("given up", marks=pytest.mark.full)])
def test_tlc_takes_every_step_of_a_behaviour_that_was_found(project, validator, record, name):
    recording = record(scenarios()[name])
    behaviour = find_behaviour(validator.candidates_for(recording), recording)
    said = confirm_steps(project, recording, behaviour, len(behaviour.steps))
    assert said.asked == tuple(range(len(behaviour.steps)))
    assert said.refused == ()


@pytest.mark.timeout(600)
def test_a_deadline_may_outlive_its_leadership(project, validator, record):
    steps = [
        Step("begin", {"count": 1}),
        Step("resign", {"who": 0}),
        Step("reach", {"who": 0, "state": "leaving"}),
        Step("lapse", {"who": 0}),
        Step("run"),
    ]
    recording = record(steps, finish=False)
    found = validator.validate(recording)
    assert found.verdict is Verdict.VALID, str(found)
    assert found.edges[Edge("C!Overlook", "leaving")] == 1
    behaviour = find_behaviour(validator.candidates_for(recording), recording)
    rung = next(n for n, step in enumerate(behaviour.steps) if step.label.startswith("Ring("))
    assert behaviour.states[rung]["link"]["n1_OF_NODE"] == "up"
    assert confirm_steps(project, recording, behaviour, len(behaviour.steps)).refused == ()
    assert search(project, validator.candidates_for(recording), recording)


def test_tlc_does_not_take_a_step_that_was_falsified(project, validator, handover):
    behaviour = find_behaviour(validator.candidates_for(handover), handover)
    lead = next(n for n, step in enumerate(behaviour.steps) if step.label.startswith("C!Lead"))
    states = list(behaviour.states)
    states[lead + 1] = {**states[lead + 1], "wipes": 1}
    forged = type(behaviour)(behaviour.nodes, tuple(states), behaviour.steps)
    said = confirm_steps(project, handover, forged, len(forged.steps))
    assert lead in said.refused
    assert set(said.refused) <= {lead, lead + 1}


@pytest.mark.timeout(600)
def test_the_command_confirms_and_writes_a_trace(project, validator, handover, tmp_path):
    file, trace = tmp_path / "run.jsonl", tmp_path / "run.itf.json"
    write_recordings(file, [handover])
    arguments = [str(file), "--json", "--confirm", "8", "--itf", str(trace)]
    arguments += ["--project", str(project.root)]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    (told,) = json.loads(result.stdout)["recordings"]
    assert len(told["confirmed_by_tlc"]["asked"]) == 8
    assert told["confirmed_by_tlc"]["refused"] == []
    behaviour = find_behaviour(validator.candidates_for(handover), handover)
    assert read_itf(trace) == list(behaviour.states)
