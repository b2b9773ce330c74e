"""What does ZooKeeper answer, and what becomes of its data, request by request?

The environment module as a whole service: a tree of znodes with all that a stat
tells, sessions, transactions that are applied as a whole or not at all, watches
that fire once. Pure operators, no variables; Keepstep's fake ZooKeeper is derived
from them, and one conformance kit asks the fake and real servers the same.

Modelled: what the leader decides, in one order, and what clients can observe of
it. A server that is behind answers reads from an earlier tree.
Abstracted: time (a session may end at any moment), ACLs, quotas, sizes, container
and TTL znodes, persistent watches, reconfiguration.

Sources: ZooKeeper's guarantees and its 3.9 server as observed; the kit's checks
and tests/simulation/test_fake_and_real.py compare every operator with it.

Derived from spec/service/ZooKeeperService.tla by `keepstep derive`. Do not edit.
sha256 of its modules: 6fcdc2ac08572c740c437cbe568f9b1f8971b5f5be04702005b1e192b5f70a98
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple, TypeAlias

__all__ = [
    "ANY_VERSION",
    "NEW_TREE",
    "NO_DATA",
    "NO_NUMBER",
    "NO_SESSION",
    "RESERVED",
    "ROOT",
    "Attempt",
    "Change",
    "Decision",
    "Event",
    "Name",
    "Operation",
    "Path",
    "Result",
    "Service",
    "Stat",
    "Tree",
    "Watch",
    "Znode",
    "after",
    "after_create",
    "after_delete",
    "after_session",
    "after_set",
    "carried_out",
    "change_of",
    "closed",
    "concerns",
    "continued",
    "create_error",
    "decide",
    "delete_error",
    "ephemerals",
    "error_of",
    "event_of",
    "events_of",
    "failure",
    "fired_by",
    "has_version",
    "may_serve",
    "name_of",
    "names_below",
    "new_znode",
    "opened",
    "parent",
    "plain",
    "put",
    "refused",
    "resumed",
    "session_error",
    "stat_of",
    "succeeded",
    "success",
    "target",
    "version_error",
    "watch_set_by",
    "with_child",
    "without",
    "without_children",
    "without_session",
]


class Name(NamedTuple):
    """A name: what was asked for, and the number that ends it.

    Ten digits at the end of a name are its number, whether the server drew it or a
    client wrote it.
    """

    stem: str
    number: int


Path: TypeAlias = "tuple[Name, ...]"
"""The names from the root down; the root itself has none."""


class Znode(NamedTuple):
    """A znode.

    `creates` counts its children ever made, and the zxids say which transaction made
    it, wrote it, and last made or deleted a child of it.
    """

    data: bytes
    owner: int
    children: frozenset[Name]
    creates: int
    version: int
    czxid: int
    mzxid: int
    pzxid: int


Tree: TypeAlias = "dict[Path, Znode]"
"""Every znode that exists, by its path."""


class Stat(NamedTuple):
    """What a client is told of a znode besides data and names below it."""

    czxid: int
    mzxid: int
    pzxid: int
    version: int
    cversion: int
    owner: int
    children: int


class Operation(NamedTuple):
    """An operation of a transaction: "create", "delete", "set" or "check".

    What a client wrote as its path may be none: then it is not `proper`. What its kind
    has no use for is ignored.
    """

    kind: str
    path: Path
    proper: bool
    data: bytes
    version: int
    ephemeral: bool
    sequential: bool


class Change(NamedTuple):
    """A znode was "created", "deleted" or "changed"."""

    kind: str
    path: Path


class Service(NamedTuple):
    """The whole service as its leader knows it.

    The tree, each living session with the server that it is connected to or was last,
    and the newest transaction.
    """

    tree: Tree
    sessions: dict[int, int]
    zxid: int


class Result(NamedTuple):
    """What an operation came to.

    "OK" or why it was refused, the path it was about or made, and the znode as a set
    left it or a check found it.
    """

    error: str
    path: Path
    seen: frozenset[Znode]


class Decision(NamedTuple):
    """What was decided.

    The service after it, why it was refused or "OK", the result of each operation, and
    the changes one after the other; those of one set happen in any order.
    """

    service: Service
    error: str
    results: tuple[Result, ...]
    changes: tuple[frozenset[Change], ...]


class Attempt(NamedTuple):
    """How far a transaction got."""

    tree: Tree
    error: str
    results: tuple[Result, ...]
    changes: tuple[frozenset[Change], ...]


class Watch(NamedTuple):
    """A watch of a session at its server.

    "data" for the znode itself, there or not, or "children" for the names below it.
    """

    kind: str
    path: Path
    session: int


class Event(NamedTuple):
    """What a session is told.

    That the znode was "created", "deleted" or "changed", or that its "children"
    changed.
    """

    session: int
    told: str
    path: Path


ROOT: Path = ()
"""The path with which all paths begin."""

NO_NUMBER = -1
"""The number of a name that does not end in ten digits."""

NO_SESSION = 0
"""The owner of a znode that outlives the session that made it."""

ANY_VERSION = -1
"""The version that any znode has, for a write that does not care."""

NO_DATA: bytes = b""
"""The data of a znode that nobody gave any."""


def parent(path: Path) -> Path:
    """The path of the znode above."""
    return path[:-1]


def name_of(path: Path) -> Name:
    """The last name of a path that has one."""
    return path[-1]


def plain(stem: str) -> Name:
    """A name that no server has drawn."""
    return Name(stem=stem, number=NO_NUMBER)


RESERVED: frozenset[Path] = frozenset(
    {
        ROOT,
        (plain("zookeeper"),),
        (
            plain("zookeeper"),
            plain("config"),
        ),
        (
            plain("zookeeper"),
            plain("quota"),
        ),
    }
)
"""ZooKeeper's own znodes, which cannot be deleted."""


def put(tree: Tree, path: Path, znode: Znode) -> Tree:
    """The tree with one znode more, or another one in its place."""
    return {**tree, path: znode}


def without(tree: Tree, paths: frozenset[Path]) -> Tree:
    """The tree without some of its znodes."""
    return {p: tree[p] for p in tree if p not in paths}


def new_znode(data: bytes, owner: int, zxid: int) -> Znode:
    """A new znode."""
    return Znode(
        data=data,
        owner=owner,
        children=frozenset(),
        creates=0,
        version=0,
        czxid=zxid,
        mzxid=zxid,
        pzxid=zxid,
    )


NEW_TREE: Tree = {
    p: new_znode(NO_DATA, NO_SESSION, 0)._replace(
        children=frozenset(
            name_of(q)
            for q in {r for r in RESERVED - frozenset({ROOT}) if parent(r) == p}
        )
    )
    for p in RESERVED
}
"""What a new ZooKeeper holds.

Nobody asked for the znodes below the root, so they do not count as made.
"""


def with_child(znode: Znode, name: Name, zxid: int) -> Znode:
    """A znode below which a child was made.

    Its number of creates is what the next sequential child is called; deleting takes
    nothing away from it.
    """
    return znode._replace(
        children=znode.children | frozenset({name}),
        creates=znode.creates + 1,
        pzxid=zxid,
    )


def without_children(znode: Znode, names: frozenset[Name], zxid: int) -> Znode:
    """A znode below which children were deleted, if there are such."""
    if not names:
        return znode
    return znode._replace(children=znode.children - names, pzxid=zxid)


def stat_of(znode: Znode) -> Stat:
    """What a stat tells of a znode.

    The version of its children counts those made and those deleted.
    """
    return Stat(
        czxid=znode.czxid,
        mzxid=znode.mzxid,
        pzxid=znode.pzxid,
        version=znode.version,
        cversion=2 * znode.creates - len(znode.children),
        owner=znode.owner,
        children=len(znode.children),
    )


def target(tree: Tree, operation: Operation) -> Path:
    """The path that a create makes; the parent of a sequential one must exist."""
    if operation.sequential:
        return (
            *parent(operation.path),
            Name(
                stem=name_of(operation.path).stem,
                number=tree[parent(operation.path)].creates,
            ),
        )
    return operation.path


def has_version(znode: Znode, version: int) -> bool:
    """A znode has the version that a write is conditional on."""
    return version == ANY_VERSION or version == znode.version


def create_error(tree: Tree, operation: Operation) -> str:
    """Why a create is refused, or "OK"."""
    if operation.path == ROOT:
        return "NodeExists"
    if parent(operation.path) not in tree:
        return "NoNode"
    if not operation.proper:
        return "BadArguments"
    if target(tree, operation) in tree:
        return "NodeExists"
    if tree[parent(operation.path)].owner != NO_SESSION:
        return "NoChildrenForEphemerals"
    return "OK"


def delete_error(tree: Tree, operation: Operation) -> str:
    """Why a delete is refused, or "OK"."""
    if not operation.proper or operation.path in RESERVED:
        return "BadArguments"
    if operation.path not in tree:
        return "NoNode"
    if not has_version(tree[operation.path], operation.version):
        return "BadVersion"
    if bool(tree[operation.path].children):
        return "NotEmpty"
    return "OK"


def version_error(tree: Tree, operation: Operation) -> str:
    """Why a set or a check is refused, or "OK"."""
    if not operation.proper:
        return "BadArguments"
    if operation.path not in tree:
        return "NoNode"
    if not has_version(tree[operation.path], operation.version):
        return "BadVersion"
    return "OK"


def error_of(tree: Tree, operation: Operation) -> str:
    """Why an operation is refused, or "OK"."""
    if operation.kind == "create":
        return create_error(tree, operation)
    if operation.kind == "delete":
        return delete_error(tree, operation)
    return version_error(tree, operation)


def after_create(tree: Tree, session: int, zxid: int, operation: Operation) -> Tree:
    """The tree after a create that is not refused."""
    path = target(tree, operation)
    owner = session if operation.ephemeral else NO_SESSION
    above = with_child(tree[parent(path)], name_of(path), zxid)
    return put(
        put(tree, parent(path), above), path, new_znode(operation.data, owner, zxid)
    )


def after_delete(tree: Tree, zxid: int, path: Path) -> Tree:
    """The tree after a znode is deleted that has no children."""
    above = without_children(tree[parent(path)], frozenset({name_of(path)}), zxid)
    return put(without(tree, frozenset({path})), parent(path), above)


def after_set(tree: Tree, zxid: int, operation: Operation) -> Tree:
    """The tree after a set that is not refused. What was made and when stays."""
    before = tree[operation.path]
    return put(
        tree,
        operation.path,
        before._replace(data=operation.data, version=before.version + 1, mzxid=zxid),
    )


def after(tree: Tree, session: int, zxid: int, operation: Operation) -> Tree:
    """The tree after an operation that is not refused."""
    if operation.kind == "create":
        return after_create(tree, session, zxid, operation)
    if operation.kind == "delete":
        return after_delete(tree, zxid, operation.path)
    if operation.kind == "set":
        return after_set(tree, zxid, operation)
    return tree


def change_of(tree: Tree, operation: Operation) -> frozenset[Change]:
    """What an operation changes that is not refused."""
    if operation.kind == "create":
        return frozenset({Change(kind="created", path=target(tree, operation))})
    if operation.kind == "delete":
        return frozenset({Change(kind="deleted", path=operation.path)})
    if operation.kind == "set":
        return frozenset({Change(kind="changed", path=operation.path)})
    return frozenset()


def failure(error: str, operation: Operation) -> Result:
    """The result of an operation that is refused or not looked at."""
    return Result(error=error, path=operation.path, seen=frozenset())


def success(before: Tree, tree: Tree, operation: Operation) -> Result:
    """The result of an operation that is done, with the tree before it and after it."""
    return Result(
        error="OK",
        path=target(before, operation)
        if operation.kind == "create"
        else operation.path,
        seen=frozenset({tree[operation.path]})
        if operation.kind in {"set", "check"}
        else frozenset(),
    )


def succeeded(attempt: Attempt, tree: Tree, operation: Operation) -> Attempt:
    """The attempt after an operation that is done, with the tree after it."""
    return Attempt(
        tree=tree,
        error="OK",
        results=(*attempt.results, success(attempt.tree, tree, operation)),
        changes=(*attempt.changes, change_of(attempt.tree, operation)),
    )


def continued(
    attempt: Attempt, session: int, zxid: int, operation: Operation
) -> Attempt:
    """The attempt after one operation more.

    After one that failed the rest are not looked at: that they were not applied has a
    name of its own.
    """
    error = error_of(attempt.tree, operation)
    if attempt.error != "OK":
        return attempt._replace(
            results=(*attempt.results, failure("RuntimeInconsistency", operation))
        )
    if error != "OK":
        return attempt._replace(
            error=error, results=(*attempt.results, failure(error, operation))
        )
    return succeeded(attempt, after(attempt.tree, session, zxid, operation), operation)


def carried_out(
    tree: Tree, session: int, zxid: int, operations: tuple[Operation, ...]
) -> Attempt:
    """All operations, one after the other, each on what those before it left."""

    def and_then(attempt: Attempt, operation: Operation) -> Attempt:
        return continued(attempt, session, zxid, operation)

    return reduce(
        and_then, operations, Attempt(tree=tree, error="OK", results=(), changes=())
    )


def session_error(service: Service, session: int, server: int) -> str:
    """Why a session may ask nothing of a server, or "OK"."""
    if session not in service.sessions:
        return "SessionExpired"
    if service.sessions[session] != server:
        return "SessionMoved"
    return "OK"


def refused(service: Service, error: str, results: tuple[Result, ...]) -> Decision:
    """A request is refused as a whole. It takes its place in the order all the same."""
    return Decision(
        service=service._replace(zxid=service.zxid + 1),
        error=error,
        results=results,
        changes=(),
    )


def decide(
    service: Service, session: int, server: int, operations: tuple[Operation, ...]
) -> Decision:
    """The leader decides a write.

    One operation, or several in one transaction, of which all are applied or none.
    """
    refusal = session_error(service, session, server)
    attempt = carried_out(service.tree, session, service.zxid + 1, operations)
    if refusal != "OK":
        return refused(service, refusal, ())
    if attempt.error != "OK":
        return refused(service, attempt.error, attempt.results)
    return Decision(
        service=service._replace(tree=attempt.tree, zxid=service.zxid + 1),
        error="OK",
        results=attempt.results,
        changes=attempt.changes,
    )


def opened(service: Service, session: int, server: int) -> Service:
    """A new session, at a server."""
    return service._replace(
        sessions={**service.sessions, session: server}, zxid=service.zxid + 1
    )


def resumed(service: Service, session: int, server: int) -> Service:
    """A session that lives goes on at a server.

    Requests that it sent elsewhere before and that are not decided yet will be refused.
    """
    return service._replace(
        sessions={
            s: server if s == session else service.sessions[s] for s in service.sessions
        }
    )


def ephemerals(tree: Tree, session: int) -> frozenset[Path]:
    """The paths of a session's ephemerals."""
    return frozenset(p for p in tree if tree[p].owner == session)


def names_below(paths: frozenset[Path], path: Path) -> frozenset[Name]:
    """The names below a path among those of several paths."""
    return frozenset(name_of(p) for p in {q for q in paths if parent(q) == path})


def after_session(tree: Tree, session: int, zxid: int) -> Tree:
    """The tree without the ephemerals of a session."""
    gone = ephemerals(tree, session)
    return {
        p: without_children(tree[p], names_below(gone, p), zxid)
        for p in tree
        if p not in gone
    }


def closed(service: Service, session: int) -> Decision:
    """A session ends, closed by its client or expired by the leader.

    Its ephemerals go with it, in one transaction.
    """
    if session not in service.sessions:
        return refused(service, "SessionExpired", ())
    return Decision(
        service=Service(
            tree=after_session(service.tree, session, service.zxid + 1),
            sessions={s: service.sessions[s] for s in service.sessions if s != session},
            zxid=service.zxid + 1,
        ),
        error="OK",
        results=(),
        changes=(
            frozenset(
                Change(kind="deleted", path=p)
                for p in ephemerals(service.tree, session)
            ),
        ),
    )


def may_serve(applied: int, seen: int) -> bool:
    """A server serves a client only if it has applied all that the client has seen."""
    return seen <= applied


def watch_set_by(tree: Tree, session: int, read: str, path: Path) -> frozenset[Watch]:
    """The watch that a read sets, if it sets one: "data", "exists" or "children".

    Only exists may watch for a znode that is not there.
    """
    if read == "exists":
        return frozenset({Watch(kind="data", path=path, session=session)})
    if path not in tree:
        return frozenset()
    return frozenset({Watch(kind=read, path=path, session=session)})


def concerns(watch: Watch, change: Change) -> bool:
    """A change concerns a watch."""
    if watch.kind == "data":
        return watch.path == change.path
    if change.kind == "changed":
        return False
    if change.kind == "deleted" and watch.path == change.path:
        return True
    return change.path != ROOT and watch.path == parent(change.path)


def fired_by(watches: frozenset[Watch], change: Change) -> frozenset[Watch]:
    """The watches that a change fires; they are gone by it."""
    return frozenset(w for w in watches if concerns(w, change))


def event_of(watch: Watch, change: Change) -> Event:
    """What a fired watch tells.

    A session that watches a znode and its children is told once that the znode was
    deleted.
    """
    return Event(
        session=watch.session,
        told=change.kind if watch.path == change.path else "children",
        path=watch.path,
    )


def events_of(watches: frozenset[Watch], change: Change) -> frozenset[Event]:
    """What is told because of a change."""
    return frozenset(event_of(w, change) for w in fired_by(watches, change))


def without_session(watches: frozenset[Watch], session: int) -> frozenset[Watch]:
    """The watches without those of a session whose connection ended."""
    return frozenset(w for w in watches if w.session != session)
