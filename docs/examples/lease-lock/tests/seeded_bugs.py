"""The lock with one mistake each, and the promise that each of them breaks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from lease_lock.lease_types import Granted, LeaseFree, LeaseReturned, LeaseSeen, TakeLease, WorkDone
from lease_lock.mapping import LeaseMapping
from lease_lock.suite import LeaseSuite
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
        _, lock = yield Read(self.lock)
        if (yield Exists(self.lease)) is None:
            return LeaseFree(lock.version)
        data, lease = yield Read(self.lease)
        ours = data == self.me.encode()
        return LeaseSeen(self.session if ours else lease.ephemeral_owner, lock.version)


class UnknownIsGranted(LeaseMapping):
    """Takes silence for consent: a lost answer counts as a grant."""

    def unknown(self, request: Request) -> Input | None:
        return Granted(request.term + 1) if isinstance(request, TakeLease) else None


class WaitsForItself(Tenant):
    """The machine, edited: it never knows its own lease again."""

    def is_ours(self, told: LeaseSeen) -> bool:
        del told
        return self.facts.session is None


@dataclass(frozen=True)
class SeededBug:
    """A suite with a mistake.

    Attributes:
        suite: The suite.
        promise: The promise that it must be seen to break.
    """

    suite: type[RoleSuite]
    promise: str


def _mapped(mistaken: type[LeaseMapping]) -> type[LeaseSuite]:
    return type(mistaken.__name__, (LeaseSuite,), {"mapping": mistaken})


BUGS = {
    "returns-unchecked": SeededBug(_mapped(ReturnsUnchecked), "only its owner takes a lease away"),
    "works-unchecked": SeededBug(_mapped(WorksUnchecked), "work is done under the present term"),
    "forgets-watch": SeededBug(_mapped(ForgetsWatch), "who waits will be told"),
    "ignores-suspended": SeededBug(
        _mapped(IgnoresSuspended), "a machine takes whatever it is told"
    ),
    "adopts-by-name": SeededBug(_mapped(AdoptsByName), "who holds the present term owns the lease"),
    "unknown-is-granted": SeededBug(
        _mapped(UnknownIsGranted), "who holds the lease began its term"
    ),
    "waits-for-itself": SeededBug(
        type("WaitsForItself", (LeaseSuite,), {"machine": WaitsForItself}),
        "somebody holds the lease",
    ),
}
