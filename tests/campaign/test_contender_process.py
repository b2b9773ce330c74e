"""Contenders that are processes: driven as if they were here, and stopped by the kernel."""

from __future__ import annotations

from random import Random

import psutil
import pytest

from keepstep.errors import ToolFailed
from keepstep.shell.contender_shell import ContenderShell
from keepstep.testing.election.arenas import EnsembleArena
from keepstep.testing.election.contender_process import ContenderProcess, can_live_elsewhere
from keepstep.testing.election.coverage import Coverage
from keepstep.testing.election.suite import replay
from keepstep.testing.election.world import ElectionWorld, Step
from keepstep.testing.faults import Aim, packages
from keepstep.testing.network.wire import Opcode
from keepstep.testing.servers.observer import TransactionLog

pytestmark = pytest.mark.zookeeper

PAUSED = [
    Step("begin", {"count": 2}),
    Step("write", {"who": "leader"}),
    Step("inject", {"package": "pause-client", "who": "leader", "server": "theirs"}),
    Step("run"),
    Step("resign", {"who": 0}),
    Step("heal"),
    Step("run"),
]


@pytest.fixture
def arena(ensemble_of_one):
    return ensemble_of_one


def test_a_stopped_leader_is_a_zombie_whose_session_the_server_itself_ended(arena):
    coverage = Coverage()
    log = TransactionLog(arena.ensemble.servers[1].data_directory)
    log.read()
    world = replay(PAUSED, arena, coverage=coverage)
    assert not world.broken, "\n".join(world.story)
    assert coverage.on_leader["pause-client"] == coverage.proved["pause-client"] == 1
    (shown,) = [line for line in world.story if "the servers show it" in line]
    assert "the process stands still" in shown
    assert "of the server itself, ended the session" in shown
    # What the server logged says it too: nobody asked for the end of that session.
    ends = [entry for entry in log.read() if entry.kind is Opcode.CLOSE_SESSION]
    assert any(entry.xid == 0 for entry in ends)
    # It went on, without a session, and the other one had been elected meanwhile or was then.
    assert any("suspend: leading -> offline" in line for line in world.story)
    assert len({raised.epoch for raised in world.ledger.raised}) == 2


def test_without_the_package_no_contender_is_a_process(arena):
    before = {child.pid for child in psutil.Process().children()}
    world = replay([Step("begin", {"count": 2})], arena)
    assert not world.broken
    assert {child.pid for child in psutil.Process().children()} <= before
    assert {ways.process for ways in arena.target.clients.values()} >= {None}


def test_a_process_that_runs_is_no_proof(arena):
    """The negative control: the package's proof says no as long as nobody was stopped."""
    world = ElectionWorld(arena, Coverage(), in_processes=True)
    try:
        world.perform(Step("begin", {"count": 1}))
        package = packages()["pause-client"]
        aim, random = Aim(client="seat 0"), Random(1)  # noqa: S311
        proof = package.prepare(arena.target, aim, random).prove(0.2)
        world.finish()
    finally:
        world.close()
    assert not proof.happened
    assert "the process does not stand still" in proof.evidence


def test_a_promise_that_a_process_breaks_is_told(arena, seeded_bugs):
    bug = seeded_bugs["unfenced-write"]
    assert can_live_elsewhere(bug)
    steps = [
        Step("begin", {"count": 2}),
        Step("inject", {"package": "pause-client", "who": "next", "server": "theirs"}),
        Step("heal"),
        Step("delete_ticket", {"position": 0}),
        Step("reach", {"who": 1, "state": "leading"}),
        Step("write", {"who": 0}),
        Step("run"),
    ]
    # What the servers say of the pause is not waited for.
    shown = Coverage()
    shown.proved["pause-client"] = 9
    assert replay(steps, arena, shell_class=bug, coverage=shown).broken
    assert not replay(steps, arena, coverage=shown).broken


def test_a_class_without_a_name_of_its_own_stays_here(arena):
    class Nameless(ContenderShell):
        pass

    assert can_live_elsewhere(ContenderShell)
    assert not can_live_elsewhere(Nameless)
    world = replay(PAUSED[:3], arena, shell_class=Nameless)
    assert not world.broken
    assert any("has no process of its own" in line for line in world.story)


def test_a_process_that_has_ended_breaks_no_promise():
    with EnsembleArena(1) as arena:
        world = ElectionWorld(arena, Coverage(), in_processes=True)
        world.perform(Step("begin", {"count": 1}))
        psutil.Process(arena.target.clients["seat 0"].process).kill()
        with pytest.raises(ToolFailed, match="process has ended"):
            world.perform(Step("deliver", {"who": 0}))
        assert world.broken is None


def test_a_process_ends_whatever_it_does():
    process = ContenderProcess()
    alive = psutil.Process(process.process_id)
    alive.suspend()
    process.close()
    process.close()
    assert not alive.is_running()
