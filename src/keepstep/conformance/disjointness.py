"""At most one transition may be enabled: the library would silently take the first.

Where two actions are enabled by the same input, the specification branches and the class does
not. So for every configuration and every input of the role table's alphabet the guards of all
candidates are evaluated by the class itself. A guard that raises there is told as well: only
the order of the transitions keeps the library from evaluating it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from keepstep.conformance.binding import Misfit
from keepstep.conformance.player import Cast, GuardFailure
from keepstep.conformance.role_table import Question
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


def find_overlaps(
    cast: Cast,
    questions: Iterable[Question],
    undefined: Collection[Question] = (),
    *,
    first_only: bool = False,
) -> list[Overlap]:
    """The first place of each pair of actions that overlap.

    Args:
        cast: Who plays the role.
        questions: Where to look: `RoleTable.questions`.
        undefined: Where guards may raise: `RoleTable.forbidden`.
        first_only: Stop at the first.
    """
    found: dict[tuple[str, ...], Overlap] = {}
    for question in questions:
        failure = ""
        try:
            told = question.input(cast)
            enabled = cast.enabled(question.configuration, told)
            actions = tuple(cast.action_of(transition) for transition in enabled)
        except Misfit:
            continue
        except GuardFailure as error:
            if question.without_payload() in undefined:
                continue
            actions, failure = (error.action,), str(error)
        if (failure or len(actions) > 1) and actions not in found:
            _, state, facts = question.configuration
            shown = tuple(
                f"{name} = {render(value)}"
                for name, value in zip(cast.form.facts, facts, strict=True)
            )
            found[actions] = Overlap(actions, state, shown, repr(told), failure)
            if first_only:
                break
    return list(found.values())
