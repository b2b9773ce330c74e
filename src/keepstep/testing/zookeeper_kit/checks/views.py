"""Guarantees about what clients see, at servers that may be behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.testing.network.wire import Create, Delete, Opcode, Operation, SetData, multi_body
from keepstep.testing.zookeeper_kit.checks.asking import (
    CHANGED,
    CODES,
    cut_off,
    heard,
    left_behind,
    needs_several,
    same,
    stat_of,
    true,
)

if TYPE_CHECKING:
    from keepstep.testing.zookeeper_kit.services import Scene

__all__ = [
    "check_a_client_sees_its_own_writes",
    "check_a_condition_is_about_the_present",
    "check_a_read_waits_for_the_writes_before_it",
    "check_a_server_that_is_behind_refuses_who_has_seen_more",
    "check_a_server_that_is_behind_shows_the_past",
    "check_a_watch_tells_when_its_server_applies",
    "check_an_expired_session_reads_on_at_a_server_that_is_behind",
    "check_much_is_shown_whole",
    "check_requests_are_answered_in_order",
    "check_sync_catches_up",
    "check_sync_is_for_any_path",
    "check_the_past_is_whole",
]


def check_a_client_sees_its_own_writes(scene: Scene) -> None:
    """What a client has written it reads, whichever server it is connected to."""
    for server in range(scene.service.servers):
        client = scene.client(server)
        for number in range(5):
            path = client.create(f"{scene.folder}/{server}-{number}", b"x")
            same(client.get_data(path)[0], b"x", "The data")
            same(client.set_data(path, b"y"), stat_of(client, path), "The stat")


def check_much_is_shown_whole(scene: Scene) -> None:
    """Many children and long data are shown as they were written."""
    client, other = scene.two()
    path = client.create(f"{scene.folder}/long", bytes(range(256)) * 400)
    names = [f"child-{number:03d}" for number in range(300)]
    client.multi([Create(f"{path}/{name}") for name in names])
    other.sync()
    same(other.get_children(path), names, "The children")
    same(stat_of(other, path).num_children, len(names), "How many the stat tells of")
    # Not by `same`, which would say both in full.
    true(other.get_data(path)[0] == bytes(range(256)) * 400, "The data are other ones")


def check_requests_are_answered_in_order(scene: Scene) -> None:
    """Requests of one client that wait for no answer are done in the order they were sent."""
    client = scene.client()
    path = f"{scene.folder}/a"
    operations: list[Operation] = [
        Create(path),
        SetData(path, b"x", 0),
        SetData(path, b"y", 1),
        Delete(path, 2),
    ]
    xids = [client.submit_operation(operation) for operation in operations]
    replies = [client.answer(xid) for xid in xids]
    same([reply.error for reply in replies], [0, 0, 0, 0], "The errors")
    zxids = [reply.zxid for reply in replies]
    same(zxids, sorted(set(zxids)), "The zxids")


def check_a_read_waits_for_the_writes_before_it(scene: Scene) -> None:
    """A read that is sent after a write shows the write, though it did not wait for its answer."""
    client = scene.client()
    path = client.create(f"{scene.folder}/a", b"old")
    xid = client.submit_operation(SetData(path, b"new"))
    same(client.get_data(path)[0], b"new", "The data")
    same(client.answer(xid).error, 0, "The error")


def check_a_server_that_is_behind_shows_the_past(scene: Scene) -> None:
    """A server that is behind answers reads with older data, until it has caught up."""
    reader, _, path = left_behind(scene)
    same(reader.get_data(path)[0], b"old", "What a reader at the server sees")
    scene.catch_up(0)
    reader.sync()
    same(reader.get_data(path)[0], b"new", "What it sees then")


def check_a_server_that_is_behind_refuses_who_has_seen_more(scene: Scene) -> None:
    """A server that is behind serves nobody who has seen what it has not applied yet."""
    reader, writer = scene.client(0), scene.client(scene.service.servers - 1)
    scene.lag(0)
    zxid = writer.answer(writer.submit_operation(Create(f"{scene.folder}/new"))).zxid
    cut_off(lambda: scene.client(0, last_zxid=zxid))
    scene.catch_up(0)
    reader.sync()
    same(scene.client(0, last_zxid=zxid).get_children(scene.folder), ["new"], "What it sees then")


def check_an_expired_session_reads_on_at_a_server_that_is_behind(scene: Scene) -> None:
    """A client whose session expired reads its own ephemerals while its server is behind.

    So an answer is no sign that a session lives, and neither is a connection.
    """
    client = scene.client(0)
    path = client.create(f"{scene.folder}/mine", ephemeral=True)
    scene.lag(0)
    scene.service.expire(client.session)
    same(stat_of(client, path).ephemeral_owner, client.session, "The owner that it sees")
    scene.catch_up(0)
    cut_off(client.sync)


def check_sync_catches_up(scene: Scene) -> None:
    """After the answer to a sync, a client sees all that was decided before it asked."""
    reader, _, path = left_behind(scene)
    same(reader.get_data(path)[0], b"old", "What a reader at the server sees")
    xid = reader.submit(Opcode.SYNC, b"\0\0\0\x01/")
    scene.catch_up(0)
    same(reader.answer(xid).error, 0, "The error of the sync")
    same(reader.get_data(path)[0], b"new", "What it sees after it")


def check_sync_is_for_any_path(scene: Scene) -> None:
    """A sync may name any path, also one that is not there; what it shows holds for all."""
    client, other = scene.two()
    # Without a wait the server has often caught up all the same.
    for number in range(20):
        path = client.create(f"{scene.folder}/{number}")
        other.sync(f"{scene.folder}/none")
        stat_of(other, path)


def check_the_past_is_whole(scene: Scene) -> None:
    """A server that is behind shows a transaction as a whole or not at all."""
    needs_several(scene)
    reader, writer = scene.client(0), scene.client(scene.service.servers - 1)
    one, two = (writer.create(f"{scene.folder}/{name}", b"0") for name in "ab")
    reader.sync()
    for number in range(1, 15):
        data = str(number).encode()
        xid = writer.submit(Opcode.MULTI, multi_body([SetData(one, data), SetData(two, data)]))
        first = int(reader.get_data(one)[0])
        second = int(reader.get_data(two)[0])
        third = int(reader.get_data(one)[0])
        true(first <= second <= third, f"Not so: {first} <= {second} <= {third}")
        writer.answer(xid)


def check_a_watch_tells_when_its_server_applies(scene: Scene) -> None:
    """A watch at a server that is behind tells of a change when the server applies it."""
    reader, _, path = left_behind(scene)
    same(reader.get_data(path, watch=True)[0], b"old", "The data when the watch is set")
    same(reader.notifications, [], "What is heard before")
    scene.catch_up(0)
    same(heard(reader), [(CHANGED, path)], "What is heard")


def check_a_condition_is_about_the_present(scene: Scene) -> None:
    """A conditional write through a server that is behind is decided by what is, not by its past.

    That is what fences rest on.
    """
    reader, writer, path = left_behind(scene)
    version = stat_of(writer, path).version
    same(stat_of(reader, path).version, version - 1, "The version that a reader sees")
    xid = reader.submit_operation(SetData(path, b"late", version - 1))
    scene.catch_up(0)
    same(reader.answer(xid).error, CODES["BadVersion"], "The error")
    same(reader.get_data(path)[0], b"new", "The data")
