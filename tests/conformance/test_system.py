"""Translated specifications take the steps that TLC takes."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from keepstep.checkers.tlc import dump_graph
from keepstep.checkers.toolchain import find_java, find_tlc
from keepstep.conformance.run import Role
from keepstep.conformance.system_graph import SystemGraph
from keepstep.derive.ast import Spec
from keepstep.derive.sany import Sany
from keepstep.derive.system import System, evaluate, translate
from keepstep.errors import InvalidSpec
from keepstep.tla.manifest import Model
from keepstep.tla.operations import Undefined
from keepstep.tla.sources import Project

pytestmark = pytest.mark.tools
FIXTURES = Path(__file__).parent / "fixtures"
NODES = frozenset({"n1_OF_NODE", "n2_OF_NODE"})


@pytest.fixture(scope="session")
def sany(tools: None) -> Sany:
    return Sany(find_java().path, find_tlc().jar)


def read(sany: Sany, folder: Path, text: str) -> Spec:
    (folder / "Tiny.tla").write_text(f"---- MODULE Tiny ----\n{text}\n====\n")
    return sany.read(folder / "Tiny.tla")


def reachable(system: System) -> tuple[int, int]:
    seen = set(system.initial())
    queue, edges = deque(seen), 0
    while queue:
        for _, state in system.successors(queue.popleft()):
            edges += 1
            if state not in seen:
                seen.add(state)
                queue.append(state)
    return len(seen), edges


def test_the_kitchen_sink_is_as_tlc_explores_it(sany: Sany, tmp_path: Path) -> None:
    path = FIXTURES / "kitchen/Kitchen.tla"
    constants = {"NODES": ["a", "b"], "LIMIT": 2}
    model = Model(
        name="kitchen",
        spec=str(path),
        checker="tlc",
        mode="graph",
        expected="HOLDS",
        constants=constants,
        invariants=["TypeOK"],
    )
    dump, outcome = dump_graph(Project(FIXTURES / "study"), model, tmp_path)
    system = translate(
        sany.read(path),
        {"NODES": frozenset("ab"), "LIMIT": 2},
        invariants=["TypeOK"],
    )
    found = SystemGraph(system, dump).compare()
    assert found.mismatch is None, str(found.mismatch)
    assert found.equal
    assert found.states == outcome.distinct_states
    assert found.fired == {"Move", "Swap", "Fill", "Change", "Turn", "Count", "Reset"}


def test_exploring_by_the_functions_alone_gives_the_known_counts(
    role: Role, study: Project
) -> None:
    sany = Sany(find_java().path, find_tlc().jar)
    path = study.root / "spec/election/LeaderElection.tla"
    spec = sany.read(path, study.search_path(path, shims=True))
    system = translate(spec, {"NODES": NODES, "FAULTS": 0}, invariants=["OneFenceInv"])
    assert reachable(system) == (313, 596)
    assert all(map(system.invariants["OneFenceInv"], system.initial()))


def test_labels_have_the_arguments_that_newer_builds_print(sany: Sany) -> None:
    system = translate(
        sany.read(FIXTURES / "kitchen/Kitchen.tla"), {"NODES": frozenset("a"), "LIMIT": 2}
    )
    assert {leaf.full_label for leaf in system.leaves} == {
        'Move("a")', "Swap", "Fill", "Change", "Turn", "C!Count(1)", "C!Count(2)", "C!Reset",
    }  # fmt: skip


def test_arguments_are_computed_only_where_they_are_needed(sany: Sany, tmp_path: Path) -> None:
    spec = read(
        sany,
        tmp_path,
        """EXTENDS Integers
        VARIABLE x
        First(a, b) == IF x = 0 THEN a ELSE b
        Init == x = 0
        Next == x < 2 /\\ x' = First(x + 1, CHOOSE y \\in {} : TRUE)""",
    )
    system = translate(spec, {})
    assert [dict(u) for u in system.leaves[0].run((0,))] == [{0: 1}]
    with pytest.raises(Undefined, match="no value to choose"):
        list(system.leaves[0].run((1,)))


def test_a_choice_that_is_not_unique_is_refused(sany: Sany, tmp_path: Path) -> None:
    spec = read(
        sany,
        tmp_path,
        """VARIABLE x
        Init == x = 0
        Next == x' = CHOOSE y \\in {1, 2} : TRUE""",
    )
    with pytest.raises(Undefined, match="must be unique"):
        list(translate(spec, {}).leaves[0].run((0,)))


def test_a_step_after_an_assignment_is_a_test(sany: Sany, tmp_path: Path) -> None:
    spec = read(
        sany,
        tmp_path,
        """EXTENDS Integers
        VARIABLE x
        Init == x = 0
        Next == \\E y \\in 1..3 : x' = y /\\ x' > 1 /\\ x' = y /\\ x' /= 3""",
    )
    assert [state for _, state in translate(spec, {}).successors((0,))] == [(2,)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("VARIABLES x, y\nInit == x = 0 /\\ y = 0\nNext == x' = 1", "nothing about y"),
        ("VARIABLES x, y\nInit == x = 0\nNext == x' = 1 /\\ y' = 1", "nothing about y"),
        ("VARIABLE x\nInit == x = 0\nNext == x' = CHOOSE y : y = 1", "a bound name needs a set"),
        ("CONSTANT N\nVARIABLE x\nInit == x = 0\nNext == x' = N", "constant N has no value"),
    ],
)
def test_what_cannot_be_translated_is_told(
    sany: Sany, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InvalidSpec, match=message) as caught:
        translate(read(sany, tmp_path, text), {})
    assert "Tiny.tla" in str(caught.value)


def test_a_value_without_variables(sany: Sany, tmp_path: Path) -> None:
    spec = read(sany, tmp_path, "EXTENDS Integers\nVARIABLE x\nA == {1} \\union 2..3\nB == x\n")
    assert evaluate(spec, {}, spec.named("A").body) == frozenset({1, 2, 3})
    with pytest.raises(InvalidSpec, match="without variables"):
        evaluate(spec, {}, spec.named("B").body)
