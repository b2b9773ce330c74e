"""Faults of sessions, and of the processes that they belong to."""

from __future__ import annotations

import contextlib
import time
from random import Random

import psutil

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
from keepstep.testing.faults.target import ClientWays, NothingToHit, SessionSeen, Target
from keepstep.testing.faults.ways import needs_proxies, why_ways_unhealed
from keepstep.testing.network.wire import Opcode
from keepstep.testing.servers.admin import expire, zxid_of
from keepstep.testing.servers.observer import Transaction

__all__ = ["SESSION_PACKAGES"]


class _SessionFault(Fault):
    """A fault of one session, of which the transaction log tells."""

    def __init__(
        self, package: FaultPackage, target: Target, session: int, client: ClientWays | None
    ) -> None:
        name = f" of {client.name}" if client else ""
        super().__init__(package, target, f"session 0x{session:x}{name}")
        self.session = session
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


def _session_of(target: Target, client: ClientWays, random: Random) -> SessionSeen:
    """The session of a client, or one of them.

    Raises:
        NothingToHit: It has none now.
    """
    seen = target.sessions_of(client)
    if not seen:
        raise NothingToHit(f"client {client.name!r} has no session now")
    return random.choice(seen)


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
        if aim.session is not None:
            session, client = aim.session, target.clients.get(aim.client or "")
        elif aim.client is None and not target.clients:
            # Nobody said which clients there are, so any session will do.
            known = sorted(alive - target.left_alone)
            if not known:
                raise NothingToHit("there is no session now")
            session, client = random.choice(known), None
        else:
            client = target.client(aim.client, random)
            session = _session_of(target, client, random).session
        if session not in alive:
            raise NothingToHit(f"session 0x{session:x} is not alive")
        return _ForcedExpiry(self, target, session, client)


class _SilentUntilExpiry(_SessionFault):
    def __init__(
        self, package: FaultPackage, target: Target, seen: SessionSeen, client: ClientWays
    ) -> None:
        super().__init__(package, target, seen.session, client)
        self._client = client
        self._timeout = seen.timeout

    @property
    def proves_within(self) -> float:
        """The session's timeout, what it is rounded up by, and time to look."""
        return self._timeout + 5.0

    def _inject(self) -> None:
        for proxy in self._client.proxies.values():
            proxy.hold()

    def _prove(self) -> Proof:
        return self._proof_of_end(by_the_server=True)

    def _mend(self) -> None:
        for proxy in self._client.proxies.values():
            proxy.release()

    def _unhealed(self) -> str:
        return why_ways_unhealed(self._client)


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
        return needs_proxies(target)

    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """As `FaultPackage.prepare`."""
        client = target.client(aim.client, random)
        return _SilentUntilExpiry(self, target, _session_of(target, client, random), client)


class _PauseFault(_SilentUntilExpiry):
    """A client process that stands still, until its session has ended and beyond."""

    def __init__(
        self, package: FaultPackage, target: Target, seen: SessionSeen, client: ClientWays
    ) -> None:
        super().__init__(package, target, seen, client)
        self.victim = f"the process of client {client.name}"
        if client.process is None:
            raise NothingToHit(f"client {client.name!r} has no process of its own")
        try:
            # It knows its process by more than the number, which another one may get.
            self._process = psutil.Process(client.process)
        except psutil.Error as error:
            raise NothingToHit(f"client {client.name!r} cannot be paused: {error}") from error

    def _stands_still(self) -> bool:
        with contextlib.suppress(psutil.Error):
            return self._process.is_running() and self._process.status() == psutil.STATUS_STOPPED
        return False

    def _inject(self) -> None:
        try:
            self._process.suspend()
        except psutil.Error as error:
            raise NothingToHit(f"{self.victim} cannot be paused: {error}") from error
        # The signal is only sent by now; its threads come to a stand one after the other.
        deadline = time.monotonic() + self.package.heals_within
        while not self._stands_still() and time.monotonic() < deadline:
            time.sleep(0.001)

    def _prove(self) -> Proof:
        asked = "the leader's transaction log and dump; the kernel about the process"
        if not self._stands_still():
            return not_shown("the process does not stand still", asked)
        proof = super()._prove()
        return Proof(proof.happened, f"the process stands still; {proof.evidence}", asked)

    def _mend(self) -> None:
        # A process that has ended needs no mending.
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.resume()

    def _unhealed(self) -> str:
        return "the process stands still" if self._stands_still() else super()._unhealed()


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
            client = target.client(aim.client, random)
        else:
            able = [c for c in target.clients.values() if c.process is not None]
            able = [c for c in able if target.sessions_of(c)]
            if not able:
                raise NothingToHit("no client process has a session now")
            client = random.choice(able)
        return _PauseFault(self, target, _session_of(target, client, random), client)


SESSION_PACKAGES: tuple[FaultPackage, ...] = (Expire(), NaturalExpiry(), PauseClient())
"""The packages of this module."""
