"""Write a role, and the vocabulary that it shares with others, as Python."""

from __future__ import annotations

import re
import subprocess
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ruff  # type: ignore[import-untyped]

from keepstep.core import ids
from keepstep.derive.ast import App, Name, walk
from keepstep.derive.comments import module_essay
from keepstep.derive.names import article, camel, capitalised, local, snake
from keepstep.derive.plan import operator_fields
from keepstep.derive.subset import Rule, refusal
from keepstep.derive.types import (
    AliasType,
    BoolType,
    ConstType,
    IntType,
    OperatorType,
    RecordType,
    SetType,
    StrType,
)
from keepstep.derive.values import Values
from keepstep.derive.vocabulary import const_types, identity_name, read_type, types_below
from keepstep.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from keepstep.derive.ast import Expression, Operator, Place, Spec
    from keepstep.derive.plan import Action, Command, Guard, Role
    from keepstep.derive.types import Type
    from keepstep.derive.vocabulary import Field, Message, Vocabulary

__all__ = [
    "Origin",
    "docstring",
    "emit_role",
    "emit_vocabulary",
    "formatted",
    "header",
    "module_name",
]

_WIDTH = 88
_MACHINE_WORDS = frozenset(
    {"Input", "Request", "RoleMachine", "internally", "only", "the", "where"}
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a derived module comes from and where it goes.

    Attributes:
        source: The module's path, as the header shows it.
        package: The Python package that it is put into; "" for none.
    """

    source: str
    package: str = ""


def module_name(module: str) -> str:
    """The name of the Python module of a TLA+ module."""
    return snake(module)


def emit_role(role: Role, origin: Origin) -> str:
    """The Python module of a role.

    Raises:
        InvalidSpec: A value is outside the subset.
    """
    return formatted(_RoleWriter(role, origin).module())


def emit_vocabulary(
    spec: Spec, vocabularies: Mapping[str, Vocabulary], module: str, origin: Origin
) -> str:
    """The Python module of one of the vocabularies of a specification."""
    return formatted(_VocabularyWriter(spec, vocabularies, module, origin).module())


def formatted(text: str) -> str:
    """Derived Python as ruff lays it out."""
    options = ["--isolated", "--line-length", str(_WIDTH), "--target-version", "py311", "-"]
    done = subprocess.run(
        [ruff.find_ruff_bin(), "format", *options],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise InternalError(f"derived code cannot be formatted: {done.stderr.decode()}\n{text}")
    return done.stdout.decode()


# --- Prose ------------------------------------------------------------------------------


def _escaped(prose: str) -> str:
    """The prose as it stands between triple quotes."""
    text = prose.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'{text[:-1]}\\"' if text.endswith('"') else text


def docstring(prose: str, indent: int) -> list[str]:
    """The lines of a docstring at an indentation, its first line one sentence if that can be."""
    pad = " " * indent
    first, *paragraphs = _escaped(prose).split("\n\n")
    room = _WIDTH - indent
    if len(first) + 6 <= room and not paragraphs:
        return [f'{pad}"""{first}"""']
    summary, rest = _summary(first, room - 3)
    body = [rest, *paragraphs] if rest else paragraphs
    lines = textwrap.wrap(summary, room - 3 if body else room - 6)
    lines += [
        line for part in body for line in ("", *textwrap.wrap(part, room, break_on_hyphens=False))
    ]
    return [f'{pad}"""{lines[0]}', *(f"{pad}{line}".rstrip() for line in lines[1:]), f'{pad}"""']


def _summary(text: str, room: int) -> tuple[str, str]:
    """What fits on one line as a sentence, and the rest as further sentences."""
    for mark in (r"(?<=[.?!])\s+", r"[:;]\s+"):
        parts = re.split(mark, text, maxsplit=1)
        if len(parts) == 2 and len(parts[0]) < room:
            head = parts[0] if parts[0][-1] in ".?!" else f"{parts[0]}."
            return head, capitalised(parts[1])
    return text, ""


def header(title: str, essay: str, spec: Spec, module: str, origin: Origin) -> list[str]:
    """The docstring of a derived module: its essay, and what it is derived from."""
    lines = _escaped(essay).splitlines() or [f"The module {module}."]
    head = lines[0]
    first = f"{title}: {head[:1].lower()}{head[1:]}" if title else head
    first = first if len(first) + 3 <= _WIDTH else head
    digest = spec.digest("" if module == spec.root else module)
    return [
        f'"""{first}',
        *lines[1:],
        "",
        *textwrap.wrap(f"Derived from {origin.source} by `keepstep derive`. Do not edit.", _WIDTH),
        f"sha256 of its modules: {digest}",
        '"""',
        "",
    ]


# --- Types and imports --------------------------------------------------------------------


@dataclass
class _Imports:
    """What a derived module takes from elsewhere."""

    spec: Spec
    vocabularies: Mapping[str, Vocabulary]
    package: str
    own: str = ""
    names: set[str] = field(default_factory=set)
    identities: set[str] = field(default_factory=set)

    def type_text(self, type_: Type, at: Place) -> str:
        """A type as an annotation; what it needs is noted."""
        match type_:
            case IntType() | StrType() | BoolType():
                return {IntType: "int", StrType: "str", BoolType: "bool"}[type(type_)]
            case SetType(element):
                return f"frozenset[{self.type_text(element, at)}]"
            case ConstType(name):
                self.identities.add(name)
                return identity_name(name)
            case AliasType(name) if name in self.spec.aliases:
                return self.alias_text(name)
            case RecordType():
                message = "a record type is named by a @typeAlias"
                raise refusal(self.spec, Rule.RECORDS, message, at)
        raise refusal(self.spec, Rule.TYPES, f"{type_} has no form in Python", at)

    def alias_text(self, name: str) -> str:
        alias = self.spec.aliases[name]
        meant = read_type(self.spec, alias.text, alias.at)
        if isinstance(meant, RecordType):
            self.names.add(camel(name))
            return camel(name)
        return self.type_text(meant, alias.at)

    def home(self, identity: str) -> str:
        """The vocabulary that introduces an uninterpreted type; "" for none."""
        for module, vocabulary in _in_order(self.vocabularies):
            if identity in _identities(vocabulary):
                return module
        return ""

    def introduced(self) -> list[str]:
        """The identities that this module introduces."""
        return sorted(
            name
            for name in self.identities
            if not hasattr(ids, identity_name(name)) and self.home(name) in ("", self.own)
        )

    def lines(self, words_needed: Iterable[str], *, is_machine: bool, replaces: bool) -> list[str]:
        introduced = self.introduced()
        out = ["from __future__ import annotations", ""]
        out += [f"from dataclasses import dataclass{', replace' if replaces else ''}"]
        out += ["from typing import NewType"] if introduced else []
        out += ["", "from statemachine import Event, State"] if is_machine else []
        known = {identity_name(n) for n in self.identities if hasattr(ids, identity_name(n))}
        groups = {"keepstep.core.ids": known, "keepstep.core.machine": set(words_needed)}
        for module, vocabulary in self.vocabularies.items():
            if module != self.own:
                wanted = self.names & set(vocabulary.defined())
                shared = {n for n in self.identities if self.home(n) == module}
                wanted |= {identity_name(n) for n in shared} - known
                place = f"{self.package}.{module_name(module)}".lstrip(".")
                groups[place] = wanted
        out += [
            "",
            *(_import(module, groups[module]) for module in sorted(groups) if groups[module]),
        ]
        return [*out, ""]

    def new_types(self) -> list[str]:
        out = []
        for name in self.introduced():
            python = identity_name(name)
            said = name.replace("_", " ").lower()
            out += [f'{python} = NewType("{python}", str)', f'"""The name of a {said}."""', ""]
        return out


def _import(module: str, names: set[str]) -> str:
    ordered = sorted(names, key=lambda name: (not name[0].isupper(), name))
    return f"from {module} import {', '.join(ordered)}"


def _in_order(vocabularies: Mapping[str, Vocabulary]) -> list[tuple[str, Vocabulary]]:
    """Vocabularies, those that others extend first."""
    return sorted(vocabularies.items(), key=lambda item: (len(item[1].extends), item[0]))


def _identities(vocabulary: Vocabulary) -> set[str]:
    fields = [f for record in vocabulary.records for f in record.fields]
    groups = (*vocabulary.inputs.values(), *vocabulary.requests.values())
    fields += [f for group in groups for message in group for f in message.fields]
    return {name for f in fields for name in const_types(f.type)}


def _dataclass(
    name: str, base: str, comment: str, fields: Sequence[Field], imports: _Imports, at: Place
) -> list[str]:
    head = f"class {name}{f'({base})' if base else ''}:"
    if base and not fields:  # Its base is a frozen dataclass already; another would only cost time.
        return [head, *docstring(comment, 4), "", "    __slots__ = ()", "", ""]
    out = ["@dataclass(frozen=True, slots=True)", head]
    out += docstring(comment, 4)
    out += [""] if fields else []
    out += [f"    {snake(f.name)}: {imports.type_text(f.type, at)}" for f in fields]
    return [*out, "", ""]


def _all(names: Iterable[str]) -> list[str]:
    return ["__all__ = [", *(f'    "{name}",' for name in sorted(names)), "]", "", ""]


# --- A vocabulary ---------------------------------------------------------------------------


class _VocabularyWriter:
    def __init__(
        self, spec: Spec, vocabularies: Mapping[str, Vocabulary], module: str, origin: Origin
    ) -> None:
        self.spec = spec
        self.vocabulary = vocabularies[module]
        self.origin = origin
        self.imports = _Imports(spec, vocabularies, origin.package, module)

    def module(self) -> str:
        vocabulary = self.vocabulary
        body: list[str] = []
        for record in vocabulary.records:
            at = self.spec.aliases[record.alias].at
            body += _dataclass(record.name, "", record.comment, record.fields, self.imports, at)
        body += self.messages("Input", vocabulary.inputs)
        body += self.messages("Request", vocabulary.requests)
        bases = {"Input"} if any(vocabulary.inputs.values()) else set()
        bases |= {"Request"} if any(vocabulary.requests.values()) else set()
        imports = self.imports.lines(bases, is_machine=False, replaces=False)
        introduced = self.imports.new_types()
        names = [identity_name(name) for name in self.imports.introduced()]
        lines = [
            *header("", vocabulary.essay, self.spec, vocabulary.module, self.origin),
            *imports,
            *_all([*vocabulary.defined(), *names]),
            *introduced,
            *body,
        ]
        return "\n".join(lines)

    def messages(self, base: str, groups: dict[str, tuple[Message, ...]]) -> list[str]:
        out = []
        for alias, messages in groups.items():
            title = self.spec.aliases[alias].comment.rstrip(".") or f"{base}s"
            out += [f"# --- {title} ---", "", ""]
            at = self.spec.aliases[alias].at
            for message in messages:
                name, comment = message.tag, message.comment
                out += _dataclass(name, base, comment, message.fields, self.imports, at)
        return out


# --- A role -----------------------------------------------------------------------------------


class _RoleWriter:
    def __init__(self, role: Role, origin: Origin) -> None:
        self.role = role
        self.spec = role.spec
        self.origin = origin
        self.values = Values(role)
        self.imports = _Imports(self.spec, role.vocabularies, origin.package)
        self.guards = self.guards_by_operator()

    def module(self) -> str:
        role = self.role
        essay = module_essay(self.spec.sources[self.spec.root].lines)
        body = [*self.commands(), *self.settings_class(), *self.facts_class()]
        body += self.machine_class(essay)
        imported = self.values.imported
        self.imports.names |= imported | self.heard()
        self.imports.identities |= self.values.identities
        machine_words = {"RoleMachine"} | (imported & _MACHINE_WORDS)
        machine_words |= {"Input"} if role.commands else set()
        machine_words |= {"internally"} if any(map(_is_internal, role.actions)) else set()
        replaces = "replace" in imported
        lines = [
            *header(role.machine, essay, self.spec, self.spec.root, self.origin),
            *self.imports.lines(machine_words, is_machine=True, replaces=replaces),
            *_all(self.defined()),
            *self.imports.new_types(),
            *body,
        ]
        return "\n".join(lines)

    def heard(self) -> set[str]:
        """The messages that the role takes, and the records in them.

        Whoever imports the role can import with it what they need to tell it something.
        """
        role = self.role
        told = {action.told for action in role.actions if not action.is_command}
        records = {record.name: record.fields for record in self.values.all_records()}
        todo = [f.type for tag in told for f in role.inputs[tag].fields]
        todo += [f.type for command in role.commands for f in command.payload]
        found: set[str] = set()
        while todo:
            for part in types_below(todo.pop()):
                name = camel(part.name) if isinstance(part, AliasType) else ""
                if name in records and name not in found:
                    found.add(name)
                    todo += [f.type for f in records[name]]
        return told | found

    def defined(self) -> list[str]:
        """What the module defines, and the vocabulary that it passes on."""
        role = self.role
        settings = [f"{role.machine}Settings"] if role.settings else []
        introduced = [identity_name(name) for name in self.imports.introduced()]
        commands = [command.name for command in role.commands]
        shared = {name for v in role.vocabularies.values() for name in v.defined()}
        passed_on = self.imports.names & shared
        return [
            role.machine, f"{role.machine}Facts", *settings, *commands, *introduced, *passed_on,
        ]  # fmt: skip

    # --- Dataclasses ---

    def commands(self) -> list[str]:
        out: list[str] = []
        for command in self.role.commands:
            at = command.actions[0].operator.at
            comment = self.command_comment(command)
            out += _dataclass(command.name, "Input", comment, command.payload, self.imports, at)
        return out

    def command_comment(self, command: Command) -> str:
        """The sentence of the action it calls for; of several actions, their names."""
        if len(command.actions) == 1:
            return command.actions[0].operator.comment
        methods = [f"`{action.method}`" for action in command.actions]
        return f"Calls for {', '.join(methods[:-1])} or {methods[-1]}, whichever is allowed."

    def settings_class(self) -> list[str]:
        role = self.role
        if not role.settings:
            return []
        out = ["@dataclass(frozen=True, slots=True)", f"class {role.machine}Settings:"]
        out += docstring(f"What is the same for {article(role.machine)} all its life.", 4)
        for setting in role.settings:
            type_ = self.imports.type_text(setting.type, self.spec.named("Init").at)
            out += ["", f"    {setting.attribute}: {type_}", *docstring(setting.comment, 4)]
        return [*out, "", ""]

    def facts_class(self) -> list[str]:
        role = self.role
        out = ["@dataclass(frozen=True, slots=True)", f"class {role.machine}Facts:"]
        out += docstring(f"What {article(role.machine)} remembers from one input to the next.", 4)
        for fact in role.facts:
            at = next(v.at for v in self.spec.variables if v.name == fact.variable)
            type_ = self.imports.type_text(fact.type, at)
            type_ = f"{type_} | None" if fact.optional else type_
            initial = self.values.held if fact.optional else self.values.python
            default = initial(fact.initial).text
            out += ["", f"    {fact.attribute}: {type_} = {default}", *docstring(fact.comment, 4)]
        return [*out, "", ""]

    # --- The machine ---

    def machine_class(self, essay: str) -> list[str]:
        role = self.role
        out = [f"class {role.machine}(RoleMachine[{role.machine}Facts]):"]
        out += [*docstring((essay.splitlines() or [role.machine])[0], 4), ""]
        for mode, comment in role.modes.items():
            initial = "initial=True" if mode == role.initial else ""
            line = f"    {mode} = State({initial})"
            fits = len(line) + len(comment) + 4 <= _WIDTH
            out += [f"{line}  # {comment}"] if fits else [f"    # {comment}", line]
        out += ["", *self.events(), *self.settings_property()]
        readings = role.readings()
        guards = [o for o in readings if o.uid in self.guards]
        others = [o for o in readings if o.uid not in self.guards]
        out += _section("Guards", [self.guard(o) for o in guards])
        out += _section("What it reads out of what it knows", [self.reading(o) for o in others])
        return out + _section("Actions", [self.action(a) for a in role.actions])

    def events(self) -> list[str]:
        events: dict[str, list[Action]] = {}
        for action in self.role.actions:
            events.setdefault(snake(action.told), []).append(action)
        out = []
        for event, actions in events.items():
            transitions = " | ".join(self.transition(action) for action in actions)
            out.append(f"    {event} = Event({transitions})")
        return [*out, ""]

    def transition(self, action: Action) -> str:
        options = f'{self.condition(action)}on="{action.method}"'
        first, *more = action.sources
        if action.target is None:
            if more:
                return f"internally({', '.join(action.sources)}, {options})"
            return f"{first}.to({first}, internal=True, {options})"
        if more:
            return f"{action.target}.from_({', '.join(action.sources)}, {options})"
        return f"{first}.to({action.target}, {options})"

    def condition(self, action: Action) -> str:
        names = [(snake(guard.operator.name), guard.negated) for guard in action.guards]
        if not names:
            return ""
        if len(names) == 1 and names[0][1]:
            return f'unless="{names[0][0]}", '
        return 'cond="' + " and ".join(f"{'not ' * negated}{n}" for n, negated in names) + '", '

    def settings_property(self) -> list[str]:
        role = self.role
        if not role.settings:
            return []
        name = f"{role.machine}Settings"
        return [
            "    @property",
            f"    def settings(self) -> {name}:",
            *docstring(f"What is the same for {article(role.machine)} all its life.", 8),
            f"        return self.settings_of({name})",
            "",
        ]

    # --- Methods ---

    def guards_by_operator(self) -> dict[str, list[tuple[Action, Guard]]]:
        found: dict[str, list[tuple[Action, Guard]]] = {}
        for action in self.role.actions:
            for guard in action.guards:
                found.setdefault(guard.operator.uid, []).append((action, guard))
        return found

    def check_told(self, node: Expression, action: Action) -> None:
        """An action, with its guards, reads the input that it takes and no other."""
        for tag in self.role.tags_read(node) - {action.told}:
            message = f"{action.operator.name} takes {action.told} and reads {tag}"
            raise refusal(self.spec, Rule.INPUTS, message, action.operator.at)

    def result_type(self, operator: Operator) -> str:
        text = operator.annotations.get("type", "")
        if not text:
            message = f"{operator.name} has no @type"
            raise refusal(self.spec, Rule.OPERATORS, message, operator.at)
        if not operator.comment:
            message = f"no sentence says what {operator.name} is"
            raise refusal(self.spec, Rule.COMMENTS, message, operator.at)
        match read_type(self.spec, text, operator.at):
            case OperatorType(_, result):
                return self.imports.type_text(result, operator.at)
        message = f"the type of {operator.name} is no operator type"
        raise refusal(self.spec, Rule.TYPES, message, operator.at)

    def guard(self, operator: Operator) -> list[str]:
        """A guard is called with what was told, by the library, and with nothing else."""
        uses = self.guards[operator.uid]
        for action, guard in uses:
            self.check_told(App(operator.name, guard.args, "defined", operator.uid), action)
        if not operator.params[1:]:
            return self.reading(operator)
        self.check_only_guard(operator)
        payloads = {tuple(_names(guard.args[1:])) for _, guard in uses}
        if len(payloads) > 1:
            message = f"{operator.name} guards two commands whose parameters differ in name"
            raise refusal(self.spec, Rule.GUARDS, message, uses[1][0].operator.at)
        names = payloads.pop()
        told = {
            param: f"told.{snake(name)}"
            for param, name in zip(operator.params[1:], names, strict=True)
        }
        classes = dict.fromkeys(action.told for action, _ in uses)
        with self.values.naming(told):
            return self.method(operator, [f"told: {' | '.join(classes)}"])

    def check_only_guard(self, operator: Operator) -> None:
        """A guard with parameters takes them from a command, so nothing else can call it."""
        bodies = [other.body for other in self.role.readings()]
        bodies += [value for action in self.role.actions for value in _values(action)]
        for part in (part for body in bodies for part in walk(body)):
            if isinstance(part, App) and part.uid == operator.uid:
                message = f"{operator.name} is a guard with parameters and is used in a value too"
                raise refusal(self.spec, Rule.GUARDS, message, part.at)

    def reading(self, operator: Operator) -> list[str]:
        params = []
        tags = sorted(self.role.tags_read(operator.body))
        if len(tags) > 1:
            message = f"{operator.name} takes its input to be {' and '.join(tags)} at once"
            raise refusal(self.spec, Rule.READING, message, operator.at)
        if tags:
            self.imports.names.add(tags[0])
            params.append(f"told: {tags[0]}")
        if operator.params[1:]:
            for given in operator_fields(self.role, operator):
                type_ = self.imports.type_text(given.type, operator.at)
                params.append(f"{local(given.name)}: {type_}")
        return self.method(operator, params)

    def method(self, operator: Operator, params: list[str]) -> list[str]:
        result = self.result_type(operator)
        head = f"    def {snake(operator.name)}({', '.join(['self', *params])}) -> {result}:"
        body = self.values.text(operator.body)
        return [head, *docstring(operator.comment, 8), f"        return {body}", ""]

    def action(self, action: Action) -> list[str]:
        told = {f.name: f"told.{snake(f.name)}" for f in action.payload}
        values = _values(action)
        for value in values:
            self.check_told(value, action)
        reads = any(self.role.tags_read(value) for value in values)
        reads |= any(isinstance(n, Name) and n.name in told for v in values for n in walk(v))
        if reads and not action.is_command:
            self.imports.names.add(action.told)
        params = f"self, told: {action.told}" if reads else "self"
        out = [f"    def {action.method}({params}) -> None:"]
        out += docstring(action.operator.comment, 8)
        with self.values.naming(told):
            if action.request is not None:
                out.append(f"        self.ask({self.values.text(action.request)})")
            changes = [self.change(variable, value) for variable, value in action.facts.items()]
        if changes:
            out.append(f"        self.remember({', '.join(changes)})")
        return [*out, ""]

    def change(self, variable: str, value: Expression) -> str:
        fact = self.role.fact(variable)
        if fact is None:
            raise InternalError(f"{variable} is no fact")
        new = self.values.held(value) if fact.optional else self.values.python(value)
        return f"{fact.attribute}={new.text}"


def _section(title: str, methods: list[list[str]]) -> list[str]:
    if not methods:
        return []
    return ["", f"    # --- {title} ---", "", *(line for method in methods for line in method)]


def _is_internal(action: Action) -> bool:
    return action.target is None and len(action.sources) > 1


def _values(action: Action) -> list[Expression]:
    return [*action.facts.values(), *([action.request] if action.request is not None else [])]


def _names(args: Iterable[Expression]) -> list[str]:
    return [arg.name for arg in args if isinstance(arg, Name)]
