"""kazoo's Election, and what a leader writes that is none any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from peers import Peer, wait_until

from keepstep.testing import Observer, Opcode, TransactionLog, dump, expire, watches_by_session


class Leader:
    """Runs an election on a thread of its own; its leader function works until it is told."""

    def __init__(self, peer: Peer, path: str) -> None:
        self.peer, self.path = peer, path
        self.working = threading.Event()
        self.told_to_end = threading.Event()
        self.election = peer.kazoo.Election(path, "leader")
        self.thread = threading.Thread(target=self.election.run, args=(self._work,))
        self.thread.start()

    def _work(self) -> None:
        self.working.set()
        self.told_to_end.wait()
        self.working.clear()

    def waits(self) -> bool:
        """Whether the server sees us watch somebody else's ticket."""
        watched = watches_by_session(self.peer.server.address).get(self.peer.session, ())
        return any(path.startswith(self.path) for path in watched)

    def end(self) -> None:
        self.told_to_end.set()
        self.election.cancel()
        self.thread.join(10)


@pytest.fixture
def leaders(alice: Peer, bob: Peer, path: str) -> Iterator[tuple[Leader, Leader]]:
    first = Leader(alice, path)
    wait_until(first.working.is_set, "alice leads")
    second = Leader(bob, path)
    wait_until(second.waits, "bob waits for alice")
    yield first, second
    first.end()
    second.end()


def test_one_leader_function_runs_at_a_time(
    leaders: tuple[Leader, Leader], alice: Peer, bob: Peer, observer: Observer, path: str,
    *, fault: bool,
) -> None:  # fmt: skip
    """Nothing interrupts the leader function when its session is lost, and the next one starts."""
    _, second = leaders
    if fault:
        alice.lose_session()
        wait_until(second.working.is_set, "bob leads")
    else:
        alice.lose_connection()
        wait_until(second.waits, "bob still waits")

    tickets = observer.children(path) or []
    rightful = [peer for peer in (alice, bob) if peer.owns(f"{path}/{min(tickets, key=_number)}")]
    assert rightful == ([bob] if fault else [alice]), "there is one leader, says the server"
    working = [leader for leader in leaders if leader.working.is_set()]
    kept = len(working) == 1
    assert kept is not fault


def _number(ticket: str) -> str:
    return ticket[-10:]


def test_a_write_of_a_leader_comes_before_those_of_the_next(
    alice: Peer, bob: Peer, observer: Observer, log: TransactionLog, path: str, *, fault: bool
) -> None:
    """`client.retry` carries a leader's write over into its next session, after bob's.

    Kafka had this bug in its controller (KAFKA-6082): without a fence a zombie's write counts.
    """
    record = f"{path}-record"
    alice.kazoo.create(record, b"", makepath=True)
    lock = alice.kazoo.Lock(path, "alice")
    lock.acquire()
    alice.proxy.refuse()
    writing = threading.Thread(target=alice.kazoo.retry, args=(alice.kazoo.set, record, b"alice"))
    writing.start()
    next_lock = bob.kazoo.Lock(path, "bob")
    if fault:
        expire(alice.server.address, _owner(alice, path, lock.node))
        next_lock.acquire(timeout=5)
        bob.kazoo.set(record, b"bob")
        alice.proxy.accept()
        writing.join(10)
    else:
        alice.proxy.accept()
        writing.join(10)
        lock.release()
        next_lock.acquire(timeout=5)
        bob.kazoo.set(record, b"bob")

    assert bob.owns(f"{path}/{next_lock.node}"), "bob holds the lock, says the server"
    writes = [
        change.data
        for entry in log.read()
        for change in entry.changes
        if change.kind == Opcode.SET_DATA and change.path == record
    ]
    assert sorted(writes) == [b"alice", b"bob"], "each was applied once"
    kept = writes[-1] == b"bob"
    assert kept is not fault
    found = observer.read(record)
    assert found is not None
    assert found.data == (b"alice" if fault else b"bob")


def _owner(peer: Peer, path: str, node: str) -> int:
    owner = dump(peer.server.address).owner(f"{path}/{node}")
    assert owner is not None
    return owner
