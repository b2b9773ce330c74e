"""`keepstep contend`: one contender as a process."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import queue
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import click
from kazoo.exceptions import NodeExistsError, NoNodeError

from keepstep.errors import KeepstepError, LocalViolation
from keepstep.shell import (
    Change,
    ConnectionDown,
    ConnectionUp,
    Create,
    Elected,
    Failed,
    LeaderElection,
    LeadershipLost,
    Revoked,
    SetData,
    Unhealthy,
    WriteUnknown,
)
from keepstep.shell.clock import SystemClock
from keepstep.shell.settings import DEFAULT_SESSION_TIMEOUT, DEFAULT_TICK
from keepstep.znodes.paths import validate_path

__all__ = ["command"]

COMMANDS = ("write", "resign", "quit")


class OutputLost(KeepstepError):
    """Standard output takes nothing any more, so that nobody would hear of what happens."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of standard input."""

    text: str


@dataclass(frozen=True, slots=True)
class _Written:
    """A write was decided."""

    result: Future[list[Any]]
    number: int
    epoch: int | None
    creating: bool


class _Contender:
    """Prints what happens and does what it reads; one thread prints.

    Args:
        election: The election, whose changes are put into the queue.
        happenings: What is to be printed or done.
        record: Path of the znode that `write` replaces.
        as_json: Whether lines are JSON objects.
    """

    def __init__(
        self,
        election: LeaderElection,
        happenings: queue.SimpleQueue[Change | _Line | _Written],
        record: str,
        *,
        as_json: bool,
    ) -> None:
        self._election = election
        self._happenings = happenings
        self._record = record
        self._as_json = as_json
        self._writes = 0

    def run(self) -> None:
        """Serve until `quit` is read.

        Raises:
            OutputLost: A line cannot be printed.
            KeepstepError: The election has failed.
        """
        while True:
            match self._happenings.get():
                case _Line(text):
                    if not self._obey(text):
                        return
                case _Written() as written:
                    self._show_write(written)
                case Failed(error):
                    raise error
                case change:
                    self._show_change(change)

    def finish(self) -> None:
        """Print what is still to be told once the election is closed."""
        while not self._happenings.empty():
            match self._happenings.get():
                case _Line() | Failed():
                    continue
                case _Written() as written:
                    self._show_write(written)
                case change:
                    self._show_change(change)

    def _print(self, event: str, text: str, at: float, **fields: Any) -> None:
        if self._as_json:
            line = json.dumps({"event": event, "id": self._election.identity, "at": at} | fields)
        else:
            line = f"{event}{': ' if text else ''}{text}"
        try:
            click.echo(line)
        except BrokenPipeError:
            raise
        except OSError as error:
            _drop_output()
            raise OutputLost(f"standard output cannot be written: {error.strerror}") from None

    def _show_change(self, change: Change) -> None:
        match change:
            case ConnectionUp(session, at):
                self._print("connected", f"session {session:#x}", at, session=f"{session:#x}")
            case ConnectionDown(at):
                self._print("disconnected", "", at)
            case Elected(leadership, at):
                text = f"epoch {leadership.epoch}, incarnation {leadership.incarnation}"
                fields = {"epoch": leadership.epoch, "incarnation": leadership.incarnation}
                self._print("elected", text, at, **fields)
            case Revoked(leadership, reason, at):
                text = f"epoch {leadership.epoch}, {reason.value}"
                fields = {"epoch": leadership.epoch, "reason": reason.value}
                self._print("revoked", text, at, **fields)
            case Unhealthy(message, at):
                self._print("unhealthy", message, at, reason=message)
            case Failed():
                return

    def _obey(self, text: str) -> bool:
        match text.strip():
            case "":
                return True
            case "write":
                self._writes += 1
                self._write(self._writes, creating=False)
            case "resign":
                self._election.resign()
            case "quit":
                return False
            case other:
                known = ", ".join(COMMANDS)
                click.echo(f"keepstep: {other!r} is no command; there are {known}", err=True)
        return True

    def _write(self, number: int, *, creating: bool) -> None:
        epoch = self._election.epoch
        content = {"leader": self._election.identity, "epoch": epoch, "number": number}
        kind = Create if creating else SetData
        operation = kind(self._record, json.dumps(content).encode())
        future = self._election.submit(operation, epoch=epoch)
        future.add_done_callback(
            lambda done: self._happenings.put(_Written(done, number, epoch, creating))
        )

    def _show_write(self, written: _Written) -> None:
        error = written.result.exception()
        if isinstance(error, NoNodeError) and not written.creating:
            self._write(written.number, creating=True)
            return
        if isinstance(error, NodeExistsError) and written.creating:
            self._write(written.number, creating=False)
            return
        match error:
            case None:
                outcome = "written"
            case LeadershipLost():
                outcome = "refused"
            case WriteUnknown():
                outcome = "unknown"
            case _:
                outcome = "failed"
        reason = "" if error is None else str(error) or type(error).__name__
        text = f"number {written.number}, {outcome}{': ' if reason else ''}{reason}"
        fields = {
            "number": written.number,
            "epoch": written.epoch,
            "outcome": outcome,
            "reason": reason,
        }
        self._print("write", text, SystemClock().now(), **fields)


def _drop_output() -> None:
    """Let standard output go nowhere: Python would try again, when it ends, what has failed."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _read_lines(happenings: queue.SimpleQueue[Change | _Line | _Written]) -> None:
    """Pass standard input on; at its end the contender goes on without."""
    # Not through sys.stdin: its lock, held while waiting, would be missed when Python ends.
    partial = b""
    # Input that cannot be read is input that has ended.
    with contextlib.suppress(OSError):
        while data := os.read(0, 4096):
            *lines, partial = (partial + data).split(b"\n")
            for line in lines:
                happenings.put(_Line(line.decode(errors="replace")))
    if partial:
        happenings.put(_Line(partial.decode(errors="replace")))


@click.command()
@click.argument("hosts")
@click.argument("path")
@click.option("--id", "identity", required=True, help="Our participant id, e.g. http://host:8090.")
@click.option(
    "--session-timeout",
    type=float,
    default=DEFAULT_SESSION_TIMEOUT,
    show_default=True,
    help="Seconds that our session outlives its last sign of life.",
)
@click.option(
    "--tick",
    type=float,
    default=DEFAULT_TICK,
    show_default=True,
    help="Seconds; the tickTime of the servers.",
)
@click.option("--fence-path", help="Where the epoch is kept.  [default: /keepstep and PATH]")
@click.option("--record", help="The znode that `write` replaces.  [default: beside the epoch]")
@click.option(
    "--start-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=15.0,
    show_default=True,
    help="Seconds to wait for the first connection.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(
    hosts: str,
    path: str,
    identity: str,
    session_timeout: float,
    tick: float,
    fence_path: str | None,
    record: str | None,
    start_timeout: float,
    as_json: bool,  # noqa: FBT001 - click passes it by keyword
) -> None:
    """Contend for leadership of the election at PATH on the servers HOSTS.

    Prints each change as a line. Standard input takes `write` (a fenced write to one znode),
    `resign` (hand over and queue again) and `quit`. SIGTERM and SIGINT hand over and end.

    Exit codes: 0 ended as ordered; 2 no server answers, the election cannot go on, or standard
    output cannot be written. Leadership is handed over in any case.
    """
    if math.isnan(start_timeout):
        # NaN is in every range: no comparison with it is true.
        raise LocalViolation("--start-timeout must be a number of seconds, not nan")
    if record is not None:
        validate_path(record, "--record")
    # kazoo tells each lost connection as a warning; our lines say it already.
    logging.getLogger("kazoo").addHandler(logging.NullHandler())
    logging.getLogger("kazoo").propagate = False
    happenings: queue.SimpleQueue[Change | _Line | _Written] = queue.SimpleQueue()
    election = LeaderElection(
        path,
        identity,
        hosts=hosts,
        on_change=happenings.put,
        session_timeout=session_timeout,
        tick=tick,
        fence_path=fence_path,
    )
    record = f"{election.settings.fence_path}.record" if record is None else record
    contender = _Contender(election, happenings, record, as_json=as_json)
    try:
        election.start(start_timeout)
        # Where there is no standard input, its number belongs to something else by now, as to
        # the connection, whose answers must not be read away.
        if sys.stdin is not None:
            threading.Thread(target=_read_lines, args=(happenings,), daemon=True).start()
        contender.run()
    except OutputLost as error:
        raise OutputLost(f"{error}; leadership is handed over") from None
    except KeyboardInterrupt:
        click.echo("keepstep: asked to end; handing over", err=True)
    finally:
        election.close()
        contender.finish()
