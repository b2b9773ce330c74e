"""Looks at what a suite declares before anything runs, so that a mistake is told with its cure."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Collection, Iterator
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from keepstep.core.machine import Input, RoleMachine
from keepstep.errors import LocalViolation
from keepstep.shell.mapping import RoleMapping
from keepstep.testing.faults import packages
from keepstep.testing.suites.driven_shell import DrivenShell
from keepstep.testing.suites.run_recorder import recorded_role
from keepstep.tla.sources import MANIFEST

if TYPE_CHECKING:
    from keepstep.testing.suites.role_suite import RoleSuite

__all__ = ["actions_of", "require_sound"]

MOST_MACHINES = 20
"""More than these take seconds a step, and show nothing that fewer do not."""


def actions_of(machine: type[RoleMachine[Any]]) -> set[str]:
    """The names of the actions that a machine can take."""
    return {
        str(next(iter(transition.on)).func)
        for state in machine.states
        for transition in state.transitions
    }


def require_sound(suite: type[RoleSuite], own_faults: frozenset[str]) -> None:
    """Refuse a suite that cannot run as it is declared.

    Args:
        suite: What is declared.
        own_faults: The faults that a suite does itself; all others are fault packages.

    Raises:
        LocalViolation: The first mistake, with the suite's file and line, and the cure.
        InvalidModel: The manifest of the machine's project is wrong.
    """
    for wrong in _mistakes(suite, own_faults):
        raise LocalViolation(f"{_place(suite)}{suite.__name__}: {wrong}")


def _place(suite: type[RoleSuite]) -> str:
    try:
        return f"{inspect.getsourcefile(suite)}:{inspect.getsourcelines(suite)[1]}: "
    except (OSError, TypeError):
        return ""  # a class that was made by `type` has no line


def _mistakes(suite: type[RoleSuite], own_faults: frozenset[str]) -> Iterator[str]:
    wanted = {
        "machine": (RoleMachine, "the derived class"),
        "facts": (object, "the derived class of its facts, such as TenantFacts"),
        "mapping": (RoleMapping, "a subclass of RoleMapping"),
        "shell": (DrivenShell, "DrivenShell or a subclass of it"),
    }
    for name, (base, what) in wanted.items():
        given = getattr(suite, name, None)
        if not (isinstance(given, type) and issubclass(given, base)):
            yield f"`{name}` must be {what}, and is {given!r}"
    yield from _wrong_facts(suite.facts)
    yield from _wrong_mapping(suite.mapping)
    yield from _wrong_settings(suite)
    for name in ("commands", "timers"):
        for each in getattr(suite, name):
            yield from _wrong_input(name, each)
    if type(suite.most) is not int or not 1 <= suite.most <= MOST_MACHINES:
        yield f"`most` must be a number from 1 to {MOST_MACHINES}, and is {suite.most!r}"
    yield from _wrong_names("may_miss", suite.may_miss, actions_of(suite.machine), "no action")
    known = {*own_faults, *packages()}
    yield from _wrong_names("faults", suite.faults, known, "none")
    written = _fields_of_the_role(suite.facts)
    for each in suite.abstracted:
        if each not in written:
            yield (
                f"`abstracted` names {each!r}, and no input, request, record or fact has a field"
                f" of that name{_near(each, written)}"
            )


def _wrong_names(name: str, given: Any, known: set[str], what: str) -> Iterator[str]:
    if isinstance(given, str) or not isinstance(given, Collection):
        yield f"`{name}` must be several names, and is {given!r}; write ({given!r},)"
        return
    for each in given:
        if each not in known:
            yield f"`{name}` names {each!r}, which is {what}{_near(str(each), known)}"


def _near(name: str, known: set[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"


def _needed(kind: type[Any]) -> list[str]:
    """The fields of a dataclass that have no default."""
    if not is_dataclass(kind):
        return []
    return [
        each.name
        for each in fields(kind)
        if each.default is MISSING and each.default_factory is MISSING
    ]


def _wrong_facts(facts: type[Any]) -> Iterator[str]:
    if not is_dataclass(facts) or _needed(facts):
        yield (
            "`facts` must be the derived class of the machine's facts, such as TenantFacts,"
            f" and is {facts.__name__}"
        )


def _wrong_mapping(mapping: type[RoleMapping]) -> Iterator[str]:
    for name in ("connected", "suspended"):
        inherited = getattr(mapping, name) is getattr(RoleMapping, name)
        if inherited and not hasattr(mapping, f"{name}_input"):
            yield (
                f"its mapping {mapping.__name__} lacks `{name}_input`, the input that a machine is"
                f" told then; write {name}_input = {name.capitalize()}, or override {name}()"
            )


def _wrong_input(name: str, given: Any) -> Iterator[str]:
    if not (isinstance(given, type) and issubclass(given, Input)):
        yield f"`{name}` has {given!r}, which is no class of inputs"
    elif _needed(given):
        yield (
            f"`{name}` has {given.__name__}, which has fields ({', '.join(_needed(given))});"
            " a suite gives only inputs without fields"
        )


def _wrong_settings(suite: type[RoleSuite]) -> Iterator[str]:
    declared = inspect.getattr_static(suite.machine, "settings", None)
    if not isinstance(declared, property):
        if suite.settings is not None:
            yield f"{suite.machine.__name__} has no settings, and `settings` is {suite.settings!r}"
        return
    kind = typing.get_type_hints(declared.fget).get("return")
    if isinstance(kind, type) and not isinstance(suite.settings, kind):
        example = ", ".join(f"{name}=..." for name in _needed(kind))
        yield (
            f"{suite.machine.__name__} has settings; write settings = {kind.__name__}({example})"
        )
    role = recorded_role(suite.machine) if suite.validated else None
    if role is None or not is_dataclass(suite.settings):
        return
    for item in fields(suite.settings):
        given = getattr(suite.settings, item.name)
        for constant, value in role.model.constants.items():
            named = constant.lower().replace("_", "")
            if named == item.name.replace("_", "") and value != given:
                yield (
                    f"`settings` has {item.name} = {given!r}, and the model {role.model.name} of"
                    f" {MANIFEST}, with which runs are compared, has {constant} = {value!r}; name"
                    " a model with the same value in the key `runs` of [[role]], or write"
                    " validated = False"
                )


def _fields_of_the_role(facts: type[Any]) -> set[str]:
    """The names of all fields in the modules that the role's facts come from."""
    module = sys.modules[facts.__module__]
    origins = {each.__module__ for each in vars(module).values() if _is_record(each)}
    return {
        item.name
        for origin in origins
        for each in vars(sys.modules[origin]).values()
        if _is_record(each)
        for item in fields(each)
    }


def _is_record(value: object) -> bool:
    return isinstance(value, type) and is_dataclass(value)
