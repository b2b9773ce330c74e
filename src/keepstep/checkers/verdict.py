"""Verdicts, how they merge, and how a command ends.

A verdict says what a tool found out; whether that is good is for the manifest to say.
Merging keeps the worst of two verdicts and never upgrades one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Exit", "Kind", "Leg", "Verdict", "merge", "merge_exits"]


class Kind(IntEnum):
    """The kinds of a verdict, from the best to the worst."""

    HOLDS = 0
    BOUNDED = 1
    NOT_RUN = 2
    UNKNOWN = 3
    VIOLATED = 4


class Exit(IntEnum):
    """How a command ends.

    Attributes:
        AS_EXPECTED: Everything is as the manifest expects.
        DIFFERS: A verdict or an equality differs.
        COULD_NOT_RUN: Something could not run, or the input was bad.
        WEAKER: Nothing differs, but something is bounded, unknown or not run where more is wanted.
    """

    AS_EXPECTED = 0
    DIFFERS = 1
    COULD_NOT_RUN = 2
    WEAKER = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a tool found out about a model.

    Attributes:
        kind: HOLDS, BOUNDED, NOT_RUN, UNKNOWN or VIOLATED.
        property: Name of the violated property; "deadlock" for a state without a successor.
        bound: Number of steps searched, of a BOUNDED verdict.
        reason: Why the verdict is UNKNOWN or NOT_RUN.
    """

    kind: Kind
    property: str = ""
    bound: int = 0
    reason: str = ""

    @staticmethod
    def holds() -> Verdict:
        """Every state was searched, or an induction was closed."""
        return Verdict(Kind.HOLDS)

    @staticmethod
    def bounded(bound: int) -> Verdict:
        """No violation within `bound` steps; nothing is known beyond."""
        return Verdict(Kind.BOUNDED, bound=bound)

    @staticmethod
    def violated(name: str) -> Verdict:
        """The property `name` is violated, and there is a counterexample."""
        return Verdict(Kind.VIOLATED, property=name)

    @staticmethod
    def unknown(reason: str) -> Verdict:
        """The tool ran out of time or memory, or proved nothing."""
        return Verdict(Kind.UNKNOWN, reason=reason)

    @staticmethod
    def not_run(reason: str) -> Verdict:
        """The tool is missing."""
        return Verdict(Kind.NOT_RUN, reason=reason)

    def __str__(self) -> str:
        match self.kind:
            case Kind.HOLDS:
                return "HOLDS"
            case Kind.BOUNDED:
                return f"HOLDS up to {self.bound}"
            case Kind.VIOLATED:
                return f"VIOLATED ({self.property})"
            case Kind.UNKNOWN:
                return f"UNKNOWN ({self.reason})"
            case Kind.NOT_RUN:
                return f"NOT RUN ({self.reason})"

    def to_json(self) -> dict[str, Any]:
        """The verdict as a JSON object, without empty members."""
        found: dict[str, Any] = {"kind": self.kind.name}
        for name in ("property", "bound", "reason"):
            if getattr(self, name):
                found[name] = getattr(self, name)
        return found

    @staticmethod
    def from_json(found: dict[str, Any]) -> Verdict:
        """The inverse of `to_json`.

        Raises:
            KeyError: The object is not a verdict.
        """
        return Verdict(
            Kind[found["kind"]],
            found.get("property", ""),
            int(found.get("bound", 0)),
            found.get("reason", ""),
        )


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst verdict; of two bounded ones, the one with the smaller bound.

    Nothing at all is NOT_RUN: missing evidence is never success.
    """
    worst: Verdict | None = None
    for verdict in verdicts:
        if (
            worst is None
            or verdict.kind > worst.kind
            or (verdict.kind == worst.kind == Kind.BOUNDED and verdict.bound < worst.bound)
        ):
            worst = verdict
    return worst or Verdict.not_run("nothing was checked")


def merge_exits(codes: Iterable[int]) -> int:
    """One exit code for several; nothing at all is as expected.

    A difference outweighs what could not run, and that outweighs what is weaker than wanted.
    """
    order = (Exit.AS_EXPECTED, Exit.WEAKER, Exit.COULD_NOT_RUN, Exit.DIFFERS)
    known = {int(code): rank for rank, code in enumerate(order)}
    ranks = [known.get(code, known[Exit.COULD_NOT_RUN]) for code in codes]
    return int(order[max(ranks, default=0)])


@dataclass(frozen=True, slots=True)
class Leg:
    """One part of `keepstep verify`, as one line of its table.

    Attributes:
        name: Of the command that does the same on its own.
        verdict: One or two words: "equal", "as expected", "NOT RUN", ...
        detail: What was looked at, or what differs, in one line.
        seconds: How long it took.
        exit_code: As of the command.
    """

    name: str
    verdict: str
    detail: str
    seconds: float
    exit_code: int
