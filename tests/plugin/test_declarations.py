"""What a user may write wrongly in a suite or a mapping is told with its place and its cure."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from keepstep.conformance.binding import misfit
from keepstep.errors import LocalViolation
from keepstep.shell.mapping import Children, RoleMapping
from keepstep.testing.suites import (
    FakeGround,
    RealGround,
    RoleSuite,
    Step,
    act,
    in_the_end,
    promise,
    replay_suite,
)
from keepstep.testing.suites.role_suite import RoleStateMachine

BEGIN = (Step("begin", {"count": 1, "first": ""}),)


@pytest.fixture
def lease(example):
    return importlib.import_module("lease_lock.suite").LeaseSuite


@pytest.fixture
def tenant(example):
    return importlib.import_module("lease_lock.tenant")


def refused(suite: type[RoleSuite]) -> str:
    with pytest.raises(LocalViolation) as found:
        replay_suite(suite, FakeGround(), BEGIN)
    return str(found.value)


def altered(suite: type[RoleSuite], **changes: object) -> type[RoleSuite]:
    return type("Altered", (suite,), changes)


def test_a_sound_suite_is_not_refused(lease):
    names = (*lease.faults, "kill-leader")
    sound = altered(lease, faults=names, abstracted={"term": "term"}, validated=False)
    assert replay_suite(sound, FakeGround(), BEGIN) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"machine": None}, "`machine` must be the derived class, and is None"),
        ({"mapping": Children}, "`mapping` must be a subclass of RoleMapping, and is <class"),
        ({"facts": RoleMapping}, "`facts` must be the derived class of the machine's facts"),
        ({"faults": ("kill-laeder",)}, "'kill-laeder', which is none; did you mean 'kill-leader'?"),
        ({"faults": ("zzz",)}, "'zzz', which is none; there are blackhole-host, cut,"),
        ({"abstracted": {"trem": "term"}}, "has a field of that name; did you mean 'term'?"),
        ({"commands": (Children,)}, "which is no class of inputs"),
        ({"shell": RoleMapping}, "`shell` must be DrivenShell or a subclass of it, and is <class"),
        ({"most": 0}, "`most` must be a number from 1 to 20, and is 0"),
        ({"most": 21}, "`most` must be a number from 1 to 20, and is 21"),
        ({"most": "3"}, "`most` must be a number from 1 to 20, and is '3'"),
        ({"may_miss": {"wach"}}, "names 'wach', which is no action; did you mean 'watch'?"),
        ({"may_miss": "watch"}, "`may_miss` must be several names, and is 'watch'"),
        ({"faults": "expire"}, "`faults` must be several names, and is 'expire'"),
        ({"settings": 3}, "Tenant has no settings, and `settings` is 3"),
    ],
)
def test_a_mistake_of_a_suite_is_named(lease, changes, message):
    assert message in refused(altered(lease, **changes))


def test_a_command_with_fields_is_named(lease, tenant):
    assert "`commands` has Granted, which has fields (term)" in refused(
        altered(lease, commands=(tenant.Granted,))
    )


def test_a_mapping_without_its_inputs_is_named(lease):
    class Mute(RoleMapping):
        pass

    assert "its mapping Mute lacks `connected_input`" in refused(altered(lease, mapping=Mute))


def test_the_place_of_the_suite_is_told(lease):
    class Misplaced(lease):
        faults = ("kil-leader",)

    file, line, *_ = refused(Misplaced).split(":")
    assert Path(file) == Path(__file__)
    assert "class Misplaced" in Path(file).read_text().splitlines()[int(line) - 1]


def test_hypothesis_is_not_given_such_a_suite_either(lease):
    machine = type(
        "Machine",
        (RoleStateMachine,),
        {"suite": altered(lease, commands=(Children,)), "ground": FakeGround(), "failures": []},
    )
    with pytest.raises(LocalViolation, match="no class of inputs"):
        machine()


# --- Settings -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """Settings as a derived module has them."""

    faults: int


def with_settings(lease, settings):
    def needed(self) -> Limits:
        return self.settings_of(Limits)

    limited = type("Limited", (lease.machine,), {"settings": property(needed)})
    return altered(lease, machine=limited, settings=settings)


def test_missing_settings_are_named(lease):
    assert "Limited has settings; write settings = Limits(faults=...)" in refused(
        with_settings(lease, None)
    )


def test_settings_have_the_values_of_the_model_that_runs_are_compared_with(lease):
    told = refused(with_settings(lease, Limits(faults=2)))
    assert "`settings` has faults = 2" in told
    assert "the model n2f1-all of models/manifest.toml" in told
    assert "has FAULTS = 1" in told
    equal = with_settings(lease, Limits(faults=1))
    apart = type("Apart", (with_settings(lease, Limits(faults=2)),), {"validated": False})
    for sound in (equal, apart):
        assert replay_suite(sound, FakeGround(), BEGIN) is None


# --- What mappings and promises answer --------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("yes", "returned 'yes', which is no input"),
        (3, "returned 3, which is no input"),
    ],
)
def test_an_answer_that_is_no_input_is_named(lease, answer, message):
    class Wrong(lease.mapping):
        def _inspect(self):
            yield Children(self.root)
            return answer

    assert refused(altered(lease, mapping=Wrong)).startswith(
        f"Wrong.serve(InspectLease()) {message}"
    )


def test_an_answer_whose_field_has_another_type_is_named(lease, tenant):
    class Wrong(lease.mapping):
        def _inspect(self):
            yield Children(self.root)
            return tenant.LeaseFree(term="0")

    told = refused(altered(lease, mapping=Wrong))
    assert told.startswith("Wrong.serve(InspectLease()) returned an input that cannot be: ")
    assert told.endswith("LeaseFree.term: '0' is no int")


def test_a_table_that_yields_nothing_is_named(lease, tenant):
    class Wrong(lease.mapping):
        def _inspect(self):
            return tenant.LeaseFree(term=0)

    told = refused(altered(lease, mapping=Wrong))
    assert "returned LeaseFree(term=0); it must be a generator" in told


def test_what_is_no_call_is_named(lease):
    class Wrong(lease.mapping):
        def _inspect(self):
            yield "create"

    told = refused(altered(lease, mapping=Wrong))
    assert "yielded 'create', which is no call; there are Read, Exists, Children," in told


def test_a_promise_that_is_no_text_is_named(lease):
    class Wrong(lease):
        @promise("all is well")
        def is_well(self):
            return True

    assert refused(Wrong).startswith("Wrong.is_well returned True; a promise returns what is wrong")


@pytest.mark.parametrize(
    "decorate",
    [
        lambda: promise(""),
        lambda: promise(print),
        lambda: in_the_end(" "),
        lambda: act(0),
        lambda: act(print),
    ],
)
def test_a_decorator_without_its_words_is_refused(decorate):
    with pytest.raises(LocalViolation, match="say "):
        decorate()


# --- What servers tell of watches --------------------------------------------------------------


def watched(ground, path):
    client = ground.dialler(0)(0, bytes(16))
    client.create(path)
    client.get_children(path, watch=True)
    before = path in ground.watches()
    client.exists(path, watch=True)
    after = client.session in ground.watches().get(path, ())
    client.end()
    return before, after


def test_the_fake_tells_no_watches_on_children_either():
    assert watched(FakeGround(), "/watched") == (False, True)


@pytest.mark.tools
@pytest.mark.zookeeper
def test_a_server_tells_no_watches_on_children(keepstep_fresh_server):
    with RealGround(keepstep_fresh_server) as ground:
        assert watched(ground, "/watched") == (False, True)


def test_inputs_of_the_example_are_as_they_are_annotated(tenant):
    assert misfit(tenant.LeaseSeen(owner=1, term=2)) == ""
    assert misfit(tenant.LeaseSeen(owner=1, term=None)) == "LeaseSeen.term: None is no int"
