"""One step of a run: what a driver did, in a form that a file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

__all__ = ["Step"]


@dataclass(frozen=True)
class Step:
    """One thing that the driver does.

    Attributes:
        rule: Its name.
        arguments: By name; numbers and words only.
    """

    rule: str
    arguments: Mapping[str, int | str] = field(default_factory=dict)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.rule}({inside})"

    def __hash__(self) -> int:
        return hash((self.rule, frozenset(self.arguments.items())))

    def to_json(self) -> dict[str, int | str]:
        """As it stands in a file of saved steps."""
        return {"rule": self.rule, **self.arguments}

    @classmethod
    def from_json(cls, read: Mapping[str, int | str]) -> Self:
        """The inverse of `to_json`.

        Raises:
            KeyError: It names no rule.
        """
        arguments = dict(read)
        return cls(str(arguments.pop("rule")), arguments)
