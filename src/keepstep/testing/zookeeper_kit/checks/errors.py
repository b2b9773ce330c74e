"""Guarantees about what is refused, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.testing.network.wire import Check, Create, Operation
from keepstep.testing.zookeeper_kit.checks.asking import (
    CODES,
    cut_off,
    failing_below,
    furnish,
    refused,
    same,
    stat_of,
    tree_of,
    true,
)

if TYPE_CHECKING:
    from keepstep.testing.zookeeper_kit.services import Scene

__all__ = [
    "check_a_check_belongs_into_a_multi",
    "check_a_path_must_be_one",
    "check_a_refused_request_changes_nothing",
    "check_a_znode_with_children_stays",
    "check_the_root_stays",
    "check_what_is_no_path_is_looked_for_first",
    "check_what_is_not_there",
    "check_what_is_there_already",
    "check_which_error_comes_first",
]


def check_what_is_not_there(scene: Scene) -> None:
    """Nothing can be read, written or deleted that is not there, nor made below it."""
    client = scene.client()
    path = f"{scene.folder}/none"
    same(client.exists(path), None, "What exists says")
    refused("NoNode", lambda: client.get_data(path))
    refused("NoNode", lambda: client.get_children(path))
    refused("NoNode", lambda: client.set_data(path, b"x"))
    refused("NoNode", lambda: client.set_data(path, b"x", 3))
    refused("NoNode", lambda: client.delete(path))
    refused("NoNode", lambda: client.delete(path, 3))
    refused("NoNode", lambda: client.multi([Check(path, -1)]))
    refused("NoNode", lambda: client.create(f"{path}/child"))
    refused("NoNode", lambda: client.create(f"{path}/n-", sequential=True))


def check_what_is_there_already(scene: Scene) -> None:
    """A znode that exists cannot be created, and keeps its data."""
    client = scene.client()
    path = client.create(f"{scene.folder}/a", b"old")
    refused("NodeExists", lambda: client.create(path, b"new"))
    refused("NodeExists", lambda: client.create(path, b"new", ephemeral=True))
    same(client.get_data(path)[0], b"old", "The data")


def check_a_znode_with_children_stays(scene: Scene) -> None:
    """A znode with children cannot be deleted; without them it can."""
    client = scene.client()
    path = client.create(f"{scene.folder}/a")
    client.create(f"{path}/child")
    refused("NotEmpty", lambda: client.delete(path))
    refused("NotEmpty", lambda: client.delete(path, 0))
    client.delete(f"{path}/child")
    client.delete(path)
    same(client.get_children(scene.folder), [], "What is left")


def check_which_error_comes_first(scene: Scene) -> None:
    """Where several errors fit, a wrong version counts before children."""
    client = scene.client()
    path = client.create(f"{scene.folder}/a")
    client.create(f"{path}/child")
    refused("BadVersion", lambda: client.delete(path, 7))
    mine = client.create(f"{scene.folder}/mine", ephemeral=True)
    refused("NoNode", lambda: client.create(f"{mine}/none/child"))


def check_a_path_must_be_one(scene: Scene) -> None:
    """What is no path cannot be made, written or checked; a multi with it is refused as a whole."""
    client = scene.client()
    # Java has two characters for the last one, neither of which may stand in a path.
    names = (".", "..", "\1", "\ue000", "\U0001f600")
    for wrong in ("a", "", *(f"{scene.folder}/{name}" for name in names)):
        refused("BadArguments", lambda wrong=wrong: client.create(wrong))  # type: ignore[misc]
        both: list[Operation] = [Create(f"{scene.folder}/b"), Create(wrong)]
        refused("BadArguments", lambda both=both: client.multi(both))  # type: ignore[misc]
    for wrong in ("a", f"{scene.folder}/", f"{scene.folder}//a", f"{scene.folder}/./a"):
        refused("BadArguments", lambda wrong=wrong: client.set_data(wrong, b""))  # type: ignore[misc]
        both = [Create(f"{scene.folder}/b"), Check(wrong, -1)]
        refused("BadArguments", lambda both=both: client.multi(both))  # type: ignore[misc]
    same(client.get_children(scene.folder), [], "What is left")


def check_what_is_no_path_is_looked_for_first(scene: Scene) -> None:
    """A create below nothing, a delete or a read of what is no path says that nothing is there."""
    client = scene.client()
    for wrong in (f"{scene.folder}//a", f"{scene.folder}/a/", f"{scene.folder}/./a", "a/b"):
        refused("NoNode", lambda wrong=wrong: client.create(wrong))  # type: ignore[misc]
        refused("NoNode", lambda wrong=wrong: client.delete(wrong))  # type: ignore[misc]
        refused("NoNode", lambda wrong=wrong: client.get_data(wrong))  # type: ignore[misc]
    refused("BadArguments", lambda: client.delete("a"))


def check_the_root_stays(scene: Scene) -> None:
    """The root and ZooKeeper's own znodes exist, and can be neither made nor deleted."""
    client = scene.client()
    refused("NodeExists", lambda: client.create("/"))
    for path in ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"):
        stat_of(client, path)
        refused("BadArguments", lambda path=path: client.delete(path))  # type: ignore[misc]
    true("zookeeper" in client.get_children("/"), "It is no child of the root")


def check_a_check_belongs_into_a_multi(scene: Scene) -> None:
    """A check outside a multi is unimplemented, and ends the connection; the session lives on."""
    client = scene.client()
    path = client.create(f"{scene.folder}/mine", ephemeral=True)
    reply = client.answer(client.submit_operation(Check(path, 0)))
    same(reply.error, CODES["Unimplemented"], "The error")
    cut_off(lambda: client.exists(path))
    again = scene.client(0, client.session)
    same(stat_of(again, path).ephemeral_owner, client.session, "The owner")


def check_a_refused_request_changes_nothing(scene: Scene) -> None:
    """A request that is refused leaves the tree as it was."""
    client = scene.client()
    furnish(client, scene.folder)
    before = tree_of(client, scene.folder)
    for error, failing in failing_below(scene.folder).items():
        if not isinstance(failing, Check):
            reply = client.answer(client.submit_operation(failing))
            same(reply.error, CODES[error], "The error")
    refused("BadVersion", lambda: client.set_data(f"{scene.folder}/plain", b"x", 3))
    same(tree_of(client, scene.folder), before, "The tree")
