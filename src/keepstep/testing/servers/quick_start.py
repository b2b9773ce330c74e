"""An archive of the server's classes, with which Java starts in half the time.

Most of a server's start is Java loading classes, which it can also take from an archive. That is
made once for each installation, from what one server loads, and kept in the user's cache. Whatever
goes wrong with it costs time only: Java itself refuses an archive that does not fit.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from keepstep.checkers.toolchain import cache_folder
from keepstep.errors import KeepstepError
from keepstep.testing.servers.installation import Installation

__all__ = ["class_archive"]

_FOLDER = "server-classes"
_MOST_ARCHIVES = 4
_PATIENCE = 120.0
_TRIED_AGAIN_AFTER = 86400.0

Serve = Callable[[tuple[str, ...]], None]

_known: dict[str, Path | None] = {}


def class_archive(installation: Installation, options: Sequence[str], serve: Serve) -> Path | None:
    """The archive for an installation, made now if there is none yet; None to go without.

    Args:
        installation: Java and the server's jars.
        options: The options of the Java machine that all servers share.
        serve: Runs a server with further options of the Java machine, has it do what servers do,
            and ends it.
    """
    key = _key(installation, options)
    if key not in _known:
        try:
            _known[key] = _found_or_made(key, installation, options, serve)
        except (KeepstepError, OSError, subprocess.SubprocessError):
            # It was to save time; the server starts without it.
            _known[key] = None
    return _known[key]


def _key(installation: Installation, options: Sequence[str]) -> str:
    """What an archive fits to: Java compares the same, and refuses it otherwise."""
    parts = [*options]
    for path in (installation.java, *installation.classpath):
        there = path.stat() if path.exists() else None
        parts += [str(path), f"{there.st_size} {there.st_mtime_ns}" if there else "absent"]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def _found_or_made(
    key: str, installation: Installation, options: Sequence[str], serve: Serve
) -> Path | None:
    folder = cache_folder(_FOLDER)
    archive, vain = folder / f"{key}.jsa", folder / f"{key}.vain"
    if archive.exists():
        return archive
    try:
        with FileLock(folder / f"{key}.lock", timeout=0):
            if archive.exists():
                return archive
            if vain.exists() and time.time() - vain.stat().st_mtime < _TRIED_AGAIN_AFTER:
                return None
            for left in folder.glob(f"{key}-*"):
                # Of a run that was killed meanwhile: whoever makes it holds the lock.
                shutil.rmtree(left, ignore_errors=True)
            # What failed for one process is not tried again by the next one.
            vain.touch()
            try:
                made = _make(archive, installation, options, serve)
            except (KeyboardInterrupt, SystemExit):
                # An interrupt says nothing about the archive.
                vain.unlink()
                raise
            if made:
                vain.unlink()
                _forget_old_ones(folder)
            return made
    except Timeout:
        # Another process makes it now.
        return None


def _make(
    archive: Path, installation: Installation, options: Sequence[str], serve: Serve
) -> Path | None:
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=f"{archive.stem}-") as scratch:
        classes, made = Path(scratch) / "classes.txt", Path(scratch) / "classes.jsa"
        serve((f"-XX:DumpLoadedClassList={classes}",))
        done = subprocess.run(
            [
                str(installation.java),
                *options,
                "-Xshare:dump",
                f"-XX:SharedClassListFile={classes}",
                f"-XX:SharedArchiveFile={made}",
                "-cp",
                os.pathsep.join(map(str, installation.classpath)),
            ],
            capture_output=True,
            check=False,
            timeout=_PATIENCE,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode or not made.exists():
            return None
        made.replace(archive)
    return archive


def _forget_old_ones(folder: Path) -> None:
    archives = sorted(folder.glob("*.jsa"), key=lambda path: path.stat().st_mtime)
    for old in archives[:-_MOST_ARCHIVES]:
        old.unlink(missing_ok=True)
