"""Which states of the specification a contender can be in, given what was observed.

Each contender has a set of candidates of its own. That loses nothing: an action of the
specification reads and writes the variables of one contender and the data, or is somebody
else's whole affair (an intruder, the loss of all data); and what becomes of the data, and when
sessions end, is known from the transactions. So the contenders share a clock, the number of
events so far, and nothing else, and runs that fit each contender are one run that fits all:
between two ticks of the clock their steps commute.

Every contender is seen as `n1` of a system with one node, whatever its number (see `Sight`), so
that what was worked out for one serves for all. States, data, steps and events are interned, and
whatever is asked twice is remembered: of a state, of a set of states, and across recordings.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Generic, NamedTuple, TypeVar

from keepstep.conformance.cells import Cells, Observed
from keepstep.derive.ast import App, Lit, Name, Spec, walk
from keepstep.derive.system import Leaf, System, translate
from keepstep.tla.operations import UNIT
from keepstep.tla.values import Fn
from keepstep.validation.election_abstraction import (
    DUTIES,
    Event,
    Sight,
    Step,
    Tree,
    fence_value,
    node_name,
    request_value,
    ticket_value,
    told_value,
    tree_value,
)
from keepstep.validation.one_point import with_one_points

__all__ = [
    "FEATURES",
    "MOST_FAULTS",
    "MULTIS",
    "PARTS",
    "Candidates",
    "Context",
    "Effect",
    "Local",
    "Move",
    "Shown",
    "Trouble",
    "View",
]

MOST_FAULTS = 1_000_000
FEATURES = frozenset(
    {
        "abandon", "bare", "deadline", "expiry", "ghosts", "intruder", "late", "parent", "queued",
        "stale", "stragglers", "wipe",
    }
)  # fmt: skip
"""All that an environment may do; `timely` and `sticky watches` would take something away."""

ME = node_name(1)

PARTS = (
    "mode", "session", "ticket", "fence", "inbox", "request", "sessions", "live", "link", "late",
    "behind", "watched",
)  # fmt: skip
_MODE, _SESSION, _TICKET, _FENCE, _INBOX, _REQUEST, _SESSIONS, _LIVE = range(8)
_LATE, _WATCHED = 9, 11
_OWN = len(PARTS)
_AROUND = ("tree", "wipes", "faults", "ghostWrite")
_TREE, _WIPES, _FAULTS, _GHOST = _OWN, _OWN + 2, _OWN + 3, _OWN + 4
"""The cells that follow a contender's own; the data have two, for its directories."""

_NOT_LOCAL = frozenset({"Exorcise", "Intrude", "RemoveParent", "Wipe"})
MULTIS = frozenset({"FoundEpoch", "RaiseEpoch", "WriteFenced"})
"""Requests that are one multi each."""
_NEEDLESS = frozenset({"DropLate"})
"""With stragglers nothing is ever barred by a late request, so dropping one enables nothing.
`Candidates.without_lost` does it where it saves candidates."""
_UNHEARD = frozenset({"S!ApplyLate"})
"""Where the log shows nothing of it, it is as good as never tried."""

Shown = tuple[int, str]
"""Session and name of a request that the log shows."""

Local = tuple[Any, ...]
"""The values of one contender's variables and of its living sessions, in the order of `PARTS`."""


_DATA = 3
_ALL = 7
"""The bits of the data in a `Context`, and all of them."""


class Context:
    """What a contender's environment is at one time, projected to any set of bits.

    Bit 1 is the directory of tickets, bit 2 that of the epoch, bit 4 how often all data was lost.
    The projection to all is the number of the data and how often it was lost. It is worked out
    when something is asked of it, because most steps ask for nothing.

    Attributes:
        tree: The data, with the numbers that the recording gives to nodes.
    """

    __slots__ = ("_candidates", "_parts", "_sight", "_wipes", "tree")

    def __init__(self, candidates: Candidates, tree: Tree, wipes: int, sight: Sight) -> None:
        self._candidates = candidates
        self.tree = tree
        self._wipes = wipes
        self._sight = sight
        self._parts: tuple[Any, ...] = ()

    def __getitem__(self, bits: int) -> Any:
        if not bits:
            return 0
        if not self._parts:
            number, latch, epochs = self._candidates.directories(self._sight.tree(self.tree))
            wipes = self._wipes
            self._parts = (
                0, latch, epochs, (latch, epochs), wipes, (latch, wipes), (epochs, wipes),
                (number, wipes),
            )  # fmt: skip
        return self._parts[bits]


class Trouble(IntFlag):
    """What may go wrong before a contender is told something.

    Members:
        NONE: Nothing.
        BEHIND: Servers may be behind.
        OTHER: Anything else.
        ANY: Anything.
    """

    NONE = 0
    BEHIND = 1
    OTHER = 2
    ANY = 3


class View(NamedTuple):
    """What is known of one contender besides its state.

    Attributes:
        opened: How many of its sessions servers have made.
        ended: Its sessions that ended while nothing was theirs.
        touched: Tickets whose data somebody set.
        waits: What was asked last had not been asked yet, so it cannot have been answered.
        expects: Number of an expectation of what it is told next; 0 if it may be anything.
    """

    opened: int = 0
    ended: frozenset[int] = frozenset()
    touched: frozenset[Any] = frozenset()
    waits: bool = False
    expects: int = 0


class Effect(NamedTuple):
    """What a step of the environment does that the log must show.

    Attributes:
        tree: Number of the data afterwards, or -1 if it stays.
        session: The session that it is done for.
        request: The request that is served.
        wrote: The fence of a write that is accepted.
        opened: The session that begins, or 0.
        ended: The session that ends, or 0.
        touched: The ticket whose watch is triggered by a set of its data.
    """

    tree: int
    session: int
    request: Any
    wrote: Any
    opened: int
    ended: int
    touched: Any


class Move(NamedTuple):
    """A step of the environment.

    Attributes:
        leaf: The action.
        local: Number of the state afterwards.
        effect: What the log must show of it; None for nothing.
        spends: Whether it counts as a fault.
        answers: Whether it answers a request.
        tells: Number of what it tells the contender; -1 for nothing.
    """

    leaf: Leaf
    local: int
    effect: Effect | None
    spends: bool
    answers: bool
    tells: int


_Code = tuple[int, ...]
_Changes = tuple[tuple[int, int], ...]
_Node = tuple[Any, ...]


class _Result(NamedTuple):
    """What an action does in some states.

    Attributes:
        leaf: The action.
        own: The cells of the contender that it assigns.
        around: The other cells that it assigns, but for the count of faults.
        spends: Whether it counts as a fault.
        shows: Whether the log may have to show it.
    """

    leaf: Leaf
    own: _Changes
    around: dict[int, int]
    spends: bool
    shows: bool


_ANSWERS = ("S!Serve", "S!Miss", "S!Refuse")
_ENDINGS = frozenset({"S!Expire", "S!Haunt", "S!Reap"})
_LAGGING = "S!FallBehind"
_DECIDED = frozenset({"tree", "ghostWrite"})
"""What only transactions change."""
V = TypeVar("V")


class _Known(Generic[V]):
    """What is known by a number, and by the parts of the context that it depends on.

    Attributes:
        always: What depends on none of them, which is most.
    """

    __slots__ = ("_found", "always")

    def __init__(self) -> None:
        self.always: dict[int, V] = {}
        self._found: dict[int, tuple[int, dict[Any, V]]] = {}

    def get(self, number: int, context: Context) -> tuple[V | None, int]:
        """What is known, and the parts of the context that it depends on."""
        if number in self.always:
            return self.always[number], 0
        if number in self._found:
            bits, found = self._found[number]
            return found.get(context[bits]), bits
        return None, 0

    def __len__(self) -> int:
        return len(self.always) + len(self._found)

    def put(self, number: int, value: V, bits: int, context: Context) -> None:
        """Remember a value that depends on these parts of a context.

        What was worked out without a look at the context is the same in every other.
        """
        if not bits:
            self.always[number] = value
            return
        before, found = self._found.get(number, (0, {}))
        if bits | before != before:
            bits, found = bits | before, {}
            self._found[number] = (bits, found)
        found[context[bits | before]] = value


class _Diagram:
    """What one action does in each state, worked out only where it can differ.

    A formula is computed by asking for one cell after another; which it asks for next depends on
    those before. So its states are a tree: a node is a cell with a branch for each value that it
    has had, `(cell, branches)`, and where all is known stands `(-1, results, bits)`, with the
    parts of the context that were asked for as bits.

    Args:
        leaf: The action.
        cells: How states are divided.
    """

    __slots__ = ("_observed", "_start", "leaf")

    def __init__(self, leaf: Leaf, cells: Cells) -> None:
        self.leaf = leaf
        self._observed = Observed(cells)
        self._start: dict[int, _Node] = {}

    def results(self, state: Sequence[int]) -> _Node:
        """The end of the path of a state: -1, what the action does there, and the bits."""
        node = self._start.get(0)
        while node is not None:
            cell = node[0]
            if cell < 0:
                return node
            node = node[1].get(state[cell])
        return self._grow(state)

    def _grow(self, state: Sequence[int]) -> _Node:
        observed = self._observed
        observed.begin(state)
        changes = observed.cells.changes
        results = [_result(self.leaf, changes(update)) for update in self.leaf.run(observed)]
        branches, value, bits = self._start, 0, 0
        for cell in observed.reads:
            # What was asked for on the way here is asked for again, in the same order.
            branches = branches.setdefault(value, (cell, {}))[1]
            value = state[cell]
            if cell >= _OWN:
                bits |= _BIT_OF[cell - _OWN]
        end = branches[value] = (-1, results, bits)
        return end


_BIT_OF = (2, 1, 4, 0, 0)
"""The bits of the cells that follow a contender's own: epochs, latch, wipes, and what is fixed."""


def _result(leaf: Leaf, changes: _Changes) -> _Result:
    own = tuple((cell, value) for cell, value in changes if cell < _OWN)
    around = {cell: value for cell, value in changes if cell >= _OWN}
    spends = around.pop(_FAULTS, None) is not None
    ends = any(cell == _LIVE for cell, _ in own)
    return _Result(leaf, own, around, spends, bool(around) or ends or leaf.label == "S!Touch")


class _Group:
    """Some of the actions of the environment, and what they do in each state.

    Attributes:
        diagrams: The actions.
        silent: Those of them that tell a contender nothing, if they are kept apart: once it has
            been told what it expects, no other can do anything.
        moves: What is known of each state.
    """

    __slots__ = ("diagrams", "moves", "silent")

    def __init__(self, diagrams: tuple[_Diagram, ...], silent: _Group | None = None) -> None:
        self.diagrams = diagrams
        self.silent = silent
        self.moves = _Known[tuple[Move, ...]]()

    def results(self, state: Sequence[int]) -> tuple[list[_Result], int]:
        """What the actions do in a state, and which parts of the context they asked for."""
        found: list[_Result] = []
        bits = 0
        for diagram in self.diagrams:
            _, results, read = diagram.results(state)
            found += results
            bits |= read
        return found, bits


@dataclass(frozen=True, slots=True)
class _Told:
    """A recorded step as values of the specification.

    Attributes:
        action: What it does; None if no action can be triggered by what it was told.
        told: What it was told; None of a command.
        before: The cells that it needs.
        after: The cells that it leads to.
        asks: Number of what is asked for; `_NOTHING`, or `_TOO_MUCH`.
    """

    action: _Diagram | None
    told: Fn | None
    before: _Changes
    after: _Changes
    asks: int


_NOTHING = -1
_TOO_MUCH = -2
"""No action asks for two things at once."""


@dataclass(frozen=True, slots=True)
class _Expectation:
    """What a contender is told next.

    Attributes:
        tells: Number of it; -1 if it may be anything.
        group: The actions that can lead to it.
        settles: Whether states in which it was told it are enough once there are any, and are
            left as they are until it has read it.
    """

    tells: int
    group: _Group
    settles: bool = False

    def admits(self, move: Move) -> bool:
        """Whether a step tells the contender nothing else."""
        return move.tells < 0 or self.tells < 0 or move.tells == self.tells


class _Meaning(NamedTuple):
    """What an action of the environment can do, as far as its text shows.

    Attributes:
        variants: The variants that it makes: what it can tell, or ask.
        strings: The strings that it has: which requests it serves, among others.
        primed: The variables that it assigns.
        spends: Whether it counts as a fault in any case.
    """

    variants: frozenset[str]
    strings: frozenset[str]
    primed: frozenset[str]
    spends: bool


def _meaning(spec: Spec, label: str) -> _Meaning:
    """What an action can do, its definition and those that it calls taken together."""
    variants, strings, primed, called = set(), set(), set(), {label}
    todo = [spec.operators[label]]
    while todo:
        for part in walk(todo.pop().body):
            match part:
                case App("Variant", (Lit(str(tag)), _)):
                    variants.add(tag)
                case Lit(str(text)):
                    strings.add(text)
                case App("'", (Name(variable),)):
                    primed.add(variable)
                case App(uid=uid, source="defined") if uid not in called:
                    called.add(uid)
                    todo.append(spec.operators[uid])
    return _Meaning(frozenset(variants), frozenset(strings), frozenset(primed), "S!Spend" in called)


@dataclass(frozen=True, slots=True)
class _Shown:
    """An event as a contender sees it.

    Attributes:
        event: The event.
        tree: Number of the data afterwards.
        request: What was asked for, if that is known.
        wrote: The fence of a write that was accepted.
    """

    event: Event
    tree: int
    request: Fn | None
    wrote: Fn | None

    def is_done_by(self, effect: Effect, context: Context) -> bool:
        """Whether a step of the environment is what the event shows."""
        event = self.event
        if effect.opened or effect.touched is not None:
            return False
        if event.ended:
            after = context[_ALL][0] if effect.tree < 0 else effect.tree
            return effect.ended == event.session and after == self.tree
        if effect.ended or effect.session != event.session:
            return False
        if event.refused:
            return event.for_itself and effect.wrote is not None
        if self.wrote is not None and self.request is not None:
            return effect.wrote == self.wrote and bool(
                effect.request["value"]["ticket"] == self.request["value"]["ticket"]
            )
        if self.request is not None and effect.request != self.request:
            return False
        return effect.wrote is None and effect.tree == self.tree


class Candidates:
    """Sets of candidates and how they change; for all contenders and all recordings.

    Args:
        spec: The specification, as SANY reads it.
        features: What the environment may do.

    Attributes:
        system: Its translation for one node.
        locals: The states, by their numbers.
        sets: The sets of states, by theirs.
        views: What else is known of a contender, by theirs.
        late: For each set how the log would show the late requests in it.
        remembered: For how many states the steps of their environment are remembered.
    """

    def __init__(self, spec: Spec, features: frozenset[str] = FEATURES) -> None:
        self.system: System = translate(
            with_one_points(spec),
            {
                "NODES": frozenset({ME}),
                "DUTIES": frozenset(f"{duty}_OF_DUTY" for duty in DUTIES),
                "FEATURES": features,
                "FAULTS": MOST_FAULTS,
            },
        )
        self.commands = {
            operator.name.rpartition("!")[2]: operator.annotations["command"].strip("; ")
            for operator in spec.operators.values()
            if "command" in operator.annotations
        }
        self.comments = _comments(spec)
        start = next(self.system.initial())
        # A contender's own cells come first, one for each part; then those of the environment.
        self._cells = Cells(self.system.variables, start, (*PARTS, *_AROUND))
        self._no_faults = self._cells.number(_FAULTS, 0)
        self._no_write = self._cells.number(_GHOST, frozenset())
        self.roles: dict[str, list[Leaf]] = {}
        self._actions: dict[str, list[_Diagram]] = {}
        self._inputs = frozenset(re.findall(r"(\w+)\(", spec.aliases["input"].text))
        self._around: list[Leaf] = []
        wipe = next(leaf for leaf in self.system.leaves if leaf.label == "S!Wipe")
        for leaf in self.system.leaves:
            name = leaf.label.rpartition("!")[2]
            if leaf.label.startswith("C!") or name == "Resign":
                self.roles.setdefault(name, []).append(leaf)
                self._actions.setdefault(name, []).append(_Diagram(leaf, self._cells))
            elif name not in _NOT_LOCAL | _NEEDLESS:
                self._around.append(leaf)
        self._diagrams = [(leaf.label, _Diagram(leaf, self._cells)) for leaf in self._around]
        self._wipe = _Diagram(wipe, self._cells)
        self._means = {leaf.label: _meaning(spec, leaf.label) for leaf in self._around}
        self._answers = frozenset[str]().union(
            *(means.variants for label, means in self._means.items() if label.startswith(_ANSWERS))
        )
        self._endings = self._group(lambda label: label in _ENDINGS)
        self._writing: dict[str, _Group] = {}
        self._groups: dict[tuple[str, Trouble], _Group] = {}
        self._expectations: list[_Expectation] = []
        self._expectation_numbers: dict[tuple[int, Trouble, bool], int] = {}
        self._expected: dict[tuple[int | None, Trouble, bool], int] = {}
        self._no_input = self._cells.number(_INBOX, Fn(tag="NoInput", value=UNIT))
        self._asks_none = self._cells.number(_REQUEST, Fn(tag="NoRequest", value=UNIT))
        everything = self._group(lambda label: label not in _ENDINGS | _UNHEARD)
        self._expectations.append(_Expectation(-1, everything))
        self.locals: list[Local] = []
        self._codes: list[_Code] = []
        self._local_numbers: dict[_Code, int] = {}
        self._trees: list[_Code] = []
        self._tree_numbers: dict[_Code, int] = {}
        self.sets: list[frozenset[int]] = []
        self.late: list[frozenset[Shown]] = []
        self._set_numbers: dict[frozenset[int], int] = {}
        self._told: list[_Told] = []
        self._told_numbers: dict[Any, int] = {}
        self._steps: dict[Step, int] = {}
        self._events: list[_Shown] = []
        self._event_numbers: dict[Any, int] = {}
        self._ends: dict[tuple[int, Any], tuple[Move, ...]] = {}
        self.views: list[View] = []
        self._view_numbers: dict[View, int] = {}
        self._looking: dict[tuple[int, bool, int], int] = {}
        self._closed: list[_Known[int]] = []
        self._trimmed: dict[tuple[int, frozenset[Shown]], int] = {}
        self._stepped: dict[tuple[int, int], int] = {}
        self._after_event: dict[tuple[int, Any, int, int], int] = {}
        self._after_wipe: dict[int, int] = {}
        self._served: dict[int, int] = {}
        self._seen_trees: dict[Tree, int] = {}
        self.remembered = 0
        self._nowhere = self._cells.encode(start)[_OWN:]
        self.empty = self._set(frozenset())
        self.start = self._set(frozenset({self._local(self._cells.encode(start)[:_OWN])}))

    # --- Interning ---

    def _local(self, code: _Code) -> int:
        number = self._local_numbers.get(code)
        if number is None:
            number = self._local_numbers[code] = len(self.locals)
            self._codes.append(code)
            tables = self._cells.values
            self.locals.append(tuple(tables[cell][at] for cell, at in enumerate(code)))
        return number

    def _set(self, members: frozenset[int]) -> int:
        number = self._set_numbers.get(members)
        if number is None:
            number = self._set_numbers[members] = len(self.sets)
            self.sets.append(members)
            late = frozenset[Any]().union(*(self.locals[at][_LATE] for at in members))
            self.late.append(frozenset(map(_shown, late)))
        return number

    def _tree(self, code: _Code) -> int:
        number = self._tree_numbers.get(code)
        if number is None:
            number = self._tree_numbers[code] = len(self._trees)
            self._trees.append(code)
        return number

    def context(self, tree: Tree, wipes: int, sight: Sight) -> Context:
        """The environment of a contender."""
        return Context(self, tree, wipes, sight)

    def directories(self, tree: Tree) -> tuple[int, int, int]:
        """The number of data as a contender sees it, of its tickets, and of its epoch."""
        number = self._seen_trees.get(tree)
        if number is None:
            code = self._cells.encode_value(self.system.number("tree"), tree_value(tree))
            number = self._seen_trees[tree] = self._tree(code)
        epochs, latch = self._trees[number]
        return number, latch, epochs

    def merge(self, one: int, other: int) -> int:
        """The number of the union of two sets."""
        if one == other or other == self.empty:
            return one
        if one == self.empty:
            return other
        return self._set(self.sets[one] | self.sets[other])

    # --- States of the whole system of one node ---

    def _code(self, local: int, context: Context) -> _Code:
        """A state of the system from a contender's part of it."""
        tree, wipes = context[_ALL]
        return (
            *self._codes[local], *self._trees[tree], self._cells.number(_WIPES, wipes),
            self._no_faults, self._no_write,
        )  # fmt: skip

    def _take(self, action: _Diagram, local: int) -> list[_Result]:
        """What an action does that does not read the data."""
        code = (*self._codes[local], *self._nowhere)
        return action.results(code)[1]  # type: ignore[no-any-return]

    # --- The environment ---

    def _group(self, belongs: Callable[[str], bool], silent: _Group | None = None) -> _Group:
        return _Group(tuple(d for label, d in self._diagrams if belongs(label)), silent)

    def expectation(self, told: int | None, trouble: Trouble, *, settles: bool = False) -> int:
        """The number of an expectation of what a contender is told next.

        What it is told otherwise would stay unread for ever, so the steps of the environment
        that tell it need not be looked at. An answer that is never read need not either.

        Args:
            told: Number of the next recorded step that is no command; None if there is none.
            trouble: What may go wrong before.
            settles: Whether it is enough to look at states in which it was told so, once there
                are any.
        """
        key = (told, trouble, settles)
        known = self._expected.get(key)
        if known is None:
            known = self._expected[key] = self._expectation(told, trouble, settles=settles)
        return known

    def _expectation(self, told: int | None, trouble: Trouble, *, settles: bool) -> int:
        value = None if told is None else self._told[told].told
        tells = -1 if value is None else self._cells.number(_INBOX, value)
        number = self._expectation_numbers.get((tells, trouble, settles))
        if number is None:
            tag = "" if value is None else str(value["tag"])
            group = self._groups.get((tag, trouble))
            if group is None:
                helps = frozenset(
                    leaf.label for leaf in self._around if self._may_help(leaf.label, tag, trouble)
                )
                silent = self._group(
                    lambda label: label in helps and not self._means[label].variants & self._inputs
                )
                group = self._group(helps.__contains__, silent if tag else None)
                self._groups[tag, trouble] = group
            number = self._expectation_numbers[tells, trouble, settles] = len(self._expectations)
            self._expectations.append(_Expectation(tells, group, settles))
        return number

    def _may_help(self, label: str, tag: str, trouble: Trouble) -> bool:
        """Whether an action can lead to a contender's being told something of this kind.

        Without a kind: whether it can lead to a transaction, as nothing is read any more.
        """
        means = self._means[label]
        tells = means.variants & self._inputs
        kind = Trouble.BEHIND if label == _LAGGING else Trouble.OTHER
        if (means.spends and not trouble & kind) or label in _ENDINGS | _UNHEARD:
            return False
        if label.startswith(_ANSWERS) and not tells:
            # Who is served without being told asks nothing any more, so no answer comes.
            return tag not in self._answers
        if not tag:
            return not tells or (bool(trouble) and not label.startswith(_ANSWERS))
        return not tells or tag in tells

    def _writing_for(self, request: str) -> _Group:
        """The actions that change what transactions change, as a request of this name asks."""
        group = self._writing.get(request)
        if group is None:
            group = self._writing[request] = self._group(
                lambda label: (
                    label not in _ENDINGS
                    and bool(self._means[label].primed & _DECIDED)
                    and (not request or request in self._means[label].strings)
                )
            )
        return group

    def moves(self, local: int, context: Context, group: _Group) -> tuple[tuple[Move, ...], int]:
        """The steps of some actions of the environment that concern a contender in a state.

        Returns:
            The steps, and which parts of the context they depend on, as bits.
        """
        moves, bits = group.moves.get(local, context)
        if moves is None:
            results, bits = group.results(self._code(local, context))
            moves = tuple(self._read_moves(local, context, results))
            if any(result.around for result in results):
                bits |= _DATA  # What becomes of the data is compared with what they were.
            self.remembered += 1
            group.moves.put(local, moves, bits, context)
        return moves, bits

    def endings(self, local: int, context: Context) -> tuple[Move, ...]:
        """The ends of sessions that may come to a contender in a state."""
        key = (local, context[_ALL])
        known = self._ends.get(key)
        if known is None:
            results, _ = self._endings.results(self._code(local, context))
            known = self._ends[key] = tuple(self._read_moves(local, context, results))
        return known

    def all_moves(self, local: int, context: Context) -> list[Move]:
        """All steps of the environment that concern a contender in a state."""
        everything = self._expectations[0].group
        return [*self.moves(local, context, everything)[0], *self.endings(local, context)]

    def _read_moves(
        self, number: int, context: Context, results: Sequence[_Result]
    ) -> Iterator[Move]:
        code = self._codes[number]
        for result in results:
            after = _changed(code, result.own)
            local = self._local(after)
            effect = self._effect(result, number, local, context) if result.shows else None
            answers = result.leaf.label.startswith(_ANSWERS)
            tells = after[_INBOX] if after[_INBOX] != code[_INBOX] else -1
            yield Move(result.leaf, local, effect, result.spends, answers, tells)

    def _effect(self, result: _Result, number: int, local: int, context: Context) -> Effect | None:
        leaf, around = result.leaf, result.around
        before, after = self.locals[number], self.locals[local]
        tree, wrote = -1, None
        if around:
            old = self._trees[context[_ALL][0]]
            new = tuple([around.get(_TREE + at, value) for at, value in enumerate(old)])
            tree = -1 if new == old else self._tree(new)
            accepted = self._cells.values[_GHOST][around.get(_GHOST, self._no_write)]
            wrote = next((write["fence"] for write in accepted), None)
        opened = ended = 0
        if before[_LIVE] is not after[_LIVE]:
            opened = max((s["number"] for s in after[_LIVE] - before[_LIVE]), default=0)
            ended = max((s["number"] for s in before[_LIVE] - after[_LIVE]), default=0)
        touched = None
        if leaf.label == "S!Touch":
            touched = next(iter(before[_WATCHED]))
        if tree < 0 and wrote is None and not opened and not ended and touched is None:
            return None
        session, request = before[_SESSIONS], before[_REQUEST]
        if leaf.label == "S!ApplyLate":
            (flight,) = before[_LATE] - after[_LATE]
            session, request = flight["session"], flight["request"]
        return Effect(tree, ended or session, request, wrote, opened, ended, touched)

    def allows(self, view: View, move: Move) -> bool:
        """Whether a step may happen between two events."""
        effect, expected = move.effect, self._expectations[view.expects]
        if not expected.admits(move):
            return False
        if effect is None:
            return not (view.waits and move.answers)
        if effect.tree >= 0 or effect.wrote is not None:
            return False
        if effect.opened:
            return effect.opened <= view.opened
        if effect.touched is not None:
            return effect.touched in view.touched
        return effect.ended in view.ended

    def view(self, view: View) -> int:
        """The number of a view."""
        number = self._view_numbers.get(view)
        if number is None:
            number = self._view_numbers[view] = len(self.views)
            self.views.append(view)
            self._closed.append(_Known())
        return number

    def looking(self, view: int, expects: int, *, waits: bool) -> int:
        """The number of a view with something else to wait for and to expect."""
        key = (view, waits, expects)
        number = self._looking.get(key)
        if number is None:
            changed = self.views[view]._replace(waits=waits, expects=expects)
            number = self._looking[key] = self.view(changed)
        return number

    def close(self, members: int, context: Context, view: int) -> int:
        """All states that the environment can lead to, without an event.

        Args:
            members: Number of the set of states.
            context: The environment.
            view: Number of what else is known.
        """
        known = self._closed[view]
        closed = known.always.get(members)
        if closed is None:
            closed, _ = known.get(members, context)
        if closed is None:
            found, bits = self._close(members, context, self.views[view])
            closed = self._set(frozenset(found))
            known.put(members, closed, bits, context)
            known.put(closed, closed, bits, context)  # What is closed stays so.
        return closed

    def _close(self, members: int, context: Context, view: View) -> tuple[set[int], int]:
        expected = self._expectations[view.expects]
        group = expected.group
        found = self._settled(set(self.sets[members]), expected)
        todo = list(found)
        bits = 0
        silent = group.silent or group
        while todo:
            local = todo.pop()
            told = self._codes[local][_INBOX] != self._no_input
            if told and expected.settles:
                continue
            moves, read = self.moves(local, context, silent if told else group)
            bits |= read
            if view.ended and any(s["number"] in view.ended for s in self.locals[local][_LIVE]):
                moves = (*moves, *self.endings(local, context))
                bits = _ALL
            for move in moves:
                if move.local not in found and self.allows(view, move):
                    found.add(move.local)
                    todo.append(move.local)
        return self._settled(found, expected), bits

    def _settled(self, found: set[int], expected: _Expectation) -> set[int]:
        """Only those that were told what is expected, if that settles it and there are any."""
        if not expected.settles:
            return found
        return {at for at in found if self._codes[at][_INBOX] == expected.tells} or found

    def without_lost(self, members: int, shown: frozenset[Shown]) -> int:
        """The states of a set without the late requests that will never be seen in the log.

        A late request bars nothing, and may be lost at any time; so nothing is lost by that.

        Args:
            members: Number of the set of states.
            shown: The sessions and names of the requests that the log will show.
        """
        if self.late[members] <= shown:
            return members
        key = (members, shown)
        known = self._trimmed.get(key)
        if known is None:
            found = frozenset(self._without_lost(at, shown) for at in self.sets[members])
            known = self._trimmed[key] = self._set(found)
        return known

    def _without_lost(self, local: int, shown: frozenset[Shown]) -> int:
        late = self.locals[local][_LATE]
        kept = frozenset(flight for flight in late if _shown(flight) in shown)
        number = self._cells.number(_LATE, kept)
        return self._local(_changed(self._codes[local], ((_LATE, number),)))

    # --- Events ---

    def event(self, event: Event, sight: Sight, after: Context) -> int:
        """The number of an event of a contender's own requests or sessions.

        Args:
            event: The event.
            sight: How the contender sees it.
            after: Its environment afterwards.
        """
        tree = after[_ALL][0]
        asked = None if event.request is None else sight.request(event.request)
        # What a step of the environment is compared with.
        key = (
            tree, event.session, asked, event.serves, event.wrote, event.ended, event.refused,
            event.for_itself,
        )  # fmt: skip
        number = self._event_numbers.get(key)
        if number is None:
            number = self._event_numbers[key] = len(self._events)
            request = None
            if asked is not None:
                request = request_value((*asked, DUTIES[0]) if event.wrote else asked)
            wrote = fence_value(event.wrote) if event.wrote else None
            self._events.append(_Shown(event, tree, request, wrote))
        return number

    def happen(self, members: int, context: Context, event: int, expects: int) -> int:
        """The states after an event of the contender's own."""
        key = (members, context[_ALL], event, expects)
        known = self._after_event.get(key)
        if known is None:
            expected = self._expectations[expects]
            found = frozenset(
                after
                for local in self.sets[members]
                for after, move in self.after_event(local, context, event)
                if move is None or expected.admits(move)
            )
            known = self._after_event[key] = self._set(found)
        return known

    def after_event(
        self, local: int, context: Context, number: int
    ) -> Iterator[tuple[int, Move | None]]:
        """The states that an event leads to, and by which step; None for no step."""
        shown = self._events[number]
        event = shown.event
        if event.refused:
            yield from self._refusals(local, context, event.session)
        if event.ended and event.session not in {
            session["number"] for session in self.locals[local][_LIVE]
        }:
            # Nobody told it of this session before it ended; so nothing can have been its.
            if shown.tree == context[_ALL][0]:
                yield local, None
            return
        moves = (
            self.endings(local, context)
            if event.ended
            else self.moves(local, context, self._writing_for(event.serves))[0]
        )
        for move in moves:
            if move.effect is not None and shown.is_done_by(move.effect, context):
                yield move.local, move

    def _refusals(
        self, local: int, context: Context, session: int
    ) -> Iterator[tuple[int, Move | None]]:
        """The states after a multi of a session was refused: nothing is done, but it is over."""
        state = self.locals[local]
        if any(f["session"] == session and _is_multi(f["request"]) for f in state[_LATE]):
            yield local, None
        if state[_SESSIONS] == session and _is_multi(state[_REQUEST]):
            for move in self.moves(local, context, self._expectations[0].group)[0]:
                if move.answers and move.effect is None:
                    yield move.local, move

    def served(self, members: int) -> int:
        """The states of a set in which nothing is asked that is not served yet."""
        known = self._served.get(members)
        if known is None:
            found = (
                at for at in self.sets[members] if self._codes[at][_REQUEST] == self._asks_none
            )
            known = self._served[members] = self._set(frozenset(found))
        return known

    def wipe(self, members: int) -> int:
        """The states after the loss of all data."""
        known = self._after_wipe.get(members)
        if known is None:
            found = frozenset(map(self.wiped, self.sets[members]))
            known = self._after_wipe[members] = self._set(found)
        return known

    def wiped(self, local: int) -> int:
        """The state after the loss of all data."""
        (result,) = self._take(self._wipe, local)
        return self._local(_changed(self._codes[local], result.own))

    # --- Steps of the contender ---

    def told(self, step: Step) -> int:
        """The number of a recorded step, as its contender sees it.

        Raises:
            LocalViolation: It has fields that its input or request cannot have.
        """
        number = self._steps.get(step)
        if number is not None:
            return number
        is_command = step.told in self.commands.values()
        value = None if is_command else told_value(step.told, step.content)
        action = None
        for choice in self._actions.get(step.action, ()):
            arguments = choice.leaf.arguments[1:]
            payload = tuple(argument.partition("_OF_")[0] for argument in arguments)
            # Only a command has parameters, and only it may trigger the action.
            if self.commands.get(step.action) == (step.told if is_command else None) and (
                payload == (step.content if is_command else ())
            ):
                action = choice
        session, ticket, fence = step.facts
        before: dict[int, Any] = {_MODE: step.before}
        if value is not None:
            before[_INBOX] = value
        after = {
            _MODE: step.after,
            _SESSION: frozenset() if session is None else frozenset({session}),
            _TICKET: frozenset() if ticket is None else frozenset({ticket_value(ticket)}),
            _FENCE: frozenset() if fence is None else frozenset({fence_value(fence)}),
        }
        asks = _NOTHING
        if step.requests:
            asks = self._cells.number(_REQUEST, request_value(step.requests[0]))
        if len(step.requests) > 1:
            asks = _TOO_MUCH
        told = _Told(action, value, self._numbers(before), self._numbers(after), asks)
        number = self._told_numbers.get(told)
        if number is None:
            number = self._told_numbers[told] = len(self._told)
            self._told.append(told)
        self._steps[step] = number
        return number

    def _numbers(self, values: Mapping[int, Any]) -> _Changes:
        return tuple((cell, self._cells.number(cell, value)) for cell, value in values.items())

    def step(self, members: int, told: int) -> int:
        """The states after a recorded step."""
        key = (members, told)
        known = self._stepped.get(key)
        if known is None:
            found = (self.step_one(local, told) for local in self.sets[members])
            known = self._set(frozenset(after for after in found if after >= 0))
            self._stepped[key] = known
        return known

    def step_one(self, local: int, told: int) -> int:
        """The state after a recorded step; -1 if the specification has no such step here."""
        step = self._told[told]
        code = self._codes[local]
        if step.action is None or any(code[cell] != value for cell, value in step.before):
            return -1
        for result in self._take(step.action, local):
            after = _changed(code, result.own)
            asks = next((value for cell, value in result.own if cell == _REQUEST), _NOTHING)
            if asks == step.asks and all(after[cell] == value for cell, value in step.after):
                return self._local(after)
        return -1

    def enabled(self, local: int) -> Iterator[tuple[Leaf, Local]]:
        """What a contender may do in a state, and the state after it."""
        code = self._codes[local]
        for action in itertools.chain(*self._actions.values()):
            for result in self._take(action, local):
                yield action.leaf, self.locals[self._local(_changed(code, result.own))]

    def told_of(self, number: int) -> tuple[Fn | None, Leaf | None]:
        """What a recorded step was told, as a value, and its action."""
        step = self._told[number]
        return step.told, None if step.action is None else step.action.leaf

    def sizes(self) -> Counter[str]:
        """How much is remembered."""
        return Counter(
            states=len(self.locals), sets=len(self.sets), trees=len(self._trees),
            moves=self.remembered, closures=sum(map(len, self._closed)),
        )  # fmt: skip


def _is_multi(request: Fn) -> bool:
    return request["tag"] in MULTIS


def _changed(code: _Code, changes: _Changes) -> _Code:
    """A state after changes."""
    after = list(code)
    for cell, value in changes:
        after[cell] = value
    return tuple(after)


def _shown(flight: Fn) -> Shown:
    """How a late request would be seen in the log."""
    return flight["session"], flight["request"]["tag"]


def _comments(spec: Spec) -> dict[str, str]:
    """What the specification says of each labelled action, in its first sentence."""
    return {op.name: op.comment.split(". ")[0] for op in spec.operators.values() if op.comment}
