"""Values of a TLA+ state in Python, and how TLC prints them.

| TLA+ | Python |
|---|---|
| TRUE, 3, "a" | bool, int, str |
| a model value | ModelValue |
| {1, 2}, 1..2 | frozenset |
| <<1, "a">> | tuple |
| [f |-> 1], (1 :> 2 @@ 3 :> 4) | Fn |

A variant is a record with the fields `tag` and `value`, as both checkers print it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, cast

from keepstep.errors import InvalidModel

__all__ = ["Fn", "ModelValue", "parse_assignments", "parse_state", "parse_value", "render"]


class Fn(dict[Any, Any]):
    """An immutable function or record: a mapping that can be hashed.

    Equal to any mapping with the same items. `put` gives a changed copy.
    """

    __slots__ = ("_hash",)
    _hash: int

    def __hash__(self) -> int:  # type: ignore[override]
        try:
            return self._hash
        except AttributeError:
            # `dict` has slots of its own only here, so the attribute is set once and kept.
            self._hash = hash(frozenset(self.items()))
            return self._hash

    def put(self, key: Any, value: Any) -> Fn:
        """A copy with one more or one changed item, as EXCEPT."""
        new = Fn(self)
        dict.__setitem__(new, key, value)
        return new

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a function is immutable; use put")

    __setitem__ = __delitem__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse
    __ior__ = _refuse

    def __reduce__(self) -> tuple[type[Fn], tuple[dict[Any, Any]]]:
        return Fn, (dict(self),)


class ModelValue(str):
    """A value that is equal to itself only; TLC prints its bare name."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<number>-?\d+(?!\w))
      | (?P<word>\w+)
      | (?P<mark>\|->|:>|@@|<<|>>|/\\|\.\.|[\[\]{}(),=])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", '"': '"', "\\": "\\"}


def _unquote(text: str) -> str:
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), inner)


class _Reader:
    """A cursor over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        place = 0
        end = len(text.rstrip())
        while place < end:
            found = _TOKEN.match(text, place)
            if found is None:
                self.fail(text[place : place + 20].strip())
            self.tokens.append(found[found.lastgroup or 0])
            place = found.end()
        self.at = 0

    def fail(self, near: str) -> NoReturn:
        raise InvalidModel(f"cannot read a TLA+ value at {near!r} in: {self.text[:200]}")

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        if not token:
            self.fail("the end of the text")
        self.at += 1
        return token

    def expect(self, token: str) -> None:
        if self.next() != token:
            self.at -= 1
            self.fail(self.peek())

    def several(self, closing: str) -> list[Any]:
        items: list[Any] = []
        while self.peek() != closing:
            items.append(self.value())
            if self.peek() != closing:
                self.expect(",")
        self.at += 1
        return items

    def value(self) -> Any:
        found = self.single()
        if self.peek() == "..":
            self.at += 1
            return frozenset(range(found, cast("int", self.single()) + 1))
        return found

    def single(self) -> Any:
        head = self.next()
        if head == "{":
            return frozenset(self.several("}"))
        if head == "<<":
            return tuple(self.several(">>"))
        if head == "[":
            return self.record()
        if head == "(":
            return self.function()
        if head[0] == '"':
            return _unquote(head)
        if head in {"TRUE", "FALSE"}:
            return head == "TRUE"
        if head.lstrip("-").isdigit():
            return int(head)
        if head[0].isalnum() or head[0] == "_":
            return ModelValue(head)
        self.at -= 1
        return self.fail(head)

    def record(self) -> Fn:
        items: dict[Any, Any] = {}
        while self.peek() != "]":
            name = self.next()
            self.expect("|->")
            items[name] = self.value()
            if self.peek() != "]":
                self.expect(",")
        self.at += 1
        return Fn(items)

    def function(self) -> Fn:
        items: dict[Any, Any] = {}
        while True:
            key = self.value()
            self.expect(":>")
            items.setdefault(key, self.value())
            if self.peek() == ")":
                self.at += 1
                return Fn(items)
            self.expect("@@")


def parse_value(text: str) -> Any:
    """One value as TLC prints it.

    Raises:
        InvalidModel: The text is no such value.
    """
    reader = _Reader(text)
    value = reader.value()
    if reader.peek():
        reader.fail(reader.peek())
    return value


def parse_assignments(text: str) -> dict[str, Any]:
    r"""A state as TLC prints it, `/\ x = 1 /\ y = {}` or, of one variable, `x = 1`.

    Raises:
        InvalidModel: The text is no such state.
    """
    reader = _Reader(text)
    found: dict[str, Any] = {}
    while reader.peek():
        if reader.peek() == "/\\":
            reader.at += 1
        name = reader.next()
        reader.expect("=")
        found[name] = reader.value()
    return found


def parse_state(text: str, order: Iterable[str]) -> tuple[Any, ...]:
    """The values of a printed state, in the order of the names given.

    Raises:
        InvalidModel: The text is no state, or a variable is missing in it.
    """
    found = parse_assignments(text)
    try:
        return tuple(found[name] for name in order)
    except KeyError as error:
        raise InvalidModel(f"the state has no variable {error.args[0]}: {text[:200]}") from None


def render(value: Any) -> str:
    """A value as TLA+ writes it, sets and functions in a stable order."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, ModelValue):
        return str.__str__(value)
    if isinstance(value, str):
        inner = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + inner.replace("\n", "\\n").replace("\t", "\\t") + '"'
    if isinstance(value, (frozenset, set)):
        return "{" + ", ".join(sorted((render(item) for item in value), key=_natural)) + "}"
    if isinstance(value, tuple):
        return "<<" + ", ".join(render(item) for item in value) + ">>" if value else "<<>>"
    if isinstance(value, Mapping):
        return _render_function(value)
    return str(value)


def _render_function(value: Mapping[Any, Any]) -> str:
    if not value:
        return "<<>>"
    if all(isinstance(key, str) and key.isidentifier() for key in value):
        return "[" + ", ".join(f"{key} |-> {render(item)}" for key, item in value.items()) + "]"
    pairs = sorted((render(key), render(item)) for key, item in value.items())
    return "(" + " @@ ".join(f"{key} :> {item}" for key, item in pairs) + ")"


def _natural(text: str) -> list[tuple[int, int | str]]:
    """Sort `n2` before `n10`."""
    return [
        (0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text) if part
    ]
