"""Tenant: when may a tenant work under the lease?

A tenant looks who has the lease. If nobody has, it takes it, together with the
next term; if somebody has, it waits until that changes. If it finds a lease of
its own session, from before contact was lost, it renews it under a new term, so
that whatever it asked for under the old one can no longer happen. It holds the
lease until it is told that its connection is down, or that nothing was
acknowledged for too long.

Derived from spec/Tenant.tla by `keepstep derive`. Do not edit.
sha256 of its modules: 4302b847cb9ce59b6fb45e2e99a45eef2211574f41ba3416c53a62ff769f1bf0
"""

from __future__ import annotations

from dataclasses import dataclass

from statemachine import Event, State

from keepstep.core.machine import Input, RoleMachine, internally, the
from lease_lock.lease_types import (
    AwaitChange,
    Connected,
    CutConnection,
    DeadlineReached,
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

__all__ = [
    "AwaitChange",
    "Connected",
    "CutConnection",
    "DeadlineReached",
    "Denied",
    "DoWork",
    "Granted",
    "InspectLease",
    "LeaseChanged",
    "LeaseFree",
    "LeaseReturned",
    "LeaseSeen",
    "RenewLease",
    "ReturnDue",
    "ReturnLease",
    "Suspended",
    "TakeLease",
    "Tenant",
    "TenantFacts",
    "WorkDone",
    "WorkDue",
]


class WorkDue(Input):
    """There is something to do under the lease."""

    __slots__ = ()


class ReturnDue(Input):
    """Others shall have it: stop holding the lease, then give it back."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """What a tenant remembers from one input to the next."""

    session: int | None = None
    """The session it was last told about, if any."""

    term: int | None = None
    """The term under which it holds the lease, if it does."""


class Tenant(RoleMachine[TenantFacts]):
    """When may a tenant work under the lease?"""

    offline = State(initial=True)  # not connected; relies on nothing
    looking = State()  # has asked who has the lease
    waiting = State()  # has asked to be told when the lease of another changes
    taking = State()  # has asked for the free lease
    renewing = State()  # has asked for a new term for the lease it has
    holding = State()  # holds the lease, nothing is asked
    working = State()  # holds the lease, has asked for work under it
    returning = State()  # has asked to give the lease back
    severing = State()  # has asked to cut a connection that does not answer

    connected = Event(offline.to(looking, on="attach"))
    suspended = Event(
        offline.from_(
            looking,
            waiting,
            taking,
            renewing,
            holding,
            working,
            returning,
            severing,
            on="suspend",
        )
    )
    deadline_reached = Event(
        severing.from_(holding, working, on="lapse")
        | internally(
            offline,
            looking,
            waiting,
            taking,
            renewing,
            returning,
            severing,
            on="overlook",
        )
    )
    lease_seen = Event(
        looking.to(waiting, unless="is_ours", on="watch")
        | looking.to(renewing, cond="is_ours", on="adopt")
    )
    lease_free = Event(looking.to(taking, on="take"))
    lease_changed = Event(waiting.to(looking, on="recheck"))
    granted = Event(holding.from_(taking, renewing, on="hold"))
    denied = Event(looking.from_(taking, renewing, working, on="miss"))
    work_due = Event(holding.to(working, on="work"))
    work_done = Event(working.to(holding, on="proceed"))
    return_due = Event(holding.to(returning, on="give_back"))
    lease_returned = Event(returning.to(looking, on="finish"))

    # --- Guards ---

    def is_ours(self, told: LeaseSeen) -> bool:
        """The lease that is out belongs to our present session."""
        return self.facts.session == told.owner

    # --- Actions ---

    def attach(self, told: Connected) -> None:
        """Connected again: look who has the lease, for it may be ours."""
        self.ask(InspectLease())
        self.remember(session=told.session)

    def suspend(self) -> None:
        """The connection is down: hold nothing and rely on nothing."""
        self.remember(session=None, term=None)

    def lapse(self) -> None:
        """Nothing was acknowledged for too long.

        Stop before our lease can end, and get rid of the connection that does not
        answer.
        """
        self.ask(CutConnection())
        self.remember(term=None)

    def overlook(self) -> None:
        """A deadline of a lease that we hold no longer.

        Nothing depends on it any more.
        """

    def watch(self) -> None:
        """Another session has the lease: wait until something happens to it."""
        self.ask(AwaitChange())

    def adopt(self, told: LeaseSeen) -> None:
        """Our own session has the lease.

        Renew it, so that old requests come to nothing.
        """
        self.ask(RenewLease(told.term))

    def take(self, told: LeaseFree) -> None:
        """Nobody has the lease: take it, unless somebody else does first."""
        self.ask(TakeLease(told.term))

    def recheck(self) -> None:
        """Something happened to the lease: look again, and conclude nothing from it."""
        self.ask(InspectLease())

    def hold(self, told: Granted) -> None:
        """The lease is ours: whatever we do under it carries its term."""
        self.remember(term=told.term)

    def miss(self) -> None:
        """It is not as we thought: hold nothing, and look again."""
        self.ask(InspectLease())
        self.remember(term=None)

    def work(self) -> None:
        """There is something to do under the lease."""
        self.ask(DoWork(the(self.facts.term)))

    def proceed(self) -> None:
        """The work is done; we hold the lease still."""

    def give_back(self) -> None:
        """Others shall have it: stop holding the lease, then give it back."""
        self.ask(ReturnLease(the(self.facts.term)))
        self.remember(term=None)

    def finish(self) -> None:
        """The lease is not ours any more: look who has it now."""
        self.ask(InspectLease())
