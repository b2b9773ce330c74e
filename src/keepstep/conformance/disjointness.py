"""At most one transition may be enabled: the library would silently take the first.

Where two actions are enabled by the same input, the specification branches and the class does
not. So for every configuration and every input of the role table's alphabet the guards of all
candidates are evaluated by the class itself. A guard that raises there is told as well: only
the order of the transitions keeps the library from evaluating it.
"""

from __future__ import annotations

from dataclasses import dataclass

from keepstep.conformance.binding import Misfit
from keepstep.conformance.player import Cast, GuardFailure
from keepstep.conformance.role_table import Question, RoleTable
from keepstep.tla.values import render

__all__ = ["Overlap", "find_overlaps"]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two actions that one input enables.

    Attributes:
        actions: Their names, in the order in which the class has them.
        state: The state of the configuration.
        facts: Its facts, as TLA+ writes them.
        told: The input.
        failure: How a guard raises, if it is that.
    """

    actions: tuple[str, ...]
    state: str
    facts: tuple[str, ...]
    told: str
    failure: str = ""

    def __str__(self) -> str:
        what = self.failure or f"{' and '.join(self.actions)} overlap"
        return f"{what} in state {self.state!r} with {', '.join(self.facts)}, told {self.told}"


def find_overlaps(cast: Cast, table: RoleTable, *, first_only: bool = False) -> list[Overlap]:
    """The first place of each pair of actions that overlap.

    Args:
        cast: Who plays the role.
        table: Its questions are where to look; guards may raise where it has nothing defined.
        first_only: Stop at the first.
    """
    found: dict[tuple[str, ...], Overlap] = {}
    for (state, kind), questions in table.kinds.items():
        told = cast.binding.inputs.get(cast.form.commands.get(kind, kind))
        if told is None or len(cast.rivals(state, told.event)) < 2:
            continue
        for question in questions:
            overlap = _look(cast, table, question)
            if overlap is not None and overlap.actions not in found:
                found[overlap.actions] = overlap
                if first_only:
                    return [overlap]
    return list(found.values())


def _look(cast: Cast, table: RoleTable, question: Question) -> Overlap | None:
    failure = ""
    try:
        told = question.input(cast)
        enabled = cast.enabled(question.configuration, told)
        actions = tuple(cast.action_of(transition) for transition in enabled)
    except Misfit:
        return None
    except GuardFailure as error:
        if question.without_payload() in table.forbidden:
            return None
        actions, failure = (error.action,), str(error)
    if not failure and len(actions) < 2:
        return None
    _, state, facts = question.configuration
    shown = tuple(
        f"{name} = {render(value)}" for name, value in zip(cast.form.facts, facts, strict=True)
    )
    return Overlap(actions, state, shown, repr(told), failure)
