"""The public bases: a suite on the fake, what it tells, and that it can fail."""

from __future__ import annotations

import importlib
import re

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from keepstep.core.machine import Request
from keepstep.errors import LocalViolation
from keepstep.shell.mapping import Multi, RoleMapping, SetData
from keepstep.testing.suites import (
    Broken,
    FakeGround,
    RealGround,
    RoleStateMachine,
    Step,
    SuiteFailed,
    replay_suite,
    run_suite,
)
from keepstep.testing.suites.role_suite import RoleSuite

MOST_STEPS = 8


@pytest.fixture
def lease(example):
    return importlib.import_module("lease_lock.suite").LeaseSuite


@pytest.fixture
def bugs(example):
    return importlib.import_module("seeded_bugs").BUGS


def step(rule: str, **arguments: int | str) -> Step:
    return Step(rule, arguments)


@pytest.mark.parametrize("servers", [1, 3])
def test_a_sound_lock_passes_on_the_fake(lease, servers):
    result = run_suite(lease, FakeGround(servers), examples=40).require()
    assert result.failure is None
    assert set(result.faults) >= {"expire", "cut", "restart", "pause"}


@pytest.mark.parametrize(
    "name",
    [
        "returns-unchecked",
        "works-unchecked",
        "forgets-watch",
        "ignores-suspended",
        "adopts-by-name",
        "unknown-is-granted",
        "waits-for-itself",
    ],
)
def test_each_seeded_bug_is_found_on_the_fake(bugs, name):
    failure = run_suite(bugs[name].suite, FakeGround(), examples=400).failure
    assert failure is not None
    assert failure.promise == bugs[name].promise
    assert len(failure.steps) <= MOST_STEPS


def test_every_seeded_bug_has_a_promise_of_its_own_to_break(bugs):
    assert len(bugs) >= 5
    assert len({bug.promise for bug in bugs.values()}) == len(bugs)


def test_the_story_names_faults_steps_and_the_comment_of_the_action(bugs):
    steps = [step("begin", count=2), step("restart", who="favourite"), step("run")]
    failure = replay_suite(bugs["adopts-by-name"].suite, FakeGround(), steps)
    told = failure.story
    assert told.startswith("broken: who holds the present term owns the lease\n")
    assert re.search(
        r"fault by fault\n  restart hit tenant-1 in step 2: its session 0x\w+ lives on", told
    )
    assert "step by step\n  1. begin(count=2)\n" in told
    comment = "Our own session has the lease. Renew it, so that old requests come to nothing."
    taken = r"adopt, looking -> renewing; asks RenewLease\(term=1\)"
    assert re.search(rf"tenant-1 is told LeaseSeen\(.*\): {taken}\n +{re.escape(comment)}\n", told)


def test_a_story_without_faults_says_so(bugs):
    failure = replay_suite(bugs["forgets-watch"].suite, FakeGround(), [step("begin", count=2)])
    assert "no fault was needed" in failure.story


def test_the_failure_of_a_test_is_the_story(bugs):
    result = run_suite(bugs["forgets-watch"].suite, FakeGround(), examples=400, seed_number=3)
    with pytest.raises(SuiteFailed) as failed:
        result.require()
    assert result.failure.story in str(failed.value)
    assert "of seed 3" in str(failed.value)


def test_too_little_seen_is_no_pass(lease):
    result = run_suite(lease, FakeGround(), examples=1, steps=1)
    assert result.failure is None
    with pytest.raises(SuiteFailed, match=r"inconclusive: never taken in 1 runs: adopt"):
        result.require()


def test_the_same_seed_makes_the_same_runs(lease):
    one, other = (run_suite(lease, FakeGround(), examples=10, seed_number=5) for _ in range(2))
    assert (one.taken, one.faults, one.steps) == (other.taken, other.faults, other.steps)
    another = run_suite(lease, FakeGround(), examples=10, seed_number=6)
    assert one.taken != another.taken


def test_steps_are_repeated_to_the_letter_on_the_fake(bugs):
    steps = [step("begin", count=3), step("intrude"), step("run")]
    stories = [
        re.sub(r"/\w+-[0-9a-f]+-\d+", "ROOT", failure.story)
        for _ in range(2)
        if (failure := replay_suite(bugs["works-unchecked"].suite, FakeGround(seed=4), steps))
    ]
    assert len(stories) == 2
    assert stories[0] == stories[1]


def test_a_watch_of_a_request_that_is_over_is_told_to_nobody(lease):
    """Found by the suite itself: a watch on a lease that had just gone fired when it came back."""
    steps = [
        step("begin", count=3), step("stop", who=2), step("lost-request", who=2),
        step("deliver", who=2, lane="any"), step("deliver", who=2, lane="any"),
        step("stop", who="favourite"),
    ]  # fmt: skip
    assert replay_suite(lease, FakeGround(), steps) is None


def with_faults(suite: type[RoleSuite], *names: str) -> type[RoleSuite]:
    return type("Faulty", (suite,), {"faults": (*suite.faults, *names)})


def test_the_fake_says_which_faults_are_not_for_it(lease):
    result = run_suite(with_faults(lease, "restart-server"), FakeGround(), examples=60)
    assert set(result.not_run) == {"restart-server"}
    assert "real servers only" in result.not_run["restart-server"]


@pytest.mark.tools
@pytest.mark.zookeeper
def test_fault_packages_hit_a_real_server_and_are_proved(lease, keepstep_fresh_server):
    suite = with_faults(lease, "restart-server", "kill-leader")
    steps = [
        step("begin", count=2), step("restart-server"), step("run"), step("kill-leader"),
        step("command", who="favourite", command="WorkDue"), step("heal"), step("run"),
    ]  # fmt: skip
    with RealGround(keepstep_fresh_server) as ground:
        assert replay_suite(suite, ground, steps) is None
        world = suite(ground, "/again")
        for each in steps:
            world.perform(each)
        world.close()
    (fault,) = world.story.faults
    assert fault.kind == "restart-server"
    assert fault.proof
    assert "needs at least 3 servers" in world.not_run["kill-leader"]


@pytest.mark.full
@pytest.mark.tools
@pytest.mark.zookeeper
@pytest.mark.timeout(600)
def test_an_ensemble_under_fault_packages_keeps_the_promises(lease, keepstep_ensemble):
    names = ("restart-server", "kill-leader", "lag-follower", "pause-server")
    with RealGround(keepstep_ensemble) as ground:
        result = run_suite(with_faults(lease, *names), ground, examples=25)
    assert result.failure is None, result.failure.story
    assert not result.not_run
    assert set(names) & set(result.faults)


def test_a_mapping_that_misses_an_answer_is_named(lease):
    class Surprised(lease.mapping):
        def _grant(self, term, condition):
            yield Multi(SetData(self.lock, b"", version=term + 7), condition)
            return None

    suite = type("Surprised", (lease,), {"mapping": Surprised})
    failure = replay_suite(suite, FakeGround(), [step("begin", count=1)])
    assert failure.promise == "a mapping serves whatever is asked"
    assert failure.seen.startswith("tenant-1: TakeLease(term=0) by Multi(")
    assert "version=7" in failure.seen
    assert failure.seen.endswith("the server refused the call: BadVersion")


def test_a_request_that_no_mapping_serves_is_named(lease):
    class Incomplete(lease.mapping):
        def _inspect(self):
            return RoleMapping.serve(self, Request())

    suite = type("Incomplete", (lease,), {"mapping": Incomplete})
    failure = replay_suite(suite, FakeGround(), [step("begin", count=1)])
    assert failure.promise == "a mapping serves whatever is asked"
    assert "Incomplete does not say how to serve" in failure.seen


def test_a_step_that_does_not_exist_is_refused(lease):
    with pytest.raises(LocalViolation, match="LeaseSuite has no step 'jump'"):
        replay_suite(lease, FakeGround(), [step("jump")])


def test_steps_go_to_a_file_and_back():
    once = step("deliver", who="favourite", lane="answer")
    assert Step.from_json(once.to_json()) == once


@pytest.mark.full
def test_hypothesis_can_choose_and_shrink(bugs):
    class Machine(RoleStateMachine):
        suite: type[RoleSuite] = bugs["waits-for-itself"].suite
        ground = FakeGround()
        failures: list = []  # noqa: RUF012

    chosen = settings(
        max_examples=100, stateful_step_count=12, database=None, derandomize=True, deadline=None,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    with pytest.raises(Broken):
        run_state_machine_as_test(Machine, settings=chosen)
    assert Machine.failures[-1].promise == "somebody holds the lease"
    assert len(Machine.failures[-1].steps) <= MOST_STEPS
