"""What the fake's leader has decided, and what of it is on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepstep.simulation.paths import text_of
from keepstep.testing.network.wire import Check, Create, Delete, Opcode, Operation, SetData
from keepstep.testing.servers.observer import Change, Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keepstep.simulation import service as derived
    from keepstep.simulation.client import FakeClient
    from keepstep.simulation.messages import Request

__all__ = ["EPOCH", "KINDS", "Entry", "Waiting", "transaction_of", "version_in"]

EPOCH = 1_000_000_000_000
"""Milliseconds since 1970 at zxid 0: the fake has no clock, its times count transactions."""

KINDS: dict[type, str] = {Create: "create", Delete: "delete", SetData: "set", Check: "check"}
"""What the environment module calls an operation."""

_OPCODES = {
    "create": Opcode.CREATE,
    "delete": Opcode.DELETE,
    "set": Opcode.SET_DATA,
    "check": Opcode.CHECK,
}


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that its server has taken.

    Attributes:
        request: The request.
        client: The connection that it came through.
        due: How many transactions the server must have applied to answer it; None before the
            leader has decided it.
        error: Why it was refused, or "OK".
        zxid: The transaction that it is.
        results: What its operations came to.
    """

    request: Request
    client: FakeClient
    due: int | None = None
    error: str = "OK"
    zxid: int = 0
    results: tuple[derived.Result, ...] = ()


@dataclass(slots=True, eq=False)
class Entry:
    """One transaction of the leader's log.

    Attributes:
        zxid: Its number.
        session: Whose it is.
        xid: Number of the request; 0 for an expiry.
        kind: "write", "multi", "open" or "close".
        error: Why it was refused, or "OK".
        operations: What was to be done.
        results: What became of each operation.
        changes: What changed.
        tree: The tree after it; None when every server has applied it.
    """

    zxid: int
    session: int
    xid: int
    kind: str
    error: str
    operations: Sequence[Operation]
    results: tuple[derived.Result, ...]
    changes: tuple[frozenset[derived.Change], ...]
    tree: derived.Tree | None


def version_in(result: derived.Result) -> int:
    """The version that a set left or a check found, as the log tells it; -1 for neither."""
    return next((znode.version for znode in result.seen), -1)


def transaction_of(entry: Entry) -> Transaction:
    """A transaction as a server's log tells it."""
    changes: tuple[Change, ...] = ()
    match entry.kind:
        case "open":
            kind = Opcode.CREATE_SESSION
            changes = (Change(kind),)
        case "close":
            kind = Opcode.CLOSE_SESSION
            gone = sorted(text_of(change.path) for several in entry.changes for change in several)
            changes = (Change(kind, deleted=tuple(gone)),)
        case "multi":
            kind = Opcode.MULTI
        case _:
            kind = _OPCODES[KINDS[type(entry.operations[0])]]
    milliseconds = EPOCH + entry.zxid
    if entry.error != "OK":
        # A refused multi stays a multi, of errors, unless its operations were not looked at.
        if entry.kind != "multi" or not entry.results:
            kind = Opcode.ERROR
        refused = -1
        if kind is Opcode.MULTI:
            errors = [result.error for result in entry.results]
            refused = errors.index(entry.error)
        return Transaction(
            entry.zxid, entry.session, entry.xid, milliseconds, kind,
            error=entry.error, refused=refused,
        )  # fmt: skip
    if entry.operations:
        changes = tuple(map(_change, entry.operations, entry.results))
    return Transaction(entry.zxid, entry.session, entry.xid, milliseconds, kind, changes)


def _change(operation: Operation, result: derived.Result) -> Change:
    path, version = text_of(result.path), version_in(result)
    match operation:
        case Create(data=data, ephemeral=ephemeral):
            return Change(Opcode.CREATE, path, data, ephemeral=ephemeral)
        case SetData(data=data):
            return Change(Opcode.SET_DATA, path, data, version)
        case Check():
            return Change(Opcode.CHECK, path, version=version)
    return Change(Opcode.DELETE, path)
