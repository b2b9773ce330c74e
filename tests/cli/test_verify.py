from __future__ import annotations

import json
import types
from pathlib import Path

import pytest
from click.testing import CliRunner

from keepstep.checkers.verdict import Exit, Leg
from keepstep.cli import verify
from keepstep.cli.main import COMMANDS, LazyGroup, group
from keepstep.errors import ToolMissing


def leg_module(name: str, code: int, error: Exception | None = None) -> types.ModuleType:
    module = types.ModuleType(f"keepstep.cli.{name}")

    def run_leg(project: Path | None, *, quiet: bool) -> Leg:
        if error is not None:
            raise error
        return Leg(name, "done", "a detail", 0.1, code)

    module.run_leg = run_leg  # type: ignore[attr-defined]
    return module


Given = dict[str, Exception | int]


@pytest.fixture
def legs(monkeypatch: pytest.MonkeyPatch) -> Given:
    """What each leg gives, an exit code or an error; the test may change it."""
    given: Given = dict.fromkeys(verify.LEGS, 0)
    real = verify.importlib.import_module

    def load(name: str) -> types.ModuleType:
        leg = name.rpartition(".")[2]
        if leg not in given:
            return real(name)
        what = given[leg]
        if isinstance(what, Exception):
            return leg_module(leg, 0, what)
        return leg_module(leg, what)

    monkeypatch.setattr(verify, "importlib", types.SimpleNamespace(import_module=load))
    fresh = Leg("evidence", "fresh", "", 0.0, Exit.AS_EXPECTED)
    monkeypatch.setattr(verify, "_evidence", lambda _: fresh)
    return given


def run() -> tuple[int, dict[str, dict[str, object]]]:
    ran = CliRunner().invoke(verify.command, ["--json"])
    found = json.loads(ran.stdout)
    assert found["exit_code"] == ran.exit_code
    return ran.exit_code, {leg["name"]: leg for leg in found["legs"]}


@pytest.mark.usefixtures("legs")
def test_every_leg_is_a_line() -> None:
    code, found = run()
    assert code == 0
    assert list(found) == [*verify.LEGS, "evidence"]


@pytest.mark.parametrize("code", [1, 2, 3])
def test_the_worst_leg_decides(legs: Given, code: int) -> None:
    legs["conform"] = code
    assert run()[0] == code


def test_a_leg_that_cannot_run_does_not_keep_the_others(
    legs: Given,
) -> None:
    legs["doctor"] = ToolMissing("Java is missing")
    legs["derive"] = ValueError("a defect")
    code, found = run()
    assert code == 2
    assert found["doctor"]["detail"] == "Java is missing"
    assert found["derive"]["detail"] == "internal error: ValueError: a defect"
    assert found["suite"]["verdict"] == "done"


@pytest.mark.usefixtures("legs")
def test_the_table_is_shown() -> None:
    ran = CliRunner().invoke(verify.command, [])
    assert ran.exit_code == 0
    assert "verify: everything is as expected" in ran.stdout


def test_the_group_lists_every_command_without_importing_it() -> None:
    assert isinstance(group, LazyGroup)
    ran = CliRunner().invoke(group, ["--help"])
    for name in COMMANDS:
        assert name in ran.output
