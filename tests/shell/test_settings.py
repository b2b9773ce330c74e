from __future__ import annotations

import math

import pytest
from kazoo.security import OPEN_ACL_UNSAFE

from keepstep.errors import LocalViolation
from keepstep.shell import ElectionSettings
from keepstep.shell.settings import heartbeat_time, leading_time


def settings(**changes):
    return ElectionSettings(**({"path": "/e", "identity": "A"} | changes))


def test_defaults_fit_a_default_server():
    made = settings()
    assert made.fence_path == "/keepstep/e"
    assert made.answer_time == 5.0
    assert leading_time(made.session_timeout, made.tick) == pytest.approx(5.5)


def test_a_leader_stops_two_ticks_and_a_margin_before_its_session_can_end():
    assert leading_time(4.0, 0.2) == pytest.approx(4.0 - 0.4 - 0.2)


@pytest.mark.parametrize(("timeout", "tick"), [(8.0, 2.0), (4.0, 1.0), (0.8, 0.2)])
def test_a_session_of_at_most_four_ticks_is_refused_with_the_cure(timeout, tick):
    with pytest.raises(LocalViolation, match=r"more than .* longer session, or set tick"):
        settings(session_timeout=timeout, tick=tick)


def test_a_heartbeat_comes_well_before_the_deadline():
    for timeout, tick in [(4.01, 1.0), (10.0, 2.0), (4.0, 0.2)]:
        assert heartbeat_time(timeout) < leading_time(timeout, tick) - timeout / 6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("path", "e"),
        ("identity", ""),
        ("session_timeout", 0),
        ("session_timeout", "4"),
        ("session_timeout", True),
        ("session_timeout", math.nan),
        ("session_timeout", math.inf),
        ("session_timeout", 0.1),
        ("tick", -1.0),
        ("fence_path", "x"),
        ("epoch_floor", -1),
        ("epoch_floor", 1.0),
        ("acl", []),
        ("acl", "world"),
        ("request_timeout", 0),
    ],
)
def test_each_argument_is_validated(name, value):
    with pytest.raises(LocalViolation, match=name):
        settings(**{"tick": 0.01, name: value})


@pytest.mark.parametrize(("path", "fence"), [("/e", "/e/epoch"), ("/a/e", "/a"), ("/e", "/e")])
def test_the_epoch_must_lie_outside_the_latch(path, fence):
    with pytest.raises(LocalViolation, match="Curator would take"):
        settings(path=path, fence_path=fence)


def test_what_is_right_is_accepted():
    made = settings(fence_path="/f", acl=OPEN_ACL_UNSAFE, epoch_floor=7, request_timeout=1)
    assert made.answer_time == 1
