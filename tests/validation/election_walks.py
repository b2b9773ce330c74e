"""Behaviours of the election's specification, chosen by lot, as a recorder would have seen them.

They come from the translated composition itself, without servers and without contenders. So
they are right by construction, and none may ever be refused.
"""

from __future__ import annotations

import dataclasses

import msgspec

from keepstep.derive.system import translate
from keepstep.tla.values import render
from keepstep.validation.candidates import FEATURES
from keepstep.validation.election_abstraction import node_name
from keepstep.validation.itf_recording import recording_of
from keepstep.validation.recording import AT_TIMES, End, Fault, Transaction
from keepstep.validation.trace_module import model_constants

NEEDLESS = {"S!DropLate"}
"""Steps that only lose what might still have happened."""


def composition(spec, count, without=()):
    """The composition of so many contenders, whose environment does not do some things."""
    nodes = [node_name(number) for number in range(1, count + 1)]
    constants = model_constants(nodes, FEATURES - set(without))
    return translate(
        spec,
        {
            name: frozenset(value) if isinstance(value, list) else value
            for name, value in constants.items()
        },
    )


def walk(system, length, mischief, lot):
    """The states of a behaviour, by a `random.Random`.

    Args:
        system: The composition.
        length: How many steps.
        mischief: How often what counts as a fault may be chosen, from 0 to 1.
        lot: Chooses the action, then one of its steps.
    """
    (state,) = system.initial()
    states = [state]
    faults = system.number("faults")
    for _ in range(length):
        steps = [step for step in system.successors(state) if step[0].label not in NEEDLESS]
        calm = [step for step in steps if step[1][faults] == state[faults]]
        chosen = calm if calm and lot.random() > mischief else steps
        label = lot.choice(sorted({leaf.label for leaf, _ in chosen}))
        chosen = [step for step in chosen if step[0].label == label]
        if len(chosen) > 1:
            # Sets have no order of their own, and a test shall do the same each time.
            chosen.sort(key=lambda step: render(step[1]))
        _, state = lot.choice(chosen)
        states.append(state)
    return [dict(zip(system.variables, state, strict=True)) for state in states]


def walked(spec, digests, system, length, lot):
    """The recording of a behaviour that was chosen by lot."""
    states = walk(system, length, lot.choice([0.02, 0.1, 0.2, 0.4]), lot)
    return recording_of(spec, digests, states, "a walk")


def read_late(recording, lot):
    """The recording as if the log had been read now and then only: transactions come later."""
    *records, _ = recording.records
    found, waiting = [], []
    for record in records:
        # What was lost was lost between two transactions.
        (waiting if isinstance(record, Transaction | Fault) else found).append(record)
        if lot.random() < 0.2:
            found += waiting
            waiting = []
    found += waiting
    header = msgspec.structs.replace(recording.header, log_read=AT_TIMES)
    return dataclasses.replace(recording, header=header, records=(*found, End(len(found))))


def scripted(spec, digests, system, labels):
    """The recording of the behaviour that takes steps of these labels, `C!Join@2` the second's."""
    (state,) = system.initial()
    states = [state]
    for each in labels.split():
        label, _, node = each.partition("@")
        steps = [
            after
            for leaf, after in system.successors(state)
            if leaf.label == label and (not node or leaf.arguments[0] == node_name(int(node)))
        ]
        assert steps, f"{label} is not possible after {len(states) - 1} steps"
        state = min(steps, key=render)
        states.append(state)
    named = [dict(zip(system.variables, state, strict=True)) for state in states]
    return recording_of(spec, digests, named, "a scripted walk")
