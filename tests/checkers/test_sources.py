from __future__ import annotations

from pathlib import Path

import pytest

from keepstep.errors import InvalidModel
from keepstep.tla.mutation import mutate_text, span_of_operator
from keepstep.tla.sources import (
    Project,
    blank_comments,
    declared_constants,
    declared_variables,
    defined_operators,
    find_project,
    needed_modules,
)

MODULE = r"""---- MODULE M ----
\* EXTENDS Wrong
EXTENDS Integers, Types
CONSTANTS A, \* one
          F(_, _)
(* VARIABLE wrong (* nested *) *)
VARIABLES x, y
N == INSTANCE Named WITH x <- y
Text == "\" (* no comment *) \\* none"
Plain(a, F2(_)) == a
LOCAL Hidden == 1
ASSUME A > 0
Step(n) ==
    /\ x[n] = "a"
    /\ y = 1    \* y = 1, said again
Other == y = 1
====
"""


def test_declarations_are_found_comments_aside() -> None:
    assert needed_modules(MODULE) == ("Integers", "Types", "Named")
    assert declared_constants(MODULE) == ("A", "F")
    assert declared_variables(MODULE) == ("x", "y")
    assert defined_operators(MODULE) == {"N", "Text", "Plain", "Hidden", "Step", "Other"}


def test_blanking_keeps_places() -> None:
    blank = blank_comments(MODULE)
    assert len(blank) == len(MODULE)
    assert [len(line) for line in blank.splitlines()] == [len(line) for line in MODULE.splitlines()]
    assert "no comment" in blank
    assert "nested" not in blank
    assert "said again" not in blank


def test_a_definition_ends_where_the_next_one_begins() -> None:
    span = span_of_operator(MODULE, "Step")
    assert span is not None
    text = MODULE[slice(*span)]
    assert text.startswith("Step(n) ==")
    assert "Other" not in text
    assert span_of_operator(MODULE, "Absent") is None


def mutate(old: str, new: str, operator: str | None = None) -> str:
    return mutate_text(MODULE, old=old, new=new, operator=operator, place="here")


def test_a_mutation_replaces_the_only_occurrence() -> None:
    changed = mutate("y = 1", "y = 2", "Step")
    assert "/\\ y = 2    \\* y = 1, said again" in changed
    assert "Other == y = 1" in changed


def test_blanks_of_a_mutation_match_any_others() -> None:
    assert "x[n] = 3" in mutate('x[n] = "a" /\\ y = 1', "x[n] = 3", "Step")


@pytest.mark.parametrize(
    ("old", "operator", "message"),
    [
        ("y = 1", None, "occurs 2 times in the module"),
        ("said again", None, "occurs 0 times"),
        ("y = 7", "Step", "occurs 0 times in Step"),
        ("y = 1", "Absent", "does not define Absent"),
        ("  ", None, "empty"),
    ],
)
def test_a_mutation_that_does_not_fit_is_refused(
    old: str, operator: str | None, message: str
) -> None:
    with pytest.raises(InvalidModel, match=message):
        mutate(old, "", operator)


def test_the_closure_follows_extends_and_instances(tmp_path: Path) -> None:
    spec = tmp_path / "spec"
    (spec / "deep").mkdir(parents=True)
    (tmp_path / "models/shims").mkdir(parents=True)
    (spec / "A.tla").write_text("---- MODULE A ----\nEXTENDS B, Integers, Variants\n====")
    (spec / "deep/B.tla").write_text("---- MODULE B ----\nI == INSTANCE C\n====")
    (spec / "C.tla").write_text("---- MODULE C ----\n====")
    (tmp_path / "models/shims/Variants.tla").write_text("---- MODULE Variants ----\n====")
    project = Project(tmp_path)
    for_tlc = project.closure(spec / "A.tla", shims=True)
    assert set(for_tlc.files) == {"A", "B", "C", "Variants"}
    for_apalache = project.closure(spec / "A.tla", shims=False)
    assert set(for_apalache.files) == {"A", "B", "C"}
    assert for_apalache.bundled == {"Integers", "Variants"}


def test_a_missing_module_is_named_with_who_needs_it(tmp_path: Path) -> None:
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec/A.tla").write_text("---- MODULE A ----\nEXTENDS Absent\n====")
    with pytest.raises(InvalidModel, match=r"spec/A.tla needs the module Absent"):
        Project(tmp_path).closure(tmp_path / "spec/A.tla", shims=True)


def test_a_folder_without_a_manifest_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"has no models/manifest.toml"):
        find_project(tmp_path)


def test_a_missing_module_that_comes_with_keepstep_is_told_with_the_copy(tmp_path: Path) -> None:
    (tmp_path / "spec").mkdir()
    module = tmp_path / "spec/M.tla"
    module.write_text("---- MODULE M ----\nEXTENDS Numbers\n====\n")
    with pytest.raises(InvalidModel, match=r"mkdir -p spec && cp \S+/spec/Numbers.tla spec/$"):
        Project(tmp_path).closure(module, shims=True)


def test_a_module_of_apalache_needs_a_stand_in_for_tlc_only(tmp_path: Path) -> None:
    (tmp_path / "spec").mkdir()
    module = tmp_path / "spec/M.tla"
    module.write_text("---- MODULE M ----\nEXTENDS Variants\n====\n")
    assert Project(tmp_path).closure(module, shims=False).bundled == {"Variants"}
    with pytest.raises(InvalidModel, match=r"cp \S+/models/shims/Variants.tla models/shims/$"):
        Project(tmp_path).closure(module, shims=True)
    shims = tmp_path / "models/shims"
    shims.mkdir(parents=True)
    (shims / "Variants.tla").write_text("---- MODULE Variants ----\n====\n")
    assert "Variants" in Project(tmp_path).closure(module, shims=True).files


def test_nobody_who_stands_among_modules_means_our_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = find_project(None).root
    assert shipped != tmp_path
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec/M.tla").write_text(MODULE)
    with pytest.raises(InvalidModel, match=r"modules in spec/ and no models/manifest\.toml; write"):
        find_project(None)
    assert find_project(None, manifest=False).root == shipped
    (tmp_path / "models").mkdir()
    (tmp_path / "models/manifest.toml").touch()
    assert find_project(None).root == tmp_path
