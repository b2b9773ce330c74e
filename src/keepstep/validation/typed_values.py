"""Values as Apalache reads them: in TLA+ and in ITF, each by its type.

TLC needs no types. For Apalache, a function and a record are two things, and so are a record
and a variant, and which of them a value is cannot always be seen from the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keepstep.derive.ast import Spec
from keepstep.derive.types import (
    AliasType,
    BoolType,
    ConstType,
    FunctionType,
    IntType,
    RecordType,
    SeqType,
    SetType,
    StrType,
    TupleType,
    Type,
    UnitType,
    VariantType,
    parse_type,
)
from keepstep.errors import InvalidModel, InvalidSpec
from keepstep.tla.itf import to_itf
from keepstep.tla.operations import UNIT
from keepstep.tla.values import render

__all__ = ["TypedValues"]


@dataclass(frozen=True)
class TypedValues:
    """Writes the values of a specification's variables.

    Attributes:
        spec: The specification, whose variables have types.
        types: The type of each variable, as it is written.
    """

    spec: Spec

    @property
    def types(self) -> dict[str, str]:
        """The type of each variable, as it is written.

        Raises:
            InvalidSpec: A variable has none.
        """
        found = {}
        for variable in self.spec.variables:
            text = variable.annotations.get("type", "").rstrip("; ")
            if not text:
                place = self.spec.file(self.spec.root)
                raise InvalidSpec(f"Expected a type annotation for VARIABLE {variable.name}", place)
            found[variable.name] = text
        return found

    def tla(self, value: Any, type_: str) -> str:
        """A value as an expression of TLA+ that has the type; it needs the module Apalache.

        Raises:
            InvalidModel: The value has another type.
            InvalidSpec: The type cannot be read.
        """
        return str(_written(value, self._meant(parse_type(type_)), self._meant, _TLA))

    def itf(self, value: Any, type_: str) -> Any:
        """A value as a JSON value of ITF that Apalache takes for one of the type.

        Raises:
            InvalidModel: The value has another type.
            InvalidSpec: The type cannot be read.
        """
        return _written(value, self._meant(parse_type(type_)), self._meant, _ITF)

    def _meant(self, type_: Type) -> Type:
        """The type itself, where an alias stands for it."""
        if isinstance(type_, AliasType):
            if type_.name not in self.spec.aliases:
                raise InvalidSpec(f"there is no type ${type_.name}", self.spec.file(self.spec.root))
            return self._meant(parse_type(self.spec.aliases[type_.name].text))
        return type_


@dataclass(frozen=True, slots=True)
class _Notation:
    """How values are written: what has no parts, and what is made of what was written."""

    plain: Callable[[Any], Any]
    set_of: Callable[[list[Any]], Any]
    sequence: Callable[[list[Any]], Any]
    tuple_of: Callable[[list[Any]], Any]
    record: Callable[[dict[str, Any]], Any]
    function: Callable[[list[tuple[Any, Any]]], Any]
    variant: Callable[[str, Any], Any]


def _enumerated(items: list[Any]) -> str:
    return "{" + ", ".join(sorted(items)) + "}"


def _listed(items: list[Any]) -> str:
    return f"<<{', '.join(items)}>>"


_TLA = _Notation(
    plain=render,
    set_of=_enumerated,
    sequence=_listed,
    tuple_of=_listed,
    record=lambda fields: "[" + ", ".join(f"{k} |-> {v}" for k, v in fields.items()) + "]",
    function=lambda pairs: f"SetAsFun({_enumerated([_listed([*pair]) for pair in pairs])})",
    variant=lambda tag, payload: f'Variant("{tag}", {payload})',
)

_ITF = _Notation(
    plain=to_itf,
    set_of=lambda items: {"#set": sorted(items, key=repr)},
    sequence=lambda items: items,
    tuple_of=lambda items: {"#tup": items},
    record=lambda fields: fields,
    function=lambda pairs: {"#map": [[*pair] for pair in pairs]},
    variant=lambda tag, payload: {"tag": tag, "value": payload},
)


def _written(value: Any, type_: Type, meant: Callable[[Type], Type], notation: _Notation) -> Any:
    """A value in a notation.

    Raises:
        InvalidModel: It has another type.
    """

    def part(inner: Any, of: Type) -> Any:
        return _written(inner, meant(of), meant, notation)

    if _fits(value, type_):
        return notation.plain(value)
    match type_, value:
        case SetType(element), frozenset():
            return notation.set_of([part(item, element) for item in value])
        case SeqType(element), tuple():
            return notation.sequence([part(item, element) for item in value])
        case TupleType(elements), tuple() if len(elements) == len(value):
            pairs = zip(value, elements, strict=True)
            return notation.tuple_of([part(item, of) for item, of in pairs])
        case RecordType(fields), Mapping() if value.keys() == dict(fields).keys():
            return notation.record({name: part(value[name], of) for name, of in fields})
        case FunctionType(domain, result), Mapping():
            return notation.function(
                [(part(key, domain), part(item, result)) for key, item in value.items()]
            )
        case VariantType(cases), {"tag": tag, "value": payload} if tag in dict(cases):
            return notation.variant(str(tag), part(payload, dict(cases)[tag]))
    raise InvalidModel(f"{render(value)} is no value of its type {type_}")


def _fits(value: Any, type_: Type) -> bool:
    """Whether it is a value without parts, and of the type."""
    match type_, value:
        case (BoolType(), bool()):
            return True
        case (IntType(), int()):
            return not isinstance(value, bool)
        case (UnitType(), str()):
            return value == UNIT
        case (ConstType(name), str()):
            return value.endswith(f"_OF_{name}")
        case (StrType(), str()):
            # Apalache takes such a string for a constant of an uninterpreted type.
            return not _CONSTANT.fullmatch(value)
    return False


_CONSTANT = re.compile(r"\w+_OF_[A-Z_][A-Z0-9_]*")
