"""What a specification says in comments: prose, marks and annotations, by line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keepstep.derive.ast import Alias, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Comment", "comment_above", "module_essay", "trailing_comments", "type_aliases"]

_COMMENT = re.compile(r"\s*\\\*\s?(.*)$")
_ANNOTATION = re.compile(r"@(\w+)(?:\s*:\s*([^;]*);?)?")
_ENUMERATED = re.compile(r'[^"\\]*"(\w+)"\s*,?\s*}?\s*(?:\\\*\s*(.*))?$')


@dataclass(frozen=True, slots=True)
class Comment:
    """Prose, its paragraphs separated by empty lines, and annotations by name."""

    prose: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def comment_above(lines: Sequence[str], line: int) -> Comment:
    r"""The block of `\*` lines that ends just above a line (counted from 1)."""
    first = line - 1
    while first > 0 and _COMMENT.match(lines[first - 1]):
        first -= 1
    return _read(_texts(lines[first : line - 1]))


def _texts(lines: Sequence[str]) -> list[str]:
    return [found[1].strip() for line in lines if (found := _COMMENT.match(line))]


def _read(texts: Iterable[str]) -> Comment:
    """Tell annotations, which end in a semicolon or with the line, from prose."""
    prose: list[str] = []
    annotations: list[str] = []
    unfinished = False
    for text in texts:
        if text.startswith("@"):
            annotations.append(text)
        elif unfinished:
            annotations[-1] += " " + text
        elif not text.startswith("---"):
            prose.append(text)
        unfinished = bool(annotations) and _is_unfinished(annotations[-1])
    marks = {
        name: " ".join(value.split())
        for annotation in annotations
        for name, value in _ANNOTATION.findall(annotation)
    }
    return Comment(_paragraphs(prose), marks)


def _is_unfinished(annotation: str) -> bool:
    return ":" in annotation and not annotation.endswith(";")


def _paragraphs(lines: Sequence[str]) -> str:
    paragraphs = re.split(r"\n{2,}", "\n".join(lines).strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def type_aliases(module: str, lines: Sequence[str]) -> list[Alias]:
    """Every `@typeAlias` of a module, which may span lines, with the prose above it."""
    found: list[Alias] = []
    prose: list[str] = []
    text, start = "", 0
    for number, line in enumerate(lines, start=1):
        comment = _COMMENT.match(line)
        if comment is None:
            prose, text = [], ""
            continue
        said = comment[1].strip()
        if said.startswith("@typeAlias:"):
            text, start = said.removeprefix("@typeAlias:"), number
        elif text:
            text += " " + said
        elif not said.startswith("---"):
            prose.append(said)
        if text.endswith(";"):
            name, _, body = text.rstrip(";").partition("=")
            body = " ".join(body.split())
            found.append(Alias(name.strip(), body, _paragraphs(prose), Place(module, start)))
            prose, text = [], ""
    return found


def trailing_comments(lines: Sequence[str], line: int) -> dict[str, str]:
    """The comments beside the strings of an enumeration that starts on a line, from 1.

    The comment of a string may continue on lines that hold nothing else.
    """
    found: dict[str, str] = {}
    last = ""
    for number, text in enumerate(lines[line - 1 :]):
        enumerated = _ENUMERATED.match(text)
        continued = _COMMENT.match(text)
        if enumerated:
            last = enumerated[1]
            found[last] = (enumerated[2] or "").strip()
        elif continued and last:
            found[last] = f"{found[last]} {continued[1].strip()}".strip()
        elif number > 0:
            break
    return found


def module_essay(lines: Sequence[str]) -> str:
    """The comment block right under the line that opens the module, as it is written."""
    essay: list[str] = []
    for line in lines[1:]:
        comment = _COMMENT.match(line)
        if comment is None:
            break
        essay.append(comment[1].rstrip())
    return "\n".join(essay).strip()
