"""Guarantees about watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.testing.network.wire import Check, Create, Delete, Operation, SetData
from keepstep.testing.zookeeper_kit.checks.asking import (
    CHANGED,
    CHILDREN,
    CREATED,
    DELETED,
    heard,
    known_to_two,
    refused,
    same,
)

if TYPE_CHECKING:
    from keepstep.testing.zookeeper_kit.services import Scene

__all__ = [
    "check_a_change_is_told_before_it_is_shown",
    "check_a_check_is_not_told",
    "check_a_delete_is_told_once",
    "check_a_multi_is_told_as_its_operations",
    "check_a_read_that_is_refused_watches_nothing",
    "check_a_refused_write_is_not_told",
    "check_a_watch_does_not_outlive_what_it_told",
    "check_a_watch_on_children_tells_of_a_create",
    "check_a_watch_on_children_tells_of_a_delete",
    "check_a_watch_on_children_tells_of_nothing_else",
    "check_a_watch_on_children_tells_of_the_end_of_its_znode",
    "check_a_watch_on_data_does_not_tell_of_children",
    "check_a_watch_on_data_tells_of_a_delete",
    "check_a_watch_on_data_tells_of_a_set",
    "check_a_watch_set_twice_tells_once",
    "check_a_znode_is_told_of_before_its_parent",
    "check_an_expiry_is_told",
    "check_an_own_write_is_told_before_its_answer",
    "check_exists_watches_for_what_is_not_there",
    "check_exists_watches_what_is_there",
    "check_the_end_of_a_session_is_told",
    "check_watches_go_with_their_connection",
]


def check_a_watch_on_data_tells_of_a_set(scene: Scene) -> None:
    """Who watches a znode's data is told of the next set, and of no other."""
    client, other, path = known_to_two(scene)
    other.get_data(path, watch=True)
    client.set_data(path, b"x")
    same(heard(other), [(CHANGED, path)], "What is heard")
    client.set_data(path, b"y")
    same(heard(other), [], "What is heard of the second set")


def check_a_watch_on_data_tells_of_a_delete(scene: Scene) -> None:
    """Who watches a znode's data is told that it was deleted."""
    client, other, path = known_to_two(scene)
    other.get_data(path, watch=True)
    client.delete(path)
    same(heard(other), [(DELETED, path)], "What is heard")


def check_a_watch_on_data_does_not_tell_of_children(scene: Scene) -> None:
    """Who watches a znode's data is told nothing of its children."""
    client, other, path = known_to_two(scene)
    other.get_data(path, watch=True)
    client.create(f"{path}/child")
    client.set_data(f"{path}/child", b"x")
    client.delete(f"{path}/child")
    same(heard(other), [], "What is heard")
    client.set_data(path, b"x")
    same(heard(other), [(CHANGED, path)], "What is heard of a set")


def check_exists_watches_for_what_is_not_there(scene: Scene) -> None:
    """Who asked whether a znode exists, and it did not, is told that it was created."""
    client, other = scene.two()
    path = f"{scene.folder}/a"
    same(other.exists(path, watch=True), None, "What exists says")
    client.create(path)
    client.set_data(path, b"x")
    same(heard(other), [(CREATED, path)], "What is heard")


def check_exists_watches_what_is_there(scene: Scene) -> None:
    """Who asked whether a znode exists, and it did, is told of the next set or delete."""
    client, other, path = known_to_two(scene)
    other.exists(path, watch=True)
    client.set_data(path, b"x")
    same(heard(other), [(CHANGED, path)], "What is heard")
    other.exists(path, watch=True)
    client.delete(path)
    same(heard(other), [(DELETED, path)], "What is heard")


def check_a_read_that_is_refused_watches_nothing(scene: Scene) -> None:
    """A read of data or children that finds no znode leaves no watch."""
    client, other = scene.two()
    path = f"{scene.folder}/a"
    refused("NoNode", lambda: other.get_data(path, watch=True))
    refused("NoNode", lambda: other.get_children(path, watch=True))
    client.create(path)
    same(heard(other), [], "What is heard")
    same(scene.service.watches().get(other.session, ()), (), "The paths watched")


def check_a_watch_on_children_tells_of_a_create(scene: Scene) -> None:
    """Who watches a znode's children is told of the next one made, and of no other."""
    client, other = scene.two()
    other.get_children(scene.folder, watch=True)
    client.create(f"{scene.folder}/n-", sequential=True)
    same(heard(other), [(CHILDREN, scene.folder)], "What is heard")
    client.create(f"{scene.folder}/b")
    same(heard(other), [], "What is heard of the second create")


def check_a_watch_on_children_tells_of_a_delete(scene: Scene) -> None:
    """Who watches a znode's children is told that one was deleted."""
    client, other, path = known_to_two(scene)
    other.get_children(scene.folder, watch=True)
    client.delete(path)
    same(heard(other), [(CHILDREN, scene.folder)], "What is heard")


def check_a_watch_on_children_tells_of_nothing_else(scene: Scene) -> None:
    """Who watches a znode's children is told of no set, and of no grandchild."""
    client, other = scene.two()
    child = client.create(f"{scene.folder}/a")
    other.sync()
    other.get_children(scene.folder, watch=True)
    client.set_data(scene.folder, b"x")
    client.set_data(child, b"x")
    client.create(f"{child}/grandchild")
    client.delete(f"{child}/grandchild")
    same(heard(other), [], "What is heard")
    client.create(f"{scene.folder}/b")
    same(heard(other), [(CHILDREN, scene.folder)], "What is heard of another child")


def check_a_watch_on_children_tells_of_the_end_of_its_znode(scene: Scene) -> None:
    """Who watches a znode's children is told that the znode itself was deleted."""
    client, other, path = known_to_two(scene)
    other.get_children(path, watch=True)
    client.delete(path)
    same(heard(other), [(DELETED, path)], "What is heard")


def check_a_delete_is_told_once(scene: Scene) -> None:
    """Who watches both data and children of a znode is told once that it was deleted."""
    client, other, path = known_to_two(scene)
    other.get_data(path, watch=True)
    other.get_children(path, watch=True)
    client.delete(path)
    client.create(path)
    same(heard(other), [(DELETED, path)], "What is heard")


def check_a_znode_is_told_of_before_its_parent(scene: Scene) -> None:
    """Who watches a znode and its siblings hears of the znode first, then of the siblings."""
    client, other = scene.two()
    path = f"{scene.folder}/a"
    for change in (client.create, client.delete):
        other.exists(path, watch=True)
        other.get_children(scene.folder, watch=True)
        change(path)
        kind = CREATED if change == client.create else DELETED
        same(heard(other), [(kind, path), (CHILDREN, scene.folder)], "What is heard")


def check_a_watch_set_twice_tells_once(scene: Scene) -> None:
    """Whoever watches the same twice is told once; two clients are told both."""
    client, other = scene.two()
    third = scene.client()
    other.get_children(scene.folder, watch=True)
    other.get_children(scene.folder, watch=True)
    third.get_children(scene.folder, watch=True)
    client.create(f"{scene.folder}/a")
    same(heard(other), [(CHILDREN, scene.folder)], "What one hears")
    same(heard(third), [(CHILDREN, scene.folder)], "What the other one hears")


def check_a_change_is_told_before_it_is_shown(scene: Scene) -> None:
    """Who watches a znode hears of a change before any answer that shows it."""
    client, other = scene.two()
    path = client.create(f"{scene.folder}/a", b"old")
    other.sync()
    other.get_data(path, watch=True)
    xid = client.submit_operation(SetData(path, b"new"))
    for _ in range(50):
        if other.get_data(path)[0] == b"new":
            break
    else:
        client.answer(xid)
        other.sync()
        same(other.get_data(path)[0], b"new", "The data after a sync")
        xid = 0
    told = [(event.kind, event.path) for event in other.notifications]
    same(told, [(CHANGED, path)], "What was heard when the new data was shown")
    if xid:
        client.answer(xid)


def check_an_own_write_is_told_before_its_answer(scene: Scene) -> None:
    """Who watches what it writes itself hears of the change before the answer to the write."""
    client = scene.client()
    path = client.create(f"{scene.folder}/a")
    client.get_data(path, watch=True)
    client.set_data(path, b"x")
    told = [(event.kind, event.path) for event in client.notifications]
    same(told, [(CHANGED, path)], "What was heard")


def check_a_refused_write_is_not_told(scene: Scene) -> None:
    """No watch fires because of a request or a transaction that was refused."""
    client, other, path = known_to_two(scene)
    other.get_data(path, watch=True)
    other.get_children(scene.folder, watch=True)
    refused("BadVersion", lambda: client.set_data(path, b"x", 7))
    refused("NodeExists", lambda: client.create(path))
    both: list[Operation] = [
        SetData(path, b"x"),
        Create(f"{scene.folder}/b"),
        Check(path, 7),
    ]
    refused("BadVersion", lambda: client.multi(both))
    same(heard(other), [], "What is heard")
    same(scene.service.watches().get(other.session), (path,), "What is still watched")


def check_a_multi_is_told_as_its_operations(scene: Scene) -> None:
    """A transaction fires the watches that each of its operations fires, in their order."""
    client, other = scene.two()
    one = client.create(f"{scene.folder}/one")
    two = client.create(f"{scene.folder}/two")
    other.sync()
    other.get_data(one, watch=True)
    other.get_data(two, watch=True)
    other.get_children(scene.folder, watch=True)
    client.multi([SetData(two, b"x"), Create(f"{scene.folder}/three"), Delete(one)])
    told = [(CHANGED, two), (CHILDREN, scene.folder), (DELETED, one)]
    same(heard(other), told, "What is heard")


def check_a_check_is_not_told(scene: Scene) -> None:
    """Checking a version fires no watch."""
    client, other = scene.two()
    other.get_data(scene.folder, watch=True)
    other.get_children(scene.folder, watch=True)
    client.multi([Check(scene.folder, 0)])
    same(heard(other), [], "What is heard")
    client.multi([SetData(scene.folder, b"x", 0), Create(f"{scene.folder}/a")])
    told = [(CHANGED, scene.folder), (CHILDREN, scene.folder)]
    same(heard(other), told, "What is heard of a set and a create")


def check_watches_go_with_their_connection(scene: Scene) -> None:
    """Watches are lost with the connection, also for a session that goes on."""
    client, other = scene.two()
    other.get_children(scene.folder, watch=True)
    other.get_data(scene.folder, watch=True)
    same(scene.service.watches().get(other.session), (scene.folder,), "The paths watched before")
    other.abandon()
    again = scene.client(1 % scene.service.servers, other.session)
    client.create(f"{scene.folder}/a")
    client.set_data(scene.folder, b"x")
    same(heard(again), [], "What is heard")
    same(scene.service.watches().get(other.session, ()), (), "The paths watched")


def check_the_end_of_a_session_is_told(scene: Scene) -> None:
    """Who watches an ephemeral or its parent is told when it goes with its session."""
    client, other = scene.two()
    paths = [client.create(f"{scene.folder}/{name}", ephemeral=True) for name in "ab"]
    other.sync()
    for path in paths:
        other.get_data(path, watch=True)
    other.get_children(scene.folder, watch=True)
    client.end()
    told = heard(other)
    wanted = sorted([(CHILDREN, scene.folder), *((DELETED, path) for path in paths)])
    same(sorted(told), wanted, "What is heard")
    same(told[0][0], DELETED, "What is heard first")


def check_an_expiry_is_told(scene: Scene) -> None:
    """Who watches an ephemeral is told when its session expires."""
    client, other = scene.two()
    path = client.create(f"{scene.folder}/a", ephemeral=True)
    other.sync()
    other.exists(path, watch=True)
    scene.service.expire(client.session)
    same(heard(other), [(DELETED, path)], "What is heard")


def check_a_watch_does_not_outlive_what_it_told(scene: Scene) -> None:
    """A watch that told of a delete does not tell of the znode that is made after it."""
    client, other, path = known_to_two(scene)
    other.get_data(path, watch=True)
    client.delete(path)
    client.create(path)
    client.set_data(path, b"x")
    same(heard(other), [(DELETED, path)], "What is heard")
    same(scene.service.watches().get(other.session, ()), (), "The paths watched")
