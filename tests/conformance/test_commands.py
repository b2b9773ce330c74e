"""`keepstep conform` and `keepstep mutate` as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keepstep.cli import conform as conform_command
from keepstep.cli import mutate as mutate_command
from keepstep.cli.conform import command as conform
from keepstep.cli.conform import run_leg
from keepstep.cli.mutate import command as mutate
from keepstep.conformance import run as run_module
from keepstep.errors import InvalidModel, InvalidSpec, KeepstepError
from keepstep.tla.sources import Project

pytestmark = [pytest.mark.tools, pytest.mark.usefixtures("tools")]
Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(own_study: Path) -> Edit:
    """Change a file of the project: its path, what stands there, what shall stand there."""

    def change(file: str, old: str, new: str) -> None:
        path = own_study / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    return change


@pytest.fixture
def small(edit: Edit, own_study: Path) -> Path:
    """The project with its smallest model only, which does not take every action."""
    path = own_study / "models/manifest.toml"
    text = path.read_text()
    path.write_text(text[: text.rindex("[[model]]")])
    return own_study


def run(project: Path, *options: str) -> Result:
    arguments = ["--project", str(project), *options]
    return CliRunner().invoke(conform, arguments, catch_exceptions=True)


def test_everything_equal(own_study: Path) -> None:
    result = run(own_study, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["equal"] is True
    (role,) = found["roles"]
    assert (role["configurations"], role["executions"], role["refusals"]) == (5940, 6120, 5328)
    first, second = found["models"]
    assert (first["states"], first["edges"]) == (313, 596)
    assert second["states"] > 10_000
    assert second["executions"] > 0
    assert found["never"] == {"spec/election/LeaderElection.tla": []}


def test_an_action_that_no_graph_takes_is_named(small: Path) -> None:
    result = run(small)
    assert result.exit_code == 1
    assert "no quick model ever takes" in result.output
    assert "StepDown" in result.output
    assert "n2f0: equal; 313 states, 596 edges" in result.output
    assert "executions" in result.output


def test_overlapping_guards_are_reported_at_once(
    small: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit("roles/contender.py", 'cond="has_ticket and not is_first"', 'cond="has_ticket"')

    def never(*_: object, **__: object) -> None:
        msg = "nobody waits for a graph"
        raise AssertionError(msg)

    monkeypatch.setattr(run_module, "SystemGraph", never)
    result = run(small)
    assert result.exit_code == 1
    assert "Wait and Verify overlap in state 'ranking'" in result.output
    assert "not compared, because guards overlap: n2f0" in result.output
    assert "TLC explores" not in result.output
    assert "no quick model ever takes" not in result.output
    found = json.loads(run(small, "--json").stdout)
    assert (found["equal"], found["left_out"], found["models"]) == (False, ["n2f0"], [])


def test_a_wrong_class_is_reported_with_a_path(small: Path, edit: Edit) -> None:
    edit("roles/contender.py", "self.ask(CreateTicket())", "self.ask(ListTickets())")
    result = run(small)
    assert result.exit_code == 1
    assert "the code can take Join(n" in result.output
    assert "the nearest is after 3 steps" in result.output
    leg = run_leg(small, quiet=True)
    assert (leg.exit_code, leg.verdict) == (1, "DIFFERS")
    assert "Contender" in leg.detail


def test_a_wrong_number_of_states_is_reported(small: Path, edit: Edit) -> None:
    edit("models/manifest.toml", "distinct_states = 313", "distinct_states = 314")
    result = run(small)
    assert result.exit_code == 1
    assert "314" in result.output


@pytest.mark.parametrize(
    ("file", "old", "new", "kind", "words"),
    [
        ("models/manifest.toml", "[role.domains]", "[role.domain]", InvalidModel, "domain"),
        ("models/manifest.toml", '"roles/contender.py"', '"roles/no.py"', InvalidModel, "no.py"),
        ("models/manifest.toml", '"roles/contender.py"', '"no.such"', InvalidModel, "no package"),
        ("models/manifest.toml", "[[role]]", "[[roles]]", InvalidModel, "nothing to compare"),
        (
            "models/manifest.toml",
            'constants = { NODES = ["n1_OF_NODE"] }',
            "constants = { NODE = 1 }",
            InvalidModel,
            "gives no value to NODES; write constants =",
        ),
        ("spec/election/Contender.tla", "Attach(n) ==", "Attach(n) =", InvalidSpec, "Contender"),
        ("spec/election/Contender.tla", "    \\* @inbox\n", "", InvalidSpec, "@inbox"),
    ],
)
def test_bad_input_is_told_and_ends_with_2(
    small: Path, edit: Edit, file: str, old: str, new: str, kind: type[Exception], words: str
) -> None:
    """`keepstep.cli.main` turns every KeepstepError into exit code 2."""
    edit(file, old, new)
    result = run(small)
    assert isinstance(result.exception, kind), result.output
    assert isinstance(result.exception, KeepstepError)
    assert words in str(result.exception)


def test_a_project_without_graphs(small: Path, edit: Edit) -> None:
    edit("models/manifest.toml", 'mode = "graph"', 'mode = "safety"')
    with pytest.raises(InvalidModel, match="no model of mode = 'graph'"):
        conform_command.conform(Project(small))


@pytest.mark.full
def test_every_mutant_is_killed_or_argued(own_study: Path) -> None:
    arguments = ["--project", str(own_study), "--json"]
    result = CliRunner().invoke(mutate, arguments, catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["survived"] == []
    assert found["stale"] == []
    assert result.exit_code == 0
    killed = {one["name"]: one["layer"] for one in found["killed"]}
    assert sum(name.startswith("deriver.") for name in killed) >= 10
    assert len(killed) > 300


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[[equivalent]]\nmutant = "rerank.order"\nargument = "obvious"\n',
            "models/equivalent.toml: rerank.order needs an argument",
        ),
        (
            2 * '[[equivalent]]\nmutant = "a"\nargument = "one two three four five"\n',
            "models/equivalent.toml: a is listed twice",
        ),
        ('[[equivalents]]\nmutant = "a"\n', "unknown key 'equivalents'"),
        ('[[equivalent]]\nmutant = 7\nargument = "x"\n', "models/equivalent.toml: Expected `str`"),
        ("[[equivalent\n", "models/equivalent.toml: "),
        (None, "there is no file models/equivalent.toml"),
    ],
)
def test_a_wrong_list_of_equivalent_mutants_is_told_before_any_tool_runs(
    small: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, words: str
) -> None:
    def never(*_: object, **__: object) -> None:
        msg = "no tool may start"
        raise AssertionError(msg)

    monkeypatch.setattr(mutate_command, "build_arena", never)
    path = small / "models/equivalent.toml"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    result = CliRunner().invoke(mutate, ["--project", str(small)])
    assert isinstance(result.exception, InvalidModel), result.exception
    assert words in str(result.exception)
