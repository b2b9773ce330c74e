"""What has to come true now and then, or a run that passed has shown little.

A promise says what must never happen. A `Sometimes` says what must happen at least once in a
campaign, or the campaign has not been where it should have been: a leader was cut off while it
wrote, two contenders believed to lead at once. A campaign that never got there is inconclusive
(exit code 3), and says which it was; it is not green.

    goals = Goals(
        Sometimes("two believers", "the fence is needed only then"),
        Sometimes("lost reply", "the write was applied, and nobody heard"),
    )
    with goals.watching():
        ...
        sometimes(len(believers) > 1, "two believers")
    goals.unreached()
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from keepstep.checkers.verdict import Exit
from keepstep.errors import LocalViolation

__all__ = ["Goals", "Sometimes", "sometimes"]


@dataclass(frozen=True, slots=True)
class Sometimes:
    """Something that a campaign has to see.

    Attributes:
        name: What it is called, in a few words.
        why: What a campaign that has not seen it cannot tell, in one sentence.
    """

    name: str
    why: str

    def __post_init__(self) -> None:
        if not self.name or not self.why:
            raise LocalViolation("what has to happen sometimes needs a name and a reason")


class Goals:
    """What a campaign has to see, and what it has seen of it.

    Attributes:
        asked: How often each was looked for, by name.
        reached: How often each was the case, by name.

    Raises:
        LocalViolation: Two have the same name.
    """

    def __init__(self, *goals: Sometimes) -> None:
        self._goals: dict[str, Sometimes] = {}
        self.asked: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        for goal in goals:
            self.add(goal)

    def add(self, goal: Sometimes) -> None:
        """Ask for one more.

        Raises:
            LocalViolation: There is another one of this name.
        """
        if self._goals.setdefault(goal.name, goal) != goal:
            raise LocalViolation(f"there are two things called {goal.name!r} that must happen")

    def __iter__(self) -> Iterator[Sometimes]:
        return iter(self._goals.values())

    def __len__(self) -> int:
        return len(self._goals)

    def sometimes(self, condition: object, name: str) -> bool:
        """Note whether something is the case here.

        Args:
            condition: Whatever is true if it is.
            name: Of one of the goals.

        Returns:
            Whether it is the case.

        Raises:
            LocalViolation: Nobody asked for anything of this name.
        """
        if name not in self._goals:
            known = ", ".join(map(repr, self._goals)) or "nothing"
            raise LocalViolation(f"{name!r} is not among what has to happen: {known}")
        self.asked[name] += 1
        if condition:
            self.reached[name] += 1
        return bool(condition)

    @contextmanager
    def watching(self) -> Iterator[Goals]:
        """Let `sometimes` note what it is told here, in this thread, until the block ends."""
        token = _WATCHING.set(self)
        try:
            yield self
        finally:
            _WATCHING.reset(token)

    def unreached(self) -> list[Sometimes]:
        """What never was the case."""
        return [goal for goal in self if not self.reached[goal.name]]

    def gaps(self) -> Iterator[str]:
        """What never was the case, one line each."""
        for goal in self.unreached():
            asked = self.asked[goal.name]
            times = "was never looked for" if not asked else f"was looked for {asked} times"
            yield f"{goal.name!r} never happened ({times}): {goal.why}"

    @property
    def conclusive(self) -> bool:
        """Whether all was the case at least once."""
        return not self.unreached()

    @property
    def exit_code(self) -> Exit:
        """What a command ends with if nothing else is wrong."""
        return Exit.AS_EXPECTED if self.conclusive else Exit.WEAKER

    def to_json(self) -> dict[str, Any]:
        """What was seen, as it stands in the state of a campaign."""
        return {
            goal.name: {
                "why": goal.why,
                "asked": self.asked[goal.name],
                "reached": self.reached[goal.name],
            }
            for goal in self
        }

    def take_up(self, told: Mapping[str, Any]) -> None:
        """Count in what `to_json` wrote; names that nobody asks for any more are left out.

        Raises:
            LocalViolation: It is something else.
        """
        try:
            counts = {
                name: (int(found["asked"]), int(found["reached"])) for name, found in told.items()
            }
        except (AttributeError, KeyError, TypeError, ValueError):
            raise LocalViolation("this does not say what has happened and what has not") from None
        for name, (asked, reached) in counts.items():
            if name in self._goals:
                self.asked[name] += asked
                self.reached[name] += reached


_WATCHING: ContextVar[Goals | None] = ContextVar("goals", default=None)


def sometimes(condition: object, name: str) -> bool:
    """Note whether something is the case here, for whoever is `watching`.

    Returns:
        Whether it is the case.

    Raises:
        LocalViolation: Nobody is watching, or nobody asked for anything of this name.
    """
    goals = _WATCHING.get()
    if goals is None:
        raise LocalViolation(f"nobody watches whether {name!r} happens: use Goals.watching()")
    return goals.sometimes(condition, name)
