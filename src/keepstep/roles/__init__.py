"""The role machines, derived from the specification and committed.

`evidence()` tells whether specification, models and classes are as they were when they were
checked. With KEEPSTEP_REQUIRE_EVIDENCE=1 this package cannot be imported if they are not.
"""

from __future__ import annotations

from keepstep.roles.contender import Contender
from keepstep.roles.evidence_status import StaleEvidence, evidence, require_evidence

__all__ = ["Contender", "StaleEvidence", "evidence"]

require_evidence()
