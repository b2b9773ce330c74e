"""Where the test servers' programs are."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from keepstep.checkers.toolchain import find_java, find_zookeeper

__all__ = ["zookeeper_command"]


@cache
def zookeeper_command() -> tuple[Path, tuple[Path, ...]]:
    """Java's launcher and the class path of a ZooKeeper server.

    Found once for each process, because each search compares the hash of every jar.

    Raises:
        ToolMissing: Java is not there, or a jar is neither there nor can be fetched.
        ToolFailed: A jar is not what was pinned.
    """
    return find_java().path, find_zookeeper().classpath
