"""The fixtures derive to the golden files, and those are good Python.

With KEEPSTEP_ACCEPT=1 the golden files are written anew; read the difference before you keep it.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ruff

from keepstep.cli.derive import Target, derive_targets
from keepstep.core.machine import Cell, Refused
from keepstep.errors import LocalViolation
from keepstep.tla.sources import Project

HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"
GOLDEN = FIXTURES / "golden"

ROLES = {
    "derived_study": ("study", ["Contender"]),
    "derived_tasks": ("tasks", ["MiddleManager", "Overlord"]),
    "derived_segments": ("segments", ["Announcer", "Broker", "Coordinator", "Replica", "View"]),
    "derived_lamp": ("lamp", ["Keeper"]),
}
"""For each golden package: the folder of its specification, and the role modules there."""

pytestmark = pytest.mark.tools

GOLDEN_FILES = sorted(GOLDEN.glob("*/[!_]*.py"))


@pytest.fixture(scope="module")
def derived():
    """Every fixture derived, by the path where its golden file is."""
    targets = [
        Target(FIXTURES / folder / f"{module}.tla", GOLDEN / package, package)
        for package, (folder, modules) in ROLES.items()
        for module in modules
    ]
    found = {one.path: one for one in derive_targets(Project(HERE.parents[1]), targets)}
    if os.environ.get("KEEPSTEP_ACCEPT"):
        for one in found.values():
            one.path.write_text(one.text)
    return found


@pytest.fixture
def golden(monkeypatch):
    """Imports a module of a golden package."""
    monkeypatch.syspath_prepend(GOLDEN)
    yield importlib.import_module
    for name in [name for name in sys.modules if name.partition(".")[0] in ROLES]:
        del sys.modules[name]


def test_every_golden_file_is_derived_and_no_other(derived):
    assert sorted(derived) == GOLDEN_FILES


@pytest.mark.parametrize("path", GOLDEN_FILES, ids=lambda path: path.stem)
def test_a_fixture_derives_to_its_golden_file(derived, path):
    assert derived[path].text == path.read_text()


def test_a_vocabulary_of_two_roles_is_emitted_once(derived):
    shared = (GOLDEN / "derived_tasks").glob("task_types.py")
    assert [path in derived for path in shared] == [True]
    for role in ("overlord", "middle_manager"):
        text = (GOLDEN / "derived_tasks" / f"{role}.py").read_text()
        assert "from derived_tasks.task_types import" in text
        assert "class Assignment" not in text


def test_golden_files_pass_mypy_strict_and_a_wrong_use_of_them_does_not(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from derived_lamp.keeper import Keeper, KeeperFacts\n"
        "from keepstep.core.ids import NodeId\n"
        "from keepstep.core.machine import Cell\n"
        "Keeper(Cell(NodeId('k1'), KeeperFacts(night='first')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"),
         "--config-file", "/dev/null", *ROLES, str(wrong)],
        cwd=GOLDEN, capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.split(":")[0] for line in errors] == [str(wrong)], done.stdout


def test_golden_files_pass_ruff():
    rules = "A,B,C4,E,F,PIE,RET,RUF,SIM,UP,W"
    command = [ruff.find_ruff_bin(), "check", "--isolated", "--select", rules, str(GOLDEN)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# --- A few steps of each machine ----------------------------------------------------------


def tell(machine, *inputs):
    """Tell a machine one input after the other; what it asks for, in order."""
    return [asked for told in inputs for asked in machine.step(told)]


def test_contender_of_the_study(golden):
    c = golden("derived_study.contender")

    machine = c.Contender(Cell("n1", c.ContenderFacts()))
    ticket = c.TicketName(number=3, node="n1")
    asked = tell(
        machine,
        c.Connected(7),
        c.TicketsListed(frozenset({ticket, c.TicketName(number=4, node="n2")})),
        c.TicketInspected(7),
        c.EpochRead(5),
        c.EpochRaised(6),
        c.DutyDue(),
    )
    assert asked == [
        c.ListTickets(), c.InspectTicket(3), c.ReadEpoch(), c.RaiseEpoch(5), c.WriteFenced(6),
    ]  # fmt: skip
    with pytest.raises(Refused):
        machine.step(c.DutyDue())
    assert machine.facts == c.ContenderFacts(session=7, ticket=3, fence=6)


def test_a_task_from_its_book_to_its_worker(golden):
    m = golden("derived_tasks.middle_manager")
    o = golden("derived_tasks.overlord")

    overlord = o.Overlord(Cell("o1", o.OverlordFacts(), settings=o.OverlordSettings(capacity=1)))
    registration = o.Registration(worker="w1", incarnation=7, version=0, disabled=False)
    book = frozenset(o.Entry(task=f"t{n}", attempt=1, published=False) for n in (1, 2))
    tell(
        overlord,
        o.Appointed(3),
        o.TasksLoaded(book),
        o.WorkersListed(frozenset({registration})),
        o.AssignmentsListed(frozenset()),
        o.StatusesListed(frozenset()),
    )
    both = frozenset(o.Placement(task=f"t{n}", worker="w1") for n in (1, 2))
    with pytest.raises(Refused):
        overlord.step(o.PlacementsChosen(both))
    one = frozenset({o.Placement(task="t1", worker="w1")})
    (request,) = overlord.step(o.PlacementsChosen(one))
    assert request.registrations == frozenset({registration})

    worker = m.MiddleManager(Cell("w1", m.MiddleManagerFacts()))
    nothing = frozenset()
    tell(worker, m.Connected(7), m.WorkListed(nothing, nothing), m.Announced())
    (claim,) = worker.step(m.WorkListed(request.assignments, nothing))
    assert claim == m.ClaimAssignments(request.assignments)
    tell(worker, m.Claimed(claim.assignments), m.AttemptEnded("t1", 1, "success"))
    assert worker.facts.held == {m.Holding("t1", 1, "success", 0)}
    with pytest.raises(Refused):
        worker.step(m.AttemptEnded("t1", 1, "failed"))


def test_a_machine_without_its_settings_says_so(golden):
    o = golden("derived_tasks.overlord")

    machine = o.Overlord(Cell("o1", o.OverlordFacts()))
    with pytest.raises(LocalViolation, match="OverlordSettings"):
        _ = machine.settings


def test_announcer_replaces_the_entry_of_an_earlier_session(golden):
    a = golden("derived_segments.announcer")

    machine = a.Announcer(Cell("n1", a.AnnouncerFacts(wanted=frozenset({"s1"}))))
    entry = a.Entry(name="n1", id=1, stamp=1, version=4, owner=6, serves=frozenset({"s0"}))
    asked = tell(machine, a.Connected(7), a.EntryRead("n1", frozenset({entry})))
    assert asked == [
        a.ReadEntries(frozenset({"n1"})),
        a.ReplaceEntry(version=4, serves=frozenset({"s1"})),
    ]


def test_view_reads_what_is_outdated(golden):
    v = golden("derived_segments.view")

    machine = v.View(Cell("r1", v.ViewFacts()))
    asked = tell(
        machine, v.Connected(1), v.RefreshDue(), v.EntriesListed(frozenset({"n1"})), v.RefreshDue()
    )
    assert asked == [v.ListEntries(), v.ReadEntries(frozenset({"n1"}))]


def test_replica_serves_and_is_dropped(golden):
    r = golden("derived_segments.replica")

    machine = r.Replica(Cell("h1/s1", r.ReplicaFacts()))
    drop = r.Ordered(action="drop", keepers=frozenset())
    asked = tell(
        machine, r.Connected(cached=True), r.Announced(), drop, r.Withdrawn(), r.DropDelayOver()
    )
    assert asked == [r.Announce(consuming=False), r.Withdraw(frozenset()), r.Erase()]


def test_coordinator_refuses_to_load_what_is_not_used(golden):
    c = golden("derived_segments.coordinator")

    machine = c.Coordinator(Cell("c1", c.CoordinatorFacts()))
    replica = c.ReplicaId(node="h1", segment="s1")
    load = c.OrderChosen(c.Choice(replica=replica, action="load", keepers=frozenset()))
    tell(
        machine,
        c.Appointed(3),
        c.ServedSeen(nodes=frozenset({"h1"}), replicas=frozenset()),
        c.UsedSeen(frozenset()),
    )
    with pytest.raises(Refused):
        machine.step(load)
    asked = tell(machine, c.UsedSeen(frozenset({"s1"})), load)
    assert asked == [c.PlaceOrder(fence=3, choice=load.choice)]


def test_broker_merges_what_it_awaits(golden):
    b = golden("derived_segments.broker")

    machine = b.Broker(Cell("b1", b.BrokerFacts(), settings=b.BrokerSettings(rounds=2)))
    part = b.Part(node="h1", segment="s1")
    asked = tell(
        machine,
        b.TimelineSeen(frozenset({part})),
        b.QueryReceived(frozenset({"s1", "s2"})),
        b.RouteChosen(frozenset({part})),
        b.NodeAnswered(node="h1", round=1, served=frozenset({"s1"})),
        b.AnswerDue(),
    )
    assert asked[-1] == b.Answer(served=frozenset({"s1"}), missing=frozenset({"s2"}))


def test_keeper_uses_optional_and_keyed_facts(golden):
    k = golden("derived_lamp.keeper")

    machine = k.Keeper(Cell("k1", k.KeeperFacts(), settings=k.KeeperSettings(enough=5, lamp="old")))
    casks = [k.Cask(name=f"c{n}", litres=n, sealed=False) for n in (4, 6, 9)]
    listed = k.CasksListed(casks=frozenset(casks), leaking=frozenset({"c9"}))
    assert tell(machine, k.Dusk(1), listed) == [k.ListCasks(), k.Burn(cask=casks[1], litres=5)]
    assert machine.facts.burning == casks[1]
    assert machine.facts.spent is None
    with pytest.raises(Refused):
        machine.step(k.CaskChosen("c6"))
    assert tell(machine, k.CaskChosen("c4")) == [k.Burn(cask=casks[1], litres=-1)]
    assert k.Cask(name="c4", litres=3, sealed=False) in machine.facts.cellar
    assert tell(machine, k.Dusk(2), k.Dawn()) == [k.Shine(bright=False)]
    assert machine.facts.burning is None
    assert machine.facts.night == 1


def test_the_lamp_has_modes_whose_comment_runs_over_two_lines():
    text = (GOLDEN / "derived_lamp" / "keeper.py").read_text()
    assert "looking = State()  # has asked what is in the cellar, and waits on the stairs" in text
    assert (FIXTURES / "lamp" / "Keeper.tla").read_text().count("and waits on the stairs") == 1
