"""SANY's tree, read: instances resolved, names qualified, errors with a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepstep.derive.ast import App, Bind, Let, Lit, Name, walk
from keepstep.derive.sany import Sany
from keepstep.errors import InvalidSpec, ToolFailed

pytestmark = pytest.mark.tools

ROLE = r"""---- MODULE Role ----
EXTENDS Naturals
CONSTANT NODES
VARIABLES mode, world
LOCAL Hidden(n) == mode[n] = "hidden"
F(a, b) == a + b
\* Go on.
\* @type: NODE => Bool;
Go(n) ==
    /\ Hidden(n)
    /\ \E k \in NODES : F(k, 1) > 1
    /\ mode' = [mode EXCEPT ![n] = "gone"]
    /\ UNCHANGED world
React(n) == Go(n)
====
"""

SERVER = r"""---- MODULE Server ----
VARIABLE tree
Picture == <<tree>>
R(k) == INSTANCE Role WITH mode <- Picture, world <- tree, NODES <- {k}
Serve(n) == R(n)!Go(n)
====
"""

SYSTEM = r"""---- MODULE System ----
EXTENDS Naturals, FiniteSets
CONSTANT NODES
VARIABLES mode, tree, drawn
serverVars == <<tree, drawn>>
C == INSTANCE Role WITH world <- serverVars
S == INSTANCE Server
P(k) == INSTANCE Role WITH world <- serverVars, NODES <- {k}
RECURSIVE Sum(_)
Sum(set) == IF set = {} THEN 0 ELSE LET x == CHOOSE y \in set : TRUE IN x + Sum(set \ {x})
Next == \E n \in NODES : C!React(n) \/ S!Serve(n) \/ P(n)!Go(n) \/ Cardinality(NODES) > 3
====
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in (("Role", ROLE), ("Server", SERVER), ("System", SYSTEM)):
        (tmp_path / f"{name}.tla").write_text(text)
    return tmp_path


@pytest.fixture(scope="module")
def system(sany, tmp_path_factory):
    folder = tmp_path_factory.mktemp("system")
    for name, text in (("Role", ROLE), ("Server", SERVER), ("System", SYSTEM)):
        (folder / f"{name}.tla").write_text(text)
    return sany.read(folder / "System.tla")


def calls(node):
    return [part.op for part in walk(node) if isinstance(part, App) and part.source == "defined"]


def names(node, kind):
    return {part.name for part in walk(node) if isinstance(part, Name) and part.kind == kind}


def test_the_root_names_its_own_variables_and_constants_only(system):
    assert [variable.name for variable in system.variables] == ["mode", "tree", "drawn"]
    assert [constant.name for constant in system.constants] == ["NODES"]
    assert set(system.sources) == {"Role", "Server", "System"}
    assert system.extended == {"System"}


def test_a_substitution_is_applied(system):
    body = system.named("C!Go").body
    (unchanged,) = [p for p in walk(body) if isinstance(p, App) and p.op == "UNCHANGED"]
    assert unchanged.args == (App("serverVars", (), "defined", "serverVars"),)
    assert names(body, "variable") == {"mode"}


def test_calls_inside_an_instance_stay_in_it(system):
    assert calls(system.named("C!React").body) == ["C!Go"]
    assert calls(system.named("C!Go").body) == ["C!Hidden", "C!F", "serverVars"]
    assert "C!Hidden" in system.operators
    assert "Go" not in system.operators


def test_an_operator_of_an_instance_is_where_it_is_written(system):
    operator = system.named("C!Go")
    assert (operator.at.module, operator.at.line, operator.instance) == ("Role", 9, "C!")
    assert operator.comment == "Go on."
    assert operator.annotations == {"type": "NODE => Bool"}


def test_parameters_of_an_instance_come_first(system):
    operator = system.named("P!Go")
    assert operator.params == ("k", "n")
    assert calls(operator.body) == ["P!Hidden", "P!F", "serverVars"]
    hidden = system.named("P!Hidden")
    assert hidden.params == ("k", "n")


def test_a_bound_name_does_not_capture_what_is_substituted(system):
    (exists,) = [p for p in walk(system.named("P!Go").body) if isinstance(p, Bind)]
    (bound,) = exists.bounds
    assert bound.over == App("$SetEnumerate", (Name("k", "local"),))
    assert bound.names == ("k_",)
    assert Name("k_", "local") in list(walk(exists.body))


def test_instances_within_instances_are_resolved(system):
    parts = walk(system.named("S!Serve").body)
    (serve,) = [part for part in parts if isinstance(part, App) and part.source == "defined"]
    assert (serve.op, serve.args) == ("S!R!Go", (Name("n", "local"), Name("n", "local")))
    inner = system.named("S!R!Go")
    assert calls(inner.body)[:2] == ["S!R!Hidden", "S!R!F"]
    assert "S!Picture" in calls(inner.body)
    assert names(inner.body, "variable") == {"tree"}


def test_standard_operators_are_no_definitions(system):
    parts = [p for p in walk(system.named("Next").body) if isinstance(p, App)]
    assert {p.op for p in parts if p.source == "library"} == {"Cardinality", ">"}
    assert not any(p.op.endswith("Cardinality") and p.source == "defined" for p in parts)


def test_let_and_recursion(system):
    operator = system.named("Sum")
    assert operator.recursive
    (let,) = [p for p in walk(operator.body) if isinstance(p, Let)]
    (definition,) = let.definitions
    used = [p for p in walk(let.body) if isinstance(p, App) and p.source == "let"]
    assert {p.uid for p in used} == {definition.uid}


def test_case_other_and_at(sany, tmp_path):
    text = r"""---- MODULE M ----
EXTENDS Naturals
VARIABLE x
A == CASE x = 1 -> "one" [] OTHER -> "more"
B == [x EXCEPT ![1] = @ + 1]
===="""
    (tmp_path / "M.tla").write_text(text)
    spec = sany.read(tmp_path / "M.tla")
    assert App("$Other") in list(walk(spec.named("A").body))
    assert Lit("more") in list(walk(spec.named("A").body))
    assert "At" in {type(part).__name__ for part in walk(spec.named("B").body)}


# --- What SANY refuses ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("VARIABLE x\nA == x' = = 1", 3, "syntax error"),
        ("VARIABLE x\nA == x' = y", 3, "Unknown operator: `y'"),
        ("EXTENDS Naturals, Nowhere", 2, "no module Nowhere"),
        ("A(x) == x\nB == A(1, 2)", 3, "A"),
    ],
    ids=["syntax", "unknown-name", "missing-module", "arity"],
)
def test_an_error_names_file_and_line(sany, tmp_path, text, line, says):
    path = tmp_path / "Wrong.tla"
    path.write_text(f"---- MODULE Wrong ----\n{text}\n====\n")
    with pytest.raises(InvalidSpec) as refused:
        sany.read(path)
    assert (refused.value.file, refused.value.line) == (str(path), line)
    assert says in refused.value.message


def test_an_error_in_another_module_names_that_module(sany, folder):
    wrong = folder / "Role.tla"
    wrong.write_text(ROLE.replace("F(k, 1) > 1", "F(k, 1) > nothing"))
    with pytest.raises(InvalidSpec) as refused:
        sany.read(folder / "System.tla")
    assert (refused.value.file, refused.value.line) == (str(wrong), 11)


def test_a_module_that_is_not_there(sany, tmp_path):
    with pytest.raises(InvalidSpec, match="no such module"):
        sany.read(tmp_path / "Nowhere.tla")


def test_a_java_that_is_not_there(sany, folder):
    with pytest.raises(ToolFailed, match="cannot start"):
        Sany(Path("/nowhere/java"), sany.jar).read(folder / "System.tla")


def test_a_jar_that_is_none(sany, folder):
    jar = folder / "tla2tools.jar"
    jar.write_bytes(b"no jar")
    with pytest.raises(ToolFailed):
        Sany(sany.java, jar).read(folder / "System.tla")
