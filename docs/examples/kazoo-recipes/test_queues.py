"""kazoo's queues: every item once, none lost, and none twice."""

from __future__ import annotations

from collections.abc import Callable

from kazoo.client import KazooClient
from peers import Peer

from keepstep.testing import Observer, Opcode, Traffic, TransactionLog


def is_delete(request: Traffic) -> bool:
    return request.opcode == Opcode.DELETE


def test_every_item_of_a_queue_is_given_to_somebody(
    alice: Peer, observer: Observer, log: TransactionLog, path: str, *, fault: bool
) -> None:
    """`Queue.get` deletes an item, does not hear of it, and goes on to the next one."""
    queue = alice.kazoo.Queue(path)
    items = [b"first", b"second", b"third"]
    for item in items:
        queue.put(item)
    lost = alice.proxy.drop_next_reply(is_delete) if fault else None
    given = []
    while (item := queue.get()) is not None:
        given.append(item)
    if lost:
        assert lost.wait(2).applied

    assert observer.children(path) == [], "nothing is left in the queue"
    assert len(_deleted(log, path)) == 3
    kept = given == items
    assert kept is not fault
    assert set(items) - set(given) == ({b"first"} if fault else set())


class Pausing(KazooClient):
    """A client whose program stops for a while before each transaction, as a full GC does."""

    pause: Callable[[], None] = staticmethod(lambda: None)

    def transaction(self):
        self.pause()
        return super().transaction()


def test_an_item_of_a_locking_queue_is_consumed_by_one(
    meet: Callable[..., Peer], bob: Peer, log: TransactionLog, path: str, *, fault: bool
) -> None:
    """`LockingQueue.consume` does not look at what came of its transaction, and says True.

    Between the look at its lock and the transaction the session may be lost; the item then is
    somebody else's, who has done the work as well.
    """
    alice = meet(Pausing)
    mine, theirs = alice.kazoo.LockingQueue(path), bob.kazoo.LockingQueue(path)
    mine.put(b"item")
    assert mine.get() == b"item"
    told = []

    def others_go_on() -> None:
        alice.lose_session()
        assert theirs.get(timeout=5) == b"item"
        told.append(theirs.consume())

    if fault:
        alice.kazoo.pause = others_go_on
    told.append(mine.consume())
    if not fault:
        assert theirs.get(timeout=0.1) is None
        told.append(theirs.consume())

    entries = log.read()
    removed = [
        change
        for entry in entries
        for change in entry.changes
        if change.kind == Opcode.DELETE and change.path.startswith(f"{path}/entries/")
    ]
    assert len(removed) == 1, "one transaction removed the item, says the server"
    refused = [entry for entry in entries if entry.session == alice.session and entry.error]
    assert bool(refused) is fault, "and refused the other"
    kept = told.count(True) == 1
    assert kept is not fault


def _deleted(log: TransactionLog, path: str) -> list[str]:
    return [
        change.path
        for entry in log.read()
        for change in entry.changes
        if change.kind == Opcode.DELETE and change.path.startswith(path)
    ]
