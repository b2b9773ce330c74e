"""Run a tool so that nothing of it is left behind, whatever happens.

Each tool gets a process group of its own, a folder of its own for everything it writes, a
time limit and a place for its output. When Keepstep is interrupted, every group is ended
and waited for.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
import weakref
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from filelock import FileLock, Timeout

from keepstep.errors import ToolFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["Finished", "Stopped", "Supervisor", "java_command", "scratch_folder"]

WATCH_SECONDS = 0.5
"""How often the memory of a tool is looked at."""

GRACE_SECONDS = 2.0
"""How long a group may take to end after SIGTERM, before SIGKILL."""

_LOCALE = {"LC_ALL": "C.UTF-8"}
"""Java reads and writes the names of files as the locale says, and ours may be any letters."""

_SCRATCH = "keepstep-scratch-"
_IN_USE = "in-use.lock"
_SETTLED_SECONDS = 60.0
"""A folder that is younger may be about to be locked by whoever has just made it."""

Ended = Literal["itself", "timeout", "memory"]


class Stopped(Exception):
    """The supervisor was told to stop while the tool was running, or before."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a tool ended.

    Attributes:
        exit_code: Its exit code; negative is the number of the signal that ended it.
        ended: By itself, or because its time was up or its memory too large.
        seconds: How long it ran.
        output: The file with all that it wrote to standard output and error.
    """

    exit_code: int
    ended: Ended
    seconds: float
    output: Path

    def lines(self) -> Iterator[str]:
        """The output line by line, without line ends."""
        with self.output.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                yield line.rstrip("\r\n")


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder that is gone afterwards.

    Where a process of ours was killed before it could remove its own, a later one does.
    """
    _remove_forsaken(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_SCRATCH))
    try:
        with FileLock(folder / _IN_USE):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@lru_cache(maxsize=1)
def _remove_forsaken(parent: Path) -> None:
    """Remove scratch folders of this user that nobody uses any more; looked for once."""
    for folder in parent.glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError, Timeout):
            made = folder.lstat()
            settled = time.time() - made.st_mtime > _SETTLED_SECONDS
            if settled and made.st_uid == os.getuid() and stat.S_ISDIR(made.st_mode):
                # The system frees the lock of a process that has ended, however it did.
                with FileLock(folder / _IN_USE, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)


def java_command(
    java: Path,
    classpath: Sequence[Path],
    main: str,
    arguments: Sequence[str],
    *,
    memory_mb: int,
    folder: Path,
    options: Sequence[str] = (),
) -> list[str]:
    """The command line of a Java program with a memory limit and temporary files in `folder`."""
    return [
        str(java),
        f"-Xmx{memory_mb}m",
        f"-Djava.io.tmpdir={folder}",
        "-Dfile.encoding=UTF-8",
        *options,
        "-cp",
        os.pathsep.join(str(path) for path in classpath),
        main,
        *arguments,
    ]


class Supervisor:
    """Starts tools, and ends all that still run when it is told to.

    Tools may be run from several threads; `end_all` may be called from any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[int, subprocess.Popen[str]] = {}
        self._stopping = False
        _SUPERVISORS.add(self)

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        output: Path,
        seconds: float,
        on_start: Callable[[int], None] | None = None,
        on_line: Callable[[str], None] | None = None,
        environment: Mapping[str, str] | None = None,
        memory_mb: int | None = None,
    ) -> Finished:
        """Run a tool to its end, or until its time is up.

        Args:
            command: The command line, starting with a path.
            folder: Where it runs; TMPDIR too is set to it.
            output: The file that gets all that it writes.
            seconds: How long it may run.
            on_start: Called with its process id once it runs.
            on_line: Called with each line that it writes.
            environment: Variables on top of ours.
            memory_mb: How much it may hold of the machine's memory, its children included.

        Raises:
            ToolFailed: It cannot be started.
            Stopped: `end_all` was called.
        """
        began = time.monotonic()
        watch = _Watch(seconds, memory_mb)
        with output.open("w", encoding="utf-8") as stream:
            process = self._start(command, folder, environment)
            thread = threading.Thread(target=watch.until_end, args=(process,), daemon=True)
            thread.start()
            try:
                if on_start is not None:
                    on_start(process.pid)
                _copy_lines(process, stream, on_line)
                process.wait()
            finally:
                watch.over.set()
                thread.join()
                self._end(process)
        if self._stopping:
            raise Stopped
        return Finished(
            process.returncode,
            watch.ended,
            time.monotonic() - began,
            output,
        )

    def _start(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None
    ) -> subprocess.Popen[str]:
        variables = {**os.environ, "TMPDIR": str(folder), **_LOCALE, **(environment or {})}
        # Options of the user's other Java programs must not change what ours do.
        for name in ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"):
            variables.pop(name, None)
        if shutil.which(command[0]) is None:
            raise ToolFailed(f"cannot start {command[0]}: it is not there, or is no program")
        with self._lock:
            if self._stopping:
                raise Stopped
            try:
                process = subprocess.Popen(
                    [*_ending_with_us(), *command],
                    cwd=folder,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                raise ToolFailed(f"cannot start {command[0]}: {error.strerror}") from None
            self._live[process.pid] = process
            return process

    def _end(self, process: subprocess.Popen[str]) -> None:
        _end_group(process)
        if process.stdout is not None:
            process.stdout.close()
        with self._lock:
            self._live.pop(process.pid, None)

    def end_all(self) -> None:
        """End every tool that runs, wait for it, and start no other."""
        with self._lock:
            self._stopping = True
            live = list(self._live.values())
        for process in live:
            _signal_group(process, signal.SIGTERM)
        for process in live:
            _end_group(process)


@lru_cache(maxsize=1)
def _ending_with_us() -> tuple[str, ...]:
    """What makes the system end a tool even if Keepstep is killed, where the system can do that."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", "KILL")
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return (*prefix, "--") if tried.returncode == 0 else ()


class _Watch:
    """Ends a tool whose time is up, or that holds too much memory."""

    def __init__(self, seconds: float, memory_mb: int | None) -> None:
        self.over = threading.Event()
        self.ended: Ended = "itself"
        self._deadline = time.monotonic() + seconds
        self._memory_mb = memory_mb

    def until_end(self, process: subprocess.Popen[str]) -> None:
        while True:
            left = self._deadline - time.monotonic()
            wait = left if self._memory_mb is None else min(left, WATCH_SECONDS)
            if self.over.wait(max(0.0, wait)):
                return
            if time.monotonic() >= self._deadline:
                self.ended = "timeout"
            elif self._memory_mb is not None and _resident_mb(process.pid) > self._memory_mb:
                self.ended = "memory"
            if self.ended != "itself":
                _end_group(process)
                return


def _resident_mb(pid: int) -> float:
    """What a process and its children hold of the machine's memory; 0 if it has ended."""
    import psutil

    try:
        parent = psutil.Process(pid)
        held = sum(one.memory_info().rss for one in [parent, *parent.children(recursive=True)])
    except psutil.Error:
        return 0.0
    return float(held) / 2**20


_SUPERVISORS: weakref.WeakSet[Supervisor] = weakref.WeakSet()


@atexit.register
def _end_everything() -> None:
    for supervisor in list(_SUPERVISORS):
        supervisor.end_all()


def _copy_lines(
    process: subprocess.Popen[str], stream: IO[str], on_line: Callable[[str], None] | None
) -> None:
    if process.stdout is None:
        return
    for line in process.stdout:
        stream.write(line)
        if on_line is not None:
            on_line(line.rstrip("\r\n"))


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    # The group outlives its leader as long as a child of it runs, so the leader's end does
    # not tell that the group is gone.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _end_group(process: subprocess.Popen[str]) -> None:
    """End a process group politely, then by force, and reap its leader."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()
    _signal_group(process, signal.SIGKILL)
