"""Runs in memory: every edge is found, what breaks is seen, told, repeated and made shorter."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keepstep.conformance.run import graph_models
from keepstep.errors import Divergence, InvalidModel, LocalViolation
from keepstep.exploration.explorer import (
    Breach,
    Explorer,
    Labelled,
    Uniform,
    explore,
    load_explorer,
    reached_by_tlc,
    shrink,
    take,
)
from keepstep.exploration.guidance import Guidance
from keepstep.tla.sources import Project, shipped_root

Make = Callable[..., Explorer]
pytestmark = pytest.mark.tools


def test_class_and_derived_functions_reach_the_edges_that_tlc_took(
    study: Project, make: Make
) -> None:
    name = graph_models(study, "quick")[0].name
    theirs = reached_by_tlc(study, name)
    ours = make("")
    assert ours.everything() == theirs
    assert ours.size == 313
    assert load_explorer(study, name, player="spec").everything() == theirs
    assert reached_by_tlc(study, name) == theirs  # this time from the cache


def test_a_class_that_differs_reaches_other_edges_or_says_what_it_did(
    study: Project, make: Make
) -> None:
    name = graph_models(study, "quick")[0].name
    other = make('offline.to(ranking, on="attach") => offline.to(joining, on="attach")')
    assert other.everything() != reached_by_tlc(study, name)


def test_the_same_seed_makes_the_same_runs(make: Make) -> None:
    found = [explore(make(""), Uniform(seed), steps=400, length=30) for seed in (3, 3, 4)]
    assert found[0].first == found[1].first
    assert found[0].first != found[2].first
    assert found[0].steps == 400
    assert found[0].breach is None


def test_guided_runs_see_everything_and_can_be_repeated(make: Make) -> None:
    wanted = make("").everything()
    found = []
    for _ in range(2):
        explorer = make("")
        found.append(explore(explorer, Guidance(explorer, 5), steps=20_000, until=wanted))
    assert found[0].first == found[1].first
    assert found[0].steps_until(wanted) is not None
    assert found[0].steps_until(wanted, 0.5) < found[0].steps_until(wanted)


def test_what_was_not_seen_is_not_claimed(make: Make) -> None:
    explorer = make("")
    wanted = explorer.everything()
    found = explore(explorer, Uniform(1), steps=3, until=wanted)
    assert found.steps_until(wanted) is None
    assert found.steps_until(wanted, 0.01) == 1
    assert found.steps_until([]) == 0


WRONG = "self.ask(WriteFenced(self.facts.fence)) => self.facts.nothing"


def test_what_a_class_does_wrong_ends_the_run_and_shrinks_deterministically(make: Make) -> None:
    explorer = make(WRONG)
    found = explore(explorer, Uniform(0), steps=100_000, length=60)
    assert found.breach is not None
    assert "AttributeError" in found.breach.problem
    short = shrink(explorer, found.breach)
    assert short == shrink(make(WRONG), found.breach)
    assert len(short.steps) <= len(found.breach.steps)
    for place in range(len(short.steps)):
        fewer = [*short.steps[:place], *short.steps[place + 1 :]]
        assert short.problem not in take(explorer, fewer)[1]
    story = short.story(explorer)
    assert story[0].startswith("1. ")
    assert story[-1].endswith(short.problem)
    assert "_OF_NODE" not in "".join(story)


def test_a_false_invariant_ends_the_run_where_it_becomes_false(make: Make) -> None:
    explorer = make("", "OneFenceInv", "LeaderExample")
    found = explore(explorer, Uniform(0), steps=100_000, length=60)
    assert found.breach is not None
    assert found.breach.problem == "LeaderExample"
    short = shrink(explorer, found.breach)
    assert str(short.steps[-1]).startswith("C!Lead(")
    # Nobody can lead in fewer steps: what TLC's search in breadth would find.
    assert len(short.steps) == 14


def test_a_run_that_breaks_nothing_here_is_refused(make: Make) -> None:
    explorer = make(WRONG)
    found = explore(explorer, Uniform(0), steps=100_000, length=60)
    assert found.breach is not None
    with pytest.raises(Divergence, match="does not break"):
        shrink(make(""), found.breach)
    odd = Breach("nothing", (Labelled("S!NoSuchThing"),))
    with pytest.raises(LocalViolation, match="not possible"):
        odd.story(explorer)


@pytest.mark.full
def test_guidance_needs_far_fewer_steps_than_uniform_choice() -> None:
    """The bar in small; benchmarks/guidance measures it."""
    project = Project(shipped_root())
    wanted = reached_by_tlc(project, "n1f2")
    explorer = load_explorer(project, "n1f2")
    for seed in (11, 12, 13):
        guided = explore(explorer, Guidance(explorer, seed), steps=60_000, until=wanted)
        uniform = explore(explorer, Uniform(seed), steps=3 * 60_000, until=wanted)
        assert guided.steps_until(wanted) is not None
        assert uniform.steps_until(wanted, 0.95) is None


def test_unknown_players_and_models_are_refused(study: Project) -> None:
    with pytest.raises(InvalidModel, match="no model"):
        load_explorer(study, "no such model")
    name = graph_models(study, "quick")[0].name
    with pytest.raises(LocalViolation, match="'class' or by 'spec'"):
        load_explorer(study, name, player="nobody")
