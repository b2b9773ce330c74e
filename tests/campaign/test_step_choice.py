"""What is drawn follows from the seed and from what was seen, and heads for what was not."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from keepstep.errors import LocalViolation
from keepstep.testing.election.campaign import all_faults
from keepstep.testing.election.coverage import FAULTS, UNREACHABLE, Taken, all_transitions
from keepstep.testing.election.recorder import ElectionRecorder
from keepstep.testing.election.simulated import SimulatedArena
from keepstep.testing.election.step_choice import Choice, Experience, Trail, draw
from keepstep.testing.election.suite import replay
from keepstep.testing.election.world import ElectionWorld, Step

PACKAGES = all_faults()
BEGIN = Step("begin", {"count": 2})
RESIGN = Step("resign", {"who": 0})
REACH = Step("reach", {"who": 0, "state": "leaving"})
LAPSE = Step("lapse", {"who": 0})


def lived(*steps, experience=None, servers=1):
    """The experience of a run on the fake."""
    found = experience or Experience()
    arena = SimulatedArena(servers, seed=1)
    world = replay(steps, arena, recorder=ElectionRecorder())
    assert not world.broken, "\n".join(world.story)
    found.learn(world)
    return found


@pytest.fixture(scope="module")
def handed_over():
    """A leader resigned, and its deadline passed while it left."""
    return lived(BEGIN, RESIGN, REACH, LAPSE)


@pytest.fixture(scope="module")
def complete():
    """Every edge was seen, and one of them has a trail."""
    found = Experience()
    for taken in all_transitions() - set(UNREACHABLE):
        found.seen[taken.action, taken.before] += 1
    found.trails["overlook", "leaving"] = [Trail(0, (BEGIN, RESIGN, REACH, LAPSE))]
    return found


@pytest.mark.parametrize("choice", list(Choice))
def test_the_steps_of_a_run_follow_from_seed_number_and_experience(choice, handed_over):
    def steps(seed, number):
        return draw(choice, seed, number, PACKAGES, handed_over)

    assert [steps(1, n) for n in range(20)] == [steps(1, n) for n in range(20)]
    assert [steps(1, n) for n in range(20)] != [steps(2, n) for n in range(20)]
    drawn = [step for n in range(60) for step in steps(1, n).steps]
    assert {step.rule for step in drawn} <= set(ElectionWorld.RULES)
    assert {step.rule for step in drawn} >= {"inject", "run", "reach"}


@pytest.mark.parametrize("choice", [Choice.WEIGHTED, Choice.UNIFORM])
def test_each_package_has_its_turn_without_any_guidance(choice):
    due = {draw(choice, 1, n, PACKAGES).steps[3].arguments["package"] for n in range(len(PACKAGES))}
    assert due == set(PACKAGES)
    rules = {step.rule for n in range(200) for step in draw(choice, 1, n).steps}
    assert not rules & {"inject", "heal", "move"}


def test_uniform_choice_draws_all_rules_alike_and_weighted_choice_does_not():
    def rules(choice):
        return Counter(step.rule for n in range(400) for step in draw(choice, 1, n).steps[1:])

    uniform, weighted = rules(Choice.UNIFORM), rules(Choice.WEIGHTED)
    assert max(uniform.values()) < 2 * min(uniform.values())
    assert weighted["deliver"] > 4 * weighted["delay"]


def test_an_edge_that_was_not_seen_is_headed_for_by_what_has_shown_its_action(handed_over):
    drawn = [draw(Choice.GUIDED, 1, n, (), handed_over) for n in range(400)]
    aims = Counter(key.partition("@")[0] for each in drawn for key in each.tries[:1])
    assert aims["overlook"] > 20
    # The deadline passed while the contender left; now it shall pass while it waits.
    waiting = [each.steps for each in drawn if each.tries and each.tries[0] == "overlook@waiting"]
    analogy = (BEGIN, RESIGN, Step("reach", {"who": 0, "state": "waiting"}), LAPSE)
    assert any(steps[: len(analogy)] == analogy for steps in waiting)
    assert not [each for each in drawn if "overlook@leaving" in each.tries]
    # It is not just drawn: it does show what was not seen.
    lived(*analogy, experience=(again := Experience()))
    assert again.seen["overlook", "waiting"]


def test_what_was_tried_in_vain_is_tried_less(handed_over):
    def tries(experience):
        drawn = (draw(Choice.GUIDED, 1, n, (), experience) for n in range(300))
        return sum(each.tries[:1] == ("overlook@waiting",) for each in drawn)

    vain = Experience.from_json(handed_over.to_json())
    vain.tries["overlook@waiting"] = 50
    assert tries(vain) < tries(handed_over) / 2


def test_what_was_seen_needs_no_tries_any_more_and_memory_has_a_bound(handed_over, monkeypatch):
    found = Experience.from_json(handed_over.to_json())
    found.tries.update(["overlook@leaving", "overlook@leaving by luck", "overlook@waiting"])
    lived(BEGIN, RESIGN, REACH, LAPSE, experience=found)
    assert found.tries == {"overlook@waiting": 1}
    monkeypatch.setattr("keepstep.testing.election.step_choice.MOST_TRIES", 5)
    found.tries.update(f"overlook@waiting by way {number}" for number in range(6))
    lived(BEGIN, experience=found)
    assert found.tries == {"overlook@waiting": 1}


def test_once_all_edges_were_seen_faults_are_done_within_what_led_to_them(complete):
    drawn = [draw(Choice.GUIDED, 1, n, ("cut",), complete) for n in range(100)]
    aimed = [each for each in drawn if each.tries]
    assert len(aimed) > 50
    under = {each.tries[0].partition(" under ")[2] for each in aimed}
    assert under == {*FAULTS, "move", "cut"}
    assert all("lapse" in {step.rule for step in each.steps} for each in aimed)


def test_faults_that_never_hit_a_leader_are_aimed_at_one(complete):
    drawn = [draw(Choice.GUIDED, 1, n, ("cut",), complete, ["cut", "kill"]) for n in range(60)]
    rules = Counter(str(each.steps[1]) for each in drawn if not each.tries)
    assert rules["kill(who=leader)"] > 5
    assert any(rule.startswith("inject(package=cut, who=leader") for rule in rules)


def test_a_trail_names_seats_and_the_one_with_the_clearest_end_is_kept():
    found = lived(
        BEGIN,
        Step("write", {"who": "leader"}),
        Step("resign", {"who": "leader"}),
        Step("run"),
    )
    (written,) = found.trails["write", "leading"]
    assert (written.seat, written.steps) == (0, (BEGIN, Step("write", {"who": 0})))
    crowded = found.trails["wait", "ranking"][0].crowd
    lived(BEGIN, RESIGN, *[Step("deliver", {"who": 0})] * 12, experience=found)
    clear = found.trails["wait", "ranking"][0]
    assert clear.crowd < crowded
    # Who waits for the first time has another past than who has led, so both are kept.
    pasts = [trail.past for trail in found.trails["wait", "ranking"]]
    assert len(set(pasts)) == len(pasts) > 1
    assert "lead" in clear.past


def test_contenders_are_preferred_that_have_done_what_all_others_had_done(handed_over):
    assert "lead" in handed_over.needs["overlook"]
    assert "lead" not in handed_over.needs["wait"]
    ways = [
        each.steps
        for n in range(600)
        for each in [draw(Choice.GUIDED, 1, n, (), handed_over)]
        if each.tries and each.tries[0] == "overlook@ranking"
    ]
    newcomers = [steps for steps in ways if steps[1:2] == (Step("start"),)]
    assert len(ways) > 10
    assert len(newcomers) < len(ways) / 2


def test_edges_are_noted_under_the_fault_that_came_before():
    found = lived(BEGIN, Step("cut", {"who": 0}), Step("run"))
    assert found.under["suspend", "leading", "cut"] == 1
    assert not any(fault == "cut" and mode == "waiting" for _, mode, fault in found.under)
    packages = lived(
        BEGIN,
        Step("inject", {"package": "kill-server", "who": 0, "server": "theirs"}),
        Step("run"),
        Step("heal"),
        RESIGN,
        servers=3,
    )
    assert packages.under["suspend", "leading", "kill-server"] == 1
    assert not packages.under["resign", "leading", "kill-server"]


@pytest.mark.full
def test_guidance_sees_more_than_uniform_choice_in_as_many_steps():
    """A short measurement with fixed seeds; benchmarks/guidance/on_the_fake.py is the long one."""

    def seen(choice):
        found, steps, number = Experience(), 0, 0
        transitions: set[Taken] = set()
        while steps < 1500:
            drawn = draw(choice, 12, number, PACKAGES, found)
            arena = SimulatedArena(3, seed=number)
            world = replay(drawn.steps, arena, recorder=ElectionRecorder())
            found.learn(world, drawn.tries)
            transitions.update(each.taken for each in world.taken)
            steps += len(world.steps)
            number += 1
        return len(transitions - set(UNREACHABLE))

    assert seen(Choice.GUIDED) > seen(Choice.UNIFORM)


def test_experience_is_read_as_it_was_written(handed_over):
    told = json.loads(json.dumps(handed_over.to_json()))
    assert Experience.from_json(told) == handed_over
    for wrong in ({}, {**told, "seen": [1]}, {**told, "trails": [["a"]]}, []):
        with pytest.raises(LocalViolation):
            Experience.from_json(wrong)
