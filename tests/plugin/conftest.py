"""The example project of the documentation, to be imported and to be run as a user would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs/examples/lease-lock"


@pytest.fixture
def example(monkeypatch):
    """The example's folder, its modules importable."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.syspath_prepend(str(EXAMPLE / "tests"))
    return EXAMPLE


@pytest.fixture
def copied_example(tmp_path):
    """A copy of the example that a test may change."""
    folder = tmp_path / "lease-lock"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return folder


@pytest.fixture
def run_pytest(tmp_path):
    """Run pytest in a folder, in a process of its own."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments],
            cwd=folder, capture_output=True, text=True, check=False, env=inherited,
        )  # fmt: skip

    return run


@pytest.fixture
def run_tests(tmp_path, run_pytest):
    """Run the text of a test module."""

    def run(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "written"
        folder.mkdir(exist_ok=True)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
        (folder / "test_written.py").write_text(text)
        return run_pytest(folder, *arguments)

    return run
