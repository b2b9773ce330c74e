"""Absolute paths of znodes."""

from __future__ import annotations

import unicodedata

from keepstep.errors import LocalViolation

__all__ = ["child_path", "is_within", "parents", "validate_path"]


def validate_path(path: object, name: str = "path") -> str:
    """Return the path if ZooKeeper accepts it and it is not the root.

    Args:
        path: What was given as a path.
        name: What to call it in the message.

    Raises:
        LocalViolation: It is no absolute path of a znode.
    """
    if not isinstance(path, str):
        raise LocalViolation(f"{name} must be a string such as '/my/election', not {path!r}")
    if not path.startswith("/") or path == "/":
        raise LocalViolation(f"{name} must start with '/' and name a znode below it, not {path!r}")
    for part in path[1:].split("/"):
        if part in {"", ".", ".."}:
            raise LocalViolation(f"{name} {path!r} has an empty part, '.' or '..': leave it out")
    if any(unicodedata.category(character) in {"Cc", "Cs", "Co"} for character in path):
        raise LocalViolation(f"{name} {path!r} has a character that ZooKeeper does not accept")
    return path


def child_path(parent: str, name: str) -> str:
    """The path of the child of this name."""
    return f"{parent}/{name}"


def parents(path: str) -> tuple[str, ...]:
    """All paths above this one, the highest first, without the root."""
    parts = path[1:].split("/")[:-1]
    return tuple("/" + "/".join(parts[: count + 1]) for count in range(len(parts)))


def is_within(path: str, directory: str) -> bool:
    """Whether the path is the directory or lies below it."""
    return path == directory or path.startswith(directory + "/")
