"""Services that the conformance kit can ask: the fake, a real server, a real ensemble."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from keepstep.errors import KeepstepError, LocalViolation
from keepstep.testing.network.wire import Notification, Opcode, Operation, Reply, Stat, WireClient
from keepstep.testing.servers.admin import (
    Sessions,
    dump,
    expire,
    session_password,
    watches_by_session,
)
from keepstep.testing.servers.ensemble import ZooKeeperEnsemble, ZooKeeperServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keepstep.simulation import FakeZooKeeper

__all__ = [
    "Broken",
    "Client",
    "FakeService",
    "NotApplicable",
    "RealService",
    "Scene",
    "ServiceUnderTest",
]


class Client(Protocol):
    """What `WireClient` and `FakeClient` have in common."""

    session: int
    password: bytes
    notifications: list[Notification]

    def submit(self, opcode: Opcode, body: bytes = b"") -> int:
        """Send a request and return its xid, without waiting."""

    def submit_operation(self, operation: Operation) -> int:
        """Send one operation outside a multi, without waiting; returns its xid."""

    def answer(self, xid: int) -> Reply:
        """Wait for the reply to a request, whatever it says."""

    def create(
        self, path: str, data: bytes = b"", *, ephemeral: bool = False, sequential: bool = False
    ) -> str:
        """Create a znode and return its path."""

    def delete(self, path: str, version: int = -1) -> None:
        """Delete a znode."""

    def set_data(self, path: str, data: bytes, version: int = -1) -> Stat:
        """Replace a znode's data."""

    def get_data(self, path: str, *, watch: bool = False) -> tuple[bytes, Stat]:
        """Data and stat of a znode."""

    def exists(self, path: str, *, watch: bool = False) -> Stat | None:
        """A znode's stat, or None if it is not there."""

    def get_children(self, path: str, *, watch: bool = False) -> list[str]:
        """Names of a znode's children, sorted."""

    def sync(self, path: str = "/") -> None:
        """Have this server catch up with the leader."""

    def multi(self, operations: Sequence[Operation]) -> None:
        """Apply all the operations or none."""

    def end(self) -> int:
        """Close the session and return the transaction that did it."""

    def abandon(self) -> None:
        """Close the connection only."""


class Broken(KeepstepError):
    """A service does not keep a guarantee."""


class NotApplicable(KeepstepError):
    """A service cannot be made to show a guarantee."""


class ServiceUnderTest(Protocol):
    """What the kit needs of a service besides its clients.

    Attributes:
        servers: How many servers it has. They are numbered from 0; with several the last one
            leads.
    """

    servers: int

    def connect(
        self, server: int, session: int = 0, password: bytes | None = None, last_zxid: int = 0
    ) -> Client:
        """A connection with a new session, or of one that exists; its password by default."""

    def expire(self, session: int) -> None:
        """End a session as if it had timed out."""

    def lag(self, server: int) -> None:
        """Let a server apply nothing more, while it goes on answering reads.

        Raises:
            NotApplicable: The service cannot do so.
        """

    def catch_up(self, server: int) -> None:
        """End `lag`."""

    def sessions(self) -> Sessions:
        """The sessions that live, and their ephemerals."""

    def watches(self) -> dict[int, tuple[str, ...]]:
        """The paths whose data each session watches."""


class FakeService:
    """The fake, for the kit. Its servers are renumbered, so that the last one leads.

    Args:
        zookeeper: The fake.
    """

    def __init__(self, zookeeper: FakeZooKeeper) -> None:
        self.zookeeper = zookeeper
        self.servers = len(zookeeper.server_numbers)
        leader = zookeeper.leader
        self._numbers = sorted(zookeeper.server_numbers, key=lambda number: number == leader)

    def connect(
        self, server: int, session: int = 0, password: bytes | None = None, last_zxid: int = 0
    ) -> Client:
        """A connection to a server."""
        number = self._numbers[server]
        return self.zookeeper.connect(number, session or None, password, last_zxid=last_zxid)

    def expire(self, session: int) -> None:
        """End a session."""
        self.zookeeper.expire(session)

    def lag(self, server: int) -> None:
        """Let a server apply nothing more; not if it leads."""
        if self.servers == 1:
            raise NotApplicable("a server that is alone cannot be behind")
        self.zookeeper.settle()
        self.zookeeper.lag(self._numbers[server])

    def catch_up(self, server: int) -> None:
        """End `lag`."""
        self.zookeeper.catch_up(self._numbers[server])

    def sessions(self) -> Sessions:
        """The sessions that live, and their ephemerals."""
        return self.zookeeper.dump()

    def watches(self) -> dict[int, tuple[str, ...]]:
        """The paths whose data each session watches."""
        self.zookeeper.settle()
        return self.zookeeper.watches("data")


class RealService:
    """Real servers, for the kit. They are renumbered, so that the last one leads.

    Args:
        target: A server that is alone, or an ensemble; lag needs one made with `links=True`.
    """

    def __init__(self, target: ZooKeeperServer | ZooKeeperEnsemble) -> None:
        self._ensemble = target if isinstance(target, ZooKeeperEnsemble) else None
        if isinstance(target, ZooKeeperServer):
            self._members = [target]
        else:
            self._members = [*target.followers(), target.leader()]
        self.servers = len(self._members)
        self._xids = 1

    def connect(
        self, server: int, session: int = 0, password: bytes | None = None, last_zxid: int = 0
    ) -> Client:
        """A connection to a server."""
        known = password or (session_password(session) if session else bytes(16))
        # Connections that share a session must not share numbers of requests.
        self._xids += 1000
        return WireClient(
            self._members[server].address,
            session=session,
            password=known,
            session_timeout=30.0,
            last_zxid=last_zxid,
            first_xid=self._xids,
        )

    def expire(self, session: int) -> None:
        """End a session."""
        leader = self._members[-1].address
        expire(leader, session, leader)

    def lag(self, server: int) -> None:
        """Hold back all that passes between a follower and the leader."""
        self._separable(server).separate(*self._pair(server))

    def catch_up(self, server: int) -> None:
        """Let pass what was held back, and what follows."""
        self._separable(server).rejoin(*self._pair(server))

    def _separable(self, server: int) -> ZooKeeperEnsemble:
        if self._ensemble is None:
            raise NotApplicable("a server that is alone cannot be behind")
        if server == self.servers - 1:
            raise LocalViolation("the leader is never behind itself")
        return self._ensemble

    def _pair(self, server: int) -> tuple[int, int]:
        return self._members[server].number, self._members[-1].number

    def sessions(self) -> Sessions:
        """The sessions that live, and their ephemerals.

        A leader may have applied less than a follower has: it is asked to catch up first.
        """
        leader = self._members[-1].address
        with WireClient(leader, session_timeout=30.0) as client:
            client.sync()
        return dump(leader)

    def watches(self) -> dict[int, tuple[str, ...]]:
        """The paths whose data each session watches."""
        found: dict[int, tuple[str, ...]] = {}
        for member in self._members:
            for session, paths in watches_by_session(member.address).items():
                found[session] = tuple(sorted({*found.get(session, ()), *paths}))
        return found


_folders = itertools.count(1)


@dataclass(slots=True)
class Scene:
    """What one check works with: a service, and a folder of its own.

    Attributes:
        service: The service.
        folder: A znode that only this check uses; everybody has seen its creation.
    """

    service: ServiceUnderTest
    folder: str = ""
    _clients: list[Client] = field(default_factory=list)
    _lagging: set[int] = field(default_factory=set)

    def client(self, server: int = 0, session: int = 0, **more: Any) -> Client:
        """A client of a server, which is closed when the check is over."""
        connected = self.service.connect(server, session, **more)
        self._clients.append(connected)
        return connected

    def two(self) -> tuple[Client, Client]:
        """Two clients, at different servers if there are several."""
        return self.client(), self.client(1 % self.service.servers)

    def lag(self, server: int) -> None:
        """Let a server fall behind."""
        self.service.lag(server)
        self._lagging.add(server)

    def catch_up(self, server: int) -> None:
        """End `lag`."""
        self.service.catch_up(server)
        self._lagging.discard(server)

    def open(self) -> None:
        """Make the folder, and have every server know it."""
        first = self.client()
        self.folder = first.create(f"/kit-{next(_folders)}-", sequential=True)
        for server in range(1, self.service.servers):
            other = self.service.connect(server)
            other.sync()
            other.end()

    def close(self) -> None:
        """End what the check began."""
        for server in list(self._lagging):
            self.catch_up(server)
        for client in self._clients:
            with contextlib.suppress(KeepstepError):
                client.end()
