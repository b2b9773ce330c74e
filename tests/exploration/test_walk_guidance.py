"""The rules of guidance in a system where it is not known beforehand where a step leads."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from keepstep.exploration.explorer import Chooser, Move, Uniform, View
from keepstep.exploration.guidance import UNKNOWN, Guidance
from keepstep.validation.validator import Edge

ROOMS = 14
STEPS = ("on", "back", "stay")


class House:
    """Rooms in a row; `on` leads to the next one, `back` to the first.

    What a walker can tell apart is the room, but for those that `alike` says look the same.
    """

    foresees = False
    spends: frozenset[int] = frozenset()

    def __init__(self, alike: Callable[[int], int] = lambda room: room) -> None:
        self.alike = alike
        self.names = list(STEPS)
        self.name_of = list(range(len(STEPS)))
        self.node_of = [0] * len(STEPS)
        self.edges: list[Edge] = []

    def interest(self, name: int) -> float:  # noqa: ARG002
        return 1.0

    def view(self, number: int) -> View:
        for name in STEPS:
            if Edge(name, f"{number}") not in self.edges:
                self.edges.append(Edge(name, f"{number}"))
        moves = tuple(
            Move(self.edges.index(Edge(name, f"{number}")), action, UNKNOWN)
            for action, name in enumerate(STEPS)
        )
        return View(moves, (f"{number}",), (frozenset(range(len(STEPS))),), ())


def steps_to_the_end(house: House, chooser: Chooser, most: int = 30_000) -> int:
    """Steps until the door of the last room was tried, in walks of at most 20."""
    steps = 0
    while steps < most:
        chooser.begin()
        room, path = 0, []
        for _ in range(20):
            state = house.alike(room)
            move = chooser.choose(state, house.view(state))
            if move is None:
                break
            steps += 1
            if (room, STEPS[move.action]) == (ROOMS, "on"):
                return steps
            room = {"on": min(room + 1, ROOMS), "back": 0, "stay": room}[STEPS[move.action]]
            target = house.alike(room)
            house.view(target)
            if isinstance(chooser, Guidance):
                chooser.led(state, move, target)
            path.append((state, move._replace(target=target)))
        chooser.end(path)
    return most


def test_it_gets_where_uniform_choice_does_not() -> None:
    for seed in range(3):
        house = House()
        guided = steps_to_the_end(house, Guidance(house, seed))
        assert guided < 1_000
        assert steps_to_the_end(House(), Uniform(seed), 10 * guided) == 10 * guided


def test_the_same_seed_makes_the_same_walks() -> None:
    found = []
    for seed in (5, 5, 6):
        house = House()
        found.append(steps_to_the_end(house, Guidance(house, seed)))
    assert found[0] == found[1]


@pytest.mark.parametrize("hidden", [(3, 4), (6, 7, 8)])
def test_it_bears_rooms_that_look_alike(hidden: tuple[int, ...]) -> None:
    def alike(room: int) -> int:
        return hidden[0] if room in hidden else room

    for seed in range(3):
        house = House(alike)
        assert steps_to_the_end(house, Guidance(house, seed)) < 30_000


def test_what_a_step_is_worth_is_the_mean_of_what_it_led_to() -> None:
    """A step that leads somewhere new one time in four is worth less than one that always does."""
    counts = {"sure": 0, "doubtful": 0}
    for seed in range(40):
        fork = Fork(seed)
        guidance = Guidance(fork, seed)
        for _ in range(12):
            fork.walk(guidance)
        for name in counts:
            counts[name] += fork.chosen.count(name)
    assert counts["sure"] > counts["doubtful"]


class Fork:
    """From 0 `sure` leads to 1 always, `doubtful` to 1 one time in four and else to 2.

    In 1 there is always something new; in 2 there is nothing.
    """

    foresees = False
    spends: frozenset[int] = frozenset()

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - it has to be repeatable
        self.names = ["sure", "doubtful", "end"]
        self.name_of = [0, 1, 2]
        self.node_of = [0, 0, 0]
        self.edges = [Edge("sure", "0"), Edge("doubtful", "0"), Edge("end", "2")]
        self.chosen: list[str] = []

    def interest(self, name: int) -> float:  # noqa: ARG002
        return 1.0

    def view(self, number: int) -> View:
        if number == 0:
            moves = (Move(0, 0, UNKNOWN), Move(1, 1, UNKNOWN))
        elif number == 2:
            moves = (Move(2, 2, UNKNOWN),)
        else:
            moves = tuple(
                Move(edge, action, UNKNOWN)
                for edge, action in zip(
                    range(3, len(self.edges)), range(3, len(self.names)), strict=True
                )
            )
        offers = frozenset(self.name_of[move.action] for move in moves)
        return View(moves, (f"{number}",), (offers,), ())

    def walk(self, guidance: Guidance) -> None:
        for _ in range(2):
            # Something that was never seen turns up.
            name = f"new {len(self.names)}"
            self.name_of.append(len(self.names))
            self.names.append(name)
            self.node_of.append(0)
            self.edges.append(Edge(name, "1"))
        guidance.begin()
        move = guidance.choose(0, self.view(0))
        assert move is not None
        self.chosen.append(self.names[move.action])
        certain = self.chosen[-1] == "sure" or self.random.random() < 0.25
        target = 1 if certain else 2
        guidance.led(0, move, target)
        path = [(0, move._replace(target=target))]
        after = guidance.choose(target, self.view(target))
        if after is not None:
            guidance.led(target, after, 2)
            path.append((target, after._replace(target=2)))
        guidance.end(path)
