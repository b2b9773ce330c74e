"""The shell of one contender: everything that its role machine must not know.

The machine is told inputs and asks for requests; this shell turns kazoo's results, watches and
state changes into the former and serves the latter. It has no thread of its own: whoever
calls `deliver_one` drives it, one arrival at a time. `LeaderElection` does that on a thread;
a test does it when and in the order it likes:

    clock = ManualClock()
    shell = ContenderShell(settings, hosts=str(proxy.address), clock=clock)
    shell.start()
    while shell.state != "leading":
        delivered = shell.deliver_one(timeout=1.0)     # None: nothing came
    clock.advance(10.0)
    shell.deliver_one(lane=Lane.TIMER)                 # DeadlineReached, if there was one

What reaches the shell waits in five lanes (`Lane`): connection states, answers and watch
notifications, which kazoo delivers on three threads, then timers, and commands (a write, a
resignation, the heartbeat). Order is kept within a lane only, so a driver may hold back an
answer while a later `Suspended` is delivered: kazoo's threads can do the same.

Points that a test may override in a subclass, to see whether it finds the mistake: `_arrive`
(called on kazoo's threads), `_is_current` (called when an arrival is taken), `_serve`,
and the methods of the `ElectionService` in `service`.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from kazoo.client import KazooClient

from keepstep.core.ids import Duty, NodeId
from keepstep.core.machine import Cell, Input, Request
from keepstep.errors import InternalError, KeepstepError, LocalViolation, RemoteViolation
from keepstep.roles.contender import Contender, ContenderFacts, DutyDue, ResignOrdered
from keepstep.roles.election_types import (
    Connected,
    CutConnection,
    DeadlineReached,
    DeleteTicket,
    EpochRaised,
    Suspended,
    WriteDone,
)
from keepstep.shell.clock import Clock, SystemClock
from keepstep.shell.inbox import (
    Answer,
    Arrival,
    Inbox,
    Lane,
    LinkDown,
    LinkEnded,
    LinkUp,
    Notice,
    Order,
)
from keepstep.shell.link import AUTH_FAILED, CLOSED, Call, Link, connect, validate_client
from keepstep.shell.outcomes import LeadershipLost, Revocation, WriteUnknown
from keepstep.shell.service import ElectionService, Served, Serving, Verdict, verdict
from keepstep.shell.settings import ElectionSettings, heartbeat_time, leading_time
from keepstep.znodes.epoch import incarnation_name
from keepstep.znodes.latch import new_node
from keepstep.znodes.operations import LARGEST_TRANSACTION, Operation, size

__all__ = [
    "HEARTBEAT",
    "Change",
    "ConnectionDown",
    "ConnectionUp",
    "ContenderShell",
    "Delivered",
    "Elected",
    "Failed",
    "Leadership",
    "Revoked",
    "Unhealthy",
]

HEARTBEAT = Duty("heartbeat")
"""The duty of an idle leader: a fenced write of nothing, to learn whether it still leads."""

MOST_WRITES = 1000
"""Writes of one leadership that may wait for their turn."""

_LEADING = "leading"
_HOLDING = frozenset({"leading", "writing", "leaving"})
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionUp:
    """A connection is usable, under this session."""

    session: int
    at: float


@dataclass(frozen=True, slots=True)
class ConnectionDown:
    """The connection is down; kazoo tries to get another."""

    at: float


@dataclass(frozen=True, slots=True)
class Elected:
    """We lead."""

    leadership: Leadership
    at: float


@dataclass(frozen=True, slots=True)
class Revoked:
    """We do not lead any more."""

    leadership: Leadership
    reason: Revocation
    at: float


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """A client that is not ours to replace does not connect; an operator should look."""

    message: str
    at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The election ended with an error that trying again would not mend."""

    error: KeepstepError
    at: float


Change = ConnectionUp | ConnectionDown | Elected | Revoked | Unhealthy | Failed
"""What a shell reports to its owner; `at` is when, in seconds of the shell's clock."""


class Leadership:
    """One term of leading.

    Attributes:
        epoch: Number of this leadership; every external effect should carry it.
        incarnation: The ensemble's data that the epoch belongs to, 32 hexadecimal digits.
        revoked: Set at once when the leadership ends.
    """

    def __init__(self, epoch: int, incarnation: str) -> None:
        self.epoch = epoch
        self.incarnation = incarnation
        self.revoked = threading.Event()

    def __repr__(self) -> str:
        return f"Leadership(epoch={self.epoch}, incarnation={self.incarnation!r})"


@dataclass(slots=True)
class _Write:
    """A write that waits for its turn or for its answer."""

    operations: tuple[Operation, ...]
    future: Future[list[Any]]
    submitted: bool = False


@dataclass(slots=True)
class _Exchange:
    """The request that is being served.

    Attributes:
        number: Its number; watches that it leaves carry it.
        request: What the machine asked for.
        serving: The generator that serves it.
        started: When it was submitted first.
        due: When its answer is overdue; None once it is answered.
        call: Number of the call whose answer comes next.
        cuts: How often the connection was cut because the answer was overdue.
    """

    number: int
    request: Request
    serving: Serving | None
    started: float
    due: float | None
    call: int = 0
    cuts: int = 0


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one call of `deliver_one` did.

    Attributes:
        lane: Where the arrival came from.
        arrival: The arrival; None for a timer or a command.
        told: What the machine was told; None if the arrival was stale, or one of several
            steps of serving a request, or of no concern to the machine.
        action: Name of the action that the machine took, as in the specification but in
            snake case; None if it was told nothing.
        before: State of the machine before.
        after: State of the machine after.
        requests: What the machine asked for.
        stale: Whether the arrival belonged to an earlier connection or request.
    """

    lane: Lane
    arrival: Arrival | None = None
    told: Input | None = None
    action: str | None = None
    before: str = ""
    after: str = ""
    requests: tuple[Request, ...] = field(default=())
    stale: bool = False


class _Recorder:
    """Notes which action a step took; a listener of the machine."""

    def __init__(self) -> None:
        self.action: str | None = None

    def after_transition(self, transition: Any) -> None:
        """Called by the machine; the first callback of a transition is its action."""
        self.action = str(next(iter(transition.on)).func)


class ContenderShell:
    """Serves one contender over kazoo, driven by calls of `deliver_one`.

    Args:
        settings: The election, and our part in it.
        hosts: Where the servers are; or else
        client: a client that is there already. It is used and never replaced or stopped.
        client_options: Further arguments of KazooClient when `hosts` are given.
        clock: Where the time is read.
        report: Called with each change, on the thread that drives; must not block.
        observe: Called with what each delivery did, on the thread that drives.
        node: The contender's node; a fresh uuid if it is not given.
        draw: Returns a random number of 128 bits.

    Raises:
        LocalViolation: An argument cannot be used.
    """

    service_class: type[ElectionService] = ElectionService

    def __init__(
        self,
        settings: ElectionSettings,
        *,
        hosts: str | None = None,
        client: KazooClient | None = None,
        client_options: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        report: Callable[[Change], None] | None = None,
        observe: Callable[[Delivered], None] | None = None,
        node: NodeId | None = None,
        draw: Callable[[], int] = lambda: secrets.randbits(128),
    ) -> None:
        if (hosts is None) == (client is None):
            raise LocalViolation("give either hosts or a client, not both and not neither")
        if client is not None:
            if client_options:
                raise LocalViolation("client_options are for hosts; a client has its own already")
            leading_time(validate_client(client), settings.tick)
        self.settings = settings
        self.clock = SystemClock() if clock is None else clock
        self.node = new_node(uuid.uuid4()) if node is None else node
        self.failure: KeepstepError | None = None
        self._hosts = hosts
        self._client_options = dict(client_options or {})
        self._report = report or (lambda _: None)
        self._observers = [observe] if observe else []
        self._recorder = _Recorder()
        self._machine = Contender(Cell(self.node, ContenderFacts()))
        self._machine.add_listener(self._recorder)  # type: ignore[no-untyped-call]
        self.service = self.service_class(settings, self.node, draw)
        self._inbox = Inbox()
        self._link = self._make_link(client, connection=1)
        # Everything below belongs to the thread that drives, but for what the lock guards.
        self._connection = 1
        self._session: int | None = None
        self._exchange: _Exchange | None = None
        self._numbers = 0
        self._granted = settings.session_timeout
        self._deadline: float | None = None
        self._heartbeat_due = 0.0
        self._down_since: float | None = None
        self._resigning_session: int | None = None
        self._writing: _Write | None = None
        self._cause: Revocation | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._leadership: Leadership | None = None
        self._writes: deque[_Write] = deque()
        self._resign_ordered = False
        self._leave_ordered = False

    # --- What can be seen from outside ---

    @property
    def state(self) -> str:
        """State of the role machine."""
        return str(self._machine.model.state)

    @property
    def facts(self) -> ContenderFacts:
        """What the role machine remembers."""
        return self._machine.facts

    @property
    def session(self) -> int | None:
        """The session that the shell was last told about; None before the first."""
        return self._session

    @property
    def client(self) -> KazooClient:
        """The client in use; another one after a replacement."""
        return self._link.client

    @property
    def leadership(self) -> Leadership | None:
        """Our leadership, if we lead as far as this very moment can tell; any thread."""
        leadership, deadline = self._leadership, self._deadline
        if leadership is None or deadline is None or self.clock.now() >= deadline:
            return None
        # The shell may not have been told yet that the connection is down.
        return leadership if self._link.is_up(self._connection) else None

    @property
    def stopped(self) -> bool:
        """Whether the shell was closed, was abandoned or has failed."""
        return self._stopped

    @property
    def outstanding(self) -> Request | None:
        """The request whose answer has not been taken yet."""
        exchange = self._exchange
        return None if exchange is None or exchange.due is None else exchange.request

    def pending(self, lane: Lane | None = None) -> int:
        """How many arrivals wait, in one lane or in all; timers and commands as 0 or 1."""
        count = 0
        for each in Lane if lane is None else (lane,):
            match each:
                case Lane.TIMER:
                    count += self._is_due()
                case Lane.COMMAND:
                    count += self._command() is not None
                case _:
                    count += self._inbox.count(each)
        return count

    # --- What other threads may order ---

    def write(
        self, operations: Sequence[Operation], *, epoch: int | None = None
    ) -> Future[list[Any]]:
        """Order a fenced write; any thread.

        Args:
            operations: What to write, all or nothing; no operation just asks whether we lead.
            epoch: Only under this leadership; None for the present one.

        Returns:
            A future of the results, one for each operation. It raises `LeadershipLost` if
            nothing was written because we do not lead, `WriteUnknown` if nobody knows, and
            kazoo's error if an operation failed, in which case nothing was written either.

        Raises:
            LocalViolation: The operations are too large, or too many writes wait already.
        """
        chosen = tuple(operations)
        for operation in chosen:
            if not isinstance(operation, Operation):
                raise LocalViolation(
                    f"an operation is a Create, SetData, Delete or Check, not {operation!r}"
                )
        if sum(map(size, chosen)) > LARGEST_TRANSACTION:
            raise LocalViolation(
                f"a transaction is at most {LARGEST_TRANSACTION} bytes: write less at a time"
            )
        future: Future[list[Any]] = Future()
        # Once queued it must not be withdrawn: somebody may be writing it.
        future.set_running_or_notify_cancel()
        with self._lock:
            leadership = self._leadership
            if leadership is None or epoch not in {None, leadership.epoch}:
                future.set_exception(LeadershipLost("we do not lead, or not under this epoch"))
                return future
            if self._resign_ordered or self._leave_ordered:
                future.set_exception(LeadershipLost("we are handing the leadership over"))
                return future
            if len(self._writes) >= MOST_WRITES:
                raise LocalViolation(f"{MOST_WRITES} writes wait already: wait for their results")
            self._writes.append(_Write(chosen, future))
        self._inbox.put(Order())
        return future

    def resign(self) -> None:
        """Order to hand over if we lead, and to queue again at the end; any thread.

        Writes that were ordered before are carried out first.
        """
        with self._lock:
            self._resign_ordered = self._leadership is not None
        self._inbox.put(Order())

    def order_to_leave(self) -> None:
        """Order to hand over and not to come back; done when `has_left`. Any thread."""
        with self._lock:
            self._leave_ordered = True
        self._inbox.put(Order())

    # --- Life and death; on the thread that drives ---

    def add_observer(self, observe: Callable[[Delivered], None]) -> None:
        """Have it called, too, with what each delivery did; to be said before `start`."""
        self._observers.append(observe)

    def _make_link(self, client: KazooClient | None, connection: int) -> Link:
        owned = client is None
        if client is None:
            hosts = self._hosts or ""
            client = connect(hosts, self.settings.session_timeout, self._client_options)
        return Link(client, self._arrive, owned=owned, connection=connection)

    def start(self) -> None:
        """Begin to connect."""
        self._down_since = self.clock.now()
        self._link.start()

    def close(self, timeout: float = 5.0) -> None:
        """Hand over if we lead, delete our ticket, and end a session of our own.

        Args:
            timeout: About how many seconds of real time it may take.
        """
        steady = SystemClock()
        until = steady.now() + timeout
        self.order_to_leave()
        while not self.has_left and steady.now() < until:
            self.deliver_one(max(0.0, until - steady.now()))
        left = max(0.1, until - steady.now())
        if not self._link.owned:
            self._withdraw(left)
        self._end(Revocation.CLOSED)
        self._link.close(left)

    @property
    def has_left(self) -> bool:
        """Whether an order to leave has been carried out, as far as the machine goes."""
        return self._stopped or (self._leave_ordered and self.state not in _HOLDING)

    def abandon(self) -> None:
        """End as if the process had been killed: the session is left to the server."""
        self._end(Revocation.FAILED)
        self._link.abandon()

    def replace_client(self) -> None:
        """Give a client of our own up, with its session, and start another.

        Raises:
            LocalViolation: The client was handed in.
        """
        if not self._link.owned:
            raise LocalViolation("a client that was handed in is never replaced")
        old = self._link
        old.abandon()
        self._link = self._make_link(None, connection=old.connection + 1)
        # Whether or not the old client had a connection: what it had is void.
        self._arrive(LinkDown(self._link.connection))
        self._down_since = self.clock.now()
        self._link.start()

    def _withdraw(self, timeout: float) -> None:
        """Delete our tickets from a session that lives on; it is not ours to end."""
        client, session, steady = self._link.client, self._session, SystemClock()
        until = steady.now() + timeout
        while session is not None and steady.now() < until:
            if client.connected and client.client_id[0] != session:
                return
            if self.service.withdraw(client, until - steady.now()):
                return
        if session is not None:
            _LOG.warning("our ticket may stay until the session 0x%x ends", session)

    def _end(self, reason: Revocation) -> None:
        self._stopped = True
        self._link.retire()
        self._revoke(reason)
        self._exchange = None

    def fail(self, error: KeepstepError) -> None:
        """End with an error that trying again would not mend."""
        _LOG.error("the election at %s has failed: %s", self.settings.path, error)
        self.failure = error
        self._end(Revocation.FAILED)
        self._link.close(0.0)
        self._report(Failed(error, self.clock.now()))

    # --- Delivering ---

    def _arrive(self, arrival: Arrival) -> None:
        """Take something in; on a thread of kazoo, so only put it down."""
        self._inbox.put(arrival)

    def _is_current(self, arrival: Arrival) -> bool:
        """Whether an arrival is about the present connection and request.

        Asked when the arrival is taken, not when it came: in between we may have been told
        that its connection is down.
        """
        match arrival:
            case LinkUp(connection) | LinkEnded(connection):
                return connection == self._connection
            case LinkDown(connection):
                return connection > self._connection
            case Answer(connection, call):
                exchange = self._exchange
                return (
                    connection == self._connection
                    and exchange is not None
                    and exchange.call == call
                )
            case Notice(connection, number):
                exchange = self._exchange
                return (
                    connection == self._connection
                    and exchange is not None
                    and exchange.number == number
                )
        return True

    def deliver_one(self, timeout: float = 0.0, lane: Lane | None = None) -> Delivered | None:
        """Deliver the next thing, waiting for it if there is none.

        Timers that are due come first, then arrivals in their order, then commands.

        Args:
            timeout: Seconds of real time to wait at most.
            lane: Take from this lane only; None for any.

        Returns:
            What was done, or None if there was nothing to deliver.

        Raises:
            Refused: The machine has no transition for what it was told. That is a defect of
                the shell or of the specification; the shell has changed nothing.
        """
        steady = SystemClock()
        until = steady.now() + timeout
        while not self.has_left:
            delivered = self._deliver_now(lane)
            if delivered is not None:
                self._tell(delivered)
                return delivered
            left = until - steady.now()
            if left <= 0:
                return None
            arrival = self._inbox.take(min(left, self._time_to_act(lane)), lane)
            if arrival is not None and not isinstance(arrival, Order):
                delivered = self._deliver(arrival)
                self._tell(delivered)
                return delivered
        return None

    def _tell(self, delivered: Delivered) -> None:
        for observe in self._observers:
            observe(delivered)

    def _deliver_now(self, lane: Lane | None) -> Delivered | None:
        if lane in {None, Lane.TIMER} and self._is_due():
            return self._deliver_timer()
        if lane not in {Lane.TIMER, Lane.COMMAND}:
            arrival = self._inbox.take(0.0, lane)
            while isinstance(arrival, Order):
                arrival = self._inbox.take(0.0, lane)
            if arrival is not None:
                return self._deliver(arrival)
        if lane in {None, Lane.COMMAND}:
            command = self._command()
            if command is not None:
                return self._deliver_command(command)
        return None

    def _step(self, told: Input, lane: Lane, arrival: Arrival | None = None) -> Delivered:
        """Have the machine take one step, and do what it asks for."""
        before, fence = self.state, self.facts.fence
        requests = tuple(self._machine.step(told))
        action = self._recorder.action
        if fence is None and self.facts.fence is not None:
            self._elect(self.facts.fence.epoch, incarnation_name(self.facts.fence.incarnation))
        elif fence is not None and self.facts.fence is None:
            self._revoke(self._cause or Revocation.FAILED)
        self._cause = None
        for request in requests:
            self._serve(request)
        return Delivered(lane, arrival, told, action, before, self.state, requests)

    def _deliver(self, arrival: Arrival) -> Delivered:
        if not self._is_current(arrival):
            lanes = {Answer: Lane.ANSWER, Notice: Lane.NOTIFICATION}
            return self._nothing(lanes.get(type(arrival), Lane.STATE), arrival, stale=True)
        match arrival:
            case LinkUp(_, session):
                return self._deliver_up(arrival, session)
            case LinkDown(connection):
                return self._deliver_down(arrival, connection)
            case LinkEnded(_, cause):
                return self._deliver_ended(arrival, cause)
            case Answer():
                return self._deliver_answer(arrival)
            case Notice(told=told):
                self._exchange = None
                return self._step(told, Lane.NOTIFICATION, arrival)
            case Order():
                return self._nothing(Lane.COMMAND, arrival)

    def _nothing(self, lane: Lane, arrival: Arrival | None, *, stale: bool = False) -> Delivered:
        return Delivered(lane, arrival, before=self.state, after=self.state, stale=stale)

    # --- The connection ---

    def _deliver_up(self, arrival: Arrival, session: int) -> Delivered:
        self._down_since = None
        if session != self._session:
            # What we wanted to do to our ticket was about a ticket of the old session.
            self._resigning_session = None
        self._session = session
        self._report(ConnectionUp(session, self.clock.now()))
        return self._step(Connected(session), Lane.STATE, arrival)

    def _deliver_down(self, arrival: Arrival, connection: int) -> Delivered:
        self._connection = connection
        self._exchange = None
        if self._down_since is None:
            self._down_since = self.clock.now()
            self._report(ConnectionDown(self.clock.now()))
        if self.state == "offline":
            return self._nothing(Lane.STATE, arrival)
        self._cause = Revocation.DISCONNECTED
        return self._step(Suspended(), Lane.STATE, arrival)

    def _deliver_ended(self, arrival: Arrival, cause: str) -> Delivered:
        if cause == AUTH_FAILED:
            self.fail(RemoteViolation("the servers refuse our authentication"))
        elif cause == CLOSED:
            # kazoo's thread has ended; it will never connect again.
            self._give_up_waiting()
        return self._nothing(Lane.STATE, arrival)

    def _give_up_waiting(self) -> None:
        """No connection for too long, or for ever: begin anew, or say so."""
        self._down_since = self.clock.now()
        if self._link.owned:
            _LOG.warning("the ZooKeeper client does not connect: it is replaced")
            self.replace_client()
        else:
            message = "the client that was handed in does not connect; it is not ours to replace"
            _LOG.warning(message)
            self._report(Unhealthy(message, self.clock.now()))

    # --- Timers ---

    def _timers(self) -> list[float]:
        """When the machine or the link must be looked after without anything arriving."""
        exchange = self._exchange
        moments = (
            self._deadline,
            None if exchange is None else exchange.due,
            None if self._down_since is None else self._down_since + self.settings.patience,
        )
        return [moment for moment in moments if moment is not None]

    def _time_to_act(self, lane: Lane | None) -> float:
        """Seconds until something of this lane is due by itself; never negative."""
        moments = self._timers() if lane in {None, Lane.TIMER} else []
        if lane in {None, Lane.COMMAND} and self.state == _LEADING:
            moments.append(self._heartbeat_due)
        return max(0.0, min(moments, default=math.inf) - self.clock.now())

    def _is_due(self) -> bool:
        return any(self.clock.now() >= moment for moment in self._timers())

    def _deliver_timer(self) -> Delivered:
        now, exchange = self.clock.now(), self._exchange
        if self._deadline is not None and now >= self._deadline:
            # It is not stopped when a leadership ends: the machine overlooks it then.
            self._deadline = None
            self._cause = Revocation.LAPSED
            return self._step(DeadlineReached(), Lane.TIMER)
        if exchange is not None and exchange.due is not None and now >= exchange.due:
            self._overdue(exchange, now)
        else:
            self._give_up_waiting()
        return self._nothing(Lane.TIMER, None)

    def _overdue(self, exchange: _Exchange, now: float) -> None:
        """No answer in time: have kazoo tell that the outcome is unknown."""
        exchange.due = now + self.settings.answer_time
        exchange.cuts += 1
        if exchange.cuts > 1 and self._link.connection == self._connection:
            self._give_up_waiting()
            return
        _LOG.warning("no answer to %s in time: the connection is cut", exchange.request)
        self._link.cut(self._connection)

    # --- Commands ---

    def _command(self) -> Input | None:
        """What the machine can be told to do now, the most urgent first."""
        if self.state != _LEADING or self._stopped:
            return None
        if self.clock.now() >= self._heartbeat_due:
            return DutyDue(HEARTBEAT)
        # Writes that were ordered before a resignation come before it; later ones are refused.
        if self._writes:
            return DutyDue(Duty("write"))
        if self._leave_ordered or self._resign_ordered or self._resigning_session is not None:
            return ResignOrdered()
        return None

    def _deliver_command(self, command: Input) -> Delivered:
        if isinstance(command, ResignOrdered):
            self._resigning_session = self._session
            self._cause = Revocation.CLOSED if self._leave_ordered else Revocation.RESIGNED
        elif isinstance(command, DutyDue) and command.duty != HEARTBEAT:
            with self._lock:
                self._writing = self._writes.popleft()
        return self._step(command, Lane.COMMAND)

    # --- Serving requests ---

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _serve(self, request: Request) -> None:
        """Begin to serve what the machine asks for."""
        now, number, connection = self.clock.now(), self._next_number(), self._connection
        exchange = _Exchange(number, request, None, now, now + self.settings.answer_time)
        self._exchange = exchange
        if isinstance(request, CutConnection):
            exchange.cuts = 1
            self._link.cut(connection)
            return

        def notify(told: Input) -> None:
            self._arrive(Notice(connection, number, told))

        operations = () if self._writing is None else self._writing.operations
        exchange.serving = self.service.serve(request, notify, operations)
        self._advance(exchange, next)

    def _advance(self, exchange: _Exchange, resume: Callable[[Serving], Call]) -> Served | None:
        """Run a request's generator to its next call, which is submitted, or to its end."""
        if exchange.serving is None:
            raise InternalError("an answer came to a request that is not served")
        try:
            call = resume(exchange.serving)
        except StopIteration as ended:
            served: Served = ended.value
            return served
        exchange.call = self._next_number()
        submitted = self._link.submit(self._connection, exchange.call, call)
        if self._writing is not None:
            self._writing.submitted |= submitted
        return None

    def _deliver_answer(self, answer: Answer) -> Delivered:
        exchange = self._exchange
        if exchange is None:
            raise InternalError("an answer came while nothing was asked")
        if answer.error is not None and verdict(answer.error) is Verdict.UNKNOWN:
            # Suspended follows, and says the same.
            return self._nothing(Lane.ANSWER, answer)
        try:
            self._note_granted()
            served = self._advance(exchange, lambda serving: self._resume(serving, answer))
        except Exception as error:  # noqa: BLE001
            self._unexpected(exchange, error)
            return self._nothing(Lane.ANSWER, answer)
        if served is None:
            return self._nothing(Lane.ANSWER, answer)
        exchange.due = None
        exchange.call = 0
        if served.told is None:
            return self._nothing(Lane.ANSWER, answer)
        self._exchange = None
        return self._answered(exchange, served, answer)

    @staticmethod
    def _resume(serving: Serving, answer: Answer) -> Call:
        if answer.error is not None:
            return serving.throw(answer.error)
        return serving.send(answer.value)

    def _note_granted(self) -> None:
        """Compare the session timeout that the server granted with what we asked for.

        Raises:
            RemoteViolation: It is too short for a leader to be safe.
        """
        granted = self._link.granted
        if granted is None or granted == self._granted:
            return
        try:
            leading_time(granted, self.settings.tick)
        except LocalViolation as error:
            raise RemoteViolation(f"the server grants {granted:g} s only: {error}") from error
        _LOG.warning(
            "the server grants a session timeout of %g s instead of %g s", granted, self._granted
        )
        self._granted = granted

    def _unexpected(self, exchange: _Exchange, error: Exception) -> None:
        match verdict(error):
            case Verdict.FATAL if isinstance(error, KeepstepError):
                self.fail(error)
            case Verdict.FATAL:
                name = type(error).__name__
                self.fail(RemoteViolation(f"{exchange.request} failed: {name} {error}".strip()))
            case _:
                _LOG.warning("%s failed, the connection is cut: %r", exchange.request, error)
                self._link.cut(self._connection)

    def _answered(self, exchange: _Exchange, served: Served, answer: Answer) -> Delivered:
        """Tell the machine the answer, then the user."""
        told = served.told
        if told is None:
            raise InternalError("an answer without anything to tell")
        # An operation that was refused proves less than one that was applied.
        if isinstance(told, EpochRaised | WriteDone) and served.error is None:
            self._deadline = exchange.started + leading_time(self._granted, self.settings.tick)
            self._heartbeat_due = exchange.started + heartbeat_time(self._granted)
        if isinstance(exchange.request, DeleteTicket):
            self._resigning_session = None
        self._cause = served.cause
        write, self._writing = self._writing, None
        delivered = self._step(told, Lane.ANSWER, answer)
        if write is not None:
            if served.cause is not None:
                write.future.set_exception(LeadershipLost(f"nothing was written: {served.cause}"))
            elif served.error is not None:
                write.future.set_exception(served.error)
            else:
                write.future.set_result(list(served.results))
        return delivered

    # --- Leadership ---

    def _elect(self, epoch: int, incarnation: str) -> None:
        leadership = Leadership(epoch, incarnation)
        with self._lock:
            self._leadership = leadership
        self._report(Elected(leadership, self.clock.now()))

    def _revoke(self, reason: Revocation) -> None:
        """End the leadership, if there is one, for everybody at once."""
        with self._lock:
            leadership, self._leadership = self._leadership, None
            waiting = list(self._writes)
            self._writes.clear()
            self._resign_ordered = False
        if leadership is None:
            return
        leadership.revoked.set()
        write, self._writing = self._writing, None
        self._report(Revoked(leadership, reason, self.clock.now()))
        if write is not None and write.submitted:
            write.future.set_exception(
                WriteUnknown(f"nobody knows whether it was written: {reason}")
            )
        elif write is not None:
            waiting.insert(0, write)
        for unsent in waiting:
            unsent.future.set_exception(LeadershipLost(f"nothing was written: {reason}"))
