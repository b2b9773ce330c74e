"""The role table: one step from every configuration under every input, reachable or not.

A system reaches only some configurations of its roles, so that a class can be wrong where no
system graph looks. Here the role stands alone: a generated module starts in every (state,
facts, inbox) of a finite alphabet and takes at most one step. TLC explores it, and its graph
is compared both ways with what the class does there: accepted or refused exactly as the
specification, same action, same target, same facts, same requests.

Where the specification says nothing (`The({})`), TLC would stop. The derived functions find
these places first, and the generated module leaves them out; there the class must not accept
the input either. That what they find is right is seen where it is wrong: a place left out too
much is one where the class accepts, one left out too little makes TLC stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from keepstep.checkers.tlc import dump_graph
from keepstep.conformance.binding import Misfit
from keepstep.conformance.cells import Cells, Observed
from keepstep.conformance.decisions import Decisions
from keepstep.conformance.player import Cast, Configuration, RoleForm
from keepstep.conformance.roles import RoleEntry, constants_of, read_spec
from keepstep.conformance.shape import first_value
from keepstep.conformance.system_graph import plain
from keepstep.core.machine import Input
from keepstep.derive.ast import Spec
from keepstep.derive.system import System, translate
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
    TupleType,
    Type,
    UnitType,
    VariantType,
    parse_type,
)
from keepstep.errors import InternalError, InvalidModel, InvalidSpec
from keepstep.process import Supervisor
from keepstep.tla.dot import plain_label, printed_order, read_graph
from keepstep.tla.manifest import Model
from keepstep.tla.operations import UNIT, Undefined
from keepstep.tla.sources import Project
from keepstep.tla.values import render

__all__ = ["Answer", "Difference", "Question", "RoleTable", "TableResult", "build_role_table"]

_PREFIX = "Role_"


@dataclass(frozen=True, slots=True)
class Question:
    """A configuration and what is told there: a variant, or a command with its payload."""

    configuration: Configuration
    told: Any = None
    command: str = ""
    payload: tuple[Any, ...] = ()

    def without_payload(self) -> Question:
        """The question that stands for all payloads of its command."""
        return Question(self.configuration, self.told, self.command)

    def input(self, cast: Cast) -> Input:
        """The input as the class knows it.

        Raises:
            Misfit: The class has no such input.
        """
        if self.command:
            return cast.command(self.command, self.payload)
        return cast.input(self.told)


@dataclass(frozen=True, slots=True)
class Answer:
    """What happens at a question: an action, and the configuration and requests after it."""

    action: str
    state: str
    facts: tuple[Any, ...]
    outbox: Any

    def shown(self, form: RoleForm, before: Configuration) -> str:
        """The answer as a person reads it: only what it changes."""
        parts = [] if self.state == before[1] else [f"to {self.state!r}"]
        parts += [
            f"{name} becomes {plain(render(new))}"
            for name, old, new in zip(form.facts, before[2], self.facts, strict=True)
            if new != old
        ]
        parts.append(f"outbox {plain(render(self.outbox))}")
        return f"{self.action} ({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Difference:
    """A question that class and specification answer differently.

    Attributes:
        question: Where.
        expected: What the specification allows, as a person reads it.
        given: What the class does.
        count: How many questions are answered differently.
    """

    where: str
    expected: str
    given: str
    count: int

    def __str__(self) -> str:
        return (
            f"{self.count} answers differ; the first {self.where}:\n"
            f"  the specification: {self.expected}\n"
            f"  the class:         {self.given}"
        )


@dataclass(frozen=True, slots=True)
class TableResult:
    """What the role table found.

    Attributes:
        configurations: How many (state, facts, inbox) there are.
        accepted: How many steps the specification allows from them.
        difference: The first difference, or None.
        executions: Distinct steps of the class.
        refusals: Those that it refused.
    """

    configurations: int
    accepted: int
    difference: Difference | None
    executions: int
    refusals: int

    @property
    def equal(self) -> bool:
        """The class does what the specification says, everywhere."""
        return self.difference is None


class RoleTable:
    """The expectations of a role's table, computed by TLC once, compared as often as wanted.

    Its `kinds` are the questions by state and tag, or action of a command.

    Args:
        form: The role's form.
        expected: What the specification allows at each question. A command's parameters are
            not told apart, because TLC 2.18 does not print them: an entry for a command has
            no payload and the answers to all of them.
        questions: Every question, commands with each payload.
        forbidden: Questions at which the specification has an action that is not defined.
        quiet_outbox: The outbox before each step.
        configurations: How many (state, facts, inbox) there are.
    """

    def __init__(
        self,
        form: RoleForm,
        expected: dict[Question, frozenset[Answer]],
        questions: Sequence[Question],
        forbidden: frozenset[Question],
        quiet_outbox: Any,
        configurations: int,
    ) -> None:
        self.form = form
        self.expected = expected
        self.kinds: dict[tuple[str, str], list[Question]] = {}
        for question in questions:
            kind = question.command or question.told["tag"]
            self.kinds.setdefault((question.configuration[1], kind), []).append(question)
        self.questions = tuple(_varied(self.kinds.values()))
        self.forbidden = forbidden
        self.quiet_outbox = quiet_outbox
        self.configurations = configurations
        self.accepted = sum(len(answers) for answers in expected.values())
        self.groups: dict[Question, list[Question]] = {}
        for question in self.questions:
            self.groups.setdefault(question.without_payload(), []).append(question)

    def compare(self, cast: Cast, *, first_only: bool = False) -> TableResult:
        """Compare a class with the table, both ways.

        Args:
            cast: Who plays the role.
            first_only: Stop at the first difference.
        """
        first: tuple[Question, str] | None = None
        count = 0
        for group, questions in self.groups.items():
            answers: set[Answer] = set()
            problem = ""
            for question in questions:
                outcome, trouble = self._ask(cast, question)
                problem = problem or trouble
                if outcome is not None:
                    answers.add(outcome)
            if problem or answers != self.expected[group]:
                count += 1
                first = first or (group, problem or self._shown(group, answers))
                if first_only:
                    break
        difference = None
        if first is not None:
            group, given = first
            expected = self._shown(group, self.expected[group])
            if group in self.forbidden:
                expected = "has no defined successor"
            difference = Difference(self._where(group), expected, given, count)
        return TableResult(
            self.configurations, self.accepted, difference, cast.executions, cast.refusals
        )

    def find_memory(self, cast: Cast) -> str:
        """Where the class answers differently when it is asked again, or "".

        A step must depend on the cell and the input alone: that is why each is executed once.
        Every fifth question is asked again, the last one first.
        """
        for question in self.questions[::-5]:
            try:
                told = question.input(cast)
            except Misfit:
                continue
            if not cast.repeats(question.configuration, told):
                return f"{self._where(question)}: the class answers differently when asked again"
        return ""

    def _ask(self, cast: Cast, question: Question) -> tuple[Answer | None, str]:
        """The answer of the class, None if it refuses, and what is wrong with it."""
        try:
            told = question.input(cast)
        except Misfit as error:
            return None, str(error)
        outcome = cast.step(question.configuration, told)
        if outcome.problem:
            # Where the specification defines nothing, raising is as good as refusing.
            allowed = outcome.raised and question.without_payload() in self.forbidden
            return None, "" if allowed else outcome.problem
        if not outcome.action:
            return None, ""
        outbox = self.quiet_outbox
        if len(outcome.requests) > 1:
            return None, f"asks for {len(outcome.requests)} things at once"
        for request in outcome.requests:
            outbox = request
        return Answer(outcome.action, outcome.state, outcome.facts, outbox), ""

    def _shown(self, question: Question, answers: Iterable[Answer]) -> str:
        shown = sorted(answer.shown(self.form, question.configuration) for answer in answers)
        return " or ".join(shown) or "refuses"

    def _where(self, question: Question) -> str:
        _, state, facts = question.configuration
        told = question.command or plain(render(question.told))
        shown = ", ".join(
            f"{name} = {plain(render(value))}"
            for name, value in zip(self.form.facts, facts, strict=True)
        )
        return f"in state {state!r} with {shown}, told {told}"


def _varied(kinds: Iterable[list[Question]]) -> Iterator[Question]:
    """One question of each state and kind of input, then the next of each, and so on.

    A wrong class is wrong for a state and a kind of input, so it is found out soon.
    """
    for turn in zip_longest(*kinds):
        yield from (question for question in turn if question is not None)


# --- Building -----------------------------------------------------------------------------


def build_role_table(
    project: Project,
    entry: RoleEntry,
    spec: Spec,
    form: RoleForm,
    folder: Path,
    supervisor: Supervisor | None = None,
) -> RoleTable:
    """Generate the module, have TLC explore it, and read its graph.

    Args:
        project: The project of the role.
        entry: Its entry in the manifest.
        spec: Its module, as SANY reads it.
        form: What the marks of the module say.
        folder: An empty folder for what is generated.
        supervisor: Ends TLC when it is told to.

    Raises:
        InvalidModel: The alphabet is not complete, or TLC cannot evaluate it.
        KeepstepError: SANY or TLC is missing or fails.
    """
    constants = constants_of(entry.constants)
    writer = _Writer(entry, spec, form, constants)
    quiet = first_value(spec, form.inbox, constants)
    draft = folder / f"{_PREFIX}{entry.name}.tla"
    draft.write_text(writer.module({}), encoding="utf-8")
    system = translate(read_spec(project, draft), constants, init="Role_Init", next_="Role_Next")
    undefined, forbidden = _undefined(system, form, quiet)
    if undefined:
        draft.write_text(writer.module(undefined), encoding="utf-8")
    model = Model(
        name=f"{_PREFIX}{entry.name}",
        spec=str(draft),
        checker="tlc",
        mode="graph",
        expected="HOLDS",
        init="Role_Init",
        next="Role_Next",
        constants=entry.constants,
        seconds=600,
    )
    # A fresh project, because it remembers which modules a file needed.
    dump, _ = dump_graph(replace(project), model, folder, supervisor=supervisor)
    table = _read_table(system, form, quiet, forbidden, dump)
    dump.unlink()
    return table


def _read_table(
    system: System, form: RoleForm, quiet: Any, forbidden: frozenset[Question], dump: Path
) -> RoleTable:
    """The expectations that TLC wrote."""
    initial = list(system.initial())
    cells = Cells(system.variables, initial[0], printed_order(dump))
    graph = read_graph(dump, cells.encode_text)
    if {cells.encode(state) for state in initial} != {
        graph.states[place] for place in graph.initial
    }:
        raise InternalError("TLC and Python disagree about the alphabet of the role table")
    at = _Places(system, form, cells)
    actions = [plain_label(label).partition("(")[0].removeprefix(_PREFIX) for label in graph.labels]
    payloads: dict[str, list[tuple[Any, ...]]] = {}
    for leaf in system.leaves:
        payloads.setdefault(leaf.label.removeprefix(_PREFIX), []).append(leaf.arguments[1:])
    expected: dict[Question, set[Answer]] = {}
    questions: dict[Question, None] = {}
    for place in graph.initial:
        state = graph.states[place]
        configuration, told = at.configuration(state), at.inbox(state)
        if told != quiet:
            questions[Question(configuration, told)] = None
            expected.setdefault(Question(configuration, told), set())
        for command in form.commands:
            expected.setdefault(Question(configuration, None, command), set())
            for payload in payloads.get(command, []):
                questions[Question(configuration, None, command, payload)] = None
        for label, target in graph.edges(place):
            after = graph.states[target]
            _, reached, facts = at.configuration(after)
            action = actions[label]
            answer = Answer(action, reached, facts, at.outbox(after))
            is_command = action in form.commands
            question = (
                Question(configuration, None, action)
                if is_command
                else (Question(configuration, told))
            )
            expected.setdefault(question, set()).add(answer)
            if at.inbox(after) != (told if is_command else quiet):
                raise InvalidSpec(
                    f"{action} must {'leave' if is_command else 'empty'} the inbox", form.module
                )
    return RoleTable(
        form,
        {question: frozenset(answers) for question, answers in expected.items()},
        list(questions),
        forbidden,
        at.outbox(graph.states[graph.initial[0]]),
        len(graph.initial),
    )


class _Places:
    """Where the parts of the only role are in a state."""

    def __init__(self, system: System, form: RoleForm, cells: Cells) -> None:
        self.cells = cells
        number = {name: system.number(name) for name in form.own}
        keys = cells.keys[number[form.state]]
        if keys is None or len(keys) != 1:
            raise InvalidModel("the role table is for one node: give its set one element")
        (self.node,) = keys
        self.state_cell = cells.first[number[form.state]]
        self.fact_cells = tuple(cells.first[number[fact]] for fact in form.facts)
        self.inbox_cell = cells.first[number[form.inbox]]
        self.outbox_cell = cells.first[number[form.outbox]]

    def value(self, state: Sequence[int], cell: int) -> Any:
        return self.cells.values[cell][state[cell]]

    def configuration(self, state: Sequence[int]) -> Configuration:
        facts = tuple(self.value(state, cell) for cell in self.fact_cells)
        return self.node, self.value(state, self.state_cell), facts

    def inbox(self, state: Sequence[int]) -> Any:
        return self.value(state, self.inbox_cell)

    def outbox(self, state: Sequence[int]) -> Any:
        return self.value(state, self.outbox_cell)


def _undefined(  # noqa: C901 - one look at each place
    system: System, form: RoleForm, quiet: Any
) -> tuple[dict[str, set[str]], frozenset[Question]]:
    """Where an action of the specification has no defined successor.

    Returns:
        For each action the conditions in TLA+, and the same places as questions.
    """
    states = list(system.initial())
    cells = Cells(system.variables, states[0])
    conditions: dict[str, set[str]] = {}
    found: set[Question] = set()

    def formula(number: int) -> Callable[[Observed], list[tuple[int, frozenset[int]]]]:
        leaf = system.leaves[number]

        def results(state: Observed) -> list[tuple[int, frozenset[int]]]:
            try:
                for _ in leaf.run(state):
                    pass
            except Undefined:
                return [(number, frozenset(state.reads))]
            return []

        return results

    decisions = Decisions(cells, [formula(number) for number in range(len(system.leaves))])
    at = _Places(system, form, cells)
    for state in states:
        encoded = cells.encode(state)
        for number, reads in decisions.results(encoded):
            leaf = system.leaves[number]
            action = leaf.label.removeprefix(_PREFIX)
            parts = []
            for cell in sorted(reads):
                variable, key = cells.names[cell]
                if system.variables[variable] in form.own:
                    value = render(cells.values[cell][encoded[cell]])
                    parts.append(f"{system.variables[variable]}[{render(key)}] = {value}")
            conditions.setdefault(action, set()).add(" /\\ ".join(parts))
            configuration, told = at.configuration(encoded), at.inbox(encoded)
            if action in form.commands:
                found.add(Question(configuration, None, action))
            elif told != quiet:
                found.add(Question(configuration, told))
    return conditions, frozenset(found)


class _Writer:
    """Writes the module that has one step from every configuration."""

    def __init__(
        self, entry: RoleEntry, spec: Spec, form: RoleForm, constants: dict[str, Any]
    ) -> None:
        self.entry, self.spec, self.form = entry, spec, form
        self.constants = constants
        self.used: set[str] = set()
        self.declared = {variable.name: variable for variable in spec.variables}
        self.sets = self._sets_of_constants()

    def _sets_of_constants(self) -> dict[str, str]:
        """The constant that lists an uninterpreted type, by the type's name."""
        found: dict[str, str] = {}
        for constant in self.spec.constants:
            match parse_type(constant.annotations.get("type", "UNIT")):
                case SetType(ConstType(name)):
                    found.setdefault(name, constant.name)
        return found

    def module(self, undefined: dict[str, set[str]]) -> str:
        """The text of the module, without the places where an action is undefined."""
        form, name = self.form, f"{_PREFIX}{self.entry.name}"
        nodes = self._nodes()
        first = render(first_value(self.spec, form.outbox, self.constants))
        lines = [
            f"---- MODULE {name} ----",
            f"EXTENDS {self.entry.name}",
            "VARIABLE taken",
            "Role_Init ==",
            f"    /\\ {form.state} \\in [{nodes} -> MODES]",
            *(f"    /\\ {fact} \\in [{nodes} -> {self.fact(fact)}]" for fact in form.facts),
            f"    /\\ {form.inbox} \\in [{nodes} -> {self.inbox()}]",
            f"    /\\ {form.outbox} = [n \\in {nodes} |-> {first}]",
            *([f'    /\\ {form.world} = "world"'] if form.world else []),
            "    /\\ taken = FALSE",
        ]
        steps = []
        for action in form.actions:
            params = [f"p{number}" for number in range(form.parameters[action])]
            given = f"({', '.join(['n', *params])})"
            lines.append(f"{_PREFIX}{action}{given} ==")
            lines.append("    /\\ taken = FALSE")
            lines += [f"    /\\ ~({condition})" for condition in sorted(undefined.get(action, ()))]
            lines.append(f"    /\\ {action}{given}")
            lines.append("    /\\ taken' = TRUE")
            bounds = "".join(
                f"\\E {param} \\in {domain} : "
                for param, domain in zip(params, self.payload(action), strict=True)
            )
            steps.append(f"        \\/ {bounds}{_PREFIX}{action}{given}")
        lines += [f"Role_Next == \\E n \\in {nodes} :", *steps, "=" * 30, ""]
        unknown = set(self.entry.domains) - self.used
        if unknown:
            raise InvalidModel(
                f"role {self.entry.name}: [role.domains] names {', '.join(sorted(unknown))}, "
                f"which nothing ranges over"
            )
        return "\n".join(lines)

    def _nodes(self) -> str:
        match self.type_of(self.form.state):
            case FunctionType(ConstType(name), _) if name in self.sets:
                return self.sets[name]
        raise InvalidSpec(
            f"{self.form.state} must be a function over a constant set of nodes",
            self.spec.file(self.spec.root),
        )

    def type_of(self, variable: str) -> Type:
        text = self.declared[variable].annotations.get("type", "")
        if not text:
            raise InvalidSpec(f"{variable} has no @type", self.spec.file(self.spec.root))
        return parse_type(text.rstrip("; "))

    def result_of(self, variable: str) -> Type:
        match self.type_of(variable):
            case FunctionType(_, result):
                return result
        raise InvalidSpec(f"{variable} is no function of a node", self.spec.file(self.spec.root))

    def fact(self, variable: str) -> str:
        """The domain of a fact; of an optional one, the sets of at most one element."""
        kind = self.result_of(variable)
        if "optional" in self.declared[variable].annotations and isinstance(kind, SetType):
            return f"({{{{}}}} \\union {{ {{x}} : x \\in {self.domain(kind.element, variable)} }})"
        return self.domain(kind, variable)

    def inbox(self) -> str:
        match self.expanded(self.result_of(self.form.inbox)):
            case VariantType(cases):
                return "(" + " \\union ".join(self.case(tag, kind) for tag, kind in cases) + ")"
        raise InvalidSpec(f"{self.form.inbox} must hold variants", self.spec.file(self.spec.root))

    def case(self, tag: str, payload: Type) -> str:
        if isinstance(payload, UnitType):
            return f'{{[tag |-> "{tag}", value |-> {render(UNIT)}]}}'
        domain = self.domain(payload, tag)
        return f'{{ [tag |-> "{tag}", value |-> x] : x \\in {domain} }}'

    def payload(self, action: str) -> list[str]:
        """The domains of the parameters of an action after the node."""
        count = self.form.parameters[action]
        if not count:
            return []
        operator = self.spec.named(action)
        match parse_type(operator.annotations.get("type", "UNIT").rstrip("; ")):
            case OperatorType(params, _) if len(params) == count + 1:
                return [
                    self.domain(kind, name)
                    for kind, name in zip(params[1:], operator.params[1:], strict=True)
                ]
        raise InvalidSpec(
            f"{action} has parameters, so it needs a @type",
            self.spec.file(operator.at.module),
            operator.at.line,
        )

    def expanded(self, kind: Type) -> Type:
        if isinstance(kind, AliasType):
            if kind.name not in self.spec.aliases:
                raise InvalidSpec(f"there is no type ${kind.name}", self.spec.file(self.spec.root))
            return self.expanded(parse_type(self.spec.aliases[kind.name].text))
        return kind

    def given(self, *names: str) -> str | None:
        """What the manifest says of the first of these names that it knows."""
        for name in names:
            if name in self.entry.domains:
                self.used.update(name for name in names if name in self.entry.domains)
                domain = self.entry.domains[name]
                if isinstance(domain, str):
                    return f"({domain})"
                return "{" + ", ".join(render(value) for value in domain) + "}"
        return None

    def domain(self, kind: Type, place: str) -> str:
        """The set, in TLA+, that a type ranges over at a place: a fact, a tag or a field."""
        field = place.rpartition(".")[2]
        match kind:
            case AliasType(name):
                found = self.given(place, name)
                return found or self.domain(self.expanded(kind), name)
            case RecordType(fields):
                parts = (
                    f"{name} : {self.domain(inner, f'{place}.{name}')}" for name, inner in fields
                )
                return self.given(place) or f"[{', '.join(parts)}]"
            case SetType(inner):
                return self.given(place) or f"(SUBSET {self.domain(inner, place)})"
            case BoolType():
                return self.given(place) or "BOOLEAN"
            case ConstType(name):
                found = self.given(place, field, name)
                return found or self.sets.get(name) or self.missing(place, kind)
            case TupleType(elements):
                return self.given(place) or (
                    "(" + " \\X ".join(self.domain(part, place) for part in elements) + ")"
                )
            case VariantType(cases):
                parts_of = " \\union ".join(self.case(tag, inner) for tag, inner in cases)
                return self.given(place) or f"({parts_of})"
            case FunctionType(over, into):
                found = self.given(place)
                return found or f"[{self.domain(over, place)} -> {self.domain(into, place)}]"
            case IntType() | StrType():
                return self.given(place, field, type(kind).__name__.removesuffix("Type")) or (
                    self.missing(place, kind)
                )
        return self.given(place, field) or self.missing(place, kind)

    def missing(self, place: str, kind: Type) -> str:
        field = place.rpartition(".")[2]
        raise InvalidModel(
            f"role {self.entry.name}: [role.domains] must say which values {place} takes in the "
            f"role table, for instance: {field} = [1, 2]"
            if isinstance(kind, IntType)
            else f"role {self.entry.name}: [role.domains] must say which values {place} takes in "
            f'the role table, for instance: {field} = ["a", "b"]'
        )
