"""What no server writes is told, and what servers write is not."""

from __future__ import annotations

import pytest

from keepstep.validation.recording import Change, Transaction
from keepstep.validation.server_log import ServerLog

ONE, OTHER = "0x1", "0x2"
TICKET = "/latch/_c_one-latch-0000000000"

BEGUN = (
    Transaction("0x1", ONE, "open"),
    Transaction("0x2", ONE, "write", (Change("create", "/latch"),)),
    Transaction("0x3", ONE, "write", (Change("create", TICKET, ephemeral=True),)),
)


def followed(*more):
    """What is said of the last of some transactions; nothing may be said of those before."""
    log = ServerLog("/latch", "/fence")
    *before, last = (*BEGUN, *more)
    for transaction in before:
        assert log.take(transaction) == ""
    return log.take(last)


def write(*changes, session=ONE, zxid="0x9"):
    return Transaction(zxid, session, "write", changes)


POSSIBLE = {
    "a znode is set": [write(Change("set", TICKET, 1))],
    "it is set twice": [
        write(Change("set", TICKET, 1), zxid="0x8"),
        write(Change("set", TICKET, 2)),
    ],
    "a version is found": [write(Change("check", TICKET, 0))],
    "any version is": [write(Change("check", TICKET, -1))],
    "a ticket is deleted": [write(Change("delete", TICKET))],
    "it is drawn again": [
        write(Change("delete", TICKET), zxid="0x8"),
        write(Change("create", TICKET, ephemeral=True)),
    ],
    "the empty directory is deleted in one transaction with the ticket": [
        write(Change("delete", TICKET), Change("delete", "/latch"))
    ],
    "a session takes its ticket along": [Transaction("0x9", ONE, "close", deleted=(TICKET,))],
    "it leaves its ticket": [Transaction("0x9", ONE, "close")],
    "a request is refused after the end of its session": [
        Transaction("0x8", ONE, "close"),
        Transaction("0x9", ONE, "refuse"),
    ],
    "a session that was there before the recording writes": [
        write(Change("delete", TICKET), session=OTHER)
    ],
    "elsewhere anything may have been there": [write(Change("set", "/elsewhere", 7))],
    "a directory of nearly the same name is elsewhere": [write(Change("set", "/latches/x", 7))],
}

IMPOSSIBLE = {
    "the same zxid twice": ([Transaction("0x3", OTHER, "open")], "0x3 comes after 0x3"),
    "an earlier zxid": ([Transaction("0x2", OTHER, "refuse")], "0x2 comes after 0x3"),
    "a session that begins twice": (
        [Transaction("0x9", ONE, "open")], "has done something before it begins",
    ),
    "a session that begins after a write": (
        [
            write(Change("delete", TICKET), session=OTHER, zxid="0x8"),
            Transaction("0x9", OTHER, "open"),
        ],
        "has done something before it begins",
    ),
    "a session that ends twice": (
        [Transaction("0x8", ONE, "close"), Transaction("0x9", ONE, "close")], "has ended before",
    ),
    "a write after the end": (
        [Transaction("0x8", ONE, "close"), write(Change("set", TICKET, 1))], "has ended before",
    ),
    "a ticket of another goes with a session": (
        [Transaction("0x9", OTHER, "close", deleted=(TICKET,))], "which is not its own",
    ),
    "what is no ephemeral goes with a session": (
        [Transaction("0x9", ONE, "close", deleted=("/latch",))], "which is not its own",
    ),
    "a write that takes ephemerals along": (
        [Transaction("0x9", ONE, "write", deleted=(TICKET,))], "`write` does not change this",
    ),
    "a refusal that writes": (
        [Transaction("0x9", ONE, "refuse", (Change("delete", TICKET),))],
        "`refuse` does not change this",
    ),
    "created twice": ([write(Change("create", TICKET))], "was there before"),
    "created in nothing": ([write(Change("create", "/fence/x"))], "in what is no directory"),
    "created in an ephemeral": (
        [write(Change("create", f"{TICKET}/x"))], "in what is no directory",
    ),
    "set without being there": ([write(Change("set", "/latch/x", 1))], "which is not there"),
    "checked without being there": ([write(Change("check", "/fence"))], "which is not there"),
    "deleted twice": (
        [write(Change("delete", TICKET), zxid="0x8"), write(Change("delete", TICKET))],
        "which is not there",
    ),
    "deleted with what is in it": ([write(Change("delete", "/latch"))], "with what is in it"),
    "a version is left out": (
        [write(Change("set", TICKET, 2))], "is set to version 2 after version 0",
    ),
    "another version is found": (
        [write(Change("check", TICKET, 3))], "has version 0, and 3 is found",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", POSSIBLE)
def test_what_servers_do_is_possible(case):
    assert followed(*POSSIBLE[case]) == ""


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_no_server_does_is_told(case):
    transactions, said = IMPOSSIBLE[case]
    assert said in followed(*transactions)


def test_after_the_loss_of_all_data_everything_begins_again():
    log = ServerLog("/latch", "/fence")
    for transaction in BEGUN:
        log.take(transaction)
    log.wipe()
    assert [log.take(transaction) for transaction in BEGUN] == ["", "", ""]
