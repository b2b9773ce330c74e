"""Every mistake in the environment module or in the fake is caught by the kit."""

from __future__ import annotations

import pytest

from keepstep.testing.zookeeper_kit import check_zookeeper

from .mutation import FAKE_MUTANTS, SERVICE_MUTANTS, mutated_fake, mutated_rules, services

ROUNDS = 3


def by_lane(names):
    """Every second one in every run, the others in the full lane: each starts a JVM."""
    for number, name in enumerate(names):
        yield pytest.param(name, marks=[pytest.mark.full] if number % 2 else [])


def assert_caught(make, mutant):
    report = check_zookeeper(make, rounds=ROUNDS)
    caught = {result.name for result in report.failed}
    assert mutant["caught"] in caught, report


@pytest.mark.tools
@pytest.mark.parametrize("name", list(by_lane(SERVICE_MUTANTS)))
def test_a_mistake_in_the_environment_module_is_caught(name):
    assert_caught(services(3, rules=mutated_rules(name)), SERVICE_MUTANTS[name])


@pytest.mark.parametrize("name", FAKE_MUTANTS)
def test_a_mistake_in_the_fake_is_caught(name):
    assert_caught(services(3, mutated_fake(name)), FAKE_MUTANTS[name])


def test_without_a_mistake_nothing_is_caught():
    assert not check_zookeeper(services(3), rounds=ROUNDS).failed
