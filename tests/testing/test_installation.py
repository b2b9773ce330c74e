"""Which servers are taken: pinned ones, a release, Debian's package; and what is said of them."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path

import pytest

from keepstep.errors import ToolFailed, ToolMissing
from keepstep.testing import ServerSettings, ServerWarning, ZooKeeperServer, four_letter_word
from keepstep.testing.servers.installation import (
    defects_of,
    find_installation,
    parse_version,
    require_supported,
    warn_of_defects,
)

DEBIAN = Path(os.environ.get("KEEPSTEP_TEST_DEBIAN_JARS", "/usr/share/java"))
PROPERTIES = "META-INF/maven/org.apache.zookeeper/zookeeper/pom.properties"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.delenv("ZOOKEEPER_HOME", raising=False)
    monkeypatch.setattr("keepstep.testing.servers.installation._warned_of", set())


def package(folder, version="3.8.0", class_path="/usr/share/java/b.jar /usr/share/java/c.jar"):
    """A folder as Debian's package makes it, in which c.jar is another package's and missing."""
    for name in ("b.jar", "unrelated.jar", "slf4j-nop.jar"):
        (folder / name).touch()
    # The lines of a manifest are folded.
    folded = f"Class-Path: {class_path}"
    manifest = f"Manifest-Version: 1.0\r\n{folded[:30]}\r\n {folded[30:]}\r\nCreated-By: x\r\n"
    with zipfile.ZipFile(folder / "zookeeper.jar", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", manifest)
        if version:
            jar.writestr(PROPERTIES, f"version={version}\n")
    return folder


def test_a_debian_package_is_taken_with_what_its_manifest_names_and_nothing_else(tmp_path):
    found = find_installation(str(package(tmp_path)))
    assert found.version == (3, 8, 0)
    assert found.classpath == (
        tmp_path / "zookeeper.jar",
        tmp_path / "b.jar",
        Path("/usr/share/java/c.jar"),
        tmp_path / "slf4j-nop.jar",
    )


def test_its_version_may_stand_in_the_name_of_a_link(tmp_path):
    package(tmp_path, version="")
    with pytest.raises(ToolFailed, match="does not tell its version"):
        find_installation(str(tmp_path))
    (tmp_path / "zookeeper-3.8.1.jar").symlink_to("zookeeper.jar")
    assert find_installation(str(tmp_path)).version == (3, 8, 1)


def test_a_release_is_named_by_variable_or_by_setting(tmp_path, monkeypatch):
    for name, version in (("one", "3.9.4"), ("two", "3.9.5")):
        (tmp_path / name / "lib").mkdir(parents=True)
        (tmp_path / name / "lib" / f"zookeeper-{version}.jar").touch()
        (tmp_path / name / "lib" / "zookeeper-jute-1.jar").touch()
    monkeypatch.setenv("ZOOKEEPER_HOME", str(tmp_path / "one"))
    assert find_installation(str(tmp_path / "two")).version == (3, 9, 5)
    find_installation.cache_clear()
    assert find_installation().version == (3, 9, 4)
    assert len(find_installation().classpath) == 2
    find_installation.cache_clear()


def test_what_is_no_zookeeper_or_too_old_is_refused(tmp_path):
    with pytest.raises(ToolMissing, match="holds no ZooKeeper"):
        find_installation(str(tmp_path / "nowhere"))
    (tmp_path / "old").mkdir()
    with pytest.raises(ToolFailed, match=r"3\.4\.13 .* older than 3\.8\.0"):
        find_installation(str(package(tmp_path / "old", "3.4.13")))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "zookeeper.jar").write_text("no jar")
    with pytest.raises(ToolFailed, match="no jar that can be read"):
        find_installation(str(tmp_path / "broken"))
    with pytest.raises(ToolFailed, match="no version"):
        parse_version("v24.8")


def issues(version):
    return {defect.partition(":")[0].removeprefix("ZOOKEEPER-") for defect in defects_of(version)}


def test_defects_are_those_of_the_version():
    assert issues((3, 8, 0)) == {"4537", "4785", "4712", "4394", "2623"}
    assert issues((3, 8, 5)) == {"4712", "4394"}
    assert issues((3, 9, 0)) == {"4785", "4712", "4394", "2623"}
    assert issues((3, 9, 3)) == {"4925"}
    assert defects_of((3, 9, 5)) == ()
    assert "newer" in defects_of((3, 10, 0))[0]
    require_supported((3, 8, 0), "here")
    with pytest.raises(ToolFailed):
        require_supported((3, 7, 9), "here")


def test_a_warning_is_given_once_and_names_what_is_off():
    with pytest.warns(ServerWarning, match=r"3\.8\.4 \(here\).*ZOOKEEPER-4785: .*ephemerals"):
        warn_of_defects((3, 8, 4), "here")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_defects((3, 8, 4), "elsewhere")
        warn_of_defects((3, 9, 5), "here")


@pytest.mark.zookeeper
def test_debians_server_serves_and_is_warned_of():
    if not (DEBIAN / "zookeeper.jar").exists():
        pytest.skip("NOT RUN: Debian's package libzookeeper-java is not installed")
    server = ZooKeeperServer(ServerSettings(home=str(DEBIAN)))
    try:
        with pytest.warns(ServerWarning, match="ZOOKEEPER-4785"):
            server.start()
        assert "version: 3.8.0" in four_letter_word(server.address, "srvr")
    finally:
        server.close()
