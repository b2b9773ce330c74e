"""Where the shells read the time."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """Seconds since some moment; never goes back."""

    def now(self) -> float:
        """The time in seconds."""


class SystemClock:
    """The monotonic clock of the machine: setting the date does not change it."""

    def now(self) -> float:
        """The time in seconds."""
        return time.monotonic()


class ManualClock:
    """A clock that a test moves.

    Args:
        start: What it shows at first, in seconds.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """The time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so much time pass; negative amounts are taken as none."""
        self._now += max(0.0, seconds)
