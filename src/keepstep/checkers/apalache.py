"""Apalache: type check, bounded search and inductive invariants.

A run is judged by three things together: its exit code, the line `The outcome is: ...`, and
whether it wrote a violation. Apalache says `found an error` for many things that are none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keepstep.checkers.outcome import Outcome, Step, Trace
from keepstep.checkers.toolchain import (
    JAVA_FOR_APALACHE,
    Apalache,
    Java,
    find_apalache,
    find_java,
)
from keepstep.checkers.verdict import Kind, Verdict, merge
from keepstep.checkers.workspace import Workspace, as_tla, explain_sany, lay_out
from keepstep.errors import InvalidSpec, KeepstepError, ToolFailed
from keepstep.process import Finished, Supervisor, java_command, scratch_folder
from keepstep.tla.itf import read_itf

if TYPE_CHECKING:
    from pathlib import Path

    from keepstep.tla.manifest import Model
    from keepstep.tla.sources import Project

__all__ = ["check", "wrapper"]

Progress = Callable[[str], None]

WRAPPER = "KeepstepModel"
CONST_INIT = "KeepstepConstInit"

_MAIN = "at.forsyte.apalache.tla.Tool"
_EXIT_OK = 0
_EXIT_VIOLATION = 12
_EXIT_TYPES = 120
_EXIT_KILLED = (-9, 137)
# Apalache asks the JVM for access that newer versions refuse by default.
_JAVA_THAT_WARNS = 23
_HEAP_SHARE = 0.6
"""How much of a model's memory the JVM may take; the solver has the rest."""


def wrapper(model: Model, root: str) -> str:
    """The module that gives the constants their values and is handed to Apalache."""
    lines = [f"---- MODULE {WRAPPER} ----", f"EXTENDS {root}"]
    if model.constants:
        lines.append(f"{CONST_INIT} ==")
        if model.cinit:
            lines.append(f"    /\\ {model.cinit}")
        lines += [f"    /\\ {name} = {as_tla(value)}" for name, value in model.constants.items()]
    return "\n".join([*lines, "===="]) + "\n"


def check(
    project: Project,
    model: Model,
    *,
    supervisor: Supervisor,
    on_progress: Progress | None = None,
) -> Outcome:
    """Check a model with Apalache.

    Raises:
        ToolMissing: Apalache or a Java for it is missing.
        InvalidSpec: A module has a syntax, semantic or type error, or lacks an annotation.
        ToolFailed: Apalache ended without a verdict.
        Stopped: The supervisor was told to stop.
    """
    apalache = find_apalache()
    java = find_java(JAVA_FOR_APALACHE)
    began = time.monotonic()
    with scratch_folder() as folder:
        workspace = lay_out(project, model, folder)
        (folder / f"{WRAPPER}.tla").write_text(wrapper(model, workspace.root), encoding="utf-8")
        session = _Session(
            model, workspace, supervisor, apalache, java, on_progress, began + model.seconds
        )
        verdict = session.verdict()
    return Outcome(
        verdict=verdict,
        seconds=time.monotonic() - began,
        depth=model.length if model.mode == "bounded" else None,
        vacuous=session.vacuous,
        trace=session.trace,
        tool={
            "name": "Apalache",
            "version": apalache.version,
            "commit": apalache.commit,
            "sha256": apalache.sha256,
        },
        java=java.major,
    )


@dataclass(frozen=True, slots=True)
class _Search:
    """What one run of Apalache is asked.

    Attributes:
        what: How the run is named while it goes on.
        init: The predicate to start from.
        invariants: Those that must hold, by name.
        length: How many steps.
        name: The name of a violated property, where it is not that of an invariant.
        every_transition: Whether invariants are checked also where a transition changes nothing
            of them, which action invariants need and state invariants do not.
    """

    what: str
    init: str
    invariants: Sequence[str]
    length: int
    name: str = ""
    every_transition: bool = False


@dataclass
class _Session:
    """All runs of Apalache on one model."""

    model: Model
    workspace: Workspace
    supervisor: Supervisor
    apalache: Apalache
    java: Java
    on_progress: Progress | None
    deadline: float
    vacuous: str = ""
    trace: Trace | None = None
    _count: int = field(default=0, init=False)

    def verdict(self) -> Verdict:
        match self.model.mode:
            case "typecheck":
                return self._typecheck()
            case "bounded":
                model = self.model
                return self._search(
                    _Search("bounded search", model.init, model.invariants, model.length)
                )
            case _:
                return self._inductive()

    # --- The three modes ---

    def _typecheck(self) -> Verdict:
        finished = self._run("typecheck", ["typecheck"], f"{self.workspace.root}.tla")
        limit = self._limit(finished)
        if limit is not None:
            return limit
        if finished.exit_code == _EXIT_OK:
            return Verdict.holds()
        wrong = self._failure(finished)
        if self.model.violated == "types" and isinstance(wrong, InvalidSpec):
            return Verdict.violated("types")
        raise wrong

    def _inductive(self) -> Verdict:
        """Three runs, and one more for the action invariants."""
        proof = self.model.inductive
        if proof is None:
            raise ToolFailed(f"{self.model.name}: has no inductive invariant")
        name = proof.invariant
        start = proof.start or name
        searches = [
            _Search(f"{proof.init} => {name}", proof.init, [name], 0, name),
            _Search(f"{start} /\\ Next => {name}'", start, [name], 1, name, every_transition=True),
        ]
        if proof.implies:
            what = f"{start} => {', '.join(proof.implies)}"
            searches.append(_Search(what, start, proof.implies, 0))
        if proof.actions:
            what = f"{start} /\\ Next => {', '.join(proof.actions)}"
            searches.append(_Search(what, start, proof.actions, 1, every_transition=True))
        verdicts: list[Verdict] = []
        for search in searches:
            verdict = self._search(search)
            if verdict.kind == Kind.VIOLATED or self.vacuous:
                return verdict
            verdicts.append(verdict)
        worst = merge(verdicts)
        return Verdict.holds() if worst.kind == Kind.BOUNDED else worst

    # --- One run ---

    def _search(self, search: _Search) -> Verdict:
        number = self._count
        arguments = [
            "check",
            f"--init={search.init}",
            f"--next={self.model.next}",
            f"--inv={','.join(search.invariants)}",
            f"--length={search.length}",
        ]
        if not self.model.deadlock or self.model.mode == "inductive":
            arguments.append("--no-deadlock")
        cinit = CONST_INIT if self.model.constants else self.model.cinit
        if cinit:
            arguments.append(f"--cinit={cinit}")
        tuning = dict(self.model.tuning)
        if search.every_transition:
            # Apalache skips an action invariant where a transition changes none of its
            # variables, although it may be false there. A filter that leaves out what is
            # before the step makes it look at every transition.
            tuning["search.invariantFilter"] = "1->.*"
        if tuning:
            pairs = ":".join(f"{key}={value}" for key, value in tuning.items())
            arguments.append(f"--tuning-options={pairs}")
        finished = self._run(search.what, arguments, f"{WRAPPER}.tla")
        limit = self._limit(finished)
        if limit is not None:
            return limit
        return self._judge(finished, search, self._results(number))

    def _judge(self, finished: Finished, search: _Search, results: Path) -> Verdict:
        outcome = ""
        for line in finished.lines():
            if found := _OUTCOME.search(line):
                outcome = found[1]
        violations = sorted(results.glob("violation*.itf.json"))
        match finished.exit_code, outcome, bool(violations):
            case 0, "NoError", False:
                return Verdict.bounded(search.length)
            case 0, "ExecutionsTooShort", False:
                self.vacuous = f"{search.what}: no behaviour has {search.length} steps"
                if search.length == 0:
                    self.vacuous = f"{search.what}: there is no initial state"
                return Verdict.bounded(search.length)
            case 12, "Error", True:
                self._keep_trace(violations)
                return Verdict.violated(search.name or self._violated(finished, search))
            case 12, "Deadlock", True:
                self._keep_trace(violations)
                return Verdict.violated("deadlock")
            case 12, "RuntimeError", False:
                return Verdict.unknown(f"{search.what}: the solver gave up")
            case _:
                raise self._failure(finished)

    def _run(self, what: str, arguments: Sequence[str], module: str) -> Finished:
        if self.on_progress is not None:
            self.on_progress(what)
        folder = self.workspace.folder
        results = self._results(self._count)
        temporary = folder / f"tmp{self._count}"
        temporary.mkdir()
        self._count += 1
        options = ["-Xss16m", "-XX:+UseSerialGC"]
        if self.java.major >= _JAVA_THAT_WARNS:
            options += [
                "--sun-misc-unsafe-memory-access=allow",
                "--enable-native-access=ALL-UNNAMED",
            ]
        command, *rest = arguments
        places = [f"--out-dir={folder / 'out'}", f"--run-dir={results}"]
        heap = int(self.model.memory_mb * _HEAP_SHARE)
        return self.supervisor.run(
            java_command(
                self.java.path,
                [self.apalache.jar],
                _MAIN,
                [command, *places, *rest, module],
                memory_mb=heap,
                folder=temporary,
                options=options,
            ),
            folder=folder,
            output=folder / f"output{self._count}.txt",
            seconds=max(1.0, self.deadline - time.monotonic()),
            memory_mb=self.model.memory_mb,
        )

    def _results(self, number: int) -> Path:
        return self.workspace.folder / f"results{number}"

    def _limit(self, finished: Finished) -> Verdict | None:
        if finished.ended == "timeout":
            return Verdict.unknown(f"no end within {self.model.seconds} s")
        spent = finished.ended == "memory" or finished.exit_code in _EXIT_KILLED
        if spent or any(_OUT_OF_MEMORY.search(line) for line in finished.lines()):
            return Verdict.unknown(f"out of memory, limit {self.model.memory_mb} MB")
        return None

    def _keep_trace(self, violations: list[Path]) -> None:
        states = read_itf(violations[0])
        self.trace = Trace(tuple(Step("", state) for state in states))

    def _violated(self, finished: Finished, search: _Search) -> str:
        """The name of the violated invariant; Apalache gives only the number of a conjunct."""
        if len(search.invariants) == 1:
            return search.invariants[0]
        text = "\n".join(finished.lines())
        number = _VIOLATED.search(text)
        counts = [int(count) for count in _CONDITIONS.findall(text)]
        first = _CHECKING.search(text)
        all_are_of_states = first is not None and int(first[1]) == sum(counts)
        if number and len(counts) == len(search.invariants) and all_are_of_states:
            place = int(number[1])
            for name, count in zip(search.invariants, counts, strict=True):
                if place < count:
                    return name
                place -= count
        return self._found_alone(search)

    def _found_alone(self, search: _Search) -> str:
        """Which of the invariants is violated, by checking each of them alone."""
        for name in search.invariants:
            alone = _Search(f"{name} alone", search.init, [name], search.length, name)
            if self._search(alone).kind == Kind.VIOLATED:
                return name
        raise ToolFailed(
            f"{self.model.name}: Apalache finds nothing violated that is checked alone"
        )

    # --- What is no verdict ---

    def _failure(self, finished: Finished) -> KeepstepError:
        lines = list(finished.lines())
        if finished.exit_code == _EXIT_TYPES:
            for line in lines:
                if found := _TYPE_ERROR.search(line):
                    return self._wrong(found["message"], found["module"], int(found["line"]))
        for line in lines:
            if found := _NO_TYPE.search(line):
                return self._missing_type(found[0], found[1])
            if found := _CONFIGURATION.search(line):
                return ToolFailed(f"{self.model.name}: {_unstamped(found[1])}")
        if any(_PARSING.search(line) for line in lines):
            wrong = self._ask_sany()
            if wrong is not None:
                return wrong
        said = [_unstamped(line) for line in lines if _ERROR.search(line)]
        text = " ".join(said[:4]) or " ".join(line.strip() for line in lines[-3:])
        how = f"Apalache ended without a verdict (exit {finished.exit_code})"
        return ToolFailed(f"{self.model.name}: {how}: {text[:800]}")

    def _wrong(self, message: str, module: str, line: int) -> InvalidSpec:
        return InvalidSpec(_unstamped(message), self.workspace.origins.get(module, module), line)

    def _missing_type(self, message: str, name: str) -> InvalidSpec:
        declared = re.compile(
            rf"^\s*(?:(?:VARIABLE|CONSTANT)S?\b\s*)?{name}\s*,?\s*$|\bVARIABLES?\s.*\b{name}\b|\bCONSTANTS?\s.*\b{name}\b"
        )
        for module, origin in self.workspace.origins.items():
            path = self.workspace.folder / f"{module}.tla"
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                if declared.search(line):
                    return InvalidSpec(_unstamped(message), origin, number)
        return InvalidSpec(_unstamped(message))

    def _ask_sany(self) -> KeepstepError | None:
        """Line and column of a syntax error, which Apalache does not pass on."""
        temporary = self.workspace.folder / "sany"
        temporary.mkdir(exist_ok=True)
        finished = self.supervisor.run(
            java_command(
                self.java.path,
                [self.apalache.jar],
                "tla2sany.SANY",
                [f"{self.workspace.root}.tla"],
                memory_mb=512,
                folder=temporary,
            ),
            folder=self.workspace.folder,
            output=temporary / "output.txt",
            seconds=60,
        )
        return explain_sany(list(finished.lines()), self.workspace)


_OUTCOME = re.compile(r"The outcome is: (\w+)")
_VIOLATED = re.compile(r"state invariant (\d+) violated")
_CONDITIONS = re.compile(r"VCGen produced (\d+) verification condition")
_CHECKING = re.compile(r"State 0: Checking (\d+) state invariants")
_OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|Ran out of heap memory")
_TYPE_ERROR = re.compile(r"^\[(?P<module>\w+)\.tla:(?P<line>\d+):\d+-\d+:\d+\]: (?P<message>.*)")
_NO_TYPE = re.compile(r"Expected a type annotation for (?:VARIABLE|CONSTANT) (\w+)")
_CONFIGURATION = re.compile(r"Configuration error \(see the manual\): (.*)")
_PARSING = re.compile(r"Parsing error|Could not parse|Semantic errors")
_ERROR = re.compile(r"[Ee]rror")
_STAMP = re.compile(r"\s+[A-Z]@\d\d:\d\d:\d\d\.\d+\s*$")


def _unstamped(line: str) -> str:
    return _STAMP.sub("", line).strip()
