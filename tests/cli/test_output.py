"""Output that cannot be written is told in one sentence, and is no verdict."""

from __future__ import annotations

import os
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


def test_a_reader_that_has_gone_is_no_verdict() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as unread:
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, "check", "--list"],
            stdout=unread,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.parametrize("closed", [1, 2])
def test_closed_output_is_written_to_nobody(closed: int) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" check --list {closed}>&-', sys.executable, PROGRAM],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False)


def test_an_interrupt_that_comes_up_as_another_error_is_an_interrupt() -> None:
    # As when it comes while Python makes a class, in the middle of an import.
    program = """
import sys
from keepstep.cli import main

class Interrupted:
    def __set_name__(self, owner, name):
        raise KeyboardInterrupt

def run(arguments, **options):
    type("Made", (), {"field": Interrupted()})

main.group.main = run
main.main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (130, False)


def test_any_other_error_is_not_taken_for_an_interrupt() -> None:
    program = """
from keepstep.cli import main

def run(arguments, **options):
    raise RuntimeError("unexpected")

main.group.main = run
main.main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, "RuntimeError: unexpected" in ended.stderr) == (1, True)
