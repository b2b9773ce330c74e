"""The fake's scheduler, faults and oracles."""

from __future__ import annotations

import pytest

from keepstep.errors import LocalViolation
from keepstep.simulation import FakeZooKeeper
from keepstep.testing import (
    Check,
    ConnectionEnded,
    Create,
    Delete,
    Opcode,
    Refusal,
    SessionGone,
    SetData,
)
from keepstep.testing.network.wire import JuteReader, multi_body, multi_refusal


def story(seed):
    """Two clients that wait for nothing, and what becomes of it."""
    zookeeper = FakeZooKeeper(servers=3, seed=seed)
    clients = [zookeeper.connect(server) for server in (0, 1, 2)]
    for client in clients:
        client.submit_operation(Create("/a", str(client.server.number).encode()))
        client.submit_operation(Create("/n-", ephemeral=True, sequential=True))
    zookeeper.settle()
    return zookeeper.transactions(), zookeeper.tree()


def test_a_seed_is_a_story():
    assert story(3) == story(3)
    assert len({tree["/a"].data for _, tree in map(story, range(20))}) == 3


def test_nothing_happens_on_its_own():
    zookeeper = FakeZooKeeper()
    client = zookeeper.connect()
    xid = client.submit_operation(Create("/a"))
    assert not client.answered(xid)
    assert "/a" not in zookeeper.tree()
    assert zookeeper.run_until(lambda: client.answered(xid))
    assert "/a" in zookeeper.tree()
    zookeeper.settle()
    assert not zookeeper.step()


def test_run_until_ends():
    zookeeper = FakeZooKeeper()
    assert not zookeeper.run_until(lambda: False)


def test_the_fake_speaks_bytes():
    client = FakeZooKeeper().connect()
    create = Create("/n-", b"x", sequential=True)
    reply = client.answer(client.submit(Opcode.CREATE, create.body()))
    assert JuteReader(reply.body).text() == "/n-0000000000"
    path = reply.body
    stat = JuteReader(client.answer(client.submit(Opcode.EXISTS, path + b"\0")).body).stat()
    assert stat.czxid == reply.zxid
    reader = JuteReader(client.answer(client.submit(Opcode.GET_DATA, path + b"\0")).body)
    assert (reader.buffer(), reader.stat()) == (b"x", stat)
    names = client.answer(client.submit(Opcode.GET_CHILDREN, b"\0\0\0\x01/\0")).body
    assert JuteReader(names).texts() == ["n-0000000000", "zookeeper"]
    operations = [SetData("/n-0000000000", b"y"), Check("/n-0000000000", 7)]
    body = client.answer(client.submit(Opcode.MULTI, multi_body(operations))).body
    assert multi_refusal(body) == -103
    operations = [SetData("/n-0000000000", b"y", 0), Delete("/n-0000000000", 1)]
    body = client.answer(client.submit(Opcode.MULTI, multi_body(operations))).body
    assert multi_refusal(body) == 0


def test_an_unknown_request_is_told():
    client = FakeZooKeeper().connect()
    with pytest.raises(LocalViolation, match="knows no request"):
        client.submit(Opcode.RECONFIG)


def test_a_lost_request_is_not_applied():
    zookeeper = FakeZooKeeper()
    client = zookeeper.connect()
    zookeeper.drop_next_request(client)
    with pytest.raises(ConnectionEnded):
        client.create("/a")
    zookeeper.settle()
    assert "/a" not in zookeeper.tree()
    zookeeper.connect(session=client.session).create("/a")


def test_a_lost_reply_is_applied_unheard():
    zookeeper = FakeZooKeeper()
    client = zookeeper.connect()
    zookeeper.drop_next_reply(client)
    with pytest.raises(ConnectionEnded):
        client.create("/a", ephemeral=True)
    assert zookeeper.tree()["/a"].stat.ephemeral_owner == client.session


def test_of_what_a_cut_finds_on_its_way_a_prefix_arrives():
    found = set()
    for seed in range(100):
        zookeeper = FakeZooKeeper(seed=seed)
        client = zookeeper.connect()
        for name in "abc":
            client.submit_operation(Create(f"/{name}"))
        zookeeper.cut(client)
        with pytest.raises(ConnectionEnded):
            client.create("/d")
        zookeeper.settle()
        found.add("".join(sorted(path[1:] for path in zookeeper.tree() if path != "/")))
    assert found == {"", "a", "ab", "abc"}


def outcome_of_a_late_create(seed, **more):
    """Whether a create of an abandoned connection comes after a read of the next one."""
    zookeeper = FakeZooKeeper(seed=seed, **more)
    client = zookeeper.connect()
    client.submit_operation(Create("/late"))
    client.abandon()
    again = zookeeper.connect(session=client.session)
    seen = again.exists("/late")
    zookeeper.settle()
    return seen is None and "/late" in zookeeper.tree()


def test_stragglers_are_only_where_they_are_wanted():
    assert not any(outcome_of_a_late_create(seed) for seed in range(50))
    assert any(outcome_of_a_late_create(seed, stragglers=True) for seed in range(50))


def test_what_is_held_waits():
    zookeeper = FakeZooKeeper()
    client = zookeeper.connect()
    zookeeper.hold(client)
    xid = client.submit_operation(Create("/a"))
    zookeeper.settle()
    assert "/a" not in zookeeper.tree()
    zookeeper.release(client)
    assert client.answer(xid).error == 0
    zookeeper.hold(0)
    xid = client.submit_operation(Create("/b"))
    zookeeper.settle()
    assert "/b" not in zookeeper.tree()
    zookeeper.release(0)
    assert client.answer(xid).error == 0


def test_who_waits_for_something_held_is_told_that_nobody_answers():
    zookeeper = FakeZooKeeper()
    client = zookeeper.connect()
    zookeeper.hold(0)
    with pytest.raises(ConnectionEnded, match="did not answer"):
        client.create("/a")


def test_a_server_that_lags_shows_the_past_and_serves_who_waits():
    zookeeper = FakeZooKeeper(servers=3)
    writer, reader = zookeeper.connect(0), zookeeper.connect(1)
    zookeeper.lag(1)
    writer.create("/a")
    zookeeper.settle()
    assert reader.exists("/a") is None
    assert "/a" not in zookeeper.tree(1)
    assert "/a" in zookeeper.tree(2)
    reader.sync()
    assert reader.exists("/a") is not None


def test_a_dead_follower_takes_its_clients_along():
    zookeeper = FakeZooKeeper(servers=3)
    writer, other = zookeeper.connect(0), zookeeper.connect(1)
    zookeeper.kill(1)
    with pytest.raises(ConnectionEnded):
        other.exists("/")
    with pytest.raises(ConnectionEnded):
        zookeeper.connect(1)
    writer.create("/a")
    zookeeper.restart(1)
    assert zookeeper.connect(1, other.session).exists("/a") is not None


def test_another_server_leads_when_the_leader_dies():
    zookeeper = FakeZooKeeper(servers=3)
    client = zookeeper.connect(1)
    client.create("/a", ephemeral=True)
    before = zookeeper.zxid
    zookeeper.kill(0)
    assert zookeeper.leader in {1, 2}
    with pytest.raises(ConnectionEnded):
        client.exists("/a")
    again = zookeeper.connect(2, client.session)
    assert again.exists("/a").ephemeral_owner == client.session
    again.create("/b")
    assert zookeeper.zxid >> 32 > before >> 32


def test_too_few_servers_serve_nobody():
    zookeeper = FakeZooKeeper(servers=3)
    client = zookeeper.connect(2)
    client.create("/a")
    zookeeper.kill(0)
    zookeeper.kill(1)
    assert zookeeper.leader is None
    with pytest.raises(ConnectionEnded):
        zookeeper.connect(2)
    with pytest.raises(LocalViolation, match="without a leader"):
        zookeeper.expire(client.session)
    zookeeper.restart(1)
    assert zookeeper.connect(2, client.session).exists("/a") is not None


def test_a_wipe_leaves_nothing():
    zookeeper = FakeZooKeeper(servers=3)
    client = zookeeper.connect()
    client.create("/a")
    zookeeper.wipe()
    assert list(zookeeper.tree()) == ["/"]
    assert zookeeper.transactions() == []
    with pytest.raises(SessionGone):
        zookeeper.connect(session=client.session)
    assert zookeeper.connect().session != client.session


def test_the_oracles_tell_what_the_servers_know():
    zookeeper = FakeZooKeeper()
    client, other = zookeeper.connect(), zookeeper.connect()
    client.create("/a", b"x", ephemeral=True)
    client.multi([Check("/a", 0), SetData("/a", b"y", 0), SetData("/a", b"z")])
    with pytest.raises(Refusal):
        client.multi([Check("/a", 0), Delete("/a")])
    other.get_children("/", watch=True)
    other.exists("/a", watch=True)
    assert zookeeper.watches() == {other.session: ("/", "/a")}
    assert zookeeper.watches("data") == {other.session: ("/a",)}
    assert zookeeper.dump().owner("/a") == client.session
    expiry = zookeeper.expire(client.session)
    assert expiry.ephemerals == ("/a",)
    assert zookeeper.dump().alive == {other.session}
    log = zookeeper.transactions()
    assert [entry.zxid for entry in log] == list(range(1, 7))
    kinds = [Opcode.CREATE_SESSION] * 2 + [Opcode.CREATE, Opcode.MULTI, Opcode.MULTI]
    assert [entry.kind for entry in log] == [*kinds, Opcode.CLOSE_SESSION]
    assert [change.version for change in log[3].changes] == [0, 1, 2]
    assert (log[4].error, log[4].changes) == ("BadVersion", ())
    assert log[5].changes[0].deleted == ("/a",)
    assert log[5].zxid == expiry.zxid


def test_who_is_not_there_cannot_be_hit():
    zookeeper = FakeZooKeeper()
    with pytest.raises(LocalViolation, match="not alive"):
        zookeeper.expire(7)
    with pytest.raises(LocalViolation, match="no server 1"):
        zookeeper.kill(1)
    with pytest.raises(LocalViolation, match="at least one"):
        FakeZooKeeper(servers=0)
    zookeeper.kill(0)
    with pytest.raises(LocalViolation, match="dead already"):
        zookeeper.kill(0)


def test_memory_does_not_grow_with_what_was_decided():
    """Of a tree that every server has left behind nothing is kept."""
    zookeeper = FakeZooKeeper(servers=3)
    client = zookeeper.connect()
    client.create("/a")
    for _ in range(100):
        client.set_data("/a", b"x")
    zookeeper.settle()
    assert sum(entry.tree is not None for entry in zookeeper._log) <= 1
