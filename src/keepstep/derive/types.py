"""Apalache's types. Written out by `str`, a type is what stands in a `@type` annotation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from keepstep.errors import InvalidSpec

__all__ = [
    "AliasType",
    "BoolType",
    "ConstType",
    "FunctionType",
    "IntType",
    "OperatorType",
    "RecordType",
    "SeqType",
    "SetType",
    "StrType",
    "TupleType",
    "Type",
    "TypeVariable",
    "UnitType",
    "VariantType",
    "parse_type",
]


@dataclass(frozen=True, slots=True)
class IntType:
    """A whole number."""

    def __str__(self) -> str:
        return "Int"


@dataclass(frozen=True, slots=True)
class StrType:
    """A string."""

    def __str__(self) -> str:
        return "Str"


@dataclass(frozen=True, slots=True)
class BoolType:
    """A truth value."""

    def __str__(self) -> str:
        return "Bool"


@dataclass(frozen=True, slots=True)
class UnitType:
    """The payload of a variant that has none."""

    def __str__(self) -> str:
        return "UNIT"


@dataclass(frozen=True, slots=True)
class ConstType:
    """An uninterpreted type, in capitals: `NODE`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class TypeVariable:
    """Any type, in lower case: `a`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class AliasType:
    """A reference to a `@typeAlias`: `$ticketName`."""

    name: str

    def __str__(self) -> str:
        return f"${self.name}"


@dataclass(frozen=True, slots=True)
class SetType:
    """A set."""

    element: Type

    def __str__(self) -> str:
        return f"Set({self.element})"


@dataclass(frozen=True, slots=True)
class SeqType:
    """A sequence."""

    element: Type

    def __str__(self) -> str:
        return f"Seq({self.element})"


@dataclass(frozen=True, slots=True)
class TupleType:
    """A tuple."""

    elements: tuple[Type, ...]

    def __str__(self) -> str:
        return f"<<{', '.join(map(str, self.elements))}>>"


@dataclass(frozen=True, slots=True)
class RecordType:
    """A record: its fields in the order in which they are written."""

    fields: tuple[tuple[str, Type], ...]

    def __str__(self) -> str:
        return "{ " + ", ".join(f"{name}: {type_}" for name, type_ in self.fields) + " }"


@dataclass(frozen=True, slots=True)
class VariantType:
    """A tagged union: each tag with the type of its payload."""

    cases: tuple[tuple[str, Type], ...]

    def __str__(self) -> str:
        return " | ".join(f"{tag}({payload})" for tag, payload in self.cases)


@dataclass(frozen=True, slots=True)
class FunctionType:
    """A function."""

    domain: Type
    result: Type

    def __str__(self) -> str:
        return f"{_operand(self.domain)} -> {self.result}"


@dataclass(frozen=True, slots=True)
class OperatorType:
    """An operator."""

    params: tuple[Type, ...]
    result: Type

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.params))}) => {self.result}"


Type: TypeAlias = (
    IntType
    | StrType
    | BoolType
    | UnitType
    | ConstType
    | TypeVariable
    | AliasType
    | SetType
    | SeqType
    | TupleType
    | RecordType
    | VariantType
    | FunctionType
    | OperatorType
)


def _operand(type_: Type) -> str:
    """A type as it stands before an arrow, which binds tighter than what it may consist of."""
    return (
        f"({type_})" if isinstance(type_, FunctionType | OperatorType | VariantType) else f"{type_}"
    )


_WORD = re.compile(r"->|=>|<<|>>|\$\w+|\w+|[(){},:|]")
_PLAIN: dict[str, Type] = {
    "Int": IntType(),
    "Str": StrType(),
    "Bool": BoolType(),
    "UNIT": UnitType(),
}


def parse_type(text: str) -> Type:
    """Read a type.

    Raises:
        InvalidSpec: It is no type that this reader knows. The caller adds the place.
    """
    parser = _Parser(text)
    parsed = parser.type()
    if parser.words:
        raise parser.error()
    return parsed


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[str] = _WORD.findall(text)
        if "".join(self.words) != "".join(text.split()):
            raise self.error()

    def error(self) -> InvalidSpec:
        return InvalidSpec(f"cannot read the type {self.text!r}")

    def peek(self) -> str:
        return self.words[0] if self.words else ""

    def take(self, *expected: str) -> str:
        if not self.words or (expected and self.words[0] not in expected):
            raise self.error()
        return self.words.pop(0)

    def type(self) -> Type:
        params = self.params()
        if self.peek() == "=>":
            self.take()
            return OperatorType(params, self.type())
        if len(params) != 1:
            raise self.error()
        (left,) = params
        if self.peek() == "->":
            self.take()
            return FunctionType(left, self.type())
        if isinstance(left, VariantType):
            cases = list(left.cases)
            while self.peek() == "|":
                self.take()
                cases.append(self.case(self.take()))
            return VariantType(tuple(cases))
        return left

    def params(self) -> tuple[Type, ...]:
        """One type, or the parameters of an operator in parentheses."""
        if self.peek() != "(":
            return (self.atom(),)
        self.take()
        items = [] if self.peek() == ")" else [self.type()]
        while self.peek() == ",":
            self.take()
            items.append(self.type())
        self.take(")")
        return tuple(items)

    def atom(self) -> Type:
        word = self.take()
        if word == "{":
            return self.record()
        if word == "<<":
            return self.tuple()
        if word.startswith("$"):
            return AliasType(word[1:])
        if self.peek() == "(":
            return self.applied(word)
        if word in _PLAIN:
            return _PLAIN[word]
        if word.isidentifier():
            return ConstType(word) if word.isupper() else TypeVariable(word)
        raise self.error()

    def applied(self, word: str) -> Type:
        if word not in ("Set", "Seq"):
            return VariantType((self.case(word),))
        self.take("(")
        element = self.type()
        self.take(")")
        return SetType(element) if word == "Set" else SeqType(element)

    def case(self, tag: str) -> tuple[str, Type]:
        self.take("(")
        payload = self.type()
        self.take(")")
        return tag, payload

    def record(self) -> Type:
        fields: list[tuple[str, Type]] = []
        while self.peek() != "}":
            if fields:
                self.take(",")
            name = self.take()
            self.take(":")
            fields.append((name, self.type()))
        self.take("}")
        return RecordType(tuple(fields))

    def tuple(self) -> Type:
        elements = [self.type()]
        while self.peek() == ",":
            self.take()
            elements.append(self.type())
        self.take(">>")
        return TupleType(tuple(elements))
