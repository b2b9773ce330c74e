"""Walks: nothing happens but what is chosen, every promise is checked, and what fails replays."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from keepstep.cli.campaign import command
from keepstep.errors import LocalViolation
from keepstep.exploration.ledger import Ledger, modules_of
from keepstep.shell.inbox import Lane
from keepstep.simulation import FakeZooKeeper
from keepstep.simulation.fake import Kind
from keepstep.testing import Create
from keepstep.testing.election import campaign as campaigns
from keepstep.testing.election.campaign import Plan
from keepstep.testing.election.coverage import UNREACHABLE, Coverage, all_transitions
from keepstep.testing.election.offers import Bounds, Outlook
from keepstep.testing.election.recorder import ElectionRecorder
from keepstep.testing.election.replaying import on_the_fake, shrink
from keepstep.testing.election.simulated import SimulatedArena
from keepstep.testing.election.step_choice import Choice
from keepstep.testing.election.suite import SavedRun, replay
from keepstep.testing.election.walk_campaign import WalkCampaign
from keepstep.testing.election.walks import SEED_OF_THE_FAKE, Walks
from keepstep.testing.election.world import ElectionWorld
from keepstep.testing.step import Step
from keepstep.tla.sources import Project, shipped_root

BEGIN = Step("step_by_step")
CONNECT = Step("connect", {"who": 0, "server": 0})


def world_at(*steps: Step, arena: SimulatedArena | None = None, shells: int = 1, faults: int = 2):
    """An election after some steps, and who looks at it."""
    arena = arena or SimulatedArena(1, SEED_OF_THE_FAKE)
    world = ElectionWorld(arena, Coverage())
    world.perform(BEGIN)
    outlook = Outlook(arena, world, Bounds(arena.servers, shells, faults))
    for step in steps:
        offered = next(offer for offer in outlook.offers() if offer.step == step)
        world.perform(step)
        outlook.advance(offered)
    return world, outlook


def steps_of(outlook):
    return {str(offer.step) for offer in outlook.offers()}


# --- What may happen next ---


def test_whatever_is_possible_on_the_fake_can_be_had_and_leads_to_what_was_asked_for():
    for last_first in (False, True):
        zookeeper = FakeZooKeeper(servers=3, seed=1)
        clients = [zookeeper.connect(server) for server in range(3)]
        asked = [c.submit_operation(Create(f"/a{n}")) for n, c in enumerate(clients)]
        kinds = set()
        while possible := zookeeper.possible():
            happening = possible[-1 if last_first else 0]
            kinds.add(happening.kind)
            zookeeper.let(happening)
        assert kinds == set(Kind)
        assert all(c.answered(xid) for c, xid in zip(clients, asked, strict=True))
        assert all(set(zookeeper.tree(n)) >= {"/a0", "/a1", "/a2"} for n in range(3))
        assert not zookeeper.step()


def test_to_list_what_is_possible_changes_nothing():
    histories = []
    for looks in (False, True):
        zookeeper = FakeZooKeeper(servers=3, seed=5)
        clients = [zookeeper.connect(server) for server in range(3)]
        for number in range(6):
            clients[number % 3].submit_operation(Create(f"/n{number}"))
        while zookeeper.step():
            if looks:
                zookeeper.possible()
        histories.append([(t.zxid, t.changes[0].path) for t in zookeeper.transactions()[3:]])
    assert histories[0] == histories[1]


def test_nothing_happens_but_what_is_chosen():
    world, outlook = world_at()
    assert {"start()", "wipe_server()", "restart_server()"} == steps_of(outlook)
    world, outlook = world_at(Step("start"))
    assert "connect(who=0, server=0)" in steps_of(outlook)
    world, outlook = world_at(Step("start"), CONNECT, Step("deliver", {"who": 0, "lane": "state"}))
    shell = world.seats[0].shell
    assert shell.state == "syncing"
    # It has asked; the server takes the request only when somebody lets it.
    assert "happen(what=deliver, who=0, nth=0)" in steps_of(outlook)
    assert not any(step.startswith("happen(what=decide") for step in steps_of(outlook))
    world.perform(Step("deliver", {"who": 0, "lane": "any"}))
    assert (shell.state, shell.pending(Lane.ANSWER)) == ("syncing", 0)
    for what in ("deliver", "decide", "answer", "receive"):
        who = {"server": 0} if what == "decide" else {"who": 0, "nth": 0}
        world.perform(Step("happen", {"what": what, **who}))
    assert shell.pending(Lane.ANSWER) == 1
    world.close()


def test_what_is_not_possible_does_not_happen():
    world, _ = world_at(Step("start"))
    arena = world._arena
    before = arena.zookeeper.zxid
    for what in [*map(str, Kind), "lose", "no such thing"]:
        assert not arena.happen(what, who=0, nth=0, server=0)
    assert not arena.happen("decide", who=0, nth=0, server=7)
    assert not arena.notice(0)
    assert not arena.connect(0, 5)
    assert not arena.connect(3, 0)
    assert arena.zookeeper.zxid == before
    # Steps that mean nothing now do nothing: a shortened run has such.
    world.perform(Step("happen", {"what": "receive", "who": 2, "nth": 4}))
    world.perform(Step("notice", {"who": 1}))
    world.finish()
    world.close()


def test_a_cut_leaves_it_open_whether_a_request_still_arrives():
    state = Step("deliver", {"who": 0, "lane": "state"})
    for what in ("deliver", "lose"):
        world, outlook = world_at(Step("start"), CONNECT, state, Step("cut", {"who": 0}))
        late = Step("happen", {"what": what, "who": 0, "nth": 0})
        assert {"notice(who=0)", str(late)} <= steps_of(outlook)
        assert outlook.faults_left == 1
        world.perform(late)
        assert bool(world._arena.zookeeper.servers[0].queue) == (what == "deliver")
        world.perform(Step("notice", {"who": 0}))
        world.perform(state)
        assert world.seats[0].shell.state == "offline"
        world.finish()
        world.close()


def test_no_fault_is_offered_once_they_are_spent():
    _, outlook = world_at(Step("start"), faults=0)
    assert not any(offer.costs for offer in outlook.offers())
    walks = Walks(2, Bounds(shells=2, faults=1, length=80), Choice.UNIFORM, settle=False)
    assert {walks.walk().faults for _ in range(10)} == {1}


@pytest.mark.parametrize(
    "bounds", [Bounds(servers=2), Bounds(shells=0), Bounds(shells=9), Bounds(faults=-1)]
)
def test_bounds_that_make_no_sense_are_refused(bounds):
    with pytest.raises(LocalViolation):
        Walks(1, bounds)
    with pytest.raises(LocalViolation, match="guided or uniform"):
        Walks(1, choice=Choice.WEIGHTED)


def test_elections_that_differ_in_names_and_numbers_look_alike():
    steps = [Step("start"), CONNECT, Step("deliver", {"who": 0, "lane": "state"})]
    arena = SimulatedArena(1, SEED_OF_THE_FAKE)
    world, first = world_at(*steps, arena=arena)
    appearance = first.appearance()
    world.close()
    _, again = world_at(*steps, arena=arena)
    assert again.appearance() == appearance
    _, shorter = world_at(*steps[:-1])
    assert shorter.appearance() != appearance
    _, cheaper = world_at(*steps, faults=1)
    assert cheaper.appearance() != appearance


# --- Walks ---


def test_the_same_seed_and_number_give_the_same_walk():
    def stories(seed):
        walks = Walks(seed, settle=False)
        return [tuple(walks.walk().world.story) for _ in range(8)]

    first = stories(3)
    assert first == stories(3)
    assert first != stories(4)


@pytest.mark.parametrize("servers", [1, 3])
def test_walks_keep_every_promise_and_are_behaviours_of_the_specification(servers):
    plan = Plan(servers=servers, seconds=300.0, seed=servers, examples=25)
    state = WalkCampaign.begin(plan).run()
    assert not state.failures, "\n".join(state.failures[0].story)
    assert state.validated == {"valid": 25}
    assert (state.coverage.examples, state.plan.examples) == (25, 25)
    assert state.told_apart > 500
    # It says what it has not seen, so that nobody takes it for a good one.
    assert any("was never taken" in gap for gap in state.gaps())
    assert not any("memory" in gap for gap in state.gaps())


def test_a_walk_is_repeated_by_its_steps_alone():
    walks = Walks(6, Bounds(shells=2, faults=2))
    for _ in range(12):
        world = walks.walk().world
        again = replay(
            world.steps, SimulatedArena(1, SEED_OF_THE_FAKE), recorder=ElectionRecorder()
        )
        assert again.story == world.story


def test_guided_walks_see_more_than_uniform_ones():
    possible = all_transitions() - set(UNREACHABLE)
    seen = {}
    for choice in (Choice.GUIDED, Choice.UNIFORM):
        walks = Walks(12, Bounds(shells=1, faults=2), choice, settle=False)
        while walks.steps < 6_000:
            walks.walk()
        seen[choice] = len(possible & walks.first.keys())
    assert seen[Choice.UNIFORM] < 20
    assert seen[Choice.GUIDED] > 1.5 * seen[Choice.UNIFORM]


# --- What they find ---


@pytest.mark.parametrize(
    ("bug", "most"), [("compared-when-enqueued", 6_000), ("owner-by-name", 12_000)]
)
def test_a_seeded_bug_is_found_saved_repeated_and_shortened(bug, most, seeded_bugs, tmp_path):
    plan = Plan(servers=1, seconds=300.0, seed=1, examples=400)
    campaign = WalkCampaign.begin(plan, shell_class=seeded_bugs[bug], out=tmp_path)

    def stop_at_the_first(name, state):
        if state.failures or state.coverage.steps > most:
            raise KeyboardInterrupt

    campaign._progress = stop_at_the_first
    state = campaign.run()
    assert len(state.failures) == 1
    failed = state.failures[0]
    saved = SavedRun.load(tmp_path / failed.file)
    assert saved.promise == failed.promise
    assert saved.steps[0] == BEGIN
    assert any(step.rule == "happen" for step in saved.steps)
    found = on_the_fake(saved.steps, servers=1, shell_class=seeded_bugs[bug])
    assert (found.promise, found.runs, found.seed) == (saved.promise, 1, SEED_OF_THE_FAKE)
    shrunk = shrink(found, servers=1, shell_class=seeded_bugs[bug])
    assert shrunk.promise == saved.promise
    assert len(shrunk.steps) <= 20
    # The shipped shell is not found guilty by the same steps.
    assert on_the_fake(saved.steps, servers=1, seeds=range(2)).promise is None


@pytest.mark.zookeeper
def test_on_real_servers_nobody_chooses_what_happens(ensemble_of_one):
    walks = Walks(6, Bounds(shells=1, faults=1, length=30), settle=False)
    steps = walks.walk().world.steps
    world = replay(steps, ensemble_of_one)
    assert not world.broken, "\n".join(world.story)
    told = "\n".join(world.story)
    assert told.count("not done: on real servers things happen by themselves") >= 1
    assert "attach: offline -> syncing" in told


# --- On the command line ---


def run(*arguments):
    return CliRunner().invoke(command, ["--on-fake", "--seconds", "300", *arguments])


def test_the_command_walks_and_says_so(tmp_path):
    records, ledger = tmp_path / "records", tmp_path / "ledger.json"
    options = ("--examples", "6", "--seed", "3", "--ledger", str(ledger), "--record", str(records))
    result = run(*options, "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["verdict"], told["on_fake"]) == (3, "INCONCLUSIVE", True)
    assert told["plan"]["servers"] == 1
    assert told["validated"] == {"valid": 6}
    assert len(list(records.glob("*.jsonl"))) == 6
    (entry,) = Ledger.read(ledger, modules_of(Project(shipped_root()))).runs.values()
    # Nobody shall take it for what real servers have shown.
    assert (entry.source, entry.server, entry.examples) == ("walks", "fake", 6)
    result = run("--examples", "2", "--seed", "3")
    assert "walked on the fake, and told" in result.output
    assert "recorded runs compared with the specification: 2 valid" in result.output


def test_the_command_finds_a_seeded_bug(shell_name, tmp_path):
    options = ("--examples", "60", "--seed", "1", "--out", str(tmp_path))
    result = run(*options, "--shell", shell_name("compared-when-enqueued"))
    assert result.exit_code == 1
    assert "BROKEN: a shell takes whatever it is told, in walk " in result.output
    assert "repeat it with `keepstep replay " in result.output
    assert list(tmp_path.glob("failure-1-*.json"))


@pytest.mark.parametrize("full", ["out", "record"])
def test_what_is_found_is_told_though_it_cannot_be_written(shell_name, tmp_path, monkeypatch, full):
    def no_room(*_):
        raise LocalViolation("cannot write it: No space left on device")

    if full == "out":
        monkeypatch.setattr(SavedRun, "save", no_room)
    else:
        monkeypatch.setattr(campaigns, "write_recordings", no_room)
    options = ["--examples", "60", "--seed", "1", f"--{full}", str(tmp_path / full)]
    result = run(*options, "--shell", shell_name("compared-when-enqueued"), "--json")
    told = json.loads(result.stdout)
    found = full == "out"
    assert (result.exit_code, len(told["failures"])) == (1 if found else 2, int(found))
    assert told["unwritten"].endswith("No space left on device")
    assert "the campaign has ended early: cannot write it" in result.stderr


def test_what_an_earlier_campaign_has_saved_stays(shell_name, tmp_path, monkeypatch):
    monkeypatch.setattr(campaigns, "MOST_FAILURES", 1)
    options = ["--examples", "60", "--seed", "1", "--out", str(tmp_path)]
    for count in (1, 2):
        run(*options, "--shell", shell_name("compared-when-enqueued"))
        assert len(list(tmp_path.glob("*.json"))) == len(list(tmp_path.glob("*.jsonl"))) == count


@pytest.mark.parametrize(
    "options", [("--namespaces",), ("--faults", "all"), ("--state", "x"), ("--resume", "x")]
)
def test_options_that_mean_nothing_on_the_fake_are_refused(options):
    result = run(*options)
    assert result.exit_code == 2
    assert "goes with" in result.output


def test_weighted_choice_is_refused():
    result = run("--choice", "weighted")
    assert isinstance(result.exception, LocalViolation)
    with pytest.raises(LocalViolation, match="faults of their own"):
        WalkCampaign.begin(Plan(faults=("cut",)))
