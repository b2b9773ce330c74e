"""The election suite: Hypothesis breaks elections on a real server, and shrinks what fails.

`run_campaign` first plays the scenarios, then leaves the choice of steps to Hypothesis. Its
result is red if a promise was broken, and inconclusive if something that should have been seen
was not: a kind of fault that never hit a leader in office, a transition that was never taken.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as some
from hypothesis.errors import Flaky
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from keepstep.errors import KeepstepError, LocalViolation
from keepstep.roles.contender import Contender
from keepstep.shell.contender_shell import ContenderShell
from keepstep.shell.inbox import Lane
from keepstep.testing.election.coverage import Coverage
from keepstep.testing.election.ledger import PromiseBroken
from keepstep.testing.election.recorder import ElectionRecorder
from keepstep.testing.election.rule_weights import current
from keepstep.testing.election.scenarios import scenarios
from keepstep.testing.election.world import MOST_SHELLS, Arena, ElectionWorld, Step
from keepstep.testing.faults import packages
from keepstep.tla.sources import Project, shipped_root
from keepstep.validation.recording import free_file
from keepstep.validation.validator import load_validator

__all__ = [
    "CampaignResult",
    "ElectionSuite",
    "Failure",
    "SavedRun",
    "replay",
    "run_campaign",
]

STEPS_OF_AN_EXAMPLE = 12

_SHORT_ENOUGH = 6
_TRIES = 3

WHO = ["leader", "leader", "leader", "next", *range(MOST_SHELLS)]
ARGUMENTS: dict[str, Sequence[int | str]] = {
    "who": WHO,
    "state": [str(state.id) for state in Contender.states],
    "lane": ["any", *(str(lane) for lane in Lane)],
    "position": [0, 0, *range(1, MOST_SHELLS)],
}
WEIGHTS: dict[tuple[str, ...], int] = {
    ("run",): 10,
    ("reach", "who", "state"): 10,
    ("deliver", "who", "lane"): 12,
    ("write", "who"): 8,
    ("resign", "who"): 6,
    ("start",): 4,
    ("stop", "who"): 2,
    ("kill", "who"): 3,
    ("cut", "who"): 6,
    ("expire", "who"): 5,
    ("give_up", "who"): 4,
    ("drop_reply", "who"): 5,
    ("drop_request", "who"): 3,
    ("delete_ticket", "position"): 5,
    ("delete_parent",): 2,
    ("pause", "who"): 4,
    ("resume", "who"): 2,
    ("hold", "who"): 3,
    ("release", "who"): 2,
    ("delay", "who"): 1,
    ("beat", "who"): 3,
    ("lapse", "who"): 4,
    ("restart_server",): 1,
    ("wipe_server",): 1,
}
"""Each rule with its arguments, and how often it is chosen; early ones count as simpler."""


@some.composite
def _some_step(draw: some.DrawFn) -> Step:
    """Any step but `begin`. One rule draws all, because some have to be rarer than others."""
    frozen = current(WEIGHTS, ARGUMENTS)
    weighted = [shape for shape, weight in frozen.rules.items() for _ in range(weight)]
    rule_name, *names = draw(some.sampled_from(weighted))
    chosen = {name: draw(some.sampled_from(frozen.arguments[name])) for name in names}
    return Step(rule_name, chosen)


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that broke a promise.

    Attributes:
        promise: Which.
        story: What was seen, step by step.
        steps: The run.
        found_after: Number of examples until the first run that broke one.
        reproducible: Whether running the same steps again failed again each time.
    """

    promise: str
    story: tuple[str, ...]
    steps: tuple[Step, ...]
    found_after: int
    reproducible: bool = True


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """What a campaign has found.

    Attributes:
        coverage: What was seen.
        failure: The shortest run that broke a promise; None if none did.
        seed: What repeats Hypothesis' choices.
        seconds: How long it took.
    """

    coverage: Coverage
    failure: Failure | None
    seed: int
    seconds: float

    @property
    def conclusive(self) -> bool:
        """Whether everything was seen that has to be."""
        return self.coverage.conclusive

    @property
    def passed(self) -> bool:
        """Whether no promise was broken, in a campaign that has seen enough."""
        return self.failure is None and self.conclusive


class ElectionSuite(RuleBasedStateMachine):
    """One example. `run_campaign` makes a subclass with the class attributes filled in."""

    arena: ClassVar[Arena]
    coverage: ClassVar[Coverage]
    shell_class: ClassVar[type[ContenderShell]]
    failed: ClassVar[list[ElectionWorld]]
    trouble: ClassVar[list[KeepstepError]]
    record: ClassVar[Path | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.world = ElectionWorld(
            self.arena,
            self.coverage,
            self.shell_class,
            validating_recorder(self.record, self.coverage.examples),
        )

    def _try(self, work: Callable[[], None]) -> None:
        """Do something, unless the campaign cannot go on because a tool has failed.

        Such a failure breaks no promise, so Hypothesis must not shrink it.
        """
        if not self.trouble:
            try:
                work()
            except KeepstepError as error:
                self.trouble.append(error)

    @initialize(count=some.sampled_from([2, 3, MOST_SHELLS]))
    def begin(self, count: int) -> None:
        """Start so many contenders and let them elect, one after the other."""
        self._try(lambda: self.world.perform(Step("begin", {"count": count})))

    @rule(step=_some_step())
    def act(self, step: Step) -> None:
        """Do one step."""
        self._try(lambda: self.world.perform(step))

    def teardown(self) -> None:
        """End the faults, check what has to hold in the end, and end the contenders."""
        try:
            if sys.exc_info()[0] is None:
                self._try(self.world.finish)
        finally:
            self._try(self.world.close)
            if self.world.broken:
                self.failed.append(self.world)


def write_whole(file: Path, text: str) -> None:
    """Write a file so that whoever reads it finds the old text or the new, never a part.

    Raises:
        LocalViolation: It cannot be written.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_text(text)
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise LocalViolation(f"{file} cannot be written: {error}") from error


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run in a file.

    Attributes:
        steps: The run.
        bug: What it finds, in words.
        promise: The promise that the bug breaks.
        about: Where it comes from: versions, number of servers, seed and the like; may be empty.
    """

    steps: tuple[Step, ...]
    bug: str
    promise: str
    about: Mapping[str, Any] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        """Write it as JSON, one step a line."""
        lines = ",\n".join(f"    {json.dumps(step.to_json())}" for step in self.steps)
        about = f'  "about": {json.dumps(dict(self.about))},\n' if self.about else ""
        write_whole(
            file,
            f'{{\n  "bug": {json.dumps(self.bug)},\n  "promise": {json.dumps(self.promise)},\n'
            f'{about}  "steps": [\n{lines}\n  ]\n}}\n',
        )

    @classmethod
    def load(cls, file: Path) -> SavedRun:
        """Read what `save` wrote.

        Raises:
            LocalViolation: The file is not there, or holds something else.
        """
        try:
            read = json.loads(file.read_text())
            steps = tuple(Step.from_json(step) for step in read["steps"])
            about = dict(read.get("about", {}))
            saved = cls(steps, str(read["bug"]), str(read["promise"]), about)
        except KeyError as error:
            raise LocalViolation(f"{file} is no saved run: {error} is missing") from error
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise LocalViolation(f"{file} is no saved run: {error}") from error
        for number, step in enumerate(steps, 1):
            if wrong := _wrong_with(step):
                raise LocalViolation(f"{file}: step {number}: {wrong}")
        if type(about.get("servers", 1)) is not int:
            raise LocalViolation(f"{file}: {about['servers']!r} is no number of servers")
        return saved


_WORDS: Mapping[str, Collection[str]] = {
    "who": ("leader", "next"),
    "lane": ("any", *Lane),
    "state": [str(state.id) for state in Contender.states],
    "server": ("leads", "theirs", "any"),
    "package": packages(),
}
"""The texts that arguments of steps may be, by their names."""

_MOST = 1000
"""Beyond the numbers that arguments of steps may be, as far as they are not those of shells."""


def _wrong_with(step: Step) -> str:
    """Why nobody can do a step, whatever was done before it; "" if somebody can."""
    rule = ElectionWorld.RULES.get(step.rule)
    if rule is None:
        return f"there is no rule {step.rule!r}"
    try:
        inspect.signature(rule).bind(None, **step.arguments)
    except TypeError as error:
        return f"{step.rule}: {error}"
    for name, value in step.arguments.items():
        kind = rule.__annotations__[name]
        if type(value) is int:
            fits = "int" in kind and 0 <= value < (MOST_SHELLS if name == "who" else _MOST)
        else:
            fits = type(value) is str and "str" in kind and value in _WORDS.get(name, {value})
        if not fits:
            return f"{step.rule}: {name} cannot be {value!r}"
    return ""


def silence() -> None:
    """Have kazoo and the shells tell nobody of each broken connection: we break them.

    Where the program has handlers of its own they are still told. It holds for the rest of the
    process, because kazoo's threads end some time after their clients.
    """
    for name in ("kazoo", "keepstep.shell"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


def validating_recorder(record: Path | None = None, number: int = 0) -> ElectionRecorder:
    """A recorder that compares the run with the shipped specification.

    Args:
        record: The directory for its recording; None keeps none.
        number: Number of the run.

    Raises:
        ToolMissing: SANY, which reads the specification, or Java is missing.
    """
    file = None if record is None else free_file(record, "run", number)
    validator = load_validator(Project(shipped_root()))
    return ElectionRecorder(file, source="suite", validator=validator)


def replay(
    steps: Sequence[Step],
    arena: Arena,
    *,
    shell_class: type[ContenderShell] = ContenderShell,
    coverage: Coverage | None = None,
    recorder: ElectionRecorder | None = None,
) -> ElectionWorld:
    """Do the steps in a new election, and what follows at the end of each example.

    Args:
        steps: What to do.
        arena: Where.
        shell_class: The shell under test.
        coverage: Where to note what happened.
        recorder: Records the run; one that only compares it with the specification by default.

    Returns:
        The world, closed; `broken` says whether a promise was broken.
    """
    silence()
    recorder = recorder or validating_recorder()
    # Only what is a process of its own can be stopped; others take less time to start.
    in_processes = any(step.arguments.get("package") == "pause-client" for step in steps)
    world = ElectionWorld(
        arena, coverage or Coverage(), shell_class, recorder, in_processes=in_processes
    )
    try:
        for step in steps:
            world.perform(step)
        world.finish()
    except PromiseBroken as broken:
        world.story.append(f"  {broken}")
    finally:
        world.close()
    return world


def run_campaign(
    *,
    examples: int,
    seed_number: int = 0,
    shell_class: type[ContenderShell] = ContenderShell,
    with_scenarios: bool = True,
    progress: Callable[[str, Coverage], None] = lambda _, __: None,
    record: Path | None = None,
) -> CampaignResult:
    """Run the suite.

    Args:
        examples: Number of examples that Hypothesis chooses; 0 for scenarios alone.
        seed_number: Repeats Hypothesis' choices.
        shell_class: The shell under test.
        with_scenarios: Whether the scenarios come first.
        progress: Called before each scenario and after each example with what is done.
        record: A directory for the recordings of all runs; None keeps none.

    Raises:
        ToolMissing: There is no Java or no ZooKeeper to test with.
    """
    began = time.monotonic()
    coverage = Coverage()
    failure = None
    silence()
    with Arena() as arena:
        if with_scenarios:
            for name, steps in scenarios().items():
                progress(name, coverage)
                recorder = validating_recorder(record, coverage.examples)
                world = replay(
                    steps, arena, shell_class=shell_class, coverage=coverage, recorder=recorder
                )
                if world.broken:
                    failure = _failure(world, coverage.examples, reproducible=True)
                    break
        if failure is None and examples:
            failure = _explore(
                arena, coverage, shell_class, examples, seed_number, progress, record
            )
    return CampaignResult(coverage, failure, seed_number, time.monotonic() - began)


def _failure(world: ElectionWorld, found_after: int, *, reproducible: bool) -> Failure:
    promise = world.broken.promise if world.broken else ""
    story = (*world.story, f"  {world.broken}")
    return Failure(promise, story, tuple(world.steps), found_after, reproducible)


def _explore(
    arena: Arena,
    coverage: Coverage,
    shell_class: type[ContenderShell],
    examples: int,
    seed_number: int,
    progress: Callable[[str, Coverage], None],
    record: Path | None,
) -> Failure | None:
    """Let Hypothesis choose; returns the shortest run that broke a promise."""
    failed: list[ElectionWorld] = []
    trouble: list[KeepstepError] = []
    first: list[int] = []
    before = coverage.examples

    class Explored(ElectionSuite):
        def teardown(self) -> None:
            try:
                super().teardown()
            finally:
                if failed and not first:
                    first.append(coverage.examples - before)
                progress("example", coverage)

    Explored.arena, Explored.coverage = arena, coverage
    Explored.shell_class, Explored.failed, Explored.trouble = shell_class, failed, trouble
    Explored.record = record
    seeded: Any = seed(seed_number)(Explored)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=STEPS_OF_AN_EXAMPLE,
        deadline=None,
        database=None,
        derandomize=False,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    reproducible = True
    try:
        run_state_machine_as_test(seeded, settings=chosen)
    except PromiseBroken:
        pass  # What it was is in `failed`, with its story.
    except Flaky:
        # A race that not every run loses. It was seen, so it counts; but if it was no promise
        # that failed, then the test itself did.
        if not failed:
            raise
        reproducible = False
    if trouble:
        raise trouble[0]
    if not failed:
        return None
    shortest = min(failed, key=lambda world: len(world.steps))
    if len(shortest.steps) > _SHORT_ENOUGH:
        # Hypothesis gives up at once where the same steps do not fail twice in a row.
        shortest = _shorten(shortest, arena, shell_class)
    return _failure(shortest, first[0], reproducible=reproducible)


def _shorten(
    broken: ElectionWorld, arena: Arena, shell_class: type[ContenderShell]
) -> ElectionWorld:
    """Leave out steps as long as one of a few runs of the rest still breaks a promise."""
    size = len(broken.steps) // 2
    while size:
        begin = 1
        while begin < len(broken.steps):
            fewer = [*broken.steps[:begin], *broken.steps[begin + size :]]
            runs = (replay(fewer, arena, shell_class=shell_class) for _ in range(_TRIES))
            found = next((world for world in runs if world.broken), None)
            if found:
                broken = found
            else:
                begin += size
        size //= 2
    return broken
