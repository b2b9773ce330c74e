"""What the records of an election mean in its specification.

The one place where real values become abstract ones:

| recorded | in the specification |
|---|---|
| the k-th process that starts | the node `n<k>`: each life is a node of its own |
| the k-th session that a process was told of | its session k |
| ticket `..-0000000006` | number 7: sequence numbers begin at 0, `drawn` counts from 1 |
| the epoch znode founded after w wipes | incarnation w |
| version v of it | version v |
| epoch e in its data | epoch e less the number that it was founded with |
| a transaction | what it does to `tree`, `live`, `wipes` and to the accepted writes: an `Event` |
| a transaction of parents, of readers, of other elections | nothing |

What contenders outside of the record draw and delete is taken as it comes, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from keepstep.conformance.recording import (
    AT_TIMES,
    PROMPT,
    Change,
    Fault,
    Input,
    Outcome,
    Recording,
    Start,
    Stop,
    Transaction,
)
from keepstep.conformance.server_log import ServerLog
from keepstep.errors import LocalViolation
from keepstep.roles import contender, election_types
from keepstep.tla.operations import UNIT
from keepstep.tla.values import Fn
from keepstep.znodes.epoch import read_incarnation
from keepstep.znodes.latch import read_ticket

__all__ = [
    "DUTIES",
    "Abstraction",
    "Event",
    "Naming",
    "Step",
    "fence_value",
    "node_name",
    "request_value",
    "ticket_value",
    "told_value",
]

T = TypeVar("T")

DUTIES = ("heartbeat", "write")
_OF_PROCESSES = (Start, Input, Outcome, Stop)
_GUARDS = 2
"""A write begins with so many checks, of the epoch and of the ticket; no other multi is longer."""
UNKNOWN = -1
"""Number of what the record never introduced: nothing of the specification has it."""

_NO_DIRECTORY = (False, 0, frozenset[Any]())


class Directory(NamedTuple):
    """A directory as plain values."""

    exists: bool
    drawn: int
    znodes: frozenset[Any]


class Tree(NamedTuple):
    """The data as plain values.

    Attributes:
        latch: Its znodes are (node, number, owning node, owning session).
        epochs: Its znodes are (incarnation, version, epoch, leading nodes).
    """

    latch: Directory
    epochs: Directory


FRESH = Directory(exists=True, drawn=0, znodes=frozenset())
BARE = Tree(Directory(*_NO_DIRECTORY), Directory(*_NO_DIRECTORY))


class Event(NamedTuple):
    """What a part of a transaction does, as the specification sees it.

    Attributes:
        node: Number of the node whose request it was, or whose session ended; 0 for nobody's.
        session: The session of that node; 0 for nobody's.
        tree: The data afterwards.
        request: What was asked for, if the record tells; for a write without its duty.
        serves: The name of the request that it serves, or "".
        wrote: The fence of the write that was accepted, or None.
        ended: Whether the session ended.
        opened: Whether the session began.
        wiped: Whether all data was lost.
        touched: The ticket whose data was set, or None.
        refused: A multi was refused, so nothing was done.
        for_itself: It may have been a write that is refused for reasons of its own, after its
            fence and its ticket were found as they have to be.
        assumed: Somebody who is not recorded did it, and no action of the specification does.
        cause: The action of the specification that does it for nobody's request, or "".
        odd: What is wrong with it whoever asked for it, or "".
        impossible: What is wrong with it in any log of servers, or "".
        record: Number of its record.
    """

    node: int
    session: int
    tree: Tree
    request: tuple[Any, ...] | None = None
    wrote: tuple[int, int, int] | None = None
    ended: bool = False
    opened: bool = False
    wiped: bool = False
    touched: tuple[int, int] | None = None
    refused: bool = False
    for_itself: bool = False
    assumed: bool = False
    cause: str = ""
    odd: str = ""
    impossible: str = ""
    serves: str = ""
    record: int = 0


class Step(NamedTuple):
    """A step of a contender as plain values that can be compared quickly.

    Attributes:
        told: Name of the input or command.
        content: Its fields, in the order of the record.
        action: Name of the action.
        before: Mode before.
        after: Mode after.
        facts: Session, ticket and fence after; None for what is not remembered.
        requests: Name and fields of each request.
    """

    told: str
    content: tuple[Any, ...]
    action: str
    before: str
    after: str
    facts: tuple[Any, ...]
    requests: tuple[tuple[Any, ...], ...]


@lru_cache(maxsize=1 << 16)
def _read_ticket(name: str) -> tuple[str, int] | None:
    ticket = read_ticket(name)
    return None if ticket is None else (ticket.node, ticket.number + 1)


@dataclass(slots=True)
class Abstraction:
    """A recording in the words of the specification.

    Args:
        recording: The recording.

    Attributes:
        processes: Number of each process, from 1.
        sessions: Node and number of each session that a process was told of.
        events: What happened to the data and to sessions, in order.
        clocks: For each record the number of events that were read before it.
        earliest: For each record the number of events that had happened for certain.
        latest: For each record the number of events that may have happened.
        wipes: For each number of events how often all data had been lost.
        watching: The records of answers that say that a watch is set, and tell nobody anything.

    Raises:
        LocalViolation: The recording names what cannot be, such as a process twice.
    """

    recording: Recording
    processes: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, tuple[int, int]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    clocks: list[int] = field(default_factory=list)
    earliest: list[int] = field(default_factory=list)
    latest: list[int] = field(default_factory=list)
    wipes: list[int] = field(default_factory=lambda: [0])
    watching: set[int] = field(default_factory=set)
    _nodes: dict[str, int] = field(default_factory=dict)
    _strangers: dict[str, int] = field(default_factory=dict)
    _incarnations: dict[str, int] = field(default_factory=dict)
    _floors: dict[int, int] = field(default_factory=dict)
    _tree: Tree = BARE
    _stopped: set[int] = field(default_factory=set)
    _opened: set[str] = field(default_factory=set)
    _log: ServerLog = field(init=False)

    def __post_init__(self) -> None:
        header = self.recording.header
        self._log = ServerLog(header.latch, header.fence)
        self._introduce()
        prompt = self.recording.header.log_read == PROMPT
        recorded: dict[str, int] = {}
        modes: dict[str, str] = {}
        for number, record in enumerate(self.recording.records):
            self.clocks.append(len(self.events))
            self.earliest.append(0)
            if isinstance(record, _OF_PROCESSES):
                # What was read before this line may have been decided after this very step; but
                # not what was read before the line of the step before was written.
                before = "" if prompt else record.process
                self.earliest[number] = recorded.get(before, 0)
                recorded[before] = len(self.events)
            match record:
                case Transaction():
                    self._take(record, number)
                case Fault("wipe"):
                    self._tree = BARE
                    self._log.wipe()
                    self._add(Event(0, 0, BARE, wiped=True, cause="Wipe", record=number))
                case Input(process):
                    modes[process] = record.after
                case Outcome(process, what="Answer", stale=False):
                    if prompt and modes.get(process) == "waiting":
                        self.watching.add(number)
                case Stop(process):
                    self._stopped.add(self.processes.get(process, 0))
        self.latest = self.clocks
        if self.recording.header.log_read == AT_TIMES:
            self.latest = [len(self.events)] * len(self.clocks)

    def _introduce(self) -> None:
        """Number processes and sessions before anything refers to them."""
        counts: dict[int, int] = {}
        opened: dict[str, int] = {}
        for number, record in enumerate(self.recording.records):
            match record:
                case Transaction(session=session, does="open"):
                    opened[session] = number
                case Start(process, _, node):
                    if process in self.processes or node in self._nodes:
                        raise LocalViolation(
                            f"{self.recording.name}:{self.recording.line(number)}: the process"
                            f" {process!r} or its node began before; each life has names of its own"
                        )
                    self.processes[process] = self._nodes[node] = len(self.processes) + 1
                case Input(process, told="Connected"):
                    session = str(record.content.get("session", ""))
                    node_number = self.processes.get(process, 0)
                    if session not in self.sessions:
                        counts[node_number] = counts.get(node_number, 0) + 1
                        self.sessions[session] = (node_number, counts[node_number])
        self._introduce_untold(opened)

    def _introduce_untold(self, opened: dict[str, int]) -> None:
        """Number the session of a contender that ended before it was told of that session.

        Its client may have sent what was asked for once more under it, and drawn a ticket so.

        Args:
            opened: For each session that began the number of its record.
        """
        last: dict[int, int] = {}
        counts: dict[int, int] = {}
        never = len(self.recording.records)
        for session, (node, count) in self.sessions.items():
            last[node] = max(last.get(node, -1), opened.get(session, never))
            counts[node] = max(counts.get(node, 0), count)
        for record in self.recording.records:
            if not isinstance(record, Transaction) or record.session in self.sessions:
                continue
            began = opened.get(record.session, -1)
            for change in record.changes:
                directory, _, name = change.path.rpartition("/")
                read = _read_ticket(name) if directory == self.recording.header.latch else None
                node = 0 if read is None else self._nodes.get(read[0], 0)
                if change.do == "create" and node and began > last.get(node, -1):
                    self.sessions[record.session] = (node, counts.get(node, 0) + 1)
                    # Under one session only: after that it has to be told of it first.
                    last[node] = never

    # --- Transactions ---

    def _add(self, event: Event) -> None:
        self.events.append(event)
        self.wipes.append(self.wipes[-1] + event.wiped)
        self._tree = event.tree

    def _take(self, transaction: Transaction, number: int) -> None:
        node, session = self.sessions.get(transaction.session, (0, 0))
        after_its_end = self._log.has_ended(transaction.session)
        impossible = self._log.take(transaction)
        if impossible:
            self._add(Event(0, 0, self._tree, impossible=impossible, record=number))
            return
        match transaction.does:
            case "open":
                self._opened.add(transaction.session)
                if node:
                    self._add(Event(node, session, self._tree, opened=True, record=number))
            case "close":
                self._close(transaction, node, session, number)
            case "refuse":
                # The last request of a session may be refused because of its end.
                if node and not after_its_end:
                    own = not 0 <= transaction.refused < _GUARDS
                    refusal = Event(node, session, self._tree, refused=True, for_itself=own)
                    self._add(refusal._replace(record=number))
            case _:
                self._write(transaction, node, session, number)

    def _close(self, transaction: Transaction, node: int, session: int, number: int) -> None:
        latch = self._tree.latch
        gone = {found for path in transaction.deleted if (found := self._ticket_at(path))}
        left = frozenset(z for z in latch.znodes if z[:2] not in gone)
        tree = self._tree._replace(latch=latch._replace(znodes=left))
        if node:
            self._add(Event(node, session, tree, ended=True, record=number))
        elif tree != self._tree:
            self._add(Event(0, 0, tree, assumed=True, record=number))

    def _write(  # noqa: C901 - a case for each kind of change
        self, transaction: Transaction, node: int, session: int, number: int
    ) -> None:
        header, changes = self.recording.header, transaction.changes
        base = Event(node, session, self._tree, record=number)
        guards = [c for c in changes if c.do == "check"]
        fence = next((f for c in guards if (f := self._epoch_at(c.path))), None)
        ticket = next((t for c in guards if (t := self._ticket_at(c.path))), None)
        if fence is not None:
            version = next(c.version for c in guards if self._epoch_at(c.path))
            self._guarded(base, (self._number(fence), version), ticket)
            own = next((c for c in changes if c.do != "check" and self._is_ours(c.path)), None)
            if own is not None:
                odd = f"a write under a fence does `{own.do}` to {own.path}"
                self._add(base._replace(odd=odd))
            return
        if any(c.do == "create" and c.path == header.fence for c in changes):
            self._found(base, changes)
            return
        for change in changes:
            if change.do == "check":
                continue
            base = base._replace(tree=self._tree)
            named = self._ticket_at(change.path)
            if change.do == "set" and self._epoch_at(change.path):
                self._raise(base, change, ticket)
            elif change.do == "create" and change.path == header.latch:
                base = base._replace(serves="CreateParent", assumed=not node)
                odd = "the directory of the tickets is an ephemeral" if change.ephemeral else ""
                made = self._with_latch(base, FRESH)
                self._add(made._replace(odd=made.odd or odd))
            elif change.do == "delete" and change.path == header.latch:
                self._remove_parent(base)
            elif change.do == "create" and self._is_child(change.path):
                self._draw(base, change, named)
            elif change.do == "delete" and named:
                self._delete(base, named)
            elif change.do == "set" and named:
                self._add(base._replace(touched=named, cause="Touch"))
            elif self._is_ours(change.path):
                self._add(base._replace(odd=f"no request does `{change.do}` to {change.path}"))
            elif node and not self._is_above(change.path):
                self._add(base._replace(odd=f"{change.path} is written without fence and ticket"))

    def _with_latch(self, base: Event, latch: Directory, *request: Any) -> Event:
        known = base.node or base.cause or base.assumed
        odd = "" if known else "nobody who is recorded asked for it"
        return base._replace(
            tree=self._tree._replace(latch=latch), request=request or None, odd=odd
        )

    def _guarded(self, base: Event, fence: tuple[int, int], ticket: tuple[int, int] | None) -> None:
        if ticket is None:
            self._add(base._replace(odd="a write is conditional on the epoch, not on a ticket"))
        elif base.node:
            wrote = (*fence, fence[1])
            asked = ("WriteFenced", wrote, ticket)
            self._add(base._replace(wrote=wrote, request=asked, serves="WriteFenced"))

    def _found(self, base: Event, changes: Sequence[Change]) -> None:
        made = next((c for c in changes if c.do == "create" and self._epoch_at(c.path)), None)
        if made is None:
            self._add(base._replace(odd="the directory of the epoch is made without the epoch"))
            return
        if any(c.ephemeral for c in changes):
            self._add(base._replace(odd="the epoch is founded as an ephemeral"))
            return
        more = next(
            (c for c in changes if c is not made and c.path != self.recording.header.fence), None
        )
        if more is not None:
            self._add(base._replace(odd=f"founding the epoch does `{more.do}` to {more.path}"))
            return
        incarnation = self.wipes[-1]
        self._incarnations[self._epoch_at(made.path)] = incarnation
        self._floors[incarnation] = made.epoch or 0
        epochs = FRESH._replace(znodes=frozenset({(incarnation, 0, 0, frozenset[int]())}))
        tree = self._tree._replace(epochs=epochs)
        self._add(base._replace(tree=tree, assumed=not base.node, serves="FoundEpoch"))

    def _raise(self, base: Event, change: Change, ticket: tuple[int, int] | None) -> None:
        incarnation = self._number(self._epoch_at(change.path))
        epoch = (change.epoch or 0) - self._floors.get(incarnation, 0)
        leaders = frozenset({base.node or self._stranger(self._epoch_at(change.path))})
        znode = (incarnation, change.version, epoch, leaders)
        epochs = self._tree.epochs._replace(znodes=frozenset({znode}))
        old = (incarnation, change.version - 1, epoch - 1)
        odd = "" if ticket else "the epoch is raised without the check of a ticket"
        self._add(
            base._replace(
                tree=self._tree._replace(epochs=epochs),
                request=("RaiseEpoch", old, ticket),
                odd=odd,
                assumed=not base.node,
                serves="RaiseEpoch",
            )
        )

    def _remove_parent(self, base: Event) -> None:
        if base.node and base.node not in self._stopped:
            base = base._replace(odd="a contender deletes the directory of the tickets")
        base = base._replace(node=0, session=0, cause="RemoveParent")
        self._add(self._with_latch(base, Directory(*_NO_DIRECTORY))._replace(odd=base.odd))

    def _draw(self, base: Event, change: Change, named: tuple[int, int] | None) -> None:
        latch = self._tree.latch
        znodes = latch.znodes
        if named:
            znodes |= {(*named, base.node or named[0], base.session)}
        drawn = latch._replace(drawn=latch.drawn + 1, znodes=znodes)
        if named and 0 < named[0] <= len(self.processes):
            event = self._with_latch(base._replace(serves="CreateTicket"), drawn)
            if not change.ephemeral:
                event = event._replace(odd="a ticket is no ephemeral")
            elif base.node and base.node != named[0]:
                event = event._replace(odd="a contender draws a ticket of another")
        else:
            tree = self._tree._replace(latch=drawn)
            event = base._replace(node=0, session=0, tree=tree, assumed=True)
        self._add(event)

    def _delete(self, base: Event, named: tuple[int, int]) -> None:
        latch = self._tree.latch
        left = frozenset(z for z in latch.znodes if z[:2] != named)
        changed = latch._replace(znodes=left)
        if changed == latch:
            return
        owner = named[0]
        if owner > len(self.processes):
            tree = self._tree._replace(latch=changed)
            self._add(base._replace(node=0, session=0, tree=tree, assumed=True))
        elif base.node == 0 or base.node in self._stopped:
            base = base._replace(node=0, session=0, cause="Intrude")
            self._add(self._with_latch(base, changed))
        else:
            odd = "" if base.node == owner else "a contender deletes the ticket of another"
            base = base._replace(serves="DeleteTicket")
            self._add(self._with_latch(base, changed)._replace(odd=odd))

    # --- Names ---

    def _is_child(self, path: str) -> bool:
        return path.rpartition("/")[0] == self.recording.header.latch

    def _is_ours(self, path: str) -> bool:
        header = self.recording.header
        return any(
            path == top or path.startswith(top + "/") for top in (header.latch, header.fence)
        )

    def _is_above(self, path: str) -> bool:
        header = self.recording.header
        return any(top.startswith(path + "/") for top in (header.latch, header.fence))

    def _ticket_at(self, path: str) -> tuple[int, int] | None:
        directory, _, name = path.rpartition("/")
        if directory != self.recording.header.latch:
            return None
        return self.ticket(name)

    def _epoch_at(self, path: str) -> str:
        """The name of the epoch znode at a path, or ""."""
        directory, _, name = path.rpartition("/")
        inside = directory == self.recording.header.fence
        return name if inside and read_incarnation(name) is not None else ""

    def _number(self, incarnation: str) -> int:
        return self._incarnations.get(incarnation, UNKNOWN)

    def _stranger(self, name: str) -> int:
        """A number for a contender that is not recorded, after those of all that are."""
        place = self._strangers.setdefault(name, len(self._strangers) + 1)
        return len(self.processes) + place

    def ticket(self, name: str) -> tuple[int, int] | None:
        """Node and number of a ticket by its name; None if it is no ticket."""
        read = _read_ticket(name)
        if read is None:
            return None
        node = self._nodes.get(read[0])
        return (self._stranger(read[0]) if node is None else node, read[1])

    def fence(self, told: dict[str, Any]) -> tuple[int, int, int]:
        """Incarnation, version and epoch.

        Raises:
            ValueError: A field is no number.
        """
        number = self._number(str(told.get("incarnation")))
        version, epoch = (_exactly(int, told.get(name, UNKNOWN)) for name in ("version", "epoch"))
        return number, version, epoch - self._floors.get(number, 0)

    # --- Steps ---

    def step(self, record: Input) -> Step:
        """A recorded step.

        Raises:
            LocalViolation: A field has a value that it cannot have.
        """
        node = self.processes.get(record.process, 0)
        try:
            facts = record.facts
            if facts.keys() != _FACTS:
                wanted = ", ".join(sorted(_FACTS))
                raise LocalViolation(f"its facts are others than those of a contender: {wanted}")
            return Step(
                record.told,
                self._fields(record.told, record.content, node),
                record.action,
                record.before,
                record.after,
                (
                    self._session(facts["session"], node),
                    None if facts["ticket"] is None else self._known(facts["ticket"]),
                    None if facts["fence"] is None else self.fence(facts["fence"]),
                ),
                tuple(self._request(asked, node) for asked in record.requests),
            )
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise LocalViolation(
                f"a field of it has a value that it cannot have: {error!r}"
            ) from None

    def _fields(self, message: str, content: dict[str, Any], node: int) -> tuple[Any, ...]:
        """The fields of an input or request, in the order of the specification.

        Raises:
            LocalViolation: It has others.
        """
        names = _FIELDS_OF.get(message, ())
        if len(content) != len(names) or not all(name in content for name in names):
            wanted = ", ".join(names) or "none"
            raise LocalViolation(f"{message} has other fields than it can have: {wanted}")
        return tuple([_FIELDS[name](self, content[name], node) for name in names])

    def _request(self, asked: dict[str, Any], node: int) -> tuple[Any, ...]:
        name = _exactly(str, asked["asks"])
        fields = {key: value for key, value in asked.items() if key != "asks"}
        return (name, *self._fields(name, fields, node))

    def _session(self, session: str | None, node: int) -> int | None:
        if session is None:
            return None
        owner, number = self.sessions.get(session, (0, UNKNOWN))
        return number if owner == node else UNKNOWN

    def _known(self, name: str) -> tuple[int, int]:
        found = self.ticket(name)
        if found is None:
            raise LocalViolation(f"{name!r} is no name of a ticket")
        return found

    def was_opened(self, session: str) -> bool:
        """Whether the log shows that servers made this session."""
        return session in self._opened


def _exactly(kind: type[T], value: Any) -> T:
    """A value of JSON that has to be of this kind; `true` and `1.0` are no numbers of 1.

    Raises:
        ValueError: It is of another.
    """
    if type(value) is not kind:
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value


_FIELDS: dict[str, Callable[[Abstraction, Any, int], Any]] = {
    "session": lambda of, value, node: of._session(value, node),  # noqa: SLF001
    "ticket": lambda of, value, _: of._known(value),  # noqa: SLF001
    "names": lambda of, value, _: frozenset(map(of._known, value)),  # noqa: SLF001
    "fence": lambda of, value, _: of.fence(value),
    "duty": lambda _of, value, _: _exactly(str, value),
}
"""How each field of an input or request is read."""

_FIELDS_OF: dict[str, tuple[str, ...]] = {
    message: getattr(getattr(module, message), "__match_args__", ())
    for module, messages in (
        (election_types, election_types.__all__),
        (contender, ("DutyDue", "ResignOrdered")),
    )
    for message in messages
}
"""The fields of each input, request and command, as the derived classes have them."""

_FACTS = set(contender.ContenderFacts.__match_args__)


# --- As values of the specification -----------------------------------------------------------


def node_name(node: int) -> str:
    """A node as the specification's models write it."""
    return f"n{node}_OF_NODE"


Naming = Callable[[int], str]


@lru_cache(maxsize=1 << 14)
def ticket_value(ticket: tuple[int, int], name: Naming = node_name) -> Fn:
    """The name of a ticket."""
    return Fn(node=name(ticket[0]), number=ticket[1])


@lru_cache(maxsize=1 << 14)
def fence_value(fence: tuple[int, int, int]) -> Fn:
    """A fence."""
    return Fn(incarnation=fence[0], version=fence[1], epoch=fence[2])


def tree_value(tree: Tree, name: Naming = node_name) -> Fn:
    """The data."""
    return Fn(latch=_latch_value(tree.latch, name), epochs=_epochs_value(tree.epochs, name))


@lru_cache(maxsize=1 << 14)
def _latch_value(latch: Directory, name: Naming) -> Fn:
    znodes = frozenset(_drawn_value(znode, name) for znode in latch.znodes)
    return Fn(exists=latch.exists, drawn=latch.drawn, znodes=znodes)


@lru_cache(maxsize=1 << 14)
def _drawn_value(znode: tuple[int, int, int, int], name: Naming) -> Fn:
    node, number, owner, session = znode
    return Fn(name=ticket_value((node, number), name), owner=Fn(node=name(owner), number=session))


@lru_cache(maxsize=1 << 14)
def _epochs_value(epochs: Directory, name: Naming) -> Fn:
    znodes = frozenset(
        Fn(name=incarnation, version=version, epoch=epoch, leader=frozenset(map(name, leaders)))
        for incarnation, version, epoch, leaders in epochs.znodes
    )
    return Fn(exists=epochs.exists, drawn=epochs.drawn, znodes=znodes)


def _payload(tag: str, fields: Sequence[Any], name: Naming) -> Any:
    match tag, tuple(fields):
        case (("Connected" | "TicketInspected"), (session,)):
            return Fn(session=session)
        case "TicketsListed", (names,):
            return Fn(names=frozenset(ticket_value(ticket, name) for ticket in names))
        case (("EpochRead" | "EpochRaised"), (fence,)):
            return Fn(fence=fence_value(fence))
        case (("InspectTicket" | "AwaitDeparture" | "DeleteTicket"), (ticket,)):
            return Fn(ticket=ticket_value(ticket, name))
        case "RaiseEpoch", (fence, ticket):
            return Fn(fence=fence_value(fence), ticket=ticket_value(ticket, name))
        case "WriteFenced", (fence, ticket, duty):
            return Fn(
                fence=fence_value(fence), ticket=ticket_value(ticket, name), duty=f"{duty}_OF_DUTY"
            )
        case _, ():
            return UNIT
    raise LocalViolation(f"{tag} does not have the fields {list(fields)!r}")


def told_value(told: str, content: Sequence[Any], name: Naming = node_name) -> Fn:
    """An input.

    Raises:
        LocalViolation: It has other fields.
    """
    return Fn(tag=told, value=_payload(told, content, name))


def request_value(request: Sequence[Any], name: Naming = node_name) -> Fn:
    """A request.

    Raises:
        LocalViolation: It has other fields.
    """
    return Fn(tag=request[0], value=_payload(request[0], request[1:], name))
