"""A shell that does nothing until a driver says what comes next.

The same jobs as a shell in production: it serves the machine's requests, tells it their
outcomes, and says when the connection is lost or back. But the driver decides which of the
things that are due is delivered, and what becomes of a connection, so that a run is repeated
by repeating the driver's decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args

from keepstep.conformance.binding import misfit
from keepstep.core.ids import NodeId
from keepstep.core.machine import Cell, Input, Request, RoleMachine
from keepstep.errors import InternalError, LocalViolation
from keepstep.shell.mapping import (
    Call,
    CallRefused,
    Check,
    Children,
    Create,
    Cut,
    Delete,
    Exists,
    Multi,
    Read,
    RoleMapping,
    Serving,
    SetData,
    Sync,
)
from keepstep.testing.network import wire
from keepstep.testing.network.wire import ConnectionEnded, Refusal, SessionGone

__all__ = ["LANES", "Client", "Delivered", "Dialler", "DrivenShell"]

LANES = ("state", "answer", "notification")
"""What can be due: a connection lost or made, an answer, a watch that fired."""


class Client(Protocol):
    """One connection of one session: `testing.WireClient`, or the fake's."""

    session: int
    password: bytes
    notifications: list[Any]

    def create(
        self, path: str, data: bytes = b"", *, ephemeral: bool = False, sequential: bool = False
    ) -> str:
        """Create a znode and return its path."""

    def delete(self, path: str, version: int = -1) -> None:
        """Delete a znode."""

    def set_data(self, path: str, data: bytes, version: int = -1) -> Any:
        """Replace a znode's data and return its stat."""

    def get_data(self, path: str, *, watch: bool = False) -> tuple[bytes, Any]:
        """Data and stat of a znode."""

    def exists(self, path: str, *, watch: bool = False) -> Any:
        """A znode's stat, or None."""

    def get_children(self, path: str, *, watch: bool = False) -> list[str]:
        """Names of a znode's children."""

    def sync(self, path: str = "/") -> None:
        """Have the server catch up."""

    def multi(self, operations: Sequence[Any]) -> None:
        """Do all of the operations or none."""

    def end(self) -> int:
        """End the session."""

    def abandon(self) -> None:
        """Close the connection only."""


Dialler = Callable[[int, bytes], Client]
"""Connects, under the session of this id and password, or under a new one if the id is 0."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one delivery did.

    Attributes:
        lane: What was due.
        told: What the machine was told; None if it was not told anything.
        action: The action that it took, as in the specification but in snake case.
        comment: The specification's comment on the action.
        before: The state before.
        after: The state after.
        requests: What the machine asked for.
    """

    lane: str
    told: Input | None = None
    action: str = ""
    comment: str = ""
    before: str = ""
    after: str = ""
    requests: tuple[Request, ...] = ()


@dataclass(slots=True)
class _Exchange:
    """The request that is being served, up to its next call."""

    request: Request
    serving: Serving
    call: Call
    arrived: bool = False
    value: Any = None
    refused: CallRefused | None = None


@dataclass(frozen=True, slots=True)
class _Watch:
    """What is told when a watch fires.

    Attributes:
        told: What.
        lasting: Whether it counts after its request was answered.
    """

    told: Input
    lasting: bool = False


@dataclass(slots=True)
class _Noting:
    """Notes which action a step took; a listener of the machine."""

    action: str = ""

    def after_transition(self, transition: Any) -> None:
        """Called by the machine; the first callback of a transition is its action."""
        self.action = str(next(iter(transition.on)).func)


class DrivenShell:
    """Serves one machine, driven by calls of `deliver`.

    Args:
        machine: The class of the machine.
        facts: What it remembers at first.
        mapping: Serves its requests.
        dial: Makes a connection.
        settings: Of the machine, if it has any.
        observe: Called with what each delivery did.

    Attributes:
        machine: The machine.
        session: The present session; 0 before the first.
        up: Whether there is a connection, as far as the shell knows.
        loses: What becomes of the next write: "request", "reply" or "" for nothing special.
        lost: The writes that were lost so, each with how.
    """

    def __init__(
        self,
        machine: type[RoleMachine[Any]],
        facts: object,
        mapping: RoleMapping,
        dial: Dialler,
        *,
        settings: object = None,
        observe: Callable[[Delivered], None] = lambda _: None,
    ) -> None:
        self.mapping = mapping
        self.session = 0
        self.up = False
        self.loses = ""
        self.lost: list[tuple[str, Request]] = []
        self._password = bytes(16)
        self._dial = dial
        self._observe = observe
        self._noting = _Noting()
        self.machine = machine(Cell(mapping.me, facts, settings=settings))
        self.machine.add_listener(self._noting)  # type: ignore[no-untyped-call]
        self._client: Client | None = None
        self._told_down = True
        self._exchange: _Exchange | None = None
        self._watches: dict[str, _Watch] = {}
        self._fired: list[_Watch] = []

    # --- What can be seen from outside ---

    @property
    def me(self) -> NodeId:
        """The node that is served."""
        return self.mapping.me

    @property
    def state(self) -> str:
        """State of the machine."""
        return str(self.machine.model.state)

    @property
    def facts(self) -> Any:
        """What the machine remembers."""
        return self.machine.facts

    @property
    def outstanding(self) -> Request | None:
        """The request whose answer was not delivered yet."""
        return None if self._exchange is None else self._exchange.request

    @property
    def attempt(self) -> str:
        """The request that is being served and its last call, in words; "" if there is none."""
        exchange = self._exchange
        return "" if exchange is None else f"{exchange.request} by {exchange.call}"

    def due(self) -> list[str]:
        """What could be delivered now: some of `LANES`."""
        self._look()
        found = []
        if not self.up:
            found.append("state")
        if self.up and self._exchange is not None and self._exchange.arrived:
            found.append("answer")
        if self._fired:
            found.append("notification")
        return found

    def catch_up(self) -> None:
        """Have the server catch up, so that whatever was decided by now is told."""
        if self.up and self._client is not None:
            try:
                self._client.sync()
            except (ConnectionEnded, Refusal):
                self._note_down()

    def _look(self) -> None:
        """Learn which watches have fired, and whether the connection still is."""
        if not self.up or self._client is None:
            return
        try:
            # Whatever was committed before is notified before this is answered.
            self._client.exists("/")
        except (ConnectionEnded, Refusal):
            self._note_down()
            return
        self._take_notifications(self._client)

    def _take_notifications(self, client: Client) -> None:
        while client.notifications:
            watch = self._watches.pop(client.notifications.pop(0).path, None)
            if watch is not None:
                self._fired.append(watch)

    def _forget_watches(self) -> None:
        """A request is over, and with it the watches that it left; but for lasting ones."""
        self._watches = {path: each for path, each in self._watches.items() if each.lasting}
        self._fired = [each for each in self._fired if each.lasting]

    # --- The connection, as the driver decides ---

    def cut(self) -> None:
        """Lose the connection; what was asked has reached the server, the answer is lost."""
        if self._client is not None and self.up:
            self._client.abandon()
        self._note_down()

    def abandon(self) -> None:
        """End as a process that is killed: the session is left to the server."""
        if self._client is not None:
            self._client.abandon()
        self._client, self.up = None, False

    def end(self) -> None:
        """End in good order, with the session."""
        if self._client is not None and self.up:
            try:
                self._client.end()
            except (ConnectionEnded, Refusal):
                self._client.abandon()
        self._client, self.up = None, False

    def _note_down(self) -> None:
        if not self.up:
            return
        self.up = False
        self._told_down = False
        self._watches.clear()
        self._fired.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.serving.close()
            told = self.mapping.unknown(exchange.request)
            if told is not None:
                self._fired.append(_Watch(told))

    # --- Delivering ---

    def deliver(self, lane: str = "") -> Delivered | None:
        """Deliver the first thing that is due, or the first of a lane.

        Returns:
            What was done; None if nothing was due.

        Raises:
            Refused: The machine has no transition for what it was told.
        """
        due = self.due()
        chosen = lane or next(
            (each for each in ("notification", "state", "answer") if each in due), ""
        )
        if chosen not in due:
            return None
        match chosen:
            case "notification":
                return self._tell("notification", self._fired.pop(0).told)
            case "answer":
                return self._deliver_answer()
            case _:
                return self._deliver_state()

    def tell(self, told: Input) -> Delivered:
        """Give the machine a command, or tell it that a deadline is reached.

        Raises:
            Refused: It has no transition for it; nothing has changed.
        """
        return self._tell("command", told)

    def _tell(self, lane: str, told: Input) -> Delivered:
        before = self.state
        requests = tuple(self.machine.step(told))
        action = self._noting.action
        delivered = Delivered(
            lane, told, action, _comment(self.machine, action), before, self.state, requests
        )
        self._observe(delivered)
        for request in requests:
            self._serve(request)
        return delivered

    def _deliver_state(self) -> Delivered | None:
        if not self._told_down:
            self._told_down = True
            self._exchange = None
            told = self.mapping.suspended()
            return self._tell("state", told) if told is not None else Delivered("state")
        try:
            self._client = self._dial(self.session, self._password)
        except SessionGone:
            self._client = self._dial(0, bytes(16))
        except ConnectionEnded:
            return None
        self.up = True
        self.session, self._password = self._client.session, self._client.password
        return self._tell("state", self.mapping.connected(self.session))

    def _deliver_answer(self) -> Delivered | None:
        exchange = self._exchange
        if exchange is None:
            raise InternalError("an answer is due to nobody")
        refused, value = exchange.refused, exchange.value
        if refused is not None:
            return self._advance(exchange, lambda: exchange.serving.throw(refused))
        return self._advance(exchange, lambda: exchange.serving.send(value))

    # --- Serving ---

    def _serve(self, request: Request) -> None:
        # A watch that fires now belongs to a request that was made before.
        self._look()
        self._forget_watches()
        serving = self.mapping.serve(request)
        if not isinstance(serving, Generator):
            raise LocalViolation(
                f"{self._table(request)} returned {serving!r}; it must be a generator, which"
                " yields each call and returns what the machine is told"
            )
        exchange = _Exchange(request, serving, Cut())
        self._exchange = exchange
        self._advance(exchange, lambda: next(serving))

    def _advance(self, exchange: _Exchange, resume: Callable[[], Call]) -> Delivered | None:
        """Run a request's generator to its next call, which is sent, or to its end."""
        try:
            exchange.call = resume()
        except StopIteration as ended:
            if self._exchange is exchange:
                self._exchange = None
            if ended.value is None:
                return Delivered("answer")
            self._require_input(exchange.request, ended.value)
            self._look()
            self._forget_watches()
            return self._tell("answer", ended.value)
        if not isinstance(exchange.call, get_args(Call)):
            kinds = ", ".join(kind.__name__ for kind in get_args(Call))
            raise LocalViolation(
                f"{self._table(exchange.request)} yielded {exchange.call!r}, which is no call;"
                f" there are {kinds}"
            )
        self._send(exchange)
        return Delivered("answer")

    def _table(self, request: Request) -> str:
        return f"{type(self.mapping).__name__}.serve({request})"

    def _require_input(self, request: Request, told: object) -> None:
        if not isinstance(told, Input):
            raise LocalViolation(
                f"{self._table(request)} returned {told!r}, which is no input; None means that no"
                " answer is due"
            )
        wrong = misfit(told)
        if wrong:
            raise LocalViolation(
                f"{self._table(request)} returned an input that cannot be: {wrong}"
            )

    def _send(self, exchange: _Exchange) -> None:
        """Make a call. The server decides it now; its answer waits until it is delivered."""
        exchange.arrived, exchange.refused = False, None
        client, call = self._client, exchange.call
        if isinstance(call, Cut):
            self.cut()
            return
        if client is None or not self.up:
            # It was asked for on a connection that is lost; nobody will answer.
            return
        how = ""
        if isinstance(call, Create | SetData | Delete | Multi):
            how, self.loses = self.loses, ""
        if how == "request":
            self.lost.append((how, exchange.request))
            self.cut()
            return
        watch = call.watch if isinstance(call, Read | Exists | Children) else None
        try:
            exchange.value = _perform(client, call)
        except CallRefused as refused:
            exchange.refused = refused
        except ConnectionEnded:
            self._note_down()
            return
        if watch is not None and exchange.refused is None:
            self._watches[call.path] = _Watch(watch, call.lasting)  # type: ignore[union-attr]
        exchange.arrived = True
        if how == "reply":
            self.lost.append((how, exchange.request))
            self.cut()


def _comment(machine: object, action: str) -> str:
    """What the specification says above an action: the docstring of the derived method."""
    text = getattr(type(machine), action).__doc__ if action else ""
    return " ".join((text or "").split())


def _wired(operation: object) -> wire.Operation:
    match operation:
        case Create(path, data, ephemeral, sequential):
            return wire.Create(path, data, ephemeral=ephemeral, sequential=sequential)
        case SetData(path, data, version):
            return wire.SetData(path, data, version)
        case Delete(path, version):
            return wire.Delete(path, version)
        case Check(path, version):
            return wire.Check(path, version)
    raise InternalError(f"{operation!r} is no operation of a multi")


def _perform(client: Client, call: Call) -> Any:  # noqa: C901 - one line for each call
    """Make a call and return what it returns.

    Raises:
        CallRefused: The server answered with an error.
        ConnectionEnded: The outcome is unknown.
    """
    try:
        match call:
            case Read(path, watch):
                return client.get_data(path, watch=watch is not None)
            case Exists(path, watch):
                return client.exists(path, watch=watch is not None)
            case Children(path, watch):
                return client.get_children(path, watch=watch is not None)
            case Sync(path):
                return client.sync(path)
            case Multi(operations):
                return client.multi([_wired(each) for each in operations])
            case Create(path, data, ephemeral, sequential):
                return client.create(path, data, ephemeral=ephemeral, sequential=sequential)
            case SetData(path, data, version):
                return client.set_data(path, data, version)
            case Delete(path, version):
                return client.delete(path, version)
            case Check():
                return client.multi([_wired(call)])
            case Cut():
                raise InternalError("a cut is nothing that is sent")
    except Refusal as refusal:
        raise CallRefused(refusal.name) from None
