"""What an election can be told before it starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keepstep.errors import LocalViolation
from keepstep.znodes.epoch import default_fence_path
from keepstep.znodes.latch import encode_participant
from keepstep.znodes.paths import is_within, validate_path

__all__ = [
    "DEFAULT_SESSION_TIMEOUT",
    "DEFAULT_TICK",
    "ElectionSettings",
    "heartbeat_time",
    "leading_time",
]

DEFAULT_SESSION_TIMEOUT = 10.0
"""Seconds; kazoo's default as well."""

DEFAULT_TICK = 2.0
"""Seconds; what ZooKeeper's own sample configuration has as tickTime."""

SHORTEST_SESSION_TIMEOUT = 0.5
"""Seconds; with less, kazoo's pings come too late on an idle machine already."""

_WATCHDOG_PATIENCE = 2.0


def _seconds(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LocalViolation(f"{name} must be a number of seconds, not {value!r}")
    if value <= 0:
        raise LocalViolation(f"{name} must be more than 0 seconds, not {value!r}")
    return float(value)


def leading_time(session_timeout: float, tick: float) -> float:
    """For how long a leader may act on one acknowledged write, counted from its sending.

    The server may count time in ticks, so its view of our session can differ from ours by
    two of them; a twentieth of the session timeout is left for our own slowness.

    Raises:
        LocalViolation: The session timeout is at most four ticks.
    """
    if session_timeout <= 4 * tick:
        raise LocalViolation(
            f"a session timeout of {session_timeout:g} s is too short for servers with a tick of"
            f" {tick:g} s: it must be more than {4 * tick:g} s; ask for a longer session, or set"
            " tick to the tickTime of your servers"
        )
    return session_timeout - 2 * tick - session_timeout / 20


def heartbeat_time(session_timeout: float) -> float:
    """After how long an idle leader writes, to learn whether it still leads."""
    return session_timeout / 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectionSettings:
    """An election and our part in it; each argument is validated.

    Attributes:
        path: Directory of the election's tickets, as given to Curator's LeaderLatch.
        identity: Our participant id, for example "http://host:8090".
        session_timeout: Seconds that our session outlives its last sign of life. Longer than
            four ticks, and longer than syncLimit ticks of an ensemble: a follower that lost
            its leader answers for so long.
        tick: Seconds; the tickTime of the servers.
        fence_path: Where the epoch is kept; "" means "/keepstep" followed by `path`. Every
            participant of one election must name the same.
        epoch_floor: Where epochs begin when the epoch is founded. Who owns data outside of
            ZooKeeper gives the highest epoch found there.
        acl: kazoo ACLs of all the znodes we create; None for the client's default.
        request_timeout: Seconds to wait for an answer before the connection is cut; None
            for half of the session timeout.

    Raises:
        LocalViolation: By the constructor, if an argument cannot be used.
    """

    path: str
    identity: str
    session_timeout: float = DEFAULT_SESSION_TIMEOUT
    tick: float = DEFAULT_TICK
    fence_path: str = ""
    epoch_floor: int = 0
    acl: Sequence[Any] | None = None
    request_timeout: float | None = None

    def __post_init__(self) -> None:
        validate_path(self.path)
        encode_participant(self.identity)
        fence_path = self.fence_path or default_fence_path(self.path)
        validate_path(fence_path, "fence_path")
        if is_within(fence_path, self.path) or is_within(self.path, fence_path):
            raise LocalViolation(
                f"fence_path {fence_path!r} and path {self.path!r} must not lie within each"
                " other: Curator would take the epoch for a contender"
            )
        object.__setattr__(self, "fence_path", fence_path)
        timeout = _seconds(self.session_timeout, "session_timeout")
        if timeout < SHORTEST_SESSION_TIMEOUT:
            raise LocalViolation(
                f"session_timeout must be at least {SHORTEST_SESSION_TIMEOUT:g} s, not {timeout:g}"
            )
        leading_time(timeout, _seconds(self.tick, "tick"))
        if type(self.epoch_floor) is not int or self.epoch_floor < 0:
            raise LocalViolation(f"epoch_floor must be a number from 0, not {self.epoch_floor!r}")
        if self.acl is not None and (isinstance(self.acl, str) or not list(self.acl)):
            raise LocalViolation("acl must be a list of kazoo ACLs that is not empty, or None")
        if self.request_timeout is not None:
            _seconds(self.request_timeout, "request_timeout")

    @property
    def answer_time(self) -> float:
        """Seconds to wait for an answer."""
        return self.session_timeout / 2 if self.request_timeout is None else self.request_timeout

    @property
    def patience(self) -> float:
        """Seconds without a connection after which the client is taken for dead."""
        return _WATCHDOG_PATIENCE * self.session_timeout
