"""Random programs see the same on the fake and on real servers, zxid for zxid."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keepstep.simulation import FakeZooKeeper
from keepstep.testing import Opcode, TransactionLog
from keepstep.testing.zookeeper_kit import FakeService

from .mutation import mutated_rules
from .programs import transcript


def on_the_fake(servers, seed, **more):
    return transcript(FakeService(FakeZooKeeper(servers=servers, seed=seed, **more)), seed)


@pytest.mark.zookeeper
@pytest.mark.parametrize("seed", range(10))
def test_programs_see_the_same_on_one_server(one_server, seed):
    assert on_the_fake(1, seed) == transcript(one_server, seed)


def told(transactions):
    """A log without what differs from one service to another."""
    sessions, found = {}, []
    folder = next(t.changes[0].path for t in transactions if t.kind == Opcode.CREATE)
    first = transactions[0].zxid
    for entry in transactions:
        session = sessions.setdefault(entry.session, len(sessions))
        # Connections to real servers begin to count at different thousands.
        xid = 0 if entry.kind == Opcode.CLOSE_SESSION else entry.xid % 1000
        changes = [
            replace(
                change,
                path=change.path.replace(folder, ""),
                deleted=sorted(path.replace(folder, "") for path in change.deleted),
            )
            for change in entry.changes
        ]
        why = entry.error, entry.refused
        found.append((entry.zxid - first, session, xid, entry.kind, changes, why))
    return found


@pytest.mark.zookeeper
@pytest.mark.parametrize("seed", range(50, 55))
def test_the_log_of_the_fake_is_that_of_a_server(lone, one_server, seed):
    zookeeper = FakeZooKeeper(seed=seed)
    transcript(FakeService(zookeeper), seed)
    log = TransactionLog(lone.data_directory)
    log.read()
    transcript(one_server, seed)
    assert told(zookeeper.transactions()) == told(log.read())


@pytest.mark.zookeeper
@pytest.mark.parametrize("seed", range(100, 105))
def test_programs_see_the_same_on_three_servers(three_servers, seed):
    assert on_the_fake(3, seed) == transcript(three_servers, seed)


@pytest.mark.parametrize("seed", range(5))
def test_what_a_program_sees_does_not_depend_on_chance(seed):
    """The program waits for every answer, so it sees the same however the fake is scheduled."""
    one = transcript(FakeService(FakeZooKeeper(servers=3, seed=1)), seed)
    other = transcript(FakeService(FakeZooKeeper(servers=3, seed=2)), seed)
    assert one == other


@pytest.mark.tools
@pytest.mark.parametrize(
    "mutant", ["cversion_counts_creates_only", "refused_requests_take_no_place", "ephemerals_stay"]
)
def test_programs_tell_mistakes_apart(mutant):
    """Negative control: with a mistake in the environment module they see something else."""
    rules = mutated_rules(mutant)
    seeds = range(10)
    assert any(on_the_fake(1, seed) != on_the_fake(1, seed, rules=rules) for seed in seeds)
