"""One conformance kit for anything that says it is a ZooKeeper.

    report = check_zookeeper(lambda: FakeService(FakeZooKeeper(servers=3)))
    assert not report.failed, report

Each check states a guarantee in its first sentence and asks a service for it through clients
with the methods of `WireClient`. The same checks run on the fake and on real servers, so what
the environment module says and what servers do cannot drift apart unseen. A guarantee that a
service cannot be made to show, as stale reads with one server, is not applicable, never passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from keepstep.errors import LocalViolation
from keepstep.testing.zookeeper_kit.checks import GROUPS
from keepstep.testing.zookeeper_kit.services import (
    Broken,
    FakeService,
    NotApplicable,
    RealService,
    Scene,
    ServiceUnderTest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "CheckResult",
    "FakeService",
    "KitReport",
    "RealService",
    "ServiceUnderTest",
    "check_names",
    "check_zookeeper",
]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of one check.

    Attributes:
        name: The check.
        guarantee: What it asks for, in a sentence.
        outcome: "passed", "failed" or "not applicable".
        reason: Why it failed or is not applicable.
    """

    name: str
    guarantee: str
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class KitReport:
    """What came of all checks, in their order."""

    results: tuple[CheckResult, ...]

    def _of(self, outcome: str) -> list[CheckResult]:
        return [result for result in self.results if result.outcome == outcome]

    @property
    def passed(self) -> list[CheckResult]:
        """The guarantees that were shown."""
        return self._of("passed")

    @property
    def failed(self) -> list[CheckResult]:
        """The guarantees that are not kept."""
        return self._of("failed")

    @property
    def not_applicable(self) -> list[CheckResult]:
        """The guarantees that this service cannot be made to show."""
        return self._of("not applicable")

    def __str__(self) -> str:
        counts = f"{len(self.passed)} passed, {len(self.failed)} failed"
        lines = [f"{counts}, {len(self.not_applicable)} not applicable"]
        lines += [f"failed: {r.name}: {r.guarantee} {r.reason}" for r in self.failed]
        lines += [f"not applicable: {r.name}: {r.reason}" for r in self.not_applicable]
        return "\n".join(lines)


_Check: TypeAlias = "Callable[[Scene], None]"

_CHECKS: dict[str, _Check] = {
    name.removeprefix("check_"): function
    for group in GROUPS
    for name, function in vars(group).items()
    if name.startswith("check_")
}


def check_names() -> tuple[str, ...]:
    """Names of all checks, in the order in which they are written."""
    return tuple(_CHECKS)


def check_zookeeper(
    make: Callable[[], ServiceUnderTest], *, only: Sequence[str] = (), rounds: int = 1
) -> KitReport:
    """Ask a service for every guarantee of ZooKeeper that the environment module has.

    Args:
        make: Gives the service for one check: a new one, or always the same.
        only: Names of the checks to run; by default all.
        rounds: How often each is run; a fake with another seed each time may fail only once.

    Raises:
        LocalViolation: There is no check of a name in `only`, or no round.
    """
    if rounds < 1:
        raise LocalViolation(f"{rounds} rounds show nothing; there has to be one at least")
    for name in only:
        if name not in _CHECKS:
            raise LocalViolation(f"the kit has no check {name!r}")
    chosen = {name: _CHECKS[name] for name in only} or _CHECKS
    return KitReport(tuple(_run(name, check, make, rounds) for name, check in chosen.items()))


def _run(
    name: str, check: _Check, make: Callable[[], ServiceUnderTest], rounds: int
) -> CheckResult:
    guarantee = (check.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
    for _ in range(rounds):
        scene = Scene(make())
        try:
            scene.open()
            check(scene)
        except NotApplicable as reason:
            return CheckResult(name, guarantee, "not applicable", str(reason))
        except Exception as error:  # noqa: BLE001 - whatever a service does, the rest is run
            said = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
            return CheckResult(name, guarantee, "failed", said)
        finally:
            left = _left(scene)
        if left:
            return CheckResult(name, guarantee, "failed", left)
    return CheckResult(name, guarantee, "passed")


def _left(scene: Scene) -> str:
    """End what a check began; what went wrong with that, or nothing."""
    try:
        scene.close()
    except Exception as error:  # noqa: BLE001 - whatever a service does, the rest is run
        return f"What the check began cannot be ended: {type(error).__name__}: {error}"
    return ""
