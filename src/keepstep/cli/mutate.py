"""`keepstep mutate`: break classes and deriver on purpose; each must be caught."""

from __future__ import annotations

import inspect
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from keepstep.checkers.verdict import Exit
from keepstep.conformance.deriver_mutants import kill_derivers
from keepstep.conformance.killing import (
    LAYERS,
    Arena,
    Killed,
    build_arena,
    load_equivalents,
)
from keepstep.conformance.mutants import class_mutants
from keepstep.conformance.roles import load_machine, load_roles
from keepstep.errors import InvalidModel
from keepstep.process import Supervisor, scratch_folder
from keepstep.tla.sources import Project, find_project

__all__ = ["command"]

TELL_EVERY = 50


@click.command(name="mutate", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--lane",
    type=click.Choice(["quick", "full"]),
    default="quick",
    show_default=True,
    help="quick: some targets and sources of each transition; full: all of them.",
)
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder with spec/ and models/. [default: the current one, else the shipped one]",
)
@click.option("--all", "show_all", is_flag=True, help="Show each mutant, not only survivors.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.pass_context
def command(
    ctx: click.Context,
    lane: str,
    project: Path | None,
    show_all: bool,  # noqa: FBT001 - click gives flags so
    as_json: bool,  # noqa: FBT001
) -> None:
    """Break the derived classes, and the deriver, and see what notices.

    Each mutant is a small edit of a shipped file, or of what the deriver says. The layers are
    tried in order: construction, shape, disjointness, role table, system graph. A mutant that
    survives them all must be in the role's list of equivalent mutants, with its argument.
    """
    tell: Callable[[str], None] = (lambda _text: None) if as_json else _tell
    result = _mutate(find_project(project), lane, tell)
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=1))
    else:
        _show(result, show_all=show_all)
    ctx.exit(Exit.AS_EXPECTED if result.is_good else Exit.DIFFERS)


@dataclass(slots=True)
class _Result:
    """What became of all mutants."""

    killed: list[Killed] = field(default_factory=list)
    survived: list[Killed] = field(default_factory=list)
    equivalent: list[tuple[Killed, str]] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    idle: list[Killed] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Every mutant is killed or equivalent, and the list says nothing else."""
        return not self.survived and not self.stale and not self.wrong

    def take(self, one: Killed, arguments: dict[str, str], seen: set[str]) -> None:
        """Count one mutant."""
        if one.layer:
            self.killed.append(one)
        elif one.name in arguments:
            seen.add(one.name)
            self.equivalent.append((one, arguments[one.name]))
        else:
            self.survived.append(one)

    def as_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "as_expected": self.is_good,
            "seconds": round(self.seconds, 3),
            "layers": dict(Counter(one.layer for one in self.killed)),
            "killed": [
                {"name": k.name, "what": k.what, "layer": k.layer, "reason": k.reason}
                for k in self.killed
            ],
            "equivalent": [
                {"name": one.name, "what": one.what, "argument": argument}
                for one, argument in self.equivalent
            ],
            "survived": [{"name": one.name, "what": one.what} for one in self.survived],
            "not_exercised": [one.name for one in self.idle],
            "stale": self.stale,
            "wrong": self.wrong,
        }


def _mutate(project: Project, lane: str, tell: Callable[[str], None]) -> _Result:
    began = time.monotonic()
    result = _Result()
    # What is wrong in a list is told before any tool has run for minutes.
    lists = {entry.name: load_equivalents(project, entry) for entry in load_roles(project)}
    listed = {name: why for arguments in lists.values() for name, why in arguments.items()}
    supervisor = Supervisor()
    try:
        with scratch_folder() as folder:
            arenas = build_arena(project, folder, progress=tell, supervisor=supervisor)
    finally:
        supervisor.end_all()
    seen: set[str] = set()
    for arena in arenas:
        arguments = lists[arena.role.entry.name]
        text = _text_of(project, arena)
        layer, reason = arena.judge(text, "the class as it is shipped")
        if layer:
            result.wrong.append(f"{arena.role.entry.name} itself: {layer}: {reason}")
            continue
        mutants = class_mutants(text, every=lane == "full")
        tell(f"{arena.role.entry.name}: {len(mutants)} mutants of the class")
        for number, mutant in enumerate(mutants, start=1):
            for one in arena.kill([mutant]):
                result.take(one, arguments, seen)
            if number % TELL_EVERY == 0:
                tell(f"{number} of {len(mutants)}: {len(result.killed)} killed")
    if not result.wrong:
        tell("mutants of the deriver")
        for one, differs in kill_derivers(arenas):
            if differs:
                result.take(one, listed, seen)
            else:
                result.idle.append(one)
    result.stale = [] if result.wrong else sorted(listed.keys() - seen - _untried(lane, listed))
    result.seconds = time.monotonic() - began
    return result


def _untried(lane: str, listed: dict[str, str]) -> set[str]:
    """Entries about mutants that only the full lane makes."""
    if lane == "full":
        return set()
    return {name for name in listed if "-from-" in name or ".to-" in name}


def _text_of(project: Project, arena: Arena) -> str:
    """The text of the shipped file."""
    module = load_machine(project, arena.role.entry)
    if arena.role.entry.machine.endswith(".py"):
        return (project.root / arena.role.entry.machine).read_text(encoding="utf-8")
    source = inspect.getsourcefile(module)
    if source is None:
        raise InvalidModel(f"{module.__name__} has no source file")
    return Path(source).read_text(encoding="utf-8")


def _tell(text: str) -> None:
    click.echo(f"  {text} ...", err=True)


def _show(result: _Result, *, show_all: bool) -> None:
    for problem in result.wrong:
        click.echo(f"DIFFERS: {problem}")
    width = max((len(one.name) for one in result.killed), default=0)
    if show_all:
        for one in result.killed:
            click.echo(f"{one.layer:<13} {one.name:<{width}}  {one.what}")
    counts = Counter(one.layer for one in result.killed)
    for layer in LAYERS:
        click.echo(f"killed by {layer}: {counts[layer]}")
    for one, argument in result.equivalent:
        click.echo(f"equivalent: {one.name} ({one.what}): {argument}")
    for one in result.idle:
        click.echo(f"changes nothing in these roles: {one.name} ({one.what})")
    for name in result.stale:
        click.echo(f"LISTED AS EQUIVALENT, BUT IT IS NOT: {name}")
    for one in result.survived:
        click.echo(f"SURVIVED: {one.name} ({one.what})")
    total = len(result.killed) + len(result.equivalent) + len(result.survived)
    click.echo(
        f"{total} mutants: {len(result.killed)} killed, {len(result.equivalent)} equivalent, "
        f"{len(result.survived)} survived; {result.seconds:.1f} s"
    )
