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


# --- Types and values of keys -----------------------------------------------------------

WRONG_TYPES = {
    "name": "7", "spec": "7", "checker": "7", "mode": "true", "expected": "[]", "protocol": "7",
    "lane": "7", "init": "7", "next": "[]", "specification": "7", "constants": '"N"',
    "substitutions": "{ A = 1 }", "invariants": '"TypeInv"', "properties": '"P"',
    "constraints": "7", "action_constraints": "[7]", "deadlock": '"no"', "coverage": "1",
    "never": '"Go"', "cinit": "7", "length": '"9"', "tuning": "[]", "inductive": '"IndInv"',
    "violated": "true", "distinct_states": '"many"', "seconds": "1.5", "memory_mb": '"2g"',
    "workers": "[]", "mutation": '"none"', "bug": "7", "feature": "7", "why": "[]",
    "compare": "7",
}  # fmt: skip
"""For each key of a model a value of another type than it has."""


def test_every_key_is_among_them() -> None:
    assert set(WRONG_TYPES) == set(Model.__struct_fields__)


@pytest.mark.parametrize("key", WRONG_TYPES)
def test_a_value_of_another_type_is_told_with_its_key(project: Project, key: str) -> None:
    keys = {
        "name": '"one"', "spec": '"spec/Mutex.tla"', "checker": '"tlc"', "mode": '"safety"',
        "expected": '"HOLDS"', key: WRONG_TYPES[key],
    }  # fmt: skip
    lines = "\n".join(f"{name} = {value}" for name, value in keys.items())
    project.manifest.write_text(f"[[model]]\n{lines}\n")
    with pytest.raises(InvalidModel, match=rf"key '{key}(\[\.\.\.\]|\[0\])?'") as caught:
        load_manifest(project)
    assert str(caught.value).startswith("models/manifest.toml: model ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = 7\n", "must be written as"),
        ("model = [7]\n", "must be written as"),
        ("defaults = 7\n", "expected a table"),
        ("[defaults]\ntlc = 7\n", "key 'tlc': expected a table"),
        ("mutants = 7\n", "key 'mutants': expected a list of files"),
        ("mutants = [7]\n", "key 'mutants': expected a list of files"),
    ],
)
def test_tables_of_another_type_are_told(project: Project, text: str, message: str) -> None:
    rest = "" if text.startswith("model") else project.manifest.read_text()
    head, _, models = rest.partition("[[model]]")
    rest = models and ("[[model]]" + models if "defaults" in text else f"{head}[[model]]{models}")
    project.manifest.write_text(text + rest)
    with pytest.raises(InvalidModel, match=message):
        load_manifest(project)


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("spec = 7", "key 'spec'"),
        ("machine = []", "key 'machine'"),
        ("constants = 7", "key 'constants'"),
        ("domains = 7", "key 'domains'"),
        ("equivalent = 7", "key 'equivalent'"),
    ],
)
def test_roles_have_types_too(project: Project, key: str, allowed: str) -> None:
    keys = {"spec": '"spec/Mutex.tla"', "machine": '"m.py"'}
    keys[key.split(maxsplit=1)[0]] = key.partition("= ")[2]
    text = "\n".join(f"{name} = {value}" for name, value in keys.items())
    project.manifest.write_text(f"{project.manifest.read_text()}\n[[role]]\n{text}\n")
    with pytest.raises(InvalidModel, match=f"role number 1: {allowed}"):
        load_manifest(project)


@pytest.mark.parametrize(
    ("keys", "allowed"),
    [
        ('checker = "spin"\nmode = "safety"\nexpected = "HOLDS"\n', "'tlc', 'apalache'"),
        (
            'checker = "tlc"\nmode = "safe"\nexpected = "HOLDS"\n',
            "'safety', 'liveness', 'example', 'graph', 'typecheck', 'bounded', 'inductive'",
        ),
        (
            'checker = "tlc"\nmode = "bounded"\nexpected = "HOLDS up to k"\n',
            "'safety', 'liveness', 'example', 'graph'",
        ),
        (
            'checker = "apalache"\nmode = "graph"\nexpected = "HOLDS"\n',
            "'typecheck', 'bounded', 'inductive'",
        ),
        (SAFE + 'lane = "slow"\n', "'quick', 'full'"),
        ('checker = "tlc"\nmode = "safety"\nexpected = "OK"\n', "'HOLDS up to k'"),
    ],
)
def test_what_is_allowed_is_listed(define: Define, keys: str, allowed: str) -> None:
    with pytest.raises(InvalidModel) as caught:
        define(keys)
    assert allowed in str(caught.value)


# --- Files of mutants -------------------------------------------------------------------


def with_mutant(project: Project, mutant: str) -> None:
    """The manifest with the mutant of its second model in a file of its own."""
    text = project.manifest.read_text()
    begin = text.index("mutation = ")
    end = text.index("\n", begin)
    text = f'mutants = ["models/mutants.toml"]\n{text[:begin]}mutant = "enters"{text[end:]}'
    project.manifest.write_text(text)
    (project.root / "models/mutants.toml").write_text(mutant)


FITTING = '[enters]\nbug = "A1"\nwhy = "It does not wait."\nedits = [{ module = "Mutex", '


def test_a_mutant_of_a_file_is_taken(project: Project) -> None:
    edit = 'operator = "Enter", old = "/\\\\ taken = FALSE", new = "" }]\n'
    with_mutant(project, FITTING + edit)
    manifest = load_manifest(project)
    assert manifest.misfits == {}
    assert manifest.models[1].mutation[0].operator == "Enter"
    assert (manifest.models[1].bug, manifest.models[1].why) == ("A1", "It does not wait.")


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ('old = "nowhere", new = "" }]\n', "mutation of Mutex: 'nowhere' occurs 0 times"),
        (
            'operator = "Leav", old = "x", new = "" }]\n',
            "mutation of Mutex: the module does not define Leav",
        ),
    ],
)
def test_a_mutant_that_does_not_fit_concerns_its_own_models(
    project: Project, edit: str, why: str
) -> None:
    with_mutant(project, FITTING + edit)
    manifest = load_manifest(project)
    assert list(manifest.misfits) == ["must-fail"]
    assert manifest.misfits["must-fail"].startswith(f"models/mutants.toml: mutant 'enters': {why}")


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ('module = "M", old = "a", new = "b"', "does not use a module 'M'; it uses: Mutex"),
        ('module = "Mutex", old = "nowhere", new = "b"', "mutation of Mutex: 'nowhere' occurs 0"),
    ],
)
def test_a_mutation_of_the_manifest_that_does_not_fit_concerns_its_own_model(
    define: Define, edit: str, why: str
) -> None:
    project, _ = define(SAFE + f'invariants = ["TypeInv"]\nmutation = [{{ {edit} }}]')
    (told,) = load_manifest(project).misfits.values()
    assert told.startswith("models/manifest.toml: model 'one': ")
    assert why in told


@pytest.mark.parametrize(
    ("mutant", "message"),
    [
        ('[enters]\nedits = "all"\n', "mutant 'enters': key 'edits': expected `array`"),
        ('[enters]\nedits = [{ module = "M", from = "a" }]\n', "edits: unknown key 'from'"),
        ('[enters]\nedits = [{ module = 7, old = "a", new = "b" }]\n', r"key 'edits\[0\].module'"),
        ('[enters]\nbug = 7\nedits = [{ module = "M", old = "", new = "" }]\n', "key 'bug'"),
        ("[enters]\nwhy = 'x'\n", "expected a table with edits"),
        ("enters = 7\n", "expected a table with edits"),
    ],
)
def test_a_wrong_file_of_mutants_is_told_with_the_mutant(
    project: Project, mutant: str, message: str
) -> None:
    with_mutant(project, mutant)
    with pytest.raises(InvalidModel, match=message) as caught:
        load_manifest(project)
    assert str(caught.value).startswith("models/mutants.toml: mutant 'enters': ")
