"""What was written, as the server tells it: an observer of the tree, and the transaction log.

Neither believes anything that a client under test says. The log is the file that the server
itself writes before it answers, so it holds every accepted write, in order, whoever heard of it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from keepstep.errors import RemoteViolation
from keepstep.testing.network.wire import (
    ERROR_NAMES,
    Address,
    ConnectionEnded,
    JuteReader,
    Opcode,
    Refusal,
    SessionGone,
    Stat,
    WireClient,
)

__all__ = ["Change", "Observer", "Transaction", "TransactionLog", "Znode", "read_transactions"]

_FILE_HEADER = struct.Struct("!4siq")
_ENTRY_HEADER = struct.Struct("!qi")
_ENTRY_ZXID = struct.Struct("!12xq")
_END_OF_ENTRY = b"B"
_LOG_VERSION = 2
_CREATES = {Opcode.CREATE, Opcode.CREATE2, Opcode.CREATE_CONTAINER, Opcode.CREATE_TTL}


class Znode(NamedTuple):
    """A znode's data and stat."""

    data: bytes
    stat: Stat


class Observer:
    """A client of its own that only reads. It makes a new session whenever the old one is gone.

    Args:
        address: The server to read from.
        timeout: Seconds to wait for each answer.
    """

    def __init__(self, address: Address, timeout: float = 5.0) -> None:
        self._address = address
        self._timeout = timeout
        self._client: WireClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End its session; may be called again."""
        if self._client:
            with self._client:
                self._client = None

    @property
    def session(self) -> int:
        """Its session, or 0 while it has none; for oracles that count sessions."""
        return self._client.session if self._client else 0

    def _connected(self) -> WireClient:
        if self._client is None:
            self._client = WireClient(self._address, session_timeout=60, timeout=self._timeout)
        return self._client

    def _fresh(self) -> WireClient:
        """A client that works, and that sees all that its server's leader had committed."""
        try:
            client = self._connected()
            client.sync()
        except (ConnectionEnded, Refusal, SessionGone):
            if self._client:
                self._client.abandon()
            self._client = None
            client = self._connected()
            client.sync()
        return client

    def read(self, path: str) -> Znode | None:
        """A znode, or None if it is not there.

        Raises:
            ConnectionEnded: The server does not answer.
        """
        client = self._fresh()
        try:
            return Znode(*client.get_data(path))
        except Refusal as refusal:
            if refusal.name == "NoNode":
                return None
            raise

    def children(self, path: str) -> list[str] | None:
        """Names of the children of a znode, sorted; None if it is not there."""
        client = self._fresh()
        try:
            return client.get_children(path)
        except Refusal as refusal:
            if refusal.name == "NoNode":
                return None
            raise

    def tree(self, path: str = "/") -> dict[str, Znode]:
        """The znode at `path` and all below it, by path; without ZooKeeper's own `/zookeeper`.

        What changes during the reading may be seen or not.
        """
        client = self._fresh()
        found: dict[str, Znode] = {}
        waiting = [path]
        while waiting:
            here = waiting.pop()
            if here == "/zookeeper":
                continue
            try:
                znode = Znode(*client.get_data(here))
                names = client.get_children(here) if znode.stat.num_children else []
            except Refusal as refusal:
                if refusal.name == "NoNode":
                    continue
                raise
            found[here] = znode
            waiting += [f"{here.rstrip('/')}/{name}" for name in reversed(names)]
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """One operation of a transaction that was applied.

    Attributes:
        kind: What it was.
        path: The znode; empty for the records of sessions.
        data: Data of a create or a set.
        version: Of a set the version that the znode has since; of a check the one that it had;
            else -1.
        ephemeral: Whether a create made an ephemeral.
        deleted: Ephemerals that the end of a session deleted.
    """

    kind: Opcode
    path: str = ""
    data: bytes = b""
    version: int = -1
    ephemeral: bool = False
    deleted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transaction:
    """One entry of a transaction log.

    Attributes:
        zxid: Its place in the order of all.
        session: The session whose request it was.
        xid: Number of that request within its connection.
        milliseconds: When the server took it, since 1970. No order may be concluded from it.
        kind: Kind of the request; `ERROR` if it was refused.
        changes: What it did, in order; empty if it was refused.
        error: Why it was refused, by ZooKeeper's name; empty if it was applied.
        refused: Of a multi that was refused, which operation was, from 0; -1 of all else.
    """

    zxid: int
    session: int
    xid: int
    milliseconds: int
    kind: Opcode
    changes: tuple[Change, ...] = ()
    error: str = ""
    refused: int = -1

    @property
    def applied(self) -> bool:
        """Whether it changed anything; requests that were refused are logged too."""
        return not self.error


def read_transactions(directory: Path, after: int = -1) -> list[Transaction]:
    """All transactions in a server's logs, in order of zxid. The server may be running.

    The server writes an entry before it answers the request, so whatever any client or
    observer has seen is in the result. Of an ensemble's member the last entries may not be
    committed yet.

    Args:
        directory: `ZooKeeperServer.data_directory`.
        after: Leave out transactions up to this zxid.

    Raises:
        RemoteViolation: A file is no transaction log, or an entry is damaged.
    """
    return TransactionLog(directory, after).read()


class TransactionLog:
    """A server's transaction logs, read on from where reading stopped.

    Args:
        directory: `ZooKeeperServer.data_directory`.
        after: Leave out transactions up to this zxid, and files that hold no later ones.
    """

    def __init__(self, directory: Path, after: int = -1) -> None:
        self._directory = directory
        self._file: Path | None = None
        self._offset = 0
        self._newest = after

    def begin_anew(self) -> None:
        """Forget what was read: the server's data was removed."""
        self._file, self._offset, self._newest = None, 0, -1

    @property
    def newest(self) -> int:
        """The newest zxid that was read; -1 if none was."""
        return self._newest

    def read(self) -> list[Transaction]:
        """The transactions that were logged since the last call, in order of zxid.

        Raises:
            RemoteViolation: A file is no transaction log, or an entry is damaged.
        """
        logs = sorted(self._directory.glob("log.*"), key=lambda log: int(log.suffix[1:], 16))
        if self._file in logs:
            logs = logs[logs.index(self._file) :]
        else:
            # A file is named by its first transaction.
            later = [i for i, log in enumerate(logs) if int(log.suffix[1:], 16) <= self._newest]
            logs = logs[later[-1] :] if later else logs
        found = []
        for log in logs:
            if log != self._file:
                self._file, self._offset = log, 0
            for entry in self._entries(log):
                # After a restart the server may log a transaction of the last file again.
                if entry.zxid > self._newest:
                    self._newest = entry.zxid
                    found.append(entry)
        return found

    def _entries(self, log: Path) -> Iterator[Transaction]:
        with log.open("rb") as file:
            if self._offset == 0:
                header = file.read(_FILE_HEADER.size)
                if len(header) < _FILE_HEADER.size or header.startswith(b"\0"):
                    return
                magic, version, _ = _FILE_HEADER.unpack(header)
                if magic != b"ZKLG" or version != _LOG_VERSION:
                    raise RemoteViolation(f"{log} is no transaction log that is understood here")
                self._offset = _FILE_HEADER.size
            file.seek(self._offset)
            content = file.read()
        start, offset = self._offset, 0
        while offset + _ENTRY_HEADER.size <= len(content):
            checksum, length = _ENTRY_HEADER.unpack_from(content, offset)
            begin = offset + _ENTRY_HEADER.size
            end = begin + length
            # The file is padded with zeros; an entry that is being written lacks its end mark.
            if length <= 0 or content[end : end + 1] != _END_OF_ENTRY:
                return
            entry = content[begin:end]
            if zlib.adler32(entry) != checksum:
                raise RemoteViolation(f"{log}: the entry at byte {start + offset} is damaged")
            offset = end + 1
            self._offset = start + offset
            # Of a long log only the end is wanted; to understand all of it would take long.
            if _zxid_of_entry(entry) > self._newest:
                yield _transaction(entry)


def _zxid_of_entry(entry: bytes) -> int:
    (zxid,) = _ENTRY_ZXID.unpack_from(entry)
    return int(zxid)


def _transaction(entry: bytes) -> Transaction:
    reader = JuteReader(entry)
    session, xid, zxid = reader.long(), reader.number(), reader.long()
    milliseconds, kind = reader.long(), reader.number()
    changes, error, refused = _changes(kind, reader)
    return Transaction(
        zxid, session, xid, milliseconds, Opcode(kind), () if error else changes, error, refused
    )


def _changes(kind: int, reader: JuteReader) -> tuple[tuple[Change, ...], str, int]:
    """The operations of one record; if it was refused the error's name, and which one was."""
    if kind == Opcode.ERROR:
        code = reader.number()
        return (), ERROR_NAMES.get(code, f"error {code}"), -1
    if kind == Opcode.MULTI:
        changes: list[Change] = []
        errors = []
        for _ in range(reader.number()):
            part_kind, part = reader.number(), reader.buffer() or b""
            part_changes, error, _ = _changes(part_kind, JuteReader(part))
            changes += part_changes
            errors.append(error)
        # Operations before the failing one are logged with code 0, those after it as inconsistent.
        for place, error in enumerate(errors):
            if error not in {"", "error 0", "RuntimeInconsistency"}:
                return tuple(changes), error, place
        return tuple(changes), "", -1
    return (_change(kind, reader),), "", -1


def _change(kind: int, reader: JuteReader) -> Change:
    opcode = Opcode(kind)
    if opcode in _CREATES:
        path, data = reader.text(), reader.buffer() or b""
        reader.skip_acl()
        has_flag = opcode in {Opcode.CREATE, Opcode.CREATE2}
        return Change(opcode, path, data, ephemeral=has_flag and reader.flag())
    if opcode in {Opcode.DELETE, Opcode.DELETE_CONTAINER}:
        return Change(opcode, reader.text())
    if opcode in {Opcode.SET_DATA, Opcode.RECONFIG}:
        return Change(opcode, reader.text(), reader.buffer() or b"", reader.number())
    if opcode is Opcode.CHECK:
        # The log holds the version one higher than the one that was found and required.
        return Change(opcode, reader.text(), version=reader.number() - 1)
    if opcode is Opcode.SET_ACL:
        path = reader.text()
        reader.skip_acl()
        return Change(opcode, path, version=reader.number())
    if opcode is Opcode.CLOSE_SESSION:
        return Change(opcode, deleted=tuple(reader.texts()) if reader.left else ())
    return Change(opcode)
