"""Recorded values and those of a specification: whether they can be the same.

Numbers, texts and truth values are the same as they are written. A set of at most one element
stands for something optional. Two kinds of values have *names* in a recording: texts for which
any value of the specification may stand, always the same one, and no other text the same:

- `"0x1f"`, a number of more than 53 bits, such as a session id; and `"ticket#7"`, a number of a
  kind that the suite declared, such as a sequence number. The specification has a small number.
- a text where the specification has an element of an uninterpreted type, `d1_OF_DUTY`.

Nodes have names that the recording says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keepstep.conformance.binding import snake_case
from keepstep.tla.operations import UNIT
from keepstep.tla.values import Fn
from keepstep.validation.possible_states import Names

__all__ = ["Matching"]

_NAME = re.compile(r"0x[0-9a-f]+|([A-Za-z_]\w*)#-?\d+")
_INTEGER = re.compile(r"-?[0-9]{1,20}")
"""A number as the name of a field; specifications have none that are longer."""


class Matching:
    """Compares the values of one recording.

    Args:
        node_suffix: How the specification's names of nodes end: `_OF_NODE`.
    """

    def __init__(self, node_suffix: str) -> None:
        self._suffix = node_suffix
        self._nodes: dict[str, set[str]] = {}

    def call(self, name: str, node: str) -> None:
        """A node has a name; a process that begins anew has that of an earlier one."""
        self._nodes.setdefault(name, set()).add(node)

    def payloads(self, recorded: Mapping[str, Any], value: Any, names: Names) -> Iterator[Names]:
        """What may stand for what, if the fields of an input or request are this payload."""
        if value == UNIT:
            if not recorded:
                yield names
        elif isinstance(value, Fn) and _keys(recorded) == _keys(value):
            given = {snake_case(key): item for key, item in recorded.items()}
            yield from self.all_of([(given[snake_case(k)], v) for k, v in value.items()], names)
        elif len(recorded) == 1:
            yield from self.same(next(iter(recorded.values())), value, names)

    def all_of(self, pairs: Sequence[tuple[Any, Any]], names: Names) -> Iterator[Names]:
        """What may stand for what, if all of these are the same."""
        if not pairs:
            yield names
            return
        (recorded, value), *rest = pairs
        for found in self.same(recorded, value, names):
            yield from self.all_of(rest, found)

    def same(self, recorded: Any, value: Any, names: Names) -> Iterator[Names]:
        """What may stand for what, if a recorded value is one of the specification."""
        match value:
            case bool() | int():
                yield from self._number(recorded, value, names)
            case str():
                yield from self._text(recorded, value, names)
            case frozenset():
                yield from self._set(recorded, value, names)
            case tuple() if isinstance(recorded, list) and len(recorded) == len(value):
                yield from self.all_of(list(zip(recorded, value, strict=True)), names)
            case Fn() if isinstance(recorded, Mapping):
                yield from self._function(recorded, value, names)

    def _number(self, recorded: Any, value: int, names: Names) -> Iterator[Names]:
        if type(recorded) is type(value):
            if recorded == value:
                yield names
        elif isinstance(recorded, str) and not isinstance(value, bool):
            yield from self._named(recorded, value, names)

    def _named(self, recorded: str, value: int, names: Names) -> Iterator[Names]:
        found = _NAME.fullmatch(recorded)
        if found is not None:
            yield from self._stands(found[1] or "", recorded, value, names)

    def _stands(self, kind: str, recorded: str, value: Any, names: Names) -> Iterator[Names]:
        """A value of the specification stands for one of the world, and for no other."""
        key = f"{kind} {recorded}"
        if key in names:
            if names[key] == value:
                yield names
            return
        if not any(each == value and of.startswith(f"{kind} ") for of, each in names.items()):
            yield {**names, key: value}

    def _text(self, recorded: Any, value: str, names: Names) -> Iterator[Names]:
        if not isinstance(recorded, str):
            return
        if self._suffix and value.endswith(self._suffix):
            if value in self._nodes.get(recorded, ()):
                yield names
        elif recorded == value:
            yield names
        elif "_OF_" in value:
            yield from self._stands(value.partition("_OF_")[2], recorded, value, names)

    def _set(self, recorded: Any, value: frozenset[Any], names: Names) -> Iterator[Names]:
        if recorded is None:
            if not value:
                yield names
            return
        if len(value) == 1:
            yield from self.same(recorded, next(iter(value)), names)
        if isinstance(recorded, list) and len(recorded) == len(value):
            yield from self._elements(recorded, value, names)

    def _elements(
        self, recorded: Sequence[Any], value: frozenset[Any], names: Names
    ) -> Iterator[Names]:
        if not recorded:
            yield names
            return
        for each in sorted(value, key=repr):
            for found in self.same(recorded[0], each, names):
                yield from self._elements(recorded[1:], value - {each}, found)

    def _function(self, recorded: Mapping[str, Any], value: Fn, names: Names) -> Iterator[Names]:
        if all(isinstance(key, str) for key in value) and _keys(recorded) == _keys(value):
            given = {snake_case(key): item for key, item in recorded.items()}
            yield from self.all_of([(given[snake_case(k)], v) for k, v in value.items()], names)
        elif len(recorded) == len(value):
            yield from self._items(list(recorded.items()), dict(value.items()), names)

    def _items(
        self, recorded: Sequence[tuple[str, Any]], value: Mapping[Any, Any], names: Names
    ) -> Iterator[Names]:
        if not recorded:
            yield names
            return
        (key, item), *rest = recorded
        for each in value:
            wanted = int(key) if isinstance(each, int) and _INTEGER.fullmatch(key) else key
            others = {other: of for other, of in value.items() if other != each}
            for found in self.all_of([(wanted, each), (item, value[each])], names):
                yield from self._items(rest, others, found)


def _keys(value: Mapping[Any, Any]) -> set[str]:
    return {snake_case(str(key)) for key in value}
