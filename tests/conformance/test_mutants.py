from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

from keepstep.conformance.deriver_mutants import DERIVER_MUTANTS, derive_with
from keepstep.conformance.killing import LAYERS, Arena
from keepstep.conformance.mutants import class_mutants
from keepstep.conformance.player import Cast
from keepstep.conformance.role_table import RoleTable
from keepstep.conformance.run import Role, Stage
from keepstep.conformance.system_graph import SystemGraph
from keepstep.errors import InternalError

Make = Callable[[str], Cast]

KINDS = {
    "guard dropped": "tickets_listed.wait.unguarded",
    "guard negated": "tickets_listed.join.unless.negated",
    "part of a guard dropped": "tickets_listed.verify.cond.without-is_first",
    "and for or": "tickets_listed.wait.cond.and-or",
    "source dropped": "ticket_gone.rerank.not-from-verifying",
    "transition dropped": "epoch_read.bid.dropped",
    "order of transitions": "tickets_listed.wait.sooner",
    "events swapped": "connected.swapped-with-suspended",
    "extra transition": "suspended.extra-attach",
    "another action": "epoch_read.bid.acts-as-lead",
    "request dropped": "discard.ask.dropped",
    "request changed": "join.ask.ListTickets",
    "request repeated": "bid.ask.twice",
    "order of ask and remember": "resign.order",
    "fact kept": "lead.remember.dropped",
    "another fact": "lead.fence.is-ticket",
    "fact forgotten": "write.forgets-ticket",
    "minimum": "verify.min-max",
    "comparison": "numbers_ahead.lte",
    "filter dropped": "own_numbers.unfiltered",
    "result negated": "is_ours.returns-not",
    "first state": "state.ranking.initial",
}


def test_there_is_a_mutant_of_every_kind(text: str) -> None:
    names = {mutant.name for mutant in class_mutants(text)}
    missing = {kind: name for kind, name in KINDS.items() if name not in names}
    assert not missing


def test_targets_and_sources_are_a_sample_of_the_full_lane(text: str) -> None:
    quick = {mutant.name for mutant in class_mutants(text)}
    full = {mutant.name for mutant in class_mutants(text, every=True)}
    assert len(full) > len(quick)
    assert quick <= full
    targets = {name for name in full if name.startswith("epoch_read.bid.to-")}
    assert len(targets) == 9


def test_mutants_are_python_all_different_and_always_the_same(text: str) -> None:
    mutants = class_mutants(text)
    assert len({mutant.name for mutant in mutants}) == len(mutants) > 300
    assert len({mutant.text for mutant in mutants}) == len(mutants)
    assert ast.unparse(ast.parse(text)) not in {mutant.text for mutant in mutants}
    for mutant in mutants:
        ast.parse(mutant.text)
    assert class_mutants(text) == mutants


@pytest.fixture(scope="session")
def arena(role: Role, table: RoleTable, staged: Stage, graph: SystemGraph) -> Arena:
    assert role.table is table
    return Arena(role, [(staged, graph)], {})


@pytest.mark.tools
def test_the_class_as_it_is_survives(arena: Arena, text: str) -> None:
    assert arena.judge(text, "original") == ("", "")


@pytest.mark.tools
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("join.ask.dropped", "role table"),
        ("state.ranking.initial", "shape"),
        ("tickets_listed.wait.unguarded", "disjointness"),
        ("numbers_ahead.lte", "role table"),
        ("is_ours.returns-not", "role table"),
        ("tickets_listed.wait.sooner", ""),
        ("rerank.order", ""),
    ],
)
def test_the_layer_that_kills_a_mutant_is_known(
    arena: Arena, text: str, name: str, layer: str
) -> None:
    (mutant,) = [mutant for mutant in class_mutants(text) if mutant.name == name]
    (killed,) = arena.kill([mutant])
    assert killed.layer == layer
    assert bool(killed.reason) == bool(layer)
    assert layer in ("", *LAYERS)


@pytest.mark.tools
def test_a_module_that_cannot_be_read_is_killed_by_construction(arena: Arena) -> None:
    assert arena.judge("class :", "broken")[0] == "construction"
    assert arena.judge("x = 1", "empty")[0] == "construction"


@pytest.mark.tools
def test_the_system_graph_kills_what_only_it_can_see(arena: Arena, make: Make, text: str) -> None:
    """With an empty table, a wrong step on the way to leadership is seen by the graph."""
    table = arena.table
    blind = Arena(arena.role, arena.graphs, {})
    blind.table = RoleTable(table.form, {}, [], frozenset(), table.quiet_outbox, 0)
    edited = text.replace("self.ask(ReadEpoch())", "self.ask(ListTickets())")
    assert blind.judge(edited, "wrong")[0] == "system graph"


@pytest.mark.tools
def test_every_mutant_of_the_deriver_fits_it(role: Role) -> None:
    right = derive_with(None, role.spec, "played.roles")
    changed = []
    for mutant in DERIVER_MUTANTS:
        try:
            derived = derive_with(mutant, role.spec, "played.roles")
        except InternalError:
            raise
        except Exception:  # noqa: BLE001 - a wrong deriver may fail in any way
            derived = []
        if derived != right:
            changed.append(mutant.name)
    assert len(changed) >= 10
    assert derive_with(None, role.spec, "played.roles") == right


@pytest.mark.tools
def test_an_edit_that_does_not_fit_is_our_own_defect(role: Role) -> None:
    broken = DERIVER_MUTANTS[0].__class__("deriver.none", "emit", "no such text", "", "nothing")
    with pytest.raises(InternalError, match="does not fit"):
        derive_with(broken, role.spec, "played.roles")
