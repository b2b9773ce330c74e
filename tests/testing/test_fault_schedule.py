"""Plans from seeds, and the runner that always heals."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

from keepstep.errors import LocalViolation
from keepstep.testing import (
    ConnectionEnded,
    ServerSettings,
    WireClient,
    ZooKeeperEnsemble,
    ZooKeeperServer,
    mode_of,
)
from keepstep.testing.faults import (
    FaultRunner,
    FaultStatus,
    NotHealed,
    ScheduledFault,
    Target,
    package_of,
    packages,
    schedule,
)

SETTINGS = ServerSettings(tick=0.1)


def test_equal_seeds_plan_equal_faults():
    plan = schedule(7, seconds=300)
    assert plan == schedule(7, seconds=300)
    assert plan != schedule(8, seconds=300)
    assert [ScheduledFault(**json.loads(json.dumps(one.as_dict()))) for one in plan] == plan


def test_a_longer_plan_begins_as_a_shorter_one_and_the_order_of_names_does_not_matter():
    names = ["cut", "expire", "kill-server"]
    short, long = schedule(1, names, 30), schedule(1, names, 90)
    assert long[: len(short)] == short
    assert len(long) > len(short)
    assert schedule(1, names[::-1], 30) == short


def test_a_plan_brings_every_package_in_each_round_and_keeps_its_bounds():
    seconds = 600
    plan = schedule(3, seconds=seconds, rest=(0.5, 2.0))
    for begin in range(0, len(plan) - len(packages()), len(packages())):
        assert {p.package for p in plan[begin : begin + len(packages())]} == set(packages())
    end = 0.0
    for one in plan:
        shortest, longest = package_of(one.package).lasts
        assert shortest <= one.lasts <= longest
        assert 0.499 <= one.at - end <= 2.001
        end = one.at + one.lasts
    assert end <= seconds


def test_bad_plans_are_refused():
    with pytest.raises(LocalViolation, match="no fault 'flood'; there are: expire"):
        schedule(1, ["flood"])
    with pytest.raises(LocalViolation, match="at least one"):
        schedule(1, [])
    with pytest.raises(LocalViolation, match="seconds"):
        schedule(1, seconds=-1)
    with pytest.raises(LocalViolation, match="rest"):
        schedule(1, rest=(2, 1))
    assert schedule(1, seconds=0) == []


@pytest.fixture(scope="module")
def lone():
    with ZooKeeperServer(SETTINGS) as server:
        yield server


@pytest.fixture
def target(lone):
    with Target(lone, patience=0.1) as target:
        yield target


def planned(name, lasts=0.0, at=0.0):
    return ScheduledFault(name, at, lasts, 1)


@pytest.mark.zookeeper
def test_a_record_tells_what_became_of_each_fault(target, lone):
    told = []
    runner = FaultRunner(target, on_fault=lambda what, f: told.append((what, f.package.name)))
    ways = target.add_client("one")
    with WireClient(ways.proxies[1].address):
        plan = [planned("pause-server"), planned("cut"), planned("delay"), planned("kill-leader")]
        records = runner.run(plan)
    assert [record.status for record in records] == [
        FaultStatus.PROVED,
        FaultStatus.PROVED,
        FaultStatus.NOTHING_TO_HIT,
        FaultStatus.NOT_RUN,
    ]
    assert "3 servers" in records[3].detail
    assert records == runner.records
    events = [(what, name) for name in ("pause-server", "cut") for what in ("inject", "healed")]
    assert told == events
    json.dumps([record.as_dict() for record in records])


@pytest.mark.zookeeper
def test_a_fault_whose_proof_does_not_show_is_not_proved(target, monkeypatch):
    fault = "keepstep.testing.faults.nodes._PauseServerFault"
    monkeypatch.setattr(f"{fault}._inject", lambda _: None)
    monkeypatch.setattr(f"{fault}._mend", lambda _: None)
    monkeypatch.setattr(f"{fault}.proves_within", property(lambda _: 0.1))
    record = FaultRunner(target).do(planned("pause-server"))
    assert record.status is FaultStatus.NOT_PROVED
    assert "answered" in record.detail


@pytest.mark.zookeeper
def test_servers_that_do_not_answer_cannot_be_hit(target, monkeypatch):
    def silent(_self, _number):
        message = "the server does not answer"
        raise ConnectionEnded(message)

    monkeypatch.setattr("keepstep.testing.faults.target.Target.number_of", silent)
    record = FaultRunner(target).do(planned("pause-server"))
    assert record.status is FaultStatus.NOTHING_TO_HIT
    assert record.detail == "the server does not answer"


@pytest.mark.zookeeper
def test_what_heals_too_late_is_not_healed(target, lone, monkeypatch):
    monkeypatch.setattr("keepstep.testing.faults.nodes.PauseServer.heals_within", 0.0)
    with package_of("pause-server").inject(target) as fault:
        with pytest.raises(NotHealed, match="did not heal within 0 s"):
            fault.heal()
        monkeypatch.undo()
    assert mode_of(lone.address) == "standalone"


@pytest.mark.zookeeper
def test_what_does_not_heal_is_said_and_mended_by_force(target, lone, monkeypatch):
    monkeypatch.setattr("keepstep.testing.faults.nodes._PauseServerFault._mend", lambda _: None)
    monkeypatch.setattr("keepstep.testing.faults.nodes.PauseServer.heals_within", 0.2)
    record = FaultRunner(target).do(planned("pause-server"))
    assert record.status is FaultStatus.NOT_HEALED
    assert "did not heal within 0.2 s" in record.detail
    assert mode_of(lone.address) == "standalone"
    with (
        pytest.raises(NotHealed, match="server 1 does not run"),
        FaultRunner(target).fault("pause-server"),
    ):
        pass
    assert mode_of(lone.address) == "standalone"


@pytest.mark.zookeeper
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_it_heals_whatever_happens_meanwhile(target, lone, error, monkeypatch):
    def do_something_else(fault):
        assert fault.prove().happened
        raise error

    with pytest.raises(error), FaultRunner(target).fault("pause-server") as fault:
        do_something_else(fault)
    assert mode_of(lone.address) == "standalone"

    def interrupted(_fault):
        assert lone.paused
        raise error

    monkeypatch.setattr("keepstep.testing.faults.nodes._PauseServerFault._prove", interrupted)
    with pytest.raises(error):
        FaultRunner(target).do(planned("pause-server"))
    assert mode_of(lone.address) == "standalone"


@pytest.mark.zookeeper
def test_a_plan_in_a_thread_can_be_stopped_in_the_midst_of_a_fault(target, lone):
    with FaultRunner(target) as runner:
        runner.start([planned("pause-server", lasts=60), planned("kill-server", at=61)])
        with pytest.raises(LocalViolation, match="under way"):
            runner.start([])
        deadline = time.monotonic() + 10
        while not lone.paused:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert runner.running
        begin = time.monotonic()
        records = runner.stop()
        assert time.monotonic() - begin < 10
        assert [record.package for record in records] == ["pause-server"]
        assert mode_of(lone.address) == "standalone"
        assert not runner.running


@pytest.mark.zookeeper
def test_what_ends_the_thread_is_raised_by_stop(target, monkeypatch):
    def broken(_self, _target, _aim, _random):
        raise ZeroDivisionError

    monkeypatch.setattr("keepstep.testing.faults.nodes.PauseServer.prepare", broken)
    runner = FaultRunner(target)
    runner.start([planned("pause-server")])
    while runner.running:
        time.sleep(0.01)
    with pytest.raises(ZeroDivisionError):
        runner.stop()


PROGRAM = """
from keepstep.testing import ZooKeeperServer
from keepstep.testing.faults import FaultRunner, ScheduledFault, Target
with ZooKeeperServer() as server, Target(server) as target:
    def tell(what, fault):
        print(what, server.process_id, server.data_directory.parent.parent, flush=True)
    with FaultRunner(target, on_fault=tell) as runner:
        runner.run([ScheduledFault("pause-server", 0.0, 60.0, 1)])
"""


@pytest.mark.zookeeper
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_or_killed_run_leaves_nothing_behind(number):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        what, process, folder = run.stdout.readline().split()
        server = psutil.Process(int(process))
        deadline = time.monotonic() + 10
        while server.status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(run.pid, number)
        rest = run.stdout.read()
    assert what == "inject"
    assert ("healed" in rest) == (number == signal.SIGINT)
    while server.is_running() or Path(folder).exists():
        assert time.monotonic() < deadline + 10
        time.sleep(0.01)


class Writers:
    """Clients that write all the time, whatever happens to them."""

    def __init__(self, target, names):
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(target.add_client(name).hosts,))
            for name in names
        ]

    def _write(self, hosts):
        retry = {"max_tries": -1, "delay": 0.05, "max_delay": 0.2}
        while not self._stop.is_set():
            client = KazooClient(hosts, timeout=2, connection_retry=retry)
            with contextlib.suppress(client.handler.timeout_exception):
                client.start(5)
                failures = 0
                # A client whose servers lost their data never comes back by itself.
                while failures < 10 and not self._stop.wait(0.05):
                    try:
                        client.create_async("/a-", sequence=True).get(timeout=1)
                        failures = 0
                    except (KazooException, client.handler.timeout_exception):
                        failures += 1
            client.stop()
            client.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.full
@pytest.mark.zookeeper
def test_a_plan_with_every_package_on_three_servers(caplog):
    caplog.set_level(logging.CRITICAL, "kazoo")
    with ZooKeeperEnsemble(3, SETTINGS, links=True) as ensemble, Target(ensemble) as target:
        plan = schedule(11, seconds=120)[: len(packages())]
        with Writers(target, ["one", "two"]), FaultRunner(target) as runner:
            records = runner.run(plan)
        assert target.healthy() == ""
        processes = [server.process_id for server in ensemble.servers.values()]
    became = {record.package: record for record in records}
    assert set(became) == set(packages())
    for name, record in became.items():
        not_run = {"pause-client", "partition-servers-kernel"}
        expected = FaultStatus.NOT_RUN if name in not_run else FaultStatus.PROVED
        assert record.status is expected, record
        assert record.healed_after <= package_of(name).heals_within
        print(f"{name}: lasted {record.lasted:.2f} s, healed after {record.healed_after:.2f} s")
    assert not any(map(psutil.pid_exists, processes))
