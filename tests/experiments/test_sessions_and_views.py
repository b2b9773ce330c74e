"""What a session's end, a lagging follower and a new incarnation look like to clients."""

from __future__ import annotations

import threading
import time

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import ConnectionLoss, SessionExpiredError

from keepstep.testing import (
    ConnectionEnded,
    FaultProxy,
    Observer,
    Refusal,
    SessionGone,
    WireClient,
    dump,
    expire,
)

pytestmark = pytest.mark.zookeeper

RETRY = {"max_tries": -1, "delay": 0.02, "backoff": 1.5, "max_delay": 0.2}


def until(condition, seconds=8.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.002)


@pytest.fixture
def proxy(server):
    with FaultProxy(server.address) as proxy:
        yield proxy


@pytest.fixture
def kazoo(proxy):
    client = KazooClient(str(proxy.address), timeout=4, connection_retry=RETRY)
    client.start()
    yield client
    proxy.heal()
    client.stop()
    client.close()


# kazoo 2.11


def test_a_request_made_while_suspended_is_executed_after_the_reconnect(kazoo, proxy, path, server):
    session = kazoo.client_id[0]
    proxy.refuse()
    until(lambda: kazoo.state == KazooState.SUSPENDED)
    asked = kazoo.create_async(path, ephemeral=True)
    proxy.accept()
    assert asked.get(timeout=5) == path
    with Observer(server.address) as observer:
        assert observer.read(path).stat.ephemeral_owner == session


def test_a_request_that_was_on_its_way_fails_when_suspended_and_is_not_sent_again(
    kazoo, proxy, path, server
):
    planned = proxy.drop_next_request()
    with pytest.raises(ConnectionLoss):
        kazoo.create(path)
    assert planned.wait(1).applied is False
    until(lambda: kazoo.connected)
    kazoo.sync("/")
    with Observer(server.address) as observer:
        assert observer.read(path) is None


def test_a_request_made_while_suspended_fails_if_the_session_has_expired(
    kazoo, proxy, path, server
):
    session = kazoo.client_id[0]
    proxy.refuse()
    until(lambda: kazoo.state == KazooState.SUSPENDED)
    asked = kazoo.create_async(path, ephemeral=True)
    expire(server.address, session)
    proxy.accept()
    with pytest.raises(SessionExpiredError):
        asked.get(timeout=5)
    until(lambda: kazoo.connected)
    with Observer(server.address) as observer:
        assert observer.read(path) is None


def test_a_request_made_after_lost_is_executed_under_the_new_session(kazoo, proxy, path, server):
    """LOST is told before the reconnect; what is asked in between joins the next session."""
    session = kazoo.client_id[0]
    lost = threading.Event()

    def listener(state):
        if state == KazooState.LOST:
            # Keeps the new session from being made until the request stands in the queue.
            proxy.hold()
            lost.set()

    kazoo.add_listener(listener)
    proxy.refuse()
    until(lambda: kazoo.state == KazooState.SUSPENDED)
    expire(server.address, session)
    proxy.accept()
    assert lost.wait(5)
    until(lambda: kazoo.client_state == "CONNECTING")
    asked = kazoo.create_async(path, ephemeral=True)
    assert not kazoo.connected
    proxy.release()
    assert asked.get(timeout=5) == path
    with Observer(server.address) as observer:
        owner = observer.read(path).stat.ephemeral_owner
    assert owner == kazoo.client_id[0] != session


def test_kazoo_tells_lost_only_when_it_reaches_a_server_again(kazoo, proxy, server, path):
    kazoo.create(path, ephemeral=True)
    session = kazoo.client_id[0]
    proxy.refuse()
    until(lambda: session not in dump(server.address).alive)
    assert kazoo.state == KazooState.SUSPENDED
    with Observer(server.address) as observer:
        assert observer.read(path) is None
    assert kazoo.state == KazooState.SUSPENDED
    proxy.accept()
    until(lambda: kazoo.connected and kazoo.client_id[0] != session)


# Views


def test_a_lagging_follower_answers_with_the_past_until_it_is_synced(ensemble, path):
    leader = ensemble.leader()
    follower = ensemble.followers()[0]
    with WireClient(leader.address) as writer, WireClient(follower.address) as reader:
        writer.create(path, b"old")
        reader.sync()
        ensemble.delay(follower.number, leader.number, 0.3)
        writer.set_data(path, b"new")
        assert reader.get_data(path)[0] == b"old"
        reader.sync()
        assert reader.get_data(path)[0] == b"new"
        ensemble.delay(follower.number, leader.number, 0)


def test_the_session_after_an_expired_one_does_not_see_its_ephemerals(ensemble, path):
    leader = ensemble.leader()
    follower = ensemble.followers()[0]
    with WireClient(follower.address) as bystander:
        stale = 0
        for number in range(5):
            here = f"{path}-{number}"
            with WireClient(follower.address) as client:
                client.create(here, ephemeral=True)
                bystander.sync()
                ensemble.delay(follower.number, leader.number, 0.1)
                expire(leader.address, client.session)
                # The control: this follower has not heard of it yet, and tells so to others.
                stale += bystander.exists(here) is not None
                with WireClient(follower.address) as fresh:
                    assert fresh.exists(here) is None
                ensemble.delay(follower.number, leader.number, 0)
        assert stale == 5


def test_the_session_after_one_that_was_given_up_sees_its_ephemerals(server, path):
    with WireClient(server.address, session_timeout=1) as client:
        client.create(path, ephemeral=True)
        client.abandon()
        with WireClient(server.address) as fresh:
            fresh.sync()
            assert fresh.exists(path).ephemeral_owner == client.session != fresh.session
            with pytest.raises(Refusal, match="NodeExists"):
                fresh.create(path, ephemeral=True)
            # It goes with the session's timeout, without anybody's help.
            until(lambda: fresh.exists(path) is None)
        assert client.session not in dump(server.address).alive


# Numbers that begin again


def test_sequence_numbers_count_all_children_and_restart_with_their_parent(server, path):
    with WireClient(server.address) as client:
        client.create(path)
        assert client.create(f"{path}/n-", sequential=True) == f"{path}/n-0000000000"
        client.create(f"{path}/other")
        client.delete(f"{path}/other")
        # The server names a child after the parent's count of creates and deletes, halved.
        assert client.create(f"{path}/n-", sequential=True) == f"{path}/n-0000000002"
        for name in client.get_children(path):
            client.delete(f"{path}/{name}")
        client.delete(path)
        client.create(path)
        assert client.create(f"{path}/n-", sequential=True) == f"{path}/n-0000000000"


def test_versions_restart_when_a_znode_is_made_anew_and_zxids_do_not(server, path):
    with WireClient(server.address) as client:
        client.create(path)
        assert client.set_data(path, b"").version == 1
        before = client.exists(path)
        client.delete(path)
        client.create(path)
        after = client.exists(path)
        assert (before.version, after.version) == (1, 0)
        assert after.czxid > before.mzxid


def test_after_a_wipe_everything_restarts_and_old_sessions_are_refused(server, path):
    with WireClient(server.address) as client:
        client.create(path)
        client.set_data(path, b"")
        before = client.exists(path)
    server.wipe()
    with WireClient(server.address) as client:
        client.create(path)
        after = client.exists(path)
        assert (after.version, after.czxid < before.czxid) == (0, True)


def test_after_a_wipe_a_client_that_has_seen_later_transactions_is_turned_away(server, path):
    with WireClient(server.address) as client:
        for number in range(5):
            client.create(f"{path}-{number}")
        newest = client.exists(f"{path}-4").czxid
        password, session = client.password, client.session
        server.wipe()
        with pytest.raises(ConnectionEnded):
            WireClient(server.address, session=session, password=password, last_zxid=newest)
    with WireClient(server.address) as other:
        # Once the server has caught up, it answers: it does not know the session.
        other.create(path)
        while other.set_data(path, b"").mzxid < newest:
            continue
        with pytest.raises(SessionGone):
            WireClient(server.address, session=session, password=password, last_zxid=newest)


def test_a_restart_gives_each_session_its_full_timeout_again(server, path):
    with WireClient(server.address, session_timeout=1) as client:
        client.create(path, ephemeral=True)
        client.abandon()
        server.kill()
        # Longer than the session timeout and the tick to which it is rounded up.
        down_until = time.monotonic() + 1.5
        until(lambda: time.monotonic() > down_until)
        server.start()
        with WireClient(server.address) as other:
            assert other.exists(path).ephemeral_owner == client.session
            until(lambda: other.exists(path) is None)
