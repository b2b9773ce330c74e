"""Why a record fits nothing: what would have been possible, in words for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from keepstep.conformance.system_graph import plain
from keepstep.tla.values import render
from keepstep.validation.candidates import PARTS, Candidates
from keepstep.validation.election_abstraction import Event, Step

__all__ = ["Explanation", "explain_event", "explain_step"]

MOST_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known about a bad record.

    Attributes:
        said: What is wrong, in sentences.
        allowed: What the specification would have allowed instead: what it is told, what it does.
        states: The last states that were possible: values by the names of the variables.
        who: Whose states they are.
    """

    said: tuple[str, ...]
    allowed: tuple[str, ...] = ()
    states: tuple[dict[str, str], ...] = field(default=())
    who: str = "the contender (n1 is itself)"

    def lines(self) -> Iterator[str]:
        """As a person reads it."""
        yield from self.said
        if self.allowed:
            yield "the specification would have allowed here:"
            yield from (f"  {line}" for line in _some(self.allowed))
        if not self.states:
            return
        yield f"{self.who} was in one of {len(self.states)} states:"
        same = {
            name: value
            for name, value in self.states[0].items()
            if all(state[name] == value for state in self.states)
        }
        yield f"  in all of them {_listed(same)}"
        if len(self.states) > 1:
            for line in _some([_listed(_without(state, same)) for state in self.states]):
                yield f"  or {line}"


def _some(lines: Iterable[str]) -> Iterator[str]:
    found = list(dict.fromkeys(lines))
    yield from found[:MOST_SHOWN]
    if len(found) > MOST_SHOWN:
        yield f"... and {len(found) - MOST_SHOWN} more"


def _listed(values: dict[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def _without(state: dict[str, str], same: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in state.items() if name not in same}


def _shown(candidates: Candidates, local: int) -> dict[str, str]:
    return {
        name: plain(render(value))
        for name, value in zip(PARTS, candidates.locals[local], strict=True)
    }


def _states(candidates: Candidates, members: Iterable[int]) -> tuple[dict[str, str], ...]:
    # By what they are, for their numbers depend on what was validated before.
    return tuple(sorted((_shown(candidates, m) for m in members), key=lambda s: [*s.values()]))


def _allowed(candidates: Candidates, members: Iterable[int]) -> tuple[str, ...]:
    """What the contender could have been told, with the action that follows."""
    found = []
    for local in sorted(members):
        before = dict(zip(PARTS, candidates.locals[local], strict=True))
        for leaf, _ in candidates.enabled(local):
            name = leaf.label.rpartition("!")[2]
            comment = candidates.comments.get(leaf.label, "")
            told = candidates.commands.get(name) or plain(render(before["inbox"]))
            found.append(f"{told} -> {name} ({comment})" if comment else f"{told} -> {name}")
    return tuple(sorted(set(found)))


def explain_step(
    candidates: Candidates, members: frozenset[int], step: Step, told: int
) -> tuple[str, Explanation]:
    """Why no candidate can take a recorded step.

    Returns:
        The name of the reason, and the explanation.
    """
    value, leaf = candidates.told_of(told)
    states, allowed = _states(candidates, members), _allowed(candidates, members)
    modes = sorted({state["mode"].strip('"') for state in states})
    if step.before not in modes:
        said = f"it was {' or '.join(modes)}, not {step.before}"
        return "STATE", Explanation((said,), allowed, states)
    comment = candidates.comments.get(leaf.label, "") if leaf is not None else ""
    about = f"{step.action}: {comment}" if comment else step.action
    if value is None:
        return "ACTION" if leaf is None else "RESULT", Explanation((about,), allowed, states)
    inboxes = [dict(zip(PARTS, candidates.locals[m], strict=True))["inbox"] for m in members]
    if value in inboxes:
        ready = [m for m, inbox in zip(members, inboxes, strict=True) if inbox == value]
        taken = {label for m in ready for label, _ in candidates.enabled(m)}
        kind = "RESULT" if leaf in taken else "ACTION"
        wanted = {
            f"{other.label.rpartition('!')[2]} leads to "
            + _listed(dict(list(_values(after).items())[:6]))
            for m in ready
            for other, after in candidates.enabled(m)
        }
        return kind, Explanation((about, *_some(sorted(wanted))), allowed, states)
    same_kind = any(inbox["tag"] == value["tag"] for inbox in inboxes)
    return "CONTENT" if same_kind else "UNTOLD", Explanation((about,), allowed, states)


def _values(local: tuple[object, ...]) -> dict[str, str]:
    return {name: plain(render(value)) for name, value in zip(PARTS, local, strict=True)}


def explain_event(candidates: Candidates, members: int, event: Event) -> Explanation:
    """Why nothing that a contender asked for can have led to an event."""
    locals_ = candidates.sets[members]
    states = _states(candidates, locals_)
    what = f"session {event.session} of the contender n{event.node}"
    if event.ended:
        said = f"{what} cannot have ended with these tickets"
    else:
        asked = " or ".join(sorted({state["request"] for state in states}))
        said = f"{what} asked for {asked}, and what may still be under way is in `late`"
    return Explanation((said,), (), states)
