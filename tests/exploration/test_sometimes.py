"""What has to happen sometimes: reached, not reached, and never looked for are told apart."""

from __future__ import annotations

import pytest

from keepstep.errors import LocalViolation
from keepstep.testing.sometimes import Goals, Sometimes, sometimes

TWO = Sometimes("two believers", "the fence is needed only then")
LOST = Sometimes("lost reply", "a write was applied and nobody heard")


def test_a_campaign_that_reached_everything_is_conclusive() -> None:
    goals = Goals(TWO, LOST)
    with goals.watching():
        assert not sometimes(0, "two believers")
        assert sometimes([1], "two believers")
        sometimes(1, "lost reply")
    assert goals.conclusive
    assert goals.exit_code == 0
    assert list(goals.gaps()) == []


def test_what_was_never_reached_is_named_with_its_reason() -> None:
    goals = Goals(TWO, LOST)
    for _ in range(3):
        goals.sometimes(condition=False, name="two believers")
    assert goals.unreached() == [TWO, LOST]
    assert goals.exit_code == 3
    assert list(goals.gaps()) == [
        "'two believers' never happened (was looked for 3 times): the fence is needed only then",
        "'lost reply' never happened (was never looked for): a write was applied and nobody heard",
    ]


def test_no_goals_are_reached_at_once() -> None:
    assert Goals().conclusive


def test_names_are_checked() -> None:
    goals = Goals(TWO)
    with pytest.raises(LocalViolation, match="not among"):
        goals.sometimes(condition=True, name="two belivers")
    goals.add(TWO)
    assert len(goals) == 1
    with pytest.raises(LocalViolation, match="two things called"):
        goals.add(Sometimes("two believers", "another reason"))
    with pytest.raises(LocalViolation, match="a name and a reason"):
        Sometimes("no reason", "")


def test_outside_of_a_campaign_nobody_watches() -> None:
    with pytest.raises(LocalViolation, match="nobody watches"):
        sometimes(condition=True, name="two believers")
    outer, inner = Goals(TWO), Goals(TWO)
    with outer.watching():
        with inner.watching():
            sometimes(condition=True, name="two believers")
        sometimes(condition=False, name="two believers")
    assert inner.conclusive
    assert not outer.conclusive


def test_a_campaign_goes_on_from_its_state() -> None:
    before, after = Goals(TWO, LOST), Goals(TWO)
    before.sometimes(condition=True, name="two believers")
    after.take_up(before.to_json())
    assert after.conclusive
    assert after.asked == {"two believers": 1}
    with pytest.raises(LocalViolation, match="does not say"):
        after.take_up({"two believers": 3})
