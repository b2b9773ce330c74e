"""Suites that a user's own machines are put through."""

from keepstep.testing.step import Step
from keepstep.testing.suites.bound_faults import BoundFaults
from keepstep.testing.suites.conformance import ConformanceFailed, RoleConformance
from keepstep.testing.suites.driven_shell import Client, Delivered, DrivenShell
from keepstep.testing.suites.ground import FakeGround, Ground, RealGround
from keepstep.testing.suites.role_suite import (
    BEHAVIOUR,
    Broken,
    Edge,
    RoleStateMachine,
    RoleSuite,
    Seat,
    SuiteFailed,
    SuiteFailure,
    SuiteResult,
    act,
    in_the_end,
    promise,
    replay_suite,
    run_suite,
)
from keepstep.testing.suites.run_recorder import RunRecorder
from keepstep.testing.suites.story import FaultSeen, Story

__all__ = [
    "BEHAVIOUR",
    "BoundFaults",
    "Broken",
    "Client",
    "ConformanceFailed",
    "Delivered",
    "DrivenShell",
    "Edge",
    "FakeGround",
    "FaultSeen",
    "Ground",
    "RealGround",
    "RoleConformance",
    "RoleStateMachine",
    "RoleSuite",
    "RunRecorder",
    "Seat",
    "Step",
    "Story",
    "SuiteFailed",
    "SuiteFailure",
    "SuiteResult",
    "act",
    "in_the_end",
    "promise",
    "replay_suite",
    "run_suite",
]
