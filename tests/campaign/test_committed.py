"""What an ensemble has committed is what a majority has logged, whatever became of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepstep.testing.network.wire import Opcode
from keepstep.testing.servers import committed
from keepstep.testing.servers.committed import CommittedLog, SessionBook
from keepstep.testing.servers.observer import Change, Transaction


class Written:
    """A server's log that a test writes."""

    logs: dict[Path, list[int]]

    def __init__(self, directory, after=-1):
        self._directory, self._newest = directory, after

    def read(self):
        found = [zxid for zxid in self.logs[self._directory] if zxid > self._newest]
        self._newest = max([self._newest, *found])
        return [Transaction(zxid, 1, 1, 0, Opcode.SET_DATA) for zxid in found]


@pytest.fixture
def logs(monkeypatch):
    """The log of each of three servers, as lists of zxids."""
    found = {number: [] for number in (1, 2, 3)}
    Written.logs = {Path(str(number)): log for number, log in found.items()}
    monkeypatch.setattr(committed, "TransactionLog", Written)
    return found


def of_three():
    return CommittedLog({number: Path(str(number)) for number in (1, 2, 3)})


def zxids(log):
    return [transaction.zxid for transaction in log.read()]


def epoch(number, counter):
    return number << 32 | counter


def test_what_a_majority_has_logged_is_committed(logs):
    log = of_three()
    logs[1] += [1, 2, 3]
    assert zxids(log) == []
    logs[2] += [1, 2]
    assert zxids(log) == [1, 2]
    assert log.newest == 2
    logs[3] += [1, 2, 3]
    assert zxids(log) == [3]
    assert zxids(log) == []


def test_what_a_leader_alone_has_logged_is_cut_off_by_the_next(logs):
    log = of_three()
    for number in (1, 2, 3):
        logs[number] += [epoch(1, 1)]
    logs[1] += [epoch(1, 2)]
    assert zxids(log) == [epoch(1, 1)]
    for number in (2, 3):
        logs[number] += [epoch(2, 1)]
    assert zxids(log) == [epoch(2, 1)]
    # It comes back, cuts off what it had alone, and goes on.
    logs[1][:] = [epoch(1, 1), epoch(2, 1), epoch(2, 2)]
    logs[2] += [epoch(2, 2)]
    assert zxids(log) == [epoch(2, 2)]


def test_what_one_has_in_a_snapshot_is_taken_from_the_other(logs):
    log = of_three()
    logs[1] += [1, 2, 3]
    logs[2] += [3]
    assert zxids(log) == [1, 2, 3]


def test_after_a_loss_of_data_the_survivors_are_not_asked(logs):
    log = of_three()
    for number in (1, 2, 3):
        logs[number] += [epoch(4, 1), epoch(4, 2)]
    assert len(zxids(log)) == 2
    logs[1].clear()
    logs[2].clear()
    log.begin_anew(without={3})
    assert zxids(log) == []
    logs[1] += [epoch(1, 1)]
    assert zxids(log) == [epoch(1, 1)]
    logs[3][:] = [epoch(1, 1), epoch(1, 2)]
    log.include(3)
    assert zxids(log) == []
    logs[2] += [epoch(1, 2)]
    assert zxids(log) == [epoch(1, 2)]


def test_the_book_tells_what_a_dump_would():
    book = SessionBook()
    opened = [Transaction(n, n, 0, 0, Opcode.CREATE_SESSION) for n in (1, 2)]
    made = Change(Opcode.CREATE, "/a", ephemeral=True)
    kept = Change(Opcode.CREATE, "/b")
    book.take([*opened, Transaction(3, 1, 1, 0, Opcode.MULTI, (made, kept))])
    assert book.sessions().alive == {1, 2}
    assert book.sessions().ephemerals == {1: ("/a",)}
    refused = Transaction(4, 1, 2, 0, Opcode.ERROR, error="NodeExists")
    ended = Change(Opcode.CLOSE_SESSION, deleted=("/a",))
    book.take([refused, Transaction(5, 1, 0, 0, Opcode.CLOSE_SESSION, (ended,))])
    assert book.sessions().alive == {2}
    assert book.sessions().ephemerals == {}
    assert book.sessions().owner("/a") is None
