"""Nobody wrote these steps down: Hypothesis finds them, and shrinks them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from peers import Peer

from keepstep.testing import Opcode, ZooKeeperServer, dump

WHO = st.sampled_from(["alice", "bob"])
numbers = itertools.count(1)


class LockOfTwo(RuleBasedStateMachine):
    """Two people, one lock, and nothing that goes wrong."""

    people: ClassVar[dict[str, Peer]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.path = f"/search/{next(numbers)}"
        self.locks = {who: peer.kazoo.Lock(self.path) for who, peer in self.people.items()}

    @rule(who=WHO)
    def acquire(self, who: str) -> None:
        self.locks[who].acquire(blocking=False)
        self.people[who].come_back()

    @rule(who=WHO)
    def release(self, who: str) -> None:
        self.locks[who].release()
        self.people[who].come_back()

    @invariant()
    def who_believes_to_hold_the_lock_has_its_znode(self) -> None:
        for who, lock in self.locks.items():
            if lock.is_acquired:
                assert self.people[who].owns(f"{self.path}/{lock.node}"), f"{who} has no znode"

    @invariant()
    def who_does_not_has_none(self) -> None:
        found = dump(self.people["alice"].server.address).ephemerals
        for who, lock in self.locks.items():
            own = [path for path in found.get(self.people[who].session, ()) if self.path in path]
            assert len(own) <= lock.is_acquired, f"{who} has a ghost"

    def teardown(self) -> None:
        for who, peer in self.people.items():
            peer.proxy.cancel_planned()
            self.locks[who].release()


class LockUnderCuts(LockOfTwo):
    """Connections that break at any time."""

    @rule(who=WHO)
    def cut(self, who: str) -> None:
        self.people[who].lose_connection()


class LockUnderExpiry(LockOfTwo):
    """Sessions that end at any time."""

    @rule(who=WHO)
    def expire(self, who: str) -> None:
        self.people[who].lose_session()


class LockUnderLostRequests(LockOfTwo):
    """Deletes that never reach the server, and connections that break with them."""

    @rule(who=WHO)
    def lose_next_delete(self, who: str) -> None:
        self.people[who].proxy.drop_next_request(lambda request: request.opcode == Opcode.DELETE)


@pytest.fixture
def people(server: ZooKeeperServer) -> Iterator[dict[str, Peer]]:
    LockOfTwo.people = {"alice": Peer(server), "bob": Peer(server)}
    yield LockOfTwo.people
    for peer in LockOfTwo.people.values():
        peer.close()


@pytest.fixture
def how() -> settings:
    """The same choices in each run; a step on a real server may take its time."""
    return settings(
        max_examples=100,
        stateful_step_count=10,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
    )


def shrunk(machine: type[LockOfTwo], how: settings, symptom: str) -> list[str]:
    """The steps that Hypothesis ends up with for a machine that breaks its promise."""
    with pytest.raises(AssertionError, match=symptom) as caught:
        run_state_machine_as_test(machine, settings=how)
    story = "\n".join(getattr(caught.value, "__notes__", []))
    return re.findall(r"state\.(\w+\(\w.*)", story)


@pytest.mark.usefixtures("people")
def test_cuts_alone_break_nothing(how: settings) -> None:
    run_state_machine_as_test(LockUnderCuts, settings=settings(how, max_examples=10))


@pytest.mark.usefixtures("people")
def test_a_lost_session_is_found_in_two_steps(how: settings) -> None:
    steps = shrunk(LockUnderExpiry, how, "has no znode")
    who = steps[0].removeprefix("acquire(")
    assert steps == [f"acquire({who}", f"expire({who}"]


@pytest.mark.usefixtures("people")
def test_a_ghost_is_found_in_three_steps(how: settings) -> None:
    steps = shrunk(LockUnderLostRequests, how, "has a ghost")
    lost = next(step for step in steps if step.startswith("lose"))
    ghost, holder = ("alice", "bob") if "alice" in lost else ("bob", "alice")
    assert sorted(steps) == sorted(
        [f"acquire(who='{holder}')", f"lose_next_delete(who='{ghost}')", f"acquire(who='{ghost}')"]
    )
    assert steps[-1] == f"acquire(who='{ghost}')"
