"""Where the test servers' programs are, and what is known to be wrong with them.

Servers come from the pinned jars, from an unpacked release, or from Debian's package. Versions
before 3.8 are refused: nothing here was tried with them. Of later ones that have known defects a
warning names those that a test may run into.
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from keepstep.checkers.toolchain import find_java, find_zookeeper, jars
from keepstep.errors import ToolFailed, ToolMissing

__all__ = [
    "Installation",
    "ServerWarning",
    "defects_of",
    "find_installation",
    "parse_version",
    "require_supported",
    "warn_of_defects",
]

Version = tuple[int, int, int]

OLDEST: Version = (3, 8, 0)
NEWEST_LINE = (3, 9)


class ServerWarning(UserWarning):
    """A ZooKeeper server is used that has known defects, or that nothing here was tried with."""


@dataclass(frozen=True, slots=True)
class _Defect:
    """A defect of some ZooKeeper servers.

    Attributes:
        issue: Its number in ZooKeeper's tracker.
        effect: What one sees.
        fixed: By release line the first release without it; a line that is not here has it in
            all of its releases.
        since: The first release that has it.
    """

    issue: str
    effect: str
    fixed: dict[tuple[int, int], Version]
    since: Version = (0, 0, 0)

    def is_in(self, version: Version) -> bool:
        line = version[:2]
        if version < self.since or line > NEWEST_LINE:
            return False
        return line not in self.fixed or version < self.fixed[line]


_DEFECTS = (
    _Defect(
        "ZOOKEEPER-4537",
        "a single client's request may hang until its next ping",
        {(3, 8): (3, 8, 1), (3, 9): (3, 9, 0)},
    ),
    _Defect(
        "ZOOKEEPER-4785",
        "transactions lost by a follower that rejoins: ephemerals gone on the leader live on there",
        {(3, 8): (3, 8, 5), (3, 9): (3, 9, 2)},
    ),
    _Defect(
        "ZOOKEEPER-4712",
        "a half-stopped server goes on writing: ephemerals that outlive their session",
        {(3, 9): (3, 9, 3)},
    ),
    _Defect(
        "ZOOKEEPER-4394",
        "committed transactions lost when a follower crashes while it joins",
        {(3, 9): (3, 9, 3)},
    ),
    _Defect(
        "ZOOKEEPER-2623",
        "a check outside a multi damages the database",
        {(3, 8): (3, 8, 5), (3, 9): (3, 9, 3)},
    ),
    _Defect(
        "ZOOKEEPER-4925",
        "data lost through holes in the log of committed proposals",
        {(3, 9): (3, 9, 4)},
        since=(3, 9, 3),
    ),
)


@dataclass(frozen=True, slots=True)
class Installation:
    """Java and a ZooKeeper server.

    Attributes:
        java: Java's launcher.
        classpath: The server's jars.
        version: The server's version as its jar is named or says.
        source: What named it.
    """

    java: Path
    classpath: tuple[Path, ...]
    version: Version
    source: str


def parse_version(text: str) -> Version:
    """The three numbers of a version such as `3.9.5-293c895`.

    Raises:
        ToolFailed: The text does not begin with a version.
    """
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not found:
        raise ToolFailed(f"{text!r} is no version of ZooKeeper")
    return int(found[1]), int(found[2]), int(found[3] or 0)


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def require_supported(version: Version, source: str) -> None:
    """Refuse what is too old to be relied on.

    Raises:
        ToolFailed: It is older than 3.8.
    """
    if version < OLDEST:
        raise ToolFailed(
            f"ZooKeeper {_dotted(version)} ({source}) is older than {_dotted(OLDEST)}, and nothing "
            "here was tried with it; unset ZOOKEEPER_HOME to use the pinned 3.9.5, or name a newer "
            "one"
        )


def defects_of(version: Version) -> tuple[str, ...]:
    """What is known to be wrong with a version, a line each; of a new one that it was not tried."""
    if version[:2] > NEWEST_LINE:
        return (f"newer than {_dotted((*NEWEST_LINE, 0))}: nothing here was tried with it",)
    return tuple(f"{d.issue}: {d.effect}" for d in _DEFECTS if d.is_in(version))


_warned_of: set[Version] = set()


def warn_of_defects(version: Version, source: str) -> None:
    """Warn of known defects, once for each version."""
    defects = () if version in _warned_of else defects_of(version)
    _warned_of.add(version)
    if defects:
        listed = "; ".join(defects)
        warnings.warn(
            f"ZooKeeper {_dotted(version)} ({source}) has known defects: {listed}",
            ServerWarning,
            stacklevel=3,
        )


@cache
def find_installation(home: str = "") -> Installation:
    """Java and the server's jars.

    Found once for each process, because each search compares the hash of every pinned jar.

    Args:
        home: A folder with an unpacked release, or that of Debian's package
            (`/usr/share/java`). Else ZOOKEEPER_HOME, else the pinned jars.

    Raises:
        ToolMissing: Java is not there, or a jar is neither there nor can be fetched.
        ToolFailed: A jar is not what was pinned, or the version is too old.
    """
    given = home or os.environ.get("ZOOKEEPER_HOME", "")
    if given:
        classpath, version = _in_home(Path(given).absolute())
        source = given
    else:
        pinned = find_zookeeper()
        classpath, version, source = pinned.classpath, parse_version(pinned.version), pinned.source
    require_supported(version, source)
    return Installation(find_java().path, classpath, version, source)


def _in_home(home: Path) -> tuple[tuple[Path, ...], Version]:
    unversioned = home / "zookeeper.jar"
    if unversioned.is_file():
        return _as_debian_packs_it(unversioned)
    jar_files = sorted(home.glob("lib/*.jar")) or sorted(home.glob("*.jar"))
    own = [re.fullmatch(r"zookeeper-(\d[\w.]*?)\.jar", path.name) for path in jar_files]
    versions = [match[1] for match in own if match]
    if not versions:
        raise ToolMissing(
            f"{home} holds no ZooKeeper: neither zookeeper-*.jar in it or its lib, as a release "
            "does, nor zookeeper.jar, as Debian's package does in /usr/share/java; correct "
            "ZOOKEEPER_HOME (or --home), or leave it out to use the pinned jars"
        )
    return tuple(jar_files), parse_version(versions[0])


def _as_debian_packs_it(jar: Path) -> tuple[tuple[Path, ...], Version]:
    """The jar, what its manifest names, and something to log to.

    The folder holds the jars of many packages, so not all of them are taken.
    """
    try:
        with zipfile.ZipFile(jar) as archive:
            manifest = archive.read("META-INF/MANIFEST.MF").decode(errors="replace")
            told = [n for n in archive.namelist() if n.endswith("/zookeeper/pom.properties")]
            properties = archive.read(told[0]).decode(errors="replace") if told else ""
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ToolFailed(f"{jar} is no jar that can be read: {error}") from error
    versions = [path.name[10:-4] for path in sorted(jar.parent.glob("zookeeper-[0-9]*.jar"))]
    if found := re.search(r"^version=(\S+)", properties, re.MULTILINE):
        versions.insert(0, found[1])
    if not versions:
        raise ToolFailed(f"{jar} does not tell its version; name a release instead")
    # A manifest's lines are folded after 72 bytes; a continuation begins with a space.
    unfolded = manifest.replace("\r\n", "\n").replace("\n ", "")
    line = re.search(r"^Class-Path: (.*)$", unfolded, re.MULTILINE)
    classpath = [jar]
    for name in line[1].split() if line else ():
        beside = jar.parent / Path(name).name
        classpath.append(beside if beside.is_file() else Path(name))
    silent = jar.parent / "slf4j-nop.jar"
    classpath.append(silent if silent.is_file() else jars(["slf4j-nop"])[0])
    return tuple(classpath), parse_version(versions[0])
