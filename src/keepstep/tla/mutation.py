"""Edits of a module's text that break it on purpose.

A mutation names a piece of text that must occur exactly once, so that it can neither miss
its target nor hit another one when the specification changes.
"""

from __future__ import annotations

import re

from keepstep.errors import InvalidModel
from keepstep.tla.sources import blank_comments

__all__ = ["mutate_text", "span_of_operator"]

_TOP = re.compile(
    r"^(?:LOCAL\s+)?(?:[A-Za-z_]\w*\s*(?:\([^\n]*?\))?\s*==(?!=)|VARIABLES?\b|CONSTANTS?\b|ASSUME\b"
    r"|THEOREM\b|INSTANCE\b|RECURSIVE\b|-{4,}|={4,})",
    re.MULTILINE,
)


def span_of_operator(text: str, operator: str) -> tuple[int, int] | None:
    """Where the definition of an operator begins and ends in a module's text; None if nowhere.

    Definitions begin in the first column, as the house style has them.
    """
    code = blank_comments(text)
    head = re.compile(
        rf"^(?:LOCAL\s+)?{re.escape(operator)}\s*(?:\([^\n]*?\))?\s*==(?!=)", re.MULTILINE
    )
    found = head.search(code)
    if found is None:
        return None
    after = _TOP.search(code, found.end())
    return found.start(), after.start() if after else len(code)


def mutate_text(text: str, *, old: str, new: str, operator: str | None, place: str) -> str:
    """Replace the only occurrence of `old`, comments aside, by `new`.

    Runs of blanks and line ends in `old` match any others, so that it may be written in one line.

    Args:
        text: The module.
        old: What must occur exactly once in the operator, or in the module.
        new: What takes its place; "" removes it.
        operator: Name of the definition to look in; None for the whole module.
        place: How to name the mutation in an error.

    Raises:
        InvalidModel: `old` does not occur exactly once, or the operator is missing.
    """
    begin, end = 0, len(text)
    where = "the module"
    if operator is not None:
        span = span_of_operator(text, operator)
        if span is None:
            raise InvalidModel(f"{place}: the module does not define {operator}")
        begin, end = span
        where = operator
    words = old.split()
    if not words:
        raise InvalidModel(f"{place}: `old` is empty")
    code = blank_comments(text)
    pattern = re.compile(r"\s+".join(re.escape(word) for word in words))
    found = list(pattern.finditer(code, begin, end))
    if len(found) != 1:
        raise InvalidModel(
            f"{place}: {old!r} occurs {len(found)} times in {where}; it must occur exactly once"
        )
    return text[: found[0].start()] + new + text[found[0].end() :]
