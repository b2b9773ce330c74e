"""The archive of the server's classes: made once, left out when it cannot be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepstep.errors import ToolFailed
from keepstep.testing import ServerSettings, WireClient, ZooKeeperServer
from keepstep.testing.servers import quick_start
from keepstep.testing.servers.installation import find_installation
from keepstep.testing.servers.quick_start import class_archive

OPTIONS = ("-Xmx256m", "-XX:+UseSerialGC")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch, tmp_path):
    monkeypatch.setattr(quick_start, "_known", {})
    monkeypatch.setattr(quick_start, "cache_folder", lambda *_: tmp_path)


def names(folder):
    return sorted(path.suffix for path in folder.iterdir())


def test_what_cannot_be_made_is_left_out_and_not_tried_again(tmp_path, monkeypatch):
    tries = []

    def serve(options):
        tries.append(options)
        raise ToolFailed("no server today")

    installation = find_installation()
    assert class_archive(installation, OPTIONS, serve) is None
    monkeypatch.setattr(quick_start, "_known", {})
    assert class_archive(installation, OPTIONS, serve) is None
    assert len(tries) == 1
    assert names(tmp_path) == [".lock", ".vain"]


def test_an_interrupt_is_no_failure(tmp_path):
    def serve(_options):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        class_archive(find_installation(), OPTIONS, serve)
    assert names(tmp_path) == [".lock"]


@pytest.mark.full
@pytest.mark.zookeeper
def test_a_server_starts_from_the_archive_and_one_that_is_damaged_does_no_harm(tmp_path):
    def classes_from_the_archive(server):
        return ".jsa" in Path(f"/proc/{server.process_id}/maps").read_text()

    with ZooKeeperServer() as server:
        assert classes_from_the_archive(server)
    (archive,) = tmp_path.glob("*.jsa")
    with ZooKeeperServer(ServerSettings(quick_start=False)) as server:
        assert not classes_from_the_archive(server)
    archive.write_bytes(b"damaged")
    with ZooKeeperServer() as server, WireClient(server.address) as client:
        client.sync()
        assert not classes_from_the_archive(server)
