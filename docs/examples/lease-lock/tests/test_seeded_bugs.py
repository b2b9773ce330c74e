"""Each mistake breaks the promise that it should, in a run that a person can read."""

import pytest
from seeded_bugs import BUGS


@pytest.mark.parametrize("name", BUGS)
def test_a_seeded_bug_is_found(name, keepstep_suite):
    bug = BUGS[name]
    failure = keepstep_suite.find(bug.suite, runs=400).failure
    assert failure is not None, f"{name} was not found"
    assert failure.promise == bug.promise
    assert len(failure.steps) <= 8
