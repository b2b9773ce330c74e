"""A proxy between one client and its server that breaks their connection on purpose.

It understands ZooKeeper's framing well enough to lose exactly one request, or the answer to
exactly one request that was applied. Each fault says what it did to whom, so that a test can
prove that it happened.

    with FaultProxy(server.address) as proxy:
        client = KazooClient(str(proxy.address))
        lost = proxy.drop_next_reply()
        ...
        assert lost.wait(2).applied
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

from keepstep.errors import InternalError, LocalViolation, RemoteViolation, ToolFailed
from keepstep.testing.network.blackhole import Blackhole
from keepstep.testing.network.ports import hold_port
from keepstep.testing.network.wire import (
    LARGEST_FRAME,
    WRITES,
    Address,
    JuteReader,
    Opcode,
    multi_refusal,
    named_paths,
)

__all__ = ["Effect", "FaultProxy", "PlannedFault", "Traffic"]

T = TypeVar("T")

_HEADER = struct.Struct("!ii")
_REPLY = struct.Struct("!iqi")
_CHUNK = 65536
_PATIENCE = 10.0
_TURNS_TO_ACCEPT = 4
_LISTENS_WITHIN = 1.0
_AGAIN = 0.02


@dataclass(frozen=True, slots=True)
class Traffic:
    """One request as it passed the proxy.

    Attributes:
        xid: Its number within its connection.
        opcode: Its kind.
        paths: The paths that it names.
        session: The session of its connection; 0 if that is not known yet.
    """

    xid: int
    opcode: int
    paths: tuple[str, ...]
    session: int

    @property
    def writes(self) -> bool:
        """Whether it changes the tree."""
        return self.opcode in WRITES


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fault did.

    Attributes:
        fault: `cut`, `dropped reply`, `dropped request`, `delay`, `throttle`, `hold`, `release`,
            `refuse`, `blackhole` or `accept`.
        connections: Number of connections that it hit.
        sessions: Their sessions, as far as known.
        request: The request that it was about, if it was about one.
        peer: For a dropped request or reply: our end of the connection to the server that was
            cut with it, which is how the server knows it.
        applied: For a dropped reply: whether the server had accepted the request. For a dropped
            request: False, because the server never saw it. None for other faults.
        zxid: For a dropped reply: the newest transaction when the server answered.
        waiting: For `hold` and `release`: frames that were held back at that moment.
    """

    fault: str
    connections: int = 0
    sessions: tuple[int, ...] = ()
    request: Traffic | None = None
    peer: Address | None = None
    applied: bool | None = None
    zxid: int = 0
    waiting: int = 0


class PlannedFault:
    """A fault that strikes at the next fitting request.

    Attributes:
        fault: Its name, as in `Effect`.
    """

    def __init__(self, fault: str, fits: Callable[[Traffic], bool]) -> None:
        self.fault = fault
        self._fits = fits
        self._struck = threading.Event()
        self._effect: Effect | None = None
        self._cancelled = False

    @property
    def effect(self) -> Effect | None:
        """What it did, or None while it has not struck."""
        return self._effect

    @property
    def pending(self) -> bool:
        """Whether it still waits for its request."""
        return self._effect is None and not self._cancelled

    def cancel(self) -> None:
        """Do not strike any more."""
        self._cancelled = True

    def takes(self, request: Traffic) -> bool:
        """Whether it wants to strike at this request."""
        return self.pending and self._fits(request)

    def strike(self, effect: Effect) -> None:
        """Note what it did."""
        self._effect = effect
        self._struck.set()

    def wait(self, timeout: float) -> Effect:
        """Wait until it has struck.

        Raises:
            ToolFailed: It did not within `timeout` seconds.
        """
        self._struck.wait(timeout)
        if self._effect is None:
            raise ToolFailed(f"no request came within {timeout} s for the fault {self.fault!r}")
        return self._effect


class _Loop:
    """The event loop that all proxies of this process share, in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="keepstep-proxies", daemon=True
                ).start()
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result(_PATIENCE)
        except TimeoutError as error:
            running.cancel()
            raise InternalError("the thread of the proxies does not answer") from error


_loop = _Loop()


@dataclass
class _Flow:
    """Frames of one direction that wait to be forwarded, each with its due time."""

    frames: deque[tuple[float, bytes]] = field(default_factory=deque)
    ended: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    free: float = 0.0

    def hasten(self, latest: float) -> None:
        """Let no frame that waits be due later than this."""
        self.frames = deque((min(due, latest), frame) for due, frame in self.frames)
        self.changed.set()


class _Link:
    """One client connection and its counterpart towards the server."""

    def __init__(
        self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.proxy = proxy
        self.client = reader, writer
        self.server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.held = proxy.holds_coming_connections
        self.session = 0
        self.outward, self.inward = _Flow(), _Flow()
        self.awaited: dict[int, tuple[Traffic, PlannedFault]] = {}
        self.kinds: dict[int, Traffic] = {}

    @property
    def waiting(self) -> int:
        return len(self.outward.frames) + len(self.inward.frames)

    @property
    def peer(self) -> Address | None:
        """Our end of the connection to the server; None before there is one."""
        name = self.server[1].get_extra_info("sockname") if self.server else None
        return Address(name[0], name[1]) if name else None

    def poke(self) -> None:
        """Let the forwarding tasks look again."""
        self.outward.changed.set()
        self.inward.changed.set()

    async def run(self) -> None:
        """Forward in both directions until either side ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                reader, writer = self.client
                tasks.create_task(self._take(reader, self.outward, self._see_request))
                await self._wait_while_held()
                self.server = await self._connect()
                tasks.create_task(self._take(self.server[0], self.inward, self._see_reply))
                tasks.create_task(self._give(self.outward, self.server[1]))
                tasks.create_task(self._give(self.inward, writer))
        except* (OSError, _Cut):
            pass  # Either side is gone, or a fault cut the link: both sides are closed below.
        finally:
            self.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Reach the server; of links between servers wait a little for it to listen.

        A new leader listens for its followers only some moments after they come. Who connects
        directly is refused and comes again; we have let it in already, and to close that
        connection would cost the ensemble another election.
        """
        deadline = time.monotonic() + (0.0 if self.proxy.framed else _LISTENS_WITHIN)
        while True:
            try:
                return await asyncio.open_connection(*self.proxy.upstream)
            except ConnectionRefusedError:
                if time.monotonic() > deadline or self.outward.ended:
                    raise
                await asyncio.sleep(_AGAIN)

    async def _wait_while_held(self) -> None:
        held = self.held
        while self.held:
            self.outward.changed.clear()
            await self.outward.changed.wait()
        if held and self.outward.ended:
            # The client has left. Through a silent network it would never have come.
            raise _Cut

    def close(self) -> None:
        for side in (self.client, self.server):
            if side:
                # Abort: what still waits in a buffer must not be delivered after a cut.
                side[1].transport.abort()

    async def _take(
        self,
        reader: asyncio.StreamReader,
        flow: _Flow,
        see: Callable[[bytes, bool], None],
    ) -> None:
        """Read frames, let faults look at them, and queue them."""
        framed, first = self.proxy.framed, True
        try:
            while True:
                if framed:
                    data = await reader.readexactly(4)
                    length = int.from_bytes(data, "big")
                    # A four-letter word would be a length that no server takes, and so would
                    # the answer to it be. They pass as they are.
                    framed = length <= LARGEST_FRAME
                    if framed:
                        body = await reader.readexactly(length)
                        see(body, first)
                        first = False
                        data += body
                else:
                    data = await reader.read(_CHUNK)
                    if not data:
                        break
                flow.frames.append((time.monotonic() + self.proxy.delay_seconds, data))
                flow.changed.set()
        except (asyncio.IncompleteReadError, ConnectionResetError, _Cut):
            pass  # The peer, or a fault, ended it here; what came before is still forwarded.
        flow.ended = True
        flow.changed.set()

    async def _give(self, flow: _Flow, writer: asyncio.StreamWriter) -> None:
        """Forward frames that are due, unless the link is held; then pass on the end."""
        while True:
            flow.changed.clear()
            if not self.held and flow.frames:
                due, frame = flow.frames[0]
                pace = self.proxy.bytes_per_second
                if pace:
                    # The frame is on the wire from when the one before it was through.
                    due = max(due, flow.free) + len(frame) / pace
                left = due - time.monotonic()
                if left > 0:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(flow.changed.wait(), left)
                    continue
                flow.frames.popleft()
                flow.free = time.monotonic()
                writer.write(frame)
                await writer.drain()
                continue
            if not self.held and flow.ended:
                # What was sent before the end has to arrive before it.
                writer.close()
                await writer.wait_closed()
                raise _Cut
            await flow.changed.wait()

    def _see_request(self, body: bytes, first: bool) -> None:  # noqa: FBT001
        """Let a planned fault strike at it, if there is one; what is no request just passes."""
        if first or len(body) < _HEADER.size:
            return
        xid, opcode = _HEADER.unpack_from(body)
        try:
            paths = named_paths(opcode, body[_HEADER.size :])
        except RemoteViolation:
            paths = ()
        request = Traffic(xid, opcode, paths, self.session)
        if xid > 0:
            self.kinds[xid] = request
        for fault in list(self.proxy.planned):
            if xid > 0 and fault.takes(request):
                self.proxy.planned.remove(fault)
                if fault.fault == "dropped reply":
                    self.awaited[xid] = request, fault
                else:
                    sessions = (self.session,) if self.session else ()
                    fault.strike(
                        Effect(
                            fault.fault,
                            1,
                            sessions,
                            request=request,
                            peer=self.peer,
                            applied=False,
                        )
                    )
                    raise _Cut
                break

    def _see_reply(self, body: bytes, first: bool) -> None:  # noqa: FBT001
        """Strike if its request was chosen for that; what is no reply just passes."""
        if first:
            with contextlib.suppress(RemoteViolation):
                reader = JuteReader(body)
                reader.number()
                reader.number()
                self.session = reader.long()
            return
        if len(body) < _REPLY.size:
            return
        xid, zxid, error = _REPLY.unpack_from(body)
        request = self.kinds.pop(xid, None)
        if xid in self.awaited:
            request, fault = self.awaited.pop(xid)
            if not error and request.opcode == Opcode.MULTI:
                with contextlib.suppress(RemoteViolation):
                    error = multi_refusal(body[_REPLY.size :])
            fault.strike(
                Effect(
                    fault.fault,
                    1,
                    (self.session,),
                    request=request,
                    peer=self.peer,
                    applied=error == 0,
                    zxid=zxid,
                )
            )
            raise _Cut
        if request:
            self.proxy.answered += 1


class _Cut(Exception):
    """The link is over."""


class FaultProxy:
    """Forwards one client's connections to a server, with faults at command.

    Args:
        upstream: The server's address.
        framed: Whether the traffic is that of a ZooKeeper client; False for any bytes, which
            can then be cut, held and delayed only.

    Attributes:
        address: Where the client connects.
        answered: Number of requests whose answers were passed on.

    Raises:
        ToolFailed: No port is free.
    """

    def __init__(self, upstream: Address, *, framed: bool = True) -> None:
        self.upstream = upstream
        self.framed = framed
        self.delay_seconds = 0.0
        self.bytes_per_second = 0.0
        self.holds_coming_connections = False
        self.planned: list[PlannedFault] = []
        self.answered = 0
        self._links: dict[_Link, asyncio.Task[None]] = {}
        self._closed = False
        self._server: asyncio.Server | None = None
        self._blackhole: Blackhole | None = None
        self._port = hold_port()
        self.address = self._port.address
        try:
            _loop.run(self._listen())
        except BaseException:
            self._port.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _listen(self) -> None:
        try:
            self._server = await asyncio.start_server(self._accept, *self.address)
        except OSError as error:
            raise ToolFailed(f"the proxy cannot listen at {self.address}: {error}") from error

    async def _unlisten(self) -> None:
        server, self._server = self._server, None
        if server:
            loop = asyncio.get_running_loop()
            for listening in server.sockets:
                loop.remove_reader(listening.fileno())
            # asyncio loses a connection that it has taken and not made yet when its server is
            # closed: nobody would close it, and the client would wait. Let it be made first.
            for _ in range(_TURNS_TO_ACCEPT):
                await asyncio.sleep(0)
            server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, reader, writer)
        if self._server is None:
            link.close()
            return
        task = asyncio.get_running_loop().create_task(link.run())
        self._links[link] = task

        def ended(_: asyncio.Task[None]) -> None:
            # A task that is cancelled before it has begun has not closed anything.
            link.close()
            self._links.pop(link)

        task.add_done_callback(ended)

    async def _cut(self) -> Effect:
        links = dict(self._links)
        effect = self._effect("cut", list(links))
        for task in links.values():
            task.cancel()
        if links:
            await asyncio.wait(links.values())
        return effect

    @staticmethod
    def _effect(fault: str, links: list[_Link]) -> Effect:
        return Effect(
            fault,
            len(links),
            tuple(link.session for link in links if link.session),
            waiting=sum(link.waiting for link in links),
        )

    def _plan(self, fault: str, fits: Callable[[Traffic], bool]) -> PlannedFault:
        if not self.framed:
            raise LocalViolation("a proxy with framed=False cannot tell one request from another")
        planned = PlannedFault(fault, fits)

        async def add() -> None:
            self.planned.append(planned)

        _loop.run(add())
        return planned

    @property
    def open_connections(self) -> int:
        """Connections that pass the proxy now."""
        return len(self._links)

    @property
    def sessions(self) -> tuple[int, ...]:
        """Sessions of the connections that pass the proxy now."""
        return _loop.run(self._current()).sessions

    @property
    def server_ends(self) -> frozenset[Address]:
        """Our ends of the connections to the server: the peers that the server sees."""
        return _loop.run(self._server_ends())

    async def _server_ends(self) -> frozenset[Address]:
        return frozenset(peer for link in self._links if (peer := link.peer))

    async def _current(self) -> Effect:
        return self._effect("", list(self._links))

    def cut(self) -> Effect:
        """Close all connections at once, as a reset does; new ones are accepted."""
        return _loop.run(self._cut())

    def drop_next_reply(
        self, fits: Callable[[Traffic], bool] = lambda request: request.writes
    ) -> PlannedFault:
        """Let the next fitting request be answered, lose the answer, and cut the connection.

        Args:
            fits: Which request; any write by default.
        """
        return self._plan("dropped reply", fits)

    def drop_next_request(
        self, fits: Callable[[Traffic], bool] = lambda request: request.writes
    ) -> PlannedFault:
        """Lose the next fitting request before the server sees it, and cut the connection.

        Args:
            fits: Which request; any write by default.
        """
        return self._plan("dropped request", fits)

    def cancel_planned(self) -> list[PlannedFault]:
        """Give up the faults that have not struck; returns them."""

        async def clear() -> list[PlannedFault]:
            given_up = [fault for fault in self.planned if fault.pending]
            for fault in given_up:
                fault.cancel()
            self.planned.clear()
            return given_up

        return _loop.run(clear())

    def delay(self, seconds: float) -> Effect:
        """From now on let each frame take this much longer, in each direction; 0 ends it.

        Frames under way then arrive no later than those that are sent now.
        """
        if seconds < 0:
            raise LocalViolation(f"nothing arrives {-seconds} s before it was sent")

        async def change() -> Effect:
            self.delay_seconds = seconds
            for link in self._links:
                link.outward.hasten(time.monotonic() + seconds)
                link.inward.hasten(time.monotonic() + seconds)
            return self._effect("delay", list(self._links))

        return _loop.run(change())

    def throttle(self, bytes_per_second: float) -> Effect:
        """From now on let no more bytes pass in a second, in each direction; 0 ends it."""
        if bytes_per_second < 0:
            raise LocalViolation(f"{bytes_per_second} bytes in a second cannot pass")

        async def change() -> Effect:
            self.bytes_per_second = bytes_per_second
            for link in self._links:
                link.poke()
            return self._effect("throttle", list(self._links))

        return _loop.run(change())

    def hold(self, *, coming: bool = True) -> Effect:
        """Let nothing pass any more, and close nothing: to both sides the other is silent.

        Args:
            coming: Whether connections that are yet to be made are held as well. Without it a
                client can leave a held connection, with requests in it, and make another.
        """

        async def change() -> Effect:
            self.holds_coming_connections = coming
            for link in self._links:
                link.held = True
            return self._effect("hold", list(self._links))

        return _loop.run(change())

    def release(self) -> Effect:
        """End `hold`: what waited is delivered, in order."""

        async def change() -> Effect:
            self.holds_coming_connections = False
            held = [link for link in self._links if link.held]
            effect = self._effect("release", held)
            for link in held:
                link.held = False
                link.poke()
            return effect

        return _loop.run(change())

    def refuse(self) -> Effect:
        """Cut all connections and refuse new ones, as a server that is down."""

        async def change() -> Effect:
            await self._unlisten()
            return replace(await self._cut(), fault="refuse")

        return _loop.run(change())

    def blackhole(self) -> Effect:
        """Cut all connections and leave new ones unanswered, as a host that is switched off.

        Raises:
            ToolFailed: The kernel answers all the same.
        """
        if self._blackhole:
            return Effect("blackhole")
        effect = replace(self.refuse(), fault="blackhole")
        self._blackhole = Blackhole(self.address)
        return effect

    def accept(self) -> Effect:
        """End `refuse` and `blackhole`.

        Raises:
            LocalViolation: The proxy was closed.
        """
        if self._closed:
            raise LocalViolation("the proxy was closed; make a new one")
        if self._blackhole:
            self._blackhole.close()
            self._blackhole = None

        async def change() -> Effect:
            if self._server is None:
                await self._listen()
            return Effect("accept")

        return _loop.run(change())

    def heal(self) -> None:
        """End every fault that lasts, and give up those that have not struck.

        Of a proxy that was closed there is nothing to be healed.
        """
        if self._closed:
            return
        self.cancel_planned()
        self.delay(0.0)
        self.throttle(0.0)
        self.release()
        self.accept()

    def close(self) -> None:
        """Cut everything and give the port back; may be called again."""
        if self._closed:
            return
        self._closed = True
        if self._blackhole:
            self._blackhole.close()
            self._blackhole = None
        self.refuse()
        if self._links:
            raise InternalError("a connection outlived its proxy")
        self._port.release()
