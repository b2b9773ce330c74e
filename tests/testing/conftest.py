from __future__ import annotations

import itertools

import pytest

from keepstep.testing import Observer, WireClient, ZooKeeperServer


@pytest.fixture(scope="session")
def shared_server():
    with ZooKeeperServer() as server:
        yield server


_numbers = itertools.count()


@pytest.fixture
def folder(shared_server):
    """The path of a znode that only this test uses."""
    path = f"/test-{next(_numbers)}"
    with WireClient(shared_server.address) as client:
        client.create(path)
    return path


@pytest.fixture
def observer(shared_server):
    with Observer(shared_server.address) as observer:
        yield observer
