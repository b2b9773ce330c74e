"""Steps until a contender's edges were seen on the fake, step by step: guided against uniform.

python benchmarks/guidance/walks.py                        models n1f2 and n2f1, seeds 0 to 9
python benchmarks/guidance/walks.py --model n2f1 --seeds 3 --most 50000

The wanted edges are those of the contender (an action and the mode that it is taken in) that TLC
took in the model, but for the one that no shell can take (`keepstep.testing.election.coverage`).
Walks run the shipped shells on a `FakeZooKeeper` of one server, with as many contenders and faults
as the model has. A step is one chosen step of `keepstep.testing.election.offers`; all choosers
pick among the same. The third chooser is a handicap for guided choice: it picks a fault one time
in twenty only.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from keepstep.exploration.explorer import Move, View, reached_by_tlc
from keepstep.testing.election.coverage import UNREACHABLE, all_transitions
from keepstep.testing.election.offers import Bounds
from keepstep.testing.election.sights import edge_of
from keepstep.testing.election.step_choice import Choice
from keepstep.testing.election.walks import Seen, Walks
from keepstep.tla.manifest import Model, load_manifest
from keepstep.tla.sources import Project, find_project
from keepstep.validation.validator import Edge

SHARES = (0.95, 1.0)
ONE_IN = 20


class RareFaults:
    """Uniform choice, but a fault is picked only one time in `ONE_IN`, or where nothing else is."""

    def __init__(self, seen: Seen, seed: int) -> None:
        self.seen = seen
        self.random = random.Random(seed)  # noqa: S311 - it has to be repeatable

    def begin(self) -> None:
        pass

    def choose(self, state: int, view: View) -> Move | None:  # noqa: ARG002
        faults = [move for move in view.moves if move.action in self.seen.spends]
        others = [move for move in view.moves if move.action not in self.seen.spends]
        rare = faults and (not others or self.random.randrange(ONE_IN) == 0)
        return self.random.choice(faults if rare else others)

    def end(self, path: Sequence[tuple[int, Move]]) -> None:
        pass


def wanted_of(project: Project, model: str) -> tuple[frozenset[Edge], int]:
    """The edges of the contender that are wanted, and how many TLC took that no shell can."""
    classed = {edge_of(taken) for taken in all_transitions()}
    cannot = {edge_of(taken) for taken in UNREACHABLE}
    # The composition calls the contender's `C!Resign` plainly `Resign`.
    took = {Edge("C!" + e.label.removeprefix("C!"), e.mode) for e in reached_by_tlc(project, model)}
    return frozenset(took & classed - cannot), len(took & cannot)


def bounds_of(model: Model, length: int) -> Bounds:
    """As many contenders and faults as a model has."""
    nodes, faults = model.constants["NODES"], model.constants["FAULTS"]
    if not isinstance(nodes, list) or not isinstance(faults, int):
        raise SystemExit(f"{model.name} is no model of an election")
    return Bounds(shells=len(nodes), faults=faults, length=length)


def walks_by(chooser: str, bounds: Bounds, seed: int) -> Walks:
    """Walks by one of the choosers."""
    if chooser == "uniform":
        return Walks(seed, bounds, Choice.UNIFORM, settle=False)
    if chooser == "guided":
        return Walks(seed, bounds, settle=False)
    return Walks(seed, bounds, settle=False, chooser=lambda seen: RareFaults(seen, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="*", default=["n1f2", "n2f1"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--length", type=int, default=300, help="steps of a walk at most")
    parser.add_argument("--most", type=int, default=200_000, help="steps of a campaign at most")
    parser.add_argument("--most-guided", type=int, default=100_000)
    parser.add_argument(
        "--choosers", nargs="*", default=["guided", "uniform", "uniform, faults rare"]
    )
    parser.add_argument("--project", type=Path)
    given = parser.parse_args()
    project = find_project(given.project)
    models = {model.name: model for model in load_manifest(project).models}
    for name in given.model:
        bounds = bounds_of(models[name], given.length)
        wanted, cannot = wanted_of(project, name)
        print(
            f"{name}: {len(wanted)} edges of the contender are wanted, {cannot} that TLC took "
            f"cannot be taken; {bounds}",
            flush=True,
        )
        medians: dict[str, list[tuple[float, bool]]] = {}
        for chooser in given.choosers:
            most = given.most_guided if chooser == "guided" else given.most
            seeds = range(given.first_seed, given.first_seed + given.seeds)
            medians[chooser] = measure(chooser, bounds, wanted, seeds, most)
        for other in given.choosers:
            if other == "guided" or "guided" not in medians:
                continue
            for share, ours, theirs in zip(SHARES, medians["guided"], medians[other], strict=True):
                bound = "at most " if theirs[1] else ""
                print(
                    f"  guided / {other}, {share:.0%}: {bound}{ours[0] / theirs[0]:.3f}"
                    + (" (guided did not get there)" if ours[1] else ""),
                    flush=True,
                )


def measure(
    name: str,
    bounds: Bounds,
    wanted: frozenset[Edge],
    seeds: Sequence[int],
    most: int,
) -> list[tuple[float, bool]]:
    """For each share the median of the steps, and whether it is only a lower bound."""
    began, taken, times, missed = time.process_time(), 0, [], []
    for seed in seeds:
        walks = walks_by(name, bounds, seed)
        first: dict[Edge, int] = {}
        while walks.steps < most and len(first) < len(wanted):
            walk = walks.walk(most=most - walks.steps)
            if walk.world.broken:
                raise SystemExit("\n".join(walk.world.story))
            first = {e: n for t, n in walks.first.items() if (e := edge_of(t)) in wanted}
        taken += walks.steps
        times.append(sorted(first.values()))
        missed.append(sorted(f"{e.label}@{e.mode}" for e in wanted - first.keys()))
    seconds = time.process_time() - began
    seen = sorted(map(len, times))
    print(
        f"  {name}: saw {seen[0]} to {seen[-1]}, median {statistics.median(seen):g}; {taken:,} "
        f"steps in {seconds:.0f} s of this processor, {taken / seconds:,.0f} a second"
    )
    medians = []
    for share in SHARES:
        needed = math.ceil(len(wanted) * share)
        reached = [steps[needed - 1] for steps in times if len(steps) >= needed]
        late = len(times) - len(reached)
        median = statistics.median([*reached, *[most] * late])
        censored = late * 2 >= len(times)
        print(
            f"    {share:.0%} ({needed}): median {'more than ' * censored}{median:,.0f} steps; "
            f"{len(reached)} seeds: {', '.join(f'{n:,}' for n in sorted(reached)) or 'none'}"
        )
        medians.append((median, censored))
    if name == "guided":
        print(f"    missed: {sorted({edge for each in missed for edge in each})}", flush=True)
    return medians


if __name__ == "__main__":
    main()
