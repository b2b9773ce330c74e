"""A client of the fake ZooKeeper, with the methods of `testing.WireClient`."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Self

from keepstep.simulation.messages import CODES, Answer, Request, encoded, request_of
from keepstep.testing.network.wire import (
    ERROR_NAMES,
    ConnectionEnded,
    Create,
    Delete,
    Notification,
    Opcode,
    Operation,
    Refusal,
    Reply,
    SetData,
    Stat,
)
from keepstep.testing.servers.admin import session_password

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keepstep.simulation.fake import FakeServer, FakeZooKeeper
    from keepstep.simulation.history import Waiting

__all__ = ["FakeClient"]


class FakeClient:
    """One connection of one session, with the methods of `testing.WireClient`.

    Calls that wait let the scheduler step until their answer is there; `submit` and
    `submit_operation` do not wait.

    Attributes:
        session: The session's id.
        password: The session's password.
        session_timeout: Seconds; only for show, sessions end when they are told to.
        notifications: Watches that fired, in order, as far as they have arrived.
        server: The server that it is connected to.
        open: Whether the connection still stands.
        direct: Whether calls that wait let happen nothing but what they wait for.
    """

    __slots__ = (
        "__weakref__", "_last_xid", "_zookeeper", "direct", "early", "held", "notifications",
        "open", "password", "replies_to_drop", "requests_to_drop", "server", "session",
        "session_timeout", "to_client", "to_server", "waiting",
    )  # fmt: skip

    def __init__(self, zookeeper: FakeZooKeeper, server: FakeServer, session: int) -> None:
        self._zookeeper = zookeeper
        self.server = server
        self.session = session
        self.password = session_password(session)
        self.session_timeout = 10.0
        self.notifications: list[Notification] = []
        self.open = True
        self.held = False
        self.direct = False
        self.requests_to_drop = 0
        self.replies_to_drop = 0
        self.to_server: deque[Request] = deque()
        self.to_client: deque[Answer | Notification] = deque()
        self.waiting: deque[Waiting] = deque()
        self.early: dict[int, Answer] = {}
        self._last_xid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the session, as far as its server can still be reached."""
        with contextlib.suppress(ConnectionEnded, Refusal):
            self.end()
        self._zookeeper.leave(self)

    # --- Asking ---

    def send(self, request: Request) -> int:
        """Send a request and return its xid, without waiting.

        Raises:
            ConnectionEnded: The connection has ended.
        """
        if not self.open:
            raise ConnectionEnded("the connection has ended")
        self._last_xid += 1
        request.xid = self._last_xid
        self.to_server.append(request)
        return self._last_xid

    def submit(self, opcode: Opcode, body: bytes = b"") -> int:
        """Send a request as bytes and return its xid, without waiting.

        Raises:
            ConnectionEnded: The connection has ended.
            LocalViolation: The fake knows no such request.
        """
        return self.send(request_of(opcode, body))

    def submit_operation(self, operation: Operation) -> int:
        """Send one operation outside a multi, without waiting; returns its xid."""
        return self.send(Request("write", operations=(operation,)))

    def answered(self, xid: int) -> bool:
        """Whether the answer to a request has arrived."""
        return xid in self.early

    def wait(self, xid: int) -> Answer:
        """Let things happen until the answer to a request is there.

        Raises:
            ConnectionEnded: The connection ended, or nothing more can happen.
        """
        zookeeper = self._zookeeper
        while xid not in self.early:
            if not self.open and not self.to_client:
                raise ConnectionEnded("the connection ended before the answer came")
            if not (zookeeper.serve(self) if self.direct else zookeeper.step()):
                zookeeper.leave(self)
                raise ConnectionEnded("the server did not answer")
        return self.early.pop(xid)

    def answer(self, xid: int, timeout: float | None = None) -> Reply:
        """Wait for the reply to a request, whatever it says; there is no clock to time out by.

        Raises:
            ConnectionEnded: The connection ended, or nothing more can happen.
        """
        del timeout
        answer = self.wait(xid)
        return Reply(answer.xid, answer.zxid, answer.error, encoded(answer))

    def _call(self, request: Request) -> Answer:
        answer = self.wait(self.send(request))
        if answer.error:
            raise Refusal(answer.error)
        return answer

    # --- As WireClient has it ---

    def create(
        self, path: str, data: bytes = b"", *, ephemeral: bool = False, sequential: bool = False
    ) -> str:
        """Create a znode and return its path, with the number that a sequential one got."""
        operation = Create(path, data, ephemeral=ephemeral, sequential=sequential)
        created: str = self._call(Request("write", operations=(operation,))).value
        return created

    def delete(self, path: str, version: int = -1) -> None:
        """Delete a znode."""
        self._call(Request("write", operations=(Delete(path, version),)))

    def set_data(self, path: str, data: bytes, version: int = -1) -> Stat:
        """Replace a znode's data."""
        stat: Stat = self._call(Request("write", operations=(SetData(path, data, version),))).value
        return stat

    def get_data(self, path: str, *, watch: bool = False) -> tuple[bytes, Stat]:
        """Data and stat of a znode."""
        data, stat = self._call(Request("data", path=path, watch=watch)).value
        return data, stat

    def exists(self, path: str, *, watch: bool = False) -> Stat | None:
        """A znode's stat, or None if it is not there."""
        answer = self.wait(self.send(Request("exists", path=path, watch=watch)))
        if answer.error and ERROR_NAMES.get(answer.error) != "NoNode":
            raise Refusal(answer.error)
        stat: Stat | None = answer.value
        return stat

    def get_children(self, path: str, *, watch: bool = False) -> list[str]:
        """Names of a znode's children, sorted."""
        names: list[str] = self._call(Request("children", path=path, watch=watch)).value
        return names

    def sync(self, path: str = "/") -> None:
        """Have this server catch up with the leader before it answers what follows."""
        self._call(Request("sync", path=path))

    def multi(self, operations: Sequence[Operation]) -> None:
        """Apply all the operations or none.

        Raises:
            Refusal: With the code of the operation that failed.
        """
        answer = self._call(Request("multi", operations=tuple(operations)))
        for _, error, _ in answer.value:
            if error not in {None, 0, CODES["RuntimeInconsistency"]}:
                raise Refusal(error)

    def end(self) -> int:
        """Close the session and return the transaction that did it; its ephemerals are gone."""
        answer = self.wait(self.send(Request("close")))
        if answer.error:
            raise Refusal(answer.error)
        return answer.zxid

    def abandon(self) -> None:
        """Close the connection only; the session lives on until it is expired."""
        self._zookeeper.leave(self)
