from __future__ import annotations

import itertools
import json
import queue
import subprocess
import threading
import time
from pathlib import Path

import pytest

from keepstep.checkers.toolchain import ZOOKEEPER, Pin, fetch, find_java, jars
from keepstep.shell import Elected, LeaderElection, Revoked
from keepstep.testing import Observer, ZooKeeperServer

LAUNCHER = Path(__file__).with_name("LatchParticipant.java")
COMPILER = Pin(
    "org.eclipse.jdt",
    "ecj",
    "3.38.0",
    "97c566b120009c203a2fc8b291f4a9adbc171cf1ccb70f06f6b4e1828c00ce8e",
)
CURATOR = (
    Pin(
        "org.apache.curator",
        "curator-recipes",
        "5.5.0",
        "3b7a49173ee3910c6256dcec0cac7e6c7c96124fac9758033bc989e6fc880da4",
    ),
    Pin(
        "org.apache.curator",
        "curator-framework",
        "5.5.0",
        "ae73926d062be14d37a32a5c024027f38a2920e0d07ba4f82261424d37c8fc38",
    ),
    Pin(
        "org.apache.curator",
        "curator-client",
        "5.5.0",
        "735cdfd18aae95d3b4e793583933ba3c54f4630225b4dbb807b4dc0fc18fd91a",
    ),
    Pin(
        "com.google.guava",
        "guava",
        "32.0.0-jre",
        "39f3550b0343d8d19dd4e83bd165b58ea3389d2ddb9f2148e63903f79ecdb114",
    ),
    Pin(
        "com.google.guava",
        "failureaccess",
        "1.0.1",
        "a171ee4c734dd2da837e4b16be9df4661afab72a41adaf31eb84dfdaf936ca26",
    ),
    # ZooKeeper's client names one of its classes, though it does not use it here.
    Pin(
        "io.netty",
        "netty-handler",
        "4.1.119.Final",
        "9b49be98e36bb79a2025ffb5159aec87da2720cfa545f56de39c3bc108587b1b",
    ),
)
SESSION_TIMEOUT = 4.0
_elections = itertools.count()


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
    """The command that a participant of Curator's LeaderLatch starts with."""
    java = find_java().path
    (compiler,) = fetch([COMPILER])
    libraries = [*fetch(CURATOR), *jars(ZOOKEEPER)]
    classes = tmp_path_factory.mktemp("classes")
    class_path = ":".join(map(str, libraries))
    subprocess.run(
        [java, "-jar", compiler, "-17", "-proc:none", "-cp", class_path, "-d", classes, LAUNCHER],
        check=True,
    )
    light = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return [java, *light, "-cp", f"{classes}:{class_path}", "LatchParticipant"]


@pytest.fixture(scope="session")
def server():
    with ZooKeeperServer() as server:
        yield server


@pytest.fixture
def observer(server):
    with Observer(server.address) as observer:
        yield observer


@pytest.fixture
def path():
    return f"/interop/election-{next(_elections)}"


class History:
    """What all participants told, each with its moment on the machine's monotonic clock."""

    def __init__(self):
        self._lock = threading.Lock()
        self.events = []

    def add(self, at, who, event):
        with self._lock:
            self.events.append((at, who, event))

    def count(self, who, event):
        with self._lock:
            return sum(told[1:] == (who, event) for told in self.events)

    def believers(self):
        """Who believed to lead, after each event in the order of their moments."""
        with self._lock:
            events = sorted(self.events)
        present, found = set(), []
        for _, who, event in events:
            (present.add if event == "elected" else present.discard)(who)
            found.append(frozenset(present))
        return found


class Curator:
    """A LeaderLatch participant in a process of its own."""

    def __init__(self, launcher, server, path, identity, history):
        milliseconds = str(round(SESSION_TIMEOUT * 1000))
        self.identity = identity
        self.process = subprocess.Popen(
            [*launcher, str(server.address), path, identity, milliseconds],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._history = history
        self._answers = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            told = json.loads(line)
            if told["event"] == "participants":
                self._answers.put(told)
            else:
                self._history.add(told["at"], self.identity, told["event"])

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def participants(self):
        self.say("participants")
        return self._answers.get(timeout=20)

    def resign(self):
        self.say("resign")

    def kill(self):
        self.process.kill()

    def end(self):
        self.process.kill()
        self.process.wait()
        self._reader.join(10)
        self.process.stdin.close()
        self.process.stdout.close()


class Ours:
    """A contender of Keepstep in this process."""

    def __init__(self, server, path, identity, history):
        self.identity = identity
        self._history = history
        self.election = LeaderElection(
            path,
            identity,
            hosts=str(server.address),
            session_timeout=SESSION_TIMEOUT,
            tick=0.2,
            on_change=self._note,
        )
        self.election.start()

    def _note(self, change):
        if isinstance(change, Elected | Revoked):
            event = "elected" if isinstance(change, Elected) else "revoked"
            self._history.add(change.at, self.identity, event)

    def resign(self):
        self.election.resign()

    def end(self):
        self.election.close()


class Bench:
    """A server, its observer, and the participants of one election."""

    def __init__(self, launcher, server, observer, path):
        self.path = path
        self.observer = observer
        self.history = History()
        self._launcher = launcher
        self._server = server
        self._participants = []

    def _enter(self, participant):
        self._participants.append(participant)
        self.wait(lambda: participant.identity in self.queue())
        return participant

    def curator(self, identity="curator"):
        made = Curator(self._launcher, self._server, self.path, identity, self.history)
        return self._enter(made)

    def ours(self, identity="keepstep"):
        return self._enter(Ours(self._server, self.path, identity, self.history))

    def queue(self):
        """The participants as the server has them, by the text that Curator sorts by."""
        children = sorted(
            self.observer.children(self.path) or [], key=lambda name: name.rpartition("latch-")[2]
        )
        znodes = [self.observer.read(f"{self.path}/{name}") for name in children]
        return [znode.data.decode() for znode in znodes if znode is not None]

    def wait(self, condition, timeout=20.0):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"it did not happen: {self.queue()}"
            time.sleep(0.002)

    def wait_elected(self, participant, count):
        self.wait(lambda: self.history.count(participant.identity, "elected") >= count)

    def end(self):
        for participant in self._participants:
            participant.end()


@pytest.fixture
def bench(launcher, server, observer, path):
    bench = Bench(launcher, server, observer, path)
    yield bench
    bench.end()
