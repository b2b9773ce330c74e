"""Contender: how does a node become the leader, and when does it stop?

A contender draws a ticket (an ephemeral sequential znode) and waits until the
ticket just ahead of it is gone. Once first, it makes sure that the ticket
belongs to its present session, raises the epoch with a conditional write, and
leads; every write of its leadership is conditional on that epoch and on the
ticket. It stops leading as soon as it is told that its connection is down, or
that its last acknowledged write is too long ago, whichever comes first.

Sources: Curator's LeaderLatch (layout, order of steps); CURATOR-696 (Verify),
CURATOR-724 (Restore), CURATOR-644 (Recheck never resets), KAFKA-6082 (Bid).

Derived from spec/election/Contender.tla by `keepstep derive`. Do not edit.
sha256 of its modules: dcafc0a43032563767c31fcb067a47b673c898b1e9a364a2d3f9747889fc56e4
"""

from __future__ import annotations

from dataclasses import dataclass

from statemachine import Event, State

from keepstep.core.ids import Duty
from keepstep.core.machine import Input, RoleMachine, internally, only, the
from keepstep.roles.election_types import (
    AwaitDeparture,
    Connected,
    CreateParent,
    CreateTicket,
    CutConnection,
    DeadlineReached,
    DeleteTicket,
    EpochFounded,
    EpochMissing,
    EpochMoved,
    EpochRaised,
    EpochRead,
    Fence,
    FoundEpoch,
    InspectTicket,
    ListTickets,
    ParentCreated,
    ParentGone,
    RaiseEpoch,
    ReadEpoch,
    Suspended,
    Sync,
    Synced,
    TicketChanged,
    TicketCreated,
    TicketGone,
    TicketInspected,
    TicketName,
    TicketsListed,
    WriteDone,
    WriteFenced,
    WriteRefused,
)

__all__ = [
    "AwaitDeparture",
    "Connected",
    "Contender",
    "ContenderFacts",
    "CreateParent",
    "CreateTicket",
    "CutConnection",
    "DeadlineReached",
    "DeleteTicket",
    "DutyDue",
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
    "ResignOrdered",
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
class DutyDue(Input):
    """There is something to write; a leader without other duties has its heartbeat."""

    duty: Duty


class ResignOrdered(Input):
    """We are to hand over: stop leading, then give our ticket back."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ContenderFacts:
    """What a contender remembers from one input to the next."""

    session: int | None = None
    """The session it was last told about, if any."""

    ticket: TicketName | None = None
    """The ticket it relies on, if any."""

    fence: Fence | None = None
    """The epoch that it raised and leads under, if it leads."""


class Contender(RoleMachine[ContenderFacts]):
    """How does a node become the leader, and when does it stop?"""

    offline = State(initial=True)  # not connected; relies on nothing
    syncing = State()  # has asked its server to catch up
    ranking = State()  # has asked which tickets there are
    restoring = State()  # has asked for the parent of the tickets
    joining = State()  # has asked for a ticket
    waiting = State()  # has asked to be told when the ticket ahead changes
    verifying = State()  # is first; has asked who owns its ticket
    discarding = State()  # has asked to delete a ticket of an earlier session
    fencing = State()  # is first by right; has asked for the epoch
    founding = State()  # has asked to found the epoch of a new ensemble
    raising = State()  # has asked to raise the epoch
    leading = State()  # leads, nothing is asked
    writing = State()  # leads, has asked for a fenced write
    leaving = State()  # has asked to delete its ticket, to hand over
    severing = State()  # has asked to cut a connection that does not answer

    connected = Event(offline.to(syncing, on="attach"))
    suspended = Event(
        offline.from_(
            syncing,
            ranking,
            restoring,
            joining,
            waiting,
            verifying,
            discarding,
            fencing,
            founding,
            raising,
            leading,
            writing,
            leaving,
            severing,
            on="suspend",
        )
    )
    deadline_reached = Event(
        severing.from_(leading, writing, on="lapse")
        | internally(
            offline,
            syncing,
            ranking,
            restoring,
            joining,
            waiting,
            verifying,
            discarding,
            fencing,
            founding,
            raising,
            leaving,
            severing,
            on="overlook",
        )
    )
    synced = Event(syncing.to(ranking, on="survey"))
    parent_gone = Event(restoring.from_(ranking, joining, on="restore"))
    parent_created = Event(restoring.to(ranking, on="resurvey"))
    tickets_listed = Event(
        ranking.to(joining, unless="has_ticket", on="join")
        | ranking.to(waiting, cond="has_ticket and not is_first", on="wait")
        | ranking.to(verifying, cond="has_ticket and is_first", on="verify")
    )
    ticket_created = Event(joining.to(ranking, on="rank"))
    ticket_changed = Event(waiting.to(ranking, on="recheck"))
    ticket_gone = Event(
        ranking.from_(waiting, verifying, discarding, raising, leaving, on="rerank")
    )
    ticket_inspected = Event(
        verifying.to(discarding, unless="is_ours", on="discard")
        | verifying.to(fencing, cond="is_ours", on="claim")
    )
    epoch_missing = Event(fencing.to(founding, on="found"))
    epoch_founded = Event(founding.to(fencing, on="reread"))
    epoch_read = Event(fencing.to(raising, on="bid"))
    epoch_raised = Event(raising.to(leading, on="lead"))
    epoch_moved = Event(raising.to(ranking, on="give_way"))
    duty_due = Event(leading.to(writing, on="write"))
    write_done = Event(writing.to(leading, on="proceed"))
    write_refused = Event(writing.to(ranking, on="step_down"))
    resign_ordered = Event(leading.to(leaving, on="resign"))

    # --- Guards ---

    def has_ticket(self, told: TicketsListed) -> bool:
        """We have a ticket, from this session or from an earlier one."""
        return bool(self.own_tickets(told))

    def is_first(self, told: TicketsListed) -> bool:
        """Nobody is ahead of us."""
        return not self.tickets_ahead(told)

    def is_ours(self, told: TicketInspected) -> bool:
        """The ticket belongs to our present session."""
        return self.facts.session == told.session

    # --- What it reads out of what it knows ---

    def names(self, told: TicketsListed) -> frozenset[TicketName]:
        """The names it was told."""
        return told.names

    def own_tickets(self, told: TicketsListed) -> frozenset[TicketName]:
        """Our own tickets, of this session or of an earlier one."""
        return frozenset(t for t in self.names(told) if t.node == self.me)

    def own_number(self, told: TicketsListed) -> int:
        """The number of the first of our own."""
        return min(t.number for t in self.own_tickets(told))

    def own_ticket(self, told: TicketsListed) -> TicketName:
        """The first of our own."""
        return TicketName(node=self.me, number=self.own_number(told))

    def tickets_ahead(self, told: TicketsListed) -> frozenset[TicketName]:
        """The tickets ahead of the first of our own."""
        return frozenset(
            t for t in self.names(told) if t.number < self.own_number(told)
        )

    def nearest_number(self, told: TicketsListed) -> int:
        """The number of the nearest ticket ahead."""
        return max(t.number for t in self.tickets_ahead(told))

    def nearest_ahead(self, told: TicketsListed) -> TicketName:
        """The nearest ticket ahead."""
        return only(
            t for t in self.tickets_ahead(told) if t.number == self.nearest_number(told)
        )

    # --- Actions ---

    def attach(self, told: Connected) -> None:
        """Connected again: whatever we knew is void, and our server may be behind."""
        self.ask(Sync())
        self.remember(session=told.session)

    def suspend(self) -> None:
        """The connection is down: stop leading at once and rely on nothing."""
        self.remember(session=None, ticket=None, fence=None)

    def lapse(self) -> None:
        """Our last acknowledged write is too long ago.

        Stop leading before our session can end, and get rid of the connection that does
        not answer.
        """
        self.ask(CutConnection())
        self.remember(ticket=None, fence=None)

    def overlook(self) -> None:
        """A deadline of a leadership that is over: nothing depends on it any more."""

    def survey(self) -> None:
        """Our server has caught up: look which tickets there are."""
        self.ask(ListTickets())

    def restore(self) -> None:
        """The parent of the tickets is gone: put it back."""
        self.ask(CreateParent())

    def resurvey(self) -> None:
        """The parent of the tickets is back: look again."""
        self.ask(ListTickets())

    def join(self) -> None:
        """No ticket is ours: draw one."""
        self.ask(CreateTicket())

    def rank(self) -> None:
        """Our ticket was drawn: find its place."""
        self.ask(ListTickets())

    def wait(self, told: TicketsListed) -> None:
        """Somebody is ahead: watch the nearest of them only, to avoid a herd."""
        self.ask(AwaitDeparture(self.nearest_ahead(told)))

    def recheck(self) -> None:
        """Something happened ahead of us: look again, and conclude nothing from it."""
        self.ask(ListTickets())

    def rerank(self) -> None:
        """A ticket is gone, ours or the one ahead: find our place again."""
        self.ask(ListTickets())
        self.remember(ticket=None)

    def verify(self, told: TicketsListed) -> None:
        """Our ticket is first.

        A ticket of an earlier session must not make us leader.
        """
        self.ask(InspectTicket(self.own_ticket(told)))
        self.remember(ticket=self.own_ticket(told))

    def discard(self) -> None:
        """The first ticket is an old one of ours: take it away."""
        self.ask(DeleteTicket(the(self.facts.ticket)))

    def claim(self) -> None:
        """The first ticket is ours: learn the epoch that we must raise."""
        self.ask(ReadEpoch())

    def found(self) -> None:
        """The ensemble has no epoch: found it."""
        self.ask(FoundEpoch())

    def reread(self) -> None:
        """The ensemble has an epoch now: learn it."""
        self.ask(ReadEpoch())

    def bid(self, told: EpochRead) -> None:
        """Raise the epoch, unless somebody else does first."""
        self.ask(RaiseEpoch(fence=told.fence, ticket=the(self.facts.ticket)))

    def lead(self, told: EpochRaised) -> None:
        """The epoch is ours: every write of this leadership carries it."""
        self.remember(fence=told.fence)

    def give_way(self) -> None:
        """Somebody raised the epoch before us: find out whether we are still first."""
        self.ask(ListTickets())
        self.remember(ticket=None)

    def write(self, told: DutyDue) -> None:
        """There is something to write.

        A leader without other duties has its heartbeat.
        """
        self.ask(
            WriteFenced(
                fence=the(self.facts.fence),
                ticket=the(self.facts.ticket),
                duty=told.duty,
            )
        )

    def proceed(self) -> None:
        """The write is decided, and we still lead."""

    def step_down(self) -> None:
        """Somebody else leads, or our ticket is gone.

        Stop leading and touch nothing.
        """
        self.ask(ListTickets())
        self.remember(ticket=None, fence=None)

    def resign(self) -> None:
        """We are to hand over: stop leading, then give our ticket back."""
        self.ask(DeleteTicket(the(self.facts.ticket)))
        self.remember(fence=None)
