"""Ports that nobody else takes, also while their server is down.

A port that the kernel hands out for an outgoing connection may be gone when a server wants it
back after a restart. So ports are taken from below the range for outgoing connections, and
each is held by a file lock for as long as its owner lives; a lock ends with its process.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from keepstep.errors import LocalViolation, ToolFailed
from keepstep.testing.network.wire import Address

__all__ = ["LOOPBACK", "HeldPort", "hold_port", "is_free"]

LOOPBACK = "127.0.0.1"
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_WIDTH = 8000
_LOWEST = 12000
_PORTS = 65536


class HeldPort:
    """A port of the loopback interface that is ours until it is released.

    Attributes:
        address: The address to listen at.
    """

    def __init__(self, port: int, lock: FileLock) -> None:
        self.address = Address(LOOPBACK, port)
        self._lock = lock

    def release(self) -> None:
        """Let others have the port."""
        self._lock.release()


def _candidates() -> range:
    """Ports below those that the kernel gives to outgoing connections."""
    try:
        first_outgoing = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first_outgoing = 32768
    last = max(first_outgoing, _LOWEST + _WIDTH)
    return range(max(_LOWEST, last - _WIDTH), last)


def is_free(port: int) -> bool:
    """Whether nobody listens at a port of the loopback interface."""
    with socket.socket() as probe:
        # As a Java server does: connections that linger from an earlier one do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def hold_port(wanted: int | None = None) -> HeldPort:
    """Find a free port and hold it.

    Args:
        wanted: This one and no other; any free one by default.

    Raises:
        LocalViolation: The wanted one is no port.
        ToolFailed: It is taken; or all the ports in question are; or nothing can be locked.
    """
    # A folder of our own, because we may not open what another user has locked.
    folder = Path(tempfile.gettempdir()) / f"keepstep-ports-{os.getuid()}"
    try:
        folder.mkdir(exist_ok=True)
        return _held(folder, wanted)
    except OSError as error:
        raise ToolFailed(
            f"ports cannot be held by locks in {folder}: {error}; remove it, or let TMPDIR name a "
            "folder that may be written to"
        ) from error


def _held(folder: Path, wanted: int | None) -> HeldPort:
    if wanted is not None:
        if not 0 < wanted < _PORTS:
            raise LocalViolation(f"{wanted} is no port; there are those from 1 to {_PORTS - 1}")
        if held := _hold(folder, wanted):
            return held
        raise ToolFailed(
            f"port {wanted} is taken by another program; end that one, or name another port"
        )
    candidates = _candidates()
    # Different processes begin at different places, or each would try all that others hold.
    start = os.getpid() * 97 % len(candidates)
    for step in range(len(candidates)):
        if held := _hold(folder, candidates[(start + step) % len(candidates)]):
            return held
    raise ToolFailed(
        f"no port from {candidates[0]} to {candidates[-1]} is free; end some of the servers there"
    )


def _hold(folder: Path, port: int) -> HeldPort | None:
    lock = FileLock(folder / f"{port}.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    try:
        free = is_free(port)
    except OSError:
        free = False
    if free:
        return HeldPort(port, lock)
    lock.release()
    return None
