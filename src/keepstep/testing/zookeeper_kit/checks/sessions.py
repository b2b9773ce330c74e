"""Guarantees about sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.testing.network.wire import Create, Opcode, multi_body
from keepstep.testing.zookeeper_kit.checks.asking import (
    cut_off,
    needs_several,
    same,
    session_gone,
    stat_of,
    true,
)
from keepstep.testing.zookeeper_kit.services import Broken

if TYPE_CHECKING:
    from keepstep.testing.zookeeper_kit.services import Scene

__all__ = [
    "check_a_client_is_not_taken_back_in_time",
    "check_a_closed_session_is_gone",
    "check_a_moved_session_cannot_write_where_it_was",
    "check_a_moved_session_reads_on_where_it_was_but_at_the_leader",
    "check_a_new_session_does_not_see_the_ephemerals_of_one_that_expired",
    "check_a_password_is_asked_for_at_every_server",
    "check_a_request_that_nobody_hears_of_is_done_or_not",
    "check_a_session_has_a_password",
    "check_a_session_moves_between_servers",
    "check_a_session_outlives_its_connection",
    "check_an_expired_session_can_write_no_more",
    "check_an_expired_session_is_gone",
    "check_new_sessions_are_alive_and_distinct",
    "check_of_what_was_sent_before_the_end_the_first_is_done",
    "check_resuming_ends_the_connection_before",
    "check_the_end_of_a_session_is_a_transaction",
]

_ATTEMPTS = 5
"""How often something is tried that goes on behind the client's back."""


def check_new_sessions_are_alive_and_distinct(scene: Scene) -> None:
    """Every client that connects without a session gets one of its own, and it lives."""
    one, two = scene.two()
    if one.session == two.session or not one.session or not two.session:
        raise Broken(f"Two clients have the sessions {one.session} and {two.session}.")
    missing = {one.session, two.session} - scene.service.sessions().alive
    same(missing, set(), "Sessions that do not live")


def check_a_closed_session_is_gone(scene: Scene) -> None:
    """A session that its client closed does not live and cannot be resumed."""
    client = scene.client()
    client.end()
    true(client.session not in scene.service.sessions().alive, "It lives")
    session_gone(lambda: scene.client(0, client.session))


def check_an_expired_session_is_gone(scene: Scene) -> None:
    """A session that expired does not live, and cannot be resumed at any server."""
    client = scene.client()
    scene.service.expire(client.session)
    true(client.session not in scene.service.sessions().alive, "It lives")
    for server in range(scene.service.servers):
        session_gone(lambda server=server: scene.client(server, client.session))  # type: ignore[misc]


def check_an_expired_session_can_write_no_more(scene: Scene) -> None:
    """Nothing is written for a session after it expired, though its client does not know."""
    client, other = scene.two()
    scene.service.expire(client.session)
    cut_off(lambda: client.create(f"{scene.folder}/late"))
    other.sync()
    same(other.get_children(scene.folder), [], "Znodes")


def check_a_session_outlives_its_connection(scene: Scene) -> None:
    """A session goes on, with its ephemerals, when a connection ends and another one resumes it."""
    client = scene.client()
    path = client.create(f"{scene.folder}/mine", ephemeral=True)
    client.abandon()
    again = scene.client(0, client.session)
    same(again.session, client.session, "The session")
    same(stat_of(again, path).ephemeral_owner, client.session, "The owner")
    again.set_data(path, b"still mine")


def check_a_session_has_a_password(scene: Scene) -> None:
    """Nobody resumes a session without its password; whoever tries ends its connection, no more."""
    client = scene.client()
    path = client.create(f"{scene.folder}/mine", ephemeral=True)
    session_gone(lambda: scene.client(0, client.session, password=b"\x01" * 16))
    cut_off(lambda: client.create(f"{scene.folder}/late"))
    again = scene.client(0, client.session, password=client.password)
    same(again.get_children(scene.folder), ["mine"], "Znodes")
    again.delete(path)


def check_a_password_is_asked_for_at_every_server(scene: Scene) -> None:
    """A session that is connected nowhere is resumed with its password only, wherever it is."""
    client = scene.client()
    path = client.create(f"{scene.folder}/mine", ephemeral=True)
    client.abandon()
    for server in range(scene.service.servers):
        wrong = {"password": b"\x01" * 16}
        session_gone(lambda at=server, more=wrong: scene.client(at, client.session, **more))  # type: ignore[misc]
    again = scene.client(0, client.session, password=client.password)
    same(stat_of(again, path).ephemeral_owner, client.session, "The owner")


def check_resuming_ends_the_connection_before(scene: Scene) -> None:
    """A server closes a session's earlier connection when the session is resumed there."""
    client = scene.client()
    scene.client(0, client.session).sync()
    cut_off(lambda: client.get_children(scene.folder))


def check_a_session_moves_between_servers(scene: Scene) -> None:
    """A session that is resumed at another server keeps its ephemerals and goes on there."""
    needs_several(scene)
    client = scene.client()
    path = client.create(f"{scene.folder}/mine", ephemeral=True)
    moved = scene.client(1, client.session)
    moved.sync()
    same(stat_of(moved, path).ephemeral_owner, client.session, "The owner")
    moved.delete(path)


def check_a_moved_session_cannot_write_where_it_was(scene: Scene) -> None:
    """A write through the server that a session has left is not applied."""
    needs_several(scene)
    client = scene.client()
    moved = scene.client(1, client.session)
    cut_off(lambda: client.create(f"{scene.folder}/late"))
    moved.sync()
    same(moved.get_children(scene.folder), [], "Znodes")
    moved.create(f"{scene.folder}/new")


def check_a_moved_session_reads_on_where_it_was_but_at_the_leader(scene: Scene) -> None:
    """A follower that a session has left still answers its reads and syncs; the leader does not."""
    needs_several(scene)
    leader = scene.service.servers - 1
    client = scene.client(0)
    moved = scene.client(leader, client.session)
    moved.sync()
    same(client.get_children(scene.folder), [], "Znodes")
    client.sync()
    scene.client(0, client.session).sync()
    cut_off(lambda: moved.get_children(scene.folder))
    moved = scene.client(leader, client.session)
    scene.client(0, client.session).sync()
    cut_off(moved.sync)


def check_a_client_is_not_taken_back_in_time(scene: Scene) -> None:
    """A server does not serve a client that has seen transactions which it has not applied."""
    client = scene.client()
    zxid = client.answer(client.submit_operation(Create(f"{scene.folder}/new"))).zxid
    cut_off(lambda: scene.client(0, last_zxid=zxid + 1_000_000))
    client.abandon()
    cut_off(lambda: scene.client(0, client.session, last_zxid=zxid + 1_000_000))
    scene.client(0, client.session, last_zxid=zxid).sync()
    scene.client(0, last_zxid=zxid).sync()


def check_the_end_of_a_session_is_a_transaction(scene: Scene) -> None:
    """Closing a session takes its place in the order of transactions, after its writes."""
    client, other = scene.two()
    created = client.answer(client.submit_operation(Create(f"{scene.folder}/new"))).zxid
    closed = client.end()
    after = other.answer(other.submit_operation(Create(f"{scene.folder}/newer"))).zxid
    true(created < closed < after, f"Not so: {created} < {closed} < {after}")


def check_a_new_session_does_not_see_the_ephemerals_of_one_that_expired(scene: Scene) -> None:
    """Whoever connects after a session expired sees none of its ephemerals, at any server."""
    needs_several(scene)
    for number in range(8):
        client = scene.client(1)
        path = client.create(f"{scene.folder}/{number}", ephemeral=True)
        other = scene.client(0)
        other.sync()
        same(stat_of(other, path).ephemeral_owner, client.session, "The owner before")
        scene.service.expire(client.session)
        same(scene.client(0).exists(path), None, "What a new session sees")


def check_a_request_that_nobody_hears_of_is_done_or_not(scene: Scene) -> None:
    """A transaction whose client is gone before the answer is applied as a whole or not at all."""
    other = scene.client(1 % scene.service.servers)
    for attempt in range(_ATTEMPTS):
        client = scene.client()
        folder = client.create(f"{scene.folder}/{attempt}")
        client.create(f"{folder}/0")
        names = ["a", "b", "c"]
        operations = [Create(f"{folder}/{name}") for name in names]
        client.submit(Opcode.MULTI, multi_body(operations))
        client.abandon()
        scene.client(0, client.session).end()
        other.sync()
        found = other.get_children(folder)
        true(found in (["0"], ["0", *names]), f"Only {found} are there")


def check_of_what_was_sent_before_the_end_the_first_is_done(scene: Scene) -> None:
    """Of the requests that were sent before a connection ended, the first few are done."""
    other = scene.client(1 % scene.service.servers)
    for attempt in range(_ATTEMPTS):
        client = scene.client()
        folder = client.create(f"{scene.folder}/{attempt}")
        client.create(f"{folder}/0")
        for number in range(1, 6):
            client.submit_operation(Create(f"{folder}/{number}"))
        client.abandon()
        scene.client(0, client.session).end()
        other.sync()
        found = other.get_children(folder)
        same(found, [str(number) for number in range(max(1, len(found)))], "What is there")
