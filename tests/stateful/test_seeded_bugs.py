"""The suite finds each kind of mistake that shells are made with.

The quick lane repeats the runs that found them, which are kept beside this file; the full lane
lets the suite find them again. A run that breaks a promise of the faulty shell and is kept by
the shipped one shows that the suite tells the two apart.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from keepstep.errors import LocalViolation
from keepstep.shell.contender_shell import ContenderShell
from keepstep.testing.election.suite import SavedRun, replay, run_campaign
from keepstep.testing.election.world import Arena

from .seeded_bugs import SEEDED_BUGS

pytestmark = pytest.mark.zookeeper

SAVED = Path(__file__).parent / "saved"
MOST_STEPS = 10


@pytest.fixture(scope="module")
def arena():
    with Arena() as arena:
        yield arena


def test_each_bug_has_a_saved_run_and_each_saved_run_a_bug():
    assert {file.stem for file in SAVED.glob("*.json")} == set(SEEDED_BUGS)


@pytest.mark.parametrize("name", SEEDED_BUGS)
def test_the_saved_run_breaks_the_faulty_shell(arena, name):
    saved = SavedRun.load(SAVED / f"{name}.json")
    world = replay(saved.steps, arena, shell_class=SEEDED_BUGS[name])
    assert world.broken, "\n".join(world.story)
    assert world.broken.promise == saved.promise
    assert saved.bug == SEEDED_BUGS[name].__doc__


@pytest.mark.parametrize("name", SEEDED_BUGS)
def test_the_shipped_shell_keeps_every_promise_in_the_same_run(arena, name):
    saved = SavedRun.load(SAVED / f"{name}.json")
    assert len(saved.steps) <= MOST_STEPS
    world = replay(saved.steps, arena, shell_class=ContenderShell)
    assert not world.broken, "\n".join(world.story)


def test_a_file_that_is_no_saved_run_is_refused(tmp_path):
    file = tmp_path / "run.json"
    with pytest.raises(LocalViolation, match="no saved run"):
        SavedRun.load(file)
    file.write_text('{"bug": "", "promise": "", "steps": [{"rule": "explode"}]}')
    with pytest.raises(LocalViolation, match="explode"):
        SavedRun.load(file)
    file.write_text("[]")
    with pytest.raises(LocalViolation, match="no saved run"):
        SavedRun.load(file)


def test_a_saved_run_is_read_as_it_was_written(tmp_path):
    saved = SavedRun.load(next(SAVED.glob("*.json")))
    saved.save(tmp_path / "again.json")
    assert SavedRun.load(tmp_path / "again.json") == saved


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SEEDED_BUGS)
def test_the_suite_finds_the_bug_and_shrinks_it(name):
    result = run_campaign(
        examples=500, seed_number=1, shell_class=SEEDED_BUGS[name], with_scenarios=False
    )
    assert result.failure, f"not found in {result.coverage.examples} examples"
    assert result.failure.found_after <= 500
    assert len(result.failure.steps) <= MOST_STEPS, "\n".join(map(str, result.failure.steps))
