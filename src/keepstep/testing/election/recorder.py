"""Record a run of an election, so that `keepstep validate` can compare it with the specification.

A recorder is told what contenders did and what servers logged, by whoever drives them: the
election suite, a campaign, or your own test of a `LeaderElection`:

    recorder = ElectionRecorder(Path("run.jsonl"))
    recorder.begin("/my/election", default_fence_path("/my/election"))
    recorder.watch("one", election, TransactionLog(server.data_directory))
    with election:
        ...
    recorder.end()

It notes what was told and done, in words of the protocol; no times, and nothing of the data
that users write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from keepstep.conformance.binding import camel_case
from keepstep.core.machine import Input, Request
from keepstep.errors import LocalViolation
from keepstep.roles.contender import ContenderFacts
from keepstep.roles.election_types import Fence, TicketName
from keepstep.shell.contender_shell import Delivered
from keepstep.shell.election import LeaderElection
from keepstep.testing.network.wire import Opcode
from keepstep.testing.servers.observer import Change, Transaction
from keepstep.tla.sources import Project, shipped_root
from keepstep.validation import recording as records
from keepstep.validation.validator import Validation, Validator, Verdict
from keepstep.znodes.epoch import decode_epoch, incarnation_name
from keepstep.znodes.latch import Ticket, ticket_name

__all__ = ["ElectionRecorder"]

_CREATES = {Opcode.CREATE, Opcode.CREATE2, Opcode.CREATE_CONTAINER, Opcode.CREATE_TTL}
_DOES: dict[Opcode, records.Does] = {
    **dict.fromkeys(_CREATES, "create"),
    Opcode.DELETE: "delete",
    Opcode.DELETE_CONTAINER: "delete",
    Opcode.SET_DATA: "set",
    Opcode.CHECK: "check",
    Opcode.SET_ACL: "set_acl",
    Opcode.RECONFIG: "reconfig",
}


class ElectionRecorder:
    """Writes what it is told as a recording; all methods may be called on any thread.

    Args:
        file: Where to write; None keeps the recording in memory only.
        source: Who records, for the reader of the file.
        seed: What repeats the run, if anything does.
        project: The project whose specification the run shall be compared with.
        validator: Compares the run with the specification; None leaves that to others.

    Attributes:
        validating: For how many seconds what was recorded was compared with the specification.
    """

    def __init__(
        self,
        file: Path | None = None,
        *,
        source: str = "",
        seed: int | None = None,
        project: Project | None = None,
        validator: Validator | None = None,
    ) -> None:
        self._file = file
        self._source = source
        self._seed = seed
        self._project = Project(shipped_root()) if project is None else project
        self._validator = validator
        self._lock = threading.RLock()
        self._out: IO[bytes] | None = None
        self._header: records.Header | None = None
        self._records: list[records.Record] = []
        self._numbers: dict[str, int] = {}
        self._sessions: set[int] = set()
        self._ended = False
        self.validating = 0.0

    @property
    def recording(self) -> records.Recording:
        """What was recorded so far.

        Raises:
            LocalViolation: Nothing was.
        """
        with self._lock:
            if self._header is None:
                raise LocalViolation("the recorder was not told which election it records")
            return records.Recording(
                self._header, tuple(self._records), str(self._file or "the run")
            )

    def divergence(self) -> str | None:
        """Why what was recorded so far is no behaviour of the specification.

        Returns:
            None if it is one, or if the recorder has no validator.
        """
        if self._validator is None:
            return None
        found = self.validate(self._validator)
        return str(found) if found.verdict is Verdict.DIVERGES else None

    def validate(self, validator: Validator) -> Validation:
        """Compare what was recorded so far with the specification."""
        found = validator.validate(self.recording)
        self.validating += found.statistics.seconds
        return found

    # --- The recording ---

    def begin(
        self,
        latch: str,
        fence: str,
        servers: int = 1,
        *,
        log_read: records.LogRead = records.EACH_STEP,
        server: str = "",
    ) -> None:
        """Begin to record an election.

        Args:
            latch: Directory of its tickets. It must not exist yet.
            fence: Directory of its epoch.
            servers: Number of servers.
            log_read: When `transactions` is called, one of the words of `recording`: the
                default is for contenders on threads of their own with `watch`.
            server: Version of the servers; "" if it is not known.

        Raises:
            LocalViolation: It has begun before.
        """
        with self._lock:
            if self._header is not None:
                raise LocalViolation("a recorder records one election: make another")
            digests = records.spec_digests(self._project)
            self._header = records.Header(
                records.FORMAT, records.PROTOCOL, digests, latch, fence, servers, log_read,
                self._seed, self._source, server=server,
            )  # fmt: skip
            if self._file is not None:
                self._out = self._file.open("wb")
                self._out.write(records.encode(self._header) + b"\n")

    def end(self) -> None:
        """The run is over; may be called again, and nothing is recorded after it."""
        with self._lock:
            if self._header is None or self._ended:
                return
            self._add(records.End(len(self._records)))
            self._ended = True
            if self._out is not None:
                self._out.close()

    def _add(self, record: records.Record) -> None:
        if self._ended:
            return
        self._records.append(record)
        if self._out is not None:
            self._out.write(records.encode(record) + b"\n")

    def _next(self, process: str) -> int:
        number = self._numbers.get(process, 0)
        self._numbers[process] = number + 1
        return number

    # --- Contenders ---

    def started(self, process: str, node: str) -> None:
        """A contender begins.

        Args:
            process: A name that no other contender of this recording has or had.
            node: Its uuid.
        """
        with self._lock:
            self._add(records.Start(process, self._next(process), node))

    def stopped(self, process: str) -> None:
        """A contender has ended, in whatever way."""
        with self._lock:
            self._add(records.Stop(process, self._next(process)))

    def delivered(self, process: str, delivered: Delivered, facts: ContenderFacts) -> None:
        """Something was delivered to a contender; after `transactions`, if the log was read.

        Args:
            process: Its name.
            delivered: As the shell tells it to its `observe`.
            facts: What its machine remembers since.
        """
        with self._lock:
            number = self._next(process)
            told, action = delivered.told, delivered.action
            if told is None or action is None:
                what = type(delivered.arrival).__name__ if delivered.arrival else "Timer"
                lane = str(delivered.lane)
                self._add(records.Outcome(process, number, lane, what, delivered.stale))
                return
            content = _fields(told)
            if "session" in content:
                self._sessions.add(getattr(told, "session", 0))
            self._add(
                records.Input(
                    process,
                    number,
                    type(told).__name__,
                    _action_name(action),
                    delivered.before,
                    delivered.after,
                    _fields(facts),
                    content,
                    tuple({"asks": type(r).__name__, **_fields(r)} for r in delivered.requests),
                )
            )

    # --- Servers ---

    def transactions(self, found: Iterable[Transaction]) -> None:
        """Transactions were read from the servers' log, in order and none left out."""
        with self._lock:
            if self._header is None:
                return
            for transaction in found:
                record = self._transaction(transaction, self._header)
                if record is not None:
                    self._add(record)

    def wiped(self) -> None:
        """The servers have lost all their data."""
        with self._lock:
            self._add(records.Fault("wipe"))

    def _transaction(
        self, found: Transaction, header: records.Header
    ) -> records.Transaction | None:
        zxid, session = f"0x{found.zxid:x}", _session(found.session)
        if not found.applied:
            ours = found.kind is Opcode.MULTI and found.session in self._sessions
            refusal = records.Transaction(zxid, session, "refuse", refused=found.refused)
            return refusal if ours else None
        if found.kind is Opcode.CREATE_SESSION:
            return records.Transaction(zxid, session, "open")
        if found.kind is Opcode.CLOSE_SESSION:
            gone = tuple(p for c in found.changes for p in c.deleted if _is_in(p, header.latch))
            return records.Transaction(zxid, session, "close", deleted=gone)
        ours = found.session in self._sessions
        changes = tuple(
            _change(change, header.fence)
            for change in found.changes
            if ours or _is_in(change.path, header.latch) or _is_in(change.path, header.fence)
        )
        return records.Transaction(zxid, session, "write", changes) if changes else None

    # --- A LeaderElection ---

    def watch(
        self,
        process: str,
        election: LeaderElection,
        read_log: Callable[[], Sequence[Transaction]] | None = None,
    ) -> None:
        """Record what a `LeaderElection` does from now on; before it is started.

        Args:
            process: A name that no other contender of this recording has or had.
            election: The election; it was not started yet.
            read_log: Reads on in the servers' log, for example `TransactionLog.read`; called
                after each step. None if somebody else calls `transactions`.
        """
        shell = election.shell

        def observe(delivered: Delivered) -> None:
            with self._lock:
                if read_log is not None:
                    self.transactions(read_log())
                self.delivered(process, delivered, shell.facts)

        self.started(process, shell.node)
        shell.add_observer(observe)


def _action_name(action: str) -> str:
    name = camel_case(action)
    return name[:1].upper() + name[1:]


def _session(session: int) -> str:
    return f"0x{session:x}"


def _is_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + "/")


def _change(change: Change, fence: str) -> records.Change:
    epoch = None
    if change.data and change.path.rpartition("/")[0] == fence:
        epoch = decode_epoch(change.data).epoch
    return records.Change(_DOES[change.kind], change.path, change.version, epoch, change.ephemeral)


def _fields(of: Input | Request | ContenderFacts) -> dict[str, Any]:
    return {item.name: _written(item.name, getattr(of, item.name)) for item in fields(of)}


def _written(name: str, value: Any) -> Any:
    """A value as it stands in a record."""
    match value:
        case None:
            return None
        case int() if name == "session":
            return _session(value)
        case TicketName(node, number):
            return ticket_name(Ticket(node, number))
        case Fence(incarnation, version, epoch):
            return {
                "incarnation": incarnation_name(incarnation), "version": version, "epoch": epoch,
            }  # fmt: skip
        case frozenset():
            return sorted(_written("ticket", each) for each in value)
        case Mapping():
            return {key: _written(key, item) for key, item in value.items()}
    return value
