from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.core.ids import NodeId
from keepstep.errors import LocalViolation
from keepstep.znodes.latch import (
    Ticket,
    decode_participant,
    encode_participant,
    new_node,
    read_ticket,
    ticket_name,
    ticket_prefix,
)

NODE = NodeId("3fcb0d2e-54a5-4b47-9a0e-8f1c8a1f2b11")
numbers = st.integers(-(2**31), 2**31 - 1)
own_tickets = st.builds(Ticket, st.uuids().map(new_node), numbers)
names = st.one_of(
    st.text(max_size=30),
    st.builds("{}latch-{:010d}".format, st.text(max_size=20), numbers),
    st.builds("_c_{}-latch-{:010d}".format, st.uuids(), numbers),
)


def test_a_ticket_is_named_as_curator_names_it():
    assert ticket_name(Ticket(NODE, 7)) == f"_c_{NODE}-latch-0000000007"
    assert ticket_name(Ticket(NODE, 7)) == ticket_prefix(NODE) + "0000000007"


def test_after_an_overflow_the_number_is_negative():
    name = f"_c_{NODE}-latch--000000001"
    assert read_ticket(name) == Ticket(NODE, -1)
    assert read_ticket(f"_c_{NODE}-latch--2147483648") == Ticket(NODE, -(2**31))


def test_a_participant_that_names_its_znodes_otherwise_still_counts():
    ticket = read_ticket("latch-0000000003")
    assert ticket == Ticket(NodeId("latch-"), 3)
    assert ticket_name(ticket) == "latch-0000000003"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "epoch",
        "3fcb0d2e54a54b479a0e8f1c8a1f2b11__lock__0000000001",
        f"_c_{NODE}-latch-7",
        f"_c_{NODE}-latch-00000000007",
        f"_c_{NODE}-latch--0000000000",
        f"_c_{NODE}-latch-\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0667",
        f"_c_{NODE}-latch-0000000007\n",
    ],
)
def test_other_names_are_no_tickets(name):
    assert read_ticket(name) is None


@given(own_tickets)
def test_names_and_tickets_correspond(ticket):
    assert read_ticket(ticket_name(ticket)) == ticket


@given(names)
def test_a_name_that_reads_is_written_back_exactly(name):
    ticket = read_ticket(name)
    assert ticket is None or ticket_name(ticket) == name


@pytest.mark.parametrize("node", ["", "n1", NODE.upper(), NODE + "\n"])
def test_a_node_must_be_a_uuid_to_draw_a_ticket(node):
    with pytest.raises(LocalViolation, match="uuid"):
        ticket_prefix(NodeId(node))


def test_the_data_is_the_participant_raw():
    assert encode_participant("http://ö:8090") == "http://ö:8090".encode()
    assert decode_participant(b"http://h:1") == "http://h:1"
    assert decode_participant(b"\xff") == "\ufffd"


@pytest.mark.parametrize("identity", ["", None, b"x", "x" * 4097, "\ud800"])
def test_identities_that_cannot_be_stored_are_refused(identity):
    with pytest.raises(LocalViolation, match="identity"):
        encode_participant(identity)
