"""Campaigns of walks: many elections on the fake, each led step by step to what is new.

What a campaign on real servers keeps of each run is kept of each walk as well: promises after each
step, the comparison with the specification, goals, failures in files. What walks have seen of where
steps lead is kept in memory only, so a campaign of walks is not resumed; the same seed repeats it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from keepstep.errors import LocalViolation
from keepstep.exploration.ledger import Witness
from keepstep.shell.contender_shell import ContenderShell
from keepstep.testing.election.campaign import Campaign, CampaignState, Plan, goals_of
from keepstep.testing.election.coverage import FAULTS, Coverage
from keepstep.testing.election.offers import Bounds
from keepstep.testing.election.step_choice import Choice
from keepstep.testing.election.walks import Walks

__all__ = ["FAKE", "FAULTS_OF_WALKS", "WalkCampaign", "WalkState"]

FAKE = "fake"
"""What stands in a ledger in the place of the version of servers."""

_NOT_OFFERED = frozenset({"pause", "delay"})
"""Who is not delivered anything for long stands still as if paused; and there is no time."""

FAULTS_OF_WALKS = tuple(kind for kind in FAULTS if kind not in _NOT_OFFERED)
"""Kinds of faults of which each has to hit a leader in office."""


@dataclass
class WalkState(CampaignState):
    """Where a campaign of walks stands.

    Attributes:
        told_apart: How many situations the walks have told apart.
    """

    told_apart: int = 0

    def gaps(self) -> Iterator[str]:
        """Why it is not conclusive; what it remembers grows, so its memory is not looked at."""
        yield from self.coverage.gaps()
        yield from self.goals.gaps()
        if self.interrupted:
            yield "it was interrupted"


class WalkCampaign(Campaign):
    """Walks on the fake, for a while.

    Args:
        state: Where it stands, which is at its beginning.
        bounds: How much may happen in each walk.
        options: As of a `Campaign`.
    """

    def __init__(self, state: WalkState, bounds: Bounds | None = None, **options: Any) -> None:
        super().__init__(state, **options)
        self._walk_state = state
        plan = state.plan
        self._bounds = bounds or Bounds(servers=plan.servers)
        self._witness = Witness("walks", server=FAKE, servers=plan.servers, seed=plan.seed)
        self._walks = Walks(
            plan.seed, self._bounds, Choice(plan.choice), shell_class=self._shell_class
        )

    @classmethod
    def begin(cls, plan: Plan, **options: Any) -> WalkCampaign:
        """A campaign of walks; for the options see the class.

        Raises:
            LocalViolation: The plan cannot be done with walks.
        """
        plan.validate()
        if plan.faults or plan.namespaces:
            raise LocalViolation("walks have faults of their own, and no fault packages")
        shell_class = options.get("shell_class", ContenderShell)
        name = f"{shell_class.__module__}:{shell_class.__qualname__}"
        coverage = Coverage(FAULTS_OF_WALKS)
        return cls(WalkState(plan, name, coverage, goals_of(plan.servers)), **options)

    def _run_on_servers(self) -> None:
        """Walk until the time is over."""
        state, walks = self._walk_state, self._walks
        while self._has_time():
            name = f"walk {state.following}"
            self._progress(name, state)
            faults = Counter(state.coverage.faults)
            recorder = self._recorder(f"campaign, {name}")
            walk = walks.walk(state.coverage, recorder)
            state.told_apart = walks.seen.size
            state.experience.learn(walk.world)
            self._take_in(name, walk.world, recorder, state.coverage.faults - faults)
