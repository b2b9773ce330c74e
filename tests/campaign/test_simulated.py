"""Elections on the fake: the shipped shell keeps every promise, each faulty one is found."""

from __future__ import annotations

from contextlib import suppress

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError

from keepstep.shell.contender_shell import ContenderShell
from keepstep.testing import ZooKeeperServer
from keepstep.testing.election.campaign import all_faults, tour
from keepstep.testing.election.coverage import Coverage
from keepstep.testing.election.replaying import on_the_fake, shrink
from keepstep.testing.election.scenarios import scenarios
from keepstep.testing.election.simulated import SimulatedArena
from keepstep.testing.election.step_choice import Choice, draw
from keepstep.testing.election.suite import SavedRun, replay
from keepstep.testing.election.world import Step

BUGS = [
    "compared-when-enqueued",
    "owner-by-name",
    "suspended-ignored",
    "unfenced-write",
    "unknown-create-not-created",
    "watch-not-rearmed",
]


def test_the_scenarios_keep_every_promise_on_the_fake_and_see_everything():
    coverage = Coverage()
    for name, steps in scenarios().items():
        world = replay(steps, SimulatedArena(), coverage=coverage)
        assert not world.broken, "\n".join([name, *world.story])
    assert list(coverage.gaps()) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_the_fault_packages_keep_every_promise_on_a_fake_of_three(seed):
    for name, steps in tour(all_faults()).items():
        world = replay(steps, SimulatedArena(3, seed))
        assert not world.broken, "\n".join([name, *world.story])


def test_drawn_runs_keep_every_promise_on_the_fake():
    for number in range(15):
        steps = draw(Choice.WEIGHTED, 3, number, all_faults()).steps
        world = replay(steps, SimulatedArena(3, number))
        assert not world.broken, "\n".join(world.story)


@pytest.mark.parametrize("seed", range(1, 60, 4))
def test_a_client_that_was_not_heard_learns_of_the_end_of_its_connection(seed):
    """Found by uniform choice: with some seeds its end waited behind a notification for ever."""
    steps = [
        Step("begin", {"count": 4}),
        Step("stop", {"who": 0}),
        Step("inject", {"package": "pause-client", "who": "next", "server": "leads"}),
        Step("release", {"who": "next"}),
        Step("stop", {"who": 3}),
        Step("run"),
        Step("kill", {"who": "leader"}),
        Step("expire", {"who": 2}),
        Step("wipe_server"),
        Step("drop_request", {"who": 1}),
    ]
    world = replay(steps, SimulatedArena(3, seed))
    assert not world.broken, "\n".join(world.story)


def test_the_same_seed_gives_the_same_run_and_another_one_another():
    steps = draw(Choice.WEIGHTED, 1, 8, all_faults()).steps
    stories = [tuple(replay(steps, SimulatedArena(3, seed)).story) for seed in (5, 5, 6, 7)]
    assert stories[0] == stories[1]
    assert len(set(stories)) > 1


def test_all_bugs_are_here(seeded_bugs):
    assert sorted(seeded_bugs) == BUGS


@pytest.mark.parametrize("bug", BUGS)
def test_the_fake_shows_each_seeded_bug_and_shortens_its_run(bug, seeded_bugs, saved_runs):
    saved = SavedRun.load(saved_runs[bug])
    found = on_the_fake(saved.steps, servers=1, shell_class=seeded_bugs[bug])
    assert found.promise == saved.promise, "\n".join(found.world.story)
    # Steps that have nothing to do with it are left out again.
    padding = [Step("start"), Step("write", {"who": 1}), Step("release", {"who": 0})]
    padded = on_the_fake([*saved.steps, *padding], servers=1, shell_class=seeded_bugs[bug])
    shrunk = shrink(padded, servers=1, shell_class=seeded_bugs[bug])
    assert shrunk.promise == saved.promise
    assert len(shrunk.steps) <= len(saved.steps)
    again = replay(shrunk.steps, SimulatedArena(1, shrunk.seed), shell_class=seeded_bugs[bug])
    assert again.story == shrunk.world.story


def test_the_shipped_shell_is_not_found_guilty(saved_runs):
    for file in saved_runs.values():
        kept = on_the_fake(SavedRun.load(file).steps, servers=1, seeds=range(3))
        assert (kept.promise, kept.broken, kept.runs) == (None, 0, 3)


def test_a_shell_that_leaves_is_driven_to_its_end():
    steps = [Step("begin", {"count": 2}), Step("stop", {"who": "leader"}), Step("run")]
    world = replay(steps, SimulatedArena())
    assert not world.broken
    # Only what was given up stays for the server to expire; who leaves in order ends its session.
    assert any("depart" in line or "leave" in line or "resign" in line for line in world.story)


# --- The client of the fake says what kazoo says ---


class Shell:
    """As much of a shell as its link needs."""

    def _arrive(self, arrival):
        pass


def link_of(arena):
    link = arena.shell_class(ContenderShell, 0)._make_link(Shell(), None, 1)
    link.start()
    arena.wait(lambda: link.up, 1.0)
    return link


def _words(result):
    if isinstance(result, BaseException):
        return type(result).__name__
    if hasattr(result, "ephemeralOwner"):
        return ("stat", result.version, result.dataLength, result.numChildren)
    return result


def _ask(call):
    result = call.get(timeout=5)
    several = isinstance(result, list | tuple) and not hasattr(result, "ephemeralOwner")
    return [_words(each) for each in result] if several else _words(result)


def _questions(client):
    """What the election asks of a client, and some that is refused."""

    def multi(*parts):
        transaction = client.transaction()
        for name, *arguments in parts:
            getattr(transaction, name)(*arguments)
        return transaction.commit_async()

    return [
        lambda: client.sync_async("/a"),
        lambda: client.get_children_async("/a"),
        lambda: client.exists_async("/a"),
        lambda: client.ensure_path_async("/a/b"),
        lambda: client.ensure_path_async("/a/b"),
        lambda: client.create_async("/a/b/n-", b"x", ephemeral=True, sequence=True),
        lambda: client.create_async("/a/b/m", b"x"),
        lambda: client.create_async("/a/b/m", b"x"),
        lambda: client.create_async("/a/missing/m"),
        lambda: client.get_children_async("/a/b"),
        lambda: client.exists_async("/a/b/m"),
        lambda: client.get_async("/a/b/m"),
        lambda: client.get_async("/a/b/none"),
        lambda: multi(["set_data", "/a/b/m", b"yy", 0], ["check", "/a/b", -1]),
        lambda: multi(["set_data", "/a/b/m", b"z", 0], ["check", "/a/b", -1]),
        lambda: multi(["check", "/a/b/m", 1], ["delete", "/a/none", -1], ["create", "/a/c"]),
        lambda: multi(["create", "/a/c", b"1"], ["delete", "/a/c"], ["create", "/a/c"]),
        lambda: client.delete_async("/a/c"),
        lambda: client.delete_async("/a/c"),
        lambda: client.delete_async("/a/b"),
    ]


def _answers(client, settle):
    found = []
    for question in _questions(client):
        call = question()
        settle()
        try:
            found.append(_ask(call))
        except KazooException as error:
            found.append(type(error).__name__)
    return found


@pytest.mark.zookeeper
def test_the_client_of_the_fake_answers_as_kazoo_does():
    arena = SimulatedArena()
    fake = link_of(arena)
    with ZooKeeperServer() as server:
        real = KazooClient(str(server.address))
        real.start()
        try:
            expected = _answers(real, lambda: None)
        finally:
            real.stop()
            real.close()
    got = _answers(fake.client, lambda: arena.wait(lambda: False, 1.0))
    assert got == expected
    assert expected.count("NoNodeError") >= 3


def test_a_watch_of_the_fake_fires_once():
    arena = SimulatedArena()
    link = link_of(arena)
    seen = []
    link.client.exists_async("/a", watch=seen.append)
    arena.wait(lambda: False, 1.0)
    with arena.outsider() as other, suppress(NoNodeError):
        other.create("/a")
        other.delete("/a")
        other.create("/a")
    arena.wait(lambda: False, 1.0)
    assert [(event.type, event.path) for event in seen] == [("CREATED", "/a")]
