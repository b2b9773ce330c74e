"""Behaviours of a specification, chosen by lot, as a recorder would have seen them.

They come from the translated composition itself, without servers and without machines. So they
are right by construction, and none may ever be refused.
"""

from __future__ import annotations

from keepstep.conformance.binding import snake_case
from keepstep.tla.operations import UNIT
from keepstep.tla.values import Fn
from keepstep.validation.recording import End, Input, Recording, RunHeader, Start

NAMED = {"session", "owner", "ticket"}
"""Fields whose numbers have other names in the world."""


def walk(protocol, count, length, lot):
    """A run of so many nodes and steps of all kinds, by a `random.Random`."""
    system = protocol.system(count)
    nodes = protocol.nodes(count)
    (state,) = system.initial()
    records = [Start(f"p{n}", 0, node) for n, node in enumerate(nodes)]
    numbers = dict.fromkeys(nodes, 0)
    for _ in range(length):
        steps = list(system.successors(state))
        acting = [step for step in steps if step[0].label in protocol.actions]
        # Half of the steps are those of machines, so that not everything ends at once.
        leaf, after = lot.choice(acting if acting and lot.random() < 0.5 else steps)
        if leaf.label in protocol.actions:
            node = next(each for each in leaf.arguments if each in nodes)
            numbers[node] += 1
            process = f"p{nodes.index(node)}"
            step = _step(protocol, system, leaf, node, state, after)
            records.append(Input(process, numbers[node], *step))
        state = after
    header = RunHeader(
        keepstep=1, protocol=protocol.name, spec=dict(protocol.digests),
        role=protocol.role.entry.name, model=protocol.model.name,
        constants=dict(protocol.model.constants),
    )  # fmt: skip
    return Recording(header, (*records, End(len(records))), "a walk")


def _step(protocol, system, leaf, node, state, after):
    form = protocol.form

    def value(of, variable):
        return of[system.number(protocol.here(variable))][node]

    action = protocol.actions[leaf.label]
    told, asked = value(state, form.inbox), value(after, form.outbox)
    command = form.commands.get(action)
    requests = ()
    if asked != value(state, form.outbox):
        requests = ({"asks": asked["tag"], **_fields(asked["value"])},)
    return (
        command or told["tag"],
        action,
        value(state, form.state),
        value(after, form.state),
        {fact: _written(snake_case(fact), value(after, fact)) for fact in form.facts},
        {} if command else _fields(told["value"]),
        requests,
    )


def _fields(payload):
    return {} if payload == UNIT else {name: _written(name, v) for name, v in payload.items()}


def _written(name, value):
    if isinstance(value, frozenset):
        return _written(name, next(iter(value), None))
    if name in NAMED and isinstance(value, int):
        return f"0x{(1 << 60) - value:x}"
    assert not isinstance(value, Fn)
    return value
