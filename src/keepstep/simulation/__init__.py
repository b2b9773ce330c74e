"""A ZooKeeper in memory, derived from the environment module `ZooKeeperService`."""

from keepstep.simulation.client import FakeClient
from keepstep.simulation.fake import FakeZooKeeper

__all__ = ["FakeClient", "FakeZooKeeper"]
