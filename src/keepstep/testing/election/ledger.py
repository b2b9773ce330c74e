"""What an election really was, as the server's transaction log tells it.

The ledger replays tickets, epochs and accepted writes of one election in the order of zxid,
and says where a promise was broken. It knows the layout of the znodes, and nothing of any
contender: neither its machine, nor its shell, nor what it was answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from keepstep.testing.network.wire import Opcode
from keepstep.testing.servers.observer import Change, Transaction
from keepstep.znodes.epoch import decode_epoch

__all__ = ["AcceptedWrite", "Claim", "ElectionLedger", "PromiseBroken", "RaisedEpoch"]

_CREATES = {Opcode.CREATE, Opcode.CREATE2}


class PromiseBroken(AssertionError):
    """A promise of the election was seen broken.

    Attributes:
        promise: Its name, the same for every way of breaking it.
        story: What was seen.
    """

    def __init__(self, promise: str, story: str) -> None:
        super().__init__(f"{promise}: {story}")
        self.promise = promise
        self.story = story


class Claim(NamedTuple):
    """What the writer of a znode says of itself, in the znode's data."""

    identity: str
    incarnation: str
    epoch: int

    def encode(self) -> bytes:
        """As the data of a znode."""
        return json.dumps(self).encode()

    @classmethod
    def decode(cls, data: bytes) -> Claim:
        """The inverse of `encode`."""
        return cls(*json.loads(data))


class RaisedEpoch(NamedTuple):
    """An epoch and who raised it.

    Attributes:
        zxid: When.
        session: Whose request it was.
        incarnation: Name of the epoch znode.
        version: The znode's version since.
        epoch: The number in its data.
        leader: The identity in its data.
        ticket: The ticket that the raising was conditional on; "" if on none.
        ticket_owner: The session that owned this ticket then; 0 if there was none.
    """

    zxid: int
    session: int
    incarnation: str
    version: int
    epoch: int
    leader: str
    ticket: str
    ticket_owner: int


class AcceptedWrite(NamedTuple):
    """A write that the server accepted, and what its writer claimed to be."""

    zxid: int
    session: int
    path: str
    claim: Claim


@dataclass(frozen=True, slots=True)
class _Paths:
    latch: str
    fence: str
    writes: str


class ElectionLedger:
    """The history of one election.

    Args:
        latch: Directory of the tickets.
        fence: Directory of the epoch znode.
        writes: Directory in which leaders create znodes that hold a `Claim`.

    Attributes:
        tickets: Owner of each ticket that exists.
        current: The epoch as it was raised last; None if it was not, or the data was lost.
        raised: All epochs that were raised, in order, over all incarnations.
        accepted: All writes that were accepted, in order, over all incarnations.
    """

    def __init__(self, latch: str, fence: str, writes: str) -> None:
        self._paths = _Paths(latch + "/", fence + "/", writes + "/")
        self.tickets: dict[str, int] = {}
        self.current: RaisedEpoch | None = None
        self.raised: list[RaisedEpoch] = []
        self.accepted: list[AcceptedWrite] = []
        self._founded: dict[str, int] = {}
        self._writers: dict[tuple[str, int], str] = {}
        self._newest_write: AcceptedWrite | None = None

    def begin_anew(self) -> None:
        """The server lost all data; what comes is another incarnation."""
        self.tickets.clear()
        self._founded.clear()
        self.current = None
        self._newest_write = None

    def take(self, transactions: Iterable[Transaction]) -> None:
        """Take in what was logged since.

        Raises:
            PromiseBroken: At the first transaction that breaks a promise.
        """
        for transaction in transactions:
            for change in transaction.changes:
                self._take_change(transaction, change)

    def find_raised(self, claim: Claim) -> RaisedEpoch | None:
        """The raising of the epoch that a leader claims to lead under, if it was its own."""
        for raised in reversed(self.raised):
            if (raised.leader, raised.incarnation, raised.epoch) == claim:
                return raised
        return None

    def _take_change(self, transaction: Transaction, change: Change) -> None:
        for path in change.deleted:
            self.tickets.pop(path, None)
        if change.kind is Opcode.DELETE:
            self.tickets.pop(change.path, None)
            if self.current and change.path == self._paths.fence + self.current.incarnation:
                self.current = None
        elif change.kind in _CREATES and change.path.startswith(self._paths.latch):
            self.tickets[change.path] = transaction.session if change.ephemeral else 0
        elif change.kind in _CREATES and change.path.startswith(self._paths.fence):
            self._founded[change.path] = decode_epoch(change.data).epoch
        elif change.kind is Opcode.SET_DATA and change.path.startswith(self._paths.fence):
            self._take_raising(transaction, change)
        elif change.kind in _CREATES and change.path.startswith(self._paths.writes):
            self._take_write(transaction, change)

    def _take_raising(self, transaction: Transaction, change: Change) -> None:
        checked = [c.path for c in transaction.changes if c.kind is Opcode.CHECK]
        ticket = next((path for path in checked if path.startswith(self._paths.latch)), "")
        data = decode_epoch(change.data)
        incarnation = change.path.removeprefix(self._paths.fence)
        raised = RaisedEpoch(
            transaction.zxid,
            transaction.session,
            incarnation,
            change.version,
            data.epoch,
            data.leader,
            ticket,
            self.tickets.get(ticket, 0),
        )
        before = self.current.epoch if self.current else self._founded.get(change.path, -1)
        if raised.epoch <= before:
            raise PromiseBroken("epochs ascend", f"epoch {before} was followed by {raised}")
        if raised.ticket_owner != raised.session:
            raise PromiseBroken(
                "an epoch is raised by a ticket of one's own",
                f"session 0x{raised.session:x} raised it by a ticket that is not its own: {raised}",
            )
        self.current = raised
        self.raised.append(raised)

    def _take_write(self, transaction: Transaction, change: Change) -> None:
        claim = Claim.decode(change.data)
        write = AcceptedWrite(transaction.zxid, transaction.session, change.path, claim)
        self.accepted.append(write)
        writer = self._writers.setdefault((claim.incarnation, claim.epoch), claim.identity)
        if writer != claim.identity:
            raise PromiseBroken("one accepted writer an epoch", f"{writer} wrote before {write}")
        newest = self._newest_write
        if newest and newest.claim.epoch > claim.epoch:
            raise PromiseBroken("accepted epochs ascend", f"{write} was accepted after {newest}")
        self._newest_write = write
        current = self.current
        if current is None or (current.leader, current.incarnation, current.epoch) != claim:
            raise PromiseBroken(
                "no write is accepted once its epoch is over", f"{write} came under {current}"
            )
