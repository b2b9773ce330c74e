"""Is a recorded run a behaviour of the specification?

For each contender the set of all states is kept that are compatible with what was observed so
far (`keepstep.conformance.candidates`). A record that leaves none is the first bad one: no
behaviour of the specification looks like the run up to there. The prefix that ends with it is
the shortest that fails, because the one before it was accepted.

A run that fits can still prove little, so a recording that is cut off, too short, or without
any leader is `under-covered`, not `valid`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from functools import lru_cache

from keepstep.conformance.candidates import FEATURES, Candidates, Context, Trouble, View
from keepstep.conformance.election_abstraction import BARE, Abstraction, Event, Step
from keepstep.conformance.explanation import Explanation, explain_event, explain_step
from keepstep.conformance.recording import (
    COMPOSITION,
    PROMPT,
    End,
    Input,
    Outcome,
    Recording,
    Start,
    Stop,
    Transaction,
    encode,
    spec_digests,
)
from keepstep.conformance.roles import read_spec
from keepstep.derive.ast import Spec
from keepstep.errors import LocalViolation
from keepstep.tla.sources import Project

__all__ = [
    "FEWEST_STEPS",
    "Edge",
    "Foresight",
    "Reason",
    "Statistics",
    "Validation",
    "Validator",
    "Verdict",
    "lacking",
    "load_validator",
]

FEWEST_STEPS = 10
"""A recording with fewer steps proves too little."""


MOST_REMEMBERED = 30_000
"""Steps of the environment that are remembered, before all is forgotten for want of memory."""


class Verdict(StrEnum):
    """What a validation found."""

    VALID = "valid"
    DIVERGES = "diverges"
    UNDER_COVERED = "under-covered"
    INCONCLUSIVE = "inconclusive"


class Reason(StrEnum):
    """Why a record fits no behaviour, or why a recording proves too little."""

    SEQUENCE = "records of the process are missing, doubled or out of order"
    FOREIGN = "the specification has no such action"
    STATE = "it was in another mode before"
    SESSION = "servers never made the session that it was told of"
    UNTOLD = "nothing in the environment can have told it that here"
    CONTENT = "it can have been told that, but not with this content"
    ACTION = "the specification takes another action for what it was told"
    RESULT = "the action leads elsewhere"
    UNASKED = "nobody had asked for this change here"
    UNSAFE = "no request of the specification makes this change"
    IMPOSSIBLE = "no server decides this after what it decided before"
    EMPTY = "the recording is empty"
    TRUNCATED = "the recording is cut off: its last line is missing"
    MISCOUNTED = "records are missing: the last line counts others"
    SHORT = f"fewer than {FEWEST_STEPS} steps"
    LEADERLESS = "nobody ever came to lead"
    LARGE = "more states are possible than can be kept"


@dataclass(frozen=True, slots=True)
class Edge:
    """A step that was taken for certain.

    Attributes:
        label: The action, as the specification labels it: `C!Attach`.
        mode: The mode of its node before; "" of an action of no node.
    """

    label: str
    mode: str


@lru_cache(maxsize=1 << 10)
def _edge(label: str, mode: str) -> Edge:
    """An edge that is made once."""
    return Edge(label, mode)


@dataclass(slots=True)
class Statistics:
    """How much there was to do.

    Attributes:
        records: Lines, without the header.
        steps: Steps of contenders.
        events: What happened to the data and to sessions.
        sizes: How often a contender had so many candidates after a step.
        assumed: Changes by contenders that are not recorded.
        seconds: How long it took, without reading.
    """

    records: int = 0
    steps: int = 0
    events: int = 0
    sizes: Counter[int] = field(default_factory=Counter)
    windows: Counter[int] = field(default_factory=Counter)
    assumed: int = 0
    seconds: float = 0.0

    @property
    def largest(self) -> int:
        """The largest set of candidates after a step."""
        return max(self.sizes, default=0)

    @property
    def mean(self) -> float:
        """The mean size of the sets of candidates after a step."""
        total = self.sizes.total()
        return sum(size * count for size, count in self.sizes.items()) / total if total else 0.0

    def add(self, other: Statistics) -> None:
        """Count another validation in."""
        self.records += other.records
        self.steps += other.steps
        self.events += other.events
        self.sizes.update(other.sizes)
        self.windows.update(other.windows)
        self.assumed += other.assumed
        self.seconds += other.seconds


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found of one recording.

    Attributes:
        verdict: What it is.
        reason: Why it is not valid; None if it is.
        first_bad: Number of the first bad record, from 0; None if there is none.
        place: File and line of it.
        explanation: What was recorded and what would have been possible; None if it is not bad.
        edges: The steps that were taken for certain, with how often.
        statistics: How much there was to do.
        recording: What was validated.
        certain: Number of the record by which the first bad one is known to be bad.
    """

    verdict: Verdict
    reason: Reason | None
    first_bad: int | None
    place: str
    explanation: Explanation | None
    edges: Counter[Edge]
    statistics: Statistics
    recording: Recording
    certain: int | None = None

    @property
    def shortest_prefix(self) -> Recording | None:
        """The shortest beginning of the recording that fails; None if it does not."""
        return None if self.certain is None else self.recording.prefix(self.certain + 1)

    def __str__(self) -> str:
        if self.verdict is Verdict.VALID:
            events = f", {self.statistics.events} events" if self.statistics.events else ""
            return f"valid: {self.statistics.steps} steps{events}"
        if self.explanation is None:
            return f"{self.verdict}: {self.reason}"
        line = encode(self.recording.records[self.first_bad or 0]).decode()
        return "\n".join(
            [
                f"{self.place}: {self.reason}",
                f"  record {self.first_bad}: {line}",
                *(f"  {text}" for text in self.explanation.lines()),
            ]
        )


class _Contender:
    """One contender of one recording, and what it may be.

    Attributes:
        process: Its name in the recording.
        node: Its number.
        seq: The number that its next record has to have.
        stopped: Whether it has ended.
        first: The clock of the first of `sets`.
        asked: The clock before which what it asked last cannot have been answered.
        expects: Number of the expectation of what it is told next.
        sets: Its candidates at that clock and at those after it.
        view: What the log has shown of its sessions at the last of these clocks.
    """

    __slots__ = ("asked", "expects", "first", "node", "process", "seq", "sets", "stopped", "view")

    def __init__(self, process: str, node: int, start: int, clock: int) -> None:
        self.process = process
        self.node = node
        self.seq = 1
        self.stopped = False
        self.first = clock
        self.asked = 0
        self.expects = 0
        self.sets = [start]
        self.view = [View()]


class _Bad(Exception):
    """A record that leaves no candidate; of which process, or "" if it is bad in any case."""

    def __init__(
        self,
        record: int,
        reason: Reason,
        explanation: Explanation,
        certain: int | None = None,
        process: str = "",
    ) -> None:
        super().__init__(reason)
        self.record, self.reason, self.explanation = record, reason, explanation
        self.certain = record if certain is None else certain
        self.process = process


class Validator:
    """Validates recordings; what it works out for one serves for the next.

    Args:
        spec: The composition of the election, as SANY reads it.
        digests: SHA-256 of each of its modules, by name; recordings must name the same.
        exact: Keep every candidate from the start. By default candidates are left out that do
            not come to what is recorded next, or only if more goes wrong than has to; where none
            is left, all is done again with more of them. The verdict is the same.
    """

    def __init__(self, spec: Spec, digests: Mapping[str, str], *, exact: bool = False) -> None:
        self.exact = exact
        self.spec = spec
        self.digests = dict(digests)
        self._candidates: dict[frozenset[str], Candidates] = {}

    def candidates_for(self, recording: Recording) -> Candidates:
        """The candidates that fit the number of servers.

        Of one server nobody reads what is out of date.
        """
        features = FEATURES - {"stale"} if recording.header.servers == 1 else FEATURES
        known = self._candidates.get(features)
        if known is None or known.remembered > MOST_REMEMBERED:
            known = self._candidates[features] = Candidates(self.spec, features)
        return known

    def validate(self, recording: Recording) -> Validation:
        """Compare a recording with the specification.

        Raises:
            LocalViolation: It is of another version of the specification, or a record is none
                that can be: a value of the wrong kind, a process that begins twice.
        """
        self._compare_versions(recording)
        began = time.perf_counter()
        candidates, abstraction = self.candidates_for(recording), Abstraction(recording)
        most = Foresight.NONE if self.exact else Foresight.LUCKY
        foresight = dict.fromkeys(abstraction.processes, most)
        bad: _Bad | None = None
        while True:
            run = _Run(candidates, recording, abstraction, foresight)
            try:
                run.walk()
            except _Bad as found:
                bad = found
                if foresight.get(found.process, Foresight.NONE) is Foresight.NONE:
                    break
                # No other contender's candidates depend on what is supposed of this one.
                foresight[found.process] = foresight[found.process].less
            else:
                bad = None
                break
        run.statistics.seconds = time.perf_counter() - began
        if bad is not None:
            return Validation(
                Verdict.DIVERGES, bad.reason, bad.record,
                f"{recording.name}:{recording.line(bad.record)}",
                bad.explanation, run.edges, run.statistics, recording, bad.certain,
            )  # fmt: skip
        reason = lacking(recording, run.statistics)
        if reason is None and not any(edge.label == "C!Lead" for edge in run.edges):
            reason = Reason.LEADERLESS
        verdict = Verdict.VALID if reason is None else Verdict.UNDER_COVERED
        return Validation(
            verdict, reason, None, recording.name, None, run.edges, run.statistics, recording
        )

    def _compare_versions(self, recording: Recording) -> None:
        named = recording.header.spec
        odd = sorted(m for m, d in self.digests.items() if named.get(m) != d)
        if odd:
            raise LocalViolation(
                f"{recording.name}:{recording.first_line}: it was recorded for another version of"
                f" the specification: {', '.join(odd)} differ; validate it with the keepstep that"
                " recorded it, or record it again"
            )


@lru_cache(maxsize=4)
def load_validator(project: Project) -> Validator:
    """A validator for a project's election, made once in a process.

    Raises:
        InvalidSpec: The specification has an error.
        ToolMissing: Java or SANY is missing.
    """
    spec = read_spec(project, project.root / COMPOSITION)
    return Validator(spec, spec_digests(project))


def lacking(recording: Recording, statistics: Statistics) -> Reason | None:
    """Why a recording that fits proves too little, whatever it is of."""
    if not recording.records:
        return Reason.EMPTY
    last = recording.records[-1]
    if not isinstance(last, End):
        return Reason.TRUNCATED
    if last.records != len(recording.records) - 1:
        return Reason.MISCOUNTED
    return Reason.SHORT if statistics.steps < FEWEST_STEPS else None


def event_view(candidates: Candidates, view: View, event: Event, node: int) -> View:
    """What the log has shown of a contender's sessions after an event."""
    if event.touched is not None:
        return view._replace(touched=view.touched | {candidates.seen_ticket(event.touched, node)})
    if event.node != node:
        return view
    if event.opened:
        return view._replace(opened=max(view.opened, event.session))
    if event.ended:
        return view._replace(ended=view.ended | {event.session})
    return view


_STEPS = (Start, Input)
_OF_CONTACT = frozenset({"Connected", "Suspended", "DeadlineReached"})
"""What a contender is told of its contact; all else it is told over its contact."""


class Foresight(Enum):
    """How much of what follows is made use of when candidates are kept, most first.

    Members:
        LUCKY: What the contender is told next, and that no more goes wrong than that needs:
            contact is lost only where that is what it hears of next, and no server is behind.
        STALE: The same, but that servers may be behind.
        FULL: What it is told next. This leaves out nothing that could come to the end.
        NONE: Nothing. Only these candidates are all that were possible at the time, so that a
            divergence can be explained.
    """

    LUCKY = auto()
    STALE = auto()
    FULL = auto()
    NONE = auto()

    @property
    def less(self) -> Foresight:
        """The next, with less of it."""
        return Foresight(self.value + 1)


_TROUBLE = {
    Foresight.LUCKY: (Trouble.NONE, Trouble.OTHER),
    Foresight.STALE: (Trouble.BEHIND, Trouble.ANY),
    Foresight.FULL: (Trouble.ANY, Trouble.ANY),
}
"""What may go wrong before a contender is told something over its contact, and of its contact."""


class _Run:
    """The validation of one recording."""

    def __init__(
        self,
        candidates: Candidates,
        recording: Recording,
        abstraction: Abstraction,
        foresight: Mapping[str, Foresight],
    ) -> None:
        self.candidates = candidates
        self.recording = recording
        self.abstraction = abstraction
        self.foresight = foresight
        self.taken: dict[int, tuple[Step, int]] = {}
        self.expects = self.look_ahead()
        self.events = self.abstraction.events
        self.contenders: dict[str, _Contender] = {}
        self.by_node: dict[int, _Contender] = {}
        self.contexts: dict[tuple[int, int], Context] = {}
        self.unproved: list[tuple[_Contender, int]] = []
        self.edges: Counter[Edge] = Counter()
        self.statistics = Statistics(
            records=len(recording.records),
            events=len(self.events),
            assumed=sum(event.assumed for event in self.events),
        )

    def look_ahead(self) -> dict[int, int]:
        """The expectation of what a contender is told after each step, and after its start."""
        candidates = self.candidates
        following = {
            process: candidates.expectation(None, _TROUBLE[foresight][0])
            for process, foresight in self.foresight.items()
            if foresight is not Foresight.NONE
        }
        found: dict[int, int] = {}
        for number in range(len(self.recording.records) - 1, -1, -1):
            record = self.recording.records[number]
            if not isinstance(record, _STEPS) or record.process not in following:
                continue
            found[number] = following[record.process]
            if isinstance(record, Input):
                try:
                    _, told = self.step_of(number, record)
                except LocalViolation:
                    following[record.process] = 0
                    continue
                if candidates.told_of(told)[0] is not None:
                    trouble = _TROUBLE[self.foresight[record.process]]
                    following[record.process] = candidates.expectation(
                        told, trouble[record.told in _OF_CONTACT]
                    )
        return found

    def step_of(self, number: int, record: Input) -> tuple[Step, int]:
        """A step as plain values, and its number.

        Raises:
            LocalViolation: A field has a value that it cannot have.
        """
        known = self.taken.get(number)
        if known is None:
            step = self.abstraction.step(record)
            told = self.candidates.told(step, self.abstraction.processes[record.process])
            known = self.taken[number] = (step, told)
        return known

    def walk(self) -> None:
        """Take every record.

        Raises:
            _Bad: One of them leaves no candidate.
        """
        next_event = 0
        for number, record in enumerate(self.recording.records):
            match record:
                case Input():
                    self.input(number, record)
                    self.require_events(number)
                case Transaction():
                    while next_event < len(self.events) and (
                        self.events[next_event].record <= number
                    ):
                        next_event += 1
                        self.event(number, next_event)
                case Start(process, seq):
                    contender = _Contender(
                        process,
                        self.abstraction.processes[process],
                        self.candidates.start,
                        self.abstraction.clocks[number],
                    )
                    self.contenders[process] = self.by_node[contender.node] = contender
                    contender.expects = self.expects.get(number, 0)
                    contender.view = [View(expects=contender.expects)]
                    if seq != 0:
                        self.refuse(number, Reason.SEQUENCE)
                case End():
                    self.end(number)
                case Outcome():
                    self.outcome(number, record)
                case Stop():
                    self.contender(number, record).stopped = True

    def refuse(self, record: int, reason: Reason, *said: str) -> None:
        """No behaviour looks like this."""
        raise _Bad(record, reason, Explanation(said))

    def contender(self, number: int, record: Input | Outcome | Stop) -> _Contender:
        """The contender of a record, which has to be the next one of its process."""
        contender = self.contenders.get(record.process)
        if contender is None:
            self.refuse(number, Reason.SEQUENCE, f"{record.process} has not begun")
            raise AssertionError
        if contender.stopped:
            self.refuse(number, Reason.SEQUENCE, f"{record.process} had ended before")
        if record.seq != contender.seq:
            self.refuse(
                number,
                Reason.SEQUENCE,
                f"record {contender.seq} of {record.process} was to come, not {record.seq}",
            )
        contender.seq += 1
        return contender

    def outcome(self, number: int, record: Outcome) -> None:
        """What a contender was not told; it can show that its request was served all the same."""
        contender = self.contender(number, record)
        if number in self.abstraction.watching:
            self.extend(contender, self.abstraction.latest[number])
            contender.sets[-1] = self.candidates.served(contender.sets[-1])

    # --- The environment ---

    def context(self, clock: int, node: int) -> Context:
        """What the environment of a contender is after so many events."""
        key = (clock, node)
        known = self.contexts.get(key)
        if known is None:
            tree = self.events[clock - 1].tree if clock else BARE
            wipes = self.abstraction.wipes[clock]
            known = self.contexts[key] = self.candidates.context(tree, wipes, node)
        return known

    def extend(self, contender: _Contender, clock: int) -> None:
        """Bring a contender's candidates up to a clock."""
        candidates, node = self.candidates, contender.node
        if contender.seq <= 2:
            start, first = contender.sets[0], self.context(contender.first, node)
            contender.sets[0] = candidates.close(start, first, contender.view[0])
        while contender.first + len(contender.sets) <= clock:
            at = contender.first + len(contender.sets)
            event, view = self.events[at - 1], contender.view[-1]
            before = contender.sets[-1]
            view = event_view(candidates, view, event, node)
            if view.waits and at >= contender.asked:
                view = view._replace(waits=False)
            contender.view.append(view)
            contender.sets.append(self.advance(before, at, node, view))

    def advance(self, members: int, clock: int, node: int, view: View) -> int:
        """The candidates after the event before a clock, and whatever follows without another."""
        event, candidates = self.events[clock - 1], self.candidates
        if event.wiped:
            members = candidates.wipe(members)
        elif event.node == node and not event.opened and not event.odd:
            number = candidates.event(event, node)
            members = candidates.happen(members, self.context(clock - 1, node), number, view)
        return candidates.close(members, self.context(clock, node), view)

    def event(self, number: int, clock: int) -> None:
        """An event was read from the log: whoever asked for it must be able to have done so."""
        event = self.events[clock - 1]
        if event.impossible:
            raise _Bad(number, Reason.IMPOSSIBLE, Explanation((event.impossible,)))
        if event.odd:
            raise _Bad(number, Reason.UNSAFE, Explanation((event.odd,)))
        contender = self.by_node.get(event.node)
        if contender is None:
            if event.cause:
                self.edges[Edge(f"S!{event.cause}", "")] += 1
            return
        self.unproved.append((contender, clock))

    def require_events(self, number: int) -> None:
        """Whoever asked for what was read so far has been recorded by now.

        Only where the log is read before anybody's next step; else, the step that asked for it
        may be recorded later, and only the end of the recording tells.
        """
        if self.recording.header.log_read == PROMPT:
            for contender, clock in self.unproved:
                self.require(contender, clock, number)
            self.unproved.clear()

    def require(self, contender: _Contender, clock: int, number: int) -> None:
        """A contender must have candidates at a clock, by the time of a record."""
        self.extend(contender, clock)
        sets = contender.sets
        # What it was told since may have shown already that the event had happened.
        if clock >= contender.first and sets[clock - contender.first] == self.candidates.empty:
            empty = next(n for n, members in enumerate(sets) if members == self.candidates.empty)
            event = self.events[contender.first + empty - 1]
            self.look_closer(contender, event.record)
            explanation = explain_event(self.candidates, sets[empty - 1], event)
            raise _Bad(event.record, Reason.UNASKED, explanation, number)

    def end(self, number: int) -> None:
        """Nothing comes any more: whatever was read from the log has happened."""
        last = {event.node: clock for clock, event in enumerate(self.events, 1)}
        for contender in self.contenders.values():
            # What comes after the last event of its own asks nothing of it.
            self.require(contender, last.get(contender.node, 0), number)

    # --- Steps ---

    def input(self, number: int, record: Input) -> None:
        """A step of a contender: keep the candidates that can take it."""
        contender = self.contender(number, record)
        candidates, node = self.candidates, contender.node
        latest = self.abstraction.latest[number]
        self.extend(contender, latest)
        # A step may have been taken later than the specification takes it: what a contender is
        # told waits in a queue, and so does whatever comes after it.
        low, sets, views = contender.first, contender.sets, contender.view
        try:
            step, told = self.step_of(number, record)
        except LocalViolation as error:
            place = f"{self.recording.name}:{self.recording.line(number)}"
            raise LocalViolation(f"{place}: {error}") from None
        found = [candidates.step(members, told) for members in sets]
        if not any(found):
            self.explain(number, record, step, told, sets, node)
        skipped = 0
        while found[skipped] == candidates.empty:
            skipped += 1
        found, low = found[skipped:], low + skipped
        if step.requests:
            contender.asked = self.abstraction.earliest[number]
        contender.expects = self.expects.get(number, 0)
        asked, expects = contender.asked, contender.expects
        views = [
            View(view.opened, view.ended, view.touched, clock < asked, expects)
            for clock, view in enumerate(views[skipped:], low)
        ]
        self.fill(found, low, node, views)
        if step.told == "Connected":
            # Sessions before this one are over for it, so that they need not be told apart.
            views = [
                view._replace(ended=frozenset(n for n in view.ended if n >= step.content[0]))
                for view in views
            ]
        contender.first, contender.sets, contender.view = low, found, views
        self.edges[_edge(self.label(step.action), step.before)] += 1
        self.statistics.steps += 1
        self.statistics.sizes[len(candidates.sets[found[-1]])] += 1
        self.statistics.windows[len(found)] += 1

    def fill(self, found: list[int], low: int, node: int, views: list[View]) -> None:
        """Add to the candidates at each clock what comes from those at the clock before."""
        candidates = self.candidates
        for place, members in enumerate(found):
            closed = candidates.close(members, self.context(low + place, node), views[place])
            if place:
                came = self.advance(found[place - 1], low + place, node, views[place])
                closed = candidates.merge(closed, came)
            found[place] = closed

    def look_closer(self, contender: _Contender, number: int) -> None:
        """Nothing remains of a contender: that says something only if nothing was left out.

        Raises:
            _Bad: Something was.
        """
        if self.foresight[contender.process] is not Foresight.NONE:
            raise _Bad(number, Reason.UNTOLD, Explanation(()), process=contender.process)

    def label(self, action: str) -> str:
        """The label of a contender's action."""
        leaves = self.candidates.roles.get(action)
        return leaves[0].label if leaves else action

    def explain(
        self, number: int, record: Input, step: Step, told: int, sets: list[int], node: int
    ) -> None:
        """Say why a step fits no candidate.

        Raises:
            _Bad: Always.
        """
        self.look_closer(self.by_node[node], number)
        # The very step may have asked for what was read before it.
        fine = {"", *(request[0] for request in step.requests)}
        first = self.by_node[node].first
        for event, before, after in zip(self.events[first:], sets, sets[1:], strict=False):
            if after == self.candidates.empty and event.serves not in fine:
                explanation = explain_event(self.candidates, before, event)
                raise _Bad(event.record, Reason.UNASKED, explanation, number)
        members = frozenset().union(*(self.candidates.sets[each] for each in sets))
        kind, explanation = explain_step(self.candidates, members, step, told)
        session = str(record.content.get("session", ""))
        if step.told == "Connected" and not self.abstraction.was_opened(session):
            kind = "SESSION"
        raise _Bad(number, Reason[kind], explanation)
