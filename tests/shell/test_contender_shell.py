"""One shell at a time, or two, driven by hand against a real server."""

from __future__ import annotations

import json

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError
from kazoo.security import make_digest_acl

from keepstep.core.machine import Refused
from keepstep.errors import LocalViolation, RemoteViolation
from keepstep.roles.election_types import ListTickets, Sync, WriteFenced
from keepstep.shell import (
    Check,
    Create,
    Delete,
    Elected,
    ElectionSettings,
    Failed,
    LeadershipLost,
    Revocation,
    Revoked,
    SetData,
    Unhealthy,
    WriteUnknown,
)
from keepstep.shell.contender_shell import ContenderShell
from keepstep.shell.inbox import Lane
from keepstep.testing import FaultProxy, Opcode, WireClient
from keepstep.testing.servers.admin import dump

RETRY = {"max_tries": -1, "delay": 0.05, "max_delay": 0.3}


def reasons(shell):
    return [change.reason for change in shell.changes if isinstance(change, Revoked)]


def epochs(shell):
    return [change.leadership.epoch for change in shell.changes if isinstance(change, Elected)]


# --- Becoming the leader ---


def test_the_first_contender_creates_what_is_missing_and_leads(
    shared_server, observer, driver, path
):
    shell = driver.make(shared_server, identity="http://h:8090")
    actions = driver.until(shell, "leading")
    assert actions == [
        "attach", "survey", "restore", "resurvey", "join", "rank", "verify", "claim",
        "found", "reread", "bid", "lead",
    ]  # fmt: skip
    (name,) = observer.children(path)
    assert name.startswith(f"_c_{shell.node}-latch-")
    ticket = observer.read(f"{path}/{name}")
    assert ticket.data == b"http://h:8090"
    assert ticket.stat.ephemeral_owner == shell.session
    (incarnation,) = observer.children(f"/keepstep{path}")
    assert incarnation == shell.leadership.incarnation
    epoch = observer.read(f"/keepstep{path}/{incarnation}")
    assert json.loads(epoch.data) == {"epoch": 1, "leader": "http://h:8090"}
    assert epoch.stat.ephemeral_owner == 0
    assert shell.leadership.epoch == 1


def test_epochs_begin_above_the_floor(shared_server, driver):
    assert driver.leader(shared_server, epoch_floor=41).leadership.epoch == 42


def test_the_fence_path_is_a_setting(shared_server, driver, observer, path):
    fence = path.replace("/shell/", "/fences/")
    driver.leader(shared_server, fence_path=fence)
    assert len(observer.children(fence)) == 1


def test_the_second_waits_and_leads_when_the_first_resigns(shared_server, driver):
    first = driver.leader(shared_server)
    second = driver.make(shared_server, identity="B")
    driver.until(second, "waiting")
    first.resign()
    driver.until(first, "leaving")
    assert first.leadership is None
    assert reasons(first) == [Revocation.RESIGNED]
    driver.until(second, "leading")
    driver.until(first, "waiting")
    assert second.leadership.epoch == 2


def test_a_killed_leader_is_followed_once_its_session_has_ended(shared_server, end_session, driver):
    first = driver.leader(shared_server)
    second = driver.make(shared_server, identity="B")
    driver.until(second, "waiting")
    session = first.session
    first.abandon()
    assert session in dump(shared_server.address).alive
    end_session(session)
    driver.until(second, "leading")


def test_a_ticket_of_an_earlier_session_does_not_make_a_leader(shared_server, driver):
    shell = driver.leader(shared_server)
    before = shell.session
    shell.replace_client()
    actions = driver.until(shell, "discarding")
    assert actions[:1] == ["suspend"]
    assert actions[-1] == "discard"
    driver.until(shell, "leading")
    assert shell.session != before
    assert shell.facts.session == shell.session


def test_children_that_are_no_tickets_are_logged_and_passed_over(
    shared_server, driver, path, caplog
):
    with WireClient(shared_server.address) as outside:
        for part in ("/shell", path, f"{path}/aaa", f"{path}/_c_x__lock__0000000000"):
            if outside.exists(part) is None:
                outside.create(part)
    driver.leader(shared_server)
    assert "which is no ticket" in caplog.text


def test_a_foreign_ticket_that_is_ahead_is_waited_for(shared_server, driver, path):
    with WireClient(shared_server.address) as outside:
        for part in ("/shell", path):
            if outside.exists(part) is None:
                outside.create(part)
        ticket = outside.create(f"{path}/latch-", sequential=True)
        shell = driver.make(shared_server)
        driver.until(shell, "waiting")
        outside.delete(ticket)
        driver.until(shell, "leading")


def test_two_who_found_the_epoch_at_once_agree_on_one(shared_server, driver, observer, path):
    # Their tickets are in different directories, so that both are first.
    fence = path.replace("/shell/", "/fences/")
    one = driver.make(shared_server, fence_path=fence)
    driver.until(one, "founding")
    two = driver.make(shared_server, identity="B", path=f"{path}-other", fence_path=fence)
    driver.until(two, "founding")
    driver.until(one, "leading")
    driver.until(two, "leading")
    assert len(observer.children(fence)) == 1
    assert {one.leadership.epoch, two.leadership.epoch} == {1, 2}
    future = one.write([])
    with pytest.raises(LeadershipLost):
        driver.settle(one, future).result()
    assert reasons(one) == [Revocation.SUPERSEDED]


def until_the_epoch_is_read(driver, shell):
    """Deliver until the answer that holds the epoch is there, and leave it there."""
    driver.until(shell, "fencing")
    assert shell.deliver_one(10.0, Lane.ANSWER).told is None, "the names come first"
    while not shell.pending(Lane.ANSWER):
        assert shell.deliver_one(0.01, Lane.STATE) is None


def test_whoever_reads_the_epoch_and_is_overtaken_gives_way(shared_server, driver, path):
    fence = path.replace("/shell/", "/fences/")
    driver.leader(shared_server, fence_path=fence)
    two = driver.make(shared_server, identity="B", path=f"{path}-other", fence_path=fence)
    until_the_epoch_is_read(driver, two)
    three = driver.make(shared_server, identity="C", path=f"{path}-third", fence_path=fence)
    driver.until(three, "leading")
    assert "give_way" in driver.until(two, "leading")
    assert epochs(three) == [2]
    assert epochs(two) == [3]


def test_who_lost_its_ticket_does_not_raise_the_epoch(shared_server, driver, observer, path):
    shell = driver.make(shared_server)
    driver.until(shell, "founding")
    while shell.state == "founding":
        shell.deliver_one(1.0)
    until_the_epoch_is_read(driver, shell)
    with WireClient(shared_server.address) as outside:
        outside.delete(f"{path}/{outside.get_children(path)[0]}")
    assert driver.until(shell, "ranking")[-1] == "rerank"
    (incarnation,) = observer.children(f"/keepstep{path}")
    assert json.loads(observer.read(f"/keepstep{path}/{incarnation}").data)["epoch"] == 0


# --- Writing ---


def test_writes_are_applied_together_and_answer_in_order(shared_server, driver, observer, path):
    shell = driver.leader(shared_server)
    with WireClient(shared_server.address) as outside:
        outside.create(f"{path}-data", b"0")
    write = shell.write(
        [
            Check(f"{path}-data", 0),
            SetData(f"{path}-data", b"1", 0),
            Create(f"{path}-new-", b"x", sequential=True),
            Delete(f"{path}-data", 1),
        ]
    )
    results = driver.settle(shell, write).result()
    assert results[0] is True
    assert results[1].version == 1
    assert results[2].startswith(f"{path}-new-")
    assert results[3] is True
    assert observer.read(f"{path}-data") is None
    assert observer.read(results[2]).data == b"x"


def test_an_operation_that_fails_writes_nothing_and_the_leadership_goes_on(
    shared_server, driver, observer, path
):
    shell = driver.leader(shared_server)
    write = shell.write([Create(f"{path}-new"), Create(path)])
    with pytest.raises(NodeExistsError):
        driver.settle(shell, write).result()
    assert observer.read(f"{path}-new") is None
    assert shell.state == "leading"
    assert shell.leadership is not None


def test_who_does_not_lead_writes_nothing(shared_server, driver):
    driver.leader(shared_server)
    second = driver.make(shared_server, identity="B")
    driver.until(second, "waiting")
    with pytest.raises(LeadershipLost):
        second.write([]).result(timeout=0)


def test_a_write_for_another_epoch_is_refused_at_once(shared_server, driver):
    shell = driver.leader(shared_server)
    with pytest.raises(LeadershipLost):
        shell.write([], epoch=7).result(timeout=0)
    assert driver.settle(shell, shell.write([], epoch=1)).result() == []


def test_writes_ordered_before_a_resignation_are_carried_out(shared_server, driver, path):
    shell = driver.leader(shared_server)
    before = shell.write([Create(f"{path}-before")])
    shell.resign()
    after = shell.write([Create(f"{path}-after")])
    driver.until(shell, "leaving")
    assert before.result(timeout=0) == [f"{path}-before"]
    with pytest.raises(LeadershipLost):
        after.result(timeout=0)


def test_a_deposed_leader_writes_nothing(shared_server, driver, observer, path):
    """The old leader believes it leads; the epoch knows better."""
    fence = path.replace("/shell/", "/fences/")
    old = driver.leader(shared_server, fence_path=fence)
    driver.leader(shared_server, identity="B", path=f"{path}-other", fence_path=fence)
    assert old.leadership is not None
    write = old.write([Create(f"{path}-zombie")])
    with pytest.raises(LeadershipLost):
        driver.settle(old, write).result()
    assert observer.read(f"{path}-zombie") is None


def test_a_leader_whose_ticket_was_deleted_writes_nothing(shared_server, driver, observer, path):
    shell = driver.leader(shared_server)
    with WireClient(shared_server.address) as outside:
        outside.delete(f"{path}/{outside.get_children(path)[0]}")
    write = shell.write([Create(f"{path}-zombie")])
    with pytest.raises(LeadershipLost):
        driver.settle(shell, write).result()
    assert observer.read(f"{path}-zombie") is None
    assert reasons(shell) == [Revocation.TICKET_GONE]
    driver.until(shell, "leading")


def test_a_ticket_that_was_touched_still_counts(shared_server, driver, path):
    shell = driver.leader(shared_server)
    with WireClient(shared_server.address) as outside:
        outside.set_data(f"{path}/{outside.get_children(path)[0]}", b"touched")
    assert driver.settle(shell, shell.write([])).result() == []


@pytest.mark.parametrize(
    "operations", ["/a", [("create", "/a")], [SetData("/a", b"x" * 300_000)] * 2]
)
def test_writes_that_cannot_be_are_refused(shared_server, driver, operations):
    shell = driver.make(shared_server)
    with pytest.raises(LocalViolation):
        shell.write(operations)


# --- The connection ---


def test_a_lost_reply_leaves_the_outcome_unknown(shared_server, driver, observer, path):
    with FaultProxy(shared_server.address) as proxy:
        shell = driver.leader(proxy)
        fault = proxy.drop_next_reply()
        write = shell.write([Create(f"{path}-unknown")])
        with pytest.raises(WriteUnknown):
            driver.settle(shell, write).result()
        assert fault.wait(1).applied
        assert observer.read(f"{path}-unknown") is not None
        driver.until(shell, "leading")
        assert epochs(shell) == [1, 2]


def test_a_create_of_unknown_outcome_draws_no_second_ticket(shared_server, driver, observer, path):
    with FaultProxy(shared_server.address) as proxy:
        fault = proxy.drop_next_reply(
            lambda request: request.opcode == Opcode.CREATE and "-latch-" in request.paths[0]
        )
        shell = driver.leader(proxy)
        assert fault.wait(1).applied
        assert len(observer.children(path)) == 1
        assert shell.session == observer.read(f"{path}/{observer.children(path)[0]}").stat[7]


def test_an_answer_is_compared_when_it_is_taken_not_when_it_came(shared_server, driver):
    shell = driver.make(shared_server)
    driver.until(shell, "syncing")
    while not shell.pending(Lane.ANSWER):
        assert shell.deliver_one(0.01, Lane.STATE) is None
    shell._link.cut(shell._connection)
    while shell.pending(Lane.STATE) < 2:
        assert shell.deliver_one(0.01, Lane.COMMAND) is None
    driver.until(shell, "offline", lane=Lane.STATE)
    driver.until(shell, "syncing", lane=Lane.STATE)
    stale = shell.deliver_one(1.0, Lane.ANSWER)
    assert stale.stale
    assert shell.state == "syncing"
    driver.until(shell, "leading")


def test_nothing_is_submitted_on_a_connection_the_machine_was_not_told_of(shared_server, driver):
    shell = driver.leader(shared_server)
    shell._link.cut(shell._connection)
    while shell.pending(Lane.STATE) < 2:
        assert shell.deliver_one(0.01, Lane.ANSWER) is None
    write = shell.write([])
    delivered = shell.deliver_one(lane=Lane.COMMAND)
    assert isinstance(delivered.requests[0], WriteFenced)
    assert shell.leadership is None, "the shell knows before the machine does"
    with pytest.raises(LeadershipLost):
        driver.settle(shell, write).result()


def test_a_resignation_whose_outcome_is_unknown_is_repeated(shared_server, driver, path):
    with FaultProxy(shared_server.address) as proxy:
        first = driver.leader(proxy)
        second = driver.make(shared_server, identity="B")
        driver.until(second, "waiting")
        fault = proxy.drop_next_request(lambda request: request.opcode == Opcode.DELETE)
        first.resign()
        driver.until(first, "offline")
        assert fault.wait(1).applied is False
        driver.until(first, "waiting")
        assert reasons(first) == [Revocation.RESIGNED, Revocation.RESIGNED]
        driver.until(second, "leading")


def test_a_resignation_is_about_one_session(shared_server, end_session, driver):
    with FaultProxy(shared_server.address) as proxy:
        shell = driver.leader(proxy)
        proxy.drop_next_request(lambda request: request.opcode == Opcode.DELETE)
        shell.resign()
        driver.until(shell, "leaving")
        end_session(shell.session)
        driver.until(shell, "offline")
        proxy.heal()
        driver.until(shell, "leading")
        assert shell.deliver_one(0.2) is None, "the ticket of the new session is kept"
        assert shell.state == "leading"


def test_a_lost_connection_is_no_news_of_the_ticket_ahead(shared_server, driver):
    driver.leader(shared_server)
    second = driver.make(shared_server, identity="B")
    driver.until(second, "waiting")
    assert second.deliver_one(5.0, Lane.ANSWER).told is None, "the watch is left"
    second._link.cut(second._connection)
    assert second.deliver_one(5.0, Lane.STATE).action == "suspend"
    assert second.deliver_one(5.0, Lane.STATE).action == "attach"
    assert second.pending(Lane.NOTIFICATION) == 0
    driver.until(second, "waiting")


def test_after_an_expiry_a_new_ticket_is_drawn(shared_server, end_session, driver, observer, path):
    shell = driver.leader(shared_server)
    (before,) = observer.children(path)
    end_session(shell.session)
    driver.until(shell, "offline")
    assert reasons(shell) == [Revocation.DISCONNECTED]
    driver.until(shell, "leading")
    (after,) = observer.children(path)
    assert after != before


def test_the_parent_may_be_deleted(shared_server, driver, path):
    shell = driver.make(shared_server)
    driver.until(shell, "joining")
    while not shell.pending(Lane.ANSWER):
        assert shell.deliver_one(0.01, Lane.STATE) is None
    with WireClient(shared_server.address) as outside:
        for child in outside.get_children(path):
            outside.delete(f"{path}/{child}")
        outside.delete(path)
    assert "restore" in driver.until(shell, "leading")


def test_an_answer_that_never_comes_ends_in_a_cut(shared_server, driver):
    with FaultProxy(shared_server.address) as proxy:
        shell = driver.make(proxy)
        driver.until(shell, "joining")
        while shell.state == "joining":
            assert shell.deliver_one(1.0) is not None
        proxy.hold(coming=False)
        assert shell.outstanding is not None
        shell.clock.advance(2.1)
        assert shell.deliver_one(lane=Lane.TIMER).told is None
        driver.until(shell, "offline")
        proxy.release()
        driver.until(shell, "leading")


def test_a_client_that_does_not_connect_is_replaced(own_server, driver):
    """A server with less data than the client has seen is never spoken to by that client."""
    shell = driver.leader(own_server)
    client, incarnation = shell.client, shell.leadership.incarnation
    own_server.wipe()
    driver.until(shell, "offline")
    assert shell.deliver_one(0.5) is None
    shell.clock.advance(8.1)
    driver.until(shell, "leading")
    assert shell.client is not client
    assert shell.leadership.epoch == 1
    assert shell.leadership.incarnation != incarnation


def test_a_client_whose_thread_has_died_is_replaced_at_once(shared_server, driver):
    shell = driver.leader(shared_server)
    client = shell.client
    client._stopped.set()
    shell._link.cut(shell._connection)
    driver.until(shell, "offline")
    driver.until(shell, "leading")
    assert shell.client is not client


def test_a_client_that_was_handed_in_is_used_and_never_replaced(shared_server, driver, path):
    client = KazooClient(str(shared_server.address), timeout=4.0, connection_retry=RETRY)
    client.start(timeout=10)
    shell = driver.leader(shared_server, client=client)
    assert shell.session == client.client_id[0]
    with pytest.raises(LocalViolation, match="never replaced"):
        shell.replace_client()
    client.stop()
    driver.until(shell, "offline")
    while not any(isinstance(change, Unhealthy) for change in shell.changes):
        shell.deliver_one(0.1)
    assert shell.client is client
    client.start(timeout=10)
    driver.until(shell, "leading")
    shell.close()
    assert client.connected
    assert client.get_children(path) == [], "the ticket is deleted though the session lives"
    client.stop()
    client.close()


def test_a_waiting_contender_on_a_shared_client_leaves_no_ticket(shared_server, driver, path):
    driver.leader(shared_server)
    client = KazooClient(str(shared_server.address), timeout=4.0, connection_retry=RETRY)
    client.start(timeout=10)
    shell = driver.make(shared_server, identity="B", client=client)
    driver.until(shell, "waiting")
    assert len(client.get_children(path)) == 2
    shell.close()
    assert len(client.get_children(path)) == 1
    client.stop()
    client.close()


# --- Time ---


def test_without_an_acknowledged_write_a_leader_stops_in_time(shared_server, driver):
    shell = driver.leader(shared_server)
    shell.clock.advance(3.39)
    assert shell.leadership is not None
    shell.clock.advance(0.02)
    assert shell.leadership is None, "known to everybody, before the machine is told"
    assert shell.deliver_one(lane=Lane.TIMER).action == "lapse"
    assert reasons(shell) == [Revocation.LAPSED]
    driver.until(shell, "leading")


def test_the_deadline_counts_from_the_sending_of_the_write(shared_server, driver):
    shell = driver.leader(shared_server, request_timeout=3.0)
    shell.clock.advance(0.9)
    write = shell.write([])
    shell.deliver_one(lane=Lane.COMMAND)
    shell.clock.advance(2.0)
    driver.settle(shell, write).result()
    shell.clock.advance(1.39)
    assert shell.leadership is not None
    shell.clock.advance(0.02)
    assert shell.leadership is None


def test_an_idle_leader_writes_each_quarter_of_its_session(shared_server, driver):
    shell = driver.leader(shared_server)
    assert shell.deliver_one() is None
    shell.clock.advance(1.01)
    delivered = shell.deliver_one()
    assert delivered.action == "write"
    assert delivered.requests[0].duty == "heartbeat"
    driver.until(shell, "leading")
    shell.clock.advance(3.0)
    assert shell.leadership is not None


def test_a_write_whose_operation_fails_does_not_prolong_the_leadership(shared_server, driver, path):
    shell = driver.leader(shared_server)
    shell.clock.advance(0.9)
    write = shell.write([Create(path)])
    assert driver.settle(shell, write).exception() is not None
    shell.clock.advance(2.51)
    assert shell.leadership is None


def test_a_deadline_of_a_leadership_that_is_over_is_overlooked(shared_server, driver):
    shell = driver.leader(shared_server)
    shell.resign()
    driver.until(shell, "leaving")
    shell.clock.advance(3.5)
    assert shell.deliver_one(lane=Lane.TIMER).action == "overlook"


def test_a_server_that_grants_too_short_a_session_ends_the_election(shared_server, driver):
    shell = driver.make(shared_server, session_timeout=100.0, tick=20.0)
    while shell.failure is None:
        shell.deliver_one(1.0)
    assert "grants 60 s only" in str(shell.failure)
    assert shell.stopped


# --- What ends an election ---


def test_two_epochs_are_an_operators_matter(shared_server, driver, path):
    shell = driver.leader(shared_server)
    with WireClient(shared_server.address) as outside:
        outside.create(f"/keepstep{path}/{'0' * 32}", b'{"epoch": 9}')
    shell._link.cut(shell._connection)
    while shell.failure is None:
        shell.deliver_one(1.0)
    assert isinstance(shell.failure, RemoteViolation)
    assert "2 epochs instead of one" in str(shell.failure)
    assert isinstance(shell.changes[-1], Failed)
    assert shell.leadership is None


def test_an_epoch_that_is_no_epoch_ends_the_election(shared_server, driver, path):
    shell = driver.leader(shared_server)
    with WireClient(shared_server.address) as outside:
        (name,) = outside.get_children(f"/keepstep{path}")
        outside.set_data(f"/keepstep{path}/{name}", b"junk")
    while shell.failure is None:
        shell.clock.advance(0.5)
        shell.deliver_one(0.1)
    assert "no JSON" in str(shell.failure)


def test_permissions_that_are_missing_end_the_election(shared_server, driver, path):
    with WireClient(shared_server.address) as outside:
        if outside.exists("/shell") is None:
            outside.create("/shell")
    acl = [make_digest_acl("u", "p", all=True)]
    options = {"auth_data": [("digest", "u:p")]}
    driver.leader(shared_server, acl=acl, client_options=options)
    stranger = driver.make(shared_server, identity="B")
    while stranger.failure is None:
        assert stranger.deliver_one(5.0) is not None
    assert "NoAuthError" in str(stranger.failure)


def test_a_refusal_by_the_machine_is_raised_and_changes_nothing(shared_server, driver):
    class Confused(ContenderShell):
        def _serve(self, request):
            super()._serve(ListTickets() if request == Sync() else Sync())

    shell = driver.make(shared_server, shell_class=Confused)
    driver.until(shell, "syncing")

    def drive():
        while shell.deliver_one(5.0) is not None:
            assert shell.state == "syncing"

    with pytest.raises(Refused):
        drive()
    assert shell.state == "syncing"


def test_closing_hands_over_at_once(shared_server, driver):
    first = driver.leader(shared_server)
    second = driver.make(shared_server, identity="B")
    driver.until(second, "waiting")
    first.close()
    assert reasons(first) == [Revocation.CLOSED]
    assert first.session not in dump(shared_server.address).alive
    driver.until(second, "leading")


def test_a_chroot_is_honoured(shared_server, driver, observer, path):
    top = path.replace("/shell/", "/root-of-")
    with WireClient(shared_server.address) as outside:
        outside.create(top)
    driver.leader(shared_server, hosts=f"{shared_server.address}{top}")
    assert len(observer.children(f"{top}{path}")) == 1


def test_a_chroot_that_does_not_exist_is_created(shared_server, driver, observer, path):
    top = path.replace("/shell/", "/absent-root-of-")
    driver.leader(shared_server, hosts=f"{shared_server.address}{top}")
    assert len(observer.children(f"{top}{path}")) == 1


def test_either_hosts_or_a_client():
    settings = ElectionSettings(path="/e", identity="A")
    for arguments in ({}, {"hosts": "h:1", "client": KazooClient("h:1")}):
        with pytest.raises(LocalViolation, match="either hosts or a client"):
            ContenderShell(settings, **arguments)
    client = KazooClient("h:1", timeout=10, connection_retry=RETRY)
    with pytest.raises(LocalViolation, match="client_options"):
        ContenderShell(settings, client=client, client_options={"use_ssl": True})
