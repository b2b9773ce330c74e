"""How names of a specification become names of Python, and words of its prose."""

from __future__ import annotations

import builtins
import keyword
import re

__all__ = ["article", "camel", "capitalised", "is_python_word", "local", "snake", "words"]


def snake(name: str) -> str:
    """`TicketGone` as `ticket_gone`; of an input, the event that `Input` gives it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def camel(name: str) -> str:
    """`ticketName` as `TicketName`."""
    return name[0].upper() + name[1:]


def words(name: str) -> str:
    """`MiddleManager` as `middle manager`."""
    return snake(name).replace("_", " ")


def article(name: str) -> str:
    """The words of a name after the article that they take: `an overlord`."""
    said = words(name)
    vowel = said[0] in "aeio" or (said[0] == "u" and not said.startswith(("uni", "use", "uti")))
    return f"{'an' if vowel else 'a'} {said}"


def capitalised(sentence: str) -> str:
    """The sentence with a capital first letter, the rest as it is."""
    return sentence[:1].upper() + sentence[1:]


def is_python_word(name: str) -> bool:
    """Python has given the name a meaning: a keyword, or something built in."""
    return keyword.iskeyword(name) or keyword.issoftkeyword(name) or hasattr(builtins, name)


def local(name: str) -> str:
    """A bound name or parameter; with an underscore where Python has a use for it."""
    plain = snake(name)
    return f"{plain}_" if is_python_word(plain) or plain in ("self", "told") else plain
