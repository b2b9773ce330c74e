from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.errors import RemoteViolation
from keepstep.znodes.epoch import (
    EpochData,
    decode_epoch,
    default_fence_path,
    encode_epoch,
    epoch_path,
    incarnation_name,
    read_incarnation,
)


def test_the_epoch_lies_outside_the_latch():
    assert default_fence_path("/druid/overlord/_OVERLORD") == "/keepstep/druid/overlord/_OVERLORD"
    assert epoch_path("/keepstep/e", 255) == "/keepstep/e/" + "0" * 30 + "ff"


@given(st.integers(0, 2**128 - 1))
def test_incarnations_and_names_correspond(incarnation):
    assert read_incarnation(incarnation_name(incarnation)) == incarnation


@pytest.mark.parametrize("name", ["", "f" * 31, "f" * 33, "F" * 32, "g" * 32, "0" * 32 + "\n"])
def test_other_names_are_no_incarnations(name):
    assert read_incarnation(name) is None


@given(st.builds(EpochData, st.integers(0, 2**70), st.text()))
def test_data_and_bytes_correspond(data):
    assert decode_epoch(encode_epoch(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b"\xff",
        b"7",
        b"[]",
        b"{}",
        b'{"epoch": -1}',
        b'{"epoch": true}',
        b'{"epoch": 1.5}',
        b'{"epoch": "1"}',
        b'{"epoch": 1, "leader": 2}',
    ],
)
def test_bytes_that_are_no_epoch_are_refused(data):
    with pytest.raises(RemoteViolation, match="epoch znode"):
        decode_epoch(data)
