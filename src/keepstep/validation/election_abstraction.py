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

from keepstep.errors import LocalViolation
from keepstep.roles import contender, election_types
from keepstep.tla.operations import UNIT
from keepstep.tla.values import Fn
from keepstep.validation.recording import (
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
from keepstep.validation.server_log import ServerLog
from keepstep.znodes.epoch import read_incarnation
from keepstep.znodes.latch import read_ticket

__all__ = [
    "DUTIES",
    "Abstraction",
    "Event",
    "Sight",
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


class _By(NamedTuple):
    """Whose a transaction was.

    Attributes:
        node: Number of the node whose request it was; 0 for nobody's.
        session: The session of that node; 0 for nobody's.
        record: Number of its record.
    """

    node: int
    session: int
    record: int


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


class Sight:
    """The nodes of a recording as one contender sees them: itself as node 1.

    What the specification says of one contender knows a ticket of somebody else by its name and
    its number only, and asks of its owner no more than whether that is a session of its own. So
    to most contenders all others are alike: whoever draws a number first is node 2, whoever draws
    the same number after a restart of the numbers is node 3, and so on. Thus different tickets
    keep different names, and what was worked out in one recording serves for many.

    Args:
        node: Number of the contender.
        holders: For each number who drew it, as far as anybody asked; None to tell all other
            nodes apart, in their order.
    """

    __slots__ = ("_epochs", "_holders", "_latches", "_tickets", "_znodes", "node")

    def __init__(self, node: int, holders: dict[int, list[int]] | None = None) -> None:
        self.node = node
        self._holders = holders
        self._tickets: dict[tuple[int, int], tuple[int, int]] = {}
        self._znodes: dict[tuple[int, int, int, int], tuple[int, int, int, int]] = {}
        self._latches: dict[Directory, Directory] = {}
        self._epochs: dict[Directory, Directory] = {}

    def ticket(self, ticket: tuple[int, int]) -> tuple[int, int]:
        """A ticket."""
        seen = self._tickets.get(ticket)
        if seen is None:
            node, number = ticket
            seen = (self._other(node), number)
            if self._holders is not None and node != self.node:
                holders = self._holders.setdefault(number, [])
                if node not in holders:
                    holders.append(node)
                seen = (2 + holders.index(node), number)
            self._tickets[ticket] = seen
        return seen

    def tree(self, tree: Tree) -> Tree:
        """The data."""
        latch, epochs = self._latches.get(tree.latch), self._epochs.get(tree.epochs)
        if latch is None:
            znodes = frozenset([self._drawn(znode) for znode in tree.latch.znodes])
            latch = Directory(tree.latch.exists, tree.latch.drawn, znodes)
            self._latches[tree.latch] = latch
        if epochs is None:
            raised = frozenset(
                (name, version, epoch, frozenset(map(self._other, leaders)))
                for name, version, epoch, leaders in tree.epochs.znodes
            )
            epochs = self._epochs[tree.epochs] = tree.epochs._replace(znodes=raised)
        return Tree(latch, epochs)

    def _drawn(self, znode: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        seen = self._znodes.get(znode)
        if seen is None:
            node, number, owner, session = znode
            seen = (*self.ticket((node, number)), *self._owner(owner, session))
            self._znodes[znode] = seen
        return seen

    def request(self, request: tuple[Any, ...]) -> tuple[Any, ...]:
        """A request of an event: its name, a fence, and a ticket if the log shows one."""
        name, fence, ticket = request
        return name, fence, None if ticket is None else self.ticket(ticket)

    def _owner(self, node: int, session: int) -> tuple[int, int]:
        if self._holders is not None and node != self.node:
            return 2, 1
        return self._other(node), session

    def _other(self, node: int) -> int:
        if node == self.node:
            return 1
        if self._holders is not None:
            return 2
        return node + 1 if node < self.node else node


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
    _tickets: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    _places: dict[str, tuple[tuple[int, int] | None, str]] = field(default_factory=dict)
    _holders: dict[int, list[int]] = field(default_factory=dict)
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
                case Input():
                    modes[record.process] = record.after
                case Transaction():
                    self._take(record, number)
                case Outcome(what="Answer", stale=False):
                    if prompt and modes.get(record.process) == "waiting":
                        self.watching.add(number)
                case Stop():
                    self._stopped.add(self.processes.get(record.process, 0))
                case Fault("wipe"):
                    self._tree = BARE
                    self._log.wipe()
                    self._add(Event(0, 0, BARE, wiped=True, cause="Wipe", record=number))
        self.latest = self.clocks
        if self.recording.header.log_read == AT_TIMES:
            self.latest = [len(self.events)] * len(self.clocks)

    def _introduce(self) -> None:
        """Number processes and sessions before anything refers to them."""
        counts: dict[int, int] = {}
        opened: dict[str, int] = {}
        writes: list[Transaction] = []
        for number, record in enumerate(self.recording.records):
            match record:
                case Input():
                    if record.told == "Connected":
                        session = str(record.content.get("session", ""))
                        node_number = self.processes.get(record.process, 0)
                        if session not in self.sessions:
                            counts[node_number] = counts.get(node_number, 0) + 1
                            self.sessions[session] = (node_number, counts[node_number])
                case Transaction():
                    if record.does == "open":
                        opened[record.session] = number
                    elif record.changes:
                        writes.append(record)
                case Start(process, _, node):
                    if process in self.processes or node in self._nodes:
                        raise LocalViolation(
                            f"{self.recording.name}:{self.recording.line(number)}: the process"
                            f" {process!r} or its node began before; each life has names of its own"
                        )
                    self.processes[process] = self._nodes[node] = len(self.processes) + 1
        self._introduce_untold(opened, [w for w in writes if w.session not in self.sessions])

    def _introduce_untold(self, opened: dict[str, int], writes: Sequence[Transaction]) -> None:
        """Number the session of a contender that ended before it was told of that session.

        Its client may have sent what was asked for once more under it, and drawn a ticket so.

        Args:
            opened: For each session that began the number of its record.
            writes: What was written under sessions that nobody was told of.
        """
        last: dict[int, int] = {}
        counts: dict[int, int] = {}
        never = len(self.recording.records)
        for session, (node, count) in self.sessions.items():
            last[node] = max(last.get(node, -1), opened.get(session, never))
            counts[node] = max(counts.get(node, 0), count)
        for write in writes:
            if write.session in self.sessions:
                continue
            began = opened.get(write.session, -1)
            for change in write.changes:
                directory, _, name = change.path.rpartition("/")
                read = _read_ticket(name) if directory == self.recording.header.latch else None
                node = 0 if read is None else self._nodes.get(read[0], 0)
                if change.do == "create" and node and began > last.get(node, -1):
                    self.sessions[write.session] = (node, counts.get(node, 0) + 1)
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
                self._close(transaction, _By(node, session, number))
            case "refuse":
                # The last request of a session may be refused because of its end.
                if node and not after_its_end:
                    own = not 0 <= transaction.refused < _GUARDS
                    self._add(
                        Event(
                            node, session, self._tree, refused=True, for_itself=own, record=number
                        )
                    )
            case _:
                self._write(transaction, _By(node, session, number))

    def _close(self, transaction: Transaction, by: _By) -> None:
        tree = self._tree
        gone = {found for path in transaction.deleted if (found := self._ticket_at(path))}
        if gone:
            left = frozenset(z for z in tree.latch.znodes if z[:2] not in gone)
            if left != tree.latch.znodes:
                tree = self._with_tickets(left)
        if by.node:
            self._add(Event(by.node, by.session, tree, ended=True, record=by.record))
        elif tree is not self._tree:
            self._add(Event(0, 0, tree, assumed=True, record=by.record))

    def _write(  # noqa: C901 - a case for each kind of change
        self, transaction: Transaction, by: _By
    ) -> None:
        header, changes = self.recording.header, transaction.changes
        fence: tuple[int, int] | None = None
        ticket: tuple[int, int] | None = None
        for change in changes:
            if change.do == "check":
                found, epoch = self._at(change.path)
                ticket = ticket or found
                if epoch and fence is None:
                    fence = (self._number(epoch), change.version)
        if fence is not None:
            self._guarded(by, fence, ticket)
            own = next((c for c in changes if c.do != "check" and self._is_ours(c.path)), None)
            if own is not None:
                self._refuse(by, f"a write under a fence does `{own.do}` to {own.path}")
            return
        if any(change.path == header.fence and change.do == "create" for change in changes):
            self._found(by, changes)
            return
        for change in changes:
            if change.do == "check":
                continue
            named, epoch = self._at(change.path)
            if change.do == "set" and epoch:
                self._raise(by, change, epoch, ticket)
            elif change.do == "create" and change.path == header.latch:
                odd = "the directory of the tickets is an ephemeral" if change.ephemeral else ""
                self._alter(by, FRESH, serves="CreateParent", assumed=not by.node, odd=odd)
            elif change.do == "delete" and change.path == header.latch:
                self._remove_parent(by)
            elif change.do == "create" and self._is_child(change.path):
                self._draw(by, change, named)
            elif change.do == "delete" and named:
                self._delete(by, named)
            elif change.do == "set" and named:
                touched = Event(
                    by.node, by.session, self._tree, touched=named, cause="Touch", record=by.record
                )
                self._add(touched)
            elif self._is_ours(change.path):
                self._refuse(by, f"no request does `{change.do}` to {change.path}")
            elif by.node and not self._is_above(change.path):
                self._refuse(by, f"{change.path} is written without fence and ticket")

    def _refuse(self, by: _By, odd: str) -> None:
        self._add(Event(by.node, by.session, self._tree, odd=odd, record=by.record))

    def _with_tickets(self, znodes: frozenset[Any]) -> Tree:
        latch = self._tree.latch
        return Tree(Directory(latch.exists, latch.drawn, znodes), self._tree.epochs)

    def _alter(
        self,
        by: _By,
        latch: Directory,
        *,
        serves: str = "",
        cause: str = "",
        assumed: bool = False,
        odd: str = "",
    ) -> None:
        """The directory of the tickets is another; who did it has to be known."""
        node, session = (0, 0) if cause else (by.node, by.session)
        if not (odd or node or cause or assumed):
            odd = "nobody who is recorded asked for it"
        tree = Tree(latch, self._tree.epochs)
        self._add(
            Event(
                node, session, tree, assumed=assumed, cause=cause, odd=odd, serves=serves,
                record=by.record,
            )
        )  # fmt: skip

    def _guarded(self, by: _By, fence: tuple[int, int], ticket: tuple[int, int] | None) -> None:
        if ticket is None:
            self._refuse(by, "a write is conditional on the epoch, not on a ticket")
        elif by.node:
            wrote = (*fence, fence[1])
            asked = ("WriteFenced", wrote, ticket)
            self._add(
                Event(
                    by.node, by.session, self._tree, request=asked, wrote=wrote,
                    serves="WriteFenced", record=by.record,
                )
            )  # fmt: skip

    def _found(self, by: _By, changes: Sequence[Change]) -> None:
        made = next((c for c in changes if c.do == "create" and self._at(c.path)[1]), None)
        if made is None:
            self._refuse(by, "the directory of the epoch is made without the epoch")
            return
        if any(c.ephemeral for c in changes):
            self._refuse(by, "the epoch is founded as an ephemeral")
            return
        more = next(
            (c for c in changes if c is not made and c.path != self.recording.header.fence), None
        )
        if more is not None:
            self._refuse(by, f"founding the epoch does `{more.do}` to {more.path}")
            return
        incarnation = self.wipes[-1]
        self._incarnations[self._at(made.path)[1]] = incarnation
        self._floors[incarnation] = made.epoch or 0
        epochs = FRESH._replace(znodes=frozenset({(incarnation, 0, 0, frozenset[int]())}))
        self._add(
            Event(
                by.node, by.session, Tree(self._tree.latch, epochs), assumed=not by.node,
                serves="FoundEpoch", record=by.record,
            )
        )  # fmt: skip

    def _raise(self, by: _By, change: Change, name: str, ticket: tuple[int, int] | None) -> None:
        incarnation = self._number(name)
        epoch = (change.epoch or 0) - self._floors.get(incarnation, 0)
        leaders = frozenset({by.node or self._stranger(name)})
        znode = (incarnation, change.version, epoch, leaders)
        old = (incarnation, change.version - 1, epoch - 1)
        epochs = self._tree.epochs
        self._add(
            Event(
                by.node,
                by.session,
                Tree(self._tree.latch, Directory(epochs.exists, epochs.drawn, frozenset({znode}))),
                request=("RaiseEpoch", old, ticket),
                odd="" if ticket else "the epoch is raised without the check of a ticket",
                assumed=not by.node,
                serves="RaiseEpoch",
                record=by.record,
            )
        )

    def _remove_parent(self, by: _By) -> None:
        by_one_of_us = by.node and by.node not in self._stopped
        odd = "a contender deletes the directory of the tickets" if by_one_of_us else ""
        self._alter(by, Directory(*_NO_DIRECTORY), cause="RemoveParent", odd=odd)

    def _draw(self, by: _By, change: Change, named: tuple[int, int] | None) -> None:
        latch = self._tree.latch
        znodes = latch.znodes
        if named:
            znodes |= {(*named, by.node or named[0], by.session)}
        drawn = Directory(latch.exists, latch.drawn + 1, znodes)
        if named and 0 < named[0] <= len(self.processes):
            odd = ""
            if not change.ephemeral:
                odd = "a ticket is no ephemeral"
            elif by.node and by.node != named[0]:
                odd = "a contender draws a ticket of another"
            self._alter(by, drawn, serves="CreateTicket", odd=odd)
        else:
            self._add_strange(by, drawn)

    def _delete(self, by: _By, named: tuple[int, int]) -> None:
        latch = self._tree.latch
        left = frozenset(z for z in latch.znodes if z[:2] != named)
        if left == latch.znodes:
            return
        changed = Directory(latch.exists, latch.drawn, left)
        owner = named[0]
        if owner > len(self.processes):
            self._add_strange(by, changed)
        elif by.node == 0 or by.node in self._stopped:
            self._alter(by, changed, cause="Intrude")
        else:
            odd = "" if by.node == owner else "a contender deletes the ticket of another"
            self._alter(by, changed, serves="DeleteTicket", odd=odd)

    def _add_strange(self, by: _By, latch: Directory) -> None:
        """Somebody who is not recorded changes the tickets."""
        tree = Tree(latch, self._tree.epochs)
        self._add(Event(0, 0, tree, assumed=True, record=by.record))

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

    def _at(self, path: str) -> tuple[tuple[int, int] | None, str]:
        """The ticket at a path or None, and the name of the epoch znode there or ""."""
        known = self._places.get(path)
        if known is None:
            directory, _, name = path.rpartition("/")
            header = self.recording.header
            is_epoch = directory == header.fence and read_incarnation(name) is not None
            ticket = self.ticket(name) if directory == header.latch else None
            known = self._places[path] = (ticket, name if is_epoch else "")
        return known

    def _ticket_at(self, path: str) -> tuple[int, int] | None:
        return self._at(path)[0]

    def _number(self, incarnation: str) -> int:
        return self._incarnations.get(incarnation, UNKNOWN)

    def _stranger(self, name: str) -> int:
        """A number for a contender that is not recorded, after those of all that are."""
        place = self._strangers.setdefault(name, len(self._strangers) + 1)
        return len(self.processes) + place

    def ticket(self, name: str) -> tuple[int, int] | None:
        """Node and number of a ticket by its name; None if it is no ticket."""
        if name in self._tickets:
            return self._tickets[name]
        read = _read_ticket(name)
        found = None
        if read is not None:
            node = self._nodes.get(read[0])
            found = (self._stranger(read[0]) if node is None else node, read[1])
        self._tickets[name] = found
        return found

    def fence(self, told: dict[str, Any]) -> tuple[int, int, int]:
        """Incarnation, version and epoch.

        Raises:
            ValueError: A field is no number.
        """
        number = self._number(str(told.get("incarnation")))
        version = _exactly(int, told.get("version", UNKNOWN))
        epoch = _exactly(int, told.get("epoch", UNKNOWN))
        return number, version, epoch - self._floors.get(number, 0)

    def sight(self, node: int, *, apart: bool = False) -> Sight:
        """How a contender sees the others: alike, or each apart."""
        return Sight(node, None if apart else self._holders)

    # --- Steps ---

    def step(self, record: Input, sight: Sight | None = None) -> Step:
        """A recorded step.

        Args:
            record: The record.
            sight: Who sees it; by default everybody has the own number.

        Raises:
            LocalViolation: A field has a value that it cannot have.
        """
        node = self.processes.get(record.process, 0)
        try:
            facts = record.facts
            if facts.keys() != _FACTS:
                wanted = ", ".join(sorted(_FACTS))
                raise LocalViolation(f"its facts are others than those of a contender: {wanted}")
            session, ticket, fence = facts["session"], facts["ticket"], facts["fence"]
            return Step(
                record.told,
                self._fields(record.told, record.content, node, sight),
                record.action,
                record.before,
                record.after,
                (
                    self._session(session, node),
                    None if ticket is None else self._known(ticket, sight),
                    None if fence is None else self.fence(fence),
                ),
                tuple([self._request(asked, node, sight) for asked in record.requests]),
            )
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise LocalViolation(
                f"a field of it has a value that it cannot have: {error!r}"
            ) from None

    def _fields(
        self, message: str, content: dict[str, Any], node: int, sight: Sight | None
    ) -> tuple[Any, ...]:
        """The fields of an input or request, in the order of the specification.

        Raises:
            LocalViolation: It has others.
        """
        fields = _FIELDS_OF.get(message, {})
        if not fields and not content:
            return ()
        if content.keys() != fields.keys():
            wanted = ", ".join(fields) or "none"
            raise LocalViolation(f"{message} has other fields than it can have: {wanted}")
        return tuple([read(self, content[name], node, sight) for name, read in fields.items()])

    def _request(self, asked: dict[str, Any], node: int, sight: Sight | None) -> tuple[Any, ...]:
        name = _exactly(str, asked["asks"])
        fields = dict(asked)
        del fields["asks"]
        return (name, *self._fields(name, fields, node, sight))

    def _session(self, session: str | None, node: int) -> int | None:
        if session is None:
            return None
        owner, number = self.sessions.get(session, (0, UNKNOWN))
        return number if owner == node else UNKNOWN

    def _known(self, name: str, sight: Sight | None) -> tuple[int, int]:
        found = self.ticket(name)
        if found is None:
            raise LocalViolation(f"{name!r} is no name of a ticket")
        return found if sight is None else sight.ticket(found)

    def _all_known(self, names: Sequence[str], sight: Sight | None) -> frozenset[tuple[int, int]]:
        return frozenset([self._known(name, sight) for name in names])

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


_Reader = Callable[[Abstraction, Any, int, Sight | None], Any]

_FIELDS: dict[str, _Reader] = {
    "session": lambda of, value, node, _: of._session(value, node),  # noqa: SLF001
    "ticket": lambda of, value, _, sight: of._known(value, sight),  # noqa: SLF001
    "names": lambda of, value, _, sight: of._all_known(value, sight),  # noqa: SLF001
    "fence": lambda of, value, *_: of.fence(value),
    "duty": lambda _of, value, *_: _exactly(str, value),
}
"""How each field of an input or request is read."""

_FIELDS_OF: dict[str, dict[str, _Reader]] = {
    message: {name: _FIELDS[name] for name in names}
    for module, messages in (
        (election_types, election_types.__all__),
        (contender, ("DutyDue", "ResignOrdered")),
    )
    for message in messages
    if _FIELDS.keys() >= set(names := getattr(getattr(module, message), "__match_args__", ()))
}
"""The fields of each input, request and command, as the derived classes have them."""

_FACTS = set(contender.ContenderFacts.__match_args__)


# --- As values of the specification -----------------------------------------------------------


def node_name(node: int) -> str:
    """A node as the specification's models write it."""
    return f"n{node}_OF_NODE"


@lru_cache(maxsize=1 << 14)
def ticket_value(ticket: tuple[int, int]) -> Fn:
    """The name of a ticket."""
    return Fn(node=node_name(ticket[0]), number=ticket[1])


@lru_cache(maxsize=1 << 14)
def fence_value(fence: tuple[int, int, int]) -> Fn:
    """A fence."""
    return Fn(incarnation=fence[0], version=fence[1], epoch=fence[2])


def tree_value(tree: Tree) -> Fn:
    """The data."""
    return Fn(latch=_latch_value(tree.latch), epochs=_epochs_value(tree.epochs))


@lru_cache(maxsize=1 << 14)
def _latch_value(latch: Directory) -> Fn:
    znodes = frozenset(_drawn_value(znode) for znode in latch.znodes)
    return Fn(exists=latch.exists, drawn=latch.drawn, znodes=znodes)


@lru_cache(maxsize=1 << 14)
def _drawn_value(znode: tuple[int, int, int, int]) -> Fn:
    node, number, owner, session = znode
    return Fn(name=ticket_value((node, number)), owner=Fn(node=node_name(owner), number=session))


@lru_cache(maxsize=1 << 14)
def _epochs_value(epochs: Directory) -> Fn:
    znodes = frozenset(
        Fn(
            name=incarnation,
            version=version,
            epoch=epoch,
            leader=frozenset(map(node_name, leaders)),
        )
        for incarnation, version, epoch, leaders in epochs.znodes
    )
    return Fn(exists=epochs.exists, drawn=epochs.drawn, znodes=znodes)


def _payload(tag: str, fields: Sequence[Any]) -> Any:
    match tag, tuple(fields):
        case (("Connected" | "TicketInspected"), (session,)):
            return Fn(session=session)
        case "TicketsListed", (names,):
            return Fn(names=frozenset(ticket_value(ticket) for ticket in names))
        case (("EpochRead" | "EpochRaised"), (fence,)):
            return Fn(fence=fence_value(fence))
        case (("InspectTicket" | "AwaitDeparture" | "DeleteTicket"), (ticket,)):
            return Fn(ticket=ticket_value(ticket))
        case "RaiseEpoch", (fence, ticket):
            return Fn(fence=fence_value(fence), ticket=ticket_value(ticket))
        case "WriteFenced", (fence, ticket, duty):
            return Fn(fence=fence_value(fence), ticket=ticket_value(ticket), duty=f"{duty}_OF_DUTY")
        case _, ():
            return UNIT
    raise LocalViolation(f"{tag} does not have the fields {list(fields)!r}")


def told_value(told: str, content: Sequence[Any]) -> Fn:
    """An input.

    Raises:
        LocalViolation: It has other fields.
    """
    return Fn(tag=told, value=_payload(told, content))


def request_value(request: Sequence[Any]) -> Fn:
    """A request.

    Raises:
        LocalViolation: It has other fields.
    """
    return Fn(tag=request[0], value=_payload(request[0], request[1:]))
