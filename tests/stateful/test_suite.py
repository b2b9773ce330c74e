from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from keepstep.cli.suite import command, run_leg
from keepstep.shell.contender_shell import ContenderShell
from keepstep.testing.election.coverage import FAULTS, UNREACHABLE, Coverage, all_transitions
from keepstep.testing.election.scenarios import scenarios
from keepstep.testing.election.suite import replay, run_campaign
from keepstep.testing.election.world import Arena, Step

pytestmark = pytest.mark.zookeeper


def test_the_scenarios_keep_every_promise_and_see_everything():
    """Every fault hits a leader, and every transition of the shipped class is taken."""
    result = CliRunner().invoke(command, ["--examples", "0", "--seed", "5", "--json"])
    told = json.loads(result.stdout)
    assert told["broken"] is None, "\n".join(told["broken"]["story"])
    assert told["missing"] == []
    assert (result.exit_code, told["exit_code"], told["seed"]) == (0, 0, 5)
    assert told["runs"] == len(scenarios())
    taken, unreachable = set(told["transitions"]), set(told["unreachable"])
    assert taken | unreachable == set(map(str, all_transitions()))
    assert not taken & unreachable
    assert set(told["faults_on_leader"]) == set(FAULTS)
    # Each scenario ends with a write of its leader.
    assert told["accepted_writes"] >= told["runs"]


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


def test_the_command_says_what_was_not_seen(few_scenarios):
    result = CliRunner().invoke(command, ["--examples", "2", "--seed", "5"])
    assert result.exit_code == 3
    assert "missing: the fault 'wipe server' never hit a leader in office" in result.output
    assert result.output.splitlines()[-1].startswith("INCONCLUSIVE: 4 runs, ")
    leg = run_leg(None, quiet=True)
    assert (leg.verdict, leg.exit_code) == ("INCONCLUSIVE", 3)


@pytest.fixture
def few_scenarios(monkeypatch):
    few = {name: scenarios()[name] for name in ("killed", "expired")}
    monkeypatch.setattr("keepstep.testing.election.suite.scenarios", lambda: few)
    monkeypatch.setattr("keepstep.cli.suite.SHORT_EXAMPLES", 1)


def test_the_command_shows_a_broken_promise_and_saves_the_run(monkeypatch, tmp_path, few_scenarios):
    class NeverTells(ContenderShell):
        """Does not report that a leadership ended."""

        def _revoke(self, reason):
            pass

    monkeypatch.setattr("keepstep.testing.election.suite.run_campaign", _with(NeverTells))
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
