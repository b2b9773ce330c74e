"""The fast path: servers that many tests share, and a place of its own for each of them.

    with ZooKeeperServer() as server:  # once
        with Room(server) as room:  # for each test
            client = KazooClient(room.hosts)  # sees nothing but its room

A room is a znode that clients take for the root. It takes milliseconds, where a fresh server
takes most of a second. Use fresh servers where a test breaks them, or counts on all they hold.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import Self

from keepstep.errors import LocalViolation, ToolFailed
from keepstep.testing.network.wire import Address, Refusal, WireClient
from keepstep.testing.servers.admin import dump, expire
from keepstep.testing.servers.ensemble import ZooKeeperEnsemble, ZooKeeperServer

__all__ = ["Room"]

_PATIENCE = 5.0


class Room:
    """A part of the tree for one test, removed at its end with the sessions that live in it.

    Args:
        cluster: The servers, which serve already.
        name: Beginning of the znode's name, to be recognised.

    Attributes:
        path: The znode's path as seen from outside.
    """

    def __init__(self, cluster: ZooKeeperServer | ZooKeeperEnsemble, name: str = "room") -> None:
        if "/" in name or not name:
            raise LocalViolation(f"{name!r} cannot be a znode's name")
        self._cluster = cluster
        self.path = f"/{name}-{secrets.token_hex(6)}"

    @property
    def hosts(self) -> str:
        """The connect string, with the room as its root."""
        cluster = self._cluster
        servers = cluster.address if isinstance(cluster, ZooKeeperServer) else cluster.hosts
        return f"{servers}{self.path}"

    def _address(self) -> Address:
        cluster = self._cluster
        return (cluster if isinstance(cluster, ZooKeeperServer) else cluster.leader()).address

    def __enter__(self) -> Self:
        with WireClient(self._address()) as client:
            client.create(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """End the sessions that own ephemerals in the room, and remove it; may be called again.

        Raises:
            ToolFailed: Somebody goes on creating znodes in it.
        """
        deadline = time.monotonic() + _PATIENCE
        address = self._address()
        for session, paths in dump(address).ephemerals.items():
            if any(path.startswith(f"{self.path}/") for path in paths):
                # A client that ends its session at this moment has done it for us.
                with contextlib.suppress(LocalViolation):
                    expire(address, session)
        with WireClient(address) as client:
            while not self._remove(client, self.path):
                if time.monotonic() > deadline:
                    raise ToolFailed(f"the room {self.path} cannot be removed: it fills again")

    def _remove(self, client: WireClient, path: str) -> bool:
        """Remove a znode and all below it; whether nothing came in between."""
        try:
            for name in client.get_children(path):
                self._remove(client, f"{path}/{name}")
            client.delete(path)
        except Refusal as refusal:
            return refusal.name == "NoNode"
        return True
