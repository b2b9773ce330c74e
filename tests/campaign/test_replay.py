"""`keepstep replay`: what was broken where, and what could not be confirmed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from keepstep.cli.replay import command
from keepstep.errors import LocalViolation, RemoteViolation
from keepstep.shell.contender_shell import ContenderShell
from keepstep.shell.inbox import Lane
from keepstep.testing.election.arenas import Arena, EnsembleArena
from keepstep.testing.election.replaying import arena_for
from keepstep.testing.election.suite import SavedRun
from keepstep.testing.election.world import Step

STEPS = (Step("begin", {"count": 2}), Step("cut", {"who": "leader"}), Step("run"))


class OnTheFakeOnly(ContenderShell):
    """Fails at each connection that is down, but only on the fake."""

    def _deliver_down(self, arrival, connection):
        if type(self.client).__name__ == "KazooClient":
            return super()._deliver_down(arrival, connection)
        self.fail(RemoteViolation(f"connection {connection} is down"))
        return self._nothing(Lane.STATE, arrival)


class OnRealServersOnly(ContenderShell):
    """Fails at each connection that is down, but not on the fake."""

    def _deliver_down(self, arrival, connection):
        if type(self.client).__name__ != "KazooClient":
            return super()._deliver_down(arrival, connection)
        self.fail(RemoteViolation(f"connection {connection} is down"))
        return self._nothing(Lane.STATE, arrival)


@pytest.fixture
def file(tmp_path):
    SavedRun(STEPS, "", "a shell never fails", {"servers": 1}).save(tmp_path / "run.json")
    return str(tmp_path / "run.json")


def run(*arguments):
    result = CliRunner().invoke(command, [*arguments, "--json"])
    return result.exit_code, json.loads(result.stdout)


def name(shell):
    return f"{shell.__module__}:{shell.__qualname__}"


def test_on_the_fake_alone(file):
    code, told = run(file, "--on", "fake")
    assert (code, told["verdict"], told["real"]) == (0, "kept on the fake", None)
    assert told["fake"]["runs"] == 20
    code, told = run(file, "--on", "fake", "--shell", name(OnTheFakeOnly), "--shrink")
    assert (code, told["verdict"]) == (1, "BROKEN on the fake: a shell never fails")
    # Whoever starts and is cut off is enough.
    assert len(told["shrunk"]["steps"]) == 2


@pytest.mark.zookeeper
def test_what_only_the_fake_shows_is_not_confirmed(file):
    code, told = run(file, "--shell", name(OnTheFakeOnly), "--shrink", "--tries", "2")
    assert code == 3
    assert told["verdict"] == (
        "NOT CONFIRMED: broken on the fake (a shell never fails), kept by real servers in 2 runs"
    )
    assert told["real"]["promise"] is None


@pytest.mark.zookeeper
def test_what_only_real_servers_show_is_broken(file):
    code, told = run(file, "--shell", name(OnRealServersOnly), "--seeds", "2")
    assert code == 1
    assert told["verdict"] == "BROKEN on real servers, kept on the fake: a shell never fails"
    assert told["real"]["runs"] == 1


@pytest.mark.zookeeper
def test_a_run_that_keeps_its_promises(file):
    code, told = run(file, "--seeds", "2", "--tries", "1")
    assert (code, told["verdict"], told["expected"]) == (0, "kept", "a shell never fails")


def test_the_story_is_for_people(file):
    result = CliRunner().invoke(
        command, [file, "--on", "fake", "--shrink", "--shell", name(OnTheFakeOnly)]
    )
    assert result.exit_code == 1
    assert "shortened to 2 steps in " in result.output
    assert "done again with" not in result.output
    assert result.output.splitlines()[-1] == "BROKEN on the fake: a shell never fails"


def test_another_shell_than_the_saved_one_is_told(tmp_path):
    file = tmp_path / "run.json"
    SavedRun(STEPS, "", "", {"shell": "mine:Shell"}).save(file)
    result = CliRunner().invoke(command, [str(file), "--on", "fake", "--seeds", "1"])
    assert "saved with the shell mine:Shell; done again with " in result.output


def test_the_shortened_run_is_saved(file, tmp_path):
    short = tmp_path / "short.json"
    code, told = run(
        file, "--on", "fake", "--shrink", "--shell", name(OnTheFakeOnly), "--save", str(short)
    )
    assert code == 1
    saved = SavedRun.load(short)
    assert [step.to_json() for step in saved.steps] == told["shrunk"]["steps"]
    assert saved.about == {"servers": 1}


def test_where_steps_mean_something():
    assert type(arena_for(STEPS, 1)) is Arena
    assert isinstance(arena_for([*STEPS, Step("heal")], 1), EnsembleArena)
    assert arena_for(STEPS, 3).servers == 3


def test_bad_files_are_refused(tmp_path, file):
    def refused(*arguments):
        result = CliRunner().invoke(command, list(arguments))
        assert isinstance(result.exception, LocalViolation), result.output
        return str(result.exception)

    assert "no saved run" in refused(str(tmp_path / "nothing.json"))
    empty = tmp_path / "empty.json"
    SavedRun((), "", "").save(empty)
    assert "without any step" in refused(str(empty))
    assert "1, 3 or 5 servers" in refused(file, "--servers", "2")
    odd = tmp_path / "odd.json"
    odd.write_text('{"bug": "", "promise": "", "about": 3, "steps": []}')
    assert "no saved run" in refused(str(odd))


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ({"rule": "explode"}, "there is no rule 'explode'"),
        ({"rule": "run", "who": "leader"}, "unexpected keyword argument 'who'"),
        ({"rule": "begin"}, "missing a required argument: 'count'"),
        ({"rule": "begin", "count": "2"}, "count cannot be '2'"),
        ({"rule": "begin", "count": True}, "count cannot be True"),
        ({"rule": "begin", "count": 10**9}, "count cannot be 1000000000"),
        ({"rule": "delete_ticket", "position": -1}, "position cannot be -1"),
        ({"rule": "write", "who": "nobody"}, "who cannot be 'nobody'"),
        ({"rule": "write", "who": 17}, "who cannot be 17"),
        ({"rule": "write", "who": ["leader"]}, "who cannot be ['leader']"),
        ({"rule": "deliver", "who": 0, "lane": "fast"}, "lane cannot be 'fast'"),
        ({"rule": "reach", "who": 0, "state": "asleep"}, "state cannot be 'asleep'"),
        ({"rule": "inject", "who": 0, "package": "meteor"}, "package cannot be 'meteor'"),
    ],
)
def test_a_step_that_nobody_can_do_is_named(tmp_path, step, complaint):
    edited = tmp_path / "edited.json"
    steps = [Step("begin", {"count": 1}).to_json(), step]
    edited.write_text(json.dumps({"bug": "", "promise": "", "steps": steps}))
    with pytest.raises(LocalViolation) as refused:
        SavedRun.load(edited)
    assert str(refused.value).startswith(f"{edited}: step 2: ")
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[" * 100_000, "no saved run"),
        ('{"bug": "", "promise": ""}', "'steps' is missing"),
        ('{"bug": "", "promise": "", "steps": [], "about": {"servers": "x"}}', "no number of"),
        ('{"bug": "", "promise": "", "steps": [], "about": {"servers": null}}', "no number of"),
    ],
)
def test_what_else_is_wrong_with_a_file_is_said(tmp_path, text, complaint):
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(LocalViolation, match=complaint):
        SavedRun.load(tmp_path / "odd.json")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--shrink", "--on", "real"], "works on the fake"), (["--save", "x"], "--shrink makes")],
)
def test_options_that_contradict_each_other_are_refused(file, arguments, complaint):
    result = CliRunner().invoke(command, [file, *arguments])
    assert result.exit_code == 2
    assert complaint in result.output
