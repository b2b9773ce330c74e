"""Read a specification with SANY, the parser of the TLA+ tools.

SANY's XML gives a resolved tree with places; comments and types come from the files. An
instance is resolved: a body that reaches the root module through `INSTANCE ... WITH` has its
substitutions applied, and calls inside it lead to definitions of the same instance.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keepstep.derive.ast import (
    Alias,
    App,
    At,
    Bind,
    Bound,
    Declaration,
    Expression,
    Let,
    Lit,
    Name,
    Opaque,
    Operator,
    Place,
    Source,
    Spec,
    walk,
)
from keepstep.derive.comments import Comment, comment_above, type_aliases
from keepstep.errors import InternalError, InvalidSpec, ToolFailed
from keepstep.process import Supervisor, java_command, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Sany"]

_LIBRARY = frozenset({"Apalache", "Variants"})
"""Modules whose files are stand-ins for what a checker supplies."""

_MEMORY_MB = 1024

_VARIABLE_KIND = "3"
_CONSTANT_KIND = "2"


@dataclass(frozen=True, slots=True)
class Sany:
    """SANY, from the jar of the TLA+ tools: TLC 2.18 or newer.

    Attributes:
        java: The Java launcher.
        jar: tla2tools.jar.
        seconds: How long one run may take.
    """

    java: Path
    jar: Path
    seconds: float = 120.0

    def read(self, module: Path, search: Sequence[Path] = ()) -> Spec:
        """Read a module, all it extends and all it instantiates.

        Args:
            module: The file of the root module.
            search: Where other modules are looked for, after the root's own folder.

        Raises:
            InvalidSpec: The file is not there, or SANY finds an error in a module.
            ToolFailed: SANY could not be run.
        """
        module = module.resolve()
        if not module.is_file():
            raise InvalidSpec("there is no such module", str(module))
        folders = [module.parent, *(folder.resolve() for folder in search)]
        tree = self._export(module, folders)
        return _Reader(tree, folders).spec()

    def _export(self, module: Path, folders: Sequence[Path]) -> ET.Element:
        include = [option for folder in folders for option in ("-I", str(folder))]
        exit_code, told = self._run(module, "tla2sany.xml.XMLExporter", "-o", *include, module.name)
        start = told.find(b"<?xml")
        if exit_code == 0 and start >= 0:
            return ET.fromstring(told[start:])  # noqa: S314 - SANY's own output
        said = told.decode(errors="replace")
        raise _refusal(module, folders, said, self._explain(module, folders))

    def _explain(self, module: Path, folders: Sequence[Path]) -> str:
        """What SANY's own main class says: the exporter of TLC 2.18 names no line."""
        library = f"-DTLA-Library={':'.join(map(str, folders))}"
        _, told = self._run(module, "tla2sany.SANY", module.name, options=[library])
        return told.decode(errors="replace")

    def _run(
        self, module: Path, main: str, *arguments: str, options: Sequence[str] = ()
    ) -> tuple[int, bytes]:
        """Exit code and output of one run.

        SANY unpacks standard modules into a temporary folder, so each run has its own.
        """
        with scratch_folder() as scratch:
            done = Supervisor().run(
                java_command(
                    self.java,
                    [self.jar.resolve()],
                    main,
                    arguments,
                    memory_mb=_MEMORY_MB,
                    folder=scratch,
                    options=["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *options],
                ),
                folder=module.parent,
                output=scratch / "told",
                seconds=self.seconds,
                environment={"TMPDIR": str(scratch)},
            )
            if done.ended == "timeout":
                raise ToolFailed(f"SANY did not end within {self.seconds:.0f} s")
            return done.exit_code, done.output.read_bytes()


# --- What SANY says when it refuses -----------------------------------------------------

_PLACES = (
    re.compile(r"at line (?P<line>\d+), column \d+"),
    re.compile(r"line (?P<line>\d+), col \d+ to [^\n]* of module (?P<module>\w+)"),
)
_MISSING = re.compile(r"Cannot find source file for module (\w+)(?: imported in module (\w+))?")
_NO_MODULE = re.compile(r"File name '?(\w+)'? does not match the name '?(\w+)'?")
_PARSED = re.compile(r"Parsing file (\S+)")


def _refusal(module: Path, folders: Sequence[Path], said: str, explained: str) -> Exception:
    """SANY's words as an error that names file and line."""
    both = said + explained
    if missing := _MISSING.search(both):
        importer = _file_of(missing[2] or "", folders) or module
        line = _mention(importer, missing[1])
        return InvalidSpec(f"there is no module {missing[1]}", str(importer), line)
    for pattern in _PLACES:
        if place := pattern.search(explained) or pattern.search(said):
            named = place.groupdict().get("module")
            parsed = _PARSED.findall(explained[: place.start()])
            file = _file_of(named, folders) if named else Path(parsed[-1]) if parsed else None
            message = _sentence(place.string, place)
            return InvalidSpec(message, str(file or module), int(place["line"]))
    if "Could not parse" in both or "errors" in both.lower():
        last = [line.strip() for line in explained.splitlines() if line.strip()]
        return InvalidSpec(f"SANY refuses the module: {last[-1] if last else said}", str(module))
    return ToolFailed(f"SANY failed on {module}: {both.strip()[:2000]}")


def _sentence(text: str, place: re.Match[str]) -> str:
    """The lines of SANY that belong to a place, as one sentence."""
    if "module" in place.groupdict():
        after = [line.strip() for line in text[place.end() :].splitlines() if line.strip()]
        return after[0] if after else "SANY refuses this line"
    before = text[: place.start()].splitlines()[-2:]
    rest = text[place.start() :].splitlines()[0]
    words = " ".join(" ".join([*before, rest]).split()).replace("***Parse Error***", "")
    return f"syntax error: {words.strip()}"


def _file_of(module: str, folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        if (file := folder / f"{module}.tla").is_file():
            return file
    return None


def _mention(file: Path, word: str) -> int:
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
        if re.search(rf"\b{word}\b", line):
            return number
    return 0


# --- The tree --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Scope:
    """How names are read inside an instance.

    Attributes:
        prefix: What qualifies the instance's operators in the root module: `C!`.
        substitution: What stands for a declared variable or constant, by its uid.
        extra: Names of the parameters of a parametrised instance, which its operators get first.
        reserved: Local names in the substitution; a bound name that is equal is renamed.
        own: Uids of the parameters of the instance, which keep their names.
    """

    prefix: str
    substitution: dict[str, Expression]
    extra: tuple[str, ...]
    reserved: frozenset[str]
    own: frozenset[str]


_ROOT = _Scope("", {}, (), frozenset(), frozenset())


class _Reader:
    """Turns SANY's XML into a `Spec`."""

    def __init__(self, tree: ET.Element, folders: Sequence[Path]) -> None:
        self.folders = folders
        self.entries = {_uid(entry): entry[1] for entry in _need(tree, "context")}
        self.root = _text(tree, "RootModule")
        self.modules = {
            _name(node): node for node in self.entries.values() if node.tag == "ModuleNode"
        }
        self.let_uids = {
            (ref.text or "").strip()
            for ref in tree.iterfind(".//LetInNode/opDefs/UserDefinedOpKindRef/UID")
        }
        self.sources: dict[str, Source | None] = {}
        self.namespace = {
            _name(self.entries[uid]): uid for uid in self.members(self.root, "UserDefinedOpKindRef")
        }
        self.operators: dict[str, Operator] = {}
        self.under_way: set[str] = set()

    def members(self, module: str, kind: str) -> list[str]:
        return [_uid(ref) for ref in self.modules[module].iterfind(kind)]

    def spec(self) -> Spec:
        for name, uid in self.namespace.items():
            if not self.is_library(uid):
                self.define(name, uid)
        declared = [self.entries[uid] for uid in self.members(self.root, "OpDeclNodeRef")]
        aliases: dict[str, Alias] = {}
        for module in self.modules:
            if source := self.source(module):
                aliases |= {alias.name: alias for alias in type_aliases(module, source.lines)}
        return Spec(
            self.root,
            self.operators,
            self.declarations(declared, _VARIABLE_KIND),
            self.declarations(declared, _CONSTANT_KIND),
            aliases,
            {module: source for module, source in self.sources.items() if source},
            {module: self.extended(module) for module in self.modules if self.source(module)},
        )

    def extended(self, module: str) -> frozenset[str]:
        """A module and those it extends: whose definitions it shares without an instance."""
        kinds = ("UserDefinedOpKindRef", "OpDeclNodeRef")
        nodes = [self.entries[uid] for kind in kinds for uid in self.members(module, kind)]
        direct = [node for node in nodes if node.find("body/SubstInNode") is None]
        modules = {_place(node).module for node in direct}
        return frozenset({module} | {name for name in modules if self.source(name)})

    def declarations(self, nodes: Sequence[ET.Element], kind: str) -> tuple[Declaration, ...]:
        found = []
        for node in nodes:
            if _text(node, "kind") == kind:
                place = _place(node)
                comment = self.comment(place)
                name = _name(node)
                found.append(Declaration(name, place, comment.prose, comment.annotations))
        return tuple(sorted(found, key=lambda d: (d.at.module, d.at.line, d.at.column)))

    # --- Files ---

    def source(self, module: str) -> Source | None:
        """The file of a module; None for a module of the tools."""
        if module not in self.sources:
            file = None if module in _LIBRARY else _file_of(module, self.folders)
            self.sources[module] = None
            if file:
                content = file.read_bytes()
                lines = tuple(content.decode(errors="replace").splitlines())
                self.sources[module] = Source(file, content, lines)
        return self.sources[module]

    def is_library(self, uid: str) -> bool:
        """It is of a standard module, directly or through an instance of one."""
        return self.source(_place(self.entries[self.origin(uid)]).module) is None

    def origin(self, uid: str) -> str:
        """The definition in the instantiated module that an operator of an instance copies."""
        innermost = None
        body = _body(self.entries[uid])
        while body is not None and body.tag == "SubstInNode":
            innermost, body = body, _body(body)
        if innermost is None:
            return uid
        module = _name(self.entries[_text(innermost, "instTo/ModuleNodeRef/UID")])
        last = _name(self.entries[uid]).rpartition("!")[2]
        for member in self.members(module, "UserDefinedOpKindRef"):
            if _name(self.entries[member]) == last:
                return self.origin(member)
        return uid

    # --- Operators ---

    def define(self, key: str, uid: str, scope: _Scope = _ROOT) -> None:
        """Read an operator, once, as it is seen in a scope."""
        if key in self.operators or key in self.under_way:
            return
        self.under_way.add(key)
        node = self.entries[uid]
        origin = self.entries[self.origin(uid)]
        inner, body = self.enter(uid, scope)
        params = [_uid(ref) for ref in node.iterfind("params/leibnizparam/FormalParamNodeRef")]
        names = tuple(self.local_name(param, inner) for param in params)
        place = _place(origin)
        comment = self.comment(place)
        self.operators[key] = Operator(
            uid=key,
            name=key,
            params=(*scope.extra, *names),
            body=Opaque("no body", place) if body is None else self.expression(body, inner),
            at=place,
            instance=inner.prefix,
            recursive=node.find("recursive") is not None,
            comment=comment.prose,
            annotations=comment.annotations,
        )
        self.under_way.discard(key)

    def comment(self, place: Place) -> Comment:
        source = self.source(place.module)
        return comment_above(source.lines, place.line) if source else Comment()

    def enter(self, uid: str, scope: _Scope) -> tuple[_Scope, ET.Element | None]:
        """The scope and the body of an operator, inside all instances it comes through."""
        node = self.entries[uid]
        params = [_uid(ref) for ref in node.iterfind("params/leibnizparam/FormalParamNodeRef")]
        inherited = _arity(node) - _arity(self.entries[self.origin(uid)])
        extra_uids = frozenset(params[:inherited])
        extra = tuple(_name(self.entries[param]) for param in params[:inherited])
        instances = _name(node).split("!")[:-1]
        body = _body(node)
        start = scope.prefix
        chain: list[ET.Element] = []
        while body is not None and body.tag == "SubstInNode":
            chain.append(body)
            body = _body(body)
        for depth, instance in enumerate(chain, start=1):
            named = max(0, depth - len(chain) + len(instances))
            prefix = start + "".join(f"{name}!" for name in instances[:named])
            substitution = self.substitution(instance, scope)
            reserved = frozenset(extra) | scope.reserved | _locals(substitution.values())
            scope = _Scope(
                prefix, substitution, (*scope.extra, *extra), reserved, scope.own | extra_uids
            )
        return scope, body

    def substitution(self, instance: ET.Element, scope: _Scope) -> dict[str, Expression]:
        """What stands for each declared name of an instantiated module, read outside of it."""
        return {
            _text(subst, "OpDeclNodeRef/UID"): self.expression(subst[1], scope)
            for subst in instance.iterfind("substs/Subst")
        }

    def local_name(self, uid: str, scope: _Scope) -> str:
        """A parameter's or bound name; renamed where a substituted expression has the same."""
        name = _name(self.entries[uid])
        return f"{name}_" if name in scope.reserved and uid not in scope.own else name

    # --- Expressions ---

    def expression(self, node: ET.Element, scope: _Scope) -> Expression:
        place = _place(node)
        match node.tag:
            case "NumeralNode":
                return Lit(int(_text(node, "IntValue")), place)
            case "StringNode":
                return self.string(node, place)
            case "AtNode":
                return At(place)
            case "LabelNode":
                return self.expression(_need(node, "body")[0], scope)
            case "LetInNode":
                return self.let(node, scope)
            case "OpApplNode":
                return self.application(node, scope)
            case "OpArgNode":
                return self.operator_argument(node, scope, place)
        return Opaque(node.tag, place)

    def string(self, node: ET.Element, place: Place) -> Expression:
        """A string; TLC 2.18 gives OTHER as one without a value, newer builds as `$Other`."""
        value = node.find("StringValue")
        if value is None or value.text == "$Other":
            return App("$Other", at=place)
        return Lit(value.text or "", place)

    def let(self, node: ET.Element, scope: _Scope) -> Expression:
        definitions = tuple(
            self.local_definition((ref.text or "").strip(), scope)
            for ref in node.iterfind("opDefs/UserDefinedOpKindRef/UID")
        )
        return Let(definitions, self.expression(_need(node, "body")[0], scope), _place(node))

    def local_definition(self, uid: str, scope: _Scope) -> Operator:
        node = self.entries[uid]
        params = [_uid(ref) for ref in node.iterfind("params/leibnizparam/FormalParamNodeRef")]
        names = tuple(self.local_name(param, scope) for param in params)
        body = _body(node)
        place = _place(node)
        read = Opaque("no body", place) if body is None else self.expression(body, scope)
        return Operator(uid, _name(node), names, read, place)

    def application(self, node: ET.Element, scope: _Scope) -> Expression:
        ref = _need(node, "operator")[0]
        uid, place = _uid(ref), _place(node)
        args = tuple(self.expression(arg, scope) for arg in _need(node, "operands"))
        match ref.tag:
            case "OpDeclNodeRef":
                return self.declared(uid, args, scope, place)
            case "FormalParamNodeRef":
                local = Name(self.local_name(uid, scope), "local", place)
                return Opaque("operator parameter", place) if args else local
            case "UserDefinedOpKindRef":
                return self.call(uid, args, scope, place)
        name = _name(self.entries[uid])
        if name in ("TRUE", "FALSE"):
            return Lit(name == "TRUE", place)
        bound = node.find("boundSymbols")
        if bound is None:
            return App(name, args, "builtin", "", place)
        bounds = tuple(self.bound(symbol, scope) for symbol in bound)
        return Bind(name, bounds, args[0], place)

    def operator_argument(self, node: ET.Element, scope: _Scope, place: Place) -> Expression:
        """A defined operator that is given to another one, as if applied to nothing."""
        ref = _need(node, "argument")[0]
        if ref.tag != "UserDefinedOpKindRef":
            return Opaque(node.tag, place)
        return self.call(_uid(ref), (), scope, place)

    def bound(self, node: ET.Element, scope: _Scope) -> Bound:
        names = tuple(self.local_name(_uid(r), scope) for r in node.iterfind("FormalParamNodeRef"))
        over = [part for part in node if part.tag not in ("FormalParamNodeRef", "tuple")]
        expression = self.expression(over[0], scope) if over else None
        return Bound(names, expression, node.find("tuple") is not None)

    def declared(
        self, uid: str, args: tuple[Expression, ...], scope: _Scope, place: Place
    ) -> Expression:
        if args:
            return Opaque("constant operator", place)
        if uid in scope.substitution:
            return scope.substitution[uid]
        node = self.entries[uid]
        is_variable = _text(node, "kind") == _VARIABLE_KIND
        return Name(_name(node), "variable" if is_variable else "constant", place)

    def call(
        self, uid: str, args: tuple[Expression, ...], scope: _Scope, place: Place
    ) -> Expression:
        """An operator applied: of the instance whose body this is, if it is in one."""
        node = self.entries[uid]
        if uid in self.let_uids:
            return App(_name(node), args, "let", uid, place)
        if self.is_library(uid):
            return App(_name(self.entries[self.origin(uid)]), args, "library", "", place)
        key = scope.prefix + _name(node)
        known = self.namespace.get(key)
        if known is not None and (scope is _ROOT) == (known == uid):
            missing = _arity(self.entries[known]) - _arity(node)
            extra = scope.extra[:missing]
            self.define(key, known)
        else:  # LOCAL, so the root module has no name for it.
            if known is not None:
                key = f"{_place(node).module}!{key}"
            extra = scope.extra
            self.define(key, uid, scope)
        given = tuple(Name(name, "local", place) for name in extra)
        return App(key, (*given, *args), "defined", key, place)


def _locals(expressions: Iterable[Expression]) -> frozenset[str]:
    parts = (part for expression in expressions for part in walk(expression))
    return frozenset(part.name for part in parts if isinstance(part, Name) and part.kind == "local")


def _need(node: ET.Element, path: str) -> ET.Element:
    found = node.find(path)
    if found is None:
        raise InternalError(f"SANY's XML has no {path} in a {node.tag}")
    return found


def _body(node: ET.Element) -> ET.Element | None:
    body = node.find("body")
    return None if body is None or len(body) == 0 else body[0]


def _name(node: ET.Element) -> str:
    return _text(node, "uniquename")


def _arity(node: ET.Element) -> int:
    return int(_text(node, "arity"))


def _text(node: ET.Element, path: str) -> str:
    return (_need(node, path).text or "").strip()


def _uid(node: ET.Element) -> str:
    return _text(node, "UID")


def _place(node: ET.Element) -> Place:
    location = node.find("location")
    if location is None:
        return Place()
    line, column = _text(location, "line/begin"), _text(location, "column/begin")
    return Place(_text(location, "filename"), int(line), int(column))
