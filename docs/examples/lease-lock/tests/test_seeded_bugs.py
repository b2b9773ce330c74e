"""Each mistake is found by what it breaks, in a run that a person can read."""

import pytest
from seeded_bugs import BUGS, UNNOTICED

from keepstep.testing.suites import BEHAVIOUR


@pytest.mark.parametrize("name", BUGS)
def test_a_seeded_bug_is_found(name, keepstep_suite):
    bug = BUGS[name]
    failure = keepstep_suite.find(bug.suite, runs=400).failure
    assert failure is not None, f"{name} was not found"
    assert failure.promise == bug.promise
    assert len(failure.steps) <= 8


@pytest.mark.parametrize("name", [name for name, bug in BUGS.items() if bug.diverges])
def test_the_specification_alone_finds_it(name, keepstep_suite):
    failure = keepstep_suite.find(BUGS[name].run, runs=200).failure
    assert failure is not None, f"{name} was not found"
    assert failure.promise == BEHAVIOUR
    assert len(failure.steps) <= 8


def test_the_specification_notices_what_no_promise_does(keepstep_suite):
    assert keepstep_suite.find(UNNOTICED.suite, runs=60).failure is None
    failure = keepstep_suite.find(UNNOTICED.run, runs=400).failure
    assert failure is not None
    assert failure.promise == BEHAVIOUR
    assert len(failure.steps) <= 8
