"""How checks ask a service, and what they say when it does not keep its word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.testing.network.wire import (
    Check,
    ConnectionEnded,
    Create,
    Delete,
    JuteReader,
    Opcode,
    Operation,
    Refusal,
    SessionGone,
    Stat,
    multi_body,
)
from keepstep.testing.zookeeper_kit.services import Broken, NotApplicable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keepstep.testing.zookeeper_kit.services import Client, Scene

__all__ = [
    "CHANGED",
    "CHILDREN",
    "CODES",
    "CREATED",
    "DELETED",
    "RUNTIME_INCONSISTENCY",
    "codes_of",
    "cut_off",
    "failing_below",
    "furnish",
    "heard",
    "known_to_two",
    "left_behind",
    "needs_several",
    "refused",
    "results_of",
    "same",
    "session_gone",
    "stat_of",
    "tree_of",
    "true",
]

_ATTEMPTS = 5

CREATED, DELETED, CHANGED, CHILDREN = 1, 2, 3, 4
"""Kinds of notifications."""

RUNTIME_INCONSISTENCY = -2
"""The error of an operation that comes after the one that failed."""

CODES = {
    "Unimplemented": -6,
    "NoNode": -101,
    "BadVersion": -103,
    "NoChildrenForEphemerals": -108,
    "NodeExists": -110,
    "NotEmpty": -111,
}
"""Error codes by name."""


def same(found: object, wanted: object, what: str) -> None:
    """Something is as it should be."""
    if found != wanted:
        raise Broken(f"{what}: {found!r}, not {wanted!r}.")


def true(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - that is its only purpose
    """Something is so."""
    if not condition:
        raise Broken(f"{otherwise}.")


def refused(error: str, call: Callable[[], object]) -> None:
    """A request is refused with an error."""
    try:
        found = call()
    except Refusal as refusal:
        same(refusal.name, error, "The error")
    else:
        raise Broken(f"Not refused with {error}, but answered: {found!r}.")


def cut_off(call: Callable[[], object]) -> None:
    """A request finds its connection ended."""
    try:
        found = call()
    except ConnectionEnded:
        return
    raise Broken(f"The connection stands: {found!r}.")


def session_gone(call: Callable[[], object]) -> None:
    """A session cannot be resumed, though a server may hang up before it says so."""
    for _ in range(_ATTEMPTS):
        try:
            call()
        except SessionGone:
            return
        except ConnectionEnded:
            continue
        raise Broken("The session could be resumed.")
    raise Broken("The server does not say what became of the session.")


def stat_of(client: Client, path: str) -> Stat:
    """The stat of a znode that must be there."""
    found = client.exists(path)
    if found is None:
        raise Broken(f"{path} is not there.")
    return found


def heard(client: Client) -> list[tuple[int, str]]:
    """What a client was told of its watches by now, and forget it."""
    client.sync()
    found = [(event.kind, event.path) for event in client.notifications]
    client.notifications.clear()
    return found


def results_of(client: Client, operations: Sequence[Operation]) -> list[int | str | Stat | None]:
    """What each operation of a multi came to: the error code, or path, stat or nothing."""
    reply = client.answer(client.submit(Opcode.MULTI, multi_body(operations)))
    same(reply.error, 0, "The error in the header of a multi")
    reader = JuteReader(reply.body)
    results: list[int | str | Stat | None] = []
    while True:
        kind, done, _ = reader.number(), reader.flag(), reader.number()
        if done:
            return results
        if kind == Opcode.ERROR:
            results.append(reader.number())
        elif kind == Opcode.CREATE:
            results.append(reader.text())
        else:
            results.append(reader.stat() if kind == Opcode.SET_DATA else None)


def codes_of(client: Client, operations: Sequence[Operation]) -> list[int]:
    """The error code of each operation of a multi; 0 where there is none."""
    results = results_of(client, operations)
    return [result if isinstance(result, int) else 0 for result in results]


def tree_of(client: Client, path: str) -> dict[str, tuple[bytes, Stat]]:
    """All znodes at and below a path."""
    found = {path: client.get_data(path)}
    for name in client.get_children(path):
        found |= tree_of(client, f"{path}/{name}")
    return found


def known_to_two(scene: Scene) -> tuple[Client, Client, str]:
    """Two clients, and a znode that the first one has made and the second one sees."""
    client, other = scene.two()
    path = client.create(f"{scene.folder}/a")
    other.sync()
    return client, other, path


def left_behind(scene: Scene) -> tuple[Client, Client, str]:
    """A reader at a server that is behind, a writer, and a znode.

    The reader's server shows the data "old", which has been "new" since.
    """
    reader, writer = scene.client(0), scene.client(scene.service.servers - 1)
    path = writer.create(f"{scene.folder}/a", b"old")
    reader.sync()
    scene.lag(0)
    writer.set_data(path, b"new")
    return reader, writer, path


def needs_several(scene: Scene) -> None:
    """The check is about several servers."""
    if scene.service.servers == 1:
        raise NotApplicable("there is only one server")


def failing_below(folder: str) -> dict[str, Operation]:
    """For each error an operation that gets it, below a folder as `furnish` leaves it."""
    return {
        "NoNode": Check(f"{folder}/none", -1),
        "BadVersion": Check(f"{folder}/plain", 7),
        "NodeExists": Create(f"{folder}/plain"),
        "NotEmpty": Delete(f"{folder}/full"),
        "NoChildrenForEphemerals": Create(f"{folder}/mine/child"),
    }


def furnish(client: Client, folder: str) -> None:
    """Make a plain znode, an ephemeral, and one that has a child."""
    client.create(f"{folder}/plain")
    client.create(f"{folder}/mine", ephemeral=True)
    client.create(f"{folder}/full")
    client.create(f"{folder}/full/child")
