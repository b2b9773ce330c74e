"""Shells with one mistake each, as they are made in practice; the suite has to find every one."""

from __future__ import annotations

from kazoo.protocol.states import EventType

from keepstep.roles.election_types import (
    CreateTicket,
    TicketChanged,
    TicketGone,
    TicketInspected,
    TicketsListed,
    WriteDone,
)
from keepstep.shell.contender_shell import ContenderShell
from keepstep.shell.inbox import Answer, Lane, Notice
from keepstep.shell.service import ElectionService, Served


class ComparedWhenEnqueued(ContenderShell):
    """Whether an answer is stale is decided when it comes, not when it is taken."""

    def _arrive(self, arrival):
        if not isinstance(arrival, Answer | Notice) or super()._is_current(arrival):
            super()._arrive(arrival)

    def _is_current(self, arrival):
        return isinstance(arrival, Answer | Notice) or super()._is_current(arrival)


class OwnerByName(ContenderShell):
    """A ticket is taken for ours because its name is."""

    def _step(self, told, lane, arrival=None):
        if isinstance(told, TicketInspected):
            told = TicketInspected(session=self.session)
        return super()._step(told, lane, arrival)


class UnknownCreateNotCreated(ContenderShell):
    """A create whose answer never came is taken for one that was not applied."""

    trusted = False

    def _deliver_down(self, arrival, connection):
        if isinstance(self.outstanding, CreateTicket):
            self.trusted = True
        return super()._deliver_down(arrival, connection)

    def _step(self, told, lane, arrival=None):
        if isinstance(told, TicketsListed) and self.trusted:
            self.trusted = False
            told = TicketsListed(frozenset(t for t in told.names if t.node != self.node))
        return super()._step(told, lane, arrival)


class SuspendedIgnored(ContenderShell):
    """A connection that is down is nothing to worry about, as long as the session is the same."""

    def _deliver_down(self, arrival, connection):
        self._connection = connection
        return self._nothing(Lane.STATE, arrival)

    def _deliver_up(self, arrival, session):
        if session == self._session:
            return self._nothing(Lane.STATE, arrival)
        return super()._deliver_up(arrival, session)


class _UnfencedService(ElectionService):
    def _write_fenced(self, fence, ticket, operations):
        if not operations:
            return (yield from super()._write_fenced(fence, ticket, operations))

        def commit(zk):
            transaction = zk.transaction()
            for operation in operations:
                self._add(transaction, operation)
            return transaction.commit_async()

        return Served(WriteDone(), results=(yield commit))


class UnfencedWrite(ContenderShell):
    """Writes go out without the check of epoch and ticket."""

    service_class = _UnfencedService


class _ForgetfulService(ElectionService):
    armed = False

    def _await_departure(self, ticket, notify):
        path = self._ticket_path(ticket)

        def fired(event):
            if event.type != EventType.NONE:
                notify(TicketChanged())

        watch, self.armed = (None if self.armed else fired), True
        stat = yield lambda zk: zk.exists_async(path, watch=watch)
        return Served(TicketGone() if stat is None else None)


class WatchNotRearmed(ContenderShell):
    """The watch on the ticket ahead is left once, as if it would fire more than once."""

    service_class = _ForgetfulService


SEEDED_BUGS = {
    "compared-when-enqueued": ComparedWhenEnqueued,
    "owner-by-name": OwnerByName,
    "unknown-create-not-created": UnknownCreateNotCreated,
    "suspended-ignored": SuspendedIgnored,
    "unfenced-write": UnfencedWrite,
    "watch-not-rearmed": WatchNotRearmed,
}
