"""Output that cannot be written is told in one sentence, and is no verdict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "from keepstep.cli.main import main; main()"
FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_no_verdict() -> None:
    with FULL.open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, "check", "--list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 2
    assert ended.stderr.startswith("keepstep: the output could not be written")
    assert "Traceback" not in ended.stderr


def test_the_same_command_with_room_succeeds() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, "check", "--list"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0
    assert ended.stdout
