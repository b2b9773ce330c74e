"""Where elections are tested: servers, and a breakable way to them for each contender.

An `Arena` is all that an `ElectionWorld` knows of its surroundings: ways that can be broken,
servers that can be broken, oracles, and how one waits. `Arena` itself is one real server, which
is fast. `EnsembleArena` is an ensemble of real servers, with faults between them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from random import Random
from typing import Any, Protocol, Self

from keepstep.errors import ToolFailed
from keepstep.shell.contender_shell import ContenderShell
from keepstep.shell.inbox import Lane
from keepstep.testing.election.contender_process import (
    ContenderProcess,
    RemoteContender,
    can_live_elsewhere,
)
from keepstep.testing.faults import (
    Aim,
    Availability,
    Fault,
    NothingToHit,
    Target,
    package_of,
)
from keepstep.testing.network.namespaces import Network
from keepstep.testing.network.proxy import FaultProxy
from keepstep.testing.network.ways import Way, Ways
from keepstep.testing.network.wire import Address, ConnectionEnded, WireClient
from keepstep.testing.servers.admin import Sessions, check_server, dump, expire, watches_by_path
from keepstep.testing.servers.committed import CommittedLog, SessionBook
from keepstep.testing.servers.ensemble import ServerSettings, ZooKeeperEnsemble, ZooKeeperServer
from keepstep.testing.servers.installation import parse_version
from keepstep.testing.servers.observer import Observer, Transaction, TransactionLog

__all__ = ["MOST_SHELLS", "Arena", "EnsembleArena", "Trouble"]

MOST_SHELLS = 4
"""Seats for contenders; each has a way of its own."""

_MOMENT = 0.002
_GLANCE = 0.001
_MOVE_PATIENCE = 0.6
_EXPIRY_PATIENCE = 10.0

_FORGETS = "lose-data-of-majority"
_OF_FOLLOWERS = frozenset({"lag-follower", "lose-data-of-one"})
_CUTS_OFF = frozenset({"partition-servers", "partition-servers-kernel"})
_ENDS_CONNECTIONS = frozenset({"kill-server", "restart-server", "kill-leader", "lose-data-of-one"})
_OF_SERVERS = frozenset({"pause-server", _FORGETS}) | _OF_FOLLOWERS | _CUTS_OFF | _ENDS_CONNECTIONS
_STOPS_A_PROCESS = "pause-client"


def _version_at(address: Address) -> str:
    """The version of a server, without its build."""
    return ".".join(map(str, parse_version(check_server(address).version)))


def _client(seat: int) -> str:
    return f"seat {seat}"


class Trouble(Protocol):
    """A fault of a package, prepared for an arena.

    Attributes:
        name: The package's.
        victim: What it hits, in words.
        cuts: Seats whose connections it ends at once.
        of_client: Whether it is a fault of the way of one client.
        stops_client: Whether the contender stands still meanwhile.
        forgets: Whether all data is lost, so that another incarnation begins.
    """

    name: str
    victim: str
    cuts: frozenset[int]
    of_client: bool
    stops_client: bool
    forgets: bool

    def inject(self) -> None:
        """Do it."""

    def proof(self, *, patient: bool) -> str | None:
        """What the servers say that shows it; None if they do not, or not yet."""

    def heal(self) -> None:
        """End it; see `Fault.heal`."""


class Arena:
    """What the examples of a campaign share: a server, and a proxy for each seat.

    Attributes:
        server: The server.
        ways: The way of each seat to the servers.
        servers: Number of servers.
        patience: How much longer than with one server anything may take.
        version: Of the servers; "" if they have none.
    """

    servers = 1
    patience = 1.0
    version = ""

    def __init__(self) -> None:
        self._cleanup = ExitStack()
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.server = stack.enter_context(ZooKeeperServer())
            self._proxies = [
                stack.enter_context(FaultProxy(self.server.address)) for _ in range(MOST_SHELLS)
            ]
            self.ways: Sequence[Way] = self._proxies
            self.observer = stack.enter_context(Observer(self.server.address))
            self.log = TransactionLog(self.server.data_directory)
            self.version = _version_at(self.server.address)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def next_number(self) -> int:
        """A number for the paths of one example."""
        return next(self._numbers)

    # --- Time ---

    def now(self) -> float:
        """Seconds since some moment, as far as waiting goes."""
        return time.monotonic()

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for something at most so long; returns whether it came true."""
        deadline = time.monotonic() + seconds * self.patience
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(_GLANCE)
        return True

    def idle(self) -> None:
        """Let a moment pass, because nobody has anything to do."""
        time.sleep(_MOMENT)

    def patience_for(self, shell: ContenderShell, seconds: float, lane: Lane | None) -> float:
        """Seconds of real time that a shell shall wait for something to be delivered to it."""
        del shell, lane
        return seconds

    # --- Contenders ---

    def shell_class(self, chosen: type[ContenderShell], seat: int) -> type[ContenderShell]:
        """The class of the shell at a seat, so that it comes to these servers."""
        del seat
        return chosen

    def contender(
        self, chosen: type[ContenderShell], seat: int, *, in_process: bool
    ) -> Callable[..., Any]:
        """What makes the shell at a seat, with the arguments of `ContenderShell`.

        Args:
            chosen: The class of the shell.
            seat: Where it is to sit.
            in_process: Whether it is to be a process of its own, where that can be.
        """
        del in_process
        return self.shell_class(chosen, seat)

    def hosts(self, seat: int) -> str:
        """Where the client at a seat connects."""
        return str(self._proxies[seat].address)

    def client_options(self) -> Mapping[str, Any]:
        """Further arguments of the clients."""
        return {}

    # --- Oracles ---

    def transactions(self) -> list[Transaction]:
        """What was committed since the last call, in order of zxid."""
        return self.log.read()

    @property
    def newest(self) -> int:
        """The newest zxid that `transactions` returned; -1 if none."""
        return self.log.newest

    def sessions(self) -> Sessions:
        """Sessions that live, and their ephemerals."""
        return dump(self.server.address)

    def sessions_at_rest(self) -> Sessions:
        """The same as the servers themselves tell it, when nothing is broken any more."""
        return dump(self.server.address)

    def watches(self) -> Mapping[str, frozenset[int]]:
        """Sessions that watch, by path."""
        return watches_by_path(self.server.address)

    def children(self, path: str) -> list[str] | None:
        """Names of the children of a znode; None if it is not there."""
        return self.observer.children(path)

    def outsider(self) -> Any:
        """A client of nobody's, with the methods of `WireClient`."""
        return WireClient(self.server.address)

    # --- Faults ---

    @property
    def can_decide(self) -> bool:
        """Whether servers can take writes now, as far as the faults in force go."""
        return True

    def recover(self) -> None:
        """End every fault of servers, so that the next example finds all of them well."""

    def move(self, seat: int) -> None:
        """Have a client leave its server for another, if there is one."""
        self.ways[seat].cut()

    def available(self, package: str) -> Availability:
        """Whether a fault package can be done here."""
        del package
        return Availability(allowed=False, reason="this arena knows no fault packages")

    def prepare(self, package: str, seat: int, server: str, random: Random) -> Trouble:
        """A fault of a package; nothing is broken yet.

        Raises:
            NothingToHit: There is nothing that it could be done to now.
        """
        del seat, server, random
        raise NothingToHit(f"{package}: {self.available(package).reason}")

    def inject(self, trouble: Trouble, look: Callable[[], None]) -> None:
        """Inject a fault.

        Args:
            trouble: What `prepare` made.
            look: Called at the last moment before data is lost, while no client is answered.
        """
        del look
        trouble.inject()

    def heal(self, trouble: Trouble) -> None:
        """End a fault.

        Raises:
            NotHealed: The servers do not recover in time.
        """
        trouble.heal()

    def end_session(self, session: int) -> None:
        """End a session as if it had timed out.

        Raises:
            LocalViolation: There is no such session.
        """
        expire(self.server.address, session)

    def down(self) -> None:
        """Kill all servers, and keep clients away until they serve again.

        A server that accepts connections before it serves may leave them unanswered for a whole
        session timeout, which would make runs slow and different from each other.
        """
        for proxy in self._proxies:
            proxy.refuse()
        self.server.kill()

    def forget(self) -> None:
        """Remove all data, of servers that are down."""
        self.server.forget_data()
        self.log.begin_anew()

    def up(self) -> None:
        """Start all servers and let clients come."""
        self.server.start()
        for proxy in self._proxies:
            proxy.accept()


class _PackageTrouble:
    """A fault of a package on real servers."""

    def __init__(self, name: str, fault: Fault, cuts: frozenset[int]) -> None:
        self.name = name
        self.fault = fault
        self.victim = fault.victim
        self.cuts = cuts
        self.of_client = name not in _OF_SERVERS
        self.stops_client = name == _STOPS_A_PROCESS
        self.forgets = name == _FORGETS

    def inject(self) -> None:
        self.fault.inject()

    def proof(self, *, patient: bool) -> str | None:
        proof = self.fault.prove(None if patient else 0.0)
        return proof.evidence if proof.happened else None

    def heal(self) -> None:
        self.fault.heal()


class EnsembleArena(Arena):
    """An ensemble of real servers, with a proxy from each seat to each of them.

    Oracles need no server to be well: what was committed is what a majority of the servers has
    logged, and their logs can be read whatever has become of the servers themselves.

    Args:
        size: Number of servers.
        settings: How to configure each.
        network: Where each server gets a namespace and an address; by default they are at the
            loopback interface, with proxies between them.

    Attributes:
        ensemble: The servers.
        unwell: Numbers of the servers that cannot be asked now, though they run.
    """

    patience = 2.0

    def __init__(
        self,
        size: int = 3,
        settings: ServerSettings | None = None,
        *,
        network: Network | None = None,
    ) -> None:
        super().__init__()
        self._network = network
        self.servers = size
        self._settings = settings
        self.unwell: set[int] = set()
        self._leading: int | None = None
        self._observer: tuple[int, Observer] | None = None
        self._unread: list[Transaction] = []
        self._book = SessionBook()
        self._survivors: frozenset[int] = frozenset()
        self._processes: dict[int, ContenderProcess] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.ensemble = stack.enter_context(
                ZooKeeperEnsemble(
                    self.servers,
                    self._settings,
                    links=self._network is None,
                    network=self._network,
                )
            )
            self._all_ways = []
            for seat in range(MOST_SHELLS):
                # Each seat prefers another server.
                order = [1 + (seat + turn) % self.servers for turn in range(self.servers)]
                proxies = {n: stack.enter_context(FaultProxy(self._address(n))) for n in order}
                self._all_ways.append(Ways(proxies))
            self.ways = self._all_ways
            self.target = Target(self.ensemble)
            for seat, ways in enumerate(self._all_ways):
                self.target.adopt_client(_client(seat), ways.proxies)
            stack.callback(self._close_observer)
            stack.callback(self._end_processes)
            self.version = _version_at(self._address(1))
            self._committed = CommittedLog(
                {n: server.data_directory for n, server in self.ensemble.servers.items()}
            )
            self._cleanup = stack.pop_all()
        return self

    def _end_processes(self) -> None:
        while self._processes:
            self._processes.popitem()[1].close()

    def contender(
        self, chosen: type[ContenderShell], seat: int, *, in_process: bool
    ) -> Callable[..., Any]:
        """What makes the shell at a seat; in a process of its own its client can be stopped."""
        ways = self.target.clients[_client(seat)]
        if not in_process or not can_live_elsewhere(chosen):
            ways.process = None
            return chosen
        if seat not in self._processes:
            self._processes[seat] = ContenderProcess()
        process = self._processes[seat]
        ways.process = process.process_id
        return partial(RemoteContender, process, chosen)

    def _address(self, number: int) -> Address:
        return self.ensemble.servers[number].address

    def patience_for(self, shell: ContenderShell, seconds: float, lane: Lane | None) -> float:
        """Everything takes longer when servers have to agree."""
        del shell, lane
        return seconds * self.patience

    # --- Which server ---

    def well(self) -> list[int]:
        """Numbers of the servers that no fault keeps from serving."""
        return [
            number
            for number, server in self.ensemble.servers.items()
            if number not in self.unwell and server.running and not server.paused
        ]

    @property
    def can_decide(self) -> bool:
        """Whether a majority is well."""
        return 2 * len(self.well()) > self.servers

    def leader(self) -> int:
        """Number of the server that leads those that are well.

        Raises:
            ToolFailed: None did in time.
        """
        if self._leading in self.well() and self._mode(self._leading) == "leader":
            return self._leading
        deadline = time.monotonic() + self.ensemble.settings.start_timeout
        while time.monotonic() < deadline:
            for number in self.well():
                if self._mode(number) == "leader":
                    self._leading = number
                    return number
            time.sleep(_MOMENT)
        raise ToolFailed("no server of the ensemble leads, though a majority should be well")

    def _mode(self, number: int | None) -> str | None:
        return None if number is None else self.ensemble.servers[number].mode()

    def hosts(self, seat: int) -> str:
        """Where the client at a seat connects: a proxy to each server."""
        return self._all_ways[seat].hosts

    def client_options(self) -> Mapping[str, Any]:
        """Have clients try the hosts in our order, so that runs are more alike."""
        return {"randomize_hosts": False}

    def move(self, seat: int) -> None:
        """Have a client leave its server for the next one."""
        proxies = self._all_ways[seat].proxies
        present = [number for number, proxy in proxies.items() if proxy.open_connections]
        for number in present:
            proxies[number].refuse()
        if present:
            others = [proxy for number, proxy in proxies.items() if number not in present]
            self.wait(lambda: any(proxy.sessions for proxy in others), _MOVE_PATIENCE)
        for number in present:
            proxies[number].accept()

    # --- Oracles ---

    def _take(self) -> None:
        found = self._committed.read()
        self._book.take(found)
        self._unread += found

    def transactions(self) -> list[Transaction]:
        """What a majority has logged since the last call, in order of zxid."""
        self._take()
        found, self._unread = self._unread, []
        return found

    @property
    def newest(self) -> int:
        """The newest zxid that a majority has logged."""
        return self._committed.newest

    def sessions(self) -> Sessions:
        """Sessions that live by what was committed; no server has to be well for it."""
        self._take()
        return self._book.sessions()

    def sessions_at_rest(self) -> Sessions:
        """The leader's own word."""
        return dump(self._address(self.leader()))

    def watches(self) -> Mapping[str, frozenset[int]]:
        """Sessions that watch at any server that is well."""
        found: dict[str, frozenset[int]] = {}
        for number in self.well():
            try:
                told = watches_by_path(self._address(number))
            except ConnectionEnded:
                # It has just lost its leader, and with it all connections and watches.
                continue
            for path, sessions in told.items():
                found[path] = found.get(path, frozenset()) | sessions
        return found

    def _close_observer(self) -> None:
        if self._observer:
            self._observer[1].close()
            self._observer = None

    def children(self, path: str) -> list[str] | None:
        """Names of the children of a znode after a sync; None if it is not there."""
        number = self.leader()
        if self._observer is None or self._observer[0] != number:
            self._close_observer()
            self._observer = number, Observer(self._address(number))
        return self._observer[1].children(path)

    def outsider(self) -> WireClient:
        """A client of nobody's, at the leader."""
        return WireClient(self._address(self.leader()))

    # --- Faults ---

    def end_session(self, session: int) -> None:
        """End a session as if it had timed out.

        Raises:
            LocalViolation: There is no such session.
        """
        deadline = time.monotonic() + _EXPIRY_PATIENCE
        while True:
            try:
                expire(self._address(self.leader()), session)
            except (ConnectionEnded, ToolFailed):
                # The leader is being elected, or the session's own client comes back again and
                # again at the same moment.
                if time.monotonic() > deadline:
                    raise
                time.sleep(_MOMENT)
            else:
                return

    def down(self) -> None:
        """Kill all servers, and keep clients away until they serve again."""
        for ways in self._all_ways:
            ways.refuse()
        for server in self.ensemble.servers.values():
            server.kill()
        self._take()

    def forget(self) -> None:
        """Remove all data of all servers, which are down."""
        for server in self.ensemble.servers.values():
            server.forget_data()
        self._begin_anew()

    def _begin_anew(self, survivors: frozenset[int] = frozenset()) -> None:
        """What was committed is lost; what comes is another incarnation."""
        self._survivors = survivors
        self._committed.begin_anew(without=survivors)
        self._book = SessionBook()
        self._unread = []

    def available(self, package: str) -> Availability:
        """Whether a fault package can be done here."""
        if package == _STOPS_A_PROCESS:
            # Contenders become processes in those examples in which one is to be stopped.
            return Availability(allowed=True)
        return package_of(package).available(self.target)

    def prepare(self, package: str, seat: int, server: str, random: Random) -> Trouble:
        """A fault of a package; nothing is broken yet.

        Raises:
            NothingToHit: There is nothing that it could be done to now.
        """
        if reason := self.available(package).reason:
            raise NothingToHit(reason)
        chosen = package_of(package)
        number = None
        if package in _OF_SERVERS:
            number = self._server_meant(server, seat, package)
            aim = Aim(server=number)
        else:
            aim = Aim(
                client=_client(seat), server=self._server_of(seat) if server == "theirs" else None
            )
        fault = chosen.prepare(self.target, aim, random)
        return _PackageTrouble(package, fault, self._cut_by(package, fault, seat))

    def _server_of(self, seat: int) -> int | None:
        """Number of the server that the client at a seat is connected to."""
        proxies = self._all_ways[seat].proxies
        return next((number for number, proxy in proxies.items() if proxy.sessions), None)

    def _server_meant(self, server: str, seat: int, package: str) -> int | None:
        number = None
        if server == "leads":
            number = self.leader()
        elif server == "theirs":
            number = self._server_of(seat)
        if package in _OF_FOLLOWERS and number == self.leader():
            return None
        return number

    def _cut_by(self, package: str, fault: Fault, seat: int) -> frozenset[int]:
        """Seats whose connections a fault ends at once."""
        if package in {"cut", "expire"}:
            return frozenset({seat})
        # Servers that have forgotten everything turn the clients away, so none is waited for.
        if package not in _ENDS_CONNECTIONS:
            return frozenset()
        hit = {getattr(fault, "number", 0), *getattr(fault, "numbers", ())}
        return frozenset(s for s in range(MOST_SHELLS) if self._server_of(s) in hit)

    def inject(self, trouble: Trouble, look: Callable[[], None]) -> None:
        """Inject a fault, and note which servers cannot be asked meanwhile."""
        fault = trouble.fault if isinstance(trouble, _PackageTrouble) else None
        if trouble.forgets:
            # Nobody may be told of anything that we do not read before it is lost.
            for ways in self._all_ways:
                ways.refuse()
            look()
        trouble.inject()
        if trouble.forgets:
            wiped = frozenset(getattr(fault, "numbers", ()))
            self._begin_anew(frozenset(self.ensemble.servers) - wiped)
            for ways in self._all_ways:
                ways.accept()
        if trouble.name in _CUTS_OFF:
            self.unwell = {getattr(fault, "number", 0)}

    def heal(self, trouble: Trouble) -> None:
        """End a fault.

        Raises:
            NotHealed: The servers do not recover in time.
        """
        trouble.heal()
        self.unwell.clear()
        if trouble.forgets:
            for number in self._survivors:
                self._committed.include(number)
            self._survivors = frozenset()

    def up(self) -> None:
        """Start all servers and let clients come."""
        self.ensemble.start()
        self.unwell.clear()
        for ways in self._all_ways:
            ways.accept()

    def recover(self) -> None:
        """Have all servers run, together, and wait until they serve."""
        for number in self._survivors:
            # It had data of the incarnation before, which an operator would remove by now.
            self.ensemble.servers[number].kill()
            self.ensemble.servers[number].forget_data()
            self._committed.include(number)
        self._survivors = frozenset()
        for server in self.ensemble.servers.values():
            if server.paused:
                server.resume()
            if not server.running:
                server.launch()
        self.ensemble.rejoin_all()
        self.unwell.clear()
        for server in self.ensemble.servers.values():
            server.wait_until_serving()
