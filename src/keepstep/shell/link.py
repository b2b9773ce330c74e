"""The one module that knows the inside of kazoo.

A `Link` is a client together with what kazoo does not offer: a number for each connection, a
lock that keeps requests out of a connection that is known to be down, the session timeout
that the server granted, and ways to cut the connection without ending the session. It relies
on private parts of kazoo 2.11; tests/shell/test_link.py holds it to them.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from kazoo.client import KazooClient
from kazoo.exceptions import ConfigurationError
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import KazooState, KeeperState
from kazoo.version import __version__ as kazoo_version

from keepstep.errors import LocalViolation
from keepstep.shell.inbox import Answer, Arrival, LinkDown, LinkEnded, LinkUp

__all__ = ["SUPPORTED_KAZOO", "AsyncResult", "Call", "Link", "connect", "validate_client"]

SUPPORTED_KAZOO = "2.11"

_LOG = logging.getLogger(__name__)
_OURS = frozenset({"hosts", "timeout", "client_id", "handler", "read_only", "connection_retry"})
_GRANTED = "_keepstep_granted"
_NUMBERS = 2**20
"""Requests that one connection may number before it comes to the numbers of the next."""
_LARGEST_NUMBER = 2**31 - 1


class AsyncResult(Protocol):
    """What kazoo's calls ending in `_async` return."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002
        """The result; raises what the call failed with."""

    def rawlink(self, callback: Callable[[AsyncResult], None]) -> None:
        """Have it called back with itself, on a thread of kazoo."""


Call = Callable[[KazooClient], AsyncResult]
"""A request that is submitted to kazoo and not waited for."""


class _PromptHandler(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads, but one host that swallows packets must not cost us the session.

    Args:
        patience: Seconds to wait for a TCP connection; kazoo waits a whole session timeout.
    """

    def __init__(self, patience: float) -> None:
        super().__init__()
        self._patience = patience

    def create_connection(self, *args: Any, **options: Any) -> Any:
        """Connect in limited time."""
        options["timeout"] = min(options.get("timeout") or self._patience, self._patience)
        return super().create_connection(*args, **options)


def connect(hosts: str, session_timeout: float, options: Mapping[str, Any]) -> KazooClient:
    """A client of our own, not started yet.

    Args:
        hosts: As kazoo takes it, for example "zk1:2181,zk2:2181/chroot".
        session_timeout: Seconds.
        options: Further arguments of KazooClient, for TLS, authentication and the like.

    Raises:
        LocalViolation: The hosts or an option cannot be used.
    """
    if not isinstance(hosts, str) or not hosts.strip():
        raise LocalViolation(f"hosts must be a text such as 'zk1:2181,zk2:2181', not {hosts!r}")
    reserved = sorted(_OURS.intersection(options))
    if reserved:
        raise LocalViolation(f"the client option {reserved[0]!r} is decided by the election itself")
    ports = [part.rpartition(":")[2] for part in hosts.partition("/")[0].split(",")]
    if any(part.isdigit() and not 0 < int(part) < 65536 for part in ports):
        raise LocalViolation(f"hosts {hosts!r} has a port that is not between 1 and 65535")
    try:
        return KazooClient(
            hosts,
            timeout=session_timeout,
            handler=_PromptHandler(session_timeout / 3),
            # kazoo's own backoff grows to an hour; ours must stay far below a session timeout.
            connection_retry={
                "max_tries": -1,
                "delay": min(0.05, session_timeout / 40),
                "backoff": 1.5,
                "max_delay": session_timeout / 10,
            },
            **options,
        )
    except (TypeError, ValueError, ConfigurationError) as error:
        raise LocalViolation(f"no client can be made for {hosts!r}: {error}") from error


def validate_client(client: object) -> float:
    """Return the session timeout, in seconds, that a client which was handed in asks for.

    Raises:
        LocalViolation: The client cannot serve an election; the message says how to make
            one that can.
    """
    if not isinstance(client, KazooClient):
        raise LocalViolation(f"client must be a KazooClient, not {type(client).__name__}")
    timeout = float(client._session_timeout) / 1000  # noqa: SLF001
    retry = client._connection.retry_sleeper  # noqa: SLF001
    if retry.max_tries != -1 or retry.deadline is not None:
        raise LocalViolation(
            "the client gives up reconnecting; make it with"
            " connection_retry=dict(max_tries=-1, ...) and no deadline"
        )
    longest = max(retry.max_delay, retry.delay)
    if longest > timeout / 10:
        raise LocalViolation(
            f"the client waits up to {longest:g} s before it reconnects; make it with"
            f" connection_retry=dict(max_tries=-1, delay=0.05, max_delay={timeout / 10:g}),"
            " a tenth of its session timeout"
        )
    if client.read_only:
        raise LocalViolation("the client accepts read-only servers; make it with read_only=False")
    if not isinstance(client.handler, SequentialThreadingHandler):
        raise LocalViolation("the client must use kazoo's SequentialThreadingHandler")
    return timeout


class Link:
    """A client, its connections counted.

    All methods may be called on any thread but kazoo's.

    Args:
        client: The client.
        tell: Where arrivals go; called on kazoo's threads, so it must not block.
        owned: Whether the client is ours to start, stop and abandon.
        connection: Number of the first connection.

    Raises:
        LocalViolation: This version of kazoo is not supported.
    """

    def __init__(
        self, client: KazooClient, tell: Callable[[Arrival], None], *, owned: bool, connection: int
    ) -> None:
        if not kazoo_version.startswith(SUPPORTED_KAZOO + "."):
            raise LocalViolation(
                f"kazoo {kazoo_version} is not supported: install kazoo {SUPPORTED_KAZOO}"
            )
        self.client = client
        self.owned = owned
        self._tell = tell
        self._lock = threading.Lock()
        self._connection = connection
        self._up = False
        self._retired = False
        _note_granted_timeout(client)

    def start(self) -> None:
        """Begin to connect, or take over the connection that a client already has."""
        self.client.add_listener(self._on_state)
        if self.owned:
            self.client.start_async()
        elif self.client.connected:
            self._on_state(KazooState.CONNECTED)

    @property
    def connection(self) -> int:
        """Number of the present connection, or of the next one while there is none."""
        return self._connection

    @property
    def granted(self) -> float | None:
        """Seconds of session timeout that the server granted; None before its first answer."""
        granted: float | None = getattr(self.client._connection, _GRANTED, None)  # noqa: SLF001
        return granted

    def is_up(self, connection: int) -> bool:
        """Whether this very connection is up, as far as we know."""
        return self._up and self._connection == connection and self.client.connected

    def _on_state(self, state: str) -> None:
        """Number the connection and tell; on kazoo's network thread, so nothing may block."""
        with self._lock:
            if self._retired:
                return
            if state == KazooState.CONNECTED:
                session = self.client.client_id
                # A client that was handed in may have lost the connection it had.
                if not self._up and session is not None:
                    self._up = True
                    self._number_requests()
                    self._tell(LinkUp(self._connection, session[0]))
                return
            if self._up:
                self._up = False
                self._connection += 1
                # Between failing its requests and calling us, kazoo takes new ones and
                # would send them on the next connection.
                self.client._notify_pending(self.client.client_state)  # noqa: SLF001
                self._tell(LinkDown(self._connection))
            if state == KazooState.LOST:
                self._tell(LinkEnded(self._connection, str(self.client.client_state)))

    def _number_requests(self) -> None:
        """Begin with other request numbers (xids) than the session's earlier connections had.

        kazoo begins at 1 again. Where a session moves while a request is under way, the
        servers of an ensemble take a request of the new connection with the same number for
        it, and may answer it with the other's result (docs/explanation/the-fake.md).
        """
        self.client._connection._xid = self._connection * _NUMBERS % _LARGEST_NUMBER  # noqa: SLF001

    def submit(self, connection: int, number: int, call: Call) -> bool:
        """Make a call on this very connection; its result arrives as an `Answer`.

        Returns:
            Whether it was submitted. If not, the connection is down and it never will be.
        """

        def done(result: AsyncResult) -> None:
            try:
                answer = Answer(connection, number, result.get(block=False), None)
            except Exception as error:  # noqa: BLE001
                answer = Answer(connection, number, None, error)
            self._tell(answer)

        with self._lock:
            if self._retired or not self._up or self._connection != connection:
                return False
            call(self.client).rawlink(done)
            return True

    def cut(self, connection: int) -> None:
        """Close the socket of this very connection; kazoo keeps the session and reconnects."""
        with self._lock:
            if self._up and self._connection == connection:
                self._close_socket()

    def _close_socket(self) -> None:
        # Only kazoo's own thread may close the descriptor; shutting it down wakes that thread.
        open_socket = self.client._connection._socket  # noqa: SLF001
        if open_socket is not None:
            with contextlib.suppress(OSError):
                # A TLS socket's own shutdown() would first turn it into a plain one.
                socket.socket.shutdown(open_socket, socket.SHUT_RDWR)

    def retire(self) -> None:
        """Tell nothing any more, and submit nothing."""
        with self._lock:
            self._retired = True
            self._up = False
            self.client.remove_listener(self._on_state)

    def close(self, timeout: float) -> bool:
        """End the session of a client of our own, in good order.

        Returns:
            Whether that was done in time; if not, it goes on in the background.
        """
        self.retire()
        if not self.owned:
            return True
        return self._in_background(self._stop, timeout)

    def abandon(self) -> None:
        """Drop a client of our own and leave its session to the server, as a crash would."""
        self.retire()
        if self.owned:
            self.client._stopped.set()  # noqa: SLF001
            self._close_socket()
            self._in_background(self._discard, 0.0)

    def _in_background(self, work: Callable[[], None], timeout: float) -> bool:
        thread = threading.Thread(target=work, name="keepstep-closing", daemon=True)
        thread.start()
        thread.join(timeout)
        return not thread.is_alive()

    def _stop(self) -> None:
        try:
            self.client.stop()
            self.client.close()
        except Exception as error:  # noqa: BLE001
            _LOG.warning("the ZooKeeper client could not be stopped: %s", error)

    def _discard(self) -> None:
        try:
            self.client._safe_close()  # noqa: SLF001
            self.client.close()
        except Exception as error:  # noqa: BLE001
            _LOG.warning("the ZooKeeper client could not be discarded: %s", error)


def _note_granted_timeout(client: KazooClient) -> None:
    """Have the client's connection remember the session timeout that the server granted.

    kazoo keeps it in a local variable, but hands two thirds of it, in seconds, to the method
    that reads each packet. The note is made once for a client, however many links it has.
    """
    connection = client._connection  # noqa: SLF001
    if hasattr(connection, _GRANTED):
        return
    read_socket = connection._read_socket  # noqa: SLF001
    setattr(connection, _GRANTED, None)

    def noting(read_timeout: float) -> Any:
        setattr(connection, _GRANTED, round(read_timeout * 1500) / 1000)
        return read_socket(read_timeout)

    connection._read_socket = noting  # noqa: SLF001


AUTH_FAILED = str(KeeperState.AUTH_FAILED)
CLOSED = str(KeeperState.CLOSED)
