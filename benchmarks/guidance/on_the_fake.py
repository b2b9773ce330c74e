"""Steps until the transitions of the contender were seen on the fake, for each way of choosing.

python benchmarks/guidance/on_the_fake.py                  seeds 0 to 9, 4,000 steps each
python benchmarks/guidance/on_the_fake.py --steps 10000 --seeds 3

The wanted set is every transition of the shipped class but those that no run can take
(`keepstep.testing.election.coverage`). Runs are those that a campaign draws, with all fault
packages that mean anything on the fake, on three servers; the thought-out scenarios are left out,
because they take all of these transitions by themselves. Each seed draws its own runs, and the
fake's scheduler has a seed of its own for each run, the same for all ways of choosing.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time

from keepstep.testing.election.campaign import all_faults
from keepstep.testing.election.coverage import UNREACHABLE, Taken, all_transitions
from keepstep.testing.election.recorder import ElectionRecorder
from keepstep.testing.election.simulated import SimulatedArena
from keepstep.testing.election.step_choice import Choice, Experience, draw
from keepstep.testing.election.suite import replay

WANTED = all_transitions() - set(UNREACHABLE)
SERVERS = 3
SHARES = (0.7, 0.8, 0.95, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4000, help="steps of a campaign at most")
    parser.add_argument("--choices", nargs="*", choices=list(Choice), default=list(Choice))
    given = parser.parse_args()
    print(f"{len(WANTED)} transitions; at most {given.steps:,} steps; {given.seeds} seeds")
    medians: dict[str, list[tuple[float, bool]]] = {}
    for choice in map(Choice, given.choices):
        began = time.process_time()
        found = [
            explore(choice, seed, given.steps)
            for seed in range(given.first_seed, given.first_seed + given.seeds)
        ]
        seconds = time.process_time() - began
        seen = sorted(len(first) for first, _ in found)
        runs = sum(runs for _, runs in found)
        print(
            f"{choice}: saw {seen[0]} to {seen[-1]}, median {statistics.median(seen):g}; "
            f"{runs:,} runs in {seconds:.0f} s of this processor",
            flush=True,
        )
        runs_of = [sorted(first.values()) for first, _ in found]
        medians[choice] = [median(runs_of, share, given.steps) for share in SHARES]
        for share, (steps, bound) in zip(SHARES, medians[choice], strict=True):
            print(f"  {share:.0%}: median {'more than ' * bound}{steps:,.0f} steps", flush=True)
    for name in (Choice.UNIFORM, Choice.WEIGHTED):
        for share, ours, theirs in zip(
            SHARES, medians.get(Choice.GUIDED, []), medians.get(name, []), strict=False
        ):
            if ours[1]:
                print(f"guided / {name}, {share:.0%}: guided did not get there")
            else:
                ratio = ours[0] / theirs[0]
                print(f"guided / {name}, {share:.0%}: {'at most ' * theirs[1]}{ratio:.3f}")


def explore(choice: Choice, seed: int, most: int) -> tuple[dict[Taken, int], int]:
    """After how many steps each transition was seen first, and how many runs there were."""
    first: dict[Taken, int] = {}
    experience, steps, number = Experience(), 0, 0
    allowed = SimulatedArena(SERVERS)
    faults = [package for package in all_faults() if allowed.available(package).allowed]
    while steps < most and len(first) < len(WANTED):
        drawn = draw(choice, seed, number, faults, experience)
        arena = SimulatedArena(SERVERS, seed=seed * 1_000_000 + number)
        world = replay(drawn.steps, arena, recorder=ElectionRecorder())
        if world.broken:
            raise SystemExit("\n".join(world.story))
        experience.learn(world, drawn.tries)
        for lived in world.taken:
            if lived.taken in WANTED:
                place = min(lived.place + 1, len(world.steps))
                first.setdefault(lived.taken, steps + place)
        steps += len(world.steps)
        number += 1
    return first, number


def median(runs: list[list[int]], share: float, most: int) -> tuple[float, bool]:
    """The median of the steps until a share was seen, and whether it is only a lower bound."""
    needed = math.ceil(len(WANTED) * share)
    times = [steps[needed - 1] if len(steps) >= needed else most for steps in runs]
    late = sum(len(steps) < needed for steps in runs)
    return statistics.median(times), late * 2 >= len(runs)


if __name__ == "__main__":
    main()
