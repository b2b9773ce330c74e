"""What is told of a run that failed: fault by fault, step by step, in the words of the spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from keepstep.testing.step import Step
from keepstep.testing.suites.driven_shell import Delivered

__all__ = ["FaultSeen", "Story", "StoryStep"]


@dataclass(frozen=True, slots=True)
class FaultSeen:
    """A fault that happened.

    Attributes:
        step: Number of the step in which it struck, from 1.
        kind: Its name.
        victim: Whom it hit.
        proof: What the servers say of it.
    """

    step: int
    kind: str
    victim: str
    proof: str


@dataclass(slots=True)
class StoryStep:
    """A step and what came of it."""

    step: Step
    lines: list[str] = field(default_factory=list)


class Story:
    """What happened in one run.

    Attributes:
        steps: The steps, in order.
        faults: The faults that struck, in order.
    """

    def __init__(self) -> None:
        self.steps: list[StoryStep] = []
        self.faults: list[FaultSeen] = []

    def begin(self, step: Step) -> None:
        """A step begins."""
        self.steps.append(StoryStep(step))

    def note(self, text: str) -> None:
        """Something happened in the present step."""
        if self.steps:
            self.steps[-1].lines.append(text)

    def deliver(self, who: str, delivered: Delivered) -> None:
        """A machine took a step of its own."""
        move = delivered.before
        if delivered.after != delivered.before:
            move += f" -> {delivered.after}"
        asks = "".join(f"; asks {request}" for request in delivered.requests)
        self.note(f"{who} is told {delivered.told}: {delivered.action}, {move}{asks}")
        if delivered.comment:
            self.note(f"    {delivered.comment}")

    def strike(self, kind: str, victim: str, proof: str) -> None:
        """A fault struck."""
        fault = FaultSeen(len(self.steps), kind, victim, proof)
        self.faults.append(fault)
        self.note(f"FAULT {kind} hits {victim}: {proof}")

    def tell(self, promise: str, seen: str, hint: Sequence[str] = ()) -> str:
        """The whole story, as a person reads it."""
        lines = [f"broken: {promise}", f"  {seen}", ""]
        if self.faults:
            lines.append("fault by fault")
            lines += [
                f"  {each.kind} hit {each.victim} in step {each.step}: {each.proof}"
                for each in self.faults
            ]
        else:
            lines.append("no fault was needed")
        lines += ["", "step by step"]
        for number, step in enumerate(self.steps, 1):
            lines.append(f"  {number}. {step.step}")
            lines += [f"       {line}" for line in step.lines]
        return "\n".join([*lines, *hint])
