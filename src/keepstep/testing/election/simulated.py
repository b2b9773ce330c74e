"""Elections on the fake: the same shells and promises, no thread, no clock, no server.

A `SimulatedArena` gives the shells a link to a `FakeZooKeeper` instead of kazoo. Nothing happens
but by `SimulatedArena.pump`, and which of the things that may happen does so is decided by the
seed. So a run that breaks a promise does so whenever it is repeated, and can be shortened.

After `SimulatedArena.take_over` not even the seed decides: whoever drives chooses one thing after
the other, from what `keepstep.testing.election.offers` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Self
from weakref import WeakKeyDictionary

from kazoo.exceptions import EXCEPTIONS, ConnectionLoss
from kazoo.protocol.states import EventType, KeeperState, WatchedEvent, ZnodeStat

from keepstep.shell.contender_shell import ContenderShell
from keepstep.shell.inbox import Answer, Arrival, Lane, LinkDown, LinkEnded, LinkUp, Order
from keepstep.simulation import FakeClient, FakeZooKeeper
from keepstep.simulation.fake import FakeServer, Happening, Kind
from keepstep.simulation.messages import Request
from keepstep.testing.election.arenas import MOST_SHELLS, Arena, Trouble
from keepstep.testing.election.step_by_step import LOSE
from keepstep.testing.faults import Availability, NothingToHit
from keepstep.testing.network.proxy import Effect
from keepstep.testing.network.wire import (
    Check,
    ConnectionEnded,
    Create,
    Delete,
    Operation,
    Refusal,
    SessionGone,
    SetData,
)
from keepstep.testing.servers.admin import Sessions
from keepstep.testing.servers.observer import Transaction
from keepstep.znodes.paths import parents

__all__ = ["Glimpse", "SimulatedArena"]

_TICK = 0.001
_LONG = 1.0
_EVENTS = {1: EventType.CREATED, 2: EventType.DELETED, 3: EventType.CHANGED, 4: EventType.CHILD}
_ENDS_A_SESSION = frozenset({"expire", "natural-expiry", "pause-client"})
_WITHOUT_TIME = frozenset({"delay", "throttle"})


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What can be seen of a shell in memory, without anything being done to it.

    Attributes:
        waiting: What waits in its inbox, in order, and whether it is about the present
            connection and request.
        timers: Of the deadline, of the answer that is awaited, and of the patience without a
            connection: "" if it does not run, else "set" or "due".
        call: Which of the calls that serve the present request is made; 0 for none.
        writes: How many writes wait for their turn.
        resigning: Whether it is to hand over.
    """

    waiting: tuple[tuple[Arrival, bool], ...]
    timers: tuple[str, ...]
    call: int
    writes: int
    resigning: bool


def _run_down(moment: float | None, now: float) -> str:
    if moment is None:
        return ""
    return "due" if now >= moment else "set"


_Steps = Generator[Request, Any, Any]
"""What one call of a client comes to: yields requests, is resumed with their answers."""


class _Result:
    """What the calls of a `_Client` ending in `_async` return."""

    def __init__(self) -> None:
        self._ready = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Any], None]] = []

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002
        """The result; raises what the call failed with."""
        del block, timeout
        if self._error is not None:
            raise self._error
        return self._value

    def rawlink(self, callback: Callable[[Any], None]) -> None:
        """Have it called back with itself."""
        if self._ready:
            callback(self)
        else:
            self._callbacks.append(callback)

    def settle(self, value: Any = None, error: BaseException | None = None) -> None:
        self._ready, self._value, self._error = True, value, error
        for callback in self._callbacks:
            callback(self)


def _checked(answer: Any) -> Any:
    """The value of an answer; raises kazoo's error if it was refused."""
    if answer.error:
        raise EXCEPTIONS[answer.error]
    return answer.value


class _Transaction:
    """As kazoo's; the operations of one multi."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._operations: list[Operation] = []

    def create(
        self,
        path: str,
        value: bytes = b"",
        acl: object = None,
        ephemeral: bool = False,  # noqa: FBT001, FBT002 - as kazoo has it
        sequence: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        del acl
        self._operations.append(Create(path, value, ephemeral=ephemeral, sequential=sequence))

    def set_data(self, path: str, value: bytes, version: int = -1) -> None:
        self._operations.append(SetData(path, value, version))

    def delete(self, path: str, version: int = -1) -> None:
        self._operations.append(Delete(path, version))

    def check(self, path: str, version: int) -> None:
        self._operations.append(Check(path, version))

    def commit_async(self) -> _Result:
        def steps() -> _Steps:
            answer = yield Request("multi", operations=tuple(self._operations))
            if answer.error:
                raise EXCEPTIONS[answer.error]
            return [_told(*part) for part in answer.value]

        return self._client.call(steps())


def _told(kind: str, error: int | None, value: Any) -> Any:
    """The result of one operation of a multi, as kazoo tells it."""
    if error is not None:
        return EXCEPTIONS[error]()
    if kind == "set":
        return ZnodeStat(*value) if value is not None else None
    return value if kind == "create" else True


class _Client:
    """As much of a KazooClient as the election uses, over a `FakeClient`.

    Attributes:
        client_id: The session and its password, or None before the first.
        last_zxid: The newest transaction that it has heard of.
    """

    def __init__(self, link: _Link) -> None:
        self._link = link
        self.client_id: tuple[int, bytes] | None = None
        self.last_zxid = 0

    @property
    def connected(self) -> bool:
        return self._link.up

    def call(self, steps: _Steps) -> _Result:
        return self._link.begin(steps)

    def transaction(self) -> _Transaction:
        return _Transaction(self)

    def sync_async(self, path: str) -> _Result:
        def steps() -> _Steps:
            return _checked((yield Request("sync", path=path)))

        return self.call(steps())

    def get_children_async(self, path: str) -> _Result:
        def steps() -> _Steps:
            return _checked((yield Request("children", path=path)))

        return self.call(steps())

    def get_async(self, path: str) -> _Result:
        def steps() -> _Steps:
            data, stat = _checked((yield Request("data", path=path)))
            return data, ZnodeStat(*stat)

        return self.call(steps())

    def exists_async(
        self, path: str, watch: Callable[[WatchedEvent], None] | None = None
    ) -> _Result:
        def steps() -> _Steps:
            stat = yield from self._exists(path, watch=watch is not None)
            if watch is not None:
                self._link.watch(path, watch)
            return stat

        return self.call(steps())

    @staticmethod
    def _exists(path: str, *, watch: bool = False) -> _Steps:
        answer = yield Request("exists", path=path, watch=watch)
        with suppress(EXCEPTIONS[-101]):
            return ZnodeStat(*_checked(answer))
        return None

    def create_async(
        self,
        path: str,
        value: bytes = b"",
        acl: object = None,
        ephemeral: bool = False,  # noqa: FBT001, FBT002 - as kazoo has it
        sequence: bool = False,  # noqa: FBT001, FBT002
    ) -> _Result:
        del acl
        made = Create(path, value, ephemeral=ephemeral, sequential=sequence)

        def steps() -> _Steps:
            return _checked((yield Request("write", operations=(made,))))

        return self.call(steps())

    def delete_async(self, path: str, version: int = -1) -> _Result:
        def steps() -> _Steps:
            _checked((yield Request("write", operations=(Delete(path, version),))))
            return True

        return self.call(steps())

    def ensure_path_async(self, path: str, acl: object = None) -> _Result:
        del acl

        def steps() -> _Steps:
            made: str | bool = True
            for each in (*parents(path), path):
                made = True
                if (yield from self._exists(each)) is None:
                    answer = yield Request("write", operations=(Create(each),))
                    with suppress(EXCEPTIONS[-110]):
                        made = _checked(answer)
            return made

        return self.call(steps())


class _Link:
    """What a shell has instead of a `keepstep.shell.link.Link`, with the same methods."""

    def __init__(
        self, arena: SimulatedArena, seat: int, tell: Callable[[Arrival], None], connection: int
    ) -> None:
        self.client = _Client(self)
        self.owned = True
        self.connection = connection
        self.granted = None
        self.up = False
        self.conn: FakeClient | None = None
        self._arena = arena
        self._seat = seat
        self._tell = tell
        self._started = self._retired = False
        self._asked: dict[int, tuple[_Steps, _Result, int]] = {}
        self._watching: dict[str, list[Callable[[WatchedEvent], None]]] = {}
        self._heard = 0
        self._tried = -1

    # --- As Link has it ---

    def start(self) -> None:
        """Begin to connect."""
        self._started = True
        self._arena.links[self._seat] = self

    def is_up(self, connection: int) -> bool:
        """Whether this very connection is up."""
        return self.up and self.connection == connection

    def submit(self, connection: int, number: int, call: Callable[[Any], Any]) -> bool:
        """Make a call on this very connection; its result arrives as an `Answer`."""

        def done(result: Any) -> None:
            try:
                answer = Answer(connection, number, result.get(block=False), None)
            except Exception as error:  # noqa: BLE001
                answer = Answer(connection, number, None, error)
            self._tell(answer)

        if self._retired or not self.is_up(connection):
            return False
        call(self.client).rawlink(done)
        return True

    def cut(self, connection: int) -> None:
        """Close this very connection; the session lives on."""
        if self.is_up(connection) and self.conn is not None:
            self._arena.cut(self.conn)

    def retire(self) -> None:
        """Tell nothing any more, and submit nothing."""
        self._retired, self.up = True, False

    def close(self, timeout: float) -> bool:
        """End the session in good order, if its server can be reached."""
        del timeout
        self.retire()
        if self.conn is not None:
            with suppress(ConnectionEnded, Refusal):
                self.conn.end()
            self.conn.abandon()
        return True

    def abandon(self) -> None:
        """Drop the connection and leave the session to the servers."""
        self.retire()
        if self.conn is not None:
            self.conn.abandon()

    # --- Requests ---

    def begin(self, steps: _Steps) -> _Result:
        """Send the first request of a call."""
        result = _Result()
        self._go_on(steps, result, lambda: next(steps))
        return result

    @property
    def turns(self) -> tuple[int, ...]:
        """How many requests each call that is not over has made."""
        return tuple(turn for _, _, turn in self._asked.values())

    def _go_on(
        self, steps: _Steps, result: _Result, resume: Callable[[], Request], turn: int = 1
    ) -> None:
        try:
            request = resume()
        except StopIteration as ended:
            result.settle(ended.value)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the call's result
            result.settle(error=error)
            return
        conn = self.conn
        if conn is None or not conn.open:
            result.settle(error=ConnectionLoss())
            return
        if request.kind in {"write", "multi"}:
            self._arena.simulated_ways[self._seat].strike(conn)
        self._asked[conn.send(request)] = steps, result, turn

    def watch(self, path: str, callback: Callable[[WatchedEvent], None]) -> None:
        """Have somebody called when something happens to a znode, once."""
        self._watching.setdefault(path, []).append(callback)

    # --- What happens ---

    def poll(self) -> bool:
        """Take in what has arrived, connect if that is possible; whether anything happened."""
        if self._retired or not self._started:
            return False
        if self.conn is None:
            return self._try_to_connect()
        return self.hear() or self.notice_the_end()

    @property
    def seeks(self) -> bool:
        """Whether its client would connect if it could."""
        return self._started and not self._retired and self.conn is None

    @property
    def has_lost(self) -> bool:
        """Whether its connection has ended, which its client has not noticed."""
        conn = None if self._retired else self.conn
        return conn is not None and not conn.open and not conn.to_client

    def hear(self) -> bool:
        """Take in what its client has received; whether that was anything."""
        conn = self.conn
        if conn is None:
            return False
        answered = [xid for xid in self._asked if conn.answered(xid)]
        for xid in answered:
            steps, result, turn = self._asked.pop(xid)
            answer = conn.wait(xid)
            self.client.last_zxid = max(self.client.last_zxid, answer.zxid)
            resume = partial(steps.send, answer)
            self._go_on(steps, result, resume, turn + 1)
        told = conn.notifications[self._heard :]
        self._heard = len(conn.notifications)
        for event in told:
            happened = WatchedEvent(_EVENTS[event.kind], KeeperState.CONNECTED, event.path)
            for callback in self._watching.pop(event.path, ()):
                callback(happened)
        return bool(answered or told)

    def notice_the_end(self) -> bool:
        """Tell of the end of the connection; whether it has ended."""
        if self.conn is None or self.conn.open or self.conn.to_client:
            return False
        self.conn, self.up = None, False
        asked, self._asked = self._asked, {}
        for _, result, _ in asked.values():
            result.settle(error=ConnectionLoss())
        self.connection += 1
        self._tell(LinkDown(self.connection))
        watching, self._watching = self._watching, {}
        for path, callbacks in watching.items():
            for callback in callbacks:
                callback(WatchedEvent(EventType.NONE, KeeperState.CONNECTING, path))
        return True

    def _try_to_connect(self) -> bool:
        arena = self._arena
        if self._tried == arena.moment:
            return False
        for server in arena.simulated_ways[self._seat].open_to():
            if self.connect_to(server):
                return True
        self._tried = arena.moment
        return False

    def connect_to(self, server: int, *, direct: bool = False) -> bool:
        """Connect to a server, or learn that the session has ended; whether either was done."""
        arena = self._arena
        session, password = self.client.client_id or (0, b"")
        last = self.client.last_zxid
        try:
            conn = arena.zookeeper.connect(
                server, session, password or None, last_zxid=last, direct=direct
            )
        except ConnectionEnded:
            return False
        except SessionGone:
            self.client.client_id = None
            self._tell(LinkEnded(self.connection, str(KeeperState.EXPIRED_SESSION)))
            return True
        conn.direct = False
        arena.seat_of[conn] = self._seat
        self.conn, self.up, self._heard = conn, True, 0
        self.client.client_id = conn.session, conn.password
        self._tell(LinkUp(self.connection, conn.session))
        return True


class _Planned:
    """A fault that strikes at the next write of a seat."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.conn: FakeClient | None = None
        self.cancelled = False

    @property
    def effect(self) -> Effect | None:
        """What it did, or None while it has not struck."""
        if self.conn is None or self.conn.open:
            return None
        return Effect(self.fault, 1, (self.conn.session,))

    @property
    def pending(self) -> bool:
        """Whether it still waits for its request."""
        return self.effect is None and not self.cancelled


class _SimulatedWay:
    """The way of one seat to the servers of the fake."""

    def __init__(self, arena: SimulatedArena, seat: int) -> None:
        self._arena = arena
        self._seat = seat
        self._planned: list[_Planned] = []
        self.held = self.refused = False
        self.blocked: frozenset[int] = frozenset()
        self.first = seat

    def _conn(self) -> FakeClient | None:
        link = self._arena.links.get(self._seat)
        return link.conn if link and link.conn and link.conn.open else None

    def open_to(self) -> list[int]:
        """Numbers of the servers that can be reached, in the order in which they are tried."""
        if self.held or self.refused:
            return []
        size = self._arena.servers
        order = [(self.first + turn) % size for turn in range(size)]
        return [n for n in order if n not in self.blocked and n not in self._arena.silent]

    def strike(self, conn: FakeClient) -> None:
        """A write is about to be sent: the next planned fault takes it."""
        for planned in self._planned:
            if planned.conn is None and not planned.cancelled:
                planned.conn = conn
                if planned.fault == "dropped reply":
                    self._arena.zookeeper.drop_next_reply(conn)
                else:
                    self._arena.zookeeper.drop_next_request(conn)
                return

    def _effect(self, fault: str) -> Effect:
        self._arena.note_change()
        conn = self._conn()
        return Effect(fault, int(conn is not None), (conn.session,) if conn else ())

    def cut(self) -> Effect:
        effect = self._effect("cut")
        if (conn := self._conn()) is not None:
            self._arena.cut(conn)
        return effect

    def hold(self) -> Effect:
        self.held = True
        if (conn := self._conn()) is not None:
            self._arena.zookeeper.hold(conn)
        return self._effect("hold")

    def release(self) -> Effect:
        self.held = False
        link = self._arena.links.get(self._seat)
        if link and link.conn is not None:
            # Also one that has ended meanwhile: what it still holds back is what tells of its end.
            self._arena.zookeeper.release(link.conn)
        return self._effect("release")

    def delay(self, seconds: float) -> Effect:
        del seconds
        return self._effect("delay")

    def refuse(self) -> None:
        self.cut()
        self.refused = True

    def accept(self) -> None:
        self.refused = False
        self._arena.note_change()

    def drop_next_reply(self) -> _Planned:
        self._planned.append(_Planned("dropped reply"))
        return self._planned[-1]

    def drop_next_request(self) -> _Planned:
        self._planned.append(_Planned("dropped request"))
        return self._planned[-1]

    def heal(self) -> None:
        for planned in self._planned:
            planned.cancelled = True
        self._planned.clear()
        self.blocked = frozenset()
        self.release()
        self.accept()


class _SimulatedTrouble:
    """What a fault package comes to on the fake."""

    def __init__(
        self, name: str, victim: str, begin: Callable[[], None], end: Callable[[], None]
    ) -> None:
        self.name = name
        self.victim = victim
        self.cuts: frozenset[int] = frozenset()
        self.of_client = True
        self.stops_client = name == "pause-client"
        self.forgets = name == "lose-data-of-majority"
        self._begin, self._end = begin, end

    def inject(self) -> None:
        self._begin()

    def proof(self, *, patient: bool) -> str | None:
        del patient
        return "the fake did it"

    def heal(self) -> None:
        self._end()


class SimulatedArena(Arena):
    """A fake ZooKeeper for elections.

    Args:
        servers: How many servers it has.
        seed: Decides what happens next, wherever several things may.

    Attributes:
        zookeeper: The fake.
        links: The newest link of each seat.
        silent: Servers that answer nobody now.
        driven: Whether nothing happens by itself.
        seat_of: Whose each connection of a shell is.
    """

    def __init__(self, servers: int = 1, seed: int = 0) -> None:
        super().__init__()
        self.servers = servers
        self.zookeeper = FakeZooKeeper(servers=servers, seed=seed)
        self.links: dict[int, _Link] = {}
        self.silent: set[int] = set()
        self.driven = False
        self.seat_of: WeakKeyDictionary[FakeClient, int] = WeakKeyDictionary()
        self.simulated_ways = [_SimulatedWay(self, seat) for seat in range(MOST_SHELLS)]
        self.ways = self.simulated_ways
        self._dead: set[int] = set()
        self._time = 0.0
        self._changes = 0
        self._arrivals = 0
        self._known: list[Transaction] = []
        self._known_zxid = -1
        self._told = 0

    def __enter__(self) -> Self:
        return self

    # --- Time ---

    @property
    def moment(self) -> int:
        """Differs whenever something has happened since."""
        return self._changes + self.zookeeper.steps

    def note_change(self) -> None:
        """Something was done from outside: who could not connect may try again."""
        self._changes += 1

    def note_arrival(self) -> None:
        """A shell was told something."""
        self._arrivals += 1

    def pump(self) -> bool:
        """Let one thing happen; False if nothing can."""
        self._time += _TICK
        happened = self.zookeeper.step()
        for link in list(self.links.values()):
            happened |= link.poll()
        return happened

    def now(self) -> float:
        """Seconds that have been pretended."""
        self._time += _TICK / 100
        return self._time

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Let things happen until a condition is true; whether it became so."""
        if self.driven:
            return condition()
        deadline = self._time + seconds
        while not condition():
            if not self.pump() or self._time > deadline:
                return condition()
        return True

    def idle(self) -> None:
        """Let things happen until a shell is told something; if none can, a long time passes."""
        before = self._arrivals
        while self._arrivals == before:
            if not self.pump():
                self._time += _LONG
                return

    # --- Step by step ---

    def take_over(self) -> None:
        """From now on nothing happens by itself; whoever waits for something waits in vain."""
        self.driven = True

    def let_go(self) -> None:
        """Things happen by themselves again wherever somebody waits."""
        self.driven = False

    def connections_of(self, seat: int) -> list[FakeClient]:
        """The connections of a seat of which something may still come, the oldest first."""
        return [c for c in self.zookeeper.connections if self.seat_of.get(c) == seat]

    def happen(self, what: str, *, who: int, nth: int, server: int) -> bool:
        """Let one thing happen, if it is possible now; whether it was."""
        if what in {Kind.DECIDE, Kind.APPLY}:
            known = [each for each in self.zookeeper.servers if each.number == server]
            return bool(known) and self._let(Kind(what), known[0])
        connections = self.connections_of(who)
        if nth >= len(connections) or what not in {*Kind, LOSE}:
            return False
        meant = connections[nth]
        if what == LOSE:
            possible = not meant.open and bool(meant.to_server)
            self.zookeeper.lose(meant)
            return possible
        if not self._let(Kind(what), meant):
            return False
        link = self.links.get(who)
        if what == Kind.RECEIVE and link and link.conn is meant:
            link.hear()
        return True

    def _let(self, kind: Kind, subject: FakeClient | FakeServer) -> bool:
        happening = Happening(kind, subject)
        possible = happening in self.zookeeper.possible()
        if possible:
            self.zookeeper.let(happening)
        return possible

    def connect(self, who: int, server: int) -> bool:
        """Have the client at a seat connect to a server; whether anything came of it."""
        link, way = self.links.get(who), self.simulated_ways[who]
        if link is None or not link.seeks or server not in way.open_to():
            return False
        return link.connect_to(server, direct=True)

    def notice(self, who: int) -> bool:
        """Have the client at a seat notice that its connection has ended; whether it had."""
        link = self.links.get(who)
        return link is not None and link.has_lost and link.notice_the_end()

    def cut(self, conn: FakeClient) -> None:
        """The network ends a connection.

        Where somebody drives, all that was on its way may still arrive or be lost, as chosen.
        """
        self.zookeeper.cut(conn, len(conn.to_server) if self.driven else None)

    # --- Shells ---

    def shell_class(self, chosen: type[ContenderShell], seat: int) -> type[ContenderShell]:
        """The same class with a link to the fake, which is driven while the shell waits."""
        arena = self

        class Simulated(chosen):  # type: ignore[misc, valid-type]
            def _make_link(self, client: object, connection: int) -> _Link:
                del client

                def tell(arrival: Arrival) -> None:
                    arena.note_arrival()
                    self._arrive(arrival)

                return _Link(arena, seat, tell, connection)

            def glimpse(self) -> Glimpse:
                waiting = tuple(
                    (arrival, self._is_current(arrival))
                    for arrival in self._inbox._waiting  # noqa: SLF001 - looked at, not taken
                    if not isinstance(arrival, Order)
                )
                exchange, now = self._exchange, self.clock.now()
                due = None if exchange is None else exchange.due
                given_up = None
                if self._down_since is not None:
                    given_up = self._down_since + self.settings.patience
                return Glimpse(
                    waiting,
                    tuple(_run_down(moment, now) for moment in (self._deadline, due, given_up)),
                    0 if exchange is None else exchange.call - exchange.number,
                    len(self._writes),
                    self._resign_ordered or self._resigning_session is not None,
                )

            def deliver_one(self, timeout: float = 0.0, lane: Lane | None = None) -> Any:
                if timeout > 0:
                    arena.wait(lambda: bool(self.pending(lane)), timeout)
                return super().deliver_one(0.0, lane)

            def close(self, timeout: float = 5.0) -> None:
                self.order_to_leave()
                while not self.has_left and self.deliver_one(timeout) is not None:
                    pass
                super().close(0.0)

        Simulated.__doc__ = chosen.__doc__
        return Simulated

    def hosts(self, seat: int) -> str:
        """Of no matter: links are made by `shell_class`."""
        return f"fake:{seat + 1}"

    # --- Oracles ---

    def _transactions(self) -> list[Transaction]:
        if self.zookeeper.zxid != self._known_zxid:
            self._known_zxid = self.zookeeper.zxid
            self._known = self.zookeeper.transactions()
        return self._known

    def transactions(self) -> list[Transaction]:
        """What was decided since the last call."""
        known = self._transactions()
        begin, self._told = self._told, len(known)
        return known[begin:]

    @property
    def newest(self) -> int:
        """The newest zxid that was decided; -1 if none was."""
        known = self._transactions()
        return known[-1].zxid if known else -1

    def sessions(self) -> Sessions:
        """Sessions that live, and their ephemerals."""
        return self.zookeeper.dump()

    def sessions_at_rest(self) -> Sessions:
        """The same."""
        return self.zookeeper.dump()

    def watches(self) -> Mapping[str, frozenset[int]]:
        """Sessions that watch, by path."""
        found: dict[str, frozenset[int]] = {}
        for session, paths in self.zookeeper.watches("data").items():
            for path in paths:
                found[path] = found.get(path, frozenset()) | {session}
        return found

    def children(self, path: str) -> list[str] | None:
        """Names of the children of a znode; None if it is not there."""
        tree = self.zookeeper.tree()
        below = path + "/"
        names = (each.removeprefix(below) for each in tree if each.startswith(below))
        return sorted(name for name in names if "/" not in name) if path in tree else None

    def outsider(self) -> FakeClient:
        """A client of nobody's, at the server that leads."""
        return self.zookeeper.connect(self.zookeeper.leader or 0, direct=self.driven)

    # --- Faults ---

    @property
    def can_decide(self) -> bool:
        """Whether a server leads and answers."""
        return self.zookeeper.leader is not None and self.zookeeper.leader not in self.silent

    def end_session(self, session: int) -> None:
        """End a session as if it had timed out."""
        self.note_change()
        self.zookeeper.expire(session)

    def _kill(self, number: int) -> None:
        self.note_change()
        if number not in self._dead:
            self._dead.add(number)
            self.zookeeper.kill(number)

    def _revive(self) -> None:
        self.note_change()
        for number in sorted(self.silent):
            self.zookeeper.release(number)
        for number in sorted(self._dead):
            self.zookeeper.restart(number)
        self.silent.clear()
        self._dead.clear()

    def down(self) -> None:
        """Kill all servers."""
        for way in self.simulated_ways:
            way.refuse()
        for number in self.zookeeper.server_numbers:
            self._kill(number)

    def forget(self) -> None:
        """All data is lost."""
        self.note_change()
        self.zookeeper.wipe()
        self._dead.clear()
        self.silent.clear()
        self._known_zxid, self._told = -1, 0

    def up(self) -> None:
        """Start all servers."""
        self._revive()
        for way in self.simulated_ways:
            way.accept()

    def recover(self) -> None:
        """Have all servers run and know all that was decided."""
        self._revive()
        for number in self.zookeeper.server_numbers:
            self.zookeeper.catch_up(number)

    def move(self, seat: int) -> None:
        """Have a client leave its server for the next one."""
        way = self.simulated_ways[seat]
        way.first = (way.first + 1) % self.servers
        way.cut()

    def available(self, package: str) -> Availability:
        """Whether a fault package means anything on the fake."""
        if package in _WITHOUT_TIME:
            return Availability(allowed=False, reason="the fake has no clock, so nothing is slow")
        if self.servers < 3 and package in {"kill-leader", "lag-follower", "partition-servers"}:
            return Availability(allowed=False, reason="it needs at least 3 servers")
        return Availability(allowed=True)

    def prepare(self, package: str, seat: int, server: str, random: Random) -> Trouble:
        """What a fault package comes to here; nothing is broken yet.

        Raises:
            NothingToHit: There is nothing that it could be done to now.
        """
        if reason := self.available(package).reason:
            raise NothingToHit(f"{package}: {reason}")
        way, link = self.simulated_ways[seat], self.links.get(seat)
        number = self._server_meant(package, server, link, random)
        session = link.client.client_id[0] if link and link.client.client_id else 0
        zookeeper = self.zookeeper

        if package in _ENDS_A_SESSION and session not in zookeeper.dump().alive:
            raise NothingToHit(f"session 0x{session:x} is not alive")

        def expire() -> None:
            self.end_session(session)

        def silence() -> None:
            way.hold()
            expire()

        def hush() -> None:
            self.silent.add(number)
            zookeeper.hold(number)

        def block() -> None:
            way.blocked = frozenset({number})
            if link and link.conn and link.conn.server.number == number:
                way.cut()

        ways: dict[str, tuple[str, Callable[[], Any], Callable[[], Any]]] = {
            "expire": ("a session", expire, self.note_change),
            "natural-expiry": ("a session", silence, way.release),
            "pause-client": ("a session", silence, way.release),
            "cut": ("a connection", way.cut, self.note_change),
            "lost-request": ("a request", way.drop_next_request, self.note_change),
            "lost-reply": ("a reply", way.drop_next_reply, self.note_change),
            "partition-clients": ("a client", way.hold, way.release),
            "blackhole-host": (f"the way to server {number}", block, way.heal),
            "pause-server": (f"server {number}", hush, self._revive),
            "lag-follower": (
                f"server {number}",
                lambda: zookeeper.lag(number),
                lambda: zookeeper.catch_up(number),
            ),
            "lose-data-of-majority": ("all servers", self.forget, self.note_change),
        }
        # A server that is cut off, or has lost its data, is down as far as clients can tell.
        default = (f"server {number}", lambda: self._kill(number), self._revive)
        victim, begin, end = ways.get(package, default)
        return _SimulatedTrouble(package, victim, begin, end)

    def _server_meant(self, package: str, server: str, link: _Link | None, random: Random) -> int:
        leader = self.zookeeper.leader or 0
        theirs = link.conn.server.number if link and link.conn else leader
        number = {"leads": leader, "theirs": theirs}.get(server)
        if package == "kill-leader":
            return leader
        if package in {"lag-follower", "lose-data-of-one"} and number in {None, leader}:
            number = random.choice([n for n in self.zookeeper.server_numbers if n != leader] or [0])
        return random.choice(self.zookeeper.server_numbers) if number is None else number
