"""Ends what a test run started, when the run itself can no longer do so.

One such process stands beside each Python process that starts servers, and reads a pipe of
which only that process holds the other end. When the pipe closes, for whatever reason, the
process groups that are still noted are killed and the directories that are still noted are
removed. It is run as a file, without any other module of Keepstep, so that it starts in
milliseconds.

Lines are `+ directory PATH`, `- directory PATH`, `+ group NUMBER PATH`, `- group NUMBER` and
`+ mark WORD`, where a group's path is the working directory of its first process. A process that
was started at the very moment of the end is not noted yet: it is known by its environment, in
which the variable `MARK` is the word.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys

__all__ = ["MARK", "main"]

MARK = "KEEPSTEP_ENDS_WITH"
"""The variable that is the mark of processes which end with the one that started them."""


def main() -> None:
    """Read notes until the pipe closes, then end what is left."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    groups: dict[int, str] = {}
    directories: set[str] = set()
    marks: set[str] = set()
    # Bytes, because a path need not be text.
    for line in sys.stdin.buffer:
        sign, kind, rest = os.fsdecode(line).rstrip("\n").split(" ", 2)
        if kind == "group":
            group, _, path = rest.partition(" ")
            if sign == "+":
                groups[int(group)] = path
            else:
                groups.pop(int(group), None)
        elif kind == "mark":
            marks.add(rest)
        elif sign == "+":
            directories.add(rest)
        else:
            directories.discard(rest)
    _end_groups(groups)
    for number in _marked(marks):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(number, signal.SIGKILL)
    for left in directories:
        shutil.rmtree(left, ignore_errors=True)


def _end_groups(groups: dict[int, str]) -> None:
    for number, path in groups.items():
        if _is_still_ours(number, path):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # A process that was stopped is killed all the same, and runs no further.
                os.killpg(number, signal.SIGKILL)


def _is_still_ours(group: int, path: str) -> bool:
    """Whether the number was not given to another process since; Linux tells, others do not."""
    try:
        cwd = os.readlink(f"/proc/{group}/cwd")  # noqa: PTH115 - pathlib loads slowly
        return cwd.removesuffix(" (deleted)") == path
    except FileNotFoundError:
        return not os.path.isdir("/proc/self")  # noqa: PTH112 - pathlib loads slowly
    except OSError:
        return False


def _marked(marks: set[str]) -> list[int]:
    """The processes that bear one of the marks; Linux tells, others do not."""
    wanted = {os.fsencode(f"{MARK}={mark}") for mark in marks}
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:  # noqa: PTH112, PTH208 - as above
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environment:  # noqa: PTH123 - as above
                if wanted & set(environment.read().split(b"\0")):
                    found.append(int(name))
    return found


if __name__ == "__main__":
    main()
