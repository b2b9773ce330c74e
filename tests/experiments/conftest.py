from __future__ import annotations

import itertools

import pytest

from keepstep.testing import ServerSettings, ZooKeeperEnsemble, ZooKeeperServer
from keepstep.testing.network.ports import hold_port

from .thread_stopper import ThreadStopper

# A follower may be out of touch for 5 s, longer than any of these experiments keeps it so.
SETTINGS = ServerSettings(sync_limit=25)


@pytest.fixture(scope="module")
def server():
    with ZooKeeperServer() as server:
        yield server


@pytest.fixture(scope="module")
def ensemble():
    with ZooKeeperEnsemble(3, SETTINGS, links=True) as ensemble:
        yield ensemble


@pytest.fixture
def debugged():
    """A server, and what can stop one of its threads."""
    port = hold_port()
    option = ThreadStopper.option(port.address.port)
    with (
        ZooKeeperServer(ServerSettings(jvm_options=(option,))) as server,
        ThreadStopper(port.address.port) as stopper,
    ):
        yield server, stopper
    port.release()


_numbers = itertools.count()


@pytest.fixture
def path():
    """A path that only this test uses."""
    return f"/experiment-{next(_numbers)}"
