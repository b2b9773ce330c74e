"""What a fault package is: a fault, its proof, and its end.

A package prepares a `Fault` for a target: it chooses what is hit and asks the servers how things
stand. The fault is then injected, proved and healed. The proof never asks what injected the
fault: it compares what the servers say with what they said before. So it can be asked without
any injection too, and then has to say no.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Self

from keepstep.errors import LocalViolation, RemoteViolation, ToolFailed
from keepstep.testing.faults.target import Target
from keepstep.testing.network.wire import ConnectionEnded, Refusal

__all__ = [
    "Aim",
    "Availability",
    "Fault",
    "FaultPackage",
    "NotHealed",
    "Proof",
    "not_shown",
    "shown",
]

_POLL = 0.005
_LONGEST_POLL = 0.1


class NotHealed(ToolFailed):
    """The servers did not recover from a fault within its bound."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a fault can be done here.

    Attributes:
        allowed: Whether it can.
        reason: Why not; empty if it can. What is not allowed is NOT RUN, never passed.
    """

    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the servers say about a fault.

    Attributes:
        happened: Whether it shows.
        evidence: What they said, in words.
        asked: Whom and what was asked.
    """

    happened: bool
    evidence: str
    asked: str


def shown(evidence: str, asked: str) -> Proof:
    """A proof that a fault happened."""
    return Proof(happened=True, evidence=evidence, asked=asked)


def not_shown(evidence: str, asked: str) -> Proof:
    """What speaks against it, or does not speak for it yet."""
    return Proof(happened=False, evidence=evidence, asked=asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a fault is to hit; what is None is chosen by the seed.

    Attributes:
        client: Name of a client.
        server: Number of a server.
        session: A session id.
        strength: What the package takes: seconds of delay, bytes in a second.
    """

    client: str | None = None
    server: int | None = None
    session: int | None = None
    strength: float | None = None


class Fault(ABC):
    """One fault that is prepared, under way, or over.

    Attributes:
        package: What made it.
        target: What it is done to.
        victim: What exactly it hits, in words.
        servers: Numbers of the servers that it hits; none if it hits a session or all the ways of
            a client.
    """

    def __init__(
        self,
        package: FaultPackage,
        target: Target,
        victim: str,
        servers: Iterable[int] = (),
    ) -> None:
        self.package = package
        self.target = target
        self.victim = victim
        self.servers = frozenset(servers)
        self.injected = False
        self._healed = False
        self._seen: Proof | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()

    @property
    def proves_within(self) -> float:
        """Seconds after the injection within which the proof shows."""
        return 5.0

    @abstractmethod
    def _inject(self) -> None:
        """Do it."""

    @abstractmethod
    def _prove(self) -> Proof:
        """Ask the servers."""

    def _mend(self) -> None:  # noqa: B027 - some faults leave nothing to be undone
        """Undo it; nothing by default."""

    def _unhealed(self) -> str:
        """Why the servers have not recovered yet; empty if they have."""
        return self.target.healthy()

    def inject(self) -> Self:
        """Do it, and return at once or when it is done.

        Raises:
            LocalViolation: It was injected or healed already.
        """
        if self.injected or self._healed:
            raise LocalViolation(f"{self.package.name} was injected already; prepare another one")
        self.injected = True
        try:
            self._inject()
        except BaseException:
            self.heal()
            raise
        return self

    def proof(self) -> Proof:
        """What the servers say now. Once it has shown, that proof stays."""
        if self._seen is None:
            try:
                now = self._prove()
            except (ConnectionEnded, Refusal, RemoteViolation, ToolFailed) as error:
                return Proof(happened=False, evidence=f"no answer yet: {error}", asked="")
            if not now.happened:
                return now
            self._seen = now
        return self._seen

    def prove(self, timeout: float | None = None) -> Proof:
        """Ask until it shows, for at most `timeout` seconds (`proves_within` by default)."""
        deadline = time.monotonic() + (self.proves_within if timeout is None else timeout)
        pause = _POLL
        while True:
            proof = self.proof()
            if proof.happened or time.monotonic() > deadline:
                return proof
            time.sleep(pause)
            # Asking takes the servers' time too.
            pause = min(2 * pause, _LONGEST_POLL)

    def heal(self) -> float:
        """End it and wait until the servers show that all is well; returns the seconds it took.

        May be called again. A fault that was not injected has nothing to heal.

        Raises:
            NotHealed: They do not within `package.heals_within`.
        """
        if self._healed or not self.injected:
            return 0.0
        begin = time.monotonic()
        self._mend()
        pause = _POLL
        while True:
            reason = self._why_unhealed()
            took = time.monotonic() - begin
            if took > self.package.heals_within:
                raise NotHealed(
                    f"{self.package.name} on {self.victim} did not heal within "
                    f"{self.package.heals_within:g} s: {reason or f'it took {took:.1f} s'}"
                )
            if not reason:
                break
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL)
        self._healed = True
        return took

    def _why_unhealed(self) -> str:
        try:
            return self._unhealed()
        except (ConnectionEnded, Refusal, RemoteViolation, ToolFailed) as error:
            return str(error)


class FaultPackage(ABC):
    """A kind of fault: what it is, what it needs, and how long its end may take.

    Attributes:
        name: As in schedules and on the command line.
        what: What it does, in one sentence.
        shown_by: What its proof is read from.
        requires: What it needs of the machine and the target, in words.
        heals_within: Seconds from its end until the servers are whole again.
        lasts: Shortest and longest seconds that a schedule gives it.
    """

    name: ClassVar[str]
    what: ClassVar[str]
    shown_by: ClassVar[str]
    requires: ClassVar[str] = ""
    heals_within: ClassVar[float] = 5.0
    lasts: ClassVar[tuple[float, float]] = (0.5, 3.0)

    def available(self, target: Target) -> Availability:
        """Whether it can be done to this target on this machine."""
        del target
        return Availability(allowed=True)

    @abstractmethod
    def prepare(self, target: Target, aim: Aim, random: Random) -> Fault:
        """Choose what is hit and ask the servers how things stand. Nothing is broken yet.

        Raises:
            NothingToHit: There is nothing that it could be done to now.
        """

    def inject(self, target: Target, aim: Aim | None = None, random: Random | None = None) -> Fault:
        """Prepare a fault and inject it.

        Args:
            target: What to do it to.
            aim: What to hit; whatever is there by default.
            random: Chooses where the aim leaves a choice.

        Raises:
            LocalViolation: It is not available here; the message says why.
            NothingToHit: There is nothing that it could be done to now.
        """
        availability = self.available(target)
        if not availability.allowed:
            raise LocalViolation(f"{self.name} is not available: {availability.reason}")
        # No security hangs on the choice; it has to be repeatable.
        chooser = random or Random(0)  # noqa: S311
        return self.prepare(target, aim or Aim(), chooser).inject()
