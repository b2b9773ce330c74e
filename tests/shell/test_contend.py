"""The process, as a user runs it."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from keepstep.testing.network.ports import hold_port

PROGRAM = "from keepstep.cli.main import main; main()"


class Process:
    def __init__(self, address, path, identity, *options, session_timeout=4.0):
        self.process = subprocess.Popen(
            [
                sys.executable, "-c", PROGRAM, "contend", str(address), path,
                "--id", identity, "--session-timeout", str(session_timeout), "--tick", "0.2",
                *options,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def event(self, name=None):
        while True:
            line = self.process.stdout.readline()
            assert line, f"it ended: {self.process.stderr.read()}"
            event = json.loads(line)
            if name in {None, event["event"]}:
                return event

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


@pytest.fixture
def contend(shared_server, path):
    made = []

    def make(identity, *options, address=shared_server.address, **arguments):
        made.append(Process(address, path, identity, *options, **arguments))
        return made[-1]

    yield make
    for process in made:
        process.end()


def test_the_words_of_a_whole_life(shared_server, contend, path, observer, eventually):
    first = contend("A", "--json")
    assert first.event("connected")["session"].startswith("0x")
    elected = first.event("elected")
    assert elected["epoch"] == 1
    assert len(elected["incarnation"]) == 32
    first.say("write")
    written = first.event("write")
    assert (written["outcome"], written["epoch"], written["number"]) == ("written", 1, 1)
    record = json.loads(observer.read(f"/keepstep{path}.record").data)
    assert record == {"leader": "A", "epoch": 1, "number": 1}
    second = contend("B", "--json")
    second.event("connected")
    second.say("write")
    assert second.event("write")["outcome"] == "refused"
    eventually(lambda: len(observer.children(path)) == 2)
    first.say("resign")
    assert first.event("revoked")["reason"] == "we resigned"
    assert second.event("elected")["epoch"] == 2
    second.say("quit")
    out, errors = second.process.communicate(timeout=10)
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["revoked"]
    assert (second.process.returncode, errors) == (0, "")
    assert first.event("elected")["epoch"] == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_hand_over_in_order(contend, number):
    first = contend("A", "--json")
    first.event("elected")
    second = contend("B", "--json")
    second.event("connected")
    first.process.send_signal(number)
    start = time.monotonic()
    second.event("elected")
    assert time.monotonic() - start < 3.5, "an orderly end does not wait for the session to end"
    out, errors = first.process.communicate(timeout=10)
    assert json.loads(out)["reason"] == "the election was closed"
    assert first.process.returncode == 0
    assert "Traceback" not in errors


def test_a_killed_leader_is_followed_after_its_session(contend):
    first = contend("A", "--json")
    first.event("elected")
    second = contend("B", "--json")
    second.event("connected")
    first.process.kill()
    assert second.event("elected")["epoch"] == 2


def test_a_paused_leader_knows_that_it_is_none_when_it_wakes(contend):
    first = contend("A", "--json", session_timeout=2.0)
    first.event("elected")
    second = contend("B", "--json", session_timeout=2.0)
    second.event("connected")
    first.process.send_signal(signal.SIGSTOP)
    second.event("elected")
    first.process.send_signal(signal.SIGCONT)
    first.say("write")
    seen = {}
    while not {"revoked", "write"} <= seen.keys():
        event = first.event()
        seen[event["event"]] = event
        assert event["event"] != "elected"
    assert seen["write"]["outcome"] in {"refused", "unknown"}


def test_lines_for_people_and_the_end_of_standard_input(contend):
    process = contend("A")
    process.process.stdin.close()
    assert process.process.stdout.readline().startswith("connected: session 0x")
    assert process.process.stdout.readline().startswith("elected: epoch 1, incarnation ")
    process.process.send_signal(signal.SIGTERM)
    assert process.process.stdout.read() == "revoked: epoch 1, the election was closed\n"
    assert process.process.wait(10) == 0


def test_a_last_line_without_its_end_is_obeyed(contend):
    process = contend("A", "--json")
    process.event("elected")
    out, errors = process.process.communicate("write\nquit", timeout=10)
    events = [json.loads(line) for line in out.splitlines()]
    assert {event["event"] for event in events} >= {"revoked"}
    assert (process.process.returncode, errors) == (0, "")


def test_without_standard_input_it_contends_until_it_is_told_to_end(shared_server, path):
    arguments = ["contend", str(shared_server.address), path, "--id", "A", "--json"]
    options = ["--session-timeout", "4", "--tick", "0.2"]
    command = [sys.executable, "-c", PROGRAM, *arguments, *options]
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        seen = [json.loads(process.stdout.readline())["event"] for _ in range(2)]
        assert seen == ["connected", "elected"]
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=10)
        assert json.loads(out)["event"] == "revoked"
        assert process.returncode == 0
        assert "Traceback" not in errors
    finally:
        process.kill()
        process.communicate()


def test_output_that_is_full_from_the_start(shared_server, path):
    arguments = ["contend", str(shared_server.address), path, "--id", "A"]
    options = ["--session-timeout", "4", "--tick", "0.2"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments, *options],
            stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30,
            check=False,
        )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr == (
        "keepstep: standard output cannot be written: No space left on device; "
        "leadership is handed over\n"
    )


def test_a_leader_whose_output_gets_full_hands_over(shared_server, path, contend, tmp_path):
    lines = tmp_path / "lines"
    arguments = ["contend", str(shared_server.address), path, "--id", "A", "--json"]
    options = ["--session-timeout", "4", "--tick", "0.2"]
    with lines.open("w") as output:
        first = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments, *options],
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    try:
        while '"elected"' not in lines.read_text():
            assert first.poll() is None
            time.sleep(0.01)
        second = contend("B", "--json")
        second.event("connected")
        size = lines.stat().st_size
        resource.prlimit(first.pid, resource.RLIMIT_FSIZE, (size, size))
        first.stdin.write("write\n")
        first.stdin.flush()
        start = time.monotonic()
        second.event("elected")
        assert time.monotonic() - start < 3.5, "it does not wait for the session to end"
        _, errors = first.communicate(timeout=10)
        assert first.returncode == 2
        assert errors.startswith("keepstep: standard output cannot be written: File too large")
        assert len(errors.splitlines()) == 1
    finally:
        first.kill()
        first.communicate()


def test_unknown_words_are_answered(contend):
    process = contend("A", "--json")
    process.event("elected")
    process.say("lead!")
    process.say("quit")
    assert "'lead!' is no command; there are write, resign, quit" in process.process.stderr.read()


def refused(*arguments):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, "contend", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_no_server_there():
    held = hold_port()
    told = refused(str(held.address), "/e", "--id", "A", "--start-timeout", "0.5")
    held.release()
    assert "no ZooKeeper server answered within 0.5 s" in told


def test_something_else_is_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        hosts = f"127.0.0.1:{listener.getsockname()[1]}"
        told = refused(hosts, "/e", "--id", "A", "--start-timeout", "0.5")
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert "nothing else listens on their ports" in told


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["h:1", "e"], "path must start with '/'"),
        (["h:1", "/e", "--id", ""], "identity"),
        (["h:99999", "/e"], "port"),
        (["h:1", "/e", "--session-timeout", "4"], "more than 8 s"),
        (["h:1", "/e", "--start-timeout", "0"], "start-timeout"),
        (["h:1"], "Missing argument"),
    ],
)
def test_arguments_that_are_wrong(arguments, word):
    defaults = [] if "--id" in arguments else ["--id", "A"]
    assert word in refused(*arguments, *defaults)
