"""The lock with one mistake each, and the promise that each of them breaks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from lease_lock.lease_types import Granted, LeaseFree, LeaseReturned, LeaseSeen, TakeLease, WorkDone
from lease_lock.mapping import LeaseMapping
from lease_lock.suite import LeaseRun, LeaseSuite
from lease_lock.tenant import Tenant

from keepstep.core.machine import Input, Request
from keepstep.shell.mapping import CallRefused, Delete, Exists, Read, Serving, SetData
from keepstep.testing.suites import RoleSuite


class ReturnsUnchecked(LeaseMapping):
    """Gives the lease back without comparing whose it is by now."""

    def _return(self, term: int) -> Serving:
        del term
        with suppress(CallRefused):
            yield Delete(self.lease)
        return LeaseReturned()


class WorksUnchecked(LeaseMapping):
    """Works without comparing the term."""

    def _work(self, term: int) -> Serving:
        yield SetData(self.root + "/work", f"{term} {self.me}".encode())
        return WorkDone()


class ForgetsWatch(LeaseMapping):
    """Looks at the lease and leaves no watch."""

    def _await(self) -> Serving:
        yield Exists(self.lease)
        return None


class IgnoresSuspended(LeaseMapping):
    """Does not tell the machine that its connection is down."""

    def suspended(self) -> Input | None:
        return None


class AdoptsByName(LeaseMapping):
    """Takes a lease for its own because its name is in it."""

    session = 0

    def connected(self, session: int) -> Input:
        self.session = session
        return super().connected(session)

    def _inspect(self) -> Serving:
        told = yield from super()._inspect()
        with suppress(CallRefused):
            data, _ = yield Read(self.lease)
            if isinstance(told, LeaseSeen) and data == self.me.encode():
                return LeaseSeen(self.session, told.term)
        return told


class UnknownIsGranted(LeaseMapping):
    """Takes silence for consent: a lost answer counts as a grant."""

    def unknown(self, request: Request) -> Input | None:
        return Granted(request.term + 1) if isinstance(request, TakeLease) else None


class ReadsTwice(LeaseMapping):
    """Takes the lease for that of a term which has ended in between.

    No promise is broken by it, for each write is conditional on the term; but the specification
    has no such answer. The first version of this mapping did so.
    """

    def _inspect(self) -> Serving:
        _, lock = yield Read(self.lock)
        lease = yield Exists(self.lease)
        if lease is None:
            return LeaseFree(lock.version)
        return LeaseSeen(lease.ephemeral_owner, lock.version)


class WaitsForItself(Tenant):
    """The machine, edited: it never knows its own lease again."""

    def is_ours(self, told: LeaseSeen) -> bool:
        del told
        return self.facts.session is None


@dataclass(frozen=True)
class SeededBug:
    """A mistake.

    Attributes:
        change: What a suite has otherwise.
        promise: The promise that it must be seen to break.
        diverges: Whether what the tenants are told and do shows it, without any promise.
    """

    change: dict[str, type]
    promise: str
    diverges: bool = False

    @property
    def suite(self) -> type[RoleSuite]:
        """The promises are checked, and nothing is compared with the specification."""
        return type(self.name, (LeaseSuite,), {**self.change, "validated": False})

    @property
    def run(self) -> type[RoleSuite]:
        """No promise is checked, and each run is compared with the specification."""
        return type(self.name, (LeaseRun,), dict(self.change))

    @property
    def name(self) -> str:
        """What was written wrongly."""
        return next(iter(self.change.values())).__name__


def _mapped(mistaken: type[LeaseMapping], promise: str, *, diverges: bool = False) -> SeededBug:
    return SeededBug({"mapping": mistaken}, promise, diverges)


UNNOTICED = SeededBug({"mapping": ReadsTwice}, "", diverges=True)
"""Only the specification knows that it is one."""

BUGS = {
    "returns-unchecked": _mapped(ReturnsUnchecked, "only its owner takes a lease away"),
    "works-unchecked": _mapped(
        WorksUnchecked, "work is done under the present term", diverges=True
    ),
    "forgets-watch": _mapped(ForgetsWatch, "who waits will be told"),
    "ignores-suspended": _mapped(IgnoresSuspended, "a machine takes whatever it is told"),
    "adopts-by-name": _mapped(
        AdoptsByName, "who holds the present term owns the lease", diverges=True
    ),
    "unknown-is-granted": _mapped(
        UnknownIsGranted, "who holds the lease began its term", diverges=True
    ),
    "waits-for-itself": SeededBug(
        {"machine": WaitsForItself}, "somebody holds the lease", diverges=True
    ),
}
