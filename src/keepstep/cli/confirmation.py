"""What `keepstep validate --confirm` has the checkers say of sampled steps."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from keepstep.checkers.apalache_explorer import Explorer
    from keepstep.derive.ast import Spec
    from keepstep.tla.sources import Project
    from keepstep.validation.behaviour import Behaviour
    from keepstep.validation.recording import Recording
    from keepstep.validation.trace_module import Confirmation

__all__ = ["Confirmed", "Confirming"]


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the checkers say of steps of one behaviour.

    Attributes:
        tlc: What TLC says.
        apalache: What Apalache says; None if it was not run.
        not_run: Why Apalache was not run; "" if it was.
    """

    tlc: Confirmation
    apalache: Confirmation | None
    not_run: str

    @property
    def refused(self) -> bool:
        """Whether a checker does not take a step."""
        return bool(self.tlc.refused or (self.apalache and self.apalache.refused))

    @property
    def undecided(self) -> bool:
        """Whether a checker that was run cannot tell of a step."""
        return bool(self.apalache and self.apalache.undecided)

    def lines(self, behaviour: Behaviour) -> list[str]:
        """What to print."""
        found = _lines("TLC", self.tlc, behaviour)
        if self.apalache is None:
            return [*found, f"  Apalache: not run, {self.not_run}"]
        return found + _lines("Apalache", self.apalache, behaviour)

    def as_json(self) -> dict[str, Any]:
        """The same for programs; what was not run has no steps that were asked for."""
        return {
            "confirmed_by_tlc": _as_json(self.tlc),
            "confirmed_by_apalache": {"not_run": self.not_run}
            if self.apalache is None
            else {**_as_json(self.apalache), "undecided": self.apalache.undecided},
        }


def _lines(checker: str, said: Confirmation, behaviour: Behaviour) -> list[str]:
    taken = len(said.asked) - len(said.refused) - len(said.undecided)
    found = [f"  {checker} takes {taken} of {len(said.asked)} steps"]
    for what, places in (("does not take", said.refused), ("cannot tell of", said.undecided)):
        found += [f"  {checker} {what} step {p}: {behaviour.steps[p].label}" for p in places]
    return found


def _as_json(said: Confirmation) -> dict[str, Any]:
    return {"asked": said.asked, "refused": said.refused, "seconds": round(said.seconds, 1)}


class Confirming:
    """Asks TLC, and Apalache where it is, whose server runs from the first question until `close`.

    Args:
        project: The project of the specification.
        count: How many steps of each behaviour to ask about.
        progress: Shows what goes on; called with "" when it is over.
    """

    def __init__(self, project: Project, count: int, progress: Callable[[str], None]) -> None:
        self._project = project
        self._count = count
        self._progress = progress
        self._stack = ExitStack()
        self._explorer: Explorer | None = None
        self._not_run = ""

    def close(self) -> None:
        """End the server."""
        self._stack.close()

    def confirm(self, spec: Spec, recording: Recording, behaviour: Behaviour) -> Confirmed:
        """Have the checkers take steps of a behaviour, chosen by lot.

        Raises:
            KeepstepError: TLC could not be run, or an Apalache that is there could not.
        """
        from keepstep.validation.explored_steps import confirm_steps_with_apalache
        from keepstep.validation.trace_module import confirm_steps

        project, count, seed = self._project, self._count, recording.header.seed or 0
        explorer, apalache = self._started(), None
        self._progress("TLC takes sampled steps")
        tlc = confirm_steps(project, recording, behaviour, count, seed=seed)
        if explorer is not None:
            self._progress("Apalache takes sampled steps")
            apalache = confirm_steps_with_apalache(
                explorer, project, spec, recording, behaviour, count, seed=seed
            )
        self._progress("")
        return Confirmed(tlc, apalache, self._not_run)

    def _started(self) -> Explorer | None:
        """Apalache's server; None where Apalache is not installed.

        Raises:
            ToolMisnamed: A variable says where it is, and it is not there.
            ToolFailed: It does not start.
        """
        from keepstep.checkers.apalache_explorer import Explorer
        from keepstep.errors import ToolMisnamed, ToolMissing

        if self._explorer is None and not self._not_run:
            try:
                self._explorer = self._stack.enter_context(Explorer())
            except ToolMisnamed:
                raise
            except ToolMissing as error:
                self._not_run = str(error)
        return self._explorer
