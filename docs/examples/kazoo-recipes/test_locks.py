"""kazoo's Lock: who believes to hold it, and who does."""

from __future__ import annotations

import pytest
from kazoo.exceptions import LockTimeout
from peers import Peer

from keepstep.testing import Observer, Opcode, Traffic, expire


def is_delete(request: Traffic) -> bool:
    return request.opcode == Opcode.DELETE


def is_create(request: Traffic) -> bool:
    return request.opcode in {Opcode.CREATE, Opcode.CREATE2}


def test_who_says_that_they_hold_it_holds_it(
    alice: Peer, bob: Peer, path: str, *, fault: bool
) -> None:
    """`is_acquired` stays True when the session is lost, and somebody else gets the lock."""
    lock = alice.kazoo.Lock(path, "alice")
    lock.acquire()
    if fault:
        alice.lose_session()
    else:
        alice.lose_connection()

    assert lock.is_acquired, "so says kazoo, with and without the fault"
    kept = alice.owns(f"{path}/{lock.node}")
    assert kept is not fault
    assert bob.kazoo.Lock(path, "bob").acquire(blocking=False) is fault, "two hold it at once"


def test_a_lock_that_nobody_wants_is_free(
    alice: Peer, bob: Peer, observer: Observer, path: str, *, fault: bool
) -> None:
    """A failed attempt whose cleanup is lost leaves a ghost that others wait for (kazoo #732)."""
    lock = bob.kazoo.Lock(path, "bob")
    lock.acquire()
    attempt = alice.kazoo.Lock(path, "alice")
    lost = alice.proxy.drop_next_request(is_delete) if fault else None
    assert attempt.acquire(blocking=False) is False
    if lost:
        assert lost.wait(2).applied is False
        alice.come_back()
    lock.release()

    assert not attempt.is_acquired, "alice has given up, and bob has released"
    ghosts = observer.children(path) or []
    assert len(ghosts) == (1 if fault else 0)
    assert all(alice.owns(f"{path}/{ghost}") for ghost in ghosts)
    kept = bob.kazoo.Lock(path, "bob again").acquire(blocking=False)
    assert kept is not fault


def test_a_lock_is_acquired_in_our_own_session(
    alice: Peer, bob: Peer, path: str, *, fault: bool
) -> None:
    """After an attempt that failed, the znode of an earlier session is taken for ours.

    Curator had this bug until 5.2 (CURATOR-498, -604): the znode goes away with its session.
    """
    first = bob.kazoo.Lock(path, "bob")
    first.acquire()
    lock = alice.kazoo.Lock(path, "alice")
    lost = alice.proxy.drop_next_request(is_delete)
    with pytest.raises(LockTimeout):
        lock.acquire(timeout=0.1)
    lost.wait(2)
    alice.come_back()
    earlier = alice.give_up_session() if fault else 0
    first.release()

    assert lock.acquire(timeout=2), "so says kazoo, with and without the fault"
    kept = alice.owns(f"{path}/{lock.node}")
    assert kept is not fault
    if fault:
        expire(alice.server.address, earlier)
    assert lock.is_acquired
    assert bob.kazoo.Lock(path, "bob").acquire(blocking=False) is fault, "two hold it at once"


def test_what_kazoo_does_right_is_green(
    alice: Peer, observer: Observer, path: str, *, fault: bool
) -> None:
    """A create that was applied, and whose answer is lost, makes no second contender."""
    lock = alice.kazoo.Lock(path, "alice")
    alice.kazoo.ensure_path(path)
    lost = alice.proxy.drop_next_reply(is_create) if fault else None
    assert lock.acquire(timeout=5)
    if lost:
        assert lost.wait(2).applied
    assert len(observer.children(path) or []) == 1
    assert alice.owns(f"{path}/{lock.node}")
