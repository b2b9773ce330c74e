"""Modules of pure operators become Python functions that say the same."""

from __future__ import annotations

import types
from pathlib import Path

import pytest

from keepstep.checkers.toolchain import find_java, find_tlc
from keepstep.cli.derive import project_targets
from keepstep.derive.emit import Origin
from keepstep.derive.pure import emit_functions
from keepstep.derive.sany import Sany
from keepstep.errors import InvalidModel, InvalidSpec
from keepstep.tla.sources import Project

ROOT = Path(__file__).parents[2]
PROJECT = Project(ROOT)

pytestmark = pytest.mark.tools

HEAD = r"""
---- MODULE Pure ----
\* What can be done with coins?
EXTENDS Integers, Sequences, FiniteSets, Apalache

\* A coin, and what it is worth.
\* @typeAlias: coin = { metal: Str, worth: Int };
\*
\* Coins by the name of their owner.
\* @typeAlias: purses = Str -> Set($coin);
pure_typedefs == TRUE
"""
GOOD = r"""
\* The coin that is worth nothing.
\* @type: () => $coin;
Blank == [metal |-> "tin", worth |-> 0]

\* A coin that is worth more.
\* @type: ($coin, Int) => $coin;
Minted(coin, more) == [coin EXCEPT !.worth = @ + more]

\* Why a coin is refused, or "OK".
\* @type: ($coin, Int) => Str;
Refusal(coin, least) ==
    CASE coin.metal = "tin" /\ coin.worth > 0 -> "false"
      [] ~(coin.worth >= least) -> "small"
      [] OTHER -> "OK"

\* The worth of several coins, one after the other.
\* @type: Seq($coin) => Int;
Sum(coins) ==
    LET \* @type: (Int, $coin) => Int;
        Added(sum, coin) == sum + coin.worth
    IN ApaFoldSeqLeft(Added, 0, coins)

\* The purses with one more.
\* @type: ($purses, Str, Set($coin)) => $purses;
With(purses, owner, coins) ==
    [o \in DOMAIN purses \union {owner} |-> IF o = owner THEN coins ELSE purses[o]]

\* The purses without one.
\* @type: ($purses, Str) => $purses;
Without(purses, owner) == [o \in DOMAIN purses \ {owner} |-> purses[o]]

\* Who has a coin of a metal.
\* @type: ($purses, Str) => Set(Str);
Owners(purses, metal) ==
    { o \in DOMAIN purses : \E coin \in purses[o] : coin.metal = metal }

\* Nobody is rich, and somebody is poor.
\* @type: $purses => Bool;
IsFair(purses) ==
    /\ \A o \in DOMAIN purses : Cardinality(purses[o]) <= 2
    /\ (\E o \in DOMAIN purses : purses[o] = {}) \/ purses /= With(purses, "x", {})

\* The first and the last of several coins, and all but the last.
\* @type: Seq($coin) => Seq($coin);
Ends(coins) == <<coins[1], coins[Len(coins)]>>

\* @type: Seq($coin) => Seq($coin);
\* All but the last.
Begun(coins) == Append(SubSeq(coins, 1, Len(coins) - 1), Blank)
"""


@pytest.fixture
def emitted(tmp_path):
    """Gives the text of the functions of a module."""

    def emit(body, head=HEAD):
        file = tmp_path / "Pure.tla"
        file.write_text(f"{head.strip()}\n{body}\n====\n")
        sany = Sany(find_java().path, find_tlc().jar)
        spec = sany.read(file, [ROOT / "models/shims"])
        return emit_functions(spec, Origin("Pure.tla"))

    return emit


def test_functions_say_what_operators_say(emitted):
    pure = types.ModuleType("pure")
    exec(compile(emitted(GOOD), "pure", "exec"), vars(pure))  # noqa: S102 - derived just now
    gold = pure.Coin(metal="gold", worth=5)
    assert pure.BLANK == ("tin", 0)
    assert pure.minted(gold, 2) == ("gold", 7)
    assert pure.refusal(pure.minted(pure.BLANK, 1), 0) == "false"
    assert pure.refusal(gold, 6) == "small"
    assert pure.refusal(gold, 5) == "OK"
    assert pure.sum_((gold, gold, pure.BLANK)) == 10
    purses = pure.with_({"a": frozenset({gold})}, "b", frozenset())
    assert purses == {"a": {gold}, "b": frozenset()}
    assert pure.without(purses, "a") == {"b": frozenset()}
    assert pure.owners(purses, "gold") == {"a"}
    assert pure.is_fair(purses)
    assert not pure.is_fair({"x": frozenset({gold, pure.BLANK, pure.minted(gold, 1)})})
    assert pure.ends((gold, pure.BLANK, gold)) == (gold, gold)
    assert pure.begun((gold, gold)) == (gold, pure.BLANK)


def test_comments_become_docstrings(emitted):
    text = emitted(GOOD)
    assert '"""A coin, and what it is worth."""' in text
    assert '"""Who has a coin of a metal."""' in text
    assert text.startswith('"""What can be done with coins?')


REFUSED = {
    "a variable": ("VARIABLE\n\\* A coin.\n\\* @type: Int;\nx\n", "no x of its own"),
    "no sentence": ("\\* @type: Int => Int;\nTwice(x) == x + x\n", "no sentence says"),
    "no type": ("\\* Twice as much.\nTwice(x) == x + x\n", "the type of Twice"),
    "a record without a name": (
        "\\* A thing.\n\\* @type: () => $coin;\nThing == [size |-> 1]\n",
        "no @typeAlias",
    ),
    "a CASE without OTHER": (
        "\\* It.\n\\* @type: Int => Int;\nIt(x) == CASE x = 1 -> 2\n",
        "needs an OTHER",
    ),
    "an index": (
        "\\* The second.\n\\* @type: (Seq($coin), Int) => $coin;\nNth(s, n) == s[n]\n",
        "sequences at their ends",
    ),
    "an operator without a form": (
        "\\* All.\n\\* @type: Set(Int) => Set(Set(Int));\nAll(s) == SUBSET s\n",
        "SUBSET has no form",
    ),
    "two records with the same fields": (
        "\\* Another.\n\\* @typeAlias: token = { worth: Int, metal: Str };\nx_typedefs == TRUE\n",
        "has the fields of coin",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_form_is_refused_with_its_line(emitted, what):
    body, message = REFUSED[what]
    with pytest.raises(InvalidSpec, match=message) as refused:
        emitted(body)
    assert refused.value.line


def test_the_service_is_as_derived():
    module = ROOT / "spec/service/ZooKeeperService.tla"
    sany = Sany(find_java().path, find_tlc().jar)
    spec = sany.read(module, PROJECT.search_path(module, shims=True))
    text = emit_functions(spec, Origin("spec/service/ZooKeeperService.tla", "keepstep.simulation"))
    assert text == (ROOT / "src/keepstep/simulation/service.py").read_text()


@pytest.mark.parametrize(
    ("functions", "says"),
    [
        ("[functions]\nspec = 'spec/Pure.tla'", "[[functions]]"),
        ("[[functions]]\nmodule = 'money.pure'", "'spec'"),
        ("[[functions]]\nspec = 'spec/Pure.tla'", "'module'"),
        ("[[functions]]\nspec = 'spec/Pure.tla'\nmodule = 'nowhere.pure'", "no package nowhere"),
    ],
    ids=["one-bracket", "no-spec", "no-module", "no-package"],
)
def test_a_wrong_table_of_functions_is_told(tmp_path, functions, says):
    (tmp_path / "models").mkdir()
    role = "[[role]]\nspec = 'spec/Keeper.tla'\nmachine = 'keeper.py'\n"
    (tmp_path / "models/manifest.toml").write_text(f"{role}{functions}\n")
    with pytest.raises(InvalidModel) as refused:
        project_targets(Project(tmp_path))
    assert says in str(refused.value)
