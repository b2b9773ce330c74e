"""What the pages tell readers to write does what they say."""

from __future__ import annotations

import importlib
import re
import textwrap
from pathlib import Path
from typing import get_args

import pytest

from keepstep.shell.mapping import Call
from keepstep.testing.suites import FakeGround, RoleConformance, RoleSuite, Step, replay_suite

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs/how-to/use-the-pytest-plugin.md"
REFERENCE = ROOT / "docs/reference/pytest-plugin.md"
PLUGIN = ROOT / "src/keepstep/_pytest_plugin.py"


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.tools
@pytest.mark.zookeeper
def test_the_first_examples_run_as_they_are(run_tests):
    complete = [block for block in blocks(HOW_TO) if block.startswith(("from", "import"))]
    assert len(complete) == 2
    done = run_tests("\n".join(complete))
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_rest_is_quoted_from_the_example(example):
    sources = "\n".join(path.read_text() for path in example.rglob("*.py"))
    pages = [HOW_TO, example / "README.md"]
    quoted = [b for page in pages for b in blocks(page) if not b.startswith(("from", "import"))]
    assert len(quoted) >= 4
    for block in quoted:
        for part in re.split(r"\n{3}", block.strip("\n")):
            forms = (part, textwrap.indent(part, "    "))
            assert any(form in sources for form in forms), part


def test_the_story_of_the_readme_is_what_is_told(example, monkeypatch):
    bug = importlib.import_module("seeded_bugs").BUGS["adopts-by-name"]
    steps = [
        Step("begin", {"count": 1, "first": "ReturnDue"}),
        Step("restart", {"who": "favourite"}),
    ]
    told = replay_suite(bug.suite, FakeGround(), steps).story
    told = re.sub(r"/\w+-[0-9a-f]+-\d+/", ".../", told)
    assert told in (example / "README.md").read_text()


def test_every_call_of_a_mapping_is_in_the_reference():
    page = (ROOT / "docs/reference/mapping.md").read_text()
    calls = {kind.__name__ for kind in get_args(Call)}
    assert {
        found for found in re.findall(r"^\| `(\w+)\(", page, re.MULTILINE) if found[0].isupper()
    } == calls


def test_every_fixture_option_and_marker_is_in_the_reference():
    text = PLUGIN.read_text()
    page = REFERENCE.read_text()
    fixtures = re.findall(r"^@pytest\.fixture.*\ndef (keepstep_\w+)", text, re.MULTILINE)
    options = re.findall(r'"(--keepstep-\w+)"', text)
    markers = re.findall(r'"(keepstep_\w+)\(', text)
    assert len(fixtures) >= 9
    assert len(set(options)) >= 5
    assert len(markers) >= 2
    for name in {*fixtures, *options}:
        assert f"`{name}`" in page, name
    for name in markers:
        assert f"`{name}(" in page, name


def test_every_test_and_attribute_of_the_bases_is_in_the_reference():
    page = REFERENCE.read_text()
    tests = [name for name in vars(RoleConformance) if name.startswith("test_")]
    attributes = [name for name in RoleSuite.__annotations__ if not name.startswith("_")]
    assert len(tests) >= 7
    for name in (*tests, *attributes):
        assert f"`{name}`" in page, name
