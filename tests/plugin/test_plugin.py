"""Options, markers and fixtures, as a user's project sees them."""

from __future__ import annotations

import subprocess
import sys

import pytest

USAGE_ERROR = 4


def modules_after(statement: str) -> set[str]:
    code = f"import sys, pytest\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_plugin_costs_nothing():
    new = modules_after("import keepstep._pytest_plugin") - modules_after("")
    assert new == {"keepstep", "keepstep._pytest_plugin"}


def test_the_control_of_the_cost_sees_what_is_heavy():
    new = modules_after("import keepstep.testing.suites") - modules_after("")
    assert {"kazoo", "hypothesis", "statemachine", "keepstep.testing"} <= new


def test_a_session_that_uses_no_fixture_loads_nothing_heavy(run_tests):
    done = run_tests(
        "import sys\n"
        "def test_nothing():\n"
        "    heavy = {'kazoo', 'hypothesis', 'statemachine', 'keepstep.testing'}\n"
        "    assert not heavy & set(sys.modules)\n",
        "-p", "no:hypothesispytest", "-p", "no:_hypothesis_pytestplugin",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--keepstep-servers=2", "invalid choice: 2"),
        ("--keepstep-seed=often", "it is a whole number from 0, not 'often'"),
        ("--keepstep-seed=-1", "it is a whole number from 0, not '-1'"),
        ("--keepstep-runs=0", "it is a whole number from 1, not '0'"),
        ("--keepstep-lane=slow", "invalid choice: 'slow'"),
        ("--keepstep-on=paper", "invalid choice: 'paper'"),
    ],
)
def test_an_option_that_makes_no_sense_is_a_usage_error(run_tests, option, said):
    done = run_tests("def test_nothing(): pass\n", option)
    assert done.returncode == USAGE_ERROR
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("keepstep_lane('slow')", "keepstep_lane is given 'slow'; it takes 'quick' or 'full'"),
        ("keepstep_lane", "keepstep_lane is given nothing; it takes 'quick' or 'full'"),
        ("keepstep_needs('cut', 'flood')", "keepstep_needs names no fault 'flood'; there are: "),
    ],
)
def test_a_mark_that_makes_no_sense_is_a_usage_error(run_tests, mark, said):
    done = run_tests(f"import pytest\n@pytest.mark.{mark}\ndef test_nothing(): pass\n")
    assert done.returncode == USAGE_ERROR
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


LANES = """
import pytest

def test_one(): pass

@pytest.mark.keepstep_lane("full")
def test_two(): pass
"""


def test_the_full_lane_runs_only_when_asked_for(run_tests):
    assert "1 passed, 1 deselected" in run_tests(LANES).stdout
    done = run_tests(LANES, "--keepstep-lane=full")
    assert "2 passed" in done.stdout


def test_options_that_were_given_are_told(run_tests):
    done = run_tests(LANES, "--keepstep-seed=7", "--keepstep-on=fake", "-v")
    assert "keepstep: seed 7, on fake" in done.stdout


FAKE = """
def test_the_fake(keepstep_fake):
    with keepstep_fake.connect() as client:
        assert client.create("/a-", sequential=True) == "/a-0000000000"
    assert len(keepstep_fake.server_numbers) == 3

def test_another_fake(keepstep_fake):
    assert set(keepstep_fake.tree()) <= {"/", "/zookeeper"}
"""


def test_the_fake_is_new_in_each_test(run_tests):
    done = run_tests(FAKE, "--keepstep-servers=3")
    assert done.returncode == 0, done.stdout


REAL = """
import pytest
from kazoo.client import KazooClient
from keepstep.testing import WireClient

seen = []

@pytest.mark.parametrize("round", [1, 2])
def test_a_place_of_its_own(keepstep_chroot, round):
    client = KazooClient(keepstep_chroot.hosts)
    client.start()
    assert client.get_children("/") == []
    client.create("/a/b", b"", makepath=True)
    client.stop()
    client.close()
    seen.append(keepstep_chroot.path)

def test_they_share_a_server_and_leave_nothing(keepstep_server):
    assert len(set(seen)) == 2
    with WireClient(keepstep_server.address) as client:
        assert client.get_children("/") == ["zookeeper"]

@pytest.mark.keepstep_needs("cut", "expire")
def test_faults_are_proved_by_the_server(keepstep_faults):
    proxy = next(iter(keepstep_faults.ways.proxies.values()))
    client = WireClient(proxy.address)
    fault = keepstep_faults.inject("expire")
    assert fault.prove().happened, fault.prove().evidence
    client.abandon()

def test_faults_hit_a_server_of_the_tests_own(keepstep_faults, keepstep_server):
    (server,) = keepstep_faults.target.servers.values()
    assert server.address != keepstep_server.address

def test_a_recorder_is_there(keepstep_recorder, tmp_path):
    keepstep_recorder.begin("/latch", "/latch-fence")
    keepstep_recorder.end()
    assert (tmp_path / "election.jsonl").stat().st_size
"""


@pytest.mark.tools
@pytest.mark.zookeeper
def test_fixtures_of_real_servers(run_tests):
    done = run_tests(REAL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


REFUSED = """
import pytest
from keepstep.testing.faults import Availability
from keepstep.testing.suites import BoundFaults

@pytest.fixture(autouse=True)
def nothing_is_allowed(monkeypatch):
    no = lambda faults, name: Availability(False, "this machine has no key to it")
    monkeypatch.setattr(BoundFaults, "available", no)

@pytest.mark.keepstep_needs("cut")
def test_it(keepstep_faults):
    pass
"""


@pytest.mark.tools
@pytest.mark.zookeeper
def test_what_the_machine_does_not_allow_is_not_run_and_says_why(run_tests):
    done = run_tests(REFUSED, "-rs")
    assert "1 skipped" in done.stdout
    assert "NOT RUN: cut is not available: this machine has no key to it" in done.stdout


ENSEMBLE = """
from keepstep.testing import Observer

def test_one(keepstep_ensemble):
    assert len(keepstep_ensemble.servers) == 3
    keepstep_ensemble.servers[1].kill()

def test_two(keepstep_ensemble, keepstep_faults):
    assert keepstep_ensemble.servers[1].running
    assert keepstep_faults.target.ensemble is keepstep_ensemble
"""


@pytest.mark.full
@pytest.mark.tools
@pytest.mark.zookeeper
def test_an_ensemble_is_whole_when_a_test_begins(run_tests):
    done = run_tests(ENSEMBLE)
    assert done.returncode == 0, done.stdout + done.stderr
