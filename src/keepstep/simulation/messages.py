"""Requests and replies of the fake, as objects and as the bytes that a socket would carry."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keepstep.errors import LocalViolation
from keepstep.testing.network.wire import (
    ERROR_NAMES,
    Check,
    Create,
    Delete,
    JuteReader,
    Opcode,
    Operation,
    SetData,
    Stat,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CODES", "Answer", "Request", "encoded", "request_of"]

CODES = {name: code for code, name in ERROR_NAMES.items()} | {"OK": 0}
"""ZooKeeper's error codes by name."""

_STAT = struct.Struct("!qqqqiiiqiiq")
_WRITES = {
    Opcode.CREATE: Create,
    Opcode.DELETE: Delete,
    Opcode.SET_DATA: SetData,
    Opcode.CHECK: Check,
}
_READS = {
    Opcode.GET_DATA: "data",
    Opcode.EXISTS: "exists",
    Opcode.GET_CHILDREN: "children",
}


@dataclass(slots=True, eq=False)
class Request:
    """One request on its way.

    Attributes:
        kind: "write", "multi", "data", "exists", "children", "sync", "close", "open", "resume".
        xid: Its number within its connection.
        operations: What a write or a multi is to do.
        path: What a read is about.
        watch: Whether a read sets a watch.
    """

    kind: str
    xid: int = 0
    operations: Sequence[Operation] = ()
    path: str = ""
    watch: bool = False


@dataclass(slots=True, eq=False)
class Answer:
    """What a server says to one request.

    Attributes:
        xid: The request's number.
        zxid: The newest transaction that the server had applied; that of a write itself.
        error: 0, or ZooKeeper's error code.
        kind: The request's kind; for a write that of its operation.
        value: A path, a stat, data and stat, names, or the results of a multi.
    """

    xid: int
    zxid: int
    error: int
    kind: str
    value: Any = None


def request_of(opcode: int, body: bytes) -> Request:
    """The request that the bytes after a header say.

    Raises:
        LocalViolation: The fake knows no such request.
        RemoteViolation: The bytes are none of its kind.
    """
    reader = JuteReader(body)
    if opcode in _READS:
        return Request(_READS[Opcode(opcode)], path=reader.text(), watch=reader.flag())
    if opcode in _WRITES:
        return Request("write", operations=(_operation(opcode, reader),))
    if opcode == Opcode.MULTI:
        operations: list[Operation] = []
        while True:
            kind, done, _ = reader.number(), reader.flag(), reader.number()
            if done:
                return Request("multi", operations=tuple(operations))
            operations.append(_operation(kind, reader))
    if opcode == Opcode.SYNC:
        return Request("sync", path=reader.text())
    if opcode == Opcode.CLOSE_SESSION:
        return Request("close")
    raise LocalViolation(f"the fake ZooKeeper knows no request of kind {opcode}")


def _operation(opcode: int, reader: JuteReader) -> Operation:
    path = reader.text()
    match opcode:
        case Opcode.CREATE:
            data = reader.buffer() or b""
            reader.skip_acl()
            flags = reader.number()
            return Create(path, data, ephemeral=bool(flags & 1), sequential=bool(flags & 2))
        case Opcode.DELETE:
            return Delete(path, reader.number())
        case Opcode.SET_DATA:
            data = reader.buffer() or b""
            return SetData(path, data, reader.number())
        case Opcode.CHECK:
            return Check(path, reader.number())
    raise LocalViolation(f"the fake ZooKeeper knows no operation of kind {opcode}")


def encoded(answer: Answer) -> bytes:
    """The bytes of an answer after its header."""
    if answer.error or answer.value is None:
        return b""
    match answer.kind:
        case "create" | "sync":
            return _text(answer.value)
        case "set" | "exists":
            return _stat(answer.value)
        case "data":
            data, stat = answer.value
            return _buffer(data) + _stat(stat)
        case "children":
            return struct.pack("!i", len(answer.value)) + b"".join(map(_text, answer.value))
        case "multi":
            parts = [_result(*result) for result in answer.value]
            return b"".join(parts) + struct.pack("!iBi", -1, 1, -1)
    return b""


def _result(kind: str, error: int | None, value: Any) -> bytes:
    """One result of a multi; an error where the whole was refused."""
    if error is not None:
        return struct.pack("!iBii", Opcode.ERROR, 0, error, error)
    opcode = {"create": 1, "delete": 2, "set": 5, "check": 13}[kind]
    body = _text(value) if kind == "create" else _stat(value) if kind == "set" else b""
    return struct.pack("!iBi", opcode, 0, -1) + body


def _buffer(value: bytes) -> bytes:
    return struct.pack("!i", len(value)) + value


def _text(value: str) -> bytes:
    return _buffer(value.encode())


def _stat(stat: Stat) -> bytes:
    return _STAT.pack(*stat)
