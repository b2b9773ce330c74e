"""What came out of checking one model: verdict, counts and counterexample."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from keepstep.checkers.verdict import Verdict
from keepstep.tla.values import parse_value, render

__all__ = ["Outcome", "Step", "Trace"]


@dataclass(frozen=True, slots=True)
class Step:
    """A state and the action that led to it; "" if the tool does not name it."""

    action: str
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """A counterexample.

    Attributes:
        steps: The states in order, the initial one first.
        loop: Index of the state to which the last one goes back, for a lasso; else None.
        loop_action: The action of that step back.
        stutters: Whether nothing happens any more after the last state.
    """

    steps: tuple[Step, ...]
    loop: int | None = None
    loop_action: str = ""
    stutters: bool = False

    def to_json(self) -> dict[str, Any]:
        """The trace as a JSON object; values are written as TLA+."""
        return {
            "steps": [
                {
                    "action": step.action,
                    "state": {name: render(value) for name, value in step.state.items()},
                }
                for step in self.steps
            ],
            "loop": self.loop,
            "loop_action": self.loop_action,
            "stutters": self.stutters,
        }

    @staticmethod
    def from_json(found: dict[str, Any]) -> Trace:
        """The inverse of `to_json`.

        Raises:
            KeyError: The object is no trace.
            InvalidModel: A value in it cannot be read.
        """
        steps = tuple(
            Step(
                step["action"],
                {name: parse_value(value) for name, value in step["state"].items()},
            )
            for step in found["steps"]
        )
        return Trace(steps, found["loop"], found["loop_action"], found["stutters"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool found out about one model, and how.

    Attributes:
        verdict: What it found out.
        distinct_states: Number of distinct states, if the tool counts them.
        generated_states: Number of states made on the way.
        depth: Length of the longest shortest path, or the bound that was searched.
        seconds: How long it took.
        vacuous: Why the verdict says nothing, or "".
        coverage: For each action how often it was taken, where that was asked for.
        trace: The counterexample.
        tool: Name, version and commit of the tool.
        java: Major version of Java.
    """

    verdict: Verdict
    seconds: float
    distinct_states: int | None = None
    generated_states: int | None = None
    depth: int | None = None
    vacuous: str = ""
    coverage: dict[str, int] = field(default_factory=dict)
    trace: Trace | None = None
    tool: dict[str, str] = field(default_factory=dict)
    java: int = 0

    def to_json(self) -> dict[str, Any]:
        """The outcome as a JSON object."""
        return {
            "verdict": self.verdict.to_json(),
            "seconds": round(self.seconds, 2),
            "distinct_states": self.distinct_states,
            "generated_states": self.generated_states,
            "depth": self.depth,
            "vacuous": self.vacuous,
            "coverage": self.coverage,
            "trace": self.trace.to_json() if self.trace else None,
            "tool": self.tool,
            "java": self.java,
        }

    @staticmethod
    def from_json(found: dict[str, Any]) -> Outcome:
        """The inverse of `to_json`.

        Raises:
            KeyError: The object is no outcome.
        """
        return Outcome(
            verdict=Verdict.from_json(found["verdict"]),
            seconds=found["seconds"],
            distinct_states=found["distinct_states"],
            generated_states=found["generated_states"],
            depth=found["depth"],
            vacuous=found["vacuous"],
            coverage=found["coverage"],
            trace=Trace.from_json(found["trace"]) if found["trace"] else None,
            tool=found["tool"],
            java=found["java"],
        )
