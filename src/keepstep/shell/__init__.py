"""Running a role against real ZooKeeper.

from keepstep.shell import Create, LeaderElection

with LeaderElection("/my/election", "http://host:8090", hosts="zk1:2181") as election:
    election.wait_until_elected()
    election.write(Create("/my/result", b"..."))
"""

from __future__ import annotations

from keepstep.shell.contender_shell import (
    Change,
    ConnectionDown,
    ConnectionUp,
    Elected,
    Failed,
    Leadership,
    Revoked,
    Unhealthy,
)
from keepstep.shell.election import LeaderElection
from keepstep.shell.outcomes import LeadershipLost, NotConnected, Revocation, WriteUnknown
from keepstep.shell.settings import ElectionSettings
from keepstep.shell.transaction import FencedTransaction
from keepstep.znodes.operations import Check, Create, Delete, Operation, SetData

__all__ = [
    "Change",
    "Check",
    "ConnectionDown",
    "ConnectionUp",
    "Create",
    "Delete",
    "Elected",
    "ElectionSettings",
    "Failed",
    "FencedTransaction",
    "LeaderElection",
    "Leadership",
    "LeadershipLost",
    "NotConnected",
    "Operation",
    "Revocation",
    "Revoked",
    "SetData",
    "Unhealthy",
    "WriteUnknown",
]
