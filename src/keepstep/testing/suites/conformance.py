"""What a derived machine owes its specification, as tests that a class inherits.

    from keepstep.testing.suites import RoleConformance

    class TestTenant(RoleConformance):
        project = Path(__file__).parents[1]

Each test is about one link of the chain; what differs is told with the shortest way to it.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from keepstep.checkers.run import choose_models, run_models
from keepstep.checkers.verdict import Exit
from keepstep.conformance.roles import RoleEntry, load_machine, load_roles, read_spec
from keepstep.conformance.run import ConformReport, conform
from keepstep.derive.derivation import derive_role, package_of
from keepstep.errors import InvalidModel
from keepstep.tla.manifest import load_manifest
from keepstep.tla.sources import Project, find_project

__all__ = ["ConformanceFailed", "RoleConformance", "stale_files"]


def stale_files(project: Project, entry: RoleEntry) -> list[str]:
    """How the derived files of a role differ from what its specification gives.

    Raises:
        InvalidModel: The class cannot be imported.
        InvalidSpec: The specification has an error.
    """
    module = load_machine(project, entry)
    if module.__file__ is None:
        raise InvalidModel(f"role {entry.name}: {entry.machine} is no file")
    folder = Path(module.__file__).parent
    root = project.root.resolve()

    def shown(path: Path) -> str:
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name

    spec = read_spec(project, project.root / entry.spec)
    found = []
    for one in derive_role(spec, folder, package_of(folder), shown):
        present = one.path.read_text(encoding="utf-8") if one.path.is_file() else ""
        if present != one.text:
            changed = difflib.unified_diff(
                present.splitlines(),
                one.text.splitlines(),
                "as it is",
                "as derived",
                lineterm="",
                n=1,
            )
            found.append(f"{one.path.name} is not what {entry.spec} gives:\n" + "\n".join(changed))
    return found


@lru_cache(maxsize=8)
def _compared(root: Path, lane: str) -> ConformReport:
    return conform(Project(root), lane)


def _expect_none(found: list[str]) -> None:
    """Fail with what was found.

    Raises:
        ConformanceFailed: Something was.
    """
    __tracebackhide__ = True  # a test runner's report shall show the difference, not this place
    if found:
        raise ConformanceFailed("\n".join(found))


class ConformanceFailed(AssertionError):
    """A class and its specification differ; the message says in what."""


class RoleConformance:
    """Tests of the roles of a project; name a subclass as your test runner wants it.

    Attributes:
        project: The folder that holds spec/ and models/manifest.toml.
        lane: Which models are compared: "quick", or "full".
    """

    project: ClassVar[Path]
    lane: ClassVar[str] = "quick"

    def _project(self) -> Project:
        return find_project(self.project)

    def _report(self) -> ConformReport:
        """All comparisons; they are made once, however many tests ask."""
        return _compared(self._project().root, self.lane)

    def test_the_derived_files_are_fresh(self) -> None:
        """The classes are what `keepstep derive` writes from the specification."""
        project = self._project()
        found = [text for entry in load_roles(project) for text in stale_files(project, entry)]
        _expect_none([*found, "write them anew with: keepstep derive"] if found else [])

    def test_the_class_has_the_shape_of_its_module(self) -> None:
        """States, first facts, events and actions agree."""
        found = [f"{role.name}: {text}" for role in self._report().roles for text in role.oddities]
        _expect_none(found)

    def test_no_two_guards_hold_at_once(self) -> None:
        """What is told never enables two transitions, of which one would be forgotten."""
        found = [f"{role.name}: {one}" for role in self._report().roles for one in role.overlaps]
        _expect_none(found)

    def test_every_row_of_the_role_table(self) -> None:
        """In every configuration every input has the same answer, refusals included."""
        report = self._report()
        found = [
            f"{role.name}: {role.table.difference}"
            for role in report.roles
            if role.table.difference is not None
        ]
        found += [
            f"{role.name}: no step is accepted" for role in report.roles if not role.table.accepted
        ]
        _expect_none(found)

    def test_every_edge_of_the_system_graph(self) -> None:
        """The machines, before the environment, have TLC's states and edges and no others."""
        found = []
        for model in self._report().models:
            found += [f"{model.name}: {name} does not hold" for name in model.comparison.violated]
            if model.problem:
                found.append(f"{model.name}: {model.problem}")
            if model.comparison.mismatch is not None:
                found.append(f"{model.name}: {model.comparison.mismatch}")
        _expect_none(found)

    def test_every_model_is_as_expected(self) -> None:
        """What must hold holds, what must be reachable is, and each mutant is caught.

        Verdicts of models that have not changed come from the user's cache.
        """
        project = self._project()
        manifest = load_manifest(project)
        report = run_models(project, manifest, choose_models(manifest, [], self.lane))
        found = [
            f"{one.model.name}: {one.judgement.text or one.verdict}"
            for one in report.results
            if one.judgement.exit != Exit.AS_EXPECTED
        ]
        _expect_none([*found, *map(str, report.contradictions)])

    def test_every_action_is_taken_somewhere(self) -> None:
        """No action of the composition is left out by all graphs."""
        never = self._report().never.items()
        _expect_none(
            [f"{spec}: no graph takes {', '.join(names)}" for spec, names in never if names]
        )
