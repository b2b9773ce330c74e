"""ZooKeeper's wire format, and a client that does nothing on its own.

Production code speaks through kazoo. A test needs the opposite of its comforts: to send a
request and not wait, to close a socket without closing the session, to take a session over.
`WireClient` sends exactly what it is told to, reconnects never, and pings never.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

from keepstep.errors import KeepstepError, RemoteViolation

__all__ = [
    "ERROR_NAMES",
    "LARGEST_FRAME",
    "WRITES",
    "Address",
    "Check",
    "ConnectionEnded",
    "Create",
    "Delete",
    "JuteReader",
    "Notification",
    "Opcode",
    "Operation",
    "Refusal",
    "Reply",
    "SessionGone",
    "SetData",
    "Stat",
    "WireClient",
    "multi_body",
    "multi_refusal",
    "named_paths",
    "resume_request",
]


class Address(NamedTuple):
    """Where something listens; printed as ZooKeeper's connect strings are."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Opcode(IntEnum):
    """Kinds of requests, and of records in a transaction log."""

    CLOSE_SESSION = -11
    CREATE_SESSION = -10
    ERROR = -1
    NOTIFICATION = 0
    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET_DATA = 4
    SET_DATA = 5
    GET_ACL = 6
    SET_ACL = 7
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    GET_CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    RECONFIG = 16
    CREATE_CONTAINER = 19
    DELETE_CONTAINER = 20
    CREATE_TTL = 21
    AUTH = 100
    SET_WATCHES = 101


WRITES = frozenset(
    {
        Opcode.CREATE,
        Opcode.CREATE2,
        Opcode.CREATE_CONTAINER,
        Opcode.CREATE_TTL,
        Opcode.DELETE,
        Opcode.SET_DATA,
        Opcode.SET_ACL,
        Opcode.MULTI,
    }
)
"""Requests that change the tree."""

ERROR_NAMES = {
    -1: "SystemError",
    -2: "RuntimeInconsistency",
    -3: "DataInconsistency",
    -4: "ConnectionLoss",
    -5: "MarshallingError",
    -6: "Unimplemented",
    -7: "OperationTimeout",
    -8: "BadArguments",
    -101: "NoNode",
    -102: "NoAuth",
    -103: "BadVersion",
    -108: "NoChildrenForEphemerals",
    -110: "NodeExists",
    -111: "NotEmpty",
    -112: "SessionExpired",
    -113: "InvalidCallback",
    -114: "InvalidACL",
    -115: "AuthFailed",
    -118: "SessionMoved",
    -119: "NotReadOnly",
}
"""What the server calls its error codes."""

_ANYBODY_MAY_DO_ALL = struct.pack("!ii", 1, 31) + b"\0\0\0\x05world\0\0\0\x06anyone"
_CONNECT = struct.Struct("!iqiqi")
_HEADER = struct.Struct("!ii")
_STAT = struct.Struct("!qqqqiiiqiiq")
LARGEST_FRAME = 64 * 1024 * 1024
"""Bytes; no server sends or takes a longer one, and the text of a four-letter word means more."""


@dataclass
class Refusal(KeepstepError):
    """The server answered a request with an error; it was not applied.

    Attributes:
        code: ZooKeeper's error code, negative.
    """

    code: int

    @property
    def name(self) -> str:
        """The error as ZooKeeper names it, for example `BadVersion`."""
        return ERROR_NAMES.get(self.code, f"error {self.code}")

    def __str__(self) -> str:
        return f"the server refused the request: {self.name}"


class ConnectionEnded(KeepstepError):
    """The server, or something between, closed the connection or was silent for too long."""


class SessionGone(KeepstepError):
    """The server does not know the session that was to be resumed."""


class Stat(NamedTuple):
    """What the server tells of a znode besides its data. Times are milliseconds since 1970."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeral_owner: int
    data_length: int
    num_children: int
    pzxid: int


@dataclass(frozen=True, slots=True)
class Create:
    """Create a znode; a sequential one gets ten digits appended by the server."""

    path: str
    data: bytes = b""
    ephemeral: bool = False
    sequential: bool = False

    def body(self) -> bytes:
        """The request's bytes after its header."""
        flags = int(self.ephemeral) | int(self.sequential) << 1
        return _text(self.path) + _buffer(self.data) + _ANYBODY_MAY_DO_ALL + _number(flags)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a znode, of any version if the version is -1."""

    path: str
    version: int = -1

    def body(self) -> bytes:
        """The request's bytes after its header."""
        return _text(self.path) + _number(self.version)


@dataclass(frozen=True, slots=True)
class SetData:
    """Replace a znode's data, of any version if the version is -1."""

    path: str
    data: bytes
    version: int = -1

    def body(self) -> bytes:
        """The request's bytes after its header."""
        return _text(self.path) + _buffer(self.data) + _number(self.version)


@dataclass(frozen=True, slots=True)
class Check:
    """Refuse the whole multi unless the znode has this version."""

    path: str
    version: int

    def body(self) -> bytes:
        """The request's bytes after its header."""
        return _text(self.path) + _number(self.version)


Operation = Create | Delete | SetData | Check
_OPCODES: dict[type, Opcode] = {
    Create: Opcode.CREATE,
    Delete: Opcode.DELETE,
    SetData: Opcode.SET_DATA,
    Check: Opcode.CHECK,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request.

    Attributes:
        xid: Number of the request within its connection.
        zxid: The newest transaction that the server had applied when it answered.
        error: 0, or ZooKeeper's error code.
        body: What follows the header.
    """

    xid: int
    zxid: int
    error: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Notification:
    """A watch that fired: kind 1 created, 2 deleted, 3 changed, 4 children changed."""

    kind: int
    path: str


class JuteReader:
    """Reads ZooKeeper's serialisation from the front.

    Args:
        data: The bytes of one record.

    Raises:
        RemoteViolation: By each method, if the record ends too early, or a text is none.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def _take(self, count: int) -> bytes:
        end = self.offset + count
        if count < 0 or end > len(self.data):
            raise RemoteViolation(f"a record of {len(self.data)} bytes ends inside a field")
        piece = self.data[self.offset : end]
        self.offset = end
        return piece

    @property
    def left(self) -> int:
        """Number of bytes that were not read yet."""
        return len(self.data) - self.offset

    def number(self) -> int:
        """A signed 32-bit number."""
        return int(struct.unpack("!i", self._take(4))[0])

    def long(self) -> int:
        """A signed 64-bit number."""
        return int(struct.unpack("!q", self._take(8))[0])

    def flag(self) -> bool:
        """A boolean."""
        return self._take(1) != b"\0"

    def buffer(self) -> bytes | None:
        """Bytes, or None where the server says "no data"."""
        length = self.number()
        return None if length < 0 else self._take(length)

    def text(self) -> str:
        """A string; an absent one reads as the empty string."""
        try:
            return (self.buffer() or b"").decode()
        except UnicodeDecodeError as error:
            raise RemoteViolation(f"a text is not encoded as UTF-8: {error}") from error

    def texts(self) -> list[str]:
        """A vector of strings."""
        return [self.text() for _ in range(max(0, self.number()))]

    def stat(self) -> Stat:
        """A znode's stat."""
        return Stat._make(_STAT.unpack(self._take(_STAT.size)))

    def skip_acl(self) -> None:
        """Pass over a vector of permissions."""
        for _ in range(max(0, self.number())):
            self.number()
            self.text()
            self.text()


def named_paths(opcode: int, body: bytes) -> tuple[str, ...]:
    """Paths that a request names, in order; of a multi those of all its operations.

    Args:
        opcode: Kind of the request.
        body: What follows the request's header.

    Raises:
        RemoteViolation: The body is not one of that kind.
    """
    reader = JuteReader(body)
    if opcode == Opcode.MULTI:
        paths: list[str] = []
        while True:
            kind, done, _ = reader.number(), reader.flag(), reader.number()
            if done:
                return tuple(paths)
            paths.append(reader.text())
            if kind in {Opcode.CREATE, Opcode.CREATE2}:
                reader.buffer()
                reader.skip_acl()
            elif kind == Opcode.SET_DATA:
                reader.buffer()
            reader.number()
    without_path = {Opcode.PING, Opcode.CLOSE_SESSION, Opcode.AUTH, Opcode.SET_WATCHES}
    return () if opcode in without_path else (reader.text(),)


def multi_refusal(body: bytes) -> int:
    """Error code of the operation that made a multi fail, or 0 if all of it was applied.

    ZooKeeper answers a refused multi with error 0 in the reply's header: its cause stands
    among the results, the operations before and after it say "rolled back" in other words.

    Args:
        body: What follows the header of a reply to a multi.
    """
    reader = JuteReader(body)
    codes = []
    while reader.left:
        kind, done, _ = reader.number(), reader.flag(), reader.number()
        if done:
            break
        if kind != Opcode.ERROR:
            return 0
        codes.append(reader.number())
    causes = [code for code in codes if code not in {0, -2}]
    return causes[0] if causes else 0


def _number(value: int) -> bytes:
    return struct.pack("!i", value)


def _buffer(value: bytes) -> bytes:
    return _number(len(value)) + value


def _text(value: str) -> bytes:
    return _buffer(value.encode())


class WireClient:
    """One connection of one session, without pings, threads or reconnecting.

    Args:
        address: Where the server listens.
        session: Session to resume; 0 for a new one.
        password: Password of the session to resume, 16 bytes.
        session_timeout: Seconds that the session shall outlive its last request.
        timeout: Seconds to wait for an answer.
        last_zxid: Newest transaction that the session is known to have seen.
        first_xid: Number of the first request. Servers of an ensemble tell requests of a session
            apart by their numbers alone: a connection that takes over a session with requests
            under way should not use the same ones, or a follower mistakes one for another, and
            answers wrongly or ends.

    Attributes:
        notifications: Watches that fired while an answer was awaited, in order.

    Raises:
        ConnectionEnded: Nobody listens there, or does not answer in time.
        RemoteViolation: What listens there is no ZooKeeper server.
        SessionGone: The session to resume has ended.
    """

    def __init__(
        self,
        address: Address,
        *,
        session: int = 0,
        password: bytes = bytes(16),
        session_timeout: float = 10.0,
        timeout: float = 5.0,
        last_zxid: int = 0,
        first_xid: int = 1,
    ) -> None:
        self.notifications: list[Notification] = []
        self._timeout = timeout
        self._last_xid = first_xid - 1
        self._early: dict[int, Reply] = {}
        try:
            self._socket = socket.create_connection(address, timeout)
        except OSError as error:
            raise ConnectionEnded(f"nobody answers at {address}: {error}") from error
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            milliseconds = round(session_timeout * 1000)
            self._send(_hello(session, password, milliseconds, last_zxid))
            answer = JuteReader(self._frame(time.monotonic() + timeout))
            answer.number()
            granted, self.session = answer.number(), answer.long()
            self.password = answer.buffer() or b""
            self.session_timeout = granted / 1000
        except BaseException:
            self._socket.close()
            raise
        if granted <= 0:
            self._socket.close()
            raise SessionGone(f"session 0x{session:x} has ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the session, as far as its server can still be reached."""
        with contextlib.suppress(ConnectionEnded, Refusal):
            self.end()
        self._socket.close()

    def _send(self, frame: bytes) -> None:
        try:
            # What was left to wait for the last answer is no limit for this.
            self._socket.settimeout(self._timeout)
            self._socket.sendall(_number(len(frame)) + frame)
        except OSError as error:
            self._socket.close()
            raise ConnectionEnded(f"the connection broke while sending: {error}") from error

    def _receive(self, count: int, deadline: float) -> bytes:
        pieces = bytearray()
        while len(pieces) < count:
            try:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                piece = self._socket.recv(count - len(pieces))
            except TimeoutError as error:
                self._socket.close()
                raise ConnectionEnded("the server did not answer in time") from error
            except OSError as error:
                self._socket.close()
                raise ConnectionEnded(f"the connection broke: {error}") from error
            if not piece:
                self._socket.close()
                raise ConnectionEnded("the server closed the connection")
            pieces += piece
        return bytes(pieces)

    def _frame(self, deadline: float) -> bytes:
        (length,) = struct.unpack("!i", self._receive(4, deadline))
        if not 0 <= length <= LARGEST_FRAME:
            raise RemoteViolation(f"a frame of {length} bytes: this is no ZooKeeper server")
        return self._receive(length, deadline)

    def submit(self, opcode: Opcode, body: bytes = b"") -> int:
        """Send a request and return its xid, without waiting.

        Raises:
            ConnectionEnded: The connection is closed; the request may have left or not.
        """
        self._last_xid += 1
        self._send(_HEADER.pack(self._last_xid, opcode) + body)
        return self._last_xid

    def submit_operation(self, operation: Operation) -> int:
        """Send one operation outside a multi, without waiting; returns its xid."""
        return self.submit(_OPCODES[type(operation)], operation.body())

    def answer(self, xid: int, timeout: float | None = None) -> Reply:
        """Wait for the reply to a request, whatever it says.

        Raises:
            ConnectionEnded: The connection ended, or nothing came in time.
            RemoteViolation: What came is no reply.
        """
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        while xid not in self._early:
            frame = self._frame(deadline)
            reader = JuteReader(frame)
            number, zxid, error = reader.number(), reader.long(), reader.number()
            body = frame[reader.offset :]
            if number == -1:
                kind, _, path = reader.number(), reader.number(), reader.text()
                self.notifications.append(Notification(kind, path))
            elif number > 0:
                self._early[number] = Reply(number, zxid, error, body)
        return self._early.pop(xid)

    def call(self, opcode: Opcode, body: bytes = b"") -> JuteReader:
        """Send a request, wait, and return the body of its reply.

        Raises:
            Refusal: The server answered with an error.
            ConnectionEnded: The outcome is unknown.
        """
        reply = self.answer(self.submit(opcode, body))
        if reply.error:
            raise Refusal(reply.error)
        return JuteReader(reply.body)

    def create(
        self, path: str, data: bytes = b"", *, ephemeral: bool = False, sequential: bool = False
    ) -> str:
        """Create a znode and return its path, with the number that a sequential one got."""
        operation = Create(path, data, ephemeral=ephemeral, sequential=sequential)
        return self.call(Opcode.CREATE, operation.body()).text()

    def delete(self, path: str, version: int = -1) -> None:
        """Delete a znode."""
        self.call(Opcode.DELETE, Delete(path, version).body())

    def set_data(self, path: str, data: bytes, version: int = -1) -> Stat:
        """Replace a znode's data."""
        return self.call(Opcode.SET_DATA, SetData(path, data, version).body()).stat()

    def get_data(self, path: str, *, watch: bool = False) -> tuple[bytes, Stat]:
        """Data and stat of a znode."""
        reader = self.call(Opcode.GET_DATA, _text(path) + bytes([watch]))
        data = reader.buffer() or b""
        return data, reader.stat()

    def exists(self, path: str, *, watch: bool = False) -> Stat | None:
        """A znode's stat, or None if it is not there."""
        try:
            return self.call(Opcode.EXISTS, _text(path) + bytes([watch])).stat()
        except Refusal as refusal:
            if refusal.name == "NoNode":
                return None
            raise

    def get_children(self, path: str, *, watch: bool = False) -> list[str]:
        """Names of a znode's children, sorted."""
        return sorted(self.call(Opcode.GET_CHILDREN, _text(path) + bytes([watch])).texts())

    def sync(self, path: str = "/") -> None:
        """Have this server catch up with the leader before it answers what follows."""
        self.call(Opcode.SYNC, _text(path))

    def multi(self, operations: Sequence[Operation]) -> None:
        """Apply all the operations or none.

        Raises:
            Refusal: With the code of the operation that failed.
        """
        refused = multi_refusal(self.call(Opcode.MULTI, multi_body(operations)).data)
        if refused:
            raise Refusal(refused)

    def end(self) -> int:
        """Close the session and return the transaction that did it; its ephemerals are gone."""
        reply = self.answer(self.submit(Opcode.CLOSE_SESSION))
        self._socket.close()
        if reply.error:
            raise Refusal(reply.error)
        return reply.zxid

    def abandon(self) -> None:
        """Close the connection only; the session lives on until it times out."""
        self._socket.close()


def _hello(session: int, password: bytes, milliseconds: int, last_zxid: int) -> bytes:
    """The first record of a connection, without its length."""
    fixed = _CONNECT.pack(0, last_zxid, milliseconds, session, len(password))
    return fixed + password + b"\0"


def resume_request(session: int, password: bytes) -> bytes:
    """The frame that asks a server to resume a session, as the first one of a connection."""
    hello = _hello(session, password, 10_000, 0)
    return _number(len(hello)) + hello


def multi_body(operations: Sequence[Operation]) -> bytes:
    """The bytes of a multi after its header."""
    parts = [
        struct.pack("!iBi", _OPCODES[type(operation)], 0, -1) + operation.body()
        for operation in operations
    ]
    return b"".join(parts) + struct.pack("!iBi", -1, 1, -1)
