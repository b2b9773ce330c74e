"""What an arena offers on which nothing happens but what somebody chooses, one thing at a time."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["LOSE", "StepByStep"]

LOSE = "lose"
"""What a connection that has ended had sent is lost on its way."""


@runtime_checkable
class StepByStep(Protocol):
    """An arena that can list what may happen next, and have it happen.

    Real servers are none: there things happen whenever they like.
    """

    def take_over(self) -> None:
        """From now on nothing happens by itself; whoever waits for something waits in vain."""

    def let_go(self) -> None:
        """Things happen by themselves again wherever somebody waits."""

    def happen(self, what: str, *, who: int, nth: int, server: int) -> bool:
        """Let one thing happen, if it is possible now; whether it was.

        Args:
            what: A `keepstep.simulation.fake.Kind`, or `LOSE`.
            who: Number of the seat of whose connections one is meant.
            nth: Which of them, counted from the oldest.
            server: Number of the server, for what happens to none of the connections.
        """

    def connect(self, who: int, server: int) -> bool:
        """Have the client at a seat connect to a server; whether anything came of it."""

    def notice(self, who: int) -> bool:
        """Have the client at a seat notice that its connection has ended; whether it had."""
