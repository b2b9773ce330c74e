"""How a campaign chooses the steps of its next run, by what it has not seen yet.

The steps of a run are drawn as a whole before it begins, so what they are weighted by is frozen
while it lasts; they follow from the seed, the number of the run, and what was learned from the
runs before.

Guided choice knows no more of the contender than its transitions. What it keeps of the runs so
far is, for each edge that was seen (an action and the mode it was taken in), a few *trails*:
beginnings of runs that led there, those of which the last step led to little else. An edge that
was never seen is headed for by analogy: what has shown the same action in another mode is done
again with the wanted mode in the place of the other one, or after what has led to this mode; or
any step that can be aimed at a contender is tried there. Preferred are contenders that have done
before whatever had always been done before the action. Once all edges were seen, and now and
then before, it heads for edges under faults under which they were not seen yet, by doing the
fault among the last steps of a trail. What was tried in vain is tried less and less, and some
runs head for nothing, because nothing would be found by chance otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

from keepstep.errors import LocalViolation
from keepstep.testing.election.coverage import FAULTS, UNREACHABLE, all_transitions
from keepstep.testing.election.suite import ARGUMENTS, WEIGHTS
from keepstep.testing.election.world import ElectionWorld, Step

__all__ = ["Choice", "Drawn", "Experience", "Trail", "draw"]

MOST_TRIES = 10_000
"""Ways tried in vain that are remembered, before they are forgotten for want of memory."""

STEPS = (8, 16)
"""Fewest and most steps of a drawn run, without its beginning."""

SERVERS = ("theirs", "theirs", "any", "leads")
"""Which server a fault of a server is aimed at, as often as it is to be drawn."""

_FAULT_WEIGHTS: dict[tuple[str, ...], int] = {
    ("inject", "package", "who", "server"): 14,
    ("heal",): 5,
    ("move", "who"): 4,
}
_SLOW = "lose-data-of-majority"
"""It takes many seconds to recover from, so it is drawn less often than the others."""
_SLOW_ONE_IN = 4
_WANDERING = 0.3
"""The share of runs that head for nothing, for else nothing would be found by chance."""
_UNDER_A_FAULT = 0.1
"""The share of runs that head for an edge under a fault while there are edges not seen at all."""
_AT_A_LEADER = 0.5
"""The share of runs that aim a fault at a leader, while one has not hit any."""
_FEWER_MORE = 3
"""A run goes on for fewer steps than this after what it headed for."""
_LONGEST_TRAIL = 12
_MOST_TRAILS = 6
"""Trails that are kept for an edge."""
_LONGEST_TAIL = 3
"""Last steps of a trail that may be what showed the action."""
_MOST_ENTRIES = 4
"""Trails into the wanted mode that each tail is tried after."""
_BY_CHANCE = 0.1
"""Worth of a way that nothing speaks for."""
_UNFIT = 0.1
"""Worth of a way by a contender that lacks something in its past that all others had."""
_BY = " by "
"""Between an aim and the way, in the keys of what was tried."""
_DELIVERS = frozenset({"run", "reach", "deliver"})


class Choice(StrEnum):
    """How steps are chosen."""

    GUIDED = "guided"
    WEIGHTED = "weighted"
    UNIFORM = "uniform"


@dataclass(frozen=True, slots=True)
class Aim:
    """What a part of a run heads for.

    Attributes:
        action: An action of the contender.
        mode: The mode that it is to be taken in.
        fault: The fault that is to happen before; "" if none needs to.
    """

    action: str
    mode: str
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.action}@{self.mode}" + (f" under {self.fault}" if self.fault else "")


@dataclass(frozen=True, slots=True)
class Drawn:
    """The steps of a run.

    Attributes:
        steps: What to do.
        tries: What was headed for, and by which ways, as keys of `Experience.tries`.
    """

    steps: tuple[Step, ...]
    tries: tuple[str, ...] = ()


_AFTER = {(taken.action, taken.before): taken.after for taken in sorted(all_transitions())}
_POSSIBLE = [(t.action, t.before) for t in sorted(all_transitions() - set(UNREACHABLE))]


@dataclass(frozen=True, slots=True)
class Trail:
    """The beginning of a run that led somewhere.

    Attributes:
        seat: Number of the seat of the contender that came there.
        steps: The steps; those aimed at somebody name the seat.
        crowd: How many transitions the last step led to.
        past: The actions that the contender had taken before.
    """

    seat: int
    steps: tuple[Step, ...]
    crowd: int = 1
    past: frozenset[str] = frozenset()


@dataclass
class Experience:
    """What runs have shown of where steps lead.

    Attributes:
        seen: How often each action was taken in each mode.
        under: The same for each fault.
        trails: For each action and mode the runs that led there, of which the last step led
            to little else, and the shortest of these; one for each past of the contender.
        needs: What a contender had always done before it took an action.
        tries: How often something that was not seen yet was headed for, and in each way.
    """

    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    under: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    trails: dict[tuple[str, str], list[Trail]] = field(default_factory=dict)
    needs: dict[str, frozenset[str]] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)

    def learn(self, world: ElectionWorld, tries: Sequence[str] = ()) -> None:
        """Take in what a run has shown.

        Args:
            world: The run, which is over.
            tries: What it headed for, of its `Drawn`.
        """
        found = set()
        steps = [
            step if meant is None else Step(step.rule, {**step.arguments, "who": meant})
            for step, meant in zip(world.steps, world.meant, strict=True)
        ]
        crowds = Counter(lived.place for lived in world.taken)
        pasts: dict[str, set[str]] = {}
        for lived in world.taken:
            edge = lived.taken.action, lived.taken.before
            past = frozenset(pasts.setdefault(lived.who, set()))
            pasts[lived.who].add(lived.taken.action)
            self.needs[edge[0]] = self.needs.get(edge[0], past) & past
            found.add(str(Aim(*edge)))
            found.add(str(Aim(*edge, lived.under)))
            self.seen[edge] += 1
            if lived.under:
                self.under[*edge, lived.under] += 1
            if lived.place < min(len(steps), _LONGEST_TRAIL):
                begun = tuple(steps[: lived.place + 1])
                self._keep(edge, Trail(lived.seat, begun, crowds[lived.place], past))
        for key in tries:
            if key.partition(_BY)[0] not in found:
                self.tries[key] += 1
        for key in [key for key in self.tries if key.partition(_BY)[0] in found]:
            del self.tries[key]
        if len(self.tries) > MOST_TRIES:
            # What was headed for stays known; by which ways may be tried again.
            self.tries = Counter({k: n for k, n in self.tries.items() if _BY not in k})

    def _keep(self, edge: tuple[str, str], trail: Trail) -> None:
        kept = self.trails.setdefault(edge, [])
        alike = next((each for each in kept if each.past == trail.past), None)
        if alike is None or _clarity(trail) < _clarity(alike):
            kept[:] = [*(each for each in kept if each is not alike), trail]
            kept.sort(key=_clarity)
            del kept[_MOST_TRAILS:]

    def to_json(self) -> dict[str, Any]:
        """As it stands in the state of a campaign."""
        return {
            "seen": [[*edge, times] for edge, times in self.seen.items()],
            "under": [[*edge, times] for edge, times in self.under.items()],
            "trails": [
                [
                    *edge,
                    [
                        [w.seat, w.crowd, sorted(w.past), [step.to_json() for step in w.steps]]
                        for w in kept
                    ],
                ]
                for edge, kept in self.trails.items()
            ],
            "needs": {action: sorted(past) for action, past in self.needs.items()},
            "tries": dict(self.tries),
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Experience:
        """The inverse of `to_json`.

        Raises:
            LocalViolation: It is something else.
        """
        try:
            return cls(
                Counter({(str(a), str(m)): int(n) for a, m, n in told["seen"]}),
                Counter({(str(a), str(m), str(f)): int(n) for a, m, f, n in told["under"]}),
                {
                    (str(a), str(m)): [
                        Trail(
                            int(seat),
                            tuple(map(Step.from_json, steps)),
                            int(crowd),
                            frozenset(map(str, past)),
                        )
                        for seat, crowd, past, steps in kept
                    ]
                    for a, m, kept in told["trails"]
                },
                {str(a): frozenset(map(str, past)) for a, past in told["needs"].items()},
                Counter({str(key): int(times) for key, times in told["tries"].items()}),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise LocalViolation("this does not say where steps have led") from None


def _clarity(trail: Trail) -> tuple[int, int]:
    """Orders trails: where much happens in one step, nobody knows what has led to what."""
    return trail.crowd, len(trail.steps)


# --- Drawing ------------------------------------------------------------------------------


def draw(
    choice: Choice,
    seed: int,
    number: int,
    faults: Sequence[str] = (),
    experience: Experience | None = None,
    wanted: Sequence[str] = (),
) -> Drawn:
    """The steps of a run; the same for the same arguments.

    Args:
        choice: How to choose.
        seed: What repeats the choices.
        number: Number of the run. Each begins with a fault package that is due by its number,
            so that all have their turn.
        faults: Names of the fault packages that may be done.
        experience: What was learned so far; for guided choice only.
        wanted: Kinds of faults that have to hit a leader in office and have not yet.
    """
    random = Random(f"{seed} {number}")  # noqa: S311 - it has to be repeatable
    if choice is Choice.GUIDED:
        guided = _Guide(random, faults, experience or Experience(), wanted).drawn()
        if guided:
            return guided
    pick = _Picker(random, faults, uniform=choice is Choice.UNIFORM)
    steps = [pick.beginning()]
    steps += [pick.step() for _ in range(random.randint(*STEPS))]
    if faults:
        steps[3] = pick.due(number)
    return Drawn(tuple(steps))


class _Picker:
    """Picks single steps, without any regard to what was seen."""

    def __init__(self, random: Random, faults: Sequence[str], *, uniform: bool = False) -> None:
        self.random = random
        self.faults = faults
        shapes = WEIGHTS | (_FAULT_WEIGHTS if faults else {})
        arguments = {**ARGUMENTS, "package": faults, "server": SERVERS}
        if uniform:
            shapes = dict.fromkeys(shapes, 1)
            arguments = {name: sorted(set(v), key=str) for name, v in arguments.items()}
        self.shapes, self.arguments = shapes, arguments
        self._slow = 1 if uniform else _SLOW_ONE_IN

    def beginning(self) -> Step:
        return Step("begin", {"count": self.random.choice([2, 3, 4])})

    def step(self) -> Step:
        random = self.random
        (rule, *names) = random.choices(list(self.shapes), list(self.shapes.values()))[0]
        chosen = {name: random.choice(self.arguments[name]) for name in names}
        if chosen.get("package") == _SLOW and random.randrange(self._slow):
            chosen["package"] = random.choice(self.faults)
        return Step(rule, chosen)

    def due(self, number: int) -> Step:
        """The fault package whose turn it is."""
        who = self.random.choice(self.arguments["who"])
        return self.fault(self.faults[number % len(self.faults)], who)

    def fault(self, kind: str, who: int | str) -> Step:
        """The step that does a fault, of a package or by a rule of its own."""
        if kind in self.faults:
            server = self.random.choice(self.arguments["server"])
            return Step("inject", {"package": kind, "who": who, "server": server})
        rule = kind.replace("dropped", "drop").replace(" ", "_")
        names = next(shape for shape in self.shapes if shape[0] == rule)[1:]
        given: dict[str, int | str] = {"who": who, "position": 0}
        return Step(rule, {name: given[name] for name in names})

    def aimed_at_one(self) -> list[str]:
        """The rules that do something to one contender, and need to be told no more than whom."""
        return [rule for rule, *names in self.shapes if names == ["who"]]

    def kinds(self) -> list[str]:
        """Every kind of fault that can be done."""
        return [*FAULTS, *(["move"] if self.faults else []), *self.faults]


class _Guide:
    """Draws one run so that it may show what was not seen."""

    def __init__(
        self, random: Random, faults: Sequence[str], experience: Experience, wanted: Sequence[str]
    ) -> None:
        self._random = random
        self._pick = _Picker(random, faults)
        self._known = experience
        self._kinds = self._pick.kinds()
        self._wanted = [kind for kind in wanted if kind in self._kinds]

    def drawn(self) -> Drawn | None:
        """The run; None if there is nothing to head for, or it is time to wander."""
        random = self._random
        if self._wanted and random.random() < _AT_A_LEADER:
            begin, kind = self._pick.beginning(), random.choice(self._wanted)
            return Drawn((begin, self._pick.fault(kind, "leader"), Step("run")))
        aim = self._aim() if random.random() > _WANDERING else None
        if aim is None:
            return None
        way, steps = self._again_under(aim) if aim.fault else self._by_analogy(aim)
        more = [self._pick.step() for _ in range(random.randrange(_FEWER_MORE))]
        return Drawn((*steps, *more), (str(aim), f"{aim}{_BY}{way}"))

    def _aim(self) -> Aim | None:
        """What to head for."""
        known, random = self._known, self._random
        modes = {_AFTER[edge] for edge in known.trails if _AFTER[edge] != edge[1]}
        aims = [
            Aim(action, mode)
            for action, mode in _POSSIBLE
            if not known.seen[action, mode] and mode in modes
        ]
        if not aims or random.random() < _UNDER_A_FAULT:
            aims = [
                Aim(action, mode, fault)
                for action, mode in _POSSIBLE
                if (action, mode) in known.trails
                for fault in self._kinds
                if not known.under[action, mode, fault]
            ]
        if not aims:
            return None
        weights = [
            1 / ((1 + known.tries[str(aim)]) * (_SLOW_ONE_IN if aim.fault == _SLOW else 1))
            for aim in aims
        ]
        return random.choices(aims, weights)[0]

    def _again_under(self, aim: Aim) -> tuple[str, Sequence[Step]]:
        """A run that has led to the edge, with the fault among its last steps."""
        random = self._random
        found = random.choice(self._known.trails[aim.action, aim.mode])
        steps = found.steps
        place = random.randint(max(1, len(steps) - 2), len(steps))
        fault = self._pick.fault(aim.fault, found.seat)
        return f"{fault} at {place - len(steps)}", [*steps[:place], fault, *steps[place:]]

    def _by_analogy(self, aim: Aim) -> tuple[str, Sequence[Step]]:
        """What has shown the same action in another mode, led to this mode before it."""
        known, random = self._known, self._random
        shown = [w for edge, kept in known.trails.items() if edge[0] == aim.action for w in kept]
        entering = [
            w
            for edge, kept in known.trails.items()
            if _AFTER[edge] == aim.mode != edge[1]
            for w in kept
        ]
        ways: dict[str, tuple[list[Step], float]] = {}
        needed = known.needs.get(aim.action, frozenset())

        def add(head: Sequence[Step], seat: int, end: Sequence[Step], worth: float) -> None:
            steps = [*head, Step("reach", {"who": seat, "state": aim.mode}), *end]
            ways[_told(steps)] = steps, worth / len(steps)

        for model in shown:
            for tail in range(1, min(_LONGEST_TAIL, len(model.steps) - 1) + 1):
                head, end = model.steps[:-tail], model.steps[-tail:]
                if len(head) > 1 and head[-1].rule == "reach":
                    # It led to the other mode.
                    head = head[:-1]
                # What happened in a crowd may have had any cause.
                worth = 1 / model.crowd**2
                add(head, model.seat, end, worth)
                for entry in random.sample(entering, min(_MOST_ENTRIES, len(entering))):
                    fit = 1.0 if needed <= entry.past else _UNFIT
                    steps = _for_seat(end, model.seat, entry.seat)
                    add(_up_to(entry), entry.seat, steps, worth * fit)
        for entry in entering:
            for rule in self._pick.aimed_at_one():
                tried = self._pick.fault(rule, entry.seat)
                told = Step("deliver", {"who": entry.seat, "lane": "any"})
                fit = 1.0 if needed <= entry.past else _UNFIT
                add(_up_to(entry), entry.seat, [tried, told], _BY_CHANCE * fit)
        weights = [
            worth / (1 + known.tries[f"{aim}{_BY}{way}"]) ** 2 for way, (_, worth) in ways.items()
        ]
        way = random.choices(list(ways), weights)[0]
        return way, ways[way][0]


def _up_to(entry: Trail) -> Sequence[Step]:
    """The steps of a trail up to where it can be stopped on its way."""
    *before, last = entry.steps
    if before:
        return before if last.rule in _DELIVERS else entry.steps
    # What has happened in the beginning happens to whoever is started.
    begin = [Step("begin", {"count": entry.seat})] if entry.seat else []
    return [*begin, Step("start")]


def _for_seat(steps: Sequence[Step], seat: int, other: int) -> list[Step]:
    """The same steps, aimed at another seat wherever they were aimed at this one."""
    return [
        Step(step.rule, {**step.arguments, "who": other})
        if step.arguments.get("who") == seat
        else step
        for step in steps
    ]


def _told(steps: Sequence[Step]) -> str:
    return "; ".join(map(str, steps))
