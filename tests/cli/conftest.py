from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keepstep.checkers.toolchain import find_tlc

MUTEX = Path(__file__).parents[1] / "checkers/fixtures/mutex"
PROGRAM = "from keepstep.cli.main import main; main()"

Keepstep = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The mutex, in a folder that the test may change."""
    root = tmp_path / "project"
    shutil.copytree(MUTEX, root)
    return root


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """The environment of the commands: an empty cache, and nothing named."""
    named = {"APALACHE_HOME", "TLA2TOOLS_JAR", "ZOOKEEPER_HOME", "KEEPSTEP_JAVA", "JAVA_HOME"}
    found = {name: value for name, value in os.environ.items() if name not in named}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    cache = str(tmp_path / "cache")
    return {**found, "KEEPSTEP_CACHE_DIR": cache, "TMPDIR": str(scratch), "PATH": "/usr/bin:/bin"}


@pytest.fixture
def with_tlc(variables: dict[str, str]) -> None:
    """TLC from the user's cache."""
    variables["TLA2TOOLS_JAR"] = str(find_tlc().jar)


@pytest.fixture
def keepstep(place: Path, variables: dict[str, str]) -> Keepstep:
    """Run the command in the project's folder."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            cwd=place,
            env={**variables, **more},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
