"""What a tenant can be told and what it can ask for.

Derived from spec/LeaseTypes.tla by `keepstep derive`. Do not edit.
sha256 of its modules: 18f6556629ef400acef4939f42e526017413c499444e76ff901b8a2323292177
"""

from __future__ import annotations

from dataclasses import dataclass

from keepstep.core.machine import Input, Request

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
    "ReturnLease",
    "Suspended",
    "TakeLease",
    "WorkDone",
]


# --- Everything a tenant can be told ---


@dataclass(frozen=True, slots=True)
class Connected(Input):
    """The connection is usable, under this session (the old one or a new one)."""

    session: int


class Suspended(Input):
    """The connection is down: whatever was asked may happen, or not."""

    __slots__ = ()


class DeadlineReached(Input):
    """Nothing was acknowledged for as long as a lease lasts."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class LeaseSeen(Input):
    """The lease is out: the session that owns it, and its term."""

    owner: int
    term: int


@dataclass(frozen=True, slots=True)
class LeaseFree(Input):
    """Nobody has the lease; the last term was this."""

    term: int


class LeaseChanged(Input):
    """The lease that was out is gone, or something happened to it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Granted(Input):
    """The lease is ours, under this term."""

    term: int


class Denied(Input):
    """It is not as we thought: nothing was changed."""

    __slots__ = ()


class WorkDone(Input):
    """The work is done, under our term."""

    __slots__ = ()


class LeaseReturned(Input):
    """The lease that we gave back is not ours any more."""

    __slots__ = ()


# --- Everything a tenant can ask for, one at a time ---


class InspectLease(Request):
    """Look who has the lease."""

    __slots__ = ()


class AwaitChange(Request):
    """Say when something happens to the lease that is out."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class TakeLease(Request):
    """Begin the term after this one, and have the lease; all or nothing."""

    term: int


@dataclass(frozen=True, slots=True)
class RenewLease(Request):
    """Begin the term after this one with the lease that we have; all or nothing."""

    term: int


@dataclass(frozen=True, slots=True)
class DoWork(Request):
    """Do what the lease is for, if this is still the term."""

    term: int


@dataclass(frozen=True, slots=True)
class ReturnLease(Request):
    """Take the lease of this term back."""

    term: int


class CutConnection(Request):
    """Give up a connection that does not answer."""

    __slots__ = ()
