from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from keepstep import evidence
from keepstep.checkers import run, tlc
from keepstep.checkers.outcome import Outcome, Step, Trace
from keepstep.checkers.run import (
    Contradiction,
    Observer,
    Result,
    Source,
    choose_models,
    contradictions,
    judge,
    lock_report,
    run_models,
)
from keepstep.checkers.verdict import Exit, Verdict
from keepstep.errors import ToolFailed
from keepstep.lockfile import read_lock, write_lock
from keepstep.tla.manifest import Model, load_manifest
from keepstep.tla.sources import Project


def model(**keys: object) -> Model:
    table = {
        "name": "m",
        "spec": "spec/Mutex.tla",
        "checker": "tlc",
        "mode": "safety",
        "expected": "HOLDS",
        **keys,
    }
    return msgspec.convert(table, Model)


def outcome(verdict: Verdict, **keys: object) -> Outcome:
    return Outcome(verdict=verdict, seconds=1.0, **keys)  # type: ignore[arg-type]


def trace(steps: int) -> Trace:
    return Trace(tuple(Step("Go", {"x": number}) for number in range(steps + 1)))


@pytest.mark.parametrize(
    ("one", "found", "expected"),
    [
        (model(), outcome(Verdict.holds()), Exit.AS_EXPECTED),
        (model(), outcome(Verdict.violated("A")), Exit.DIFFERS),
        (model(), outcome(Verdict.bounded(9)), Exit.WEAKER),
        (model(), outcome(Verdict.unknown("time")), Exit.WEAKER),
        (model(), outcome(Verdict.holds(), vacuous="nothing"), Exit.DIFFERS),
        (model(distinct_states=5), outcome(Verdict.holds(), distinct_states=5), Exit.AS_EXPECTED),
        (model(distinct_states=5), outcome(Verdict.holds(), distinct_states=6), Exit.DIFFERS),
        (model(distinct_states=5), outcome(Verdict.holds()), Exit.DIFFERS),
        (model(coverage=True), outcome(Verdict.holds(), coverage={"A": 1}), Exit.AS_EXPECTED),
        (model(coverage=True), outcome(Verdict.holds(), coverage={"A": 0}), Exit.DIFFERS),
        (model(coverage=True), outcome(Verdict.holds()), Exit.DIFFERS),
        (
            model(coverage=True, never=["A"]),
            outcome(Verdict.holds(), coverage={"A": 0, "B": 1}),
            Exit.AS_EXPECTED,
        ),
        (
            model(coverage=True, never=["B"]),
            outcome(Verdict.holds(), coverage={"B": 1}),
            Exit.DIFFERS,
        ),
        (
            model(expected="VIOLATED", violated="A"),
            outcome(Verdict.violated("A")),
            Exit.AS_EXPECTED,
        ),
        (model(expected="VIOLATED", violated="A"), outcome(Verdict.violated("B")), Exit.DIFFERS),
        (model(expected="VIOLATED", violated="A"), outcome(Verdict.holds()), Exit.DIFFERS),
        (model(expected="VIOLATED", violated="A"), outcome(Verdict.unknown("time")), Exit.WEAKER),
        (
            model(mode="bounded", expected="HOLDS up to k", length=5),
            outcome(Verdict.bounded(5)),
            Exit.AS_EXPECTED,
        ),
        (
            model(mode="bounded", expected="HOLDS up to k", length=5),
            outcome(Verdict.bounded(4)),
            Exit.WEAKER,
        ),
        (
            model(mode="bounded", expected="HOLDS up to k", length=5),
            outcome(Verdict.holds()),
            Exit.AS_EXPECTED,
        ),
    ],
)
def test_judging(one: Model, found: Outcome, expected: Exit) -> None:
    judgement = judge(one, found)
    assert judgement.exit == expected
    assert bool(judgement.text) == (expected != Exit.AS_EXPECTED)


def result(name: str, verdict: Verdict, steps: int = 3, key: str = "k") -> Result:
    one = model(name=name, compare=key)
    found = outcome(verdict, trace=trace(steps))
    return Result(one, verdict, judge(one, found), Source.RAN, found)


@pytest.mark.parametrize(
    ("first", "second", "contradicting"),
    [
        (result("a", Verdict.holds()), result("b", Verdict.holds()), False),
        (result("a", Verdict.holds()), result("b", Verdict.bounded(3)), False),
        (result("a", Verdict.holds()), result("b", Verdict.violated("P")), True),
        (result("a", Verdict.bounded(3)), result("b", Verdict.violated("P"), steps=3), True),
        (result("a", Verdict.bounded(3)), result("b", Verdict.violated("P"), steps=4), False),
        (result("a", Verdict.unknown("")), result("b", Verdict.violated("P")), False),
        (result("a", Verdict.violated("Q")), result("b", Verdict.violated("P")), True),
        (result("a", Verdict.holds()), result("b", Verdict.violated("P"), key="other"), False),
    ],
)
def test_contradictions(first: Result, second: Result, contradicting: bool) -> None:
    assert bool(contradictions([first, second])) == contradicting
    assert bool(contradictions([second, first])) == contradicting


def test_a_contradiction_names_both() -> None:
    (found,) = contradictions([result("a", Verdict.holds()), result("b", Verdict.violated("P"))])
    assert found == Contradiction("k", "a (tlc) says HOLDS", "b (tlc) says VIOLATED (P)")


class Noted(Observer):
    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self.warnings: list[str] = []

    def started(self, model: Model, why: str) -> None:
        self.reasons[model.name] = why

    def warned(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, cache: object) -> dict[str, object]:
    """What a stand-in for TLC answers for each model; an exception is raised."""
    del cache
    answers: dict[str, object] = {
        "good": outcome(Verdict.holds(), distinct_states=10),
        "must-fail": outcome(Verdict.violated("ExclusionInv"), trace=trace(2)),
    }

    def check(project: Project, model: Model, **_: object) -> Outcome:
        found = answers[model.name]
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Outcome)
        return replace(found, tool=tool, java=25)

    monkeypatch.setattr(tlc, "check", check)
    tool = {"name": "TLC", "version": "2.18", "commit": "", "sha256": "abc"}
    monkeypatch.setattr(run.Tools, "_look", staticmethod(lambda _: (tool, 25)))
    return answers


def go(project: Project, noted: Noted | None = None, **keys: bool) -> run.Report:
    manifest = load_manifest(project)
    return run_models(project, manifest, manifest.models, observer=noted or Noted(), **keys)


@pytest.mark.usefixtures("answer")
def test_a_second_run_is_cached_and_says_so(project: Project) -> None:
    first = go(project)
    assert [one.source for one in first.results] == [Source.RAN, Source.RAN]
    second = go(project)
    assert [one.source for one in second.results] == [Source.CACHED, Source.CACHED]
    assert first.exit_code == second.exit_code == 0
    assert second.results[1].outcome is not None
    assert second.results[1].outcome.trace == trace(2)
    assert [one.source for one in go(project, rerun=True).results] == [Source.RAN, Source.RAN]


@pytest.mark.parametrize(
    ("file", "old", "new", "reasons"),
    [
        (
            "spec/Mutex.tla",
            "Take the lock",
            "Grab the lock",
            {"good": "Mutex.tla changed", "must-fail": "Mutex.tla changed"},
        ),
        (
            "models/manifest.toml",
            '"TypeInv", "ExclusionInv"]\nproperties',
            '"ExclusionInv"]\nproperties',
            {"good": "question changed"},
        ),
        ("models/manifest.toml", "distinct_states = 10", "distinct_states = 10 # as ever", {}),
    ],
)
@pytest.mark.usefixtures("answer")
def test_only_what_changed_is_run_again(
    project: Project, file: str, old: str, new: str, reasons: dict[str, str]
) -> None:
    go(project)
    path = project.root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    noted = Noted()
    go(Project(project.root), noted)
    assert noted.reasons == reasons


def test_what_is_unknown_is_not_cached(project: Project, answer: dict[str, object]) -> None:
    answer["good"] = outcome(Verdict.unknown("no end within 1 s"))
    assert go(project).exit_code == Exit.WEAKER
    assert go(project).results[0].source is Source.RAN


def test_what_keeps_one_model_from_running_does_not_keep_others(
    project: Project, answer: dict[str, object]
) -> None:
    answer["good"] = ToolFailed("it broke")
    report = go(project)
    assert report.exit_code == Exit.COULD_NOT_RUN
    assert str(report.results[0].error) == "it broke"
    assert report.results[1].judgement.exit == Exit.AS_EXPECTED


@pytest.mark.usefixtures("answer")
def test_a_mutant_that_does_not_fit_keeps_only_its_own_model_from_running(
    project: Project,
) -> None:
    text = project.manifest.read_text()
    begin = text.index("mutation = ")
    end = text.index("\n", begin)
    head = 'mutants = ["models/mutants.toml"]\n'
    project.manifest.write_text(f'{head}{text[:begin]}mutant = "enters"{text[end:]}')
    edit = '[enters]\nedits = [{ module = "Mutex", old = "nowhere", new = "" }]\n'
    (project.root / "models/mutants.toml").write_text(edit)
    report = go(project)
    good, bad = report.results
    assert good.source is Source.RAN
    assert good.judgement.exit == Exit.AS_EXPECTED
    assert bad.judgement.exit == report.exit_code == Exit.COULD_NOT_RUN
    assert bad.judgement.text.startswith("models/mutants.toml: mutant 'enters': ")


@pytest.mark.usefixtures("answer")
def test_an_unreadable_cached_verdict_is_found_again(project: Project, cache: Path) -> None:
    go(project)
    for path in (cache / "verdicts").glob("*.json"):
        path.write_text(path.read_text().replace("HOLDS", "HOLED"))
    noted = Noted()
    report = go(project, noted)
    assert report.results[0].source is Source.RAN
    assert any("cannot be read" in text for text in noted.warnings)


def test_the_lock_takes_only_verdicts_that_are_expected(
    project: Project, answer: dict[str, object]
) -> None:
    manifest = load_manifest(project)
    answer["must-fail"] = outcome(Verdict.violated("TypeInv"))
    changed, left = lock_report(project, manifest, go(project))
    assert (changed, left) == (["good"], ["must-fail"])
    entry = read_lock(project.lock).models["good"]
    assert entry["verdict"] == {"kind": "HOLDS"}
    assert entry["inputs"]["tool"] == "TLC 2.18"
    assert set(entry["inputs"]) == {"spec/Mutex.tla", "question", "tool", "java"}
    again, _ = lock_report(project, manifest, go(project))
    assert again == []


@pytest.mark.usefixtures("answer")
def test_tools_that_are_not_those_of_the_lock_are_told_and_are_no_difference(
    project: Project,
) -> None:
    manifest = load_manifest(project)
    assert go(project).other_tools == ()
    lock_report(project, manifest, go(project))
    assert go(Project(project.root)).other_tools == ()
    text = project.lock.read_text()
    lock = read_lock(project.lock)
    for entry in lock.models.values():
        entry["inputs"]["tool"] = "TLC 2.19 abc"
    write_lock(project.lock, lock)
    assert project.lock.read_text() != text
    report = go(Project(project.root))
    (told,) = report.other_tools
    assert told.startswith("TLC 2.18 on Java 25, but the lock has the verdict of TLC 2.19 abc on ")
    assert told.endswith("Java 25: 2 models, as good")
    assert report.exit_code == Exit.AS_EXPECTED


@pytest.mark.usefixtures("answer")
def test_the_cache_keeps_what_was_used_last(
    project: Project, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "KEPT_VERDICTS", 3)
    go(project)
    folder = cache / "verdicts"
    mine = {path for path in folder.glob("*.json") if not path.name.startswith("last-")}
    assert len(mine) == 2
    for path in mine:
        os.utime(path, (1, 1))
    for number in range(3):
        old = folder / f"{number}.json"
        old.write_text("of an input that no model has any more")
        os.utime(old, (10 + number, 10 + number))
    go(project)
    assert len(list(folder.glob("*.json"))) == 6, "nothing is dropped where nothing is added"
    path = project.root / "spec/Mutex.tla"
    path.write_text(path.read_text() + "\n")
    go(Project(project.root))
    left = {path for path in folder.glob("*.json") if not path.name.startswith("last-")}
    assert len(left) == 3
    assert not any(len(path.stem) == 1 for path in left), "they were not used for longest"
    assert [one.source for one in go(Project(project.root)).results] == [Source.CACHED] * 2


@pytest.mark.usefixtures("answer")
def test_an_altered_lock_is_named_and_makes_the_run_red(project: Project) -> None:
    lock_report(project, load_manifest(project), go(project))
    text = project.lock.read_text()
    project.lock.write_text(text.replace('"HOLDS"', '"HOLES"'))
    report = go(Project(project.root))
    assert "good" in report.lock_problem
    assert report.exit_code == Exit.DIFFERS


def apalache_is_missing(monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    text = project.manifest.read_text()
    head, good, _ = text.split("[[model]]")
    good = good.replace('checker = "tlc"', 'checker = "apalache"')
    good = good.replace('mode = "safety"', 'mode = "bounded"\nlength = 4')
    good = good.replace('"HOLDS"', '"HOLDS up to k"').replace("distinct_states = 10\n", "")
    good = good.replace('properties = ["AscendProp"]\n', "")
    good += 'constants = { PROCS = ["p"], ROUNDS = 3 }\n'
    project.manifest.write_text(f"{head}[[model]]{good}")
    monkeypatch.delenv("APALACHE_HOME", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def lock_bounded(project: Project, bound: int = 4) -> None:
    manifest = load_manifest(project)
    found = evidence.Found(
        verdict=Verdict.bounded(bound).to_json(),
        tool={"name": "Apalache", "version": "0.62.2", "commit": "", "sha256": "abc"},
        java=25,
        states=None,
        seconds=9.0,
        date="2026-11-01",
    )
    evidence.lock_models(project, manifest, {"good": found})


@pytest.mark.usefixtures("cache")
class TestWithoutApalache:
    def test_without_a_locked_verdict(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apalache_is_missing(monkeypatch, project)
        report = go(project)
        assert report.exit_code == Exit.WEAKER
        assert "no locked verdict" in report.results[0].judgement.text

    def test_a_fresh_locked_verdict_stands_in(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apalache_is_missing(monkeypatch, project)
        lock_bounded(project)
        report = go(Project(project.root))
        assert report.exit_code == Exit.AS_EXPECTED
        assert report.results[0].source is Source.LOCKED
        assert report.results[0].why.startswith("not re-run here (locked 2026-11-01, ")

    def test_the_quick_lane_shows_every_model_of_apalache(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apalache_is_missing(monkeypatch, project)
        text = project.manifest.read_text()
        project.manifest.write_text(text.replace("length = 4", 'length = 4\nlane = "full"'))
        manifest = load_manifest(project)
        assert manifest.pick([], "quick") == []
        assert choose_models(manifest, [], "quick") == manifest.models

    def test_a_variable_that_names_nothing_is_no_missing_tool(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apalache_is_missing(monkeypatch, project)
        lock_bounded(project)
        monkeypatch.setenv("APALACHE_HOME", "/nowhere")
        report = go(Project(project.root))
        assert report.exit_code == Exit.COULD_NOT_RUN
        assert report.results[0].source is Source.NONE
        assert report.results[0].judgement.text == (
            "APALACHE_HOME names /nowhere, which has no lib/apalache.jar"
        )

    def test_a_variable_that_names_nothing_concerns_its_own_models_only(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apalache_is_missing(monkeypatch, project)
        text = project.manifest.read_text()
        project.manifest.write_text(text.replace("length = 4", 'length = 4\nlane = "full"'))
        monkeypatch.setenv("APALACHE_HOME", "/nowhere")
        assert choose_models(load_manifest(project), [], "quick") == []

    def test_a_java_that_is_not_there_is_told_as_such(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        apalache_is_missing(monkeypatch, project)
        (tmp_path / "apalache/lib").mkdir(parents=True)
        (tmp_path / "apalache/lib/apalache.jar").write_bytes(b"no jar")
        monkeypatch.setenv("APALACHE_HOME", str(tmp_path / "apalache"))
        monkeypatch.setenv("KEEPSTEP_JAVA", "/nowhere/java")
        report = go(Project(project.root))
        assert report.exit_code == Exit.COULD_NOT_RUN
        assert "KEEPSTEP_JAVA names /nowhere/java" in report.results[0].judgement.text

    def test_a_locked_verdict_that_is_too_weak_does_not(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apalache_is_missing(monkeypatch, project)
        lock_bounded(project, bound=3)
        assert go(Project(project.root)).exit_code == Exit.WEAKER

    @pytest.mark.parametrize("file", ["spec/Mutex.tla", "models/manifest.toml"])
    def test_a_stale_one_does_not(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, file: str
    ) -> None:
        apalache_is_missing(monkeypatch, project)
        lock_bounded(project)
        path = project.root / file
        path.write_text(path.read_text().replace("ROUNDS = 3", "ROUNDS = 2") + "\n")
        report = go(Project(project.root))
        assert report.exit_code == Exit.WEAKER
        assert "stale" in report.results[0].judgement.text

    def test_an_altered_one_does_not(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apalache_is_missing(monkeypatch, project)
        lock_bounded(project, bound=3)
        text = project.lock.read_text()
        project.lock.write_text(text.replace('"bound": 3', '"bound": 4'))
        report = go(Project(project.root))
        assert report.exit_code == Exit.DIFFERS
        assert "good was altered by hand" in report.lock_problem


def test_a_lock_that_is_no_json_is_a_problem(project: Project) -> None:
    project.lock.write_text("{")
    assert "cannot be read" in read_lock(project.lock).problem


def test_the_lock_is_written_the_same_way_each_time(project: Project) -> None:
    texts = []
    for _ in range(2):
        lock = read_lock(project.lock)
        lock.models["b"] = {"verdict": {"kind": "HOLDS"}, "inputs": {}}
        lock.models["a"] = {"verdict": {"kind": "HOLDS"}, "inputs": {}}
        write_lock(project.lock, lock)
        texts.append(project.lock.read_text())
    assert texts[0] == texts[1]
    assert texts[0].index('"a"') < texts[0].index('"b"')
