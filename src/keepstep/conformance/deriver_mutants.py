"""Mutants of the deriver: one wrong line in it, and what it derives is judged by all layers.

Each is an edit of a module of `keepstep.derive`. The patched modules are loaded beside the
real ones, derive the roles once more, and are thrown away.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from keepstep.conformance.killing import Arena, Killed
from keepstep.conformance.roles import LOADED, load_source
from keepstep.derive.ast import Spec
from keepstep.errors import InternalError, KeepstepError

__all__ = ["DERIVER_MUTANTS", "DeriverMutant", "derive_with", "kill_derivers"]

_PACKAGE = "keepstep.derive"
_PATCHABLE = ("subset", "names", "vocabulary", "plan", "values", "emit", "derivation")
"""The modules that are loaded anew. Those that define the tree are shared, as it comes in."""


@dataclass(frozen=True, slots=True)
class DeriverMutant:
    """One edit of the deriver.

    Attributes:
        name: What the list of equivalent mutants calls it.
        module: The module of `keepstep.derive`.
        old: A text that occurs in it exactly once.
        new: What stands there instead.
        what: What was done, in a few words.
    """

    name: str
    module: str
    old: str
    new: str
    what: str


DERIVER_MUTANTS = (
    DeriverMutant(
        "deriver.unless-lost", "emit", "return f'unless=\"{names[0][0]}\", '", 'return ""',
        "a single negated guard is not written",
    ),
    DeriverMutant(
        "deriver.unless-is-cond", "emit", "return f'unless=\"{names[0][0]}\", '",
        "return f'cond=\"{names[0][0]}\", '", "a single negated guard is written as cond",
    ),
    DeriverMutant(
        "deriver.not-lost", "emit", "{'not ' * negated}{n}", "{n}",
        "the negation in a joint guard is lost",
    ),
    DeriverMutant(
        "deriver.guards-or", "emit", "'cond=\"' + \" and \".join(", "'cond=\"' + \" or \".join(",
        "joint guards are alternatives",
    ),
    DeriverMutant(
        "deriver.ends-swapped", "emit", 'return f"{first}.to({action.target}, {options})"',
        'return f"{action.target}.to({first}, {options})"', "source and target are swapped",
    ),
    DeriverMutant(
        "deriver.source-lost", "emit",
        "return f\"{action.target}.from_({', '.join(action.sources)}, {options})\"",
        "return f\"{action.target}.from_({', '.join(action.sources[1:])}, {options})\"",
        "the first of several sources is lost",
    ),
    DeriverMutant(
        "deriver.internal-source-lost", "emit",
        "return f\"internally({', '.join(action.sources)}, {options})\"",
        "return f\"internally({', '.join(action.sources[:-1])}, {options})\"",
        "the last state of an action in many states is lost",
    ),
    DeriverMutant(
        "deriver.fact-lost", "emit", "for variable, value in action.facts.items()]",
        "for variable, value in list(action.facts.items())[:-1]]",
        "the last fact of an action is not remembered",
    ),
    DeriverMutant(
        "deriver.request-lost", "emit",
        'out.append(f"        self.ask({self.values.text(action.request)})")',
        'action.facts or out.append(f"        self.ask({self.values.text(action.request)})")',
        "an action that remembers does not ask",
    ),
    DeriverMutant(
        "deriver.first-mode", "emit",
        "if mode == role.initial else", "if mode != role.initial else",
        "the machine starts in another state",
    ),
    DeriverMutant(
        "deriver.mode-unequal", "plan",
        "self.restrict(role.modes.keys() - {self.mode(mode, conjunct.at)})",
        "self.restrict({self.mode(mode, conjunct.at)})", "a state to be excluded is the only one",
    ),
    DeriverMutant(
        "deriver.mode-not-in", "plan", "self.restrict(role.modes.keys() - self.mode_set(modes))",
        "self.restrict(self.mode_set(modes))", "states to be excluded are the only ones",
    ),
    DeriverMutant(
        "deriver.negation-lost", "plan", "self.predicate(inner, negated=True)",
        "self.predicate(inner, negated=False)", "the negation of a guard is lost",
    ),
    DeriverMutant(
        "deriver.minimum", "values", '{"Min": "min", "Max": "max"', '{"Min": "max", "Max": "min"',
        "minimum and maximum are swapped",
    ),
    DeriverMutant(
        "deriver.less", "values", '"<": "<",', '"<": "<=",', "less is less or equal",
    ),
    DeriverMutant(
        "deriver.filter-lost", "values",
        "return source, f\" if {' and '.join(parts)}\" if parts else \"\"", 'return source, ""',
        "the condition of a filter is lost",
    ),
    DeriverMutant(
        "deriver.payload-mixed", "values", "for f, arg in zip(fields, args, strict=True)]",
        "for f, arg in zip(fields, reversed(args), strict=True)]",
        "the fields of a request are mixed up",
    ),
    DeriverMutant(
        "deriver.empty", "values", 'return Python(f"bool({self.text(left)})")',
        'return Python(f"not {self.text(left)}")', "not empty is empty",
    ),
    DeriverMutant(
        "deriver.the-unchecked", "values",
        'return Python(f"the(self.facts.{fact.attribute})")',
        'return Python(f"self.facts.{fact.attribute}")', "an optional fact is used unchecked",
    ),
    DeriverMutant(
        "deriver.ask-last", "emit",
        "out.append(f\"        self.remember({', '.join(changes)})\")",
        "out.insert(-1 if action.request is not None else len(out), "
        "f\"        self.remember({', '.join(changes)})\")",
        "an action remembers before it asks",
    ),
)  # fmt: skip
"""Every edit that `keepstep mutate` makes to the deriver."""


class _Patched(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the patchable modules of the deriver, one of them with another text."""

    def __init__(self, mutant: DeriverMutant | None) -> None:
        self.mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A module of the deriver that is to be loaded anew."""
        del path, target
        package, _, name = fullname.rpartition(".")
        if package != _PACKAGE or name not in _PATCHABLE:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=str(_file(name)))

    def exec_module(self, module: ModuleType) -> None:
        """Execute the text of a module, edited if it is the mutant's."""
        name = module.__name__.rpartition(".")[2]
        text = _file(name).read_text(encoding="utf-8")
        if self.mutant is not None and self.mutant.module == name:
            if text.count(self.mutant.old) != 1:
                raise InternalError(
                    f"the mutant {self.mutant.name} does not fit {name}.py: its text occurs "
                    f"{text.count(self.mutant.old)} times"
                )
            text = text.replace(self.mutant.old, self.mutant.new)
        exec(compile(text, str(_file(name)), "exec"), module.__dict__)  # noqa: S102


def _file(name: str) -> Path:
    return Path(importlib.import_module(_PACKAGE).__path__[0]) / f"{name}.py"


@contextmanager
def _patched(mutant: DeriverMutant | None) -> Iterator[ModuleType]:
    """The deriver with an edit, beside the real one, while it lasts."""
    package = importlib.import_module(_PACKAGE)
    names = [f"{_PACKAGE}.{name}" for name in _PATCHABLE]
    for name in names:
        importlib.import_module(name)
    modules = {name: sys.modules.pop(name) for name in names}
    finder = _Patched(mutant)
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module(f"{_PACKAGE}.derivation")
    finally:
        sys.meta_path.remove(finder)
        for name in names:
            sys.modules[name] = modules[name]
            setattr(package, name.rpartition(".")[2], modules[name])


def derive_with(mutant: DeriverMutant | None, spec: Spec, package: str) -> list[tuple[str, str]]:
    """The dotted name and the text of each Python module that the patched deriver writes.

    Raises:
        InternalError: The edit does not fit the deriver any more.
        Exception: Whatever the wrong deriver raises.
    """
    with _patched(mutant) as derivation:
        derived: Sequence[Any] = derivation.derive_role(
            spec, Path(package), package, lambda path: path.name
        )
        return [(f"{package}.{one.path.stem}", one.text) for one in derived]


def kill_derivers(
    arenas: Sequence[Arena],
    package: str = "keepstep.roles",
    mutants: Sequence[DeriverMutant] = DERIVER_MUTANTS,
) -> Iterator[tuple[Killed, bool]]:
    """Judge what each mutant derives, for all roles.

    Yields:
        What became of the mutant, and whether any role is derived differently at all.
    """
    right = {arena.role.entry.name: derive_with(None, arena.role.spec, package) for arena in arenas}
    for mutant in mutants:
        layer, reason, differs = "", "", False
        for arena in arenas:
            try:
                derived = derive_with(mutant, arena.role.spec, package)
            except InternalError:
                raise
            except KeepstepError as error:
                layer, reason, differs = "construction", f"the deriver refuses: {error}", True
                break
            except Exception as error:  # noqa: BLE001 - a wrong deriver may fail in any way
                layer, reason, differs = "construction", f"{type(error).__name__}: {error}", True
                break
            if derived == right[arena.role.entry.name]:
                continue
            differs = True
            layer, reason = judge_derived(arena, derived, mutant.name)
            if layer:
                break
        yield Killed(mutant.name, mutant.what, layer, reason), differs


def judge_derived(arena: Arena, derived: Sequence[tuple[str, str]], origin: str) -> tuple[str, str]:
    """Judge derived modules, the role's last, without those that are shipped."""
    renamed: dict[str, str] = {}
    try:
        *vocabularies, (_, text) = derived
        for name, words in vocabularies:
            for old, new in renamed.items():
                words = words.replace(old, new)  # noqa: PLW2901 - the names of earlier ones
            renamed[name] = load_source(words, f"{origin}: {name}").__name__
        for old, new in renamed.items():
            text = text.replace(f"from {old} import", f"from {new} import")
        return arena.judge(text, origin)
    except Exception as error:  # noqa: BLE001 - whatever happens, it was noticed
        return "construction", f"{type(error).__name__}: {error}"
    finally:
        for name in list(sys.modules):
            if name.startswith(LOADED):
                del sys.modules[name]
