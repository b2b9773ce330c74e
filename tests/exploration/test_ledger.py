"""The ledger counts each run once, survives what can happen to a file, and says what is missing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner

from keepstep.cli.ledger import command
from keepstep.errors import LocalViolation
from keepstep.exploration.ledger import Ledger, Witness, modules_of, update
from keepstep.testing.election.coverage import UNREACHABLE, Taken, all_transitions
from keepstep.testing.election.sights import edges_of, environment_actions, mermaid, page, sights
from keepstep.tla.sources import Project, shipped_root
from keepstep.validation.validator import Edge

SPEC = {"A": "1", "B": "2"}
ATTACH, LEAD = Edge("C!Attach", "offline"), Edge("C!Lead", "raising")


def witness(seed: int = 0, times: int = 2, *faults: str) -> Witness:
    found = Witness("campaign", server="3.9.5", servers=3, seed=seed)
    found.note({ATTACH: times}, faults)
    return found


def test_entries_add_up_over_examples_and_runs(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    first = witness(1, 2, "kill", "kill", "cut")
    first.note({ATTACH: 3, LEAD: 1, Edge("C!Join", "ranking"): 0}, ["cut"])
    with update(file, SPEC) as ledger:
        assert ledger.add(first)
        assert ledger.add(witness(2))
    entries = Ledger.read(file, SPEC).entries()
    assert list(entries) == [ATTACH, LEAD]
    attach = entries[ATTACH]
    assert (attach.times, attach.examples, attach.runs) == (7, 3, 2)
    assert attach.faults == {"kill": 1, "cut": 2}
    assert attach.servers == {"3.9.5 x 3": 2}
    assert attach.first == first.identity
    assert attach.last == witness(2).identity
    assert Ledger.read(file, SPEC).counts() == Counter({ATTACH: 7, LEAD: 1})


def test_an_edge_is_noted_under_its_faults_whatever_the_composition_calls_it() -> None:
    resigned = Edge("Resign", "leading")
    found = Witness("campaign", server="3.9.5")
    under = {(ATTACH, "cut"): 2, (Edge("C!Resign", "leading"), "kill"): 1, (LEAD, "cut"): 5}
    for _ in range(2):
        found.note({ATTACH: 3, resigned: 1, LEAD: 0}, ["cut", "kill"], under)
    ledger = Ledger(SPEC)
    ledger.add(found)
    entries = ledger.entries()
    assert entries[ATTACH].under == {"cut": 4}
    assert entries[ATTACH].faults == {"cut": 2, "kill": 2}
    assert entries[resigned].under == {"kill": 2}
    # What validation does not show for certain is not in the ledger under a fault either.
    assert set(entries) == {ATTACH, resigned}


def test_a_ledger_from_before_faults_were_told_apart_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    with update(file, SPEC) as ledger:
        ledger.add(witness(1, 2, "kill"))
    told = json.loads(file.read_text())
    (version,) = told["versions"].values()
    (run,) = version["runs"].values()
    for seen in run["edges"].values():
        del seen["under"]
    file.write_text(json.dumps(told))
    entry = Ledger.read(file, SPEC).entries()[ATTACH]
    assert (entry.under, entry.faults) == (Counter(), {"kill": 1})


def test_a_run_counts_once_however_often_it_is_added_or_merged() -> None:
    one, other = Ledger(SPEC), Ledger(SPEC)
    assert one.add(witness(1))
    assert not one.add(witness(1))
    assert not one.add(Witness("campaign"))  # it saw nothing
    other.add(witness(1))
    other.add(witness(2))
    assert one.merge(other) == 1
    assert one.merge(other) == 0
    assert [run.seed for run in one.runs.values()] == [1, 2]
    assert one.entries()[ATTACH].times == 4


def test_another_version_of_the_specification_begins_with_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    with update(file, SPEC) as ledger:
        ledger.add(witness(1))
    with update(file, {**SPEC, "B": "3"}) as ledger:
        assert ledger.entries() == {}
        assert ledger.elsewhere == 1
        ledger.add(witness(2))
        ledger.add(witness(3))
    back = Ledger.read(file, SPEC)
    assert (len(back.runs), back.elsewhere) == (1, 2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no ledger"),
        ("[]", "is no ledger"),
        ('{"keepstep-ledger": 1', "is no ledger"),
        ('{"keepstep-ledger": 1, "versions": {"x": {"spec": {}, "runs": {}}}}', "altered by hand"),
        ('{"keepstep-ledger": 2, "versions": {}}', "format 2"),
        ('{"keepstep-ledger": 1, "versions": {"x": {"spec": {}, "runs": {"r": {}}}}}', "source"),
    ],
)
def test_a_file_that_is_no_ledger_is_refused_and_kept(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "ledger.json"
    file.write_text(text)
    with pytest.raises(LocalViolation, match=problem), update(file, SPEC):
        pass
    assert file.read_text() == text
    result = CliRunner().invoke(command, ["--file", str(file)])
    assert isinstance(result.exception, LocalViolation)


def test_whoever_fails_half_way_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    with update(file, SPEC) as ledger:
        ledger.add(witness(1))
    before = file.read_bytes()

    def fail() -> None:
        with update(file, SPEC) as ledger:
            ledger.add(witness(2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.json", "ledger.json.lock"]


def test_those_who_add_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"

    def add(seed: int) -> None:
        with update(file, SPEC) as ledger:
            ledger.add(witness(seed))

    threads = [Thread(target=add, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Ledger.read(file, SPEC).runs) == 8


# --- The table, the pictures and the command ----------------------------------------------


def everything() -> Counter[Edge]:
    return edges_of({taken: 12 for taken in all_transitions() if taken not in UNREACHABLE})


def full(leaving_out: Edge | None = None) -> Ledger:
    ledger = Ledger(modules_of(Project(shipped_root())))
    found = Witness("suite", servers=1)
    edges = everything()
    if leaving_out:
        del edges[leaving_out]
    found.note(edges, ["kill"])
    ledger.add(found)
    return ledger


def test_a_transition_of_the_class_is_an_edge_of_the_specification() -> None:
    taken = {Taken("writing", "step_down", "ranking"): 2, Taken("offline", "attach", "syncing"): 1}
    assert edges_of(taken) == {Edge("C!StepDown", "writing"): 2, Edge("C!Attach", "offline"): 1}


def test_what_is_missing_is_named_and_what_cannot_be_has_its_reason() -> None:
    assert not [sight for sight in sights(full()) if sight.missing]
    left = [str(sight) for sight in sights(full(LEAD)) if sight.missing]
    assert left == ["Lead in raising"]
    cannot = [sight for sight in sights(full()) if sight.reason]
    assert [str(sight) for sight in cannot] == ["Overlook in severing"]
    assert len([sight for sight in sights(Ledger(SPEC)) if sight.missing]) == len(everything())


def test_an_action_that_the_composition_renames_is_the_same_edge() -> None:
    ledger = Ledger(SPEC)
    found = Witness("suite")
    found.note({Edge("Resign", "leading"): 1})
    ledger.add(found)
    (seen,) = [sight for sight in sights(ledger) if sight.entry]
    assert seen.edge == Edge("C!Resign", "leading")


def test_the_pictures_show_what_was_seen_and_what_was_not() -> None:
    good, bad = mermaid(sights(full())), mermaid(sights(full(LEAD)))
    assert "raising --> leading : Lead (12)" in good
    assert "class raising all" in good
    assert "raising --> leading : Lead (never)" in bad
    assert "class raising some" in bad
    assert "class raising none" in mermaid(sights(Ledger(SPEC)))
    shown = page(sights(full(LEAD)), {"S!Wipe": None}, "all < half")
    assert 'class="never" title="never seen">0</td>' in shown
    assert "all &lt; half" in shown
    assert "http" not in shown  # it needs nothing else


def test_the_environment_is_read_from_the_composition() -> None:
    actions = environment_actions(Project(shipped_root()))
    assert {"S!Expire", "S!Wipe", "S!ServeRaise"} <= set(actions)
    assert not [name for name in actions if not name.startswith("S!")]


def test_the_command_ends_with_3_until_all_was_seen(tmp_path: Path) -> None:
    lacking, whole = tmp_path / "lacking.json", tmp_path / "whole.json"
    full(LEAD).write(lacking)
    full().write(whole)
    run = CliRunner().invoke
    first = run(command, ["--file", str(lacking), "--missing"])
    assert first.exit_code == 3
    assert first.output.splitlines()[0].split() == ["Lead", "in", "raising", "never", "seen"]
    picture, shown = tmp_path / "machine.mmd", tmp_path / "ledger.html"
    merged = run(
        command,
        [
            *("--file", str(lacking), "--merge", str(whole), "--json"),
            *("--mermaid", str(picture), "--html", str(shown)),
        ],
    )
    assert merged.exit_code == 0
    told = json.loads(merged.stdout)
    assert (told["runs"], told["missing"]) == (2, [])
    (lead,) = [edge for edge in told["edges"] if edge["label"] == "C!Lead"]
    assert (lead["times"], lead["runs"], lead["faults"]) == (12, 1, {"kill": 1})
    assert picture.read_text().startswith("stateDiagram-v2")
    assert "never seen" in shown.read_text()


@pytest.mark.parametrize("more", [[], ["--merge", "b.json"]])
def test_the_command_refuses_a_ledger_that_is_not_there(tmp_path: Path, more: list[str]) -> None:
    result = CliRunner().invoke(command, ["--file", str(tmp_path / "a.json"), *more])
    assert isinstance(result.exception, LocalViolation)
    assert not list(tmp_path.iterdir())


def test_a_file_without_a_recording_adds_nothing_and_says_so(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    result = CliRunner().invoke(command, ["--file", str(tmp_path / "a.json"), "--add", str(empty)])
    assert result.exit_code == 3
    assert "empty.jsonl holds no recording" in result.stderr
    assert "nothing was kept yet in" in result.stderr
