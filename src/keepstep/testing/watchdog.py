"""Ends what a test run started, when the run itself can no longer do so.

One such process stands beside each Python process that starts servers, and reads a pipe of
which only that process holds the other end. When the pipe closes, for whatever reason, the
process groups that are still noted are killed and their directories removed. It is run as a
file, without any other module of Keepstep, so that it starts in milliseconds.

A line `+ GROUP DIRECTORY` notes a process group, a line `- GROUP` forgets it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Read notes until the pipe closes, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    noted: dict[int, str] = {}
    for line in sys.stdin:
        sign, group, *directory = line.rstrip("\n").split(" ", 2)
        if sign == "+":
            noted[int(group)] = directory[0]
        else:
            noted.pop(int(group), None)
    for group in noted:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for left in noted.values():
        shutil.rmtree(left, ignore_errors=True)


if __name__ == "__main__":
    main()
