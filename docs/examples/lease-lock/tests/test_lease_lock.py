"""The whole chain: the class against its specification, and the lock on real servers."""

from pathlib import Path

import pytest
from lease_lock.suite import LeaseSuite

from keepstep.testing.suites import RoleConformance


class TestTenant(RoleConformance):
    """Files, shape, guards, role table, system graph, coverage."""

    project = Path(__file__).parents[1]


def test_the_lock_keeps_its_promises(keepstep_suite):
    keepstep_suite(LeaseSuite)


@pytest.mark.keepstep_lane("full")
def test_the_lock_keeps_its_promises_for_long(keepstep_suite):
    keepstep_suite(LeaseSuite, runs=1000)
