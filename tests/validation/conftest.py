from __future__ import annotations

import pytest

from keepstep.testing.election.arenas import Arena
from keepstep.testing.election.coverage import Coverage
from keepstep.testing.election.recorder import ElectionRecorder
from keepstep.testing.election.suite import replay
from keepstep.testing.election.world import ElectionWorld, Step
from keepstep.tla.sources import Project, shipped_root
from keepstep.validation.validator import load_validator


@pytest.fixture(scope="session")
def project():
    return Project(shipped_root())


@pytest.fixture(scope="session")
def validator(project):
    return load_validator(project)


@pytest.fixture(scope="module")
def arena():
    with Arena() as arena:
        yield arena


@pytest.fixture(scope="module")
def record(arena):
    """Do steps on a real server, with or without what follows each example; the recording."""

    def run(steps, *, finish=True, **options):
        recorder = ElectionRecorder(source="test", seed=1)
        if finish:
            replay(steps, arena, recorder=recorder, **options)
            return recorder.recording
        world = ElectionWorld(arena, Coverage(), recorder=recorder, **options)
        try:
            for step in steps:
                world.perform(step)
        finally:
            world.close()
        return recorder.recording

    return run


@pytest.fixture(scope="module")
def handover(record):
    """Two contenders; the leader writes, resigns, and the other one leads."""
    return record(
        [
            Step("begin", {"count": 2}),
            Step("write", {"who": "leader"}),
            Step("resign", {"who": "leader"}),
            Step("run"),
        ],
        finish=False,
    )
