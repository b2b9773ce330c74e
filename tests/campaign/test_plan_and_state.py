"""What a campaign is to do, what it has seen, and the file that keeps both."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from keepstep.errors import LocalViolation
from keepstep.testing.election import campaign as campaigns
from keepstep.testing.election.campaign import (
    MOST_GROWTH,
    Campaign,
    CampaignState,
    Failed,
    Plan,
    all_faults,
    tour,
)
from keepstep.testing.election.coverage import FAULTS, Coverage, Taken, all_transitions
from keepstep.testing.election.world import Step
from keepstep.validation.validator import Edge, Statistics

SAMPLES = 40


def complete(faults=("cut",)):
    """The state of a campaign that saw everything."""
    state = Campaign.begin(Plan(seconds=10, faults=faults)).state
    for kind in state.coverage.wanted:
        state.coverage.note_fault(kind, on_leader=True)
    state.coverage.proved.update(faults)
    state.coverage.transitions.update(all_transitions())
    for goal in state.goals:
        state.goals.sometimes(True, goal.name)
    state.memory = [(float(second), 50_000_000) for second in range(SAMPLES)]
    return state


def test_a_campaign_that_saw_everything_is_conclusive():
    assert list(complete().gaps()) == []


@pytest.mark.parametrize(
    ("spoil", "gap"),
    [
        (lambda s: s.coverage.on_leader.pop("kill"), "'kill' never hit a leader"),
        (lambda s: s.coverage.proved.clear(), "no server has shown that the fault 'cut'"),
        (lambda s: s.coverage.transitions.popitem(), "was never taken"),
        (lambda s: s.coverage.unhealed.update(["cut"]), "did not recover from 'cut'"),
        (lambda s: s.goals.reached.pop("a write refused"), "'a write refused' never happened"),
        (lambda s: s.troubles.append("ToolFailed: no leader"), "made anew: ToolFailed: no leader"),
        (lambda s: s.left.append("77 sleep"), "a process was left: 77 sleep"),
        (lambda s: setattr(s, "interrupted", True), "it was interrupted"),
        (lambda s: s.memory.clear(), "too short to say anything of memory"),
    ],
)
def test_whatever_is_missing_is_told(spoil, gap):
    state = complete()
    spoil(state)
    assert any(gap in line for line in state.gaps()), list(state.gaps())
    assert not state.conclusive


def grown(begin, end):
    state = complete()
    step = (end - begin) / (SAMPLES // 2)
    state.memory = [
        (float(n), round(begin + max(0, n - SAMPLES // 2) * step)) for n in range(SAMPLES)
    ]
    return state


def test_memory_is_flat_up_to_its_bound():
    # The first half may do what it likes: everything is loaded there.
    state = complete()
    state.memory = [(second, 1 if second < SAMPLES / 2 else size) for second, size in state.memory]
    assert state.conclusive
    assert grown(50_000_000, 50_000_000 + MOST_GROWTH).conclusive
    leaking = grown(50_000_000, 50_000_000 + 2 * MOST_GROWTH)
    assert [gap for gap in leaking.gaps() if gap.startswith("memory grew by")]


def test_the_tour_aims_each_package_at_a_leader():
    found = tour(all_faults())
    packages = [
        step.arguments["package"]
        for steps in found.values()
        for step in steps
        if step == Step("inject", {**step.arguments, "who": "leader"})
    ]
    assert packages == list(all_faults())
    assert Step("move", {"who": "leader"}) in found["move of the leader"]
    assert not tour(())


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (Plan(servers=2), "1, 3 or 5 servers"),
        (Plan(seconds=0), "some seconds"),
        (Plan(seconds=float("nan")), "some seconds"),
        (Plan(faults=("earthquake",)), "no fault 'earthquake'"),
        (Plan(choice="clever"), "no choice 'clever'; there are: guided, weighted, uniform"),
    ],
)
def test_a_plan_that_cannot_be_done_is_refused(plan, complaint):
    with pytest.raises(LocalViolation, match=complaint):
        Campaign.begin(plan)


def test_the_state_is_read_as_it_was_written(tmp_path):
    state = complete()
    state.following, state.seconds = 7, 3.5
    state.compared = Statistics(99, 40, 20, Counter({2: 39, 5: 1}), Counter({1: 40}), 3, 0.25)
    state.failures = [Failed("a promise", "drawn 3", ("one", "two"), "f.json", "f.jsonl")]
    state.edges = Counter({Edge("C!Attach", "offline"): 2})
    state.validated = Counter({"valid": 7})
    state.experience.seen["attach", "offline"] = 4
    state.save(tmp_path / "state.json")
    again = CampaignState.load(tmp_path / "state.json")
    # Memory is of a process, so it does not go on.
    assert again.memory == []
    again.memory = state.memory
    assert again.coverage.to_json() == state.coverage.to_json()
    again.coverage = state.coverage
    assert again.goals.to_json() == state.goals.to_json()
    again.goals = state.goals
    assert again == state
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_coverage_goes_on_where_it_was():
    coverage = Coverage()
    coverage.note_fault("kill", on_leader=True)
    coverage.transitions[Taken("a", "b", "c")] += 3
    coverage.steps = 12
    again = Coverage()
    again.take_up(json.loads(json.dumps(coverage.to_json())))
    assert again.to_json() == coverage.to_json()
    assert again.on_leader == {"kill": 1}
    assert list(again.wanted) == list(FAULTS)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"kind": "campaign"}', '{"kind": "campaign", "keepstep": "0.0"}', "{nothing"],
)
def test_a_file_that_is_no_state_is_refused(tmp_path, text):
    file = tmp_path / "state.json"
    with pytest.raises(LocalViolation, match=r"state\.json"):
        CampaignState.load(file)
    file.write_text(text)
    with pytest.raises(LocalViolation, match=r"state\.json"):
        CampaignState.load(file)


def test_a_state_of_another_version_is_refused(tmp_path):
    state = complete()
    state.save(tmp_path / "state.json")
    told = json.loads((tmp_path / "state.json").read_text()) | {"keepstep": "99.0"}
    (tmp_path / "state.json").write_text(json.dumps(told))
    with pytest.raises(LocalViolation, match=r"of keepstep 99\.0"):
        CampaignState.load(tmp_path / "state.json")


def test_a_campaign_that_is_over_needs_more_seconds():
    state = complete()
    state.seconds = 10.0
    with pytest.raises(LocalViolation, match="give --seconds for more"):
        state.extended(None)
    assert state.extended(20.0).plan.seconds == 20.0


def test_a_state_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "state.json"
    file.write_text("old")
    monkeypatch.setattr("pathlib.Path.replace", _full_disk)
    with pytest.raises(LocalViolation, match="cannot be written"):
        complete().save(file)
    assert file.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


def _full_disk(self, target):
    raise OSError("no space")


def test_faults_that_cannot_be_done_here_are_not_asked_for():
    state = complete(("cut", "kill-leader"))
    state.coverage.on_leader.pop("kill-leader")
    assert not state.conclusive
    state.coverage.leave_out("kill-leader")
    assert state.conclusive
    assert campaigns.unreachable()
