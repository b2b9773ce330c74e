"""The ledger finds every way of breaking a promise, in logs that no correct shell would cause."""

from __future__ import annotations

import itertools

import pytest

from keepstep.testing import Change, Opcode, Transaction
from keepstep.testing.election.ledger import Claim, ElectionLedger, PromiseBroken
from keepstep.znodes.epoch import EpochData, encode_epoch

LATCH, FENCE, WRITES = "/a/latch", "/keepstep/a/latch", "/a/writes"
INCARNATION = "0" * 32
FIRST, SECOND = 11, 22


class Log:
    """Writes transactions as the server would log them."""

    def __init__(self):
        self.ledger = ElectionLedger(LATCH, FENCE, WRITES)
        self.zxids = itertools.count(1)

    def add(self, session, kind, *changes, error=""):
        entry = Transaction(next(self.zxids), session, 1, 0, kind, changes, error)
        self.ledger.take([entry])

    def found(self, incarnation=INCARNATION, floor=0):
        data = encode_epoch(EpochData(floor, ""))
        self.add(
            FIRST,
            Opcode.MULTI,
            Change(Opcode.CREATE, FENCE),
            Change(Opcode.CREATE, f"{FENCE}/{incarnation}", data),
        )

    def ticket(self, session):
        path = f"{LATCH}/ticket-of-{session}"
        self.add(session, Opcode.CREATE, Change(Opcode.CREATE, path, ephemeral=True))

    def end(self, session):
        deleted = (f"{LATCH}/ticket-of-{session}",)
        self.add(session, Opcode.CLOSE_SESSION, Change(Opcode.CLOSE_SESSION, deleted=deleted))

    def raise_epoch(self, session, epoch, leader, ticket_of=None, incarnation=INCARNATION):
        data = encode_epoch(EpochData(epoch, leader))
        self.add(
            session,
            Opcode.MULTI,
            Change(Opcode.SET_DATA, f"{FENCE}/{incarnation}", data, epoch),
            Change(Opcode.CHECK, f"{LATCH}/ticket-of-{ticket_of or session}", version=0),
        )

    def write(self, session, leader, epoch, incarnation=INCARNATION):
        claim = Claim(leader, incarnation, epoch)
        path = f"{WRITES}/{next(self.zxids)}"
        self.add(session, Opcode.MULTI, Change(Opcode.CREATE, path, claim.encode()))


@pytest.fixture
def log():
    log = Log()
    log.found()
    log.ticket(FIRST)
    log.ticket(SECOND)
    log.raise_epoch(FIRST, 1, "one")
    log.write(FIRST, "one", 1)
    return log


def test_an_election_as_it_should_be(log):
    log.end(FIRST)
    log.raise_epoch(SECOND, 2, "two")
    log.write(SECOND, "two", 2)
    ledger = log.ledger
    assert [raised.epoch for raised in ledger.raised] == [1, 2]
    assert [write.claim.identity for write in ledger.accepted] == ["one", "two"]
    assert ledger.tickets == {f"{LATCH}/ticket-of-{SECOND}": SECOND}
    assert ledger.find_raised(Claim("one", INCARNATION, 1)).session == FIRST
    assert ledger.find_raised(Claim("two", INCARNATION, 1)) is None


def test_after_a_wipe_epochs_begin_anew_under_another_incarnation(log):
    log.ledger.begin_anew()
    other = "1" * 32
    log.found(other)
    log.ticket(SECOND)
    log.raise_epoch(SECOND, 1, "two", incarnation=other)
    log.write(SECOND, "two", 1, other)


def test_a_refused_transaction_counts_for_nothing(log):
    log.add(SECOND, Opcode.MULTI, error="BadVersion")
    assert len(log.ledger.accepted) == 1


def test_two_writers_of_one_epoch(log):
    with pytest.raises(PromiseBroken, match="one accepted writer an epoch"):
        log.write(SECOND, "two", 1)


def test_a_write_of_an_earlier_epoch(log):
    log.raise_epoch(SECOND, 2, "two")
    log.write(SECOND, "two", 2)
    with pytest.raises(PromiseBroken, match="accepted epochs ascend"):
        log.write(FIRST, "one", 1)


def test_a_write_after_its_epoch_was_over(log):
    log.raise_epoch(SECOND, 2, "two")
    with pytest.raises(PromiseBroken, match="once its epoch is over"):
        log.write(FIRST, "one", 1)


def test_a_write_of_an_incarnation_that_was_wiped(log):
    log.ledger.begin_anew()
    with pytest.raises(PromiseBroken, match="once its epoch is over"):
        log.write(FIRST, "one", 1)


@pytest.mark.parametrize("epoch", [0, 1])
def test_an_epoch_that_does_not_ascend(log, epoch):
    with pytest.raises(PromiseBroken, match="epochs ascend"):
        log.raise_epoch(SECOND, epoch, "two")


def test_an_epoch_below_the_one_that_was_founded():
    log = Log()
    log.found(floor=7)
    log.ticket(FIRST)
    with pytest.raises(PromiseBroken, match="epochs ascend"):
        log.raise_epoch(FIRST, 7, "one")


def test_an_epoch_raised_by_the_ticket_of_another_session(log):
    with pytest.raises(PromiseBroken, match="a ticket of one's own"):
        log.raise_epoch(SECOND, 2, "two", ticket_of=FIRST)


def test_an_epoch_raised_by_a_ticket_that_is_gone(log):
    log.end(SECOND)
    with pytest.raises(PromiseBroken, match="a ticket of one's own"):
        log.raise_epoch(SECOND, 2, "two")
