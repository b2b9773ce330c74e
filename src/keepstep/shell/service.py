"""What a contender asks for, in ZooKeeper's words: the one place that knows both.

Each request is served by a generator: it yields calls, is resumed with what the call
returned or raised, and returns what the contender is told. Errors that it does not catch are
sorted by `verdict`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    DataInconsistency,
    KazooException,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    RequestTimeoutError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
    SessionMovedError,
    SystemZookeeperError,
    ThrottledOpError,
    ZookeeperError,
)
from kazoo.protocol.states import EventType, WatchedEvent

from keepstep.core.ids import NodeId
from keepstep.core.machine import Input, Request
from keepstep.errors import InternalError, RemoteViolation
from keepstep.roles import election_types as vocabulary
from keepstep.roles.election_types import Fence, TicketName
from keepstep.shell.link import AsyncResult, Call
from keepstep.shell.outcomes import Revocation
from keepstep.shell.settings import ElectionSettings
from keepstep.znodes.epoch import (
    EpochData,
    decode_epoch,
    encode_epoch,
    epoch_path,
    read_incarnation,
)
from keepstep.znodes.latch import (
    Ticket,
    encode_participant,
    read_ticket,
    ticket_name,
    ticket_prefix,
)
from keepstep.znodes.operations import Check, Create, Delete, Operation, SetData
from keepstep.znodes.paths import child_path, parents

__all__ = ["ElectionService", "Served", "Serving", "Verdict", "verdict"]

_LOG = logging.getLogger(__name__)
_ANY_VERSION = -1
_CONSEQUENCES = (RolledBackError, RuntimeInconsistency)


class Verdict(StrEnum):
    """What an error says that no protocol step expects."""

    UNKNOWN = "the connection or session ended; kazoo tells that as well"
    CUT = "the server or kazoo is in trouble: try another connection"
    FATAL = "it will fail again: tell the user"


_UNKNOWN = (ConnectionLoss, ConnectionClosedError, SessionExpiredError, AuthFailedError)
_TROUBLE = (
    DataInconsistency,
    OperationTimeoutError,
    RequestTimeoutError,
    RuntimeInconsistency,
    SessionMovedError,
    SystemZookeeperError,
    ThrottledOpError,
)


def verdict(error: BaseException) -> Verdict:
    """Sort an error that a call failed with."""
    if isinstance(error, _UNKNOWN):
        return Verdict.UNKNOWN
    if isinstance(error, _TROUBLE):
        return Verdict.CUT
    if isinstance(error, ZookeeperError | RemoteViolation | InternalError):
        return Verdict.FATAL
    # kazoo could not read the answer: the stream of this connection cannot be trusted.
    return Verdict.CUT


@dataclass(frozen=True, slots=True)
class Served:
    """The answer to a request.

    Attributes:
        told: What the contender is told; None if there is nothing to tell.
        results: Of the user's operations, one each.
        error: What a user's operation failed with, or None.
        cause: Why a write was refused, or None.
    """

    told: Input | None
    results: Sequence[Any] = field(default=())
    error: BaseException | None = None
    cause: Revocation | None = None


Serving = Generator[Call, Any, Served]
"""A request being served: yields calls, is resumed with their results."""


def _first_failure(results: Sequence[Any]) -> tuple[int, BaseException] | None:
    """Which operation of a multi failed, and why; kazoo raises nothing by itself."""
    failures = [
        (index, result) for index, result in enumerate(results) if isinstance(result, BaseException)
    ]
    if not failures:
        return None
    causes = [failure for failure in failures if not isinstance(failure[1], _CONSEQUENCES)]
    if not causes:
        raise RemoteViolation("the server failed a multi without saying which operation")
    return causes[0]


class ElectionService:
    """Serves the requests of one contender.

    Args:
        settings: The election.
        node: The contender.
        draw: Returns a random number of 128 bits, for the name of an incarnation.
    """

    def __init__(self, settings: ElectionSettings, node: NodeId, draw: Callable[[], int]) -> None:
        self._settings = settings
        self._node = node
        self._draw = draw
        self._acl = None if settings.acl is None else list(settings.acl)

    def serve(  # noqa: C901 - one line for each request of the vocabulary
        self,
        request: Request,
        notify: Callable[[Input], None],
        operations: Sequence[Operation] = (),
    ) -> Serving:
        """Serve any request but `CutConnection`, which is the link's.

        Args:
            request: What the contender asks for.
            notify: Called on kazoo's watch thread when a watch of this request fires.
            operations: What the duty of a `WriteFenced` consists of.
        """
        match request:
            case vocabulary.Sync():
                return self._sync()
            case vocabulary.ListTickets():
                return self._list_tickets()
            case vocabulary.CreateParent():
                return self._create_parent()
            case vocabulary.CreateTicket():
                return self._create_ticket()
            case vocabulary.InspectTicket(ticket):
                return self._inspect_ticket(ticket)
            case vocabulary.AwaitDeparture(ticket):
                return self._await_departure(ticket, notify)
            case vocabulary.DeleteTicket(ticket):
                return self._delete_ticket(ticket)
            case vocabulary.ReadEpoch():
                return self._read_epoch()
            case vocabulary.FoundEpoch():
                return self._found_epoch()
            case vocabulary.RaiseEpoch(fence, ticket):
                return self._raise_epoch(fence, ticket)
            case vocabulary.WriteFenced(fence, ticket, _):
                return self._write_fenced(fence, ticket, operations)
            case _:
                raise InternalError(f"nobody serves {request!r}")

    def _ticket_path(self, ticket: TicketName) -> str:
        name = ticket_name(Ticket(ticket.node, ticket.number))
        return child_path(self._settings.path, name)

    # --- Tickets ---

    def _sync(self) -> Serving:
        yield lambda zk: zk.sync_async(self._settings.path)
        return Served(vocabulary.Synced())

    def _list_tickets(self) -> Serving:
        try:
            children = yield lambda zk: zk.get_children_async(self._settings.path)
        except NoNodeError:
            return Served(vocabulary.ParentGone())
        return Served(vocabulary.TicketsListed(self.read_names(children)))

    def read_names(self, children: Sequence[str]) -> frozenset[TicketName]:
        """The tickets among the children of the latch; the rest is logged and passed over."""
        tickets = {child: read_ticket(child) for child in children}
        strange = sorted(child for child, ticket in tickets.items() if ticket is None)
        if strange:
            _LOG.warning("%s holds %r, which is no ticket", self._settings.path, strange[0])
        return frozenset(
            TicketName(node=ticket.node, number=ticket.number)
            for ticket in tickets.values()
            if ticket is not None
        )

    def _ensure(self, path: str) -> Generator[Call, Any, None]:
        while True:
            try:
                yield lambda zk: zk.ensure_path_async(path, acl=self._acl)
            except NoNodeError:
                # Somebody deletes what we have just created; containers end like that.
                continue
            return

    def _create_parent(self) -> Serving:
        yield from self._ensure(self._settings.path)
        return Served(vocabulary.ParentCreated())

    def _create_ticket(self) -> Serving:
        prefix = child_path(self._settings.path, ticket_prefix(self._node))
        data = encode_participant(self._settings.identity)
        try:
            yield lambda zk: zk.create_async(
                prefix, data, acl=self._acl, ephemeral=True, sequence=True
            )
        except NoNodeError:
            return Served(vocabulary.ParentGone())
        return Served(vocabulary.TicketCreated())

    def _inspect_ticket(self, ticket: TicketName) -> Serving:
        path = self._ticket_path(ticket)
        stat = yield lambda zk: zk.exists_async(path)
        if stat is None:
            return Served(vocabulary.TicketGone())
        return Served(vocabulary.TicketInspected(session=stat.ephemeralOwner))

    def _await_departure(self, ticket: TicketName, notify: Callable[[Input], None]) -> Serving:
        path = self._ticket_path(ticket)

        def fired(event: WatchedEvent) -> None:
            # kazoo also calls each watch when the connection drops; that is told elsewhere.
            if event.type != EventType.NONE:
                notify(vocabulary.TicketChanged())

        stat = yield lambda zk: zk.exists_async(path, watch=fired)
        return Served(vocabulary.TicketGone() if stat is None else None)

    def _delete_ticket(self, ticket: TicketName) -> Serving:
        path = self._ticket_path(ticket)
        try:
            yield lambda zk: zk.delete_async(path)
        except NoNodeError:
            _LOG.debug("%s was gone already", path)
        return Served(vocabulary.TicketGone())

    # --- The epoch ---

    def _read_epoch(self) -> Serving:
        fence_path = self._settings.fence_path
        try:
            children = yield lambda zk: zk.get_children_async(fence_path)
        except NoNodeError:
            return Served(vocabulary.EpochMissing())
        incarnations = [
            incarnation
            for incarnation in map(read_incarnation, children)
            if incarnation is not None
        ]
        if len(incarnations) != 1:
            # Parent and child are made in one transaction, so somebody else was here. To
            # found it anew would need the parent deleted, which is an operator's decision.
            raise RemoteViolation(
                f"{fence_path} holds {len(incarnations)} epochs instead of one: find out who"
                " changed it, then delete it so that the epoch is founded anew"
            )
        path = epoch_path(fence_path, incarnations[0])
        try:
            data, stat = yield lambda zk: zk.get_async(path)
        except NoNodeError:
            return Served(vocabulary.EpochMissing())
        fence = Fence(
            incarnation=incarnations[0], version=stat.version, epoch=decode_epoch(data).epoch
        )
        return Served(vocabulary.EpochRead(fence))

    def _found_epoch(self) -> Serving:
        fence_path = self._settings.fence_path
        above = parents(fence_path)
        if above:
            yield from self._ensure(above[-1])
        path = epoch_path(fence_path, self._draw())
        data = encode_epoch(EpochData(self._settings.epoch_floor, ""))

        def commit(zk: KazooClient) -> AsyncResult:
            transaction = zk.transaction()
            transaction.create(fence_path, acl=self._acl)
            transaction.create(path, data, acl=self._acl)
            result: AsyncResult = transaction.commit_async()
            return result

        failure = _first_failure((yield commit))
        if failure is not None and not isinstance(failure[1], NodeExistsError | NoNodeError):
            raise failure[1]
        # Whoever founded it, or whatever has just been deleted: reading it tells.
        return Served(vocabulary.EpochFounded())

    def _raise_epoch(self, fence: Fence, ticket: TicketName) -> Serving:
        path = epoch_path(self._settings.fence_path, fence.incarnation)
        epoch = fence.epoch + 1
        data = encode_epoch(EpochData(epoch, self._settings.identity))

        def commit(zk: KazooClient) -> AsyncResult:
            transaction = zk.transaction()
            transaction.set_data(path, data, version=fence.version)
            transaction.check(self._ticket_path(ticket), _ANY_VERSION)
            result: AsyncResult = transaction.commit_async()
            return result

        results = yield commit
        match _first_failure(results):
            case None:
                raised = Fence(
                    incarnation=fence.incarnation, version=results[0].version, epoch=epoch
                )
                return Served(vocabulary.EpochRaised(raised))
            case 0, BadVersionError() | NoNodeError():
                return Served(vocabulary.EpochMoved())
            case 1, NoNodeError():
                return Served(vocabulary.TicketGone())
            case _, error:
                raise error

    def _write_fenced(
        self, fence: Fence, ticket: TicketName, operations: Sequence[Operation]
    ) -> Serving:
        guards = (
            Check(epoch_path(self._settings.fence_path, fence.incarnation), fence.version),
            Check(self._ticket_path(ticket), _ANY_VERSION),
        )

        def commit(zk: KazooClient) -> AsyncResult:
            transaction = zk.transaction()
            for operation in (*guards, *operations):
                self._add(transaction, operation)
            result: AsyncResult = transaction.commit_async()
            return result

        results = yield commit
        match _first_failure(results):
            case None:
                return Served(vocabulary.WriteDone(), results=results[len(guards) :])
            case 0, BadVersionError():
                return Served(vocabulary.WriteRefused(), cause=Revocation.SUPERSEDED)
            case 0, NoNodeError():
                return Served(vocabulary.WriteRefused(), cause=Revocation.WIPED)
            case 1, NoNodeError():
                return Served(vocabulary.WriteRefused(), cause=Revocation.TICKET_GONE)
            case index, error if index < len(guards):
                raise error
            case _, error:
                return Served(vocabulary.WriteDone(), error=error)

    def _add(self, transaction: Any, operation: Operation) -> None:
        match operation:
            case Create(path, data, ephemeral, sequential):
                transaction.create(
                    path, data, acl=self._acl, ephemeral=ephemeral, sequence=sequential
                )
            case SetData(path, data, version):
                transaction.set_data(path, data, version)
            case Delete(path, version):
                transaction.delete(path, version)
            case Check(path, version):
                transaction.check(path, version)

    def withdraw(self, zk: KazooClient, timeout: float) -> bool:
        """Delete all tickets of this contender, whichever session they belong to.

        For a role that has ended while its client lives on. Waits for each answer.

        Args:
            zk: The client.
            timeout: Seconds to wait for each answer at most.

        Returns:
            Whether the server has confirmed that none is left.
        """
        path = self._settings.path
        try:
            zk.sync_async(path).get(timeout=timeout)
            for child in zk.get_children_async(path).get(timeout=timeout):
                ticket = read_ticket(child)
                if ticket is not None and ticket.node == self._node:
                    self._delete_now(zk, child_path(path, child), timeout)
        except NoNodeError:
            return True
        except (KazooException, zk.handler.timeout_exception) as error:
            _LOG.info("the tickets in %s are not deleted yet: %r", path, error)
            return False
        return True

    @staticmethod
    def _delete_now(zk: KazooClient, path: str, timeout: float) -> None:
        with contextlib.suppress(NoNodeError):
            zk.delete_async(path).get(timeout=timeout)
