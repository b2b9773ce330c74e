"""Apalache agrees: it takes the steps that were found, and none that was falsified.

Its explorer server has the whole composition as the specification writes it, with types; TLC's
half is in test_with_tlc.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from keepstep.checkers.apalache_explorer import Explorer
from keepstep.checkers.toolchain import find_apalache, find_tlc
from keepstep.cli import confirmation
from keepstep.cli.validate import command
from keepstep.errors import InvalidModel, ToolMisnamed, ToolMissing
from keepstep.testing.election.scenarios import scenarios
from keepstep.testing.election.world import Step
from keepstep.tla.itf import from_itf
from keepstep.tla.operations import UNIT
from keepstep.tla.values import Fn
from keepstep.validation import explored_steps, trace_module
from keepstep.validation.behaviour import Behaviour, Taken, find_behaviour
from keepstep.validation.explored_steps import confirm_steps_with_apalache
from keepstep.validation.recording import write_recordings
from keepstep.validation.trace_module import Confirmation
from keepstep.validation.typed_values import TypedValues

pytestmark = [pytest.mark.zookeeper, pytest.mark.tools, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def explorer():
    try:
        find_apalache()
    except ToolMissing as error:
        pytest.skip(str(error))
    with Explorer() as explorer:
        yield explorer


@pytest.fixture
def confirm(explorer, project, validator):
    def ask(recording, behaviour, count):
        return confirm_steps_with_apalache(
            explorer, project, validator.spec, recording, behaviour, count
        )

    return ask


def test_apalache_takes_steps_of_a_behaviour_that_was_found(confirm, validator, handover):
    behaviour = find_behaviour(validator.candidates_for(handover), handover)
    said = confirm(handover, behaviour, 12)
    assert list(said.asked) == trace_module.sampled_steps(behaviour, 12, 0)
    assert (said.refused, said.undecided) == ((), ())
    assert confirm(handover, behaviour, 0).asked == ()


@pytest.mark.full
@pytest.mark.parametrize("name", ["wiped", "given up", "three contenders"])
def test_apalache_takes_every_step(confirm, validator, record, name):
    known = {"three contenders": [Step("begin", {"count": 3}), Step("run")], **scenarios()}
    recording = record(known[name])
    behaviour = find_behaviour(validator.candidates_for(recording), recording)
    said = confirm(recording, behaviour, len(behaviour.steps))
    assert said.asked == tuple(range(len(behaviour.steps)))
    assert (said.refused, said.undecided) == ((), ())


@pytest.mark.full
def test_each_variable_counts(confirm, validator, handover):
    """One step, again with each variable in turn as it is not after it."""
    found = find_behaviour(validator.candidates_for(handover), handover)
    place = next(n for n, step in enumerate(found.steps) if step.label.startswith("C!Claim"))
    before, after = found.states[place : place + 2]
    altered = {
        name: next((s[name] for s in found.states if s[name] != after[name]), None)
        for name in after
    }
    # Nothing was ever wiped or late in this run, and no server was behind.
    altered |= {"wipes": 1, "behind": after["behind"].put("n1_OF_NODE", frozenset({after["tree"]}))}
    request = Fn(tag="Sync", value=UNIT)
    flight = Fn(session=1, request=request)
    altered["late"] = after["late"].put("n1_OF_NODE", frozenset({flight}))
    assert None not in altered.values()
    afters = [after, *({**after, name: value} for name, value in altered.items())]
    states = [state for one in afters for state in (before, one)]
    steps = [found.steps[place]] * len(states)
    behaviour = Behaviour(found.nodes, (*states, before), tuple(steps))
    said = confirm(handover, behaviour, len(steps))
    assert {place for place in range(len(steps)) if place not in said.refused} == {0}
    assert said.undecided == ()


def test_apalache_does_not_take_a_step_that_was_falsified(confirm, validator, handover):
    found = find_behaviour(validator.candidates_for(handover), handover)
    places = {step.label.partition("(")[0]: n for n, step in reversed([*enumerate(found.steps)])}
    lead, create = places["C!Lead"], places["S!ServeCreate"]
    states, steps = [], []

    def add(place, label="", **altered):
        """A step, and one back to where the next one starts from, which is never possible."""
        after = found.states[place + 1]
        states.extend([found.states[place], {**after, **altered}])
        steps.extend([Taken(label or found.steps[place].label, None), found.steps[place]])

    told = found.states[create + 1]["inbox"]
    (node,) = (n for n, one in told.items() if one["tag"] == "TicketCreated")
    tree = found.states[create + 1]["tree"]
    (ticket,) = tree["latch"]["znodes"] - found.states[create]["tree"]["latch"]["znodes"]
    other = next(name for name in found.nodes if name not in found.steps[lead].label)
    add(lead)
    add(lead, wipes=1)
    add(lead, label=f'C!Lead("{other}")')
    add(lead, label=f'C!Claim("{found.steps[lead].label[8:18]}")')
    add(create)
    add(create, inbox=told.put(node, Fn(tag="NoInput", value=told[node]["value"])))
    add(create, tree=tree.put("latch", tree["latch"].put("znodes", frozenset())))
    name = ticket["name"].put("number", ticket["name"]["number"] + 1)
    forged = frozenset({ticket.put("name", name)})
    others = tree["latch"]["znodes"] - {ticket}
    add(create, tree=tree.put("latch", tree["latch"].put("znodes", others | forged)))
    behaviour = Behaviour(found.nodes, (*states, states[0]), tuple(steps))
    said = confirm(handover, behaviour, len(steps))
    taken = {place for place in range(0, len(steps), 2) if place not in said.refused}
    assert taken == {0, 8}
    assert said.undecided == ()


def test_values_are_written_by_their_types(validator, handover):
    values = TypedValues(validator.spec)
    behaviour = find_behaviour(validator.candidates_for(handover), handover)
    for state in behaviour.states:
        for name, value in state.items():
            assert from_itf(values.itf(value, values.types[name])) == value, name
    told = Fn({"n1_OF_NODE": Fn(tag="Connected", value=Fn(session=2))})
    assert values.tla(told, "NODE -> $input") == (
        'SetAsFun({<<"n1_OF_NODE", Variant("Connected", [session |-> 2])>>})'
    )
    assert values.itf(told, "NODE -> $input") == {
        "#map": [["n1_OF_NODE", {"tag": "Connected", "value": {"session": 2}}]]
    }
    assert values.tla(frozenset({2, 1}), "Set(Int)") == "{1, 2}"
    assert values.tla((True, "a", (3,)), "<<Bool, Str, Seq(Int)>>") == '<<TRUE, "a", <<3>>>>'
    assert values.itf((True, "a", (3,)), "<<Bool, Str, Seq(Int)>>") == {"#tup": [True, "a", [3]]}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "Int"),
        (1, "Bool"),
        ("n1_OF_NODE", "Str"),
        ("n1_OF_NODE", "DUTY"),
        ("U_OF_NODE", "UNIT"),
        ((1, 2, 3), "<<Int, Int>>"),
        (frozenset({1, "a"}), "Set(Int)"),
        (Fn(node="n1_OF_NODE"), "$ticketName"),
        (Fn(tag="Unheard", value=Fn(session=2)), "$input"),
        (Fn(tag="Connected", value=Fn(session="2")), "$input"),
        (Fn({"n1_OF_NODE": 1, "b": 2}), "NODE -> Int"),
    ],
)
def test_a_value_of_another_type_is_refused(validator, value, kind):
    values = TypedValues(validator.spec)
    for write in (values.tla, values.itf):
        with pytest.raises(InvalidModel, match="is no value of its type"):
            write(value, kind)


def test_a_state_without_a_variable_is_refused(validator, project, handover):
    found = find_behaviour(validator.candidates_for(handover), handover)
    lacking = {name: value for name, value in found.states[1].items() if name != "wipes"}
    behaviour = replace(found, states=(found.states[0], lacking), steps=found.steps[:1])
    with pytest.raises(InvalidModel, match=r"state 1 has other variables .*: wipes"):
        explored_steps._StepsModule(validator.spec, behaviour, [0]).itf(1)


# --- The command ------------------------------------------------------------------------------


@pytest.fixture
def run(project, handover, tmp_path):
    """Validate a run and have steps of it confirmed."""

    def invoke(*options, count=6):
        file = tmp_path / "run.jsonl"
        write_recordings(file, [handover])
        arguments = [str(file), "--confirm", str(count), "--project", str(project.root), *options]
        return CliRunner().invoke(command, arguments)

    return invoke


def test_the_command_asks_apalache_too(explorer, run):
    result = run("--json")
    assert result.exit_code == 0, result.output
    (told,) = json.loads(result.stdout)["recordings"]
    tlc, apalache = told["confirmed_by_tlc"], told["confirmed_by_apalache"]
    assert len(apalache["asked"]) == 6
    assert apalache["asked"] == tlc["asked"]
    assert (apalache["refused"], apalache["undecided"]) == ([], [])
    assert apalache["seconds"] > 0


@pytest.fixture
def without_apalache(monkeypatch, tmp_path):
    """TLC is where it was, Apalache is not."""
    monkeypatch.setenv("TLA2TOOLS_JAR", str(find_tlc().jar))
    monkeypatch.setenv("KEEPSTEP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("APALACHE_HOME", raising=False)
    folders = os.environ["PATH"].split(os.pathsep)
    others = [folder for folder in folders if not (Path(folder) / "apalache-mc").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(others))


def test_that_apalache_is_not_there_is_said_and_is_no_pass(without_apalache, run):
    result = run()
    assert result.exit_code == 0, result.output
    assert "  TLC takes 6 of 6 steps\n" in result.output
    assert "  Apalache: not run, Apalache is missing: `keepstep doctor" in result.output
    assert "Apalache takes" not in result.output
    (told,) = json.loads(run("--json").stdout)["recordings"]
    assert list(told["confirmed_by_apalache"]) == ["not_run"]
    assert "Apalache is missing" in told["confirmed_by_apalache"]["not_run"]


def test_an_apalache_that_is_not_where_it_is_said_to_be_is_an_error(run, monkeypatch, tmp_path):
    monkeypatch.setenv("APALACHE_HOME", str(tmp_path))
    assert isinstance(run().exception, ToolMisnamed)


@pytest.mark.parametrize(
    ("tlc", "apalache", "code", "lines"),
    [
        (Confirmation((1, 2), (), 1), Confirmation((1, 2), (), 1), 0, ["Apalache takes 2 of 2"]),
        (
            Confirmation((1, 2), (), 1),
            Confirmation((1, 2), (2,), 1),
            1,
            ["TLC takes 2 of 2", "Apalache takes 1 of 2", "Apalache does not take step 2: "],
        ),
        (
            Confirmation((1, 2), (1,), 1),
            Confirmation((1, 2), (), 1),
            1,
            ["TLC does not take step 1"],
        ),
        (
            Confirmation((1, 2), (), 1),
            Confirmation((1, 2), (), 1, (1,)),
            3,
            ["Apalache takes 1 of 2", "Apalache cannot tell of step 1: "],
        ),
        (
            Confirmation((1, 2), (), 1),
            Confirmation((1, 2), (2,), 1, (1,)),
            1,
            ["Apalache takes 0 of 2"],
        ),
    ],
    ids=["both", "Apalache refuses", "TLC refuses", "unknown", "unknown and refused"],
)
def test_whoever_refuses_a_step_decides(run, monkeypatch, tlc, apalache, code, lines):
    monkeypatch.setattr(trace_module, "confirm_steps", lambda *_, **__: tlc)
    monkeypatch.setattr(explored_steps, "confirm_steps_with_apalache", lambda *_, **__: apalache)
    monkeypatch.setattr(confirmation.Confirming, "_started", lambda _: object())
    result = run()
    assert result.exit_code == code, result.output
    for line in lines:
        assert line in result.output
