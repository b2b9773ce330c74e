"""Guarantees about transactions of several operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.testing.network.wire import (
    Check,
    Create,
    Delete,
    Opcode,
    Operation,
    SetData,
    Stat,
    multi_body,
)
from keepstep.testing.zookeeper_kit.checks.asking import (
    CODES,
    RUNTIME_INCONSISTENCY,
    codes_of,
    failing_below,
    furnish,
    refused,
    results_of,
    same,
    stat_of,
    tree_of,
)
from keepstep.testing.zookeeper_kit.services import Broken

if TYPE_CHECKING:
    from keepstep.testing.zookeeper_kit.services import Scene

__all__ = [
    "check_a_multi_is_one_transaction",
    "check_a_multi_may_undo_itself",
    "check_a_multi_says_what_each_operation_came_to",
    "check_a_refused_multi_changes_nothing",
    "check_a_refused_multi_says_where_it_failed",
    "check_a_refused_multi_takes_its_place_in_the_order",
    "check_a_version_is_looked_at_at_every_place",
    "check_an_empty_multi_does_nothing",
    "check_the_first_failure_counts",
]

_LAST = 3


def check_a_multi_is_one_transaction(scene: Scene) -> None:
    """All operations of a multi are applied in one transaction, later ones on the earlier."""
    client = scene.client()
    path = f"{scene.folder}/a"
    operations: list[Operation] = [
        Create(path, b"one"),
        SetData(path, b"two", 0),
        Check(path, 1),
        SetData(path, b"three", 1),
        Create(f"{path}/b"),
    ]
    reply = client.answer(client.submit(Opcode.MULTI, multi_body(operations)))
    data, stat = client.get_data(path)
    same((data, stat.version), (b"three", 2), "Data and version")
    child = stat_of(client, f"{path}/b")
    zxids = (stat.czxid, stat.mzxid, stat.pzxid, child.czxid)
    same(zxids, (reply.zxid,) * 4, "Its transactions")


def check_a_multi_may_undo_itself(scene: Scene) -> None:
    """A multi may delete what it has made, children first, and may make it anew."""
    client = scene.client()
    path = f"{scene.folder}/a"
    client.multi([Create(path), Create(f"{path}/b"), Delete(f"{path}/b"), Delete(path)])
    same(client.exists(path), None, "What is left")
    same(stat_of(client, scene.folder).cversion, 2, "Changes of children")
    client.multi([Create(path), SetData(path, b"x"), Delete(path, 1), Create(path, b"new")])
    data, stat = client.get_data(path)
    same((data, stat.version), (b"new", 0), "Data and version")


def check_a_multi_says_what_each_operation_came_to(scene: Scene) -> None:
    """A multi answers for each create its path, and for each set the stat as it left it."""
    client = scene.client()
    path = f"{scene.folder}/a"
    operations: list[Operation] = [
        Create(path),
        SetData(path, b"x"),
        SetData(path, b"yy", 1),
        Check(path, 2),
        Create(f"{path}/n-", sequential=True),
        Delete(f"{path}/n-0000000000"),
        Delete(path),
    ]
    created, one, two, *rest = results_of(client, operations)
    same(created, path, "The path")
    same(rest, [None, f"{path}/n-0000000000", None, None], "The other results")
    if not isinstance(one, Stat) or not isinstance(two, Stat):
        raise Broken(f"The sets are answered with {one!r} and {two!r}.")
    found = [(stat.version, stat.data_length) for stat in (one, two)]
    same(found, [(1, 1), (2, 2)], "Versions and lengths")


def check_an_empty_multi_does_nothing(scene: Scene) -> None:
    """A multi without operations, or of checks alone, changes nothing and is not refused."""
    client = scene.client()
    before = tree_of(client, scene.folder)
    client.multi([])
    client.multi([Check(scene.folder, 0), Check(scene.folder, -1)])
    same(tree_of(client, scene.folder), before, "The tree")
    same(codes_of(client, [Check(scene.folder, 0)]), [0], "The results")


def check_a_refused_multi_changes_nothing(scene: Scene) -> None:
    """Wherever an operation of a multi fails and whyever, nothing of the multi is applied."""
    client = scene.client()
    furnish(client, scene.folder)
    before = tree_of(client, scene.folder)
    for error, failing in failing_below(scene.folder).items():
        for place in range(4):
            operations: list[Operation] = [
                Create(f"{scene.folder}/new"),
                SetData(f"{scene.folder}/plain", b"new"),
                Delete(f"{scene.folder}/full/child"),
            ]
            operations.insert(place, failing)
            if error == "NotEmpty" and place == _LAST:
                continue  # By then it is empty.
            refused(error, lambda operations=operations: client.multi(operations))  # type: ignore[misc]
            same(tree_of(client, scene.folder), before, f"After {error} at place {place}")


def check_a_refused_multi_says_where_it_failed(scene: Scene) -> None:
    """Of a refused multi, the operation that failed has its error and those after it -2."""
    client = scene.client()
    furnish(client, scene.folder)
    harmless = Check(f"{scene.folder}/plain", 0)
    for error, failing in failing_below(scene.folder).items():
        for place in range(4):
            operations: list[Operation] = [harmless] * 3
            operations.insert(place, failing)
            wanted = [0] * place + [CODES[error]] + [RUNTIME_INCONSISTENCY] * (3 - place)
            same(codes_of(client, operations), wanted, f"{error} at place {place}")


def check_a_version_is_looked_at_at_every_place(scene: Scene) -> None:
    """A conditional set, delete or check is refused wherever in a multi it stands."""
    client = scene.client()
    furnish(client, scene.folder)
    path = f"{scene.folder}/plain"
    conditional: list[Operation] = [SetData(path, b"", 7), Delete(path, 7), Check(path, 7)]
    for operation in conditional:
        for place in range(3):
            operations: list[Operation] = [Check(path, 0)] * 2
            operations.insert(place, operation)
            refused("BadVersion", lambda operations=operations: client.multi(operations))  # type: ignore[misc]


def check_the_first_failure_counts(scene: Scene) -> None:
    """Of a multi in which several operations would fail, the first one is the cause."""
    client = scene.client()
    furnish(client, scene.folder)
    failing = failing_below(scene.folder)
    operations = [failing["NotEmpty"], failing["NoNode"], failing["NodeExists"]]
    wanted = [CODES["NotEmpty"], RUNTIME_INCONSISTENCY, RUNTIME_INCONSISTENCY]
    same(codes_of(client, operations), wanted, "The results")
    refused("NotEmpty", lambda: client.multi(operations))
    refused("NodeExists", lambda: client.multi(operations[::-1]))


def check_a_refused_multi_takes_its_place_in_the_order(scene: Scene) -> None:
    """A refused request is a transaction too: what follows has a greater zxid by two."""
    client = scene.client()
    first = client.answer(client.submit_operation(Create(f"{scene.folder}/a"))).zxid
    refused("NodeExists", lambda: client.create(f"{scene.folder}/a"))
    second = client.answer(client.submit_operation(Create(f"{scene.folder}/b"))).zxid
    refused("NoNode", lambda: client.multi([Delete(f"{scene.folder}/none")]))
    third = client.answer(client.submit_operation(Create(f"{scene.folder}/c"))).zxid
    same((second - first, third - second), (2, 2), "How far zxids went")
