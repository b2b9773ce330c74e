"""What a campaign has seen, so that one that saw too little is not taken for a good one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from keepstep.roles.contender import Contender

__all__ = ["FAULTS", "UNREACHABLE", "Coverage", "Taken", "all_transitions"]

FAULTS = (
    "kill",
    "pause",
    "expire",
    "give up",
    "cut",
    "dropped reply",
    "dropped request",
    "delay",
    "hold",
    "delete ticket",
    "delete parent",
    "restart server",
    "wipe server",
)
"""Every kind of fault; each has to hit a leader in office."""


class Taken(NamedTuple):
    """A transition: the state before, the action, the state after."""

    before: str
    action: str
    after: str

    def __str__(self) -> str:
        return f"{self.action}: {self.before} -> {self.after}"


UNREACHABLE = {
    Taken("severing", "overlook", "severing"): (
        "the deadline that led to severing is spent, and a new one is set only by a leader"
    ),
}
"""Transitions of the class that no run of the shell can take, with the reason."""


def all_transitions() -> frozenset[Taken]:
    """Every transition of the shipped class."""
    return frozenset(
        Taken(str(state.id), str(next(iter(transition.on)).func), str(target.id))
        for state in Contender.states
        for transition in state.transitions
        for target in transition.targets
    )


class Coverage:
    """Faults and transitions of a campaign, over all its examples.

    Attributes:
        faults: How often each kind of fault happened.
        on_leader: How often it hit a leader in office.
        transitions: How often each transition was taken.
        examples: Number of examples.
        steps: Number of steps in them.
        accepted: Number of writes that servers accepted.
        elections: Number of epochs that were raised.
        proved: How often servers have shown that a fault of a package happened.
        not_done: How often there was nothing that a fault could be done to.
        unhealed: How often servers did not recover from a fault within its bound.

    Args:
        wanted: Kinds of faults of which each has to hit a leader in office.
        to_prove: Those of which each has to be shown by servers, too.
    """

    def __init__(self, wanted: Iterable[str] = FAULTS, to_prove: Sequence[str] = ()) -> None:
        self.wanted = tuple(wanted)
        self.to_prove = tuple(to_prove)
        self.proved: Counter[str] = Counter()
        self.not_done: Counter[str] = Counter()
        self.unhealed: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.on_leader: Counter[str] = Counter()
        self.transitions: Counter[Taken] = Counter()
        self.examples = 0
        self.steps = 0
        self.accepted = 0
        self.elections = 0

    def note_fault(self, kind: str, *, on_leader: bool) -> None:
        """Note that a fault happened."""
        self.faults[kind] += 1
        if on_leader:
            self.on_leader[kind] += 1

    def leave_out(self, kind: str) -> None:
        """Do not ask for a kind of fault that cannot be done here."""
        self.wanted = tuple(wanted for wanted in self.wanted if wanted != kind)
        self.to_prove = tuple(wanted for wanted in self.to_prove if wanted != kind)

    def missing_faults(self) -> list[str]:
        """Kinds of faults that never hit a leader in office."""
        return [kind for kind in self.wanted if not self.on_leader[kind]]

    def missing_transitions(self) -> list[Taken]:
        """Transitions that were never taken, though they can be."""
        return sorted(all_transitions() - set(self.transitions) - set(UNREACHABLE))

    @property
    def conclusive(self) -> bool:
        """Whether everything that a campaign has to see was seen."""
        return not list(self.gaps())

    _COUNTERS = ("faults", "on_leader", "proved", "not_done", "unhealed")
    _NUMBERS = ("examples", "steps", "accepted", "elections")

    def to_json(self) -> dict[str, Any]:
        """As it stands in the state of a campaign."""
        told: dict[str, Any] = {name: getattr(self, name) for name in self._NUMBERS}
        told |= {name: dict(getattr(self, name)) for name in self._COUNTERS}
        told["transitions"] = [[*taken, count] for taken, count in self.transitions.items()]
        return told

    def take_up(self, told: Mapping[str, Any]) -> None:
        """Go on from what `to_json` wrote."""
        for name in self._NUMBERS:
            setattr(self, name, int(told[name]))
        for name in self._COUNTERS:
            setattr(self, name, Counter({str(k): int(n) for k, n in told[name].items()}))
        self.transitions = Counter(
            {Taken(str(b), str(a), str(f)): int(n) for b, a, f, n in told["transitions"]}
        )

    def gaps(self) -> Iterable[str]:
        """What is missing, one line each."""
        for kind in self.missing_faults():
            yield f"the fault {kind!r} never hit a leader in office"
        for kind in self.to_prove:
            if self.on_leader[kind] and not self.proved[kind]:
                yield f"no server has shown that the fault {kind!r} happened"
        for kind, times in sorted(self.unhealed.items()):
            yield f"the servers did not recover from {kind!r} within its bound ({times} times)"
        for taken in self.missing_transitions():
            yield f"the transition {taken} was never taken"
