"""States as tuples of small numbers, and a way to see which of them a formula reads.

A *cell* is a variable, or the part of a variable that is a function of one argument of its
fixed domain: `mode[n1]`. Each cell has a table of its values; a state is the tuple of their
places in these tables. `Observed` gives a state to a translated formula and notes the cells
that it reads; a function is handed out as `Items`, which reads a cell only when asked for it
and collects what `EXCEPT` changes, so that a step of one node touches the cells of that node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from keepstep.derive.system import Update
from keepstep.errors import InternalError
from keepstep.tla.operations import apply, domain, function
from keepstep.tla.values import Fn, parse_value

__all__ = ["Cells", "Items", "Observed", "Undivided", "frozen"]


class Undivided(InternalError):
    """A variable that was divided has a value with another domain.

    Attributes:
        variable: Its name; the caller starts again without dividing it.
    """

    def __init__(self, variable: str) -> None:
        super().__init__(f"the domain of {variable} is not fixed")
        self.variable = variable


class Cells:
    """How states are divided into cells, and the values that each cell has had.

    Args:
        variables: The variables, in the order of their numbers.
        sample: A state; its functions are divided.
        order: The variables in the order in which their cells follow each other.
        whole: Variables that are not divided in any case.
    """

    def __init__(
        self,
        variables: Sequence[str],
        sample: Sequence[Any],
        order: Sequence[str] | None = None,
        whole: frozenset[str] = frozenset(),
    ) -> None:
        self.variables = tuple(variables)
        self.order = [self.variables.index(name) for name in order or variables]
        self.first: list[int] = [0] * len(self.variables)
        self.keys: list[tuple[Any, ...] | None] = [None] * len(self.variables)
        self.names: list[tuple[int, Any]] = []
        for number in self.order:
            name, value = self.variables[number], sample[number]
            self.first[number] = len(self.names)
            divided = isinstance(value, Fn) and bool(value) and name not in whole
            keys = tuple(sorted(value, key=repr)) if divided else None
            self.keys[number] = keys
            self.names += [(number, key) for key in keys] if keys else [(number, None)]
        self.places = [{key: at for at, key in enumerate(keys or ())} for keys in self.keys]
        self.values: list[list[Any]] = [[] for _ in self.names]
        self.numbers: list[dict[Any, int]] = [{} for _ in self.names]

    def __len__(self) -> int:
        return len(self.names)

    def number(self, cell: int, value: Any) -> int:
        """The place of a value in the table of a cell; a new one if it was never there."""
        table = self.numbers[cell]
        place = table.get(value)
        if place is None:
            value = frozen(value)
            place = table[value] = len(self.values[cell])
            self.values[cell].append(value)
        return place

    def encode_text(self, variable: str, text: str) -> tuple[int, ...]:
        """The numbers of a printed value, as `keepstep.tla.dot` wants them.

        Raises:
            Undivided: The variable must not be divided.
        """
        return self.encode_value(self.variables.index(variable), parse_value(text))

    def encode_value(self, variable: int, value: Any) -> tuple[int, ...]:
        """The numbers of the value of a variable.

        Raises:
            Undivided: The variable must not be divided.
        """
        keys, first = self.keys[variable], self.first[variable]
        if keys is None:
            return (self.number(first, value),)
        if not (hasattr(value, "keys") or type(value) is tuple) or domain(value) != frozenset(keys):
            raise Undivided(self.variables[variable])
        return tuple(self.number(first + at, apply(value, key)) for at, key in enumerate(keys))

    def encode(self, state: Sequence[Any]) -> tuple[int, ...]:
        """The numbers of a complete state of values.

        Raises:
            Undivided: A variable must not be divided.
        """
        return tuple(n for v in self.order for n in self.encode_value(v, state[v]))

    def name(self, cell: int) -> str:
        """A cell as a person would write it: `mode[n1]`."""
        variable, key = self.names[cell]
        return self.variables[variable] + ("" if key is None else f"[{_short(key)}]")

    def changes(self, update: Update) -> tuple[tuple[int, int], ...]:
        """The cells that a step assigns, with the numbers of their new values.

        Raises:
            Undivided: A variable must not be divided.
        """
        found: list[tuple[int, int]] = []
        for variable, value in update:
            first = self.first[variable]
            if isinstance(value, Items) and value.variable == variable:
                for key, new in value.changed.items():
                    cell = first + self.places[variable][key]
                    found.append((cell, self.number(cell, new)))
            else:
                found += [
                    (first + at, n) for at, n in enumerate(self.encode_value(variable, value))
                ]
        return tuple(found)


def _short(value: Any) -> str:
    """A value of an uninterpreted type without its type: `n1_OF_NODE` is `n1`."""
    return value.partition("_OF_")[0] if isinstance(value, str) else str(value)


class Observed:
    """A state that notes which of its cells are read."""

    __slots__ = ("cells", "reads", "state")

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.state: Sequence[int] = ()
        self.reads: dict[int, None] = {}

    def begin(self, state: Sequence[int]) -> None:
        """Observe a state from now on; nothing of it is read yet."""
        self.state = state
        self.reads = {}

    def read(self, cell: int) -> Any:
        """The value of a cell, which is noted."""
        self.reads[cell] = None
        return self.cells.values[cell][self.state[cell]]

    def __getitem__(self, variable: int) -> Any:
        if self.cells.keys[variable] is None:
            return self.read(self.cells.first[variable])
        return Items(self, variable, {})


class Items:
    """A divided variable: a function whose items are read when they are asked for."""

    __slots__ = ("changed", "observed", "variable")

    def __init__(self, observed: Observed, variable: int, changed: dict[Any, Any]) -> None:
        self.observed = observed
        self.variable = variable
        self.changed = changed

    def __getitem__(self, key: Any) -> Any:
        if key in self.changed:
            return self.changed[key]
        cells = self.observed.cells
        return self.observed.read(cells.first[self.variable] + cells.places[self.variable][key])

    def __contains__(self, key: object) -> bool:
        return key in self.observed.cells.places[self.variable]

    def put(self, key: Any, value: Any) -> Items:
        """As `Fn.put`; nothing is read."""
        return Items(self.observed, self.variable, {**self.changed, key: value})

    def keys(self) -> Iterable[Any]:
        """As of a mapping."""
        return self.observed.cells.places[self.variable].keys()

    def items(self) -> Iterable[tuple[Any, Any]]:
        """As of a mapping; everything is read."""
        return [(key, self[key]) for key in self.keys()]

    def whole(self) -> Any:
        """The function itself; everything is read."""
        return function(dict(self.items()))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.observed.cells.places[self.variable])

    def __eq__(self, other: object) -> bool:
        return bool(self.whole() == (other.whole() if isinstance(other, Items) else other))

    def __hash__(self) -> int:
        return hash(self.whole())


def frozen(value: Any) -> Any:
    """A value that keeps nothing of an observed state; itself, if it does not anyway."""
    if not _holds_items(value):
        return value
    if isinstance(value, Items):
        return frozen(value.whole())
    if isinstance(value, Fn):
        return Fn({key: frozen(item) for key, item in value.items()})
    return type(value)(map(frozen, value))


def _holds_items(value: Any) -> bool:
    """Whether a value is a part of an observed state, or has one in it."""
    kind = type(value)
    if kind is Fn:
        return any(map(_holds_items, value.values()))
    if kind is frozenset or kind is tuple:
        return any(map(_holds_items, value))
    return kind is Items
