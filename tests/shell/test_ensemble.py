"""An election on three servers, which come and go."""

from __future__ import annotations

import itertools
import time

import pytest

from keepstep.shell import Create, LeadershipLost, WriteUnknown
from keepstep.testing import Observer, ZooKeeperEnsemble

pytestmark = [pytest.mark.zookeeper, pytest.mark.full]


def write_as_whoever_leads(elections, path, timeout=20.0):
    """Write until it is done; returns the epoch under which it was."""
    end = time.monotonic() + timeout
    candidates = itertools.cycle(elections)
    while time.monotonic() < end:
        election = next(candidates)
        epoch = election.wait_until_elected(0.02)
        try:
            if epoch is not None:
                election.write(Create(f"{path}-{epoch}-", sequential=True), epoch=epoch)
                return epoch
        except (LeadershipLost, WriteUnknown):
            continue
    raise AssertionError("nobody can write")


def test_the_election_survives_the_crash_of_each_server(elections, path):
    with ZooKeeperEnsemble(3) as ensemble:
        hosts = {"hosts": ensemble.hosts, "session_timeout": 4.0}
        first, second = elections(None, **hosts), elections(None, "B", **hosts)
        with first, second:
            epochs = [write_as_whoever_leads([first, second], path)]
            for server in [ensemble.leader(), *ensemble.followers()]:
                server.kill()
                epochs.append(write_as_whoever_leads([first, second], path))
                server.start()
        assert epochs == sorted(epochs)
        with Observer(ensemble.leader().address) as observer:
            assert observer.children(path) == []
