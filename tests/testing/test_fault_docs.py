"""The pages about faults: their code runs, and their table is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keepstep.testing.faults import FaultStatus, packages

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_has_a_row_for_each_package_as_the_package_says():
    rows = [
        line
        for line in (DOCS / "reference/faults.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    assert rows == [
        f"| `{p.name}` | {p.what} | {p.shown_by} | {p.heals_within:g} s | "
        f"{p.requires or 'nothing'} |"
        for p in packages().values()
    ]


def test_the_table_of_statuses_is_complete():
    page = (DOCS / "how-to/break-a-zookeeper.md").read_text()
    assert re.findall(r"^\| ([A-Z ]+) \|", page, re.MULTILINE) == [s.value for s in FaultStatus]


@pytest.mark.full
@pytest.mark.zookeeper
def test_the_code_of_the_how_to_runs(capsys):
    page = (DOCS / "how-to/break-a-zookeeper.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(programs) == 2
    for program in programs:
        exec(compile(program, "break-a-zookeeper.md", "exec"), {})  # noqa: S102
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in told] == ["PROVED", "PROVED"]
