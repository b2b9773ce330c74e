"""Is a recorded run of a user's own protocol a behaviour of its specification?

The records say what each machine was told and did, in the order in which it happened; what the
environment did in between is quiet. All states are kept that are compatible with what was
observed (`keepstep.validation.possible_states`). A record that leaves none is the first bad
one, and the prefix that ends with it is the shortest that fails.

Most of what the environment may do makes no difference to what is observed next. So at first
only so many steps are supposed that change what nodes share as the next record needs; whatever
else may have happened can be supposed later, when something shows it. If that leaves no state, a
right run may have been misjudged, and all is done again with every state. The verdict is the
same; only the time is not.

A number that bounds the search is never a reason to refuse a run: where a set grows over the
limit the run is `inconclusive`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

from keepstep.conformance.binding import snake_case
from keepstep.conformance.cells import Undivided
from keepstep.conformance.system_graph import plain
from keepstep.errors import LocalViolation
from keepstep.tla.sources import Project
from keepstep.tla.values import render
from keepstep.validation.explanation import Explanation
from keepstep.validation.matching import Matching
from keepstep.validation.possible_states import (
    Entangled,
    Known,
    Names,
    Possible,
    PossibleStates,
    Taken,
    TooMany,
)
from keepstep.validation.protocol import Protocol, load_protocol
from keepstep.validation.recording import (
    End,
    Input,
    Recording,
    RunHeader,
    Start,
    Stop,
)
from keepstep.validation.validator import (
    Edge,
    Reason,
    Statistics,
    Validation,
    Verdict,
    lacking,
)

__all__ = [
    "MOST_POSSIBLE",
    "ProtocolValidator",
    "load_protocol_validator",
]

MOST_POSSIBLE = 5_000
"""A set with more members than this is given up."""

MOST_REMEMBERED = 400_000
"""Steps and sets that are remembered, before all is forgotten for want of memory."""

_MOST_SHOWN = 200


class _Bad(Exception):
    """A record that leaves no state."""

    def __init__(self, record: int, reason: Reason, explanation: Explanation) -> None:
        super().__init__(reason)
        self.record, self.reason, self.explanation = record, reason, explanation


class ProtocolValidator:
    """Validates recordings of one role; what it works out for one serves for the next.

    Args:
        protocol: What is known of the specification.
        most: How many members a set may have.
        exact: Keep every state from the start.
    """

    def __init__(
        self, protocol: Protocol, *, most: int = MOST_POSSIBLE, exact: bool = False
    ) -> None:
        self.protocol = protocol
        self.most = most
        self.exact = exact
        self._states: dict[int, PossibleStates] = {}

    def states_for(self, nodes: int) -> PossibleStates:
        """The states of a system with at least so many nodes."""
        # Nodes that never start cost nothing, and sizes that differ share nothing.
        count = max(4, 1 << (nodes - 1).bit_length()) if nodes else 4
        known = self._states.get(count)
        if known is None or known.remembered > MOST_REMEMBERED:
            known = self._states[count] = PossibleStates(self.protocol, count, most=self.most)
        return known

    def validate(self, recording: Recording) -> Validation:
        """Compare a recording with the specification.

        Raises:
            LocalViolation: It is of another version of the specification, or of other constants,
                or a record is none that can be.
            InvalidSpec: Something in the specification cannot be translated.
        """
        self._compare_versions(recording)
        began = time.perf_counter()
        starts = [record for record in recording.records if isinstance(record, Start)]
        states = self.states_for(len(starts))
        bad: _Bad | None = None
        large = False
        for exact in (True,) if self.exact else (False, True):
            run = self._walk(states, recording, exact=exact)
            bad, large = run.bad, run.large
            if bad is None and not large:
                break
        run.statistics.seconds = time.perf_counter() - began
        verdict, reason, first_bad, place = Verdict.VALID, None, None, recording.name
        explanation = None
        if large:
            verdict, reason = Verdict.INCONCLUSIVE, Reason.LARGE
        elif bad is not None:
            verdict, reason, first_bad = Verdict.DIVERGES, bad.reason, bad.record
            place = f"{recording.name}:{recording.line(bad.record)}"
            explanation = bad.explanation
        else:
            reason = lacking(recording, run.statistics)
            verdict = Verdict.VALID if reason is None else Verdict.UNDER_COVERED
        return Validation(
            verdict,
            reason,
            first_bad,
            place,
            explanation,
            run.edges,
            run.statistics,
            recording,
            certain=first_bad,
        )

    def _walk(self, states: PossibleStates, recording: Recording, *, exact: bool) -> _Run:
        while True:
            run = _Run(states, recording, exact=exact)
            try:
                run.walk()
            except (Entangled, Undivided) as found:
                states.adapt(found)
            else:
                return run

    def _compare_versions(self, recording: Recording) -> None:
        header = recording.header
        place = f"{recording.name}:{recording.first_line}"
        if not isinstance(header, RunHeader) or header.protocol != self.protocol.name:
            raise LocalViolation(
                f"{place}: the recording is of the protocol {header.protocol!r}, not"
                f" {self.protocol.name!r}"
            )
        digests = self.protocol.digests
        odd = sorted(m for m, digest in digests.items() if header.spec.get(m) != digest)
        if odd:
            raise LocalViolation(
                f"{place}: it was recorded for another version of the specification:"
                f" {', '.join(odd)} differ; record it again"
            )
        model = self.protocol.model
        if header.model != model.name or header.constants != dict(model.constants):
            raise LocalViolation(
                f"{place}: it was recorded for the model {header.model!r} with other constants than"
                f" those of {model.name!r}; record it again"
            )


@lru_cache(maxsize=8)
def load_protocol_validator(project: Project, role: str) -> ProtocolValidator | None:
    """A validator for runs of a role, made once in a process.

    Args:
        project: The project.
        role: Name of the role module.

    Returns:
        None if the manifest names no model for the runs of this role.

    Raises:
        InvalidModel: The manifest is wrong.
        InvalidSpec: The specification has an error.
        ToolMissing: Java or SANY is missing.
    """
    protocol = load_protocol(project, role)
    return None if protocol is None else ProtocolValidator(protocol)


@dataclass(slots=True)
class _Process:
    """A process of a recording.

    Attributes:
        node: Its number.
        seq: The number that its next record has to have.
        stopped: Whether it has ended.
    """

    node: int
    seq: int = 1
    stopped: bool = False


@dataclass(slots=True)
class _Step:
    """A recorded step, and what was found out about it.

    Attributes:
        record: The record.
        node: Of its process.
        commanded: The actions that the command triggers; none if it was told an input.
        action: The action, in snake case.
        facts: What was recorded of each fact, in the order of the role's form; None if the facts
            are others.
        after: For each state and step that fit it: what is possible after.
    """

    record: Input
    node: int
    commanded: frozenset[str]
    action: str
    facts: tuple[Any, ...] | None
    after: dict[tuple[int, int, int], tuple[tuple[int, Taken], ...]] = field(default_factory=dict)


class _Run:
    """The validation of one recording."""

    def __init__(self, states: PossibleStates, recording: Recording, *, exact: bool) -> None:
        self.states = states
        self.protocol = states.protocol
        self.recording = recording
        self.exact = exact
        self.processes: dict[str, _Process] = {}
        self.matching = Matching(self.protocol.node_suffix)
        self.possible = list(states.start)
        self.edges: Counter[Edge] = Counter()
        self.statistics = Statistics(records=len(recording.records))
        self.bad: _Bad | None = None
        self.large = False
        form = self.protocol.form
        self.commands: dict[str, frozenset[str]] = {}
        for action, command in form.commands.items():
            self.commands[command] = self.commands.get(command, frozenset()) | {action}
        self.actions = {snake_case(action): action for action in form.actions}
        self.facts = [snake_case(fact) for fact in form.facts]

    def walk(self) -> None:
        """Take every record; `bad` and `large` say why that ended early, if it did.

        Raises:
            Entangled, Undivided: States have to be divided in another way, and all done again.
            LocalViolation: A record is none that can be.
        """
        try:
            for number, record in enumerate(self.recording.records):
                self._take(number, record)
        except _Bad as bad:
            self.bad = bad
        except TooMany:
            self.large = True

    def _take(self, number: int, record: Any) -> None:
        match record:
            case Start(process, seq, node):
                if process in self.processes:
                    raise LocalViolation(f"{self._place(number)}: {process} begins twice")
                place = len(self.processes)
                self.processes[process] = _Process(place)
                self.matching.call(node, self.states.nodes[place])
                self.possible = [self.states.begin_node(each) for each in self.possible]
                if seq != 0:
                    self._refuse(number, Reason.SEQUENCE)
            case Input():
                known = self._process(number, record.process, record.seq)
                self._input(number, record, known.node)
            case Stop(process, seq):
                self._process(number, process, seq).stopped = True
            case End():
                if number != len(self.recording.records) - 1:
                    self._refuse(number, Reason.SEQUENCE)
            case _:
                raise LocalViolation(
                    f"{self._place(number)}: a run of {self.protocol.name} has no such record"
                )

    def _place(self, number: int) -> str:
        return f"{self.recording.name}:{self.recording.line(number)}"

    def _refuse(self, number: int, reason: Reason, *said: str) -> None:
        raise _Bad(number, reason, Explanation(said))

    def _process(self, number: int, name: str, seq: int) -> _Process:
        process = self.processes.get(name)
        if process is None:
            raise _Bad(number, Reason.SEQUENCE, Explanation((f"{name} has not begun",)))
        if process.stopped:
            self._refuse(number, Reason.SEQUENCE, f"{name} has ended before")
        if seq != process.seq:
            self._refuse(number, Reason.SEQUENCE, f"it has number {seq}; {process.seq} comes next")
        process.seq += 1
        return process

    # --- Steps ---

    def _input(self, number: int, record: Input, node: int) -> None:
        if snake_case(record.action) not in self.actions:
            self._refuse(number, Reason.FOREIGN, f"there is no {record.action}")
        recorded = {snake_case(fact): value for fact, value in record.facts.items()}
        facts = None
        if recorded.keys() == set(self.facts):
            facts = tuple(recorded[fact] for fact in self.facts)
        commanded = self.commands.get(record.told, frozenset())
        step = _Step(record, node, commanded, snake_case(record.action), facts)
        found: list[Possible] = []
        seen: list[Possible] = []
        for wave in self.states.waves(self.possible):
            seen += wave
            found += [after for possible in wave for after in self._fitting(step, possible)]
            if found and not self.exact:
                break
        found = self.states.largest(found)
        if not found:
            raise _Bad(number, *self._explain(step, seen))
        self.possible = found
        self.statistics.steps += 1
        self.statistics.sizes[sum(map(self.states.size, found))] += 1
        self.edges[Edge(self.actions[step.action], record.before)] += 1

    def _fitting(self, step: _Step, possible: Possible) -> Iterator[Possible]:
        """What is possible after a recorded step."""
        node = step.node
        found: dict[tuple[int, int], set[int]] = {}
        for part in self.states.sets[possible.parts[node]]:
            for names, taken in self._after(step, possible.names, possible.shared, part):
                found.setdefault((names, taken.shared), set()).add(taken.part)
        for (names, shared), parts in found.items():
            there = self.states.set_number(frozenset(parts))
            yield Possible(
                names, shared, (*possible.parts[:node], there, *possible.parts[node + 1 :])
            )

    def _after(
        self, step: _Step, names: int, shared: int, part: int
    ) -> tuple[tuple[int, Taken], ...]:
        key = (names, shared, part)
        known = step.after.get(key)
        if known is None:
            known = step.after[key] = tuple(self._find_after(step, names, shared, part))
        return known

    def _find_after(
        self, step: _Step, names: int, shared: int, part: int
    ) -> Iterator[tuple[int, Taken]]:
        before = Known(self.states, shared, step.node, part)
        form, here = self.protocol.form, self.protocol.here
        if before[here(form.state)] != step.record.before:
            return
        for told_names in self._told(step, before, self.states.names[names]):
            for taken in self.states.taken(step.node, shared, part):
                if self._is_action(step, taken):
                    for after_names in self._does(step, before, taken, told_names):
                        yield self.states.names_number(after_names), taken

    def _told(self, step: _Step, before: Known, names: Names) -> Iterator[Names]:
        """What may stand for what, if the node is told in a state what the record says."""
        if step.commanded:
            action = self.actions[step.action]
            if len(step.record.content) == self.protocol.form.parameters[action]:
                yield names
            return
        inbox = before[self.protocol.here(self.protocol.form.inbox)]
        if inbox["tag"] == step.record.told:
            yield from self.matching.payloads(step.record.content, inbox["value"], names)

    def _is_action(self, step: _Step, taken: Taken) -> bool:
        name = self.protocol.actions[taken.leaf.label]
        if name != self.actions[step.action]:
            return False
        return name in step.commanded if step.commanded else name not in self.protocol.form.commands

    def _does(self, step: _Step, before: Known, taken: Taken, names: Names) -> Iterator[Names]:
        """What may stand for what, if a step is what the record says of it."""
        form, here, record = self.protocol.form, self.protocol.here, step.record
        after = Known(self.states, taken.shared, step.node, taken.part)
        if step.facts is None or after[here(form.state)] != record.after:
            return
        pairs: list[tuple[Any, Any]] = []
        arguments = taken.leaf.arguments[1:]
        if step.commanded and len(arguments) == len(record.content):
            pairs += zip(record.content.values(), arguments, strict=True)
        pairs += [
            (told, after[here(fact)]) for fact, told in zip(form.facts, step.facts, strict=True)
        ]
        asked = after[here(form.outbox)]
        if not record.requests:
            if asked != before[here(form.outbox)]:
                return
        elif len(record.requests) > 1:
            return
        else:
            (request,) = record.requests
            if asked["tag"] != request.get("asks"):
                return
            fields = {name: value for name, value in request.items() if name != "asks"}
            for found in self.matching.all_of(pairs, names):
                yield from self.matching.payloads(fields, asked["value"], found)
            return
        yield from self.matching.all_of(pairs, names)

    # --- Explaining ---

    def _explain(self, step: _Step, seen: Iterable[Possible]) -> tuple[Reason, Explanation]:
        """Why no possible state fits a recorded step: the reason, and what would have fitted."""
        here, form = self.protocol.here, self.protocol.form
        record = step.record
        places = dict.fromkeys(
            (possible.names, possible.shared, part)
            for possible in seen
            for part in sorted(self.states.sets[possible.parts[step.node]])
        )
        modes: Counter[str] = Counter()
        reached = Reason.STATE
        order = list(Reason)
        shown: dict[tuple[int, int], Reason] = {}
        for names, shared, part in places:
            before = Known(self.states, shared, step.node, part)
            mode = before[here(form.state)]
            modes[mode] += 1
            level = Reason.STATE
            if mode == record.before:
                level = self._level(step, before, shared, part, self.states.names[names])
            shown[shared, part] = level
            if order.index(level) > order.index(reached):
                reached = level
        nearest = [place for place, level in shown.items() if level is reached]
        said = [self._about(step)]
        if reached is Reason.STATE:
            said = [f"it was {' or '.join(sorted(modes))}, not {record.before}"]
        said += self._meaning(next((names for names, _, _ in places), 0))
        if len(nearest) > _MOST_SHOWN:
            said.append(f"{len(nearest)} states were possible; {_MOST_SHOWN} of them are told here")
        return reached, Explanation(
            tuple(said),
            tuple(sorted(set(self._allowed(step, nearest)))),
            tuple(self._shown(step, place) for place in islice(nearest, _MOST_SHOWN)),
            f"{record.process} ({plain(render(self.states.nodes[step.node]))})",
        )

    def _meaning(self, names: int) -> Iterator[str]:
        """What names stand for, and which bounds a run may have outgrown."""
        known = self.states.names[names]
        if known:
            stands = ", ".join(f"{value} is {text.split()[-1]}" for text, value in known.items())
            yield f"in the specification {plain(stands)}"
        if self.protocol.bounds:
            bounds = ", ".join(f"{name} = {value}" for name, value in self.protocol.bounds.items())
            yield (
                f"the model bounds what may happen: {bounds}; a bound is lifted only where a count"
                " that nothing else reads has to be below it, as in `faults < FAULTS`"
            )

    def _level(self, step: _Step, before: Known, shared: int, part: int, names: Names) -> Reason:
        """How far a state goes along with a step."""
        inbox = before[self.protocol.here(self.protocol.form.inbox)]
        if not step.commanded and inbox["tag"] != step.record.told:
            return Reason.UNTOLD
        if not any(True for _ in self._told(step, before, names)):
            return Reason.CONTENT
        taken = self.states.taken(step.node, shared, part)
        if any(self._is_action(step, each) for each in taken):
            return Reason.RESULT
        return Reason.ACTION

    def _comment(self, action: str) -> str:
        operator = self.protocol.role.spec.operators.get(action)
        return " ".join(operator.comment.split()) if operator is not None else ""

    def _about(self, step: _Step) -> str:
        action = self.actions[step.action]
        comment = self._comment(action)
        return f"{action}: {comment}" if comment else action

    def _allowed(self, step: _Step, places: Iterable[tuple[int, int]]) -> Iterator[str]:
        """What the node could have been told, with what it does then."""
        form, here = self.protocol.form, self.protocol.here
        for shared, part in places:
            before = Known(self.states, shared, step.node, part)
            for taken in self.states.taken(step.node, shared, part):
                action = self.protocol.actions[taken.leaf.label]
                told = form.commands.get(action) or plain(render(before[here(form.inbox)]))
                after = Known(self.states, taken.shared, step.node, taken.part)
                does = f"{told} -> {action}, {after[here(form.state)]}"
                comment = self._comment(action)
                yield f"{does} ({comment})" if comment else does

    def _shown(self, step: _Step, place: tuple[int, int]) -> dict[str, str]:
        values = self.states.told_of(place[0], step.node, place[1])
        return {name: plain(render(value)) for name, value in values.items()}
