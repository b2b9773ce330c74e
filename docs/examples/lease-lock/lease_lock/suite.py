"""What the lock promises, compared with what the servers say."""

from __future__ import annotations

from keepstep.testing import Opcode
from keepstep.testing.suites import Client, RoleSuite, Seat, act, in_the_end, promise
from lease_lock.lease_types import DeadlineReached
from lease_lock.mapping import LeaseMapping
from lease_lock.tenant import ReturnDue, Tenant, TenantFacts, WorkDue


class LeaseRun(RoleSuite):
    """Tenants before a real ZooKeeper: what may happen to them."""

    machine, facts, mapping = Tenant, TenantFacts, LeaseMapping
    commands = (WorkDue, ReturnDue)
    timers = (DeadlineReached,)

    @property
    def lock(self) -> str:
        """The znode whose version is the term."""
        return f"{self.root}/lock"

    @property
    def lease(self) -> str:
        """The ephemeral of whoever has the lease."""
        return f"{self.lock}/lease"

    def prepare(self, client: Client) -> None:
        """The lock, and what is worked on."""
        client.create(self.lock)
        client.create(f"{self.root}/work")

    def favourite(self) -> Seat | None:
        """Faults hit the holder most often."""
        return next(iter(self.holders()), None)

    def holders(self) -> list[Seat]:
        """Those who believe that they hold the lease."""
        return [seat for seat in self.running if seat.machine.facts.term is not None]

    @act(weight=6)
    def intrude(self) -> None:
        """Somebody else deletes the lease."""
        self.outside(lambda client: client.delete(self.lease))


class LeaseSuite(LeaseRun):
    """The promises, in words that know nothing of the specification."""

    @property
    def term(self) -> int:
        """The present term: how often the log says that the lock was set."""
        return max((c.version for _, c in self.changes(self.lock, Opcode.SET_DATA)), default=0)

    @promise("who holds the lease began its term")
    def holds_a_term(self) -> str | None:
        """OneTermInv: the log says who began each term."""
        for seat in self.holders():
            began = self.session_of_term(seat.machine.facts.term)
            if began != seat.machine.session:
                return f"{seat.name} holds term {seat.machine.facts.term}, begun by {began}"
        return None

    def session_of_term(self, term: int) -> int | None:
        """The session that began a term, as the log says; None if nobody did."""
        for transaction, change in self.changes(self.lock, Opcode.SET_DATA):
            if change.version == term:
                return transaction.session
        return None

    @promise("who holds the present term owns the lease")
    def owns_the_lease(self) -> str | None:
        """OwnLeaseInv: unless somebody deleted it."""
        sessions = self.sessions()
        owner = sessions.owner(self.lease)
        for seat in self.holders():
            if seat.machine.facts.term == self.term and owner not in (None, seat.machine.session):
                return f"{seat.name} holds the lease that session 0x{owner:x} owns"
        return None

    @promise("only its owner takes a lease away")
    def takes_own_only(self) -> str | None:
        """OwnDeletesProp: who deletes the lease has created it, or is nobody under test."""
        owner = 0
        for transaction, change in self.changes(self.lease):
            if change.kind in (Opcode.CREATE, Opcode.CREATE2):
                owner = transaction.session
            elif change.kind == Opcode.DELETE and transaction.session not in (owner, *self.others):
                return f"session 0x{transaction.session:x} deleted the lease of 0x{owner:x}"
        return None

    @promise("work is done under the present term")
    def works_under_its_term(self) -> str | None:
        """OneWorkerProp: in the order of the log."""
        term = 0
        for transaction in self.history:
            for change in transaction.changes:
                if change.kind == Opcode.SET_DATA and change.path == self.lock:
                    term = change.version
                elif change.kind == Opcode.SET_DATA and change.path == f"{self.root}/work":
                    claimed = int(change.data.split()[0])
                    if claimed != term:
                        return f"work of term {claimed} was accepted in term {term}"
        return None

    @promise("who waits will be told")
    def is_woken(self) -> str | None:
        """WokenInv: the server has a watch of everybody who waits."""
        watching = self.ground.watches().get(self.lease, frozenset())
        for seat in self.running:
            shell = seat.machine
            waits = shell.state == "waiting" and shell.outstanding is None and not shell.due()
            if waits and shell.session not in watching:
                return f"{seat.name} waits, and the server has no watch of it"
        return None

    @in_the_end("somebody holds the lease")
    def is_held(self) -> str | None:
        """HeldProp."""
        for seat in self.holders():
            if seat.machine.facts.term == self.term:
                return None
        states = ", ".join(f"{seat.name} is {seat.machine.state}" for seat in self.running)
        return f"nobody holds term {self.term}: {states}"
