"""The fake with mistakes in it: of the environment module, or of what lies around it."""

from __future__ import annotations

import itertools
import sys
import tempfile
import tomllib
import types
from pathlib import Path

from keepstep.checkers.toolchain import find_java, find_tlc
from keepstep.derive.emit import Origin
from keepstep.derive.pure import emit_functions
from keepstep.derive.sany import Sany
from keepstep.simulation import FakeZooKeeper, fake
from keepstep.testing.zookeeper_kit import FakeService
from keepstep.tla.mutation import mutate_text
from keepstep.tla.sources import Project

HERE = Path(__file__).parent
PROJECT = Project(HERE.parents[1])
MODULE = PROJECT.root / "spec/service/ZooKeeperService.tla"
SERVICE_MUTANTS = tomllib.loads((HERE / "service_mutants.toml").read_text())
FAKE_MUTANTS = tomllib.loads((HERE / "fake_mutants.toml").read_text())


def executed(name, text):
    """A Python module from its text."""
    module = types.ModuleType(name)
    sys.modules[name] = module  # Dataclasses look their module up.
    try:
        exec(compile(text, name, "exec"), vars(module))  # noqa: S102 - derived, or our own
    finally:
        del sys.modules[name]
    return module


def mutated_rules(name):
    """The functions derived from the environment module with one mistake in it."""
    mutant = SERVICE_MUTANTS[name]
    text = mutate_text(
        MODULE.read_text(),
        old=mutant["old"],
        new=mutant["new"],
        operator=mutant["operator"],
        place=name,
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / MODULE.name
        file.write_text(text)
        sany = Sany(find_java().path, find_tlc().jar)
        spec = sany.read(file, PROJECT.search_path(MODULE, shims=True)[1:])
        return executed("mutated_rules", emit_functions(spec, Origin(MODULE.name)))


def mutated_fake(name):
    """The class `FakeZooKeeper` with one mistake in its module."""
    mutant = FAKE_MUTANTS[name]
    text = Path(fake.__file__).read_text()
    assert text.count(mutant["old"]) == 1, f"{name} does not fit the fake any more"
    return executed("mutated_fake", text.replace(mutant["old"], mutant["new"])).FakeZooKeeper


def services(servers, zookeeper=FakeZooKeeper, **more):
    """Gives a new service each time, with another seed."""
    seeds = itertools.count()
    return lambda: FakeService(zookeeper(servers=servers, seed=next(seeds), **more))
