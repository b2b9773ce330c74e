"""People who use kazoo's recipes, each behind a proxy of their own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from kazoo.client import KazooClient

from keepstep.errors import ToolFailed
from keepstep.testing import FaultProxy, ZooKeeperServer, dump, expire

__all__ = ["Peer", "wait_until"]

SESSION_TIMEOUT = 4.0
PATIENCE = 10.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            message = f"it did not happen in {PATIENCE:.0f} s: {what}"
            raise AssertionError(message)
        time.sleep(0.002)


class Peer:
    """A kazoo client whose connections pass a proxy that can break them.

    Args:
        server: The server behind the proxy.
        kind: The class of the client.
    """

    def __init__(self, server: ZooKeeperServer, kind: type[KazooClient] = KazooClient) -> None:
        self.server = server
        self.proxy = FaultProxy(server.address)
        # kazoo waits longer after each attempt by default, in the end for an hour.
        often = {"max_tries": -1, "delay": 0.01, "backoff": 1, "max_delay": 0.02}
        self.kazoo = kind(str(self.proxy.address), timeout=SESSION_TIMEOUT, connection_retry=often)
        try:
            self.kazoo.start()
        except BaseException:
            self.close()
            raise

    @property
    def session(self) -> int:
        """The session that kazoo has now; 0 while it has none."""
        identity = self.kazoo.client_id
        return identity[0] if identity else 0

    def owns(self, path: str) -> bool:
        """Whether a znode is there and belongs to our session, asked of the server."""
        return self.session != 0 and dump(self.server.address).owner(path) == self.session

    def lose_connection(self) -> None:
        """Cut the connection; kazoo comes back with its session."""
        before = self.session
        self.proxy.cut()
        self.come_back()
        assert self.session == before

    def lose_session(self) -> None:
        """Let the server end the session; kazoo comes back with another."""
        before = self.session
        # Where kazoo comes back at the same moment, the server may still be at it when we look.
        with contextlib.suppress(ToolFailed):
            expire(self.server.address, before)
        wait_until(lambda: before not in dump(self.server.address).alive, "the session has ended")
        wait_until(lambda: self.session not in {0, before}, "kazoo has another session")
        self.come_back()

    def give_up_session(self) -> int:
        """Start kazoo anew while the server cannot be reached, so that it never hears of it.

        Returns:
            The session that was given up. The server keeps it, and its ephemerals, until it
            times out.
        """
        before = self.session
        self.proxy.refuse()
        self.kazoo.stop()
        self.proxy.accept()
        self.kazoo.start()
        assert before in dump(self.server.address).alive
        return before

    def come_back(self) -> None:
        """Wait until kazoo has a connection and has had an answer on it."""
        wait_until(lambda: self.kazoo.connected, "kazoo is connected")
        self.kazoo.retry(self.kazoo.exists, "/")

    def close(self) -> None:
        """End the session and the proxy."""
        self.proxy.heal()
        self.kazoo.stop()
        self.kazoo.close()
        self.proxy.close()
