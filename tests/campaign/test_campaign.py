"""Campaigns on real servers: short ones say what they have not seen, and one finds a bug."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext

import psutil
import pytest
from click.testing import CliRunner

from keepstep.cli import campaign as cli
from keepstep.cli.replay import command as replay_command
from keepstep.errors import LocalViolation, ToolFailed, ToolMissing
from keepstep.shell.contender_shell import ContenderShell
from keepstep.testing.election import campaign as campaigns
from keepstep.testing.election.arenas import EnsembleArena
from keepstep.testing.election.campaign import Campaign, CampaignState, Plan, all_faults
from keepstep.testing.election.coverage import Coverage
from keepstep.testing.election.scenarios import scenarios
from keepstep.testing.election.suite import SavedRun, replay
from keepstep.testing.election.world import ElectionWorld, Step
from keepstep.testing.network.namespaces import why_no_namespaces
from keepstep.validation.recording import read_recordings

pytestmark = pytest.mark.zookeeper


@pytest.fixture
def few_examples(monkeypatch):
    few = {name: scenarios()[name] for name in ("killed", "handing over in turn")}
    monkeypatch.setattr(campaigns, "scenarios", lambda: few)


def run(*arguments):
    return CliRunner().invoke(cli.command, list(arguments))


def test_a_short_campaign_says_what_it_has_not_seen(few_examples, shared_servers, tmp_path):
    state = tmp_path / "state.json"
    result = run(
        "--servers", "1", "--examples", "4", "--seed", "3", "--faults", "cut,kill-leader",
        "--state", str(state), "--out", str(tmp_path / "out"), "--json",
        "--record", str(tmp_path / "runs"),
    )  # fmt: skip
    told = json.loads(result.stdout)
    assert (result.exit_code, told["exit_code"], told["verdict"]) == (3, 3, "INCONCLUSIVE")
    recordings = [each for file in (tmp_path / "runs").iterdir() for each in read_recordings(file)]
    assert len(recordings) == 4
    assert sum(len(each.records) for each in recordings) == told["records"]
    assert told["compared"]["candidates"]["largest"] >= 1
    assert told["failures"] == []
    assert told["left"] == []
    assert told["examples"] == 4
    assert set(told["validated"]) == {"valid"}
    assert told["records"] > 50
    assert told["edges"]
    assert "it needs at least 3 servers" in told["faults_not_run"]["kill-leader"]
    assert any("'wipe server' never hit a leader" in gap for gap in told["missing"])
    assert not any("'kill-leader'" in gap for gap in told["missing"])
    assert CampaignState.load(state).following == told["examples"]
    assert list((tmp_path / "out").iterdir()) == []


def test_a_campaign_that_was_interrupted_goes_on_where_it_was(
    few_examples, shared_servers, tmp_path
):
    state = tmp_path / "state.json"
    names = []

    def stop(name, _):
        names.append(name)
        if len(names) == 2:
            raise KeyboardInterrupt

    plan = Plan(servers=1, seconds=600, seed=4, examples=2)
    ended = Campaign.begin(plan, state_file=state, progress=stop).run()
    assert ended.interrupted
    assert "it was interrupted" in list(ended.gaps())
    assert (ended.following, ended.left) == (1, [])
    found = CampaignState.load(state)
    assert (found.plan, found.following) == (plan, 1)
    assert found.coverage.steps == ended.coverage.steps
    again = Campaign(found.extended(None), state_file=state, progress=stop).run()
    assert names[1] == names[2]
    assert (again.coverage.examples, again.following, again.interrupted) == (2, 2, False)


def test_an_interrupt_is_not_lost_among_the_troubles_of_cleaning_up(few_examples, monkeypatch):
    recover, calls = EnsembleArena.recover, []

    def fail(self):
        calls.append(self)
        if len(calls) > 2:
            raise ToolFailed("no leader came about")
        recover(self)

    def stop(world, **_):
        if len(calls) >= 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(EnsembleArena, "recover", fail)
    monkeypatch.setitem(ElectionWorld.RULES, "kill", stop)
    monkeypatch.setitem(ElectionWorld.RULES, "resign", stop)
    ended = Campaign.begin(Plan(servers=1, examples=4)).run()
    assert ended.interrupted
    assert ended.troubles == []


def test_ctrl_c_ends_the_command_in_good_order(tmp_path):
    state = tmp_path / "state.json"
    arguments = ["--servers", "1", "--seconds", "300", "--faults", "none", "--state", str(state)]
    code = "from keepstep.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "campaign", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 120
        while not state.exists() or CampaignState.load(state).following < 1:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "missing: it was interrupted" in out
    assert f"keepstep campaign --resume {state}" in out
    assert children
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_a_process_that_is_left_is_told(few_examples, shared_servers):
    left = []

    def leave(*_):
        if not left:
            left.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))

    try:
        ended = Campaign.begin(Plan(servers=1, examples=1), progress=leave).run()
    finally:
        left[0].kill()
        left[0].wait()
    assert [line for line in ended.left if "time.sleep(60)" in line]
    assert [gap for gap in ended.gaps() if gap.startswith("a process was left")]


def test_servers_that_fail_are_made_anew_and_told(few_examples, monkeypatch):
    recover, failures = EnsembleArena.recover, []

    def fail_once(self):
        recover(self)
        if len(failures) < 1 and self.next_number() > 1:
            failures.append(self)
            raise ToolFailed("no leader came about")

    monkeypatch.setattr(EnsembleArena, "recover", fail_once)
    ended = Campaign.begin(Plan(servers=1, seconds=600, examples=4)).run()
    assert ended.troubles == ["ToolFailed: no leader came about"]
    assert ended.coverage.examples == 4
    assert not ended.failures


@pytest.mark.parametrize(
    ("servers", "faults"),
    [
        (1, ["expire", "lost-reply", "restart-server"]),
        (3, ["kill-leader", "lag-follower"]),
        pytest.param(1, all_faults(), marks=pytest.mark.full),
        pytest.param(3, all_faults(), marks=pytest.mark.full),
        pytest.param(5, ["kill-leader", "lose-data-of-majority"], marks=pytest.mark.full),
    ],
)
def test_the_promises_hold_on_an_ensemble_under_packages(servers, faults, ensemble_of_one):
    with nullcontext(ensemble_of_one) if servers == 1 else EnsembleArena(servers) as arena:
        faults = [package for package in faults if arena.available(package).allowed]
        coverage = Coverage(faults, faults)
        for name, steps in campaigns.tour(faults).items():
            world = replay(steps, arena, coverage=coverage)
            assert not world.broken, "\n".join([name, *world.story])
        # The book that is kept from the logs says what the leader says.
        assert arena.sessions() == arena.sessions_at_rest()
    assert not coverage.missing_faults()
    assert set(coverage.proved) == set(faults)
    assert not coverage.unhealed


@pytest.mark.full
def test_all_data_of_a_majority_is_lost_and_one_leads_all_the_same():
    steps = [
        Step("begin", {"count": 2}),
        Step("write", {"who": "leader"}),
        Step("inject", {"package": "lose-data-of-majority", "who": "leader", "server": "any"}),
        Step("run"),
        Step("heal"),
        Step("write", {"who": "leader"}),
        # A server that still had its old data would lead now, by its higher transaction id.
        Step("inject", {"package": "kill-leader", "who": "leader", "server": "any"}),
        Step("run"),
        Step("write", {"who": "leader"}),
        Step("heal"),
    ]
    with EnsembleArena(3) as arena:
        world = replay(steps, arena)
        assert not world.broken, "\n".join(world.story)
        assert not replay([Step("begin", {"count": 2})], arena).broken
    assert len({raised.incarnation for raised in world.ledger.raised}) == 2


def test_a_campaign_finds_a_seeded_bug_saves_it_and_replay_confirms_it(
    few_examples, shared_servers, monkeypatch, tmp_path, shell_name
):
    monkeypatch.setattr(campaigns, "MOST_FAILURES", 1)
    shell, out = shell_name("unfenced-write"), tmp_path / "out"
    result = run(
        "--servers", "1", "--seconds", "120", "--seed", "1", "--faults", "none",
        "--shell", shell, "--out", str(out), "--json",
    )  # fmt: skip
    told = json.loads(result.stdout)
    assert (result.exit_code, told["verdict"]) == (1, "BROKEN")
    (failure,) = told["failures"]
    saved = SavedRun.load(file := next(out.glob("*.json")))
    assert failure["file"] == str(file)
    assert (saved.promise, saved.about["servers"], saved.about["seed"]) == (
        failure["promise"], 1, 1,
    )  # fmt: skip
    assert saved.about["shell"] == shell
    assert file.with_suffix(".jsonl").stat().st_size > 100

    short = tmp_path / "short.json"
    again = CliRunner().invoke(
        replay_command, [str(file), "--shell", shell, "--shrink", "--save", str(short), "--json"]
    )
    told = json.loads(again.stdout)
    assert again.exit_code == 1, told["verdict"]
    assert told["verdict"].startswith("BROKEN, confirmed on real servers")
    assert len(told["shrunk"]["steps"]) <= min(6, len(saved.steps))
    assert SavedRun.load(short).promise == saved.promise
    shipped = CliRunner().invoke(replay_command, [str(short), "--on", "real", "--tries", "1"])
    assert (shipped.exit_code, shipped.output.splitlines()[-1]) == (0, "kept")


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_minute_on_three_servers_breaks_no_promise(tmp_path):
    result = run("--seconds", "60", "--seed", "1", "--out", str(tmp_path), "--json")
    told = json.loads(result.stdout)
    assert told["failures"] == [], "\n".join(told["failures"][0]["story"])
    assert set(told["validated"]) == {"valid"}
    assert told["left"] == []
    assert told["exit_code"] in {0, 3}
    assert len(told["transitions"]) >= 30


@pytest.mark.full
@pytest.mark.timeout(600)
def test_the_kernel_separates_servers_in_a_campaign():
    inside = ["unshare", "-Urn"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("NOT RUN: the kernel allows no user and network namespaces here")
    code = (
        "from keepstep.testing.election import campaign; campaign.scenarios = dict; "
        "from keepstep.cli.main import main; main()"
    )
    faults = "partition-servers-kernel,partition-servers"
    done = subprocess.run(
        [
            *inside, sys.executable, "-c", code, "campaign", "--namespaces",
            "--examples", "2", "--faults", faults, "--seconds", "120", "--json",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert (done.returncode, told["failures"], told["left"]) == (3, [], [])
    assert told["faults_shown"]["partition-servers-kernel"] == 1
    assert "without links=True" in told["faults_not_run"]["partition-servers"]


# --- Bad input ---


@pytest.mark.skipif(not why_no_namespaces(), reason="this process is in a private network")
def test_namespaces_that_this_process_cannot_have_are_told_of():
    result = run("--namespaces", "--seconds", "5")
    assert isinstance(result.exception, ToolFailed | ToolMissing)
    assert "no network namespaces" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--servers", "2"], "1, 3 or 5 servers"),
        (["--faults", "earthquake"], "no fault 'earthquake'; there are:"),
        (["--shell", "nowhere:Shell"], "there is no such class"),
        (["--shell", "json:loads"], "no subclass of ContenderShell"),
        (["--shell", ""], "there is no such class"),
        (["--resume", "nothing.json"], "no state of a campaign: No such file"),
    ],
)
def test_bad_input_is_refused_before_anything_is_started(arguments, complaint, monkeypatch):
    monkeypatch.setattr(campaigns, "EnsembleArena", None)
    result = run(*arguments)
    assert isinstance(result.exception, LocalViolation)
    assert complaint in str(result.exception)


def test_what_cannot_be_written_is_no_trouble_of_servers(
    few_examples, shared_servers, monkeypatch, tmp_path
):
    def no_room(*_):
        raise LocalViolation("cannot write it: No space left on device")

    monkeypatch.setattr(campaigns, "write_recordings", no_room)
    result = run(
        "--servers", "1", "--examples", "3", "--faults", "none", "--json",
        "--record", str(tmp_path / "runs"),
    )  # fmt: skip
    told = json.loads(result.stdout)
    assert (result.exit_code, told["verdict"], told["examples"]) == (2, "NOT KEPT", 1)
    assert told["unwritten"].endswith("No space left on device")


@pytest.mark.parametrize("names", ["", ",", " , "])
def test_no_name_of_a_fault_is_no_choice_of_faults(names):
    result = run("--faults", names)
    assert (result.exit_code, "write `--faults none`" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told.pop("kind"), "'kind' is missing"),
        (lambda told: told["coverage"].update(transitions=[[1, 2, 3, "x"]]), "invalid literal"),
        (lambda told: told.update(edges=[[1]]), "not enough values"),
    ],
)
def test_a_state_that_was_edited_wrongly_is_refused_in_words(
    few_examples, shared_servers, tmp_path, change, said
):
    state = tmp_path / "state.json"
    run("--servers", "1", "--examples", "1", "--faults", "none", "--state", str(state))
    told = json.loads(state.read_text())
    change(told)
    state.write_text(json.dumps(told))
    with pytest.raises(LocalViolation, match=f"no state of a campaign: .*{said}"):
        CampaignState.load(state)


def test_resume_decides_what_the_file_decides():
    result = run("--resume", "state.json", "--seed", "3")
    assert result.exit_code == 2
    assert "--resume goes with" in result.output


def test_the_table_is_for_people(few_examples, shared_servers):
    result = run("--servers", "1", "--examples", "1", "--faults", "none")
    assert result.exit_code == 3
    last = result.output.splitlines()[-1]
    assert last.startswith("INCONCLUSIVE: ")
    assert "no process left" in last
    assert "memory not measured" in result.output


def test_the_shipped_shell_is_the_default():
    assert cli.shell_of(None) is ContenderShell
