"""One behaviour of the specification that a recorded run can have been.

`validation` keeps sets of candidates and forgets how they came about. Here the same is done
for one recording with each candidate's way to it; the ways of all contenders are then put
together, event by event, to one behaviour of all: states of the whole composition, with the
labelled action between each two. It can be written as a trace in ITF, and checked with TLC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from keepstep.derive.system import Leaf
from keepstep.errors import LocalViolation
from keepstep.tla.itf import write_itf
from keepstep.tla.values import Fn
from keepstep.validation.candidates import PARTS, Candidates, Context, Local, View
from keepstep.validation.election_abstraction import (
    BARE,
    Abstraction,
    Event,
    Sight,
    node_name,
    tree_value,
)
from keepstep.validation.recording import Input, Recording, Start, replacing
from keepstep.validation.validator import event_view

__all__ = ["Behaviour", "Taken", "find_behaviour"]


class Taken(NamedTuple):
    """A step of the composition.

    Attributes:
        label: The action with its arguments: `C!Attach("n1_OF_NODE")`.
        record: The record that shows it; None for what was inferred.
    """

    label: str
    record: int | None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A behaviour of the composition.

    Attributes:
        nodes: The contenders.
        states: Its states, values by names of variables; one more than `steps`.
        steps: What leads from each to the next.
    """

    nodes: tuple[str, ...]
    states: tuple[Mapping[str, Any], ...]
    steps: tuple[Taken, ...]

    def write_itf(self, file: Path) -> None:
        """Write its states as a trace in ITF, whole or not at all.

        Raises:
            LocalViolation: The file cannot be written.
        """
        with replacing(file) as partial:
            write_itf(partial, self.states)


class _Way(NamedTuple):
    """How a contender came to be in a state.

    Attributes:
        before: The way to the state before; None at the start.
        clock: How many events had happened before this step.
        local: Number of the state.
        by: The action; None of an event that changes nothing for it.
        record: The record that shows it, or None.
        event: Whether the step is the next event.
        spends: Whether it counts as a fault.
        wrote: The write that is accepted by it, or None.
    """

    before: _Way | None
    clock: int
    local: int
    by: Leaf | None = None
    record: int | None = None
    event: bool = False
    spends: bool = False
    wrote: Any = None


_Frontier = dict[tuple[int, int], _Way]


def find_behaviour(candidates: Candidates, recording: Recording) -> Behaviour:
    """A behaviour that a valid recording can have been.

    Raises:
        LocalViolation: There is none, or contenders took part that are not recorded.
    """
    return _Search(candidates, recording).behaviour()


@dataclass(slots=True)
class _Contender:
    sight: Sight
    frontier: _Frontier
    views: dict[int, View] = field(default_factory=dict)
    top: int = 0
    asked: int = 0


class _Search:
    """The search for a behaviour of one recording."""

    def __init__(self, candidates: Candidates, recording: Recording) -> None:
        self.candidates = candidates
        self.recording = recording
        self.abstraction = Abstraction(recording)
        self.events = self.abstraction.events
        if any(event.assumed for event in self.events):
            raise LocalViolation(
                f"{recording.name}: contenders took part that are not recorded, so nobody can say"
                " what they did"
            )

    def context(self, clock: int, sight: Sight) -> Context:
        tree = self.events[clock - 1].tree if clock else BARE
        return self.candidates.context(tree, self.abstraction.wipes[clock], sight)

    def behaviour(self) -> Behaviour:
        contenders: dict[str, _Contender] = {}
        for number, record in enumerate(self.recording.records):
            match record:
                case Start(process):
                    clock = self.abstraction.clocks[number]
                    node = self.abstraction.processes[process]
                    (start,) = self.candidates.sets[self.candidates.start]
                    way = _Way(None, clock, start)
                    contenders[process] = _Contender(
                        self.abstraction.sight(node, apart=True),
                        {(clock, start): way},
                        {clock: View()},
                        clock,
                    )
                    self.close(contenders[process], clock)
                case Input(process):
                    self.step(contenders[process], number, record)
        total = len(self.events)
        ways = {}
        for contender in contenders.values():
            self.extend(contender, total)
            last = [way for (clock, _), way in contender.frontier.items() if clock == total]
            if not last:
                raise LocalViolation(f"{self.recording.name}: it is no behaviour; validate it")
            ways[contender.sight.node] = _unwound(last[0])
        return _Merging(self, ways).behaviour()

    # --- One contender ---

    def close(self, contender: _Contender, clock: int) -> None:
        frontier, context = contender.frontier, self.context(clock, contender.sight)
        view = contender.views[clock]
        todo = [way for (at, _), way in frontier.items() if at == clock]
        for way in todo:
            for move in self.candidates.all_moves(way.local, context):
                key = (clock, move.local)
                if key not in frontier and self.candidates.allows(view, move):
                    frontier[key] = _Way(way, clock, move.local, by=move.leaf, spends=move.spends)
                    todo.append(frontier[key])

    def extend(self, contender: _Contender, clock: int) -> None:
        while contender.top < clock:
            contender.top += 1
            self.advance(contender, contender.top)

    def advance(self, contender: _Contender, clock: int) -> None:
        """Add what comes from the clock before, and whatever follows."""
        event, sight, frontier = self.events[clock - 1], contender.sight, contender.frontier
        view = event_view(contender.views[clock - 1], event, sight)
        contender.views[clock] = view._replace(waits=clock < contender.asked)
        for (at, _), way in list(frontier.items()):
            if at == clock - 1:
                for new in self.happen(way, event, sight, clock):
                    frontier.setdefault((clock, new.local), new)
        self.close(contender, clock)

    def happen(self, way: _Way, event: Event, sight: Sight, clock: int) -> Iterable[_Way]:
        """The ways on over an event."""
        local = way.local
        if event.wiped:
            after = self.candidates.wiped(local)
            yield _Way(way, clock - 1, after, event=True)
        elif event.node == sight.node and not event.opened and not event.odd:
            before, after_it = self.context(clock - 1, sight), self.context(clock, sight)
            number = self.candidates.event(event, sight, after_it)
            for after, move in self.candidates.after_event(local, before, number):
                if move is None:
                    yield _Way(way, clock - 1, after, event=True)
                else:
                    wrote = None if move.effect is None else move.effect.wrote
                    yield _Way(
                        way, clock - 1, after, move.leaf, event.record, event=True,
                        spends=move.spends, wrote=wrote,
                    )  # fmt: skip
        else:
            yield _Way(way, clock - 1, local, event=True)

    def step(self, contender: _Contender, number: int, record: Input) -> None:
        latest = self.abstraction.latest[number]
        self.extend(contender, latest)
        step = self.abstraction.step(record, contender.sight)
        told = self.candidates.told(step)
        _, leaf = self.candidates.told_of(told)
        found: _Frontier = {}
        for (clock, local), way in contender.frontier.items():
            after = self.candidates.step_one(local, told)
            if after >= 0 and leaf is not None:
                found[clock, after] = _Way(way, clock, after, leaf, number)
        first = min((clock for clock, _ in found), default=latest)
        contender.frontier = found
        if step.requests:
            contender.asked = self.abstraction.earliest[number]
        waits = first < contender.asked
        contender.views[first] = contender.views[first]._replace(waits=waits)
        self.close(contender, first)
        for clock in range(first + 1, latest + 1):
            self.advance(contender, clock)


def _unwound(way: _Way | None) -> list[_Way]:
    found = []
    while way is not None:
        found.append(way)
        way = way.before
    return found[::-1]


class _Merging:
    """Puts the ways of all contenders together."""

    def __init__(self, search: _Search, ways: dict[int, list[_Way]]) -> None:
        self.search = search
        self.candidates = search.candidates
        self.ways = ways
        self.nodes = tuple(node_name(node) for node in sorted(ways)) or (node_name(1),)
        (start,) = self.candidates.sets[self.candidates.start]
        self.locals: dict[int, Local] = dict.fromkeys(
            sorted(ways) or (1,), self.candidates.locals[start]
        )
        self.faults = 0
        self.wipes = 0
        self.ghost: frozenset[Any] = frozenset()
        self.tree = tree_value(BARE)
        self.states = [self.state()]
        self.steps: list[Taken] = []

    def state(self) -> dict[str, Any]:
        """The state of the whole composition."""
        state: dict[str, Any] = {
            name: Fn(
                {
                    node_name(node): _renamed(local[part], node)
                    for node, local in self.locals.items()
                }
            )
            for part, name in enumerate(PARTS)
            if name != "live"
        }
        live = PARTS.index("live")
        state["live"] = frozenset().union(
            *(_renamed(local[live], node) for node, local in self.locals.items())
        )
        state |= {
            "tree": self.tree, "wipes": self.wipes, "faults": self.faults,
            "ghostWrite": self.ghost,
        }  # fmt: skip
        return dict(sorted(state.items()))

    def add(self, label: str, record: int | None) -> None:
        self.steps.append(Taken(label, record))
        self.states.append(self.state())

    def behaviour(self) -> Behaviour:
        places = dict.fromkeys(self.ways, 0)
        events = self.search.events
        for clock in range(len(events) + 1):
            for node, ways in self.ways.items():
                while places[node] + 1 < len(ways):
                    way = ways[places[node] + 1]
                    if way.clock != clock or way.event:
                        break
                    places[node] += 1
                    self.take(node, way)
            if clock < len(events):
                self.happen(events[clock], clock, places)
        return Behaviour(self.nodes, tuple(self.states), tuple(self.steps))

    def take(self, node: int, way: _Way) -> None:
        """A step of one contender, or of its environment."""
        self.locals[node] = self.candidates.locals[way.local]
        self.faults += way.spends
        if way.wrote is not None:
            self.ghost = frozenset({Fn(fence=way.wrote, node=node_name(node))})
        if way.by is not None:
            arguments = ", ".join(f'"{a}"' for a in (node_name(node), *way.by.arguments[1:]))
            self.add(f"{way.by.label}({arguments})", way.record)

    def happen(self, event: Event, clock: int, places: dict[int, int]) -> None:
        """An event, by whoever is part of it."""
        after = tree_value(event.tree)
        gone = self.tree["latch"]["znodes"] - after["latch"]["znodes"]
        taken: list[tuple[int, _Way]] = []
        for node, ways in self.ways.items():
            if places[node] + 1 < len(ways):
                way = ways[places[node] + 1]
                if way.event and way.clock == clock:
                    places[node] += 1
                    taken.append((node, way))
        self.tree = after
        if event.wiped:
            self.wipes += 1
            for node, way in taken:
                self.locals[node] = self.candidates.locals[way.local]
            self.faults += 1
            self.add("S!Wipe", event.record)
        elif event.cause in {"Intrude", "RemoveParent"}:
            self.faults += 1
            owner = "".join(f'("{z["name"]["node"]}")' for z in gone)
            self.add(f"S!{event.cause}{owner}", event.record)
        else:
            for node, way in taken:
                if way.by is not None:
                    self.take(node, way)


_NODE = re.compile(r"n(\d+)_OF_NODE")


def _renamed(value: Any, node: int) -> Any:
    """A value as a contender sees it, with everybody's own number."""
    return _rename(value, node)


@lru_cache(maxsize=1 << 14)
def _rename(value: Any, node: int) -> Any:
    match value:
        case str() if found := _NODE.fullmatch(value):
            seen = int(found[1])
            real = node if seen == 1 else seen - 1 if seen - 1 < node else seen
            return node_name(real)
        case frozenset():
            return frozenset(_rename(item, node) for item in value)
        case Fn():
            return Fn({key: _rename(item, node) for key, item in value.items()})
    return value
