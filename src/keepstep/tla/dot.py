"""Read the labelled graph that TLC writes with `-dump dot,actionlabels`.

The files are large: a state takes a kilobyte, and there are hundreds of thousands. But few
values differ, so the printed text of each variable is a key: it is parsed once, by whoever
reads, into one or several small numbers, and a state is the tuple of them.

Both forms are read: TLC 2.18 prints `C!Attach`, newer builds `C!Attach("n1")` and each state
twice. Edges are kept as TLC prints them, those from a state to itself included; a state and
its edges may come in any order.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from keepstep.errors import ToolFailed
from keepstep.tla.values import parse_value, render

__all__ = ["Encode", "Graph", "plain_label", "printed_order", "read_graph"]

Encode = Callable[[str, str], tuple[int, ...]]
"""Gives the numbers of a variable's value: from the variable's name and the printed value."""

_LABEL = b' [label="'
_TOOLTIP = b'",tooltip="'
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_BETWEEN = rb"\n/\\ "
"""Between two variables TLC prints a line end and a conjunction, both escaped."""


@dataclass(slots=True)
class Graph:
    """A labelled graph.

    Attributes:
        states: Each state as the numbers of its variables, in the order of `printed_order`.
        initial: The numbers of the initial states.
        labels: The distinct labels, as printed.
        first_edge: Where the edges of a state begin in the two arrays below; one more at the end.
        edge_labels: The label of each edge.
        edge_targets: The target of each edge.
    """

    states: list[tuple[int, ...]] = field(default_factory=list)
    initial: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    first_edge: array[int] = field(default_factory=lambda: array("I"))
    edge_labels: array[int] = field(default_factory=lambda: array("H"))
    edge_targets: array[int] = field(default_factory=lambda: array("I"))

    def edges(self, source: int) -> Iterator[tuple[int, int]]:
        """The label and the target of each edge of a state."""
        first, last = self.first_edge[source], self.first_edge[source + 1]
        return zip(self.edge_labels[first:last], self.edge_targets[first:last], strict=True)


def plain_label(label: str) -> str:
    r"""A label without the name of an instance, its arguments as `render` writes them.

    `C!Take(\"n1\",{2,1})` becomes `Take("n1",{1, 2})`.
    """
    name, bracket, arguments = label.partition("(")
    name = name.rpartition("!")[2]
    if not bracket:
        return name
    values = parse_value(f"<<{arguments.removesuffix(')')}>>")
    return f"{name}({','.join(render(value) for value in values)})"


class _Numbers(dict[bytes, tuple[int, ...]]):
    """The numbers of a variable by its printed text, `x = 1`, computed on first use."""

    def __init__(self, encode: Encode) -> None:
        super().__init__()
        self.encode = encode

    def __missing__(self, text: bytes) -> tuple[int, ...]:
        name, _, value = _ESCAPED.sub(_unescape, text).decode().partition(" = ")
        numbers = self[text] = self.encode(name.strip(), value)
        return numbers


def _unescape(found: re.Match[bytes]) -> bytes:
    return b"\n" if found[1] == b"n" else found[1]


class _Labels(dict[bytes, int]):
    """The number of a label by the rest of the line that has it."""

    def __init__(self, labels: list[str]) -> None:
        super().__init__()
        self.labels = labels
        self.known: dict[str, int] = {}

    def __missing__(self, rest: bytes) -> int:
        text = _ESCAPED.sub(_unescape, rest[: rest.find(b'",color')]).decode()
        if text not in self.known:
            self.known[text] = len(self.labels)
            self.labels.append(text)
        number = self[rest] = self.known[text]
        return number


def _texts(rest: bytes, end: int) -> list[bytes]:
    """The printed variables of a node, from what follows the mark of its label."""
    text = rest[: end if end >= 0 else rest.rfind(b'"')].removeprefix(rb"/\\ ")
    return text.removesuffix(rb"\n").split(_BETWEEN)


def printed_order(path: Path) -> list[str]:
    """The variables in the order in which a dump prints them, which is TLC's own.

    Raises:
        ToolFailed: The file has no state.
    """
    try:
        with path.open("rb") as lines:
            for line in lines:
                head, mark, rest = line.partition(_LABEL)
                if mark and head.lstrip(b"-").isdigit():
                    texts = _texts(rest, rest.find(_TOOLTIP))
                    return [text.partition(b" = ")[0].decode().strip() for text in texts]
    except OSError as error:
        raise ToolFailed(f"cannot read {path}: {error.strerror}") from None
    raise ToolFailed(f"{path} is no graph of TLC")


def read_graph(path: Path, encode: Encode) -> Graph:
    """Read a dump.

    Args:
        path: The file.
        encode: Gives the numbers of a variable's value; called once for each distinct text.

    Raises:
        ToolFailed: The file is no such dump, or it ends in the middle.
    """
    graph = Graph()
    numbers = _Numbers(encode)
    labels = _Labels(graph.labels)
    places: dict[int, int] = {}
    states: list[tuple[int, ...] | None] = []
    sources = array("I")
    place_of = places.setdefault
    number_of = numbers.__getitem__
    add_source, add_label = sources.append, graph.edge_labels.append
    add_target = graph.edge_targets.append
    ended = False
    with path.open("rb") as lines:
        for line in lines:
            head, mark, rest = line.partition(_LABEL)
            if not mark:
                ended = ended or line.startswith(b"}")
                continue
            source, arrow, target = head.partition(b" -> ")
            try:
                place = place_of(int(source), len(places))
                if arrow:
                    add_source(place)
                    add_target(place_of(int(target), len(places)))
                    add_label(labels[rest])
                    continue
            except ValueError:
                continue  # a legend of the picture
            while len(states) <= place:
                states.append(None)
            if states[place] is None:
                end = rest.find(_TOOLTIP)
                states[place] = tuple(chain.from_iterable(map(number_of, _texts(rest, end))))
                if b"style = filled" in rest[max(end, 0) :]:
                    graph.initial.append(place)
    complete = [state for state in states if state is not None]
    if not ended or not complete or len(complete) != len(places):
        raise ToolFailed(f"{path} is no complete graph of TLC")
    graph.states = complete
    _group(graph, sources)
    return graph


def _group(graph: Graph, sources: array[int]) -> None:
    """Bring the edges into the order of their sources."""
    count = len(sources)
    if any(sources[i] > sources[i + 1] for i in range(count - 1)):
        order = sorted(range(count), key=sources.__getitem__)
        graph.edge_labels = array("H", (graph.edge_labels[i] for i in order))
        graph.edge_targets = array("I", (graph.edge_targets[i] for i in order))
        sources = array("I", (sources[i] for i in order))
    first = array("I", bytes(array("I").itemsize * (len(graph.states) + 1)))
    for source in sources:
        first[source + 1] += 1
    for place in range(len(graph.states)):
        first[place + 1] += first[place]
    graph.first_edge = first
