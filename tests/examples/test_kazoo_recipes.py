"""The page about kazoo's recipes, and the tests that it is about."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import kazoo
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/examples/kazoo-recipes"
PAGE = ROOT / "docs/how-to/test-kazoo-recipes.md"


def code_of_example() -> str:
    return "\n".join(path.read_text() for path in sorted(EXAMPLE.glob("*.py")))


def findings() -> list[str]:
    """The tests of the page's table."""
    return re.findall(r"\| `(test_\w+)` \|$", PAGE.read_text(), re.MULTILINE)


def own_pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Pytest as a reader of the page runs it, with nothing of this run."""
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.zookeeper
def test_every_bug_is_found_and_every_control_is_green() -> None:
    done = own_pytest(str(EXAMPLE), "-v", "--show-capture=no")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    for name in findings():
        for half in ("control", "fault"):
            assert re.search(rf"::{name}\[{half}\] PASSED", done.stdout), f"{name}[{half}]"


@pytest.mark.zookeeper
def test_a_promise_that_is_kept_would_be_noticed(tmp_path: Path) -> None:
    """The example asserts that promises are broken; with a recipe that keeps one it is red."""
    for path in EXAMPLE.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_text(path.read_text())
    mended = tmp_path / "test_parties.py"
    text = mended.read_text()
    again = "    if fault:\n        alice.lose_session()\n"
    assert text.count(again) == 1
    mended.write_text(text.replace(again, f"{again}        party.join()\n"))
    done = own_pytest(str(mended), "-k", "seen_by_others", "--show-capture=no")
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "assert True is not True" in done.stdout


def test_the_page_shows_what_is_run() -> None:
    code = code_of_example()
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown = [block for block in blocks if "def " in block]
    assert len(shown) == 2
    assert all(block in code for block in shown)


def test_the_page_names_every_finding_and_no_other() -> None:
    tests = re.findall(r"^def (test_\w+)\((?:.|\n)*?\) -> None", code_of_example(), re.MULTILINE)
    with_control = [
        name
        for name in tests
        if re.search(rf"def {name}\([^)]*fault: bool", code_of_example())
        and name != "test_what_kazoo_does_right_is_green"
    ]
    assert sorted(findings()) == sorted(with_control)
    assert len(findings()) >= 8
    assert "eleven" in PAGE.read_text()
    assert len(findings()) == 11


def test_the_page_is_about_the_kazoo_that_is_installed() -> None:
    version = ".".join(kazoo.__version__.split(".")[:2])
    assert f"version {version}" in PAGE.read_text()
