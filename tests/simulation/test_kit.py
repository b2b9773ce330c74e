"""The fake and real servers keep the same guarantees."""

from __future__ import annotations

import itertools

import pytest

from keepstep.errors import LocalViolation
from keepstep.simulation import FakeZooKeeper
from keepstep.testing.zookeeper_kit import FakeService, check_names, check_zookeeper

ABOUT_SEVERAL_SERVERS = {
    "a_session_moves_between_servers",
    "a_moved_session_cannot_write_where_it_was",
    "a_new_session_does_not_see_the_ephemerals_of_one_that_expired",
    "a_server_that_is_behind_shows_the_past",
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


def test_a_check_that_does_not_exist_is_told():
    with pytest.raises(LocalViolation, match="no check 'sync_catches_upp'"):
        check_zookeeper(fakes(1), only=["sync_catches_upp"])
