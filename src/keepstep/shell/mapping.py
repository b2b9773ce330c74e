"""What a role asks for, in ZooKeeper's words: a table that any client can serve.

A derived machine asks for requests of its own and is told inputs of its own. A `RoleMapping`
is the one place that knows what each of them means to ZooKeeper. It names no client: each
request is served by a generator that yields calls and is resumed with what they returned, so
that the same table serves a test on a fake, a test on a real server, and production.

    class LeaseMapping(RoleMapping):
        def serve(self, request):
            match request:
                case InspectLease():
                    stat = yield Exists("/lock/lease")
                    return LeaseFree() if stat is None else LeaseSeen(stat.ephemeral_owner)
                case AwaitChange():
                    stat = yield Exists("/lock/lease", watch=LeaseChanged())
                    return None if stat else LeaseChanged()
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from keepstep.core.ids import NodeId
from keepstep.core.machine import Input, Request
from keepstep.errors import InternalError, KeepstepError
from keepstep.znodes.operations import Check, Create, Delete, Operation, SetData

__all__ = [
    "Call",
    "CallRefused",
    "Check",
    "Children",
    "Create",
    "Cut",
    "Delete",
    "Exists",
    "Multi",
    "Read",
    "RoleMapping",
    "Serving",
    "SetData",
    "Sync",
    "ZnodeStat",
]


@dataclass
class CallRefused(KeepstepError):
    """The server answered a call with an error, so nothing was changed.

    Attributes:
        name: The error as ZooKeeper names it: `NoNode`, `NodeExists`, `BadVersion`, ... Of a
            multi that of the operation that failed.
    """

    name: str

    def __str__(self) -> str:
        return f"the server refused the call: {self.name}"


class ZnodeStat(Protocol):
    """What every client tells of a znode."""

    @property
    def version(self) -> int:
        """How often its data was set."""

    @property
    def ephemeral_owner(self) -> int:
        """The session that it ends with; 0 if it is no ephemeral."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read a znode; returns its data and its stat.

    Attributes:
        path: The znode.
        watch: What the machine is told when the znode changes next; None for no watch.
        lasting: Whether the watch counts after the request was answered, too. Otherwise the
            machine is told of it only as long as it asked for nothing else.
    """

    path: str
    watch: Input | None = None
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Exists:
    """Ask for a znode; returns its stat, or None if it is not there.

    Attributes:
        path: The znode.
        watch: What the machine is told when it is created, changed or deleted next.
        lasting: As for `Read`.
    """

    path: str
    watch: Input | None = None
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Children:
    """List the names of a znode's children, sorted.

    Attributes:
        path: The parent.
        watch: What the machine is told when a child comes or goes next.
        lasting: As for `Read`.
    """

    path: str
    watch: Input | None = None
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Sync:
    """Have this server catch up with the leader before it answers what follows."""

    path: str = "/"


@dataclass(frozen=True, slots=True, init=False)
class Multi:
    """Do all of these operations, or none; returns nothing.

    Attributes:
        operations: In the order in which they are tried.
    """

    operations: tuple[Operation, ...]

    def __init__(self, *operations: Operation) -> None:
        object.__setattr__(self, "operations", operations)


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection and keep the session; the generator is not resumed."""


Call = Read | Exists | Children | Sync | Multi | Cut | Create | SetData | Delete | Check
"""One thing that a client is asked to do."""

Serving = Generator[Call, Any, Input | None]
"""A request being served: yields calls, returns what the machine is told.

None means that no answer is due: a watch that was left will tell.
"""


class RoleMapping:
    """The table of one role: its requests as calls, their outcomes as inputs.

    Args:
        me: The node that is served.
        root: The path below which everything is; without a slash at its end.

    Attributes:
        connected_input: The input of a new connection; its field is the session, if it has one.
        suspended_input: The input of a connection that was lost.
    """

    connected_input: ClassVar[type[Input]]
    suspended_input: ClassVar[type[Input]]

    def __init__(self, me: NodeId, root: str) -> None:
        self.me = me
        self.root = root

    def connected(self, session: int) -> Input:
        """What the machine is told when a connection is usable."""
        kind: Any = self.connected_input
        told: Input = kind(session) if kind.__dataclass_fields__ else kind()
        return told

    def suspended(self) -> Input | None:
        """What the machine is told when its connection is lost; None for nothing."""
        return self.suspended_input()

    def serve(self, request: Request) -> Serving:
        """Serve a request of the machine.

        What a call was refused for is thrown into the generator as `CallRefused`. If the
        connection is lost the generator is closed: the outcome is unknown, and `suspended`
        says so.
        """
        raise InternalError(f"{type(self).__name__} does not say how to serve {request}")

    def unknown(self, request: Request) -> Input | None:
        """What is told at once when the outcome of a request is unknown: nothing, by default.

        Anything else claims to know what nobody can.
        """
        del request
        return None
