"""What roles can be told and can ask for, as a Types module declares it.

A module that declares a `@typeAlias` is a vocabulary. Its record types become dataclasses;
the variants of a type whose name ends in `input` become inputs, those of one that ends in
`request` become requests.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepstep.core import ids
from keepstep.derive.ast import App, Lit, Name, Operator, Place
from keepstep.derive.comments import module_essay
from keepstep.derive.names import camel, snake
from keepstep.derive.subset import Rule, refusal
from keepstep.derive.types import (
    AliasType,
    ConstType,
    RecordType,
    SetType,
    TypeVariable,
    UnitType,
    VariantType,
    parse_type,
)
from keepstep.errors import InvalidSpec

if TYPE_CHECKING:
    from keepstep.derive.ast import Alias, Spec
    from keepstep.derive.types import Type

__all__ = [
    "Field",
    "Message",
    "Record",
    "Vocabulary",
    "accessed_tag",
    "const_types",
    "constructed_tag",
    "identity_name",
    "plan_vocabularies",
    "read_type",
    "types_below",
]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record or of a message: its name in the specification, and its type."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Record:
    """A record type: a dataclass.

    Attributes:
        alias: Its name in the specification.
        name: Its name in Python.
        fields: Its fields, in the order in which they are written.
        comment: The prose above it.
    """

    alias: str
    name: str
    fields: tuple[Field, ...]
    comment: str


@dataclass(frozen=True, slots=True)
class Message:
    """An input or a request: its tag, which is its name in Python too, fields and prose."""

    tag: str
    fields: tuple[Field, ...]
    comment: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A Types module.

    Attributes:
        module: Its name.
        essay: The comment under its first line.
        records: Its records, in the order in which they are written.
        inputs: The messages of each input type, by alias.
        requests: The messages of each request type, by alias.
        extends: The vocabularies that it extends.
    """

    module: str
    essay: str
    records: tuple[Record, ...]
    inputs: dict[str, tuple[Message, ...]]
    requests: dict[str, tuple[Message, ...]]
    extends: tuple[str, ...]

    def defined(self) -> list[str]:
        """Names of the Python classes of this module."""
        groups = (*self.inputs.values(), *self.requests.values())
        messages = [message.tag for group in groups for message in group]
        return [*(record.name for record in self.records), *messages]


def read_type(spec: Spec, text: str, at: Place) -> Type:
    """The type that an annotation gives, refused with its place if it cannot be read."""
    try:
        return parse_type(text)
    except InvalidSpec as error:
        raise refusal(spec, Rule.TYPES, error.message, at) from None


def types_below(type_: Type) -> list[Type]:
    """The type and those it is made of; aliases are not followed."""
    match type_:
        case SetType(element):
            return [type_, *types_below(element)]
        case RecordType(fields):
            return [type_, *(part for _, inner in fields for part in types_below(inner))]
    return [type_]


def constructed_tag(operator: Operator) -> str:
    """The tag of the variant that the operator makes; "" if it is no constructor."""
    match operator.body:
        case App("Variant", (Lit(str(tag)), _), "library"):
            return tag
    return ""


def accessed_tag(operator: Operator) -> str:
    """The tag of the variant whose payload the operator reads; "" if it is no accessor."""
    match operator.body:
        case App("VariantGetUnsafe" | "VariantGetOrElse", (Lit(str(tag)), Name(of), *_), "library"):
            return tag if operator.params == (of,) else ""
    return ""


def plan_vocabularies(spec: Spec) -> dict[str, Vocabulary]:
    """The vocabularies of a specification, by module.

    Raises:
        InvalidSpec: A type, a constructor or a name is outside the subset.
    """
    modules = dict.fromkeys(
        alias.at.module
        for alias in spec.aliases.values()
        if alias.at.module in spec.extended and alias.at.module != spec.root
    )
    constructors = _constructors(spec)
    return {
        module: _Planner(spec, module, modules, constructors).vocabulary() for module in modules
    }


def _constructors(spec: Spec) -> dict[tuple[str, str], Operator]:
    """Constructors by alias of their type and by tag."""
    found = {}
    for operator in spec.operators.values():
        if (tag := constructed_tag(operator)) and "type" in operator.annotations:
            alias = operator.annotations["type"].rpartition("$")[2].strip()
            found[alias, tag] = operator
    return found


class _Planner:
    def __init__(
        self,
        spec: Spec,
        module: str,
        modules: dict[str, None],
        constructors: dict[tuple[str, str], Operator],
    ) -> None:
        self.spec = spec
        self.module = module
        self.others = tuple(m for m in modules if m != module and m in spec.extends[module])
        self.constructors = constructors

    def vocabulary(self) -> Vocabulary:
        records: list[Record] = []
        inputs: dict[str, tuple[Message, ...]] = {}
        requests: dict[str, tuple[Message, ...]] = {}
        for alias in self.spec.aliases.values():
            if alias.at.module != self.module:
                continue
            match read_type(self.spec, alias.text, alias.at):
                case RecordType(fields):
                    records.append(self.record(alias, fields))
                case VariantType(cases) if alias.name.lower().endswith("input"):
                    inputs[alias.name] = self.messages(alias, cases, "NoInput")
                case VariantType(cases) if alias.name.lower().endswith("request"):
                    requests[alias.name] = self.messages(alias, cases, "NoRequest")
                case VariantType():
                    message = f"the variant type {alias.name} ends neither in input nor in request"
                    raise refusal(self.spec, Rule.VOCABULARY, message, alias.at)
        source = self.spec.sources[self.module]
        found = Vocabulary(
            self.module, module_essay(source.lines), tuple(records), inputs, requests, self.others
        )
        self.check_names(found)
        return found

    def record(self, alias: Alias, fields: tuple[tuple[str, Type], ...]) -> Record:
        if not alias.comment:
            message = f"no sentence says what {alias.name} is"
            raise refusal(self.spec, Rule.COMMENTS, message, alias.at)
        return Record(alias.name, camel(alias.name), self.fields(fields, alias.at), alias.comment)

    def messages(
        self, alias: Alias, cases: tuple[tuple[str, Type], ...], nothing: str
    ) -> tuple[Message, ...]:
        if nothing not in dict(cases):
            message = f"the type {alias.name} has no case {nothing}(UNIT)"
            raise refusal(self.spec, Rule.VOCABULARY, message, alias.at)
        return tuple(self.message(alias, *case) for case in cases if case[0] != nothing)

    def message(self, alias: Alias, tag: str, payload: Type) -> Message:
        constructor = self.constructors.get((alias.name, tag))
        if constructor is None:
            message = f"no constructor makes the case {tag} of {alias.name}"
            raise refusal(self.spec, Rule.VOCABULARY, message, alias.at)
        if constructor.name != tag:
            message = f"the constructor of {tag} is called {constructor.name}"
            raise refusal(self.spec, Rule.VOCABULARY, message, constructor.at)
        if not constructor.comment:
            message = f"no sentence says what {tag} means"
            raise refusal(self.spec, Rule.COMMENTS, message, constructor.at)
        match payload:
            case UnitType():
                fields: tuple[Field, ...] = ()
            case RecordType(inner):
                fields = self.fields(inner, alias.at)
            case _:
                message = f"the payload of {tag} is neither UNIT nor a record"
                raise refusal(self.spec, Rule.VOCABULARY, message, alias.at)
        self.check_constructor(constructor, fields)
        return Message(tag, fields, constructor.comment)

    def check_constructor(self, constructor: Operator, fields: tuple[Field, ...]) -> None:
        """Its parameters are the fields, in their order: calls name the fields by place."""
        given: dict[str, str] = {}
        match constructor.body:
            case App("Variant", (_, App("$RcdConstructor", pairs))):
                for pair in pairs:
                    match pair:
                        case App("$Pair", (Lit(str(field)), Name(param, "local"))):
                            given[field] = param
        names = tuple(field.name for field in fields)
        if tuple(given) != names or tuple(given.values()) != constructor.params:
            message = (
                f"the parameters of {constructor.name} are not the fields"
                f" {', '.join(names) or '(none)'} in their order"
            )
            raise refusal(self.spec, Rule.VOCABULARY, message, constructor.at)

    def fields(self, fields: tuple[tuple[str, Type], ...], at: Place) -> tuple[Field, ...]:
        for name, type_ in fields:
            self.check_type(type_, at)
            if snake(name) in ("frozenset", "int", "str", "bool") or keyword.iskeyword(snake(name)):
                message = f"the field {name} has a name that Python needs"
                raise refusal(self.spec, Rule.NAMES, message, at)
        return tuple(Field(name, type_) for name, type_ in fields)

    def check_type(self, type_: Type, at: Place) -> None:
        for part in types_below(type_):
            match part:
                case AliasType(name) if name not in self.spec.aliases:
                    raise refusal(self.spec, Rule.TYPES, f"there is no type ${name}", at)
                case RecordType() | VariantType() | TypeVariable():
                    message = "a field is a number, a string, a truth value, an identity, a record"
                    raise refusal(self.spec, Rule.TYPES, f"{message} by its alias, or a set", at)

    def check_names(self, found: Vocabulary) -> None:
        places = {camel(alias.name): alias.at for alias in self.spec.aliases.values()}
        taken = {"Input", "Request", "NewType"}
        for name in found.defined():
            if name in taken:
                at = places.get(name) or self.spec.named(name).at
                message = f"{name} is the name of a second thing, or of one that derived code needs"
                raise refusal(self.spec, Rule.NAMES, message, at)
            taken.add(name)


def const_types(type_: Type) -> set[str]:
    """Names of the uninterpreted types in a type."""
    return {part.name for part in types_below(type_) if isinstance(part, ConstType)}


def identity_name(name: str) -> str:
    """The Python name of an uninterpreted type: `NodeId` for NODE, `Duty` for DUTY."""
    plain = "".join(part.capitalize() for part in name.split("_"))
    return plain if hasattr(ids, plain) else f"{plain}Id"
