"""Faults as packages: what breaks, how the servers show it, and how it ends.

docs/how-to/break-a-zookeeper.md shows how to use them, docs/reference/faults.md lists them.
"""

from keepstep.testing.faults.catalogue import package_of, packages
from keepstep.testing.faults.package import (
    Aim,
    Availability,
    Fault,
    FaultPackage,
    NotHealed,
    Proof,
)
from keepstep.testing.faults.schedule import (
    FaultRecord,
    FaultRunner,
    FaultStatus,
    ScheduledFault,
    schedule,
)
from keepstep.testing.faults.target import ClientWays, NothingToHit, SessionSeen, Target

__all__ = [
    "Aim",
    "Availability",
    "ClientWays",
    "Fault",
    "FaultPackage",
    "FaultRecord",
    "FaultRunner",
    "FaultStatus",
    "NotHealed",
    "NothingToHit",
    "Proof",
    "ScheduledFault",
    "SessionSeen",
    "Target",
    "package_of",
    "packages",
    "schedule",
]
