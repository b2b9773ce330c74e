from __future__ import annotations

import contextlib
import socket
import time

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import ConnectionLoss

from keepstep.errors import LocalViolation, ToolFailed
from keepstep.testing import (
    Check,
    ConnectionEnded,
    Create,
    FaultProxy,
    Opcode,
    WireClient,
    connections,
    dump,
    four_letter_word,
    read_transactions,
)
from keepstep.testing.network.ports import hold_port

pytestmark = pytest.mark.zookeeper


@pytest.fixture
def proxy(shared_server):
    with FaultProxy(shared_server.address) as proxy:
        yield proxy


def until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.002)


def attempts(server, path):
    """Applied creates of a path, as the server logged them."""
    return [
        change
        for transaction in read_transactions(server.data_directory)
        for change in transaction.changes
        if change.kind is Opcode.CREATE and change.path == path
    ]


def test_what_is_not_broken_passes(shared_server, proxy, folder, observer):
    with WireClient(proxy.address) as client:
        client.create(f"{folder}/a", b"x" * 300_000)
        assert observer.read(f"{folder}/a").data == b"x" * 300_000
        assert client.get_data(f"{folder}/a")[0] == b"x" * 300_000
        assert proxy.sessions == (client.session,)
    until(lambda: not proxy.open_connections)


def test_cut_closes_both_sides_and_keeps_the_session(shared_server, proxy):
    with WireClient(proxy.address) as client:
        effect = proxy.cut()
        assert (effect.connections, effect.sessions) == (1, (client.session,))
        with pytest.raises(ConnectionEnded):
            client.sync()
    until(lambda: client.session not in {c.session for c in connections(shared_server.address)})
    assert client.session in dump(shared_server.address).alive


def test_a_dropped_reply_was_applied_and_not_heard(shared_server, proxy, folder, observer):
    with WireClient(proxy.address) as client:
        planned = proxy.drop_next_reply()
        client.exists(folder)
        assert planned.pending, "a read must not trigger it"
        with pytest.raises(ConnectionEnded):
            client.create(f"{folder}/a")
    effect = planned.wait(1)
    assert (effect.applied, effect.request.paths) == (True, (f"{folder}/a",))
    assert effect.zxid == observer.read(f"{folder}/a").stat.czxid
    assert len(attempts(shared_server, f"{folder}/a")) == 1


def test_a_dropped_reply_tells_whether_a_multi_was_accepted(proxy, folder):
    with WireClient(proxy.address) as client:
        planned = proxy.drop_next_reply()
        with pytest.raises(ConnectionEnded):
            client.multi([Create(f"{folder}/a"), Check(folder, 9)])
    assert planned.wait(1).applied is False
    assert planned.wait(1).request.paths == (f"{folder}/a", folder)


def test_answers_that_came_before_a_dropped_one_arrive(proxy, folder):
    with WireClient(proxy.address) as client:
        proxy.drop_next_reply(lambda request: request.paths == (f"{folder}/b",))
        first = client.submit_operation(Create(f"{folder}/a"))
        second = client.submit_operation(Create(f"{folder}/b"))
        assert client.answer(first).error == 0
        with pytest.raises(ConnectionEnded):
            client.answer(second)


def test_a_dropped_request_never_reaches_the_server(shared_server, proxy, folder, observer):
    with WireClient(proxy.address) as client:
        planned = proxy.drop_next_request()
        with pytest.raises(ConnectionEnded):
            client.create(f"{folder}/a")
    assert planned.wait(1).applied is False
    assert observer.read(f"{folder}/a") is None
    assert attempts(shared_server, f"{folder}/a") == []


def test_a_planned_fault_without_a_request_says_so_and_can_be_cancelled(proxy, folder):
    planned = proxy.drop_next_request()
    with pytest.raises(ToolFailed, match="no request came"):
        planned.wait(0.01)
    assert proxy.cancel_planned() == [planned]
    with WireClient(proxy.address) as client:
        client.create(f"{folder}/a")
    assert planned.effect is None


def test_delay_slows_each_direction(proxy, folder):
    with WireClient(proxy.address) as client:
        proxy.delay(0.1)
        begin = time.monotonic()
        first, second = (client.submit_operation(Create(f"{folder}/{n}")) for n in "ab")
        client.answer(first)
        client.answer(second)
        took = time.monotonic() - begin
        assert 0.2 <= took < 0.35, "frames under way together are late together"
        proxy.delay(0)


def test_hold_is_silence_and_release_delivers(shared_server, proxy, folder, observer):
    with WireClient(proxy.address) as client:
        assert proxy.hold().connections == 1
        number = client.submit_operation(Create(f"{folder}/a"))
        with pytest.raises(ConnectionEnded, match="in time"):
            WireClient(proxy.address, timeout=0.1)
        assert observer.read(f"{folder}/a") is None
        assert client.session in {c.session for c in connections(shared_server.address)}
        assert proxy.release().waiting >= 1
        assert client.answer(number).error == 0
    assert observer.read(f"{folder}/a") is not None


def test_a_request_can_be_left_behind_in_a_held_connection(proxy, folder, observer):
    with WireClient(proxy.address) as client:
        proxy.hold(coming=False)
        client.submit_operation(Create(f"{folder}/late"))
        client.abandon()
        with WireClient(proxy.address) as other:
            assert other.exists(f"{folder}/late") is None
            proxy.release()
            until(lambda: observer.read(f"{folder}/late"))


def test_refuse_is_a_server_that_is_down(proxy):
    with WireClient(proxy.address) as client:
        assert proxy.refuse().connections == 1
        with pytest.raises(ConnectionEnded):
            client.sync()
    with pytest.raises(ConnectionEnded, match="refused"):
        WireClient(proxy.address)
    proxy.heal()
    with WireClient(proxy.address):
        pass


def test_a_four_letter_word_passes_as_it_is(shared_server, proxy):
    assert "Mode: standalone" in four_letter_word(proxy.address, "srvr")
    assert "clients" in four_letter_word(proxy.address, "stat").lower()


@pytest.mark.parametrize(
    "nonsense", [b"", b"\0\0\0\1x", b"\0\0\0\0\0\0\0\2xx", b"\xff\xff\xff\xff"]
)
def test_what_is_no_request_harms_nobody_else(proxy, nonsense):
    with WireClient(proxy.address) as client, socket.create_connection(proxy.address) as stranger:
        stranger.sendall(nonsense)
        # No text in UTF-8: no fault can look for its path, and the server does not know it.
        unread = client.submit(Opcode.GET_DATA, b"\0\0\0\2\xff\xff\0")
        assert client.answer(unread).error
        client.sync()
    with WireClient(proxy.address) as client:
        client.sync()


def test_a_shorter_delay_is_for_what_is_under_way_too(proxy, folder):
    with WireClient(proxy.address) as client:
        proxy.delay(30)
        number = client.submit_operation(Create(f"{folder}/a"))
        until(lambda: proxy.hold().waiting)
        proxy.release()
        proxy.delay(0)
        assert client.answer(number, 2).error == 0
        with pytest.raises(LocalViolation, match="before it was sent"):
            proxy.delay(-1)


def test_a_proxy_that_was_closed_stays_closed(shared_server):
    proxy = FaultProxy(shared_server.address)
    proxy.close()
    proxy.heal()
    proxy.close()
    with pytest.raises(ConnectionEnded, match="refused"):
        WireClient(proxy.address)
    with pytest.raises(LocalViolation, match="closed"):
        proxy.accept()


def test_requests_of_other_protocols_cannot_be_told_apart(shared_server):
    with (
        FaultProxy(shared_server.address, framed=False) as plain,
        pytest.raises(LocalViolation, match="framed"),
    ):
        plain.drop_next_reply()


def test_a_link_between_servers_waits_for_the_one_that_does_not_listen_yet():
    held = hold_port()
    with (
        FaultProxy(held.address, framed=False) as link,
        FaultProxy(held.address) as way,
        socket.create_connection(link.address, 5) as follower,
        socket.create_connection(way.address, 5) as client,
        socket.socket() as leader,
    ):
        follower.sendall(b"hello")
        # A client is told at once that nobody is there, or it would not go elsewhere.
        client.settimeout(0.5)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        leader.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        leader.bind(held.address)
        leader.listen()
        leader.settimeout(5)
        accepted, _ = leader.accept()
        with accepted:
            accepted.settimeout(5)
            assert accepted.recv(5) == b"hello"
    held.release()


def test_a_link_does_not_wait_for_ever():
    held = hold_port()
    with (
        FaultProxy(held.address, framed=False) as link,
        socket.create_connection(link.address, 10) as follower,
    ):
        with contextlib.suppress(ConnectionResetError):
            assert follower.recv(1) == b""
        until(lambda: not link.open_connections)
    held.release()


def test_kazoo_sees_an_unknown_outcome_and_reconnects(proxy, folder, observer):
    retry = {"max_tries": -1, "delay": 0.01, "backoff": 1, "max_delay": 0.1}
    client = KazooClient(str(proxy.address), timeout=4, connection_retry=retry)
    states = []
    client.add_listener(states.append)
    client.start()
    try:
        session = client.client_id[0]
        planned = proxy.drop_next_reply()
        with pytest.raises(ConnectionLoss):
            client.create(f"{folder}/a", ephemeral=True)
        assert planned.wait(1).applied
        until(lambda: client.connected)
        assert client.client_id[0] == session == observer.read(f"{folder}/a").stat.ephemeral_owner
        assert states == [KazooState.CONNECTED, KazooState.SUSPENDED, KazooState.CONNECTED]
    finally:
        client.stop()
        client.close()
