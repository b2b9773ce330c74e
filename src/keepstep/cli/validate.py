"""`keepstep validate`: is a recorded run a behaviour of the specification?"""

from __future__ import annotations

import json
import sys
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from keepstep.checkers.verdict import Exit
from keepstep.cli.confirmation import Confirming
from keepstep.errors import LocalViolation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keepstep.cli.confirmation import Confirmed
    from keepstep.tla.sources import Project
    from keepstep.validation.recording import Recording, RunHeader
    from keepstep.validation.validator import Validation, Validator

__all__ = ["command"]


@click.command(name="validate", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--prefix",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the shortest beginning of the first recording that diverges to this file.",
)
@click.option(
    "--itf",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a behaviour that the recording can have been to this file, as a trace in ITF.",
)
@click.option(
    "--confirm",
    type=click.IntRange(min=1),
    metavar="N",
    help="Have TLC, and Apalache where it is, take N steps of such a behaviour, chosen by lot.",
)
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder with the specification. [default: the current one if it is a project]",
)
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[Path, ...],
    as_json: bool,  # noqa: FBT001 - click gives flags so
    prefix: Path | None,
    itf: Path | None,
    confirm: int | None,
    project: Path | None,
) -> None:
    """Compare recorded runs with the specification.

    The exit code is 0 if every recording is a behaviour of the specification, 1 if one is not,
    2 if a file is no recording, or of another version, and 3 if one fits and proves too little:
    it is empty, cut off or short, or nobody ever led. A file that ends with `.itf.json` is a trace
    of states, which is taken for what a recorder would have seen of it.

    A run of a protocol of your own is compared with your project's specification.
    """
    from keepstep.tla.sources import find_project

    with _Work(find_project(project), itf, confirm, quiet=as_json) as work:
        for file in files:
            work.validate(file)
    if itf is not None and not work.itf_written and len(work.validations) != 1:
        raise LocalViolation("--itf writes one behaviour: give one file with one recording")
    bad = next((v for v in work.validations if v.shortest_prefix is not None), None)
    if prefix is not None and bad is not None and bad.shortest_prefix is not None:
        from keepstep.validation.recording import write_recordings

        write_recordings(prefix, [bad.shortest_prefix])
    code = work.exit_code()
    if as_json:
        click.echo(json.dumps(work.as_json(code), indent=1))
    else:
        if prefix is not None and bad is not None:
            click.echo(f"The shortest prefix that fails is in {prefix}.")
        click.echo(work.summary())
    ctx.exit(code)


class _Work:
    """What is done with each file, and what came of it."""

    def __init__(
        self,
        project: Project,
        itf: Path | None,
        confirm: int | None,
        *,
        quiet: bool,
    ) -> None:
        self.project = project
        self.itf, self.quiet = itf, quiet
        self.confirming = None if confirm is None else Confirming(project, confirm, self._progress)
        self.itf_written = False
        self.validations: list[Validation] = []
        self.unreadable: dict[str, str] = {}
        self.empty: list[str] = []
        self.confirmations: dict[int, Confirmed] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.confirming is not None:
            self.confirming.close()

    @cached_property
    def validator(self) -> Validator:
        """Of elections."""
        from keepstep.validation.recording import COMPOSITION
        from keepstep.validation.validator import load_validator

        if not (self.project.root / COMPOSITION).is_file():
            raise LocalViolation(
                f"it is a recording of an election, and the project in {self.project.root} has"
                " none; give another with --project"
            )
        return load_validator(self.project)

    def validate(self, file: Path) -> None:
        """Validate every recording of a file; what is wrong with the file is kept for the end."""
        try:
            before = len(self.validations)
            for recording in self._recordings(file):
                self._take(recording)
            if len(self.validations) == before:
                self.empty.append(str(file))
                self._say(f"{file}: under-covered: the recording is empty")
        except LocalViolation as error:
            self.unreadable[str(file)] = str(error)
            click.echo(f"error: {error}", err=True)

    def _recordings(self, file: Path) -> Iterator[Recording]:
        from keepstep.validation.recording import decode

        if file.name.endswith(".itf.json"):
            yield self._recording_of_trace(file)
            return
        try:
            with file.open("rb") as lines:
                yield from decode(lines, str(file))
        except OSError as error:
            raise LocalViolation(f"cannot read {file}: {error.strerror}") from None

    def _recording_of_trace(self, file: Path) -> Recording:
        from keepstep.errors import InvalidModel
        from keepstep.tla.itf import read_itf
        from keepstep.validation.itf_recording import recording_of

        try:
            states = read_itf(file)
        except InvalidModel as error:
            raise LocalViolation(str(error)) from None
        except RecursionError:
            raise LocalViolation(f"{file}: its values are nested too deeply") from None
        return recording_of(self.validator.spec, self.validator.digests, states, str(file))

    def _take(self, recording: Recording) -> None:
        from keepstep.validation.recording import RunHeader
        from keepstep.validation.validator import Verdict

        if isinstance(recording.header, RunHeader):
            self._take_run(recording, recording.header)
            return
        found = self.validator.validate(recording)
        self.validations.append(found)
        self._say(str(found) if found.verdict is Verdict.DIVERGES else f"{recording.name}: {found}")
        if found.verdict is Verdict.DIVERGES or (self.itf is None and self.confirming is None):
            return
        from keepstep.validation.behaviour import find_behaviour

        behaviour = find_behaviour(self.validator.candidates_for(recording), recording)
        if self.itf is not None:
            if self.itf_written:
                raise LocalViolation("--itf writes one behaviour: give one file with one recording")
            behaviour.write_itf(self.itf)
            self.itf_written = True
        if self.confirming is not None:
            said = self.confirming.confirm(self.validator.spec, recording, behaviour)
            self.confirmations[len(self.validations) - 1] = said
            for line in said.lines(behaviour):
                self._say(line)

    def _take_run(self, recording: Recording, header: RunHeader) -> None:
        """Compare a run of a user's own protocol with the project's specification."""
        from keepstep.validation.protocol_validation import load_protocol_validator
        from keepstep.validation.validator import Verdict

        if self.itf is not None or self.confirming is not None:
            raise LocalViolation("--itf and --confirm are for recordings of elections")
        validator = load_protocol_validator(self.project, header.role)
        if validator is None:
            raise LocalViolation(
                f"{recording.name}:{recording.first_line}: it is a run of {header.role} in"
                f" {header.protocol}, and the manifest in {self.project.root} names no model for"
                " such runs; give the project with --project"
            )
        found = validator.validate(recording)
        self.validations.append(found)
        self._say(str(found) if found.verdict is Verdict.DIVERGES else f"{recording.name}: {found}")

    def _say(self, text: str) -> None:
        if not self.quiet:
            click.echo(text)

    def _progress(self, text: str) -> None:
        if sys.stderr.isatty() and not self.quiet:
            click.echo(f"\r\033[K{text}", err=True, nl=False)

    def exit_code(self) -> Exit:
        """The worst of all."""
        from keepstep.validation.validator import Verdict

        if self.unreadable:
            return Exit.COULD_NOT_RUN
        verdicts = {found.verdict for found in self.validations}
        if Verdict.DIVERGES in verdicts or any(c.refused for c in self.confirmations.values()):
            return Exit.DIFFERS
        undecided = any(c.undecided for c in self.confirmations.values())
        if self.empty or undecided or verdicts & {Verdict.UNDER_COVERED, Verdict.INCONCLUSIVE}:
            return Exit.WEAKER
        return Exit.AS_EXPECTED

    def summary(self) -> str:
        """One line about all."""
        from keepstep.validation.validator import Statistics

        counts = Counter(str(found.verdict) for found in self.validations)
        counts["under-covered"] += len(self.empty)
        counts["unreadable"] = len(self.unreadable)
        total = Statistics()
        for found in self.validations:
            total.add(found.statistics)
        parts = [f"{count} {name}" for name, count in counts.items() if count]
        rate = total.steps / total.seconds if total.seconds else 0.0
        return (
            f"{', '.join(parts)}: {total.steps} steps in {total.seconds:.2f} s ({rate:.0f}/s);"
            f" {total.mean:.1f} candidates a step, {total.largest} at most"
        )

    def as_json(self, code: Exit) -> dict[str, Any]:
        """All that was found."""
        return {
            "exit_code": code,
            "unreadable": self.unreadable,
            "empty": self.empty,
            "recordings": [
                _as_json(found, self.confirmations.get(number))
                for number, found in enumerate(self.validations)
            ],
        }


def _as_json(found: Validation, confirmation: Confirmed | None) -> dict[str, Any]:
    from keepstep.validation.recording import encode

    statistics, explanation = found.statistics, found.explanation
    told: dict[str, Any] = {
        "file": found.recording.name,
        "line": found.recording.first_line,
        "verdict": found.verdict,
        "reason": found.reason,
        "steps": statistics.steps,
        "records": statistics.records,
        "events": statistics.events,
        "seconds": round(statistics.seconds, 4),
        "candidates": {
            "mean": round(statistics.mean, 2),
            "largest": statistics.largest,
            "longest_window": max(statistics.windows, default=0),
        },
        "assumed_changes": statistics.assumed,
        "edges": [
            {"label": edge.label, "mode": edge.mode, "count": count}
            for edge, count in sorted(found.edges.items(), key=str)
        ],
    }
    if found.first_bad is not None and explanation is not None:
        told["first_bad"] = {
            "place": found.place,
            "record": json.loads(encode(found.recording.records[found.first_bad])),
            "said": explanation.said,
            "allowed": explanation.allowed,
            "possible_before": explanation.states,
        }
    if confirmation is not None:
        told |= confirmation.as_json()
    return told
