"""What can go wrong, and whose fault it is.

A violated property is a verdict, not an exception. Everything here ends a command with
exit code 2, except `InternalError`, which is a defect of Keepstep.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Divergence",
    "InternalError",
    "InvalidModel",
    "InvalidSpec",
    "KeepstepError",
    "LocalViolation",
    "RemoteViolation",
    "ToolFailed",
    "ToolMisnamed",
    "ToolMissing",
]


class KeepstepError(Exception):
    """The root of everything Keepstep raises on purpose. Never raised itself."""


class LocalViolation(KeepstepError):
    """You called something in a way its contract forbids. Nothing has changed."""


class RemoteViolation(KeepstepError):
    """ZooKeeper, or another client of it, sent what the protocol forbids. Nothing has changed."""


class Divergence(KeepstepError):
    """The code and the specification disagree."""


class ToolMissing(KeepstepError):
    """A tool is not there; the message names it and the variable that can point to it."""


class ToolMisnamed(ToolMissing):
    """A variable says where a tool is, and it is not there: no other one may stand in for it."""


class ToolFailed(KeepstepError):
    """A tool ended in a way that is no verdict: bad input to it, or a crash."""


class InvalidModel(KeepstepError):
    """The manifest, a model or a configuration is wrong; the message says which and where."""


@dataclass
class InvalidSpec(KeepstepError):
    """A specification is wrong or leaves the subset that can be derived.

    Attributes:
        message: What is wrong, in one sentence.
        file: Path of the module, as it was given.
        line: Line in it, counted from 1; 0 if unknown.
        rule: Name of the broken rule of docs/reference/subset.md, or "" if none.
        cure: An example of the allowed form, or "".
    """

    message: str
    file: str = ""
    line: int = 0
    rule: str = ""
    cure: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file and self.line else self.file
        place = f"{where}: " if where else ""
        rule = f" [{self.rule}]" if self.rule else ""
        cure = f"\n  write: {self.cure}" if self.cure else ""
        return f"{place}{self.message}{rule}{cure}"


class InternalError(KeepstepError):
    """Something has gone wrong inside Keepstep; please report it."""
