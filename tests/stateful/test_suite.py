from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from keepstep.cli.suite import command
from keepstep.shell.contender_shell import ContenderShell
from keepstep.testing.coverage import FAULTS, UNREACHABLE, Coverage, all_transitions
from keepstep.testing.election_suite import replay, run_campaign
from keepstep.testing.election_world import Arena, Step
from keepstep.testing.scenarios import scenarios

pytestmark = pytest.mark.zookeeper


def test_the_scenarios_keep_every_promise_and_see_everything():
    """Every fault hits a leader, and every transition of the shipped class is taken."""
    result = run_campaign(examples=0)
    assert result.failure is None, "\n".join(result.failure.story)
    assert list(result.coverage.gaps()) == []
    assert result.passed
    assert result.coverage.examples == len(scenarios())


def test_a_campaign_that_saw_too_little_is_not_passed():
    coverage = Coverage()
    with Arena() as arena:
        for name in ("killed", "handing over in turn"):
            assert not replay(scenarios()[name], arena, coverage=coverage).broken
    assert coverage.on_leader == {"kill": 1}
    assert coverage.missing_faults() == [kind for kind in FAULTS if kind != "kill"]
    assert not coverage.conclusive
    assert "the fault 'wipe server' never hit a leader in office" in list(coverage.gaps())
    assert any("discard" in gap for gap in coverage.gaps())


def test_every_transition_that_cannot_be_taken_is_one_of_the_class():
    assert set(UNREACHABLE) < all_transitions()


def test_faults_and_steps_on_empty_seats_do_nothing():
    steps = [Step("begin", {"count": 2})]
    steps += [Step(rule, {"who": 3}) for rule in ("cut", "kill", "write", "pause", "expire")]
    with Arena() as arena:
        coverage = Coverage()
        assert not replay(steps, arena, coverage=coverage).broken
    assert not coverage.faults


def test_the_command_tells_what_it_saw():
    result = CliRunner().invoke(command, ["--examples", "0", "--seed", "5", "--json"])
    told = json.loads(result.stdout)
    assert (result.exit_code, told["exit_code"], told["seed"]) == (0, 0, 5)
    assert told["broken"] is None
    assert told["missing"] == []
    assert told["runs"] == len(scenarios())


def test_the_command_shows_a_broken_promise_and_saves_the_run(monkeypatch, tmp_path):
    class NeverTells(ContenderShell):
        """Does not report that a leadership ended."""

        def _revoke(self, reason):
            pass

    monkeypatch.setattr("keepstep.testing.election_suite.run_campaign", _with(NeverTells))
    file = tmp_path / "run.json"
    result = CliRunner().invoke(command, ["--examples", "0", "--save", str(file)])
    assert result.exit_code == 1, result.output
    assert "BROKEN: " in result.output
    assert "keepstep suite --replay" in result.output
    again = CliRunner().invoke(command, ["--replay", str(file)])
    assert (again.exit_code, again.output.splitlines()[-1]) == (0, "passed")


def _with(shell_class):
    def run(**options):
        return run_campaign(**options, shell_class=shell_class)

    return run


def test_the_command_refuses_a_file_that_is_no_run(tmp_path):
    result = CliRunner().invoke(command, ["--replay", str(tmp_path / "nothing.json")])
    assert "no saved run" in str(result.exception)
