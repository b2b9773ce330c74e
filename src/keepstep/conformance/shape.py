"""What a class must have before its steps are worth comparing.

The graphs start where the specification starts and tell the class what the specification
tells it. So they never see where a new machine of the class starts, nor an event that no
input triggers; here these are compared one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keepstep.conformance.binding import Misfit, snake_case
from keepstep.conformance.player import Cast, transition_name
from keepstep.derive.ast import App, Bind, Name, Spec, conjuncts
from keepstep.derive.system import evaluate
from keepstep.errors import InvalidSpec
from keepstep.tla.values import render

__all__ = ["find_oddities", "first_value"]


def first_value(spec: Spec, variable: str, constants: Mapping[str, Any]) -> Any:
    r"""What the initial predicate of a role module says of a variable, for every node.

    Raises:
        InvalidSpec: It does not say it in the form `x = [n \\in NODES |-> ...]`.
    """
    for part in conjuncts(spec.named("Init").body):
        match part:
            case App("=", (Name(name), Bind("$FcnConstructor", _, body))) if name == variable:
                return evaluate(spec, constants, body)
    raise InvalidSpec(
        f"Init must say what {variable} is at first: {variable} = [n \\in NODES |-> ...]",
        spec.file(spec.root),
    )


def find_oddities(cast: Cast, spec: Spec, constants: Mapping[str, Any]) -> list[str]:
    """Where the class and its role module differ before anything happens, one sentence each."""
    return [
        *_states(cast, spec, constants),
        *_facts(cast, spec, constants),
        *_events(cast),
        *_actions(cast),
    ]


def _states(cast: Cast, spec: Spec, constants: Mapping[str, Any]) -> list[str]:
    machine = cast.machine
    found = []
    states = {str(state.value) for state in machine.states}
    modes = evaluate(spec, constants, App("MODES", (), "defined", spec.named("MODES").uid))
    if states != modes:
        found.append(f"only one of them has the states {', '.join(sorted(states ^ modes))}")
    first = first_value(spec, cast.form.state, constants)
    starts = [str(state.value) for state in machine.states if state.initial]
    if starts != [first]:
        found.append(f"the class starts in {', '.join(starts)}, the specification in {first}")
    return found


def _facts(cast: Cast, spec: Spec, constants: Mapping[str, Any]) -> list[str]:
    try:
        facts = cast.binding.from_facts(cast.binding.facts())
    except (Misfit, TypeError) as error:
        return [f"the first facts of the class: {error}"]
    found = []
    for variable in cast.form.facts:
        wanted, given = first_value(spec, variable, constants), facts.get(snake_case(variable))
        if given != wanted or type(given) is not type(wanted):
            found.append(
                f"{variable} is first {render(given)} in the class, {render(wanted)} in the "
                "specification"
            )
    return found


def _events(cast: Cast) -> list[str]:
    triggered = {told.event for told in cast.binding.inputs.values()}
    events = {event.id for event in cast.machine.events}
    return [
        f"no input triggers the event {event} of the class" for event in sorted(events - triggered)
    ]


def _actions(cast: Cast) -> list[str]:
    taken = {
        transition_name(transition)
        for state in cast.machine.states
        for transition in state.transitions
    }
    extra = sorted(taken - cast.actions.keys())
    missing = sorted(cast.actions[name] for name in cast.actions.keys() - taken)
    return [
        *(f"the class has the action {name}, the specification has not" for name in extra),
        *(f"the class never takes the action {name}" for name in missing),
    ]
