"""What every role machine is made of.

A role is told one `Input` at a time and answers with `Request`s, or refuses. All it
remembers is in one `Cell`: its state and its facts. Derived classes use the words
defined here: `ask`, `remember`, `the`, `only`, `where` and `internally`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Generic, TypeVar

from statemachine import State, StateChart
from statemachine.exceptions import TransitionNotAllowed
from statemachine.transition_list import TransitionList

from keepstep.core.ids import NodeId
from keepstep.errors import InternalError, LocalViolation

__all__ = [
    "Cell",
    "Input",
    "Refused",
    "Request",
    "RoleMachine",
    "internally",
    "only",
    "the",
    "where",
]

F = TypeVar("F")
S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Input:
    """Something a role is told: `TicketGone` triggers the event `ticket_gone`."""

    event: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.event = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


@dataclass(frozen=True, slots=True)
class Request:
    """Something a role asks for; the answer is an `Input`."""


@dataclass
class Refused(LocalViolation):
    """The machine has no transition for this input in its present configuration.

    Attributes:
        told: The input that was refused. Nothing has changed.
        state: The state in which it was refused.
    """

    told: Input
    state: str

    def __str__(self) -> str:
        return f"{type(self.told).__name__} is refused in state {self.state!r}"


def the(value: T | None) -> T:
    """The value of an optional fact that must be there, as the specification's `The(set)`.

    Raises:
        InternalError: The fact is absent; the specification has no such behaviour.
    """
    if value is None:
        raise InternalError("a fact is absent where the specification relies on it")
    return value


def only(elements: Iterable[T]) -> T:
    """The element of a collection whose elements are all equal, as `The(set)` of a set.

    Raises:
        InternalError: There is none, or there are two; the specification has no such behaviour.
    """
    found = set(elements)
    if len(found) != 1:
        raise InternalError(f"the specification relies on one element where there are {len(found)}")
    return found.pop()


def where(records: frozenset[T], **key: object) -> Sequence[T]:
    """The records of a set with this value in this field, one field only.

    The index is made at the first look into a set, so that many looks cost one pass.
    """
    ((field_name, value),) = key.items()
    return _index(records, field_name).get(value, ())


@lru_cache(maxsize=16)
def _index(records: frozenset[T], field_name: str) -> Mapping[object, Sequence[T]]:
    found: dict[object, list[T]] = {}
    for record in records:
        found.setdefault(getattr(record, field_name), []).append(record)
    return found


def internally(*states: State, on: str, **guards: str) -> TransitionList:
    """A transition of each state to itself, for an input that may come in all of them."""
    loops = TransitionList()
    for state in states:
        loops.add_transitions(state.to(state, internal=True, on=on, **guards))
    return loops


@dataclass(slots=True)
class Cell(Generic[F]):
    """The one mutable thing of a role.

    Attributes:
        me: The node whose role this is.
        facts: What the role remembers, a frozen dataclass.
        state: Value of its state; None until a machine is made on the cell.
        outbox: What the role asked for during the step under way.
        settings: What is the same for the role all its life; None if it has no settings.
    """

    me: NodeId
    facts: F
    state: str | None = None
    outbox: list[Request] = field(default_factory=list)
    settings: object = None


class RoleMachine(StateChart["Cell[F]"], Generic[F]):
    """A role: told one Input at a time, it answers with Requests, or refuses."""

    allow_event_without_transition = False
    catch_errors_as_events = False
    atomic_configuration_update = True
    enable_self_transition_entries = False

    @property
    def me(self) -> NodeId:
        """The node whose role this is."""
        return self.model.me

    @property
    def facts(self) -> F:
        """What the role remembers."""
        return self.model.facts

    def settings_of(self, kind: type[S]) -> S:
        """The settings in the cell.

        Raises:
            LocalViolation: The cell holds none of this kind.
        """
        settings = self.model.settings
        if not isinstance(settings, kind):
            raise LocalViolation(f"{type(self).__name__} needs a Cell with {kind.__name__}")
        return settings

    def ask(self, request: Request) -> None:
        """Ask for something; it is handed out when the step ends."""
        self.model.outbox.append(request)

    def remember(self, **changes: Any) -> None:
        """Change facts, all at once. Once a step, after every `ask`."""
        self.model.facts = replace(self.model.facts, **changes)  # type: ignore[type-var]

    def step(self, told: Input) -> Sequence[Request]:
        """Take the one transition that `told` enables.

        Returns:
            The requests of the step, in the order in which they must be submitted.

        Raises:
            Refused: No transition is enabled. Nothing has changed.
        """
        cell = self.model
        before = cell.state, cell.facts
        try:
            self.send(told.event, told)
            return tuple(cell.outbox)
        except TransitionNotAllowed:
            cell.state, cell.facts = before
            raise Refused(told, str(before[0])) from None
        except BaseException:
            cell.state, cell.facts = before
            raise
        finally:
            cell.outbox.clear()
