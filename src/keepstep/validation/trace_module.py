"""Ask TLC about a recorded run, with modules that are written for it.

`confirm_steps` asks of single steps of a behaviour that was found whether TLC takes them too.
`search` leaves everything to TLC: it looks for a behaviour of the whole composition that fits
the recording, with none of what `candidates` concludes of it, and without the translation of
the specification into Python. That takes long, so it is for short recordings; the tests hold
`validation` to it.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from keepstep.checkers.tlc import check, dump_graph
from keepstep.checkers.verdict import Kind
from keepstep.errors import LocalViolation
from keepstep.process import Supervisor, scratch_folder
from keepstep.tla.manifest import Model, Mutation
from keepstep.tla.operations import UNIT
from keepstep.tla.sources import Project
from keepstep.tla.values import Fn, render
from keepstep.validation.behaviour import Behaviour
from keepstep.validation.candidates import FEATURES, MOST_FAULTS, Candidates
from keepstep.validation.election_abstraction import (
    DUTIES,
    Abstraction,
    Event,
    Step,
    fence_value,
    node_name,
    request_value,
    ticket_value,
    told_value,
    tree_value,
)
from keepstep.validation.recording import Input, Recording

__all__ = [
    "Confirmation",
    "allowed_features",
    "confirm_steps",
    "model_constants",
    "named_step",
    "sampled_steps",
    "search",
]

_SECONDS = 300
_COUNTED = "faults' = faults + 1"
_UNCOUNTED = "faults' = faults"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a checker says of sampled steps.

    Attributes:
        asked: Places of the steps in the behaviour.
        refused: Those that the checker does not take.
        seconds: How long it took.
        undecided: Those of which it cannot tell.
    """

    asked: tuple[int, ...]
    refused: tuple[int, ...]
    seconds: float
    undecided: tuple[int, ...] = ()


def model_constants(nodes: Sequence[str], features: frozenset[str]) -> dict[str, Any]:
    """The constants of the composition for these nodes, as a manifest has them: lists are sets."""
    return {
        "NODES": sorted(nodes),
        "DUTIES": [f"{duty}_OF_DUTY" for duty in DUTIES],
        "FEATURES": sorted(features),
        "FAULTS": MOST_FAULTS,
    }


def allowed_features(recording: Recording) -> frozenset[str]:
    """What the environment of a recording may do."""
    return FEATURES - {"stale"} if recording.header.servers == 1 else FEATURES


def sampled_steps(behaviour: Behaviour, count: int, seed: int) -> list[int]:
    """Places of so many steps of a behaviour, or of all, chosen by lot."""
    total = len(behaviour.steps)
    return sorted(random.Random(seed).sample(range(total), min(count, total)))  # noqa: S311


def named_step(behaviour: Behaviour, place: int) -> str:
    """A step of a behaviour as the composition names it."""
    return behaviour.steps[place].label.replace("C!Resign(", "Resign(")


@contextmanager
def _project_with(project: Project, name: str, text: str) -> Iterator[Project]:
    """A copy of a project's specification with one more module."""
    with scratch_folder() as folder:
        shutil.copytree(project.root / "spec", folder / "spec")
        shutil.copytree(project.root / "models/shims", folder / "models/shims")
        (folder / f"spec/election/{name}.tla").write_text(text, encoding="utf-8")
        yield Project(folder)


def confirm_steps(
    project: Project,
    recording: Recording,
    behaviour: Behaviour,
    count: int,
    *,
    seed: int = 0,
    supervisor: Supervisor | None = None,
) -> Confirmation:
    """Have TLC take a sample of the steps of a behaviour.

    Args:
        project: The project of the specification.
        recording: What the behaviour was found for.
        behaviour: The behaviour.
        count: How many steps; all if there are fewer.
        seed: Repeats the choice.
        supervisor: Ends TLC when it is told to; one of its own by default.

    Raises:
        KeepstepError: TLC could not be run.
    """
    chosen = sampled_steps(behaviour, count, seed)
    if not chosen:
        return Confirmation((), (), 0.0)
    model = Model(
        name="RecordedSteps", spec="spec/election/RecordedSteps.tla", checker="tlc", mode="safety",
        expected="HOLDS", init="StepInit", next="StepNext", seconds=_SECONDS,
        constants=model_constants(behaviour.nodes, allowed_features(recording)),
    )  # fmt: skip
    text = _steps_module(behaviour, chosen)
    with _project_with(project, "RecordedSteps", text) as copy, scratch_folder() as folder:
        dump, outcome = dump_graph(copy, model, folder, supervisor=supervisor)
        found = re.findall(r"\bplace = (-?\d+)", dump.read_text(encoding="utf-8"))
    taken = {-int(place) for place in found if int(place) < 0}
    refused = tuple(place for number, place in enumerate(chosen, 1) if number not in taken)
    return Confirmation(tuple(chosen), refused, outcome.seconds)


def _steps_module(behaviour: Behaviour, chosen: Sequence[int]) -> str:
    """A module whose initial states are those before the steps, and whose steps are these."""
    starts, steps = [], []
    for number, place in enumerate(chosen, 1):
        before, after = behaviour.states[place], behaviour.states[place + 1]
        starts.append(_conjunction([f"place = {number}", *_equations(before, "")]))
        label = named_step(behaviour, place)
        steps.append(
            _conjunction(
                [f"place = {number}", f"place' = {-number}", label, *_equations(after, "'")]
            )
        )
    return _module(
        "RecordedSteps",
        "VARIABLE place",
        "StepInit ==\n" + _disjunction(starts),
        "StepNext ==\n" + _disjunction(steps),
    )


def _module(name: str, *parts: str) -> str:
    head = f"---- MODULE {name} ----\nEXTENDS LeaderElection, Sequences, TLC"
    return "\n\n".join([head, *parts]) + "\n====\n"


def _equations(state: Mapping[str, Any], prime: str) -> list[str]:
    return [f"{name}{prime} = {_tla(value)}" for name, value in state.items()]


def _conjunction(parts: Sequence[str]) -> str:
    return "\n".join(f"        /\\ {part}" for part in parts)


def _disjunction(parts: Sequence[str]) -> str:
    return "\n".join(f"    \\/\n{part}" for part in parts)


def _tla(value: Any) -> str:
    """A value as TLA+ writes it; a function of nodes that TLC can compare with one it made."""
    return render(value)


# --- The whole search -------------------------------------------------------------------------


def search(
    project: Project,
    candidates: Candidates,
    recording: Recording,
    *,
    supervisor: Supervisor | None = None,
) -> bool:
    """Have TLC search for a behaviour that fits a recording.

    Returns:
        Whether there is one.

    Raises:
        LocalViolation: A record is none that can be.
        KeepstepError: TLC could not be run, or found no end in time.
    """
    abstraction = Abstraction(recording)
    nodes = [node_name(node) for node in sorted(abstraction.processes.values())]
    model = Model(
        name="RecordedRun", spec="spec/election/RecordedRun.tla", checker="tlc", mode="safety",
        expected="HOLDS", init="RunInit", next="RunNext", invariants=["Unfinished"],
        seconds=_SECONDS, constants=model_constants(nodes, allowed_features(recording)),
        # How many faults there were must not tell states apart.
        mutation=[
            Mutation(module="ElectionServer", operator=name, old=_COUNTED, new=_UNCOUNTED)
            for name in ("Spend", "ServeRelease")
        ],
    )  # fmt: skip
    text = _run_module(candidates, abstraction, nodes)
    with _project_with(project, "RecordedRun", text) as copy:
        outcome = check(copy, model, supervisor=supervisor or Supervisor())
    if outcome.verdict.kind is Kind.VIOLATED:
        return True
    if outcome.verdict.kind is Kind.HOLDS:
        return False
    raise LocalViolation(f"{recording.name}: TLC came to no end: {outcome.verdict}")


def _run_module(candidates: Candidates, abstraction: Abstraction, nodes: Sequence[str]) -> str:
    steps: dict[str, list[str]] = {node: [] for node in nodes}
    for number, record in enumerate(abstraction.recording.records):
        if isinstance(record, Input):
            step = abstraction.step(record)
            span = abstraction.earliest[number], abstraction.latest[number]
            row = _step_row(candidates, step, *span)
            steps[node_name(abstraction.processes[record.process])].append(row)
    rows = " @@ ".join(f'("{node}" :> <<{", ".join(found)}>>)' for node, found in steps.items())
    return _module(
        "RecordedRun",
        "VARIABLES place, clock, issued",
        f"Steps == {rows}",
        f"Events == <<{', '.join(map(_event_row, abstraction.events))}>>",
        f"Opened == {_opened(abstraction.events, nodes)}",
        f"Ended == {_ended(abstraction.events)}",
        f"Touched == {_touched(abstraction.events)}",
        _actions(candidates),
        _SEARCH,
    )


def _step_row(candidates: Candidates, step: Step, earliest: int, latest: int) -> str:
    is_command = step.told in candidates.commands.values()
    session, ticket, fence = step.facts
    row: dict[str, Any] = {
        "action": step.action,
        "earliest": earliest,
        "latest": latest,
        "commanded": is_command,
        "told": Fn(tag="", value=UNIT) if is_command else told_value(step.told, step.content),
        "duty": f"{step.content[0]}_OF_DUTY" if is_command and step.content else "",
        "before": step.before,
        "after": step.after,
        "session": frozenset() if session is None else frozenset({session}),
        "ticket": frozenset() if ticket is None else frozenset({ticket_value(ticket)}),
        "fence": frozenset() if fence is None else frozenset({fence_value(fence)}),
        "asks": len(step.requests),
        "asked": request_value(step.requests[0]) if step.requests else Fn(tag="", value=UNIT),
    }
    return render(Fn(row))


def _event_row(event: Event) -> str:
    kind = "change"
    if event.odd or event.impossible or event.assumed:
        kind = "odd"
    elif event.opened or event.touched is not None:
        kind = "nothing"
    elif event.ended:
        kind = "ended"
    elif event.refused:
        kind = "refused for itself" if event.for_itself else "refused"
    elif event.wrote is not None:
        kind = "wrote"
    elif event.cause:
        kind = event.cause
    fields = event.request
    if fields is not None and event.wrote is not None:
        fields = (*fields, DUTIES[0])
    row: dict[str, Any] = {
        "kind": kind,
        "node": node_name(event.node),
        "session": event.session,
        "tree": tree_value(event.tree),
        "fixed": fields is not None,
        "asked": Fn(tag="", value=UNIT) if fields is None else request_value(fields),
    }
    return render(Fn(row))


def _by_clock(values: Sequence[str]) -> str:
    return "<<" + ", ".join(values) + ">>"


def _opened(events: Sequence[Event], nodes: Sequence[str]) -> str:
    """For each clock, plus one, how many sessions of each node had been made."""
    counts = dict.fromkeys(nodes, 0)
    found = []
    for event in (None, *events):
        if event is not None and event.opened:
            node = node_name(event.node)
            counts[node] = max(counts[node], event.session)
        found.append("(" + " @@ ".join(f'"{n}" :> {c}' for n, c in counts.items()) + ")")
    return _by_clock(found)


def _ended(events: Sequence[Event]) -> str:
    gone: set[Any] = set()
    found = []
    for event in (None, *events):
        if event is not None and event.ended:
            gone.add(Fn(node=node_name(event.node), number=event.session))
        found.append(render(frozenset(gone)))
    return _by_clock(found)


def _touched(events: Sequence[Event]) -> str:
    seen: set[Any] = set()
    found = []
    for event in (None, *events):
        if event is not None and event.touched is not None:
            seen.add(ticket_value(event.touched))
        found.append(render(frozenset(seen)))
    return _by_clock(found)


def _actions(candidates: Candidates) -> str:
    """The role's action by its name."""
    arms = []
    for name, leaves in candidates.roles.items():
        called = "Resign" if name == "Resign" else leaves[0].label
        arguments = "n, r.duty" if len(leaves[0].arguments) > 1 else "n"
        arms.append(f'    \\/ r.action = "{name}" /\\ {called}({arguments})')
    return "Acts(n, r) ==\n" + "\n".join(arms)


_SEARCH = r"""
RunInit ==
    Init /\ place = [n \in NODES |-> 0] /\ clock = 0 /\ issued = [n \in NODES |-> 0]

\* The next recorded step of a contender.
Recorded(n) ==
    /\ place[n] < Len(Steps[n])
    /\ LET r == Steps[n][place[n] + 1] IN
        /\ clock <= r.latest
        /\ mode[n] = r.before
        /\ place' = [place EXCEPT ![n] = @ + 1]
        /\ issued' = [issued EXCEPT ![n] = IF r.asks > 0 THEN r.earliest ELSE @]
        /\ UNCHANGED clock
        /\ r.commanded \/ inbox[n] = r.told
        /\ r.asks <= 1
        /\ Acts(n, r)
        /\ mode'[n] = r.after
        /\ session'[n] = r.session
        /\ ticket'[n] = r.ticket
        /\ fence'[n] = r.fence
        /\ request'[n] = IF r.asks = 1 THEN r.asked ELSE request[n]

\* Two requests are the same, but for the duty of a write.
Same(asked, wanted) ==
    IF asked.tag = "WriteFenced" /\ wanted.tag = "WriteFenced"
    THEN asked.value.fence = wanted.value.fence /\ asked.value.ticket = wanted.value.ticket
    ELSE asked = wanted

\* A request of a session of a node is served, in time or late.
Done(n, e) ==
    \/ /\ sessions[n] = e.session
       /\ e.fixed => Same(request[n], e.asked)
       /\ Serve(n)
    \/ \E f \in late[n] :
        /\ f.session = e.session
        /\ e.fixed => Same(f.request, e.asked)
        /\ S!ApplyLate(n)
        /\ late'[n] = late[n] \ {f}

Wrote(n, e) ==
    \/ sessions[n] = e.session /\ e.fixed /\ Same(request[n], e.asked) /\ S!ServeWrite(n)
    \/ sessions[n] = e.session /\ ~e.fixed /\ S!ServeWrite(n)
    \/ \E f \in late[n] :
        /\ f.session = e.session
        /\ f.request.tag = "WriteFenced"
        /\ e.fixed => Same(f.request, e.asked)
        /\ S!Passes(tree, f.request.value.fence, f.request.value.ticket)
        /\ S!ApplyLate(n)
        /\ late'[n] = late[n] \ {f}

\* A multi of a session of a node is refused: in time, or when nobody listens.
Refused(n, e) ==
    LET multis == {"FoundEpoch", "RaiseEpoch", "WriteFenced"} IN
    \/ /\ sessions[n] = e.session
       /\ request[n].tag \in multis
       /\ S!ServeFound(n) \/ S!RefuseRaise(n) \/ S!MissRaise(n) \/ S!RefuseWrite(n)
       /\ tree' = tree
    \/ /\ \E f \in late[n] : f.session = e.session /\ f.request.tag \in multis
       /\ UNCHANGED vars

Happens(e) ==
    \/ e.kind = "nothing" /\ UNCHANGED vars
    \/ /\ e.kind = "ended"
       /\ LET s == [node |-> e.node, number |-> e.session] IN
            IF s \in live
            THEN /\ S!Expire(e.node) \/ S!Haunt(e.node) \/ S!Reap(e.node)
                 /\ live' = live \ {s}
                 /\ tree' = e.tree
            ELSE tree = e.tree /\ UNCHANGED vars
    \/ e.kind \in {"refused", "refused for itself"} /\ Refused(e.node, e)
    \/ e.kind = "refused for itself" /\ Wrote(e.node, e)
    \/ e.kind = "wrote" /\ Wrote(e.node, e)
    \/ /\ e.kind = "change"
       /\ Done(e.node, e)
       /\ tree' = e.tree
       /\ live' = live
    \/ e.kind = "Intrude" /\ (\E n \in NODES : S!Intrude(n)) /\ tree' = e.tree
    \/ e.kind = "RemoveParent" /\ S!RemoveParent
    \/ e.kind = "Wipe" /\ S!Wipe

\* A request is answered, and the log shows nothing of it.
Answers(n) ==
    \/ S!ServeSync(n) \/ S!ServeList(n) \/ S!MissList(n) \/ S!ServeParent(n)
       \/ S!ServeCreate(n) \/ S!MissCreate(n) \/ S!ServeInspect(n) \/ S!MissInspect(n)
       \/ S!ServeAwait(n) \/ S!MissAwait(n) \/ S!ServeDelete(n) \/ S!ServeRelease(n)
       \/ S!ServeRead(n) \/ S!MissRead(n) \/ S!ServeFound(n) \/ S!ServeRaise(n)
       \/ S!RefuseRaise(n) \/ S!MissRaise(n) \/ S!RefuseWrite(n)

\* What the environment does without a trace in the log.
Quiet(n) ==
    /\ \/ clock >= issued[n] /\ Answers(n)
       \/ S!Reconnect(n) \/ S!CutOff(n) \/ S!Notice(n) \/ S!Disconnect(n) \/ S!Elapse(n)
       \/ Ring(n) \/ S!Notify(n) \/ S!FallBehind(n) \/ S!CatchUp(n)
       \/ S!OpenSession(n) \/ S!Abandon(n)
       \/ S!Expire(n) \/ S!Haunt(n) \/ S!Reap(n)
       \/ S!Touch(n) /\ watched[n] \subseteq Touched[clock + 1]
    /\ tree' = tree
    /\ \A m \in NODES : sessions'[m] > sessions[m] => sessions'[m] <= Opened[clock + 1][m]
    /\ live \ live' \subseteq Ended[clock + 1]
    /\ UNCHANGED <<place, clock, issued>>

RunNext ==
    \/ \E n \in NODES : Recorded(n) \/ Quiet(n)
    \/ /\ clock < Len(Events)
       /\ clock' = clock + 1
       /\ UNCHANGED <<place, issued>>
       /\ Happens(Events[clock + 1])

Unfinished ==
    ~(clock = Len(Events) /\ \A n \in NODES : place[n] = Len(Steps[n]))
"""
