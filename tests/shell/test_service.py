"""How requests become calls and results become answers, without a server."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kazoo.exceptions import (
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
    SessionMovedError,
)

from keepstep.core.ids import Duty, NodeId
from keepstep.errors import InternalError, RemoteViolation
from keepstep.roles.election_types import (
    AwaitDeparture,
    CreateParent,
    CreateTicket,
    CutConnection,
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
    Sync,
    Synced,
    TicketCreated,
    TicketGone,
    TicketInspected,
    TicketName,
    TicketsListed,
    WriteDone,
    WriteFenced,
    WriteRefused,
)
from keepstep.shell import ElectionSettings, Revocation
from keepstep.shell.service import ElectionService, Served, Verdict, verdict

NODE = NodeId("3fcb0d2e-54a5-4b47-9a0e-8f1c8a1f2b11")
TICKET = TicketName(node=NODE, number=7)
FENCE = Fence(incarnation=255, version=3, epoch=5)
RAISED = Fence(incarnation=255, version=4, epoch=6)
STAT = SimpleNamespace(ephemeralOwner=11, version=4)
BACK, AFTER = RolledBackError(), RuntimeInconsistency()
EPOCH_NAME = "0" * 30 + "ff"


def serve(request, *outcomes):
    """What is told when the calls end like this, one after the other."""
    settings = ElectionSettings(path="/a/e", identity="A")
    serving = ElectionService(settings, NODE, lambda: 255).serve(request, print)
    next(serving)
    for outcome in outcomes:
        try:
            if isinstance(outcome, BaseException):
                serving.throw(outcome)
            else:
                serving.send(outcome)
        except StopIteration as ended:
            return ended.value
    raise AssertionError("it asks for more")


@pytest.mark.parametrize(
    ("request_", "outcomes", "told"),
    [
        (Sync(), ["/a/e"], Synced()),
        (ListTickets(), [[]], TicketsListed(frozenset())),
        (ListTickets(), [[f"_c_{NODE}-latch-0000000007", "x"]], TicketsListed(frozenset({TICKET}))),
        (ListTickets(), [NoNodeError()], ParentGone()),
        (CreateParent(), [True], ParentCreated()),
        (CreateParent(), [NoNodeError(), NoNodeError(), True], ParentCreated()),
        (CreateTicket(), ["/a/e/..."], TicketCreated()),
        (CreateTicket(), [NoNodeError()], ParentGone()),
        (InspectTicket(TICKET), [STAT], TicketInspected(11)),
        (InspectTicket(TICKET), [None], TicketGone()),
        (AwaitDeparture(TICKET), [STAT], None),
        (AwaitDeparture(TICKET), [None], TicketGone()),
        (DeleteTicket(TICKET), [True], TicketGone()),
        (DeleteTicket(TICKET), [NoNodeError()], TicketGone()),
        (ReadEpoch(), [NoNodeError()], EpochMissing()),
        (ReadEpoch(), [[EPOCH_NAME], NoNodeError()], EpochMissing()),
        (ReadEpoch(), [[EPOCH_NAME, "x"], (b'{"epoch": 6}', STAT)], EpochRead(RAISED)),
        (FoundEpoch(), [True, ["/keepstep/a/e", "..."]], EpochFounded()),
        (FoundEpoch(), [True, [NodeExistsError(), AFTER]], EpochFounded()),
        (FoundEpoch(), [True, [NoNodeError(), AFTER]], EpochFounded()),
        (RaiseEpoch(FENCE, TICKET), [[STAT, True]], EpochRaised(RAISED)),
        (RaiseEpoch(FENCE, TICKET), [[BadVersionError(), AFTER]], EpochMoved()),
        (RaiseEpoch(FENCE, TICKET), [[NoNodeError(), AFTER]], EpochMoved()),
        (RaiseEpoch(FENCE, TICKET), [[BACK, NoNodeError()]], TicketGone()),
    ],
)
def test_each_outcome_has_its_answer(request_, outcomes, told):
    assert serve(request_, *outcomes) == Served(told)


@pytest.mark.parametrize(
    ("results", "served"),
    [
        ([True, True], Served(WriteDone())),
        ([True, True, "/x"], Served(WriteDone(), results=["/x"])),
        ([BadVersionError(), AFTER, AFTER], Served(WriteRefused(), cause=Revocation.SUPERSEDED)),
        ([NoNodeError(), AFTER, AFTER], Served(WriteRefused(), cause=Revocation.WIPED)),
        ([BACK, NoNodeError(), AFTER], Served(WriteRefused(), cause=Revocation.TICKET_GONE)),
    ],
)
def test_a_fenced_write_is_done_or_refused_with_the_cause(results, served):
    answer = serve(WriteFenced(FENCE, TICKET, Duty("write")), results)
    assert (answer.told, list(answer.results), answer.cause) == (
        served.told,
        list(served.results),
        served.cause,
    )


def test_a_users_operation_that_fails_is_the_users_error():
    answer = serve(WriteFenced(FENCE, TICKET, Duty("write")), [BACK, BACK, NodeExistsError()])
    assert answer.told == WriteDone()
    assert isinstance(answer.error, NodeExistsError)


@pytest.mark.parametrize(
    ("request_", "outcomes", "error"),
    [
        (ReadEpoch(), [[]], RemoteViolation),
        (ReadEpoch(), [["0" * 32, "1" * 32]], RemoteViolation),
        (ReadEpoch(), [[EPOCH_NAME], (b"x", STAT)], RemoteViolation),
        (FoundEpoch(), [True, [NoAuthError(), AFTER]], NoAuthError),
        (RaiseEpoch(FENCE, TICKET), [[NoAuthError(), AFTER]], NoAuthError),
        (RaiseEpoch(FENCE, TICKET), [[BACK, AFTER]], RemoteViolation),
        (WriteFenced(FENCE, TICKET, Duty("x")), [[NoAuthError(), AFTER]], NoAuthError),
        (ListTickets(), [ConnectionLoss()], ConnectionLoss),
        (CreateTicket(), [NodeExistsError()], NodeExistsError),
    ],
)
def test_what_no_step_expects_is_raised(request_, outcomes, error):
    with pytest.raises(error):
        serve(request_, *outcomes)


def test_cutting_is_not_the_services_business():
    with pytest.raises(InternalError):
        serve(CutConnection())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionLoss(), Verdict.UNKNOWN),
        (SessionExpiredError(), Verdict.UNKNOWN),
        (ConnectionClosedError(), Verdict.UNKNOWN),
        (SessionMovedError(), Verdict.CUT),
        (RuntimeInconsistency(), Verdict.CUT),
        (ValueError("what kazoo raises on an answer it cannot read"), Verdict.CUT),
        (NoAuthError(), Verdict.FATAL),
        (RemoteViolation("x"), Verdict.FATAL),
    ],
)
def test_errors_are_sorted(error, expected):
    assert verdict(error) is expected
