from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading

import pytest

from keepstep.errors import RemoteViolation, ToolFailed
from keepstep.testing import Address, ConnectionEnded, Opcode, WireClient
from keepstep.testing.network.ports import LOOPBACK, hold_port
from keepstep.testing.network.wire import (
    Check,
    Create,
    JuteReader,
    SetData,
    multi_body,
    named_paths,
)


def test_ports_are_held_against_other_processes_and_released():
    held = [hold_port() for _ in range(5)]
    ports = {one.address.port for one in held}
    assert len(ports) == 5
    program = (
        "from keepstep.testing.network.ports import hold_port\n"
        "print(*(hold_port().address.port for _ in range(200)))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not ports & set(map(int, told.stdout.split()))
    for one in held:
        one.release()


def test_a_port_that_somebody_listens_at_is_passed_over():
    held = hold_port()
    taken = held.address
    with socket.socket() as listener:
        # Somebody may have used the port just before: its connections may still be in TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(taken)
        listener.listen()
        held.release()
        other = hold_port()
        assert other.address.port != taken.port
        other.release()


def test_a_server_that_speaks_something_else_is_refused():
    held = hold_port()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(held.address)
        listener.listen()

        def greet():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.recv(1024)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(RemoteViolation, match="no ZooKeeper server"):
            WireClient(held.address)
        thread.join()
    held.release()


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (b"\0\0\0\3abc", "ends inside a field"),
        (b"\xff\xff\xff\xff", "no ZooKeeper server"),
        (
            b"\0\0\0\x1e" + b"\xff" * 4 + bytes(12) + bytes(8) + b"\0\0\0\2\xff\xff",
            "not encoded as UTF-8",
        ),
    ],
)
def test_what_is_no_reply_is_refused(says, told):
    held = hold_port()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(held.address)
        listener.listen()

        def welcome():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                granted = bytes(4) + (4000).to_bytes(4, "big") + (7).to_bytes(8, "big")
                hello = granted + (16).to_bytes(4, "big") + bytes(16) + b"\0"
                connection.sendall(len(hello).to_bytes(4, "big") + hello + says)
                connection.recv(1024)

        thread = threading.Thread(target=welcome)
        thread.start()
        client = WireClient(held.address)
        with pytest.raises(RemoteViolation, match=told):
            client.sync()
        client.abandon()
        thread.join()
    held.release()


def test_where_ports_cannot_be_held_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(ToolFailed, match="let TMPDIR name"):
        hold_port()


def test_nobody_listens():
    held = hold_port()
    with pytest.raises(ConnectionEnded, match="nobody answers"):
        WireClient(Address(LOOPBACK, held.address.port), timeout=1)
    held.release()


def test_paths_of_requests():
    operations = [Check("/a", 1), Create("/b", b"data"), SetData("/c", b"x")]
    assert named_paths(Opcode.MULTI, multi_body(operations)) == ("/a", "/b", "/c")
    assert named_paths(Opcode.CREATE, Create("/b").body()) == ("/b",)
    assert named_paths(Opcode.PING, b"") == ()
    with pytest.raises(RemoteViolation, match="ends inside"):
        named_paths(Opcode.CREATE, b"\0\0\0\x09/b")


def test_a_record_that_ends_too_early():
    with pytest.raises(RemoteViolation, match="ends inside a field"):
        JuteReader(b"\0\0").number()
