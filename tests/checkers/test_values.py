from __future__ import annotations

import pickle

import pytest

from keepstep.errors import InvalidModel
from keepstep.tla.itf import from_itf, to_itf
from keepstep.tla.values import (
    Fn,
    ModelValue,
    parse_assignments,
    parse_state,
    parse_value,
    render,
)

SAMPLES = {
    "3": 3,
    "-3": -3,
    "TRUE": True,
    '"n1_OF_NODE"': "n1_OF_NODE",
    r'"a \"b\" \\ c\n"': 'a "b" \\ c\n',
    '""': "",
    "{}": frozenset(),
    "{1, 2}": frozenset({1, 2}),
    "<<>>": (),
    '<<1, "a", <<TRUE>>>>': (1, "a", (True,)),
    '[tag |-> "Sync", value |-> {}]': Fn(tag="Sync", value=frozenset()),
    "(1 :> {} @@ 2 :> [a |-> 1])": Fn({1: frozenset(), 2: Fn(a=1)}),
    "{[a |-> 1], [a |-> 2]}": frozenset({Fn(a=1), Fn(a=2)}),
    "m1": ModelValue("m1"),
}


@pytest.mark.parametrize("text", SAMPLES)
def test_a_value_is_read_and_written_again(text: str) -> None:
    value = parse_value(text)
    assert value == SAMPLES[text]
    assert type(value) is type(SAMPLES[text])
    assert parse_value(render(value)) == value


@pytest.mark.parametrize("text", [text for text in SAMPLES if text != "m1"])
def test_a_value_survives_itf(text: str) -> None:
    value = SAMPLES[text]
    if value != Fn():
        assert from_itf(to_itf(value)) == value


def test_a_range_is_the_set_of_its_numbers() -> None:
    assert parse_value("{1..3}") == frozenset({frozenset({1, 2, 3})})
    assert parse_value("-1..1") == frozenset({-1, 0, 1})


def test_sets_are_written_in_one_order() -> None:
    assert render(parse_value('{"n10", "n9"}')) == '{"n9", "n10"}'


def test_itf_of_large_numbers_and_maps() -> None:
    assert from_itf({"#bigint": "36893488147419103232"}) == 2**65
    assert from_itf({"#map": [["a", {"#tup": [1]}]]}) == Fn(a=(1,))
    with pytest.raises(InvalidModel, match="cannot express"):
        from_itf({"#unserializable": "Nat"})


def test_a_state_is_read_over_several_lines() -> None:
    text = '/\\ x = 1\n/\\ y = [a |->\n  2,\n  b |-> "/\\\\ z = 3"]'
    assert parse_assignments(text) == {"x": 1, "y": Fn(a=2, b="/\\ z = 3")}
    assert parse_state(text, ["y", "x"]) == (Fn(a=2, b="/\\ z = 3"), 1)
    assert parse_assignments("x = 1") == {"x": 1}


@pytest.mark.parametrize("text", ["", "{1, 2", "[a |-> ]", "1 2", "<<1,>>>", "{1 2}", "$"])
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(InvalidModel):
        parse_value(text)


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(InvalidModel, match="no variable z"):
        parse_state("/\\ x = 1", ["z"])


def test_a_function_is_immutable_and_hashed_by_its_items() -> None:
    one = Fn(a=1)
    assert one.put("a", 2) == {"a": 2}
    assert one == {"a": 1}
    assert hash(Fn(a=1, b=2)) == hash(Fn(b=2, a=1))
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own
    with pytest.raises(TypeError):
        one["a"] = 3
    with pytest.raises(TypeError):
        one.update(a=3)
