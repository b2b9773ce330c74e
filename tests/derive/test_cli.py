"""The command: what it writes, compares and refuses, and its exit codes."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from keepstep.cli.derive import run_leg
from keepstep.cli.main import main

pytestmark = pytest.mark.tools

HERE = Path(__file__).parent
SHIMS = HERE.parents[1] / "models" / "shims"

MANIFEST = """
[[role]]
spec = "spec/Keeper.tla"
machine = "roles/keeper.py"
"""


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    shutil.copytree(HERE / "fixtures" / "lamp", root / "spec")
    shutil.copytree(SHIMS, root / "models" / "shims")
    (root / "models" / "manifest.toml").write_text(MANIFEST)
    return root


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["derive", *map(str, arguments)])
    return ended.value.code


def test_roles_of_a_project_are_written_and_compared(project, capsys):
    assert run("--project", project) == 0
    keeper = project / "roles" / "keeper.py"
    assert {path.name for path in keeper.parent.iterdir()} == {"keeper.py", "lamp_types.py"}
    assert "Derived from spec/Keeper.tla" in keeper.read_text()
    assert "from lamp_types import" in keeper.read_text()
    assert keeper.stat().st_mode & 0o777 == 0o666 & ~umask()
    capsys.readouterr()

    assert run("--project", project, "--check") == 0
    assert capsys.readouterr().out.count("equal") == 2
    assert run_leg(project, quiet=True).exit_code == 0

    keeper.write_text(keeper.read_text().replace('unless="has_oil"', 'cond="has_oil"'))
    before = keeper.read_text()
    assert run("--project", project, "--check") == 1
    shown = capsys.readouterr().out
    assert '-        | looking.to(idle, cond="has_oil", on="despair")' in shown
    assert '+        | looking.to(idle, unless="has_oil", on="despair")' in shown
    assert keeper.read_text() == before
    leg = run_leg(project, quiet=True)
    assert (leg.exit_code, leg.verdict) == (1, "DIFFERS")
    assert "keeper.py" in leg.detail

    assert run("--project", project) == 0
    assert 'unless="has_oil"' in keeper.read_text()
    assert "unchanged" in capsys.readouterr().out


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_one_byte_of_the_specification_shows_in_the_file(project, capsys):
    assert run("--project", project) == 0
    types = project / "spec" / "LampTypes.tla"
    types.write_text(types.read_text() + "\n")
    assert run("--project", project, "--check") == 1
    shown = capsys.readouterr().out
    assert shown.count("differs") == 2
    assert "sha256 of its modules" in shown


def test_the_shipped_roles_are_as_derived_from_the_shipped_specification(tmp_path, capsys):
    repository = HERE.parents[1]
    shutil.copytree(repository / "spec", tmp_path / "spec")
    shutil.copytree(SHIMS, tmp_path / "models" / "shims")
    (tmp_path / "models" / "manifest.toml").write_text(
        MANIFEST.replace("spec/Keeper.tla", "spec/election/Contender.tla").replace(
            "roles/keeper.py", "keepstep.roles.contender"
        )
    )
    assert run("--project", tmp_path, "--check") == 0, capsys.readouterr().out


def test_derived_files_are_locked(project):
    assert run("--project", project, "--lock") == 0
    lock = (project / "models" / "evidence.lock").read_text()
    assert "keeper.py" in lock
    assert "lamp_types.py" in lock


def test_a_lock_is_about_the_roles_of_the_project(project):
    assert run("spec/Keeper.tla", "--project", project, "--lock") == 2


def test_a_missing_file_differs(project, capsys):
    assert run("--project", project, "--check") == 1
    assert capsys.readouterr().out.count("missing  ") == 2


def test_a_module_outside_of_any_project(project, tmp_path, capsys, monkeypatch):
    outside = tmp_path / "mine"
    shutil.copytree(project / "spec", outside)
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    assert run(outside / "Keeper.tla", "--to", package, "--project", project) == 0
    text = (package / "keeper.py").read_text()
    assert "Derived from Keeper.tla by" in text
    assert "from package.lamp_types import" in text
    assert run(outside / "Keeper.tla", "--to", package, "--project", project, "--check") == 0
    monkeypatch.syspath_prepend(tmp_path)
    keeper = importlib.import_module("package.keeper")
    assert keeper.Keeper.__name__ == "Keeper"
    for name in [name for name in sys.modules if name.partition(".")[0] == "package"]:
        del sys.modules[name]


def test_a_module_is_named_alike_before_its_project_has_a_manifest(project, monkeypatch, capsys):
    manifest = project / "models" / "manifest.toml"
    text = manifest.read_text()
    manifest.unlink()
    monkeypatch.chdir(project)
    assert run("spec/Keeper.tla", "--to", "roles") == 0
    assert "Derived from spec/Keeper.tla" in (project / "roles" / "keeper.py").read_text()
    manifest.write_text(text)
    assert run("--check") == 0, capsys.readouterr().out


def test_a_module_of_the_project_by_name(project, monkeypatch):
    monkeypatch.chdir(project)
    assert run("spec/Keeper.tla") == 0
    assert (project / "roles" / "keeper.py").is_file()


def test_a_module_without_a_place_is_refused(project, tmp_path, capsys):
    shutil.copytree(project / "spec", tmp_path / "mine")
    assert run(tmp_path / "mine" / "Keeper.tla", "--project", project) == 2
    assert "--to" in capsys.readouterr().err


def test_a_module_outside_the_subset_ends_with_2_and_writes_nothing(project, capsys):
    keeper = project / "spec" / "Keeper.tla"
    keeper.write_text(keeper.read_text().replace("Despair(k) ==", "List(k) =="))
    assert run("--project", project) == 2
    shown = capsys.readouterr().err
    line = keeper.read_text().split("List(k) ==")[0].count("\n") + 1
    assert f"Keeper.tla:{line}:" in shown
    assert "[names]" in shown
    assert "write:" in shown
    assert not (project / "roles").exists()


def test_a_syntax_error_ends_with_2(project, capsys):
    keeper = project / "spec" / "Keeper.tla"
    keeper.write_text(keeper.read_text().replace("Despair(k) ==", "Despair(k) = ="))
    assert run("--project", project, "--check") == 2
    assert "syntax error" in capsys.readouterr().err


def test_a_module_that_is_not_there_ends_with_2(project, capsys):
    assert run("Nowhere.tla", "--to", project, "--project", project) == 2
    assert "no such module" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("", "no [[role]]"),
        ("[[role]]\nmachine = 'a.py'", "'spec'"),
        ("[[role]]\nspec = 'spec/Keeper.tla'", "'machine'"),
        ("[[role]]\nspec = 'spec/Keeper.tla'\nmachine = 'nowhere.at_all'", "no package nowhere"),
        ("[[role]", "cannot be read"),
    ],
    ids=["no-role", "no-spec", "no-machine", "no-package", "no-toml"],
)
def test_a_wrong_manifest_ends_with_2(project, capsys, manifest, says):
    (project / "models" / "manifest.toml").write_text(manifest)
    assert run("--project", project) == 2
    assert says in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_ends_with_2(project, capsys):
    (project / "roles").write_text("a file")
    assert run("--project", project) == 2
    assert "cannot" in capsys.readouterr().err


def test_a_module_that_is_to_be_copied_is_told_with_the_command(project, capsys):
    (project / "models" / "shims" / "Variants.tla").unlink()
    assert run("--project", project) == 2
    shown = capsys.readouterr().err
    assert "LampTypes.tla needs the module Variants" in shown
    assert "Keepstep has one: mkdir -p models/shims && cp " in shown
