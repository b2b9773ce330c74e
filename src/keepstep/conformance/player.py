"""Let the real class play a role of a specification.

The class is given a configuration by writing its cell, is told one input, and what it did is
read back: the action it took, its cell, its requests. A step depends on the cell and on the
input alone (tests/conformance proves it of each class that is played), so each distinct
(node, state, facts, input) is executed once and remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from statemachine.callbacks import CallbackGroup
from statemachine.event_data import TriggerData
from statemachine.transition import Transition

from keepstep.conformance.binding import Binding, Misfit, snake_case
from keepstep.core.ids import NodeId
from keepstep.core.machine import Cell, Input, Refused, RoleMachine
from keepstep.derive.ast import App, Expression, Name, Spec, has_primes, walk
from keepstep.derive.system import Player, System, Update
from keepstep.errors import Divergence, InvalidSpec
from keepstep.tla.operations import apply, put
from keepstep.tla.values import Fn

__all__ = ["Cast", "Configuration", "GuardFailure", "Misstep", "Outcome", "RoleForm", "read_form"]


class Misstep(Divergence):
    """The class does something that no action of the specification can be."""


class GuardFailure(Divergence):
    """A guard of the class raises where the specification is defined.

    Attributes:
        action: The action that it guards.
    """

    def __init__(self, action: str, error: Exception) -> None:
        super().__init__(f"the guard of {action} raises {type(error).__name__}: {error}")
        self.action = action


Configuration: TypeAlias = tuple[str, str, tuple[Any, ...]]
"""A node, its state and the values of its facts in the order of `RoleForm.facts`."""


@dataclass(frozen=True, slots=True)
class RoleForm:
    """What the specification says about the form of a role.

    Attributes:
        module: The role module.
        state: The variable that holds the state.
        facts: The variables that hold facts, in order.
        inbox: The variable that holds what was told.
        outbox: The variable that holds what was asked for.
        world: The variable for everything else, or "".
        actions: Names of the actions.
        commands: Of the actions that a command triggers: the name of the command.
        parameters: How many parameters each action has after the node.
    """

    module: str
    state: str
    facts: tuple[str, ...]
    inbox: str
    outbox: str
    world: str
    actions: tuple[str, ...]
    commands: dict[str, str]
    parameters: dict[str, int]

    @property
    def own(self) -> tuple[str, ...]:
        """All variables but the world."""
        return (self.state, *self.facts, self.inbox, self.outbox)


def read_form(spec: Spec) -> RoleForm:
    """Read the marks of a role module.

    Raises:
        InvalidSpec: A mark is missing or there twice.
    """
    marked: dict[str, list[str]] = {}
    for variable in spec.variables:
        for mark in ("state", "fact", "inbox", "outbox", "world"):
            if mark in variable.annotations:
                marked.setdefault(mark, []).append(variable.name)
    for mark in ("state", "inbox", "outbox"):
        if len(marked.get(mark, [])) != 1:
            raise InvalidSpec(
                f"a role module has one variable marked @{mark}", spec.file(spec.root), rule=mark
            )
    (state,) = marked["state"]
    (inbox,) = marked["inbox"]
    actions = [
        operator
        for operator in spec.operators.values()
        if operator.at.module == spec.root
        and not operator.instance
        and operator.params
        and has_primes(operator.body)
        and (
            "command" in operator.annotations
            or any(_is_primed(part, {state, inbox}) for part in walk(operator.body))
        )
    ]
    return RoleForm(
        module=spec.root,
        state=state,
        facts=tuple(marked.get("fact", ())),
        inbox=inbox,
        outbox=marked["outbox"][0],
        world=marked.get("world", [""])[0],
        actions=tuple(action.name for action in actions),
        commands={
            action.name: action.annotations["command"].strip("; ")
            for action in actions
            if "command" in action.annotations
        },
        parameters={action.name: len(action.params) - 1 for action in actions},
    )


def _is_primed(node: Expression, variables: set[str]) -> bool:
    match node:
        case App("'", (Name(name, "variable"),)):
            return name in variables
    return False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the class did.

    Attributes:
        action: The action it took; "" if it refused.
        state: Its state afterwards.
        facts: The values of its facts afterwards.
        requests: What it asked for, as variants.
        problem: What is wrong with the step itself, or "".
        raised: The problem is that the class raised, so that nothing has changed.
    """

    action: str = ""
    state: str = ""
    facts: tuple[Any, ...] = ()
    requests: tuple[Fn, ...] = ()
    problem: str = ""
    raised: bool = False


_REFUSED = Outcome()


class _Listener:
    """Notes the transition that a machine takes."""

    def __init__(self) -> None:
        self.taken: Transition | None = None

    def after_transition(self, transition: Transition) -> None:
        """Called by the machine."""
        self.taken = transition


class Cast:
    """One real machine that plays a role for every node.

    Args:
        form: The role's form.
        binding: The module with the class.
        constants: The constants of the specification, of which some may be settings.
        remember: Execute each distinct step once only.

    Attributes:
        executions: How many steps the class took.
        refusals: How many of them it refused.
    """

    def __init__(
        self,
        form: RoleForm,
        binding: Binding,
        constants: Mapping[str, Any] | None = None,
        *,
        remember: bool = True,
    ) -> None:
        self.form, self.binding, self.remember = form, binding, remember
        self.executions = 0
        self.refusals = 0
        self.outcomes: dict[tuple[Any, ...], Outcome] = {}
        self.actions = {snake_case(action): action for action in form.actions}
        self.told = frozenset(form.actions) - form.commands.keys()
        self._fact_names = tuple(snake_case(fact) for fact in form.facts)
        self._inputs: dict[Any, Input] = {}
        self._listener = _Listener()
        self.machine = self._new_machine()
        self.use(constants or {})
        self._facts: dict[tuple[Any, ...], Any] = {}
        self._rivals: dict[tuple[str, str], list[Transition]] = {}

    def _new_machine(self) -> RoleMachine[Any]:
        cell: Cell[Any] = Cell(NodeId(""), self.binding.facts())
        machine = self.binding.machine(cell)
        machine.add_listener(self._listener)  # type: ignore[no-untyped-call]
        return machine

    def use(self, constants: Mapping[str, Any]) -> None:
        """Play with these constants from now on; what was remembered holds if none matters.

        Raises:
            Misfit: A setting of the class has no constant.
        """
        settings = self.binding.to_settings(constants) if constants else None
        if settings != self.machine.model.settings:
            self.machine.model.settings = settings
            self.outcomes.clear()

    # --- One step ---

    def step(self, configuration: Configuration, told: Input) -> Outcome:
        """What the class does in a configuration when it is told an input."""
        key = (configuration, told)
        known = self.outcomes.get(key)
        if known is None:
            known = self._execute(configuration, told)
            if self.remember:
                self.outcomes[key] = known
        return known

    def repeats(self, configuration: Configuration, told: Input) -> bool:
        """The class does again what is remembered of it; not counted as an execution."""
        executions, refusals = self.executions, self.refusals
        again = self._execute(configuration, told)
        self.executions, self.refusals = executions, refusals
        return again == self.step(configuration, told)

    def place(self, configuration: Configuration) -> None:
        """Put the machine into a configuration."""
        node, state, facts = configuration
        cell = self.machine.model
        cell.me = NodeId(node)
        cell.state = state
        if facts not in self._facts:
            self._facts[facts] = self.binding.to_facts(
                dict(zip(self._fact_names, facts, strict=True))
            )
        cell.facts = self._facts[facts]

    def _execute(self, configuration: Configuration, told: Input) -> Outcome:
        self.place(configuration)
        cell, before = self.machine.model, self.machine.model.facts
        self._listener.taken = None
        self.executions += 1
        try:
            requests = self.machine.step(told)
        except Refused:
            self.refusals += 1
            if cell.facts != before or cell.state != configuration[1]:
                return Outcome(problem="a refusal changes the cell")
            return _REFUSED
        except Exception as error:  # noqa: BLE001 - whatever the class raises is what it did
            words = f"the class raises {type(error).__name__}: {error}"
            return Outcome(problem=words, raised=True)
        try:
            written = self.binding.from_facts(cell.facts)
            asked = tuple(map(self.binding.from_request, requests))
        except Misfit as error:
            return Outcome(problem=str(error))
        taken = self._listener.taken
        return Outcome(
            self.action_of(taken) if taken is not None else "",
            str(cell.state),
            tuple(written[name] for name in self._fact_names),
            asked,
        )

    def action_of(self, transition: Transition) -> str:
        """The action of the specification that a transition is, by its `on=`."""
        name = transition_name(transition)
        return self.actions.get(name, name)

    def command(self, action: str, payload: tuple[Any, ...]) -> Input:
        """The command that triggers an action.

        Raises:
            Misfit: The class has no such command.
        """
        key = (action, payload)
        if key not in self._inputs:
            self._inputs[key] = self.binding.to_command(self.form.commands[action], payload)
        return self._inputs[key]

    def input(self, value: Fn) -> Input:
        """The input that a variant stands for.

        Raises:
            Misfit: The class has no such input.
        """
        if value not in self._inputs:
            self._inputs[value] = self.binding.to_input(value)
        return self._inputs[value]

    def enabled(self, configuration: Configuration, told: Input) -> list[Transition]:
        """Every transition whose guards allow it, though the library takes the first only.

        Raises:
            GuardFailure: A guard raises.
        """
        machine = self.machine
        rivals = self.rivals(configuration[1], told.event)
        if len(rivals) < 2:
            return rivals
        self.place(configuration)
        event = next(event for event in machine.events if event.id == told.event)
        trigger = TriggerData(machine=machine, event=event, args=(told,))
        engine = machine._engine  # noqa: SLF001 - the library has no public way to ask
        engine.clear_cache()
        found = []
        for transition in rivals:
            try:
                allowed = engine._conditions_match(transition, trigger)  # noqa: SLF001
            except Exception as error:
                raise GuardFailure(self.action_of(transition), error) from error
            if allowed:
                found.append(transition)
        return found

    def rivals(self, state: str, event: str) -> list[Transition]:
        """The transitions of a state for an event, whatever their guards say."""
        if not self._rivals:
            self._rivals = {
                (str(source.value), name.id): [t for t in source.transitions if t.match(name.id)]
                for source in self.machine.states
                for name in self.machine.events
            }
        return self._rivals.get((state, event), [])

    # --- As the player of a composition ---

    def join(self, system: System, quiet: Any, names: dict[str, str] | None = None) -> Player:
        """A player of the role's actions in a translated composition.

        Args:
            system: The composition, translated with `played`.
            quiet: The value of an inbox that holds nothing.
            names: What the composition calls the role's variables, where it differs.
        """
        form, called = self.form, names or {}
        number = {name: system.number(called.get(name, name)) for name in form.own}
        state_at, inbox_at, outbox_at = (number[n] for n in (form.state, form.inbox, form.outbox))
        facts_at = tuple(number[fact] for fact in form.facts)

        def play(
            action: str, arguments: tuple[Callable[[], Any], ...], state: Any
        ) -> Iterable[Update]:
            node, *payload = (argument() for argument in arguments)
            mode = apply(state[state_at], node)
            is_command = action in form.commands
            inbox = state[inbox_at]
            if not is_command:
                value = apply(inbox, node)
                if value == quiet:
                    return
            facts = tuple(apply(state[at], node) for at in facts_at)
            told = self.command(action, tuple(payload)) if is_command else self.input(value)
            outcome = self.step((node, mode, facts), told)
            if outcome.problem:
                raise Misstep(self._describe(mode, told) + outcome.problem)
            if not outcome.action or (
                not is_command and outcome.action != action and outcome.action in self.told
            ):
                return
            if outcome.action != action:
                raise Misstep(
                    self._describe(mode, told)
                    + f"the class takes {outcome.action}, the specification has {action} here"
                )
            outbox = state[outbox_at]
            for request in outcome.requests:
                outbox = put(outbox, (node,), request)
            if len(outcome.requests) > 1:
                raise Misstep(self._describe(mode, told) + "the class asks for two things at once")
            update = [(state_at, put(state[state_at], (node,), outcome.state))]
            update += [
                (at, put(state[at], (node,), new))
                for at, new in zip(facts_at, outcome.facts, strict=True)
            ]
            if not is_command:
                update.append((inbox_at, put(inbox, (node,), quiet)))
            yield (*update, (outbox_at, outbox))

        return play

    @staticmethod
    def _describe(mode: str, told: Input) -> str:
        return f"in state {mode!r}, told {told!r}: "


def transition_name(transition: Transition) -> str:
    """The method that a transition names with `on=`."""
    for spec in transition._specs:  # noqa: SLF001 - the library has no public way to ask
        if spec.group is CallbackGroup.ON and not spec.is_convention:
            return str(spec.func)
    return f"{transition.source.id}_to_{transition.target.id if transition.target else ''}"
