"""Whether the shipped role machines are what the locked evidence is about.

Asking costs nothing until it is asked: nothing but the standard library is imported, and
only small files are read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keepstep.errors import LocalViolation

if TYPE_CHECKING:
    from keepstep.lockfile import Evidence

__all__ = ["StaleEvidence", "evidence", "require_evidence"]

VARIABLE = "KEEPSTEP_REQUIRE_EVIDENCE"


class StaleEvidence(LocalViolation, ImportError):
    """KEEPSTEP_REQUIRE_EVIDENCE is set, and the evidence does not fit what is imported.

    Reinstall keepstep, or run `keepstep check --lane full --lock` and `keepstep derive`.
    """


def evidence() -> Evidence:
    """Whether specification, models and classes are as they were when the evidence was locked.

    Returns:
        An object that is true if they are; its `status` is "verified" or "unverified", and its
        `reasons` name what is not as it was.
    """
    from keepstep.lockfile import shipped_evidence

    return shipped_evidence()


def require_evidence() -> None:
    """Refuse the import of a role machine where that is asked for and evidence is stale.

    Raises:
        StaleEvidence: KEEPSTEP_REQUIRE_EVIDENCE is 1 and the evidence is stale.
    """
    if os.environ.get(VARIABLE) != "1":
        return
    found = evidence()
    if not found:
        raise StaleEvidence(f"unverified, and {VARIABLE}=1: {'; '.join(found.reasons)}")
