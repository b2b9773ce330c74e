"""The code of the how-to runs as it stands, and the explanation counts right."""

from __future__ import annotations

import re
from pathlib import Path

from .mutation import FAKE_MUTANTS, SERVICE_MUTANTS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "how-to/test-against-the-fake.md"


def test_the_code_of_the_page_runs():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    exec(compile("\n".join(blocks), PAGE.name, "exec"), {})  # noqa: S102 - our own page


def test_the_page_counts_the_mistakes():
    page = (DOCS / "explanation/the-fake.md").read_text()
    assert f"[{len(SERVICE_MUTANTS)} mistakes](" in page
    assert f"[{len(FAKE_MUTANTS)}](" in page
