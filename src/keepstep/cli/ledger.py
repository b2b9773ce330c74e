"""`keepstep ledger`: which edges of the specification have real servers shown?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepstep.checkers.verdict import Exit

if TYPE_CHECKING:
    from keepstep.exploration.ledger import Entry, Ledger, Witness
    from keepstep.testing.election.sights import Sight
    from keepstep.tla.sources import Project

__all__ = ["command"]

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(name="ledger", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--file", type=_FILE, help="The ledger. [default: the one in the user's cache]")
@click.option("--missing", is_flag=True, help="List only edges that can be seen and were not.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--mermaid",
    type=_FILE,
    help="Write the machine as a state diagram in Mermaid to this file.",
)
@click.option("--html", type=_FILE, help="Write a page with the table to this file.")
@click.option(
    "--merge",
    type=_FILE,
    multiple=True,
    help="Add the runs of this ledger; may be given again. A run counts once.",
)
@click.option(
    "--add",
    type=_FILE,
    multiple=True,
    help="Validate the recordings in this file and add those that are valid; may be given again.",
)
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder with the specification. [default: the current one, else the shipped one]",
)
@click.pass_context
def command(
    ctx: click.Context,
    file: Path | None,
    missing: bool,  # noqa: FBT001 - click gives flags so
    as_json: bool,  # noqa: FBT001
    mermaid: Path | None,
    html: Path | None,
    merge: tuple[Path, ...],
    add: tuple[Path, ...],
    project: Path | None,
) -> None:
    """Show which edges of the specification real servers have shown.

    An edge is an action of the contender and the mode that it was in. The ledger says how often
    each was taken, in how many runs, beside which faults and on which servers. The exit code is
    3 if an edge that can be seen never was, and 1 if a recording to be added diverges.
    """
    from keepstep.exploration.ledger import Ledger, default_ledger, modules_of, update
    from keepstep.testing.election import sights
    from keepstep.tla.sources import find_project

    where, place = find_project(project), file or default_ledger()
    spec = modules_of(where)
    others = [_existing(other, spec) for other in merge]
    if file is not None and not (merge or add):
        _existing(file, spec)
    witnesses, diverging = _validated(add, where)
    if others or witnesses:
        with update(place, spec) as ledger:
            new = sum(ledger.merge(other) for other in others)
            new += sum(ledger.add(witness) for witness in witnesses)
        click.echo(f"{place}: {new} new runs", err=True)
    ledger = Ledger.read(place, spec)
    if not place.is_file():
        click.echo(f"nothing was kept yet in {place}: a suite or a campaign does that", err=True)
    rows = sights.sights(ledger)
    environment = sights.environment_sights(ledger, sights.environment_actions(where))
    if mermaid is not None:
        _write(mermaid, sights.mermaid(rows))
    if html is not None:
        _write(html, sights.page(rows, environment, _about(ledger, rows)))
    if as_json:
        told = {"runs": len(ledger.runs), "runs_of_other_versions": ledger.elsewhere}
        click.echo(json.dumps({**told, **sights.as_json(rows, environment)}, indent=1))
    else:
        _show(ledger, rows, environment, only_missing=missing)
    code = Exit.WEAKER if any(row.missing for row in rows) else Exit.AS_EXPECTED
    ctx.exit(Exit.DIFFERS if diverging else code)


def _existing(path: Path, spec: dict[str, str]) -> Ledger:
    """A ledger that has to be there.

    Raises:
        LocalViolation: It is not, or is something else.
    """
    from keepstep.errors import LocalViolation
    from keepstep.exploration.ledger import Ledger

    if not path.is_file():
        raise LocalViolation(f"there is no ledger {path}")
    return Ledger.read(path, spec)


def _validated(files: tuple[Path, ...], project: Project) -> tuple[list[Witness], bool]:
    """What the valid ones of recordings have seen, and whether one diverges."""
    if not files:
        return [], False
    from keepstep.exploration.ledger import witness_of
    from keepstep.validation.recording import read_recordings
    from keepstep.validation.validator import Verdict, load_validator

    validator = load_validator(project)
    found, diverging = [], False
    for file in files:
        recordings = read_recordings(file)
        if not recordings:
            click.echo(f"not added: {file} holds no recording", err=True)
        for recording in recordings:
            validation = validator.validate(recording)
            if validation.verdict is Verdict.VALID:
                found.append(witness_of(validation))
            else:
                diverging = diverging or validation.verdict is Verdict.DIVERGES
                click.echo(f"not added: {validation}", err=True)
    return found, diverging


def _write(path: Path, text: str) -> None:
    from keepstep.errors import LocalViolation

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LocalViolation(f"cannot write {path}: {error.strerror}") from None


def _about(ledger: Ledger, rows: list[Sight]) -> str:
    possible = [row for row in rows if not row.reason]
    seen = sum(row.entry is not None for row in possible)
    examples = sum(run.examples for run in ledger.runs.values())
    text = (
        f"{seen} of {len(possible)} edges of the contender seen, "
        f"in {examples} examples of {len(ledger.runs)} runs"
    )
    if ledger.elsewhere:
        text += f"; {ledger.elsewhere} runs on other versions of the specification count nothing"
    return text


def _show(
    ledger: Ledger,
    rows: list[Sight],
    environment: dict[str, Entry | None],
    *,
    only_missing: bool,
) -> None:
    for row in rows:
        if row.missing:
            click.echo(f"{row!s:28} never seen")
        elif row.entry is None and not only_missing:
            click.echo(f"{row!s:28} cannot be seen: {row.reason}")
        elif row.entry is not None and not only_missing:
            # What it was seen under says more than what happened in the same example.
            word, kinds = "under", row.entry.under
            if not kinds:
                word, kinds = "beside", row.entry.faults
            faults = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common(3))
            beside = f"; {word} {faults}" if faults else ""
            where = f"{row.entry.examples} examples of {row.entry.runs} runs"
            click.echo(f"{row!s:28} {row.entry.times:>6} times, in {where}{beside}")
    if not only_missing:
        seen = [f"{name} {entry.times}" for name, entry in environment.items() if entry]
        click.echo(f"environment, seen by itself: {', '.join(seen) or 'nothing'}")
    click.echo(_about(ledger, rows))
