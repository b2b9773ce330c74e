"""Faults of servers, of the ways between them, and of their data."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from keepstep.errors import LocalViolation, RemoteViolation
from keepstep.testing.faults.package import (
    Aim,
    Availability,
    Fault,
    FaultPackage,
    Proof,
    not_shown,
    shown,
)
from keepstep.testing.faults.target import NothingToHit, Target
from keepstep.testing.network.namespaces import why_no_namespaces
from keepstep.testing.servers.admin import four_letter_word, knock, monitor, zxid_of
from keepstep.testing.servers.ensemble import ZooKeeperServer
from keepstep.testing.servers.observer import Transaction

__all__ = ["SERVER_PACKAGES"]

_ANSWER = 0.3
_RESTARTED = 20.0
_STALE_READINGS = 20
_FEWEST_OF_A_QUORUM = 3
"""Servers of which one may be down while the others go on."""
_MILLISECONDS_ARE_ROUNDED = 0.002
"""Seconds by which two readings of a server's uptime may be too long or too short."""


def _pick(target: Target, aim: Aim, random: Random) -> int:
    """Number of a server that runs."""
    running = [target.number_of(server) for server in target.alive()]
    if aim.server is not None:
        if aim.server not in running:
            raise NothingToHit(f"server {aim.server} does not run")
        return aim.server
    if not running:
        raise NothingToHit("no server runs")
    return random.choice(running)


def _pick_follower(target: Target, aim: Aim, random: Random) -> int:
    leader = target.number_of(target.leader())
    followers = [n for n in target.servers if n != leader and target.servers[n] in target.alive()]
    if aim.server is not None and aim.server in followers:
        return aim.server
    if aim.server is not None or not followers:
        raise NothingToHit("there is no such follower now")
    return random.choice(followers)


def _needs_servers(target: Target, count: int) -> Availability:
    if len(target.servers) >= count:
        return Availability(allowed=True)
    reason = f"it needs at least {count} servers, here is {len(target.servers)}"
    return Availability(allowed=False, reason=reason)


def _needs_links(target: Target) -> Availability:
    enough = _needs_servers(target, _FEWEST_OF_A_QUORUM)
    if enough.allowed and not (target.ensemble and target.ensemble.linked):
        reason = "the ensemble was made without links=True: its servers share no proxies"
        return Availability(allowed=False, reason=reason)
    return enough


@dataclass(frozen=True, slots=True)
class _Age:
    """How old a server is, as it says (`mntr`).

    Attributes:
        uptime: Seconds since it began to serve; in an ensemble that begins anew with every
            election.
        counters: What its process has counted since it began, and never takes back.
        earliest: Time on our clock when it was asked.
        latest: Time when it had answered.
    """

    uptime: float
    counters: dict[str, int]
    earliest: float
    latest: float


def _age(server: ZooKeeperServer) -> _Age:
    earliest = time.monotonic()
    told = monitor(server.address)
    latest = time.monotonic()
    counters = {
        name: int(value)
        for name, value in told.items()
        if name.startswith(("cnt_", "looking_count")) and value.isdecimal()
    }
    if not told.get("uptime", "").isdecimal():
        raise RemoteViolation(f"{server.address} does not tell its uptime: it does not serve yet")
    return _Age(int(told["uptime"]) / 1000, counters, earliest, latest)


class _ServerFault(Fault):
    """A fault of one server."""

    def __init__(self, package: FaultPackage, target: Target, number: int) -> None:
        super().__init__(package, target, f"server {number}", [number])
        self.number = number
        self.server = target.servers[number]

    @property
    def proves_within(self) -> float:
        """Time for the others to notice and to elect a leader."""
        return 20.0

    def _led_by(self) -> ZooKeeperServer | str:
        """The one of the others that leads all of them, or what is missing until one does."""
        others = [server for server in self.target.alive() if server is not self.server]
        leaders = [server for server in others if server.mode() == "leader"]
        if len(leaders) != 1:
            return f"{len(leaders)} of the others lead"
        followed = monitor(leaders[0].address).get("synced_followers")
        if followed != str(len(self.target.servers) - 2):
            return f"their leader has {followed} followers"
        return leaders[0]


class _ServerPackage(FaultPackage):
    """A fault of one server, whichever it is."""

    heals_within = _RESTARTED
    fault: ClassVar[type[_ServerFault]]

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        return self.fault(self, target, _pick(target, aim, random))


class _QuorumPackage(FaultPackage):
    """A fault of one server that the others survive."""

    requires = "3 servers"
    heals_within = _RESTARTED

    def available(self, target: Target) -> Availability:
        """Whether there are enough servers."""
        return _needs_servers(target, _FEWEST_OF_A_QUORUM)


class _KillFault(_ServerFault):
    def _inject(self) -> None:
        self.server.kill()

    def _prove(self) -> Proof:
        asked = "its address; mntr of the others' leader"
        came = knock(self.server.address, _ANSWER)
        if came.outcome != "refused":
            return not_shown(f"its address is {came.outcome}", asked)
        told = "its address refuses connections"
        if len(self.target.servers) < _FEWEST_OF_A_QUORUM:
            return shown(told, asked)
        leader = self._led_by()
        if isinstance(leader, str):
            return not_shown(leader, asked)
        return shown(f"{told}; the others have a leader that it does not follow", asked)

    def _mend(self) -> None:
        if not self.server.running:
            self.server.launch()


class KillServer(_ServerPackage):
    """A server that crashes, and stays down for a while."""

    name = "kill-server"
    what = "Kills a server as a crash would; it comes back with its data."
    shown_by = "its address refuses; mntr of the others' leader: one follower less"
    lasts = (0.5, 4.0)
    fault = _KillFault


class _PauseServerFault(_ServerFault):
    def _inject(self) -> None:
        self.server.pause()

    def _prove(self) -> Proof:
        # Three times, because a busy machine may keep any server from answering once.
        asked = "its address, three times"
        outcomes = {knock(self.server.address, _ANSWER).outcome for _ in range(3)}
        told = f"its address is {' and '.join(sorted(outcomes))}"
        return shown(told, asked) if outcomes == {"silent"} else not_shown(told, asked)

    def _mend(self) -> None:
        self.server.resume()


class PauseServer(_ServerPackage):
    """A server that stands still, as under a long garbage collection."""

    name = "pause-server"
    what = "Stops a server's process; the kernel still accepts connections in its name."
    shown_by = "its address accepts connections and is silent"
    lasts = (0.5, 4.0)
    fault = _PauseServerFault


class _RestartFault(_ServerFault):
    def __init__(self, package: FaultPackage, target: Target, number: int) -> None:
        super().__init__(package, target, number)
        self._before = _age(self.server)

    def _inject(self) -> None:
        self.server.kill()
        self.server.launch()

    def _prove(self) -> Proof:
        asked = "mntr: its uptime, and what its process counts"
        before, now = self._before, _age(self.server)
        # The least that it can be, however long the questions were under way.
        expected = before.uptime + now.earliest - before.latest - _MILLISECONDS_ARE_ROUNDED
        told = f"it has served for {now.uptime:.2f} s; without a restart for {expected:.2f} s"
        if now.uptime >= expected:
            return not_shown(told, asked)
        if len(self.target.servers) > 1:
            back = [n for n, count in before.counters.items() if now.counters.get(n, 0) < count]
            if not back:
                return not_shown(f"{told}; but its process goes on counting", asked)
            told += f"; its process counts {', '.join(back[:2])} anew"
        return shown(told, asked)


class RestartServer(_ServerPackage):
    """A server that crashes and comes back at once."""

    name = "restart-server"
    what = "Kills a server and starts it again at once, with its data."
    shown_by = "mntr: its uptime and the counters of its process begin anew"
    lasts = (0.0, 1.0)
    fault = _RestartFault


class _KillLeaderFault(_KillFault):
    def __init__(self, package: FaultPackage, target: Target) -> None:
        leader = target.leader()
        super().__init__(package, target, target.number_of(leader))
        self.victim = f"server {self.number}, which leads"
        self._epoch = zxid_of(leader.address) >> 32

    def _prove(self) -> Proof:
        asked = "its address; srvr of the others: who leads, and the epoch in its zxid"
        came = knock(self.server.address, _ANSWER)
        if came.outcome != "refused":
            return not_shown(f"its address is {came.outcome}", asked)
        for server in self.target.alive():
            if server is self.server or server.mode() != "leader":
                continue
            epoch = zxid_of(server.address) >> 32
            told = (
                f"server {self.target.number_of(server)} leads in epoch {epoch}; "
                f"server {self.number} led in epoch {self._epoch}"
            )
            return shown(told, asked) if epoch > self._epoch else not_shown(told, asked)
        return not_shown("none of the others leads", asked)


class KillLeader(_QuorumPackage):
    """The leader of the ensemble crashes; the others elect another one."""

    name = "kill-leader"
    what = "Kills the server that leads; the others elect another one. It comes back and follows."
    shown_by = "its address refuses; srvr of the others: one of them leads, in a higher epoch"
    lasts = (1.0, 4.0)

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        del aim, random
        return _KillLeaderFault(self, target)


class _LagFault(_ServerFault):
    def __init__(self, package: FaultPackage, target: Target, number: int, seconds: float) -> None:
        super().__init__(package, target, number)
        self._seconds = seconds
        self._leader = target.number_of(target.leader())
        self.victim = f"server {number}, {seconds:g} s behind its leader"

    def _delay(self, seconds: float) -> None:
        if self.target.ensemble is None:
            raise LocalViolation("a server that is alone lags behind nobody")
        self.target.ensemble.delay(self.number, self._leader, seconds)

    def _inject(self) -> None:
        self._delay(self._seconds)

    def _prove(self) -> Proof:
        asked = "srvr of the leader and of the follower: their zxids"
        # Twice, because a busy machine may let any follower lag once.
        told = []
        for _ in range(2):
            written = self.target.write_something()
            behind = self._behind(written, self._seconds * 0.6)
            if behind is None:
                return not_shown(f"the follower has 0x{written:x}, as its leader has", asked)
            told.append(f"the leader had 0x{written:x}, the follower still 0x{behind:x}")
        return shown("; ".join(told), asked)

    def _behind(self, written: int, seconds: float) -> int | None:
        """The follower's zxid after some time without a transaction; None if it gets it before."""
        until = time.monotonic() + seconds
        while (seen := zxid_of(self.server.address)) < written:
            if time.monotonic() > until:
                return seen
            time.sleep(seconds / _STALE_READINGS)
        return None

    def _mend(self) -> None:
        self._delay(0.0)

    def _unhealed(self) -> str:
        if reason := self.target.healthy():
            return reason
        behind = self._behind(self.target.write_something(), self._seconds / 2)
        return "" if behind is None else f"server {self.number} still lags, at 0x{behind:x}"


class LagFollower(FaultPackage):
    """A follower that serves old data."""

    name = "lag-follower"
    what = "Lets a follower hear its leader late (strength: seconds), so that it serves old data."
    shown_by = "srvr: the follower's zxid stays behind a transaction that the leader has decided"
    requires = "3 servers, links=True"
    heals_within = 10.0
    lasts = (1.0, 4.0)

    def available(self, target: Target) -> Availability:
        """Whether there are enough servers, with proxies between them."""
        return _needs_links(target)

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        settings = target.leader().settings
        # A follower whose acknowledgements take longer than this is dropped by its leader.
        most = settings.sync_limit * settings.tick
        seconds = aim.strength or 0.3 * most
        if not 0 < 2 * seconds < most:
            raise LocalViolation(
                f"a lag of {seconds:g} s costs the follower its leader; less than {most / 2:g} s"
            )
        return _LagFault(self, target, _pick_follower(target, aim, random), seconds)


class _SeparateFault(_ServerFault):
    def __init__(self, package: FaultPackage, target: Target, number: int) -> None:
        super().__init__(package, target, number)
        leader = target.leader()
        self._led = leader is self.server
        self._epoch = zxid_of(leader.address) >> 32
        self.victim = f"server {number}{', which leads,' if self._led else ''} and the others"

    def _each(self) -> list[int]:
        return [number for number in self.target.servers if number != self.number]

    def _inject(self) -> None:
        ensemble = self.target.ensemble
        if ensemble is None:
            raise LocalViolation("a server that is alone cannot be separated from others")
        for number in self._each():
            ensemble.separate(self.number, number)

    def _prove(self) -> Proof:
        asked = "srvr of all servers; mntr of the others' leader"
        told = four_letter_word(self.server.address, "srvr", 1.0)
        if "not currently serving" not in told:
            return not_shown("the separated server still serves", asked)
        leader = self._led_by()
        if isinstance(leader, str):
            return not_shown(leader, asked)
        epoch = zxid_of(leader.address) >> 32
        if self._led and epoch <= self._epoch:
            return not_shown(f"the others are still in epoch {epoch}", asked)
        return shown(
            f"server {self.number} runs and does not serve; the others have a leader in epoch "
            f"{epoch}, before it was {self._epoch}",
            asked,
        )

    def _mend(self) -> None:
        ensemble = self.target.ensemble
        if ensemble:
            for number in self._each():
                ensemble.rejoin(self.number, number)


class PartitionServers(FaultPackage):
    """One server, often the leader, and the others do not hear each other."""

    name = "partition-servers"
    what = "Lets no byte pass between one server, often the leader, and all the others."
    shown_by = "srvr: it runs and does not serve; the others have a leader without it"
    requires = "3 servers, links=True"
    heals_within = 30.0
    lasts = (2.0, 6.0)

    def available(self, target: Target) -> Availability:
        """Whether there are enough servers, with proxies between them."""
        return _needs_links(target)

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        if aim.server is None and random.random() < 0.5:
            return _SeparateFault(self, target, target.number_of(target.leader()))
        return _SeparateFault(self, target, _pick(target, aim, random))


class PartitionServersKernel(PartitionServers):
    """As `partition-servers`, by the kernel: each server in a network namespace of its own."""

    name = "partition-servers-kernel"
    what = "Lets the kernel lose every packet between one server, often the leader, and the others."
    requires = "3 servers in network namespaces: `unshare -Urn`, and Network"

    def available(self, target: Target) -> Availability:
        """Whether the servers have networks of their own, and if not, whether they could."""
        enough = _needs_servers(target, _FEWEST_OF_A_QUORUM)
        if not enough.allowed or (target.ensemble and target.ensemble.network):
            return enough
        reason = why_no_namespaces() or "the ensemble was made without network=Network(...)"
        return Availability(allowed=False, reason=reason)


class _DataFault(Fault):
    """Data that servers had and have no more."""

    def __init__(self, package: FaultPackage, target: Target, numbers: list[int]) -> None:
        names = ", ".join(map(str, numbers))
        super().__init__(package, target, f"the data of {_servers(numbers)} {names}", numbers)
        self.numbers = numbers
        self._noted: dict[int, Transaction] = {}
        self._snapshots: dict[int, frozenset[tuple[str, int]]] = {}
        target.write_something()
        for number in numbers:
            log = target.log(target.servers[number])
            if not log:
                raise NothingToHit(f"server {number} has no data yet")
            self._noted[number] = log[-1]
            self._snapshots[number] = _snapshots(target.servers[number])

    @property
    def proves_within(self) -> float:
        """Time for those that were wiped to serve."""
        return 30.0

    def _lost(self) -> str:
        """Which server still has what it had; empty if none."""
        for number, entry in self._noted.items():
            if entry in self.target.log(self.target.servers[number], entry.zxid - 1):
                return f"server {number} has transaction 0x{entry.zxid:x}, as before"
            if self._snapshots[number] & _snapshots(self.target.servers[number]):
                return f"server {number} has a snapshot, as before"
        return ""


def _snapshots(server: ZooKeeperServer) -> frozenset[tuple[str, int]]:
    """Names of a server's snapshots, and when each was written; nothing is added to one."""
    found = server.data_directory.glob("snapshot.*")
    return frozenset((path.name, path.stat().st_mtime_ns) for path in found)


def _servers(numbers: list[int]) -> str:
    return "server" if len(numbers) == 1 else "servers"


class _LoseOneFault(_DataFault):
    def _inject(self) -> None:
        for number in self.numbers:
            self.target.servers[number].kill()
            self.target.servers[number].forget_data()

    def _prove(self) -> Proof:
        asked = "its address; its transaction logs"
        if kept := self._lost():
            return not_shown(kept, asked)
        for number in self.numbers:
            came = knock(self.target.servers[number].address, _ANSWER)
            if came.outcome != "refused":
                return not_shown(f"server {number} is {came.outcome}", asked)
        entry = self._noted[self.numbers[0]]
        told = f"its logs no longer hold transaction 0x{entry.zxid:x}, and it is down"
        return shown(told, asked)

    def _mend(self) -> None:
        for number in self.numbers:
            if not self.target.servers[number].running:
                self.target.servers[number].launch()


class LoseDataOfOne(_QuorumPackage):
    """A follower whose disk was lost; it gets everything from its leader again."""

    name = "lose-data-of-one"
    what = "Kills a follower and removes its data; it comes back empty and is filled by its leader."
    shown_by = "its logs lack what they held, its snapshots are gone; its address refuses"
    lasts = (0.5, 3.0)

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        return _LoseOneFault(self, target, [_pick_follower(target, aim, random)])


class _LoseMajorityFault(_DataFault):
    def _inject(self) -> None:
        servers = self.target.servers
        for server in servers.values():
            server.kill()
        for number in self.numbers:
            servers[number].forget_data()
        # They begin without the survivors, and so find nothing.
        for number in self.numbers:
            servers[number].launch()
        for number in self.numbers:
            servers[number].wait_until_serving()

    def _prove(self) -> Proof:
        asked = "transaction logs and srvr of the servers that serve"
        if kept := self._lost():
            return not_shown(kept, asked)
        leader = self.target.leader()
        entry = next(iter(self._noted.values()))
        if entry in self.target.log(leader, entry.zxid - 1):
            return not_shown(f"the leader has transaction 0x{entry.zxid:x}, as before", asked)
        nodes = monitor(leader.address).get("znode_count")
        told = (
            f"server {self.target.number_of(leader)} leads, at 0x{zxid_of(leader.address):x} with "
            f"{nodes} znodes; no transaction 0x{entry.zxid:x} as before is in any log"
        )
        return shown(told, asked)

    def _mend(self) -> None:
        # What the survivors remember is of the ensemble before. They would refuse to follow a
        # leader of a lower epoch, or cut their logs at its newest zxid and keep what is before;
        # and as soon as a crash lets them lead, what was lost would be there again. So an
        # operator removes their data, too.
        for number, server in self.target.servers.items():
            if not server.running:
                if number not in self.numbers:
                    server.forget_data()
                server.launch()


class LoseDataOfMajority(FaultPackage):
    """A majority whose disks were lost: a new, empty ZooKeeper, another incarnation."""

    name = "lose-data-of-majority"
    what = "Removes the data of a majority (of a lone server: its data): all that was, is gone."
    shown_by = "logs lack what they held, snapshots are gone; the leader's log lacks it too"
    heals_within = 30.0
    lasts = (0.0, 1.0)

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        del aim
        numbers = sorted(random.sample(sorted(target.servers), len(target.servers) // 2 + 1))
        if len(target.alive()) != len(target.servers):
            raise NothingToHit("not all servers run now")
        return _LoseMajorityFault(self, target, numbers)


SERVER_PACKAGES: tuple[FaultPackage, ...] = (
    KillServer(),
    PauseServer(),
    RestartServer(),
    KillLeader(),
    LagFollower(),
    PartitionServers(),
    PartitionServersKernel(),
    LoseDataOfOne(),
    LoseDataOfMajority(),
)
"""The packages of this module."""
