"""`keepstep replay`: a saved run, done again on the fake and on real servers, and shortened."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keepstep.checkers.verdict import Exit

if TYPE_CHECKING:
    from keepstep.shell.contender_shell import ContenderShell
    from keepstep.testing.election.replaying import Replayed
    from keepstep.testing.election.suite import SavedRun

__all__ = ["command"]


@click.command(name="replay", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--on",
    type=click.Choice(["fake", "real", "both"]),
    default="both",
    show_default=True,
    help="Where: on the fake in memory, on real servers, or on both.",
)
@click.option(
    "--servers",
    type=click.IntRange(1, 5),
    help="How many servers: 1, 3 or 5. [default: as the file says, else 1]",
)
@click.option(
    "--shrink", is_flag=True, help="Shorten the run on the fake, then confirm it on real servers."
)
@click.option(
    "--tries",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How often it is done on real servers, until a promise is broken.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many interleavings are tried on the fake, until a promise is broken.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the shortened run to this file.",
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
    file: Path,
    on: str,
    servers: int | None,
    shrink: bool,  # noqa: FBT001 - click gives flags so
    tries: int,
    seeds: int,
    save: Path | None,
    shell: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Do the run in FILE again.

    FILE was written by `keepstep campaign --out` or by `keepstep suite --save`. The exit code is
    0 if every promise was kept, 1 if one was broken on real servers (or on the fake, where only
    that was asked for), and 3 if one was broken on the fake and could not be confirmed on real
    servers.
    """
    from keepstep.cli.campaign import shell_of
    from keepstep.errors import LocalViolation
    from keepstep.testing.election.suite import SavedRun

    if shrink and on == "real":
        raise click.UsageError("--shrink works on the fake: leave --on real out")
    if save is not None and not shrink:
        raise click.UsageError("--save is for the run that --shrink makes")
    saved = SavedRun.load(file)
    if not saved.steps:
        raise LocalViolation(f"{file} holds a run without any step")
    size = int(saved.about.get("servers", 1)) if servers is None else servers
    if size not in {1, 3, 5}:
        raise LocalViolation(f"an ensemble has 1, 3 or 5 servers, not {size}")
    work = _Work(saved, size, shell_of(shell), tries, seeds, quiet=as_json)
    told = work.run(on, shrink=shrink)
    if save is not None and work.shrunk is not None:
        SavedRun(work.shrunk.steps, saved.bug, saved.promise, saved.about).save(save)
    if as_json:
        click.echo(json.dumps(told, indent=1))
    else:
        work.show(file, save)
    ctx.exit(told["exit_code"])


class _Work:
    """One replay: what was asked for, and what came of it."""

    def __init__(
        self,
        saved: SavedRun,
        servers: int,
        shell_class: type[ContenderShell],
        tries: int,
        seeds: int,
        *,
        quiet: bool,
    ) -> None:
        self.saved = saved
        self.servers = servers
        self.shell_class = shell_class
        self.tries = tries
        self.seeds = seeds
        self.quiet = quiet
        self.fake: Replayed | None = None
        self.shrunk: Replayed | None = None
        self.real: Replayed | None = None

    def _say(self, what: str) -> None:
        if sys.stderr.isatty() and not self.quiet:
            click.echo(what, err=True)

    def run(self, on: str, *, shrink: bool) -> dict[str, Any]:
        from keepstep.testing.election import replaying

        steps = self.saved.steps
        if on != "real":
            self._say("on the fake ...")
            self.fake = replaying.on_the_fake(
                steps,
                servers=self.servers,
                seeds=range(self.seeds),
                shell_class=self.shell_class,
            )
            if shrink and self.fake.broken:
                self._say("shortening ...")
                self.shrunk = replaying.shrink(
                    self.fake, servers=self.servers, shell_class=self.shell_class
                )
                steps = self.shrunk.steps
        if on != "fake":
            self._say("on real servers ...")
            with replaying.arena_for(steps, self.servers) as arena:
                self.real = replaying.on_real_servers(
                    steps, arena, tries=self.tries, shell_class=self.shell_class
                )
        return self._as_json()

    @property
    def exit_code(self) -> Exit:
        """1 for what was broken where it counts, 3 for what could not be confirmed."""
        if self.real is None:
            return Exit.DIFFERS if self.fake and self.fake.broken else Exit.AS_EXPECTED
        if self.real.broken:
            return Exit.DIFFERS
        return Exit.WEAKER if self.fake and self.fake.broken else Exit.AS_EXPECTED

    @property
    def verdict(self) -> str:
        """The outcome in a sentence."""
        fake, real = self.fake, self.real
        if real is None:
            found = fake.promise if fake else None
            return f"BROKEN on the fake: {found}" if found else "kept on the fake"
        if real.broken and fake and not fake.broken:
            return f"BROKEN on real servers, kept on the fake: {real.promise}"
        if real.broken and fake and fake.promise != real.promise:
            return (
                f"BROKEN on real servers: {real.promise}; "
                f"that is another promise than on the fake ({fake.promise})"
            )
        if real.broken:
            where = ", confirmed on real servers" if fake else " on real servers"
            return f"BROKEN{where}: {real.promise}"
        if fake and fake.broken:
            return (
                f"NOT CONFIRMED: broken on the fake ({fake.promise}), "
                f"kept by real servers in {real.runs} runs"
            )
        return "kept"

    def _as_json(self) -> dict[str, Any]:
        def told(done: Replayed | None) -> dict[str, Any] | None:
            if done is None:
                return None
            return {
                "runs": done.runs,
                "promise": done.promise,
                "seed": done.seed,
                "steps": [step.to_json() for step in done.steps],
                "story": done.world.story,
            }

        return {
            "exit_code": self.exit_code,
            "verdict": self.verdict,
            "servers": self.servers,
            "expected": self.saved.promise,
            "fake": told(self.fake),
            "shrunk": told(self.shrunk),
            "real": told(self.real),
        }

    def show(self, file: Path, save: Path | None) -> None:
        """Print what came of it."""
        broken = self.real if self.real and self.real.broken else None
        shown = next(done for done in (broken, self.shrunk, self.fake, self.real) if done)
        click.echo("\n".join(shown.world.story))
        click.echo(f"\n{file}: {len(self.saved.steps)} steps; {self.servers} servers")
        if written := self.saved.about.get("shell"):
            mine = f"{self.shell_class.__module__}:{self.shell_class.__qualname__}"
            if written != mine:
                click.echo(f"saved with the shell {written}; done again with {mine}")
        if self.fake:
            how = f"seed {self.fake.seed}" if self.fake.broken else f"{self.fake.runs} seeds"
            click.echo(f"on the fake: {self.fake.promise or 'kept'} ({how})")
        if self.shrunk:
            click.echo(f"shortened to {len(self.shrunk.steps)} steps in {self.shrunk.runs} runs:")
            for number, step in enumerate(self.shrunk.steps, 1):
                click.echo(f"  {number}. {step}")
            if save is not None:
                click.echo(f"saved in {save}")
        if self.real:
            click.echo(f"on real servers: {self.real.promise or 'kept'} ({self.real.runs} runs)")
        click.echo(self.verdict)
