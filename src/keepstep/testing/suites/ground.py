"""Where a suite runs: real servers, or the fake, behind the same few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Protocol, Self

from keepstep.errors import LocalViolation, ToolFailed
from keepstep.simulation import FakeClient, FakeZooKeeper
from keepstep.testing.faults import Fault, Target, package_of
from keepstep.testing.network.wire import WireClient
from keepstep.testing.servers.admin import Sessions, connections, dump, expire, watches_by_path
from keepstep.testing.servers.committed import CommittedLog
from keepstep.testing.servers.ensemble import ZooKeeperEnsemble, ZooKeeperServer
from keepstep.testing.servers.observer import Transaction
from keepstep.testing.suites.driven_shell import Client, Dialler

__all__ = ["FakeGround", "Ground", "RealGround"]

_SESSION_TIMEOUT = 30.0
_PATIENCE = 2.0


class Ground(Protocol):
    """Servers, as a suite needs them; everything that is told comes from the servers."""

    def begin(self) -> None:
        """A run begins."""

    def dialler(self, seat: int) -> Dialler:
        """How the shell of a seat connects."""

    def outsider(self) -> Client:
        """A client of nobody under test, with a session of its own."""

    def sessions(self) -> Sessions:
        """The sessions that live, and their ephemerals."""

    def watches(self) -> Mapping[str, frozenset[int]]:
        """The sessions that watch each path by `Read` or `Exists`.

        No server tells of watches that `Children` leaves.
        """

    def connected(self) -> frozenset[int]:
        """The sessions that have a connection now."""

    def transactions(self) -> list[Transaction]:
        """What was decided since the last call, in order."""

    def expire(self, session: int) -> str:
        """End a session that lives, whatever its client believes; returns the proof.

        Raises:
            LocalViolation: It does not live.
        """

    def inject(self, name: str, number: int) -> tuple[str, str]:
        """Inject a fault package; it stays until `heal`.

        Args:
            name: Of the package.
            number: Chooses what is hit.

        Returns:
            What was hit, and what the servers say of it.

        Raises:
            LocalViolation: It cannot be done here; the message says why.
        """

    def heal(self) -> None:
        """End what was injected, and wait until the servers are whole."""


class RealGround:
    """Real servers.

    Args:
        servers: One server, or an ensemble, that runs.
    """

    def __init__(self, servers: ZooKeeperServer | ZooKeeperEnsemble) -> None:
        self._target = Target(servers)
        self._ensemble = self._target.ensemble
        self._servers = list(self._target.servers.values())
        self._log = CommittedLog(
            {number: server.data_directory for number, server in self._target.servers.items()}
        )
        self._log.read()
        self._injected: list[Fault] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was injected; may be called again."""
        self.heal()
        self._target.close()

    def begin(self) -> None:
        """A run begins; the servers go on as they are."""

    def _oracle(self) -> ZooKeeperServer:
        return self._servers[0] if self._ensemble is None else self._ensemble.leader()

    def dialler(self, seat: int) -> Dialler:
        """How the shell of a seat connects: each to a server of its own, as far as they reach."""
        server = self._servers[seat % len(self._servers)]

        def dial(session: int, password: bytes) -> Client:
            return WireClient(
                server.address,
                session=session,
                password=password,
                session_timeout=_SESSION_TIMEOUT,
                timeout=_PATIENCE,
            )

        return dial

    def outsider(self) -> Client:
        """A client of nobody under test, with a session of its own."""
        return WireClient(self._oracle().address, timeout=_PATIENCE)

    def sessions(self) -> Sessions:
        """The sessions that live, and their ephemerals (`dump`)."""
        return dump(self._oracle().address)

    def watches(self) -> Mapping[str, frozenset[int]]:
        """The sessions that watch each path, at any server (`wchp`)."""
        found: dict[str, frozenset[int]] = {}
        for server in self._running():
            for path, sessions in watches_by_path(server.address).items():
                found[path] = found.get(path, frozenset()) | sessions
        return found

    def connected(self) -> frozenset[int]:
        """The sessions that have a connection now, at any server (`cons`)."""
        return frozenset(
            each.session for server in self._running() for each in connections(server.address)
        )

    def _running(self) -> Iterable[ZooKeeperServer]:
        return [server for server in self._servers if server.running and not server.paused]

    def transactions(self) -> list[Transaction]:
        """What a majority has logged since the last call, in order of zxid."""
        return self._log.read()

    def expire(self, session: int) -> str:
        """End a session that lives, whatever its client believes; returns the proof.

        Raises:
            LocalViolation: It does not live.
        """
        oracle = self._oracle()
        ended = expire(oracle.address, session)
        gone = f", with {', '.join(ended.ephemerals)}" if ended.ephemerals else ""
        return f"dump has session 0x{session:x} no more{gone}"

    def inject(self, name: str, number: int) -> tuple[str, str]:
        """Inject a fault package; it stays until `heal`.

        Args:
            name: Of the package; one that needs nothing of a client.
            number: Chooses what is hit.

        Returns:
            What was hit, and what the servers say of it.

        Raises:
            LocalViolation: It cannot be done here; the message says why.
            ToolFailed: The servers do not show it.
        """
        chance = Random(number)  # noqa: S311 - it has to be repeatable
        fault = package_of(name).inject(self._target, random=chance)
        self._injected.append(fault)
        proof = fault.prove()
        if not proof.happened:
            raise ToolFailed(
                f"{name} was injected, and the servers do not show it: {proof.evidence}"
            )
        return fault.victim, proof.evidence

    def heal(self) -> None:
        """End what was injected, the last first, and wait until the servers are whole."""
        while self._injected:
            self._injected.pop().heal()


class FakeGround:
    """The fake: no thread, no clock, and the same steps give the same run.

    Args:
        servers: How many servers it has.
        seed: Decides what happens next wherever several things may.
    """

    def __init__(self, servers: int = 1, seed: int = 0) -> None:
        self._servers, self._seed = servers, seed
        self._clients: list[FakeClient] = []
        self.begin()

    def begin(self) -> None:
        """A run begins, with new servers that hold nothing."""
        self._clients.clear()
        self._told = 0
        self.zookeeper = FakeZooKeeper(servers=self._servers, seed=self._seed)

    def dialler(self, seat: int) -> Dialler:
        """How the shell of a seat connects: each to a server of its own, as far as they reach."""

        def dial(session: int, password: bytes) -> Client:
            server = seat % self._servers
            known = (session, password) if session else (None, None)
            client = self.zookeeper.connect(server, *known)
            self._clients = [each for each in self._clients if each.open]
            self._clients.append(client)
            return client

        return dial

    def outsider(self) -> Client:
        """A client of nobody under test, with a session of its own."""
        return self.zookeeper.connect(0)

    def sessions(self) -> Sessions:
        """The sessions that live, and their ephemerals, as decided."""
        return self.zookeeper.dump()

    def watches(self) -> Mapping[str, frozenset[int]]:
        """The sessions that watch each path, of the watches that a real server's `wchp` tells."""
        found: dict[str, frozenset[int]] = {}
        for session, paths in self.zookeeper.watches("data").items():
            for path in paths:
                found[path] = found.get(path, frozenset()) | {session}
        return found

    def connected(self) -> frozenset[int]:
        """The sessions that have a connection now."""
        return frozenset(client.session for client in self._clients if client.open)

    def transactions(self) -> list[Transaction]:
        """What was decided since the last call, in order."""
        known = self.zookeeper.transactions()
        told, self._told = self._told, len(known)
        return known[told:]

    def expire(self, session: int) -> str:
        """End a session that lives, whatever its client believes; returns the proof.

        Raises:
            LocalViolation: It does not live.
        """
        ended = self.zookeeper.expire(session)
        gone = f", with {', '.join(ended.ephemerals)}" if ended.ephemerals else ""
        return f"session 0x{session:x} has ended{gone}"

    def inject(self, name: str, number: int) -> tuple[str, str]:
        """Fault packages are for real servers.

        Raises:
            LocalViolation: Always, but for a name that does not exist with that reason.
        """
        del number
        raise LocalViolation(f"{package_of(name).name} is done to real servers only")

    def heal(self) -> None:
        """Nothing was injected."""
