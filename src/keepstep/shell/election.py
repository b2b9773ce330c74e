"""Leader election for programs: the public face of the shell.

with LeaderElection("/my/election", "http://host:8090", hosts="zk1:2181") as election:
    epoch = election.wait_until_elected()
    election.write(Create("/my/result", b"..."))
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from kazoo.client import KazooClient

from keepstep.errors import InternalError, KeepstepError, LocalViolation
from keepstep.shell.clock import SystemClock
from keepstep.shell.contender_shell import (
    Change,
    ConnectionUp,
    ContenderShell,
    Elected,
    Failed,
    Leadership,
    Revoked,
)
from keepstep.shell.link import validate_client
from keepstep.shell.outcomes import LeadershipLost, NotConnected
from keepstep.shell.settings import DEFAULT_SESSION_TIMEOUT, DEFAULT_TICK, ElectionSettings
from keepstep.shell.transaction import FencedTransaction
from keepstep.znodes.operations import Operation

__all__ = ["LeaderElection"]

_LOG = logging.getLogger(__name__)
_HOUR = 3600.0


class LeaderElection:
    """Our part in an election that Curator's LeaderLatch participants can share.

    It contends from `start` (or the beginning of a `with` block) until `close` (or its end),
    again and again: who loses the leadership queues anew. All methods may be called on any
    thread, also from the callbacks.

    Callbacks run one after the other on a thread of their own. A slow `on_elected` delays
    later callbacks but never the end of the leadership itself: `is_leader` tells at once, and
    `revoked` can be waited on. A leadership that ends before its `on_elected` was called
    is passed over. An exception in `on_elected` is logged and makes us resign.

    Args:
        path: Directory of the tickets; the same for all participants.
        identity: Our participant id, for example "http://host:8090".
        hosts: Where the servers are, as kazoo takes it; or else
        client: a KazooClient. It is neither stopped nor replaced. It must reconnect within
            a tenth of its session timeout, whatever happens.
        on_elected: Called with the epoch when we lead.
        on_revoked: Called with the reason, in plain words, when we do not lead any more.
        on_change: Called with each `Change`, also of the connection.
        session_timeout: Seconds that our session outlives its last sign of life; 10 unless
            given. Not for a client, which has its own.
        tick: Seconds; the tickTime of the servers. The session timeout must be more than
            four times as long.
        fence_path: Where the epoch is kept; "/keepstep" followed by `path` unless given.
            The same for all participants that are ours.
        epoch_floor: Where epochs begin if the ensemble has none yet.
        acl: kazoo ACLs of all the znodes that we create.
        request_timeout: Seconds to wait for an answer before the connection is cut; half
            of the session timeout unless given.
        client_options: Further arguments of KazooClient when `hosts` are given:
            `auth_data`, `sasl_options`, `use_ssl`, `ca`, `certfile`, `keyfile`, ...

    Raises:
        LocalViolation: An argument cannot be used; the message says why.
    """

    def __init__(
        self,
        path: str,
        identity: str,
        *,
        hosts: str | None = None,
        client: KazooClient | None = None,
        on_elected: Callable[[int], object] | None = None,
        on_revoked: Callable[[str], object] | None = None,
        on_change: Callable[[Change], object] | None = None,
        session_timeout: float | None = None,
        tick: float = DEFAULT_TICK,
        fence_path: str | None = None,
        epoch_floor: int = 0,
        acl: Sequence[Any] | None = None,
        request_timeout: float | None = None,
        **client_options: Any,
    ) -> None:
        callbacks = {"on_elected": on_elected, "on_revoked": on_revoked, "on_change": on_change}
        for name, callback in callbacks.items():
            if callback is not None and not callable(callback):
                raise LocalViolation(f"{name} must be a function, not {callback!r}")
        if client is not None:
            granted = validate_client(client)
            if session_timeout not in {None, granted}:
                raise LocalViolation(f"the client has a session timeout of {granted:g} s already")
            session_timeout = granted
        settings = ElectionSettings(
            path=path,
            identity=identity,
            session_timeout=(
                DEFAULT_SESSION_TIMEOUT if session_timeout is None else session_timeout
            ),
            tick=tick,
            fence_path="" if fence_path is None else fence_path,
            epoch_floor=epoch_floor,
            acl=acl,
            request_timeout=request_timeout,
        )
        self._shell = ContenderShell(
            settings,
            hosts=hosts,
            client=client,
            client_options=client_options,
            report=self._on_change,
        )
        self._on_elected = on_elected
        self._on_revoked = on_revoked
        self._every_change = on_change
        self._changes: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._progress = threading.Condition()
        self._connected_once = False
        self._closed = False
        self._give_up_at: float | None = None
        self._serving: Leadership | None = None
        self._driver = threading.Thread(target=self._drive, name="keepstep-election", daemon=True)
        self._caller = threading.Thread(target=self._call, name="keepstep-callbacks", daemon=True)

    # --- Life ---

    def start(self, timeout: float | None = None) -> None:
        """Begin to contend.

        Args:
            timeout: Seconds to wait for the first connection; None does not wait.

        Raises:
            LocalViolation: It was started before.
            NotConnected: There was no connection in time. The election is closed.
        """
        with self._lock:
            if self._closed or self._driver.ident is not None:
                raise LocalViolation("an election is started once: make another")
            self._caller.start()
            self._shell.start()
            self._driver.start()
        if timeout is None:
            return
        with self._progress:
            self._progress.wait_for(lambda: self._connected_once or self._shell.stopped, timeout)
        if self._shell.failure is not None:
            self.close()
            raise self._shell.failure
        if not self._connected_once:
            self.close()
            raise NotConnected(
                f"no ZooKeeper server answered within {timeout:g} s: check the hosts, that servers"
                " run there, and that nothing else listens on their ports"
            )

    def close(self, timeout: float = 5.0) -> None:
        """Hand over if we lead, delete our ticket and stop contending; may be called twice.

        A session of our own is ended; a client that was handed in is left as it is.

        Args:
            timeout: About how many seconds it may take. After that our ticket may stay until
                the session ends.
        """
        with self._lock:
            first, self._closed = not self._closed, True
            started = self._driver.ident is not None
        if not first or not started:
            return
        steady = SystemClock()
        until = self._give_up_at = steady.now() + timeout
        self._shell.order_to_leave()
        self._driver.join(timeout + 1.0)
        self._shell.close(max(0.1, until - steady.now()))
        self._changes.put(None)
        if threading.current_thread() is not self._caller:
            self._caller.join(max(0.1, until - steady.now()))
        with self._progress:
            self._progress.notify_all()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        self.close()

    # --- State ---

    @property
    def is_leader(self) -> bool:
        """Whether we lead as far as this very moment can tell.

        True can be out of date when you act on it: only a fenced write is safe.
        """
        return self._shell.leadership is not None

    @property
    def epoch(self) -> int | None:
        """Number of our leadership, or None if we do not lead. It never falls."""
        leadership = self._shell.leadership
        return None if leadership is None else leadership.epoch

    @property
    def leadership(self) -> Leadership | None:
        """Our leadership with its epoch, incarnation and revoked-event; None without one."""
        return self._shell.leadership

    @property
    def revoked(self) -> threading.Event:
        """Set when the leadership ends.

        Within `on_elected` it is that leadership's event, else the present one's; without a
        leadership it is an event that is set.
        """
        leadership = self._own_serving() or self._shell.leadership
        if leadership is not None:
            return leadership.revoked
        over = threading.Event()
        over.set()
        return over

    @property
    def failure(self) -> KeepstepError | None:
        """Why the election has ended for good, or None if it has not."""
        return self._shell.failure

    @property
    def identity(self) -> str:
        """Our participant id."""
        return self._shell.settings.identity

    @property
    def shell(self) -> ContenderShell:
        """The shell that drives the machine: for observers of its steps, not for driving it."""
        return self._shell

    @property
    def settings(self) -> ElectionSettings:
        """What the election was told when it was made."""
        return self._shell.settings

    def wait_until_elected(self, timeout: float | None = None) -> int | None:
        """Wait until we lead.

        Args:
            timeout: Seconds to wait at most; None for no limit.

        Returns:
            The epoch, or None if there was no leadership in time or the election has ended.
        """
        with self._progress:
            self._progress.wait_for(
                lambda: self.epoch is not None or self._closed or self._shell.stopped, timeout
            )
        return self.epoch

    # --- Leading ---

    def _own_serving(self) -> Leadership | None:
        """The leadership whose callback is running on this very thread, if any."""
        return self._serving if threading.current_thread() is self._caller else None

    def submit(self, *operations: Operation, epoch: int | None = None) -> Future[list[Any]]:
        """Order a fenced write and do not wait; see `write`.

        Returns:
            A future. What it calls back must not block.
        """
        serving = self._own_serving()
        if epoch is None and serving is not None:
            # A callback that is late must not write under a later leadership.
            epoch = serving.epoch
        return self._shell.write(operations, epoch=epoch)

    def write(
        self, *operations: Operation, epoch: int | None = None, timeout: float | None = None
    ) -> list[Any]:
        """Write if we still lead, all operations or none.

        Writes are applied one after the other, in the order of the calls.

        Args:
            operations: `Create`, `SetData`, `Delete` and `Check`. None at all asks the
                servers whether we lead.
            epoch: Only under this leadership. Unless given, the one whose `on_elected` is
                running on this thread, else the present one.
            timeout: Seconds to wait; a write is decided within a session timeout anyway.

        Returns:
            One result for each operation.

        Raises:
            LeadershipLost: We do not lead; nothing was written.
            WriteUnknown: Nobody knows whether it was written.
            KazooException: What an operation failed with; nothing was written, we lead.
            TimeoutError: There was no decision in time; it may still be written.
            LocalViolation: The operations cannot be used or are too large.
        """
        return self.submit(*operations, epoch=epoch).result(timeout)

    def fenced(self, *, epoch: int | None = None) -> FencedTransaction:
        """A transaction under the present leadership, or the one of this epoch.

            with election.fenced() as transaction:
                transaction.create("/my/result", b"...")

        Raises:
            LeadershipLost: We do not lead.
        """
        serving = self._own_serving()
        if epoch is None:
            epoch = self.epoch if serving is None else serving.epoch
        if epoch is None:
            raise LeadershipLost("we do not lead")
        return FencedTransaction(lambda operations: self.write(*operations, epoch=epoch))

    def resign(self) -> None:
        """Hand over if we lead: somebody else may lead while we queue again at the end."""
        self._shell.resign()

    # --- Threads ---

    def _drive(self) -> None:
        shell, steady = self._shell, SystemClock()
        try:
            while not shell.has_left:
                limit = self._give_up_at
                if limit is not None and steady.now() >= limit:
                    return
                shell.deliver_one(_HOUR if limit is None else max(0.0, limit - steady.now()))
        except Exception as error:  # noqa: BLE001 - revoking must not depend on the defect
            _LOG.exception("the election stops, because Keepstep has a defect")
            shell.fail(InternalError(f"{type(error).__name__}: {error}; please report it"))

    def _on_change(self, change: Change) -> None:
        """Take a change from the driving thread, which must not wait for anybody."""
        with self._progress:
            self._connected_once |= isinstance(change, ConnectionUp)
            self._progress.notify_all()
        self._changes.put(change)

    def _call(self) -> None:
        while True:
            change = self._changes.get()
            if change is None:
                return
            if self._every_change is not None:
                self._guard(self._every_change, change)
            match change:
                case Elected(leadership) if not leadership.revoked.is_set():
                    self._serving = leadership
                    if self._on_elected is not None and not self._guard(
                        self._on_elected, leadership.epoch
                    ):
                        self._resign_from(leadership)
                case Revoked(leadership, reason) if self._serving is leadership:
                    self._serving = None
                    if self._on_revoked is not None:
                        self._guard(self._on_revoked, reason.value)
                case Failed():
                    return
                case _:
                    continue

    @staticmethod
    def _guard(callback: Callable[[Any], object], argument: object) -> bool:
        try:
            callback(argument)
        except Exception:  # noqa: BLE001 - the user's defect must not stop our thread
            _LOG.exception("a callback of the election failed")
            return False
        return True

    def _resign_from(self, leadership: Leadership) -> None:
        if not leadership.revoked.is_set():
            self._shell.resign()
