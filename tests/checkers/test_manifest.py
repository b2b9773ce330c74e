from __future__ import annotations

from collections.abc import Callable

import pytest

from keepstep.errors import InvalidModel
from keepstep.tla.manifest import Model, load_manifest
from keepstep.tla.sources import Project

Define = Callable[[str], tuple[Project, Model]]

SAFE = 'checker = "tlc"\nmode = "safety"\nexpected = "HOLDS"\n'
MUST_FAIL = 'checker = "tlc"\nmode = "safety"\nexpected = "VIOLATED"\ninvariants = ["TypeInv"]\n'
BOUNDED = 'checker = "apalache"\nmode = "bounded"\ninvariants = ["TypeInv"]\n'
INDUCTIVE = 'checker = "apalache"\nmode = "inductive"\nexpected = "HOLDS"\n'


def test_the_fixture_is_read(project: Project) -> None:
    manifest = load_manifest(project)
    good, bad = manifest.models
    assert good.constants == {"PROCS": ["p1_OF_PROC", "p2_OF_PROC"], "ROUNDS": 3}
    assert good.distinct_states == 10
    assert bad.mutation[0].operator == "Enter"
    assert manifest.pick([], "quick") == [good, bad]
    assert manifest.pick(["m*"], "quick") == [bad]


def test_a_name_that_fits_no_model_is_refused(project: Project) -> None:
    with pytest.raises(InvalidModel, match="no model 'goood'; did you mean good"):
        load_manifest(project).pick(["goood"], "quick")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            SAFE + 'invariant = ["TypeInv"]',
            r"unknown key 'invariant' \(did you mean invariants\?\)",
        ),
        (SAFE + "invariants = []", "checks nothing"),
        (SAFE + 'invariants = "TypeInv"', "key 'invariants': expected `array`"),
        (SAFE + 'invariants = ["TypInv"]', "no operator 'TypInv'; did you mean TypeInv"),
        (SAFE + 'invariants = ["TypeInv"]\nlength = 3', "'length' is not for checker = 'tlc'"),
        (SAFE + 'invariants = ["TypeInv"]\nviolated = "TypeInv"', "'violated' is only for"),
        (SAFE + 'invariants = ["TypeInv"]\nseconds = 0', "must be positive"),
        (SAFE + 'invariants = ["TypeInv"]\ninit = "Begin"', "no operator 'Begin'"),
        (
            SAFE + 'invariants = ["TypeInv"]\nconstants = { PROCS = [], ROUND = 1 }',
            "no constant 'ROUND'; it has: PROCS, ROUNDS",
        ),
        (SAFE + 'invariants = ["TypeInv"]\nconstants = { PROCS = [] }', "no value for ROUNDS"),
        (
            SAFE + 'invariants = ["TypeInv"]\nmutation = [{ module = "M", old = "a", new = "b" }]',
            "does not use a module 'M'; it uses: Mutex",
        ),
        (
            SAFE + 'invariants = ["TypeInv"]\n'
            'mutation = [{ module = "Mutex", old = "nowhere", new = "b" }]',
            "occurs 0 times",
        ),
        (
            SAFE + 'invariants = ["TypeInv"]\n'
            'mutation = [{ module = "Mutex", from = "nowhere", new = "b" }]',
            "mutation: unknown key 'from'",
        ),
        (
            MUST_FAIL,
            "needs 'violated'",
        ),
        (
            MUST_FAIL + 'violated = "ExclusionInv"',
            "is none of what it checks",
        ),
        ('checker = "tlc"\nmode = "safety"\nexpected = "OK"\n', "expected must be"),
        ('checker = "tlc"\nmode = "bounded"\nexpected = "HOLDS up to k"\n', "is not for checker"),
        ('checker = "spin"\nmode = "safety"\nexpected = "HOLDS"\n', "key 'checker'"),
        (
            BOUNDED + 'expected = "HOLDS"',
            "never gives 'HOLDS'",
        ),
        (
            BOUNDED + 'expected = "HOLDS up to 3"\nlength = 4',
            "but length = 4",
        ),
        (
            BOUNDED + 'expected = "HOLDS up to k"\ntuning = { "search.invariantFilter" = "9->.*" }',
            "leaves out checks",
        ),
        (INDUCTIVE, "needs the key 'inductive'"),
        (INDUCTIVE + 'inductive = { invariant = "IndInv" }', "no operator 'IndInv'"),
        (INDUCTIVE + 'inductive = { inv = "IndInv" }', "inductive: unknown key 'inv'"),
    ],
)
def test_a_mistake_is_told_with_model_and_key(define: Define, keys: str, message: str) -> None:
    with pytest.raises(InvalidModel, match=message) as caught:
        define(keys)
    assert str(caught.value).startswith("models/manifest.toml: model 'one': ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[model]\n", "is no TOML"),
        ("", r"has no \[\[model\]\]"),
        ("[[models]]\n", "unknown key 'models'"),
        ("[defaults]\nspin = {}\n", "unknown key 'spin'"),
        ('[[model]]\nname = "a"\n', "missing required field `spec`"),
    ],
)
def test_what_is_no_manifest_is_refused(project: Project, text: str, message: str) -> None:
    project.manifest.write_text(text)
    with pytest.raises(InvalidModel, match=message):
        load_manifest(project)


def test_a_manifest_that_is_no_text_is_refused(project: Project) -> None:
    project.manifest.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidModel, match="is not UTF-8"):
        load_manifest(project)


def test_a_name_is_used_once(project: Project) -> None:
    text = project.manifest.read_text()
    project.manifest.write_text(text.replace('"must-fail"', '"good"'))
    with pytest.raises(InvalidModel, match="used twice"):
        load_manifest(project)


def test_a_missing_spec_is_refused(define: Define, project: Project) -> None:
    (project.root / "spec/Mutex.tla").unlink()
    with pytest.raises(InvalidModel, match=r"there is no file spec/Mutex.tla"):
        define(SAFE + 'invariants = ["TypeInv"]')
