"""Operations of a transaction, as users write them."""

from __future__ import annotations

from dataclasses import dataclass

from keepstep.errors import LocalViolation
from keepstep.znodes.paths import validate_path

__all__ = ["LARGEST_TRANSACTION", "Check", "Create", "Delete", "Operation", "SetData", "size"]

LARGEST_TRANSACTION = 512 * 1024
"""Bytes. The server closes the connection of a client that sends more than about 1 MiB."""

_OVERHEAD = 128


def _validate_version(version: object) -> None:
    if type(version) is not int or version < -1:
        raise LocalViolation(f"version must be a number, or -1 for any version, not {version!r}")


def _validate_data(data: object) -> None:
    if not isinstance(data, bytes):
        raise LocalViolation(f"data must be bytes, not {type(data).__name__}")


@dataclass(frozen=True, slots=True)
class Create:
    """Create a znode; its result is its path, with the number that a sequential one got.

    Raises:
        LocalViolation: By the constructor, if an argument cannot be used.
    """

    path: str
    data: bytes = b""
    ephemeral: bool = False
    sequential: bool = False

    def __post_init__(self) -> None:
        validate_path(self.path)
        _validate_data(self.data)
        for name in ("ephemeral", "sequential"):
            if not isinstance(getattr(self, name), bool):
                raise LocalViolation(f"{name} must be True or False")


@dataclass(frozen=True, slots=True)
class SetData:
    """Replace a znode's data if it has this version; its result is the znode's new stat.

    Raises:
        LocalViolation: By the constructor, if an argument cannot be used.
    """

    path: str
    data: bytes
    version: int = -1

    def __post_init__(self) -> None:
        validate_path(self.path)
        _validate_data(self.data)
        _validate_version(self.version)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a znode if it has this version; its result is True.

    Raises:
        LocalViolation: By the constructor, if an argument cannot be used.
    """

    path: str
    version: int = -1

    def __post_init__(self) -> None:
        validate_path(self.path)
        _validate_version(self.version)


@dataclass(frozen=True, slots=True)
class Check:
    """Refuse the whole transaction unless the znode has this version; its result is True.

    Raises:
        LocalViolation: By the constructor, if an argument cannot be used.
    """

    path: str
    version: int = -1

    def __post_init__(self) -> None:
        validate_path(self.path)
        _validate_version(self.version)


Operation = Create | SetData | Delete | Check
"""One step of a transaction, of which all are applied or none."""


def size(operation: Operation) -> int:
    """About how many bytes the operation takes on the wire; never too few."""
    data = operation.data if isinstance(operation, Create | SetData) else b""
    return _OVERHEAD + len(operation.path.encode()) + len(data)
