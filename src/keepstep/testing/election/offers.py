"""What may happen next in an election in memory, and what can be seen of it.

`Outlook.offers` lists every step that means something now: what servers and connections have
before them, what each shell can be delivered, clients that can connect, commands, clocks, and
faults as long as the bounds of the run allow any. `Outlook.appearance` is what a walk remembers a
situation by: how each shell stands, and what lies between it and the servers. Sessions and
tickets are told by whose they are, versions by whether they are current, so that two runs which
differ in numbers only look alike. It leaves things out (how late it is, what users wrote), so the
same step may lead elsewhere another time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from kazoo.protocol.states import ZnodeStat

from keepstep.core.ids import NodeId
from keepstep.errors import LocalViolation
from keepstep.roles.election_types import Fence
from keepstep.shell.inbox import Answer, Arrival, Lane, LinkDown, LinkEnded, LinkUp, Notice
from keepstep.simulation import FakeClient
from keepstep.simulation.fake import FakeServer, Kind
from keepstep.simulation.history import Waiting
from keepstep.testing.election.simulated import Glimpse, SimulatedArena
from keepstep.testing.election.step_by_step import LOSE
from keepstep.testing.election.world import MOST_SHELLS, ElectionWorld
from keepstep.testing.network.wire import Notification, Stat
from keepstep.testing.step import Step
from keepstep.znodes.epoch import default_fence_path, read_incarnation
from keepstep.znodes.latch import read_ticket

__all__ = ["NOBODY", "Bounds", "Offer", "Outlook"]

NOBODY = -1
"""The seat of a step that is aimed at none."""

_MOST_BEHIND = 3
_AT_ONE = ("cut", "give_up", "kill", "drop_request", "drop_reply", "hold")
"""Faults of one contender or of its connection."""
_OF_SERVERS = ("kill-server", "kill-leader", "lag-follower")
"""Fault packages, where there are several servers."""
_TIMERS = ("deadline", "answer", "patience")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may happen in one walk.

    Attributes:
        servers: Number of servers.
        shells: Contenders that run at once, at most.
        faults: Faults in a walk, at most. As in the models a resignation costs none, but is not
            ordered any more when they are spent; a deadline that passes while the connection is
            well counts, one that passes while it is gone does not.
        length: Steps of a walk, at most.
    """

    servers: int = 1
    shells: int = 2
    faults: int = 2
    length: int = 300

    def validate(self) -> None:
        """Check them.

        Raises:
            LocalViolation: They make no sense.
        """
        if self.servers not in {1, 3, 5}:
            raise LocalViolation(f"an ensemble has 1, 3 or 5 servers, not {self.servers}")
        if not 1 <= self.shells <= MOST_SHELLS:
            raise LocalViolation(f"a walk has 1 to {MOST_SHELLS} contenders, not {self.shells}")
        if self.faults < 0 or self.length < 1:
            raise LocalViolation("a walk has no negative number of faults, and at least one step")


class Offer(NamedTuple):
    """A step that may come next.

    Attributes:
        step: The step.
        name: What it is, whoever it is aimed at: the same in all situations that are alike.
        who: Number of the seat that it is aimed at; `NOBODY` if at none.
        costs: Whether it is a fault, of which there are only so many.
        delivers: Whether it delivers something to a shell.
    """

    step: Step
    name: str
    who: int = NOBODY
    costs: bool = False
    delivers: bool = False


class Outlook:
    """Looks at an election in memory.

    Args:
        arena: Where it is; somebody has taken over.
        world: The election.
        bounds: How much may happen.

    Attributes:
        faults_left: How many more faults may happen.
    """

    def __init__(self, arena: SimulatedArena, world: ElectionWorld, bounds: Bounds) -> None:
        self._arena = arena
        self._world = world
        self._bounds = bounds
        self.faults_left = bounds.faults
        self._fence = default_fence_path(world.latch)
        self._read = (-1, -1)
        self._latch_exists = False
        self._current: tuple[int, int] | None = None
        self._tickets: list[tuple[int, NodeId, int]] = []
        self._look()

    # --- Looking ---

    def _look(self) -> None:
        """Read what everything below goes by, once for each step."""
        world, zookeeper = self._world, self._arena.zookeeper
        self._seats = [seat for seat in world.seats if seat.shell is not None]
        self._glimpses: dict[int, Glimpse] = {
            seat.number: seat.shell.glimpse()  # type: ignore[union-attr]
            for seat in self._seats
        }
        self._owners: dict[int, tuple[int, str]] = {}
        for seat in world.seats:
            for session in seat.sessions:
                self._owners[session] = (seat.number, "earlier")
        for seat in self._seats:
            if present := seat.present_session():
                self._owners[present] = (seat.number, "present")
        self._nodes = {seat.shell.node: seat.number for seat in self._seats if seat.shell}
        self._alive = zookeeper.alive
        version = zookeeper.decided, zookeeper.zxid
        if version != self._read:
            self._read = version
            self._read_tree()

    def _read_tree(self) -> None:
        tree = self._arena.zookeeper.tree()
        self._latch_exists = self._world.latch in tree
        self._current = None
        self._tickets = []
        for path, znode in tree.items():
            parent, _, name = path.rpartition("/")
            if parent == self._world.latch and (ticket := read_ticket(name)):
                owner = znode.stat.ephemeral_owner
                self._tickets.append((ticket.number, ticket.node, owner))
            elif parent == self._fence and (incarnation := read_incarnation(name)) is not None:
                self._current = incarnation, znode.stat.version
        self._tickets.sort()

    def advance(self, offer: Offer) -> None:
        """A step was taken: look again."""
        self.faults_left -= offer.costs
        self._look()

    # --- What may happen ---

    def offers(self) -> list[Offer]:
        """Every step that means something now."""
        return [*self._in_the_servers(), *self._at_the_seats(), *self._faults()]

    def _in_the_servers(self) -> Iterator[Offer]:
        arena = self._arena
        places: dict[FakeClient, tuple[int, int]] = {}
        for number in sorted(set(arena.seat_of.values())):
            for nth, connection in enumerate(arena.connections_of(number)):
                places[connection] = number, nth
        for kind, subject in arena.zookeeper.possible():
            if not isinstance(subject, FakeClient):
                step = Step("happen", {"what": str(kind), "server": subject.number})
                yield Offer(step, str(kind), self._served(kind, subject))
            elif (place := places.get(subject)) is not None:
                yield self._happen(str(kind), subject, *place)
        for connection, place in places.items():
            if not connection.open and connection.to_server:
                yield self._happen(LOSE, connection, *place)

    def _served(self, kind: Kind, server: FakeServer) -> int:
        """The seat that waits for what a server is to do; `NOBODY` if none does."""
        arena = self._arena
        if kind is Kind.DECIDE:
            return arena.seat_of.get(server.queue[0].client, NOBODY)
        waiting = (
            seat
            for connection, seat in arena.seat_of.items()
            if connection.server is server
            and any((each.due or 0) > server.applied for each in connection.waiting)
        )
        return next(waiting, NOBODY)

    def _happen(self, what: str, connection: FakeClient, who: int, nth: int) -> Offer:
        link = self._arena.links.get(who)
        late = "" if link and link.conn is connection else " late"
        step = Step("happen", {"what": what, "who": who, "nth": nth})
        return Offer(step, f"{what}{late}", who)

    def _at_the_seats(self) -> Iterator[Offer]:
        if self._world.in_trouble:
            yield Offer(Step("heal"), "heal")
        arena, bounds = self._arena, self._bounds
        empty = next((seat.number for seat in self._world.seats if seat.shell is None), None)
        if empty is not None and len(self._seats) < bounds.shells:
            yield Offer(Step("start"), "start", NOBODY)
        for seat in self._seats:
            who, shell, link = seat.number, seat.shell, arena.links.get(seat.number)
            if shell is None or shell.stopped:
                continue
            if link is not None and link.seeks:
                for server in arena.simulated_ways[who].open_to():
                    if arena.zookeeper.serves(server, link.client.last_zxid):
                        yield Offer(Step("connect", {"who": who, "server": server}), "connect", who)
            if link is not None and link.has_lost:
                yield Offer(Step("notice", {"who": who}), "notice", who)
            yield from self._deliveries(who, shell)
            if seat.held:
                yield Offer(Step("release", {"who": who}), "release", who)
            yield from self._orders(who, shell)

    def _deliveries(self, who: int, shell: Any) -> Iterator[Offer]:
        glimpse = self._glimpses[who]
        firsts: dict[Lane, str] = {}
        for waiting in glimpse.waiting:
            lane = _lane(waiting[0])
            if lane not in firsts:
                firsts[lane] = self._told(waiting, who, shell)
        if "due" in glimpse.timers:
            firsts[Lane.TIMER] = _TIMERS[glimpse.timers.index("due")]
        if shell.pending(Lane.COMMAND):
            firsts[Lane.COMMAND] = "order"
        for lane, what in firsts.items():
            step = Step("deliver", {"who": who, "lane": str(lane)})
            yield Offer(step, f"deliver {lane} {what}", who, delivers=True)

    def _orders(self, who: int, shell: Any) -> Iterator[Offer]:
        glimpse, link = self._glimpses[who], self._arena.links.get(who)
        if shell.state == "leading":
            if not shell.pending(Lane.COMMAND):
                yield Offer(Step("write", {"who": who}), "write", who, delivers=True)
                yield Offer(Step("beat", {"who": who}), "beat", who, delivers=True)
            if self.faults_left and not glimpse.resigning:
                yield Offer(Step("resign", {"who": who}), "resign", who, delivers=True)
        well = link is not None and link.up and link.conn is not None and link.conn.open
        if "set" in glimpse.timers:
            first = _TIMERS[glimpse.timers.index("set")]
            costs = well or first != "deadline"
            if self.faults_left or not costs:
                step = Step("lapse", {"who": who})
                yield Offer(step, f"lapse {first}", who, costs=costs, delivers=True)

    def _faults(self) -> Iterator[Offer]:
        if self.faults_left <= 0:
            return
        for seat in self._seats:
            if seat.shell is not None and not seat.shell.stopped:
                yield from self._faults_at(seat)
        yield from self._faults_of_all()

    def _faults_at(self, seat: Any) -> Iterator[Offer]:
        """What can be done to one contender, and to the way between it and the servers."""
        who, link = seat.number, self._arena.links.get(seat.number)
        connected = link is not None and link.conn is not None and link.conn.open
        planned = any(each.pending for each in seat.planned)
        means_nothing = {
            "cut": not connected,
            "hold": seat.held,
            "drop_request": planned or not connected,
            "drop_reply": planned or not connected,
        }
        for rule in _AT_ONE:
            if not means_nothing.get(rule):
                yield Offer(Step(rule, {"who": who}), rule, who, costs=True)
        if seat.present_session() in self._alive and self._arena.can_decide:
            yield Offer(Step("expire", {"who": who}), "expire", who, costs=True)
        if self._bounds.servers > 1:
            yield from self._troubles(who)

    def _faults_of_all(self) -> Iterator[Offer]:
        """What can be done to the data, and to all servers at once."""
        # What hits everybody is told apart by how one of them stands then.
        first = self._seats[0].number if self._seats else NOBODY
        if self._arena.can_decide:
            for position, (_, node, _) in enumerate(self._tickets):
                owner = self._nodes.get(node, NOBODY)
                step = Step("delete_ticket", {"position": position})
                yield Offer(step, "delete_ticket", owner, costs=True)
            if self._latch_exists:
                yield Offer(Step("delete_parent"), "delete_parent", first, costs=True)
        yield Offer(Step("wipe_server"), "wipe_server", first, costs=True)
        yield Offer(Step("restart_server"), "restart_server", first, costs=True)

    def _troubles(self, who: int) -> Iterator[Offer]:
        """Faults of the server that a contender's client is connected to, and of the way there."""
        link = self._arena.links.get(who)
        conn = link.conn if link else None
        if conn is None or not conn.open or self._world.in_trouble:
            return
        for package in _OF_SERVERS:
            if package == "lag-follower" and conn.server.number == self._arena.zookeeper.leader:
                continue
            step = Step("inject", {"package": package, "who": who, "server": "theirs"})
            yield Offer(step, package, who, costs=True)
        yield Offer(Step("move", {"who": who}), "move", who, costs=True)

    # --- What it looks like ---

    def modes(self) -> tuple[str, ...]:
        """The mode of the contender at each seat; "" where nobody sits."""
        return tuple(s.shell.state if s.shell else "" for s in self._world.seats)

    def appearance(self) -> Hashable:
        """What a walk remembers this situation by."""
        zookeeper = self._arena.zookeeper
        servers = tuple(
            (
                s.alive,
                s.held,
                s.lagging,
                min(zookeeper.decided - s.applied, _MOST_BEHIND),
                len(s.queue),
            )
            for s in zookeeper.servers
        )
        tickets = tuple(
            (self._nodes.get(node, NOBODY), self._owner(session))
            for _, node, session in self._tickets
        )
        return (
            self.faults_left,
            tuple(self._seat(seat) if seat.shell else () for seat in self._world.seats),
            tickets,
            self._latch_exists,
            self._current is not None,
            servers if len(servers) > 1 else (),
            zookeeper.leader,
            self._world.in_trouble,
        )

    def _seat(self, seat: Any) -> Hashable:
        shell, who = seat.shell, seat.number
        glimpse, link = self._glimpses[who], self._arena.links.get(who)
        facts, asked = shell.facts, shell.outstanding
        return (
            shell.state,
            facts.session is not None and self._owner(facts.session),
            facts.ticket is not None and self._holds(facts.ticket),
            facts.fence is not None and self._is_current(facts.fence),
            type(asked).__name__,
            self._asks_under_current(asked),
            glimpse.timers,
            glimpse.call if asked else 0,
            glimpse.writes,
            glimpse.resigning,
            tuple(self._told(each, who, shell) for each in glimpse.waiting),
            seat.held,
            sum(each.pending for each in seat.planned),
            (link.up, link.seeks, link.has_lost, link.turns) if link else (),
            tuple(self._connection(c, who) for c in self._arena.connections_of(who)),
        )

    def _asks_under_current(self, asked: Any) -> bool:
        fence = getattr(asked, "fence", None)
        return fence is None or self._is_current(fence)

    def _holds(self, ticket: Any) -> str:
        for number, node, session in self._tickets:
            if (number, node) == (ticket.number, ticket.node):
                return self._owner(session)[1]
        return "gone"

    def _is_current(self, fence: Fence) -> bool:
        return self._current == (fence.incarnation, fence.version)

    def _owner(self, session: int) -> tuple[int, str]:
        seat, which = self._owners.get(session, (NOBODY, "somebody's"))
        return seat, which if session in self._alive else f"{which} ended"

    def _connection(self, connection: FakeClient, who: int) -> Hashable:
        return (
            connection.open,
            self._owner(connection.session),
            connection.server.number,
            tuple((r.kind, r.path.count("/")) for r in connection.to_server),
            tuple(self._waiting(waiting) for waiting in connection.waiting),
            tuple(
                (i.kind,)
                if isinstance(i, Notification)
                else (i.kind, i.error, self._shape(i.value, who))
                for i in connection.to_client
            ),
            connection.requests_to_drop,
            connection.replies_to_drop,
        )

    @staticmethod
    def _waiting(waiting: Waiting) -> Hashable:
        stage = "undecided" if waiting.due is None else waiting.due <= waiting.client.server.applied
        return waiting.request.kind, waiting.request.path.count("/"), stage, waiting.error

    # --- In words ---

    def _told(self, waiting: tuple[Arrival, bool], who: int, shell: Any) -> str:
        """What waits to be delivered, and may be about an earlier connection or request."""
        arrival, is_current = waiting
        if not is_current:
            return f"stale {type(arrival).__name__}"
        match arrival:
            case LinkUp(_, session):
                return "up again" if session == shell.session else "up"
            case LinkDown():
                return "down"
            case LinkEnded(_, cause):
                return cause
            case Notice(told=told):
                return type(told).__name__
            case Answer(value=value, error=error):
                asked = type(shell.outstanding).__name__
                shape = type(error).__name__ if error else self._shape(value, who)
                return f"{asked} {shape}"
        return type(arrival).__name__

    def _shape(self, value: Any, who: int) -> str:
        """What a result is like, whatever its names and numbers are."""
        match value:
            case ZnodeStat():
                return self._whose(value.ephemeralOwner, who)
            case Stat():
                return self._whose(value.ephemeral_owner, who)
            case BaseException():
                return type(value).__name__
            case list() | tuple():
                tickets = [read_ticket(each) if isinstance(each, str) else None for each in value]
                if value and all(tickets):
                    ranked = sorted((t.number, t.node) for t in tickets if t)
                    return ",".join(
                        "mine" if self._nodes.get(n) == who else "other" for _, n in ranked
                    )
                return ",".join(self._shape(each, who) for each in value)
            case bytes():
                return "data"
            case str():
                return "/" * value.count("/") or "name"
        return str(value)

    def _whose(self, session: int, who: int) -> str:
        if not session:
            return "nobody's"
        seat, which = self._owners.get(session, (NOBODY, ""))
        return which if seat == who else "other's"


def _lane(arrival: Arrival) -> Lane:
    match arrival:
        case Answer():
            return Lane.ANSWER
        case Notice():
            return Lane.NOTIFICATION
    return Lane.STATE
