"""A network of its own for each server, so that the kernel itself separates them.

Everything happens in a private network namespace, never in the machine's own network. The
process that starts the servers has to be in one already:

    unshare -Urn keepstep zookeeper --servers 3 --namespaces

There each server gets a namespace, an address and a cable to a common switch. A partition is a
route that leads nowhere, on both sides: what the servers have sent each other is lost, and sent
again by the kernel when the route is gone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Self

from keepstep.errors import LocalViolation, ToolFailed, ToolMissing

__all__ = ["Network", "why_no_namespaces"]

_SWITCH = "keepstep0"
_CABLE = "kscable"
_SUBNET = "10.77.0"
_OURS = f"{_SUBNET}.254"
_MOST = 200
# The kernel puts these into each new namespace, as far as their modules are loaded.
_IN_EVERY_NAMESPACE = ("tunl", "gre", "erspan", "sit", "ip6tnl", "ip6gre", "ip_vti", "ip6_vti")
_NEEDED = ("ip", "nsenter", "unshare")


def _interfaces() -> list[str]:
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    return [line.partition(":")[0].strip() for line in lines]


def why_no_namespaces() -> str:
    """Why this process cannot make networks; empty if it can, as far as can be seen."""
    missing = [tool for tool in _NEEDED if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} is not there; install iproute2 and util-linux"
    if not Path("/proc/net/dev").exists():
        return "network namespaces exist on Linux only"
    known = ("lo", _SWITCH, _CABLE, *_IN_EVERY_NAMESPACE)
    strangers = [name for name in _interfaces() if not name.startswith(known)]
    if strangers:
        return (
            f"this process is in the machine's own network ({', '.join(strangers)}); "
            "start it with `unshare -Urn`"
        )
    return ""


class Network:
    """A switch, and one namespace with an address for each server.

    Args:
        size: Number of servers.

    Raises:
        LocalViolation: The size is none, or there is a network here that was not closed.
        ToolMissing: A tool is not there.
        ToolFailed: This process is in the machine's own network, or may not make networks.
    """

    def __init__(self, size: int) -> None:
        if not 0 < size < _MOST:
            raise LocalViolation(f"a network has between 1 and {_MOST - 1} servers, not {size}")
        if reason := why_no_namespaces():
            missing = "is not there" in reason
            raise (ToolMissing if missing else ToolFailed)(f"no network namespaces: {reason}")
        if _SWITCH in _interfaces():
            raise LocalViolation("there is such a network here already; close() it first")
        self._holders: dict[int, subprocess.Popen[bytes]] = {}
        self._separated: set[tuple[int, int]] = set()
        try:
            self._build(range(1, size + 1))
        except BaseException:
            self.close()
            raise

    def _build(self, numbers: range) -> None:
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", _SWITCH, "type", "bridge")
        _run("ip", "address", "add", f"{_OURS}/24", "dev", _SWITCH)
        _run("ip", "link", "set", _SWITCH, "up")
        for number in numbers:
            # It lives as long as its standard input is open, so not longer than this process.
            holder = subprocess.Popen(
                [_path("unshare"), "-n", "sh", "-c", "echo ready; read line"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # An interrupt from the terminal is ours to obey, when the servers have ended.
                start_new_session=True,
            )
            self._holders[number] = holder
            if holder.stdout is None or holder.stdout.readline() != b"ready\n":
                raise ToolFailed("the kernel does not allow this process a network namespace")
            cable = f"{_CABLE}{number}"
            _run(
                *("ip", "link", "add", cable, "type", "veth"),
                *("peer", "name", "eth0", "netns", str(holder.pid)),
            )
            _run("ip", "link", "set", cable, "master", _SWITCH, "up")
            self._inside(number, "ip", "link", "set", "lo", "up")
            self._inside(number, "ip", "address", "add", f"{self.host(number)}/24", "dev", "eth0")
            self._inside(number, "ip", "link", "set", "eth0", "up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def host(self, number: int) -> str:
        """The address of a server."""
        return f"{_SUBNET}.{number}"

    def prefix(self, number: int) -> tuple[str, ...]:
        """What to put before a command so that it runs in a server's namespace."""
        return (_path("nsenter"), f"--net=/proc/{self._holders[number].pid}/ns/net", "--")

    def _inside(self, number: int, *command: str) -> None:
        _run(*self.prefix(number), *command)

    def separate(self, one: int, other: int) -> None:
        """Let no packet pass between two servers."""
        if (one, other) in self._separated or (other, one) in self._separated:
            return
        self._separated.add((one, other))
        for here, there in ((one, other), (other, one)):
            self._inside(here, "ip", "route", "add", "blackhole", f"{self.host(there)}/32")

    def rejoin(self, one: int, other: int) -> None:
        """End `separate`."""
        for pair in {(one, other), (other, one)} & self._separated:
            for here, there in (pair, pair[::-1]):
                self._inside(here, "ip", "route", "del", "blackhole", f"{self.host(there)}/32")
            self._separated.discard(pair)

    def rejoin_all(self) -> None:
        """End every `separate`."""
        for one, other in list(self._separated):
            self.rejoin(one, other)

    def close(self) -> None:
        """Remove the network; may be called again."""
        for number, holder in list(self._holders.items()):
            if holder.stdin:
                holder.stdin.close()
            holder.wait()
            if holder.stdout:
                holder.stdout.close()
            del self._holders[number]
            subprocess.run(
                [_path("ip"), "link", "del", f"{_CABLE}{number}"], capture_output=True, check=False
            )
        if _SWITCH in _interfaces():
            _run("ip", "link", "del", _SWITCH)


def _path(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        raise ToolMissing(f"{tool} is not there; install iproute2 and util-linux")
    return found


def _run(*command: str) -> None:
    done = subprocess.run(
        [_path(os.fspath(command[0])), *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise ToolFailed(f"the kernel does not allow it: {' '.join(command)}: {said}")
