"""A saved run, done again: on the fake, on real servers, and shortened.

On the fake a run is decided by its seed, so what fails once fails always, and steps can be left
out one by one. What is left is then done on real servers: only what fails there, too, is a
confirmed failure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from keepstep.shell.contender_shell import ContenderShell
from keepstep.testing.election.arenas import Arena, EnsembleArena
from keepstep.testing.election.simulated import SimulatedArena
from keepstep.testing.election.suite import replay
from keepstep.testing.election.world import ElectionWorld, Step

__all__ = ["Replayed", "arena_for", "on_real_servers", "on_the_fake", "shrink"]

_SEEDS_OF_A_CANDIDATE = 4
_FEWEST_SHELLS = 2
_SIMPLER: dict[str, int | str] = {"lane": "any", "server": "any", "position": 0}
_NEEDS_ENSEMBLE = frozenset({"inject", "heal", "move"})

Run = Callable[[Sequence[Step]], ElectionWorld | None]
"""Does steps and returns the world if they break the promise, else None."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of doing steps a few times.

    Attributes:
        steps: The steps.
        runs: How often they were done.
        broken: How often a promise was broken.
        world: The first run that broke one, else the last.
        seed: Of the fake, for that run; None on real servers.
    """

    steps: tuple[Step, ...]
    runs: int
    broken: int
    world: ElectionWorld
    seed: int | None = None

    @property
    def promise(self) -> str | None:
        """The promise that was broken; None if none was."""
        return self.world.broken.promise if self.world.broken else None


def on_the_fake(
    steps: Sequence[Step],
    *,
    servers: int,
    seeds: Sequence[int] = range(20),
    shell_class: type[ContenderShell] = ContenderShell,
) -> Replayed:
    """Do steps on the fake under one seed after the other, until a promise is broken."""
    return _until_broken(
        steps, len(seeds), lambda turn: SimulatedArena(servers, seeds[turn]), shell_class, seeds
    )


def on_real_servers(
    steps: Sequence[Step],
    arena: Arena,
    *,
    tries: int = 3,
    shell_class: type[ContenderShell] = ContenderShell,
) -> Replayed:
    """Do steps on real servers until a promise is broken.

    Raises:
        KeepstepError: The servers failed.
    """
    return _until_broken(steps, tries, lambda _: arena, shell_class)


def _until_broken(
    steps: Sequence[Step],
    most: int,
    make: Callable[[int], Arena],
    shell_class: type[ContenderShell],
    seeds: Sequence[int] = (),
) -> Replayed:
    turn = 0
    world = replay(steps, make(0), shell_class=shell_class)
    while world.broken is None and turn + 1 < most:
        turn += 1
        world = replay(steps, make(turn), shell_class=shell_class)
    seed = seeds[turn] if seeds else None
    return Replayed(tuple(steps), turn + 1, int(world.broken is not None), world, seed)


def arena_for(steps: Sequence[Step], servers: int) -> Arena:
    """Real servers on which these steps mean something; not started yet."""
    if servers == 1 and not any(step.rule in _NEEDS_ENSEMBLE for step in steps):
        return Arena()
    return EnsembleArena(servers)


def shrink(
    found: Replayed,
    *,
    servers: int,
    shell_class: type[ContenderShell] = ContenderShell,
) -> Replayed:
    """Shorten a run on the fake as long as it breaks the same promise there.

    Args:
        found: What `on_the_fake` returned, with a promise broken.
        servers: Size of the fake.
        shell_class: The shell under test.

    Returns:
        The shortest run found, with the number of runs that it took.
    """
    promise, seed = found.promise, found.seed or 0
    runs = 0
    # The seed that it was found under, and a few more: fewer steps are another interleaving.
    seeds = [seed, *(n for n in range(_SEEDS_OF_A_CANDIDATE) if n != seed)]

    def breaks(steps: Sequence[Step]) -> Replayed | None:
        nonlocal runs
        done = on_the_fake(steps, servers=servers, seeds=seeds, shell_class=shell_class)
        runs += done.runs
        return done if done.promise == promise else None

    best, before = found, None
    while best is not before:
        before = best
        best = _with_fewer(best, breaks)
        best = _with_simpler(best, breaks)
    return replace(best, runs=runs)


def _with_fewer(best: Replayed, breaks: Callable[[Sequence[Step]], Replayed | None]) -> Replayed:
    """Leave out steps, many at a time and then one by one."""
    # What comes after the broken promise was never done.
    steps = best.steps[: len(best.world.steps)]
    if len(steps) < len(best.steps) and (shorter := breaks(steps)):
        best = shorter
    size = len(best.steps) // 2
    while size:
        begin = 0
        while begin < len(best.steps):
            fewer = best.steps[:begin] + best.steps[begin + size :]
            if fewer and (shorter := breaks(fewer)):
                best = shorter
            else:
                begin += size
        size //= 2
    return best


def _with_simpler(best: Replayed, breaks: Callable[[Sequence[Step]], Replayed | None]) -> Replayed:
    """Give steps simpler arguments."""
    for place in range(len(best.steps)):
        step = best.steps[place]
        known = {name: value for name, value in _SIMPLER.items() if name in step.arguments}
        arguments: dict[str, int | str] = {**step.arguments, **known}
        if "count" in arguments:
            arguments |= {"count": min(int(arguments["count"]), _FEWEST_SHELLS)}
        if arguments != step.arguments:
            changed = Step(step.rule, arguments)
            simpler = breaks((*best.steps[:place], changed, *best.steps[place + 1 :]))
            best = simpler or best
    return best
