"""What a contender can be told and what it can ask for.

Derived from spec/election/ElectionTypes.tla by `keepstep derive`. Do not edit.
sha256 of its modules: ae9a8d93ed779715cfdf539d180464ec2244b9b17786b623f2f371bf0350892d
"""

from __future__ import annotations

from dataclasses import dataclass

from keepstep.core.ids import Duty, NodeId
from keepstep.core.machine import Input, Request

__all__ = [
    "AwaitDeparture",
    "Connected",
    "CreateParent",
    "CreateTicket",
    "CutConnection",
    "DeadlineReached",
    "DeleteTicket",
    "EpochFounded",
    "EpochMissing",
    "EpochMoved",
    "EpochRaised",
    "EpochRead",
    "Fence",
    "FoundEpoch",
    "InspectTicket",
    "ListTickets",
    "ParentCreated",
    "ParentGone",
    "RaiseEpoch",
    "ReadEpoch",
    "Suspended",
    "Sync",
    "Synced",
    "TicketChanged",
    "TicketCreated",
    "TicketGone",
    "TicketInspected",
    "TicketName",
    "TicketsListed",
    "WriteDone",
    "WriteFenced",
    "WriteRefused",
]


@dataclass(frozen=True, slots=True)
class TicketName:
    """The name of a ticket: whose it is, and the number that ZooKeeper drew for it."""

    node: NodeId
    number: int


@dataclass(frozen=True, slots=True)
class Fence:
    """The epoch znode as it was at one time.

    Its name is the incarnation of the ensemble, its version is what a write can be
    conditional on, and its data is the epoch that users see.
    """

    incarnation: int
    version: int
    epoch: int


# --- Everything a contender can be told ---


@dataclass(frozen=True, slots=True)
class Connected(Input):
    """The connection is usable, under this session (the old one or a new one)."""

    session: int


class Suspended(Input):
    """The connection is down; the outcome of an outstanding request is unknown."""

    __slots__ = ()


class DeadlineReached(Input):
    """No write was acknowledged for so long that our session may end at any moment."""

    __slots__ = ()


class Synced(Input):
    """The server has caught up with all that was decided before we asked."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class TicketsListed(Input):
    """The names of all tickets, in no order."""

    names: frozenset[TicketName]


class ParentGone(Input):
    """The znode below which tickets are drawn does not exist."""

    __slots__ = ()


class ParentCreated(Input):
    """The znode below which tickets are drawn exists, whoever created it."""

    __slots__ = ()


class TicketCreated(Input):
    """The ticket asked for exists."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class TicketInspected(Input):
    """The ticket inspected exists and belongs to this session."""

    session: int


class TicketChanged(Input):
    """Something happened to the ticket awaited: a hint to look again, nothing more."""

    __slots__ = ()


class TicketGone(Input):
    """The ticket inspected, awaited, deleted or relied on does not exist."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class EpochRead(Input):
    """The epoch znode is this."""

    fence: Fence


class EpochMissing(Input):
    """There is no epoch znode: the ensemble is new, or was wiped."""

    __slots__ = ()


class EpochFounded(Input):
    """There is an epoch znode, whoever created it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class EpochRaised(Input):
    """Our conditional write made the epoch znode this."""

    fence: Fence


class EpochMoved(Input):
    """The epoch znode is not what we expected; nothing was written."""

    __slots__ = ()


class WriteDone(Input):
    """Fence and ticket were current.

    The write is applied, or not for reasons of its own.
    """

    __slots__ = ()


class WriteRefused(Input):
    """Fence or ticket is not current; nothing was written."""

    __slots__ = ()


# --- Everything a contender can ask for, one at a time ---


class Sync(Request):
    """Have the server catch up with the leader of its ensemble."""

    __slots__ = ()


class ListTickets(Request):
    """Read the names of all tickets."""

    __slots__ = ()


class CreateParent(Request):
    """Create the znode below which tickets are drawn, unless it exists."""

    __slots__ = ()


class CreateTicket(Request):
    """Create an ephemeral sequential znode named after us."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class InspectTicket(Request):
    """Read which session owns a ticket."""

    ticket: TicketName


@dataclass(frozen=True, slots=True)
class AwaitDeparture(Request):
    """See whether a ticket exists, and leave a watch on it if it does."""

    ticket: TicketName


@dataclass(frozen=True, slots=True)
class DeleteTicket(Request):
    """Delete a ticket of ours."""

    ticket: TicketName


class ReadEpoch(Request):
    """Read the epoch znode."""

    __slots__ = ()


class FoundEpoch(Request):
    """Create the epoch znode under a new random name, unless there is one."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RaiseEpoch(Request):
    """Write the epoch znode if it is still this and our ticket exists."""

    fence: Fence
    ticket: TicketName


@dataclass(frozen=True, slots=True)
class WriteFenced(Request):
    """Do a leader's duty if the epoch znode is still this and our ticket exists."""

    fence: Fence
    ticket: TicketName
    duty: Duty


class CutConnection(Request):
    """Cut the connection, so that whatever is outstanding comes to an end."""

    __slots__ = ()
