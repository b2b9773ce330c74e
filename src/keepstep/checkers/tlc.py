"""TLC: finite exhaustive search and liveness.

A verdict is read from the exit code and the messages together; where they do not agree, TLC
has failed and there is no verdict.
"""

from __future__ import annotations

import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from keepstep.checkers.outcome import Outcome, Step, Trace
from keepstep.checkers.toolchain import JAVA_FOR_TLC, Java, Tlc, find_java, find_tlc
from keepstep.checkers.verdict import Kind, Verdict
from keepstep.checkers.workspace import Workspace, as_tla, explain_sany, lay_out
from keepstep.errors import InvalidModel, KeepstepError, ToolFailed
from keepstep.process import Finished, Supervisor, java_command, scratch_folder
from keepstep.tla.values import parse_assignments

if TYPE_CHECKING:
    from pathlib import Path

    from keepstep.tla.manifest import Model
    from keepstep.tla.sources import Project

__all__ = ["check", "configuration", "dump_graph"]

Progress = Callable[[str], None]

# Numbers of TLC's messages, as `-tool` frames them.
_ASSUMPTION = 2104
_INVARIANT_INITIAL = 2107
_PROPERTY_INITIAL = 2108
_INVARIANT = 2110
_ACTION_PROPERTY = 2112
_DEADLOCK = 2114
_TEMPORAL = 2116
_BACK = 2122
_SUCCESS = 2193
_DEPTH = 2194
_COUNTS = 2199
_PROGRESS = 2200
_INITIAL_COUNT = 2190
_STATE = 2217
_STUTTERING = 2218
_COVERAGE = 2772
_OUT_OF_MEMORY = 1001

_LARGE = 40_000
"""The number of states from which on the JVM's second compiler is worth its time."""

_EXIT_HOLDS = 0
_EXIT_ASSUMPTION = 10
_EXIT_DEADLOCK = 11
_EXIT_SAFETY = 12
_EXIT_LIVENESS = 13
_EXIT_KILLED = (-9, 137)
_JVM_OVERHEAD_MB = 1024
"""What a JVM may hold beside its heap: code, stacks, and TLC's fingerprints off the heap."""


def configuration(model: Model) -> str:
    """The text of the configuration file that TLC is given for a model."""
    lines: list[str] = []
    if model.specification or model.mode == "liveness":
        lines.append(f"SPECIFICATION {model.specification or 'Spec'}")
    else:
        lines += [f"INIT {model.init}", f"NEXT {model.next}"]
    lines += [f"CONSTANT {name} = {as_tla(value)}" for name, value in model.constants.items()]
    lines += [f"CONSTANT {name} <- {other}" for name, other in model.substitutions.items()]
    lines += [f"INVARIANT {name}" for name in model.invariants]
    lines += [f"PROPERTY {name}" for name in model.properties]
    lines += [f"CONSTRAINT {name}" for name in model.constraints]
    lines += [f"ACTION_CONSTRAINT {name}" for name in model.action_constraints]
    lines.append(f"CHECK_DEADLOCK {'TRUE' if model.deadlock else 'FALSE'}")
    return "\n".join(lines) + "\n"


def check(
    project: Project,
    model: Model,
    *,
    supervisor: Supervisor,
    on_progress: Progress | None = None,
) -> Outcome:
    """Check a model with TLC.

    Raises:
        ToolMissing: TLC or Java is missing.
        InvalidSpec: A module has a syntax or semantic error.
        InvalidModel: The configuration does not fit the specification.
        ToolFailed: TLC ended without a verdict.
        Stopped: The supervisor was told to stop.
    """
    began = time.monotonic()
    with scratch_folder() as folder:
        run = _Run(project, model, supervisor, folder, on_progress)
        outcome = run.outcome()
        if outcome.verdict.kind == Kind.VIOLATED and not outcome.verdict.property:
            outcome = _name_property(run, outcome)
    return replace(outcome, seconds=time.monotonic() - began)


def _name_property(run: _Run, outcome: Outcome) -> Outcome:
    """Find out which property is violated, where TLC 2.18 does not tell: check each alone."""
    for name in run.model.properties:
        alone = msgspec.structs.replace(run.model, properties=[name], invariants=[], coverage=False)
        found = run.beside(alone).outcome()
        if found.verdict.kind == Kind.VIOLATED:
            verdict = Verdict.violated(name)
            return replace(outcome, verdict=verdict, trace=found.trace)
    raise ToolFailed(f"{run.model.name}: TLC finds no property violated that is checked alone")


def dump_graph(
    project: Project, model: Model, into: Path, *, supervisor: Supervisor | None = None
) -> tuple[Path, Outcome]:
    """Have TLC write the whole state graph of a model, with the actions' names on its edges.

    Args:
        project: The project of the model.
        model: A model that holds.
        into: The folder for the file `<model>.dot`.
        supervisor: Ends TLC when it is told to; one of its own by default.

    Returns:
        The file, and what TLC found out: `distinct_states` is the number of nodes.

    Raises:
        InvalidModel: The model does not hold, so that its graph would be cut off.
        KeepstepError: As `check`.
    """
    into.mkdir(parents=True, exist_ok=True)
    target = into / f"{model.name}.dot"
    with scratch_folder() as folder:
        run = _Run(project, model, supervisor or Supervisor(), folder, None, dump=target)
        outcome = run.outcome()
    if outcome.verdict.kind != Kind.HOLDS:
        raise InvalidModel(f"{model.name}: its graph is not complete: {outcome.verdict}")
    return target, outcome


@dataclass
class _Messages:
    """TLC's framed messages, collected while it runs."""

    on_progress: Progress | None = None
    found: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    order: list[tuple[int, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    out_of_memory: bool = False
    _code: int = 0
    _severity: int = 0
    _lines: list[str] = field(default_factory=list)
    _stack: list[tuple[int, int, list[str]]] = field(default_factory=list)

    def line(self, line: str) -> None:
        if "java.lang.OutOfMemoryError" in line:
            self.out_of_memory = True
        if start := _START.search(line):
            if self._code:
                self._stack.append((self._code, self._severity, self._lines))
            self._code, self._severity, self._lines = int(start[1]), int(start[2]), []
        elif line.startswith("@!@!@ENDMSG"):
            self._end()
        elif self._code:
            self._lines.append(line)
        else:
            self.rest.append(line)

    def _end(self) -> None:
        text = "\n".join(self._lines).strip()
        self.found[self._code].append(text)
        if self._code in {_STATE, _STUTTERING, _BACK}:
            self.order.append((self._code, text))
        if self._severity == 1 or self._severity == 2:
            self.errors.append(text)
        if self._code == _PROGRESS and self.on_progress is not None:
            counts = _DISTINCT.search(text)
            if counts:
                self.on_progress(f"{counts[1]} states")
        if self._code == _OUT_OF_MEMORY:
            self.out_of_memory = True
        self._code, self._severity, self._lines = self._stack.pop() if self._stack else (0, 0, [])

    def first(self, code: int) -> str | None:
        """The first message of this number, or None."""
        return self.found[code][0] if self.found.get(code) else None


_START = re.compile(r"@!@!@STARTMSG (\d+):(\d+) @!@!@")
_DISTINCT = re.compile(r"([\d,]+) distinct states found")
_GENERATED = re.compile(r"([\d,]+) states generated")
_NAMED = re.compile(r"(?:Invariant|[Pp]roperty) (\S+) (?:is|was) violated")
_HEADER = re.compile(
    r"^(\d+): <(.*?)(?: line \d+, col \d+ to line \d+, col \d+ of module \w+)?>\s*$"
)
_RETURN = re.compile(r"^(\d+): Back to state:?\s*(?:<(.*?)(?: line \d+, .*)?>)?\s*$")
_COVERED = re.compile(r"<(\S+) line \d+, .*?>: \d+:(\d+)", re.DOTALL)
_INITIAL_STATES = re.compile(r"([\d,]+) (?:distinct )?states? generated")


def _number(text: str) -> int:
    return int(text.replace(",", ""))


@dataclass
class _Run:
    """One run of TLC on one model."""

    project: Project
    model: Model
    supervisor: Supervisor
    folder: Path
    on_progress: Progress | None
    dump: Path | None = None

    def beside(self, model: Model) -> _Run:
        """The same run for another model, in a folder of its own."""
        folder = self.folder / "alone"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return _Run(self.project, model, self.supervisor, folder, self.on_progress)

    def outcome(self) -> Outcome:
        tlc = find_tlc()
        java = find_java(JAVA_FOR_TLC)
        workspace = lay_out(self.project, self.model, self.folder)
        config = self.folder / f"{workspace.root}.cfg"
        config.write_text(configuration(self.model), encoding="utf-8")
        messages = _Messages(self.on_progress)
        finished = self.supervisor.run(
            self._command(java, tlc, workspace, config),
            folder=self.folder,
            output=self.folder / "output.txt",
            seconds=self.model.seconds,
            on_line=messages.line,
            memory_mb=self.model.memory_mb + _JVM_OVERHEAD_MB,
        )
        verdict = self._verdict(finished, messages, workspace)
        counts = messages.first(_COUNTS) or ""
        depth = re.search(r"is (\d+)", messages.first(_DEPTH) or "")
        distinct = _DISTINCT.search(counts)
        generated = _GENERATED.search(counts)
        outcome = Outcome(
            verdict=verdict,
            seconds=finished.seconds,
            distinct_states=_number(distinct[1]) if distinct else None,
            generated_states=_number(generated[1]) if generated else None,
            depth=int(depth[1]) if depth else None,
            coverage=_coverage(messages),
            trace=_trace(messages) if verdict.kind == Kind.VIOLATED else None,
            tool={
                "name": "TLC",
                "version": tlc.version,
                "commit": tlc.commit,
                "sha256": tlc.sha256,
            },
            java=java.major,
        )
        return replace(outcome, vacuous=_vacuous(outcome, messages))

    def _command(self, java: Java, tlc: Tlc, workspace: Workspace, config: Path) -> list[str]:
        temporary = self.folder / "tmp"
        temporary.mkdir()
        arguments = ["-tool", "-workers", str(self.model.workers), "-fp", "0", "-seed", "1"]
        arguments += ["-metadir", str(self.folder / "states")]
        if tlc.recent:
            arguments.append("-noGenerateSpecTE")
        if self.model.coverage:
            arguments += ["-coverage", "1"]
        if self.dump is not None:
            arguments += ["-dump", "dot,actionlabels", str(self.dump)]
        arguments += ["-config", config.name, f"{workspace.root}.tla"]
        collector = "-XX:+UseSerialGC" if self.model.workers == 1 else "-XX:+UseParallelGC"
        compiler = ["-XX:TieredStopAtLevel=1"] if _is_small(self.model) else []
        return java_command(
            java.path,
            [tlc.jar],
            "tlc2.TLC",
            arguments,
            memory_mb=self.model.memory_mb,
            folder=temporary,
            options=[collector, *compiler, "-Xss16m"],
        )

    def _verdict(self, finished: Finished, messages: _Messages, workspace: Workspace) -> Verdict:
        code = finished.exit_code
        if finished.ended == "timeout":
            return Verdict.unknown(f"no end within {self.model.seconds} s")
        if messages.out_of_memory or finished.ended == "memory" or code in _EXIT_KILLED:
            return Verdict.unknown(f"out of memory, limit {self.model.memory_mb} MB")
        if code == _EXIT_HOLDS and messages.first(_SUCCESS) is not None:
            return Verdict.holds()
        if code == _EXIT_DEADLOCK and messages.first(_DEADLOCK) is not None:
            return Verdict.violated("deadlock")
        if code in {_EXIT_SAFETY, _EXIT_LIVENESS}:
            for number in (
                _INVARIANT_INITIAL,
                _INVARIANT,
                _PROPERTY_INITIAL,
                _ACTION_PROPERTY,
                _TEMPORAL,
            ):
                said = messages.first(number)
                if said is not None:
                    return Verdict.violated(self._violated_name(said))
        raise self._failure(finished, messages, workspace)

    def _violated_name(self, said: str) -> str:
        """The name of the property, or "" if TLC does not tell it."""
        found = _NAMED.search(said)
        if found and found[1] in self.model.names:
            return found[1]
        return self.model.properties[0] if len(self.model.properties) == 1 else ""

    def _failure(
        self, finished: Finished, messages: _Messages, workspace: Workspace
    ) -> KeepstepError:
        if finished.exit_code == _EXIT_ASSUMPTION and messages.first(_ASSUMPTION):
            return InvalidModel(f"{self.model.name}: {messages.first(_ASSUMPTION)}")
        wrong = explain_sany(messages.rest, workspace)
        if wrong is not None:
            return wrong
        texts = messages.errors or [line for line in messages.rest if line.strip()][-5:]
        shown = " ".join(" ".join(texts).split())[:800]
        if not shown:
            shown = "it said nothing"
        return ToolFailed(
            f"{self.model.name}: TLC ended without a verdict (exit {finished.exit_code}): {shown}"
        )


def _is_small(model: Model) -> bool:
    """Whether a run ends before the JVM's second compiler pays off: it halves what they cost."""
    if model.lane == "full" or model.workers > 1:
        return False
    return model.expected == "VIOLATED" or (model.distinct_states or _LARGE) < _LARGE


def _vacuous(outcome: Outcome, messages: _Messages) -> str:
    if outcome.verdict.kind != Kind.HOLDS:
        return ""
    if not outcome.distinct_states:
        return "there is no initial state"
    initial = _INITIAL_STATES.search(messages.first(_INITIAL_COUNT) or "")
    if initial and _number(initial[1]) >= (outcome.generated_states or 0):
        return "no action is ever taken"
    return ""


def _coverage(messages: _Messages) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    # TLC reports more than once in a long run; the last report is the one that counts.
    latest: dict[str, int] = {}
    for text in messages.found.get(_COVERAGE, []):
        for found in _COVERED.finditer(text):
            latest[found[0].split(">")[0]] = int(found[2])
    for place, count in latest.items():
        counts[place[1:].split(" ")[0]] += count
    return dict(sorted(counts.items()))


def _trace(messages: _Messages) -> Trace | None:
    steps: list[Step] = []
    loop: int | None = None
    loop_action = ""
    stutters = False
    for code, text in messages.order:
        if code == _STUTTERING:
            stutters = True
            continue
        head, _, body = text.partition("\n")
        if code == _BACK:
            if found := _RETURN.match(head):
                loop, loop_action = int(found[1]) - 1, found[2] or ""
            continue
        found = _HEADER.match(head)
        if found is None:
            continue
        if int(found[1]) <= len(steps):
            # A second behaviour begins; the first one is the counterexample.
            break
        name = "" if found[2] == "Initial predicate" else found[2]
        steps.append(Step(name, parse_assignments(body)))
    if not steps:
        return _initial_trace(messages)
    return Trace(tuple(steps), loop, loop_action, stutters)


def _initial_trace(messages: _Messages) -> Trace | None:
    """The state of a violation that needs no step: the message itself has it."""
    for code in (_INVARIANT_INITIAL, _PROPERTY_INITIAL):
        _, _, body = (messages.first(code) or "").partition("\n")
        if "=" in body:
            return Trace((Step("", parse_assignments(body)),))
    return None
