"""Runs of a protocol that is not Keepstep's own: the lease lock of docs/examples."""

from __future__ import annotations

import dataclasses
import importlib
import json
import random
import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from keepstep.cli.validate import command
from keepstep.conformance.roles import read_spec
from keepstep.errors import InvalidModel, LocalViolation
from keepstep.roles.contender import Contender
from keepstep.testing.suites import (
    BEHAVIOUR,
    FakeGround,
    RunRecorder,
    Step,
    SuiteFailed,
    replay_suite,
    run_suite,
)
from keepstep.testing.suites.driven_shell import Delivered
from keepstep.testing.suites.run_recorder import recorded_role
from keepstep.tla.manifest import load_manifest
from keepstep.tla.operations import UNIT
from keepstep.tla.sources import Project
from keepstep.tla.values import Fn
from keepstep.validation.matching import Matching
from keepstep.validation.protocol import find_counters, find_idle, load_protocol
from keepstep.validation.protocol_trace import search_run
from keepstep.validation.protocol_validation import ProtocolValidator, load_protocol_validator
from keepstep.validation.recording import (
    Recording,
    RunHeader,
    encode,
    read_recordings,
    write_recordings,
)
from keepstep.validation.validator import Edge, Reason, Verdict

from .protocol_tampering import KINDS, TAMPERINGS, altered_by_lot, renumbered
from .protocol_walks import walk

EXAMPLE = Path(__file__).resolve().parents[2] / "docs/examples/lease-lock"

pytestmark = pytest.mark.tools


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.syspath_prepend(str(EXAMPLE / "tests"))


@pytest.fixture(scope="module")
def project():
    return Project(EXAMPLE)


@pytest.fixture(scope="module")
def validator(project):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        return load_protocol_validator(project, "Tenant")


@pytest.fixture
def lease():
    return importlib.import_module("lease_lock.suite").LeaseSuite


def step(rule: str, **arguments: int | str) -> Step:
    return Step(rule, arguments)


HANDOVER = [
    step("begin", count=2),
    step("command", who="favourite", command="WorkDue"),
    step("run"),
    step("command", who="favourite", command="ReturnDue"),
    step("run"),
]


@pytest.fixture
def record(lease):
    """Do steps on the fake, without what follows at the end of a run; the recording."""

    def run(steps, servers=1) -> Recording:
        ground = FakeGround(servers)
        world = lease(ground, "/recorded")
        try:
            for each in steps:
                world.perform(each)
            world.recorder.end()
        finally:
            world.close()
        return world.recorder.recording

    return run


@pytest.fixture
def lease_handover(record):
    return record(HANDOVER)


# --- Fresh runs -------------------------------------------------------------------------------


def test_a_fresh_run_is_a_behaviour(validator, lease_handover):
    found = validator.validate(lease_handover)
    assert found.verdict is Verdict.VALID, str(found)
    assert found.reason is None
    assert found.edges[Edge("Take", "looking")] == 3
    assert found.statistics.steps == 15


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    "trouble",
    [
        [step("expire", who="favourite")],
        [step("cut", who="favourite"), step("run")],
        [step("lost-reply", who=2), step("run")],
        [step("lost-request", who=2), step("run")],
        [step("restart", who="favourite"), step("run")],
        [step("stop", who="favourite"), step("run")],
        [step("intrude"), step("run")],
        [step("timer", who="favourite", timer="DeadlineReached"), step("run")],
        [step("cut", who=0), step("restart", who=1), step("intrude"), step("start"), step("run")],
    ],
    ids=lambda steps: "+".join(each.rule for each in steps) if isinstance(steps, list) else None,
)
def test_a_run_with_faults_is_a_behaviour(validator, record, trouble, exact):
    asking = ProtocolValidator(validator.protocol, exact=True) if exact else validator
    found = asking.validate(record([*HANDOVER, *trouble, *HANDOVER[1:3]]))
    assert found.verdict is Verdict.VALID, str(found)


@pytest.mark.parametrize("servers", [1, 3])
def test_every_run_of_the_suite_is_validated(lease, servers):
    result = run_suite(lease, FakeGround(servers), examples=60).require()
    assert sum(result.validations.values()) == 60
    assert set(result.validations) <= {"valid", "under-covered"}
    assert result.validations["valid"] >= 30


def test_a_suite_can_do_without(lease):
    off = type("Off", (lease,), {"validated": False})
    result = run_suite(off, FakeGround(), examples=3)
    assert not result.validations


@pytest.mark.parametrize(
    ("nodes", "exact"), [(1, False), (2, False), (3, False), (1, True), (2, True)]
)
def test_no_behaviour_of_the_specification_is_ever_refused(validator, nodes, exact):
    asking = ProtocolValidator(validator.protocol, exact=exact, most=1000)
    # In a walk more goes wrong than in any run, so the exact sets of long ones are large.
    length = 20 if exact else 60
    lot = random.Random(nodes)  # noqa: S311 - nothing here is secret
    found = [asking.validate(walk(validator.protocol, nodes, length, lot)) for _ in range(20)]
    assert not [str(each) for each in found if each.verdict is Verdict.DIVERGES]
    clear = sum(each.verdict is not Verdict.INCONCLUSIVE for each in found)
    assert clear >= 10 if exact else clear == 20
    assert sum(each.statistics.steps for each in found) > 100


def test_what_can_be_said_early_and_what_is_exact_agree(validator, record):
    exact = ProtocolValidator(validator.protocol, exact=True)
    lot = random.Random(3)  # noqa: S311 - nothing here is secret
    recording = record([*HANDOVER, step("cut", who=0), step("run")])
    verdicts = set()
    for _ in range(40):
        altered = altered_by_lot(recording, lot)
        found, said = validator.validate(altered), exact.validate(altered)
        assert (found.verdict, found.first_bad, found.reason) == (
            said.verdict,
            said.first_bad,
            said.reason,
        )
        verdicts.add(found.verdict)
    assert verdicts >= {Verdict.VALID, Verdict.DIVERGES}


# --- Falsified runs ---------------------------------------------------------------------------


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_a_falsified_run_is_refused_for_the_named_reason(validator, lease_handover, tamper):
    falsified = tamper(lease_handover)
    found = validator.validate(falsified)
    assert found.verdict is Verdict.DIVERGES
    assert found.reason is TAMPERINGS[tamper]
    prefix = found.shortest_prefix
    assert validator.validate(prefix).verdict is Verdict.DIVERGES
    shorter = prefix.prefix(len(prefix.records) - 1)
    assert validator.validate(shorter).verdict is not Verdict.DIVERGES


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kind",
    [
        each
        if each in {"forged grant", "altered payload"}
        else pytest.param(each, marks=pytest.mark.full)
        for each in KINDS
    ],
)
def test_tlc_finds_no_behaviour_for_a_falsified_run(validator, project, lease_handover, kind):
    assert not search_run(project, validator.protocol, KINDS[kind](lease_handover))


@pytest.mark.timeout(600)
def test_tlc_finds_a_behaviour_for_the_run_that_is_falsified(validator, project, lease_handover):
    assert search_run(project, validator.protocol, lease_handover)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(8))
def test_tlc_says_the_same_of_a_run_that_was_altered_by_lot(validator, project, record, seed):
    lot = random.Random(seed)  # noqa: S311 - nothing here is secret
    trouble = step(lot.choice(["cut", "expire", "restart"]), who="favourite")
    altered = altered_by_lot(record([HANDOVER[0], trouble, step("run")]), lot)
    fits = validator.validate(altered).verdict is not Verdict.DIVERGES
    assert search_run(project, validator.protocol, altered) is fits


def test_a_divergence_is_told_with_what_was_possible(validator, lease_handover):
    falsified = next(t for t in TAMPERINGS if t.__name__ == "altered_owner")(lease_handover)
    told = str(validator.validate(falsified))
    assert "it can have been told that, but not with this content" in told
    assert "Watch: Another session has the lease" in told
    assert "LeaseSeen[owner |-> 1, term |-> 1] -> Watch, waiting" in told
    assert "in the specification 1 is 0x100000000000002" in told
    assert "tenant-2 (n2) was in one of" in told
    assert 'mode[n2] = "looking"' in told


# --- What proves too little -------------------------------------------------------------------


def test_what_proves_too_little_is_under_covered(validator, lease_handover, record):
    header, records = lease_handover.header, lease_handover.records
    for short, reason in [
        (Recording(header, ()), Reason.EMPTY),
        (Recording(header, records[:-1]), Reason.TRUNCATED),
        (Recording(header, (*records[:-1], msgspec.structs.replace(records[-1], records=3))),
         Reason.MISCOUNTED),
        (renumbered(lease_handover, records[:5]), Reason.SHORT),
    ]:  # fmt: skip
        found = validator.validate(short)
        assert (found.verdict, found.reason) == (Verdict.UNDER_COVERED, reason)


def test_too_many_states_are_inconclusive_and_never_a_refusal(validator, record, lease_handover):
    narrow = ProtocolValidator(validator.protocol, most=2, exact=True)
    found = narrow.validate(lease_handover)
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, Reason.LARGE)
    assert "more states are possible" in str(found)


def test_a_suite_whose_runs_are_all_inconclusive_does_not_pass(lease):
    result = run_suite(lease, FakeGround(), examples=60)
    unclear = dataclasses.replace(result, validations={"inconclusive": 60})
    with pytest.raises(SuiteFailed, match="no run could be validated: 60 inconclusive"):
        unclear.require()


# --- Mistakes that are seeded -----------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["works-unchecked", "adopts-by-name", "unknown-is-granted", "waits-for-itself"]
)
def test_the_specification_alone_finds_a_seeded_bug(name):
    bug = importlib.import_module("seeded_bugs").BUGS[name]
    assert bug.diverges
    failure = run_suite(bug.run, FakeGround(), examples=200).failure
    assert failure.promise == BEHAVIOUR
    assert len(failure.steps) <= 8
    assert "the specification would have allowed here" in failure.story


def test_what_no_promise_notices_is_found_by_the_specification():
    """Found by validation when it was built: two reads are not one."""
    unnoticed = importlib.import_module("seeded_bugs").UNNOTICED
    steps = [
        step("begin", count=2),
        step("command", who="favourite", command="ReturnDue"),
        step("expire", who=1),
    ]
    assert replay_suite(unnoticed.suite, FakeGround(), steps) is None
    failure = replay_suite(unnoticed.run, FakeGround(), steps)
    assert failure.promise == BEHAVIOUR
    assert "it can have been told that, but not with this content" in failure.seen


# --- Files and the command --------------------------------------------------------------------


def run_command(*arguments):
    return CliRunner().invoke(command, [*map(str, arguments)])


@pytest.fixture
def recorded(lease, tmp_path):
    run_suite(lease, FakeGround(), examples=3, seed_number=2, record=tmp_path / "runs")
    return sorted((tmp_path / "runs").glob("*.jsonl"))


def test_a_suite_writes_its_recordings(recorded):
    assert [file.name for file in recorded] == [f"LeaseSuite-{n:05}.jsonl" for n in (1, 2, 3)]
    (recording,) = read_recordings(recorded[0])
    assert isinstance(recording.header, RunHeader)
    assert recording.complete
    header = json.loads(recorded[0].read_text().splitlines()[0])
    assert header["protocol"] == "LeaseLock"
    assert (header["role"], header["model"]) == ("Tenant", "n2f1-all")
    assert header["constants"]["FAULTS"] == 1
    assert set(header["spec"]) == {"LeaseLock", "LeaseServer", "LeaseTypes", "Numbers", "Tenant"}


def test_the_command_takes_them_in_their_project(recorded, lease_handover, tmp_path):
    file = tmp_path / "handover.jsonl"
    write_recordings(file, [lease_handover])
    done = run_command(file, "--project", EXAMPLE)
    assert done.exit_code == 0, done.output
    assert "valid: 15 steps" in done.output
    done = run_command(*recorded, "--json", "--project", EXAMPLE)
    said = json.loads(done.output)
    assert {each["verdict"] for each in said["recordings"]} <= {"valid", "under-covered"}


def test_the_command_refuses_a_falsified_one_and_writes_its_prefix(lease_handover, tmp_path):
    file, prefix = tmp_path / "run.jsonl", tmp_path / "prefix.jsonl"
    write_recordings(file, [KINDS["two holders"](lease_handover)])
    done = run_command(file, "--prefix", prefix, "--project", EXAMPLE)
    assert done.exit_code == 1
    assert Reason.UNTOLD in done.output
    (short,) = read_recordings(prefix)
    assert short.records[-1].told == "Granted"
    assert not short.complete
    assert run_command(prefix, "--project", EXAMPLE).exit_code == 1
    said = json.loads(run_command(file, "--json", "--project", EXAMPLE).output)
    (found,) = said["recordings"]
    assert found["first_bad"]["record"]["told"] == "Granted"
    assert found["first_bad"]["possible_before"]


def test_what_proves_too_little_has_its_exit_code(lease_handover, tmp_path):
    file = tmp_path / "run.jsonl"
    write_recordings(file, [lease_handover.prefix(4)])
    done = run_command(file, "--project", EXAMPLE)
    assert done.exit_code == 3
    assert "cut off" in done.output


def test_a_run_of_another_project_is_refused_with_the_cure(lease_handover, tmp_path):
    file = tmp_path / "run.jsonl"
    write_recordings(file, [lease_handover])
    done = run_command(file)
    assert done.exit_code == 2
    assert "it is a run of Tenant in LeaseLock" in done.output
    assert "--project" in done.output


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"spec": {}}, "recorded for another version of the specification"),
        ({"constants": {"FAULTS": 2}}, "with other constants"),
        ({"protocol": "Queue"}, "is of the protocol 'Queue', not 'LeaseLock'"),
        ({"keepstep": 9}, "has format 9"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(lease_handover, tmp_path, changes, said):
    header = msgspec.structs.replace(lease_handover.header, **changes)
    file = tmp_path / "run.jsonl"
    write_recordings(file, [Recording(header, lease_handover.records)])
    done = run_command(file, "--project", EXAMPLE)
    assert done.exit_code == 2
    assert said in done.output


def test_a_line_that_is_none_is_refused_by_number(lease_handover, tmp_path):
    file = tmp_path / "run.jsonl"
    write_recordings(file, [lease_handover])
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], b'{"kind":"rumour"}\n', *lines[3:]]))
    done = run_command(file, "--project", EXAMPLE)
    assert done.exit_code == 2
    assert "run.jsonl:4: no record" in done.output


def test_options_for_elections_are_refused(lease_handover, tmp_path):
    file = tmp_path / "run.jsonl"
    write_recordings(file, [lease_handover])
    done = run_command(file, "--confirm", "3", "--project", EXAMPLE)
    assert done.exit_code == 2
    assert "are for recordings of elections" in done.output


def test_a_process_that_begins_twice_cannot_be(validator, lease_handover):
    doubled = Recording(lease_handover.header, (lease_handover.records[0], *lease_handover.records))
    with pytest.raises(LocalViolation, match="tenant-1 begins twice"):
        validator.validate(doubled)


# --- What the manifest says -------------------------------------------------------------------


def test_a_model_that_is_not_there_is_refused(tmp_path):
    copy = _copied(tmp_path, 'runs = "n2f1-all"', 'runs = "n2f1-al"')
    with pytest.raises(InvalidModel, match=r"no model 'n2f1-al' \(did you mean n2f1-all\?\)"):
        load_manifest(copy)


def test_without_a_model_there_is_nothing_to_compare_with(tmp_path):
    copy = _copied(tmp_path, 'runs = "n2f1-all"\n', "")
    assert load_protocol(copy, "Tenant") is None


def _copied(folder, old, new) -> Project:
    for name in ("spec", "models"):
        shutil.copytree(EXAMPLE / name, folder / name)
    manifest = folder / "models/manifest.toml"
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new))
    return Project(folder)


def test_a_model_without_nodes_to_name_is_refused(tmp_path):
    nodes = 'runs = "n2f1-all"'
    copy = _copied(tmp_path, nodes, nodes)
    manifest = copy.manifest
    manifest.write_text(manifest.read_text().replace('["n1_OF_NODE", "n2_OF_NODE"]', "[1, 2]"))
    with pytest.raises(InvalidModel, match="no constant is the set of nodes"):
        load_protocol(copy, "Tenant")


def test_what_bounds_a_model_only_is_forgotten(validator):
    protocol = validator.protocol
    assert protocol.counters == {"faults": "FAULTS"}
    assert protocol.idle == {"ghostWork"}
    assert not protocol.bounds
    assert set(protocol.actions.values()) == set(protocol.form.actions)
    assert protocol.actions["GiveBack"] == "GiveBack"


COUNTED = """
---- MODULE Counted ----
EXTENDS Integers
CONSTANTS MOST, FEW, SIZE, LEAST
VARIABLES spent, halved, size, low, seen, told, shown

Step ==
    /\\ spent < MOST
    /\\ spent' = spent + 1
    /\\ halved < FEW
    /\\ halved' = IF halved > 3 THEN 0 ELSE halved + 1
    /\\ size <= SIZE
    /\\ size' = size + SIZE
    /\\ ~(low < LEAST)
    /\\ low' = low + 1
    /\\ seen' = told
    /\\ told' = ~told
    /\\ shown' = (seen /\\ told)
Next == Step
Init ==
    /\\ spent = 0 /\\ halved = 0 /\\ size = 0 /\\ low = 9
    /\\ seen = FALSE /\\ told = TRUE /\\ shown = TRUE
====
"""


def test_what_is_not_only_a_bound_is_kept(tmp_path, project):
    (tmp_path / "spec").mkdir()
    (tmp_path / "models").mkdir()
    file = tmp_path / "spec/Counted.tla"
    file.write_text(COUNTED)
    spec = read_spec(Project(tmp_path), file)
    body = [spec.named("Step").body]
    # One that starts anew, one whose limit is more than that, and one that has to be reached.
    assert find_counters(spec, body, set()) == {"spent": "MOST"}
    assert find_counters(spec, body, {"spent"}) == {}
    # Of `seen`, `told` and `shown` nothing comes; `told` is needed as soon as `seen` is.
    idle = find_idle(spec, body, set())
    assert idle == {"seen", "told", "shown"}
    assert find_idle(spec, body, {"seen"}) == {"shown"}


# --- Values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "value", "fits"),
    [
        (3, 3, True),
        (3, 4, False),
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        ("up", "up", True),
        ("up", "down", False),
        (None, frozenset(), True),
        (None, frozenset({1}), False),
        (1, frozenset({1}), True),
        (1, frozenset(), False),
        ([1, 2], frozenset({2, 1}), True),
        ([1, 2], frozenset({1, 3}), False),
        ([], frozenset(), True),
        ([1, 2], (1, 2), True),
        ([2, 1], (1, 2), False),
        ({"lastSeen": 1}, Fn(lastSeen=1), True),
        ({"last_seen": 1}, Fn(lastSeen=1), True),
        ({"seen": 1}, Fn(lastSeen=1), False),
        ({"1": 5, "2": 6}, Fn({1: 5, 2: 6}), True),
        ({"1": 6, "2": 5}, Fn({1: 5, 2: 6}), False),
        ("tenant-1", "n1_OF_NODE", True),
        ("tenant-1", "n2_OF_NODE", False),
        ("0x1f", 1, True),
        ("rumour", 1, False),
        ("ticket#7", 2, True),
    ],
)  # fmt: skip
def test_values_of_the_world_and_of_the_specification(recorded, value, fits):
    matching = Matching("_OF_NODE")
    matching.call("tenant-1", "n1_OF_NODE")
    matching.call("tenant-2", "n2_OF_NODE")
    assert bool(list(matching.same(recorded, value, {}))) is fits


def test_a_name_stands_for_one_value_and_no_other_does():
    matching = Matching("_OF_NODE")
    ((first,),) = [list(matching.same("0x1f", 1, {}))]
    assert list(matching.same("0x1f", 1, first)) == [first]
    assert not list(matching.same("0x1f", 2, first))
    assert not list(matching.same("0x2f", 1, first))
    assert list(matching.same("0x2f", 2, first))
    # Another kind of name is counted for itself.
    assert list(matching.same("ticket#1", 1, first))
    assert list(matching.same("writer", "d1_OF_DUTY", first))


def test_a_restarted_process_has_the_name_of_two_nodes():
    matching = Matching("_OF_NODE")
    matching.call("tenant-1", "n1_OF_NODE")
    matching.call("tenant-1", "n2_OF_NODE")
    assert list(matching.same("tenant-1", "n1_OF_NODE", {}))
    assert list(matching.same("tenant-1", "n2_OF_NODE", {}))


def test_payloads_without_fields():
    matching = Matching("_OF_NODE")
    assert list(matching.payloads({}, UNIT, {}))
    assert not list(matching.payloads({"term": 1}, UNIT, {}))
    assert list(matching.payloads({"term": 1}, 1, {}))


# --- The recorder -----------------------------------------------------------------------------


def test_a_recorder_names_each_life_and_ends_once(lease):
    recorder = RunRecorder(recorded_role(lease.machine), "test")
    assert [recorder.start("a"), recorder.start("b"), recorder.start("a")] == ["a", "b", "a/2"]
    recorder.stop("a/2")
    recorder.end()
    recorder.end()
    recorder.start("c")
    kinds = [json.loads(encode(record))["kind"] for record in recorder.recording.records]
    assert kinds == ["start", "start", "start", "stop", "end"]


def test_sessions_are_names_whatever_their_sign(lease):
    """Of servers whose number is 128 or more they are negative."""
    told = importlib.import_module("lease_lock.lease_types").Connected
    recorder = RunRecorder(recorded_role(lease.machine), "test")
    recorder.start("a")
    for session in (1 << 60, -(1 << 60), 7, -7):
        delivered = Delivered("state", told(session), "attach", before="offline", after="looking")
        recorder.deliver("a", delivered, lease.facts(session=session))
    written = [record.content["session"] for record in recorder.recording.records[1:]]
    assert written == ["0x1000000000000000", "0xf000000000000000", 7, -7]


def test_a_class_of_no_project_is_not_recorded():
    assert recorded_role(Contender) is None


def test_a_changed_class_is_recorded_as_the_role_that_it_is_made_from(lease):
    changed = type("Changed", (lease.machine,), {})
    assert recorded_role(changed).name == "Tenant"
