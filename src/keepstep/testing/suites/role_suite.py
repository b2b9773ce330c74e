"""The suite of a role: it drives machines against ZooKeeper, and shortens what fails.

A user derives a machine, writes a mapping, and says what must hold:

    class LockSuite(RoleSuite):
        machine, facts, mapping = Tenant, TenantFacts, LeaseMapping
        commands = (WorkDue, ReturnDue)

        @promise("who holds the lease owns it")
        def owns(self):
            for seat in self.running:
                ...
                return f"{seat.name} holds it, and session 0x{owner:x} owns it"

    run_suite(LockSuite, RealGround(server)).require()

Promises are about what the servers say; what a machine believes is only compared with it.

If the manifest of the class's project names a model for runs of the role (`runs = "..."` in its
[[role]]), each run is recorded and has to be a behaviour of the specification, too.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, ClassVar, NamedTuple, TypeVar

from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, rule

from keepstep.core.ids import NodeId
from keepstep.core.machine import Input, Refused, RoleMachine
from keepstep.errors import InternalError, LocalViolation, ToolMissing
from keepstep.shell.mapping import CallRefused, RoleMapping
from keepstep.testing.network.wire import ConnectionEnded, Opcode, Refusal, SessionGone
from keepstep.testing.servers.admin import Sessions
from keepstep.testing.servers.observer import Change, Transaction
from keepstep.testing.step import Step
from keepstep.testing.suites.declaration import actions_of, require_sound
from keepstep.testing.suites.driven_shell import LANES, Client, Delivered, DrivenShell
from keepstep.testing.suites.ground import Ground
from keepstep.testing.suites.run_recorder import RunRecorder, recorded_role
from keepstep.testing.suites.story import Story
from keepstep.validation.protocol_validation import (
    load_protocol_validator,
)
from keepstep.validation.recording import free_file, write_recordings
from keepstep.validation.validator import Validation, Verdict

__all__ = [
    "BEHAVIOUR",
    "Broken",
    "Edge",
    "RoleStateMachine",
    "RoleSuite",
    "Seat",
    "SuiteFailed",
    "SuiteFailure",
    "SuiteResult",
    "act",
    "in_the_end",
    "promise",
    "replay_suite",
    "run_suite",
]

F = TypeVar("F", bound=Callable[..., Any])

BEHAVIOUR = "the run is a behaviour of the specification"
"""The promise that every recorded run makes."""

_LONGEST_RUN = 300
_LONGEST_REACH = 40


class Broken(AssertionError):
    """A promise was seen broken.

    Attributes:
        promise: Its name.
        seen: What was seen.
    """

    def __init__(self, promise_name: str, seen: str) -> None:
        super().__init__(f"{promise_name}: {seen}")
        self.promise = promise_name
        self.seen = seen


class SuiteFailed(AssertionError):
    """A suite has found something, or has not seen enough; the message is the whole story."""


class Edge(NamedTuple):
    """A transition that a machine took."""

    before: str
    action: str
    after: str


def _named(decorator: str, name: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise LocalViolation(
            f'say in words what is promised: @{decorator}("each term has one holder")'
        )
    return name


def promise(name: str) -> Callable[[F], F]:
    """Mark a method that says how a promise is broken, after each step; None if it is kept.

    Raises:
        LocalViolation: It has no name.
    """
    name = _named("promise", name)

    def mark(method: F) -> F:
        method.__dict__["keepstep_promise"] = name
        return method

    return mark


def in_the_end(name: str) -> Callable[[F], F]:
    """Mark a method that says how a promise is broken once all faults are over.

    Raises:
        LocalViolation: It has no name.
    """
    name = _named("in_the_end", name)

    def mark(method: F) -> F:
        method.__dict__["keepstep_end"] = name
        return method

    return mark


def act(weight: int = 3) -> Callable[[F], F]:
    """Mark a method as a step of its own, with no argument but the suite.

    Args:
        weight: How often it is chosen; `run` has 10.

    Raises:
        LocalViolation: The weight is no number of 1 or more.
    """
    if type(weight) is not int or weight < 1:
        raise LocalViolation(f"say how often it is to be chosen, as @act(3), not @act({weight!r})")

    def mark(method: F) -> F:
        method.__dict__["keepstep_act"] = weight
        return method

    return mark


@dataclass(eq=False, slots=True)
class Seat:
    """A place for one shell.

    Attributes:
        number: Its number, from 0.
        name: Who sits there.
        shell: The shell; None while nobody does.
        paused: Whether it is delivered nothing.
        process: What the recording of the run calls who sits there.
    """

    number: int
    name: str = ""
    shell: DrivenShell | None = None
    paused: bool = False
    process: str = ""

    @property
    def machine(self) -> DrivenShell:
        """The shell that sits there.

        Raises:
            LocalViolation: Nobody does.
        """
        if self.shell is None:
            raise LocalViolation(f"nobody sits at {self.number}")
        return self.shell


class RoleSuite:
    """One run: machines on a ground, a driver's steps, and the promises.

    Args:
        ground: The servers.
        root: The path below which everything of this run is.

    Attributes:
        machine: The derived class.
        facts: The class of its facts.
        mapping: Serves its requests.
        settings: Of the machine, if it has any.
        commands: Inputs without fields that its user may give at any time; refusals are fine.
        timers: Inputs without fields that a clock may give at any time; none may be refused.
        faults: Which faults there are: of `expire`, `cut`, `lost-request`, `lost-reply`,
            `pause` and `restart` (of the process, under its old name), and names of fault
            packages that are done to servers, such as `restart-server` or `kill-leader`.
        most: How many machines there are at most.
        may_miss: Actions that need not be seen.
        validated: Whether each run is compared with the specification, where the project's
            manifest names a model for runs of the role.
        abstracted: For fields of inputs, requests and facts whose numbers the specification
            only abstracts, such as sequence numbers: what they count. Any number of the
            specification may stand for one of them, always the same one. Numbers of more than
            53 bits, such as session ids, are taken so in any case.
        recorder: Records the run; None if it is not to be compared.
        validation: What was found when it was compared; None before.
        story: What happened so far.
        taken: The transitions that were taken.
        history: All transactions below `root` that were applied, in order.
        not_run: Faults that could not be done here, each with the reason.
        others: Sessions of nobody under test that did something below `root`.
    """

    machine: ClassVar[type[RoleMachine[Any]]]
    facts: ClassVar[type[Any]]
    mapping: ClassVar[type[RoleMapping]]
    shell: ClassVar[type[DrivenShell]] = DrivenShell
    settings: ClassVar[object] = None
    commands: ClassVar[Sequence[type[Input]]] = ()
    timers: ClassVar[Sequence[type[Input]]] = ()
    faults: ClassVar[Sequence[str]] = (
        "expire",
        "cut",
        "lost-request",
        "lost-reply",
        "pause",
        "restart",
    )
    most: ClassVar[int] = 3
    may_miss: ClassVar[frozenset[str]] = frozenset()
    validated: ClassVar[bool] = True
    abstracted: ClassVar[Mapping[str, str]] = {}

    def __init__(self, ground: Ground, root: str) -> None:
        self.ground = ground
        self.root = root
        self.story = Story()
        self.taken: Counter[Edge] = Counter()
        self.history: list[Transaction] = []
        self.seats = [Seat(number) for number in range(self.most)]
        self._lives = itertools.count(1)
        self.not_run: dict[str, str] = {}
        self.others: set[int] = set()
        self._mine: set[int] = set()
        self._first = ""
        self.recorder = self._new_recorder()
        self.validation: Validation | None = None
        self._acts = _marked(type(self), "keepstep_act")
        self._promises = list(_marked(type(self), "keepstep_promise").values())
        self._ends = list(_marked(type(self), "keepstep_end").values())
        ground.transactions()
        with self._outside() as client:
            client.create(root)
            self.prepare(client)
        self._read()

    # --- For those who write a suite ---

    def prepare(self, client: Client) -> None:
        """Create what has to be there before the first machine."""

    def favourite(self) -> Seat | None:
        """The seat that faults and commands should hit most often, for example the holder's."""
        return None

    @property
    def running(self) -> list[Seat]:
        """The seats at which somebody sits."""
        return [seat for seat in self.seats if seat.shell is not None]

    def sessions(self) -> Sessions:
        """The sessions that live, and their ephemerals, as the server says."""
        return self.ground.sessions()

    def changes(self, path: str, kind: Opcode | None = None) -> list[tuple[Transaction, Change]]:
        """What was done to a znode, in order, each with its transaction.

        Args:
            path: The znode.
            kind: Only what is of this kind.
        """
        return [
            (transaction, change)
            for transaction in self.history
            for change in transaction.changes
            if change.path == path and kind in {None, change.kind}
        ]

    @contextmanager
    def _outside(self) -> Iterator[Client]:
        client = self.ground.outsider()
        self.others.add(client.session)
        try:
            yield client
        finally:
            with suppress(ConnectionEnded, Refusal):
                client.end()

    def outside(self, work: Callable[[Client], object]) -> object:
        """Do something as a client of nobody under test, for example what an operator would.

        Returns:
            What `work` returns; None if the server refused it.
        """
        with self._outside() as client:
            try:
                return work(client)
            except Refusal:
                return None

    # --- Steps ---

    @classmethod
    def choices(cls) -> list[tuple[tuple[str, ...], int]]:
        """Each kind of step with the names of its arguments, and its weight; simple ones first."""
        found: list[tuple[tuple[str, ...], int]] = [
            (("run",), 10),
            (("reach", "who", "state"), 8),
            (("deliver", "who", "lane"), 10),
        ]
        if cls.commands:
            found.append((("command", "who", "command"), 10))
        if cls.timers:
            found.append((("timer", "who", "timer"), 3))
        found += [((each, "who"), 4) for each in cls.faults if each in _OWN_FAULTS]
        packages = [each for each in cls.faults if each not in _OWN_FAULTS]
        if packages:
            found += [((each,), 1) for each in packages]
            found.append((("heal",), 1 + len(packages)))
        found += [
            ((name,), method.keepstep_act) for name, method in _marked(cls, "keepstep_act").items()
        ]
        found += [(("start",), 3), (("stop", "who"), 2), (("resume", "who"), 2)]
        return found

    @classmethod
    def arguments(cls) -> dict[str, Sequence[int | str]]:
        """What each argument ranges over; simple values first."""
        return {
            "who": ["favourite", "favourite", *range(cls.most)],
            "state": [str(state.id) for state in cls.machine.states],
            "lane": ["any", *LANES],
            "command": [each.__name__ for each in cls.commands],
            "timer": [each.__name__ for each in cls.timers],
        }

    def perform(self, step: Step) -> None:
        """Do a step, then check every promise.

        Raises:
            Broken: One is broken.
            LocalViolation: There is no such step.
        """
        self.story.begin(step)
        self._act(step)
        self.check()

    def _act(self, step: Step) -> None:
        if step.rule in self._acts:
            self._acts[step.rule](self)
            return
        plain: dict[str, Callable[..., None]] = {
            "begin": self._begin,
            "run": self._run,
            "start": self._start,
            "heal": self.ground.heal,
        }
        seated: dict[str, Callable[..., None]] = {
            "reach": self._reach,
            "deliver": self._deliver_step,
            "command": self._command,
            "timer": self._timer,
            "stop": self._stop,
            "resume": self._resume,
            **{name: getattr(self, f"_{name.replace('-', '_')}") for name in _SEATED_FAULTS},
        }
        arguments: dict[str, Any] = dict(step.arguments)
        if step.rule in plain:
            plain[step.rule](**arguments)
        elif step.rule in self.faults and step.rule not in _OWN_FAULTS:
            self._inject(step.rule)
        elif step.rule in {"lost-request", "lost-reply"}:
            self._lose(arguments["who"], step.rule)
        elif step.rule in seated:
            seat = self._seat(arguments.pop("who"))
            if seat is not None:
                seated[step.rule](seat, **arguments)
        else:
            raise LocalViolation(f"{type(self).__name__} has no step {step.rule!r}")

    def _seat(self, who: int | str) -> Seat | None:
        """The seat meant; a number counts those at which somebody sits."""
        running = self.running
        if who == "favourite" or not running:
            return self.favourite()
        return running[int(who) % len(running)]

    def _begin(self, count: int, first: str = "") -> None:
        self._first = first
        for _ in range(count):
            self._start()
            self._run()

    def _start(self) -> None:
        empty = next((seat for seat in self.seats if seat.shell is None), None)
        if empty is not None:
            self._sit_down(empty, f"{self.machine.__name__.lower()}-{next(self._lives)}")

    def _sit_down(self, seat: Seat, name: str) -> None:
        seat.name, seat.paused = name, False
        if self.recorder is not None:
            seat.process = self.recorder.start(name)
        seat.shell = self.shell(
            self.machine,
            self.facts(),
            self.mapping(NodeId(name), self.root),
            self.ground.dialler(seat.number),
            settings=self.settings,
            observe=lambda delivered: self._note(seat, delivered),
        )

    def _note(self, seat: Seat, delivered: Delivered) -> None:
        self.taken[Edge(delivered.before, delivered.action, delivered.after)] += 1
        self.story.deliver(seat.name, delivered)
        if self.recorder is not None:
            self.recorder.deliver(seat.process, delivered, seat.machine.facts)

    def _deliver(self, seat: Seat, lane: str = "") -> bool:
        shell = seat.machine
        facts = shell.facts
        with self._kept(seat):
            delivered = shell.deliver(lane)
        if shell.session:
            self._mine.add(shell.session)
        if shell.facts != facts:
            # What it believes now may be forgotten before the step ends.
            self.check()
        return delivered is not None

    @contextmanager
    def _kept(self, seat: Seat) -> Iterator[None]:
        """Whatever the machine or its mapping raises is a broken promise."""
        try:
            yield
        except Refused as refused:
            raise Broken("a machine takes whatever it is told", f"{seat.name}: {refused}") from None
        except CallRefused as refused:
            seen = f"{seat.name}: {seat.machine.attempt}: {refused}"
            raise Broken("a mapping serves whatever is asked", seen) from refused
        except InternalError as error:
            raise Broken("a mapping serves whatever is asked", f"{seat.name}: {error}") from error

    def _run(self) -> None:
        """Deliver everything to everybody until nothing is due."""
        caught_up = False
        for _ in range(_LONGEST_RUN):
            ready = [seat for seat in self.running if not seat.paused]
            moved = [self._deliver(seat) for seat in ready]
            if any(moved):
                caught_up = False
                continue
            if caught_up:
                return
            caught_up = True
            for seat in ready:
                seat.machine.catch_up()
        raise Broken("the machines come to rest", f"they were busy for {_LONGEST_RUN} rounds")

    def _reach(self, seat: Seat, state: str) -> None:
        """Deliver to one until it is in a state, or nothing is due."""
        for _ in range(_LONGEST_REACH):
            if seat.paused or seat.machine.state == state or not self._deliver(seat):
                return

    def _deliver_step(self, seat: Seat, lane: str) -> None:
        if not seat.paused:
            self._deliver(seat, "" if lane == "any" else lane)

    def _command(self, seat: Seat, command: str) -> None:
        kind = next(each for each in self.commands if each.__name__ == command)
        if seat.paused:
            return
        with self._kept(seat):
            try:
                seat.machine.tell(kind())
            except Refused as refused:
                self.story.note(f"{seat.name}: {refused}")

    def _timer(self, seat: Seat, timer: str) -> None:
        kind = next(each for each in self.timers if each.__name__ == timer)
        if not seat.paused:
            with self._kept(seat):
                seat.machine.tell(kind())

    def _stop(self, seat: Seat) -> None:
        seat.machine.end()
        self._leave(seat)

    def _leave(self, seat: Seat) -> None:
        seat.shell = None
        if self.recorder is not None:
            self.recorder.stop(seat.process)

    # --- Faults ---

    def _session_of(self, seat: Seat) -> int:
        session = seat.machine.session
        return session if session in self.sessions().alive else 0

    def _expire(self, seat: Seat) -> None:
        session = self._session_of(seat)
        if session:
            with suppress(LocalViolation):
                self.story.strike("expire", seat.name, self.ground.expire(session))

    def _cut(self, seat: Seat) -> None:
        if seat.machine.up:
            session = seat.machine.session
            seat.machine.cut()
            self.story.strike("cut", seat.name, self._gone(session))

    def _gone(self, session: int) -> str:
        """Wait until the server has noticed that a connection was closed."""
        deadline = time.monotonic() + 2
        while session in self.ground.connected():
            if time.monotonic() > deadline:
                return f"the server still has a connection of session 0x{session:x}"
            time.sleep(0.001)
        return f"the server has no connection of session 0x{session:x}"

    def _pause(self, seat: Seat) -> None:
        if not seat.paused:
            seat.paused = True
            self.story.strike("pause", seat.name, "it is delivered nothing until it is resumed")

    def _resume(self, seat: Seat) -> None:
        seat.paused = False

    def _restart(self, seat: Seat) -> None:
        """The process dies and begins anew under its name; its session is left to the server."""
        session, name = seat.machine.session, seat.name
        seat.machine.abandon()
        if session:
            self.story.strike("restart", name, self._left(session))
        self._leave(seat)
        self._sit_down(seat, name)

    def _left(self, session: int) -> str:
        lives = session in self.sessions().alive
        owned = ", ".join(self.sessions().ephemerals.get(session, ()))
        return (
            f"its session 0x{session:x} {'lives on' if lives else 'has ended'}"
            f"{f', with {owned}' if owned else ''}"
        )

    def _inject(self, name: str) -> None:
        try:
            victim, proof = self.ground.inject(name, len(self.story.steps))
        except LocalViolation as error:
            self.not_run[name] = str(error)
            self.story.note(f"NOT RUN: {error}")
            return
        self.story.strike(name, victim, proof)

    def _lose(self, who: int | str, kind: str) -> None:
        """Lose the next write of a machine; at an empty seat one is started for it."""
        seat = self._seat(who) if who == "favourite" else self.seats[int(who)]
        if seat is not None and seat.shell is None:
            self._sit_down(seat, f"{self.machine.__name__.lower()}-{next(self._lives)}")
        if seat is not None:
            seat.machine.loses = kind.removeprefix("lost-")

    def _note_lost(self) -> None:
        for seat in self.running:
            lost = seat.machine.lost
            while lost:
                how, request = lost.pop(0)
                mine = [t for t in self.history if t.session == seat.machine.session]
                last = f"its last transaction is 0x{mine[-1].zxid:x}" if mine else "it has none"
                self.story.strike(f"lost-{how}", seat.name, f"{request}; in the log {last}")

    # --- Promises ---

    def _read(self) -> None:
        """Read what was decided below the root."""
        for transaction in self.ground.transactions():
            below = any(
                change.path.startswith(self.root)
                or any(path.startswith(self.root) for path in change.deleted)
                for change in transaction.changes
            )
            if below and transaction.applied:
                self.history.append(transaction)

    def check(self) -> None:
        """Check every promise that holds at all times.

        Raises:
            Broken: One does not.
        """
        self._read()
        self._note_lost()
        for method in self._promises:
            seen = self._ask(method)
            if seen:
                raise Broken(method.keepstep_promise, seen)

    def _ask(self, method: Callable[[RoleSuite], object]) -> str:
        """What a promise has seen; "" if it is kept.

        Raises:
            LocalViolation: It returned something else than a text or None.
        """
        seen = method(self)
        if seen is not None and not isinstance(seen, str):
            raise LocalViolation(
                f"{type(self).__name__}.{getattr(method, '__name__', '')} returned {seen!r};"
                " a promise returns what is wrong as a text, or None"
            )
        return seen or ""

    def finish(self) -> None:
        """End all faults, let everything settle, and check what must hold in the end.

        Raises:
            Broken: Something does not.
        """
        self.story.begin(Step("all faults end"))
        self.ground.heal()
        for seat in self.seats:
            seat.paused = False
            if seat.shell is not None:
                seat.shell.loses = ""
        if not self.running:
            self._start()
        # Nobody is told anything new yet: who was deposed unheard acts once more, and who
        # began anew still finds what it left.
        self._settle()
        # What is tried first may take the next one's chance, so a run says what that is.
        for command in sorted(self.commands, key=lambda each: each.__name__ != self._first):
            for seat in self.running:
                self._command(seat, command.__name__)
            self._settle()
        self._reap()
        self._settle()
        for method in self._ends:
            seen = self._ask(method)
            if seen:
                raise Broken(method.keepstep_end, seen)
        self._compare()

    def _new_recorder(self) -> RunRecorder | None:
        role = recorded_role(self.machine) if self.validated else None
        if role is None:
            return None
        return RunRecorder(role, type(self).__name__, abstracted=self.abstracted)

    def _compare(self) -> None:
        """Compare the run with the specification.

        Raises:
            Broken: It is no behaviour of it.
        """
        role = recorded_role(self.machine)
        if self.recorder is None or role is None:
            return
        self.recorder.end()
        try:
            validator = load_protocol_validator(role.project, role.name)
        except ToolMissing as error:
            self.not_run["validation"] = f"runs are not compared with the specification: {error}"
            return
        if validator is not None:
            self.validation = validator.validate(self.recorder.recording)
            if self.validation.verdict is Verdict.DIVERGES:
                raise Broken(BEHAVIOUR, str(self.validation).replace("\n", "\n  "))

    def _settle(self) -> None:
        self._run()
        self.check()

    def _reap(self) -> None:
        """End the sessions that nobody uses, as the server would after their timeout."""
        present = {seat.machine.session for seat in self.running}
        for session in (self._mine - present) & self.sessions().alive:
            with suppress(LocalViolation, SessionGone, ConnectionEnded):
                self.ground.expire(session)

    def close(self) -> None:
        """End every machine and its session, and every fault."""
        self.ground.heal()
        for seat in self.running:
            seat.machine.abandon()
            self._leave(seat)
        if self.recorder is not None:
            self.recorder.end()
        with suppress(ConnectionEnded):
            self._reap()


_SEATED_FAULTS = ("expire", "cut", "pause", "restart")
_OWN_FAULTS = frozenset({*_SEATED_FAULTS, "lost-request", "lost-reply"})


def _marked(suite: type[RoleSuite], mark: str) -> dict[str, Any]:
    """The methods of a suite that carry a mark, in the order of their definition."""
    found: dict[str, Any] = {}
    for each in reversed(suite.__mro__):
        found |= {
            name: method
            for name, method in vars(each).items()
            if mark in getattr(method, "__dict__", {})
        }
    return found


# --- Running ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SuiteFailure:
    """The shortest run that breaks a promise.

    Attributes:
        promise: Which.
        seen: What was seen.
        steps: The run.
        story: What happened, in words.
        found_after: Number of examples until the first run that broke one.
    """

    promise: str
    seen: str
    steps: tuple[Step, ...]
    story: str
    found_after: int


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What a suite has found.

    Attributes:
        failure: The shortest run that breaks a promise; None if none does.
        examples: Number of runs.
        steps: Number of steps in all of them.
        taken: How often each transition was taken.
        faults: How often each fault struck.
        not_run: Faults that could not be done here, each with the reason.
        missed: Actions of the machine that were never taken and should have been.
        seed: What repeats all choices.
        seconds: How long it took.
        validations: How often each verdict was found when runs were compared with the
            specification.
    """

    failure: SuiteFailure | None
    examples: int
    steps: int
    taken: Mapping[Edge, int]
    faults: Mapping[str, int]
    not_run: Mapping[str, str]
    missed: tuple[str, ...]
    seed: int
    seconds: float
    validations: Mapping[str, int] = field(default_factory=dict)

    def require(self) -> SuiteResult:
        """Return the result if the suite passed.

        Raises:
            SuiteFailed: A promise was broken, or too little was seen to say so.
        """
        __tracebackhide__ = True  # a test runner's report shall show the story, not this place
        if self.failure is not None:
            raise SuiteFailed(
                f"{self.failure.story}\n\n{len(self.failure.steps)} steps; found in run"
                f" {self.failure.found_after} of seed {self.seed}"
            )
        if self.missed:
            raise SuiteFailed(
                f"inconclusive: never taken in {self.examples} runs: {', '.join(self.missed)}\n"
                "raise the number of runs, or list what cannot be taken in may_miss"
            )
        if self.validations and Verdict.VALID not in self.validations:
            counted = ", ".join(f"{count} {name}" for name, count in self.validations.items())
            raise SuiteFailed(f"inconclusive: no run could be validated: {counted}")
        return self


@dataclass(slots=True)
class _Tally:
    """What the runs of a suite add up to."""

    examples: int = 0
    steps: int = 0
    taken: Counter[Edge] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    not_run: dict[str, str] = field(default_factory=dict)
    validations: Counter[str] = field(default_factory=Counter)
    folder: Path | None = None

    def close(
        self, world: RoleSuite, broken: Broken | None, steps: Sequence[Step]
    ) -> SuiteFailure | None:
        """A run is over; returns what it has found."""
        self.examples += 1
        self.steps += len(steps)
        self.taken += world.taken
        self.faults.update(fault.kind for fault in world.story.faults)
        self.not_run |= world.not_run
        if world.validation is not None:
            self.validations[str(world.validation.verdict)] += 1
        if self.folder is not None and world.recorder is not None:
            free = free_file(self.folder, type(world).__name__, self.examples)
            write_recordings(free, [world.recorder.recording])
        if broken is None:
            return None
        story = world.story.tell(broken.promise, broken.seen)
        return SuiteFailure(broken.promise, broken.seen, tuple(steps), story, self.examples)


_names = itertools.count(1)


def _new_world(suite: type[RoleSuite], ground: Ground) -> RoleSuite:
    """A run below a path that no other run has."""
    ground.begin()
    return suite(ground, f"/{suite.__name__}-{time.time_ns():x}-{next(_names)}")


def replay_suite(
    suite: type[RoleSuite], ground: Ground, steps: Sequence[Step]
) -> SuiteFailure | None:
    """Do these steps in a new run, and what follows at the end of each.

    Raises:
        LocalViolation: As `run_suite` does, or there is no such step.
    """
    require_sound(suite, _OWN_FAULTS)
    return _run_once(suite, ground, steps, _Tally())


def run_suite(
    suite: type[RoleSuite],
    ground: Ground,
    *,
    examples: int = 60,
    steps: int = 12,
    seed_number: int = 0,
    record: Path | None = None,
) -> SuiteResult:
    """Make so many runs of weighted random steps, until one breaks a promise; shorten that one.

    Args:
        suite: What is run.
        ground: Where.
        examples: Number of runs.
        steps: Number of steps of a run at most.
        seed_number: Repeats all choices.
        record: A folder for the recordings of all runs; it is made if it is not there.

    Raises:
        LocalViolation: The suite cannot run as it is declared, or its mapping or a promise
            answered what it may not.
        KeepstepError: A tool failed, so that nothing can be said.
    """
    require_sound(suite, _OWN_FAULTS)
    began = time.monotonic()
    if record is not None:
        record.mkdir(parents=True, exist_ok=True)
    tally = _Tally(folder=record)
    failure = None
    for number in range(examples):
        chance = Random(f"{seed_number} {number}")  # noqa: S311 - nothing is secret here
        failure = _run_once(suite, ground, _choose(suite, chance, steps), tally)
        if failure is not None:
            failure = _shorten(suite, ground, failure)
            break
    wanted = actions_of(suite.machine)
    seen = {edge.action for edge in tally.taken}
    return SuiteResult(
        failure,
        tally.examples,
        tally.steps,
        tally.taken,
        tally.faults,
        tally.not_run,
        tuple(sorted(wanted - seen - suite.may_miss)),
        seed_number,
        time.monotonic() - began,
        tally.validations,
    )


def _choose(suite: type[RoleSuite], chance: Random, most: int) -> list[Step]:
    """The steps of one run."""
    weighted = [shape for shape, weight in suite.choices() for _ in range(weight)]
    ranges = suite.arguments()
    first = chance.choice(ranges["command"] or [""])
    begin = Step("begin", {"count": chance.randint(0, suite.most), "first": first})
    count = chance.randint(1, most)
    return [begin, *(some_step(weighted, ranges, chance) for _ in range(count))]


def some_step(
    weighted: Sequence[tuple[str, ...]], ranges: Mapping[str, Sequence[int | str]], chance: Random
) -> Step:
    """A step, each with its weight."""
    name, *arguments = chance.choice(weighted)
    return Step(name, {each: chance.choice(ranges[each]) for each in arguments})


def _run_once(
    suite: type[RoleSuite], ground: Ground, steps: Sequence[Step], tally: _Tally
) -> SuiteFailure | None:
    """Do these steps in a new run, and what follows at the end of each."""
    world = _new_world(suite, ground)
    done: list[Step] = []
    broken = None
    try:
        for step in steps:
            done.append(step)
            world.perform(step)
        world.finish()
    except Broken as seen:
        broken = seen
    finally:
        world.close()
    return tally.close(world, broken, done)


def _shorten(suite: type[RoleSuite], ground: Ground, failure: SuiteFailure) -> SuiteFailure:
    """Leave out steps, many at first, as long as the rest breaks the same promise."""
    size = max(1, len(failure.steps) // 2)
    while True:
        place, before = 0, len(failure.steps)
        while place < len(failure.steps):
            fewer = [*failure.steps[:place], *failure.steps[place + size :]]
            found = _fails_again(suite, ground, fewer, failure.promise)
            if found is None:
                place += size
            else:
                failure = replace(found, found_after=failure.found_after)
        if size > 1:
            size //= 2
        elif len(failure.steps) == before:
            return failure


def _fails_again(
    suite: type[RoleSuite], ground: Ground, steps: Sequence[Step], promise_name: str
) -> SuiteFailure | None:
    """How a run of these steps fails, if it breaks this promise."""
    found = replay_suite(suite, ground, steps)
    return found if found is not None and found.promise == promise_name else None


class RoleStateMachine(RuleBasedStateMachine):
    """A suite for those who want Hypothesis to choose, and to shrink.

    Make a subclass with the class attributes filled in, and hand it to
    `hypothesis.stateful.run_state_machine_as_test`. `run_suite` chooses more evenly, and needs
    fewer runs to shorten what fails.

    Attributes:
        suite: What is run.
        ground: Where.
        failures: Each run that broke a promise, as it was found.
    """

    suite: ClassVar[type[RoleSuite]]
    ground: ClassVar[Ground]
    failures: ClassVar[list[SuiteFailure]]

    def __init__(self) -> None:
        super().__init__()
        require_sound(self.suite, _OWN_FAULTS)
        self.world = _new_world(self.suite, self.ground)
        self.steps: list[Step] = []
        self.broken: Broken | None = None

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Broken as broken:
            self.broken = broken
            raise

    @rule(number=some.integers(0, 2**32))
    def act(self, number: int) -> None:
        """Do one step."""
        weighted = [shape for shape, weight in self.suite.choices() for _ in range(weight)]
        # Hypothesis prefers small numbers and early elements; each step shall have its weight.
        chance = Random(number)  # noqa: S311 - nothing is secret here
        step = some_step(weighted, self.suite.arguments(), chance)
        self.steps.append(step)
        self._attempt(lambda: self.world.perform(step))

    def teardown(self) -> None:
        """End the faults, check what has to hold in the end, and end the machines."""
        try:
            if self.broken is None and sys.exc_info()[0] is None:
                self._attempt(self.world.finish)
        finally:
            self.world.close()
            found = _Tally().close(self.world, self.broken, self.steps)
            if found is not None:
                self.failures.append(found)
