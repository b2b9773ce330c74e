"""Transitions of the contender that drawn runs show on real servers, guided and uniform.

python benchmarks/guidance/on_servers.py                   3 servers, 100 seconds each, seed 41
python benchmarks/guidance/on_servers.py --seconds 300 --seeds 1 2 3

Campaigns of the same length and seed, one after the other. The thought-out runs are left out,
because they take all of these transitions by themselves.
"""

from __future__ import annotations

import argparse
import os

from keepstep.testing.election import campaign
from keepstep.testing.election.campaign import Campaign, CampaignState, Plan, all_faults
from keepstep.testing.election.coverage import UNREACHABLE, all_transitions
from keepstep.testing.election.step_choice import Choice

WANTED = all_transitions() - set(UNREACHABLE)
SHOWN = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--seeds", type=int, nargs="*", default=[41])
    given = parser.parse_args()
    campaign.scenarios = dict
    campaign.tour = lambda _: {}
    for seed in given.seeds:
        for choice in (Choice.GUIDED, Choice.UNIFORM):
            load = os.getloadavg()[0]
            seen: list[str] = []

            def note(_: str, state: CampaignState, seen: list[str] = seen) -> None:
                coverage = state.coverage
                if not coverage.examples % SHOWN:
                    seen.append(f"{len(set(coverage.transitions) & WANTED)}/{coverage.steps}")

            plan = Plan(
                servers=given.servers,
                seconds=given.seconds,
                seed=seed,
                faults=all_faults(),
                choice=choice,
            )
            state = Campaign.begin(plan, progress=note).run()
            coverage = state.coverage
            taken = len(set(coverage.transitions) & WANTED)
            print(
                f"{choice}, seed {seed}: {taken} of {len(WANTED)} transitions, "
                f"{len(state.experience.under)} edges under faults, in "
                f"{coverage.steps} steps of {coverage.examples} runs, {state.seconds:.0f} s "
                f"(load {load:.1f}); {len(state.failures)} promises broken; "
                f"seen/steps: {' '.join(seen)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
