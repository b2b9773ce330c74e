"""kazoo's ChildrenWatch and Counter: what they show, and what is there."""

from __future__ import annotations

import threading

from peers import Peer

from keepstep.testing import Observer, Opcode, Traffic, TransactionLog, monitor


def is_set(request: Traffic) -> bool:
    return request.opcode == Opcode.SET_DATA


def wait_for_callbacks(alice: Peer, bob: Peer, path: str) -> None:
    """Wait until kazoo has run, on its one thread, every callback that alice has coming.

    The notification of this change comes last on her connection, so its callback does too.
    """
    fence = f"{path}-fence"
    bob.kazoo.ensure_path(fence)
    done = threading.Event()
    alice.kazoo.sync(fence)
    alice.kazoo.get(fence, watch=lambda _: done.set())
    bob.kazoo.set(fence, b"")
    assert done.wait(10)


def test_who_watches_children_hears_of_them(
    alice: Peer, bob: Peer, observer: Observer, path: str, *, fault: bool
) -> None:
    """`ChildrenWatch` is deaf for ever once its znode was deleted, also when it is there again.

    Druid's coordinators lost sight of new servers in this way (druid #1868, #6597).
    """
    bob.kazoo.create(f"{path}/one", makepath=True)
    seen: list[list[str]] = []
    alice.kazoo.ChildrenWatch(path, lambda children: seen.append(sorted(children)))
    if fault:
        bob.kazoo.delete(path, recursive=True)
    else:
        bob.kazoo.delete(f"{path}/one")
    wait_for_callbacks(alice, bob, path)
    bob.kazoo.ensure_path(f"{path}/two")
    wait_for_callbacks(alice, bob, path)

    assert observer.children(path) == ["two"]
    kept = seen[-1] == ["two"]
    assert kept is not fault
    watches = int(monitor(alice.server.address)["watch_count"])
    assert watches == (0 if fault else 1), "the server has nobody to tell of the next child"


def test_a_counter_counts_each_thing_once(
    alice: Peer, observer: Observer, log: TransactionLog, path: str, *, fault: bool
) -> None:
    """`Counter` tries again after an answer was lost, although its first try was applied.

    ClickHouse lost data because it took an unknown outcome for a failure (ClickHouse #2939).
    """
    counter = alice.kazoo.Counter(path)
    counter += 1
    lost = alice.proxy.drop_next_reply(is_set) if fault else None
    counter += 1
    if lost:
        assert lost.wait(2).applied

    found = observer.read(path)
    assert found is not None
    kept = found.data == b"2"
    assert kept is not fault
    sets = [
        change.data
        for entry in log.read()
        for change in entry.changes
        if change.kind == Opcode.SET_DATA and change.path == path
    ]
    assert sets == ([b"1", b"2", b"3"] if fault else [b"1", b"2"])
