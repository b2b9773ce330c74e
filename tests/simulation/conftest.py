from __future__ import annotations

import pytest

from keepstep.testing import ServerSettings, ZooKeeperEnsemble, ZooKeeperServer
from keepstep.testing.zookeeper_kit import RealService

PATIENT = ServerSettings(tick=0.5, sync_limit=20)
"""A follower that hears nothing for a while stays a follower."""


@pytest.fixture(scope="session")
def lone():
    with ZooKeeperServer() as server:
        yield server


@pytest.fixture(scope="session")
def one_server(lone):
    return RealService(lone)


@pytest.fixture(scope="session")
def three_servers():
    with ZooKeeperEnsemble(3, PATIENT, links=True) as ensemble:
        yield RealService(ensemble)
