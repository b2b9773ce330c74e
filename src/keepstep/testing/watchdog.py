"""Ends what a test run started, when the run itself can no longer do so.

One such process stands beside each Python process that starts servers, and reads a pipe of
which only that process holds the other end. When the pipe closes, for whatever reason, the
process groups that are still noted are killed and the directories that are still noted are
removed. It is run as a file, without any other module of Keepstep, so that it starts in
milliseconds.

Lines are `+ directory PATH`, `- directory PATH`, `+ group NUMBER PATH` and `- group NUMBER`, where
a group's path is the working directory of its first process.
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
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    groups: dict[int, str] = {}
    directories: set[str] = set()
    # Bytes, because a path need not be text.
    for line in sys.stdin.buffer:
        sign, kind, rest = os.fsdecode(line).rstrip("\n").split(" ", 2)
        if kind == "group":
            group, _, path = rest.partition(" ")
            if sign == "+":
                groups[int(group)] = path
            else:
                groups.pop(int(group), None)
        elif sign == "+":
            directories.add(rest)
        else:
            directories.discard(rest)
    for number, path in groups.items():
        if _is_still_ours(number, path):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # A process that was stopped is killed all the same, and runs no further.
                os.killpg(number, signal.SIGKILL)
    for left in directories:
        shutil.rmtree(left, ignore_errors=True)


def _is_still_ours(group: int, path: str) -> bool:
    """Whether the number was not given to another process since; Linux tells, others do not."""
    try:
        cwd = os.readlink(f"/proc/{group}/cwd")  # noqa: PTH115 - pathlib loads slowly
        return cwd.removesuffix(" (deleted)") == path
    except FileNotFoundError:
        return not os.path.isdir("/proc/self")  # noqa: PTH112 - pathlib loads slowly
    except OSError:
        return False


if __name__ == "__main__":
    main()
