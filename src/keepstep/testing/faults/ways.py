"""Faults of the ways between one client and the servers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from random import Random
from typing import ClassVar

from keepstep.errors import LocalViolation
from keepstep.testing.faults.package import (
    Aim,
    Availability,
    Fault,
    FaultPackage,
    Proof,
    not_shown,
    shown,
)
from keepstep.testing.faults.target import ClientWays, NothingToHit, Target
from keepstep.testing.network.proxy import FaultProxy, PlannedFault, Traffic
from keepstep.testing.servers.admin import knock, zxid_of
from keepstep.testing.servers.observer import Transaction

__all__ = ["WAY_PACKAGES", "needs_proxies", "why_ways_unhealed"]

_ANSWER = 0.3
"""Seconds within which a server answers whose way is open."""
_PAYLOAD = 4096
"""Bytes with which a narrow way is tried."""


def why_ways_unhealed(client: ClientWays) -> str:
    """Why not every server answers a client in time; empty if all do."""
    for number, proxy in client.proxies.items():
        came = knock(proxy.address, 1.0)
        if not came.answered:
            return f"the way of {client.name} to server {number} is {came.outcome}"
        if came.seconds > _ANSWER:
            return f"server {number} took {came.seconds:.2f} s to answer {client.name}"
    return ""


def needs_proxies(target: Target) -> Availability:
    """Whether there is a client with proxies."""
    if any(client.proxies for client in target.clients.values()):
        return Availability(allowed=True)
    return Availability(allowed=False, reason="no client of the target has proxies")


class _WayFault(Fault):
    """A fault of a client's ways to servers.

    Args:
        package: What makes it.
        target: What it is done to.
        client: Whose ways.
        numbers: The servers whose ways it hits; all by default.
    """

    def __init__(
        self,
        package: FaultPackage,
        target: Target,
        client: ClientWays,
        numbers: Iterable[int] = (),
    ) -> None:
        some = sorted(numbers)
        to = f"'s ways to {', '.join(map(str, some))}" if some else ""
        super().__init__(package, target, f"client {client.name}{to}", some)
        self.client = client
        self.proxies = {number: client.proxies[number] for number in some or client.proxies}

    @abstractmethod
    def _break(self, proxy: FaultProxy) -> None:
        """Do it to one way."""

    def _restore(self, proxy: FaultProxy) -> None:
        """Undo it for one way; nothing by default."""

    def _inject(self) -> None:
        for proxy in self.proxies.values():
            self._break(proxy)

    def _mend(self) -> None:
        for proxy in self.proxies.values():
            self._restore(proxy)

    def _unhealed(self) -> str:
        return why_ways_unhealed(self.client)


class WayPackage(FaultPackage):
    """A fault of the ways between one client and the servers."""

    requires = "a client with proxies"
    heals_within = 2.0
    fault: ClassVar[type[_WayFault]]

    def available(self, target: Target) -> Availability:
        """Whether there is a client with proxies."""
        return needs_proxies(target)

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        client = target.client(aim.client, random)
        if not client.proxies:
            raise NothingToHit(f"client {client.name!r} has no proxies")
        if aim.server is not None and aim.server not in client.proxies:
            raise NothingToHit(f"client {client.name!r} has no way to server {aim.server}")
        return self._fault(target, client, aim, random)

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        """The fault of this client; by default of all its ways, with no choice."""
        del aim, random
        return self.fault(self, target, client)


# --- Connections that end ---


class _CutFault(_WayFault):
    def __init__(self, package: FaultPackage, target: Target, client: ClientWays) -> None:
        super().__init__(package, target, client)
        self._before = target.sessions_of(client)
        if not self._before:
            raise NothingToHit(f"client {client.name!r} has no connection now")

    def _break(self, proxy: FaultProxy) -> None:
        proxy.cut()

    def _prove(self) -> Proof:
        asked = "cons of each server, dump"
        told = self.target.connections()
        for seen in self._before:
            if seen.server not in told:
                return not_shown(f"server {seen.server} does not answer", asked)
            if any(connection.peer == seen.peer for connection in told[seen.server]):
                return not_shown(f"server {seen.server} still holds it, from {seen.peer}", asked)
        # The connection of a session that ended is gone too; that is another fault.
        alive = self.target.sessions().alive
        sessions = ", ".join(f"0x{seen.session:x}" for seen in self._before)
        if not all(seen.session in alive for seen in self._before):
            return not_shown(f"not all of these sessions live: {sessions}", asked)
        return shown(f"no server holds the connections any more that carried {sessions}", asked)


class Cut(WayPackage):
    """A connection that is reset; the session lives on."""

    name = "cut"
    what = "Resets a client's connections; new ones are accepted at once."
    shown_by = "cons: the connection that carried the session is gone; dump: the session lives"
    lasts = (0.0, 0.5)
    fault = _CutFault


class _LostFault(_WayFault):
    """A request or its reply, lost with the connection."""

    reply: ClassVar[bool]

    def __init__(self, package: FaultPackage, target: Target, client: ClientWays) -> None:
        super().__init__(package, target, client)
        self._before = zxid_of(target.leader().address)
        self._planned: dict[FaultProxy, PlannedFault] = {}

    def _break(self, proxy: FaultProxy) -> None:
        plan = proxy.drop_next_reply if self.reply else proxy.drop_next_request
        self._planned[proxy] = plan()

    def _restore(self, proxy: FaultProxy) -> None:
        proxy.cancel_planned()

    @property
    def proves_within(self) -> float:
        """Time for the client to write something."""
        return 10.0

    def _prove(self) -> Proof:
        # Which request it was is what the proxy names; what became of it the server tells.
        asked = "the transaction log, and cons of the server"
        planned = {n: self._planned[p] for n, p in self.proxies.items() if p in self._planned}
        struck = [(number, plan.effect) for number, plan in planned.items() if plan.effect]
        if not struck:
            return not_shown("no write came", asked)
        for plan in planned.values():
            plan.cancel()
        number, effect = struck[0]
        request, peer = effect.request, effect.peer
        if request is None or peer is None:
            return not_shown("the proxy names no request", asked)
        held = self.target.connections().get(number)
        if held is None or any(connection.peer == peer for connection in held):
            return not_shown(f"server {number} holds the connection, or does not answer", asked)
        said = f"request {request.xid} of session 0x{request.session:x}"
        logged = self._logged(number, request)
        if bool(logged) != self.reply:
            return not_shown(f"{said} is {'in' if logged else 'not in'} the log", asked)
        fate = "is not in the log"
        if logged:
            outcome = "applied" if logged[0].applied else f"refused ({logged[0].error})"
            fate = f"was {outcome} as 0x{logged[0].zxid:x}"
        return shown(f"{said} {fate}; its connection {peer} is gone", asked)

    def _logged(self, number: int, request: Traffic) -> list[Transaction]:
        """What the leader's log has of a request to a server."""
        # What has reached the server comes before this; without it the log might be too young.
        self.target.write_something(self.target.servers[number])
        log = self.target.log(self.target.leader(), self._before)
        return [
            entry
            for entry in log
            if (entry.session, entry.xid) == (request.session, request.xid)
            and (not entry.applied or _names(entry, request.paths))
        ]


def _names(entry: Transaction, paths: tuple[str, ...]) -> bool:
    """Whether it is about one of these paths; a sequential znode's got digits appended."""
    return any(change.path.startswith(path) for change in entry.changes for path in paths)


class _LostRequestFault(_LostFault):
    reply = False


class _LostReplyFault(_LostFault):
    reply = True


class LostRequest(WayPackage):
    """A write that never reaches the server."""

    name = "lost-request"
    what = "Loses a client's next write before the server sees it, and cuts the connection."
    shown_by = "the log has no such request; cons: its connection is gone"
    lasts = (1.0, 4.0)
    fault = _LostRequestFault


class LostReply(WayPackage):
    """A write that is applied, and whose answer never arrives."""

    name = "lost-reply"
    what = "Lets a client's next write be decided, loses the answer, and cuts the connection."
    shown_by = "the log has the request; cons: its connection is gone"
    lasts = (1.0, 4.0)
    fault = _LostReplyFault


# --- Ways that are slow ---


class _SlowFault(_WayFault):
    """A way that takes its time; the servers' answers show it.

    Args:
        package: What makes it.
        target: What it is done to.
        client: Whose ways.
        slowness: Seconds that an answer takes at least.
        size: Bytes of the question.
    """

    def __init__(
        self, package: FaultPackage, target: Target, client: ClientWays, slowness: float, size: int
    ) -> None:
        super().__init__(package, target, client)
        self._slowness = slowness
        self._size = size

    @property
    def proves_within(self) -> float:
        """Time for a few questions."""
        return 3.0 + 8 * self._slowness

    def _prove(self) -> Proof:
        asked = f"the answers to {self._size} bytes, directly and on the client's ways"
        said = []
        for number, proxy in self.proxies.items():
            direct = knock(self.target.servers[number].address, 1.0, self._size)
            if not direct.answered:
                continue
            # The quicker of two, because a busy machine may keep any answer back once.
            ways = [knock(proxy.address, 2 + 2 * self._slowness, self._size) for _ in range(2)]
            way = min(ways, key=lambda each: each.seconds)
            told = (
                f"server {number}: {direct.seconds:.3f} s directly, "
                f"{way.seconds:.3f} s on the client's way, {way.outcome}"
            )
            if not way.answered or not direct.seconds < self._slowness <= way.seconds:
                return not_shown(told, asked)
            said.append(told)
        return shown("; ".join(said), asked) if said else not_shown("no server answers", asked)


class _DelayFault(_SlowFault):
    def __init__(
        self, package: FaultPackage, target: Target, client: ClientWays, seconds: float
    ) -> None:
        # The question is late, and so is the answer.
        super().__init__(package, target, client, 2 * seconds, 16)
        self._seconds = seconds

    def _break(self, proxy: FaultProxy) -> None:
        proxy.delay(self._seconds)

    def _restore(self, proxy: FaultProxy) -> None:
        proxy.delay(0.0)


class Delay(WayPackage):
    """A slow way."""

    name = "delay"
    what = "Lets every packet of a client take longer, in both directions (strength: seconds)."
    shown_by = "a server's answer on the client's way takes twice the delay, directly it does not"

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        seconds = _strength(aim, random, (0.1, 0.2, 0.4))
        return _DelayFault(self, target, client, seconds)


class _ThrottleFault(_SlowFault):
    def __init__(
        self, package: FaultPackage, target: Target, client: ClientWays, rate: float
    ) -> None:
        super().__init__(package, target, client, _PAYLOAD / rate, _PAYLOAD)
        self._rate = rate

    def _break(self, proxy: FaultProxy) -> None:
        proxy.throttle(self._rate)

    def _restore(self, proxy: FaultProxy) -> None:
        proxy.throttle(0.0)


class Throttle(WayPackage):
    """A narrow way."""

    name = "throttle"
    what = "Lets only so many bytes a second of a client pass (strength: bytes in a second)."
    shown_by = "a server's answer to 4 KiB on the client's way takes as long as the bytes do"

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        rate = _strength(aim, random, (4096.0, 8192.0))
        return _ThrottleFault(self, target, client, rate)


def _strength(aim: Aim, random: Random, usual: tuple[float, ...]) -> float:
    if aim.strength is None:
        return random.choice(usual)
    if not 0 < aim.strength < float("inf"):
        raise LocalViolation(f"a strength is a number above 0, not {aim.strength}")
    return aim.strength


# --- Ways that lead nowhere ---


class _PartitionFault(_WayFault):
    """No byte passes on some of a client's ways, and nothing is closed."""

    def _break(self, proxy: FaultProxy) -> None:
        proxy.hold()

    def _restore(self, proxy: FaultProxy) -> None:
        proxy.release()

    def _prove(self) -> Proof:
        asked = "the answers directly and on the client's ways; cons of the servers"
        before = {s.peer: s for s in self.target.sessions_of(self.client)}
        said = []
        for number, proxy in self.proxies.items():
            # Directly before and after, because a busy machine may keep any answer back once.
            direct = knock(self.target.servers[number].address, 1.0)
            way = knock(proxy.address, max(_ANSWER, 4 * direct.seconds))
            again = knock(self.target.servers[number].address, _ANSWER)
            if not direct.answered or not again.answered:
                continue
            told = f"server {number} answers directly; on the client's way it is {way.outcome}"
            if way.outcome != "silent":
                return not_shown(told, asked)
            said.append(told)
        for seen in self.target.sessions_of(self.client):
            earlier = before.get(seen.peer)
            if seen.server in self.proxies and earlier and seen.received != earlier.received:
                told = f"server {seen.server} still receives from 0x{seen.session:x}"
                return not_shown(told, asked)
        return shown("; ".join(said), asked) if said else not_shown("no server answers", asked)


class PartitionClients(WayPackage):
    """A client that some or all of the servers do not hear, and that does not hear them."""

    name = "partition-clients"
    what = "Lets no byte pass between a client and some or all servers; nothing is closed."
    shown_by = "servers answer directly, are silent on the client's way, and receive nothing there"

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        numbers: set[int] = set()
        if aim.server is not None:
            numbers = {aim.server}
        elif len(client.proxies) > 1 and random.random() < 0.5:
            # Of some servers: those where the client is, or it would not notice.
            numbers = {seen.server for seen in target.sessions_of(client)}
        return _PartitionFault(self, target, client, numbers or client.proxies)


class _BlackholeFault(_WayFault):
    def _break(self, proxy: FaultProxy) -> None:
        proxy.blackhole()

    def _restore(self, proxy: FaultProxy) -> None:
        proxy.accept()

    def _prove(self) -> Proof:
        asked = "the answers directly and on the client's ways; cons of the servers"
        held = [s for s in self.target.sessions_of(self.client) if s.server in self.proxies]
        if held:
            return not_shown(f"server {held[0].server} holds a connection of the client", asked)
        said = []
        for number, proxy in self.proxies.items():
            direct = knock(self.target.servers[number].address, 1.0)
            way = knock(proxy.address, _ANSWER)
            told = f"server {number}: {direct.outcome} directly, {way.outcome} on the client's way"
            if not direct.answered or way.outcome != "unreached":
                return not_shown(told, asked)
            said.append(told)
        return shown("; ".join(said), asked)


class BlackholeHost(WayPackage):
    """An address in a client's list where nobody answers, not even with a refusal."""

    name = "blackhole-host"
    what = "Makes one address of a client's list hang: connecting neither succeeds nor fails."
    shown_by = "the server answers directly; at the client's address connecting runs out of time"
    requires = "a client with proxies; a kernel that drops what a full queue cannot take (Linux)"

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        number = aim.server if aim.server is not None else random.choice(sorted(client.proxies))
        return _BlackholeFault(self, target, client, [number])


WAY_PACKAGES: tuple[FaultPackage, ...] = (
    Cut(),
    LostRequest(),
    LostReply(),
    Delay(),
    Throttle(),
    PartitionClients(),
    BlackholeHost(),
)
"""The packages of this module."""
