"""`keepstep campaign`: many elections on real servers under all faults, or walks on the fake."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keepstep.checkers.verdict import Exit

if TYPE_CHECKING:
    from keepstep.shell.contender_shell import ContenderShell
    from keepstep.testing.election.campaign import Campaign, CampaignState

__all__ = ["command", "shell_of"]

DEFAULT_SERVERS = 3
SERVERS_OF_THE_FAKE = 1
DEFAULT_SECONDS = 60.0
_SECONDS_BETWEEN_LINES = 60.0
"""How often a campaign that is not on a terminal says where it stands."""


@click.command(name="campaign", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--servers",
    type=click.IntRange(1, 5),
    help="Size of the ensemble: 1, 3 or 5. "
    f"[default: {DEFAULT_SERVERS}, and {SERVERS_OF_THE_FAKE} on the fake]",
)
@click.option(
    "--on-fake",
    is_flag=True,
    help="Walk step by step on the fake in memory: no servers, no Java but to read the "
    "specification, hundreds of steps a second.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help=f"How long it runs, with what was done before --resume. [default: {DEFAULT_SECONDS:g}]",
)
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    help="End after so many examples, even if there is time for more.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Draws the same runs again. [default: another one each time]",
)
@click.option(
    "--faults",
    metavar="NAMES",
    help="Fault packages, with commas between; `all`, or `none`. [default: all]",
)
@click.option(
    "--choice",
    type=click.Choice(["guided", "weighted", "uniform"]),
    help="How drawn runs are chosen: by what was not seen yet, by fixed weights, or all alike. "
    "[default: guided]",
)
@click.option(
    "--namespaces",
    is_flag=True,
    help="Give each server a network of its own, so that the kernel separates them; start it as "
    "`unshare -Urn keepstep campaign --namespaces`.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Save each run that breaks a promise in this directory, for `keepstep replay`.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a recording of each run to this directory, for `keepstep validate`.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the state in this file, so that --resume can go on from it.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Go on with the campaign in this file, and keep its state there.",
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Add the edges of the specification that the servers have shown to this ledger.",
)
@click.option(
    "--shell",
    metavar="MODULE:CLASS",
    help="The contenders' shell under test. [default: the shipped one]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.pass_context
def command(
    ctx: click.Context,
    servers: int | None,
    on_fake: bool,  # noqa: FBT001
    seconds: float | None,
    examples: int | None,
    seed: int | None,
    faults: str | None,
    choice: str | None,
    namespaces: bool,  # noqa: FBT001
    out: Path | None,
    record: Path | None,
    state: Path | None,
    resume: Path | None,
    ledger: Path | None,
    shell: str | None,
    as_json: bool,  # noqa: FBT001 - click gives flags so
) -> None:
    """Elect leaders on an ensemble of real servers for long, and break whatever can break.

    First come runs that were thought out, then each fault package against a leader in office,
    then runs that are drawn towards what was not seen yet. The promises are checked after each
    step against what a majority of the servers has logged. Ctrl-C ends it in good order and shows
    what is known.

    The exit code is 1 if a promise was broken, and 3 if the campaign has not seen enough: each
    fault has to hit a leader and to be shown by the servers, each transition of the class has to
    be taken, memory has to stay flat, and no process may be left.

    With --on-fake nothing happens but one chosen thing after the other: a message arrives, a
    server answers, a client connects, something is delivered to a contender, a deadline passes, a
    fault strikes. A walk has two contenders and two faults at most, and is led to what was not
    seen yet. The promises are checked after each step, and each walk is compared with the
    specification.
    """
    given = {servers, examples, seed, faults, choice, state, namespaces or None, on_fake or None}
    if resume is not None and given != {None}:
        raise click.UsageError(
            "--resume goes with --seconds, --out, --record, --ledger and --shell only"
        )
    if on_fake and (state is not None or namespaces or faults is not None):
        raise click.UsageError(
            "--on-fake goes without --state, --faults and --namespaces: walks have faults of their "
            "own, and the same seed repeats them"
        )
    from keepstep.testing.election.campaign import Campaign, CampaignState, Plan

    options: dict[str, Any] = {
        "shell_class": shell_of(shell),
        "out": _directory("--out", out),
        "records": _directory("--record", record),
        "state_file": resume or state,
        "ledger": ledger,
        "progress": _progress(quiet=as_json),
    }
    if resume is not None:
        found = CampaignState.load(resume)
        campaign = Campaign(found.extended(seconds), **options)
    else:
        import secrets

        plan = Plan(
            servers=servers or (SERVERS_OF_THE_FAKE if on_fake else DEFAULT_SERVERS),
            seconds=seconds or DEFAULT_SECONDS,
            seed=secrets.randbelow(1 << 32) if seed is None else seed,
            faults=() if on_fake else _faults(faults),
            examples=examples,
            choice=choice or "guided",
            namespaces=namespaces,
        )
        campaign = (_walks() if on_fake else Campaign).begin(plan, **options)
    try:
        result = campaign.run()
    finally:
        if _shown(quiet=as_json):
            click.echo("\r\033[K", err=True, nl=False)
    if as_json:
        click.echo(json.dumps(_as_json(result), indent=1))
    else:
        _show(result, resume or state)
    if result.unwritten:
        click.echo(f"keepstep: the campaign has ended early: {result.unwritten}", err=True)
    ctx.exit(_exit_code(result))


def shell_of(name: str | None) -> type[ContenderShell]:
    """The class that `--shell` names.

    Raises:
        LocalViolation: There is no such class, or it is no shell.
    """
    import importlib

    from keepstep.errors import LocalViolation
    from keepstep.shell.contender_shell import ContenderShell

    if name is None:
        return ContenderShell
    module, _, words = name.partition(":")
    try:
        found: object = importlib.import_module(module)
        for word in words.split("."):
            found = getattr(found, word)
    except (ImportError, AttributeError, ValueError) as error:
        raise LocalViolation(f"--shell {name}: there is no such class: {error}") from error
    if not isinstance(found, type) or not issubclass(found, ContenderShell):
        raise LocalViolation(f"--shell {name}: this is no subclass of ContenderShell")
    return found


def _walks() -> type[Campaign]:
    from keepstep.testing.election.walk_campaign import WalkCampaign

    return WalkCampaign


def _directory(option: str, folder: Path | None) -> Path | None:
    from keepstep.errors import LocalViolation

    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalViolation(f"{option} {folder}: {error.strerror}") from error
    return folder


def _faults(names: str | None) -> tuple[str, ...]:
    from keepstep.testing.election.campaign import all_faults

    if names in {None, "all"}:
        return all_faults()
    if names == "none":
        return ()
    chosen = [name.strip() for name in (names or "").split(",")]
    if not any(chosen):
        raise click.UsageError("--faults names no fault package; write `--faults none` for none")
    return tuple(dict.fromkeys(name for name in chosen if name))


def _shown(*, quiet: bool) -> bool:
    return sys.stderr.isatty() and not quiet


def _progress(*, quiet: bool) -> Any:
    """Shows where a campaign stands: at each example, or now and then where nobody watches."""
    told = 0.0

    def show(name: str, state: CampaignState) -> None:
        nonlocal told
        coverage = state.coverage
        memory = f", {state.memory[-1][1] / 1e6:.0f} MB" if state.memory else ""
        line = (
            f"{state.seconds:.0f}/{state.plan.seconds:.0f} s, example {state.following}, "
            f"{coverage.steps} steps, {sum(coverage.faults.values())} faults of "
            f"{len(coverage.faults)} kinds, {len(state.edges)} edges, "
            f"{len(state.failures)} broken{memory}: {name}"
        )
        if _shown(quiet=quiet):
            click.echo(f"\r\033[K{line}"[:200], err=True, nl=False)
        elif not quiet and state.seconds - told >= _SECONDS_BETWEEN_LINES:
            told = state.seconds
            click.echo(line, err=True)

    return show


def _exit_code(state: CampaignState) -> Exit:
    if state.failures:
        return Exit.DIFFERS
    if state.unwritten:
        return Exit.COULD_NOT_RUN
    return Exit.AS_EXPECTED if state.conclusive else Exit.WEAKER


def _verdict(state: CampaignState) -> str:
    words = {
        Exit.AS_EXPECTED: "passed",
        Exit.DIFFERS: "BROKEN",
        Exit.WEAKER: "INCONCLUSIVE",
        Exit.COULD_NOT_RUN: "NOT KEPT",
    }
    return words[_exit_code(state)]


def _told_apart(state: CampaignState) -> int | None:
    """How many situations walks have told apart; None where servers were tested."""
    found: int | None = getattr(state, "told_apart", None)
    return found


def _memory(state: CampaignState) -> str:
    from keepstep.testing.election.campaign import MOST_GROWTH

    walked = _told_apart(state)
    if walked is not None:
        return f"walked on the fake, and told {walked} situations apart"
    growth = state.growth()
    if growth is None:
        return "memory not measured: too few examples"
    begin, end = (size / 1e6 for size in growth)
    return (
        f"memory {begin:.1f} MB -> {end:.1f} MB in the second half "
        f"({end - begin:+.1f}, at most {MOST_GROWTH / 1e6:+.1f})"
    )


def _show(state: CampaignState, file: Path | None) -> None:
    from keepstep.testing.election.campaign import unreachable

    coverage = state.coverage
    for failed in state.failures:
        click.echo("\n".join(failed.story))
        where = f"; repeat it with `keepstep replay {failed.file}`" if failed.file else ""
        click.echo(f"BROKEN: {failed.promise}, in {failed.example}{where}\n")
    width = max(map(len, coverage.wanted), default=5)
    click.echo(f"{'fault':{width}}  done  on a leader  shown by servers")
    for kind in coverage.wanted:
        proved = f"{coverage.proved[kind]}" if kind in coverage.to_prove else "-"
        done, on_leader = coverage.faults[kind], coverage.on_leader[kind]
        click.echo(f"{kind:{width}}  {done:4}  {on_leader:11}  {proved:>16}")
    for package, reason in state.not_run.items():
        click.echo(f"{package}: NOT RUN ({reason})")
    for kind, times in sorted(coverage.not_done.items()):
        click.echo(f"not done (nothing to hit, or no answer): {kind}, {times} times")
    for taken, reason in unreachable().items():
        click.echo(f"never taken, and cannot be: {taken} ({reason})")
    for goal in state.goals:
        reached, asked = state.goals.reached[goal.name], state.goals.asked[goal.name]
        click.echo(f"seen: {goal.name}, in {reached} of {asked} examples")
    for gap in state.gaps():
        click.echo(f"missing: {gap}")
    click.echo(_memory(state))
    _show_compared(state)
    left = f"{len(state.left)} processes left" if state.left else "no process left"
    click.echo(
        f"{_verdict(state)}: {coverage.examples} examples, {coverage.steps} steps, "
        f"{coverage.elections} elections, {coverage.accepted} accepted writes; "
        f"{len(coverage.transitions)} transitions; {left}; "
        f"{state.plan.servers} servers, seed {state.plan.seed}, {state.seconds:.0f} s"
    )
    if file is not None and state.seconds < state.plan.seconds:
        click.echo(f"Go on with `keepstep campaign --resume {file}`.")


def _show_compared(state: CampaignState) -> None:
    verdicts = ", ".join(f"{times} {verdict}" for verdict, times in state.validated.items())
    click.echo(
        f"recorded runs compared with the specification: {verdicts or 'none'}; "
        f"{state.compared.records} records, "
        f"{len(state.edges)} edges of the specification for certain; "
        f"{len(state.experience.under)} pairs of a fault and an edge seen under it"
    )
    if state.compared.seconds:
        click.echo(
            f"  {state.compared.steps / state.compared.seconds:.0f} steps of contenders a second; "
            f"{state.compared.mean:.1f} candidates after a step, {state.compared.largest} at most"
        )


def _as_json(state: CampaignState) -> dict[str, Any]:
    from dataclasses import asdict

    from keepstep.testing.election.campaign import MOST_GROWTH, unreachable

    coverage, growth = state.coverage, state.growth()
    return {
        "exit_code": _exit_code(state),
        "verdict": _verdict(state),
        "plan": asdict(state.plan),
        "seconds": round(state.seconds, 1),
        "interrupted": state.interrupted,
        "unwritten": state.unwritten,
        "examples": coverage.examples,
        "steps": coverage.steps,
        "elections": coverage.elections,
        "accepted_writes": coverage.accepted,
        "faults": dict(coverage.faults),
        "faults_on_leader": dict(coverage.on_leader),
        "faults_shown": dict(coverage.proved),
        "faults_not_done": dict(coverage.not_done),
        "faults_not_run": state.not_run,
        "transitions": {str(taken): n for taken, n in sorted(coverage.transitions.items())},
        "unreachable": dict(unreachable()),
        "sometimes": state.goals.to_json(),
        "validated": dict(state.validated),
        "records": state.compared.records,
        "compared": {
            "steps": state.compared.steps,
            "events": state.compared.events,
            "seconds": round(state.compared.seconds, 4),
            "candidates": {
                "mean": round(state.compared.mean, 2),
                "largest": state.compared.largest,
            },
        },
        "edges_under_faults": len(state.experience.under),
        "edges": [[edge.label, edge.mode, n] for edge, n in sorted(state.edges.items(), key=str)],
        "memory": None
        if growth is None
        else {"begin": growth[0], "end": growth[1], "most_growth": MOST_GROWTH},
        "on_fake": _told_apart(state) is not None,
        "left": state.left,
        "missing": list(state.gaps()),
        "failures": [asdict(failed) for failed in state.failures],
    }
