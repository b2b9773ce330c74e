"""When may a request be applied of which its client has long given up to hear?

Each test is one sentence of docs/explanation/zookeeper-facts.md. The order of what happened
is read from the zxids of the server's transaction log, not from the order of the answers.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from keepstep.testing import (
    ConnectionEnded,
    Create,
    FaultProxy,
    Opcode,
    SessionGone,
    WireClient,
    ZooKeeperEnsemble,
    connections,
    dump,
    expire,
    read_transactions,
)
from keepstep.testing.network.ports import hold_port

from .thread_stopper import ThreadStopper

pytestmark = pytest.mark.zookeeper

ENTRY_OF_PIPELINE = (
    "org.apache.zookeeper.server.ZooKeeperServer",
    "submitRequest",
    "(Lorg/apache/zookeeper/server/Request;)V",
)


def until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.002)


def resumed(client, address, **more):
    return WireClient(address, session=client.session, password=client.password, **more)


def log(server):
    return read_transactions(server.data_directory)


def created(server, path):
    """The zxid of a path's accepted create, or None."""
    for transaction in log(server):
        if any(c.kind is Opcode.CREATE and c.path == path for c in transaction.changes):
            return transaction.zxid
    return None


def has_received(server, client, packets):
    """Whether a server has read so many packets of a client, the first of which connects it."""
    told = connections(server.address)
    return any(c.session == client.session and c.received >= packets for c in told)


def refusals(server, session):
    return [t.error for t in log(server) if t.session == session and t.error]


# One server, the same session


def test_a_request_that_was_sent_before_the_connection_closed_may_still_be_applied(server, path):
    server.pause()
    # The server's kernel takes connections for it; the session begins when it runs on.
    timer = threading.Timer(0.05, server.resume)
    timer.start()
    client = WireClient(server.address)
    timer.join()
    client.submit_operation(Create(path))
    client.abandon()
    until(lambda: created(server, path))


def test_after_a_reconnect_it_was_as_a_rule_applied_before_or_never(server, path):
    """In 60 attempts to provoke it none was late; both other outcomes occur."""
    outcomes = {"before": 0, "never": 0, "late": 0}
    for number in range(60):
        here = f"{path}-{number}"
        with WireClient(server.address) as client:
            server.pause()
            client.submit_operation(Create(here))
            if number % 2:
                client.abandon()
            timer = threading.Timer(0.005, server.resume)
            timer.start()
            with resumed(client, server.address) as again:
                again.sync()
                seen = again.exists(here)
                again.create(f"{here}-marker")
            timer.join()
        late = created(server, here)
        if late is None:
            outcomes["never"] += 1
        elif seen:
            assert late == seen.czxid < created(server, f"{here}-marker")
            outcomes["before"] += 1
        else:
            outcomes["late"] += 1
    assert outcomes["before"]
    assert outcomes["before"] + outcomes["never"] == 60


def test_it_can_be_applied_after_the_same_session_reconnected_synced_read_and_wrote(debugged):
    """The server's network thread only has to lose the processor at the wrong moment."""
    server, stopper = debugged
    with WireClient(server.address) as client:
        client.sync()
        stopper.stop_next(*ENTRY_OF_PIPELINE)
        client.submit_operation(Create("/late", ephemeral=True))
        thread = stopper.wait_until_stopped()
        client.abandon()
        with resumed(client, server.address) as again:
            again.sync()
            assert again.exists("/late") is None
            again.create("/marker")
            assert again.exists("/late") is None
            stopper.resume(thread)
            until(lambda: created(server, "/late"))
            assert created(server, "/late") > created(server, "/marker")
            # And it is an ephemeral of the living session, as if it had been asked for today.
            assert again.exists("/late").ephemeral_owner == client.session


def test_what_still_is_in_the_network_when_the_session_reconnects_is_never_applied(server, path):
    """The server closes a session's earlier connection to it, with all that comes through it."""
    with FaultProxy(server.address) as proxy, WireClient(proxy.address) as client:
        proxy.hold(coming=False)
        client.submit_operation(Create(path))
        with resumed(client, server.address) as again:
            again.create(f"{path}-marker")
            assert proxy.release().waiting == 1
            with pytest.raises(ConnectionEnded):
                client.sync()
            again.sync()
            assert again.exists(path) is None
    assert created(server, path) is None


# Another session of the same client


def test_after_a_new_session_an_old_sessions_request_can_be_late_without_bound(server, path):
    with FaultProxy(server.address) as proxy, WireClient(proxy.address) as client:
        proxy.hold(coming=False)
        client.submit_operation(Create(path, ephemeral=True))
        client.abandon()
        with WireClient(server.address) as fresh:
            fresh.sync()
            assert fresh.exists(path) is None
            fresh.create(f"{path}-marker")
            proxy.release()
            until(lambda: fresh.exists(path))
            assert fresh.exists(path).ephemeral_owner == client.session != fresh.session
    assert created(server, path) > created(server, f"{path}-marker")


def test_a_request_of_an_ended_session_is_never_applied(server, path):
    with FaultProxy(server.address) as proxy, WireClient(proxy.address) as client:
        proxy.hold(coming=False)
        client.submit_operation(Create(path))
        expire(server.address, client.session)
        assert proxy.release().waiting >= 1
        with pytest.raises(ConnectionEnded):
            client.sync()
        with pytest.raises(SessionGone):
            resumed(client, server.address)
    assert created(server, path) is None


def test_a_stalled_request_of_an_ended_session_is_dropped(debugged):
    """Even the stalled network thread cannot bring a request into a session that has ended."""
    server, stopper = debugged
    with WireClient(server.address) as client:
        client.sync()
        stopper.stop_next(*ENTRY_OF_PIPELINE)
        client.submit_operation(Create("/late"))
        thread = stopper.wait_until_stopped()
        expire(server.address, client.session)
        stopper.resume(thread)
        with WireClient(server.address) as other:
            # No trace is left of it, so give it the time in which a living one is applied.
            for number in range(100):
                other.create(f"/{number}")
            assert other.exists("/late") is None
        assert refusals(server, client.session) == []


# An ensemble


@pytest.mark.parametrize("target", ["leader", "follower"])
def test_after_a_session_moved_what_waits_at_its_old_server_is_refused(ensemble, path, target):
    leader = ensemble.leader()
    old, other = ensemble.followers()
    new = leader if target == "leader" else other
    with WireClient(old.address) as client:
        old.pause()
        client.submit_operation(Create(path))
        with resumed(client, new.address) as again:
            again.create(f"{path}-marker")
            old.resume()
            until(lambda: refusals(leader, client.session) == ["SessionMoved"])
            again.sync()
            assert again.exists(path) is None
    assert created(leader, path) is None


def test_after_a_session_moved_what_is_between_old_server_and_leader_is_refused(ensemble, path):
    leader = ensemble.leader()
    old, new = ensemble.followers()
    with WireClient(old.address) as client:
        ensemble.separate(old.number, leader.number)
        client.submit_operation(Create(path))
        with resumed(client, new.address) as again:
            again.create(f"{path}-marker")
            ensemble.rejoin(old.number, leader.number)
            until(lambda: refusals(leader, client.session) == ["SessionMoved"])
            again.sync()
            assert again.exists(path) is None


def test_after_a_session_moved_away_from_the_leader_its_requests_there_are_refused(ensemble, path):
    leader = ensemble.leader()
    new = ensemble.followers()[0]
    with FaultProxy(leader.address) as proxy, WireClient(proxy.address) as client:
        proxy.hold(coming=False)
        client.submit_operation(Create(path))
        with resumed(client, new.address) as again:
            again.create(f"{path}-marker")
            proxy.release()
            until(lambda: refusals(leader, client.session) == ["SessionMoved"])
            assert again.exists(path) is None


def test_a_new_session_elsewhere_does_not_stop_an_old_sessions_request(ensemble, path):
    leader = ensemble.leader()
    old, new = ensemble.followers()
    with WireClient(old.address) as client:
        old.pause()
        client.submit_operation(Create(path, ephemeral=True))
        client.abandon()
        with WireClient(new.address) as fresh:
            fresh.sync()
            assert fresh.exists(path) is None
            fresh.create(f"{path}-marker")
            old.resume()
            until(lambda: fresh.exists(path))
            assert fresh.exists(path).ephemeral_owner == client.session
    assert created(leader, path) > created(leader, f"{path}-marker")


def test_at_the_same_follower_a_new_connections_read_waits_for_the_sessions_writes(ensemble, path):
    leader = ensemble.leader()
    follower = ensemble.followers()[0]
    with WireClient(follower.address) as client:
        ensemble.delay(follower.number, leader.number, 0.2)
        client.submit_operation(Create(path))
        # What the follower has not read yet goes with the connection that ends.
        until(lambda: has_received(follower, client, 2))
        client.abandon()
        with resumed(client, follower.address) as again:
            assert again.exists(path) is not None
        ensemble.delay(follower.number, leader.number, 0)


@pytest.fixture
def debugged_follower():
    """An ensemble, a follower of it, and what can stop one of that follower's threads."""
    port = hold_port()
    ensemble = ZooKeeperEnsemble(3)
    follower = ensemble.servers[1]
    option = ThreadStopper.option(port.address.port)
    follower.settings = replace(follower.settings, jvm_options=(option,))
    try:
        # Who joins when a leader is found already becomes a follower.
        ensemble.servers[2].launch()
        ensemble.servers[3].launch()
        ensemble.leader()
        follower.start()
        with ThreadStopper(port.address.port) as stopper:
            yield ensemble, follower, stopper
    finally:
        ensemble.close()
        port.release()


@pytest.mark.parametrize("route", ["same server", "away and back", "other server"])
def test_a_request_stalled_in_a_follower_is_late_only_if_the_session_is_there(
    debugged_follower, route
):
    ensemble, follower, stopper = debugged_follower
    leader = ensemble.leader()
    new = leader if route == "other server" else follower
    with WireClient(follower.address) as client:
        client.sync()
        stopper.stop_next(*ENTRY_OF_PIPELINE)
        client.submit_operation(Create("/late"))
        thread = stopper.wait_until_stopped()
        client.abandon()
        if route == "away and back":
            resumed(client, leader.address).abandon()
        with resumed(client, new.address) as again:
            again.sync()
            assert again.exists("/late") is None
            again.create("/marker")
            stopper.resume(thread)
            if route == "other server":
                until(lambda: refusals(leader, client.session) == ["SessionMoved"])
                assert again.exists("/late") is None
            else:
                until(lambda: created(leader, "/late"))
                assert created(leader, "/late") > created(leader, "/marker")


def test_dump_of_the_leader_knows_all_sessions(ensemble):
    with WireClient(ensemble.followers()[0].address) as client:
        assert client.session in dump(ensemble.leader().address).alive
