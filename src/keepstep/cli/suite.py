"""`keepstep suite`: contenders on a real ZooKeeper server, under faults of every kind."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keepstep.checkers.verdict import Exit, Leg

if TYPE_CHECKING:
    from keepstep.testing.election.coverage import Coverage
    from keepstep.testing.election.suite import CampaignResult

__all__ = ["command", "run_leg"]

DEFAULT_EXAMPLES = 100
SHORT_EXAMPLES = 15
LEG_SEED = 1


@click.command(name="suite", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    help=f"How many runs Hypothesis makes up. [default: {DEFAULT_EXAMPLES}]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Makes the same choices again. [default: another one each time]",
)
@click.option("--short", is_flag=True, help=f"As `verify` does it: {SHORT_EXAMPLES} made-up runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a run that broke a promise to this file.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a recording of each run to this directory, for `keepstep validate`.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Do the run in this file once more, and nothing else.",
)
@click.pass_context
def command(
    ctx: click.Context,
    examples: int | None,
    seed: int | None,
    short: bool,  # noqa: FBT001 - click gives flags so
    as_json: bool,  # noqa: FBT001
    save: Path | None,
    record: Path | None,
    replay: Path | None,
) -> None:
    """Elect leaders on a real ZooKeeper server and break whatever can break.

    First come runs that were thought out, then runs that Hypothesis makes up. After each step
    the promises are checked against the server's own sessions and transaction log. The exit
    code is 1 if a promise was broken, and 3 if the runs have not seen enough: each kind of
    fault has to hit a leader in office, and each transition of the class has to be taken.
    """
    if replay is not None:
        ctx.exit(_replay(replay, as_json=as_json))
    result = _run(
        examples=SHORT_EXAMPLES if short and examples is None else examples,
        seed=LEG_SEED if short and seed is None else seed,
        quiet=as_json,
        record=record,
    )
    if save is not None and result.failure is not None:
        from keepstep.testing.election.suite import SavedRun

        SavedRun(result.failure.steps, "", result.failure.promise).save(save)
    if as_json:
        click.echo(json.dumps(_as_json(result), indent=1))
    else:
        _show(result)
        if save is not None and result.failure is not None:
            click.echo(f"The run is in {save}; repeat it with `keepstep suite --replay {save}`.")
    ctx.exit(_exit_code(result))


def run_leg(project: Path | None, *, quiet: bool) -> Leg:
    """The suite in short, as one line of `keepstep verify`.

    Args:
        project: Of no matter: the shells use the shipped class.
        quiet: Whether to show no progress.

    Raises:
        KeepstepError: It could not run.
    """
    del project
    began = time.monotonic()
    result = _run(examples=SHORT_EXAMPLES, seed=LEG_SEED, quiet=quiet)
    code = _exit_code(result)
    verdict = {Exit.AS_EXPECTED: "passed", Exit.DIFFERS: "BROKEN", Exit.WEAKER: "INCONCLUSIVE"}
    if result.failure is not None:
        detail = f"{result.failure.story[-1].strip()} (see `keepstep suite --short`)"
    elif not result.conclusive:
        detail = "; ".join(result.coverage.gaps())
    else:
        detail = _summary(result.coverage)
    return Leg("suite", verdict[code], detail, time.monotonic() - began, code)


def _run(
    *, examples: int | None, seed: int | None, quiet: bool, record: Path | None = None
) -> CampaignResult:
    import secrets

    from keepstep.testing.election.suite import run_campaign

    chosen = secrets.randbelow(1 << 32) if seed is None else seed
    shown = sys.stderr.isatty() and not quiet
    if record is not None:
        record.mkdir(parents=True, exist_ok=True)

    def progress(doing: str, coverage: Coverage) -> None:
        if shown:
            click.echo(f"\r\033[Krun {coverage.examples}: {doing}", err=True, nl=False)

    try:
        return run_campaign(
            examples=DEFAULT_EXAMPLES if examples is None else examples,
            seed_number=chosen,
            progress=progress,
            record=record,
        )
    finally:
        if shown:
            click.echo("\r\033[K", err=True, nl=False)


def _exit_code(result: CampaignResult) -> Exit:
    if result.failure is not None:
        return Exit.DIFFERS
    return Exit.AS_EXPECTED if result.conclusive else Exit.WEAKER


def _summary(coverage: Coverage) -> str:
    return (
        f"{coverage.examples} runs, {coverage.steps} steps; {coverage.elections} elections,"
        f" {coverage.accepted} accepted writes; {len(coverage.transitions)} transitions,"
        f" {len(coverage.on_leader)} kinds of faults on leaders"
    )


def _show(result: CampaignResult) -> None:
    from keepstep.testing.election.coverage import FAULTS, UNREACHABLE

    coverage, failure = result.coverage, result.failure
    if failure is not None:
        click.echo("\n".join(failure.story))
        click.echo(f"\nBROKEN: {failure.promise}")
        click.echo(f"The run, found after {failure.found_after}, in {len(failure.steps)} steps:")
        for number, step in enumerate(failure.steps, 1):
            click.echo(f"  {number}. {step}")
        if not failure.reproducible:
            click.echo("Not every run of these steps broke it: it depends on who comes first.")
    hits = ", ".join(f"{kind} {coverage.on_leader[kind]}" for kind in FAULTS)
    click.echo(f"faults that hit a leader: {hits}")
    for taken, reason in UNREACHABLE.items():
        click.echo(f"never taken, and cannot be: {taken} ({reason})")
    if failure is None:
        for gap in coverage.gaps():
            click.echo(f"missing: {gap}")
    ending = "BROKEN" if failure else "passed" if result.conclusive else "INCONCLUSIVE"
    click.echo(f"{ending}: {_summary(coverage)}; seed {result.seed}, {result.seconds:.1f} s")


def _as_json(result: CampaignResult) -> dict[str, Any]:
    from keepstep.testing.election.coverage import UNREACHABLE

    coverage, failure = result.coverage, result.failure
    return {
        "exit_code": _exit_code(result),
        "seed": result.seed,
        "seconds": round(result.seconds, 1),
        "runs": coverage.examples,
        "steps": coverage.steps,
        "elections": coverage.elections,
        "accepted_writes": coverage.accepted,
        "faults": dict(coverage.faults),
        "faults_on_leader": dict(coverage.on_leader),
        "transitions": {str(taken): n for taken, n in sorted(coverage.transitions.items())},
        "unreachable": {str(taken): reason for taken, reason in UNREACHABLE.items()},
        "missing": [] if failure else list(coverage.gaps()),
        "broken": None
        if failure is None
        else {
            "promise": failure.promise,
            "found_after": failure.found_after,
            "reproducible": failure.reproducible,
            "steps": [step.to_json() for step in failure.steps],
            "story": list(failure.story),
        },
    }


def _replay(file: Path, *, as_json: bool) -> int:
    from keepstep.testing.election.suite import SavedRun, replay
    from keepstep.testing.election.world import Arena

    saved = SavedRun.load(file)
    with Arena() as arena:
        world = replay(saved.steps, arena)
    code = Exit.DIFFERS if world.broken else Exit.AS_EXPECTED
    if as_json:
        promise = world.broken.promise if world.broken else None
        told = {"exit_code": code, "broken": promise, "story": world.story}
        click.echo(json.dumps(told, indent=1))
    else:
        click.echo("\n".join(world.story))
        click.echo(f"BROKEN: {world.broken.promise}" if world.broken else "passed")
    return code
