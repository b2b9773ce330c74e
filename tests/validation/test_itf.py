"""Recordings become traces in ITF and traces become recordings, and nothing is lost of either."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from keepstep.cli.validate import command
from keepstep.conformance.roles import read_spec
from keepstep.errors import LocalViolation
from keepstep.testing.election.scenarios import scenarios
from keepstep.tla.itf import read_itf
from keepstep.tla.values import Fn
from keepstep.validation.behaviour import find_behaviour
from keepstep.validation.itf_recording import recording_of
from keepstep.validation.recording import Input, spec_digests
from keepstep.validation.validator import Verdict

pytestmark = [pytest.mark.zookeeper, pytest.mark.tools]


@pytest.fixture(scope="module")
def spec(project):
    return read_spec(project, project.root / "spec/election/LeaderElection.tla")


@pytest.mark.parametrize("name", ["wiped", "given up", "parent gone", "deposed"])
def test_a_run_comes_back_from_its_trace(record, validator, spec, project, tmp_path, name):
    recording = record(scenarios()[name])
    candidates = validator.candidates_for(recording)
    behaviour = find_behaviour(candidates, recording)
    behaviour.write_itf(tmp_path / "run.itf.json")
    states = read_itf(tmp_path / "run.itf.json")
    assert states == list(behaviour.states)
    again = recording_of(spec, spec_digests(project), states, "run.itf.json")
    found = validator.validate(again)
    assert found.verdict is Verdict.VALID, str(found)
    assert len(steps_of(again)) >= len(steps_of(recording))
    # The trace of the recording of the trace is a trace of the same steps.
    labels = [step.label for step in behaviour.steps if step.label.startswith("C!")]
    twice = find_behaviour(candidates, again)
    assert sorted(s.label for s in twice.steps if s.label.startswith("C!")) == sorted(labels)


def steps_of(recording):
    return [(r.told, r.action) for r in recording.records if isinstance(r, Input)]


def test_a_trace_that_leaves_a_state_out_is_named(handover, validator, spec, project):
    behaviour = find_behaviour(validator.candidates_for(handover), handover)
    states = [*behaviour.states[:10], *behaviour.states[11:]]
    with pytest.raises(LocalViolation, match="no action leads from state 9 to the next"):
        recording_of(spec, spec_digests(project), states, "a trace")


def test_a_trace_of_something_else_is_named(spec, project):
    with pytest.raises(LocalViolation, match="no trace of the election"):
        recording_of(spec, spec_digests(project), [{"x": 1}], "a trace")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("mode", 5, "no trace of the election"),
        ("mode", Fn({1: "offline"}), "no trace of the election"),
        ("mode", Fn(n1_OF_NODE=()), "does not begin with an initial state"),
        ("sessions", (), "does not begin with an initial state"),
        ("tree", 1, "begins without data"),
    ],
)
def test_a_trace_with_values_that_cannot_be_is_named(
    handover, validator, spec, project, variable, value, said
):
    first, *others = find_behaviour(validator.candidates_for(handover), handover).states
    with pytest.raises(LocalViolation, match=said):
        recording_of(spec, spec_digests(project), [{**first, variable: value}, *others], "a trace")


def test_the_command_takes_a_trace_for_a_recording(handover, validator, project, tmp_path):
    behaviour = find_behaviour(validator.candidates_for(handover), handover)
    trace = tmp_path / "run.itf.json"
    behaviour.write_itf(trace)
    arguments = [str(trace), "--json", "--project", str(project.root)]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["recordings"]
    assert found["verdict"] == Verdict.VALID
    trace.write_text("{}")
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "is no ITF trace" in result.stderr
    trace.write_text('{"vars": ["x"], "states": [{"x": ' + "[" * 20_000 + "]" * 20_000 + "}]}")
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "nested too deeply" in result.stderr
