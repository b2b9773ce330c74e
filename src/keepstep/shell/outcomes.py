"""How a leadership and its writes can end, for the user of an election."""

from __future__ import annotations

from enum import StrEnum

from keepstep.errors import KeepstepError

__all__ = ["LeadershipLost", "NotConnected", "Revocation", "WriteUnknown"]


class LeadershipLost(KeepstepError):
    """We do not lead, or not any more. The write was certainly not applied."""


class WriteUnknown(KeepstepError):
    """The answer to a fenced write never came: it was applied, or was not, or still may be.

    Read the znodes concerned before you decide; whatever you write as the next leader
    comes after it, or makes it fail.
    """


class NotConnected(KeepstepError):
    """No ZooKeeper server could be reached in time."""


class Revocation(StrEnum):
    """Why a leadership ended."""

    DISCONNECTED = "the connection was lost"
    LAPSED = "no write was acknowledged in time, so our session may end at any moment"
    SUPERSEDED = "another participant raised the epoch"
    TICKET_GONE = "our ticket was deleted"
    WIPED = "the epoch znode is gone: the ensemble was wiped, or somebody deleted it"
    RESIGNED = "we resigned"
    CLOSED = "the election was closed"
    FAILED = "the election failed"
