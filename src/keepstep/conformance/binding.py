"""Values of the specification and objects of a role's module, each made from the other.

Nothing here knows a protocol: names agree (a variant is the dataclass of the same name, a
field `lastSeen` is `last_seen`), and the annotations of the dataclasses say the rest. A set
in the specification that stands for something optional is `T | None` in Python.
"""

from __future__ import annotations

import enum
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import ModuleType
from typing import Any, Literal, NewType, TypeVar, Union

from keepstep.core.machine import Input, Request, RoleMachine
from keepstep.errors import Divergence, InvalidModel
from keepstep.tla.operations import UNIT, function
from keepstep.tla.values import Fn, render

__all__ = ["Binding", "Misfit", "camel_case", "forget_types", "misfit", "snake_case"]

Convert = Callable[[Any], Any]
T = TypeVar("T")


class Misfit(Divergence):
    """A value of one side has no counterpart on the other, by its type or its fields."""


def snake_case(name: str) -> str:
    """`StepDown` or `stepDown` as `step_down`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def camel_case(name: str) -> str:
    """`last_seen` as `lastSeen`."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def misfit(value: object) -> str:
    """Why a dataclass holds what its annotations do not allow; "" if it holds nothing such."""
    try:
        _payload_writer(type(value))(value)
    except Misfit as error:
        return str(error)
    return ""


class Binding:
    """What a role's module defines, and how it is written in the specification.

    Args:
        module: The module of a role machine.

    Raises:
        InvalidModel: It does not define exactly one role machine.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        named = {name: value for name, value in vars(module).items() if isinstance(value, type)}
        machines = [
            value
            for value in named.values()
            if issubclass(value, RoleMachine) and value.__module__ == module.__name__
        ]
        if len(machines) != 1:
            raise InvalidModel(
                f"{module.__name__} must define one role machine, not {len(machines)}"
            )
        self.machine: type[RoleMachine[Any]] = machines[0]
        vocabulary = {**_vocabulary(named), **named}
        self.inputs: dict[str, type[Input]] = {
            value.__name__: value
            for value in vocabulary.values()
            if issubclass(value, Input) and value is not Input
        }
        self.facts: type[Any] = self._facts()
        found = named.get(f"{self.machine.__name__}Settings")
        self.settings = found if found is not None and is_dataclass(found) else None

    def _facts(self) -> type[Any]:
        for base in getattr(self.machine, "__orig_bases__", ()):
            for argument in typing.get_args(base):
                if isinstance(argument, type) and is_dataclass(argument):
                    return argument
        raise InvalidModel(f"{self.machine.__name__} names no dataclass of facts")

    # --- From the specification to Python ---

    def to_input(self, value: Fn) -> Input:
        """The input that a variant stands for.

        Raises:
            Misfit: The module has no such input, or it has other fields.
        """
        tag = value["tag"]
        if tag not in self.inputs:
            raise Misfit(f"the module has no input {tag}")
        made: Input = _variant_reader(self.inputs[tag])(value["value"])
        return made

    def to_command(self, name: str, payload: tuple[Any, ...]) -> Input:
        """The command with these parameters of the action, in order.

        Raises:
            Misfit: The module has no such command, or it has other fields.
        """
        if name not in self.inputs:
            raise Misfit(f"the module has no command {name}")
        command = self.inputs[name]
        wanted = _hints(command)
        if len(wanted) != len(payload):
            raise Misfit(f"{name} has {len(wanted)} fields, its action {len(payload)} parameters")
        values = [
            _converter(hint)[0](value) for hint, value in zip(wanted.values(), payload, strict=True)
        ]
        return command(*values)

    def to_facts(self, values: Mapping[str, Any]) -> Any:
        """The facts, by the names of their fields.

        Raises:
            Misfit: A fact is missing or has another type.
        """
        hints = _hints(self.facts)
        if set(hints) != set(values):
            odd = ", ".join(sorted(set(hints) ^ set(values)))
            raise Misfit(f"the facts of the module and of the specification differ: {odd}")
        return self.facts(**{name: _converter(hints[name])[0](values[name]) for name in hints})

    def to_settings(self, constants: Mapping[str, Any]) -> Any:
        """The settings that constants of the specification are; None if the role has none.

        Raises:
            Misfit: A setting has no constant, or it has another type.
        """
        if self.settings is None:
            return None
        given = {name.lower().replace("_", ""): value for name, value in constants.items()}
        found = {}
        for name, hint in _hints(self.settings).items():
            key = name.replace("_", "")
            if key not in given:
                raise Misfit(
                    f"the setting {name} has no constant; give it a value in `constants` of its"
                    " [[role]] and of each model"
                )
            found[name] = _converter(hint)[0](given[key])
        return self.settings(**found)

    # --- From Python to the specification ---

    def from_facts(self, facts: Any) -> dict[str, Any]:
        """The values of the facts, by the names of their fields.

        Raises:
            Misfit: A fact has not the type of its annotation.
        """
        hints = _hints(self.facts)
        found = {}
        for name, hint in hints.items():
            try:
                found[name] = _converter(hint)[1](getattr(facts, name))
            except Misfit as error:
                raise Misfit(f"fact {name}: {error}") from None
        return found

    def from_request(self, request: Request) -> Fn:
        """The variant that a request stands for.

        Raises:
            Misfit: It is no request, or a field has not the type of its annotation.
        """
        if not isinstance(request, Request):
            raise Misfit(f"{request!r} is no request")
        return Fn(tag=type(request).__name__, value=_payload_writer(type(request))(request))


def _vocabulary(named: Mapping[str, type[Any]]) -> dict[str, type[Any]]:
    """All classes of the modules from which a role's module takes inputs and requests."""
    modules = {
        value.__module__
        for value in named.values()
        if issubclass(value, (Input, Request)) and value not in (Input, Request)
    }
    return {
        name: value
        for module in sorted(modules)
        for name, value in vars(sys.modules[module]).items()
        if isinstance(value, type) and value.__module__ == module
    }


_FORGET: list[Callable[[], None]] = []


def _remembered(make: Callable[[Any], T]) -> Callable[[Any], T]:
    """Make it once for each type, until `forget_types`."""
    known = cache(make)
    _FORGET.append(known.cache_clear)
    return known


def forget_types() -> None:
    """Forget what is known of dataclasses, so that their modules can be collected."""
    for forget in _FORGET:
        forget()


@_remembered
def _hints(of: Any) -> dict[str, Any]:
    """The fields of a dataclass with their annotations."""
    hints = typing.get_type_hints(of)
    return {item.name: hints[item.name] for item in fields(of)} if is_dataclass(of) else {}


@_remembered
def _variant_reader(of: Any) -> Convert:
    hints = _hints(of)
    if not hints:
        return lambda _payload: of()
    read = {camel_case(name): (name, _converter(hint)[0]) for name, hint in hints.items()}

    def convert(payload: Any) -> Any:
        if isinstance(payload, Fn) and payload.keys() == read.keys():
            return of(**{name: get(payload[key]) for key, (name, get) in read.items()})
        if len(read) == 1:
            ((name, get),) = read.values()
            return of(**{name: get(payload)})
        raise Misfit(f"{of.__name__} has other fields than {render(payload)}")

    return convert


@_remembered
def _payload_writer(of: Any) -> Convert:
    hints = _hints(of)
    if not hints:
        return lambda _request: UNIT
    return _record_writer(of)


def _record_writer(of: type[Any]) -> Convert:
    write = [(name, camel_case(name), _converter(hint)[1]) for name, hint in _hints(of).items()]

    def convert(value: Any) -> Any:
        if type(value) is not of:
            raise Misfit(f"{value!r} is no {of.__name__}")
        found = {}
        for name, key, put in write:
            try:
                found[key] = put(getattr(value, name))
            except Misfit as error:
                raise Misfit(f"{of.__name__}.{name}: {error}") from None
        return Fn(found)

    return convert


def _exactly(kind: type[Any]) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not kind and not (kind is str and isinstance(value, str)):
            raise Misfit(f"{value!r} is no {kind.__name__}")
        return value

    return convert


@_remembered
def _converter(hint: Any) -> tuple[Convert, Convert]:
    """How values of an annotated type are read and written."""
    if isinstance(hint, NewType):
        return _converter(hint.__supertype__)
    if hint in (int, bool, str):
        return _exactly(hint), _exactly(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return _among(arguments), _among(arguments)
    if origin in (Union, types.UnionType) and type(None) in arguments and len(arguments) == 2:
        return _optional(next(item for item in arguments if item is not type(None)))
    if origin in (frozenset, tuple):
        return _collection(origin, arguments[0])
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(*arguments)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint, lambda value: _exactly(hint)(value).value
    if isinstance(hint, type) and is_dataclass(hint):
        return _variant_reader(hint), _record_writer(hint)
    raise Misfit(f"the type {hint} has no counterpart in the specification")


def _among(allowed: tuple[Any, ...]) -> Convert:
    def convert(value: Any) -> Any:
        if value not in allowed:
            raise Misfit(f"{value!r} is none of {', '.join(map(repr, allowed))}")
        return value

    return convert


def _optional(inner: Any) -> tuple[Convert, Convert]:
    read, write = _converter(inner)

    def convert(value: Any) -> Any:
        if not isinstance(value, frozenset) or len(value) > 1:
            raise Misfit(f"{render(value)} is no set of at most one element")
        return next(map(read, value), None)

    return convert, lambda value: frozenset() if value is None else frozenset({write(value)})


def _collection(kind: type[Any], inner: Any) -> tuple[Convert, Convert]:
    read, write = _converter(inner)

    def within(convert: Convert) -> Convert:
        def apply(value: Any) -> Any:
            if not isinstance(value, kind):
                raise Misfit(f"{value!r} is no {kind.__name__}")
            return kind(convert(item) for item in value)

        return apply

    return within(read), within(write)


def _mapping(key: Any, item: Any) -> tuple[Convert, Convert]:
    read_key, write_key = _converter(key)
    read, write = _converter(item)

    def convert(value: Any) -> Any:
        pairs = enumerate(value, 1) if isinstance(value, tuple) else value.items()
        return Fn({read_key(name): read(inner) for name, inner in pairs})

    def back(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Misfit(f"{value!r} is no mapping")
        return function({write_key(name): write(inner) for name, inner in value.items()})

    return convert, back
