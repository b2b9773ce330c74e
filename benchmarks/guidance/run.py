"""Steps until the edges of a model were seen: guided choice against uniform choice.

python benchmarks/guidance/run.py                    model n1f2, seeds 0 to 9
python benchmarks/guidance/run.py --model n2f1 --seeds 5
python benchmarks/guidance/run.py --most 500000      give uniform choice so many steps at most

The wanted edges are those that TLC took in the model. Both choosers run on the same explorer,
so neither pays for looking at states; only the steps that a run takes are counted. A third
chooser is a handicap for guided choice: it is told which steps are faults and picks them
rarely, which uniform choice cannot know.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from keepstep.exploration.explorer import (
    Chooser,
    Explorer,
    Move,
    Uniform,
    View,
    explore,
    load_explorer,
    reached_by_tlc,
)
from keepstep.exploration.guidance import Guidance
from keepstep.tla.sources import find_project
from keepstep.validation.validator import Edge

FAULTS = frozenset(
    f"S!{name}"
    for name in (
        *("Abandon", "Disconnect", "Expire", "Haunt", "FallBehind", "Intrude", "Touch"),
        *("RemoveParent", "Wipe"),
    )
) | {"Resign", "Ring"}


class RareFaults:
    """Uniform choice, but a fault is picked only one time in `one_in`, or where nothing else is."""

    def __init__(self, explorer: Explorer, seed: int, one_in: int = 20) -> None:
        self.random = random.Random(seed)  # noqa: S311 - it has to be repeatable
        self.one_in = one_in
        self.explorer = explorer

    def begin(self) -> None:
        pass

    def choose(self, state: int, view: View) -> Move | None:  # noqa: ARG002
        names, name_of = self.explorer.names, self.explorer.name_of
        faults = [move for move in view.moves if names[name_of[move.action]] in FAULTS]
        others = [move for move in view.moves if names[name_of[move.action]] not in FAULTS]
        rare = faults and (not others or self.random.randrange(self.one_in) == 0)
        return self.random.choice(faults if rare else others)

    def end(self, path: Sequence[tuple[int, Move]]) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="n1f2")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--length", type=int, default=60, help="steps of a run at most")
    parser.add_argument("--most", type=int, default=2_000_000, help="steps of a campaign at most")
    parser.add_argument("--most-guided", type=int, default=300_000)
    parser.add_argument("--project", type=Path)
    given = parser.parse_args()
    project = find_project(given.project)
    wanted = reached_by_tlc(project, given.model)
    explorer = load_explorer(project, given.model)
    explorer.everything()
    print(f"{given.model}: TLC took {len(wanted)} edges, in {explorer.size:,} states")
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    guided = measure(
        "guided", lambda seed: Guidance(explorer, seed), explorer, wanted, seeds,
        given.most_guided, given.length,
    )  # fmt: skip
    uniform = measure("uniform", Uniform, explorer, wanted, seeds, given.most, given.length)
    rare = measure(
        "faults rare", lambda seed: RareFaults(explorer, seed), explorer, wanted, seeds,
        given.most, given.length,
    )  # fmt: skip
    for name, other in (("uniform choice", uniform), ("uniform choice that spares faults", rare)):
        for share, ours, theirs in zip((0.95, 1.0), guided, other, strict=True):
            bound = "at most " if theirs[1] else ""
            print(
                f"guided / {name}, {share:.0%}: {bound}{ours[0] / theirs[0]:.4f}"
                + (" (guided did not get there)" if ours[1] else "")
            )


def measure(
    name: str,
    chooser: Callable[[int], Chooser],
    explorer: Explorer,
    wanted: frozenset[Edge],
    seeds: Sequence[int],
    most: int,
    length: int,
) -> list[tuple[float, bool]]:
    """For both shares the median of the steps, and whether it is only a lower bound."""
    began = time.process_time()
    found = [
        explore(explorer, chooser(seed), steps=most, length=length, until=wanted) for seed in seeds
    ]
    seconds = time.process_time() - began
    seen = [len(wanted & one.first.keys()) for one in found]
    steps = sum(one.steps for one in found)
    print(
        f"{name}: saw {min(seen)} to {max(seen)} of {len(wanted)} edges; "
        f"{steps:,} steps in {seconds:.0f} s of this processor, {steps / seconds:,.0f} a second"
    )
    medians = []
    for share in (0.95, 1.0):
        times = [one.steps_until(wanted, share) for one in found]
        median = statistics.median(most if time is None else time for time in times)
        censored = sum(time is None for time in times) * 2 >= len(times)
        reached = sorted(time for time in times if time is not None)
        sign = "more than " if censored else ""
        print(f"  {share:.0%}: median {sign}{median:,.0f} steps; reached by {len(reached)}")
        print(f"      {', '.join(f'{time:,}' for time in reached) or 'nobody'}")
        medians.append((median, censored))
    return medians


if __name__ == "__main__":
    main()
