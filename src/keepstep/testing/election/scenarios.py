"""Runs that were thought out: each leads to what chance would rarely reach.

Together they take every transition of the contender, and let every kind of fault hit a leader
in office. The suite always runs them before it leaves the choice to Hypothesis.
"""

from __future__ import annotations

from collections.abc import Mapping

from keepstep.testing.election.world import Step

__all__ = ["scenarios"]

_FROM_START = (
    "syncing",
    "ranking",
    "restoring",
    "joining",
    "verifying",
    "fencing",
    "founding",
    "raising",
    "leading",
)
"""States that the first contender of a new ensemble comes through, in order."""


def _step(rule: str, **arguments: int | str) -> Step:
    return Step(rule, arguments)


def _suspended_while_starting() -> list[Step]:
    """A connection that breaks in each state on the way to the first leadership.

    What exists already is not made again, so each state is reached by the first attempt that
    comes through it.
    """
    steps = [_step("start")]
    for state in _FROM_START:
        steps += [
            _step("reach", who=0, state=state),
            _step("cut", who=0),
            _step("deliver", who=0, lane="state"),
        ]
    return [*steps, _step("run")]


def _suspended_while_leading() -> list[Step]:
    cut = [_step("cut", who=0), _step("deliver", who=0, lane="state"), _step("run")]
    return [
        _step("begin", count=1),
        _step("write", who=0),
        *cut,
        _step("resign", who=0),
        *cut,
        _step("lapse", who=0),
        _step("deliver", who=0, lane="state"),
        _step("run"),
        _step("start"),
        _step("run"),
        _step("cut", who=1),
        _step("deliver", who=1, lane="state"),
        _step("run"),
        _step("give_up", who=0),
        _step("reach", who=0, state="discarding"),
        *cut,
    ]


def _lapsed_after_leading(state: str) -> list[Step]:
    """A leader whose connection breaks, and whose deadline passes in a later state."""
    return [
        _step("begin", count=1),
        _step("cut", who=0),
        _step("deliver", who=0, lane="state"),
        _step("reach", who=0, state=state),
        _step("lapse", who=0),
        _step("run"),
    ]


def _lapsed_after(trouble: list[Step], state: str) -> list[Step]:
    return [
        _step("begin", count=2),
        *trouble,
        _step("reach", who=0, state=state),
        _step("lapse", who=0),
        _step("run"),
    ]


def scenarios() -> Mapping[str, list[Step]]:
    """The scenarios by name; each begins with an election of its own."""
    found = {
        "suspended while starting": _suspended_while_starting(),
        "suspended while leading": _suspended_while_leading(),
        "handing over in turn": [
            _step("begin", count=3),
            _step("write", who="leader"),
            _step("run"),
            *[_step("resign", who="leader"), _step("run")] * 4,
            _step("stop", who="leader"),
            _step("run"),
        ],
        "lapsing": [
            _step("begin", count=2),
            _step("lapse", who="leader"),
            _step("run"),
            _step("write", who="leader"),
            _step("lapse", who="leader"),
            _step("run"),
        ],
        "killed": [_step("begin", count=2), _step("kill", who="leader"), _step("start")],
        "expired": [
            _step("begin", count=2),
            _step("pause", who="leader"),
            _step("expire", who="leader"),
            _step("run"),
            _step("resume", who=0),
            _step("run"),
        ],
        "given up": [_step("begin", count=2), _step("give_up", who="leader"), _step("run")],
        "held": [
            _step("begin", count=2),
            _step("hold", who="leader"),
            _step("write", who="leader"),
            _step("delete_ticket", position=0),
            _step("reach", who=1, state="leading"),
            _step("release", who=0),
            _step("run"),
        ],
        "slow": [
            _step("begin", count=2),
            _step("delay", who="leader"),
            _step("write", who="leader"),
            _step("run"),
        ],
        "unheard": [_step("begin", count=2), _step("drop_reply", who="leader"), _step("run")],
        "lost": [_step("begin", count=2), _step("drop_request", who="leader"), _step("run")],
        "ticket unheard": [_step("begin", count=1), _step("drop_reply", who=1), _step("run")],
        "ticket lost": [_step("begin", count=1), _step("drop_request", who=1), _step("run")],
        "deposed": [
            _step("begin", count=2),
            _step("delete_ticket", position=0),
            _step("reach", who=1, state="leading"),
            _step("write", who=0),
            _step("write", who=1),
            _step("run"),
        ],
        "outbid": [
            _step("begin", count=1),
            _step("start"),
            _step("reach", who=1, state="waiting"),
            _step("resign", who=0),
            _step("reach", who=1, state="fencing"),
            # The epoch is read in two steps; after this one its old value is under way.
            _step("deliver", who=1),
            _step("reach", who=0, state="waiting"),
            _step("delete_ticket", position=0),
            _step("reach", who=0, state="leading"),
            _step("run"),
        ],
        "ticket gone while waiting": [
            _step("begin", count=1),
            _step("start"),
            _step("reach", who=1, state="joining"),
            _step("reach", who=1, state="ranking"),
            _step("delete_ticket", position=0),
            _step("reach", who=1, state="waiting"),
            _step("run"),
        ],
        "ticket gone while verifying": [
            _step("start"),
            _step("reach", who=0, state="joining"),
            _step("reach", who=0, state="ranking"),
            _step("delete_ticket", position=0),
            _step("run"),
        ],
        "ticket gone while raising": [
            _step("begin", count=1),
            _step("resign", who=0),
            _step("reach", who=0, state="fencing"),
            _step("delete_ticket", position=0),
            _step("run"),
        ],
        "parent gone": [_step("begin", count=2), _step("delete_parent"), _step("run")],
        "parent gone while joining": [
            _step("begin", count=1),
            _step("start"),
            _step("reach", who=1, state="ranking"),
            _step("delete_parent"),
            _step("run"),
        ],
        "restarted": [_step("begin", count=2), _step("restart_server"), _step("run")],
        "wiped": [_step("begin", count=2), _step("wipe_server"), _step("run")],
        "lapsed after a wipe": [
            _step("begin", count=1),
            _step("wipe_server"),
            _step("give_up", who=0),
            _step("reach", who=0, state="founding"),
            _step("lapse", who=0),
            _step("run"),
        ],
    }
    for state in ("offline", "syncing", "ranking", "verifying", "fencing", "raising"):
        found[f"lapsed after leading, in {state}"] = _lapsed_after_leading(state)
    resign = [_step("resign", who=0)]
    for state in ("leaving", "joining", "waiting"):
        found[f"lapsed after a resignation, in {state}"] = _lapsed_after(resign, state)
    found["lapsed after the parent was gone"] = _lapsed_after(
        [_step("delete_parent"), _step("write", who=0)], "restoring"
    )
    found["lapsed with an old ticket"] = _lapsed_after([_step("give_up", who=0)], "discarding")
    return found
