"""Ask Apalache about steps of a behaviour that was found for a recorded run.

A module is written for the recording: its initial states are those before the sampled steps, and
its steps are these, each with a label. Apalache's explorer server loads it with the whole
composition, once; then it is asked of each step whether it leads from the state before to the
state after. The state after goes to the server as JSON.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from keepstep.checkers.apalache_explorer import Answer, Explorer
from keepstep.checkers.workspace import as_tla
from keepstep.derive.ast import Spec
from keepstep.errors import InvalidModel
from keepstep.tla.sources import Project
from keepstep.validation.behaviour import Behaviour
from keepstep.validation.recording import Recording
from keepstep.validation.trace_module import (
    Confirmation,
    allowed_features,
    model_constants,
    named_step,
    sampled_steps,
)
from keepstep.validation.typed_values import TypedValues

__all__ = ["confirm_steps_with_apalache"]

_COMPOSITION = "spec/election/LeaderElection.tla"
_MODULE = "RecordedSteps"


def confirm_steps_with_apalache(
    explorer: Explorer,
    project: Project,
    spec: Spec,
    recording: Recording,
    behaviour: Behaviour,
    count: int,
    *,
    seed: int = 0,
) -> Confirmation:
    """Have Apalache take a sample of the steps of a behaviour.

    Args:
        explorer: The server, which runs.
        project: The project of the specification.
        spec: The composition of all.
        recording: What the behaviour was found for.
        behaviour: The behaviour.
        count: How many steps; all if there are fewer.
        seed: Repeats the choice, which is that of `confirm_steps`.

    Raises:
        InvalidModel: A value does not have the type that the specification declares.
        ToolFailed: The server fails, or refuses the specification.
    """
    began = time.monotonic()
    chosen = sampled_steps(behaviour, count, seed)
    if not chosen:
        return Confirmation((), (), 0.0)
    written = _StepsModule(spec, behaviour, chosen)
    text = written.text(model_constants(behaviour.nodes, allowed_features(recording)))
    composition = project.closure(project.root / _COMPOSITION, shims=False)
    others = [path.read_text(encoding="utf-8") for path in composition.files.values()]
    loaded = explorer.load(
        [text, *others],
        init="StepInit",
        next="StepNext",
        initial_labels=[written.first(place) for place in chosen],
        step_labels=list(written.labels.values()),
    )
    answers = {
        place: loaded.may_follow(
            written.first(place),
            written.labels[named_step(behaviour, place)],
            written.itf(place + 1),
        )
        for place in chosen
    }
    loaded.dispose()
    return Confirmation(
        tuple(chosen),
        tuple(place for place, answer in answers.items() if answer is Answer.NO),
        time.monotonic() - began,
        tuple(place for place, answer in answers.items() if answer is Answer.UNKNOWN),
    )


class _StepsModule:
    """The module that is written for the sampled steps.

    Attributes:
        labels: The label of each step that was sampled, by what the composition calls the step.
    """

    def __init__(self, spec: Spec, behaviour: Behaviour, chosen: Sequence[int]) -> None:
        self.spec = spec
        self.behaviour = behaviour
        self.chosen = chosen
        self.values = TypedValues(spec)
        self.types = self.values.types
        steps = sorted({named_step(behaviour, place) for place in chosen})
        self.labels = {step: f"RecordedStep{number}" for number, step in enumerate(steps)}

    def first(self, place: int) -> str:
        """The label of a state that a step starts from."""
        return f"RecordedStart{place}"

    def state(self, place: int) -> dict[str, Any]:
        """A state of the behaviour.

        Raises:
            InvalidModel: It is not one of the composition: whatever it does not say could be all.
        """
        found = dict(self.behaviour.states[place])
        if found.keys() != self.types.keys():
            odd = ", ".join(sorted(found.keys() ^ self.types.keys()))
            raise InvalidModel(f"state {place} has other variables than the composition: {odd}")
        return found

    def itf(self, place: int) -> dict[str, Any]:
        """A state of the behaviour as JSON values of ITF."""
        return {
            name: self.values.itf(value, self.types[name])
            for name, value in self.state(place).items()
        }

    def text(self, constants: dict[str, Any]) -> str:
        """The module.

        Each value has a definition of its own, with its type: the time that Apalache's type
        checker takes grows with the square of a definition's length.
        """
        names: dict[tuple[str, str], str] = {}
        states = []
        for place in self.chosen:
            states.append(f"RecordedState{place} ==")
            for name, value in self.state(place).items():
                key = self.types[name], self.values.tla(value, self.types[name])
                names.setdefault(key, f"RecordedValue{len(names)}")
                states.append(f"    /\\ {name} = {names[key]}")
        lines = [f"---- MODULE {_MODULE} ----", f"EXTENDS {self.spec.root}, Apalache"]
        for declared in self.spec.constants:
            # So Apalache is told what a constant is; the server has no other way.
            kind = declared.annotations.get("type", "").rstrip("; ")
            lines.append(
                _defined(f"OVERRIDE_{declared.name}", kind, _given(constants, declared.name))
            )
        lines += [_defined(name, kind, value) for (kind, value), name in names.items()]
        lines += states
        lines.append("StepInit ==")
        lines += [f"    \\/ {self.first(p)}:: RecordedState{p}" for p in self.chosen]
        lines.append("StepNext ==")
        lines += [f"    \\/ {label}:: {step}" for step, label in self.labels.items()]
        return "\n".join([*lines, "===="]) + "\n"


def _given(constants: dict[str, Any], name: str) -> str:
    if name not in constants:
        raise InvalidModel(f"the composition has a constant {name} that no recording gives")
    return as_tla(constants[name])


def _defined(name: str, kind: str, value: str) -> str:
    return f"\\* @type: () => {kind};\n{name} == {value}"
