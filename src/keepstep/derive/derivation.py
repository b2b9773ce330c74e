"""A role module, or a module of pure operators, in; its Python modules out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepstep.derive.emit import Origin, emit_role, emit_vocabulary, module_name
from keepstep.derive.plan import plan_role
from keepstep.derive.pure import emit_functions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keepstep.derive.ast import Spec

__all__ = ["Derived", "derive_functions", "derive_role", "package_of"]


@dataclass(frozen=True, slots=True)
class Derived:
    """A Python module that was derived.

    Attributes:
        path: Where it belongs.
        text: What it says.
        modules: The files of the specification that it was derived from.
    """

    path: Path
    text: str
    modules: tuple[Path, ...]


def derive_role(
    spec: Spec, folder: Path, package: str, shown: Callable[[Path], str]
) -> tuple[Derived, ...]:
    """The role of a specification and the vocabularies that it extends.

    Args:
        spec: A specification whose root is a role module.
        folder: Where the Python modules are to be.
        package: The Python package of that folder; "" for none.
        shown: How a header names a file of the specification.

    Raises:
        InvalidSpec: The module is outside the subset.
    """
    role = plan_role(spec)
    found = []
    for module in (*role.vocabularies, spec.root):
        origin = Origin(shown(spec.sources[module].path), package)
        if module == spec.root:
            text = emit_role(role, origin)
            needed = sorted(spec.sources)
        else:
            text = emit_vocabulary(spec, role.vocabularies, module, origin)
            needed = sorted(spec.extends[module])
        modules = tuple(spec.sources[name].path for name in needed)
        found.append(Derived(folder / f"{module_name(module)}.py", text, modules))
    return tuple(found)


def derive_functions(spec: Spec, file: Path, package: str, shown: Callable[[Path], str]) -> Derived:
    """The functions of a module of pure operators.

    Args:
        spec: A specification whose root is a module without variables and constants.
        file: Where the Python module is to be.
        package: The Python package of its folder; "" for none.
        shown: How a header names a file of the specification.

    Raises:
        InvalidSpec: The module has something that has no form in Python.
    """
    text = emit_functions(spec, Origin(shown(spec.sources[spec.root].path), package))
    modules = tuple(spec.sources[name].path for name in sorted(spec.sources))
    return Derived(file, text, modules)


def package_of(folder: Path) -> str:
    """The dotted name of a folder's Python package; "" if it is none."""
    names: list[str] = []
    here = folder.resolve()
    while (here / "__init__.py").is_file():
        names.insert(0, here.name)
        here = here.parent
    return ".".join(names)
