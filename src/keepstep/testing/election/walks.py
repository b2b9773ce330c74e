"""Walks: elections on the fake, led step by step to what was not seen yet.

    walks = Walks(seed=7)
    while walks.steps < 20_000:
        walk = walks.walk()     # an election; its promises are checked after each step
        if walk.world.broken:
            print(walk.world.story)

In memory everything that may happen next can be listed (`keepstep.testing.election.offers`), so a
run need not be drawn as a whole: one thing is chosen, done, and what may happen then is listed
again. The rules by which it is chosen are those of `keepstep.exploration.guidance`. What they go by
is frozen while a walk lasts and brought up to date between walks, so a walk follows from the seed
and the walks before it; and it is a list of `Step`s, which can be saved, replayed and shortened
like any other run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from keepstep.errors import LocalViolation
from keepstep.exploration.explorer import Chooser, Move, Uniform, View
from keepstep.exploration.guidance import UNKNOWN, Guidance, Tuning
from keepstep.shell.contender_shell import ContenderShell
from keepstep.testing.election.coverage import Coverage, Taken
from keepstep.testing.election.ledger import PromiseBroken
from keepstep.testing.election.offers import NOBODY, Bounds, Offer, Outlook
from keepstep.testing.election.recorder import ElectionRecorder
from keepstep.testing.election.simulated import SimulatedArena
from keepstep.testing.election.step_choice import Choice
from keepstep.testing.election.suite import silence
from keepstep.testing.election.world import ElectionWorld
from keepstep.testing.step import Step
from keepstep.validation.validator import Edge

__all__ = ["SEED_OF_THE_FAKE", "TUNING", "Seen", "Walk", "Walks"]

SEED_OF_THE_FAKE = 0
"""Of every walk, so that its steps alone repeat it."""

TUNING = Tuning(distance=0.985, sharpness=60.0, analogy=True, company=0.0, price=0.5, vanity=1.0)
"""A walk takes several steps for each one of a model, so worth reaches farther."""

_OF_ITSELF = 0.3
"""The worth of what was never seen, but is neither told to a contender nor a fault."""


class Seen:
    """What walks have seen of elections; what is beyond it is not known.

    Attributes:
        edges: The edges by number: what a step is, and the mode of the contender it is aimed at.
        names: What steps are.
        name_of: The number of the name of each action: a step with all its arguments.
        node_of: The seat that each action is aimed at.
        foresees: Where a step leads is known once it was taken.
        spends: The actions that are faults.
    """

    foresees = False

    def __init__(self) -> None:
        self.edges: list[Edge] = []
        self.names: list[str] = []
        self.name_of: list[int] = []
        self.node_of: list[int] = []
        self.spends: set[int] = set()
        self._matters: list[bool] = []
        self._tried: set[int] = set()
        self._told: set[int] = set()
        self._edges: dict[Edge, int] = {}
        self._names: dict[str, int] = {}
        self._actions: dict[tuple[Step, str, int, bool], int] = {}
        self._states: dict[Hashable, int] = {}
        self._views: list[View] = []

    @property
    def size(self) -> int:
        """How many situations were told apart."""
        return len(self._states)

    def view(self, number: int) -> View:
        """What there was to know about a situation when it was seen last."""
        return self._views[number]

    def interest(self, name: int) -> float:
        """What a step is worth that was never seen in a mode, from what it is.

        Faults count full, and so does what is delivered to a contender, unless it was seen and
        never made one take a transition. What servers do by themselves counts less.
        """
        known = name in self._tried and name not in self._told
        return 1.0 if self._matters[name] and not known else _OF_ITSELF

    def note(self, move: Move, *, told: bool) -> None:
        """Note whether a step has made a contender take one of its transitions."""
        name = self.name_of[move.action]
        self._tried.add(name)
        if told:
            self._told.add(name)

    def look(self, outlook: Outlook) -> tuple[int, View, dict[Move, Offer]]:
        """The number of the present situation, what is known of it, and what each move is."""
        modes, offers = outlook.modes(), outlook.offers()
        aimed: list[set[int]] = [set() for _ in modes]
        moves: dict[Move, Offer] = {}
        for offer in offers:
            action = self._action(offer)
            mode = modes[offer.who] if offer.who != NOBODY else ""
            edge = Edge(offer.name, mode)
            number = self._edges.setdefault(edge, len(self.edges))
            if number == len(self.edges):
                self.edges.append(edge)
            moves[Move(number, action, UNKNOWN)] = offer
            if offer.who != NOBODY:
                aimed[offer.who].add(self.name_of[action])
        view = View(tuple(moves), modes, tuple(map(frozenset, aimed)), ())
        key = outlook.appearance()
        state = self._states.setdefault(key, len(self._views))
        if state == len(self._views):
            self._views.append(view)
        else:
            self._views[state] = view
        return state, view, moves

    def _action(self, offer: Offer) -> int:
        key = (offer.step, offer.name, offer.who, offer.costs)
        action = self._actions.setdefault(key, len(self.name_of))
        if action == len(self.name_of):
            name = self._names.setdefault(offer.name, len(self.names))
            if name == len(self.names):
                self.names.append(offer.name)
                self._matters.append(offer.delivers or offer.costs)
                if offer.costs:
                    self._told.add(name)
            self.name_of.append(name)
            self.node_of.append(offer.who)
            if offer.costs:
                self.spends.add(action)
        return action


@dataclass(slots=True)
class Walk:
    """One walk.

    Attributes:
        number: Its number.
        world: The election, closed; `broken` says whether a promise was broken.
        length: Steps that were chosen.
        faults: Faults among them.
    """

    number: int
    world: ElectionWorld
    length: int = 0
    faults: int = 0


class Walks:
    """Walks in a row, each guided by what the ones before have seen.

    Args:
        seed: Repeats them.
        bounds: How much may happen in each.
        choice: `Choice.GUIDED` or `Choice.UNIFORM`.
        shell_class: The shell under test.
        tuning: How guided choice weighs.
        settle: Whether faults end at the end of a walk, and what has to come true then is checked.
        chooser: Makes another chooser, from what the walks see.

    Attributes:
        seen: What they have seen.
        steps: Steps that were chosen, in all.
        number: Number of the next walk.
        first: After how many steps each transition of a contender was taken first.

    Raises:
        LocalViolation: The bounds make no sense, or walks know no such choice.
    """

    def __init__(
        self,
        seed: int,
        bounds: Bounds | None = None,
        choice: Choice = Choice.GUIDED,
        *,
        shell_class: type[ContenderShell] = ContenderShell,
        tuning: Tuning = TUNING,
        settle: bool = True,
        chooser: Callable[[Seen], Chooser] | None = None,
    ) -> None:
        self.bounds = bounds or Bounds()
        self.bounds.validate()
        self.seen = Seen()
        self.steps = 0
        self.number = 0
        self.first: dict[Taken, int] = {}
        self._shell_class = shell_class
        self._settle = settle
        if choice is Choice.WEIGHTED:
            raise LocalViolation("walks are guided or uniform: their steps have no fixed weights")
        self._guidance = None
        self._chooser: Chooser = Uniform(seed)
        if chooser is not None:
            self._chooser = chooser(self.seen)
        elif choice is Choice.GUIDED:
            self._chooser = self._guidance = Guidance(self.seen, seed, tuning)

    def walk(
        self,
        coverage: Coverage | None = None,
        recorder: ElectionRecorder | None = None,
        most: int | None = None,
    ) -> Walk:
        """Take one walk.

        Args:
            coverage: Where to note what happened.
            recorder: Records it; None records nothing.
            most: Steps after which it ends; None for those of the bounds.
        """
        silence()
        bounds = self.bounds
        arena = SimulatedArena(bounds.servers, SEED_OF_THE_FAKE)
        world = ElectionWorld(arena, coverage or Coverage(), self._shell_class, recorder)
        walk = Walk(self.number, world)
        self.number += 1
        try:
            world.perform(Step("step_by_step"))
            self._go(walk, Outlook(arena, world, bounds), min(bounds.length, most or bounds.length))
            if self._settle:
                world.finish()
        except PromiseBroken as broken:
            world.story.append(f"  {broken}")
        finally:
            world.close()
        return walk

    def _go(self, walk: Walk, outlook: Outlook, most: int) -> None:
        chooser, world = self._chooser, walk.world
        chooser.begin()
        path: list[tuple[int, Move]] = []
        state, view, moves = self.seen.look(outlook)
        known = 0
        try:
            while view.moves and walk.length < most:
                move = chooser.choose(state, view)
                if move is None:
                    break
                offer = moves[move]
                walk.length += 1
                taken = known
                walk.faults += offer.costs
                self.steps += 1
                try:
                    world.perform(offer.step)
                finally:
                    for lived in world.taken[known:]:
                        self.first.setdefault(lived.taken, self.steps)
                    known = len(world.taken)
                outlook.advance(offer)
                self.seen.note(move, told=known > taken)
                before, (state, view, moves) = state, self.seen.look(outlook)
                if self._guidance is not None:
                    self._guidance.led(before, move, state)
                path.append((before, move._replace(target=state)))
        finally:
            chooser.end(path)
