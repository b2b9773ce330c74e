"""The ways of a client to several servers, broken as one."""

from __future__ import annotations

import socket

import pytest

from keepstep.testing import FaultProxy, WireClient, ZooKeeperServer
from keepstep.testing.network.ways import Ways
from keepstep.testing.network.wire import ConnectionEnded


@pytest.fixture
def upstream():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()


def test_whoever_comes_as_the_proxy_begins_to_refuse_is_turned_away(upstream):
    """A connection that was taken and then forgotten would leave its client waiting."""
    for _ in range(40):
        with FaultProxy(upstream, framed=False) as proxy:
            client = socket.create_connection(proxy.address, 5)
            proxy.refuse()
            client.settimeout(5)
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass  # That is being turned away, too.
            finally:
                client.close()


def test_several_ways_are_one(upstream):
    with FaultProxy(upstream) as one, FaultProxy(upstream) as other:
        ways = Ways({1: one, 2: other})
        assert ways.hosts == f"{one.address},{other.address}"
        clients = [socket.create_connection(proxy.address, 5) for proxy in (one, other)]
        while one.open_connections + other.open_connections < 2:
            pass
        assert ways.hold().connections == 2
        assert ways.release().fault == "release"
        assert ways.delay(0.1).connections == 2
        assert (one.delay_seconds, other.delay_seconds) == (0.1, 0.1)
        assert ways.cut().connections == 2
        assert ways.cut().connections == 0
        ways.heal()
        assert one.delay_seconds == other.delay_seconds == 0.0
        for client in clients:
            client.close()


@pytest.mark.zookeeper
@pytest.mark.parametrize("fault", ["dropped reply", "dropped request"])
def test_only_the_first_write_is_lost_whichever_way_it_takes(fault):
    with (
        ZooKeeperServer() as server,
        FaultProxy(server.address) as one,
        FaultProxy(server.address) as other,
    ):
        ways = Ways({1: one, 2: other})
        planned = ways.drop_next_reply() if fault == "dropped reply" else ways.drop_next_request()
        assert (planned.fault, planned.pending, planned.effect) == (fault, True, None)
        with WireClient(other.address) as client:
            assert client.exists("/a") is None
            with pytest.raises(ConnectionEnded):
                client.create("/a")
        assert not planned.pending
        assert planned.effect is not None
        assert planned.effect.applied is (fault == "dropped reply")
        with WireClient(one.address) as client:
            client.create("/b")
            assert (client.exists("/a") is not None) is planned.effect.applied
        ways.heal()
        ways.drop_next_reply()
        ways.heal()
        with WireClient(one.address) as client:
            client.create("/c")
