"""Is a recorded run a behaviour of the specification?

For each contender the set of all states is kept that are compatible with what was observed so
far (`keepstep.validation.candidates`). A record that leaves none is the first bad one: no
behaviour of the specification looks like the run up to there. The prefix that ends with it is
the shortest that fails, because the one before it was accepted.

A run that fits can still prove little, so a recording that is cut off, too short, or without
any leader is `under-covered`, not `valid`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from functools import lru_cache

from keepstep.conformance.roles import read_spec
from keepstep.derive.ast import Spec
from keepstep.errors import LocalViolation
from keepstep.tla.sources import Project
from keepstep.validation.candidates import (
    FEATURES,
    MULTIS,
    Candidates,
    Context,
    Shown,
    Trouble,
    View,
)
from keepstep.validation.election_abstraction import (
    BARE,
    Abstraction,
    Event,
    Sight,
    Step,
    ticket_value,
)
from keepstep.validation.explanation import Explanation, explain_event, explain_step
from keepstep.validation.recording import (
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


MOST_REMEMBERED = 20_000
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


class _Moment:
    """A time between two events, as a contender sees it.

    Attributes:
        clock: How many events there were before.
        context: The environment.
        event: Number of the event that began it, if that was one of the contender's own; else -1.
        wiped: Whether it began with the loss of all data.
        view: Number of what the log has shown of the contender's sessions.
        shown: The sessions and names of the requests that the log will show after it.
        members: Number of the set of states that the contender may be in.
    """

    __slots__ = ("clock", "context", "event", "members", "shown", "view", "wiped")

    def __init__(
        self,
        clock: int,
        context: Context,
        view: int,
        shown: frozenset[Shown] | None,
        members: int = -1,
        event: int = -1,
        *,
        wiped: bool = False,
    ) -> None:
        self.clock = clock
        self.context = context
        self.view = view
        self.shown = shown
        self.members = members
        self.event = event
        self.wiped = wiped


class _Contender:
    """One contender of one recording, and what it may be.

    Attributes:
        process: Its name in the recording.
        sight: How it sees the others.
        seq: The number that its next record has to have.
        stopped: Whether it has ended.
        asked: The clock before which what it asked last cannot have been answered.
        expects: Number of the expectation of what it is told next.
        moments: The times at which its last step can have been taken, and those since.
    """

    __slots__ = ("asked", "expects", "moments", "process", "seq", "sight", "stopped")

    def __init__(self, process: str, sight: Sight, expects: int, start: _Moment) -> None:
        self.process = process
        self.sight = sight
        self.seq = 1
        self.stopped = False
        self.asked = 0
        self.expects = expects
        self.moments = [start]


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
        edges, statistics = run.edges, run.statistics
        statistics.seconds = time.perf_counter() - began
        if bad is not None:
            return Validation(
                Verdict.DIVERGES, bad.reason, bad.record,
                f"{recording.name}:{recording.line(bad.record)}",
                bad.explanation, edges, statistics, recording, bad.certain,
            )  # fmt: skip
        reason = lacking(recording, statistics)
        if reason is None and not any(edge.label == "C!Lead" for edge in edges):
            reason = Reason.LEADERLESS
        verdict = Verdict.VALID if reason is None else Verdict.UNDER_COVERED
        return Validation(verdict, reason, None, recording.name, None, edges, statistics, recording)

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


def event_view(view: View, event: Event, sight: Sight) -> View:
    """What the log has shown of a contender's sessions after an event."""
    if event.touched is not None:
        touched = ticket_value(sight.ticket(event.touched))
        return view._replace(touched=view.touched | {touched})
    if event.node != sight.node:
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
            contact is lost only where that is what it hears of next, no server is behind, and
            nothing more happens once that was told, nor is anything told before a command.
        STALE: What it is told next, and that contact is lost only where it hears of that next.
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
        self.events = abstraction.events
        # What is reported tells others apart, and so does what is held against it.
        self.sights = {
            process: abstraction.sight(node, apart=foresight[process] is Foresight.NONE)
            for process, node in abstraction.processes.items()
        }
        self.steps: dict[int, tuple[Step, int]] = {}
        self.odd: dict[int, LocalViolation] = {}
        self.expects = self.look_ahead(self.read_steps())
        self.shown_after, self.shown_in_all = self.look_at_events()
        self.contenders: dict[str, _Contender] = {}
        self.by_node: dict[int, _Contender] = {}
        self.unproved: list[tuple[_Contender, int]] = []
        self.taken: Counter[tuple[str, str]] = Counter()
        self.caused: Counter[str] = Counter()
        self.sizes: list[int] = []
        self.windows: list[int] = []

    @property
    def statistics(self) -> Statistics:
        """How much there was to do so far."""
        return Statistics(
            records=len(self.recording.records),
            steps=len(self.sizes),
            events=len(self.events),
            sizes=Counter(self.sizes),
            windows=Counter(self.windows),
            assumed=sum([event.assumed for event in self.events]),
        )

    @property
    def edges(self) -> Counter[Edge]:
        """The steps that were taken for certain, with how often."""
        return Counter(
            {
                **{_edge(self.label(action), mode): n for (action, mode), n in self.taken.items()},
                **{_edge(f"S!{cause}", ""): n for cause, n in self.caused.items()},
            }
        )

    # --- What comes ---

    def read_steps(self) -> dict[str, list[int]]:
        """Work out the steps, and give the records of each process at which it begins or steps."""
        places: dict[str, list[int]] = {process: [] for process in self.abstraction.processes}
        for number, record in enumerate(self.recording.records):
            if not isinstance(record, _STEPS) or record.process not in places:
                continue
            places[record.process].append(number)
            if isinstance(record, Input):
                try:
                    step = self.abstraction.step(record, self.sights[record.process])
                    told = self.candidates.told(step)
                except LocalViolation as error:
                    self.odd[number] = error
                else:
                    self.steps[number] = (step, told)
        return places

    def look_ahead(self, places: Mapping[str, Sequence[int]]) -> dict[int, int]:
        """The expectation of what a contender is told after each step, and after its start."""
        candidates, abstraction = self.candidates, self.abstraction
        refused: dict[int, list[int]] = {}
        for event in self.events:
            if event.refused:
                refused.setdefault(event.node, []).append(event.record)
        found: dict[int, int] = {}
        for process, foresight in self.foresight.items():
            if foresight is Foresight.NONE:
                continue
            quiet, loud = _TROUBLE[foresight]
            lucky = foresight is Foresight.LUCKY
            refusals = refused.get(abstraction.processes[process], ())
            numbers = places[process]
            told: int | None = None
            trouble, until = quiet, len(self.recording.records)
            for place in range(len(numbers) - 1, -1, -1):
                number = numbers[place]
                # Whoever is told of a refusal was not told of it before that is in the log.
                since = numbers[place - 1] if place else number
                hears = bool(refusals) and any(since < refusal <= until for refusal in refusals)
                settles = lucky and told is not None and not hears
                found[number] = candidates.expectation(told, trouble, settles=settles)
                until = number
                if number not in self.steps:
                    told, trouble = None, quiet  # It is never taken, nor is anything after it.
                    continue
                step, taken = self.steps[number]
                if candidates.told_of(taken)[0] is not None:
                    told, trouble = taken, loud if step.told in _OF_CONTACT else quiet
                elif lucky:
                    told, trouble = None, quiet  # Until a command, there is nothing to be told.
        return found

    def look_at_events(self) -> tuple[dict[int, frozenset[Shown]], dict[int, frozenset[Shown]]]:
        """What the log shows of a contender's requests.

        Returns:
            By the clock after each event: what it shows later of those of the same contender; and
            by the number of each contender: what it shows of them in all.
        """
        after: dict[int, frozenset[Shown]] = {}
        shown: dict[int, frozenset[Shown]] = {}
        for clock in range(len(self.events), 0, -1):
            event = self.events[clock - 1]
            after[clock] = shown.get(event.node, frozenset())
            names = MULTIS if event.refused else {event.serves} - {""}
            if names:
                shown[event.node] = after[clock] | {(event.session, name) for name in names}
        return after, shown

    # --- Records ---

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
                    if self.unproved:
                        self.require_events(number)
                case Transaction():
                    while next_event < len(self.events) and (
                        self.events[next_event].record <= number
                    ):
                        next_event += 1
                        self.event(number, next_event)
                case Start():
                    self.begin(number, record)
                case End():
                    self.end(number)
                case Outcome():
                    self.outcome(number, record)
                case Stop():
                    self.contender(number, record).stopped = True

    def begin(self, number: int, record: Start) -> None:
        """A contender begins."""
        candidates, process = self.candidates, record.process
        sight, clock = self.sights[process], self.abstraction.clocks[number]
        tree = self.events[clock - 1].tree if clock else BARE
        context = candidates.context(tree, self.abstraction.wipes[clock], sight)
        shown = None
        if self.foresight[process] is not Foresight.NONE:
            shown = self.shown_in_all.get(sight.node, frozenset())
        start = _Moment(clock, context, candidates.view(View()), shown)
        contender = _Contender(process, sight, self.expects.get(number, 0), start)
        start.members = self.close(contender, start, candidates.start)
        self.contenders[process] = self.by_node[sight.node] = contender
        if record.seq != 0:
            self.refuse(number, Reason.SEQUENCE)

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
            last = contender.moments[-1]
            last.members = self.candidates.served(last.members)

    # --- The environment ---

    def extend(self, contender: _Contender, clock: int) -> None:
        """Bring a contender's candidates up to a clock."""
        moments = contender.moments
        while moments[-1].clock < clock:
            moment = self.moment_after(moments[-1], contender.sight)
            moment.members = self.advance(contender, moments[-1], moment)
            moments.append(moment)

    def moment_after(self, before: _Moment, sight: Sight) -> _Moment:
        """What begins with the next event."""
        candidates, node, clock = self.candidates, sight.node, before.clock + 1
        event = self.events[clock - 1]
        context, view, shown, number = before.context, before.view, before.shown, -1
        if event.tree is not context.tree or event.wiped:
            context = candidates.context(event.tree, self.abstraction.wipes[clock], sight)
        if event.node == node:
            if shown is not None:
                shown = self.shown_after[clock]
            if not event.opened and not event.odd:
                number = candidates.event(event, sight, context)
        if event.node == node or event.touched is not None:
            view = candidates.view(event_view(candidates.views[view], event, sight))
        return _Moment(clock, context, view, shown, event=number, wiped=event.wiped)

    def advance(self, contender: _Contender, before: _Moment, moment: _Moment) -> int:
        """The candidates after the event that begins a moment, and what follows without another."""
        candidates, members = self.candidates, before.members
        if moment.wiped:
            members = candidates.wipe(members)
        elif moment.event >= 0:
            expects = contender.expects
            members = candidates.happen(members, before.context, moment.event, expects)
        return self.close(contender, moment, members)

    def close(self, contender: _Contender, moment: _Moment, members: int) -> int:
        """Some candidates, and what follows without an event."""
        candidates = self.candidates
        waits = moment.clock < contender.asked
        view = candidates.looking(moment.view, contender.expects, waits=waits)
        closed = candidates.close(members, moment.context, view)
        if moment.shown is None or not candidates.late[closed]:
            return closed
        return candidates.without_lost(closed, moment.shown)

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
                self.caused[event.cause] += 1
        elif self.recording.header.log_read == PROMPT:
            # Else, the step that asked for it may be recorded later, and only the end of the
            # recording tells.
            self.unproved.append((contender, clock))

    def require_events(self, number: int) -> None:
        """Whoever asked for what was read so far has been recorded by now."""
        for contender, clock in self.unproved:
            self.require(contender, clock, number)
        self.unproved.clear()

    def require(self, contender: _Contender, clock: int, number: int) -> None:
        """A contender must have candidates at a clock, by the time of a record."""
        self.extend(contender, clock)
        moments, nobody = contender.moments, self.candidates.empty
        first = moments[0].clock
        # What it was told since may have shown already that the event had happened.
        if clock >= first and moments[clock - first].members == nobody:
            place = next(n for n, moment in enumerate(moments) if moment.members == nobody)
            event = self.events[first + place - 1]
            self.look_closer(contender, event.record)
            explanation = explain_event(self.candidates, moments[place - 1].members, event)
            raise _Bad(event.record, Reason.UNASKED, explanation, number)

    def end(self, number: int) -> None:
        """Nothing comes any more: whatever was read from the log has happened."""
        last = {event.node: clock for clock, event in enumerate(self.events, 1)}
        for contender in self.contenders.values():
            # What comes after the last event of its own asks nothing of it.
            self.require(contender, last.get(contender.sight.node, 0), number)

    # --- Steps ---

    def input(self, number: int, record: Input) -> None:
        """A step of a contender: keep the candidates that can take it."""
        contender, candidates = self.contender(number, record), self.candidates
        self.extend(contender, self.abstraction.latest[number])
        if number in self.odd:
            place = f"{self.recording.name}:{self.recording.line(number)}"
            raise LocalViolation(f"{place}: {self.odd[number]}")
        step, told = self.steps[number]
        # A step may have been taken later than the specification takes it: what a contender is
        # told waits in a queue, and so does whatever comes after it.
        moments = contender.moments
        found = [candidates.step(moment.members, told) for moment in moments]
        if not any(found):
            self.explain(number, record, step, told, contender)
        while found[0] == candidates.empty:
            del found[0], moments[0]
        if step.requests:
            contender.asked = self.abstraction.earliest[number]
        contender.expects = self.expects.get(number, 0)
        self.fill(contender, found)
        if step.told == "Connected":
            self.forget_sessions(contender, step.content[0])
        self.taken[step.action, step.before] += 1
        self.sizes.append(len(candidates.sets[moments[-1].members]))
        self.windows.append(len(moments))

    def fill(self, contender: _Contender, found: list[int]) -> None:
        """Take what a step left at each moment, and what comes from the moment before."""
        before: _Moment | None = None
        for moment, members in zip(contender.moments, found, strict=True):
            closed = self.close(contender, moment, members)
            if before is not None:
                closed = self.candidates.merge(closed, self.advance(contender, before, moment))
            moment.members = closed
            before = moment

    def forget_sessions(self, contender: _Contender, session: int) -> None:
        """Sessions before this one are over for it, so that they need not be told apart."""
        for moment in contender.moments:
            view = self.candidates.views[moment.view]
            ended = frozenset(number for number in view.ended if number >= session)
            if ended != view.ended:
                moment.view = self.candidates.view(view._replace(ended=ended))

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
        self, number: int, record: Input, step: Step, told: int, contender: _Contender
    ) -> None:
        """Say why a step fits no candidate.

        Raises:
            _Bad: Always.
        """
        self.look_closer(contender, number)
        # The very step may have asked for what was read before it.
        fine = {"", *(request[0] for request in step.requests)}
        sets = [moment.members for moment in contender.moments]
        first = contender.moments[0].clock
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
