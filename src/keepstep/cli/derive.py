"""`keepstep derive`: derive roles and functions from their modules, or compare them."""

from __future__ import annotations

import difflib
import importlib.util
import os
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keepstep.checkers.toolchain import find_java, find_tlc
from keepstep.checkers.verdict import Exit, Leg
from keepstep.derive.derivation import Derived, derive_functions, derive_role, package_of
from keepstep.derive.sany import Sany
from keepstep.errors import InvalidModel, InvalidSpec
from keepstep.evidence import lock_derived
from keepstep.tla.sources import Project, find_project

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Target", "command", "derive_targets", "project_targets", "run_leg"]


@dataclass(frozen=True, slots=True)
class Target:
    """A module of a specification, and where its Python modules belong.

    Attributes:
        module: The file of a role module, or of a module of pure operators.
        folder: The folder of the Python modules.
        package: The Python package of that folder; "" for none.
        functions: Name of the Python module of pure operators; "" for a role, whose Python
            modules are named as those of the specification.
    """

    module: Path
    folder: Path
    package: str
    functions: str = ""


@click.command(name="derive", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("modules", nargs=-1, type=click.Path(path_type=Path), metavar="[MODULE.tla]...")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder for the Python modules of the modules named.",
)
@click.option("--check", is_flag=True, help="Write nothing; show what differs and exit with 1.")
@click.option("--lock", is_flag=True, help="Write the hashes of the derived files to the lock.")
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder with spec/ and models/. [default: the current one, else the shipped one]",
)
@click.pass_context
def command(
    ctx: click.Context,
    modules: tuple[Path, ...],
    folder: Path | None,
    check: bool,  # noqa: FBT001 - click gives flags so
    lock: bool,  # noqa: FBT001
    project: Path | None,
) -> None:
    """Derive role classes from TLA+ modules.

    MODULE.tla is a role module, anywhere; --to says where its Python modules go. Without
    modules, what the manifest of the project lists is derived: its roles, and its modules of
    pure operators, which become functions.
    """
    place = find_project(project, manifest=not modules)
    if lock and (modules or folder):
        raise click.UsageError("--lock is about the roles of the project: name no modules")
    targets = _targets(place, modules, folder)
    try:
        derived = derive_targets(place, targets)
    except InvalidSpec as error:
        error.file = _short(error.file)
        raise
    differing = _compare(derived) if check else _write_all(derived)
    if lock and not (check and differing):
        lock_derived(place, {one.path: one.modules for one in derived})
    ctx.exit(Exit.DIFFERS if check and differing else Exit.AS_EXPECTED)


def run_leg(project: Path | None, *, quiet: bool) -> Leg:
    """`derive --check` as one line of `keepstep verify`.

    Raises:
        KeepstepError: It could not run.
    """
    began = time.monotonic()
    place = find_project(project)
    derived = derive_targets(place, project_targets(place))
    differing = [one.path.name for one in derived if _differs(one)]
    if differing and not quiet:
        _compare(derived)
    seconds = time.monotonic() - began
    if differing:
        detail = f"not as derived: {', '.join(differing)}; see keepstep derive --check"
        return Leg("derive", "DIFFERS", detail, seconds, Exit.DIFFERS)
    names = ", ".join(one.path.name for one in derived)
    detail = f"{len(derived)} files are as derived: {names}"
    return Leg("derive", "equal", detail, seconds, Exit.AS_EXPECTED)


# --- What is derived ------------------------------------------------------------------------


def _targets(project: Project, modules: Sequence[Path], folder: Path | None) -> list[Target]:
    if not modules:
        targets = project_targets(project)
        if folder is None:
            return targets
        return [replace(one, folder=folder, package=package_of(folder)) for one in targets]
    if folder is not None:
        return [Target(module, folder, package_of(folder)) for module in modules]
    known = {one.module.resolve(): one for one in project_targets(project)}
    for module in modules:
        if module.resolve() not in known:
            raise click.UsageError(f"say where the classes of {module} belong, with --to DIR")
    return [known[module.resolve()] for module in modules]


def project_targets(project: Project) -> list[Target]:
    """The roles and the modules of pure operators that the manifest of a project lists.

    Raises:
        InvalidModel: The manifest cannot be read, lists no role, or an entry lacks something.
    """
    shown = project.relative(project.manifest)
    try:
        found = tomllib.loads(project.manifest.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidModel(f"{shown}: cannot be read: {error}") from None
    tables = found.get("role", [])
    if not isinstance(tables, list) or not tables:
        raise InvalidModel(f"{shown}: has no [[role]]; name a module and --to DIR instead")
    functions = found.get("functions", [])
    if not isinstance(functions, list):
        raise InvalidModel(f"{shown}: 'functions' must be written as [[functions]]")
    return [
        *(_target(project, table, f"{shown}: role {n}") for n, table in enumerate(tables, start=1)),
        *(
            _functions(project, table, f"{shown}: functions {n}")
            for n, table in enumerate(functions, start=1)
        ),
    ]


def _functions(project: Project, table: dict[str, Any], place: str) -> Target:
    spec, module = table.get("spec"), table.get("module")
    if not isinstance(spec, str):
        raise InvalidModel(f"{place}: the key 'spec' names its module")
    if not isinstance(module, str):
        raise InvalidModel(f"{place}: the key 'module' names its Python module")
    package, _, name = module.rpartition(".")
    folder = _package_folder(project, package, place)
    return Target(project.root / spec, folder, package, name)


def _target(project: Project, table: dict[str, Any], place: str) -> Target:
    spec = table.get("spec", table.get("module"))
    machine = table.get("machine", table.get("target"))
    if not isinstance(spec, str):
        raise InvalidModel(f"{place}: the key 'spec' names its module")
    if not isinstance(machine, str):
        raise InvalidModel(f"{place}: the key 'machine' names its Python module")
    if machine.endswith(".py"):
        folder = (project.root / machine).parent
        return Target(project.root / spec, folder, package_of(folder))
    package = machine.rpartition(".")[0]
    return Target(project.root / spec, _package_folder(project, package, place), package)


def _package_folder(project: Project, package: str, place: str) -> Path:
    """A package's folder: below src/ of the project, else where it is installed."""
    folder = project.root.joinpath("src", *package.split("."))
    if folder.is_dir():
        return folder
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        found = None
    locations = list(found.submodule_search_locations or ()) if found is not None else []
    if not locations:
        raise InvalidModel(
            f"{place}: Python finds no package {package}; make its folder with an __init__.py, and"
            " install your project or set PYTHONPATH to the folder that the package is in"
        )
    return Path(locations[0])


def derive_targets(project: Project, targets: Iterable[Target]) -> list[Derived]:
    """Every Python module of the targets, each once, in memory.

    Raises:
        InvalidSpec: A module has an error or is outside the subset, or two modules of one name
            that differ would go to one place.
        ToolMissing: Java or the TLA+ tools are missing.
    """
    sany = _sany()

    def origin(path: Path) -> str:
        return _origin(project, path)

    found: dict[Path, Derived] = {}
    for target in targets:
        if not target.module.is_file():
            raise InvalidSpec("there is no such module", str(target.module))
        search = project.search_path(target.module, shims=True)
        try:
            spec = sany.read(target.module, search)
        except InvalidSpec:
            # If it is for want of a module, this says where it was looked for, and the cure.
            project.closure(target.module, shims=True)
            raise

        if target.functions:
            file = target.folder / f"{target.functions}.py"
            derived: Iterable[Derived] = [derive_functions(spec, file, target.package, origin)]
        else:
            derived = derive_role(spec, target.folder, target.package, origin)
        for one in derived:
            before = found.setdefault(one.path, one)
            if before.text != one.text:
                message = f"{before.modules[0]} and this module are both derived to {one.path}"
                raise InvalidSpec(message, str(target.module))
    return list(found.values())


def _sany() -> Sany:
    return Sany(find_java().path, find_tlc().jar)


def _origin(project: Project, path: Path) -> str:
    """A module as derived files name it, whatever project the command runs in.

    The project that a module belongs to may have no manifest yet. Its modules are then named
    from its folder spec/, as they will be when it has one.
    """
    root = project.root.resolve()
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    folders = path.parts[:-1]
    if "spec" not in folders:
        return path.name
    place = len(folders) - 1 - folders[::-1].index("spec")
    return "/".join(path.parts[place:])


def _short(file: str) -> str:
    """A file as it is shown: from the current folder, if it is below it."""
    path = Path(file)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file


# --- What is done with it ---------------------------------------------------------------------


def _present(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidModel(f"cannot read {path}: {error}") from None


def _differs(one: Derived) -> bool:
    return _present(one.path) != one.text


def _compare(derived: Sequence[Derived]) -> list[Path]:
    """Show what differs from the files that are there."""
    differing = []
    for one in derived:
        present = _present(one.path)
        if present == one.text:
            click.echo(f"equal    {one.path}")
            continue
        differing.append(one.path)
        if present is None:
            click.echo(f"missing  {one.path}")
            continue
        click.echo(f"differs  {one.path}")
        lines = difflib.unified_diff(
            present.splitlines(keepends=True),
            one.text.splitlines(keepends=True),
            f"{one.path} (as it is)",
            f"{one.path} (as derived)",
        )
        click.echo("".join(lines), nl=False)
    return differing


def _write_all(derived: Sequence[Derived]) -> list[Path]:
    """Write what differs, each file at once."""
    written = []
    for one in derived:
        if not _differs(one):
            click.echo(f"unchanged  {one.path}")
            continue
        _write(one.path, one.text)
        written.append(one.path)
        click.echo(f"written    {one.path}")
    return written


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InvalidModel(f"cannot write {path}: {error.strerror}") from None
