"""Guarantees about ephemerals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.testing.network.wire import Create, SetData
from keepstep.testing.zookeeper_kit.checks.asking import refused, same, stat_of

if TYPE_CHECKING:
    from keepstep.testing.zookeeper_kit.services import Scene

__all__ = [
    "check_a_deleted_ephemeral_belongs_to_whoever_makes_it_anew",
    "check_an_ephemeral_has_an_owner",
    "check_an_ephemeral_has_no_children",
    "check_an_ephemeral_made_after_a_reconnect_is_owned",
    "check_an_ephemeral_of_a_multi_is_owned",
    "check_anybody_may_delete_an_ephemeral",
    "check_ephemerals_go_from_everywhere",
    "check_ephemerals_go_with_a_closed_session",
    "check_ephemerals_go_with_an_expired_session",
]


def check_an_ephemeral_has_an_owner(scene: Scene) -> None:
    """An ephemeral is owned by the session that made it, any other znode by none."""
    client, other = scene.two()
    mine = client.create(f"{scene.folder}/mine", ephemeral=True)
    plain = client.create(f"{scene.folder}/plain")
    numbered = client.create(f"{scene.folder}/n-", ephemeral=True, sequential=True)
    other.sync()
    owners = [stat_of(other, path).ephemeral_owner for path in (mine, plain, numbered)]
    same(owners, [client.session, 0, client.session], "The owners")
    mine_too = scene.service.sessions().ephemerals.get(client.session)
    same(mine_too, tuple(sorted([mine, numbered])), "The ephemerals of the session")


def check_an_ephemeral_made_after_a_reconnect_is_owned(scene: Scene) -> None:
    """An ephemeral that a session makes over a later connection, wherever, is owned by it too."""
    first, other = scene.client(), scene.client()
    for server in range(scene.service.servers):
        first.abandon()
        client = scene.client(server, first.session)
        path = client.create(f"{scene.folder}/mine-{server}", ephemeral=True)
        numbered = client.create(f"{scene.folder}/n-", ephemeral=True, sequential=True)
        owners = [stat_of(client, each).ephemeral_owner for each in (path, numbered)]
        same(owners, [client.session, client.session], f"The owners, made at server {server}")
    scene.service.expire(first.session)
    other.sync()
    same(other.get_children(scene.folder), [], "What is left")


def check_ephemerals_go_with_a_closed_session(scene: Scene) -> None:
    """When a session is closed its ephemerals are gone, those of others and other znodes stay."""
    client, other = scene.two()
    client.create(f"{scene.folder}/mine", ephemeral=True)
    client.create(f"{scene.folder}/plain")
    other.create(f"{scene.folder}/other", ephemeral=True)
    client.end()
    other.sync()
    same(other.get_children(scene.folder), ["other", "plain"], "What is left")


def check_ephemerals_go_with_an_expired_session(scene: Scene) -> None:
    """When a session expires its ephemerals are gone, those of others and other znodes stay."""
    client, other = scene.two()
    client.create(f"{scene.folder}/mine", ephemeral=True)
    client.create(f"{scene.folder}/plain")
    other.create(f"{scene.folder}/other", ephemeral=True)
    scene.service.expire(client.session)
    other.sync()
    same(other.get_children(scene.folder), ["other", "plain"], "What is left")


def check_ephemerals_go_from_everywhere(scene: Scene) -> None:
    """A session's ephemerals are deleted wherever they are, in one transaction."""
    client, other = scene.two()
    folders = [client.create(f"{scene.folder}/{name}") for name in "ab"]
    for folder in folders:
        client.create(f"{folder}/one", ephemeral=True)
        client.create(f"{folder}/two", ephemeral=True)
    zxid = client.end()
    other.sync()
    stats = [stat_of(other, folder) for folder in folders]
    same([stat.num_children for stat in stats], [0, 0], "Children left")
    same([stat.pzxid for stat in stats], [zxid, zxid], "The transaction")
    same([stat.cversion for stat in stats], [4, 4], "Changes of children")


def check_an_ephemeral_has_no_children(scene: Scene) -> None:
    """Nothing can be created below an ephemeral."""
    client = scene.client()
    path = client.create(f"{scene.folder}/mine", ephemeral=True)
    refused("NoChildrenForEphemerals", lambda: client.create(f"{path}/child"))
    refused("NoChildrenForEphemerals", lambda: client.create(f"{path}/child", ephemeral=True))
    refused("NoChildrenForEphemerals", lambda: client.create(f"{path}/n-", sequential=True))


def check_anybody_may_delete_an_ephemeral(scene: Scene) -> None:
    """A session may delete and write an ephemeral of another one; it stays the other's."""
    client, other = scene.two()
    path = client.create(f"{scene.folder}/mine", ephemeral=True)
    other.sync()
    other.set_data(path, b"yours")
    same(stat_of(other, path).ephemeral_owner, client.session, "The owner")
    other.delete(path)
    client.sync()
    same(client.exists(path), None, "What is left")


def check_a_deleted_ephemeral_belongs_to_whoever_makes_it_anew(scene: Scene) -> None:
    """A znode that is made anew does not go with the session that had made the first one."""
    client, other = scene.two()
    path = client.create(f"{scene.folder}/mine", ephemeral=True)
    client.delete(path)
    other.sync()
    other.create(path, ephemeral=True)
    client.end()
    other.sync()
    same(stat_of(other, path).ephemeral_owner, other.session, "The owner")


def check_an_ephemeral_of_a_multi_is_owned(scene: Scene) -> None:
    """An ephemeral that a transaction makes is owned by its session and goes with it."""
    client, other = scene.two()
    path = f"{scene.folder}/mine"
    client.multi([Create(path, ephemeral=True), SetData(path, b"x")])
    same(stat_of(client, path).ephemeral_owner, client.session, "The owner")
    client.end()
    other.sync()
    same(other.exists(path), None, "What is left")
