"""Ask TLC whether a recorded run of a user's own protocol is a behaviour of its specification.

A module is written for the recording that extends the composition: its steps are those of the
environment, as they are, and the recorded ones, each with what was observed of it. TLC searches
for a behaviour that comes to the end of the recording. Nothing of what `possible_states`
concludes is used, nor the translation of the specification into Python. That takes long, so it is
for short recordings; the tests hold `protocol_validation` to it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from keepstep.checkers.tlc import check
from keepstep.checkers.verdict import Kind
from keepstep.conformance.binding import camel_case, snake_case
from keepstep.conformance.run import behaviour_of
from keepstep.derive.system import Leaf
from keepstep.errors import LocalViolation
from keepstep.process import Supervisor, scratch_folder
from keepstep.tla.sources import Project
from keepstep.tla.values import render
from keepstep.validation.protocol import Protocol
from keepstep.validation.recording import Input, Recording, Start

__all__ = ["search_run"]

_MODULE = "RecordedRun"
_SECONDS = 300
_CONSISTENT = r"""
\* Texts of a kind stand for values, one for one.
Consistent(pairs) ==
    \A p, q \in pairs : p[1] = q[1] => ((p[2] = q[2]) = (p[3] = q[3]))"""
_NAME = re.compile(r"0x[0-9a-f]+|[A-Za-z_]\w*#-?\d+")


def search_run(
    project: Project,
    protocol: Protocol,
    recording: Recording,
    *,
    supervisor: Supervisor | None = None,
) -> bool:
    """Have TLC search for a behaviour that fits a recording.

    Args:
        project: The project of the specification.
        protocol: What is known of the specification.
        recording: A run whose inputs, requests and facts have fields that are numbers or texts,
            or optional ones.
        supervisor: Ends TLC when it is told to; one of its own by default.

    Returns:
        Whether there is one.

    Raises:
        LocalViolation: A record has another value, or TLC found no end in time.
        KeepstepError: TLC could not be run.
    """
    nodes = sum(isinstance(record, Start) for record in recording.records)
    folder = (project.root / protocol.model.spec).parent.relative_to(project.root)
    model = msgspec.structs.replace(
        protocol.model, name=_MODULE, spec=str(folder / f"{_MODULE}.tla"), mode="safety",
        specification="", init="RunInit", next="RunNext", invariants=["Unfinished"], properties=[],
        constraints=[], action_constraints=[], expected="HOLDS", violated="", distinct_states=None,
        seconds=_SECONDS, constants=protocol.constants(nodes), mutation=[],
    )  # fmt: skip
    with scratch_folder() as scratch:
        for name in ("spec", "models"):
            shutil.copytree(project.root / name, scratch / name)
        for file in (scratch / "spec").rglob("*.tla"):
            _stop_counting(protocol, file)
        text = _Writer(protocol, recording, nodes).text()
        (scratch / model.spec).write_text(text, encoding="utf-8")
        outcome = check(Project(scratch), model, supervisor=supervisor or Supervisor())
    if outcome.verdict.kind is Kind.VIOLATED:
        return True
    if outcome.verdict.kind is Kind.HOLDS:
        return False
    raise LocalViolation(f"{recording.name}: TLC came to no end: {outcome.verdict}")


def _stop_counting(protocol: Protocol, file: Any) -> None:
    """Let no counter tell states apart: what is never at its limit need not be counted."""
    text = before = file.read_text(encoding="utf-8")
    for counter in protocol.counters:
        text = re.sub(rf"\b{counter}'\s*=\s*{counter}\s*\+\s*\d+", f"{counter}' = {counter}", text)
    if text != before:
        file.write_text(text, encoding="utf-8")


class _Writer:
    """Writes the module of one recording."""

    def __init__(self, protocol: Protocol, recording: Recording, count: int) -> None:
        self.protocol = protocol
        self.recording = recording
        self.nodes = protocol.nodes(count)
        self.leaves = protocol.system(count).leaves
        self.called: dict[str, set[str]] = {}
        self.process: dict[str, int] = {}
        self.started: list[int] = []
        marks = {variable.name: variable.annotations for variable in protocol.role.spec.variables}
        self.optional = {fact for fact in protocol.form.facts if "optional" in marks[fact]}

    def text(self) -> str:
        """The module."""
        rows: list[str] = []
        for record in self.recording.records:
            if isinstance(record, Start):
                node = self.nodes[len(self.process)]
                self.process[record.process] = len(self.process)
                self.called.setdefault(record.node, set()).add(node)
                self.started.append(len(rows))
            elif isinstance(record, Input):
                rows.append(self.row(len(rows), record))
        variables = [variable.name for variable in self.protocol.spec.variables]
        init, _ = behaviour_of(self.protocol.spec, self.protocol.model)
        return "\n\n".join(
            [
                f"---- MODULE {_MODULE} ----\nEXTENDS {self.protocol.spec.root}, Sequences",
                "VARIABLES place, known",
                f"run == <<{', '.join(variables)}>>",
                f"RunInit == {init} /\\ place = 0 /\\ known = {{}}",
                _CONSISTENT,
                "Recorded ==\n" + "\n".join(rows),
                "Environment ==\n" + "\n".join(self.quiet()),
                "Quiet == Environment /\\ run' /= run /\\ UNCHANGED <<place, known>>",
                "RunNext == Recorded \\/ Quiet",
                f"Unfinished == place < {len(rows)}",
                "====\n",
            ]
        )

    def quiet(self) -> Iterator[str]:
        """The leaves of the environment, each once its node has begun."""
        for leaf in self.leaves:
            if leaf.label in self.protocol.actions:
                continue
            node = next((a for a in leaf.arguments if a in self.nodes), None)
            begun = 0 if node is None else self.started[self.nodes.index(node)]
            yield f"    \\/ place >= {begun} /\\ {self.applied(leaf)}"

    def applied(self, leaf: Leaf) -> str:
        """A leaf as a formula.

        Raises:
            LocalViolation: It has no name of its own.
        """
        operator = self.protocol.spec.operators.get(leaf.label)
        if operator is None or len(operator.params) != len(leaf.arguments):
            raise LocalViolation(f"{leaf.full_label} is no definition that TLC could be asked for")
        return leaf.full_label

    def row(self, place: int, record: Input) -> str:
        """A recorded step."""
        protocol, form = self.protocol, self.protocol.form
        node = self.nodes[self.process[record.process]]
        quoted = render(node)
        pairs: list[str] = []

        def here(variable: str, prime: str = "") -> str:
            return f"{protocol.here(variable)}{prime}[{quoted}]"

        parts = [f"place = {place}", f'{here(form.state)} = "{record.before}"']
        actions = [
            leaf
            for leaf in self.leaves
            if node in leaf.arguments
            and snake_case(protocol.actions.get(leaf.label, "")) == snake_case(record.action)
        ]
        commands = {action for action, name in form.commands.items() if name == record.told}
        actions = [
            leaf for leaf in actions
            if (protocol.actions[leaf.label] in commands) == bool(commands)
        ]  # fmt: skip
        if not commands:
            parts.append(f'{here(form.inbox)}.tag = "{record.told}"')
            parts += self.fields(f"{here(form.inbox)}.value", record.content, pairs)
        parts.append(" \\/ ".join(map(self.applied, actions)) or "FALSE")
        asked = here(form.outbox, "'")
        mode = here(form.state, "'")
        parts.append(f'{mode} = "{record.after}"')
        facts = {snake_case(name): value for name, value in record.facts.items()}
        for fact in form.facts:
            parts += self.fact(here(fact, "'"), fact, facts[snake_case(fact)], pairs)
        if not record.requests:
            parts.append(f"{asked} = {here(form.outbox)}")
        for request in record.requests:
            parts.append(f'{asked}.tag = "{request["asks"]}"')
            given = {name: value for name, value in request.items() if name != "asks"}
            parts += self.fields(f"{asked}.value", given, pairs)
        parts += [f"known' = known \\union {{{', '.join(pairs)}}}", "Consistent(known')"]
        if len(record.requests) > 1:
            parts.append("FALSE")
        parts.append(f"place' = {place + 1}")
        return "    \\/ " + "\n       ".join(f"/\\ ({part})" for part in parts)

    def fields(self, of: str, given: Mapping[str, Any], pairs: list[str]) -> Iterator[str]:
        """What the fields of a payload must be."""
        for name, value in given.items():
            yield from self.same(f"{of}.{camel_case(name)}", value, pairs)

    def fact(self, of: str, fact: str, value: Any, pairs: list[str]) -> Iterator[str]:
        """What a fact must be."""
        if fact not in self.optional:
            yield from self.same(of, value, pairs)
        elif value is None:
            yield f"{of} = {{}}"
        else:
            only = f"(CHOOSE only \\in {of} : TRUE)"
            yield f"{of} /= {{}}"
            yield f"{of} = {{{only}}}"
            yield from self.same(only, value, pairs)

    def same(self, of: str, value: Any, pairs: list[str]) -> Iterator[str]:
        """What a value must be."""
        if isinstance(value, bool):
            yield f"{of} = {render(value)}"
        elif isinstance(value, int):
            yield f"{of} = {value}"
        elif isinstance(value, str) and value in self.called:
            yield f"{of} \\in {render(frozenset(self.called[value]))}"
        elif isinstance(value, str) and _NAME.fullmatch(value):
            kind = value.partition("#")[0] if "#" in value else ""
            pairs.append(f'<<"{kind}", "{value}", {of}>>')
        elif isinstance(value, str):
            yield f"{of} = {render(value)}"
        else:
            raise LocalViolation(f"TLC is not asked about {value!r}")
