"""How often a suite draws each rule, by what real servers have not shown yet.

A suite draws all its steps by one rule, and the weights of that rule are frozen while a
campaign lasts: what is drawn must follow from the draws before it, or Hypothesis cannot repeat
an example and calls it flaky. So the ledger is read once, before, and what the campaign sees
counts for the next one.

    ledger = Ledger.read(default_ledger(), modules_of(project))
    with frozen(weigh(ledger, WEIGHTS, ARGUMENTS)):
        run_campaign(...)

A rule that does a fault is drawn more often the fewer edges were seen beside this fault. A
state that a rule heads for is drawn more often the rarer the edges that leave it. Nothing is
ever drawn less often than it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from keepstep.exploration.ledger import Ledger, plain_name
from keepstep.testing.election.coverage import FAULTS, UNREACHABLE, all_transitions

__all__ = ["RuleWeights", "Shape", "current", "frozen", "weigh"]

Shape = tuple[str, ...]
"""A rule and the names of its arguments."""

MOST = 4
"""By how much a weight grows at most."""


@dataclass(frozen=True, slots=True)
class RuleWeights:
    """How often each rule is drawn, and each value of an argument.

    Attributes:
        rules: The weight of each rule; early ones count as simpler.
        arguments: The values of each argument, as often as they are to be drawn.
    """

    rules: Mapping[Shape, int]
    arguments: Mapping[str, Sequence[int | str]]


def weigh(
    ledger: Ledger,
    rules: Mapping[Shape, int],
    arguments: Mapping[str, Sequence[int | str]],
) -> RuleWeights:
    """The weights of a suite, grown by what a ledger has not seen.

    Args:
        ledger: What was seen.
        rules: The weights without a ledger.
        arguments: The values without a ledger; those of `state` are states of the machine.
    """
    entries = ledger.entries()
    examples = {(plain_name(e.label), e.mode): entry.examples for e, entry in entries.items()}
    beside = {
        (plain_name(e.label), e.mode, _rule_of(kind)): count
        for e, entry in entries.items()
        for kind, count in entry.faults.items()
    }
    possible = [(_camel(t.action), t.before) for t in all_transitions() - UNREACHABLE.keys()]
    faults = {_rule_of(kind) for kind in FAULTS}
    grown = {}
    for shape, weight in rules.items():
        rule = shape[0]
        rarity = _mean([_rarity(beside.get((*edge, rule), 0)) for edge in possible])
        grown[shape] = round(weight * (1 + (MOST - 1) * rarity)) if rule in faults else weight
    states = [
        value
        for value in arguments.get("state", ())
        for _ in range(_copies(examples, possible, str(value)))
    ]
    return RuleWeights(grown, {**arguments, "state": states} if states else dict(arguments))


def _copies(
    examples: Mapping[tuple[str, str], int], possible: Sequence[tuple[str, str]], state: str
) -> int:
    leaving = [_rarity(examples.get(edge, 0)) for edge in possible if edge[1] == state]
    return round(1 + (MOST - 1) * max(leaving, default=0.0))


def _rarity(count: int) -> float:
    """1 of what was never seen, ever less of what was seen more often."""
    return 1 / (1 + count)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _rule_of(kind: str) -> str:
    """The rule that does a kind of fault: `dropped reply` is done by `drop_reply`."""
    return kind.replace("dropped", "drop").replace(" ", "_")


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


_FROZEN: ContextVar[RuleWeights | None] = ContextVar("rule weights", default=None)


@contextmanager
def frozen(weights: RuleWeights) -> Iterator[None]:
    """Let suites that run in the block draw by these weights."""
    token = _FROZEN.set(weights)
    try:
        yield
    finally:
        _FROZEN.reset(token)


def current(
    rules: Mapping[Shape, int], arguments: Mapping[str, Sequence[int | str]]
) -> RuleWeights:
    """What to draw by: what is frozen, or these.

    Rules and arguments that the frozen weights do not know keep the weights given here.
    """
    known = _FROZEN.get()
    if known is None:
        return RuleWeights(rules, arguments)
    return RuleWeights(
        {shape: known.rules.get(shape, weight) for shape, weight in rules.items()},
        {name: known.arguments.get(name, values) for name, values in arguments.items()},
    )
