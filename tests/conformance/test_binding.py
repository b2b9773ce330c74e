from __future__ import annotations

import pytest

from keepstep.conformance.binding import Binding, Misfit, camel_case, snake_case
from keepstep.conformance.roles import load_source
from keepstep.errors import InvalidModel
from keepstep.tla.values import Fn

MODULE = """
from __future__ import annotations
from dataclasses import dataclass
from statemachine import Event, State
from keepstep.core.ids import NodeId
from keepstep.core.machine import Input, Request, RoleMachine

@dataclass(frozen=True, slots=True)
class Ticket:
    node: NodeId
    lastNumber: int = 0

@dataclass(frozen=True, slots=True)
class Listed(Input):
    names: frozenset[Ticket]

@dataclass(frozen=True, slots=True)
class Gone(Input):
    pass

@dataclass(frozen=True, slots=True)
class Due(Input):
    duty: str
    often: int

@dataclass(frozen=True, slots=True)
class Look(Request):
    ticket: Ticket
    deep: bool

@dataclass(frozen=True, slots=True)
class WatcherSettings:
    max_tries: int

@dataclass(frozen=True, slots=True)
class WatcherFacts:
    last_seen: Ticket | None = None
    count: int = 0

class Watcher(RoleMachine[WatcherFacts]):
    idle = State(initial=True)
    busy = State()
    listed = Event(idle.to(busy))
    gone = Event(busy.to(idle))
""".replace("lastNumber", "last_number")
UNIT = "U_OF_UNIT"


@pytest.fixture(scope="module")
def binding() -> Binding:
    return Binding(load_source(MODULE, "watcher"))


def ticket(binding: Binding, node: str, number: int) -> object:
    return binding.module.Ticket(node, number)


def test_names() -> None:
    assert snake_case("StepDown") == "step_down"
    assert snake_case("lastSeen") == "last_seen"
    assert camel_case("last_seen") == "lastSeen"


def test_an_input_is_made_from_its_variant(binding: Binding) -> None:
    names = frozenset({Fn(node="n1", lastNumber=3)})
    told = binding.to_input(Fn(tag="Listed", value=Fn(names=names)))
    assert told == binding.module.Listed(frozenset({ticket(binding, "n1", 3)}))
    assert binding.to_input(Fn(tag="Gone", value=UNIT)) == binding.module.Gone()


def test_a_payload_without_a_record_fits_the_only_field(binding: Binding) -> None:
    told = binding.to_input(Fn(tag="Listed", value=frozenset()))
    assert told == binding.module.Listed(frozenset())


def test_an_optional_fact_is_a_set_of_at_most_one(binding: Binding) -> None:
    one = frozenset({Fn(node="n1", lastNumber=1)})
    facts = binding.to_facts({"last_seen": one, "count": 2})
    assert facts == binding.module.WatcherFacts(ticket(binding, "n1", 1), 2)
    assert binding.from_facts(facts) == {"last_seen": one, "count": 2}
    empty = binding.to_facts({"last_seen": frozenset(), "count": 0})
    assert empty.last_seen is None
    assert binding.from_facts(empty)["last_seen"] == frozenset()
    with pytest.raises(Misfit, match="at most one"):
        binding.to_facts({"last_seen": one | {Fn(node="n2", lastNumber=1)}, "count": 0})


def test_a_request_becomes_its_variant(binding: Binding) -> None:
    asked = binding.module.Look(ticket(binding, "n1", 1), True)
    value = Fn(ticket=Fn(node="n1", lastNumber=1), deep=True)
    assert binding.from_request(asked) == Fn(tag="Look", value=value)


def test_a_command_takes_the_parameters_in_order(binding: Binding) -> None:
    assert binding.to_command("Due", ("write", 2)) == binding.module.Due("write", 2)
    with pytest.raises(Misfit, match="2 fields"):
        binding.to_command("Due", ("write",))
    with pytest.raises(Misfit, match="no command"):
        binding.to_command("Undue", ())


def test_values_of_a_wrong_type_have_no_counterpart(binding: Binding) -> None:
    module = binding.module
    with pytest.raises(Misfit, match="count"):
        binding.from_facts(module.WatcherFacts(None, True))
    with pytest.raises(Misfit, match="last_seen"):
        binding.from_facts(module.WatcherFacts(3, 1))
    with pytest.raises(Misfit, match=r"Look\.ticket"):
        binding.from_request(module.Look(None, True))
    with pytest.raises(Misfit, match="no request"):
        binding.from_request(module.Gone())
    with pytest.raises(Misfit, match="no input"):
        binding.to_input(Fn(tag="Appeared", value=UNIT))
    with pytest.raises(Misfit, match="other fields"):
        binding.to_input(Fn(tag="Due", value=Fn(duty="write")))


def test_facts_must_be_the_same(binding: Binding) -> None:
    with pytest.raises(Misfit, match="differ: count"):
        binding.to_facts({"last_seen": frozenset()})


def test_a_module_needs_one_machine() -> None:
    with pytest.raises(InvalidModel, match="one role machine"):
        Binding(load_source("x = 1", "empty"))


def test_settings_come_from_constants(binding: Binding) -> None:
    found = binding.to_settings({"MAX_TRIES": 3, "NODES": frozenset({"n1"})})
    assert found == binding.module.WatcherSettings(3)
    with pytest.raises(Misfit, match="max_tries has no constant"):
        binding.to_settings({"NODES": frozenset({"n1"})})
