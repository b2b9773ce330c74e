"""The rules of the repository that a tool can check: style, types, layers, generated files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name(command[0])
    return subprocess.run(
        [str(tool), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("lint-imports",),
    ],
    ids=["lint", "format", "types", "layers"],
)
def test_the_tree_passes(command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_text_names_a_place_of_one_machine() -> None:
    """Paths of a home or of a workplace, and hosts of registries, do not belong in the tree."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    forbidden = ["/ro" + "ot/", "/wo" + "rk/", "repo1." + "maven", "pypi" + ".org"]
    found = [
        f"{name}: {word}"
        for name in listed
        if (ROOT / name).is_file()
        for word in forbidden
        if word.encode() in (ROOT / name).read_bytes()
    ]
    assert found == []


def test_every_module_has_a_docstring_that_says_something() -> None:
    empty = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "src").rglob("*.py")
        if "TODO" in path.read_text(encoding="utf-8").partition("\n")[0]
    ]
    assert empty == []
