"""The pytest plugin: servers, faults, the fake and the suites as fixtures.

pytest imports this module at every start wherever Keepstep is installed. So it imports nothing
but pytest; a fixture imports what it needs when a test asks for it. Its names begin with
`keepstep`, its options with `--keepstep-`. docs/reference/pytest-plugin.md lists them.
"""

from __future__ import annotations

import warnings
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from keepstep.simulation import FakeZooKeeper
    from keepstep.testing import ZooKeeperEnsemble, ZooKeeperServer
    from keepstep.testing.election.recorder import ElectionRecorder
    from keepstep.testing.network.wire import Address
    from keepstep.testing.suites import BoundFaults, Ground, RoleSuite, SuiteResult

__all__ = ["Chroot", "SuiteRunner"]

_LANES = ("quick", "full")
_LANE_MARK = (
    "keepstep_lane(name): the lane of a test, 'quick' or 'full'; what is 'full' runs only with"
    " --keepstep-lane=full"
)
_NEEDS_MARK = (
    "keepstep_needs(*faults): names of fault packages that a test injects; where the machine does"
    " not allow one the test is not run, and says why"
)


def _at_least(least: int) -> Callable[[str], int]:
    """Reads a number that is not smaller."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ArgumentTypeError(f"it is a whole number from {least}, not {text!r}")
        return int(text)

    return read


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; a value that makes no sense ends pytest with a usage error."""
    group = parser.getgroup("keepstep", "keepstep: ZooKeeper, faults and suites")
    group.addoption(
        "--keepstep-servers",
        type=int,
        choices=(1, 3, 5),
        default=1,
        help="how many ZooKeeper servers keepstep_ensemble, keepstep_fake and keepstep_suite have"
        " (default: 1; keepstep_ensemble alone has 3)",
    )
    group.addoption(
        "--keepstep-seed",
        type=_at_least(0),
        default=0,
        metavar="N",
        help="repeats what suites, faults and the fake choose (default: 0)",
    )
    group.addoption(
        "--keepstep-lane",
        choices=_LANES,
        default="quick",
        help="which tests run: quick (default) leaves out those marked keepstep_lane('full')",
    )
    group.addoption(
        "--keepstep-runs",
        type=_at_least(1),
        default=60,
        metavar="N",
        help="how many runs a suite makes unless its test says so (default: 60)",
    )
    group.addoption(
        "--keepstep-on",
        choices=("real", "fake"),
        default="real",
        help="where keepstep_suite runs: on real servers (default), or on the fake",
    )
    group.addoption(
        "--keepstep-record",
        type=Path,
        metavar="DIR",
        help="write the recording of each run of keepstep_suite to this folder",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the markers."""
    for line in (_LANE_MARK, _NEEDS_MARK):
        config.addinivalue_line("markers", line)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what belongs to the other lane; refuse marks that make no sense.

    Raises:
        UsageError: A mark names a lane or a fault that does not exist.
    """
    left_out = [item for item in items if _lane_of(item) == "full"]
    for item in items:
        _needed_faults(item)
    if left_out and config.getoption("--keepstep-lane") != "full":
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _lane_of(item) != "full"]


def _lane_of(item: pytest.Item) -> str:
    mark = item.get_closest_marker("keepstep_lane")
    if mark is None:
        return "quick"
    if len(mark.args) != 1 or mark.args[0] not in _LANES or mark.kwargs:
        given = ", ".join(map(repr, mark.args)) or "nothing"
        raise pytest.UsageError(
            f"{item.nodeid}: keepstep_lane is given {given}; it takes 'quick' or 'full'"
        )
    return str(mark.args[0])


def _needed_faults(item: pytest.Item) -> list[str]:
    wanted = [str(name) for mark in item.iter_markers("keepstep_needs") for name in mark.args]
    if wanted:
        from keepstep.testing.faults import packages

        known = packages()
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise pytest.UsageError(
                f"{item.nodeid}: keepstep_needs names no fault {unknown[0]!r};"
                f" there are: {', '.join(known)}"
            )
    return wanted


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what is not as by default, so that a report can be repeated."""
    names = ("servers", "seed", "lane", "runs", "on")
    defaults = {"servers": 1, "seed": 0, "lane": "quick", "runs": 60, "on": "real"}
    given = {name: config.getoption(f"--keepstep-{name}") for name in names}
    changed = [f"{name} {value}" for name, value in given.items() if value != defaults[name]]
    return f"keepstep: {', '.join(changed)}" if changed else None


# --- Servers --------------------------------------------------------------------------------


class Chroot(NamedTuple):
    """A place on a server that only one test uses.

    Attributes:
        path: The znode; it exists, and is empty.
        hosts: A connect string for kazoo whose paths begin there.
        address: The server.
    """

    path: str
    hosts: str
    address: Address


@pytest.fixture(scope="session")
def keepstep_server() -> Iterator[ZooKeeperServer]:
    """A real ZooKeeper server that all tests of the session share; it ends with the session."""
    from keepstep.testing import ZooKeeperServer

    with ZooKeeperServer() as server:
        yield server


@pytest.fixture
def keepstep_fresh_server() -> Iterator[ZooKeeperServer]:
    """A real ZooKeeper server of this test's own, which may be killed or wiped."""
    from keepstep.testing import ZooKeeperServer

    with ZooKeeperServer() as server:
        yield server


@pytest.fixture
def keepstep_chroot(
    keepstep_server: ZooKeeperServer, request: pytest.FixtureRequest
) -> Iterator[Chroot]:
    """An empty znode of the shared server, for this test; it is removed with all below it."""
    from keepstep.testing import Refusal, WireClient

    name = "".join(each if each.isalnum() else "-" for each in request.node.name)[:60]
    address = keepstep_server.address
    with WireClient(address) as client:
        # The server's number makes the name unique, in whatever order tests begin.
        path = client.create(f"/{name}-", sequential=True)
    yield Chroot(path, f"{address}{path}", address)
    if keepstep_server.running:
        with WireClient(address) as client:
            try:
                _remove(client, path)
            except Refusal as refusal:
                raise AssertionError(
                    f"{path} is still in use when its test ends: {refusal}"
                ) from None


def _remove(client: Any, path: str) -> None:
    for child in client.get_children(path):
        _remove(client, f"{path}/{child}")
    client.delete(path)


@pytest.fixture(scope="session")
def _keepstep_shared_ensemble(request: pytest.FixtureRequest) -> Iterator[ZooKeeperEnsemble]:
    from keepstep.testing import ZooKeeperEnsemble

    size = request.config.getoption("--keepstep-servers")
    with ZooKeeperEnsemble(size if size > 1 else 3, links=True) as ensemble:
        yield ensemble


@pytest.fixture
def keepstep_ensemble(
    _keepstep_shared_ensemble: ZooKeeperEnsemble,
) -> ZooKeeperEnsemble:
    """A real ensemble that all tests of the session share: 3 servers, or `--keepstep-servers`.

    Servers that a test has killed are started again for the next.
    """
    for server in _keepstep_shared_ensemble.servers.values():
        if server.paused:
            server.resume()
        if not server.running:
            server.start()
    return _keepstep_shared_ensemble


@pytest.fixture
def keepstep_fake(request: pytest.FixtureRequest) -> FakeZooKeeper:
    """A ZooKeeper in memory, with `--keepstep-servers` servers, seeded by `--keepstep-seed`."""
    from keepstep.simulation import FakeZooKeeper

    option = request.config.getoption
    return FakeZooKeeper(servers=option("--keepstep-servers"), seed=option("--keepstep-seed"))


# --- Faults and records ---------------------------------------------------------------------


@pytest.fixture
def keepstep_faults(request: pytest.FixtureRequest) -> Iterator[BoundFaults]:
    """The fault packages, bound to a server of this test's own, or to the ensemble if it asks.

    What was injected is healed when the test ends. A test that names the faults it needs with
    the mark `keepstep_needs` is skipped, with the reason, where one is not allowed.
    """
    from keepstep.testing.suites import BoundFaults

    asked = "keepstep_ensemble" in request.fixturenames
    servers = request.getfixturevalue("keepstep_ensemble" if asked else "keepstep_fresh_server")
    with BoundFaults(servers, request.config.getoption("--keepstep-seed")) as faults:
        for name in _needed_faults(request.node):
            availability = faults.available(name)
            if not availability.allowed:
                pytest.skip(f"NOT RUN: {name} is not available: {availability.reason}")
        yield faults


@pytest.fixture
def keepstep_recorder(request: pytest.FixtureRequest) -> ElectionRecorder:
    """Records an election into `election.jsonl` of the test's `tmp_path`."""
    from keepstep.testing.election.recorder import ElectionRecorder

    folder = request.getfixturevalue("tmp_path")
    return ElectionRecorder(
        folder / "election.jsonl",
        source=request.node.nodeid,
        seed=request.config.getoption("--keepstep-seed"),
    )


# --- Suites ---------------------------------------------------------------------------------


@pytest.fixture
def keepstep_ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """Where suites run: real servers or the fake (`--keepstep-on`), as many as are asked for."""
    from keepstep.testing.suites import FakeGround, RealGround

    option = request.config.getoption
    if option("--keepstep-on") == "fake":
        yield FakeGround(option("--keepstep-servers"), option("--keepstep-seed"))
        return
    alone = option("--keepstep-servers") == 1
    servers = request.getfixturevalue("keepstep_server" if alone else "keepstep_ensemble")
    with RealGround(servers) as ground:
        yield ground


class SuiteRunner:
    """Runs suites for a test.

    Args:
        ground: Where.
        runs: How many runs, unless a test says so.
        seed: Repeats all choices.
        record: A folder for the recordings of all runs; None for no files.
    """

    def __init__(self, ground: Ground, runs: int, seed: int, record: Path | None = None) -> None:
        self._ground = ground
        self._runs = runs
        self._seed = seed
        self._record = record

    def find(self, suite: type[RoleSuite], *, runs: int | None = None) -> SuiteResult:
        """Run a suite and return what it has found, for a test that expects something."""
        from keepstep.testing.suites import run_suite

        count = self._runs if runs is None else runs
        found = run_suite(
            suite, self._ground, examples=count, seed_number=self._seed, record=self._record
        )
        for reason in found.not_run.values():
            warnings.warn(f"NOT RUN: {reason}", stacklevel=3)
        return found

    def __call__(self, suite: type[RoleSuite], *, runs: int | None = None) -> SuiteResult:
        """Run a suite.

        Raises:
            SuiteFailed: It has broken a promise, or has not seen enough; the message is the story.
        """
        __tracebackhide__ = True
        return self.find(suite, runs=runs).require()


@pytest.fixture
def keepstep_suite(keepstep_ground: Ground, pytestconfig: pytest.Config) -> SuiteRunner:
    """Runs a suite: `keepstep_suite(MySuite)` fails with the story of the shortest bad run."""
    return SuiteRunner(
        keepstep_ground,
        pytestconfig.getoption("--keepstep-runs"),
        pytestconfig.getoption("--keepstep-seed"),
        pytestconfig.getoption("--keepstep-record"),
    )
