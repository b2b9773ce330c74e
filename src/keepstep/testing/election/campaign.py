"""Long runs: an ensemble of real servers, every fault package, and many elections.

A campaign is a row of examples. First come the scenarios, then every fault package against a
leader in office, then runs that are drawn from the seed. Each example is an election of its own,
and the promises are checked after each of its steps. The state is kept in a file, so that an
interrupted campaign goes on where it was; a run that breaks a promise is kept in a file as well,
which `keepstep replay` takes.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from keepstep import __version__
from keepstep.errors import KeepstepError, LocalViolation
from keepstep.exploration.ledger import Witness, modules_of, update
from keepstep.shell.contender_shell import ContenderShell
from keepstep.testing.election.arenas import EnsembleArena
from keepstep.testing.election.coverage import FAULTS, UNREACHABLE, Coverage
from keepstep.testing.election.recorder import ElectionRecorder
from keepstep.testing.election.scenarios import scenarios
from keepstep.testing.election.sights import edge_of
from keepstep.testing.election.step_choice import Choice, Drawn, Experience, draw
from keepstep.testing.election.suite import SavedRun, replay, write_whole
from keepstep.testing.election.world import ElectionWorld, Step
from keepstep.testing.faults import package_of, packages
from keepstep.testing.network.namespaces import Network
from keepstep.testing.servers import watchdog
from keepstep.testing.sometimes import Goals, Sometimes
from keepstep.tla.sources import Project, shipped_root
from keepstep.validation.recording import free_file, write_recordings
from keepstep.validation.validator import Edge, Statistics, Validator, load_validator

__all__ = [
    "MOST_FAILURES",
    "MOST_GROWTH",
    "Campaign",
    "CampaignState",
    "Failed",
    "Plan",
    "about_run",
    "all_faults",
    "tour",
    "unreachable",
]

MOST_GROWTH = 16 * 1024 * 1024
"""Bytes by which the process may grow in the second half of a campaign."""

MOST_FAILURES = 5
"""Broken promises after which a campaign ends."""

_MOST_TROUBLES = 3
_FEWEST_SAMPLES = 8


def goals_of(servers: int) -> Goals:
    """What a campaign has to see now and then, or its promises were never put to the test."""
    goals = Goals(
        Sometimes("two believers at once", "only then does the fence decide who leads"),
        Sometimes("a write refused", "the fence has turned nobody away"),
        Sometimes("two leaders wrote in one election", "nobody has taken over from anybody"),
        Sometimes("another incarnation", "nobody has led on after all data was lost"),
    )
    if servers > 1:
        why = "no election has outlived the servers' own leader"
        goals.add(Sometimes("the servers' leader changed during an election", why))
    return goals


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a campaign is to do.

    Attributes:
        servers: Size of the ensemble.
        seconds: How long it runs, all its parts together.
        seed: Chooses the drawn examples.
        faults: Names of fault packages.
        examples: How many examples it does at most; None for as many as there is time for.
        choice: How the drawn examples are chosen, a `Choice`.
        namespaces: Whether each server gets a network of its own, so that the kernel separates
            them; this process has to be in a private network already, see `Network`.
    """

    servers: int = 3
    seconds: float = 60.0
    seed: int = 0
    faults: tuple[str, ...] = ()
    examples: int | None = None
    choice: str = Choice.GUIDED
    namespaces: bool = False

    def validate(self) -> None:
        """Check it.

        Raises:
            LocalViolation: It cannot be done.
        """
        if self.servers not in {1, 3, 5}:
            raise LocalViolation(f"an ensemble has 1, 3 or 5 servers, not {self.servers}")
        if not self.seconds > 0:
            raise LocalViolation(f"a campaign needs some seconds, not {self.seconds:g}")
        if self.choice not in list(Choice):
            known = ", ".join(Choice)
            raise LocalViolation(f"there is no choice {self.choice!r}; there are: {known}")
        for name in self.faults:
            package_of(name)


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that broke a promise.

    Attributes:
        promise: Which.
        example: The example's name.
        story: What was seen, step by step.
        file: Where the run is saved; empty if it is not.
        recording: Where its recording is, for `keepstep validate`; empty if it is not.
    """

    promise: str
    example: str
    story: tuple[str, ...]
    file: str = ""
    recording: str = ""


@dataclass
class CampaignState:
    """Where a campaign stands; what its file holds.

    Attributes:
        plan: What it is to do.
        shell: The class of the contenders' shell, in words.
        coverage: What it has seen.
        goals: What it has to see now and then.
        edges: How often each step of the specification was taken for certain, as validation says.
        validated: How many recorded runs came to which verdict.
        compared: How much there was to compare with the specification, and how long it took.
        following: Number of the next example.
        seconds: How long it has run.
        failures: Runs that broke a promise.
        not_run: Fault packages that cannot be done here, with the reason.
        troubles: Why servers had to be made anew.
        memory: Bytes of the process after each example, with the second of its last part.
        left: Processes that the campaign left.
        interrupted: Whether its last part was ended before its time.
        unwritten: Why its last part has ended: what could not be written; "" if all could.
        experience: What its runs have shown of where steps lead; guides the choice of the next.
    """

    plan: Plan
    shell: str
    coverage: Coverage
    goals: Goals
    edges: Counter[Edge] = field(default_factory=Counter)
    validated: Counter[str] = field(default_factory=Counter)
    compared: Statistics = field(default_factory=Statistics)
    following: int = 0
    seconds: float = 0.0
    failures: list[Failed] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    interrupted: bool = False
    unwritten: str = ""
    experience: Experience = field(default_factory=Experience)

    def save(self, file: Path) -> None:
        """Write it, whole or not at all."""
        told = {
            "keepstep": __version__,
            "kind": "campaign",
            "plan": asdict(self.plan),
            "shell": self.shell,
            "following": self.following,
            "seconds": round(self.seconds, 3),
            "failures": [asdict(failed) for failed in self.failures],
            "troubles": self.troubles,
            "compared": _statistics_to_json(self.compared),
            "validated": dict(self.validated),
            "edges": [[edge.label, edge.mode, times] for edge, times in self.edges.items()],
            "goals": self.goals.to_json(),
            "coverage": self.coverage.to_json(),
            "experience": self.experience.to_json(),
        }
        write_whole(file, json.dumps(told, indent=1) + "\n")

    @classmethod
    def load(cls, file: Path) -> CampaignState:
        """Read what `save` wrote.

        Raises:
            LocalViolation: The file is not there, or holds something else.
        """
        try:
            told = json.loads(file.read_text())
            if told["kind"] != "campaign" or told["keepstep"] != __version__:
                kind, written = told["kind"], told["keepstep"]
                raise LocalViolation(
                    f"{file} holds a {kind} of keepstep {written}; this is {__version__}"
                )
            read = told["plan"]
            plan = Plan(
                servers=int(read["servers"]),
                seconds=float(read["seconds"]),
                seed=int(read["seed"]),
                faults=tuple(map(str, read["faults"])),
                examples=None if read["examples"] is None else int(read["examples"]),
                choice=str(read["choice"]),
                namespaces=bool(read["namespaces"]),
            )
            plan.validate()
            state = cls(plan, str(told["shell"]), _coverage_of(plan), goals_of(plan.servers))
            state.coverage.take_up(told["coverage"])
            state.goals.take_up(told["goals"])
            state.following, state.seconds = int(told["following"]), float(told["seconds"])
            state.failures = [Failed(**{**f, "story": tuple(f["story"])}) for f in told["failures"]]
            state.troubles = list(map(str, told["troubles"]))
            state.compared = _statistics_from_json(told["compared"])
            state.validated = Counter({str(v): int(n) for v, n in told["validated"].items()})
            edges = {Edge(str(label), str(mode)): int(n) for label, mode, n in told["edges"]}
            state.edges = Counter(edges)
            state.experience = Experience.from_json(told["experience"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise LocalViolation(f"{file} is no state of a campaign: {_in_words(error)}") from error
        return state

    def extended(self, seconds: float | None) -> CampaignState:
        """The same with so many seconds for all its parts; None leaves them as they are.

        Raises:
            LocalViolation: It has run for that long already.
        """
        self.plan = replace(self.plan, seconds=seconds or self.plan.seconds)
        if self.seconds >= self.plan.seconds:
            raise LocalViolation(
                f"the campaign has run for {self.seconds:.0f} of {self.plan.seconds:.0f} s; "
                "give --seconds for more"
            )
        return self

    # --- What it comes to ---

    def growth(self) -> tuple[int, int] | None:
        """Bytes of the process at the start and the end of the second half of its last part.

        Each is the median of a quarter of the samples, because memory comes and goes. None if
        there are too few of them.
        """
        half = self.memory[-1][0] / 2 if self.memory else 0.0
        later = [size for second, size in self.memory if second >= half]
        quarter = len(later) // 4
        if len(later) < _FEWEST_SAMPLES:
            return None
        begin, end = later[:quarter], later[-quarter:]
        return round(statistics.median(begin)), round(statistics.median(end))

    def gaps(self) -> Iterator[str]:
        """Why it is not conclusive, one line each."""
        yield from self.coverage.gaps()
        yield from self.goals.gaps()
        if self.interrupted:
            yield "it was interrupted"
        for trouble in self.troubles:
            yield f"servers had to be made anew: {trouble}"
        growth = self.growth()
        if growth is None:
            yield "it was too short to say anything of memory"
        elif growth[1] - growth[0] > MOST_GROWTH:
            more, most = (growth[1] - growth[0]) / 1e6, MOST_GROWTH / 1e6
            yield f"memory grew by {more:.1f} MB in the second half; at most {most:.1f} are allowed"
        for process in self.left:
            yield f"a process was left: {process}"

    @property
    def conclusive(self) -> bool:
        """Whether everything was seen that has to be."""
        return not list(self.gaps())


def _coverage_of(plan: Plan) -> Coverage:
    moves = ["move"] if plan.faults else []
    return Coverage(dict.fromkeys([*FAULTS, *moves, *plan.faults]), plan.faults)


def tour(faults: Sequence[str]) -> Mapping[str, list[Step]]:
    """An example for each fault package, and for a move, aimed at the leader, by name."""
    moved = [
        Step("begin", {"count": 2}),
        Step("move", {"who": "leader"}),
        Step("run"),
        Step("write", {"who": "leader"}),
    ]
    found = {"move of the leader": moved} if faults else {}
    return found | {
        f"{package} on the leader": [
            Step("begin", {"count": 2}),
            Step("inject", {"package": package, "who": "leader", "server": "theirs"}),
            Step("run"),
            Step("write", {"who": "leader"}),
            Step("heal"),
            Step("run"),
        ]
        for package in faults
    }


def _children() -> dict[int, str]:
    """Processes that this one has started and that live, but for the servers' watchdog."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            line = " ".join(process.cmdline())
            if process.status() != psutil.STATUS_ZOMBIE and watchdog.__file__ not in line:
                found[process.pid] = f"{process.pid} {line[:120]}"
        except psutil.NoSuchProcess:
            continue
    return found


def _interrupts(error: BaseException | None) -> bool:
    """Whether an error came up while we were cleaning up after an interrupt."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


class Campaign:
    """A campaign, from its start or from where it stood.

    Args:
        state: Where it stands.
        shell_class: The shell under test.
        out: Where runs that break a promise are saved; None saves none.
        state_file: Where the state is kept; None keeps none.
        ledger: The ledger to which is added what real servers have shown; None adds nothing.
        records: Where the recording of each run is kept; None keeps none but of broken runs.
        progress: Called before each example with its name and the state.
    """

    def __init__(
        self,
        state: CampaignState,
        *,
        shell_class: type[ContenderShell] = ContenderShell,
        out: Path | None = None,
        state_file: Path | None = None,
        ledger: Path | None = None,
        records: Path | None = None,
        progress: Callable[[str, CampaignState], None] = lambda _, __: None,
    ) -> None:
        self.state = state
        self._shell_class = shell_class
        self._out = out
        self._state_file = state_file
        self._ledger = ledger
        self._records = records
        self._project = Project(shipped_root())
        self._witness = Witness("campaign", servers=state.plan.servers, seed=state.plan.seed)
        self._progress = progress
        self._earlier = state.seconds
        self._began = 0.0
        self._validator: Validator | None = None

    @classmethod
    def begin(cls, plan: Plan, **options: Any) -> Campaign:
        """A campaign from its start; for the options see the class.

        Raises:
            LocalViolation: The plan cannot be done.
        """
        plan.validate()
        shell_class = options.get("shell_class", ContenderShell)
        name = f"{shell_class.__module__}:{shell_class.__qualname__}"
        state = CampaignState(plan, name, _coverage_of(plan), goals_of(plan.servers))
        return cls(state, **options)

    def run(self) -> CampaignState:
        """Run until the time is over, a few promises are broken, or it is interrupted.

        An interrupt ends it in good order: the state then says so.

        Raises:
            ToolMissing: There is no Java or no ZooKeeper to test with.
            ToolFailed: Servers failed again and again.
        """
        state, self._began = self.state, time.monotonic()
        before = set(_children())
        state.interrupted, state.unwritten = False, ""
        state.memory.clear()
        self._keep()
        try:
            while self._has_time():
                self._run_on_servers()
        except KeyboardInterrupt:
            state.interrupted = True
        except _Unwritten as error:
            state.unwritten = str(error)
        finally:
            self._note_time()
            state.left = [line for pid, line in _children().items() if pid not in before]
            self._conclude()
        return state

    def _conclude(self) -> None:
        """Write what the campaign leaves; what it has found is told even if that cannot be."""
        try:
            self._keep()
            if self._ledger is not None:
                with _writing(), update(self._ledger, modules_of(self._project)) as ledger:
                    ledger.add(self._witness)
        except _Unwritten as error:
            self.state.unwritten = self.state.unwritten or str(error)

    def _note_time(self) -> float:
        passed = time.monotonic() - self._began
        self.state.seconds = self._earlier + passed
        return passed

    def _has_time(self) -> bool:
        self._note_time()
        state, most = self.state, self.state.plan.examples
        enough = len(state.failures) >= MOST_FAILURES
        done = most is not None and state.following >= most
        return not enough and not done and state.seconds < state.plan.seconds

    def _keep(self) -> None:
        if self._state_file is not None:
            with _writing():
                self.state.save(self._state_file)

    def _run_on_servers(self) -> None:
        """Do examples on one ensemble until the time is over, or the servers fail."""
        state = self.state
        try:
            with ExitStack() as stack:
                size, network = state.plan.servers, None
                if state.plan.namespaces:
                    network = stack.enter_context(Network(size))
                arena = stack.enter_context(EnsembleArena(size, network=network))
                reasons = {p: arena.available(p).reason for p in state.plan.faults}
                state.not_run = {package: why for package, why in reasons.items() if why}
                for package in state.not_run:
                    state.coverage.leave_out(package)
                self._witness.run.server = arena.version
                for name, drawn in self._examples():
                    if not self._has_time():
                        return
                    self._progress(name, state)
                    self._do(arena, name, drawn)
        except _Unwritten:
            raise  # It is no trouble of servers.
        except KeepstepError as error:
            if _interrupts(error):
                raise KeyboardInterrupt from error
            if len(state.troubles) + 1 >= _MOST_TROUBLES or not state.coverage.steps:
                raise
            # Servers that do not recover must not end a long campaign; but it is told.
            state.troubles.append(f"{type(error).__name__}: {error}")
            state.following += 1

    def _examples(self) -> Iterator[tuple[str, Drawn]]:
        """The examples from the next one on; each is drawn when the one before it is over."""
        state, plan = self.state, self.state.plan
        faults = [package for package in plan.faults if package not in self.state.not_run]
        thought_out = [*scenarios().items(), *tour(faults).items()]
        for number in count(self.state.following):
            if number < len(thought_out):
                name, steps = thought_out[number]
                yield name, Drawn(tuple(steps))
            else:
                missing = state.coverage.missing_faults()
                choice = Choice(plan.choice)
                drawn = draw(choice, plan.seed, number, faults, state.experience, missing)
                yield f"drawn {number}", drawn

    def _do(self, arena: EnsembleArena, name: str, drawn: Drawn) -> None:
        state, recorder = self.state, self._recorder(f"campaign, {name}")
        faults = Counter(state.coverage.faults)
        world = replay(
            drawn.steps,
            arena,
            shell_class=self._shell_class,
            coverage=state.coverage,
            recorder=recorder,
        )
        state.experience.learn(world, drawn.tries)
        self._take_in(name, world, recorder, state.coverage.faults - faults)

    def _recorder(self, source: str) -> ElectionRecorder:
        """What records an example, and compares it with the specification."""
        return ElectionRecorder(
            source=source, seed=self.state.plan.seed, validator=self._loaded_validator()
        )

    def _loaded_validator(self) -> Validator:
        if self._validator is None:
            self._validator = load_validator(self._project)
        return self._validator

    def _take_in(
        self, name: str, world: ElectionWorld, recorder: ElectionRecorder, faults: Counter[str]
    ) -> None:
        """Note what an example has shown.

        Args:
            name: Its name.
            world: The example, which is over.
            recorder: Has recorded it.
            faults: How often each kind of fault happened in it.
        """
        state = self.state
        found = recorder.validate(self._loaded_validator())
        state.edges.update(found.edges)
        state.validated[str(found.verdict)] += 1
        state.compared.add(replace(found.statistics, seconds=recorder.validating))
        under = Counter((edge_of(lived.taken), lived.under) for lived in world.taken if lived.under)
        self._witness.note(found.edges, faults.keys(), under)
        self._note_goals(world, found.edges)
        number, promise = state.following, world.broken.promise if world.broken else ""
        if promise:
            state.failures.append(Failed(promise, name, tuple(world.story)))
        state.following += 1
        state.memory.append((self._note_time(), psutil.Process().memory_info().rss))
        # All is noted by now, so nothing is lost if it cannot be written.
        with _writing():
            if promise and self._out is not None:
                state.failures[-1] = self._saved(state.failures[-1], number, world, recorder)
            if self._records is not None:
                write_recordings(free_file(self._records, "run", number), [found.recording])
        self._keep()

    def _note_goals(self, world: ElectionWorld, edges: Mapping[Edge, int]) -> None:
        """Note what this example has seen of what has to be seen now and then."""
        seen, ledger = self.state.goals.sometimes, world.ledger
        writers = {(write.claim.incarnation, write.claim.epoch) for write in ledger.accepted}
        refused = any("StepDown" in edge.label and edge.mode == "writing" for edge in edges)
        seen(world.most_believers > 1, "two believers at once")
        seen(refused, "a write refused")
        seen(len(writers) > 1, "two leaders wrote in one election")
        seen(len({r.incarnation for r in ledger.raised}) > 1, "another incarnation")
        if self.state.plan.servers > 1:
            terms = {(raised.incarnation, raised.zxid >> 32) for raised in ledger.raised}
            changed = len(terms) > len({incarnation for incarnation, _ in terms})
            seen(changed, "the servers' leader changed during an election")

    def _saved(
        self, failed: Failed, number: int, world: ElectionWorld, recorder: ElectionRecorder
    ) -> Failed:
        """A failure with its files, which are written."""
        plan, words = self.state.plan, re.sub(r"\W+", "-", failed.promise)
        if self._out is None:
            return failed
        stem = f"failure-{plan.seed}-{number}-{words}"
        # An earlier campaign with the same seed may have left its own there.
        names = (f"{stem}{f'-{again}' if again else ''}.json" for again in count())
        path = next(file for name in names if not (file := self._out / name).exists())
        about = about_run(plan, self.state.shell) | {"example": failed.example}
        SavedRun(tuple(world.steps), "", failed.promise, about | {"story": world.story}).save(path)
        write_recordings(path.with_suffix(".jsonl"), [recorder.recording])
        return replace(failed, file=str(path), recording=str(path.with_suffix(".jsonl")))


class _Unwritten(LocalViolation):
    """What a campaign has found cannot be written."""


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except LocalViolation as error:
        raise _Unwritten(str(error)) from error


def _in_words(error: Exception) -> str:
    match error:
        case KeyError():
            return f"{error} is missing"
        case OSError():
            return error.strerror or str(error)
    return str(error)


def _statistics_to_json(of: Statistics) -> dict[str, Any]:
    return {
        "records": of.records,
        "steps": of.steps,
        "events": of.events,
        "sizes": dict(of.sizes),
        "windows": dict(of.windows),
        "assumed": of.assumed,
        "seconds": of.seconds,
    }


def _statistics_from_json(told: Mapping[str, Any]) -> Statistics:
    return Statistics(
        int(told["records"]),
        int(told["steps"]),
        int(told["events"]),
        Counter({int(size): int(times) for size, times in told["sizes"].items()}),
        Counter({int(length): int(times) for length, times in told["windows"].items()}),
        int(told["assumed"]),
        float(told["seconds"]),
    )


def about_run(plan: Plan, shell: str) -> dict[str, Any]:
    """What a saved run says of where it comes from."""
    return {
        "keepstep": __version__,
        "kazoo": version("kazoo"),
        "servers": plan.servers,
        "seed": plan.seed,
        "faults": list(plan.faults),
        "shell": shell,
    }


def all_faults() -> tuple[str, ...]:
    """Names of all fault packages."""
    return tuple(packages())


def unreachable() -> Mapping[str, str]:
    """Transitions that no run can take, with the reason."""
    return {str(taken): reason for taken, reason in UNREACHABLE.items()}
