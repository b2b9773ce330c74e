"""The states that a composition can be in, given the steps of one role that were observed.

A state is divided by nodes: the *part* of a node is what the composition says of it alone, and
all the rest is *shared*. A step of the environment for a node reads its part and what is shared.
If it changes its part only, it is *private*: whatever the other nodes do privately makes no
difference to it. So, as long as nothing shared changes, the possible states are all combinations
of the possible parts, and it is enough to keep a set of parts for each node. Such a `Possible`
stands for the product of its sets. Only steps that change what is shared branch.

A variable of which a step for one node reads the value of another node is shared as a whole.
That is found out when it happens, and then everything begins anew (`Entangled`).

Values that the specification abstracts have other values in the world: session ids there,
numbers of sessions here. A `Possible` knows which stands for which, as far as the observed steps
said so: the first sight of a value in the world may be any value of the specification that no
other stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from keepstep.conformance.cells import Cells, Observed, Undivided
from keepstep.conformance.decisions import Decisions
from keepstep.derive.system import Leaf
from keepstep.errors import InvalidSpec
from keepstep.tla.operations import Undefined
from keepstep.validation.protocol import Protocol

__all__ = ["Known", "Names", "Possible", "PossibleStates", "Taken", "TooMany"]

Names = Mapping[str, Any]
"""For each value of the world that was seen, written with its kind: that of the specification."""

_Changes = tuple[tuple[int, int], ...]
_Result = tuple[int, _Changes]


class Entangled(Exception):
    """A step for one node depends on the part of another, or changes it.

    Attributes:
        variable: Whose values have to be shared.
    """

    def __init__(self, variable: str) -> None:
        super().__init__(variable)
        self.variable = variable


class TooMany(Exception):
    """There are more possible states than the limit allows."""


class Possible(NamedTuple):
    """All states with this shared rest, and a part from each of these sets.

    Attributes:
        names: Number of the names that are known.
        shared: Number of what is shared.
        parts: For each node that has started: number of the set of its parts.
    """

    names: int
    shared: int
    parts: tuple[int, ...]


class Taken(NamedTuple):
    """A step of the role that is possible in a state.

    Attributes:
        leaf: Its leaf.
        shared: Number of what is shared after it.
        part: Number of the node's part after it.
    """

    leaf: Leaf
    shared: int
    part: int


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one node in one state, by the names of the composition's variables."""

    states: PossibleStates
    shared: int
    node: int
    part: int

    def __getitem__(self, variable: str) -> Any:
        return self.states.value(self.shared, self.node, self.part, variable)


class _Partial(Observed):
    """A state of which only some cells may be read."""

    def read(self, cell: int) -> Any:
        if self.state[cell] < 0:
            raise Entangled(self.cells.variables[self.cells.names[cell][0]])
        return super().read(cell)


class _Steps(Decisions[_Result]):
    """What some leaves do, in states of which only some cells may be read."""

    def __init__(
        self, cells: Cells, formulas: Sequence[Callable[[Observed], Sequence[_Result]]]
    ) -> None:
        super().__init__(cells, formulas)
        self.observed = _Partial(cells)


class PossibleStates:
    """The states of a composition with so many nodes; what is worked out once is remembered.

    Args:
        protocol: What is known of the specification.
        count: How many nodes there are at most.
        most: How many `Possible` a set may have.

    Attributes:
        nodes: The nodes, as the specification calls them.

    Raises:
        InvalidSpec: The specification cannot be translated.
    """

    def __init__(self, protocol: Protocol, count: int, *, most: int) -> None:
        self.protocol = protocol
        self.most = most
        self.nodes = protocol.nodes(count)
        self.system = protocol.system(count)
        self._forgotten = frozenset(protocol.counters) | protocol.idle
        self._whole: frozenset[str] = frozenset()
        self._entangled: set[str] = set()
        self._begin()

    def adapt(self, found: Entangled | Undivided) -> None:
        """Divide states in another way from now on; all numbers given out before are void."""
        if isinstance(found, Undivided):
            self._whole |= {found.variable}
        else:
            self._entangled.add(found.variable)
        self._begin()

    def _begin(self) -> None:
        initial = list(self.system.initial())
        if not initial:
            raise InvalidSpec("the specification has no initial state")
        self._divide(initial[0])
        encode = self.cells.encode
        self._shared: list[tuple[int, ...]] = []
        self._shared_numbers: dict[tuple[int, ...], int] = {}
        self._parts: list[list[tuple[int, ...]]] = [[] for _ in self.nodes]
        self._part_numbers: list[dict[tuple[int, ...], int]] = [{} for _ in self.nodes]
        self.sets: list[frozenset[int]] = []
        self._set_numbers: dict[frozenset[int], int] = {}
        self.names: list[dict[str, Any]] = []
        self._names_numbers: dict[tuple[tuple[str, Any], ...], int] = {}
        self._places: dict[tuple[str, int], tuple[int, int]] = {}
        self._moves: dict[tuple[int, int, int], tuple[tuple[int, ...], tuple[Any, ...]]] = {}
        self._steps: dict[tuple[int, int, int], tuple[Taken, ...]] = {}
        self._reached: dict[tuple[int, int, int], frozenset[int]] = {}
        self._closed: dict[tuple[int, int, int], int] = {}
        self._leaving: dict[tuple[int, int, int], tuple[tuple[int, int], ...]] = {}
        first = [self._split(encode(state)) for state in initial]
        self._first_parts = [
            self.set_number(frozenset({parts[node] for _, parts in first}))
            for node in range(len(self.nodes))
        ]
        if len({parts for _, parts in first}) > 1:
            raise InvalidSpec(
                "a node may begin in several ways; runs of such a specification cannot be compared"
                " with it"
            )
        empty = self.names_number({})
        self.start = [
            Possible(empty, shared, ()) for shared in sorted({shared for shared, _ in first})
        ]

    def _divide(self, initial: Sequence[Any]) -> None:
        """Give every cell to a node or to all, and every leaf to a node or to none."""
        cells = self.cells = Cells(self.system.variables, initial, None, self._whole)
        places = {node: number for number, node in enumerate(self.nodes)}
        self._owner = [-1] * len(cells)
        self._dropped: set[int] = set()
        for cell, (variable, key) in enumerate(cells.names):
            name = cells.variables[variable]
            if name in self._forgotten:
                self._dropped.add(cell)
            keys = cells.keys[variable]
            if keys is not None and set(keys) == set(places) and name not in self._entangled:
                self._owner[cell] = places[key]
        self._own: list[list[int]] = [[] for _ in self.nodes]
        for cell, owner in enumerate(self._owner):
            if owner >= 0:
                self._own[owner].append(cell)
        quiet: list[list[int]] = [[] for _ in range(len(self.nodes) + 1)]
        taken: list[list[int]] = [[] for _ in self.nodes]
        for number, leaf in enumerate(self.system.leaves):
            node = next((places[a] for a in leaf.arguments if a in places), -1)
            if leaf.label in self.protocol.actions:
                if node < 0:
                    raise InvalidSpec(
                        f"{leaf.label} is a step of a role, and its label does not say of which"
                        " node; give it the node as an argument"
                    )
                taken[node].append(number)
            else:
                quiet[node].append(number)  # The last place is of those that are no node's.
        self._quiet = [_Steps(cells, list(map(self._formula, leaves))) for leaves in quiet]
        self._taken = [_Steps(cells, list(map(self._formula, leaves))) for leaves in taken]

    def _formula(self, number: int) -> Callable[[Observed], list[_Result]]:
        leaf = self.system.leaves[number]

        def results(state: Observed) -> list[_Result]:
            try:
                return [(number, self._kept(update)) for update in leaf.run(state)]
            except Undefined as error:
                raise InvalidSpec(f"{leaf.full_label} is not defined here: {error}") from error

        return results

    def _kept(self, update: Any) -> _Changes:
        changes = self.cells.changes(update)
        return tuple(change for change in changes if change[0] not in self._dropped)

    # --- Numbers ---

    def _split(self, state: Sequence[int]) -> tuple[int, tuple[int, ...]]:
        shared = tuple(
            value if owner < 0 else -1 for value, owner in zip(state, self._owner, strict=True)
        )
        parts = tuple(
            self._part_number(node, tuple(state[cell] for cell in own))
            for node, own in enumerate(self._own)
        )
        return self._shared_number(shared), parts

    def _shared_number(self, shared: tuple[int, ...]) -> int:
        number = self._shared_numbers.get(shared)
        if number is None:
            number = self._shared_numbers[shared] = len(self._shared)
            self._shared.append(shared)
        return number

    def _part_number(self, node: int, part: tuple[int, ...]) -> int:
        number = self._part_numbers[node].get(part)
        if number is None:
            number = self._part_numbers[node][part] = len(self._parts[node])
            self._parts[node].append(part)
        return number

    def set_number(self, parts: frozenset[int]) -> int:
        """The number of a set of parts."""
        number = self._set_numbers.get(parts)
        if number is None:
            number = self._set_numbers[parts] = len(self.sets)
            self.sets.append(parts)
        return number

    def names_number(self, names: Names) -> int:
        """The number of what is known of names."""
        key = tuple(sorted(names.items(), key=str))
        number = self._names_numbers.get(key)
        if number is None:
            number = self._names_numbers[key] = len(self.names)
            self.names.append(dict(names))
        return number

    @property
    def remembered(self) -> int:
        """How much is remembered, for those who want to forget it."""
        return len(self._moves) + len(self._closed) + len(self._leaving)

    def value(self, shared: int, node: int, part: int, variable: str) -> Any:
        """The value of a variable of the role for a node in a state."""
        place = self._places.get((variable, node))
        if place is None:
            place = self._places[variable, node] = self._place(variable, node)
        cell, own = place
        if own >= 0:
            return self.cells.values[cell][self._parts[node][part][own]]
        value = self.cells.values[cell][self._shared[shared][cell]]
        return value if self.cells.names[cell][1] is not None else value[self.nodes[node]]

    def _place(self, variable: str, node: int) -> tuple[int, int]:
        """The cell of a variable of the role for a node, and where it is in the node's part."""
        cells = self.cells
        number = cells.variables.index(variable)
        if cells.keys[number] is None:
            return cells.first[number], -1
        cell = cells.first[number] + cells.places[number][self.nodes[node]]
        return cell, self._own[node].index(cell) if self._owner[cell] == node else -1

    def told_of(self, shared: int, node: int, part: int) -> dict[str, Any]:
        """The values of a state, of the node and of what is shared, for people."""
        found = {}
        cells = self.cells
        own = dict(zip(self._own[node], self._parts[node][part], strict=True))
        for cell in range(len(cells)):
            if self._owner[cell] == node:
                found[cells.name(cell)] = cells.values[cell][own[cell]]
            elif self._owner[cell] < 0 and cell not in self._dropped:
                found[cells.name(cell)] = cells.values[cell][self._shared[shared][cell]]
        return found

    # --- Steps ---

    def _state(self, shared: int, node: int, part: int) -> list[int]:
        state = list(self._shared[shared])
        if node >= 0:
            for cell, value in zip(self._own[node], self._parts[node][part], strict=True):
                state[cell] = value
        return state

    def _after(self, state: list[int], node: int, changes: _Changes) -> tuple[int, int]:
        """What is shared, and the part of the node, after a step."""
        after = list(state)
        for cell, value in changes:
            if self._owner[cell] not in {-1, node}:
                raise Entangled(self.cells.variables[self.cells.names[cell][0]])
            after[cell] = value
        part = -1
        if node >= 0:
            part = self._part_number(node, tuple(after[cell] for cell in self._own[node]))
            for cell in self._own[node]:
                after[cell] = -1
        return self._shared_number(tuple(after)), part

    def _quiet_moves(
        self, node: int, shared: int, part: int
    ) -> tuple[tuple[int, ...], tuple[Any, ...]]:
        """The parts that private steps lead to, and where steps that are not lead."""
        key = (node, shared, part)
        known = self._moves.get(key)
        if known is None:
            state = self._state(shared, node, part)
            private, others = set(), set()
            for _, changes in self._quiet[node].results(state):
                there = self._after(state, node, changes)
                if there[0] != shared:
                    others.add(there)
                elif there[1] != part:
                    private.add(there[1])
            known = self._moves[key] = (tuple(sorted(private)), tuple(sorted(others)))
        return known

    def taken(self, node: int, shared: int, part: int) -> tuple[Taken, ...]:
        """The steps of the role that a node can take in a state."""
        key = (node, shared, part)
        known = self._steps.get(key)
        if known is None:
            state = self._state(shared, node, part)
            known = self._steps[key] = tuple(
                Taken(self.system.leaves[leaf], *self._after(state, node, changes))
                for leaf, changes in self._taken[node].results(state)
            )
        return known

    def _reach(self, node: int, shared: int, part: int) -> frozenset[int]:
        key = (node, shared, part)
        known = self._reached.get(key)
        if known is None:
            seen, todo = {part}, [part]
            while todo:
                for other in self._quiet_moves(node, shared, todo.pop())[0]:
                    if other not in seen:
                        seen.add(other)
                        todo.append(other)
            known = self._reached[key] = frozenset(seen)
        return known

    def closed(self, node: int, shared: int, parts: int) -> int:
        """A set of parts with all that private steps make of them."""
        key = (node, shared, parts)
        known = self._closed.get(key)
        if known is None:
            found = frozenset().union(
                *(self._reach(node, shared, part) for part in self.sets[parts])
            )
            known = self._closed[key] = self.set_number(found)
            self._closed[node, shared, known] = known
        return known

    def _leave(self, node: int, shared: int, parts: int) -> tuple[tuple[int, int], ...]:
        """What is shared after each step that changes it, with the node's possible parts then."""
        key = (node, shared, parts)
        known = self._leaving.get(key)
        if known is None:
            found: dict[int, set[int]] = {}
            for part in self.sets[parts]:
                for after, other in self._quiet_moves(node, shared, part)[1]:
                    found.setdefault(after, set()).add(other)
            known = self._leaving[key] = tuple(
                (after, self.set_number(frozenset(there))) for after, there in found.items()
            )
        return known

    # --- Sets ---

    def begin_node(self, possible: Possible) -> Possible:
        """The next node begins; nothing has happened to it yet."""
        node = len(possible.parts)
        return possible._replace(parts=(*possible.parts, self._first_parts[node]))

    def close(self, possible: Possible) -> Possible:
        """Let every node take all its private steps."""
        names, shared, parts = possible
        return Possible(
            names,
            shared,
            tuple(self.closed(node, shared, each) for node, each in enumerate(parts)),
        )

    def change(self, possible: Possible) -> Iterator[Possible]:
        """What is possible after one more step that changes what is shared, and private ones."""
        names, shared, parts = possible
        for node, each in enumerate(parts):
            for after, there in self._leave(node, shared, each):
                yield self.close(Possible(names, after, (*parts[:node], there, *parts[node + 1 :])))
        for after, _ in self._quiet_moves(-1, shared, 0)[1]:
            yield self.close(Possible(names, after, parts))

    def waves(self, start: Iterable[Possible]) -> Iterator[list[Possible]]:
        """What is possible after no step that changes what is shared, one, two, and so on.

        Each is told once, in the first wave that it belongs to; the last wave is empty.

        Raises:
            TooMany: There is no end to it within the limit.
        """
        seen = _Largest(self)
        wave = seen.add(map(self.close, start))
        while wave:
            yield wave
            wave = seen.add(after for possible in wave for after in self.change(possible))

    def largest(self, found: Iterable[Possible]) -> list[Possible]:
        """The same without those that others contain.

        Raises:
            TooMany: They are more than the limit.
        """
        return _Largest(self).add(found)

    def size(self, possible: Possible) -> int:
        """How many states it stands for."""
        total = 1
        for parts in possible.parts:
            total *= len(self.sets[parts])
        return total


class _Largest:
    """Those that were found so far, but for those that are contained in others."""

    def __init__(self, states: PossibleStates) -> None:
        self._sets = states.sets
        self._most = states.most
        self._found: dict[tuple[int, int], list[tuple[int, ...]]] = {}
        self.size = 0

    def add(self, found: Iterable[Possible]) -> list[Possible]:
        """Add some, and return those that say something new, each as large as it became."""
        new: dict[Possible, None] = {}
        for possible in found:
            key = possible[:2]
            known = self._found.setdefault(key, [])
            if any(self._contains(other, possible.parts) for other in known):
                continue
            for other in [o for o in known if self._contains(possible.parts, o)]:
                known.remove(other)
                self.size -= 1
                new.pop(Possible(*key, other), None)
            known.append(possible.parts)
            self.size += 1
            if self.size > self._most:
                raise TooMany
            new[possible] = None
        return list(new)

    def _contains(self, whole: tuple[int, ...], part: tuple[int, ...]) -> bool:
        sets = self._sets
        return all(
            one == other or sets[one] >= sets[other] for one, other in zip(whole, part, strict=True)
        )
