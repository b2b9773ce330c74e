"""Lanes: what is marked `full` runs only when it is asked for."""

from __future__ import annotations

import re
import signal

import pytest


def pytest_configure() -> None:
    """Undo what a shell does to commands in the background: their children ignore SIGINT.

    A handler of ours is not inherited, so processes that tests start have the default again.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--lane",
        choices=["quick", "full"],
        default="quick",
        help="which tests run: quick (default) leaves out those marked full",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the full lane, and refuse names of tests that differ from process to process.

    A set is written in the order of hashes that are salted anew in each process, and an address is
    another one each time: workers of pytest-xdist then do not agree on what there is to run.
    """
    unsteady = [item.nodeid for item in items if re.search(r"set\(\{| at 0x", item.name)]
    if unsteady:
        raise pytest.UsageError(f"name this test without a set or an address: {unsteady[0]}")
    if config.getoption("--lane") == "full":
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("full")]
