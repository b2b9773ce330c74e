"""A module of pure operators in, a Python module of functions out.

Such a module has no variables: its record types become tuples with named fields, its other
types aliases, operators without parameters constants, and the rest functions. Sets are frozen
sets, sequences tuples, functions dictionaries that nobody changes. What an operator defines
with LET is computed where it is defined, so a value that may not exist belongs into the
branch in which it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepstep.derive.ast import App, Bind, Bound, Let, Lit, Name, substitute
from keepstep.derive.comments import module_essay
from keepstep.derive.emit import Origin, docstring, formatted, header
from keepstep.derive.names import camel, local, snake
from keepstep.derive.subset import Rule, refusal
from keepstep.derive.types import (
    AliasType,
    BoolType,
    ConstType,
    FunctionType,
    IntType,
    OperatorType,
    RecordType,
    SeqType,
    SetType,
    StrType,
)
from keepstep.derive.vocabulary import read_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from keepstep.derive.ast import Expression, Operator, Place, Spec
    from keepstep.derive.types import Type
    from keepstep.errors import InvalidSpec

__all__ = ["emit_functions"]

_VALUES = {"DATA": "bytes"}
"""What stands for an uninterpreted type: of what a znode holds nothing is known but bytes."""

_CONSTANTS = {"none_OF_DATA": 'b""'}
"""What stands for a value of an uninterpreted type."""

# How strongly the parts of a Python expression bind, from its grammar.
_CHOICE, _OR, _AND, _NOT, _COMPARE, _UNION, _INTERSECTION, _SUM, _PRODUCT, _SIGN, _ATOM = range(11)

_BINARY = {
    "=": ("==", _COMPARE), "/=": ("!=", _COMPARE), "#": ("!=", _COMPARE), "<": ("<", _COMPARE),
    ">": (">", _COMPARE), "<=": ("<=", _COMPARE), "\\leq": ("<=", _COMPARE),
    ">=": (">=", _COMPARE), "\\geq": (">=", _COMPARE), "\\subseteq": ("<=", _COMPARE),
    "+": ("+", _SUM), "-": ("-", _SUM), "*": ("*", _PRODUCT), "\\union": ("|", _UNION),
    "\\cup": ("|", _UNION), "\\intersect": ("&", _INTERSECTION), "\\cap": ("&", _INTERSECTION),
    "\\": ("-", _SUM),
}  # fmt: skip
_CONJUNCTION = ("$ConjList", "\\land")
_DISJUNCTION = ("$DisjList", "\\lor")


@dataclass(frozen=True, slots=True)
class _Python:
    """A Python expression and how strongly it binds."""

    text: str
    binds: int = _ATOM

    def within(self, binds: int) -> str:
        """Its text, in parentheses where something that binds this strongly is around it."""
        return self.text if self.binds >= binds else f"({self.text})"


@dataclass(frozen=True, slots=True)
class _Scope:
    """The Python names of local names and their types, as far as they are known."""

    names: Mapping[str, str]
    types: Mapping[str, Type]
    lets: Mapping[str, str]

    def bound(self, name: str, python: str, type_: Type | None) -> _Scope:
        types = self.types if type_ is None else {**self.types, name: type_}
        return _Scope({**self.names, name: python}, types, self.lets)

    def defined(self, uid: str, python: str, type_: Type | None) -> _Scope:
        key = f"let {uid}"
        types = self.types if type_ is None else {**self.types, key: type_}
        return _Scope(self.names, types, {**self.lets, uid: python})


def emit_functions(spec: Spec, origin: Origin) -> str:
    """The Python module of a module of pure operators.

    Args:
        spec: The module, as SANY reads it.
        origin: Where it comes from and where it goes.

    Raises:
        InvalidSpec: It has variables or constants, or something that has no form in Python.
    """
    return formatted(_Writer(spec, origin).module())


class _Writer:
    def __init__(self, spec: Spec, origin: Origin) -> None:
        self.spec = spec
        self.origin = origin
        self.operators = [
            operator
            for operator in spec.operators.values()
            if operator.at.module == spec.root and not operator.name.endswith("_typedefs")
        ]
        self.taken = {self.python_name(operator) for operator in self.operators}
        self.aliases = {
            alias.name: read_type(spec, alias.text, alias.at)
            for alias in spec.aliases.values()
            if alias.at.module == spec.root
        }
        self.records: dict[frozenset[str], str] = {}
        for name, meant in self.aliases.items():
            if isinstance(meant, RecordType):
                fields = frozenset(field for field, _ in meant.fields)
                if fields in self.records:
                    message = f"{name} has the fields of {self.records[fields]}"
                    at = spec.aliases[name].at
                    raise refusal(spec, Rule.RECORDS, message, at, "name them differently")
                self.records[fields] = name
        self.reduces = False

    def module(self) -> str:
        if self.spec.variables or self.spec.constants:
            first = (*self.spec.variables, *self.spec.constants)[0]
            message = f"a module of functions has no {first.name} of its own"
            raise refusal(self.spec, Rule.MARKS, message, first.at, "pass it as a parameter")
        essay = module_essay(self.spec.sources[self.spec.root].lines)
        types = [line for name in self.aliases for line in self.alias(name)]
        functions = [line for operator in self.operators for line in self.operator(operator)]
        names = sorted(self.taken, key=lambda name: (not name.isupper(), name))
        constants = sum(name.isupper() for name in names)
        names[constants:constants] = sorted(map(camel, self.aliases))
        return "\n".join(
            [
                *header("", essay, self.spec, self.spec.root, self.origin),
                "from __future__ import annotations",
                "",
                *(["from functools import reduce"] if self.reduces else []),
                "from typing import NamedTuple, TypeAlias",
                "",
                "__all__ = [",
                *(f'    "{name}",' for name in names),
                "]",
                "",
                *types,
                *functions,
            ]
        )

    # --- Types ---

    def alias(self, name: str) -> list[str]:
        alias = self.spec.aliases[name]
        meant = self.aliases[name]
        if not alias.comment:
            message = f"no sentence says what {name} is"
            raise refusal(self.spec, Rule.COMMENTS, message, alias.at)
        if isinstance(meant, RecordType):
            fields = [
                f"    {snake(f)}: {self.type_text(type_, alias.at)}" for f, type_ in meant.fields
            ]
            head = f"class {camel(name)}(NamedTuple):"
            return [head, *docstring(alias.comment, 4), "", *fields, "", ""]
        text = self.type_text(meant, alias.at)
        return [f'{camel(name)}: TypeAlias = "{text}"', *docstring(alias.comment, 0), ""]

    def type_text(self, type_: Type, at: Place) -> str:
        match type_:
            case IntType():
                return "int"
            case StrType():
                return "str"
            case BoolType():
                return "bool"
            case ConstType(name) if name in _VALUES:
                return _VALUES[name]
            case AliasType(name) if name in self.aliases:
                return camel(name)
            case SetType(element):
                return f"frozenset[{self.type_text(element, at)}]"
            case SeqType(element):
                return f"tuple[{self.type_text(element, at)}, ...]"
            case FunctionType(domain, result):
                return f"dict[{self.type_text(domain, at)}, {self.type_text(result, at)}]"
        raise refusal(self.spec, Rule.TYPES, f"{type_} has no form in Python", at)

    def type_of(self, node: Expression, scope: _Scope) -> Type | None:
        """The type of an expression, as far as annotations tell it."""
        match node:
            case Name(name, "local"):
                return self.meant(scope.types.get(name))
            case App(source="let", uid=uid):
                return self.meant(scope.types.get(f"let {uid}"))
            case App(source="defined", uid=uid):
                found = self.annotated(self.spec.operators[uid])
                return self.meant(found.result if isinstance(found, OperatorType) else found)
            case App("$RcdSelect", (record, Lit(field))):
                of = self.type_of(record, scope)
                fields = dict(of.fields) if isinstance(of, RecordType) else {}
                return self.meant(fields.get(str(field)))
            case App("$FcnApply", (function, _)):
                return self.meant(_result(self.type_of(function, scope)))
            case App("DOMAIN", (function,)):
                of = self.type_of(function, scope)
                return SetType(of.domain) if isinstance(of, FunctionType) else None
            case App("$Except" | "Append" | "\\union" | "\\" | "\\intersect", (first, *_)):
                return self.type_of(first, scope)
            case Bind("$SubsetOf", bounds):
                over = bounds[0].over
                return None if over is None else self.type_of(over, scope)
        return None

    def meant(self, type_: Type | None) -> Type | None:
        """A type without a name."""
        while isinstance(type_, AliasType):
            type_ = self.aliases.get(type_.name)
        return type_

    def annotated(self, operator: Operator) -> Type | None:
        text = operator.annotations.get("type")
        return None if text is None else read_type(self.spec, text, operator.at)

    # --- Operators ---

    def python_name(self, operator: Operator) -> str:
        plain = snake(operator.name)
        return local(plain) if operator.params else plain.upper()

    def operator(self, operator: Operator) -> list[str]:
        if not operator.comment:
            message = f"no sentence says what {operator.name} is"
            raise refusal(self.spec, Rule.COMMENTS, message, operator.at)
        name = self.python_name(operator)
        type_ = self.annotated(operator)
        scope = _Scope({}, {}, {})
        if not operator.params:
            result = type_.result if isinstance(type_, OperatorType) else type_
            note = f": {self.type_text(result, operator.at)}" if result is not None else ""
            value = self.text(operator.body, scope)
            return [f"{name}{note} = {value}", *docstring(operator.comment, 0), ""]
        if not isinstance(type_, OperatorType) or len(type_.params) != len(operator.params):
            message = f"the type of {operator.name} is not that of its parameters"
            raise refusal(self.spec, Rule.OPERATORS, message, operator.at)
        given = []
        for param, param_type in zip(operator.params, type_.params, strict=True):
            python = self.free(param)
            scope = scope.bound(param, python, param_type)
            given.append(f"{python}: {self.type_text(param_type, operator.at)}")
        result_text = self.type_text(type_.result, operator.at)
        return [
            f"def {name}({', '.join(given)}) -> {result_text}:",
            *docstring(operator.comment, 4),
            *self.statements(operator.body, scope, "    "),
            "",
            "",
        ]

    def free(self, name: str) -> str:
        """The Python name of a parameter, bound name or LET."""
        python = local(name)
        return f"{python}_" if python in self.taken else python

    def statements(self, node: Expression, scope: _Scope, pad: str) -> list[str]:
        """The statements that return an expression's value."""
        match node:
            case Let(definitions, body):
                out = []
                for definition in definitions:
                    lines, scope = self.definition(definition, scope, pad)
                    out += lines
                return [*out, *self.statements(body, scope, pad)]
            case App("$IfThenElse", (condition, yes, no)):
                return [
                    f"{pad}if {self.text(condition, scope)}:",
                    *self.statements(yes, scope, pad + "    "),
                    *self.statements(no, scope, pad),
                ]
            case App("$Case", arms):
                out = []
                for test, value in self.arms(node, arms):
                    if test is None:
                        return [*out, *self.statements(value, scope, pad)]
                    out.append(f"{pad}if {self.text(test, scope)}:")
                    out += self.statements(value, scope, pad + "    ")
                raise self.refuse(node, "a CASE needs an OTHER")
        return [f"{pad}return {self.text(node, scope)}"]

    def definition(self, definition: Operator, scope: _Scope, pad: str) -> tuple[list[str], _Scope]:
        python = self.free(definition.name)
        if not definition.params:
            lines = [f"{pad}{python} = {self.text(definition.body, scope)}"]
            return lines, scope.defined(
                definition.uid, python, self.type_of(definition.body, scope)
            )
        comment = self.spec.sources[definition.at.module].lines[definition.at.line - 2]
        annotation = comment.partition("@type:")[2].strip().rstrip(";")
        type_ = read_type(self.spec, annotation, definition.at)
        if not isinstance(type_, OperatorType):
            raise self.refuse(definition.body, f"{definition.name} needs the type of an operator")
        inner = scope
        given = []
        for param, param_type in zip(definition.params, type_.params, strict=True):
            inner = inner.bound(param, self.free(param), param_type)
            given.append(f"{self.free(param)}: {self.type_text(param_type, definition.at)}")
        result = self.type_text(type_.result, definition.at)
        lines = [
            f"{pad}def {python}({', '.join(given)}) -> {result}:",
            *self.statements(definition.body, inner, pad + "    "),
            "",
        ]
        return lines, scope.defined(definition.uid, python, None)

    def arms(
        self, node: Expression, arms: Iterable[Expression]
    ) -> list[tuple[Expression | None, Expression]]:
        found: list[tuple[Expression | None, Expression]] = []
        for arm in arms:
            match arm:
                case App("$Pair", (App("$Other"), value)):
                    found.append((None, value))
                case App("$Pair", (condition, value)):
                    found.append((condition, value))
                case _:
                    raise self.refuse(node, "cannot read this arm of a CASE")
        return found

    # --- Expressions ---

    def refuse(self, node: Expression, message: str) -> InvalidSpec:
        return refusal(self.spec, Rule.VALUES, message, node.at)

    def text(self, node: Expression, scope: _Scope) -> str:
        return self.python(node, scope).text

    def texts(self, nodes: Iterable[Expression], scope: _Scope) -> str:
        return ", ".join(self.text(node, scope) for node in nodes)

    def python(self, node: Expression, scope: _Scope) -> _Python:
        match node:
            case Lit(bool() | int() as value):
                return _Python(repr(value), _ATOM if value >= 0 else _SIGN)
            case Lit(str() as value) if value in _CONSTANTS:
                return _Python(_CONSTANTS[value])
            case Lit(value):
                return _Python('"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"')
            case Name(name, "local"):
                return _Python(scope.names[name])
            case Bind():
                return self.binding(node, scope)
            case App(source="let", uid=uid):
                called = f"({self.texts(node.args, scope)})" if node.args else ""
                return _Python(scope.lets[uid] + called)
            case App(source="defined", uid=uid):
                name = self.python_name(self.spec.operators[uid])
                return _Python(f"{name}({self.texts(node.args, scope)})" if node.args else name)
            case App():
                return self.application(node, scope)
        raise self.refuse(node, "this has no form in Python")

    def application(self, node: App, scope: _Scope) -> _Python:  # noqa: C901 - a case for each form
        def p(part: Expression) -> _Python:
            return self.python(part, scope)

        match node:
            case App(op, (one,)) if op in _CONJUNCTION + _DISJUNCTION:
                return p(one)
            case App(op, args) if op in _CONJUNCTION:
                return _Python(" and ".join(p(arg).within(_NOT) for arg in args), _AND)
            case App(op, args) if op in _DISJUNCTION:
                return _Python(" or ".join(p(arg).within(_AND) for arg in args), _OR)
            case App("=" | "/=" as op, (left, App("$SetEnumerate", ()))):
                empty = op == "="
                text = f"not {p(left).within(_NOT)}" if empty else f"bool({p(left).text})"
                return _Python(text, _NOT if empty else _ATOM)
            case App("\\in" | "\\notin" as op, (item, within)):
                word = "in" if op == "\\in" else "not in"
                text = f"{p(item).within(_UNION)} {word} {self.collection(within, scope)}"
                return _Python(text, _COMPARE)
            case App(op, (left, right)) if op in _BINARY:
                sign, binds = _BINARY[op]
                more = binds + 1
                first = p(left).within(more if binds == _COMPARE else binds)
                return _Python(f"{first} {sign} {p(right).within(more)}", binds)
            case App("\\lnot", (inner,)):
                return _Python(f"not {p(inner).within(_NOT)}", _NOT)
            case App("-.", (inner,)):
                return _Python(f"-{p(inner).within(_SIGN)}", _SIGN)
            case App("$IfThenElse", (condition, yes, no)):
                text = f"{p(yes).within(_OR)} if {p(condition).within(_OR)} else {p(no).text}"
                return _Python(text, _CHOICE)
            case App("$Case", arms):
                text = ""
                for test, value in self.arms(node, arms):
                    text += p(value).within(_OR)
                    if test is None:
                        return _Python(text, _CHOICE)
                    text += f" if {p(test).within(_OR)} else "
                raise self.refuse(node, "a CASE needs an OTHER")
            case App("Cardinality" | "Len", (of,)):
                return _Python(f"len({p(of).text})")
            case App("DOMAIN", (of,)):
                return _Python(f"frozenset({p(of).text})")
            case App("Append", (sequence, item)):
                return _Python(f"(*{p(sequence).within(_UNION)}, {p(item).text})")
            case App("SubSeq", (sequence, Lit(1), App("-", (App("Len", (of,)), Lit(less))))) if (
                sequence == of
            ):
                return _Python(f"{p(sequence).within(_ATOM)}[:-{less}]")
            case App("ApaFoldSeqLeft", (App(source="let", uid=uid), start, sequence)):
                self.reduces = True
                text = f"reduce({scope.lets[uid]}, {p(sequence).text}, {p(start).text})"
                return _Python(text)
            case App("$SetEnumerate", ()):
                return _Python("frozenset()")
            case App("$SetEnumerate", items):
                return _Python(f"frozenset({{{self.texts(items, scope)}}})")
            case App("$Tuple", items):
                return _Python("(" + "".join(f"{p(item).text}, " for item in items) + ")")
            case App("$RcdSelect", (record, Lit(field))):
                return _Python(f"{p(record).within(_ATOM)}.{snake(str(field))}")
            case App("$RcdConstructor", pairs):
                return self.record(node, pairs, scope)
            case App("$FcnApply", (function, at)):
                return self.applied(function, at, scope)
            case App("$Except", (record, *changes)):
                return self.replaced(record, changes, scope)
        raise self.refuse(node, f"{node.op.removeprefix('$')} has no form in Python")

    def collection(self, node: Expression, scope: _Scope) -> str:
        """A set that is only asked or gone through: need not be frozen."""
        match node:
            case App("DOMAIN", (of,)):
                return self.python(of, scope).within(_UNION)
            case App("$SetEnumerate", items) if items:
                return f"{{{self.texts(items, scope)}}}"
            case Bind("$SubsetOf" | "$SetOfAll"):
                return f"{{{self.comprehension(node, scope)}}}"
            case App("\\union", (App("DOMAIN", (of,)), App("$SetEnumerate", items))):
                return f"{{*{self.python(of, scope).within(_UNION)}, {self.texts(items, scope)}}}"
            case App("\\", (App("DOMAIN", (of,)), less)):
                kept = self.collection(less, scope)
                return f"{self.python(of, scope).within(_ATOM)}.keys() - {kept}"
        return self.python(node, scope).within(_UNION)

    def applied(self, function: Expression, at: Expression, scope: _Scope) -> _Python:
        of = self.python(function, scope).within(_ATOM)
        match self.type_of(function, scope), at:
            case SeqType(), App("Len", (sequence,)) if sequence == function:
                return _Python(f"{of}[-1]")
            case SeqType(), Lit(int() as place):
                return _Python(f"{of}[{place - 1}]")
            case FunctionType(), _:
                return _Python(f"{of}[{self.text(at, scope)}]")
        message = "only functions are applied, and sequences at their ends"
        raise self.refuse(function, message)

    def record(self, node: App, pairs: Sequence[Expression], scope: _Scope) -> _Python:
        values: dict[str, str] = {}
        for pair in pairs:
            match pair:
                case App("$Pair", (Lit(field), value)):
                    values[str(field)] = self.text(value, scope)
        alias = self.records.get(frozenset(values), "")
        if not alias:
            raise refusal(self.spec, Rule.RECORDS, "no @typeAlias has these fields", node.at)
        given = ", ".join(f"{snake(field)}={value}" for field, value in values.items())
        return _Python(f"{camel(alias)}({given})")

    def replaced(self, record: Expression, changes: Sequence[Expression], scope: _Scope) -> _Python:
        given = []
        for change in changes:
            match change:
                case App("$Pair", (App("$Seq", (Lit(str(field)),)), value)):
                    old = App("$RcdSelect", (record, Lit(field)), at=record.at)
                    new = substitute(value, {"@": old})
                    given.append(f"{snake(field)}={self.text(new, scope)}")
                case _:
                    raise self.refuse(change, "EXCEPT replaces fields of a record only")
        return _Python(f"{self.python(record, scope).within(_ATOM)}._replace({', '.join(given)})")

    # --- Bound names ---

    def binding(self, node: Bind, scope: _Scope) -> _Python:
        match node.op:
            case "$SetOfAll" | "$SubsetOf":
                return _Python(f"frozenset({self.comprehension(node, scope)})")
            case "$BoundedExists" | "$BoundedForall":
                loops, inner, _ = self.loops(node.bounds, scope)
                word = "any" if node.op == "$BoundedExists" else "all"
                return _Python(f"{word}({self.text(node.body, inner)}{loops})")
            case "$FcnConstructor":
                return self.function(node, scope)
        raise self.refuse(node, f"{node.op.removeprefix('$')} has no form in Python")

    def comprehension(self, node: Bind, scope: _Scope) -> str:
        loops, inner, names = self.loops(node.bounds, scope)
        if node.op == "$SetOfAll":
            return f"{self.text(node.body, inner)}{loops}"
        return f"{names[0]}{loops} if {self.python(node.body, inner).within(_OR)}"

    def loops(self, bounds: Sequence[Bound], scope: _Scope) -> tuple[str, _Scope, list[str]]:
        text, inner, names = "", scope, []
        for bound in bounds:
            if bound.over is None:
                continue
            over = self.collection(bound.over, scope)
            type_ = self.type_of(bound.over, scope)
            element = type_.element if isinstance(type_, SetType) else None
            for name in bound.names:
                inner = inner.bound(name, self.free(name), element)
                names.append(self.free(name))
                text += f" for {self.free(name)} in {over}"
        return text, inner, names

    def function(self, node: Bind, scope: _Scope) -> _Python:
        """A function; one that extends or corrects another at one place is written so."""
        (bound,) = node.bounds
        (name,) = bound.names
        match bound.over, node.body:
            case (
                App("\\union", (App("DOMAIN", (of,)), App("$SetEnumerate", (key,)))),
                App(
                    "$IfThenElse",
                    (App("=", (Name(n1), same)), value, App("$FcnApply", (other, Name(n2)))),
                ),
            ) if n1 == n2 == name and same == key and other == of:
                old = self.python(of, scope).within(_ATOM)
                return _Python(f"{{**{old}, {self.text(key, scope)}: {self.text(value, scope)}}}")
            # The order of a set of strings differs from run to run, that of a dictionary does not.
            case App("\\", (App("DOMAIN", (of,)), less)), _:
                every = App("DOMAIN", (of,), at=node.at)
                loops, inner, names = self.loops((Bound(bound.names, every),), scope)
                match less:
                    case App("$SetEnumerate", (one,)):
                        kept = f" if {names[0]} != {self.python(one, scope).within(_UNION)}"
                    case _:
                        kept = f" if {names[0]} not in {self.collection(less, scope)}"
                return _Python(f"{{{names[0]}: {self.text(node.body, inner)}{loops}{kept}}}")
        loops, inner, names = self.loops(node.bounds, scope)
        return _Python(f"{{{names[0]}: {self.text(node.body, inner)}{loops}}}")


def _result(type_: Type | None) -> Type | None:
    match type_:
        case FunctionType(_, result):
            return result
        case SeqType(element):
            return element
    return None
