"""Run the models of a lane: in parallel, from the cache where nothing has changed.

A verdict is kept in the user's cache under a key made of every input: the text of each
module, the question, the tool's bytes, Java, and the code that reads the tool's answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from keepstep import evidence
from keepstep.checkers.outcome import Outcome
from keepstep.checkers.toolchain import (
    JAVA_FOR_APALACHE,
    JAVA_FOR_TLC,
    cache_folder,
    find_apalache,
    find_java,
    find_tlc,
    write_atomically,
)
from keepstep.checkers.verdict import Exit, Kind, Verdict, merge_exits
from keepstep.checkers.workspace import module_texts
from keepstep.errors import InvalidModel, KeepstepError, ToolMisnamed, ToolMissing
from keepstep.lockfile import Lock, question_hash, read_lock, staleness
from keepstep.process import Stopped, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from keepstep.tla.manifest import Manifest, Model
    from keepstep.tla.sources import Project

__all__ = [
    "Contradiction",
    "Judgement",
    "Observer",
    "Report",
    "Result",
    "Source",
    "choose_models",
    "judge",
    "lock_report",
    "run_models",
]


SHORT_HASH = 8

KEPT_VERDICTS = 2000
"""How many verdicts the cache may hold; those that were not used for longest are dropped."""

KEPT_PROJECTS = 200
"""For how many projects the cache knows what the last inputs were."""


class Source(Enum):
    """Where the verdict of a result comes from."""

    RAN = "ran"
    CACHED = "cached"
    LOCKED = "locked"
    NONE = "not run"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a verdict is what the manifest expects.

    Attributes:
        exit: AS_EXPECTED, DIFFERS, COULD_NOT_RUN or WEAKER.
        text: What is wrong, or "".
    """

    exit: Exit
    text: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What is known about one model after a run.

    Attributes:
        model: The model.
        verdict: What was found out, here or when it was locked.
        judgement: Whether that is expected.
        source: Where the verdict comes from.
        outcome: All that the tool told, if it ran here, now or before.
        why: Why it was run again, or why it was not.
        date: The day on which the tool ran.
        error: What kept it from running.
    """

    model: Model
    verdict: Verdict
    judgement: Judgement
    source: Source
    outcome: Outcome | None = None
    why: str = ""
    date: str = ""
    error: KeepstepError | None = None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two models of the same property whose verdicts cannot both be right."""

    key: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.key}: {self.first}, but {self.second}"


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a run, in the order of the manifest, and what they add up to.

    Attributes:
        results: One a model.
        contradictions: Between them.
        lock_problem: What is wrong with the lock itself, or "".
        seconds: How long all took.
        other_tools: Where a verdict is from another version of a tool than the locked one, one
            sentence for each pair of versions. It is no difference: another version is another
            witness.
    """

    results: tuple[Result, ...]
    contradictions: tuple[Contradiction, ...]
    lock_problem: str
    seconds: float
    other_tools: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """As of the command."""
        codes = [int(result.judgement.exit) for result in self.results]
        if self.contradictions:
            codes.append(Exit.DIFFERS)
        if self.lock_problem:
            codes.append(Exit.DIFFERS)
        return merge_exits(codes)


class Observer:
    """What wants to be told while models run, from several threads; the base class ignores all."""

    def started(self, model: Model, why: str) -> None:
        """A model is given to its tool."""

    def progressed(self, model: Model, text: str) -> None:
        """The tool of a model says how far it is."""

    def ended(self, result: Result) -> None:
        """A model has its result."""

    def warned(self, text: str) -> None:
        """Something is odd, but does not keep the run from going on."""


# --- What a verdict is worth ------------------------------------------------------------


def judge(model: Model, outcome: Outcome) -> Judgement:
    """Compare what came out with what the manifest expects of a model."""
    if outcome.vacuous:
        return Judgement(Exit.DIFFERS, f"vacuous: {outcome.vacuous}")
    judgement = judge_verdict(model, outcome.verdict)
    if judgement.exit != Exit.AS_EXPECTED or outcome.verdict.kind != Kind.HOLDS:
        return judgement
    wanted = model.distinct_states
    if wanted is not None and outcome.distinct_states != wanted:
        return Judgement(Exit.DIFFERS, f"{outcome.distinct_states} states, not {wanted}")
    if model.coverage:
        return _judge_coverage(model, outcome.coverage)
    return judgement


def judge_verdict(model: Model, verdict: Verdict) -> Judgement:
    """Compare a verdict alone with what the manifest expects of a model."""
    if verdict.kind in {Kind.UNKNOWN, Kind.NOT_RUN}:
        return Judgement(Exit.WEAKER, verdict.reason)
    if model.expected == "VIOLATED":
        if verdict.kind != Kind.VIOLATED:
            return Judgement(Exit.DIFFERS, f"must violate {model.violated}")
        if verdict.property != model.violated:
            return Judgement(Exit.DIFFERS, f"must violate {model.violated}, for this reason alone")
        return Judgement(Exit.AS_EXPECTED)
    if verdict.kind == Kind.VIOLATED:
        return Judgement(Exit.DIFFERS, f"{verdict.property} must hold")
    if verdict.kind == Kind.BOUNDED:
        if not model.bounded_expected:
            return Judgement(Exit.WEAKER, f"holds only up to {verdict.bound} steps")
        if verdict.bound < model.length:
            return Judgement(Exit.WEAKER, f"{model.length} steps are wanted")
    return Judgement(Exit.AS_EXPECTED)


def _judge_coverage(model: Model, coverage: Mapping[str, int]) -> Judgement:
    dead = {name for name, count in coverage.items() if count == 0}
    if not coverage:
        return Judgement(Exit.DIFFERS, "the tool reported no coverage")
    if unexpected := dead - set(model.never):
        return Judgement(Exit.DIFFERS, f"never taken: {', '.join(sorted(unexpected))}")
    if alive := set(model.never) - dead:
        return Judgement(Exit.DIFFERS, f"must never be taken: {', '.join(sorted(alive))}")
    return Judgement(Exit.AS_EXPECTED)


def contradictions(results: Iterable[Result]) -> list[Contradiction]:
    """The pairs of results with the same `compare` key that cannot both be right.

    A bounded search that found nothing says nothing about longer behaviours.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.model.compare:
            groups.setdefault(result.model.compare, []).append(result)
    found: list[Contradiction] = []
    for key, group in groups.items():
        bad = [result for result in group if result.verdict.kind == Kind.VIOLATED]
        good = [result for result in group if result.verdict.kind in {Kind.HOLDS, Kind.BOUNDED}]
        found += [
            Contradiction(key, _claim(one), _claim(other))
            for one in good
            for other in bad
            if one.verdict.kind == Kind.HOLDS or _steps(other) <= one.verdict.bound
        ]
        names = {result.verdict.property for result in bad}
        if len(names) > 1:
            found.append(Contradiction(key, _claim(bad[0]), _claim(bad[-1])))
    return found


def other_tools(results: Iterable[Result], lock: Lock) -> list[str]:
    """Where the tools that were used are not those of the lock, one sentence for each pair."""
    found: dict[tuple[str, str], list[str]] = {}
    for result in results:
        entry = lock.models.get(result.model.name)
        if result.outcome is None or not result.outcome.tool or entry is None:
            continue
        tool = result.outcome.tool
        named = (tool["name"], tool["version"], tool["commit"])
        here = f"{' '.join(filter(None, named))} on Java {result.outcome.java}"
        inputs = entry["inputs"]
        locked = f"{inputs.get('tool')} on Java {inputs.get('java')}"
        if here != locked:
            found.setdefault((here, locked), []).append(result.model.name)
    return [
        f"{here}, but the lock has the verdict of {locked}: {len(names)} models, as {names[0]}"
        for (here, locked), names in found.items()
    ]


def _steps(result: Result) -> int:
    trace = result.outcome.trace if result.outcome else None
    return len(trace.steps) - 1 if trace else 0


def _claim(result: Result) -> str:
    return f"{result.model.name} ({result.model.checker}) says {result.verdict}"


# --- Inputs and the cache ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """The inputs of a verdict, by name, and their hash."""

    inputs: dict[str, str]
    digest: str


@lru_cache(maxsize=2)
def _reader_hash(checker: str) -> str:
    """The hash of the code that asks a tool and reads its answer."""
    package = Path(__file__).resolve().parents[1]
    names = [
        f"checkers/{checker}.py",
        "checkers/outcome.py",
        "checkers/workspace.py",
        "tla/mutation.py",
        "tla/values.py",
        *(["tla/itf.py"] if checker == "apalache" else []),
    ]
    digest = hashlib.sha256()
    for name in names:
        digest.update((package / name).read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=4096)
def _text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Tools:
    """The tools of this machine, looked for once; a missing one is told each time."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[dict[str, str], int] | ToolMissing] = {}
        self._lock = threading.Lock()

    def of(self, checker: str) -> tuple[dict[str, str], int]:
        """Name, version, commit and SHA-256 of a checker, and Java's major version.

        Raises:
            ToolMissing: The checker or its Java is missing.
            ToolFailed: The checker is not what was pinned.
        """
        with self._lock:
            if checker not in self._found:
                try:
                    self._found[checker] = self._look(checker)
                except ToolMissing as error:
                    self._found[checker] = error
            found = self._found[checker]
        if isinstance(found, ToolMissing):
            raise found
        return found

    @staticmethod
    def _look(checker: str) -> tuple[dict[str, str], int]:
        if checker == "tlc":
            tlc = find_tlc()
            told = {"name": "TLC", "version": tlc.version, "commit": tlc.commit}
            return {**told, "sha256": tlc.sha256}, find_java(JAVA_FOR_TLC).major
        apalache = find_apalache()
        told = {"name": "Apalache", "version": apalache.version, "commit": apalache.commit}
        return {**told, "sha256": apalache.sha256}, find_java(JAVA_FOR_APALACHE).major


def _key(project: Project, manifest: Manifest, model: Model, tools: Tools) -> Key:
    tool, java = tools.of(model.checker)
    inputs = {
        f"{name}.tla": _text_hash(text) for name, text in module_texts(project, model).items()
    }
    inputs |= {
        "question": question_hash(manifest.tables[model.name]),
        "coverage": str(model.coverage),
        "tool": " ".join((tool["name"], tool["version"], tool["commit"], tool["sha256"])),
        "java": str(java),
        "keepstep": _reader_hash(model.checker),
    }
    text = json.dumps(inputs, sort_keys=True)
    return Key(inputs, hashlib.sha256(text.encode()).hexdigest())


class VerdictCache:
    """Verdicts of earlier runs, by the hash of their inputs, and what the last inputs were."""

    def __init__(self, project: Project, observer: Observer) -> None:
        self._verdicts = cache_folder("verdicts")
        place = hashlib.sha256(str(project.root).encode()).hexdigest()[:16]
        self._last = self._verdicts / f"last-{place}.json"
        self._observer = observer
        self._guard = threading.Lock()

    @cached_property
    def _inputs(self) -> dict[str, dict[str, str]]:
        try:
            found = json.loads(self._last.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            self._observer.warned(f"{self._last} cannot be read; it is written anew")
            return {}
        return found if isinstance(found, dict) else {}

    def load(self, key: Key) -> tuple[Outcome, str] | None:
        """The outcome for these very inputs and its day, or None."""
        path = self._verdicts / f"{key.digest}.json"
        try:
            head, _, body = path.read_text(encoding="utf-8").partition("\n")
            found = json.loads(body) if _text_hash(body) == head else {}
            outcome, date = Outcome.from_json(found["outcome"]), str(found["date"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, KeepstepError):
            self._observer.warned(f"the cached verdict {path} cannot be read; it is found again")
            return None
        with contextlib.suppress(OSError):  # It counts as used; another process may drop it.
            os.utime(path)
        return outcome, date

    def store(self, model: Model, key: Key, outcome: Outcome, date: str) -> None:
        """Keep an outcome; one that time or memory may change is not kept."""
        if outcome.verdict.kind in {Kind.UNKNOWN, Kind.NOT_RUN}:
            return
        body = json.dumps({"date": date, "model": model.name, "outcome": outcome.to_json()})
        path = self._verdicts / f"{key.digest}.json"
        write_atomically(path, f"{_text_hash(body)}\n{body}")
        with self._guard:
            self._inputs[model.name] = key.inputs
            write_atomically(self._last, json.dumps(self._inputs))

    def prune(self) -> None:
        """Drop what was not used for longest: a key that no model has any more is never hit."""
        kept = list(self._verdicts.glob("*.json"))
        projects = [path for path in kept if path.name.startswith("last-")]
        verdicts = [path for path in kept if not path.name.startswith("last-")]
        for paths, most in ((verdicts, KEPT_VERDICTS), (projects, KEPT_PROJECTS)):
            for path in sorted(paths, key=_last_used)[: max(0, len(paths) - most)]:
                path.unlink(missing_ok=True)

    def why(self, model: Model, key: Key) -> str:
        """Why a model must be run again."""
        before = self._inputs.get(model.name)
        if before is None:
            return "not run here before"
        reasons = staleness(before, key.inputs)
        return ", ".join(reasons) or "its verdict is no longer cached"


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # Another process was faster.
        return 0.0


def choose_models(manifest: Manifest, names: Sequence[str], lane: str) -> list[Model]:
    """The models named, or those of a lane.

    Where Apalache is missing, the quick lane shows all of its models: nothing has to run, and
    what is not known here must be seen. Where a variable names an Apalache that is not there,
    only models that need it are concerned.

    Raises:
        InvalidModel: A name fits no model.
        ToolFailed: Apalache is there but is not what was installed.
    """
    chosen = manifest.pick(list(names), lane)
    if names or lane == "full":
        return chosen
    try:
        find_apalache()
    except ToolMisnamed:
        return chosen
    except ToolMissing:
        return [one for one in manifest.models if one in chosen or one.checker == "apalache"]
    return chosen


# --- The run ----------------------------------------------------------------------------


def run_models(
    project: Project,
    manifest: Manifest,
    models: Sequence[Model],
    *,
    jobs: int | None = None,
    rerun: bool = False,
    observer: Observer | None = None,
) -> Report:
    """Check models, several at a time.

    Args:
        project: Where the specification is.
        manifest: The manifest of all models.
        models: Those to be checked.
        jobs: How many cores may be used; all by default.
        rerun: Whether cached verdicts are ignored.
        observer: What is told of the progress.

    Returns:
        A result for each model. What keeps one model from running does not keep the others.

    Raises:
        KeyboardInterrupt: Every tool has been ended.
        ToolFailed: The cache cannot be used.
    """
    began = time.monotonic()
    observer = observer or Observer()
    lane = _Lane(project, manifest, observer, rerun=rerun)
    results: dict[str, Result] = {}
    queue: list[tuple[Model, Key | None]] = []
    for model in models:
        result, key = lane.without_running(model)
        if result is None:
            queue.append((model, key))
        else:
            results[model.name] = result
            observer.ended(result)
    if queue:
        results |= _run_queue(lane, queue, jobs or os.cpu_count() or 1)
        lane.cache.prune()
    ordered = tuple(results[model.name] for model in models)
    return Report(
        ordered,
        tuple(contradictions(ordered)),
        lane.lock.problem,
        time.monotonic() - began,
        tuple(other_tools(ordered, lane.lock)),
    )


class _Lane:
    """What all models of a run have in common."""

    def __init__(
        self, project: Project, manifest: Manifest, observer: Observer, *, rerun: bool
    ) -> None:
        self.project = project
        self.manifest = manifest
        self.observer = observer
        self.rerun = rerun
        self.tools = Tools()
        self.cache = VerdictCache(project, observer)
        self.supervisor = Supervisor()

    @cached_property
    def lock(self) -> Lock:
        return read_lock(self.project.lock)

    def without_running(self, model: Model) -> tuple[Result | None, Key | None]:
        """The result of a model that need not or cannot be run; otherwise its key."""
        misfit = self.manifest.misfits.get(model.name)
        if misfit is not None:
            return _failed(model, InvalidModel(misfit)), None
        try:
            key = _key(self.project, self.manifest, model, self.tools)
        except ToolMissing as error:
            return self._not_run(model, error), None
        except KeepstepError as error:
            return _failed(model, error), None
        cached = None if self.rerun else self.cache.load(key)
        if cached is None:
            return None, key
        outcome, date = cached
        judgement = judge(model, outcome)
        return Result(model, outcome.verdict, judgement, Source.CACHED, outcome, date=date), key

    def _not_run(self, model: Model, error: ToolMissing) -> Result:
        """A locked verdict stands in for a tool that is missing, as long as it is fresh."""
        if model.checker == "tlc" or isinstance(error, ToolMisnamed):
            return _failed(model, error)
        locked = evidence.locked_verdict(self.project, self.manifest, model, self.lock)
        if locked is None:
            why = f"{error}; and no verdict is locked"
            verdict = Verdict.not_run("Apalache is missing")
            return Result(
                model, verdict, Judgement(Exit.WEAKER, "no locked verdict"), Source.NONE, why=why
            )
        verdict = Verdict.from_json(dict(locked.verdict))
        if locked.stale:
            stale = f"the locked verdict is stale: {', '.join(locked.stale)}"
            missing = Verdict.not_run("Apalache is missing")
            return Result(
                model, missing, Judgement(Exit.WEAKER, stale), Source.NONE, why=str(error)
            )
        why = f"not re-run here (locked {locked.date}, {locked.digest[:SHORT_HASH]})"
        judgement = judge_verdict(model, verdict)
        return Result(model, verdict, judgement, Source.LOCKED, why=why, date=locked.date)

    def run(self, model: Model, key: Key) -> Result:
        """Give a model to its tool.

        Raises:
            Stopped: The run was interrupted.
        """
        why = "asked for" if self.rerun else self.cache.why(model, key)
        self.observer.started(model, why)

        def report(text: str) -> None:
            self.observer.progressed(model, text)

        try:
            outcome = _checker(model.checker)(
                self.project, model, supervisor=self.supervisor, on_progress=report
            )
        except KeepstepError as error:
            return _failed(model, error)
        date = evidence.today()
        self.cache.store(model, key, outcome, date)
        judgement = judge(model, outcome)
        return Result(model, outcome.verdict, judgement, Source.RAN, outcome, why, date)


def _failed(model: Model, error: KeepstepError) -> Result:
    verdict = Verdict.not_run("could not run")
    judgement = Judgement(Exit.COULD_NOT_RUN, str(error))
    return Result(model, verdict, judgement, Source.NONE, why=str(error), error=error)


def _checker(name: str) -> Callable[..., Outcome]:
    if name == "tlc":
        from keepstep.checkers import tlc

        return tlc.check
    from keepstep.checkers import apalache

    return apalache.check


def _run_queue(lane: _Lane, queue: list[tuple[Model, Key | None]], jobs: int) -> dict[str, Result]:
    """Run the queue on `jobs` cores, the models with the largest budget first."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    results: dict[str, Result] = {}
    slots = _Slots(jobs)
    order = sorted(queue, key=lambda item: -item[0].seconds)

    def work(model: Model, key: Key) -> Result:
        with slots.taken(min(model.workers, jobs)):
            return lane.run(model, key)

    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        futures = [pool.submit(work, model, key) for model, key in order if key is not None]
        for future in as_completed(futures):
            result = future.result()
            results[result.model.name] = result
            lane.observer.ended(result)
    except Stopped:
        raise KeyboardInterrupt from None
    finally:
        # After an interrupt the threads wait for tools that nobody wants any more.
        pool.shutdown(wait=False, cancel_futures=True)
        lane.supervisor.end_all()
        pool.shutdown(wait=True)
    return results


class _Slots:
    """Cores that are given out; a model with several workers waits until it has as many."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._changed = threading.Condition()

    def taken(self, count: int) -> _Taken:
        return _Taken(self, count)

    def take(self, count: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._free >= count)
            self._free -= count

    def give_back(self, count: int) -> None:
        with self._changed:
            self._free += count
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class _Taken:
    slots: _Slots
    count: int

    def __enter__(self) -> None:
        self.slots.take(self.count)

    def __exit__(self, *_: object) -> None:
        self.slots.give_back(self.count)


def lock_report(
    project: Project, manifest: Manifest, report: Report
) -> tuple[list[str], list[str]]:
    """Write the verdicts of a report into the lock.

    Only verdicts that a tool gave here, and that are as expected, are locked.

    Returns:
        The names of the models whose entry changed, and of those that were left out.

    Raises:
        InvalidModel: The lock cannot be written.
    """
    found: dict[str, evidence.Found] = {}
    left: list[str] = []
    disputed = " ".join(str(one) for one in report.contradictions)
    for result in report.results:
        outcome = result.outcome
        if (
            outcome is None
            or result.judgement.exit != Exit.AS_EXPECTED
            or result.model.name in disputed
        ):
            left.append(result.model.name)
            continue
        found[result.model.name] = evidence.Found(
            verdict=outcome.verdict.to_json(),
            tool=outcome.tool,
            java=outcome.java,
            states=outcome.distinct_states,
            seconds=outcome.seconds,
            date=result.date,
        )
    return evidence.lock_models(project, manifest, found), left
