"""A ZooKeeper in memory: as many servers as wanted, no thread, no clock, no chance.

    zookeeper = FakeZooKeeper(servers=3, seed=7)
    client = zookeeper.connect()
    client.create("/a")

What a request does is decided by `keepstep.simulation.service`, which is derived from the
environment module. Here is what lies around it: messages on their way, servers that are
behind, connections that end. Nothing happens on its own. `FakeZooKeeper.step` lets one of the
things happen that may happen next; which one the seed decides, so a run can be repeated. Who
wants to decide it takes one of `FakeZooKeeper.possible` and has it happen with `let`.
"""

from __future__ import annotations

import contextlib
import random
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from keepstep.errors import LocalViolation
from keepstep.simulation import service as derived
from keepstep.simulation.client import FakeClient
from keepstep.simulation.history import (
    EPOCH,
    KINDS,
    Entry,
    Waiting,
    transaction_of,
)
from keepstep.simulation.messages import CODES, Answer, Request
from keepstep.simulation.paths import is_proper, name_text, path_of, path_to_create, text_of
from keepstep.testing.network.wire import (
    Check,
    ConnectionEnded,
    Create,
    Delete,
    Notification,
    Operation,
    SessionGone,
    SetData,
    Stat,
)
from keepstep.testing.servers.admin import Expiry, Sessions, session_password
from keepstep.testing.servers.observer import Znode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from keepstep.testing.servers.observer import Transaction

__all__ = ["FakeServer", "FakeZooKeeper", "Happening", "Kind"]

_TOLD = {"created": 1, "deleted": 2, "changed": 3, "children": 4}
_MOVED = "SessionMoved"
_UNIMPLEMENTED = "Unimplemented"
_MOST_STEPS = 1_000_000
_PACES = (1.0, 0.2, 0.02)
"""How readily a server applies what was decided, while something else may happen."""


class Kind(StrEnum):
    """What kinds of things may happen next."""

    DELIVER = "deliver"
    DECIDE = "decide"
    APPLY = "apply"
    ANSWER = "answer"
    RECEIVE = "receive"


class Happening(NamedTuple):
    """One thing that may happen next.

    Attributes:
        kind: What: a server takes a request from a connection, or answers one, a client receives
            what was sent to it; the leader decides the next request of a server, or a server
            applies the next transaction.
        subject: The connection, or the server.
    """

    kind: Kind
    subject: FakeClient | FakeServer


class FakeServer:
    """What one server knows: how far it has applied, and who is connected to it."""

    __slots__ = (
        "alive", "applied", "clients", "held", "lagging", "number", "pace", "queue", "tree",
        "watches", "zxid",
    )  # fmt: skip

    def __init__(self, number: int, tree: derived.Tree, zxid: int, pace: float) -> None:
        self.number = number
        self.pace = pace
        self.alive = True
        self.held = False
        self.lagging = False
        self.applied = 0
        self.tree = tree
        self.zxid = zxid
        self.watches: frozenset[derived.Watch] = frozenset()
        self.clients: dict[int, FakeClient] = {}
        self.queue: deque[Waiting] = deque()


class FakeZooKeeper:
    """A ZooKeeper of one or several servers, numbered from 0.

    Args:
        servers: How many.
        seed: Decides what happens next wherever several things may.
        stragglers: Whether a request of a connection that ended may still arrive when its
            session has come back to the same server. Real servers do so, rarely.
        rules: The functions that decide; others than those derived only to try the kit.

    Attributes:
        leader: Number of the server that leads, or None while too few are alive.
        steps: How many steps there were.
    """

    def __init__(
        self,
        *,
        servers: int = 1,
        seed: int = 0,
        stragglers: bool = False,
        rules: ModuleType = derived,
    ) -> None:
        if servers < 1:
            raise LocalViolation("a ZooKeeper has at least one server")
        self._rules: Any = rules
        self._random = random.Random(seed)  # noqa: S311 - it is to be repeated, not secret
        self._stragglers = stragglers
        self._size = servers
        self.steps = 0
        self._begin()

    def _begin(self) -> None:
        """Nothing was ever written."""
        zxid = 1 << 32 if self._size > 1 else 0
        tree = self._rules.NEW_TREE
        self._service: derived.Service = self._rules.Service(tree, {}, zxid)
        self._log: list[Entry] = []
        self._told: list[Transaction] = []
        self._forgotten = 0
        self._servers = [
            FakeServer(number, tree, zxid, self._random.choice(_PACES))
            for number in range(self._size)
        ]
        self._clients: list[FakeClient] = []
        self._last_session = 0
        self.leader: int | None = 0

    @property
    def server_numbers(self) -> range:
        """The numbers of the servers."""
        return range(self._size)

    # --- Clients ---

    def connect(
        self,
        server: int = 0,
        session: int | None = None,
        password: bytes | None = None,
        *,
        last_zxid: int = 0,
        direct: bool = False,
    ) -> FakeClient:
        """Connect to a server, with a new session or to go on with one.

        Args:
            server: Number of the server.
            session: The session to resume; None or 0 for a new one.
            password: Its password; by default the right one.
            last_zxid: Newest transaction that the session is known to have seen.
            direct: Whether the client's calls let happen nothing but what they wait for.

        Raises:
            ConnectionEnded: The server is not alive, does not answer, or is behind `last_zxid`.
            SessionGone: The session to resume has ended, or the password is wrong.
        """
        chosen = self._server(server)
        if not chosen.alive or self.leader is None:
            raise ConnectionEnded(f"nobody answers at server {server}")
        if not self._rules.may_serve(chosen.zxid, last_zxid):
            raise ConnectionEnded(f"server {server} is behind what the client has seen")
        if session and password not in {None, session_password(session)}:
            # A server ends the session's connection before it looks at the password.
            if (before := chosen.clients.get(session)) is not None:
                self._end(before)
            raise SessionGone(f"session 0x{session:x} has another password")
        if session:
            client = FakeClient(self, chosen, session)
            client.to_server.append(Request("resume"))
        else:
            self._last_session += 1
            client = FakeClient(self, chosen, (server + 1) << 56 | self._last_session)
            client.to_server.append(Request("open"))
        self._clients.append(client)
        client.direct = direct
        answer = client.wait(0)
        if answer.error:
            self.leave(client)
            raise SessionGone(f"session 0x{client.session:x} has ended")
        return client

    def _server(self, number: int) -> FakeServer:
        if not 0 <= number < len(self._servers):
            raise LocalViolation(f"there is no server {number}; the last is {self._size - 1}")
        return self._servers[number]

    # --- The scheduler ---

    def step(self) -> bool:
        """Let one of the things happen that may happen next; False if nothing may."""
        possible = self._possible()
        late = self._late() if self._size > 1 else None
        self.steps += 1
        draw = self._random.random
        if late and (not possible or draw() * (len(possible) + len(late)) < len(late)):
            server = late[int(draw() * len(late))]
            if not possible or draw() < server.pace:
                self._apply(server)
                return True
        if possible:
            act, subject = possible[int(draw() * len(possible))]
            act(subject)
            return True
        return self._catch_up_for_somebody()

    def _possible(self) -> list[tuple[Callable[[Any], None], Any]]:
        """What may happen besides that a server applies what was decided."""
        found: list[tuple[Callable[[Any], None], Any]] = []
        for client in self._clients:
            if client.held:
                continue
            if client.to_client:
                found.append((self._receive, client))
            server = client.server
            if server.alive and not server.held:
                if client.to_server:
                    found.append((self._deliver, client))
                waiting = client.waiting
                if waiting and (due := waiting[0].due) is not None and due <= server.applied:
                    found.append((self._answer, client))
        if self.leader is not None:
            found += [
                (self._decide, server)
                for server in self._servers
                if server.queue and server.alive and not server.held
            ]
        return found

    def _late(self) -> list[FakeServer]:
        """The servers that may apply something."""
        last = len(self._log)
        return [
            server
            for server in self._servers
            if server.applied < last and server.alive and not (server.held or server.lagging)
        ]

    def _catch_up_for_somebody(self) -> bool:
        """A server that lags goes on where a client waits for it: it is slow, not dead."""
        for server in self._servers:
            if server.lagging and server.alive and not server.held and self._is_awaited(server):
                self._apply(server)
                return True
        return False

    def _is_awaited(self, server: FakeServer) -> bool:
        return any(
            waiting.due is not None and waiting.due > server.applied
            for client in self._clients
            if client.server is server and not client.held
            for waiting in client.waiting
        )

    # --- Choosing what happens ---

    def possible(self) -> list[Happening]:
        """Everything that may happen next, in an order that depends on what was done alone."""
        kinds = {
            self._receive: Kind.RECEIVE,
            self._deliver: Kind.DELIVER,
            self._answer: Kind.ANSWER,
            self._decide: Kind.DECIDE,
        }
        found = [Happening(kinds[act], subject) for act, subject in self._possible()]
        late = self._late() if self._size > 1 else []
        awaited = [
            server
            for server in self._servers
            if server.lagging and server.alive and not server.held and self._is_awaited(server)
        ]
        return found + [Happening(Kind.APPLY, server) for server in (*late, *awaited)]

    def let(self, happening: Happening) -> None:
        """Let one thing happen that is possible now."""
        acts: dict[Kind, Callable[[Any], None]] = {
            Kind.RECEIVE: self._receive,
            Kind.DELIVER: self._deliver,
            Kind.ANSWER: self._answer,
            Kind.DECIDE: self._decide,
            Kind.APPLY: self._apply,
        }
        self.steps += 1
        acts[happening.kind](happening.subject)

    def serve(self, client: FakeClient) -> bool:
        """Let the next thing happen that a connection waits for; False if nothing may."""
        server, waiting = client.server, client.waiting
        self.steps += 1
        if client.held:
            return False
        if client.to_client:
            self._receive(client)
        elif not server.alive or server.held:
            return False
        elif waiting and waiting[0].due is None:
            if self.leader is None or not server.queue:
                return False
            self._decide(server)
        elif waiting and (waiting[0].due or 0) > server.applied:
            self._apply(server)
        elif waiting:
            self._answer(client)
        elif client.to_server:
            self._deliver(client)
        else:
            return False
        return True

    def lose(self, client: FakeClient) -> None:
        """What a connection that has ended had sent, and no server has taken, is lost."""
        if not client.open:
            client.to_server.clear()
            self._forget_if_done(client)

    @property
    def connections(self) -> list[FakeClient]:
        """The connections that stand, or of which something is still on its way."""
        return list(self._clients)

    @property
    def servers(self) -> list[FakeServer]:
        """The servers."""
        return list(self._servers)

    @property
    def alive(self) -> frozenset[int]:
        """The sessions that live, as the leader knows them."""
        return frozenset(self._service.sessions)

    def serves(self, server: int, last_zxid: int = 0) -> bool:
        """Whether a server would take a client that has seen so much."""
        chosen = self._server(server)
        answers = chosen.alive and not chosen.held and self.leader is not None
        return answers and bool(self._rules.may_serve(chosen.zxid, last_zxid))

    @property
    def decided(self) -> int:
        """How many transactions were decided."""
        return len(self._log)

    def run_until(self, condition: Callable[[], bool], most_steps: int = 10_000) -> bool:
        """Step until a condition is true; False if it does not become so."""
        for _ in range(most_steps):
            if condition():
                return True
            if not self.step():
                return condition()
        return condition()

    def settle(self) -> None:
        """Step until nothing more may happen.

        Servers that lag stay behind, where nobody waits for them.
        """
        self.run_until(lambda: False, _MOST_STEPS)
        if self._possible() or self._late():
            raise LocalViolation("the fake ZooKeeper does not come to rest")

    # --- What may happen ---

    def _deliver(self, client: FakeClient) -> None:
        """The server takes a request from the connection."""
        request = client.to_server.popleft()
        if client.requests_to_drop:
            client.requests_to_drop -= 1
            self._end(client)
            client.to_server.clear()
            self._forget_if_done(client)
            return
        waiting = Waiting(request, client)
        if request.kind == "resume":
            self._end_connections_before(client)
        if request.kind in {"data", "exists", "children"}:
            waiting.due = 0
            self._look_where_it_is(waiting, client.server)
        elif request.kind == "write" and isinstance(request.operations[0], Check):
            # A check belongs into a multi; alone it reaches no leader.
            waiting.due, waiting.error, waiting.zxid = 0, _UNIMPLEMENTED, -1
        else:
            client.server.queue.append(waiting)
        if client.open:
            client.waiting.append(waiting)
        else:
            self._forget_if_done(client)

    def _decide(self, server: FakeServer) -> None:
        """The leader takes the next request that a server has passed on to it."""
        waiting = server.queue.popleft()
        request, client = waiting.request, waiting.client
        session = client.session
        match request.kind:
            case "write" | "multi":
                operations = tuple(map(self._operation, request.operations))
                decision = self._rules.decide(self._service, session, server.number, operations)
                self._record(waiting, decision)
            case "close":
                self._record(waiting, self._rules.closed(self._service, session))
            case "open":
                self._service = self._rules.opened(self._service, session, server.number)
                self._record_opening(waiting)
            case "resume":
                self._resume(waiting, server)
            case "sync":
                waiting.due = len(self._log)
                self._look_where_it_is(waiting, server)
        if self._size == 1 and server.applied < len(self._log):
            self._apply(server)

    def _look_where_it_is(self, waiting: Waiting, server: FakeServer) -> None:
        """Refuse what is asked of the leader for a session that has moved to another server.

        Of what changes nothing it looks only at the requests of its own clients; followers do
        not know where their sessions are.
        """
        if server.number == self.leader:
            session = waiting.client.session
            error = self._rules.session_error(self._service, session, server.number)
            if error == _MOVED:
                waiting.error = error

    def _record(self, waiting: Waiting, decision: derived.Decision) -> None:
        self._service = decision.service
        waiting.error, waiting.results = decision.error, decision.results
        request = waiting.request
        entry = Entry(
            self._service.zxid, waiting.client.session, request.xid, request.kind, decision.error,
            request.operations, decision.results, decision.changes, self._service.tree,
        )  # fmt: skip
        self._log.append(entry)
        waiting.zxid, waiting.due = entry.zxid, len(self._log)

    def _record_opening(self, waiting: Waiting) -> None:
        zxid, tree = self._service.zxid, self._service.tree
        self._log.append(Entry(zxid, waiting.client.session, 0, "open", "OK", (), (), (), tree))
        waiting.zxid, waiting.due = zxid, len(self._log)
        self._attach(waiting.client)

    def _resume(self, waiting: Waiting, server: FakeServer) -> None:
        client = waiting.client
        waiting.due = 0
        if client.session not in self._service.sessions:
            waiting.error = "SessionExpired"
            return
        self._service = self._rules.resumed(self._service, client.session, server.number)
        self._attach(client)

    def _attach(self, client: FakeClient) -> None:
        """The connection is now the one of its session at its server."""
        if client.open:
            client.server.clients[client.session] = client

    def _end_connections_before(self, client: FakeClient) -> None:
        """A server that is asked to resume a session ends the connection that it has of it.

        It does so before it looks at anything else.
        """
        before = client.server.clients.get(client.session)
        if before is not None:
            self._end(before)
        if not self._stragglers:
            for late in [late for late in self._clients if not late.open]:
                if late.session == client.session and late.server is client.server:
                    late.to_server.clear()
                    self._forget_if_done(late)

    def _operation(self, operation: Operation) -> derived.Operation:
        """An operation as the environment module has it.

        How closely ZooKeeper looks at a path depends on what is asked for it.
        """
        path, kind = operation.path, KINDS[type(operation)]
        make: Callable[..., derived.Operation] = self._rules.Operation
        if isinstance(operation, Create):
            ephemeral, sequential = operation.ephemeral, operation.sequential
            proper = is_proper(path + "0" * 10 if sequential else path)
            where = path_to_create(path, sequential=sequential)
            return make(kind, where, proper, operation.data, -1, ephemeral, sequential)
        if isinstance(operation, Delete):
            proper = "/" in path and "\0" not in path
        else:
            proper = is_proper(path)
        data = operation.data if isinstance(operation, SetData) else b""
        version = operation.version
        return make(kind, path_of(path), proper, data, version, ephemeral=False, sequential=False)

    def _apply(self, server: FakeServer) -> None:
        """A server applies the next transaction and tells its clients of it."""
        entry = self._log[server.applied]
        server.applied += 1
        server.zxid = entry.zxid
        if entry.tree is not None:
            server.tree = entry.tree
        for several in entry.changes:
            if not server.watches:
                break
            self._fire(server, several)
        if entry.kind == "close" and entry.error == "OK":
            client = server.clients.pop(entry.session, None)
            if client is not None and not any(w.request.kind == "close" for w in client.waiting):
                self._end(client, read_on=True)
        self._forget_trees()

    def _fire(self, server: FakeServer, changes: frozenset[derived.Change]) -> None:
        ordered = sorted(changes)
        if len(ordered) > 1:
            self._random.shuffle(ordered)
        for change in ordered:
            fired = self._rules.fired_by(server.watches, change)
            if not fired:
                continue
            events = self._rules.events_of(server.watches, change)
            server.watches -= fired
            # What happened to a znode is told before what happened to the one above it.
            for event in sorted(events, key=lambda e: (-len(e.path), e)):
                client = server.clients.get(event.session)
                if client is not None and client.open:
                    told = Notification(_TOLD[event.told], text_of(event.path))
                    client.to_client.append(told)

    def _forget_trees(self) -> None:
        """Trees that every living server has left behind are needed no more."""
        slowest = min((s.applied for s in self._servers if s.alive), default=len(self._log))
        while self._forgotten < slowest - 1:
            self._log[self._forgotten].tree = None
            self._forgotten += 1

    def _answer(self, client: FakeClient) -> None:
        """A server answers the oldest request of a connection."""
        waiting = client.waiting.popleft()
        request, server = waiting.request, client.server
        if waiting.error == _MOVED:
            self._end(client)
            return
        answer = Answer(request.xid, waiting.zxid or server.zxid, CODES[waiting.error], "")
        match request.kind:
            case "data" | "exists" | "children":
                self._read(answer, request, client)
            case "write":
                answer.kind, error, answer.value = self._result(waiting, 0)
                answer.error = error if error is not None else answer.error
            case "multi":
                answer.kind = "multi"
                places = range(len(request.operations))
                answer.value = [self._result(waiting, place) for place in places]
                if waiting.results:
                    answer.error = 0
            case "sync":
                answer.kind, answer.value = "sync", request.path
        client.to_client.append(answer)
        if request.kind == "close" or waiting.error == _UNIMPLEMENTED:
            self._end(client, read_on=True)

    def _result(self, waiting: Waiting, place: int) -> tuple[str, int | None, Any]:
        """Kind, error and value of one operation; an error only if the whole was refused."""
        operation = waiting.request.operations[place]
        kind = KINDS[type(operation)]
        if waiting.error != "OK":
            results = waiting.results
            return kind, CODES[results[place].error if results else waiting.error], None
        path = waiting.results[place].path
        if kind == "create":
            return kind, None, text_of(path)
        if kind == "set":
            (znode,) = waiting.results[place].seen
            return kind, None, self._stat(znode)
        return kind, None, None

    def _read(self, answer: Answer, request: Request, client: FakeClient) -> None:
        server = client.server
        path = path_of(request.path)
        if request.watch and server.clients.get(client.session) is client:
            watches = self._rules.watch_set_by(server.tree, client.session, request.kind, path)
            server.watches |= watches
        answer.kind = request.kind
        znode = server.tree.get(path)
        if znode is None:
            answer.error = CODES["NoNode"]
        elif request.kind == "data":
            answer.value = znode.data, self._stat(znode)
        elif request.kind == "exists":
            answer.value = self._stat(znode)
        else:
            answer.value = sorted(map(name_text, znode.children))

    def _stat(self, znode: derived.Znode) -> Stat:
        stat = self._rules.stat_of(znode)
        return Stat(
            stat.czxid, stat.mzxid, EPOCH + stat.czxid, EPOCH + stat.mzxid, stat.version,
            stat.cversion, 0, stat.owner, len(znode.data), stat.children, stat.pzxid,
        )  # fmt: skip

    def _receive(self, client: FakeClient) -> None:
        """A client is handed the next thing that its server sent."""
        item = client.to_client.popleft()
        if isinstance(item, Notification):
            client.notifications.append(item)
        elif client.replies_to_drop:
            client.replies_to_drop -= 1
            self._end(client)
        else:
            client.early[item.xid] = item
        if not client.open:
            self._forget_if_done(client)

    # --- Ends of connections ---

    def _end(self, client: FakeClient, *, read_on: bool = False) -> None:
        """A connection ends. What its server has taken will be done; nobody hears of it.

        Args:
            client: The connection.
            read_on: Whether its client still gets what the server had sent.
        """
        client.open = False
        server = client.server
        if server.clients.get(client.session) is client:
            del server.clients[client.session]
            server.watches = self._rules.without_session(server.watches, client.session)
        client.waiting.clear()
        if not read_on:
            client.to_client.clear()
        self._forget_if_done(client)

    def _forget_if_done(self, client: FakeClient) -> None:
        if not client.open and not client.to_server and not client.to_client:
            with contextlib.suppress(ValueError):
                self._clients.remove(client)

    def leave(self, client: FakeClient) -> None:
        """The client closes its connection. What it had sent may still arrive."""
        if client.open:
            self._end(client)

    # --- Faults ---

    def expire(self, session: int) -> Expiry:
        """The leader ends a session now, whatever its client believes.

        Raises:
            LocalViolation: There is no such session, or no leader.
        """
        if self.leader is None:
            raise LocalViolation("without a leader no session ends")
        if session not in self._service.sessions:
            raise LocalViolation(f"session 0x{session:x} is not alive; nothing was expired")
        owned = self.dump().ephemerals.get(session, ())
        decision = self._rules.closed(self._service, session)
        self._service = decision.service
        zxid, tree = self._service.zxid, self._service.tree
        self._log.append(Entry(zxid, session, 0, "close", "OK", (), (), decision.changes, tree))
        leading = self._servers[self.leader]
        while leading.applied < len(self._log):
            self._apply(leading)
        return Expiry(session, owned, zxid)

    def cut(self, client: FakeClient, arriving: int | None = None) -> None:
        """The network ends a connection. Of the requests on their way the first few arrive.

        Args:
            client: The connection.
            arriving: How many may arrive; None for the seed to decide.
        """
        if not client.open:
            return
        if arriving is None:
            arriving = int(self._random.random() * (len(client.to_server) + 1))
        while len(client.to_server) > arriving:
            client.to_server.pop()
        self._end(client)

    def drop_next_request(self, client: FakeClient) -> None:
        """The next request is lost on its way, and the connection with it."""
        client.requests_to_drop += 1

    def drop_next_reply(self, client: FakeClient) -> None:
        """The next reply is lost on its way, and the connection with it."""
        client.replies_to_drop += 1

    def hold(self, what: FakeClient | int) -> None:
        """Nothing passes a connection, or a server does nothing, until `release`."""
        self._held(what, held=True)

    def release(self, what: FakeClient | int) -> None:
        """End `hold`."""
        self._held(what, held=False)

    def _held(self, what: FakeClient | int, *, held: bool) -> None:
        subject = self._server(what) if isinstance(what, int) else what
        subject.held = held

    def lag(self, server: int) -> None:
        """A server applies nothing any more but what one of its own clients waits for."""
        self._server(server).lagging = True

    def catch_up(self, server: int) -> None:
        """End `lag`, and apply all that was decided."""
        behind = self._server(server)
        behind.lagging = False
        while behind.alive and behind.applied < len(self._log):
            self._apply(behind)

    def kill(self, server: int) -> None:
        """End a server. If it leads, all connections end, and another one leads if enough live.

        Raises:
            LocalViolation: It is dead already.
        """
        dead = self._server(server)
        if not dead.alive:
            raise LocalViolation(f"server {server} is dead already")
        dead.alive = False
        alive = [one.number for one in self._servers if one.alive]
        enough = len(alive) > self._size // 2
        if server == self.leader or not enough:
            for one in self._servers:
                self._disconnect(one)
            self._elect(alive if enough else [])
        else:
            self._disconnect(dead)

    def _disconnect(self, server: FakeServer) -> None:
        """End all connections of a server; what it had not passed on is lost."""
        server.queue.clear()
        for client in [client for client in self._clients if client.server is server]:
            client.to_server.clear()
            if client.open:
                self._end(client)
        server.clients.clear()
        server.watches = frozenset()

    def _elect(self, candidates: Sequence[int]) -> None:
        """Let one of several servers lead; what was decided stays."""
        self.leader = self._random.choice(candidates) if candidates else None
        for number in candidates:
            server = self._servers[number]
            while server.applied < len(self._log):
                self._apply(server)
        if candidates:
            zxid = ((self._service.zxid >> 32) + 1) << 32
            self._service = self._service._replace(zxid=zxid)

    def restart(self, server: int) -> None:
        """Start a server again; it has caught up when it serves. A living one is killed first."""
        back = self._server(server)
        if back.alive:
            self.kill(server)
        back.alive, back.held, back.lagging = True, False, False
        back.tree, back.applied = self._service.tree, len(self._log)
        back.zxid = self._log[-1].zxid if self._log else self._service.zxid
        alive = [one.number for one in self._servers if one.alive]
        if self.leader is None and len(alive) > self._size // 2:
            self._elect(alive)

    def wipe(self) -> None:
        """All data of all servers is lost: a new, empty ZooKeeper with other sessions."""
        for server in self._servers:
            self._disconnect(server)
        for client in self._clients:
            # Nobody delivers it any more, and a client that waits for it would wait for ever.
            client.to_client.clear()
        last_session = self._last_session
        self._begin()
        self._last_session = last_session

    # --- What the servers know ---

    def dump(self) -> Sessions:
        """Sessions and their ephemerals, as the leader knows them."""
        owned: dict[int, list[str]] = {}
        for path, znode in self._service.tree.items():
            if znode.owner:
                owned.setdefault(znode.owner, []).append(text_of(path))
        ephemerals = {session: tuple(sorted(paths)) for session, paths in owned.items()}
        return Sessions(frozenset(self._service.sessions), ephemerals)

    def watches(self, kind: str | None = None) -> dict[int, tuple[str, ...]]:
        """Paths that each session watches at the servers that it is connected to.

        Args:
            kind: "data" for those that a real server's `wchc` tells, "children" for the others.
        """
        found: dict[int, set[str]] = {}
        for server in self._servers:
            for watch in server.watches:
                if kind not in {None, watch.kind}:
                    continue
                found.setdefault(watch.session, set()).add(text_of(watch.path))
        return {session: tuple(sorted(paths)) for session, paths in sorted(found.items())}

    def tree(self, server: int | None = None) -> dict[str, Znode]:
        """Data and stat of every znode as decided, or as a server has applied it.

        ZooKeeper's own znodes below `/zookeeper` are left out.
        """
        tree = self._service.tree if server is None else self._server(server).tree
        found = {text_of(path): Znode(z.data, self._stat(z)) for path, z in tree.items()}
        return {
            path: znode
            for path, znode in sorted(found.items())
            if path != "/zookeeper" and not path.startswith("/zookeeper/")
        }

    @property
    def zxid(self) -> int:
        """The newest transaction that was decided."""
        return self._service.zxid

    def transactions(self) -> list[Transaction]:
        """All that was decided, refused requests too, in order of zxid."""
        self._told += [transaction_of(entry) for entry in self._log[len(self._told) :]]
        return list(self._told)
