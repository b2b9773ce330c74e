"""Guarantees about versions and the numbers of transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.testing.network.wire import Check, Create, Delete, SetData
from keepstep.testing.zookeeper_kit.checks.asking import refused, same, stat_of, tree_of, true

if TYPE_CHECKING:
    from keepstep.testing.zookeeper_kit.services import Scene

__all__ = [
    "check_a_conditional_delete_needs_the_version",
    "check_a_conditional_set_needs_the_version",
    "check_a_new_znode_is_new",
    "check_a_set_counts",
    "check_a_set_does_not_concern_the_parent",
    "check_an_unconditional_write_needs_no_version",
    "check_children_are_counted_apart",
    "check_one_order_of_transactions",
    "check_versions_begin_anew_with_the_znode",
]


def check_a_new_znode_is_new(scene: Scene) -> None:
    """A new znode has version 0, no children, and one transaction for all that happened to it."""
    client = scene.client()
    reply = client.answer(client.submit_operation(Create(f"{scene.folder}/new", b"four")))
    data, stat = client.get_data(f"{scene.folder}/new")
    same(data, b"four", "The data")
    same((stat.czxid, stat.mzxid, stat.pzxid), (reply.zxid,) * 3, "Its transactions")
    same((stat.version, stat.cversion, stat.aversion), (0, 0, 0), "Its versions")
    same((stat.data_length, stat.num_children), (4, 0), "Length and children")


def check_a_set_counts(scene: Scene) -> None:
    """Each set adds one to the version and moves mzxid, whatever the data; nothing else moves."""
    client = scene.client()
    path = client.create(f"{scene.folder}/new", b"same")
    before = stat_of(client, path)
    told = client.set_data(path, b"same")
    after = stat_of(client, path)
    same(told, after, "The stat that set answers")
    same(after.version, before.version + 1, "The version")
    true(after.mzxid > before.mzxid, "mzxid does not move")
    still = (after.czxid, after.pzxid, after.cversion)
    same(still, (before.czxid, before.pzxid, before.cversion), "What does not move")
    client.set_data(path, b"")
    same(client.get_data(path)[0], b"", "Empty data")
    same(stat_of(client, path).version, 2, "The version after two sets")


def check_a_conditional_set_needs_the_version(scene: Scene) -> None:
    """A set with another version than the znode's is refused and changes nothing."""
    client = scene.client()
    path = client.create(f"{scene.folder}/new", b"one")
    client.set_data(path, b"two", 0)
    before = client.get_data(path)
    for version in (0, 2, 7):
        refused("BadVersion", lambda version=version: client.set_data(path, b"x", version))  # type: ignore[misc]
    same(client.get_data(path), before, "The znode")
    same(client.set_data(path, b"three", 1).version, 2, "The version")


def check_a_conditional_delete_needs_the_version(scene: Scene) -> None:
    """A delete with another version than the znode's is refused; with its version it is done."""
    client = scene.client()
    path = client.create(f"{scene.folder}/new")
    client.set_data(path, b"x")
    refused("BadVersion", lambda: client.delete(path, 0))
    refused("BadVersion", lambda: client.delete(path, 2))
    client.delete(path, 1)
    same(client.exists(path), None, "What is left")


def check_an_unconditional_write_needs_no_version(scene: Scene) -> None:
    """Version -1 fits every version, of a set, a delete and a check."""
    client = scene.client()
    path = client.create(f"{scene.folder}/new")
    client.set_data(path, b"x")
    client.multi([Check(path, -1), SetData(path, b"y", -1)])
    same(stat_of(client, path).version, 2, "The version")
    client.delete(path, -1)
    same(client.exists(path), None, "What is left")


def check_versions_begin_anew_with_the_znode(scene: Scene) -> None:
    """A znode that is deleted and made anew has version 0 again, but a greater czxid."""
    client = scene.client()
    path = client.create(f"{scene.folder}/new")
    client.create(f"{path}/child")
    client.delete(f"{path}/child")
    client.set_data(path, b"x")
    before = stat_of(client, path)
    client.delete(path)
    client.create(path)
    after = stat_of(client, path)
    same((after.version, after.cversion), (0, 0), "The versions")
    true(after.czxid > before.mzxid, "czxid does not go on")


def check_children_are_counted_apart(scene: Scene) -> None:
    """Making or deleting a child moves cversion and pzxid of its parent, not version and mzxid."""
    client = scene.client()
    before = stat_of(client, scene.folder)
    made = client.answer(client.submit_operation(Create(f"{scene.folder}/child"))).zxid
    middle = stat_of(client, scene.folder)
    same((middle.cversion, middle.pzxid), (before.cversion + 1, made), "After the create")
    deleted = client.answer(client.submit_operation(Delete(f"{scene.folder}/child"))).zxid
    after = stat_of(client, scene.folder)
    same((after.cversion, after.pzxid), (before.cversion + 2, deleted), "After the delete")
    same((after.version, after.mzxid), (before.version, before.mzxid), "What does not move")
    same((middle.num_children, after.num_children), (1, 0), "Numbers of children")


def check_a_set_does_not_concern_the_parent(scene: Scene) -> None:
    """Writing a child moves nothing at its parent, and a grandchild nothing two levels above."""
    client = scene.client()
    child = client.create(f"{scene.folder}/child")
    before = stat_of(client, scene.folder)
    client.set_data(child, b"x")
    client.create(f"{child}/grandchild")
    client.delete(f"{child}/grandchild")
    same(stat_of(client, scene.folder), before, "The stat above")


def check_one_order_of_transactions(scene: Scene) -> None:
    """The writes of all clients have one order: zxids ascend, and every server shows the same."""
    one, two = scene.two()
    zxids = []
    for number in range(6):
        client = (one, two)[number % 2]
        operation = Create(f"{scene.folder}/{number}")
        zxids.append(client.answer(client.submit_operation(operation)).zxid)
    same(zxids, sorted(set(zxids)), "The zxids in the order of the answers")
    one.sync()
    two.sync()
    same(tree_of(one, scene.folder), tree_of(two, scene.folder), "What the two see")
