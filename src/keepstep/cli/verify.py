"""`keepstep verify`: the whole chain, one line for each of its links."""

from __future__ import annotations

import importlib
import json
import time
import traceback
from dataclasses import asdict
from pathlib import Path

import click

from keepstep.checkers.verdict import Exit, Leg, merge_exits
from keepstep.errors import KeepstepError
from keepstep.evidence import PACKAGE
from keepstep.lockfile import project_evidence
from keepstep.tla.manifest import load_manifest
from keepstep.tla.sources import find_project

__all__ = ["LEGS", "command", "verify"]

LEGS = ("doctor", "check", "derive", "conform", "suite")
"""The commands that are a link of the chain; each module has a `run_leg`."""

SHOWN_REASONS = 3


def verify(project: Path | None, *, quiet: bool = False) -> list[Leg]:
    """Run every leg; one that cannot run does not keep the others from running.

    Args:
        project: As the option `--project`.
        quiet: Whether the legs show no progress.
    """
    legs: list[Leg] = []
    for name in LEGS:
        if not quiet:
            click.echo(f"{name} ...", err=True)
        legs.append(_run(name, project, quiet=quiet))
    legs.append(_evidence(project))
    return legs


def _run(name: str, project: Path | None, *, quiet: bool) -> Leg:
    began = time.monotonic()
    try:
        module = importlib.import_module(f"keepstep.cli.{name}")
        leg = module.run_leg(project, quiet=quiet)
    except KeepstepError as error:
        return Leg(name, "COULD NOT RUN", str(error), time.monotonic() - began, Exit.COULD_NOT_RUN)
    except Exception as error:  # noqa: BLE001 - the other legs are still worth running
        traceback.print_exc()
        detail = f"internal error: {type(error).__name__}: {error}"
        return Leg(name, "COULD NOT RUN", detail, time.monotonic() - began, Exit.COULD_NOT_RUN)
    if not isinstance(leg, Leg):
        detail = "internal error: it gave no result"
        return Leg(name, "COULD NOT RUN", detail, time.monotonic() - began, Exit.COULD_NOT_RUN)
    return leg


def _evidence(project: Path | None) -> Leg:
    """Whether the lock is about this specification, these models and these classes."""
    began = time.monotonic()
    try:
        place = find_project(project)
        # What the manifest's form forbids is told here; the lock is compared with the rest.
        load_manifest(place)
    except KeepstepError as error:
        return Leg("evidence", "COULD NOT RUN", str(error), 0.0, Exit.COULD_NOT_RUN)
    found = project_evidence(place.root, PACKAGE)
    seconds = time.monotonic() - began
    if found:
        detail = f"everything is as it was locked, the oldest verdict on {found.date}"
        return Leg("evidence", "fresh", detail, seconds, Exit.AS_EXPECTED)
    shown = "; ".join(found.reasons[:SHOWN_REASONS])
    more = len(found.reasons) - SHOWN_REASONS
    detail = f"{shown}; and {more} more" if more > 0 else shown
    return Leg("evidence", "STALE", detail, seconds, Exit.WEAKER)


@click.command(name="verify", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder with spec/ and models/. [default: the current one, else the shipped one]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.pass_context
def command(
    ctx: click.Context,
    project: Path | None,
    as_json: bool,  # noqa: FBT001 - click gives flags so
) -> None:
    """Run the whole chain: doctor, check, derive --check, conform, and the suite in short."""
    began = time.monotonic()
    legs = verify(project, quiet=as_json)
    code = merge_exits(leg.exit_code for leg in legs)
    seconds = time.monotonic() - began
    if as_json:
        rows = [asdict(leg) for leg in legs]
        click.echo(
            json.dumps({"exit_code": code, "seconds": round(seconds, 1), "legs": rows}, indent=1)
        )
    else:
        _show(legs, code, seconds)
    ctx.exit(code)


def _show(legs: list[Leg], code: int, seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=400)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("leg", "verdict"):
        table.add_column(head, no_wrap=True)
    table.add_column("detail", overflow="fold")
    table.add_column("seconds", justify="right")
    for leg in legs:
        style = {Exit.AS_EXPECTED: "", Exit.WEAKER: "yellow"}.get(Exit(leg.exit_code), "red")
        detail = leg.detail.replace("[", r"\[")
        table.add_row(leg.name, leg.verdict, detail, f"{leg.seconds:.1f}", style=style)
    console.print(table)
    ending = {
        Exit.AS_EXPECTED: "everything is as expected",
        Exit.DIFFERS: "something differs",
        Exit.COULD_NOT_RUN: "something could not run",
        Exit.WEAKER: "nothing differs, but something is weaker than wanted",
    }[Exit(code)]
    console.print(f"verify: {ending} ({seconds:.0f} s)")
