"""The how-to says what the interface is."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import keepstep.shell
from keepstep.shell import LeaderElection

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "embed-the-election.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_programs_use_what_there_is(block):
    tree = ast.parse(block)
    parameters = inspect.signature(LeaderElection).parameters
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "keepstep.shell":
            for alias in node.names:
                assert alias.name in keepstep.shell.__all__
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "election":
            assert hasattr(LeaderElection, node.attr)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "LeaderElection":
            passed = {keyword.arg for keyword in node.keywords}
            # What is no parameter goes on to KazooClient.
            kazoos = {"use_ssl", "ca", "check_hostname", "auth_data"}
            assert passed - kazoos <= set(parameters)


def test_there_are_programs():
    assert len(BLOCKS) >= 5
