"""A role's module that cannot be imported is told with what is missing and the cure."""

from __future__ import annotations

import pytest

from keepstep.conformance.roles import RoleEntry, load_machine
from keepstep.errors import InvalidModel
from keepstep.tla.sources import Project


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        ("nowhere.holder", "Python finds no package nowhere; install your project, or set PYTHON"),
        ("halfway.holder", "there is no module halfway.holder; derive it with: keepstep derive"),
        ("halfway.broken", "halfway.broken imports nothing_such, and there is no such module"),
        ("nothing_such", "there is no module nothing_such; derive it with: keepstep derive"),
    ],
)
def test_why_a_machine_cannot_be_imported(tmp_path, monkeypatch, machine, says):
    package = tmp_path / "halfway"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "broken.py").write_text("import nothing_such\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidModel) as refused:
        load_machine(Project(tmp_path), RoleEntry(spec="spec/Holder.tla", machine=machine))
    assert str(refused.value).startswith(f"role Holder: {says}")
