"""The comparison finds every kind of difference, and tells it as a person reads it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from keepstep.conformance.player import Cast
from keepstep.conformance.run import Stage
from keepstep.conformance.system_graph import Comparison, SystemGraph
from keepstep.errors import InvalidSpec
from keepstep.tla.values import Fn

Make = Callable[[str], Cast]
pytestmark = pytest.mark.tools


def compare(staged: Stage, graph: SystemGraph, make: Make, edit: str = "") -> Comparison:
    staged.play({"Contender": make(edit)})
    return graph.compare()


def test_the_class_as_it_is_equals_the_graph(staged: Stage, graph: SystemGraph, make: Make) -> None:
    cast = make("")
    staged.play({"Contender": cast})
    found = graph.compare()
    assert found.equal, str(found.mismatch)
    assert (found.states, found.edges) == (313, 596)
    assert 0 < cast.executions < found.edges
    again = graph.compare()
    assert again.equal


def test_remembering_changes_nothing(staged: Stage, graph: SystemGraph, make: Make) -> None:
    cast = make("")
    cast.remember = False
    staged.play({"Contender": cast})
    assert graph.compare().equal


@pytest.mark.parametrize(
    ("edit", "problem", "steps"),
    [
        (
            'offline.to(ranking, on="attach") => offline.to(joining, on="attach")',
            "the code can take Attach(n1), the specification cannot",
            1,
        ),
        (
            (
                'ranking.to(joining, unless="has_ticket", on="join") => '
                'fencing.to(joining, unless="has_ticket", on="join")'
            ),
            "the specification can take Join, the code cannot",
            3,
        ),
        ("self.ask(CreateTicket()) => pass", "the code can take Join(n1)", 3),
        ("self.ask(ReadEpoch()) => self.ask(ListTickets())", "the code can take Claim", 9),
        (
            "self.remember(fence=told.version) => self.remember(fence=told.version + 1)",
            "the code can take Lead",
            13,
        ),
        ("self.ask(WriteFenced(self.facts.fence)) => self.facts.nothing", "AttributeError", 14),
        ("self.ask(CreateTicket()) => self.remember(fence=None)", "fence: None is no int", 3),
        (
            'leading.to(writing, on="write") => leading.to(writing, on="proceed")',
            "the class takes Proceed, the specification has Write here",
            14,
        ),
    ],
)
def test_a_wrong_class_is_told_with_the_shortest_path(
    staged: Stage, graph: SystemGraph, make: Make, edit: str, problem: str, steps: int
) -> None:
    found = compare(staged, graph, make, edit)
    assert found.mismatch is not None
    assert problem in found.mismatch.problem
    assert len(found.mismatch.path) == steps


def test_a_path_shows_actions_and_what_they_change(
    staged: Stage, graph: SystemGraph, make: Make
) -> None:
    found = compare(staged, graph, make, "self.ask(CreateTicket()) => pass")
    text = re.sub("n[12]", "nX", str(found.mismatch))
    assert text.splitlines()[0].endswith("the nearest is after 3 steps:")
    assert "  1. OpenSession(nX)" in text
    assert "  2. Attach(nX)" in text
    assert '       mode[nX]     "offline" -> "ranking"' in text
    assert "  3. ServeList(nX)" in text
    assert "  -> the code can take Join(nX), the specification cannot:" in text
    assert "_OF_NODE" not in text
    assert "ghostWrite" not in text


def edited(dump: Path, folder: Path, edit: str) -> Path:
    """A dump in which something is different."""
    lines = dump.read_text().splitlines()
    edges = [place for place, line in enumerate(lines) if " -> " in line and "[label" in line]
    match edit:
        case "edge lost":
            del lines[edges[-1]]
        case "label changed":
            lines[edges[40]] = re.sub(r'label="[^"(]*', 'label="Other', lines[edges[40]])
        case "not initial":
            lines = [line.replace(",style = filled", "") for line in lines]
        case "edge added":
            source = lines[edges[10]].split(" -> ")[0]
            lines.insert(edges[10], re.sub(r"-> -?\d+", f"-> {source}", lines[edges[10]]))
    path = folder / "edited.dot"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        ("edge lost", "the code can take"),
        ("label changed", "the code can take"),
        ("edge added", "the specification can take"),
        ("not initial", "the initial states differ"),
    ],
)
def test_a_different_graph_is_noticed(
    staged: Stage, dump: Path, tmp_path: Path, make: Make, edit: str, problem: str
) -> None:
    """Negative control: each kind of line in the dump counts."""
    graph = SystemGraph(staged.system, edited(dump, tmp_path, edit))
    found = compare(staged, graph, make)
    assert found.mismatch is not None
    assert problem in found.mismatch.problem


def with_arguments(graph: SystemGraph, dump: Path, folder: Path, *, wrong: bool) -> Path:
    """The dump as a newer build of TLC writes it: labels with arguments, states twice."""
    system, cells = graph.system, graph.cells

    def value(state: tuple[int, ...], variable: int) -> object:
        first, keys = cells.first[variable], cells.keys[variable]
        if keys is None:
            return cells.values[first][state[first]]
        return Fn({key: cells.values[first + at][state[first + at]] for at, key in enumerate(keys)})

    places: dict[str, int] = {}
    lines = []
    for line in dump.read_text().splitlines():
        if edge := re.match(r"(-?\d+) -> (-?\d+) ", line):
            source, target = (places.setdefault(name, len(places)) for name in edge.groups())
            before = graph.graph.states[source]
            state = tuple(value(before, number) for number in range(len(system.variables)))
            label = next(
                leaf.full_label
                for leaf, after in system.successors(state)
                if cells.encode(after) == graph.graph.states[target]
            )
            if wrong and len(lines) > 100:
                label, wrong = label.replace("n1_", "n9_").replace("n2_", "n9_"), False
            quoted = label.replace('"', '\\"')
            line = re.sub('label="[^"]*"', lambda _, text=quoted: f'label="{text}"', line)  # noqa: PLW2901
        elif node := re.match(r"(-?\d+) \[label=(.*)\];$", line):
            places.setdefault(node[1], len(places))
            line = f"{node[1]} [label={node[2]},tooltip={node[2]}];"  # noqa: PLW2901
        elif node := re.match(r"(-?\d+) \[", line):
            places.setdefault(node[1], len(places))
        lines.append(line)
    path = folder / "newer.dot"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("wrong", [False, True])
def test_arguments_are_compared_where_tlc_prints_them(
    staged: Stage, graph: SystemGraph, dump: Path, tmp_path: Path, make: Make, wrong: bool
) -> None:
    staged.play({"Contender": make("")})
    newer = SystemGraph(staged.system, with_arguments(graph, dump, tmp_path, wrong=wrong))
    assert any("(" in label for label in newer.graph.labels)
    found = compare(staged, newer, make)
    assert found.equal is not wrong
    if wrong:
        assert "(n9)" in found.mismatch.problem or "(n" in found.mismatch.problem


def test_a_violated_invariant_is_named(staged: Stage, graph: SystemGraph, make: Make) -> None:
    system = staged.system
    mode = system.number("mode")
    system.invariants["NobodyWaitsInv"] = lambda s: all(
        s[mode][node] != "waiting" for node in ("n1_OF_NODE", "n2_OF_NODE")
    )
    try:
        found = compare(staged, graph, make)
    finally:
        del system.invariants["NobodyWaitsInv"]
    assert found.violated == ("NobodyWaitsInv",)
    assert found.mismatch is None
    assert not found.equal


def test_a_dump_of_something_else_is_refused(staged: Stage, tmp_path: Path) -> None:
    path = tmp_path / "other.dot"
    path.write_text('1 [label="/\\\\ x = 1",style = filled]\n}\n')
    with pytest.raises(InvalidSpec, match="other variables"):
        SystemGraph(staged.system, path)
