from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from keepstep.checkers.outcome import Outcome
from keepstep.checkers.tlc import check, configuration, dump_graph
from keepstep.checkers.verdict import Kind
from keepstep.errors import InvalidModel, InvalidSpec, ToolFailed
from keepstep.process import Supervisor
from keepstep.tla.manifest import Model
from keepstep.tla.sources import Project

Define = Callable[[str], tuple[Project, Model]]

pytestmark = [pytest.mark.tools, pytest.mark.usefixtures("tlc")]

SAFE = 'checker = "tlc"\nmode = "safety"\nexpected = "HOLDS"\n'
LIVE = 'checker = "tlc"\nmode = "liveness"\nexpected = "HOLDS"\n'
WITHOUT_GUARD = (
    'mutation = [{ module = "Mutex", operator = "Enter", old = "/\\\\ taken = FALSE", new = "" }]\n'
)


def checked(define: Define, keys: str) -> Outcome:
    project, model = define(keys)
    return check(project, model, supervisor=Supervisor())


def test_the_configuration_says_what_the_manifest_says(define: Define) -> None:
    _, model = define(SAFE + 'invariants = ["TypeInv"]\nproperties = ["AscendProp"]')
    assert configuration(model).splitlines() == [
        "INIT Init",
        "NEXT Next",
        'CONSTANT PROCS = {"p1_OF_PROC", "p2_OF_PROC"}',
        "CONSTANT ROUNDS = 3",
        "INVARIANT TypeInv",
        "PROPERTY AscendProp",
        "CHECK_DEADLOCK FALSE",
    ]


def test_a_model_that_holds(define: Define) -> None:
    outcome = checked(define, SAFE + 'invariants = ["TypeInv", "ExclusionInv"]\ncoverage = true')
    assert outcome.verdict.kind == Kind.HOLDS
    assert outcome.distinct_states == 10
    assert outcome.depth == 7
    assert not outcome.vacuous
    assert outcome.coverage["Idle"] == 0
    assert outcome.coverage["Enter"] > 0
    assert outcome.tool["sha256"]


@pytest.mark.parametrize(
    ("keys", "violated", "actions"),
    [
        (
            'invariants = ["TypeInv", "ExclusionInv"]\n' + WITHOUT_GUARD,
            "ExclusionInv",
            ["", "Enter", "Enter"],
        ),
        ('invariants = ["TypeInv", "InsideExample"]\n', "InsideExample", ["", "Enter"]),
        (
            'properties = ["AscendProp", "StrictProp"]\n',
            "StrictProp",
            ["", "Enter", "Leave"],
        ),
        (
            'invariants = ["TypeInv"]\ndeadlock = true\nconstants = { PROCS = ["p"], ROUNDS = 1 }',
            "deadlock",
            ["", "Enter", "Leave"],
        ),
    ],
)
def test_a_violation_is_told_by_its_name(
    define: Define, keys: str, violated: str, actions: list[str]
) -> None:
    outcome = checked(define, SAFE + keys)
    assert (outcome.verdict.kind, outcome.verdict.property) == (Kind.VIOLATED, violated)
    assert outcome.trace is not None
    assert [step.action.split("(")[0] for step in outcome.trace.steps] == actions
    assert outcome.trace.steps[0].state["rounds"] == 0
    assert Outcome.from_json(outcome.to_json()).trace == outcome.trace


def test_a_violation_by_the_initial_state_shows_it(define: Define) -> None:
    outcome = checked(define, SAFE + 'invariants = ["TypeInv", "ExclusionInv", "Refuted"]')
    assert outcome.verdict.property == "Refuted"
    assert outcome.trace is not None
    assert [step.state["rounds"] for step in outcome.trace.steps] == [0]


def test_liveness_is_violated_by_name_and_shown_as_a_lasso(define: Define) -> None:
    outcome = checked(define, LIVE + 'properties = ["RestProp", "EverybodyProp"]\n')
    assert (outcome.verdict.kind, outcome.verdict.property) == (Kind.VIOLATED, "EverybodyProp")
    assert outcome.trace is not None
    assert outcome.trace.stutters or outcome.trace.loop is not None


def test_liveness_holds(define: Define) -> None:
    assert checked(define, LIVE + 'properties = ["RestProp"]').verdict.kind == Kind.HOLDS


def test_nothing_to_start_from_is_vacuous(define: Define) -> None:
    outcome = checked(define, SAFE + 'invariants = ["TypeInv"]\ninit = "NoInit"')
    assert outcome.vacuous == "there is no initial state"


def test_nothing_to_do_is_vacuous(define: Define) -> None:
    outcome = checked(define, SAFE + 'invariants = ["TypeInv"]\nnext = "Nobody"')
    assert outcome.vacuous == "no action is ever taken"


def break_module(project: Project, old: str, new: str) -> None:
    path = project.root / "spec/Mutex.tla"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def line_of(project: Project, text: str) -> int:
    lines = (project.root / "spec/Mutex.tla").read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    /\\ rounds = 0\n", "    /\\ rounds = )\n", "syntax error"),
        ("    /\\ rounds = 0\n", "    /\\ ruonds = 0\n", "Unknown operator: `ruonds'"),
    ],
)
def test_an_error_in_the_spec_has_file_and_line(
    define: Define, old: str, new: str, message: str
) -> None:
    project, model = define(SAFE + 'invariants = ["TypeInv"]')
    break_module(project, old, new)
    with pytest.raises(InvalidSpec) as caught:
        check(project, model, supervisor=Supervisor())
    assert message in str(caught.value)
    assert caught.value.file == "spec/Mutex.tla"
    # SANY may point to the line where it noticed, which is at or after the error.
    assert 0 <= caught.value.line - line_of(project, new.strip()) <= 2


def test_a_value_that_cannot_be_computed_is_no_verdict(define: Define) -> None:
    project, model = define(SAFE + 'invariants = ["TypeInv"]')
    break_module(project, "/\\ rounds' = rounds + 1", '/\\ rounds\' = rounds + "a"')
    with pytest.raises(ToolFailed, match="without a verdict"):
        check(project, model, supervisor=Supervisor())


def test_time_that_is_up_is_unknown(define: Define) -> None:
    large = "constants = { PROCS = [1,2,3,4,5,6,7,8,9], ROUNDS = 100000000 }\nseconds = 3\n"
    outcome = checked(define, SAFE + 'invariants = ["TypeInv"]\n' + large)
    assert outcome.verdict.kind == Kind.UNKNOWN
    assert outcome.verdict.reason == "no end within 3 s"


def test_a_graph_is_dumped_with_its_actions(define: Define, tmp_path: Path) -> None:
    project, model = define('checker = "tlc"\nmode = "graph"\nexpected = "HOLDS"\n')
    path, outcome = dump_graph(project, model, tmp_path / "graph")
    text = path.read_text()
    assert outcome.distinct_states == 10
    assert 'label="Enter' in text
    assert "style = filled" in text


def test_a_graph_of_a_model_that_fails_is_refused(define: Define, tmp_path: Path) -> None:
    project, model = define(SAFE + 'invariants = ["ExclusionInv"]\n' + WITHOUT_GUARD)
    with pytest.raises(InvalidModel, match="not complete"):
        dump_graph(project, model, tmp_path)


def test_nothing_is_left_behind(
    define: Define, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    project, model = define(SAFE + 'invariants = ["TypeInv"]')
    before = sorted(path for path in project.root.rglob("*"))
    check(project, model, supervisor=Supervisor())
    assert list(scratch.iterdir()) == []
    assert sorted(path for path in project.root.rglob("*")) == before


@pytest.mark.full
@pytest.mark.skipif(
    "KEEPSTEP_NEWER_TLC" not in os.environ, reason="set KEEPSTEP_NEWER_TLC to a newer tla2tools.jar"
)
def test_a_newer_tlc_tells_parameters(define: Define, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLA2TOOLS_JAR", os.environ["KEEPSTEP_NEWER_TLC"])
    outcome = checked(define, SAFE + 'invariants = ["InsideExample"]\n')
    assert outcome.trace is not None
    assert outcome.trace.steps[1].action == 'Enter("p1_OF_PROC")'
    live = checked(define, LIVE + 'properties = ["RestProp", "EverybodyProp"]\n')
    assert live.verdict.property == "EverybodyProp"
