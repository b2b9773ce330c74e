"""Find the role in a module: its machine, modes, facts and actions; or refuse.

What is refused here is outside the form of a role. Values are judged where they are
written, in `values`.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keepstep.core.machine import RoleMachine
from keepstep.derive.ast import (
    App,
    Bind,
    Lit,
    Name,
    Place,
    conjuncts,
    has_primes,
    substitute,
    walk,
)
from keepstep.derive.comments import trailing_comments
from keepstep.derive.names import is_python_word, snake
from keepstep.derive.subset import Rule, refusal
from keepstep.derive.types import (
    AliasType,
    BoolType,
    ConstType,
    FunctionType,
    IntType,
    OperatorType,
    RecordType,
    SetType,
    StrType,
)
from keepstep.derive.vocabulary import (
    Field,
    accessed_tag,
    constructed_tag,
    plan_vocabularies,
    read_type,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keepstep.derive.ast import Declaration, Expression, Operator, Spec
    from keepstep.derive.types import Type
    from keepstep.derive.vocabulary import Message, Vocabulary
    from keepstep.errors import InvalidSpec

__all__ = ["Action", "Command", "Fact", "Guard", "Role", "Setting", "operator_fields", "plan_role"]

_STANDARD_NUMBERS = frozenset({"Min", "Max", "The"})


@dataclass(frozen=True, slots=True)
class Fact:
    """Something a role remembers.

    Attributes:
        variable: Its variable in the specification.
        attribute: Its name in Python.
        type: Its type, for one node. Of an optional fact: the type of what it holds.
        optional: It is a set of at most one element there, and None or that element here.
        key: The field by which its records are looked up, or "".
        initial: Its first value.
        comment: The prose above the variable.
    """

    variable: str
    attribute: str
    type: Type
    optional: bool
    key: str
    initial: Expression
    comment: str


@dataclass(frozen=True, slots=True)
class Guard:
    """A named predicate, or its negation, that an action waits for."""

    operator: Operator
    args: tuple[Expression, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Action:
    """One transition.

    Attributes:
        operator: Its definition; the label in a trace is the operator's name.
        method: Its name in Python.
        sources: The modes in which it can be taken, in the order of `Role.modes`.
        target: The mode that it leads to; None if the mode stays.
        told: Class of the input that it takes.
        is_command: The input is a command, not a message of the vocabulary.
        payload: The fields of the command.
        guards: What else must be so, in order.
        facts: New values by variable, in the order in which they are written.
        request: What it asks for, if anything.
    """

    operator: Operator
    method: str
    sources: tuple[str, ...]
    target: str | None
    told: str
    is_command: bool
    payload: tuple[Field, ...]
    guards: tuple[Guard, ...]
    facts: Mapping[str, Expression]
    request: Expression | None


@dataclass(frozen=True, slots=True)
class Command:
    """An input that no message brings: its class, fields, and the actions that take it."""

    name: str
    payload: tuple[Field, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A constant: what is the same for a role all its life."""

    constant: str
    attribute: str
    type: Type
    comment: str


@dataclass(frozen=True, slots=True)
class Role:
    """A role as its module describes it.

    Attributes:
        spec: The specification whose root is the role's module.
        machine: Name of the class.
        me: The parameter that stands for the role's node.
        node_type: The type of the node: an uninterpreted one, or a record by its alias.
        state, inbox, outbox, world: Variables; `world` is "" if there is none.
        facts: What it remembers, in order.
        modes: Every mode and its comment, in order.
        initial: The mode in which it starts.
        actions: In the order in which they are written.
        commands: Likewise.
        settings: Likewise.
        inputs: The messages that its inbox can hold, by tag.
        requests: The messages that its outbox can hold, by tag.
        vocabularies: The Types modules it extends, by module.
    """

    spec: Spec
    machine: str
    me: str
    node_type: ConstType | AliasType
    state: str
    inbox: str
    outbox: str
    world: str
    facts: tuple[Fact, ...]
    modes: Mapping[str, str]
    initial: str
    actions: tuple[Action, ...]
    commands: tuple[Command, ...]
    settings: tuple[Setting, ...]
    inputs: Mapping[str, Message]
    requests: Mapping[str, Message]
    vocabularies: Mapping[str, Vocabulary]

    def fact(self, variable: str) -> Fact | None:
        """The fact of a variable."""
        return next((fact for fact in self.facts if fact.variable == variable), None)

    def at_me(self, node: Expression) -> str:
        """The variable that the expression reads for the role's own node; "" if it does not."""
        match node:
            case App("$FcnApply", (Name(variable, "variable"), Name(me, "local"))):
                return variable if me == self.me else ""
        return ""

    def is_reading(self, node: Expression) -> bool:
        """It calls an operator of the module that is about the role's node."""
        match node:
            case App(source="defined", uid=uid, args=(Name(first, "local"), *_)):
                operator = self.spec.operators[uid]
                return first == self.me and operator.params[:1] == (self.me,)
        return False

    def tags_read(self, node: Expression) -> frozenset[str]:
        """The messages that an expression takes its input to be, through all it calls."""
        found: set[str] = set()
        seen: set[str] = set()

        def visit(node: Expression) -> None:
            for part in walk(node):
                match part:
                    case App(source="defined", uid=uid, args=(first, *_)):
                        operator = self.spec.operators[uid]
                        tag = accessed_tag(operator)
                        if tag and self.at_me(first) == self.inbox:
                            found.add(tag)
                        elif self.is_reading(part) and uid not in seen:
                            seen.add(uid)
                            visit(operator.body)

        visit(node)
        return frozenset(found)

    def readings(self) -> list[Operator]:
        """Every operator about the node that the actions need, in the order of the module."""
        found: dict[str, Operator] = {}

        def visit(node: Expression) -> None:
            for part in walk(node):
                if isinstance(part, App) and self.is_reading(part) and part.uid not in found:
                    found[part.uid] = self.spec.operators[part.uid]
                    visit(found[part.uid].body)

        for action in self.actions:
            for guard in action.guards:
                visit(App(guard.operator.name, guard.args, "defined", guard.operator.uid))
            for value in (*action.facts.values(), action.request):
                if value is not None:
                    visit(value)
        return sorted(found.values(), key=lambda operator: operator.at.line)


def plan_role(spec: Spec) -> Role:
    """The role that the root module describes.

    Raises:
        InvalidSpec: The module is outside the subset; the error names line, rule and cure.
    """
    role = _Planner(spec).role()
    _check_names(role)
    _check_modes(role)
    return role


class _Planner:
    """Reads the declarations of a role module, then its actions."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.lines = spec.sources[spec.root].lines
        self.top = Place(spec.root, 1)

    def role(self) -> Role:
        machine, me = self.machine()
        self.check_marks()
        self.check_fact_names()
        state = self.marked("state", "one")
        node_type = self.node_type(state)
        inbox, outbox = self.marked("inbox", "one"), self.marked("outbox", "one")
        world = self.marked("world", "none or one")
        modes = self.modes()
        initial, values = self.initial(state, modes)
        role = Role(
            spec=self.spec,
            machine=machine,
            me=me,
            node_type=node_type,
            state=state.name,
            inbox=inbox.name,
            outbox=outbox.name,
            world=world.name if world else "",
            facts=tuple(self.fact(v, node_type, values) for v in self.with_mark("fact")),
            modes=modes,
            initial=initial,
            actions=(),
            commands=(),
            settings=tuple(self.settings()),
            inputs={},
            requests={},
            vocabularies=plan_vocabularies(self.spec),
        )
        role = replace(
            role,
            inputs=self.messages(role, inbox, node_type),
            requests=self.messages(role, outbox, node_type),
        )
        actions = tuple(_ActionReader(role, operator).action() for operator in self.acting(me))
        return replace(role, actions=actions, commands=tuple(self.commands(actions)))

    def refuse(self, rule: Rule, message: str, at: Place, cure: str = "") -> InvalidSpec:
        return refusal(self.spec, rule, message, at, cure)

    # --- Declarations ---

    def machine(self) -> tuple[str, str]:
        pattern = re.compile(r"\s*\\\*\s*@machine:\s*(\w+)\((\w+)\)\s*;?\s*$")
        marks = [
            (number, found)
            for number, line in enumerate(self.lines, start=1)
            if (found := pattern.match(line))
        ]
        if len(marks) != 1:
            place = Place(self.spec.root, marks[1][0]) if marks else self.top
            message = f"a role module has one @machine comment, this one has {len(marks)}"
            raise self.refuse(Rule.MACHINE, message, place)
        ((number, found),) = marks
        machine, me = found.groups()
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", machine):
            message = f"{machine} is no name for a class"
            raise self.refuse(Rule.MACHINE, message, Place(self.spec.root, number))
        return machine, me

    def check_marks(self) -> None:
        marks = ("state", "fact", "inbox", "outbox", "world")
        for variable in self.spec.variables:
            given = [mark for mark in marks if mark in variable.annotations]
            if len(given) != 1:
                message = f"{variable.name} has {len(given)} marks: {', '.join(given) or 'none'}"
                raise self.refuse(Rule.MARKS, message, variable.at)
            if "type" not in variable.annotations:
                raise self.refuse(Rule.TYPES, f"{variable.name} has no @type", variable.at)

    def check_fact_names(self) -> None:
        """Facts share the namespace of their dataclass."""
        taken: dict[str, str] = {}
        for variable in self.with_mark("fact"):
            attribute = snake(variable.name)
            if keyword.iskeyword(attribute) or attribute in taken:
                other = taken.get(attribute, "a keyword of Python")
                message = f"{variable.name} and {other} would both be called {attribute!r}"
                raise self.refuse(Rule.NAMES, message, variable.at)
            taken[attribute] = f"the fact {variable.name}"

    def with_mark(self, mark: str) -> list[Declaration]:
        return [variable for variable in self.spec.variables if mark in variable.annotations]

    def marked(self, mark: str, number: str) -> Declaration:
        found = self.with_mark(mark)
        if len(found) > 1 or (not found and number == "one"):
            place = found[1].at if found else self.top
            message = f"{number} variable is marked @{mark}, here are {len(found)}"
            raise self.refuse(Rule.MARKS, message, place)
        return found[0] if found else None  # type: ignore[return-value]

    def type_of(self, variable: Declaration) -> Type:
        return read_type(self.spec, variable.annotations["type"], variable.at)

    def node_type(self, state: Declaration) -> ConstType | AliasType:
        match self.type_of(state):
            case FunctionType((ConstType() | AliasType()) as node, StrType()):
                return node
        message = f"the type of {state.name} is no function from a node to Str"
        raise self.refuse(Rule.TYPES, message, state.at, r"\* @type: NODE -> Str;")

    def own_type(self, variable: Declaration, node_type: ConstType | AliasType) -> Type:
        match self.type_of(variable):
            case FunctionType(domain, result) if domain == node_type:
                return result
        message = f"the type of {variable.name} is no function from {node_type.name}"
        raise self.refuse(Rule.TYPES, message, variable.at)

    def fact(
        self,
        variable: Declaration,
        node_type: ConstType | AliasType,
        values: Mapping[str, Expression],
    ) -> Fact:
        if not variable.comment:
            message = f"no sentence says what {variable.name} is"
            raise self.refuse(Rule.COMMENTS, message, variable.at)
        if variable.name not in values:
            message = f"Init gives {variable.name} no value"
            raise self.refuse(Rule.INITIAL, message, self.spec.named("Init").at)
        type_ = self.own_type(variable, node_type)
        optional = "optional" in variable.annotations
        if optional:
            if not isinstance(type_, SetType):
                message = f"{variable.name} is optional and no set"
                raise self.refuse(Rule.OPTIONAL, message, variable.at)
            type_ = type_.element
        key = variable.annotations.get("key", "")
        self.check_key(variable, type_, key)
        return Fact(
            variable.name, snake(variable.name), type_, optional, key,
            values[variable.name], variable.comment,
        )  # fmt: skip

    def check_key(self, variable: Declaration, type_: Type, key: str) -> None:
        if "key" not in variable.annotations:
            return
        match type_:
            case SetType(AliasType(name)) if name in self.spec.aliases:
                alias = self.spec.aliases[name]
                record = read_type(self.spec, alias.text, alias.at)
                if isinstance(record, RecordType) and key in dict(record.fields):
                    return
        message = f"{variable.name} is no set of records with a field {key!r}"
        raise self.refuse(Rule.KEYED, message, variable.at)

    def modes(self) -> dict[str, str]:
        operator = self.spec.operators.get("MODES")
        if operator is None:
            raise self.refuse(Rule.MODES, "the module defines no MODES", self.top)
        match operator.body:
            case App("$SetEnumerate", items) if all(isinstance(item, Lit) for item in items):
                names = [str(item.value) for item in items if isinstance(item, Lit)]
            case _:
                message = "MODES is no enumeration of strings"
                raise self.refuse(Rule.MODES, message, operator.at)
        comments = trailing_comments(self.spec.sources[operator.at.module].lines, operator.at.line)
        for item in items:
            name = str(item.value) if isinstance(item, Lit) else ""
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                message = f"the mode {name!r} is no word in lower case"
                raise self.refuse(Rule.MODES, message, item.at)
            if not comments.get(name):
                message = f"no comment beside the mode {name!r} says what it means"
                raise self.refuse(Rule.MODES, message, item.at)
        return {name: comments[name] for name in names}

    def initial(
        self, state: Declaration, modes: Mapping[str, str]
    ) -> tuple[str, dict[str, Expression]]:
        operator = self.spec.operators.get("Init")
        if operator is None:
            raise self.refuse(Rule.INITIAL, "the module defines no Init", self.top)
        values: dict[str, Expression] = {}
        for conjunct in conjuncts(operator.body):
            match conjunct:
                case App("=", (Name(variable, "variable"), Bind("$FcnConstructor", _, value))):
                    values[variable] = value
                case _:
                    message = "Init is no conjunction of one value for each node"
                    raise self.refuse(Rule.INITIAL, message, conjunct.at)
        match values.get(state.name):
            case Lit(str(mode)) if mode in modes:
                return mode, values
        message = f"Init does not give {state.name} one of MODES"
        raise self.refuse(Rule.INITIAL, message, operator.at)

    def settings(self) -> Iterator[Setting]:
        for constant in self.spec.constants:
            if "type" not in constant.annotations:
                message = f"the constant {constant.name} has no @type"
                raise self.refuse(Rule.TYPES, message, constant.at)
            type_ = read_type(self.spec, constant.annotations["type"], constant.at)
            if isinstance(type_, IntType | StrType | BoolType):
                if not constant.comment:
                    message = f"no sentence says what {constant.name} is"
                    raise self.refuse(Rule.COMMENTS, message, constant.at)
                attribute = constant.name.lower()
                yield Setting(constant.name, attribute, type_, constant.comment)

    def messages(
        self, role: Role, port: Declaration, node_type: ConstType | AliasType
    ) -> dict[str, Message]:
        type_ = self.own_type(port, node_type)
        name = type_.name if isinstance(type_, AliasType) else ""
        for vocabulary in role.vocabularies.values():
            groups = vocabulary.inputs if port.name == role.inbox else vocabulary.requests
            if name in groups:
                return {message.tag: message for message in groups[name]}
        kind = "input" if port.name == role.inbox else "request"
        message = f"the type of {port.name} is no {kind} type of a Types module"
        cure = rf"\* @type: {node_type.name} -> ${kind};  with @typeAlias: {kind} = ... in a module"
        raise self.refuse(Rule.VOCABULARY, message, port.at, cure)

    # --- Actions ---

    def acting(self, me: str) -> list[Operator]:
        """The operators that say what changes, in the order in which they are written."""
        own = [o for o in self.spec.operators.values() if o.at.module in self.spec.extended]
        found = sorted((o for o in own if has_primes(o.body)), key=lambda o: o.at.line)
        for operator in found:
            if operator.params[:1] != (me,):
                message = f"{operator.name} changes something and is not about {me}"
                raise self.refuse(Rule.ACTIONS, message, operator.at)
            if operator.at.module != self.spec.root:
                message = f"{operator.name} is an action outside the role's own module"
                raise self.refuse(Rule.ACTIONS, message, operator.at)
        if not found:
            raise self.refuse(Rule.ACTIONS, "the module has no action", self.top)
        return found

    def commands(self, actions: tuple[Action, ...]) -> Iterator[Command]:
        names = dict.fromkeys(action.told for action in actions if action.is_command)
        for name in names:
            takers = tuple(action for action in actions if action.told == name)
            for taker in takers:
                if taker.payload != takers[0].payload:
                    message = f"the command {name} has other parameters here than before"
                    raise self.refuse(Rule.INPUTS, message, taker.operator.at)
            yield Command(name, takers[0].payload, takers)


class _ActionReader:
    """Reads one action, conjunct by conjunct."""

    def __init__(self, role: Role, operator: Operator) -> None:
        self.role = role
        self.spec = role.spec
        self.operator = operator
        self.sources: tuple[str, ...] = ()
        self.target: str | None = None
        self.told = ""
        self.guards: list[Guard] = []
        self.facts: dict[str, Expression] = {}
        self.request: Expression | None = None
        self.assigned: Counter[str] = Counter()
        self.empties_inbox = False

    def refuse(
        self, rule: Rule, message: str, at: Place | None = None, cure: str = ""
    ) -> InvalidSpec:
        place = at if at is not None and at.line else self.operator.at
        return refusal(self.spec, rule, f"{self.operator.name}: {message}", place, cure)

    def action(self) -> Action:
        operator = self.operator
        if not operator.comment:
            raise self.refuse(Rule.COMMENTS, "no sentence says what happens")
        for conjunct in conjuncts(operator.body):
            self.read(conjunct)
        self.check_assigned()
        if not self.sources:
            message = f"it does not say in which mode; {self.role.state}[{self.role.me}] is free"
            raise self.refuse(Rule.ACTIONS, message)
        command = operator.annotations.get("command", "")
        self.check_input(command)
        return Action(
            operator=operator,
            method=snake(operator.name),
            sources=self.sources,
            target=self.target,
            told=command or self.told,
            is_command=bool(command),
            payload=self.payload(),
            guards=tuple(self.guards),
            facts=self.facts,
            request=self.request,
        )

    # --- Conjuncts ---

    def read(self, conjunct: Expression) -> None:
        match conjunct:
            case App("UNCHANGED", (what,)):
                for variable in self.unchanged(what):
                    self.assigned[variable] += 1
            case App("=", (App("'", (Name(variable, "variable"),)), value)):
                self.assign(variable, value, conjunct.at)
            case _ if has_primes(conjunct):
                message = "a prime stands elsewhere than left of `=` in a conjunct of the action"
                raise self.refuse(Rule.ACTIONS, message, conjunct.at)
            case _ if self.assigned:
                raise self.refuse(Rule.ACTIONS, "a guard stands after a prime", conjunct.at)
            case _:
                self.guard(conjunct)

    def unchanged(self, what: Expression) -> Iterator[str]:
        match what:
            case Name(variable, "variable"):
                yield variable
            case App("$Tuple", items):
                for item in items:
                    yield from self.unchanged(item)
            case App(source="defined", args=(), uid=uid):
                yield from self.unchanged(self.spec.operators[uid].body)
            case _:
                raise self.refuse(Rule.ASSIGNMENTS, "UNCHANGED lists variables only", what.at)

    def assign(self, variable: str, value: Expression, at: Place) -> None:
        self.assigned[variable] += 1
        role = self.role
        if variable == role.world:
            message = f"{variable} is not the role's to change"
            raise self.refuse(Rule.ASSIGNMENTS, message, at, f"UNCHANGED {variable}")
        new = self.new_value(variable, value, at)
        if variable == role.state:
            self.target = self.mode(new, at)
        elif variable == role.inbox:
            if not _is_nothing(new, "NoInput"):
                message = f"it puts something into {variable}, which a role only empties"
                raise self.refuse(Rule.INPUTS, message, at)
            self.empties_inbox = True
        elif variable == role.outbox:
            self.request = self.asked(new, at)
        else:
            self.facts[variable] = new

    def new_value(self, variable: str, value: Expression, at: Place) -> Expression:
        """The `e` of `[x EXCEPT ![n] = e]`, with the old value for `@`."""
        match value:
            case App(
                "$Except",
                (Name(same), App("$Pair", (App("$Seq", (Name(key, "local"),)), new))),
            ) if same == variable and key == self.role.me:
                old = App("$FcnApply", (Name(variable, "variable"), Name(key, "local")), at=at)
                return substitute(new, {"@": old})
        message = f"{variable} is given a value in another form"
        cure = f"{variable}' = [{variable} EXCEPT ![{self.role.me}] = ...]"
        raise self.refuse(Rule.ASSIGNMENTS, message, at, cure)

    def mode(self, node: Expression, at: Place) -> str:
        match node:
            case Lit(str(mode)) if mode in self.role.modes:
                return mode
            case Lit(str(mode)):
                raise self.refuse(Rule.MODES, f"{mode!r} is not in MODES", at)
        raise self.refuse(Rule.MODES, "a mode is named, not computed", at)

    def asked(self, node: Expression, at: Place) -> Expression:
        """A constructor of a request, or a choice between two."""
        match node:
            case App("$IfThenElse", (_, first, second)):
                self.asked(first, at)
                self.asked(second, at)
                return node
            case App(source="defined", uid=uid):
                tag = constructed_tag(self.spec.operators[uid])
                if tag in self.role.requests:
                    return node
        message = f"what it writes to {self.role.outbox} is no request"
        raise self.refuse(Rule.REQUESTS, message, at)

    # --- Guards ---

    def guard(self, conjunct: Expression) -> None:
        role = self.role
        match conjunct:
            case App("=", (at, mode)) if role.at_me(at) == role.state:
                self.restrict({self.mode(mode, conjunct.at)})
            case App("/=" | "#", (at, mode)) if role.at_me(at) == role.state:
                self.restrict(role.modes.keys() - {self.mode(mode, conjunct.at)})
            case App("\\in", (at, modes)) if role.at_me(at) == role.state:
                self.restrict(self.mode_set(modes))
            case App("\\notin", (at, modes)) if role.at_me(at) == role.state:
                self.restrict(role.modes.keys() - self.mode_set(modes))
            case _ if tag := self.told_tag(conjunct):
                self.hear(tag, conjunct.at)
            case App("\\lnot", (inner,)):
                self.guards.append(self.predicate(inner, negated=True))
            case _:
                self.guards.append(self.predicate(conjunct, negated=False))

    def restrict(self, modes: set[str]) -> None:
        before = self.sources or tuple(self.role.modes)
        self.sources = tuple(mode for mode in before if mode in modes)
        if not self.sources:
            raise self.refuse(Rule.MODES, "no mode is left in which it can happen")

    def mode_set(self, node: Expression) -> set[str]:
        match node:
            case App("MODES", (), "defined"):
                return set(self.role.modes)
            case App("$SetEnumerate", items):
                return {self.mode(item, item.at) for item in items}
        raise self.refuse(Rule.MODES, "modes are enumerated, or MODES itself", node.at)

    def told_tag(self, node: Expression) -> str:
        """The tag of `Told(n, "Tag")`, or of `VariantTag(inbox[n]) = "Tag"`."""
        match node:
            case App(source="defined", uid=uid, args=(Name(), Lit(str()) as tag)):
                operator = self.spec.operators[uid]
                me: Expression = Name(self.role.me, "local")
                names = dict(zip(operator.params, (me, tag), strict=False))
                body = substitute(operator.body, names)
                return self.told_tag(body) if isinstance(body, App) and body.op == "=" else ""
            case App("=", (App("VariantTag", (port,), "library"), Lit(str(name)))):
                return name if self.role.at_me(port) == self.role.inbox else ""
        return ""

    def hear(self, tag: str, at: Place) -> None:
        if self.told:
            raise self.refuse(Rule.INPUTS, f"it reads {self.told} and {tag}", at)
        if tag not in self.role.inputs:
            message = f"{tag} is no case of the type of {self.role.inbox}"
            raise self.refuse(Rule.VOCABULARY, message, at)
        self.told = tag

    def predicate(self, node: Expression, *, negated: bool) -> Guard:
        if not (isinstance(node, App) and self.role.is_reading(node)):
            message = "a guard is neither a named predicate about the node nor its negation"
            raise self.refuse(Rule.GUARDS, message, node.at)
        operator = self.spec.operators[node.uid]
        params = self.operator.params[1:]
        for arg in node.args[1:]:
            if not (isinstance(arg, Name) and arg.name in params):
                message = f"the guard {operator.name} is given more than what the command brings"
                raise self.refuse(Rule.GUARDS, message, node.at)
        return Guard(operator, node.args, negated)

    # --- The whole ---

    def check_assigned(self) -> None:
        names = [variable.name for variable in self.spec.variables]
        for name in names:
            if self.assigned[name] != 1:
                times = "no value" if not self.assigned[name] else "two values"
                message = f"{name} is given {times}"
                raise self.refuse(Rule.ASSIGNMENTS, message)

    def check_input(self, command: str) -> None:
        if command and self.told:
            message = f"it reads {self.told} and is a @command"
            raise self.refuse(Rule.INPUTS, message)
        if not command and not self.told:
            raise self.refuse(
                Rule.INPUTS, "it reads no input and has no @command", cure=self.mark()
            )
        if command and self.empties_inbox:
            raise self.refuse(Rule.INPUTS, "it is a @command and empties the inbox")
        if self.told and not self.empties_inbox:
            raise self.refuse(Rule.INPUTS, f"it reads {self.told} and leaves it in the inbox")
        if command and not re.fullmatch(r"[A-Z][A-Za-z0-9]*", command):
            raise self.refuse(Rule.INPUTS, f"{command!r} is no name for a class")
        if command in self.role.inputs:
            raise self.refuse(Rule.INPUTS, f"{command} is a message too")
        if self.told and self.operator.params[1:]:
            raise self.refuse(Rule.INPUTS, "an action with parameters is a @command")

    def mark(self) -> str:
        """What makes an action that reads no input one of the subset; "" if that is open."""
        if self.empties_inbox:
            return ""
        name = self.operator.name
        head = f"{name}({', '.join(self.operator.params)}) =="
        return rf"\* @command: {name}Ordered;  just above {head} the name being the command's"

    def payload(self) -> tuple[Field, ...]:
        params = self.operator.params[1:]
        if not params:
            return ()
        return operator_fields(self.role, self.operator)


def operator_fields(role: Role, operator: Operator) -> tuple[Field, ...]:
    """The parameters of an operator after the node, with their types."""
    text = operator.annotations.get("type")
    if text is None:
        message = f"{operator.name} has parameters and no @type"
        raise refusal(role.spec, Rule.TYPES, message, operator.at)
    match read_type(role.spec, text, operator.at):
        case OperatorType(params) if len(params) == len(operator.params):
            pairs = zip(operator.params[1:], params[1:], strict=True)
            return tuple(Field(name, type_) for name, type_ in pairs)
    message = f"the type of {operator.name} does not fit its parameters"
    raise refusal(role.spec, Rule.TYPES, message, operator.at)


def _is_nothing(node: Expression, name: str) -> bool:
    return isinstance(node, App) and node.source == "defined" and node.op == name


# --- What holds of the whole role ----------------------------------------------------------


def _check_modes(role: Role) -> None:
    """Every mode is reached, and something can happen in it: the library wants it so."""
    entered = {role.initial} | {a.target for a in role.actions if a.target is not None}
    left = {source for action in role.actions for source in action.sources}
    at = role.spec.named("MODES").at
    for mode in role.modes:
        if mode not in entered:
            raise refusal(role.spec, Rule.MODES, f"nothing leads to the mode {mode!r}", at)
        if mode not in left:
            raise refusal(role.spec, Rule.MODES, f"nothing happens in the mode {mode!r}", at)


def _check_names(role: Role) -> None:
    _check_attributes(role)
    _check_classes(role)


def _check_attributes(role: Role) -> None:
    """Modes, events, actions, guards and readings share the namespace of the class."""
    taken = dict.fromkeys((*dir(RoleMachine), "internally"), "a part of every machine")
    modes = role.spec.named("MODES").at
    entries = [(mode, f"the mode {mode!r}", modes) for mode in role.modes]
    entries += [
        (snake(told), f"the event of {told}", place)
        for told, place in {a.told: a.operator.at for a in reversed(role.actions)}.items()
    ]
    entries += [(a.method, f"the action {a.operator.name}", a.operator.at) for a in role.actions]
    entries += [(snake(o.name), f"the operator {o.name}", o.at) for o in role.readings()]
    for attribute, kind, at in entries:
        if is_python_word(attribute):
            message = f"{kind} would be called {attribute!r}, which Python has a meaning for"
            raise refusal(role.spec, Rule.NAMES, message, at)
        if attribute in taken:
            message = f"{kind} and {taken[attribute]} would both be called {attribute!r}"
            raise refusal(role.spec, Rule.NAMES, message, at)
        taken[attribute] = kind


def _check_classes(role: Role) -> None:
    """Classes of the role's module must differ from those it imports."""
    names = ("Event", "State", "Input", "Request", "RoleMachine", "ClassVar", "NewType")
    taken = dict.fromkeys(names, "something that derived code imports")
    for vocabulary in role.vocabularies.values():
        taken |= dict.fromkeys(vocabulary.defined(), f"a type of {vocabulary.module}")
    machine = Place(role.spec.root, 1)
    entries = [(name, "the machine", machine) for name in _machine_classes(role)]
    entries += [(c.name, "a command", c.actions[0].operator.at) for c in role.commands]
    for name, kind, at in entries:
        if name in taken:
            message = f"{kind} and {taken[name]} would both be called {name}"
            raise refusal(role.spec, Rule.NAMES, message, at)
        taken[name] = kind


def _machine_classes(role: Role) -> list[str]:
    settings = [f"{role.machine}Settings"] if role.settings else []
    return [role.machine, f"{role.machine}Facts", *settings]
