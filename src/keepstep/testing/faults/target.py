"""What faults are done to: servers, and the ways of clients to them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Self

import psutil

from keepstep.errors import LocalViolation, RemoteViolation, ToolFailed
from keepstep.testing.network.proxy import FaultProxy
from keepstep.testing.network.wire import Address, ConnectionEnded, Refusal, WireClient
from keepstep.testing.servers.admin import (
    Connection,
    Sessions,
    connections,
    dump,
    mode_of,
    monitor,
    zxid_of,
)
from keepstep.testing.servers.ensemble import ZooKeeperEnsemble, ZooKeeperServer
from keepstep.testing.servers.observer import Transaction, read_transactions

__all__ = ["ClientWays", "NothingToHit", "SessionSeen", "Target"]

_POLL = 0.01
_ASKING = 1.0


class NothingToHit(LocalViolation):
    """There is nothing here now that the fault could be done to. Nothing has changed."""


@dataclass(eq=False, slots=True)
class ClientWays:
    """The ways of one client to the servers.

    Attributes:
        name: The client's name, as in the records of faults.
        proxies: By the server's number; what the client's connections pass.
        process: Process id of the client, if it is a process of its own that may be paused.
    """

    name: str
    proxies: dict[int, FaultProxy] = field(default_factory=dict)
    process: int | None = None

    @property
    def hosts(self) -> str:
        """The connect string that the client is to use."""
        return ",".join(str(proxy.address) for proxy in self.proxies.values())


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """A session as the server that holds its connection tells it.

    Attributes:
        session: The session.
        server: Number of the server.
        peer: The client's end (or its proxy's) of the connection.
        timeout: Negotiated session timeout in seconds.
        received: Packets that the server has received through the connection.
    """

    session: int
    server: int
    peer: Address
    timeout: float
    received: int


class Target:
    """Servers and clients that faults are done to.

    Args:
        cluster: A server that is alone (it gets the number 1) or an ensemble, made with
            `links=True` where servers are to be separated.
        left_alone: Sessions that no fault is aimed at, such as those of observers. May be
            changed at any time.
        patience: Seconds to wait for some client to be connected when a fault needs one, because
            clients take a while to come back from the fault before.

    Leaving its context heals everything that is still broken and closes the proxies that
    `add_client` made; the servers are not ended.
    """

    def __init__(
        self,
        cluster: ZooKeeperServer | ZooKeeperEnsemble,
        *,
        left_alone: set[int] | None = None,
        patience: float = 2.0,
    ) -> None:
        self.patience = patience
        self.ensemble = cluster if isinstance(cluster, ZooKeeperEnsemble) else None
        self.servers: dict[int, ZooKeeperServer] = (
            dict(cluster.servers) if isinstance(cluster, ZooKeeperEnsemble) else {1: cluster}
        )
        self.left_alone = left_alone if left_alone is not None else set()
        self.clients: dict[str, ClientWays] = {}
        self._own: list[FaultProxy] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Heal everything and close the proxies that `add_client` made."""
        try:
            self.heal()
        finally:
            while self._own:
                self._own.pop().close()

    def abandon(self) -> None:
        """Close the proxies and heal nothing: the servers are about to be ended."""
        self.servers = {}
        self.clients.clear()
        while self._own:
            self._own.pop().close()

    # --- Clients ---

    def add_client(self, name: str, *, process: int | None = None) -> ClientWays:
        """Make ways for a client: a proxy to each server.

        Args:
            name: A name of its own.
            process: Its process id, if it may be paused.

        Raises:
            LocalViolation: The name is taken.
        """
        proxies: dict[int, FaultProxy] = {}
        if name in self.clients:
            raise LocalViolation(f"there is a client {name!r} already")
        for number, server in self.servers.items():
            proxies[number] = FaultProxy(server.address)
            self._own.append(proxies[number])
        return self.adopt_client(name, proxies, process=process)

    def adopt_client(
        self, name: str, proxies: Mapping[int, FaultProxy], *, process: int | None = None
    ) -> ClientWays:
        """Take in a client whose proxies exist already; they stay its owner's to close.

        Raises:
            LocalViolation: The name is taken, or a proxy leads to none of the servers.
        """
        if name in self.clients:
            raise LocalViolation(f"there is a client {name!r} already")
        for number, proxy in proxies.items():
            if number not in self.servers or proxy.upstream != self.servers[number].address:
                raise LocalViolation(f"the proxy to {proxy.upstream} leads to no server {number}")
        self.clients[name] = ClientWays(name, dict(proxies), process)
        return self.clients[name]

    def client(self, name: str | None, random: Random) -> ClientWays:
        """The client of that name, or any that has a session now.

        Raises:
            NothingToHit: There is none.
        """
        if name is not None:
            if name not in self.clients:
                known = ", ".join(self.clients) or "none"
                raise NothingToHit(f"there is no client {name!r}; there are: {known}")
            return self.clients[name]
        deadline = time.monotonic() + self.patience
        while self.clients:
            busy = [client for client in self.clients.values() if self.sessions_of(client)]
            if busy:
                return random.choice(busy)
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL)
        raise NothingToHit("no client has a connection to a server now")

    # --- What the servers say ---

    def alive(self) -> list[ZooKeeperServer]:
        """Servers whose process runs and is not paused, by number."""
        return [s for s in self.servers.values() if s.running and not s.paused]

    def leader(self, timeout: float = 15.0) -> ZooKeeperServer:
        """The server that leads, or the only one.

        Raises:
            ToolFailed: None does within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            for server in self.alive():
                if server.mode() in {"leader", "standalone"}:
                    return server
            if time.monotonic() > deadline:
                raise ToolFailed(f"no server leads within {timeout} s")
            time.sleep(_POLL)

    def number_of(self, server: ZooKeeperServer) -> int:
        """The number of a server here: 1 for one that is alone."""
        return next(number for number, each in self.servers.items() if each is server)

    def sessions(self) -> Sessions:
        """`dump` of the server that leads."""
        return dump(self.leader().address)

    def connections(self) -> dict[int, list[Connection]]:
        """`cons` of every server that answers, by number."""
        found = {}
        for number, server in self.servers.items():
            if not server.running or server.paused:
                continue
            try:
                found[number] = connections(server.address)
            except ConnectionEnded:
                continue
        return found

    def sessions_of(self, client: ClientWays) -> list[SessionSeen]:
        """Sessions of a client, as `cons` of the servers tells them."""
        ends = {n: proxy.server_ends for n, proxy in client.proxies.items()}
        seen = self.connections()
        return [
            SessionSeen(c.session, number, c.peer, c.timeout, c.received)
            for number, told in seen.items()
            for c in told
            if c.session and c.peer in ends.get(number, ()) and c.session not in self.left_alone
        ]

    def log(self, server: ZooKeeperServer, after: int = -1) -> list[Transaction]:
        """Transactions in a server's log after a zxid; none if it has no data."""
        return read_transactions(server.data_directory, after)

    def write_something(self, server: ZooKeeperServer | None = None) -> int:
        """Have a transaction decided that touches no znode; returns its zxid.

        A session of our own begins and ends, which is logged and spread as any write is.

        Args:
            server: The server to ask for it; the leader by default.
        """
        with WireClient((server or self.leader()).address, session_timeout=4) as client:
            return client.end()

    def healthy(self) -> str:
        """Why the servers do not form one whole ZooKeeper; empty if they do, as they tell.

        All of them serve, one leads, the others are in sync with it, and what it decides now
        reaches all of them.
        """
        try:
            return self._ailing()
        except (ConnectionEnded, Refusal, RemoteViolation, ToolFailed) as error:
            return str(error)

    def _ailing(self) -> str:
        """As `healthy`, if every server answers what it is asked."""
        modes: list[str | None] = []
        for number, server in self.servers.items():
            if not server.running or server.paused:
                return f"server {number} does not run"
            modes.append(mode_of(server.address, _ASKING))
            if modes[-1] is None:
                return f"server {number} does not serve"
        if len(self.servers) > 1:
            if modes.count("leader") != 1:
                return f"{modes.count('leader')} servers lead"
            leader = list(self.servers.values())[modes.index("leader")]
            followed = monitor(leader.address).get("synced_followers", "0")
            if followed != str(len(self.servers) - 1):
                return f"{followed} of {len(self.servers) - 1} followers are in sync"
        return self._spreads(self.write_something())

    def _spreads(self, zxid: int) -> str:
        """Which server does not get a transaction in time; empty if all get it."""
        deadline = time.monotonic() + _ASKING
        waiting = dict(self.servers)
        while True:
            for number, server in list(waiting.items()):
                if zxid_of(server.address, _ASKING) >= zxid:
                    del waiting[number]
            if not waiting:
                return ""
            if time.monotonic() > deadline:
                return f"transaction 0x{zxid:x} does not reach server {min(waiting)}"
            time.sleep(_POLL)

    def wait_healthy(self, timeout: float) -> float:
        """Wait until the servers form one whole ZooKeeper; returns the seconds it took.

        Raises:
            ToolFailed: They do not within `timeout` seconds.
        """
        begin = time.monotonic()
        while reason := self.healthy():
            if time.monotonic() - begin > timeout:
                raise ToolFailed(f"the servers did not recover within {timeout:g} s: {reason}")
            time.sleep(_POLL)
        return time.monotonic() - begin

    # --- The last resort ---

    def heal(self, timeout: float = 30.0) -> None:
        """End every fault, whoever made it, and wait until the servers are whole again.

        Raises:
            ToolFailed: They do not recover within `timeout` seconds.
        """
        for client in self.clients.values():
            for proxy in client.proxies.values():
                proxy.heal()
            _let_run(client.process)
        if self.ensemble:
            self.ensemble.rejoin_all()
        servers = [server for server in self.servers.values() if not server.closed]
        for server in servers:
            if server.paused:
                server.resume()
        down = [server for server in servers if not server.running]
        for server in down:
            server.launch()
        for server in down:
            server.wait_until_serving()
        if servers and len(servers) == len(self.servers):
            self.wait_healthy(timeout)


def _let_run(process: int | None) -> None:
    if process is None:
        return
    try:
        client = psutil.Process(process)
        if client.status() == psutil.STATUS_STOPPED:
            client.resume()
    except psutil.Error:
        # It has ended, or its number is somebody else's by now.
        return
