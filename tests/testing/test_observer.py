from __future__ import annotations

import pytest

from keepstep.errors import RemoteViolation
from keepstep.testing import (
    Change,
    Check,
    Create,
    Delete,
    Observer,
    Opcode,
    Refusal,
    SetData,
    WireClient,
    ZooKeeperServer,
    expire,
    read_transactions,
)

pytestmark = pytest.mark.zookeeper


def mine(server, session):
    return [t for t in read_transactions(server.data_directory) if t.session == session]


def test_every_accepted_write_is_in_the_log_when_its_answer_comes(shared_server, folder):
    with WireClient(shared_server.address) as client:
        for number in range(50):
            client.set_data(folder, str(number).encode())
            last = mine(shared_server, client.session)[-1]
            assert last.changes == (
                Change(Opcode.SET_DATA, folder, str(number).encode(), number + 1),
            )


def test_kinds_of_transactions(shared_server, folder, observer):
    path = f"{folder}/a"
    with WireClient(shared_server.address) as client:
        client.create(path, b"1", ephemeral=True)
        client.multi(
            [Check(path, 0), SetData(path, b"2"), Create(f"{folder}/b"), Delete(f"{folder}/b")]
        )
        with pytest.raises(Refusal, match="BadVersion"):
            client.multi([Create(f"{folder}/c"), Check(path, 5), SetData(path, b"3")])
        with pytest.raises(Refusal, match="NoNode"):
            client.delete(f"{folder}/c")
        proof = expire(shared_server.address, client.session)
    made, created, multi, refused, failed, closed = mine(shared_server, client.session)
    assert made.kind is Opcode.CREATE_SESSION
    assert created.changes == (Change(Opcode.CREATE, path, b"1", ephemeral=True),)
    assert (created.xid, multi.xid, refused.xid, failed.xid) == (1, 2, 3, 4)
    assert multi.changes == (
        Change(Opcode.CHECK, path, version=0),
        Change(Opcode.SET_DATA, path, b"2", 1),
        Change(Opcode.CREATE, f"{folder}/b"),
        Change(Opcode.DELETE, f"{folder}/b"),
    )
    assert (refused.applied, refused.error, refused.changes) == (False, "BadVersion", ())
    assert (failed.applied, failed.error) == (False, "NoNode")
    assert [each.refused for each in (multi, refused, failed)] == [-1, 1, -1]
    assert closed.kind is Opcode.CLOSE_SESSION
    assert closed.zxid == proof.zxid
    assert closed.changes == (Change(Opcode.CLOSE_SESSION, deleted=(path,)),)
    zxids = [t.zxid for t in read_transactions(shared_server.data_directory)]
    assert zxids == sorted(set(zxids))
    assert observer.children(folder) == []


def test_reading_on_from_a_transaction_across_log_files():
    with ZooKeeperServer() as server:
        with WireClient(server.address) as client:
            for number in range(5):
                client.create(f"/{number}")
        everything = read_transactions(server.data_directory)
        server.restart()
        with WireClient(server.address) as client:
            client.create("/5")
        assert len(list(server.data_directory.glob("log.*"))) == 2
        longer = read_transactions(server.data_directory)
        assert longer[: len(everything)] == everything
        for begin in range(-1, longer[-1].zxid + 1):
            later = [t for t in longer if t.zxid > begin]
            assert read_transactions(server.data_directory, begin) == later
        paths = [c.path for t in longer for c in t.changes if c.kind is Opcode.CREATE]
        assert paths == ["/0", "/1", "/2", "/3", "/4", "/5"]


def test_a_damaged_log_is_refused(tmp_path):
    (tmp_path / "log.1").write_bytes(b"this is something else entirely")
    with pytest.raises(RemoteViolation, match="no transaction log"):
        read_transactions(tmp_path)
    with ZooKeeperServer() as server:
        with WireClient(server.address) as client:
            client.create("/a", b"precious")
        content = next(server.data_directory.glob("log.*")).read_bytes()
    (tmp_path / "log.1").write_bytes(content.replace(b"precious", b"previous"))
    with pytest.raises(RemoteViolation, match="damaged"):
        read_transactions(tmp_path)
    # An entry whose end is not written yet is not read, and is no damage.
    (tmp_path / "log.1").write_bytes(content[: content.index(b"precious") + 4])
    assert [t.kind for t in read_transactions(tmp_path)] == [Opcode.CREATE_SESSION]


def test_the_observer_reads_the_tree_and_survives_restarts():
    with ZooKeeperServer() as server, Observer(server.address) as observer:
        with WireClient(server.address) as client:
            client.create("/a", b"1")
            client.create("/a/b", b"2")
        tree = observer.tree()
        assert {path: znode.data for path, znode in tree.items()} == {
            "/": b"",
            "/a": b"1",
            "/a/b": b"2",
        }
        assert list(observer.tree("/a")) == ["/a", "/a/b"]
        assert (observer.read("/c"), observer.children("/c"), observer.tree("/c")) == (
            None,
            None,
            {},
        )
        expire(server.address, observer.session)
        assert observer.children("/a") == ["b"]
        server.wipe()
        assert observer.children("/") == ["zookeeper"]
