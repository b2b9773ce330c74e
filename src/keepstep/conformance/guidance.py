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
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass

from keepstep.conformance.explorer import Explorer, Move, View

__all__ = ["Guidance", "Tuning"]


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
    """

    untaken: float = 0.2
    thrift: float = 3.0
    distance: float = 0.9
    sharpness: float = 10.0
    patience: float = 0.3
    again: float = 0.5
    lot: float = 0.5
    plan_every: int = 5


_NONE: frozenset[Move] = frozenset()
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
        explorer: The system; nothing is asked of it but what was seen on the way.
        seed: Repeats the choices.
        tuning: How to weigh.
    """

    def __init__(self, explorer: Explorer, seed: int, tuning: Tuning | None = None) -> None:
        self._explorer = explorer
        self._tuning = tuning or Tuning()
        self._random = random.Random(seed)  # noqa: S311 - nobody must not guess it
        self._worth: dict[int, float] = {}
        self._taken: dict[int, set[Move]] = {}
        self._open: dict[int, list[Move]] = {}
        self._before: dict[int, set[int]] = {}
        self._hopes: dict[tuple[int, int, frozenset[int]], float] = {}
        self._seen: set[int] = set()
        self._learned = _Learned(explorer)
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
            if move in taken or move in self._new:
                again = tuning.again ** self._visits.get(move.target, 0)
                worths.append(tuning.distance * self._worth.get(move.target, 0.0) * again)
            else:
                worths.append(self._hope(view, move))
        best = max(worths)
        if best <= 0.0:
            return self._random.choice(moves)
        weights = [(worth / best) ** tuning.sharpness for worth in worths]
        move = self._random.choices(moves, weights)[0]
        self._new.add(move)
        return move

    def _hope(self, view: View, move: Move) -> float:
        """What a step that was never taken here is worth."""
        node = self._explorer.node_of[move.action]
        key = (move.edge, move.action, view.offers[node] if node >= 0 else _NOTHING)
        known = self._hopes.get(key)
        if known is None:
            known = 1.0
            if move.edge in self._seen:
                learned, tuning = self._learned, self._tuning
                thrift: float = learned.left(move.action) ** tuning.thrift
                known = max(tuning.untaken * thrift, learned.carried(view, move))
            self._hopes[key] = known
        return known

    # --- Between runs ---

    def end(self, path: Sequence[tuple[int, Move]]) -> None:
        """Learn from a run."""
        explorer = self._explorer
        for state, move in path:
            self._learned.note(explorer.view(state), move)
            if move.edge not in self._seen:
                self._seen.add(move.edge)
                self._hopes.clear()
            taken = self._taken.setdefault(state, set())
            if move not in taken:
                taken.add(move)
                self._before.setdefault(move.target, set()).add(state)
                moves = explorer.view(state).moves
                self._open[state] = [other for other in moves if other not in taken]
        for state, move in reversed(path):
            if move.target not in self._worth:
                self._open.setdefault(move.target, list(explorer.view(move.target).moves))
                self._worth[move.target] = self._best(move.target)
            self._worth[state] = self._best(state)

    def _best(self, state: int) -> float:
        view = self._explorer.view(state)
        taken = self._taken.get(state, _NONE)
        distance = self._tuning.distance
        return max(
            (
                distance * self._worth.get(move.target, 0.0)
                if move in taken
                else self._hope(view, move)
                for move in view.moves
            ),
            default=0.0,
        )

    def _plan(self) -> None:
        """Let worth flow back from what was never taken, the greatest first."""
        self._learned.plan()
        tuning = self._tuning
        self._hopes.clear()
        worth: dict[int, float] = {}
        for state in self._worth:
            view = self._explorer.view(state)
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
            farther = -negative * distance
            for before in self._before.get(state, ()):
                if worth[before] < farther:
                    worth[before] = farther
                    heapq.heappush(queue, (-farther, before))
        self._worth = worth


class _Learned:
    """What runs have shown of actions in general, whatever state they were taken in."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer
        actions = len(explorer.labels)
        self._offered_before = [0] * actions
        self._offered_after = [0] * actions
        self._left = [1.0] * actions
        self._leads: dict[int, dict[str, int]] = {}
        self._survived: dict[tuple[int, int], tuple[int, int]] = {}
        self._offered: dict[tuple[int, str], int] = {}
        self._together: dict[tuple[int, str, int], int] = {}
        self._known: set[tuple[int, str]] = set()
        self._ahead: dict[tuple[int, str], float] = {}

    def left(self, action: int) -> float:
        """The share of possible actions that are left after an action, at most 1."""
        return self._left[action]

    def note(self, view: View, move: Move) -> None:
        """A step was taken."""
        explorer = self._explorer
        after = explorer.view(move.target)
        name, node = explorer.name_of[move.action], explorer.node_of[move.action]
        self._offered_before[move.action] += len({other.action for other in view.moves})
        self._offered_after[move.action] += len({other.action for other in after.moves})
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
            kept, of = self._survived.get((move.edge, one), (1, 1))
            self._survived[move.edge, one] = (kept + (one in after.offers[node]), of + 1)

    def plan(self) -> None:
        """Compute how likely it is that an offered action can be carried where it is new."""
        for action, before in enumerate(self._offered_before):
            if before:
                share = (_TRUST + self._offered_after[action]) / (_TRUST + before)
                self._left[action] = min(1.0, max(_FEWEST, share))
        self._ahead.clear()
        ways: dict[str, list[tuple[int, str]]] = {}
        for edge, leads in self._leads.items():
            mode, reached = self._explorer.edges[edge].mode, max(leads, key=leads.__getitem__)
            if mode != reached:
                ways.setdefault(mode, []).append((edge, reached))
        names = self._explorer.names
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
                kept, of = self._survived.get((edge, name), (1, 1))
                step = number[self._explorer.edges[edge].label]
                both = 1 + self._together.get((name, mode, step), 0)
                chance = kept / of * (both / (1 + offered)) ** 0.5 * _CARRIED
                chances.append((mode, reached, chance))
        for _ in range(_ROUNDS):
            changed = False
            for mode, reached, chance in chances:
                there = ahead.get((name, reached), 0.0) if (name, reached) in self._known else 1.0
                if chance * there > ahead.get((name, mode), 0.0) + _SLIGHT:
                    ahead[name, mode] = chance * there
                    changed = True
            if not changed:
                break

    def carried(self, view: View, move: Move) -> float:
        """The best chance that a step helps to carry an offered action where it is new."""
        node = self._explorer.node_of[move.action]
        leads = self._leads.get(move.edge)
        if node < 0 or not leads:
            return 0.0
        reached = max(leads, key=leads.__getitem__)
        best = 0.0
        for name in view.offers[node]:
            kept, of = self._survived.get((move.edge, name), (1, 1))
            new = (name, reached) not in self._known
            there = 1.0 if new else self._ahead.get((name, reached), 0.0)
            best = max(best, kept / of * _CARRIED * there)
        return best
