from __future__ import annotations

import importlib.util
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from keepstep.testing.election import campaign as campaigns
from keepstep.testing.election.arenas import EnsembleArena

STATEFUL = Path(__file__).parents[1] / "stateful"
SEEDED = "seeded_bugs_of_campaigns"


def _seeded():
    if SEEDED not in sys.modules:
        spec = importlib.util.spec_from_file_location(SEEDED, STATEFUL / "seeded_bugs.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[SEEDED] = module
        spec.loader.exec_module(module)
    return sys.modules[SEEDED]


@pytest.fixture(scope="session")
def ensemble_of_one():
    """An ensemble of one server, for tests that leave it as it was."""
    with EnsembleArena(1) as arena:
        yield arena


@pytest.fixture
def shared_servers(ensemble_of_one, monkeypatch):
    """Lets campaigns on one server use what runs already, where their own start is not tested."""

    def share(size, *, network):
        assert (size, network) == (1, None)
        return nullcontext(ensemble_of_one)

    monkeypatch.setattr(campaigns, "EnsembleArena", share)


@pytest.fixture(scope="session")
def seeded_bugs():
    """Shells with one mistake each, by name."""
    return _seeded().SEEDED_BUGS


@pytest.fixture(scope="session")
def saved_runs():
    """Files with the runs that found them, by name."""
    return {file.stem: file for file in sorted((STATEFUL / "saved").glob("*.json"))}


@pytest.fixture
def shell_name(seeded_bugs):
    """What `--shell` takes for a seeded bug."""
    return lambda bug: f"{SEEDED}:{seeded_bugs[bug].__qualname__}"
