"""The Informal Trace Format (ITF): how Apalache writes states and traces as JSON.

The values are those of `keepstep.tla.values`. ITF has neither action names nor parameters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from keepstep.errors import InvalidModel
from keepstep.tla.values import Fn, ModelValue

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["from_itf", "read_itf", "to_itf", "write_itf"]

_LARGEST = 2**53


def from_itf(found: Any) -> Any:
    """A JSON value of ITF as a value.

    Raises:
        InvalidModel: It is no value of ITF, or one that cannot be serialised.
    """
    match found:
        case bool() | int() | str():
            return found
        case list():
            return tuple(from_itf(item) for item in found)
        case {"#bigint": str(digits)}:
            return int(digits)
        case {"#tup": list(items)}:
            return tuple(from_itf(item) for item in items)
        case {"#set": list(items)}:
            return frozenset(from_itf(item) for item in items)
        case {"#map": list(pairs)}:
            return Fn({from_itf(key): from_itf(value) for key, value in pairs})
        case {"#unserializable": what}:
            raise InvalidModel(f"the trace holds a value that ITF cannot express: {what}")
        case dict():
            return Fn({key: from_itf(value) for key, value in found.items()})
        case _:
            raise InvalidModel(f"the trace holds something that is no ITF value: {found!r}")


def to_itf(value: Any) -> Any:
    """A value as a JSON value of ITF; the inverse of `from_itf`.

    Raises:
        InvalidModel: It is no value of a TLA+ state.
    """
    match value:
        case bool():
            return value
        case ModelValue():
            return str.__str__(value)
        case int():
            return value if abs(value) < _LARGEST else {"#bigint": str(value)}
        case str():
            return value
        case tuple():
            return {"#tup": [to_itf(item) for item in value]}
        case frozenset():
            return {"#set": [to_itf(item) for item in sorted(value, key=repr)]}
        case Mapping():
            names = all(isinstance(key, str) and key.isidentifier() for key in value)
            if names and value:
                return {key: to_itf(item) for key, item in value.items()}
            return {"#map": [[to_itf(key), to_itf(item)] for key, item in value.items()]}
        case _:
            raise InvalidModel(f"no value of a TLA+ state: {value!r}")


def read_itf(path: Path) -> list[dict[str, Any]]:
    """The states of a trace, the initial one first; constants are left out.

    Raises:
        InvalidModel: The file cannot be read or is no trace.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        names = found["vars"]
        constants = set(found.get("params", ()))
        states = found["states"]
        return [
            {
                name: from_itf(state[name])
                for name in names
                if name in state and name not in constants
            }
            for state in states
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidModel(f"{path} is no ITF trace: {error}") from None


def write_itf(path: Path, states: Iterable[Mapping[str, Any]]) -> None:
    """Write states as a trace.

    Raises:
        InvalidModel: A value is none of a TLA+ state.
    """
    rows = [
        {"#meta": {"index": number}, **{name: to_itf(value) for name, value in state.items()}}
        for number, state in enumerate(states)
    ]
    names = [name for name in rows[0] if not name.startswith("#")] if rows else []
    document = {"#meta": {"format": "ITF"}, "vars": names, "states": rows}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
