"""`keepstep conform`: compare the shipped classes with the specification."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from keepstep.checkers.verdict import Exit, Leg
from keepstep.conformance.run import ConformReport, ModelResult, RoleResult, conform
from keepstep.tla.sources import find_project

__all__ = ["command", "run_leg"]


@click.command(name="conform", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--lane",
    type=click.Choice(["quick", "full"]),
    default="quick",
    show_default=True,
    help="Which models to compare; full includes quick.",
)
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder with spec/ and models/. [default: the current one, else the shipped one]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.pass_context
def command(
    ctx: click.Context,
    lane: str,
    project: Path | None,
    as_json: bool,  # noqa: FBT001 - click gives flags so
) -> None:
    """Compare the derived classes with TLC's graphs.

    The role table takes one step from every configuration under every input, the system
    graphs compare every reachable state and labelled edge, the roles played by the classes as
    they are shipped. Differences are told with the shortest path to them.
    """
    report = conform(find_project(project), lane, progress=_quiet if as_json else _tell)
    if as_json:
        click.echo(json.dumps(_as_json(report), indent=1))
    else:
        _show(report)
    ctx.exit(Exit.AS_EXPECTED if report.equal else Exit.DIFFERS)


def run_leg(project: Path | None, *, quiet: bool) -> Leg:
    """The quick lane as one line of `keepstep verify`.

    Raises:
        KeepstepError: It could not run.
    """
    began = time.monotonic()
    report = conform(find_project(project), progress=_quiet if quiet else _tell)
    ending = "equal" if report.equal else "DIFFERS"
    code = Exit.AS_EXPECTED if report.equal else Exit.DIFFERS
    return Leg("conform", ending, summary(report), time.monotonic() - began, int(code))


def summary(report: ConformReport) -> str:
    """What was compared, or the first thing that differs, in one line."""
    for role in report.roles:
        if not role.equal:
            return f"{role.name}: {next(iter(_role_problems(role))).splitlines()[0]}"
    for model in report.models:
        if not model.equal:
            return f"{model.name}: {next(iter(_model_problems(model))).splitlines()[-1].strip()}"
    for spec, names in report.never.items():
        if names:
            return f"{spec}: never taken: {', '.join(names)}"
    configurations = sum(role.table.configurations for role in report.roles)
    edges = sum(model.comparison.edges for model in report.models)
    executions = sum(model.executions for model in report.models) + sum(
        role.table.executions for role in report.roles
    )
    return (
        f"{configurations:,} configurations, {len(report.models)} graphs with {edges:,} edges, "
        f"{executions:,} steps of the classes"
    )


def _tell(text: str) -> None:
    click.echo(f"  {text} ...", err=True)


def _quiet(text: str) -> None:
    del text


def _role_problems(role: RoleResult) -> list[str]:
    found = [*role.oddities, *map(str, role.overlaps)]
    if role.table.difference is not None:
        found.append(f"role table: {role.table.difference}")
    return found


def _model_problems(model: ModelResult) -> list[str]:
    found = [f"{name} does not hold in every state" for name in model.comparison.violated]
    if model.problem:
        found.append(model.problem)
    if model.comparison.mismatch is not None:
        found.append(str(model.comparison.mismatch))
    return found


def _show(report: ConformReport) -> None:
    for role in report.roles:
        table = role.table
        click.echo(
            f"{role.name}: {'equal' if role.equal else 'DIFFERS'}; "
            f"{table.configurations:,} configurations, {table.accepted:,} steps accepted; "
            f"{table.executions:,} executions, {table.refusals:,} refused; {role.seconds:.1f} s"
        )
        for problem in _role_problems(role):
            click.echo(_indented(problem))
    for model in report.models:
        found = model.comparison
        click.echo(
            f"{model.name}: {'equal' if model.equal else 'DIFFERS'}; {found.states:,} states, "
            f"{found.edges:,} edges; {model.executions:,} new executions, "
            f"{model.refusals:,} refused; TLC {model.tlc_seconds:.1f} s, "
            f"comparison {found.seconds:.1f} s = {found.rate:,.0f} transitions/s"
        )
        for problem in _model_problems(model):
            click.echo(_indented(problem))
    if report.left_out:
        click.echo(f"not compared, because guards overlap: {', '.join(report.left_out)}")
    for spec, names in report.never.items():
        if names:
            click.echo(f"{spec}: no quick model ever takes {', '.join(names)}")
        else:
            click.echo(f"{spec}: every action is taken in some quick model")
    click.echo(
        f"{'equal' if report.equal else 'DIFFERENT'} after {report.seconds:.1f} s; "
        f"at most {report.memory_mb:,} MB in this process"
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _as_json(report: ConformReport) -> dict[str, Any]:
    return {
        "equal": report.equal,
        "seconds": round(report.seconds, 3),
        "memory_mb": report.memory_mb,
        "roles": [
            {
                "name": role.name,
                "equal": role.equal,
                "configurations": role.table.configurations,
                "accepted": role.table.accepted,
                "executions": role.table.executions,
                "refusals": role.table.refusals,
                "problems": _role_problems(role),
                "seconds": round(role.seconds, 3),
            }
            for role in report.roles
        ],
        "models": [
            {
                "name": model.name,
                "lane": model.lane,
                "equal": model.equal,
                "states": model.comparison.states,
                "edges": model.comparison.edges,
                "executions": model.executions,
                "refusals": model.refusals,
                "tlc_seconds": round(model.tlc_seconds, 3),
                "seconds": round(model.comparison.seconds, 3),
                "transitions_per_second": round(model.comparison.rate),
                "problems": _model_problems(model),
            }
            for model in report.models
        ],
        "left_out": list(report.left_out),
        "never": {spec: list(names) for spec, names in report.never.items()},
    }
