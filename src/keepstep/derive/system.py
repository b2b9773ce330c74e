"""Translate a whole specification, environment included, into pure Python functions.

A state is anything that can be indexed by the number of a variable, usually a tuple of
values. A labelled action becomes a generator over its successors, each a tuple of pairs
(number of the variable, new value); variables that are not in it keep their values. An
invariant becomes a predicate. Arguments are computed when they are needed and at most once,
conjunctions from left to right, as TLC does.

Labels are found as TLC finds them: `Next` is followed through disjunctions, definitions with
constant arguments and quantifiers over constant sets, up to the first thing that is none of
these or that lies inside an instance; the label is the name of the last definition passed.

An action of a role can be left to be *played* by somebody else: wherever it is applied, the
translation calls one of `System.players` instead of what the specification says of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, product
from typing import Any, Protocol, TypeAlias

from keepstep.derive.ast import (
    App,
    At,
    Bind,
    Bound,
    Expression,
    Let,
    Lit,
    Name,
    Operator,
    Place,
    Spec,
    has_primes,
    walk,
)
from keepstep.errors import InternalError, InvalidSpec
from keepstep.tla import operations
from keepstep.tla.values import Fn, render

__all__ = ["Leaf", "Played", "Player", "State", "System", "Update", "translate"]

State: TypeAlias = Any
"""Something that gives the value of a variable by its number."""

Update: TypeAlias = tuple[tuple[int, Any], ...]
"""The variables that a step assigns, by number, with their new values."""


class Player(Protocol):
    """Plays the actions of a role in place of the specification."""

    def __call__(
        self, action: str, arguments: tuple[Callable[[], Any], ...], state: State
    ) -> Iterable[Update]:
        """The successors of a state by an action of the role, without its qualification."""


@dataclass(frozen=True, slots=True)
class Played:
    """A role whose actions are played.

    Attributes:
        prefix: How the composition qualifies the role's operators: `C!`.
        actions: The names of its actions, unqualified.
        writes: The variables of the composition that its actions may change.
    """

    prefix: str
    actions: frozenset[str]
    writes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Leaf:
    """An action where TLC labels it, with the arguments that are fixed at that point.

    Attributes:
        label: Its name as TLC prints it, qualified if need be: `C!Attach`.
        arguments: The values of its parameters.
        run: Its successors in a state.
    """

    label: str
    arguments: tuple[Any, ...]
    run: Callable[[State], Iterator[Update]]

    @property
    def full_label(self) -> str:
        """The label as newer builds of TLC print it: `C!Attach("n1_OF_NODE")`."""
        if not self.arguments:
            return self.label
        return f"{self.label}({','.join(render(value) for value in self.arguments)})"


@dataclass(slots=True)
class System:
    """A specification as functions.

    Attributes:
        variables: Their names, in alphabetical order as TLC prints them; a variable's number
            is its place here.
        source: The Python text that was executed, for the curious.
        initial: The initial states, complete tuples of values.
        leaves: The labelled actions.
        invariants: Predicates over states, by name.
        players: Who plays a role, by its prefix; to be set before an action of it is run.
    """

    variables: tuple[str, ...]
    source: str
    initial: Callable[[], Iterator[tuple[Any, ...]]]
    leaves: tuple[Leaf, ...]
    invariants: dict[str, Callable[[State], bool]]
    players: dict[str, Player] = field(default_factory=dict)

    def number(self, variable: str) -> int:
        """The number of a variable."""
        return self.variables.index(variable)

    def successors(self, state: tuple[Any, ...]) -> Iterator[tuple[Leaf, tuple[Any, ...]]]:
        """Every labelled successor of a complete state, perhaps one twice."""
        for leaf in self.leaves:
            for update in leaf.run(state):
                changed = list(state)
                for number, value in update:
                    changed[number] = value
                yield leaf, tuple(changed)


def translate(
    spec: Spec,
    constants: Mapping[str, Any],
    *,
    init: str = "Init",
    next_: str = "Next",
    invariants: Sequence[str] = (),
    played: Sequence[Played] = (),
) -> System:
    """Translate a specification.

    Args:
        spec: The specification as SANY reads it.
        constants: The value of every constant of the root module.
        init: Name of the initial predicate.
        next_: Name of the next-state action.
        invariants: Names of state predicates to translate as well.
        played: The roles whose actions `System.players` play.

    Raises:
        InvalidSpec: A constant has no value, or something is outside what can be translated.
    """
    for constant in spec.constants:
        if constant.name not in constants:
            raise InvalidSpec(
                f"the constant {constant.name} has no value",
                spec.file(constant.at.module),
                constant.at.line,
            )
    return _Translator(spec, constants, played).system(init, next_, invariants)


def evaluate(spec: Spec, constants: Mapping[str, Any], expression: Expression) -> Any:
    """The value of an expression without variables.

    Raises:
        InvalidSpec: It has variables or local names, or cannot be translated.
        Undefined: TLA+ defines no value for it.
    """
    return _Translator(spec, constants, ()).value(expression)


_BINARY = {
    "=": "==", "/=": "!=", "#": "!=", "<": "<", "<=": "<=", "\\leq": "<=", ">": ">", ">=": ">=",
    "\\geq": ">=", "+": "+", "-": "-", "*": "*", "^": "**", "\\union": "|", "\\cup": "|",
    "\\intersect": "&", "\\cap": "&", "\\": "-", "$ConjList": "and", "\\land": "and",
    "/\\": "and", "$DisjList": "or", "\\lor": "or", "\\/": "or", "\\subseteq": "<=",
    "<=>": "==", "\\equiv": "==",
}  # fmt: skip
"""Operators that are written between their arguments in Python as well."""

_CALLS = {
    "..": "T.interval", "\\div": "T.divide", "%": "T.modulo", "SUBSET": "T.subsets",
    "UNION": "T.union", "DOMAIN": "T.domain", "Cardinality": "len", "Len": "len",
    "Append": "T.append", "Head": "T.head", "Tail": "T.tail", "SubSeq": "T.slice_of",
    "\\o": "T.concatenate", "\\circ": "T.concatenate", "Variant": "T.variant",
    "VariantGetUnsafe": "T.payload", "-.": "-", "$FcnApply": "T.apply",
}  # fmt: skip
"""Operators that become a call with their arguments in order."""

_VALUES = {
    "TRUE": "True", "FALSE": "False", "BOOLEAN": "T.BOOLEANS", "Int": "T.INTEGERS",
    "Nat": "T.NATURALS", "STRING": "T.STRINGS", "UNIT": "T.UNIT",
}  # fmt: skip

_CONJUNCTION = frozenset({"$ConjList", "\\land", "/\\"})
_DISJUNCTION = frozenset({"$DisjList", "\\lor", "\\/"})
_KEPT = object()

_Names: TypeAlias = dict[str, str]
"""The Python text of a local name, or of the callable of a local operator by `let <uid>`."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A formula that remains to be translated as statements."""

    node: Expression
    names: _Names


class _Translator:
    def __init__(self, spec: Spec, constants: Mapping[str, Any], played: Sequence[Played]) -> None:
        self.spec = spec
        self.constants = {f"K_{name}": value for name, value in constants.items()}
        self.played = played
        self.variables = tuple(sorted(variable.name for variable in spec.variables))
        self.numbers = {name: number for number, name in enumerate(self.variables)}
        self.functions: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.bodies: list[str] = []
        self.serial = count()
        self.steps: dict[str, bool] = {}
        self.stateful: dict[str, bool] = {}

    def system(self, init: str, next_: str, invariants: Sequence[str]) -> System:
        start = ["def initial():", "    s = T.NO_STATE"]
        named = self.spec.named(init)
        self.statements([_Task(named.body, {})], {}, start, 1, initial=True)
        leaves = ["def leaves():", "    s = T.NO_STATE"]
        self.leaves(self.spec.named(next_).body, {}, next_, (), leaves, 1)
        tests = {name: self.define(self.spec.named(name)) for name in invariants}
        source = "\n".join([*self.functions.values(), *self.bodies, *start, "", *leaves, ""])
        space = self.execute(source)
        system = System(self.variables, source, space["initial"], (), {})
        system.leaves = tuple(
            Leaf(label, arguments, _bound(do, bound))
            for label, arguments, do, bound in space["leaves"]()
        )
        system.invariants = {name: space[function] for name, function in tests.items()}
        space["play"] = lambda *given: _play(system, *given)
        return system

    def execute(self, source: str) -> dict[str, Any]:
        space: dict[str, Any] = {
            **self.constants, "T": operations, "Fn": Fn, "need": operations.need,
            "product": product,
        }  # fmt: skip
        exec(compile(source, f"<{self.spec.root} in Python>", "exec"), space)  # noqa: S102
        return space

    def value(self, expression: Expression) -> Any:
        if self.is_initial(expression):
            raise self.error(expression, "a value without variables is needed here")
        try:
            text = self.text(expression, {})
        except KeyError as error:
            raise self.error(expression, f"{error.args[0]} has no value here") from None
        source = "\n".join([*self.functions.values(), f"s = T.NO_STATE\nvalue = {text}\n"])
        return self.execute(source)["value"]

    def error(self, node: object, message: str) -> InvalidSpec:
        at = getattr(node, "at", Place())
        return InvalidSpec(message, self.spec.file(at.module), at.line, "system")

    # --- Expressions ---

    def text(self, node: Expression, names: _Names) -> str:
        """The Python expression of a TLA+ expression."""
        match node:
            case Lit(value):
                return repr(value)
            case Name(name, "variable"):
                return f"s[{self.numbers[name]}]"
            case Name(name, "constant"):
                return f"K_{name}"
            case Name(name):
                return names[name]
            case At():
                return names["@"]
            case Let(definitions, body):
                return self.let(definitions, body, names)
            case Bind():
                return self.binding(node, names)
            case App():
                return self.application(node, names)
        raise self.error(node, f"cannot translate {getattr(node, 'tag', node)}")

    def texts(self, nodes: Iterable[Expression], names: _Names) -> str:
        return ", ".join(self.text(node, names) for node in nodes)

    def application(self, node: App, names: _Names) -> str:
        op, args = node.op, node.args
        if node.source == "let":
            return f"{names['let ' + node.uid]}({self.arguments(args, names)})"
        if node.source == "defined":
            given = ["s", *filter(None, [self.arguments(args, names)])]
            return f"{self.define(self.spec.operators[node.uid])}({', '.join(given)})"
        if op in _VALUES:
            return _VALUES[op]
        if op in _CALLS:
            return f"{_CALLS[op]}({self.texts(args, names)})"
        if op in _BINARY and len(args) > 1:
            return "(" + f" {_BINARY[op]} ".join(self.text(arg, names) for arg in args) + ")"
        if op in _CONJUNCTION | _DISJUNCTION and len(args) == 1:
            return self.text(args[0], names)
        return self.special(node, names)

    def special(self, node: App, names: _Names) -> str:  # noqa: C901 - a case for each operator

        def t(part: Expression) -> str:
            return self.text(part, names)

        match node:
            case App("\\in", (value, within)):
                return self.member(t(value), within, names)
            case App("\\notin", (value, within)):
                return f"(not {self.member(t(value), within, names)})"
            case App("\\lnot" | "~" | "\\neg", (inner,)):
                return f"(not {t(inner)})"
            case App("=>", (premise, conclusion)):
                return f"(not {t(premise)} or {t(conclusion)})"
            case App("$IfThenElse", (condition, yes, no)):
                return f"({t(yes)} if {t(condition)} else {t(no)})"
            case App("$Case", arms):
                return f"T.case({', '.join(self.arm(arm, names) for arm in arms)})"
            case App("$RcdSelect", (record, Lit(name))):
                return f"T.apply({t(record)}, {name!r})"
            case App("$RcdConstructor", pairs):
                return "Fn({" + ", ".join(self.pair(pair, names) for pair in pairs) + "})"
            case App("$SetOfRcds", pairs):
                return "T.records({" + ", ".join(self.pair(pair, names) for pair in pairs) + "})"
            case App("$SetOfFcns", (over, into)):
                return f"T.functions({t(over)}, {t(into)})"
            case App("$SetEnumerate", items):
                return f"frozenset([{self.texts(items, names)}])"
            case App("$Tuple", items):
                return "(" + "".join(f"{t(item)}, " for item in items) + ")"
            case App("$CartesianProd" | "\\X" | "\\times", sets):
                return f"frozenset(product({self.texts(sets, names)}))"
            case App("$Except", (of, *changes)):
                return self.changed(t(of), changes, names)
            case App("VariantTag", (of,)):
                return f"T.apply({t(of)}, 'tag')"
            case App("VariantGetOrElse", (tag, of, other)):
                return f"T.payload_or({t(tag)}, {t(of)}, lambda: {t(other)})"
            case App("VariantFilter", (tag, of)):
                return f"T.payloads({t(tag)}, {t(of)})"
            case App("IsFiniteSet", (_,)):
                return "True"
            case App("'", (Name(name, "variable"),)) if f"{name}'" in names:
                return names[f"{name}'"]
        raise self.error(node, f"the operator {node.op} is outside what can be translated here")

    def pair(self, pair: Expression, names: _Names) -> str:
        match pair:
            case App("$Pair", (Lit(name), value)):
                return f"{name!r}: {self.text(value, names)}"
        raise self.error(pair, "cannot translate this field")

    def arm(self, arm: Expression, names: _Names) -> str:
        condition, value = self.arm_parts(arm)
        test = "True" if condition is None else self.text(condition, names)
        return f"(lambda: {test}, lambda: {self.text(value, names)})"

    def arm_parts(self, arm: Expression) -> tuple[Expression | None, Expression]:
        """The condition of an arm of CASE, None for OTHER, and its value."""
        match arm:
            case App("$Pair", (Lit("$Other") | App("$Other"), value)):
                return None, value
            case App("$Pair", (condition, value)):
                return condition, value
        raise self.error(arm, "cannot translate this arm of a CASE")

    def changed(self, of: str, changes: Iterable[Expression], names: _Names) -> str:
        for change in changes:
            match change:
                case App("$Pair", (App("$Seq", path), value)):
                    keys = "".join(f"{self.text(key, names)}, " for key in path)
                    if any(isinstance(part, At) for part in walk(value)):
                        old = self.fresh("old")
                        new = self.text(value, names | {"@": old})
                        of = f"T.update({of}, ({keys}), lambda {old}: {new})"
                    else:
                        of = f"T.put({of}, ({keys}), {self.text(value, names)})"
                case _:
                    raise self.error(change, "cannot translate this EXCEPT")
        return of

    def member(self, value: str, within: Expression, names: _Names) -> str:
        """`value` is in a set that may be too large to be listed."""
        match within:
            case App("SUBSET", (inner,)):
                item = self.fresh("item")
                return f"all({self.member(item, inner, names)} for {item} in {value})"
            case App("$SetOfFcns", (over, into)):
                item = self.fresh("item")
                test = f"lambda {item}: {self.member(item, into, names)}"
                return f"T.is_function_between({value}, {self.text(over, names)}, {test})"
            case App("$SetOfRcds", pairs):
                record = self.fresh("record")
                tests = [f"T.domain({record}) == frozenset([{', '.join(map(self.key, pairs))}])"]
                for pair in pairs:
                    if isinstance(pair, App):
                        of = f"{record}[{self.key(pair)}]"
                        tests.append(self.member(of, pair.args[1], names))
                return f"(lambda {record}: {' and '.join(tests)})({value})"
        return f"({value} in {self.text(within, names)})"

    def key(self, pair: Expression) -> str:
        match pair:
            case App("$Pair", (Lit(name), _)):
                return repr(name)
        raise self.error(pair, "cannot translate this field")

    def binding(self, node: Bind, names: _Names) -> str:
        inner = dict(names)
        loops, items = self.loops(node, node.bounds, inner)
        item = items[0] if len(items) == 1 else f"({', '.join(items)})"
        match node.op:
            case "$SetOfAll":
                return f"frozenset({self.text(node.body, inner)}{loops})"
            case "$SubsetOf":
                return f"frozenset({item}{loops} if {self.text(node.body, inner)})"
            case "$BoundedExists":
                return f"any({self.text(node.body, inner)}{loops})"
            case "$BoundedForall":
                return f"all({self.text(node.body, inner)}{loops})"
            case "$BoundedChoose":
                return f"T.choose({item}{loops} if {self.text(node.body, inner)})"
            case "$FcnConstructor":
                return f"T.function({{{item}: {self.text(node.body, inner)}{loops}}})"
        raise self.error(node, f"{node.op.removeprefix('$')} cannot be translated")

    def loops(
        self, node: Expression, bounds: Sequence[Bound], inner: _Names
    ) -> tuple[str, list[str]]:
        """The `for` clauses of bounds, and what they bind; `inner` gets the names."""
        text, items = "", []
        outer = dict(inner)
        for bound in bounds:
            if bound.over is None:
                raise self.error(node, "a bound name needs a set")
            over = self.text(bound.over, outer)
            fresh = {name: self.fresh(name) for name in bound.names}
            inner.update(fresh)
            if bound.pattern:
                items.append(f"({', '.join(fresh.values())},)")
                text += f" for {items[-1]} in {over}"
            else:
                items += fresh.values()
                text += "".join(f" for {name} in {over}" for name in fresh.values())
        return text, items

    def fresh(self, name: str) -> str:
        return f"{re.sub(r'[^0-9A-Za-z_]', '_', name)}_{next(self.serial)}"

    # --- Definitions and their arguments ---

    def arguments(self, args: Iterable[Expression], names: _Names) -> str:
        return ", ".join(self.argument(arg, names) for arg in args)

    def argument(self, arg: Expression, names: _Names) -> str:
        """An argument as something to call for its value, so that it is computed when needed."""
        text = self.text(arg, names)
        if re.fullmatch(r"\w+\(\)", text):
            return text.removesuffix("()")
        if isinstance(arg, (Lit, Name)):
            return f"lambda: {text}"
        return f"need(lambda: {text})"

    def define(self, operator: Operator) -> str:
        """The name of the Python function of a definition."""
        name = self.names.get(operator.uid, "")
        if not name:
            name = self.names[operator.uid] = self.fresh("f_" + operator.name)
            names, params = self.params(operator)
            body = self.text(operator.body, names)
            given = ", ".join(["s", *params])
            self.functions[name] = f"def {name}({given}):  # {operator.name}\n    return {body}\n"
        return name

    def params(self, operator: Operator) -> tuple[_Names, list[str]]:
        """The texts of an operator's parameters, and the parameters of its Python function."""
        names: _Names = {}
        given = []
        for param in operator.params:
            fresh = self.fresh(param)
            names[param] = f"{fresh}()"
            given.append(fresh)
        return names, given

    def let(self, definitions: Iterable[Operator], body: Expression, names: _Names) -> str:
        inner = dict(names)
        text = "{body}"
        for definition in definitions:
            own, params = self.params(definition)
            value = self.text(definition.body, inner | own)
            fresh = self.fresh(definition.name)
            thunk = f"lambda {', '.join(params)}: {value}" if params else f"need(lambda: {value})"
            inner[f"let {definition.uid}"] = fresh
            text = text.replace("{body}", f"(lambda {fresh}: {{body}})({thunk})")
        return text.replace("{body}", self.text(body, inner))

    # --- Actions as statements ---

    def statements(  # noqa: C901 - a case for each form of an action
        self,
        todo: list[_Task],
        new: Mapping[str, object],
        lines: list[str],
        depth: int,
        *,
        initial: bool = False,
    ) -> None:
        """Append the statements that yield every way to satisfy all formulas of `todo`."""
        pad = "    " * depth
        if not todo:
            self.give(new, lines, pad, initial=initial)
            return
        task, rest = todo[0], todo[1:]
        names = task.names | {
            f"{name}'": str(text) if text is not _KEPT else f"s[{self.numbers[name]}]"
            for name, text in new.items()
        }

        def t(part: Expression) -> str:
            return self.text(self.seen(part, new, initial=initial), names)

        def go_on(
            more: Sequence[tuple[Expression, _Names]] = (),
            assigned: Mapping[str, object] = {},
            deeper: int = 0,
        ) -> None:
            tasks = [*(_Task(node, known) for node, known in more), *rest]
            self.statements(tasks, {**new, **assigned}, lines, depth + deeper, initial=initial)

        def assign(variable: str, value: Expression) -> None:
            if variable in new:
                lines.append(f"{pad}if {names[variable + chr(39)]} == {t(value)}:")
                go_on(deeper=1)
            else:
                fresh = self.fresh(f"new_{variable}")
                lines.append(f"{pad}{fresh} = {t(value)}")
                go_on(assigned={variable: fresh})

        def among(variable: str, within: Expression) -> None:
            fresh = self.fresh(f"new_{variable}")
            lines.append(f"{pad}for {fresh} in {t(within)}:")
            go_on(assigned={variable: fresh}, deeper=1)

        acts = self.is_initial if initial else self.is_step
        match task.node:
            case App(op, args) if op in _CONJUNCTION:
                go_on([(arg, task.names) for arg in args])
            case App(op, args) if op in _DISJUNCTION and acts(task.node):
                for arg in args:
                    go_on([(arg, task.names)])
            case App("=", (Name(variable, "variable"), value)) if initial and variable not in new:
                assign(variable, value)
            case App("\\in", (Name(variable, "variable"), within)) if (
                initial and variable not in new
            ):
                among(variable, within)
            case App("=", (App("'", (Name(variable, "variable"),)), value)) if not initial:
                assign(variable, value)
            case App(":=", (App("'", (Name(variable, "variable"),)), value)) if not initial:
                assign(variable, value)
            case App("\\in", (App("'", (Name(variable, "variable"),)), within)) if (
                not initial and variable not in new
            ):
                among(variable, within)
            case App("UNCHANGED", (what,)) if not initial:
                kept = self.variables_of(what)
                again = [name for name in kept if new.get(name, _KEPT) is not _KEPT]
                if again:
                    same = " and ".join(f"{new[v]} == s[{self.numbers[v]}]" for v in again)
                    lines.append(f"{pad}if {same}:")
                fresh_kept = {name: _KEPT for name in kept if name not in new}
                go_on(assigned=fresh_kept, deeper=1 if again else 0)
            case Bind("$BoundedExists", bounds, body) if acts(body):
                inner = dict(task.names)
                seen = [
                    Bound(b.names, b.over and self.seen(b.over, new, initial=initial), b.pattern)
                    for b in bounds
                ]
                self.loops(task.node, seen, inner)
                for level, clause in enumerate(self.clauses(seen, inner, names)):
                    lines.append("    " * (depth + level) + clause)
                levels = sum(1 if b.pattern else len(b.names) for b in bounds)
                go_on([(body, inner)], deeper=levels)
            case Let(definitions, body) if acts(body):
                inner = dict(task.names)
                for definition in definitions:
                    self.let_statement(definition, inner, lines, pad)
                go_on([(body, inner)])
            case App("$IfThenElse", (condition, yes, no)) if acts(yes) or acts(no):
                lines.append(f"{pad}if {t(condition)}:")
                go_on([(yes, task.names)], deeper=1)
                lines.append(f"{pad}else:")
                go_on([(no, task.names)], deeper=1)
            case App("$Case", arms) if acts(task.node):
                for place, arm in enumerate(arms):
                    test, value = self.arm_parts(arm)
                    word = "if" if place == 0 else "elif"
                    head = f"{word} {t(test)}:" if test is not None else "else:"
                    lines.append(pad + head)
                    go_on([(value, task.names)], deeper=1)
            case App(op, args, "defined") if not initial and (role := self.role_of(task.node)):
                self.play(task.node, role, names, lines, depth, new, rest)
            case App(source="defined", uid=uid, args=args) if acts(task.node):
                operator = self.spec.operators[uid]
                inner = self.inlined(operator, args, names, lines, pad)
                go_on([(operator.body, inner)])
            case _:
                lines.append(f"{pad}if {t(task.node)}:")
                go_on(deeper=1)

    def clauses(self, bounds: Sequence[Bound], inner: _Names, names: _Names) -> list[str]:
        """The heads of nested `for` statements."""
        found = []
        for bound in bounds:
            over = self.text(bound.over, names) if bound.over is not None else "()"
            if bound.pattern:
                pattern = ", ".join(inner[name] for name in bound.names)
                found.append(f"for ({pattern},) in {over}:")
            else:
                found += [f"for {inner[name]} in {over}:" for name in bound.names]
        return found

    def let_statement(
        self, definition: Operator, inner: _Names, lines: list[str], pad: str
    ) -> None:
        own, params = self.params(definition)
        value = self.text(definition.body, inner | own)
        fresh = self.fresh(definition.name)
        thunk = f"lambda {', '.join(params)}: {value}" if params else f"need(lambda: {value})"
        lines.append(f"{pad}{fresh} = {thunk}")
        inner[f"let {definition.uid}"] = fresh

    def inlined(
        self,
        operator: Operator,
        args: Sequence[Expression],
        names: _Names,
        lines: list[str],
        pad: str,
    ) -> _Names:
        """Bind the parameters of an action that is translated where it is applied."""
        inner: _Names = {}
        for param, arg in zip(operator.params, args, strict=True):
            fresh = self.fresh(param)
            lines.append(f"{pad}{fresh} = {self.argument(arg, names)}")
            inner[param] = f"{fresh}()"
        return inner

    def play(
        self,
        node: App,
        role: Played,
        names: _Names,
        lines: list[str],
        depth: int,
        new: Mapping[str, object],
        rest: list[_Task],
    ) -> None:
        """Leave an action to the player."""
        pad = "    " * depth
        written = sorted(role.writes)
        if clash := [variable for variable in written if variable in new]:
            raise self.error(node, f"{clash[0]} is assigned before the role's action {node.op}")
        fresh = {variable: self.fresh(f"new_{variable}") for variable in written}
        targets = "".join(f"{fresh[variable]}, " for variable in written)
        numbers = "".join(f"{self.numbers[variable]}, " for variable in written)
        action = node.op.removeprefix(role.prefix)
        given = "".join(f"{self.argument(arg, names)}, " for arg in node.args)
        what = f"{role.prefix!r}, {action!r}, ({given}), s, ({numbers})"
        lines.append(f"{pad}for {targets}in play({what}):")
        said = self.assigned(self.spec.operators[node.uid].body)
        kept = {name: _KEPT for name in said if name not in new and name not in fresh}
        self.statements(rest, {**new, **kept, **fresh}, lines, depth + 1)

    def assigned(self, node: Expression) -> list[str]:
        """The variables about whose next values an action says something."""
        found: list[str] = []
        for part in walk(node):
            match part:
                case App("'", (Name(name, "variable"),)):
                    found.append(name)
                case App("UNCHANGED", (what,)):
                    found += self.variables_of(what)
                case App(source="defined", uid=uid) if self.is_step(part):
                    found += self.assigned(self.spec.operators[uid].body)
        return found

    def role_of(self, node: App) -> Played | None:
        for role in self.played:
            if node.op.startswith(role.prefix) and (
                node.op.removeprefix(role.prefix) in role.actions
            ):
                return role
        return None

    def seen(self, node: Expression, new: Mapping[str, object], *, initial: bool) -> Expression:
        """In an initial predicate a variable that is assigned already has its new value."""
        if not initial:
            return node
        return _primed(node, frozenset(new))

    def give(self, new: Mapping[str, object], lines: list[str], pad: str, *, initial: bool) -> None:
        missing = [name for name in self.variables if name not in new]
        if missing:
            raise InvalidSpec(
                f"{'the initial predicate' if initial else 'an action'} of module "
                f"{self.spec.root} says nothing about {', '.join(missing)}",
                self.spec.file(self.spec.root),
            )
        if initial:
            lines.append(f"{pad}yield ({''.join(f'{new[name]}, ' for name in self.variables)})")
        else:
            pairs = (
                f"({number}, {new[name]}), "
                for number, name in enumerate(self.variables)
                if new[name] is not _KEPT
            )
            lines.append(f"{pad}yield ({''.join(pairs)})")

    def variables_of(self, what: Expression) -> list[str]:
        """The variables of an UNCHANGED."""
        match what:
            case Name(name, "variable"):
                return [name]
            case App("$Tuple", items):
                return [name for item in items for name in self.variables_of(item)]
            case App(source="defined", uid=uid):
                return self.variables_of(self.spec.operators[uid].body)
        raise self.error(what, "UNCHANGED needs variables or tuples of variables")

    def is_step(self, node: Expression) -> bool:
        """It says something about the next state, itself or through what it calls."""
        return has_primes(node) or any(
            self.operator_is(part.uid, self.steps, self.is_step)
            for part in walk(node)
            if isinstance(part, App) and part.source == "defined"
        )

    def is_initial(self, node: Expression) -> bool:
        """It mentions a variable, itself or through what it calls."""
        return any(
            (isinstance(part, Name) and part.kind == "variable")
            or (
                isinstance(part, App)
                and part.source == "defined"
                and self.operator_is(part.uid, self.stateful, self.is_initial)
            )
            for part in walk(node)
        )

    def operator_is(
        self, uid: str, known: dict[str, bool], test: Callable[[Expression], bool]
    ) -> bool:
        if uid not in known:
            known[uid] = False
            known[uid] = test(self.spec.operators[uid].body)
        return known[uid]

    # --- Labels ---

    def leaves(
        self,
        node: Expression,
        names: _Names,
        label: str,
        arguments: tuple[str, ...],
        lines: list[str],
        depth: int,
    ) -> None:
        """Append the statements that yield every labelled action below a node."""
        pad = "    " * depth
        match node:
            case App(op, args) if op in _DISJUNCTION:
                for arg in args:
                    self.leaves(arg, names, label, arguments, lines, depth)
            case Bind("$BoundedExists", bounds, body) if not any(
                bound.over is not None and self.is_initial(bound.over) for bound in bounds
            ):
                inner = dict(names)
                self.loops(node, bounds, inner)
                for level, clause in enumerate(self.clauses(bounds, inner, names)):
                    lines.append("    " * (depth + level) + clause)
                levels = sum(1 if bound.pattern else len(bound.names) for bound in bounds)
                self.leaves(body, inner, label, arguments, lines, depth + levels)
            case Let(definitions, body) if not any(
                definition.params or self.is_initial(definition.body) for definition in definitions
            ):
                inner = dict(names)
                for definition in definitions:
                    fresh = self.fresh(definition.name)
                    value = self.text(definition.body, inner)
                    lines.append(f"{pad}{fresh} = T.constant({value})")
                    inner[f"let {definition.uid}"] = fresh
                self.leaves(body, inner, label, arguments, lines, depth)
            case App(op, args, "defined", uid) if not any(self.is_initial(arg) for arg in args):
                self.leaf_of(node, self.spec.operators[uid], names, lines, depth)
            case _:
                self.leaf(node, names, label, arguments, lines, pad)

    def leaf_of(
        self, node: App, operator: Operator, names: _Names, lines: list[str], depth: int
    ) -> None:
        """Follow a definition, or stop at it where an instance begins."""
        pad = "    " * depth
        values = []
        for arg in node.args:
            fresh = self.fresh("given")
            lines.append(f"{pad}{fresh} = {self.text(arg, names)}")
            values.append(fresh)
        inner = dict(zip(operator.params, values, strict=True))
        if operator.at.module in self.spec.extended and not operator.instance:
            self.leaves(operator.body, inner, operator.name, tuple(values), lines, depth)
        else:
            called = App(
                node.op,
                tuple(Name(param, "local") for param in operator.params),
                "defined",
                node.uid,
                node.at,
            )
            self.leaf(called, inner, operator.name, tuple(values), lines, pad)

    def leaf(
        self,
        node: Expression,
        names: _Names,
        label: str,
        arguments: tuple[str, ...],
        lines: list[str],
        pad: str,
    ) -> None:
        local = sorted({text.removesuffix("()") for text in names.values()})
        function = self.fresh("do_" + re.sub(r"\W", "_", label))
        body = [f"def {function}({', '.join(['s', *local])}):  # {label}"]
        self.statements([_Task(node, names)], {}, body, 1)
        self.bodies.append("\n".join([*body, ""]))
        given = "".join(f"{text}, " for text in arguments)
        bound = "".join(f"{text}, " for text in local)
        lines.append(f"{pad}yield {label!r}, ({given}), {function}, ({bound})")


def _primed(node: Expression, assigned: frozenset[str]) -> Expression:
    """Read the variables that an initial predicate has assigned as if they were primed."""
    match node:
        case Name(name, "variable") if name in assigned:
            return App("'", (node,), at=node.at)
        case App(op, args):
            return App(
                op, tuple(_primed(arg, assigned) for arg in args), node.source, node.uid, node.at
            )
        case Bind(op, bounds, body):
            inner = tuple(
                Bound(b.names, b.over and _primed(b.over, assigned), b.pattern) for b in bounds
            )
            return Bind(op, inner, _primed(body, assigned), node.at)
        case Let(definitions, body):
            local = tuple(replace(d, body=_primed(d.body, assigned)) for d in definitions)
            return Let(local, _primed(body, assigned), node.at)
    return node


def _bound(
    do: Callable[..., Iterator[Update]], bound: tuple[Any, ...]
) -> Callable[[State], Iterator[Update]]:
    return lambda state: do(state, *bound)


def _play(
    system: System,
    prefix: str,
    action: str,
    arguments: tuple[Callable[[], Any], ...],
    state: State,
    written: tuple[int, ...],
) -> Iterator[tuple[Any, ...]]:
    """Ask the player, and give the value of each variable that the role may change."""
    if prefix not in system.players:
        raise InternalError(f"nobody plays the action {prefix}{action}")
    for update in system.players[prefix](action, arguments, state):
        changed = dict(update)
        yield tuple(changed[n] if n in changed else state[n] for n in written)
