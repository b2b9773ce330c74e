"""The example project of the documentation, from its specification to its suite."""

from __future__ import annotations

import pytest

from keepstep.conformance.roles import load_roles
from keepstep.testing.suites.conformance import stale_files
from keepstep.tla.manifest import load_manifest
from keepstep.tla.sources import Project

LEAST_MUTANTS = 5


@pytest.mark.tools
@pytest.mark.zookeeper
@pytest.mark.timeout(600)
def test_the_example_passes_as_a_user_runs_it(copied_example, run_pytest):
    done = run_pytest(copied_example, "-rA")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("models_is_as_expected",):
        assert name.replace("models", "model") in done.stdout
    assert done.stdout.count("PASSED tests/test_seeded_bugs.py") >= 5


BROKEN = """
from seeded_bugs import BUGS

def test_it(keepstep_suite):
    keepstep_suite(BUGS["adopts-by-name"].suite, runs=400)
"""


@pytest.mark.tools
@pytest.mark.zookeeper
def test_a_suite_that_fails_prints_the_story_and_little_else(copied_example, run_pytest):
    (copied_example / "tests/test_broken.py").write_text(BROKEN)
    done = run_pytest(copied_example, "tests/test_broken.py")
    assert done.returncode == 1
    told = done.stdout
    assert (
        "E       keepstep.testing.suites.role_suite.SuiteFailed: broken: who holds the present"
        in told
    )
    assert "E       fault by fault" in told
    assert "E       step by step" in told
    assert "Our own session has the lease. Renew it" in told
    assert "found in run" in told
    # The test's own line, and none of the kit's.
    assert "keepstep_suite(BUGS" in told
    assert "role_suite.py" not in told.replace("role_suite.SuiteFailed", "")


@pytest.mark.tools
def test_a_derived_file_that_was_edited_is_noticed(copied_example, monkeypatch):
    monkeypatch.syspath_prepend(str(copied_example))
    monkeypatch.delitem(__import__("sys").modules, "lease_lock", raising=False)
    monkeypatch.delitem(__import__("sys").modules, "lease_lock.tenant", raising=False)
    project = Project(copied_example)
    (entry,) = load_roles(project)
    assert stale_files(project, entry) == []
    derived = copied_example / "lease_lock/tenant.py"
    derived.write_text(derived.read_text().replace('on="adopt"', 'on="watch"'))
    (told,) = stale_files(project, entry)
    assert "tenant.py is not what spec/Tenant.tla gives" in told
    assert '+        | looking.to(renewing, cond="is_ours", on="adopt")' in told


@pytest.mark.full
@pytest.mark.tools
@pytest.mark.timeout(600)
def test_a_class_that_differs_fails_by_name(copied_example, run_pytest):
    derived = copied_example / "lease_lock/tenant.py"
    text = derived.read_text()
    wrong = text.replace(
        'denied = Event(looking.from_(taking, renewing, working, on="miss"))',
        'denied = Event(looking.from_(taking, renewing, on="miss"))',
    )
    assert wrong != text
    derived.write_text(wrong)
    done = run_pytest(copied_example, "-k", "TestTenant and not model")
    failed = {
        line.split("::")[2].split()[0] for line in done.stdout.splitlines() if "FAILED" in line
    }
    assert {"test_the_derived_files_are_fresh", "test_every_row_of_the_role_table"} <= failed
    assert "told Denied" in done.stdout


def test_the_example_has_enough_mutants_and_each_promise_fails_somewhere(example):
    models = load_manifest(Project(example)).models
    mutants = [model for model in models if model.name.startswith("mutant-")]
    assert len(mutants) >= LEAST_MUTANTS
    assert all(model.expected == "VIOLATED" for model in mutants)
    promises = {
        "OneWorkerProp",
        "OwnDeletesProp",
        "OwnLeaseInv",
        "WokenInv",
        "OneHolderInv",
        "HeldProp",
    }
    assert promises <= {model.violated for model in mutants}
