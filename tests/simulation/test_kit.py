"""The fake and real servers keep the same guarantees."""

from __future__ import annotations

import itertools

import pytest

from keepstep.errors import LocalViolation
from keepstep.simulation import FakeZooKeeper
from keepstep.testing.network.wire import Reply, Stat
from keepstep.testing.servers.admin import session_password
from keepstep.testing.zookeeper_kit import FakeService, check_names, check_zookeeper

ABOUT_SEVERAL_SERVERS = {
    "a_session_moves_between_servers",
    "a_moved_session_cannot_write_where_it_was",
    "a_moved_session_reads_on_where_it_was_but_at_the_leader",
    "a_new_session_does_not_see_the_ephemerals_of_one_that_expired",
    "a_server_that_is_behind_refuses_who_has_seen_more",
    "a_server_that_is_behind_shows_the_past",
    "an_expired_session_reads_on_at_a_server_that_is_behind",
    "sync_catches_up",
    "the_past_is_whole",
    "a_watch_tells_when_its_server_applies",
    "a_condition_is_about_the_present",
}


def fakes(servers):
    seeds = itertools.count()
    return lambda: FakeService(FakeZooKeeper(servers=servers, seed=next(seeds)))


def assert_all_kept(report, servers):
    assert not report.failed, report
    left_out = {result.name for result in report.not_applicable}
    assert left_out == (ABOUT_SEVERAL_SERVERS if servers == 1 else set())
    assert len(report.passed) == len(check_names()) - len(left_out)


@pytest.mark.parametrize("servers", [1, 2, 3, 5])
def test_the_fake_keeps_every_guarantee(servers):
    assert_all_kept(check_zookeeper(fakes(servers), rounds=10), servers)


@pytest.mark.zookeeper
def test_one_real_server_keeps_every_guarantee(one_server):
    assert_all_kept(check_zookeeper(lambda: one_server), 1)


@pytest.mark.zookeeper
def test_three_real_servers_keep_every_guarantee(three_servers):
    assert_all_kept(check_zookeeper(lambda: three_servers), 3)


def test_each_check_states_its_guarantee():
    for result in check_zookeeper(fakes(1)).results:
        assert result.guarantee.endswith("."), result.name
        assert "\n" not in result.guarantee


class Forgetful(FakeService):
    """A service that loses every session at once."""

    def connect(self, *args, **more):
        client = super().connect(*args, **more)
        self.zookeeper.expire(client.session)
        return client


def test_what_is_not_kept_is_said():
    service = Forgetful(FakeZooKeeper())
    report = check_zookeeper(lambda: service, only=["an_ephemeral_has_an_owner"])
    assert not report.passed
    (result,) = report.failed
    assert "ConnectionEnded" in result.reason
    assert "failed: an_ephemeral_has_an_owner: An ephemeral is owned by" in str(report)


def test_what_cannot_be_shown_is_not_passed():
    report = check_zookeeper(fakes(1), only=["sync_catches_up"])
    assert not report.passed
    assert not report.failed
    assert "cannot be behind" in str(report)


class Unending:
    """A client that goes wrong when it is to end."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def end(self):
        message = "no end"
        raise RuntimeError(message)


class NeverOver(FakeService):
    """A service whose sessions cannot be ended."""

    def connect(self, *args, **more):
        return Unending(super().connect(*args, **more))


def test_what_cannot_be_ended_is_said():
    only = ["an_ephemeral_has_an_owner"]
    assert check_zookeeper(fakes(1), only=only).passed
    (result,) = check_zookeeper(lambda: NeverOver(FakeZooKeeper()), only=only).failed
    assert result.reason.endswith("cannot be ended: RuntimeError: no end")


class IdleClient:
    """A client that takes every request for done, and has nothing to tell."""

    def __init__(self, session):
        self.session = session
        self.password = session_password(session)
        self.notifications = []

    def __getattr__(self, name):
        told = {
            "submit": 1,
            "submit_operation": 1,
            "answer": Reply(1, 1, 0, b""),
            "set_data": NO_STAT,
            "get_data": (b"", NO_STAT),
            "get_children": [],
            "end": 0,
        }
        return lambda *_args, **_more: told.get(name)

    def create(self, path, *_args, **_more):
        return path


class Idle(FakeService):
    """A service that does nothing at all, and complains of nothing."""

    def __init__(self):
        super().__init__(FakeZooKeeper(servers=3))
        self._sessions = itertools.count(1)

    def connect(self, _server, session=0, *_args, **_more):
        return IdleClient(session or next(self._sessions))

    def expire(self, session):
        pass


NO_STAT = Stat(*[0] * len(Stat._fields))


def test_who_does_nothing_keeps_no_guarantee():
    report = check_zookeeper(Idle)
    assert not report.passed, report
    assert len(report.failed) == len(check_names())


def test_no_round_shows_nothing():
    with pytest.raises(LocalViolation, match="rounds show nothing"):
        check_zookeeper(fakes(1), rounds=0)


def test_a_check_that_does_not_exist_is_told():
    with pytest.raises(LocalViolation, match="no check 'sync_catches_upp'"):
        check_zookeeper(fakes(1), only=["sync_catches_upp"])
