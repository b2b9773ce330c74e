"""The public interface, on its own threads, against a real server."""

from __future__ import annotations

import threading
import time

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError

from keepstep.errors import InternalError, LocalViolation
from keepstep.shell import (
    ConnectionUp,
    Create,
    Elected,
    LeaderElection,
    LeadershipLost,
    NotConnected,
    Revoked,
)
from keepstep.testing import FaultProxy
from keepstep.testing.network.ports import hold_port
from keepstep.testing.servers.admin import dump

RETRY = {"max_tries": -1, "delay": 0.05, "max_delay": 0.3}


class Calls:
    """Notes what it is called with, in order."""

    def __init__(self):
        self.seen = []

    def elected(self, epoch):
        self.seen.append(("elected", epoch))

    def revoked(self, reason):
        self.seen.append(("revoked", reason))


def test_a_with_block_leads_writes_and_hands_over(
    shared_server, elections, observer, path, eventually
):
    calls = Calls()
    with elections(shared_server, on_elected=calls.elected, on_revoked=calls.revoked) as election:
        assert election.wait_until_elected(10) == 1
        eventually(lambda: len(calls.seen) == 1)
        assert election.is_leader
        assert election.epoch == 1
        assert election.write(Create(f"{path}-a", b"x")) == [f"{path}-a"]
        with election.fenced() as transaction:
            transaction.create(f"{path}-b")
            transaction.set_data(f"{path}-a", b"y", version=0)
            transaction.check(f"{path}-b", version=0)
            transaction.delete(f"{path}-a", version=1)
        assert transaction.results[0] == f"{path}-b"
    assert not election.is_leader
    assert election.epoch is None
    assert calls.seen == [("elected", 1), ("revoked", "the election was closed")]
    assert observer.children(path) == []


def test_the_next_leads_as_soon_as_the_first_closes(shared_server, elections):
    first = elections(shared_server)
    second = elections(shared_server, "B")
    first.start()
    first.wait_until_elected(10)
    second.start()
    assert second.wait_until_elected(0.2) is None
    first.close()
    assert second.wait_until_elected(1.0) == 2


def test_who_resigns_queues_again(shared_server, elections, eventually):
    first = elections(shared_server)
    second = elections(shared_server, "B")
    with first:
        first.wait_until_elected(10)
        with second:
            eventually(lambda: second._shell.state == "waiting")
            first.resign()
            second.wait_until_elected(5)
            second.resign()
            assert first.wait_until_elected(5) == 3


def test_a_lost_connection_ends_the_leadership_at_once(shared_server, elections, eventually):
    calls = Calls()
    with (
        FaultProxy(shared_server.address) as proxy,
        elections(
            shared_server,
            hosts=str(proxy.address),
            on_elected=calls.elected,
            on_revoked=calls.revoked,
        ) as election,
    ):
        election.wait_until_elected(10)
        proxy.refuse()
        eventually(lambda: not election.is_leader, 0.5)
        with pytest.raises(LeadershipLost):
            election.write(timeout=1)
        proxy.accept()
        assert election.wait_until_elected(5) == 2
        # Callbacks have a thread of their own; of a leadership that is over nobody is told.
        eventually(lambda: len(calls.seen) >= 3)
    assert calls.seen[:3] == [
        ("elected", 1),
        ("revoked", "the connection was lost"),
        ("elected", 2),
    ]


def test_a_silent_server_ends_the_leadership_before_the_session(shared_server, elections):
    with (
        FaultProxy(shared_server.address) as proxy,
        elections(shared_server, hosts=str(proxy.address)) as election,
    ):
        election.wait_until_elected(10)
        revoked = election.revoked
        proxy.hold()
        held = time.monotonic()
        assert revoked.wait(4.0)
        assert time.monotonic() - held <= 3.6
        proxy.heal()
        assert election.wait_until_elected(10) is not None


def test_a_slow_callback_delays_no_revocation(shared_server, end_session, elections, eventually):
    entered, revoked_seen, order = threading.Event(), threading.Event(), []

    def slow(epoch):
        order.append(epoch)
        entered.set()
        if election.revoked.wait(20):
            revoked_seen.set()

    election = elections(shared_server, on_elected=slow, on_revoked=order.append)
    with election:
        assert entered.wait(10)
        end_session(election._shell.session)
        assert revoked_seen.wait(2)
        eventually(lambda: len(order) >= 3)
    assert order[0] == 1
    assert order[1] == "the connection was lost"
    assert order[2] == 2


def test_a_leadership_that_ends_before_its_callback_is_passed_over(
    shared_server, end_session, elections, eventually
):
    order, go_on = [], threading.Event()

    def slow(epoch):
        order.append(epoch)
        go_on.wait(20)

    election = elections(shared_server, on_elected=slow, on_revoked=order.append)
    with election:
        for epoch in (1, 2):
            eventually(lambda epoch=epoch: election.epoch == epoch)
            end_session(election._shell.session)
        eventually(lambda: election.epoch == 3)
        go_on.set()
        eventually(lambda: len(order) == 3)
        assert order == [1, "the connection was lost", 3]


def test_a_late_callback_does_not_write_under_a_later_leadership(
    shared_server, end_session, elections, path
):
    outcome, done = [], threading.Event()

    def elected(epoch):
        if epoch > 1:
            return
        end_session(election._shell.session)
        election.revoked.wait(10)
        end = time.monotonic() + 10
        while election.epoch != 2 and time.monotonic() < end:
            time.sleep(0.01)
        try:
            election.write(Create(f"{path}-late"))
        except LeadershipLost as error:
            outcome.append(error)
        done.set()

    election = elections(shared_server, on_elected=elected)
    with election:
        assert done.wait(20)
        assert len(outcome) == 1
        assert election.write() == []


def test_an_exception_in_on_elected_makes_us_resign(shared_server, elections, eventually, caplog):
    def broken(epoch):
        raise RuntimeError("broken on purpose")

    first = elections(shared_server, on_elected=broken)
    second = elections(shared_server, "B")
    with first:
        eventually(lambda: "broken on purpose" in caplog.text)
        with second:
            assert second.wait_until_elected(10) is not None


def test_changes_are_told_in_order(shared_server, elections):
    changes = []
    with elections(shared_server, on_change=changes.append) as election:
        election.wait_until_elected(10)
    assert [type(change) for change in changes] == [ConnectionUp, Elected, Revoked]
    assert [change.at for change in changes] == sorted(change.at for change in changes)


def test_an_existing_client_is_used_and_left_alone(shared_server, path):
    client = KazooClient(str(shared_server.address), timeout=4.0, connection_retry=RETRY)
    client.start(timeout=10)
    with LeaderElection(path, "A", client=client, tick=0.2) as election:
        assert election.wait_until_elected(10) == 1
        assert len(client.get_children(path)) == 1
    assert client.get_children(path) == []
    assert client.connected
    client.stop()
    client.close()


def test_errors_of_operations_are_raised_and_cost_nothing(shared_server, elections, path):
    with elections(shared_server) as election:
        election.wait_until_elected(10)
        with pytest.raises(NodeExistsError):
            election.write(Create(path))
        assert election.is_leader
        transaction = election.fenced()
        with pytest.raises(ZeroDivisionError), transaction:
            transaction.create(f"{path}-{1 // 0}")
        assert transaction.results == []
        with pytest.raises(LocalViolation, match="has ended"):
            transaction.create("/again")


def test_without_leadership_nothing_is_written(shared_server, elections):
    first, second = elections(shared_server), elections(shared_server, "B")
    with first:
        first.wait_until_elected(10)
        with second:
            assert second.revoked.is_set()
            with pytest.raises(LeadershipLost):
                second.write()
            with pytest.raises(LeadershipLost):
                second.fenced()


def test_many_writes_from_many_threads_are_all_applied(shared_server, elections, observer, path):
    with elections(shared_server) as election:
        election.wait_until_elected(10)

        def write(number):
            for index in range(20):
                election.write(Create(f"{path}-{number}-{index}"))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    written = [name for name in observer.children("/shell") if name.startswith(path[7:] + "-")]
    assert len(written) == 100


def test_nobody_there_is_told_in_time(path):
    held = hold_port()
    election = LeaderElection(path, "A", hosts=str(held.address), tick=0.2)
    with pytest.raises(NotConnected, match="check the hosts"):
        election.start(timeout=0.3)
    held.release()
    with pytest.raises(LocalViolation, match="make another"):
        election.start()


def test_a_defect_ends_the_election_and_the_leadership(shared_server, elections, monkeypatch):
    with elections(shared_server) as election:
        election.wait_until_elected(10)
        revoked = election.revoked

        def broken(*_):
            raise ZeroDivisionError

        monkeypatch.setattr(election._shell, "_deliver_command", broken)
        future = election.submit()
        assert revoked.wait(5)
        assert isinstance(future.exception(5), LeadershipLost)
        assert isinstance(election.failure, InternalError)


def test_closing_twice_or_before_starting_is_no_error(shared_server, elections):
    election = elections(shared_server)
    election.close()
    election.close()


def test_no_thread_and_no_session_is_left(shared_server, elections):
    before = threading.active_count()
    with elections(shared_server) as election:
        election.wait_until_elected(10)
        session = election._shell.session
    assert threading.active_count() <= before
    assert session not in dump(shared_server.address).alive


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({}, "either hosts or a client"),
        ({"hosts": "h:1", "on_elected": 3}, "on_elected"),
        ({"hosts": "h:1", "session_timeout": 4.0}, "more than 8 s"),
        ({"hosts": "h:1", "nonsense": 1}, "nonsense"),
        ({"client": "h:1"}, "KazooClient"),
    ],
)
def test_arguments_are_validated(path, arguments, word):
    with pytest.raises(LocalViolation, match=word):
        LeaderElection(path, "A", **arguments)


def test_a_clients_own_session_timeout_stands(path):
    client = KazooClient("h:1", timeout=10, connection_retry=RETRY)
    with pytest.raises(LocalViolation, match="10 s already"):
        LeaderElection(path, "A", client=client, session_timeout=5.0)
    with pytest.raises(LocalViolation, match="more than"):
        LeaderElection(path, "A", client=client, tick=2.5)
