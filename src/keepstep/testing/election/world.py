"""An election under test: shells that a driver moves, a server, faults, and oracles.

A run is a list of `Step`s, whoever wrote it: Hypothesis, a scenario, or a file. The driver
decides when each shell is delivered what it is told, and each shell has a clock that only the
driver moves, so that the same steps give nearly the same run again. After each step the
promises are checked against what the server says.
"""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from keepstep.errors import KeepstepError, LocalViolation, ToolFailed
from keepstep.roles.election_types import CutConnection
from keepstep.shell.clock import ManualClock
from keepstep.shell.contender_shell import (
    Change,
    ConnectionUp,
    ContenderShell,
    Delivered,
    Elected,
    Failed,
    Leadership,
    Revoked,
)
from keepstep.shell.inbox import Lane
from keepstep.shell.settings import ElectionSettings
from keepstep.testing.election.arenas import MOST_SHELLS, Arena, Trouble
from keepstep.testing.election.coverage import Coverage, Taken
from keepstep.testing.election.ledger import Claim, ElectionLedger, PromiseBroken
from keepstep.testing.election.recorder import ElectionRecorder
from keepstep.testing.election.step_by_step import StepByStep
from keepstep.testing.faults import NotHealed, NothingToHit
from keepstep.testing.network.ways import Planned, Way
from keepstep.testing.network.wire import ConnectionEnded, Delete, Refusal, SessionGone
from keepstep.testing.servers.admin import Sessions
from keepstep.testing.servers.observer import Transaction
from keepstep.testing.step import Step
from keepstep.validation.recording import PROMPT
from keepstep.znodes.epoch import default_fence_path
from keepstep.znodes.latch import read_ticket
from keepstep.znodes.operations import Create

__all__ = ["MOST_SHELLS", "Arena", "ElectionWorld", "Lived", "Step"]

SESSION_TIMEOUT = 4.0
TICK = 0.2

_DELAY = 0.03
_ANSWER_PATIENCE = 1.0
_CONNECT_PATIENCE = 1.2
_NOTIFICATION_PATIENCE = 0.5
_NOTICE_PATIENCE = 0.4
_GLANCE = 0.02
_QUIET = 0.3
_SETTLE_PATIENCE = 15.0
_WAITS = (0.5, 0.5, 2.5) * 2
"""How long to let pass for the shells between looks at the end, in session timeouts.

Half of one makes a leader write, and a request overdue; more than two replace a dead client.
"""
_MOST_IDLE = 3
_ENOUGH_PROOFS = 3
_LONGEST_REACH = 60
_NAMESPACE = uuid.UUID("6f6f5a1e-2c50-4f5c-9d61-6b6565707374")


@dataclass(frozen=True, slots=True)
class Lived:
    """A transition of one contender in a run.

    Attributes:
        place: Index of the step in which it was taken; behind the last one at the end of a run.
        seat: Number of the contender's seat.
        taken: The transition.
        who: The contender's identity.
        under: The fault package under way then, else the latest other fault since; "" if none.
    """

    place: int
    seat: int
    taken: Taken
    who: str
    under: str


class _Seat:
    """A place for one shell, with its connection to the server.

    Attributes:
        proxy: The way of its connections.
        shell: The shell; None while nobody sits here.
        believes: The leadership that the shell reported last; None if it was revoked.
    """

    def __init__(self, number: int, proxy: Way) -> None:
        self.number = number
        self.proxy = proxy
        self.shell: ContenderShell | None = None
        self.clock = ManualClock()
        self.identity = ""
        self.believes: Leadership | None = None
        self.failure: KeepstepError | None = None
        self.paused = False
        self.held = False
        self.sessions: set[int] = set()
        self.planned: list[Planned] = []

    def note(self, change: Change) -> None:
        """Take a report of the shell."""
        match change:
            case Elected(leadership):
                self.believes = leadership
            case Revoked():
                self.believes = None
            case ConnectionUp(session):
                self.sessions.add(session)
            case Failed(error):
                self.failure = error

    @property
    def claim(self) -> Claim | None:
        """What the shell believes to be, in the words of its leadership."""
        leadership = self.believes
        if leadership is None:
            return None
        return Claim(self.identity, leadership.incarnation, leadership.epoch)

    def present_session(self) -> int:
        """The session of the shell's client, or the one it had; 0 if none."""
        if self.shell is None:
            return 0
        known = self.shell.client.client_id
        session = known[0] if known else self.shell.session
        return session or 0


@contextmanager
def _kept_by(seat: _Seat) -> Iterator[None]:
    """Whatever a shell raises while it is driven is a broken promise."""
    try:
        yield
    except ToolFailed:
        # The process of a contender has ended, which no shell can help.
        raise
    except Exception as error:
        raise PromiseBroken(
            "a shell takes whatever it is told",
            f"{seat.identity}: {type(error).__name__}: {error}",
        ) from error


class ElectionWorld:
    """One example: a fresh election on the arena's server.

    Args:
        arena: What examples share.
        coverage: Where to note what happened.
        shell_class: The shell under test.
        recorder: Told all that is seen, so that the run can be validated; None records nothing.
        in_processes: Whether each contender is a process of its own, where the arena has any.

    Attributes:
        steps: What was done so far.
        story: The same in words, with what each step led to.
        broken: The promise that was seen broken, or None.
        most_believers: How many believed to lead at once, at most.
        taken: Every transition, in order.
        meant: For each step the number of the seat that it was aimed at; None if at none.
    """

    def __init__(
        self,
        arena: Arena,
        coverage: Coverage,
        shell_class: type[ContenderShell] = ContenderShell,
        recorder: ElectionRecorder | None = None,
        *,
        in_processes: bool = False,
    ) -> None:
        self._in_processes = in_processes
        self._arena = arena
        self._coverage = coverage
        self._shell_class = shell_class
        self._recorder = recorder
        self._unread: list[Transaction] = []
        root = f"/example-{arena.next_number()}"
        self.latch = f"{root}/latch"
        self.writes = f"{root}/writes"
        self.ledger = ElectionLedger(self.latch, default_fence_path(self.latch), self.writes)
        self.seats = [_Seat(number, proxy) for number, proxy in enumerate(arena.ways)]
        self.steps: list[Step] = []
        self.story: list[str] = []
        self.broken: PromiseBroken | None = None
        self.most_believers = 0
        self.taken: list[Lived] = []
        self.meant: list[int | None] = []
        self._under = ""
        self._ending = False
        self._lives = itertools.count(1)
        self._draws = itertools.count()
        self._write_numbers = itertools.count()
        self._deliveries = 0
        self._trouble: tuple[_Seat, Trouble] | None = None
        self._make_place_for_writes()
        arena.transactions()
        if recorder:
            fence = default_fence_path(self.latch)
            recorder.begin(self.latch, fence, arena.servers, log_read=PROMPT, server=arena.version)
        coverage.examples += 1

    # --- Steps ---

    def perform(self, step: Step) -> None:
        """Do a step, then check every promise.

        Raises:
            PromiseBroken: A promise is broken; nothing more can be done with this world.
        """
        self.steps.append(step)
        self.meant.append(self._number_of(step))
        self._coverage.steps += 1
        self.story.append(str(step))
        try:
            self.RULES[step.rule](self, **step.arguments)
            self.check()
        except PromiseBroken as broken:
            self.broken = broken
            raise

    def finish(self) -> None:
        """End all faults; then exactly one shell must lead soon, and no orphan ticket stay.

        Raises:
            PromiseBroken: It did not come true.
        """
        try:
            self._finish()
            self._validate()
        except PromiseBroken as broken:
            self.broken = broken
            raise

    def _validate(self) -> None:
        """Compare the run with the specification, if it was recorded for that."""
        if self._recorder:
            divergence = self._recorder.divergence()
            if divergence:
                raise PromiseBroken("the run is a behaviour of the specification", divergence)

    def close(self) -> None:
        """End all shells, whatever has happened; may be called again."""
        self._let_go()
        for seat in self.seats:
            if seat.shell:
                seat.shell.abandon()
                seat.shell = None
                if self._recorder:
                    self._recorder.stopped(seat.identity)
            seat.proxy.heal()
        self._arena.recover()
        self._reap()
        if self._recorder:
            self._fetch_log()
            self._recorder.end()
        self._coverage.accepted += len(self.ledger.accepted)
        self._coverage.elections += len(self.ledger.raised)

    @property
    def in_trouble(self) -> str:
        """The fault package that is under way; "" if none is."""
        return self._trouble[1].name if self._trouble else ""

    # --- Seats ---

    def _running(self) -> list[_Seat]:
        return [seat for seat in self.seats if seat.shell is not None]

    def _leader(self) -> _Seat | None:
        return next((seat for seat in self.seats if seat.believes), None)

    def _seat(self, who: int | str) -> _Seat | None:
        """The seat meant: a number, the `leader`, or the `next` one, who waits longest."""
        if who == "leader":
            return self._leader()
        if who == "next":
            waiting = [s for s in self._running() if s.shell and s.shell.state == "waiting"]
            order = {owner: path for path, owner in self.ledger.tickets.items()}
            waiting.sort(key=lambda s: order.get(s.present_session(), "~").rpartition("-")[2])
            return waiting[0] if waiting else None
        seat = self.seats[int(who)]
        return seat if seat.shell else None

    def _number_of(self, step: Step) -> int | None:
        """Number of the seat that a step is aimed at, whether or not anybody sits there."""
        who = step.arguments.get("who")
        if who is None or isinstance(who, int):
            return who
        seat = self._seat(who)
        return seat.number if seat else None

    def _draw(self) -> int:
        text = f"{self.latch} {next(self._draws)}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])

    # --- Delivering ---

    def _deliver(
        self, seat: _Seat, timeout: float = 0.0, lane: Lane | None = None
    ) -> Delivered | None:
        """Deliver one thing to a shell; whatever it raises is a broken promise."""
        if seat.shell is None or seat.shell.stopped:
            return None
        with _kept_by(seat):
            patience = self._arena.patience_for(seat.shell, timeout, lane)
            return seat.shell.deliver_one(patience, lane)

    def _observe(self, seat: _Seat, delivered: Delivered) -> None:
        self._deliveries += 1
        if self._recorder and seat.shell:
            # Read after each step, the log tells between which two steps a transaction came.
            self._fetch_log()
            self._recorder.delivered(seat.identity, delivered, seat.shell.facts)
        if delivered.action:
            taken = Taken(delivered.before, delivered.action, delivered.after)
            self._coverage.transitions[taken] += 1
            place = len(self.steps) if self._ending else len(self.steps) - 1
            self.taken.append(Lived(place, seat.number, taken, seat.identity, self._under))
            self.story.append(f"    {seat.identity}: {taken}")
        elif delivered.stale:
            self.story.append(f"    {seat.identity}: stale {type(delivered.arrival).__name__}")

    def _expects(self, seat: _Seat) -> float:
        """Seconds that something for this shell may still take; 0 if nothing is due."""
        shell = seat.shell
        if shell is None or shell.stopped or seat.paused or seat.held:
            return 0.0
        if shell.state in {"offline", "severing"}:
            return _CONNECT_PATIENCE
        if shell.outstanding is not None and not isinstance(shell.outstanding, CutConnection):
            return _ANSWER_PATIENCE
        return 0.0

    def _expects_notification(self, seat: _Seat) -> float:
        """Seconds that the notification of a watch may take; 0 if the watch still stands."""
        shell = seat.shell
        if shell is None or shell.state != "waiting" or seat.held or shell.pending():
            return 0.0
        watches = self._arena.watches()
        stands = any(seat.present_session() in sessions for sessions in watches.values())
        return 0.0 if stands else _NOTIFICATION_PATIENCE

    def _is_ready(self, seat: _Seat) -> bool:
        return seat.shell is not None and not seat.paused and not seat.shell.stopped

    def _is_settled(self) -> bool:
        """One shell leads, and the server says that each other one watches a ticket."""
        ready = [seat for seat in self._running() if self._is_ready(seat)]
        if any(seat.held or (seat.shell and seat.shell.pending()) for seat in ready):
            return False
        leaders = [seat for seat in ready if seat.believes]
        if len(leaders) != 1 or not self._holds_office(leaders[0], self._arena.sessions()):
            return False
        watches = self._arena.watches()
        watching = {
            session
            for path, sessions in watches.items()
            if path in self.ledger.tickets
            for session in sessions
        }
        return all(seat in leaders or seat.present_session() in watching for seat in ready)

    def _run(self) -> None:
        """Deliver everything to everybody until all wait."""
        arena = self._arena
        deadline = arena.now() + _SETTLE_PATIENCE * arena.patience
        last = arena.now()
        while arena.now() < deadline:
            moved = False
            for seat in self._running():
                if self._is_ready(seat) and self._deliver(seat):
                    moved = True
            now = arena.now()
            if moved:
                last = now
                continue
            self._replace_turned_away_clients()
            patience = max([_QUIET, *(self._expects(seat) for seat in self._running())])
            if now - last > patience * arena.patience:
                return
            if patience == _QUIET:
                self._read_log()
                if self._is_settled():
                    return
            arena.idle()
        raise PromiseBroken("the shells come to rest", "they were busy for too long")

    def _replace_turned_away_clients(self) -> None:
        """Let time pass for shells whose client the wiped server turns away for ever."""
        for seat in self._running():
            shell = seat.shell
            if not shell or not self._is_ready(seat) or shell.client.connected or seat.held:
                continue
            if shell.client.last_zxid > self._newest_zxid():
                seat.clock.advance(shell.settings.patience)

    def _newest_zxid(self) -> int:
        self._read_log()
        return self._arena.newest

    # --- Rules ---

    def _begin(self, count: int) -> None:
        # One after the other, so that the first seat always leads first.
        for _ in range(count):
            self._start()
            self._run()

    def _start(self) -> None:
        empty = [seat for seat in self.seats if seat.shell is None]
        if empty:
            self._sit_down(empty[0])

    def _sit_down(self, empty: _Seat) -> None:
        """Start a contender, with a clock and an identity of its own."""
        seat = _Seat(empty.number, empty.proxy)
        seat.sessions, seat.planned = empty.sessions, empty.planned
        self.seats[seat.number] = seat
        life = next(self._lives)
        seat.identity = f"contender-{life}"
        make = self._arena.contender(self._shell_class, seat.number, in_process=self._in_processes)
        seat.shell = make(
            ElectionSettings(
                path=self.latch,
                identity=seat.identity,
                session_timeout=SESSION_TIMEOUT,
                tick=TICK,
            ),
            hosts=self._arena.hosts(seat.number),
            client_options=self._arena.client_options(),
            clock=seat.clock,
            report=seat.note,
            observe=lambda delivered: self._observe(seat, delivered),
            node=uuid_of(self.latch, life),
            draw=self._draw,
        )
        if self._recorder:
            self._recorder.started(seat.identity, seat.shell.node)
        seat.shell.start()

    def _stop(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat is None or seat.shell is None:
            return
        if seat.held:
            self._release(seat.number)
        seat.sessions.add(seat.present_session())
        with _kept_by(seat):
            seat.shell.close(_ANSWER_PATIENCE)
        self._vacate(seat)

    def _kill(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat is None or seat.shell is None:
            return
        self._hit("kill", seat)
        seat.sessions.add(seat.present_session())
        seat.shell.abandon()
        self._vacate(seat)

    def _vacate(self, seat: _Seat) -> None:
        seat.shell = None
        if self._recorder:
            self._recorder.stopped(seat.identity)
        seat.believes = None
        seat.paused = seat.held = False
        seat.proxy.heal()

    def _resign(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat and seat.shell:
            seat.shell.resign()
            if self._is_ready(seat):
                self._deliver(seat, lane=Lane.COMMAND)

    def _write(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat is None or seat.shell is None or seat.claim is None:
            return
        path = f"{self.writes}/{next(self._write_numbers)}"
        seat.shell.write([Create(path, seat.claim.encode())])
        if self._is_ready(seat):
            self._deliver(seat, lane=Lane.COMMAND)
            self._await_answer(seat)

    def _beat(self, who: int | str) -> None:
        """Let a quarter of the session timeout pass, after which an idle leader writes."""
        seat = self._seat(who)
        if seat and self._is_ready(seat):
            seat.clock.advance(SESSION_TIMEOUT / 4)
            self._deliver(seat, lane=Lane.COMMAND)

    def _lapse(self, who: int | str) -> None:
        """Let a session timeout pass for the shell, so that its deadline is over."""
        seat = self._seat(who)
        if seat and self._is_ready(seat):
            seat.clock.advance(SESSION_TIMEOUT)
            self._deliver(seat, lane=Lane.TIMER)

    def _deliver_step(self, who: int | str, lane: str = "any") -> None:
        seat = self._seat(who)
        if seat and self._is_ready(seat):
            chosen = None if lane == "any" else Lane(lane)
            expected = self._expects(seat)
            due = {
                None: expected or self._expects_notification(seat),
                Lane.NOTIFICATION: self._expects_notification(seat),
                Lane.STATE: expected if expected == _CONNECT_PATIENCE else 0.0,
                Lane.ANSWER: expected if expected == _ANSWER_PATIENCE else 0.0,
            }
            self._deliver(seat, max(_GLANCE, due.get(chosen, 0.0)), chosen)
            self._await_answer(seat)

    def _reach(self, who: int | str, state: str) -> None:
        """Deliver to one shell until it is in a state, and the answer it waits for has come."""
        seat = self._seat(who)
        for _ in range(_LONGEST_REACH):
            if not seat or not seat.shell or not self._is_ready(seat) or seat.shell.state == state:
                break
            due = self._expects(seat) or self._expects_notification(seat)
            if self._deliver(seat, max(_GLANCE, due)) is None:
                break
        if seat:
            self._await_answer(seat)

    def _await_answer(self, seat: _Seat) -> None:
        """Wait until the answer to what the shell asked lies in its inbox."""
        shell = seat.shell
        if shell and self._expects(seat) == _ANSWER_PATIENCE:
            self._arena.wait(lambda: shell.pending() > 0, _ANSWER_PATIENCE)

    def _pause(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat and not seat.paused:
            self._hit("pause", seat)
            seat.paused = True

    def _resume(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat:
            seat.paused = False

    def _expire(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat is None or seat.shell is None or not self._can_decide():
            return
        session = seat.present_session()
        if session in self._arena.sessions().alive:
            self._hit("expire", seat)
            with suppress(LocalViolation):
                self._arena.end_session(session)
            self._await_reconnect(seat)

    def _give_up(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat and seat.shell and not seat.shell.stopped:
            self._hit("give up", seat)
            seat.sessions.add(seat.present_session())
            seat.shell.replace_client()
            self._await_reconnect(seat)

    def _cut(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat and seat.proxy.cut().connections:
            self._hit("cut", seat)
            self._await_reconnect(seat)

    def _await_reconnect(self, seat: _Seat) -> None:
        """Wait until the client has noticed, and has connected again if it can."""
        shell = seat.shell
        if shell is None or shell.stopped:
            return
        self._arena.wait(lambda: shell.pending(Lane.STATE) > 0, _NOTICE_PATIENCE)
        if not seat.held:
            self._arena.wait(lambda: shell.client.connected, _CONNECT_PATIENCE)

    def _drop(self, who: int | str, *, reply: bool) -> None:
        """Lose the next write of a shell.

        A leader is made to write at once. Where nobody sits a contender is started, to lose the
        first write of its life.
        """
        seat = self._seat(who)
        empty = seat is None and isinstance(who, int)
        if empty:
            seat = self.seats[int(who)]
        if seat is None:
            return
        planned = seat.proxy.drop_next_reply() if reply else seat.proxy.drop_next_request()
        seat.planned.append(planned)
        if empty:
            self._sit_down(seat)
        if seat.believes and self._is_ready(seat) and not seat.held:
            self._write(seat.number)
            if self._arena.wait(lambda: not planned.pending, _NOTICE_PATIENCE):
                self._note_planned(seat)
                self._await_reconnect(seat)

    def _drop_reply(self, who: int | str) -> None:
        self._drop(who, reply=True)

    def _drop_request(self, who: int | str) -> None:
        self._drop(who, reply=False)

    def _note_planned(self, seat: _Seat) -> None:
        for planned in list(seat.planned):
            if planned.effect:
                seat.planned.remove(planned)
                self._hit(planned.fault, seat)
                self.story.append(f"    {seat.identity}: {planned.effect}")

    def _delay(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat:
            self._hit("delay", seat)
            seat.proxy.delay(_DELAY)

    def _hold(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat and not seat.held:
            self._hit("hold", seat)
            seat.proxy.hold()
            seat.held = True

    def _release(self, who: int | str) -> None:
        seat = self._seat(who)
        if seat:
            seat.proxy.delay(0.0)
            seat.proxy.release()
            seat.held = False

    def _down(self) -> None:
        """Kill the servers, and read what they still logged."""
        self._arena.down()
        self._read_log()

    def _up(self) -> None:
        self._arena.up()
        for seat in self.seats:
            if seat.held:
                seat.proxy.hold()

    def _restart_server(self) -> None:
        self._heal()
        self._hit("restart server", self._leader())
        self._down()
        self._up()
        for seat in self._running():
            self._await_reconnect(seat)

    def _wipe_server(self) -> None:
        self._heal()
        self._hit("wipe server", self._leader())
        self._down()
        self._arena.forget()
        self._begin_anew()
        self._up()
        self._make_place_for_writes()

    def _begin_anew(self) -> None:
        """All data was lost."""
        self.ledger.begin_anew()
        if self._recorder:
            self._recorder.wiped()

    def _delete_ticket(self, position: int) -> None:
        """Delete a ticket from outside: the first is the leader's."""
        tickets = self._tickets() if self._can_decide() else []
        if not tickets:
            return
        path = tickets[min(position, len(tickets) - 1)]
        leader = self._leader()
        owner = self.ledger.tickets.get(path)
        mine = leader is not None and leader.present_session() == owner
        self._hit("delete ticket", leader if mine else None)
        with self._arena.outsider() as client, suppress(Refusal):
            client.delete(path)

    def _delete_parent(self) -> None:
        """Delete all tickets and their parent from outside."""
        if not self._can_decide():
            return
        self._hit("delete parent", self._leader())
        with self._arena.outsider() as client, suppress(Refusal):
            client.multi([*map(Delete, self._tickets()), Delete(self.latch)])

    def _can_decide(self) -> bool:
        """Whether what has to be written from outside can be; if not, that is noted."""
        if not self._arena.can_decide:
            self._coverage.not_done[self.steps[-1].rule] += 1
            self.story.append("    not done: no majority of the servers is well")
        return self._arena.can_decide

    def _move(self, who: int | str) -> None:
        """Have a client leave its server for another one."""
        seat = self._seat(who)
        if seat and not seat.held:
            self._hit("move", seat)
            self._arena.move(seat.number)
            self._await_reconnect(seat)

    def _inject(self, package: str, who: int | str, server: str = "any") -> None:
        """Begin a fault of a package; one that is under way already is ended first.

        Args:
            package: Its name.
            who: Whose client it is aimed at, if it is a fault of a client.
            server: For a fault of a server which one: the one that `leads`, the one that the
                client is connected to (`theirs`), or `any`.
        """
        seat = self._seat(who)
        if seat is None:
            return
        self._heal()
        # The same whenever the same steps are done again.
        random = Random(f"{package} {len(self.steps)}")  # noqa: S311
        try:
            trouble = self._arena.prepare(package, seat.number, server, random)
        except NothingToHit as reason:
            self._coverage.not_done[package] += 1
            self.story.append(f"    not done: {reason}")
            return
        in_office = self._in_office(seat)
        try:
            self._arena.inject(trouble, self._read_log)
        except (ConnectionEnded, LocalViolation, ToolFailed) as reason:
            if trouble.forgets:
                raise
            # What was there to be hit a moment ago is gone, or does not answer just now. The
            # package has undone whatever it had begun.
            self._coverage.not_done[package] += 1
            self.story.append(f"    not done: {reason}")
            self._arena.recover()
            return
        self._coverage.note_fault(package, on_leader=in_office)
        self._trouble, self._under = (seat, trouble), package
        self.story.append(f"    {package} of {trouble.victim}")
        seat.paused |= trouble.stops_client
        if trouble.forgets:
            self._begin_anew()
            self._make_place_for_writes()
        elif package.startswith("lost-") and seat.believes and self._is_ready(seat):
            self._write(seat.number)
        for each in self._running():
            if each.number in trouble.cuts and not each.held:
                self._await_reconnect(each)

    def _heal(self) -> None:
        """End the fault that is under way, once the servers have shown that it happened."""
        if self._trouble is None:
            return
        (seat, trouble), self._trouble, self._under = self._trouble, None, ""
        shown = self._coverage.proved[trouble.name]
        if shown < _ENOUGH_PROOFS:
            evidence = trouble.proof(patient=shown == 0)
            self._coverage.proved[trouble.name] += evidence is not None
            self.story.append(f"    the servers show it: {evidence or 'no'}")
        if trouble.stops_client:
            seat.paused = False
        if trouble.of_client and seat.held:
            self._release(seat.number)
        try:
            self._arena.heal(trouble)
        except NotHealed as error:
            self._coverage.unhealed[trouble.name] += 1
            self.story.append(f"    {error}")
            self._arena.recover()

    # --- Rules for an arena where somebody chooses what happens ---

    def _step_by_step(self) -> None:
        """From here on nothing happens but the steps that follow."""
        if (arena := self._driven_arena()) is not None:
            arena.take_over()

    def _happen(self, what: str, who: int = 0, nth: int = 0, server: int = 0) -> None:
        """Let one of the things happen that servers and connections have before them."""
        if (arena := self._driven_arena()) is not None:
            arena.happen(what, who=who, nth=nth, server=server)

    def _connect(self, who: int, server: int) -> None:
        """Have a client connect to a server."""
        if (arena := self._driven_arena()) is not None:
            arena.connect(who, server)

    def _notice(self, who: int) -> None:
        """Have a client notice that its connection has ended."""
        if (arena := self._driven_arena()) is not None:
            arena.notice(who)

    def _driven_arena(self) -> StepByStep | None:
        """The arena, if what happens there can be chosen; if not, that is noted."""
        if isinstance(self._arena, StepByStep):
            return self._arena
        if not self._coverage.not_done[self.steps[-1].rule]:
            self.story.append("    not done: on real servers things happen by themselves")
        self._coverage.not_done[self.steps[-1].rule] += 1
        return None

    def _let_go(self) -> None:
        if isinstance(self._arena, StepByStep):
            self._arena.let_go()

    def _hit(self, kind: str, seat: _Seat | None) -> None:
        """Note a fault, and whether it hits a leader in office, as the server says."""
        if self._trouble is None:
            self._under = kind
        self._coverage.note_fault(kind, on_leader=self._in_office(seat))

    def _in_office(self, seat: _Seat | None) -> bool:
        """Whether somebody leads, and the server says so, too."""
        self._read_log()
        return (
            seat is not None
            and seat.believes is not None
            and self._holds_office(seat, self._arena.sessions())
        )

    RULES: Mapping[str, Callable[..., None]] = {
        "begin": _begin,
        "start": _start,
        "stop": _stop,
        "kill": _kill,
        "resign": _resign,
        "write": _write,
        "beat": _beat,
        "lapse": _lapse,
        "deliver": _deliver_step,
        "reach": _reach,
        "pause": _pause,
        "resume": _resume,
        "expire": _expire,
        "give_up": _give_up,
        "cut": _cut,
        "drop_reply": _drop_reply,
        "drop_request": _drop_request,
        "delay": _delay,
        "hold": _hold,
        "release": _release,
        "restart_server": _restart_server,
        "wipe_server": _wipe_server,
        "delete_ticket": _delete_ticket,
        "delete_parent": _delete_parent,
        "move": _move,
        "inject": _inject,
        "heal": _heal,
        "run": _run,
        "step_by_step": _step_by_step,
        "happen": _happen,
        "connect": _connect,
        "notice": _notice,
    }

    # --- What the server says ---

    def _make_place_for_writes(self) -> None:
        with self._arena.outsider() as client:
            for path in (self.writes.rpartition("/")[0], self.writes):
                with suppress(Refusal):
                    client.create(path)

    def _tickets(self) -> list[str]:
        """Paths of the tickets, in order of their numbers."""
        names = self._arena.children(self.latch) or []
        ranked = sorted((t.number, name) for name in names if (t := read_ticket(name)))
        return [f"{self.latch}/{name}" for _, name in ranked]

    def _fetch_log(self) -> None:
        found = self._arena.transactions()
        if self._recorder:
            self._recorder.transactions(found)
        self._unread += found

    def _read_log(self) -> None:
        self._fetch_log()
        found, self._unread = self._unread, []
        self.ledger.take(found)

    def _holds_office(self, seat: _Seat, sessions: Sessions) -> bool:
        """Whether who believes to lead has a living session, and its ticket exists."""
        raised = self.ledger.find_raised(seat.claim) if seat.claim else None
        return (
            raised is not None
            and raised.session in sessions.alive
            and raised.ticket in sessions.ephemerals.get(raised.session, ())
        )

    def check(self) -> None:
        """Check every promise that holds at all times.

        Raises:
            PromiseBroken: One does not.
        """
        self._read_log()
        for seat in self._running():
            self._note_planned(seat)
            if seat.failure:
                raise PromiseBroken("a shell never fails", f"{seat.identity}: {seat.failure}")
        believers = [seat for seat in self._running() if seat.claim]
        self.most_believers = max(self.most_believers, len(believers))
        current = self.ledger.current
        fenced = [
            seat.identity
            for seat in believers
            if current and seat.claim and seat.claim[1:] == (current.incarnation, current.epoch)
        ]
        if len(fenced) > 1:
            raise PromiseBroken("one current fence", f"{fenced} hold it")
        for seat in believers:
            if seat.claim and self.ledger.find_raised(seat.claim) is None:
                raise PromiseBroken(
                    "who leads has raised the epoch", f"nothing in the log shows {seat.claim}"
                )
        if len(believers) > 1:
            sessions = self._arena.sessions()
            ruling = [seat.identity for seat in believers if self._holds_office(seat, sessions)]
            if len(ruling) > 1:
                raise PromiseBroken("one believer in office", f"{ruling} believe so")

    # --- The end ---

    def _reap(self) -> None:
        """End the sessions that were given up, as the server would after their timeout."""
        present = {seat.present_session() for seat in self._running()}
        alive = self._arena.sessions().alive
        for session in {s for seat in self.seats for s in seat.sessions} - present:
            if session in alive:
                with suppress(LocalViolation, SessionGone, ConnectionEnded):
                    self._arena.end_session(session)

    def _finish(self) -> None:
        self._ending = True
        self._let_go()
        self._heal()
        self._arena.recover()
        for seat in self.seats:
            seat.proxy.heal()
            seat.paused = seat.held = False
            seat.planned.clear()
        if not self._running():
            self._start()
        # Nobody is told anything new yet: who was deposed and believes to lead still writes, and
        # who gave a session up still finds what it left.
        self._run()
        for seat in self._running():
            if seat.believes:
                self._write(seat.number)
        self._run()
        self.check()
        idle = 0
        for wait in (*_WAITS, 0.0):
            before = self._deliveries
            self._reap()
            self._run()
            self.check()
            problem = self._unsettled() or self._last_write()
            if problem is None:
                return
            idle = 0 if self._deliveries > before else idle + 1
            if wait == 0.0 or idle > _MOST_IDLE:
                raise PromiseBroken(*problem)
            self.story.append(f"  not settled yet: {problem[1]}")
            for seat in self._running():
                seat.clock.advance(wait * SESSION_TIMEOUT)

    def _last_write(self) -> tuple[str, str] | None:
        """Have who leads in the end write; the promise that is broken if it cannot."""
        count = len(self.ledger.accepted)
        self._write("leader")
        self._run()
        self.check()
        if len(self.ledger.accepted) > count:
            return None
        return "who leads in the end can write", "its write was not accepted"

    def _unsettled(self) -> tuple[str, str] | None:
        """A promise that is not kept yet, and how it is broken; None if all are kept."""
        sessions = self._arena.sessions_at_rest()
        believers = [seat for seat in self._running() if seat.believes]
        one_leads = "in the end one leads"
        if len(believers) != 1:
            return one_leads, f"{[seat.identity for seat in believers]} believe to lead"
        if not self._holds_office(believers[0], sessions):
            return one_leads, f"{believers[0].identity} has no ticket of a living session"
        present = {seat.present_session() for seat in self._running()}
        owners: list[int] = []
        no_orphan = "no orphan ticket stays"
        for path in self._tickets():
            owner = sessions.owner(path) or 0
            if owner not in present:
                return no_orphan, f"{path} belongs to session 0x{owner:x}, which is not in use"
            if owner in owners:
                return no_orphan, f"{path} is the second ticket of session 0x{owner:x}"
            owners.append(owner)
        return None


def uuid_of(latch: str, life: int) -> Any:
    """The node of one life in one example; the same whenever it is replayed there."""
    return str(uuid.uuid5(_NAMESPACE, f"{latch} {life}"))


def describe(steps: Sequence[Step]) -> str:
    """Steps as a person reads them, one a line."""
    return "\n".join(f"  {number}. {step}" for number, step in enumerate(steps, 1))
