"""Paths as clients write them, and as the environment module has them."""

from __future__ import annotations

import re
from functools import lru_cache

from keepstep.simulation.service import NO_NUMBER, Name, Path

__all__ = ["is_proper", "name_text", "path_of", "path_to_create", "text_of"]

_NUMBERED = re.compile(r"(.*)([0-9]{10})", re.DOTALL | re.ASCII)
# Java has two characters for each one beyond U+FFFF, and both are of the third range.
_FORBIDDEN = re.compile("[\u0000-\u001f\u007f-\u009f\ud800-\uf8ff\ufff0-\U0010ffff]")


def is_proper(path: str) -> bool:
    """Whether ZooKeeper takes this for a path where it looks closely."""
    if path == "/":
        return True
    return (
        path.startswith("/")
        and not any(part in {"", ".", ".."} for part in path[1:].split("/"))
        and _FORBIDDEN.search(path) is None
    )


@lru_cache(maxsize=65536)
def path_of(text: str) -> Path:
    """The path that a text names; of a text that is no path one that no znode has."""
    if text in {"", "/"}:
        return ()
    if text[0] != "/":
        return (Name(f"\0{text}", NO_NUMBER),)
    return tuple(_name(part) for part in text[1:].split("/"))


def _name(text: str) -> Name:
    found = _NUMBERED.fullmatch(text)
    return Name(text, NO_NUMBER) if found is None else Name(found[1], int(found[2]))


@lru_cache(maxsize=65536)
def path_to_create(text: str, *, sequential: bool) -> Path:
    """The path of a create: what is above its last slash, and a name.

    Nothing at the end of a sequential one is a number yet.
    """
    if text == "/" and not sequential:
        return ()
    above, _, stem = text.rpartition("/")
    return (*path_of(above), Name(stem, NO_NUMBER) if sequential else _name(stem))


@lru_cache(maxsize=65536)
def text_of(path: Path) -> str:
    """The text of a path."""
    return "/" + "/".join(map(name_text, path))


def name_text(name: Name) -> str:
    """The text of one name."""
    return name.stem if name.number == NO_NUMBER else f"{name.stem}{name.number:010d}"
