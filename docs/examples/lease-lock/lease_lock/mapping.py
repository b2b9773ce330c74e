"""What a tenant asks for, in ZooKeeper's words.

The lock is a znode whose version is the term. The lease is an ephemeral below it. Work is a
write to a third znode, whose data say under which term and by whom it was done.
"""

from __future__ import annotations

from contextlib import suppress

from keepstep.core.machine import Request
from keepstep.shell.mapping import (
    CallRefused,
    Check,
    Create,
    Cut,
    Delete,
    Exists,
    Multi,
    Read,
    RoleMapping,
    Serving,
    SetData,
)
from lease_lock.lease_types import (
    AwaitChange,
    Connected,
    CutConnection,
    Denied,
    DoWork,
    Granted,
    InspectLease,
    LeaseChanged,
    LeaseFree,
    LeaseReturned,
    LeaseSeen,
    RenewLease,
    ReturnLease,
    Suspended,
    TakeLease,
    WorkDone,
)


class LeaseMapping(RoleMapping):
    """Serves a tenant below `root`."""

    connected_input = Connected
    suspended_input = Suspended

    @property
    def lock(self) -> str:
        """The znode whose version is the term."""
        return f"{self.root}/lock"

    @property
    def lease(self) -> str:
        """The ephemeral of whoever has the lease."""
        return f"{self.root}/lock/lease"

    @property
    def work(self) -> str:
        """What is worked on."""
        return f"{self.root}/work"

    def serve(self, request: Request) -> Serving:
        """One line for each request."""
        match request:
            case InspectLease():
                return self._inspect()
            case AwaitChange():
                return self._await()
            case TakeLease(term):
                take = Create(self.lease, self.me.encode(), ephemeral=True)
                return self._grant(term, take)
            case RenewLease(term):
                return self._grant(term, Check(self.lease, -1))
            case DoWork(term):
                return self._work(term)
            case ReturnLease(term):
                return self._return(term)
            case CutConnection():
                return self._cut()
        return super().serve(request)

    def _inspect(self) -> Serving:
        _, lock = yield Read(self.lock)
        while True:
            lease = yield Exists(self.lease)
            # Two reads are not one: the lease is that of this term only if no other has begun.
            before, (_, lock) = lock, (yield Read(self.lock))
            if lock.version == before.version:
                break
        if lease is None:
            return LeaseFree(lock.version)
        return LeaseSeen(owner=lease.ephemeral_owner, term=lock.version)

    def _await(self) -> Serving:
        lease = yield Exists(self.lease, watch=LeaseChanged())
        return None if lease is not None else LeaseChanged()

    def _grant(self, term: int, condition: Create | Check) -> Serving:
        try:
            yield Multi(SetData(self.lock, b"", version=term), condition)
        except CallRefused:
            return Denied()
        return Granted(term + 1)

    def _work(self, term: int) -> Serving:
        try:
            yield Multi(Check(self.lock, term), SetData(self.work, f"{term} {self.me}".encode()))
        except CallRefused:
            return Denied()
        return WorkDone()

    def _return(self, term: int) -> Serving:
        # If it is refused, the lease was not ours any more.
        with suppress(CallRefused):
            yield Multi(Check(self.lock, term), Delete(self.lease))
        return LeaseReturned()

    def _cut(self) -> Serving:
        yield Cut()
        return None
