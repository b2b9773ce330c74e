from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from keepstep.checkers.toolchain import find_tlc
from keepstep.conformance.binding import Binding
from keepstep.conformance.player import Cast
from keepstep.conformance.roles import load_source, read_spec
from keepstep.conformance.run import Role, graph_models, prepare_roles, stage
from keepstep.derive.ast import Spec
from keepstep.exploration.explorer import Explorer
from keepstep.tla.sources import Project

FIXTURES = Path(__file__).parents[1] / "conformance/fixtures"
Make = Callable[..., Explorer]


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The study's election, as a project of its own: two contenders, no faults, 313 states."""
    find_tlc()
    root = tmp_path_factory.mktemp("study") / "project"
    shutil.copytree(FIXTURES / "study", root)
    return Project(root)


@pytest.fixture(scope="session")
def role(study: Project) -> Role:
    (found,) = prepare_roles(study)
    return found


@pytest.fixture(scope="session")
def composition(study: Project) -> Spec:
    model = graph_models(study, "quick")[0]
    return read_spec(study, study.root / model.spec)


@pytest.fixture
def make(study: Project, role: Role, composition: Spec) -> Make:
    """An explorer with the class after an edit `old => new`, or as it is."""
    text = (study.root / "roles/contender.py").read_text()

    def explorer(edit: str = "", *invariants: str) -> Explorer:
        old, arrow, new = edit.partition(" => ")
        assert not arrow or text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        source = load_source(text.replace(old, new), f"exploration {edit}")
        model = graph_models(study, "quick")[0]
        if invariants:
            model = msgspec.structs.replace(model, invariants=list(invariants))
        played = stage(composition, model, [role])
        played.play({role.entry.name: Cast(role.form, Binding(source), role.constants)})
        return Explorer(played.system, role.form.state)

    return explorer
