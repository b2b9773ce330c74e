"""What the operators of TLA+ do to values; the run-time library of translated specifications.

A function whose domain is 1..n is a tuple here, whatever made it, because a sequence is
such a function and TLC prints both alike. Everything raises `Undefined` where TLA+ says
nothing about the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import chain, combinations, product
from typing import Any

from keepstep.errors import KeepstepError
from keepstep.tla.values import Fn, render

__all__ = [
    "BOOLEANS",
    "INTEGERS",
    "NATURALS",
    "NO_STATE",
    "STRINGS",
    "UNIT",
    "Undefined",
    "append",
    "apply",
    "case",
    "choose",
    "concatenate",
    "constant",
    "divide",
    "domain",
    "function",
    "functions",
    "head",
    "interval",
    "is_function_between",
    "modulo",
    "need",
    "payload",
    "payload_or",
    "payloads",
    "put",
    "records",
    "slice_of",
    "subsets",
    "tail",
    "union",
    "update",
    "variant",
]

UNIT = "U_OF_UNIT"
"""The payload of a variant that has none."""


class Undefined(KeepstepError):
    """The specification asks for a value that TLA+ does not define."""


def function(items: dict[Any, Any]) -> Any:
    """The function with these items: a tuple if its domain is 1..n."""
    size = len(items)
    if not size:
        return ()
    if 1 in items and all(type(key) is int and 1 <= key <= size for key in items):
        return tuple(items[key] for key in range(1, size + 1))
    return Fn(items)


def apply(of: Any, at: Any) -> Any:
    """`of[at]`.

    Raises:
        Undefined: `at` is not in the domain.
    """
    if type(of) is tuple:
        if type(at) is int and 1 <= at <= len(of):
            return of[at - 1]
    else:
        try:
            return of[at]
        except KeyError:
            pass
    raise Undefined(f"{render(of)[:200]} is applied to {render(at)}, outside its domain")


def domain(of: Any) -> frozenset[Any]:
    """`DOMAIN of`."""
    return frozenset(range(1, len(of) + 1)) if type(of) is tuple else frozenset(of.keys())


def put(of: Any, path: tuple[Any, ...], value: Any) -> Any:
    """`[of EXCEPT !path = value]`; outside the domain nothing changes."""
    return _change(of, path, lambda _of, _at: value)


def update(of: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    """`[of EXCEPT !path = change(@)]`; outside the domain nothing changes."""
    return _change(of, path, lambda inner, at: change(apply(inner, at)))


def _change(of: Any, path: tuple[Any, ...], new: Callable[[Any, Any], Any]) -> Any:
    at, rest = path[0], path[1:]
    if type(of) is tuple:
        if type(at) is not int or not 1 <= at <= len(of):
            return of
        value = _change(of[at - 1], rest, new) if rest else new(of, at)
        return (*of[: at - 1], value, *of[at:])
    if at not in of:
        return of
    return of.put(at, _change(of[at], rest, new) if rest else new(of, at))


def choose(found: Iterable[Any]) -> Any:
    """The only one of these values, which CHOOSE stands for.

    Raises:
        Undefined: There is none, or TLC and Python may choose differently.
    """
    distinct = set(found)
    if len(distinct) == 1:
        return distinct.pop()
    problem = "no value" if not distinct else f"{len(distinct)} values"
    raise Undefined(f"{problem} to choose: a CHOOSE must be unique")


def case(*arms: tuple[Callable[[], bool], Callable[[], Any]]) -> Any:
    """The value of the first arm whose condition is true.

    Raises:
        Undefined: No condition is true.
    """
    for condition, value in arms:
        if condition():
            return value()
    raise Undefined("no arm of a CASE is true")


def constant(value: Any) -> Callable[[], Any]:
    """Something to call for a value that is known already."""
    return lambda: value


class _Thunk:
    """An argument that is computed once, when it is needed, as TLC does."""

    __slots__ = ("compute", "done", "value")

    def __init__(self, compute: Callable[[], Any]) -> None:
        self.compute = compute
        self.done = False
        self.value: Any = None

    def __call__(self) -> Any:
        if not self.done:
            self.value = self.compute()
            self.done = True
        return self.value


need = _Thunk


def interval(first: int, last: int) -> frozenset[int]:
    """`first .. last`."""
    return frozenset(range(first, last + 1))


def divide(a: int, b: int) -> int:
    r"""`a \div b`.

    Raises:
        Undefined: `b` is zero.
    """
    if b == 0:
        raise Undefined("division by zero")
    return a // b


def modulo(a: int, b: int) -> int:
    """`a % b`.

    Raises:
        Undefined: `b` is not positive.
    """
    if b <= 0:
        raise Undefined("the right side of % must be positive")
    return a % b


def subsets(of: frozenset[Any]) -> frozenset[frozenset[Any]]:
    """`SUBSET of`."""
    items = tuple(of)
    every = (combinations(items, size) for size in range(len(items) + 1))
    return frozenset(map(frozenset, chain.from_iterable(every)))


def union(of: frozenset[frozenset[Any]]) -> frozenset[Any]:
    """`UNION of`."""
    return frozenset(chain.from_iterable(of))


def functions(over: frozenset[Any], into: frozenset[Any]) -> frozenset[Any]:
    """`[over -> into]`."""
    keys = tuple(over)
    return frozenset(
        function(dict(zip(keys, values, strict=True)))
        for values in product(tuple(into), repeat=len(keys))
    )


def records(fields: Mapping[str, frozenset[Any]]) -> frozenset[Any]:
    """`[field: set, ...]`."""
    return frozenset(
        Fn(zip(fields, values, strict=True)) for values in product(*map(tuple, fields.values()))
    )


def is_function_between(value: Any, over: frozenset[Any], belongs: Callable[[Any], bool]) -> bool:
    """`value` is a function over a set, and all its values belong."""
    if not (type(value) is tuple or hasattr(value, "keys")):
        return False
    return domain(value) == over and all(belongs(apply(value, key)) for key in over)


def variant(tag: str, value: Any) -> Fn:
    """`Variant(tag, value)`."""
    return _bare_variant(tag) if value is UNIT else Fn(tag=tag, value=value)


@cache
def _bare_variant(tag: str) -> Fn:
    """A variant without a payload; there are few, and their hash is needed often."""
    return Fn(tag=tag, value=UNIT)


def payload(tag: str, of: Any) -> Any:
    """`VariantGetUnsafe(tag, of)`.

    Raises:
        Undefined: The variant has another tag.
    """
    if of["tag"] != tag:
        raise Undefined(f"the payload of {tag} is asked of a {of['tag']}")
    return of["value"]


def payload_or(tag: str, of: Any, otherwise: Callable[[], Any]) -> Any:
    """`VariantGetOrElse(tag, of, otherwise)`."""
    return of["value"] if of["tag"] == tag else otherwise()


def payloads(tag: str, of: Iterable[Any]) -> frozenset[Any]:
    """`VariantFilter(tag, of)`."""
    return frozenset(item["value"] for item in of if item["tag"] == tag)


def append(sequence: tuple[Any, ...], item: Any) -> tuple[Any, ...]:
    """`Append(sequence, item)`."""
    return (*sequence, item)


def concatenate(first: Any, second: Any) -> Any:
    r"""`first \o second`."""
    return first + second


def head(sequence: tuple[Any, ...]) -> Any:
    """`Head(sequence)`.

    Raises:
        Undefined: The sequence is empty.
    """
    if not sequence:
        raise Undefined("the head of an empty sequence")
    return sequence[0]


def tail(sequence: tuple[Any, ...]) -> tuple[Any, ...]:
    """`Tail(sequence)`.

    Raises:
        Undefined: The sequence is empty.
    """
    if not sequence:
        raise Undefined("the tail of an empty sequence")
    return sequence[1:]


def slice_of(sequence: tuple[Any, ...], first: int, last: int) -> tuple[Any, ...]:
    """`SubSeq(sequence, first, last)`."""
    return sequence[first - 1 : last] if last >= first else ()


class _Everything:
    """`Int`, `Nat` or `STRING`: a set that can be asked, but not listed."""

    def __init__(self, name: str, kind: type, least: int | None = None) -> None:
        self.name, self.kind, self.least = name, kind, least

    def __contains__(self, value: object) -> bool:
        return type(value) is self.kind and (self.least is None or value >= self.least)  # type: ignore[operator]

    def __iter__(self) -> Iterator[Any]:
        raise Undefined(f"{self.name} cannot be listed")


class _NoState:
    """Where there is no state yet: it has no variable."""

    def __getitem__(self, variable: int) -> Any:
        raise Undefined("a definition reads a variable where there is no state yet")


NO_STATE = _NoState()
INTEGERS = _Everything("Int", int)
NATURALS = _Everything("Nat", int, 0)
STRINGS = _Everything("STRING", str)
BOOLEANS = frozenset({False, True})
