"""Contenders that are processes of their own, and are driven all the same step by step.

A `RemoteContender` has the methods of a `ContenderShell` that an election under test needs. The
shell itself, its kazoo client and all of its threads live in another process, which does only
what it is told through a pipe, one call at a time, and lets nothing pass unobserved: each thing
that the shell tells its owner is answered before the shell goes on. So a run is recorded and
decided as if the shell lived here. But the process can be stopped by a signal, with everything
in it: its client is not heard of any more, servers end its session, and when it goes on it is a
zombie that knows nothing of that.

The process keeps one shell at a time, and is used for one contender after the other.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from keepstep.core.ids import NodeId
from keepstep.core.machine import Request
from keepstep.errors import LocalViolation, RemoteViolation, ToolFailed
from keepstep.roles.contender import ContenderFacts
from keepstep.shell.clock import ManualClock
from keepstep.shell.contender_shell import (
    Change,
    ContenderShell,
    Delivered,
    Elected,
    Failed,
    Leadership,
    Revoked,
)
from keepstep.shell.inbox import Answer, Lane
from keepstep.shell.settings import ElectionSettings
from keepstep.testing.servers.ensemble import ended_by_us, ends_with_us, environment_of_ours

__all__ = ["ContenderProcess", "ContenderRaised", "RemoteContender", "can_live_elsewhere"]

_PATIENCE = 30.0
_QUITTING = 5.0


class ContenderRaised(Exception):
    """A shell in another process has raised this, in words."""


@dataclass(frozen=True, slots=True)
class _Status:
    """What can be seen of a shell from outside."""

    state: str
    facts: ContenderFacts
    session: int | None
    stopped: bool
    outstanding: Request | None
    pending: Mapping[Lane, int]
    connected: bool
    client_id: tuple[int, bytes] | None
    last_zxid: int


@dataclass(frozen=True, slots=True)
class _Client:
    """What an election under test asks of a shell's client."""

    connected: bool
    client_id: tuple[int, bytes] | None
    last_zxid: int


def can_live_elsewhere(chosen: type[ContenderShell]) -> bool:
    """Whether another process can find this class by its module and name."""
    found: object = sys.modules.get(chosen.__module__)
    for word in chosen.__qualname__.split("."):
        found = getattr(found, word, None)
    return found is chosen and bool(getattr(sys.modules[chosen.__module__], "__file__", None))


# --- Here ---------------------------------------------------------------------------------


class ContenderProcess:
    """A process in which a shell can live.

    Attributes:
        process_id: Its process id.

    Raises:
        ToolFailed: It does not start.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            directory = Path.cwd()
            self._process = subprocess.Popen(
                # As a module it would be called __main__, and its classes would be other ones.
                [
                    sys.executable,
                    "-c",
                    f"from {__name__} import main; main()",
                    str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=directory,
                env=environment_of_ours(),
                start_new_session=True,
            )
        ends_with_us(self._process.pid, directory)
        self.process_id = self._process.pid
        self._connection = Connection(ours.detach())
        self._kernel = psutil.Process(self.process_id)

    @property
    def stands_still(self) -> bool:
        """Whether it was stopped by a signal."""
        return bool(self._kernel.status() == psutil.STATUS_STOPPED)

    def go_on(self) -> None:
        """Let it run, if it was stopped."""
        self._kernel.resume()

    def tell(self, order: tuple[Any, ...]) -> None:
        """Send something.

        Raises:
            ToolFailed: The process has ended.
        """
        try:
            self._connection.send(order)
        except OSError as error:
            raise ToolFailed(f"the contender's process has ended: {error}") from error

    def hear(self) -> tuple[Any, ...]:
        """What it says next.

        Raises:
            ToolFailed: It has ended, or says nothing for long.
        """
        try:
            if not self._connection.poll(_PATIENCE):
                raise ToolFailed(f"the contender's process is silent for {_PATIENCE:g} s")
            told: tuple[Any, ...] = self._connection.recv()
        except (EOFError, OSError) as error:
            raise ToolFailed("the contender's process has ended") from error
        return told

    def close(self) -> None:
        """End it, whatever it does; may be called again."""
        self._connection.close()
        if self._process.poll() is None:
            self.go_on()
            try:
                self._process.wait(_QUITTING)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        ended_by_us(self.process_id)


class RemoteContender:
    """A shell in another process; takes the same arguments as a `ContenderShell`.

    While its process is stopped it shows what was seen last, and orders wait.

    Args:
        process: Where it is to live; the shell that lived there is over.
        chosen: The class of the shell.
        settings: The election, and its part in it.
        hosts: Where the servers are.
        client_options: Further arguments of KazooClient.
        clock: The time, which only this side moves.
        report: Called with each change.
        observe: Called with what each delivery did.
        node: The contender's node.
        draw: Returns a random number of 128 bits.
    """

    def __init__(
        self,
        process: ContenderProcess,
        chosen: type[ContenderShell],
        settings: ElectionSettings,
        *,
        hosts: str,
        client_options: Mapping[str, Any],
        clock: ManualClock,
        report: Callable[[Change], None],
        observe: Callable[[Delivered], None],
        node: NodeId,
        draw: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.node = node
        self._process = process
        self._clock = clock
        self._asked: Mapping[str, Callable[[Any], Any]] = {
            "report": lambda change: report(self._unpacked(change)),
            "observe": observe,
            "draw": lambda _: draw(),
        }
        self._leadership: Leadership | None = None
        self._waiting: list[tuple[str, tuple[Any, ...]]] = []
        file = getattr(sys.modules[chosen.__module__], "__file__", None)
        where = chosen.__module__, file, chosen.__qualname__
        self._status: _Status
        self._converse("make", (where, settings, hosts, dict(client_options), node))

    # --- The conversation ---

    def _converse(self, what: str, arguments: tuple[Any, ...]) -> Any:
        self._process.tell((what, self._clock.now(), arguments))
        while True:
            kind, content, self._status = self._process.hear()
            if kind == "done":
                return content
            if kind == "raised":
                raise ContenderRaised(content)
            self._process.tell(("told", self._clock.now(), self._asked[kind](content)))

    def _call(self, name: str, *arguments: Any) -> Any:
        waiting, self._waiting = self._waiting, []
        for order, given in waiting:
            self._converse(order, given)
        return self._converse(name, arguments)

    def _order(self, name: str, *arguments: Any) -> None:
        """Call it now, or as soon as the process goes on."""
        if self._process.stands_still:
            self._waiting.append((name, arguments))
        else:
            self._call(name, *arguments)

    def _look(self) -> _Status:
        if not self._process.stands_still:
            self._call("look")
        return self._status

    def _unpacked(self, change: Any) -> Change:
        """A change as the shell reported it, with a leadership that is the same as before."""
        match change:
            case ("elected", epoch, incarnation, at):
                self._leadership = Leadership(epoch, incarnation)
                return Elected(self._leadership, at)
            case ("revoked", epoch, incarnation, reason, at):
                leadership = self._leadership or Leadership(epoch, incarnation)
                leadership.revoked.set()
                return Revoked(leadership, reason, at)
            case ("failed", words, at):
                return Failed(RemoteViolation(words), at)
        told: Change = change
        return told

    # --- As ContenderShell has it ---

    @property
    def state(self) -> str:
        """State of the role machine."""
        return self._status.state

    @property
    def facts(self) -> ContenderFacts:
        """What the role machine remembers."""
        return self._status.facts

    @property
    def session(self) -> int | None:
        """The session that the shell was last told about."""
        return self._status.session

    @property
    def stopped(self) -> bool:
        """Whether the shell was closed, was abandoned or has failed."""
        return self._status.stopped

    @property
    def outstanding(self) -> Request | None:
        """The request whose answer has not been taken yet."""
        return self._status.outstanding

    @property
    def client(self) -> _Client:
        """How things stand with its client."""
        status = self._look()
        return _Client(status.connected, status.client_id, status.last_zxid)

    def pending(self, lane: Lane | None = None) -> int:
        """How many arrivals wait, in one lane or in all."""
        pending = self._look().pending
        return sum(pending.values()) if lane is None else pending[lane]

    def start(self) -> None:
        """Begin to connect."""
        self._call("start")

    def deliver_one(self, timeout: float = 0.0, lane: Lane | None = None) -> Delivered | None:
        """Deliver the next thing; nothing while the process is stopped."""
        if self._process.stands_still:
            return None
        delivered: Delivered | None = self._call("deliver_one", timeout, lane)
        return delivered

    def write(self, operations: Sequence[Any]) -> None:
        """Order a fenced write; nobody hears of its result."""
        self._order("write", list(operations))

    def resign(self) -> None:
        """Order to hand over."""
        self._order("resign")

    def replace_client(self) -> None:
        """Give the client up, with its session, and start another."""
        self._order("replace_client")

    def close(self, timeout: float = 5.0) -> None:
        """Hand over, delete the ticket and end the session."""
        self._process.go_on()
        self._call("close", timeout)

    def abandon(self) -> None:
        """End as if the process had been killed: the session is left to the server."""
        self._process.go_on()
        self._waiting.clear()
        self._call("abandon")


# --- There --------------------------------------------------------------------------------


def _class_at(module: str, file: str, name: str) -> type[ContenderShell]:
    if module not in sys.modules:
        try:
            importlib.import_module(module)
        except ImportError:
            # Whoever made it has loaded it from a file, under a name of their own.
            spec = importlib.util.spec_from_file_location(module, file)
            if spec is None or spec.loader is None:
                raise LocalViolation(f"{file} cannot be loaded") from None
            sys.modules[module] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[module])
    found: Any = sys.modules[module]
    for word in name.split("."):
        found = getattr(found, word)
    chosen: type[ContenderShell] = found
    return chosen


class _Stage:
    """What the process of a contender does."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._shell: ContenderShell | None = None
        self._clock = ManualClock()

    def run(self) -> None:
        """Do what is told until the other side hangs up."""
        while True:
            try:
                what, now, arguments = self._connection.recv()
            except (EOFError, OSError):
                return
            self._clock.advance(now - self._clock.now())
            try:
                self._say("done", self._do(what, arguments))
            except (EOFError, BrokenPipeError):
                return
            except Exception as error:  # noqa: BLE001 - the other side decides what it means
                self._say("raised", f"{type(error).__name__}: {error}")

    def _say(self, kind: str, content: Any) -> None:
        self._connection.send((kind, content, self._status()))

    def _ask(self, kind: str, content: Any = None) -> Any:
        self._say(kind, content)
        _, _, answer = self._connection.recv()
        return answer

    def _make(
        self,
        where: tuple[str, str, str],
        settings: ElectionSettings,
        hosts: str,
        client_options: Mapping[str, Any],
        node: NodeId,
    ) -> None:
        self._clock = ManualClock()
        self._shell = _class_at(*where)(
            settings,
            hosts=hosts,
            client_options=client_options,
            clock=self._clock,
            report=lambda change: self._ask("report", _packed(change)),
            observe=lambda delivered: self._ask("observe", _bare(delivered)),
            node=node,
            draw=lambda: int(self._ask("draw")),
        )

    def _do(self, what: str, arguments: tuple[Any, ...]) -> Any:
        shell = self._shell
        if what == "make":
            self._make(*arguments)
            return None
        if shell is None:
            raise LocalViolation("there is no shell yet")
        if what == "look":
            return None
        result = getattr(shell, what)(*arguments)
        return _bare(result) if isinstance(result, Delivered) else None

    def _status(self) -> _Status | None:
        shell = self._shell
        if shell is None:
            return None
        client = shell.client
        return _Status(
            state=shell.state,
            facts=shell.facts,
            session=shell.session,
            stopped=shell.stopped,
            outstanding=shell.outstanding,
            pending={lane: shell.pending(lane) for lane in Lane},
            connected=bool(client.connected),
            client_id=client.client_id,
            last_zxid=client.last_zxid,
        )


def _packed(change: Change) -> Any:
    """A change in a form that can be sent."""
    match change:
        case Elected(leadership, at):
            return "elected", leadership.epoch, leadership.incarnation, at
        case Revoked(leadership, reason, at):
            return "revoked", leadership.epoch, leadership.incarnation, reason, at
        case Failed(error, at):
            return "failed", f"{type(error).__name__}: {error}", at
    return change


def _bare(delivered: Delivered) -> Delivered:
    """What was delivered, without what kazoo has returned, which nobody looks at."""
    if isinstance(delivered.arrival, Answer):
        return replace(delivered, arrival=replace(delivered.arrival, value=None, error=None))
    return delivered


def main() -> None:
    """The process of a contender; its argument is the number of its end of the pipe."""
    for name in ("kazoo", "keepstep.shell"):
        # Broken connections are what this is about.
        logging.getLogger(name).addHandler(logging.NullHandler())
    _Stage(Connection(int(sys.argv[1]))).run()
    # kazoo's threads need not be waited for.
    os._exit(0)
