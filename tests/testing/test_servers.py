from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from kazoo.client import KazooClient

from keepstep.errors import LocalViolation, ToolFailed
from keepstep.testing import (
    ConnectionEnded,
    Observer,
    Room,
    ServerSettings,
    WireClient,
    ZooKeeperEnsemble,
    ZooKeeperServer,
    dump,
    four_letter_word,
    mode_of,
)
from keepstep.testing.network.ports import hold_port
from keepstep.testing.servers import watchdog

pytestmark = pytest.mark.zookeeper


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def test_a_server_serves_and_leaves_nothing_behind():
    with ZooKeeperServer() as server:
        process = psutil.Process(server.process_id)
        folder = server.data_directory.parent.parent
        assert mode_of(server.address) == "standalone"
        assert "3.9.5" in four_letter_word(server.address, "srvr")
        assert process.cwd() == str(folder)
    assert not process.is_running()
    assert not folder.exists()
    with pytest.raises(LocalViolation, match="closed"):
        server.start()


def test_restart_keeps_data_and_address_and_wipe_loses_the_data():
    with ZooKeeperServer() as server:
        before = server.address
        with WireClient(server.address) as client:
            client.create("/kept", b"data")
            keeper = client.session
            first = server.process_id
            server.restart()
            # Sessions outlive a restart, with a fresh clock.
            assert keeper in dump(server.address).alive
        assert (server.address, server.process_id != first) == (before, True)
        with Observer(server.address) as observer:
            assert observer.read("/kept").data == b"data"
            server.wipe()
            assert observer.read("/kept") is None
            assert observer.read("/").stat.pzxid == 0
        assert keeper not in dump(server.address).alive


def test_a_paused_server_is_silent_and_resumes():
    with ZooKeeperServer() as server:
        server.pause()
        assert psutil.Process(server.process_id).status() == psutil.STATUS_STOPPED
        assert (server.mode(), mode_of(server.address, 0.1)) == (None, None)
        server.resume()
        assert server.wait_until_serving() == "standalone"
        # Pausing a paused server changes nothing, and ending it works as well.
        server.pause()
        server.pause()
        assert server.paused
        process = psutil.Process(server.process_id)
    assert not process.is_running()


def test_a_killed_server_refuses_connections_until_it_is_started():
    with ZooKeeperServer() as server:
        server.kill()
        assert not server.running
        with pytest.raises(ConnectionEnded, match="nobody answers"):
            WireClient(server.address)
        with pytest.raises(LocalViolation, match="does not run"):
            server.pause()
        server.start()
        server.stop()
        assert not server.running
        server.start()
        with pytest.raises(LocalViolation, match="runs already"):
            server.start()
        with pytest.raises(LocalViolation, match="runs"):
            server.forget_data()


@pytest.mark.parametrize("make", [ZooKeeperServer, lambda **given: ZooKeeperEnsemble(1, **given)])
def test_data_is_where_it_belongs_whatever_letters_its_path_has(make, tmp_path, monkeypatch):
    # Java reads configurations as Latin-1, and names of files as its locale says.
    monkeypatch.setenv("LC_ALL", "C")
    folder = tmp_path / "größe \\u0041 = 日本"
    folder.mkdir()
    with make(directory=folder) as made:
        server = made if isinstance(made, ZooKeeperServer) else made.leader()
        assert server.data_directory.is_relative_to(folder)
        assert list(server.data_directory.glob("snapshot.*"))
        assert list(tmp_path.iterdir()) == [folder]


def test_a_server_that_cannot_start_says_why():
    # ZooKeeper itself refuses such a member.
    settings = ServerSettings(start_timeout=5)
    server = ZooKeeperServer(settings, number=1, members=["server.1=nonsense"])
    with pytest.raises(ToolFailed, match="has ended"), server:
        pass
    assert not server.data_directory.parent.exists()


KILLED = """
import sys, time
from keepstep.testing import ZooKeeperEnsemble, ZooKeeperServer
size = int(sys.argv[1])
if size:
    ensemble = ZooKeeperEnsemble(size, links=True)
    ensemble.start()
    paused, killed, *_ = servers = list(ensemble.servers.values())
    killed.kill()
else:
    paused, = servers = [ZooKeeperServer()]
    paused.start()
never_started = ZooKeeperServer()
paused.pause()
for server in [*servers, never_started]:
    number = server.process_id if server.running else 0
    print(number, server.data_directory.parent.parent, flush=True)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("size", [0, 3])
def test_the_servers_end_when_their_test_run_is_killed(size, tmp_path):
    """One is paused, one is down, one never ran: nothing is left of any of them."""
    # The kernel tells where a process really is, not through which link.
    link = tmp_path / "link"
    (tmp_path / "place").mkdir()
    link.symlink_to("place")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(link)},
    ) as run:
        told = [line.split() for line in iter(run.stdout.readline, "ready\n")]
        processes = [int(number) for number, _ in told if number != "0"]
        folders = [Path(folder) for _, folder in told]
        assert len(processes) == max(1, size - 1)
        assert all(map(psutil.pid_exists, processes))
        assert all(folder.exists() for folder in folders)
        os.kill(run.pid, signal.SIGKILL)
    until(lambda: not any(map(psutil.pid_exists, processes)))
    until(lambda: not any(folder.exists() for folder in folders))
    assert psutil.pid_exists(os.getpid())


FORKED = """
import os, signal, sys
from keepstep.testing import ZooKeeperServer
from keepstep.testing.servers import ensemble as servers
first = ZooKeeperServer()
first.start()
# Somebody ends the watchdog: the next one knows the first server too.
servers._watchdog._process.kill()
servers._watchdog._process.wait()
second = ZooKeeperServer()
second.start()
child = os.fork()
if not child:
    sys.stdin.read()
    os._exit(0)
for server in (first, second):
    print(server.process_id, server.data_directory.parent.parent, flush=True)
print("ready", child, flush=True)
signal.pause()
"""


def test_servers_end_with_their_test_run_though_its_watchdog_was_ended_and_a_child_lives_on():
    with subprocess.Popen(
        [sys.executable, "-c", FORKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        told = [run.stdout.readline().split() for _ in range(3)]
        child = int(told.pop()[1])
        processes = [int(number) for number, _ in told]
        assert all(map(psutil.pid_exists, [*processes, child]))
        run.kill()
        until(lambda: not any(map(psutil.pid_exists, processes)))
        assert psutil.pid_exists(child)
        until(lambda: not any(Path(folder).exists() for _, folder in told))
        run.stdin.close()
        run.stdin = None
    until(lambda: not psutil.pid_exists(child))


JUST_BEGUN = """
import os, signal, sys
from pathlib import Path
from keepstep.testing import ZooKeeperServer
from keepstep.testing.servers import ensemble as servers

def killed(group, directory):
    print(group, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

servers._watchdog.note_group = killed
ZooKeeperServer(directory=Path(sys.argv[1])).start()
"""


def test_a_server_ends_with_a_test_run_that_is_killed_before_it_can_note_the_server(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", JUST_BEGUN, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as run:
        begun = int(run.stdout.read())
    until(lambda: not psutil.pid_exists(begun))


def test_the_watchdog_knows_its_own_by_their_mark():
    marked = {**os.environ, watchdog.MARK: "mine"}
    other = {**os.environ, watchdog.MARK: "mine too", "TEXT": f"{watchdog.MARK}=mine"}
    with (
        subprocess.Popen(["sleep", "60"], env=marked) as ours,
        subprocess.Popen(["sleep", "60"], env=other) as bystander,
    ):
        subprocess.run(
            [sys.executable, watchdog.__file__], input="+ mark mine\n", text=True, check=True
        )
        assert ours.wait(5) == -signal.SIGKILL
        assert bystander.poll() is None
        bystander.kill()


def test_the_watchdog_spares_a_process_that_got_the_number_of_one_of_ours(tmp_path):
    with subprocess.Popen(["sleep", "60"], start_new_session=True, cwd="/") as bystander:
        subprocess.run(
            [sys.executable, watchdog.__file__],
            input=f"+ group {bystander.pid} {tmp_path}\n",
            text=True,
            check=True,
        )
        assert bystander.poll() is None
        subprocess.run(
            [sys.executable, watchdog.__file__],
            input=f"+ group {bystander.pid} /\n",
            text=True,
            check=True,
        )
        assert bystander.wait(5) == -signal.SIGKILL


def test_a_port_that_was_taken_before_the_server_could_have_it_is_named():
    server = ZooKeeperServer()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(server.address)
        other.listen()
        with pytest.raises(ToolFailed, match="another program listens"), server:
            pass
    assert not server.data_directory.parent.exists()


def test_an_ensemble_whose_port_is_taken_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = hold_port()
    with pytest.raises(ToolFailed, match=r"port \d+ is taken"):
        ZooKeeperEnsemble(3, links=True, port=held.address.port - 1)
    assert not list(tmp_path.glob("keepstep-zookeeper-*"))
    held.release()
    with pytest.raises(LocalViolation, match="no port"):
        ZooKeeperServer(port=70000)


@pytest.mark.full
def test_five_servers():
    with ZooKeeperEnsemble(5) as ensemble:
        modes = [server.mode() for server in ensemble.servers.values()]
        assert sorted(modes) == ["follower"] * 4 + ["leader"]


def test_an_ensemble_of_one_is_a_quorum():
    with ZooKeeperEnsemble(1) as ensemble:
        assert ensemble.leader().mode() == "leader"


def test_a_room_is_a_clean_root_and_leaves_nothing():
    with ZooKeeperServer() as server:
        with Room(server, "test") as room:
            assert room.hosts == f"{server.address}{room.path}"
            client = KazooClient(room.hosts, timeout=10)
            client.start()
            client.create("/a/b", makepath=True)
            client.create("/a/mine", ephemeral=True)
            assert client.get_children("/") == ["a"]
            session = client.client_id[0]
        # Its client did not stop: the end of the room ends its session.
        assert session not in dump(server.address).alive
        with Observer(server.address) as observer:
            assert observer.children("/") == ["zookeeper"]
        client.stop()
        client.close()
    with pytest.raises(LocalViolation, match="name"):
        Room(server, "a/b")


def test_an_ensemble_elects_a_leader_and_another_one_after_it_is_killed():
    with ZooKeeperEnsemble(3) as ensemble:
        leader = ensemble.leader()
        assert len(ensemble.followers()) == 2
        with WireClient(ensemble.followers()[0].address) as client:
            client.create("/shared")
        leader.kill()
        second = ensemble.leader()
        assert second is not leader
        until(lambda: len(ensemble.followers()) == 1)
        with Observer(second.address) as observer:
            assert observer.read("/shared") is not None
        leader.start()
        assert leader.mode() == "follower"


def test_links_between_servers_can_be_slow_and_cut():
    with ZooKeeperEnsemble(3, links=True) as ensemble:
        leader = ensemble.leader()
        slow, other = ensemble.followers()
        with Observer(leader.address) as observer, WireClient(slow.address) as client:
            ensemble.delay(slow.number, leader.number, 0.1)
            begin = time.monotonic()
            client.create("/through-a-slow-link")
            assert time.monotonic() - begin >= 0.2
            ensemble.delay(slow.number, leader.number, 0)
            assert observer.read("/through-a-slow-link") is not None
        # A follower without its leader and without others does not serve.
        ensemble.separate(slow.number, leader.number)
        ensemble.separate(slow.number, other.number)
        until(lambda: slow.mode() is None)
        ensemble.rejoin(slow.number, leader.number)
        ensemble.rejoin(slow.number, other.number)
        until(lambda: slow.mode() == "follower", 20)


def test_an_ensemble_without_links_has_none_to_cut():
    ensemble = ZooKeeperEnsemble(1)
    with pytest.raises(LocalViolation, match="links=True"):
        ensemble.separate(1, 2)
    ensemble.close()
    with pytest.raises(LocalViolation, match="at least one"):
        ZooKeeperEnsemble(0)
