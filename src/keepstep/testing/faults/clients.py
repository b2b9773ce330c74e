"""Faults of sessions and of the ways between clients and servers."""

from __future__ import annotations

import time
from abc import abstractmethod
from random import Random

import psutil

from keepstep.errors import LocalViolation
from keepstep.testing.admin import expire, knock, zxid_of
from keepstep.testing.faults.package import (
    Aim,
    Availability,
    Fault,
    FaultPackage,
    Proof,
    not_shown,
    shown,
)
from keepstep.testing.faults.target import ClientWays, NothingToHit, SessionSeen, Target
from keepstep.testing.observer import Transaction
from keepstep.testing.proxy import PlannedFault
from keepstep.testing.wire import Opcode

__all__ = ["CLIENT_PACKAGES"]

_ANSWER = 0.3
_PAYLOAD = 4096


def _session(session: int) -> str:
    return f"0x{session:x}"


class _SessionFault(Fault):
    """A fault of one session, of which the transaction log tells."""

    def __init__(
        self, package: FaultPackage, target: Target, session: int, client: ClientWays | None
    ) -> None:
        name = f" of {client.name}" if client else ""
        super().__init__(package, target, f"session {_session(session)}{name}")
        self.session = session
        self.client = client
        self._before = zxid_of(target.leader().address)

    def _end_of_session(self) -> Transaction | None:
        """The transaction that ended the session, from the leader's log."""
        log = self.target.log(self.target.leader(), self._before)
        ends = (e for e in log if e.session == self.session and e.kind == Opcode.CLOSE_SESSION)
        return next(ends, None)

    def _proof_of_end(self, *, by_the_server: bool) -> Proof:
        asked = "the leader's transaction log and dump"
        end = self._end_of_session()
        alive = self.session in self.target.sessions().alive
        if end is None or alive:
            state = "is alive" if alive else "is unknown, and no transaction ended it"
            return not_shown(f"the session {state}", asked)
        # A client's request carries its number; the server's own decision carries 0.
        own = end.xid == 0
        who = "the server itself" if own else f"request {end.xid} of a client"
        told = f"transaction 0x{end.zxid:x}, of {who}, ended the session; dump does not list it"
        return shown(told, asked) if own == by_the_server else not_shown(told, asked)


def _pick_session(
    target: Target, aim: Aim, random: Random
) -> tuple[SessionSeen | None, int, ClientWays | None]:
    """The session to hit: the one named, or one of the clients."""
    if aim.session is not None:
        return None, aim.session, target.clients.get(aim.client or "")
    client = target.client(aim.client, random)
    seen = target.sessions_of(client)
    if not seen:
        raise NothingToHit(f"client {client.name!r} has no session now")
    chosen = random.choice(seen)
    return chosen, chosen.session, client


class _ForcedExpiry(_SessionFault):
    def _inject(self) -> None:
        leader = self.target.leader().address
        try:
            expire(leader, self.session, leader)
        except LocalViolation as reason:
            # It ended by itself after it was chosen.
            raise NothingToHit(str(reason)) from reason

    def _prove(self) -> Proof:
        return self._proof_of_end(by_the_server=False)


class Expire(FaultPackage):
    """Any session, ended at once, whatever its client believes."""

    name = "expire"
    what = "Ends any session at once: it is taken over with the password that follows from its id."
    shown_by = "the closeSession in the leader's log, by a client's request; dump lacks the session"
    heals_within = 2.0
    lasts = (0.0, 0.5)

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        alive = target.sessions().alive
        if aim.session is None and aim.client is None and not target.clients:
            # Nobody said which clients there are, so any session will do.
            known = sorted(alive - target.left_alone)
            if not known:
                raise NothingToHit("there is no session now")
            return _ForcedExpiry(self, target, random.choice(known), None)
        _, session, client = _pick_session(target, aim, random)
        if session not in alive:
            raise NothingToHit(f"session {_session(session)} is not alive")
        return _ForcedExpiry(self, target, session, client)


def _ways_unhealed(client: ClientWays, allowed: float) -> str:
    for number, proxy in client.proxies.items():
        came = knock(proxy.address, 1.0)
        if not came.answered:
            return f"the way of {client.name} to server {number} is {came.outcome}"
        if came.seconds > allowed:
            return f"server {number} took {came.seconds:.2f} s to answer {client.name}"
    return ""


class _WayFault(Fault):
    """A fault of one client's ways to the servers."""

    def __init__(self, package: FaultPackage, target: Target, client: ClientWays) -> None:
        super().__init__(package, target, f"client {client.name}")
        self.client = client

    def _mend(self) -> None:
        for proxy in self.client.proxies.values():
            proxy.heal()

    def _unhealed(self) -> str:
        return _ways_unhealed(self.client, _ANSWER)


class _SilentUntilExpiry(_SessionFault):
    def __init__(
        self, package: FaultPackage, target: Target, seen: SessionSeen, client: ClientWays
    ) -> None:
        super().__init__(package, target, seen.session, client)
        self._ways = client
        self._timeout = seen.timeout

    @property
    def proves_within(self) -> float:
        """The session's timeout, what it is rounded up by, and time to look."""
        return self._timeout + 5.0

    def _inject(self) -> None:
        for proxy in self._ways.proxies.values():
            proxy.hold()

    def _prove(self) -> Proof:
        return self._proof_of_end(by_the_server=True)

    def _mend(self) -> None:
        for proxy in self._ways.proxies.values():
            proxy.release()

    def _unhealed(self) -> str:
        return _ways_unhealed(self._ways, _ANSWER)


class NaturalExpiry(FaultPackage):
    """A session that times out because its client is not heard any more."""

    name = "natural-expiry"
    what = "Holds all that a client sends until the server ends its session of its own accord."
    shown_by = "the closeSession in the leader's log, by the server itself; dump lacks the session"
    requires = "a client with proxies"
    heals_within = 2.0
    lasts = (0.0, 1.0)

    def available(self, target: Target) -> Availability:
        """Whether there is a client with proxies."""
        return _needs_clients(target)

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        seen, _, client = _pick_session(target, Aim(client=aim.client), random)
        if seen is None or client is None:
            raise NothingToHit("no client has a session now")
        return _SilentUntilExpiry(self, target, seen, client)


def _needs_clients(target: Target) -> Availability:
    if any(client.proxies for client in target.clients.values()):
        return Availability(allowed=True)
    return Availability(allowed=False, reason="no client of the target has proxies")


class WayPackage(FaultPackage):
    """A fault of the ways between one client and the servers."""

    requires = "a client with proxies"
    heals_within = 2.0

    def available(self, target: Target) -> Availability:
        """Whether there is a client with proxies."""
        return _needs_clients(target)

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        return self._fault(target, target.client(aim.client, random), aim, random)

    @abstractmethod
    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        """The fault of this client."""


class _CutFault(_WayFault):
    def __init__(self, package: FaultPackage, target: Target, client: ClientWays) -> None:
        super().__init__(package, target, client)
        self._before = target.sessions_of(client)
        if not self._before:
            raise NothingToHit(f"client {client.name!r} has no connection now")

    def _inject(self) -> None:
        for proxy in self.client.proxies.values():
            proxy.cut()

    def _prove(self) -> Proof:
        told = self.target.connections()
        left = [
            f"server {seen.server} still holds {_session(seen.session)} from {seen.peer}"
            for seen in self._before
            if any(c.peer == seen.peer for c in told.get(seen.server, ()))
            or seen.server not in told
        ]
        sessions = ", ".join(_session(seen.session) for seen in self._before)
        gone = f"no server holds the connections any more that carried {sessions}"
        asked = "cons of each server"
        return not_shown("; ".join(left), asked) if left else shown(gone, asked)


class Cut(WayPackage):
    """A connection that is reset; the session lives on."""

    name = "cut"
    what = "Resets a client's connections; new ones are accepted at once."
    shown_by = "cons: the connection that carried the session is gone"
    lasts = (0.0, 0.5)

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        del aim, random
        return _CutFault(self, target, client)


def _names(entry: Transaction, paths: tuple[str, ...]) -> bool:
    """Whether it is about one of these paths; a sequential znode's got digits appended."""
    return any(change.path.startswith(path) for change in entry.changes for path in paths)


class _LostFault(_WayFault):
    """A request or its reply, lost with the connection."""

    def __init__(
        self, package: FaultPackage, target: Target, client: ClientWays, *, reply: bool
    ) -> None:
        super().__init__(package, target, client)
        self._reply = reply
        self._before = zxid_of(target.leader().address)
        self._held = {seen.server: seen for seen in target.sessions_of(client)}
        self._planned: dict[int, PlannedFault] = {}

    def _inject(self) -> None:
        for number, proxy in self.client.proxies.items():
            plan = proxy.drop_next_reply if self._reply else proxy.drop_next_request
            self._planned[number] = plan()

    @property
    def proves_within(self) -> float:
        """Time for the client to write something."""
        return 10.0

    def _prove(self) -> Proof:
        # Which request it was is what the proxy names; what became of it the server tells.
        asked = "the transaction log, and cons of the server"
        struck = [(n, p.effect) for n, p in self._planned.items() if p.effect]
        if not struck:
            return not_shown("no write came", asked)
        number, effect = struck[0]
        request = effect.request
        if request is None:
            return not_shown("the proxy names no request", asked)
        for proxy in self._planned.values():
            proxy.cancel()
        told = self.target.connections()
        carried = self._held.get(number)
        if number not in told or (carried and any(c.peer == carried.peer for c in told[number])):
            return not_shown("the connection is still there", asked)
        log = self.target.log(self.target.leader(), self._before)
        logged = [
            entry
            for entry in log
            if (entry.session, entry.xid) == (request.session, request.xid)
            and (not entry.applied or _names(entry, request.paths))
        ]
        said = f"request {request.xid} of session {_session(request.session)}"
        if self._reply:
            if not logged:
                return not_shown(f"{said} is not in the log", asked)
            entry = logged[0]
            fate = "applied" if entry.applied else f"refused ({entry.error})"
            evidence = f"{said} was {fate} as 0x{entry.zxid:x}; its connection is gone"
            return shown(evidence, asked)
        evidence = f"{said} is {'in' if logged else 'not in'} the log; its connection is gone"
        return not_shown(evidence, asked) if logged else shown(evidence, asked)

    def _mend(self) -> None:
        for proxy in self.client.proxies.values():
            proxy.cancel_planned()


class LostRequest(WayPackage):
    """A write that never reaches the server."""

    name = "lost-request"
    what = "Loses a client's next write before the server sees it, and cuts the connection."
    shown_by = "the log has no such request; cons: its connection is gone"
    lasts = (1.0, 4.0)

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        del aim, random
        return _LostFault(self, target, client, reply=False)


class LostReply(WayPackage):
    """A write that is applied, and whose answer never arrives."""

    name = "lost-reply"
    what = "Lets a client's next write be decided, loses the answer, and cuts the connection."
    shown_by = "the log has the request; cons: its connection is gone"
    lasts = (1.0, 4.0)

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        del aim, random
        return _LostFault(self, target, client, reply=True)


class _SlowFault(_WayFault):
    """A way that takes its time; the servers' answers show it."""

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
        for number, proxy in self.client.proxies.items():
            server = self.target.servers[number]
            direct = knock(server.address, 1.0, self._size)
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
        super().__init__(package, target, client, 2 * seconds, 16)
        self._seconds = seconds

    def _inject(self) -> None:
        for proxy in self.client.proxies.values():
            proxy.delay(self._seconds)


class Delay(WayPackage):
    """A slow way."""

    name = "delay"
    what = "Lets every packet of a client take longer, in both directions (strength: seconds)."
    shown_by = "a server's answer on the client's way takes twice the delay, directly it does not"

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        seconds = aim.strength or random.choice([0.1, 0.2, 0.4])
        return _DelayFault(self, target, client, seconds)


class _ThrottleFault(_SlowFault):
    def __init__(
        self, package: FaultPackage, target: Target, client: ClientWays, rate: float
    ) -> None:
        super().__init__(package, target, client, _PAYLOAD / rate, _PAYLOAD)
        self._rate = rate

    def _inject(self) -> None:
        for proxy in self.client.proxies.values():
            proxy.throttle(self._rate)


class Throttle(WayPackage):
    """A narrow way."""

    name = "throttle"
    what = "Lets only so many bytes a second of a client pass (strength: bytes in a second)."
    shown_by = "a server's answer to 4 KiB on the client's way takes as long as the bytes do"

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        rate = aim.strength or random.choice([4096.0, 8192.0])
        return _ThrottleFault(self, target, client, rate)


class _PartitionFault(_WayFault):
    """No byte passes on some of a client's ways, and nothing is closed."""

    def __init__(
        self, package: FaultPackage, target: Target, client: ClientWays, numbers: list[int]
    ) -> None:
        super().__init__(package, target, client)
        self._numbers = numbers
        self.servers = frozenset(numbers)
        self.victim = f"client {client.name} and servers {', '.join(map(str, numbers))}"

    def _inject(self) -> None:
        for number in self._numbers:
            self.client.proxies[number].hold()

    def _prove(self) -> Proof:
        asked = "the answers directly and on the client's ways; cons of the servers"
        before = {s.peer: s for s in self.target.sessions_of(self.client)}
        said = []
        for number in self._numbers:
            # Directly before and after, because a busy machine may keep any answer back once.
            direct = knock(self.target.servers[number].address, 1.0)
            way = knock(self.client.proxies[number].address, max(_ANSWER, 4 * direct.seconds))
            again = knock(self.target.servers[number].address, _ANSWER)
            if not direct.answered or not again.answered:
                continue
            told = f"server {number} answers directly; on the client's way it is {way.outcome}"
            if way.outcome != "silent":
                return not_shown(told, asked)
            said.append(told)
        for seen in self.target.sessions_of(self.client):
            earlier = before.get(seen.peer)
            if seen.server in self._numbers and earlier and seen.received != earlier.received:
                told = f"server {seen.server} still receives from {_session(seen.session)}"
                return not_shown(told, asked)
        return shown("; ".join(said), asked) if said else not_shown("no server answers", asked)

    def _mend(self) -> None:
        for number in self._numbers:
            self.client.proxies[number].release()


class PartitionClients(WayPackage):
    """A client that some or all of the servers do not hear, and that does not hear them."""

    name = "partition-clients"
    what = "Lets no byte pass between a client and some or all servers; nothing is closed."
    shown_by = "servers answer directly, are silent on the client's way, and receive nothing there"

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        numbers = sorted(client.proxies)
        if aim.server is not None:
            numbers = [aim.server]
        elif len(numbers) > 1 and random.random() < 0.5:
            # Of some servers: those where the client is, or it would not notice.
            numbers = sorted({seen.server for seen in target.sessions_of(client)}) or numbers
        return _PartitionFault(self, target, client, numbers)


class _BlackholeFault(_WayFault):
    def __init__(
        self, package: FaultPackage, target: Target, client: ClientWays, numbers: list[int]
    ) -> None:
        super().__init__(package, target, client)
        self._numbers = numbers
        self.servers = frozenset(numbers)
        self.victim = f"the way of client {client.name} to {', '.join(map(str, numbers))}"

    def _inject(self) -> None:
        for number in self._numbers:
            self.client.proxies[number].blackhole()

    def _prove(self) -> Proof:
        asked = "the answers directly and on the client's ways; cons of the servers"
        held = [s for s in self.target.sessions_of(self.client) if s.server in self._numbers]
        if held:
            return not_shown(f"server {held[0].server} holds a connection of the client", asked)
        said = []
        for number in self._numbers:
            direct = knock(self.target.servers[number].address, 1.0)
            way = knock(self.client.proxies[number].address, _ANSWER)
            told = f"server {number}: {direct.outcome} directly, {way.outcome} on the client's way"
            if not direct.answered or way.outcome != "unreached":
                return not_shown(told, asked)
            said.append(told)
        return shown("; ".join(said), asked)

    def _mend(self) -> None:
        for number in self._numbers:
            self.client.proxies[number].accept()


class BlackholeHost(WayPackage):
    """An address in a client's list where nobody answers, not even with a refusal."""

    name = "blackhole-host"
    what = "Makes one address of a client's list hang: connecting neither succeeds nor fails."
    shown_by = "the server answers directly; at the client's address connecting runs out of time"
    requires = "a client with proxies; a kernel that drops what a full queue cannot take (Linux)"

    def _fault(self, target: Target, client: ClientWays, aim: Aim, random: Random) -> Fault:
        number = aim.server if aim.server is not None else random.choice(sorted(client.proxies))
        return _BlackholeFault(self, target, client, [number])


class _PauseFault(Fault):
    """A client process that stands still, until its session has ended and beyond."""

    def __init__(self, package: FaultPackage, target: Target, client: ClientWays) -> None:
        super().__init__(package, target, f"the process of client {client.name}")
        if client.process is None:
            raise NothingToHit(f"client {client.name!r} has no process of its own")
        seen = target.sessions_of(client)
        if not seen:
            raise NothingToHit(f"client {client.name!r} has no session now")
        self._client = client
        self._process = psutil.Process(client.process)
        self._expiry = _SilentUntilExpiry(package, target, seen[0], client)

    @property
    def proves_within(self) -> float:
        """As long as its session may live on."""
        return self._expiry.proves_within

    def _inject(self) -> None:
        self._process.suspend()
        # The signal is only sent by now; its threads come to a stand one after the other.
        deadline = time.monotonic() + self.package.heals_within
        while self._process.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
            time.sleep(0.001)

    def _prove(self) -> Proof:
        stands = self._process.status() == psutil.STATUS_STOPPED
        asked = "the leader's transaction log and dump; the kernel about the process"
        if not stands:
            return not_shown("the process runs", asked)
        proof = self._expiry.proof()
        return Proof(proof.happened, f"the process stands still; {proof.evidence}", asked)

    def _mend(self) -> None:
        if self._process.is_running():
            self._process.resume()

    def _unhealed(self) -> str:
        if self._process.is_running() and self._process.status() == psutil.STATUS_STOPPED:
            return "the process stands still"
        return _ways_unhealed(self._client, _ANSWER)


class PauseClient(FaultPackage):
    """A client that stands still for longer than its session lives, and then goes on: a zombie."""

    name = "pause-client"
    what = "Stops a client process until the server has ended its session, and lets it go on."
    shown_by = "the kernel: it stands still; the log: the server itself ended its session"
    requires = "a client that is a process of its own"
    heals_within = 2.0
    lasts = (0.0, 2.0)

    def available(self, target: Target) -> Availability:
        """Whether a client is a process of its own."""
        if any(client.process is not None for client in target.clients.values()):
            return Availability(allowed=True)
        return Availability(allowed=False, reason="no client is a process of its own")

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        if aim.client is not None:
            return _PauseFault(self, target, target.client(aim.client, random))
        able = [c for c in target.clients.values() if c.process is not None]
        able = [client for client in able if target.sessions_of(client)]
        if not able:
            raise NothingToHit("no client process has a session now")
        return _PauseFault(self, target, random.choice(able))


CLIENT_PACKAGES: tuple[FaultPackage, ...] = (
    Expire(),
    NaturalExpiry(),
    Cut(),
    LostRequest(),
    LostReply(),
    Delay(),
    Throttle(),
    PauseClient(),
    PartitionClients(),
    BlackholeHost(),
)
"""The packages of this module."""
