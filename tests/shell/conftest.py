from __future__ import annotations

import contextlib
import itertools
import time
from pathlib import Path

import pytest

from keepstep.shell import ElectionSettings, LeaderElection
from keepstep.shell.clock import ManualClock
from keepstep.shell.contender_shell import ContenderShell
from keepstep.testing import ConnectionEnded, Observer, ZooKeeperServer, dump, expire

_elections = itertools.count()
REAL_SERVER = {"shared_server", "own_server"}


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and REAL_SERVER.intersection(item.fixturenames):
            item.add_marker(pytest.mark.zookeeper)


@pytest.fixture(scope="session")
def shared_server():
    with ZooKeeperServer() as server:
        yield server


@pytest.fixture
def own_server():
    with ZooKeeperServer() as server:
        yield server


@pytest.fixture
def observer(shared_server):
    with Observer(shared_server.address) as observer:
        yield observer


@pytest.fixture
def path():
    """The path of an election that only this test uses."""
    return f"/shell/election-{next(_elections)}"


class Driver:
    """Makes shells that wait to be driven, and drives them."""

    def __init__(self, path):
        self.path = path
        self.shells = []

    def make(self, server, identity="A", shell_class=ContenderShell, **arguments):
        settings = {"session_timeout": 4.0, "tick": 0.2, "path": self.path}
        for name in set(arguments) & set(ElectionSettings.__dataclass_fields__):
            settings[name] = arguments.pop(name)
        if "client" not in arguments:
            arguments.setdefault("hosts", str(getattr(server, "address", server)))
        changes = []
        shell = shell_class(
            ElectionSettings(identity=identity, **settings),
            clock=ManualClock(),
            report=changes.append,
            **arguments,
        )
        shell.changes = changes
        self.shells.append(shell)
        shell.start()
        return shell

    @staticmethod
    def until(shell, state, timeout=10.0, lane=None):
        """Deliver until the machine is in this state; returns the actions taken."""
        actions = []
        end = time.monotonic() + timeout
        while shell.state != state:
            assert time.monotonic() < end, f"stuck in {shell.state} after {actions}"
            delivered = shell.deliver_one(0.1, lane)
            if delivered is not None and delivered.action is not None:
                actions.append(delivered.action)
        return actions

    def leader(self, server, **arguments):
        shell = self.make(server, **arguments)
        self.until(shell, "leading")
        return shell

    @staticmethod
    def settle(shell, future, timeout=10.0):
        """Deliver until a write is decided; returns it."""
        end = time.monotonic() + timeout
        while not future.done():
            assert time.monotonic() < end, f"no decision in state {shell.state}"
            shell.deliver_one(0.1)
        return future

    def end(self):
        for shell in self.shells:
            if not shell.stopped:
                shell.abandon()


@pytest.fixture
def driver(path):
    driver = Driver(path)
    yield driver
    driver.end()


@pytest.fixture
def elections(path):
    """Makes elections on threads of their own, and closes them in the end."""
    made = []

    def make(server, identity="A", **arguments):
        if "client" not in arguments:
            arguments.setdefault("session_timeout", 4.0)
            if "hosts" not in arguments:
                arguments["hosts"] = str(server.address)
        election = LeaderElection(path, identity, **({"tick": 0.2} | arguments))
        made.append(election)
        return election

    yield make
    for election in made:
        election.close()


@pytest.fixture
def eventually():
    def wait(condition, timeout=10.0):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.005)

    return wait


@pytest.fixture
def end_session(shared_server):
    """Ends a session on the server, though its client may take it back a time or two."""

    def end(session):
        while session in dump(shared_server.address).alive:
            with contextlib.suppress(ConnectionEnded):
                expire(shared_server.address, session)

    return end
