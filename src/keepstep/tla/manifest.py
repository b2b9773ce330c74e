"""The manifest of models: what is checked, with which tool, and what must come out.

docs/reference/manifest.md describes every key. A mistake is told with the file, the model,
the key and what is allowed there.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from keepstep.errors import InvalidModel
from keepstep.tla.mutation import mutate_text
from keepstep.tla.sources import (
    Closure,
    Project,
    blank_comments,
    declared_constants,
    defined_operators,
    needed_modules,
)

__all__ = ["Inductive", "Manifest", "Model", "Mutation", "Role", "load_manifest"]

APALACHE_MEMORY_MB = 4096
"""What Apalache may hold by default: the solver's memory is not the JVM's."""

Value = bool | int | str | list[Any]

_Table = TypeVar("_Table", bound=msgspec.Struct)


class Mutation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One edit of a module: `old` must occur exactly once and becomes `new`."""

    module: str
    old: str
    new: str
    operator: str | None = None


class Inductive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An inductive proof: `init` gives `invariant`, a step keeps it, and it implies the rest.

    Attributes:
        init: The specification's own initial predicate.
        invariant: The inductive invariant.
        start: What steps start from: the invariant, written so that it can serve as an initial
            predicate; the invariant itself by default.
        implies: Invariants that follow from it.
        actions: Action invariants that every step from it obeys.
    """

    invariant: str
    init: str = "Init"
    start: str = ""
    implies: list[str] = []
    actions: list[str] = []


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the manifest; docs/reference/manifest.md has the meaning of each key."""

    name: str
    spec: str
    checker: Literal["tlc", "apalache"]
    mode: Literal["safety", "liveness", "example", "graph", "typecheck", "bounded", "inductive"]
    expected: str
    protocol: str = ""
    lane: Literal["quick", "full"] = "quick"
    init: str = "Init"
    next: str = "Next"
    specification: str = ""
    constants: dict[str, Value] = {}
    substitutions: dict[str, str] = {}
    invariants: list[str] = []
    properties: list[str] = []
    constraints: list[str] = []
    action_constraints: list[str] = []
    deadlock: bool = False
    coverage: bool = False
    never: list[str] = []
    cinit: str = ""
    length: int = 10
    tuning: dict[str, str] = {}
    inductive: Inductive | None = None
    violated: str = ""
    distinct_states: int | None = None
    seconds: int = 60
    memory_mb: int = 2048
    workers: int = 1
    mutation: list[Mutation] = []
    bug: str = ""
    feature: str = ""
    why: str = ""
    compare: str = ""

    @property
    def bounded_expected(self) -> bool:
        """Whether no more than a bounded search is expected."""
        return self.expected.startswith("HOLDS up to")

    @property
    def names(self) -> list[str]:
        """Everything that this model checks, by name."""
        found = [*self.invariants, *self.properties]
        if self.inductive is not None:
            found += [
                self.inductive.invariant,
                *self.inductive.implies,
                *self.inductive.actions,
            ]
        return found


class Role(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role module, and the Python module that is derived from it.

    Attributes:
        spec: The role module, relative to the project.
        machine: The Python module: a dotted name, or a file of the project.
        equivalent: The list of mutants of the class that change nothing, or "".
        constants: The role module's constants in the role table.
        domains: What a type, a field or a fact ranges over in the role table.
        runs: The model with whose composition and constants runs of a suite are compared, or "".
    """

    spec: str
    machine: str
    equivalent: str = ""
    constants: dict[str, Value] = {}
    domains: dict[str, list[Any] | str] = {}
    runs: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All models of a project, in the order in which the manifest has them.

    Attributes:
        path: The file.
        models: The models.
        roles: What is derived.
        tables: For each model its table as it stands in the file, with the defaults.
        misfits: For each model whose mutation does not fit the specification: why. Such a model
            cannot be run; the others can.
    """

    path: Path
    models: list[Model]
    roles: list[Role]
    tables: dict[str, dict[str, Any]]
    misfits: dict[str, str] = {}

    def pick(self, names: list[str], lane: str) -> list[Model]:
        """The models named, whatever their lane; without names those of the lane.

        The full lane includes the quick one. A name may have `*` and `?`.

        Raises:
            InvalidModel: A name fits no model.
        """
        if not names:
            return [model for model in self.models if lane == "full" or model.lane == "quick"]
        chosen: set[str] = set()
        for name in names:
            fitting = [model.name for model in self.models if fnmatch.fnmatchcase(model.name, name)]
            if not fitting:
                near = difflib.get_close_matches(name, [model.name for model in self.models], 3)
                cure = f"did you mean {', '.join(near)}?" if near else "see `keepstep check --list`"
                raise InvalidModel(f"{self.path} has no model {name!r}; {cure}")
            chosen.update(fitting)
        return [model for model in self.models if model.name in chosen]


_TOP_KEYS = {"defaults", "functions", "model", "mutants", "role"}
_DEFAULT_KEYS = {"tlc", "apalache"}
_TLC_MODES = ("safety", "liveness", "example", "graph")
_APALACHE_MODES = ("typecheck", "bounded", "inductive")
_TLC_ONLY = {
    "specification", "substitutions", "properties", "constraints", "action_constraints",
    "coverage", "never", "distinct_states", "workers",
}  # fmt: skip
_APALACHE_ONLY = {"cinit", "length", "inductive", "tuning"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_BOUND = re.compile(r"HOLDS up to (?:k|\d+)\Z")


def load_manifest(project: Project) -> Manifest:
    """Read and check the manifest of a project.

    Raises:
        InvalidModel: It cannot be read, has an unknown key, module, constant or operator, or
            contradicts itself; the message names the file, the model and the key.
    """
    path = project.manifest
    shown = project.relative(path)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidModel(f"{shown}: is no TOML: {error}") from None
    except UnicodeDecodeError:
        raise InvalidModel(f"{shown}: is not UTF-8 text") from None
    except OSError as error:
        raise InvalidModel(f"{shown}: cannot be read: {error.strerror}") from None
    _refuse_unknown(found, _TOP_KEYS, shown)
    defaults = _defaults(found, shown)
    tables = _tables(found, "model", shown)
    if not tables:
        raise InvalidModel(f"{shown}: has no [[model]]")
    mutants = _load_mutants(found.get("mutants", []), project, shown)
    models: list[Model] = []
    kept: dict[str, dict[str, Any]] = {}
    misfits: dict[str, str] = {}
    for number, table in enumerate(tables, start=1):
        place = f"{shown}: model {table.get('name', f'number {number}')!r}"
        mutated = _mutated(table, mutants, place)
        merged = {**defaults.get(str(table.get("checker")), {}), **mutated}
        if table.get("checker") == "apalache":
            merged.setdefault("memory_mb", APALACHE_MEMORY_MB)
        model = _convert(merged, place)
        mutant = mutants.get(str(table.get("mutant")))
        if misfit := _check(model, mutated, mutant, project, place):
            misfits[model.name] = misfit
        if model.name in kept:
            raise InvalidModel(f"{place}: the name is used twice")
        models.append(model)
        kept[model.name] = merged
    roles = [
        _role(table, project, f"{shown}: role number {number}")
        for number, table in enumerate(_tables(found, "role", shown), start=1)
    ]
    _check_runs(roles, kept, shown)
    return Manifest(path=path, models=models, roles=roles, tables=kept, misfits=misfits)


def _defaults(found: dict[str, Any], shown: str) -> dict[str, dict[str, Any]]:
    """The keys that every model of a checker has unless it says otherwise."""
    defaults = found.get("defaults", {})
    _refuse_unknown(defaults, _DEFAULT_KEYS, f"{shown}: [defaults]")
    for checker, table in defaults.items():
        if not isinstance(table, dict):
            raise InvalidModel(f"{shown}: [defaults]: key {checker!r}: expected a table")
    return dict(defaults)


def _tables(found: dict[str, Any], key: str, shown: str) -> list[dict[str, Any]]:
    """The tables written as [[key]]; none is not wrong."""
    tables = found.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise InvalidModel(f"{shown}: {key!r} must be written as [[{key}]], with two brackets")
    return tables


class _Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """A mutant of a file.

    Attributes:
        place: The file and the name, as messages say it.
        table: As it stands in the file.
    """

    place: str
    table: dict[str, Any]


class _MutantTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a mutant may have."""

    edits: list[Mutation]
    bug: str = ""
    why: str = ""


def _load_mutants(files: Any, project: Project, shown: str) -> dict[str, _Mutant]:
    """The mutants of the files named, each a table of edits, and why it is a mistake."""
    mutants: dict[str, _Mutant] = {}
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise InvalidModel(f"{shown}: key 'mutants': expected a list of files")
    for file in files:
        try:
            found = tomllib.loads((project.root / file).read_text(encoding="utf-8"))
        except OSError as error:
            place = f"{shown}: key 'mutants'"
            raise InvalidModel(f"{place}: {file} cannot be read: {error.strerror}") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InvalidModel(f"{file}: is no TOML: {error}") from None
        for name, table in found.items():
            place = f"{file}: mutant {name!r}"
            if not isinstance(table, dict) or not table.get("edits"):
                raise InvalidModel(f"{place}: expected a table with edits")
            _refuse_unknown(table, set(_MutantTable.__struct_fields__), place)
            if name in mutants:
                raise InvalidModel(f"{place}: the name is used twice")
            _refuse_unknown_edits(table["edits"], f"{place}: edits")
            _typed(table, _MutantTable, place)
            mutants[name] = _Mutant(place=place, table=table)
    return mutants


def _check_runs(roles: list[Role], models: dict[str, dict[str, Any]], shown: str) -> None:
    """The models with which runs are compared must be there."""
    for role in roles:
        if role.runs and role.runs not in models:
            near = difflib.get_close_matches(role.runs, models, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise InvalidModel(
                f"{shown}: role {role.spec!r}: key 'runs': there is no model {role.runs!r}{hint}"
            )


def _refuse_unknown_edits(edits: Any, place: str) -> None:
    for edit in edits if isinstance(edits, list) else []:
        _refuse_unknown(edit, set(Mutation.__struct_fields__), place)


def _mutated(table: dict[str, Any], mutants: dict[str, _Mutant], place: str) -> dict[str, Any]:
    """A model's table with the edits of the mutant that it names, if it names one."""
    name = table.get("mutant")
    if name is None:
        return table
    if not isinstance(name, str) or name not in mutants:
        near = difflib.get_close_matches(str(name), mutants, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InvalidModel(f"{place}: key 'mutant': there is no mutant {name!r}{hint}")
    if "mutation" in table:
        raise InvalidModel(f"{place}: has both a mutant and a mutation")
    mutant = mutants[name].table
    rest = {key: value for key, value in table.items() if key != "mutant"}
    known: dict[str, Any] = {key: mutant[key] for key in ("bug", "why") if key in mutant}
    return {**known, **rest, "mutation": mutant["edits"]}


def _role(table: dict[str, Any], project: Project, place: str) -> Role:
    _refuse_unknown(table, set(Role.__struct_fields__), place)
    role = _typed(table, Role, place)
    if not (project.root / role.spec).is_file():
        raise InvalidModel(f"{place}: key 'spec': there is no file {role.spec}")
    return role


def _refuse_unknown(table: Any, allowed: set[str], place: str) -> None:
    if not isinstance(table, dict):
        raise InvalidModel(f"{place}: expected a table, not {table!r}")
    for key in table:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise InvalidModel(
                f"{place}: unknown key {key!r}{hint}; allowed are: {', '.join(sorted(allowed))}"
            )


def _convert(table: dict[str, Any], place: str) -> Model:
    # The key `mutant` stands for a mutation, and is resolved by now.
    _refuse_unknown(table, {*Model.__struct_fields__, "mutant"}, place)
    _refuse_unknown_edits(table.get("mutation"), f"{place}: mutation")
    if isinstance(table.get("inductive"), dict):
        known = set(Inductive.__struct_fields__)
        _refuse_unknown(table["inductive"], known, f"{place}: inductive")
    return _typed(table, Model, place)


def _typed(table: dict[str, Any], wanted: type[_Table], place: str) -> _Table:
    """A table as what it must be.

    Raises:
        InvalidModel: A key has a value of another type, or one that is not allowed.
    """
    try:
        return msgspec.convert(table, wanted)
    except msgspec.ValidationError as error:
        raise InvalidModel(f"{place}: {_explain(str(error), wanted)}") from None


def _explain(message: str, wanted: type[msgspec.Struct]) -> str:
    found = re.fullmatch(r"(.*?)(?: - at `\$(?:\.(.*))?`)?", message, re.DOTALL)
    if found is None or not found[2]:
        return message[:1].lower() + message[1:]
    told = f"key {found[2]!r}: {found[1][:1].lower() + found[1][1:]}"
    allowed = _allowed(wanted, found[2])
    return f"{told}; allowed are: {', '.join(map(repr, allowed))}" if allowed else told


def _allowed(wanted: type[msgspec.Struct], key: str) -> tuple[str, ...]:
    """The values that a key may have, if they can be counted."""
    hint = get_type_hints(wanted).get(key)
    return get_args(hint) if get_origin(hint) is Literal else ()


def _check(
    model: Model, table: dict[str, Any], mutant: _Mutant | None, project: Project, place: str
) -> str:
    """Why the mutation of a model does not fit, or ""; whatever else is wrong is raised."""

    def refuse(message: str) -> NoReturn:
        raise InvalidModel(f"{place}: {message}")

    if not _NAME.match(model.name):
        refuse("a name has letters, digits, '_', '.' and '-'")
    _check_expectation(model, refuse)
    wrong_tool = (_APALACHE_ONLY if model.checker == "tlc" else _TLC_ONLY) & set(table)
    if wrong_tool:
        refuse(f"key {min(wrong_tool)!r} is not for checker = {model.checker!r}")
    if (model.mode in _TLC_MODES) != (model.checker == "tlc"):
        modes = _TLC_MODES if model.checker == "tlc" else _APALACHE_MODES
        allowed = ", ".join(map(repr, modes))
        refuse(
            f"mode = {model.mode!r} is not for checker = {model.checker!r}; allowed are: {allowed}"
        )
    weakening = {"search.invariantFilter", "search.transitionFilter"} & set(model.tuning)
    if weakening:
        refuse(f"key 'tuning': {min(weakening)!r} leaves out checks, and is not for evidence")
    if model.mode == "inductive" and model.inductive is None:
        refuse("mode = 'inductive' needs the key 'inductive'")
    if model.mode not in {"typecheck", "graph"} and not model.names and not model.deadlock:
        refuse("checks nothing: give invariants or properties")
    if model.seconds <= 0 or model.memory_mb < 64 or model.length < 0 or model.workers < 1:
        refuse("seconds, memory_mb (at least 64), length and workers must be positive")
    if model.mode == "liveness" and model.workers != 1:
        refuse("liveness is checked with one worker only")
    return _check_against_spec(model, mutant, project, place)


def _check_expectation(model: Model, refuse: Any) -> None:
    if model.expected not in {"HOLDS", "VIOLATED"} and not _BOUND.match(model.expected):
        refuse(f"expected must be 'HOLDS', 'HOLDS up to k' or 'VIOLATED', not {model.expected!r}")
    if model.expected == "VIOLATED" and not model.violated:
        refuse("a model that must fail needs 'violated', the property that must be violated")
    if model.violated and model.expected != "VIOLATED":
        refuse("'violated' is only for expected = 'VIOLATED'")
    known = {*model.names, "deadlock"}
    if model.violated and model.mode != "typecheck" and model.violated not in known:
        refuse(f"violated = {model.violated!r} is none of what it checks: {', '.join(model.names)}")
    if model.bounded_expected and model.mode != "bounded":
        refuse("'HOLDS up to k' is for mode = 'bounded'")
    if model.mode == "bounded" and model.expected == "HOLDS":
        refuse("a bounded search never gives 'HOLDS'; expect 'HOLDS up to k'")
    if model.mode == "example" and model.expected != "VIOLATED":
        refuse("an example shows its situation by being violated: expected = 'VIOLATED'")
    stated = model.expected.removeprefix("HOLDS up to ")
    if stated.isdigit() and int(stated) != model.length:
        refuse(f"expects 'HOLDS up to {stated}' but length = {model.length}")


def _check_against_spec(model: Model, mutant: _Mutant | None, project: Project, place: str) -> str:
    spec = project.root / model.spec
    if not spec.is_file():
        raise InvalidModel(f"{place}: key 'spec': there is no file {model.spec}")
    closure = project.closure(spec, shims=model.checker == "tlc")
    texts = {name: path.read_text(encoding="utf-8") for name, path in closure.files.items()}
    misfit = ""
    try:
        _check_mutations(model, closure, texts, mutant.place if mutant else place)
    except InvalidModel as error:
        # Mutants lag behind the specification now and then; that must not keep other models
        # from being checked.
        misfit = str(error)
    seen = _extended(closure.root, texts)
    constants = {name for module in seen for name in declared_constants(texts[module])}
    for name in model.constants:
        if name not in constants:
            known = ", ".join(sorted(constants)) or "none"
            raise InvalidModel(
                f"{place}: key 'constants': {model.spec} has no constant {name!r}; it has: {known}"
            )
    unset = constants - set(model.constants) - set(model.substitutions)
    if unset and not model.cinit and model.mode != "typecheck":
        raise InvalidModel(f"{place}: key 'constants': no value for {', '.join(sorted(unset))}")
    operators = {name for module in seen for name in defined_operators(texts[module])}
    for key, names in _operators_of(model).items():
        for name in names:
            if name not in operators:
                near = difflib.get_close_matches(name, operators, 3)
                hint = f"; did you mean {', '.join(near)}?" if near else ""
                raise InvalidModel(
                    f"{place}: key {key!r}: {model.spec} and what it extends define no "
                    f"operator {name!r}{hint}"
                )
    return misfit


def _check_mutations(model: Model, closure: Closure, texts: dict[str, str], place: str) -> None:
    for edit in model.mutation:
        if edit.module not in texts:
            raise InvalidModel(
                f"{place}: mutation: {model.spec} does not use a module {edit.module!r}; it uses: "
                + ", ".join(closure.files)
            )
        texts[edit.module] = mutate_text(
            texts[edit.module],
            old=edit.old,
            new=edit.new,
            operator=edit.operator,
            place=f"{place}: mutation of {edit.module}",
        )


def _operators_of(model: Model) -> dict[str, list[str]]:
    found = {
        "invariants": model.invariants,
        "properties": model.properties,
        "constraints": model.constraints,
        "action_constraints": model.action_constraints,
        "cinit": [model.cinit] if model.cinit else [],
        "substitutions": list(model.substitutions.values()),
    }
    if model.mode == "typecheck":
        return found
    if model.specification:
        found["specification"] = [model.specification]
    elif model.mode == "liveness":
        found["specification"] = ["Spec"]
    else:
        found["init"] = [model.init]
        found["next"] = [model.next]
    if model.inductive is not None:
        proof = model.inductive
        named = [proof.init, proof.invariant, *proof.implies, *proof.actions]
        found["inductive"] = [*named, proof.start] if proof.start else named
        found.pop("init", None)
    return found


def _extended(root: str, texts: dict[str, str]) -> list[str]:
    """The modules whose names are visible in the root: it, and what it extends or includes."""
    seen: list[str] = []
    queue = [root]
    while queue:
        name = queue.pop()
        if name in seen or name not in texts:
            continue
        seen.append(name)
        queue += _visible(texts[name])
    return seen


_NAMED = re.compile(r"==\s*INSTANCE\s+(\w+)")


def _visible(text: str) -> list[str]:
    hidden = set(_NAMED.findall(blank_comments(text)))
    return [name for name in needed_modules(text) if name not in hidden]
