"""Our contenders and Curator's LeaderLatch participants elect one leader together."""

from __future__ import annotations

import time

import pytest

pytestmark = [pytest.mark.zookeeper, pytest.mark.tools]

HANDOVERS = 20


def require_one_believer_at_a_time(history):
    crowds = [sorted(present) for present in history.believers() if len(present) > 1]
    assert not crowds, f"{crowds[0]} believed to lead at the same time: {sorted(history.events)}"


def test_both_stamp_with_the_same_clock(bench):
    curator = bench.curator()
    before = time.monotonic()
    at = curator.participants()["at"]
    assert before <= at <= time.monotonic()


def test_they_hand_the_leadership_to_each_other(bench):
    curator, ours = bench.curator(), bench.ours()
    bench.wait_elected(curator, 1)
    for round_ in range(1, HANDOVERS + 1):
        curator.resign()
        bench.wait_elected(ours, round_)
        bench.wait(lambda: bench.queue() == ["keepstep", "curator"])
        assert ours.election.write() == []
        ours.resign()
        bench.wait_elected(curator, round_ + 1)
        bench.wait(lambda: bench.queue() == ["curator", "keepstep"])
    require_one_believer_at_a_time(bench.history)
    assert bench.history.count("keepstep", "elected") == HANDOVERS
    assert bench.history.count("curator", "elected") == HANDOVERS + 1


def test_each_reads_the_tickets_of_the_other(bench):
    first, second, third = bench.ours("http://one:1"), bench.curator("two"), bench.ours("three")
    bench.wait_elected(first, 1)
    told = second.participants()
    assert told["leader"] == "http://one:1"
    assert told["ids"] == ["http://one:1", "two", "three"]
    first.resign()
    bench.wait_elected(second, 1)
    second.resign()
    bench.wait_elected(third, 1)
    require_one_believer_at_a_time(bench.history)


def test_a_killed_latch_is_followed_by_ours_and_the_other_way_round(bench):
    curator, ours = bench.curator(), bench.ours()
    bench.wait_elected(curator, 1)
    curator.kill()
    bench.wait_elected(ours, 1)
    other = bench.curator("other")
    ours.end()
    bench.wait_elected(other, 1)


def test_two_believers_would_be_seen(bench):
    """The control: histories with and without an overlap."""
    history = bench.history
    history.add(1.0, "a", "elected")
    history.add(3.0, "a", "revoked")
    history.add(3.1, "b", "elected")
    require_one_believer_at_a_time(history)
    history.add(2.9, "c", "elected")
    with pytest.raises(AssertionError, match="at the same time"):
        require_one_believer_at_a_time(history)
