from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from keepstep.checkers.tlc import dump_graph
from keepstep.checkers.toolchain import find_tlc
from keepstep.conformance.binding import Binding
from keepstep.conformance.player import Cast
from keepstep.conformance.role_table import RoleTable, build_role_table
from keepstep.conformance.roles import load_source, read_spec
from keepstep.conformance.run import Role, Stage, graph_models, prepare_roles, stage
from keepstep.conformance.system_graph import SystemGraph
from keepstep.tla.sources import Project

FIXTURES = Path(__file__).parent / "fixtures"
Make = Callable[[str], Cast]


@pytest.fixture(scope="session")
def tools() -> None:
    """TLC, fetched once if need be, before the tests that measure nothing but themselves."""
    find_tlc()


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The study's election, as a project of its own."""
    root = tmp_path_factory.mktemp("study") / "project"
    shutil.copytree(FIXTURES / "study", root)
    return Project(root)


@pytest.fixture
def own_study(tmp_path: Path) -> Path:
    """The study's election in a folder that the test may change."""
    root = tmp_path / "project"
    shutil.copytree(FIXTURES / "study", root)
    return root


@pytest.fixture(scope="session")
def role(study: Project, tools: None) -> Role:
    (found,) = prepare_roles(study)
    return found


@pytest.fixture(scope="session")
def table(study: Project, role: Role, tmp_path_factory: pytest.TempPathFactory) -> RoleTable:
    """The contender's role table, as TLC has it."""
    folder = tmp_path_factory.mktemp("table")
    role.table = build_role_table(study, role.entry, role.spec, role.form, folder)
    return role.table


@pytest.fixture(scope="session")
def dump(study: Project, tools: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TLC's graph of two contenders without faults: 313 states."""
    model = graph_models(study, "quick")[0]
    return dump_graph(study, model, tmp_path_factory.mktemp("dump"))[0]


@pytest.fixture(scope="session")
def staged(study: Project, role: Role) -> Stage:
    model = graph_models(study, "quick")[0]
    return stage(read_spec(study, study.root / model.spec), model, [role])


@pytest.fixture(scope="session")
def graph(staged: Stage, dump: Path) -> SystemGraph:
    return SystemGraph(staged.system, dump)


@pytest.fixture(scope="session")
def text(study: Project) -> str:
    """The text of the derived class."""
    return (study.root / "roles/contender.py").read_text()


@pytest.fixture
def make(role: Role, text: str) -> Make:
    """A cast with the class after an edit `old => new`, or as it is."""

    def cast(edit: str = "") -> Cast:
        old, arrow, new = edit.partition(" => ")
        assert not arrow or text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        return Cast(role.form, Binding(load_source(text.replace(old, new), edit)), role.constants)

    return cast
