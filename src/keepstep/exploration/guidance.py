"""Choosing so that edges are seen that were not seen yet.

Four rules give each step that is possible a worth, frozen while a run lasts:

1. An edge never seen is worth 1.
2. A step never taken from this state is worth little, and less if its action used to leave
   fewer actions possible than before: what is scarce, as faults are, is spent last.
3. It is worth more if it carries something rare on: the node goes to a mode where one of the
   actions that it is offered now was never seen, and such actions used to survive such steps.
4. A step taken before is worth what it led to, a little less: so worth flows back from where
   something new is waiting to the beginning, and runs walk straight there.

A step is drawn by lot, with weights that are powers of its worth; a run ends early where there
is much less to find than at the beginning. Between runs counts and worths are brought up to
date. Nothing is known of the specification but the edges that were offered and taken.

The same rules serve two kinds of systems. An `Explorer` knows the state that each step leads to.
Of others (`keepstep.testing.election.walks`) it is known only once the step was taken, and what
their states are told apart by may hide something, so that the same step leads elsewhere another
time. What a step is worth is then the mean of what it led to, by how often it did.
"""

from __future__ import annotations

import heapq
import operator
import random
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from keepstep.exploration.explorer import Move, View
from keepstep.validation.validator import Edge

__all__ = ["UNKNOWN", "Guidance", "Surroundings", "Tuning"]

UNKNOWN = -1
"""The target of a move that is not known before it was taken."""


class Surroundings(Protocol):
    """A system as far as it was seen: numbered states, actions and edges. More may come.

    Attributes:
        edges: The edges by number: an action's name, and the mode of its node.
        names: The names of actions.
        name_of: The number of the name of each action.
        node_of: The number of the node of each action; -1 of one that is no node's.
        foresees: Whether the target of a move is known before it is taken; `UNKNOWN` if not.
    """

    edges: list[Edge]
    names: list[str]
    name_of: list[int]
    node_of: list[int]
    foresees: bool

    @property
    def spends(self) -> Container[int]:
        """The actions that are known to spend something of which a run has only so much."""

    def view(self, number: int) -> View:
        """What there is to know about a state that was reached."""

    def interest(self, name: int) -> float:
        """What an edge of an action of this name is worth that was never seen, at most 1."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How `Guidance` weighs.

    Attributes:
        untaken: The worth of a step never taken whose action leaves everything possible.
        thrift: The power of the share of actions that an action leaves possible.
        distance: By what worth is multiplied for each step that it is away.
        sharpness: The power of a worth that is the weight in the lot.
        patience: A run ends where the worth is less than this share of that at the beginning.
        again: By what the worth of a state is multiplied for each visit in the same run.
        lot: How much a lot, rather than worth, decides which place is gone to next; 0 for not.
        plan_every: After how many runs all worths are computed anew, at least.
        analogy: Whether what a step leaves possible in a mode is taken from what it left possible
            in others, as long as it was not seen in this one; else it is taken to leave everything.
        company: The power of the share of situations of a mode in which an offered action stood
            beside the step that leads on, when it is asked how likely it can be carried on.
        price: By what the worth of a step never taken is multiplied that spends something.
        vanity: The power by which it is worth less to carry an action somewhere, the more runs have
            tried that in vain.
    """

    untaken: float = 0.2
    thrift: float = 3.0
    distance: float = 0.9
    sharpness: float = 10.0
    patience: float = 0.3
    again: float = 0.5
    lot: float = 0.5
    plan_every: int = 5
    analogy: bool = False
    company: float = 0.5
    price: float = 1.0
    vanity: float = 0.0


_NONE: Mapping[Move, Mapping[int, int]] = {}
_NOTHING: frozenset[int] = frozenset()
_CARRIED = 0.97
_FEWEST = 0.01
_TRUST = 20
_PLANNED_EACH = 200
_ROUNDS = 25
_SLIGHT = 1e-4


class Guidance:
    """Picks steps that lead to what was not seen; a `Chooser` for `explore`.

    Args:
        system: What is walked in; nothing is asked of it but what was seen on the way.
        seed: Repeats the choices.
        tuning: How to weigh.
    """

    def __init__(self, system: Surroundings, seed: int, tuning: Tuning | None = None) -> None:
        self._system = system
        self._tuning = tuning or Tuning()
        self._random = random.Random(seed)  # noqa: S311 - it has to be repeatable
        self._worth: dict[int, float] = {}
        self._taken: dict[int, dict[Move, dict[int, int]]] = {}
        self._open: dict[int, list[Move]] = {}
        self._before: dict[int, dict[int, float]] = {}
        self._hopes: dict[tuple[int, int, frozenset[int]], float] = {}
        self._seen: set[int] = set()
        self._learned = _Learned(system, self._tuning)
        self._until_plan = 0
        self._visits: dict[int, int] = {}
        self._new: set[Move] = set()

    # --- While a run lasts ---

    def begin(self) -> None:
        """Freeze the worths; compute them anew if it is time to."""
        if self._until_plan == 0:
            self._plan()
            # The larger the plan, the longer it is good for, and the longer it takes.
            self._until_plan = max(self._tuning.plan_every, len(self._worth) // _PLANNED_EACH)
        self._until_plan -= 1
        self._visits = {}
        self._new = set()

    def choose(self, state: int, view: View) -> Move | None:
        """Draw a step, or end the run because there is more to find elsewhere."""
        tuning = self._tuning
        begun, worth = bool(self._visits), self._worth
        if begun and worth.get(state, 1.0) < tuning.patience * worth.get(0, 1.0):
            return None
        self._visits[state] = self._visits.get(state, 0) + 1
        moves = view.moves
        if len(moves) == 1:
            return moves[0]
        taken = self._taken.get(state, _NONE)
        worths = []
        for move in moves:
            if (led := taken.get(move)) is not None:
                worths.append(self._beyond(led))
            elif move in self._new:
                worths.append(self._beyond({move.target: 1}))
            else:
                worths.append(self._hope(view, move))
        best = max(worths)
        if best <= 0.0:
            return self._random.choice(moves)
        weights = [(worth / best) ** tuning.sharpness for worth in worths]
        move = self._random.choices(moves, weights)[0]
        if self._system.foresees:
            self._new.add(move)
        if tuning.vanity and move not in taken and move.edge in self._seen:
            self._learned.head_for(view, move)
        return move

    def led(self, state: int, move: Move, target: int) -> None:
        """A move has been taken, of which it was not known where it leads.

        Args:
            state: Where it was taken.
            move: As it was offered.
            target: The state that it led to.
        """
        led = self._taken.setdefault(state, {}).setdefault(move, {})
        led[target] = led.get(target, 0) + 1

    def _beyond(self, led: Mapping[int, int]) -> float:
        """What a step that was taken before is worth, by how often it led to which states."""
        tuning = self._tuning
        worth, visits = self._worth, self._visits
        worths = [
            tuning.distance * worth.get(target, 0.0) * tuning.again ** visits.get(target, 0)
            for target in led
        ]
        if len(worths) == 1:
            return worths[0]
        total: float = sum(map(operator.mul, worths, led.values()))
        return total / sum(led.values())

    def _hope(self, view: View, move: Move) -> float:
        """What a step that was never taken here is worth."""
        node = self._system.node_of[move.action]
        key = (move.edge, move.action, view.offers[node] if node >= 0 else _NOTHING)
        known = self._hopes.get(key)
        if known is None:
            known = self._system.interest(self._system.name_of[move.action])
            if move.edge in self._seen:
                learned, tuning = self._learned, self._tuning
                thrift: float = learned.left(move.action) ** tuning.thrift
                known = max(tuning.untaken * thrift, learned.carried(view, move))
                if move.action in self._system.spends:
                    known *= tuning.price
            self._hopes[key] = known
        return known

    # --- Between runs ---

    def end(self, path: Sequence[tuple[int, Move]]) -> None:
        """Learn from a run, whose moves have the targets that they led to."""
        system = self._system
        for state, move in path:
            view = system.view(state)
            self._learned.note(view, move, system.view(move.target))
            if move.edge not in self._seen:
                self._hopes.clear()
            self._seen.add(move.edge)
            taken = self._taken.setdefault(state, {})
            before = self._before.setdefault(move.target, {})
            if not system.foresees:
                offered = move._replace(target=UNKNOWN)
                # Where several steps lead to the same state, the one taken last counts.
                for target, times in taken[offered].items():
                    share = times / sum(taken[offered].values())
                    self._before.setdefault(target, {})[state] = share
                self._open[state] = [other for other in view.moves if other not in taken]
            elif move not in taken:
                taken[move] = {move.target: 1}
                before[state] = 1.0
                self._open[state] = [other for other in view.moves if other not in taken]
        self._learned.give_up()
        for state, move in reversed(path):
            if move.target not in self._worth:
                self._open.setdefault(move.target, list(system.view(move.target).moves))
                self._worth[move.target] = self._best(move.target)
            self._worth[state] = self._best(state)

    def _best(self, state: int) -> float:
        view = self._system.view(state)
        taken = self._taken.get(state, _NONE)
        return max(
            (
                self._mean(taken[move]) if move in taken else self._hope(view, move)
                for move in view.moves
            ),
            default=0.0,
        )

    def _mean(self, led: Mapping[int, int]) -> float:
        distance = self._tuning.distance
        if len(led) == 1:
            return distance * self._worth.get(next(iter(led)), 0.0)
        worths = (self._worth.get(target, 0.0) * times for target, times in led.items())
        return distance * sum(worths) / sum(led.values())

    def _plan(self) -> None:
        """Let worth flow back from what was never taken, the greatest first."""
        self._learned.plan()
        tuning = self._tuning
        self._hopes.clear()
        worth: dict[int, float] = {}
        for state in self._worth:
            view = self._system.view(state)
            hope = max((self._hope(view, move) for move in self._open[state]), default=0.0)
            # Many places promise much the same; a lot decides which are gone to first.
            worth[state] = hope if hope == 1.0 else hope * self._random.random() ** tuning.lot
        queue = [(-value, state) for state, value in worth.items() if value]
        heapq.heapify(queue)
        distance = tuning.distance
        while queue:
            negative, state = heapq.heappop(queue)
            if -negative < worth[state]:
                continue
            for before, share in self._before.get(state, {}).items():
                farther = -negative * distance * share
                if worth[before] < farther:
                    worth[before] = farther
                    heapq.heappush(queue, (-farther, before))
        self._worth = worth


class _Learned:
    """What runs have shown of actions in general, whatever state they were taken in."""

    def __init__(self, system: Surroundings, tuning: Tuning) -> None:
        self._system = system
        self._tuning = tuning
        self._survived_anywhere: dict[tuple[int, int], tuple[int, int]] = {}
        self._goals: dict[tuple[int, str], str] = {}
        self._headed: set[tuple[int, str]] = set()
        self._vain: dict[tuple[int, str], int] = {}
        self._offered_before: dict[int, int] = {}
        self._offered_after: dict[int, int] = {}
        self._left: dict[int, float] = {}
        self._leads: dict[int, dict[str, int]] = {}
        self._survived: dict[tuple[int, int], tuple[int, int]] = {}
        self._offered: dict[tuple[int, str], int] = {}
        self._together: dict[tuple[int, str, int], int] = {}
        self._known: set[tuple[int, str]] = set()
        self._ahead: dict[tuple[int, str], float] = {}

    def left(self, action: int) -> float:
        """The share of possible actions that are left after an action, at most 1."""
        return self._left.get(action, 1.0)

    def note(self, view: View, move: Move, after: View) -> None:
        """A step was taken."""
        system, action = self._system, move.action
        name, node = system.name_of[action], system.node_of[action]
        before, behind = self._offered_before, self._offered_after
        before[action] = before.get(action, 0) + len({other.action for other in view.moves})
        behind[action] = behind.get(action, 0) + len({other.action for other in after.moves})
        for mode, offer in zip(view.modes, view.offers, strict=True):
            for one in offer:
                self._offered[one, mode] = self._offered.get((one, mode), 0) + 1
                for other in offer:
                    key = (one, mode, other)
                    self._together[key] = self._together.get(key, 0) + 1
        if node < 0:
            return
        self._known.add((name, view.modes[node]))
        leads = self._leads.setdefault(move.edge, {})
        leads[after.modes[node]] = leads.get(after.modes[node], 0) + 1
        for one in view.offers[node]:
            survived = one in after.offers[node]
            kept, of = self._survived.get((move.edge, one), (0, 0))
            self._survived[move.edge, one] = (kept + survived, of + 1)
            if self._tuning.analogy:
                kept, of = self._survived_anywhere.get((name, one), (0, 0))
                self._survived_anywhere[name, one] = (kept + survived, of + 1)

    def _kept(self, edge: int, name: int, one: int) -> float:
        """How likely it is that an offered action is still offered after a step."""
        kept, of = self._survived.get((edge, one), (0, 0))
        if not self._tuning.analogy:
            return (kept + 1) / (of + 1)
        elsewhere, of_all = self._survived_anywhere.get((name, one), (0, 0))
        return (kept + (elsewhere + 1) / (of_all + 1)) / (of + 1)

    def plan(self) -> None:
        """Compute how likely it is that an offered action can be carried where it is new."""
        for action, before in self._offered_before.items():
            share = (_TRUST + self._offered_after[action]) / (_TRUST + before)
            self._left[action] = min(1.0, max(_FEWEST, share))
        self._ahead.clear()
        self._goals.clear()
        ways: dict[str, list[tuple[int, str]]] = {}
        for edge, leads in self._leads.items():
            mode, reached = self._system.edges[edge].mode, max(leads, key=leads.__getitem__)
            if mode != reached:
                ways.setdefault(mode, []).append((edge, reached))
        names = self._system.names
        number = {name: place for place, name in enumerate(names)}
        for name in range(len(names)):
            self._plan_for(name, ways, number)

    def _plan_for(
        self, name: int, ways: dict[str, list[tuple[int, str]]], number: dict[str, int]
    ) -> None:
        ahead = self._ahead
        chances = []
        for mode, steps in ways.items():
            offered = self._offered.get((name, mode), 0)
            for edge, reached in steps if offered else ():
                step = number[self._system.edges[edge].label]
                both = 1 + self._together.get((name, mode, step), 0)
                kept = self._kept(edge, step, name)
                chance = kept * (both / (1 + offered)) ** self._tuning.company * _CARRIED
                chances.append((mode, reached, chance))
        for _ in range(_ROUNDS):
            changed = False
            for mode, reached, chance in chances:
                known = (name, reached) in self._known
                there = ahead.get((name, reached), 0.0) if known else self._fresh(name, reached)
                if chance * there > ahead.get((name, mode), 0.0) + _SLIGHT:
                    ahead[name, mode] = chance * there
                    self._goals[name, mode] = self._goals[name, reached] if known else reached
                    changed = True
            if not changed:
                break

    def _fresh(self, name: int, mode: str) -> float:
        """What it is worth to carry an action to a mode where it was never taken."""
        worth = self._system.interest(name)
        vain = self._vain.get((name, mode), 0)
        return worth * (1 + vain) ** -self._tuning.vanity if vain else worth

    def carried(self, view: View, move: Move) -> float:
        """The best chance that a step helps to carry an offered action where it is new."""
        return self._carries(view, move)[0]

    def _carries(self, view: View, move: Move) -> tuple[float, tuple[int, str] | None]:
        """The best chance, and what it would carry where."""
        node = self._system.node_of[move.action]
        leads = self._leads.get(move.edge)
        if node < 0 or not leads:
            return 0.0, None
        reached = max(leads, key=leads.__getitem__)
        best, goal = 0.0, None
        step = self._system.name_of[move.action]
        for name in view.offers[node]:
            kept = self._kept(move.edge, step, name)
            new = (name, reached) not in self._known
            there = self._fresh(name, reached) if new else self._ahead.get((name, reached), 0.0)
            if kept * _CARRIED * there > best:
                best = kept * _CARRIED * there
                goal = name, reached if new else self._goals[name, reached]
        return best, goal

    def head_for(self, view: View, move: Move) -> None:
        """A step is taken that may carry something to where it is new."""
        goal = self._carries(view, move)[1]
        if goal is not None:
            self._headed.add(goal)

    def give_up(self) -> None:
        """A run has ended: what it headed for and did not reach was tried in vain."""
        for goal in self._headed:
            if goal not in self._known:
                self._vain[goal] = self._vain.get(goal, 0) + 1
        self._headed.clear()
