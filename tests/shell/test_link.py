"""The promises that the adapter makes on kazoo's behalf, for the supported version."""

from __future__ import annotations

import queue
import threading

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss
from kazoo.protocol.states import KazooState

from keepstep.errors import LocalViolation
from keepstep.shell import link as link_module
from keepstep.shell.inbox import Answer, LinkDown, LinkEnded, LinkUp
from keepstep.shell.link import Link, connect, validate_client
from keepstep.testing import FaultProxy, WireClient
from keepstep.testing.servers.admin import dump

RETRY = {"max_tries": -1, "delay": 0.05, "max_delay": 0.3}


class Linked:
    def __init__(self, address, timeout=4.0):
        self.arrivals = queue.SimpleQueue()
        self.link = Link(
            connect(str(address), timeout, {}), self.arrivals.put, owned=True, connection=1
        )
        self.link.start()

    def next(self, kind, timeout=10.0):
        while True:
            arrival = self.arrivals.get(timeout=timeout)
            if isinstance(arrival, kind):
                return arrival


@pytest.fixture
def linked(shared_server):
    linked = Linked(shared_server.address)
    yield linked
    linked.link.close(5.0)


def test_connections_are_numbered_and_answers_carry_the_number(linked):
    up = linked.next(LinkUp)
    assert up.connection == 1
    assert linked.link.submit(1, 42, lambda zk: zk.exists_async("/"))
    answer = linked.next(Answer)
    assert (answer.connection, answer.call, answer.error) == (1, 42, None)


def test_a_cut_keeps_the_session(linked):
    session = linked.next(LinkUp).session
    linked.link.cut(1)
    assert linked.next(LinkDown) == LinkDown(2)
    assert linked.next(LinkUp) == LinkUp(2, session)


def test_no_connection_of_a_session_uses_the_request_numbers_of_an_earlier_one(linked):
    used = []
    for connection in (1, 2, 3):
        linked.next(LinkUp)
        for call in range(3):
            assert linked.link.submit(connection, call, lambda zk: zk.exists_async("/"))
            assert linked.next(Answer).error is None
            used.append(linked.link.client._connection._xid)
        linked.link.cut(connection)
    assert len(set(used)) == len(used)


def test_a_cut_of_an_earlier_connection_does_nothing(linked):
    linked.next(LinkUp)
    linked.link.cut(0)
    assert linked.link.submit(1, 1, lambda zk: zk.exists_async("/"))
    assert linked.next(Answer).error is None


def test_nothing_is_submitted_on_another_connection_than_the_one_meant(linked):
    linked.next(LinkUp)
    linked.link.cut(1)
    linked.next(LinkDown)
    linked.next(LinkUp)
    asked = []
    assert not linked.link.submit(1, 1, asked.append)
    assert not asked


def test_an_outstanding_request_fails_with_the_connection(shared_server):
    with FaultProxy(shared_server.address) as proxy:
        linked = Linked(proxy.address)
        linked.next(LinkUp)
        proxy.hold()
        linked.link.submit(1, 1, lambda zk: zk.exists_async("/"))
        linked.link.cut(1)
        assert isinstance(linked.next(Answer).error, ConnectionLoss)
        proxy.release()
        linked.link.close(5.0)


def test_a_request_made_between_the_loss_and_its_listeners_is_not_sent_later(
    linked, shared_server, path, monkeypatch
):
    """kazoo fails what is pending, then tells its listeners; what comes between is queued."""
    linked.next(LinkUp)
    client = linked.link.client
    results = []
    make_state_change = client._make_state_change

    def late(state):
        if state == KazooState.SUSPENDED:
            results.append(client.create_async(path.replace("/shell/", "/late-")))
        make_state_change(state)

    monkeypatch.setattr(client, "_make_state_change", late)
    linked.link.cut(1)
    linked.next(LinkUp)
    with pytest.raises(ConnectionLoss):
        results[0].get(timeout=10)
    linked.link.submit(2, 1, lambda zk: zk.sync_async("/"))
    assert linked.next(Answer).error is None
    with WireClient(shared_server.address) as outside:
        assert outside.exists(path.replace("/shell/", "/late-")) is None


def test_an_expired_session_is_told_as_down_ended_and_up(linked, shared_server, end_session):
    session = linked.next(LinkUp).session
    end_session(session)
    assert linked.next(LinkDown) == LinkDown(2)
    assert linked.next(LinkEnded).cause == "EXPIRED_SESSION"
    assert linked.next(LinkUp).session != session


def test_the_granted_session_timeout_is_known_after_the_first_answer(linked):
    linked.next(LinkUp)
    linked.link.submit(1, 1, lambda zk: zk.exists_async("/"))
    linked.next(Answer)
    assert linked.link.granted == 4.0


def test_the_granted_timeout_is_the_servers_not_ours(shared_server):
    linked = Linked(shared_server.address, timeout=500.0)
    linked.next(LinkUp)
    linked.link.submit(1, 1, lambda zk: zk.exists_async("/"))
    linked.next(Answer)
    assert linked.link.granted == 60.0
    linked.link.close(5.0)


def test_a_connection_that_is_there_already_is_taken_over(shared_server):
    client = KazooClient(str(shared_server.address), timeout=4.0, connection_retry=RETRY)
    client.start(timeout=10)
    arrivals = queue.SimpleQueue()
    link = Link(client, arrivals.put, owned=False, connection=5)
    link.start()
    assert arrivals.get(timeout=5) == LinkUp(5, client.client_id[0])
    link.submit(5, 1, lambda zk: zk.exists_async("/"))
    assert isinstance(arrivals.get(timeout=5), Answer)
    assert link.granted == 4.0
    assert link.close(5.0)
    assert client.connected, "a client that was handed in is left as it is"
    client.stop()
    client.close()


def test_closing_ends_the_session_and_leaves_no_thread(shared_server):
    before = threading.active_count()
    linked = Linked(shared_server.address)
    session = linked.next(LinkUp).session
    assert linked.link.close(5.0)
    assert session not in dump(shared_server.address).alive
    assert threading.active_count() <= before


def test_abandoning_leaves_the_session_to_the_server(shared_server, eventually):
    before = threading.active_count()
    linked = Linked(shared_server.address)
    session = linked.next(LinkUp).session
    linked.link.abandon()
    eventually(lambda: threading.active_count() <= before)
    assert session in dump(shared_server.address).alive


def test_another_version_of_kazoo_is_refused(monkeypatch):
    monkeypatch.setattr(link_module, "kazoo_version", "2.12.0")
    with pytest.raises(LocalViolation, match=r"2\.12\.0 is not supported"):
        Link(KazooClient("127.0.0.1:1"), print, owned=True, connection=1)


@pytest.mark.parametrize("hosts", ["", None, 7, "h:70000", "h:0"])
def test_hosts_are_validated(hosts):
    with pytest.raises(LocalViolation, match="hosts"):
        connect(hosts, 4.0, {})


@pytest.mark.parametrize("option", ["timeout", "connection_retry", "read_only", "nonsense"])
def test_options_that_are_ours_or_unknown_are_refused(option):
    with pytest.raises(LocalViolation, match=option):
        connect("h:1", 4.0, {option: 1})


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({}, "reconnect"),
        ({"connection_retry": RETRY | {"max_delay": 0.5}}, "max_delay=0.4"),
        ({"connection_retry": RETRY | {"max_tries": 3}}, "gives up"),
        ({"connection_retry": RETRY | {"deadline": 3}}, "gives up"),
        ({"connection_retry": RETRY, "read_only": True}, "read_only"),
    ],
)
def test_a_client_that_cannot_serve_is_refused_with_the_cure(arguments, word):
    with pytest.raises(LocalViolation, match=word):
        validate_client(KazooClient("127.0.0.1:1", timeout=4.0, **arguments))


def test_a_client_that_can_serve_is_accepted():
    client = KazooClient("127.0.0.1:1", timeout=4.0, connection_retry=RETRY)
    assert validate_client(client) == 4.0
    with pytest.raises(LocalViolation, match="KazooClient"):
        validate_client("127.0.0.1:1")
