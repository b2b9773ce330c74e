from __future__ import annotations

from pathlib import Path

import pytest

from keepstep.errors import InvalidModel, ToolFailed
from keepstep.tla.dot import plain_label, printed_order, read_graph
from keepstep.tla.values import Fn, parse_value

OLD = r"""strict digraph DiskGraph {
nodesep=0.35;
subgraph cluster_graph {
color="white";
-7 [label="/\\ x = 0\n/\\ who = [ name |-> \"n1\",\n    last |-> {1, 2} ]",style = filled]
-7 -> 12 [label="C!Take",color="black",fontcolor="black"];
12 [label="/\\ x = 1\n/\\ who = [ name |-> \"n1\",\n    last |-> {1, 2} ]"];
12 -> -7 [label="Put",color="black",fontcolor="black"];
12 -> 12 [label="C!Take",color="black",fontcolor="black"];
{rank = same; -7;}
{rank = same; 12;}
}
}"""

NEW = r"""strict digraph DiskGraph {
node [shape=box,style=rounded]
nodesep=0.35;
subgraph cluster_graph {
color="white";
-7 [label="/\\ x = 0",style = filled]
-7 -> 12 [label="C!Take(\"n1\",2)",color="black",fontcolor="black"];
12 [label="/\\ x = 1",tooltip="/\\ x = 1"];
{rank = same; -7;}
}
}"""


class Encoder:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.values: list[object] = []

    def __call__(self, variable: str, text: str) -> tuple[int, ...]:
        self.calls.append((variable, text))
        value = parse_value(text)
        if value not in self.values:
            self.values.append(value)
        return (self.values.index(value),)


def write(folder: Path, text: str) -> Path:
    path = folder / "graph.dot"
    path.write_text(text)
    return path


def test_states_and_edges_are_read(tmp_path: Path) -> None:
    encode = Encoder()
    graph = read_graph(write(tmp_path, OLD), encode)
    assert encode.values == [0, Fn(name="n1", last=frozenset({1, 2})), 1]
    assert graph.states == [(0, 1), (2, 1)]
    assert graph.initial == [0]
    assert graph.labels == ["C!Take", "Put"]
    assert list(graph.edges(0)) == [(0, 1)]
    assert list(graph.edges(1)) == [(1, 0), (0, 1)]


def test_a_printed_value_is_parsed_once(tmp_path: Path) -> None:
    encode = Encoder()
    read_graph(write(tmp_path, OLD), encode)
    assert len(encode.calls) == 3


def test_newer_builds_print_states_twice_and_arguments(tmp_path: Path) -> None:
    path = write(tmp_path, NEW)
    graph = read_graph(path, Encoder())
    assert graph.labels == ['C!Take("n1",2)']
    assert graph.states == [(0,), (1,)]
    assert printed_order(path) == ["x"]


def test_the_order_of_the_variables_is_that_of_tlc(tmp_path: Path) -> None:
    assert printed_order(write(tmp_path, OLD)) == ["x", "who"]


def test_edges_may_come_in_any_order(tmp_path: Path) -> None:
    lines = OLD.splitlines()
    lines.insert(8, lines.pop(5))
    graph = read_graph(write(tmp_path, "\n".join(lines)), Encoder())
    edges = {
        (graph.states[source], graph.labels[label], graph.states[target])
        for source in range(2)
        for label, target in graph.edges(source)
    }
    assert len(edges) == 3


@pytest.mark.parametrize("kept", [3, 6, 8])
def test_a_cut_off_dump_is_refused(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path, "\n".join(OLD.splitlines()[:kept]))
    with pytest.raises(ToolFailed):
        read_graph(path, Encoder())


def test_a_missing_state_is_noticed(tmp_path: Path) -> None:
    lines = [line for line in OLD.splitlines() if not line.startswith("12 [")]
    with pytest.raises(ToolFailed, match="no complete graph"):
        read_graph(write(tmp_path, "\n".join(lines)), Encoder())


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed):
        printed_order(write(tmp_path, "hello\n"))
    with pytest.raises(ToolFailed):
        printed_order(tmp_path / "nothing.dot")


def test_a_value_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel):
        read_graph(write(tmp_path, NEW.replace("x = 1", "x = {1")), Encoder())


@pytest.mark.parametrize(
    ("label", "plain"),
    [
        ("Take", "Take"),
        ("C!Take", "Take"),
        ("A!B!Take", "Take"),
        ('C!Take("n1!x",2)', 'Take("n1!x",2)'),
        ("Take({2, 1})", "Take({1, 2})"),
    ],
)
def test_a_label_without_its_qualification(label: str, plain: str) -> None:
    assert plain_label(label) == plain
