"""Each fault package: its proof, read from the servers; what the proof says without it; its end."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from keepstep.errors import LocalViolation, ToolFailed
from keepstep.testing import (
    ConnectionEnded,
    Observer,
    Room,
    ServerSettings,
    SessionGone,
    WireClient,
    ZooKeeperEnsemble,
    ZooKeeperServer,
    dump,
    expire,
    knock,
    mode_of,
    zxid_of,
)
from keepstep.testing.faults import Aim, NothingToHit, Target, packages
from keepstep.testing.network.namespaces import Network

pytestmark = pytest.mark.zookeeper

SETTINGS = ServerSettings(tick=0.1, sync_limit=10)
LOOK = 0.2
"""Seconds that a proof is asked where nothing was injected."""


@pytest.fixture(scope="module")
def lone():
    with ZooKeeperServer(SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
def trio():
    with ZooKeeperEnsemble(3, SETTINGS, links=True) as ensemble:
        yield ensemble


@pytest.fixture
def target(lone):
    with Target(lone) as target:
        yield target


@pytest.fixture
def target3(trio):
    with Target(trio) as target:
        yield target


def prepared(name, target, **aim):
    return packages()[name].prepare(target, Aim(**aim), random.Random(1))  # noqa: S311


def ends_within_its_bound(fault):
    assert fault.heal() <= fault.package.heals_within
    assert fault.target.healthy() == ""
    assert fault.heal() == 0.0, "healing again does nothing"


def client_of(ways, number=1, session_timeout=4.0):
    return WireClient(ways.proxies[number].address, session_timeout=session_timeout)


@contextlib.contextmanager
def ephemeral_owner(target, room, session_timeout=4.0):
    ways = target.add_client("owner")
    client = client_of(ways, session_timeout=session_timeout)
    path = f"{room.path}/mine"
    client.create(path, ephemeral=True)
    try:
        yield client, path
    finally:
        client.abandon()


def owner_of(target, path):
    return target.sessions().owner(path)


# --- Sessions ---


def test_expire(target, lone):
    with Room(lone) as room, ephemeral_owner(target, room) as (client, path):
        fault = prepared("expire", target)
        assert not fault.prove(LOOK).happened
        assert owner_of(target, path) == client.session
        proof = fault.inject().prove()
        assert proof.happened, proof
        assert owner_of(target, path) is None
        ends_within_its_bound(fault)
        with pytest.raises(SessionGone):
            WireClient(lone.address, session=client.session, password=client.password)


def test_expire_takes_any_session_where_no_clients_are_known_but_not_those_left_alone(lone):
    with WireClient(lone.address) as mine, WireClient(lone.address) as other:
        target = Target(lone, left_alone={mine.session})
        with target, packages()["expire"].inject(target) as fault:
            assert f"{other.session:x}" in fault.victim
            assert fault.prove().happened
        assert mine.session in dump(lone.address).alive
    with Target(lone) as target, pytest.raises(NothingToHit, match="not alive"):
        prepared("expire", target, session=0x1234)


def test_natural_expiry(target, lone):
    with Room(lone) as room, ephemeral_owner(target, room, 0.4) as (client, path):
        fault = prepared("natural-expiry", target)
        client.sync()
        assert not fault.proof().happened
        client.sync()
        fault.inject()
        proof = fault.prove()
        assert proof.happened, proof
        assert "of the server itself" in proof.evidence
        assert owner_of(target, path) is None
        assert client.session not in target.sessions().alive
        ends_within_its_bound(fault)


def test_expiry_by_force_and_by_itself_are_told_apart(target, lone):
    with Room(lone) as room, ephemeral_owner(target, room) as (client, _):
        forced, natural = prepared("expire", target), prepared("natural-expiry", target)
        expire(lone.address, client.session)
        assert forced.proof().happened
        assert not natural.prove(LOOK).happened
        with WireClient(lone.address, session_timeout=0.2) as silent:
            forced = prepared("expire", target, session=silent.session)
            proof = forced.prove(2)
        assert not proof.happened
        assert "of the server itself" in proof.evidence


ZOMBIE = """
import sys, time
import logging
logging.getLogger("kazoo").setLevel(logging.CRITICAL)
from kazoo.client import KazooClient
retry = dict(max_tries=-1, delay=0.05, max_delay=0.1)
client = KazooClient(sys.argv[1], timeout=1.0, connection_retry=retry)
client.add_listener(lambda state: print(state, flush=True))
client.start()
client.create(sys.argv[2], ephemeral=True)
print("owner", flush=True)
sys.stdin.read()
client.stop()
"""


def test_pause_client(target, lone):
    with Room(lone) as room, contextlib.ExitStack() as stack:
        ways = target.add_client("zombie")
        path = f"{room.path}/mine"
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", ZOMBIE, ways.hosts, path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        # A process that stands still must not be waited for.
        stack.callback(process.kill)
        stack.callback(process.send_signal, signal.SIGCONT)
        while "owner" not in (said := process.stdout.readline()):
            assert said, "the client ended"
        with pytest.raises(NothingToHit, match="no client process"):
            prepared("pause-client", target)
        assert not packages()["pause-client"].available(target).allowed
        ways.process = process.pid
        assert packages()["pause-client"].available(target).allowed
        fault = prepared("pause-client", target)
        session = owner_of(target, path)
        assert "does not stand still" in fault.prove(LOOK).evidence
        fault.inject()
        first = fault.proof()
        assert (first.happened, psutil.Process(process.pid).status()) == (False, "stopped")
        assert fault.prove().happened
        assert owner_of(target, path) is None
        assert session not in target.sessions().alive
        ends_within_its_bound(fault)
        said = [process.stdout.readline().strip() for _ in range(3)]
        assert "LOST" in said, "a zombie learns of its end only when it goes on"
        late, early = prepared("pause-client", target), prepared("pause-client", target)
        early.inject()
        process.kill()
        process.wait()
        assert not early.prove(LOOK).happened
        ends_within_its_bound(early)
        with pytest.raises(NothingToHit, match="cannot be paused"):
            late.inject()


# --- Ways between clients and servers ---


def test_cut(target):
    ways = target.add_client("one")
    with client_of(ways) as client:
        fault = prepared("cut", target)
        assert not fault.prove(LOOK).happened
        assert fault.inject().prove().happened
        assert client.session in target.sessions().alive, "a session outlives its connection"
        with pytest.raises(ConnectionEnded):
            client.sync()
        ends_within_its_bound(fault)
        client_of(ways).end()
    expire(target.leader().address, client.session)


def test_the_end_of_a_session_is_no_cut(target):
    ways = target.add_client("one")
    with client_of(ways) as client:
        fault = prepared("cut", target)
        expire(target.leader().address, client.session)
        proof = fault.prove(LOOK)
        assert not proof.happened
        assert "not all of these sessions live" in proof.evidence


@pytest.mark.parametrize("name", ["lost-request", "lost-reply"])
def test_a_write_that_is_lost_or_unheard(target, lone, name):
    applied = name == "lost-reply"
    with Room(lone) as room, Observer(lone.address) as observer:
        ways = target.add_client("one")
        with client_of(ways) as client:
            fault = prepared(name, target)
            client.create(f"{room.path}/heard")
            assert not fault.prove(LOOK).happened
            fault.inject()
            assert not fault.proof().happened, "it was injected, and no write came yet"
            with pytest.raises(ConnectionEnded):
                client.create(f"{room.path}/a-", ephemeral=True, sequential=True)
            proof = fault.prove(2)
            assert proof.happened, proof
            names = [n for n in observer.children(room.path) if n.startswith("a-")]
            assert len(names) == applied
            ends_within_its_bound(fault)
        with client_of(ways) as client:
            client.create(f"{room.path}/heard-again")
        assert (fault.proof(), len(names)) == (proof, applied), "a proof that was seen stays"


@pytest.mark.parametrize("name", ["lost-request", "lost-reply"])
def test_a_lost_request_and_a_lost_reply_are_told_apart(target, lone, name):
    """The proof of each, asked about the other: the connection is gone, the log decides."""
    with Room(lone) as room:
        ways = target.add_client("one")
        with client_of(ways) as client:
            fault = prepared(name, target)
            proxy = ways.proxies[1]
            other = proxy.drop_next_request() if name == "lost-reply" else proxy.drop_next_reply()
            fault._planned[proxy] = other
            with pytest.raises(ConnectionEnded):
                client.create(f"{room.path}/a")
            proof = fault.prove(LOOK)
            assert not proof.happened
            assert ("not in" in proof.evidence) == (name == "lost-reply")


def test_a_planned_loss_is_given_up_when_it_heals(target, lone):
    with Room(lone) as room:
        ways = target.add_client("one")
        with client_of(ways) as client:
            with packages()["lost-request"].inject(target) as fault:
                pass
            client.create(f"{room.path}/arrives")
            assert not fault.proof().happened


def test_delay(target):
    ways = target.add_client("one")
    with client_of(ways):
        fault = prepared("delay", target, strength=0.1)
        assert not fault.prove(LOOK).happened
        assert fault.inject().prove().happened
        assert knock(ways.proxies[1].address).seconds >= 0.2
        ends_within_its_bound(fault)
        assert knock(ways.proxies[1].address).seconds < 0.2


def test_throttle(target, lone):
    ways = target.add_client("one")
    with Room(lone) as room, client_of(ways) as client:
        fault = prepared("throttle", target, strength=8192.0)
        assert not fault.prove(LOOK).happened
        assert fault.inject().prove().happened
        begin = time.monotonic()
        client.create(f"{room.path}/a", b"x" * 4096)
        assert time.monotonic() - begin >= 0.5
        ends_within_its_bound(fault)
        begin = time.monotonic()
        client.create(f"{room.path}/b", b"x" * 4096)
        assert time.monotonic() - begin < 0.5
        with pytest.raises(LocalViolation, match="cannot pass"):
            ways.proxies[1].throttle(-1)


def test_partition_clients(target):
    ways = target.add_client("one")
    other = target.add_client("two")
    with client_of(ways) as client:
        fault = prepared("partition-clients", target, client="one")
        assert not fault.prove(LOOK).happened
        assert fault.inject().prove().happened
        assert knock(other.proxies[1].address).answered, "only one client is cut off"
        # What is sent now waits, and is answered when all is well again.
        (before,) = target.sessions_of(ways)
        xid = client.submit(9, b"\0\0\0\1/")
        with pytest.raises(ConnectionEnded, match="in time"):
            WireClient(ways.proxies[1].address, timeout=0.2)
        assert target.sessions_of(ways) == [before], "the server has received nothing"
        ends_within_its_bound(fault)
        assert client.answer(xid, 2).error == 0


def test_a_refusal_is_no_partition_and_no_blackhole(target):
    ways = target.add_client("one")
    with client_of(ways):
        partition, hole = prepared("partition-clients", target), prepared("blackhole-host", target)
        ways.proxies[1].refuse()
        assert not partition.prove(LOOK).happened
        proof = hole.prove(LOOK)
        assert not proof.happened
        assert "refused" in proof.evidence
        ways.proxies[1].accept()


def test_blackhole_host(target):
    ways = target.add_client("one")
    with client_of(ways):
        fault = prepared("blackhole-host", target)
        assert not fault.prove(LOOK).happened
        assert fault.inject().prove().happened
        assert knock(ways.proxies[1].address, 0.3).outcome == "unreached"
        ends_within_its_bound(fault)
        assert knock(ways.proxies[1].address).answered


def test_what_hits_clients_needs_one_with_a_session(lone):
    with Target(lone, patience=0.05) as target:
        for name in ("cut", "delay", "partition-clients", "blackhole-host", "natural-expiry"):
            assert packages()[name].available(target).reason == (
                "no client of the target has proxies"
            )
        target.add_client("idle")
        for name in ("cut", "delay", "lost-reply", "natural-expiry"):
            assert packages()[name].available(target).allowed
            with pytest.raises(NothingToHit):
                prepared(name, target)
        with pytest.raises(NothingToHit, match="idle"):
            prepared("cut", target, client="unknown")
        for name in ("partition-clients", "blackhole-host"):
            with pytest.raises(NothingToHit, match="no way to server 7"):
                prepared(name, target, client="idle", server=7)
        target.adopt_client("elsewhere", {})
        with pytest.raises(NothingToHit, match="has no proxies"):
            prepared("blackhole-host", target, client="elsewhere")
        for strength in (0, -1, float("inf")):
            with pytest.raises(LocalViolation, match="above 0"):
                prepared("delay", target, client="idle", strength=strength)


# --- Servers ---


def test_kill_server_alone(target, lone):
    with WireClient(lone.address) as client:
        fault = prepared("kill-server", target)
        assert not fault.prove(LOOK).happened
        assert fault.inject().prove().happened
        ends_within_its_bound(fault)
        assert client.session in target.sessions().alive, "sessions outlive a crash"


def test_pause_server_alone(target, lone):
    fault = prepared("pause-server", target)
    assert not fault.prove(LOOK).happened
    assert fault.inject().prove().happened
    ends_within_its_bound(fault)
    # A server that is down is not one that stands still.
    fault = prepared("pause-server", target)
    lone.kill()
    assert "refused" in fault.prove(LOOK).evidence
    lone.start()


def test_restart_server_alone(target):
    fault = prepared("restart-server", target)
    assert not fault.prove(LOOK).happened
    assert fault.inject().prove().happened
    ends_within_its_bound(fault)


def test_lose_data_of_majority_alone(target, lone):
    with WireClient(lone.address) as client:
        client.create("/will-be-lost")
        fault = prepared("lose-data-of-majority", target)
        assert not fault.prove(LOOK).happened
        lone.restart()
        assert not fault.prove(LOOK).happened, "a restart loses nothing"
        lone.kill()
        for log in lone.data_directory.glob("log.*"):
            log.unlink()
        lone.start()
        assert "snapshot" in fault.prove(LOOK).evidence, "a snapshot still has what logs lack"
        assert fault.inject().prove().happened
        assert client.session not in target.sessions().alive
        with Observer(lone.address) as observer:
            assert observer.read("/will-be-lost") is None
        ends_within_its_bound(fault)


def test_what_needs_an_ensemble_is_not_available_to_a_lone_server(target):
    for name in ("kill-leader", "lag-follower", "partition-servers", "lose-data-of-one"):
        availability = packages()[name].available(target)
        assert not availability.allowed
        assert "3 servers" in availability.reason
        with pytest.raises(LocalViolation, match="not available"):
            packages()[name].inject(target)


def test_what_needs_links_is_not_available_without():
    ensemble = ZooKeeperEnsemble(3)
    target = Target(ensemble)
    for name in ("lag-follower", "partition-servers"):
        assert "links=True" in packages()[name].available(target).reason
    target.abandon()
    ensemble.close()


def test_kill_server_of_three(target3):
    fault = prepared("kill-server", target3)
    assert not fault.prove(LOOK).happened
    assert fault.inject().prove().happened
    ends_within_its_bound(fault)


def test_pause_server_of_three(target3):
    follower = target3.number_of(target3.ensemble.followers()[0])
    fault = prepared("pause-server", target3, server=follower)
    assert not fault.prove(LOOK).happened
    assert fault.inject().prove().happened
    ends_within_its_bound(fault)


def test_restart_server_of_three(target3):
    fault = prepared("restart-server", target3, server=2)
    assert not fault.prove(LOOK).happened
    assert fault.inject().prove().happened
    ends_within_its_bound(fault)


def test_kill_leader(target3):
    fault = prepared("kill-leader", target3)
    killed = target3.leader()
    assert not fault.prove(LOOK).happened
    with Room(target3.ensemble) as room:
        assert fault.inject().prove().happened
        assert target3.leader() is not killed
        with Observer(target3.leader().address) as observer:
            assert observer.read(room.path) is not None
        ends_within_its_bound(fault)
        assert killed.mode() == "follower"


def test_a_follower_that_crashes_is_no_leader_that_does(target3):
    fault = prepared("kill-leader", target3)
    target3.ensemble.followers()[0].restart()
    target3.wait_healthy(20)
    assert not fault.prove(LOOK).happened


def test_lag_follower(target3):
    fault = prepared("lag-follower", target3)
    (number,) = fault.servers
    lagging = target3.servers[number]
    assert not fault.prove(LOOK).happened
    with Room(target3.ensemble) as room, WireClient(lagging.address) as reader:
        with WireClient(target3.leader().address) as writer:
            writer.create(f"{room.path}/a", b"old")
            reader.sync()
            assert fault.inject().prove().happened
            writer.set_data(f"{room.path}/a", b"new")
            assert reader.get_data(f"{room.path}/a")[0] == b"old", "a stale read"
            reader.sync()
            assert reader.get_data(f"{room.path}/a")[0] == b"new", "sync is what helps"
        ends_within_its_bound(fault)
    with pytest.raises(LocalViolation, match="costs the follower its leader"):
        prepared("lag-follower", target3, strength=1.0)
    with pytest.raises(NothingToHit, match="no such follower"):
        prepared("lag-follower", target3, server=target3.number_of(target3.leader()))


def test_partition_clients_of_some_servers(target3):
    ways = target3.add_client("one")
    with client_of(ways, 2):
        fault = prepared("partition-clients", target3, server=2)
        assert not fault.prove(LOOK).happened
        assert fault.inject().prove().happened
        assert knock(ways.proxies[1].address).answered
        ends_within_its_bound(fault)


def test_an_election_is_no_restart_and_a_pause_is_no_crash(target3):
    """Servers count their uptime anew with each election, and elect without a paused leader."""
    leader, follower = target3.leader(), target3.ensemble.followers()[0]
    crash = prepared("kill-leader", target3)
    restart = prepared("restart-server", target3, server=target3.number_of(follower))
    leader.pause()
    while target3.leader() is leader or follower.mode() is None:
        time.sleep(0.01)
    proof = restart.prove(LOOK)
    assert not proof.happened
    assert "goes on counting" in proof.evidence
    assert "silent" in crash.prove(LOOK).evidence
    leader.resume()
    target3.wait_healthy(20)


@pytest.mark.full
@pytest.mark.parametrize("leads", [True, False])
def test_partition_servers(target3, leads):
    server = target3.leader() if leads else target3.ensemble.followers()[0]
    epoch = zxid_of(server.address) >> 32
    fault = prepared("partition-servers", target3, server=target3.number_of(server))
    assert not fault.prove(LOOK).happened
    assert fault.inject().prove().happened
    assert (mode_of(server.address), server.running) == (None, True)
    assert (zxid_of(target3.leader().address) >> 32 > epoch) == leads
    with WireClient(target3.leader().address) as client:
        client.sync()
    ends_within_its_bound(fault)
    assert server.mode() == "follower"


def test_lose_data_of_one(target3):
    with Room(target3.ensemble) as room:
        fault = prepared("lose-data-of-one", target3)
        (number,) = fault.servers
        lost = target3.servers[number]
        assert not fault.prove(LOOK).happened
        lost.restart()
        target3.wait_healthy(20)
        assert not fault.prove(LOOK).happened, "a restart loses nothing"
        assert fault.inject().prove().happened
        ends_within_its_bound(fault)
        with Observer(lost.address) as observer:
            assert observer.read(room.path) is not None, "its leader filled it again"


@pytest.mark.full
def test_lose_data_of_majority_of_three(target3):
    with WireClient(target3.leader().address) as client:
        client.create("/will-be-lost")
        # Epochs that the wiped servers know nothing of: the survivor has seen them.
        with packages()["kill-leader"].inject(target3):
            pass
        fault = prepared("lose-data-of-majority", target3)
        assert not fault.prove(LOOK).happened
        assert fault.inject().prove().happened
        assert client.session not in target3.sessions().alive
        ends_within_its_bound(fault)
        # A server that still had its old data would lead the others now.
        with packages()["kill-leader"].inject(target3) as crash:
            assert crash.prove().happened
        for server in target3.servers.values():
            with Observer(server.address) as observer:
                assert observer.read("/will-be-lost") is None


KERNEL = """
import json, random, sys
from keepstep.errors import LocalViolation
from keepstep.testing import ServerSettings, ZooKeeperEnsemble
from keepstep.testing.faults import Aim, Target, packages
from keepstep.testing.network.namespaces import Network
package = packages()["partition-servers-kernel"]
settings = ServerSettings(tick=0.1, sync_limit=10)
with Network(3) as net, ZooKeeperEnsemble(3, settings, network=net) as e, Target(e) as target:
    leader = e.leader()
    fault = package.prepare(target, Aim(server=target.number_of(leader)), random.Random(1))
    before = fault.prove(0.2)
    during = fault.inject().prove()
    running, mode = leader.running, leader.mode()
    took = fault.heal()
    try:
        Network(1)
    except LocalViolation as refusal:
        second = str(refusal)
    print(json.dumps({
        "available": package.available(target).allowed, "before": before.happened,
        "during": during.happened, "evidence": during.evidence, "running": running, "mode": mode,
        "second": second, "healed": target.healthy(), "took": took, "after": leader.mode(),
    }))
"""


@pytest.mark.full
def test_partition_servers_kernel():
    inside = ["unshare", "-Urn"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("NOT RUN: the kernel allows no user and network namespaces here")
    done = subprocess.run(
        [*inside, sys.executable, "-c", KERNEL], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["available"], told["before"], told["during"]) == (True, False, True), told
    assert (told["running"], told["mode"]) == (True, None), "it runs and does not serve"
    assert (told["healed"], told["after"]) == ("", "follower")
    assert "close() it first" in told["second"], "and the first one stays as it is"
    assert told["took"] <= packages()["partition-servers-kernel"].heals_within


def test_what_needs_namespaces_is_not_run_without(target3):
    availability = packages()["partition-servers-kernel"].available(target3)
    assert not availability.allowed
    assert "unshare -Urn" in availability.reason or "Network" in availability.reason
    if "machine's own network" in availability.reason:
        with pytest.raises(ToolFailed, match="machine's own network"):
            Network(3)


def test_every_package_is_tested_here_and_described():
    tested = {
        name.removeprefix("test_").replace("_", "-") for name in globals() if name[:5] == "test_"
    } | {"lost-request", "lost-reply"}
    for name, package in packages().items():
        assert any(each.startswith(name) for each in tested), name
        assert package.name == name
        assert package.what.endswith(".")
        assert package.shown_by
        assert 0 < package.heals_within <= 30
        assert 0 <= package.lasts[0] <= package.lasts[1]
