"""Rules are drawn more often for what was not seen, and the weights stay as they are meanwhile."""

from __future__ import annotations

from hypothesis import given, seed, settings

from keepstep.exploration.ledger import Ledger, Witness
from keepstep.testing.election import suite as election_suite
from keepstep.testing.election.coverage import UNREACHABLE, all_transitions
from keepstep.testing.election.rule_weights import RuleWeights, current, frozen, weigh
from keepstep.testing.election.sights import edges_of
from keepstep.testing.election.suite import ARGUMENTS, WEIGHTS
from keepstep.testing.election.world import Step
from keepstep.validation.validator import Edge

SPEC = {"A": "1"}
KILL, CUT, WRITE = ("kill", "who"), ("cut", "who"), ("write", "who")


def ledger(*faults: str, but: Edge | None = None, examples: int = 50) -> Ledger:
    """All edges were seen in each example, and these faults beside them."""
    found, witness = Ledger(SPEC), Witness("suite")
    edges = edges_of({taken: 1 for taken in all_transitions() if taken not in UNREACHABLE})
    if but:
        del edges[but]
    for _ in range(examples):
        witness.note(edges, faults)
    found.add(witness)
    return found


def test_a_fault_that_was_seen_beside_few_edges_is_drawn_more_often() -> None:
    weights = weigh(ledger("kill"), WEIGHTS, ARGUMENTS).rules
    assert weights[CUT] == 4 * WEIGHTS[CUT]
    assert weights[KILL] == WEIGHTS[KILL]
    assert weights[WRITE] == WEIGHTS[WRITE]
    assert list(weights) == list(WEIGHTS)


def test_faults_of_all_names_are_known() -> None:
    grown = weigh(Ledger(SPEC), WEIGHTS, ARGUMENTS).rules
    more = {shape[0] for shape, weight in grown.items() if weight > WEIGHTS[shape]}
    assert {"drop_reply", "drop_request", "delete_parent", "give_up", "wipe_server"} <= more
    assert all(weight >= WEIGHTS[shape] for shape, weight in grown.items())


def test_a_state_with_an_edge_that_was_never_seen_is_headed_for() -> None:
    found = weigh(ledger("kill", but=Edge("C!Found", "fencing")), WEIGHTS, ARGUMENTS)
    states = list(found.arguments["state"])
    assert states.count("fencing") == 4
    assert states.count("leading") == 1
    assert set(states) == set(ARGUMENTS["state"])
    assert found.arguments["who"] == ARGUMENTS["who"]


def drawn(weights: RuleWeights | None) -> list[Step]:
    steps: list[Step] = []

    @seed(1)
    @settings(max_examples=300, database=None)
    @given(election_suite._some_step())
    def draw(step: Step) -> None:
        steps.append(step)

    if weights is None:
        draw()
    else:
        with frozen(weights):
            draw()
    return steps


def test_the_suite_draws_by_what_is_frozen_and_the_same_again() -> None:
    only = {shape: 1 if shape == WRITE else 0 for shape in WEIGHTS}
    mine = RuleWeights(only, {**ARGUMENTS, "who": ["next"]})
    assert {str(step) for step in drawn(mine)} == {"write(who=next)"}
    weights = weigh(ledger("kill"), WEIGHTS, ARGUMENTS)
    assert drawn(weights) == drawn(weights)
    assert len({step.rule for step in drawn(None)}) > 10


def test_nothing_frozen_changes_nothing() -> None:
    found = current(WEIGHTS, ARGUMENTS)
    assert (found.rules, found.arguments) == (WEIGHTS, ARGUMENTS)
    with frozen(RuleWeights({KILL: 9}, {})):
        assert current(WEIGHTS, ARGUMENTS).rules == {**WEIGHTS, KILL: 9}
    assert current(WEIGHTS, ARGUMENTS).rules == WEIGHTS
