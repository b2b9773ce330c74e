"""One server for all tests, and for each test its own path and people."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import pytest
from kazoo.client import KazooClient
from peers import Peer

from keepstep.testing import Observer, TransactionLog, ZooKeeperServer

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer() as server:
        yield server


@pytest.fixture
def observer(server: ZooKeeperServer) -> Iterator[Observer]:
    """Reads the tree with a session of its own, and believes nobody."""
    with Observer(server.address) as observer:
        yield observer


@pytest.fixture
def log(server: ZooKeeperServer) -> TransactionLog:
    """What the server has applied since the test began."""
    log = TransactionLog(server.data_directory)
    log.read()
    return log


@pytest.fixture
def path() -> str:
    """A path that only this test uses."""
    return f"/recipes/{next(numbers)}"


@pytest.fixture
def meet(server: ZooKeeperServer) -> Iterator[Callable[..., Peer]]:
    """Makes people; they are gone after the test."""
    with contextlib.ExitStack() as met:

        def make(kind: type[KazooClient] = KazooClient) -> Peer:
            peer = Peer(server, kind)
            met.callback(peer.close)
            return peer

        yield make


@pytest.fixture
def alice(meet: Callable[..., Peer]) -> Peer:
    return meet()


@pytest.fixture
def bob(meet: Callable[..., Peer]) -> Peer:
    return meet()


@pytest.fixture(params=[False, True], ids=["control", "fault"])
def fault(request: pytest.FixtureRequest) -> bool:
    """Each test runs twice: without its fault the promise is kept, with it it is broken."""
    return bool(request.param)
