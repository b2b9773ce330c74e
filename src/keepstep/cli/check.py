"""`keepstep check`: run the models of the manifest and compare their verdicts."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keepstep.checkers.run import (
    Observer,
    Report,
    Result,
    Source,
    choose_models,
    lock_report,
    run_models,
)
from keepstep.checkers.verdict import Exit, Leg
from keepstep.tla.manifest import Model, load_manifest
from keepstep.tla.sources import Project, find_project

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

__all__ = ["command", "run_leg"]

ENDINGS = {
    Exit.AS_EXPECTED: "as expected",
    Exit.DIFFERS: "DIFFERS",
    Exit.COULD_NOT_RUN: "COULD NOT RUN",
    Exit.WEAKER: "WEAKER",
}


@click.command(name="check", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[NAMES]...")
@click.option(
    "--lane",
    type=click.Choice(["quick", "full"]),
    default="quick",
    show_default=True,
    help="Which models to check where none is named; full includes quick.",
)
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder with spec/ and models/. [default: the current one, else the shipped one]",
)
@click.option("--jobs", type=click.IntRange(min=1), help="How many cores to use. [default: all]")
@click.option("--rerun", is_flag=True, help="Run again what is cached.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--list", "only_list", is_flag=True, help="List the models and run none.")
@click.option("--lock", is_flag=True, help="Write the verdicts that are as expected to the lock.")
@click.option("--explain", is_flag=True, help="Show every counterexample, also the expected ones.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write each counterexample as a self-contained page into this folder.",
)
@click.option(
    "--mermaid",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write each counterexample as a Mermaid sequence diagram into this folder.",
)
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    lane: str,
    project: Path | None,
    jobs: int | None,
    rerun: bool,  # noqa: FBT001 - click gives flags so
    as_json: bool,  # noqa: FBT001 - click gives flags so
    only_list: bool,  # noqa: FBT001 - click gives flags so
    lock: bool,  # noqa: FBT001 - click gives flags so
    explain: bool,  # noqa: FBT001 - click gives flags so
    html: Path | None,
    mermaid: Path | None,
) -> None:
    """Run the models of models/manifest.toml with TLC and Apalache.

    NAMES are models, and may have `*` and `?`. Without them the models of the lane are checked.
    """
    place = find_project(project)
    manifest = load_manifest(place)
    models = manifest.pick(list(names), lane) if only_list else choose_models(manifest, names, lane)
    if only_list:
        _list(place, models, as_json=as_json)
        return
    observer = Observer() if as_json else _observer()
    with observer if isinstance(observer, _Shown) else _Quiet():
        report = run_models(place, manifest, models, jobs=jobs, rerun=rerun, observer=observer)
    locked = lock_report(place, manifest, report) if lock else None
    if as_json:
        click.echo(json.dumps(_as_json(place, report), indent=1))
    else:
        _show(place, report, explain=explain)
        if locked is not None:
            _tell_locked(place, *locked)
    if html is not None or mermaid is not None:
        _write_pictures(place, report, html, mermaid)
    ctx.exit(report.exit_code)


def run_leg(project: Path | None, *, quiet: bool) -> Leg:
    """The quick lane as one line of `keepstep verify`.

    Raises:
        KeepstepError: It could not run.
    """
    began = time.monotonic()
    place = find_project(project)
    manifest = load_manifest(place)
    models = choose_models(manifest, [], "quick")
    observer = Observer() if quiet else _observer()
    with observer if isinstance(observer, _Shown) else _Quiet():
        report = run_models(place, manifest, models, observer=observer)
    bad = [result for result in report.results if result.judgement.exit != Exit.AS_EXPECTED]
    if report.lock_problem:
        detail = report.lock_problem
    elif report.contradictions:
        detail = f"contradiction: {report.contradictions[0]}"
    elif bad:
        shown = "; ".join(f"{one.model.name}: {one.judgement.text}" for one in bad[:3])
        detail = f"{len(bad)} of {len(models)} models: {shown}"
    else:
        detail = _summary(report)
    ending = ENDINGS[Exit(report.exit_code)]
    return Leg("check", ending, detail, time.monotonic() - began, report.exit_code)


def _summary(report: Report) -> str:
    count = len(report.results)
    parts = [f"{count} models"]
    for source, text in (
        (Source.CACHED, "cached"),
        (Source.LOCKED, "not re-run here (locked)"),
    ):
        number = sum(result.source is source for result in report.results)
        if number:
            parts.append(f"{number} {text}")
    must_fail = sum(result.model.expected == "VIOLATED" for result in report.results)
    if must_fail:
        parts.append(f"{must_fail} that must fail do")
    return "; ".join([", ".join(parts), *report.other_tools])


# --- Progress ---------------------------------------------------------------------------


class _Quiet:
    def __enter__(self) -> None:
        """Nothing is shown."""

    def __exit__(self, *_: object) -> None:
        """Nothing was shown."""


class _Shown(Observer, _Quiet):
    """An observer that shows something as long as its context lasts."""


def _observer() -> _Shown:
    return _OnTerminal() if sys.stderr.isatty() else _InLines()


class _InLines(_Shown):
    """One line on standard error for each model that is run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def _say(self, text: str) -> None:
        with self._lock:
            click.echo(text, err=True)

    def started(self, model: Model, why: str) -> None:
        self._say(f"run   {model.name} ({model.checker}): {why}")

    def ended(self, result: Result) -> None:
        if result.source is Source.RAN or result.error is not None:
            said = str(result.verdict) if result.error is None else "could not run"
            seconds = result.outcome.seconds if result.outcome else 0.0
            self._say(f"ended {result.model.name}: {said}, {seconds:.1f} s")

    def warned(self, text: str) -> None:
        self._say(f"warning: {text}")


class _OnTerminal(_Shown):
    """The models under way, each on a line that is renewed in place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, tuple[float, str]] = {}
        self._live: Live | None = None
        self._done = 0

    def __enter__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True), transient=True, get_renderable=self._renderable
        )
        self._live.start()

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _renderable(self) -> Any:
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        with self._lock:
            for name, (began, text) in self._running.items():
                table.add_row(name, f"{now - began:.0f} s", text)
            table.add_row("", "", f"{self._done} done" if self._done else "")
        return table

    def started(self, model: Model, why: str) -> None:
        with self._lock:
            self._running[model.name] = (time.monotonic(), why)

    def progressed(self, model: Model, text: str) -> None:
        with self._lock:
            began, _ = self._running.get(model.name, (time.monotonic(), ""))
            self._running[model.name] = (began, text)

    def ended(self, result: Result) -> None:
        with self._lock:
            self._running.pop(result.model.name, None)
            self._done += 1

    def warned(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(f"warning: {text}", highlight=False)


# --- What is shown at the end -----------------------------------------------------------


def _list(place: Project, models: list[Model], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "name": model.name,
                "checker": model.checker,
                "mode": model.mode,
                "lane": model.lane,
                "expected": _expected(model),
                "bug": model.bug,
                "why": model.why,
            }
            for model in models
        ]
        click.echo(json.dumps({"project": str(place.root), "models": rows}, indent=1))
        return
    wide = max(len(model.name) for model in models)
    for model in models:
        kind = f"{model.checker} {model.mode}"
        click.echo(f"{model.name:{wide}}  {model.lane:5}  {kind:19}  {_expected(model)}")


def _expected(model: Model) -> str:
    if model.expected == "VIOLATED":
        return f"VIOLATED ({model.violated})"
    if model.bounded_expected:
        return f"HOLDS up to {model.length}"
    return model.expected


def _how(result: Result) -> str:
    if result.source is Source.LOCKED:
        return result.why
    if result.source is Source.CACHED:
        return f"cached {result.date}"
    return str(result.source.value)


def _show(place: Project, report: Report, *, explain: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        # Lines in a file or a pipe must not be cut at the width of a terminal that is not there.
        console = Console(highlight=False, width=400)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("model", "checker", "expected", "verdict"):
        table.add_column(head, no_wrap=True)
    table.add_column("states", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("how")
    table.add_column("")
    for result in report.results:
        outcome = result.outcome
        ending = result.judgement
        text = "" if ending.exit == Exit.AS_EXPECTED else f"{ENDINGS[ending.exit]}: {ending.text}"
        states = outcome.distinct_states if outcome else None
        table.add_row(
            result.model.name,
            result.model.checker,
            _expected(result.model),
            str(result.verdict),
            f"{states:,}" if states is not None else "",
            f"{outcome.seconds:.1f}" if outcome else "",
            _how(result),
            text.replace("[", r"\["),
            style=_style(result),
        )
    console.print(table)
    _show_traces(console, place, report, explain=explain)
    for contradiction in report.contradictions:
        console.print(f"CONTRADICTION: {contradiction}", style="bold red", markup=False)
    if report.lock_problem:
        console.print(f"ALTERED: {report.lock_problem}", style="bold red", markup=False)
    for text in report.other_tools:
        console.print(f"note: {text}", markup=False)
    console.print(_closing(report), markup=False)


def _style(result: Result) -> str:
    match result.judgement.exit:
        case Exit.AS_EXPECTED:
            return ""
        case Exit.WEAKER:
            return "yellow"
        case _:
            return "red"


def _closing(report: Report) -> str:
    cached = sum(result.source is Source.CACHED for result in report.results)
    bad = sum(result.judgement.exit != Exit.AS_EXPECTED for result in report.results)
    ending = ENDINGS[Exit(report.exit_code)]
    told = f"{len(report.results)} models, {cached} cached, {report.seconds:.1f} s: {ending}"
    return f"{told} ({bad} not as expected)" if bad else told


def _show_traces(console: Console, place: Project, report: Report, *, explain: bool) -> None:
    chosen = [
        result
        for result in report.results
        if result.outcome
        and result.outcome.trace
        and (explain or result.judgement.exit == Exit.DIFFERS)
    ]
    if not chosen:
        return
    from keepstep.checkers.counterexample import Counterexample

    for result in chosen:
        console.print()
        console.print(Counterexample.of(place, result).as_text(), markup=False, soft_wrap=True)


def _write_pictures(
    place: Project, report: Report, html: Path | None, mermaid: Path | None
) -> None:
    from keepstep.checkers.counterexample import Counterexample

    for result in report.results:
        if not result.outcome or not result.outcome.trace:
            continue
        picture = Counterexample.of(place, result)
        for folder, name, text in (
            (html, f"{result.model.name}.html", picture.as_html),
            (mermaid, f"{result.model.name}.mmd", picture.as_mermaid),
        ):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text(), encoding="utf-8")
                click.echo(f"wrote {folder / name}", err=True)


def _tell_locked(place: Project, changed: list[str], left: list[str]) -> None:
    name = place.relative(place.lock)
    click.echo(f"{name}: {len(changed)} changed" + (f" ({', '.join(changed)})" if changed else ""))
    if left:
        click.echo(f"{name}: left as they were, for want of an expected verdict: {', '.join(left)}")


def _as_json(place: Project, report: Report) -> dict[str, Any]:
    return {
        "project": str(place.root),
        "exit_code": report.exit_code,
        "seconds": round(report.seconds, 2),
        "contradictions": [str(one) for one in report.contradictions],
        "lock_problem": report.lock_problem,
        "other_tools": list(report.other_tools),
        "models": [
            {
                "name": result.model.name,
                "checker": result.model.checker,
                "mode": result.model.mode,
                "expected": _expected(result.model),
                "verdict": result.verdict.to_json(),
                "as_expected": result.judgement.exit == Exit.AS_EXPECTED,
                "exit_code": int(result.judgement.exit),
                "text": result.judgement.text,
                "source": result.source.value,
                "date": result.date,
                "why": result.why,
                "outcome": result.outcome.to_json() if result.outcome else None,
            }
            for result in report.results
        ],
    }
