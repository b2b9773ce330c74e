"""The one queue through which everything reaches a shell.

Other threads only put; the one thread that steps the machine takes. What arrives is sorted
into lanes, because kazoo calls back on three threads whose relative order is nobody's: a test
may take from one lane before another, which is an order that can really happen.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from keepstep.core.machine import Input

__all__ = [
    "Answer",
    "Arrival",
    "Inbox",
    "Lane",
    "LinkDown",
    "LinkEnded",
    "LinkUp",
    "Notice",
    "Order",
]


class Lane(StrEnum):
    """Which thread something comes from; within a lane order is kept."""

    STATE = "state"
    ANSWER = "answer"
    NOTIFICATION = "notification"
    TIMER = "timer"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The connection of this number is usable under this session."""

    connection: int
    session: int


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection before this number is down.

    Attributes:
        connection: Number of the connection that may come next.
    """

    connection: int


@dataclass(frozen=True, slots=True)
class LinkEnded:
    """kazoo holds the session for lost; says nothing new about the connection.

    Attributes:
        connection: Number of the connection that may come next.
        cause: kazoo's name of the state: EXPIRED_SESSION, AUTH_FAILED or CLOSED.
    """

    connection: int
    cause: str


@dataclass(frozen=True, slots=True)
class Answer:
    """kazoo's result of one call: exactly one of value and error counts.

    Attributes:
        connection: Number of the connection on which the call was made.
        call: Number of the call.
        value: What the call returned.
        error: What it raised, or None.
    """

    connection: int
    call: int
    value: Any
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Notice:
    """A watch fired.

    Attributes:
        connection: Number of the connection on which it was left.
        exchange: Number of the request that left it.
        told: What it means to the machine.
    """

    connection: int
    exchange: int
    told: Input


@dataclass(frozen=True, slots=True)
class Order:
    """Another thread gave the shell something to do: look at the clock and the wishes."""


Arrival = LinkUp | LinkDown | LinkEnded | Answer | Notice | Order
_LANES: dict[type, Lane] = {
    LinkUp: Lane.STATE,
    LinkDown: Lane.STATE,
    LinkEnded: Lane.STATE,
    Answer: Lane.ANSWER,
    Notice: Lane.NOTIFICATION,
    Order: Lane.COMMAND,
}


class Inbox:
    """A queue of arrivals, in order of arrival, that can be taken by lane."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Arrival] = deque()

    def put(self, arrival: Arrival) -> None:
        """Add an arrival; never blocks, and may be called on any thread."""
        with self._changed:
            self._waiting.append(arrival)
            self._changed.notify_all()

    def count(self, lane: Lane | None = None) -> int:
        """How many arrivals wait, in one lane or in all."""
        with self._changed:
            return sum(lane in {None, _LANES[type(arrival)]} for arrival in self._waiting)

    def _pop(self, lane: Lane | None) -> Arrival | None:
        for index, arrival in enumerate(self._waiting):
            if lane in {None, _LANES[type(arrival)]}:
                del self._waiting[index]
                return arrival
        return None

    def take(self, timeout: float, lane: Lane | None = None) -> Arrival | None:
        """The oldest arrival, of one lane or of any; None if there is none in time.

        Args:
            timeout: Seconds of real time to wait; 0 or less does not wait.
            lane: Which lane; None for any.
        """
        until = time.monotonic() + timeout
        with self._changed:
            while True:
                arrival = self._pop(lane)
                left = until - time.monotonic()
                if arrival is not None or left <= 0:
                    return arrival
                self._changed.wait(left)
