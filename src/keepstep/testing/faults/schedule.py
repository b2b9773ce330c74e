"""Which fault when, for how long: planned from a seed, done in order, always healed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from random import Random
from typing import Any, Self

from keepstep.errors import KeepstepError, LocalViolation, RemoteViolation, ToolFailed
from keepstep.testing.faults.catalogue import package_of, packages
from keepstep.testing.faults.package import Aim, Fault, NotHealed, Proof, not_shown
from keepstep.testing.faults.target import NothingToHit, Target
from keepstep.testing.network.wire import ConnectionEnded, Refusal

__all__ = ["FaultRecord", "FaultRunner", "FaultStatus", "ScheduledFault", "schedule"]

_POLL = 0.01
_LONGEST_POLL = 0.1


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """One fault of a schedule.

    Attributes:
        package: The package's name.
        at: Seconds from the start of the schedule until it is injected, or as soon after that as
            the fault before it has healed.
        lasts: Seconds from the injection until it is healed, at least; it lasts longer if its
            proof needs longer.
        seed: Chooses what it hits.
    """

    package: str
    at: float
    lasts: float
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def schedule(
    seed: int,
    names: Iterable[str] | None = None,
    seconds: float = 60.0,
    *,
    rest: tuple[float, float] = (0.5, 2.0),
) -> list[ScheduledFault]:
    """Plan faults for some time. Equal arguments give equal plans.

    Each round brings every package once, in an order of its own, so that a short plan leaves out
    as few as possible.

    Args:
        seed: Chooses everything.
        names: Names of packages; all by default.
        seconds: For how long. A fault that would end later is not planned.
        rest: Shortest and longest seconds without a fault between two.

    Raises:
        LocalViolation: A name is no package's, or there is none.
    """
    chosen = [package_of(name) for name in (packages() if names is None else names)]
    if not chosen:
        raise LocalViolation("a schedule needs at least one fault package")
    if seconds < 0 or not 0 <= rest[0] <= rest[1]:
        raise LocalViolation("a schedule needs seconds >= 0 and 0 <= shortest <= longest rest")
    # Names, not places in a table, so that new packages do not change old plans.
    random = Random(f"{seed} {' '.join(sorted(package.name for package in chosen))}")  # noqa: S311
    planned: list[ScheduledFault] = []
    at = 0.0
    while True:
        order = sorted(chosen, key=lambda package: package.name)
        random.shuffle(order)
        for package in order:
            at += random.uniform(*rest)
            lasts = random.uniform(*package.lasts)
            one = ScheduledFault(
                package.name, round(at, 3), round(lasts, 3), random.getrandbits(32)
            )
            at += lasts
            if at > seconds:
                return planned
            planned.append(one)


class FaultStatus(Enum):
    """What became of a planned fault."""

    PROVED = "PROVED"
    NOT_PROVED = "NOT PROVED"
    NOTHING_TO_HIT = "NOTHING TO HIT"
    NOT_RUN = "NOT RUN"
    NOT_HEALED = "NOT HEALED"


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """What became of one planned fault.

    Attributes:
        package: The package's name.
        status: Whether the servers showed it. NOT RUN: not available here, see `detail`.
        victim: What it hit, in words; empty if nothing.
        detail: The evidence, or the reason why there is none.
        began: Seconds from the start of the run until it was injected.
        lasted: Seconds from the injection until its end.
        healed_after: Seconds from its end until the servers showed that all is well.
    """

    package: str
    status: FaultStatus
    victim: str = ""
    detail: str = ""
    began: float = 0.0
    lasted: float = 0.0
    healed_after: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"status": self.status.value}


class FaultRunner:
    """Injects faults and heals them, whatever happens in between.

    Args:
        target: What they are done to.
        on_fault: Told `inject`, `healed` or `failed`, and the fault, as it happens, from the
            thread that runs it.
        on_record: Told each record as it is made, from that thread.

    One fault is under way at a time. Leaving its context ends the thread that `start` began and
    heals everything.
    """

    def __init__(
        self,
        target: Target,
        *,
        on_fault: Callable[[str, Fault], None] = lambda _what, _fault: None,
        on_record: Callable[[FaultRecord], None] = lambda _record: None,
    ) -> None:
        self._target = target
        self._on_fault = on_fault
        self._on_record = on_record
        self._begin = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.records: list[FaultRecord] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def fault(self, name: str, *, aim: Aim | None = None, seed: int = 0) -> Iterator[Fault]:
        """One fault for the duration of a block; healed at its end, however it ends.

        Raises:
            LocalViolation: It is not available here, or there is nothing to hit.
            NotHealed: The servers do not recover within its bound.
        """
        fault = package_of(name).inject(self._target, aim, Random(seed))  # noqa: S311
        self._on_fault("inject", fault)
        try:
            yield fault
        finally:
            self._end(fault)

    def _end(self, fault: Fault) -> float:
        try:
            took = fault.heal()
        except KeepstepError as error:
            self._on_fault("failed", fault)
            self._mend_all(str(error))
            if isinstance(error, NotHealed):
                raise
            raise NotHealed(f"{fault.package.name} could not be ended: {error}") from error
        except BaseException:
            # An interrupt while it was being healed: the rest is done here.
            self._mend_all("interrupted")
            raise
        self._on_fault("healed", fault)
        return took

    def _mend_all(self, why: str) -> None:
        """The last resort: mend whatever is broken, whoever broke it."""
        try:
            self._target.heal()
        except KeepstepError as error:
            raise NotHealed(f"{why}; and nothing else could mend it: {error}") from error

    def do(self, planned: ScheduledFault, aim: Aim | None = None) -> FaultRecord:
        """Inject one planned fault now, wait until it is over, and heal it.

        It lasts as long as planned, and longer until its proof shows, up to what that needs.

        Raises:
            NotHealed: Never: that is a status. All that is raised comes from interrupts.
        """
        record = self._do(planned, aim)
        self.records.append(record)
        self._on_record(record)
        return record

    def _do(self, planned: ScheduledFault, aim: Aim | None) -> FaultRecord:
        package = package_of(planned.package)
        began = time.monotonic() - self._begin
        availability = package.available(self._target)
        if not availability.allowed:
            return FaultRecord(
                package.name, FaultStatus.NOT_RUN, detail=availability.reason, began=began
            )
        try:
            fault = package.prepare(
                self._target,
                aim or Aim(),
                Random(planned.seed),  # noqa: S311
            )
        except (NothingToHit, ConnectionEnded, Refusal, RemoteViolation, ToolFailed) as reason:
            # Servers that do not answer now cannot be hit either. Nothing has changed.
            return FaultRecord(
                package.name, FaultStatus.NOTHING_TO_HIT, detail=str(reason), began=began
            )
        start = time.monotonic()
        proof = not_shown("it was not injected", "")
        failure = ""
        try:
            self._on_fault("inject", fault)
            fault.inject()
            proof = self._wait(fault, start, planned.lasts)
        except NothingToHit as reason:
            return FaultRecord(
                package.name, FaultStatus.NOTHING_TO_HIT, fault.victim, str(reason), began
            )
        except KeepstepError as error:
            failure = str(error)
        finally:
            lasted = time.monotonic() - start
            try:
                took = self._end(fault)
            except NotHealed as error:
                failure, took = str(error), -1.0
        if took < 0:
            status = FaultStatus.NOT_HEALED
        else:
            status = FaultStatus.PROVED if proof.happened else FaultStatus.NOT_PROVED
        detail = failure or proof.evidence
        return FaultRecord(package.name, status, fault.victim, detail, began, lasted, took)

    def _wait(self, fault: Fault, start: float, lasts: float) -> Proof:
        """Until it lasted as planned and its proof shows, or no proof can be expected any more."""
        pause = _POLL
        while True:
            proof = fault.proof()
            passed = time.monotonic() - start
            enough = passed >= lasts and (proof.happened or passed >= fault.proves_within)
            if enough or self._stop.wait(pause):
                return proof
            pause = min(2 * pause, _LONGEST_POLL)

    def run(self, plan: Sequence[ScheduledFault]) -> list[FaultRecord]:
        """Do a plan; ends early when `stop` is called from another thread.

        Returns:
            The records of this run, also in `records`.
        """
        first = len(self.records)
        begin = time.monotonic()
        for planned in plan:
            if self._stop.wait(max(0.0, begin + planned.at - time.monotonic())):
                break
            self.do(planned)
        return self.records[first:]

    def start(self, plan: Sequence[ScheduledFault]) -> None:
        """Do a plan in a thread of its own.

        Raises:
            LocalViolation: One is under way already.
        """
        if self._thread and self._thread.is_alive():
            raise LocalViolation("a schedule is under way already; stop() it first")
        self._stop.clear()
        self._begin = time.monotonic()
        self._thread = threading.Thread(
            target=self._in_thread, args=(plan,), name="keepstep-faults", daemon=True
        )
        self._thread.start()

    def _in_thread(self, plan: Sequence[ScheduledFault]) -> None:
        try:
            self.run(plan)
        except BaseException as error:  # noqa: BLE001 - raised again by `stop`
            self._error = error

    @property
    def running(self) -> bool:
        """Whether a plan is under way in a thread of its own."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> list[FaultRecord]:
        """End what is under way, heal it, and return all records.

        Raises:
            KeepstepError: What ended the thread, if something did.
        """
        self._stop.set()
        if self._thread:
            self._thread.join()
            self._thread = None
        self._stop.clear()
        if self._error:
            error, self._error = self._error, None
            raise error
        return self.records
