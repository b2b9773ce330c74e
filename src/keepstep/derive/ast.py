"""A specification as a tree.

The operators of an `App` and a `Bind` keep the names that SANY gives them. Those that have
no name in TLA+ start with a dollar sign: `$ConjList`, `$DisjList`, `$SetEnumerate`,
`$SubsetOf` (a filter), `$SetOfAll` (a map), `$FcnApply`, `$FcnConstructor`, `$Except`,
`$RcdSelect`, `$RcdConstructor`, `$Pair` (a field and its value, or a path of EXCEPT and the
new value), `$Seq` (a path of EXCEPT), `$Tuple`, `$IfThenElse`, `$Case`, `$BoundedExists`,
`$BoundedForall`, `$BoundedChoose`, `$SetOfFcns`, `$SetOfRcds`, `$CartesianProd`,
`$SquareAct`, `$WF`, `$SF`. A prime is the operator `'`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from keepstep.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = [
    "NOWHERE",
    "Alias",
    "App",
    "At",
    "Bind",
    "Bound",
    "Declaration",
    "Expression",
    "Let",
    "Lit",
    "Name",
    "Opaque",
    "Operator",
    "Place",
    "Source",
    "Spec",
    "conjuncts",
    "has_primes",
    "substitute",
    "walk",
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written: a module and a line and column in it, from 1; 0 if unknown."""

    module: str = ""
    line: int = 0
    column: int = 0


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Lit:
    """A number, a string or a truth value."""

    value: int | str | bool
    at: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Name:
    """A variable or constant of the root module, or a parameter or bound name ("local")."""

    name: str
    kind: Literal["variable", "constant", "local"]
    at: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class At:
    """The `@` of an EXCEPT: the old value at the innermost path around it."""

    at: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class App:
    """An operator applied to arguments, perhaps none.

    Attributes:
        op: Its name. One that is defined through a named instance is qualified: `C!Attach`.
        args: The arguments. Those of a parametrised instance come first.
        source: "builtin" (of the language), "library" (of a standard module, or of Apalache's:
            `+`, `Cardinality`, `VariantTag`), "defined" (in `Spec.operators`) or "let"
            (defined by an enclosing `Let`).
        uid: Key into `Spec.operators`, or the `Operator.uid` of an enclosing `Let`; else "".
    """

    op: str
    args: tuple[Expression, ...] = ()
    source: Literal["builtin", "library", "defined", "let"] = "builtin"
    uid: str = ""
    at: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Bound:
    r"""Names bound to the elements of a set; `<<a, b>> \in S` if they are a pattern."""

    names: tuple[str, ...]
    over: Expression | None
    pattern: bool = False


@dataclass(frozen=True, slots=True)
class Bind:
    """A built-in operator that binds names: a quantifier, a filter, a map, a function."""

    op: str
    bounds: tuple[Bound, ...]
    body: Expression
    at: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Let:
    """Local definitions and the expression that may use them, each also the later ones."""

    definitions: tuple[Operator, ...]
    body: Expression
    at: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something this reader does not know; an error only where it is needed."""

    tag: str
    at: Place = field(default=NOWHERE, compare=False, repr=False)


Expression: TypeAlias = Lit | Name | At | App | Bind | Let | Opaque


@dataclass(frozen=True, slots=True)
class Operator:
    """A definition.

    Attributes:
        uid: Its key in `Spec.operators`.
        name: Its name as the root module would write it, qualified if need be: `C!Attach`.
        params: Names of the parameters. Those of a parametrised instance come first.
        body: What it stands for, with the substitutions of its instance applied.
        at: Where it is written, in the instantiated module if it comes through an instance.
        instance: The qualification with its exclamation mark (`C!`), or "".
        recursive: It is declared RECURSIVE.
        comment: The prose above it.
        annotations: Its `@` annotations by name, without the semicolon: `{"type": "..."}`.
    """

    uid: str
    name: str
    params: tuple[str, ...]
    body: Expression
    at: Place
    instance: str = ""
    recursive: bool = False
    comment: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Declaration:
    """A variable or a constant of the root module, or of one that it extends."""

    name: str
    at: Place
    comment: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Alias:
    """A `@typeAlias`: its name, the text of its type, and the prose above it."""

    name: str
    text: str
    comment: str
    at: Place


@dataclass(frozen=True, slots=True)
class Source:
    """The file of a module."""

    path: Path
    content: bytes
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """A root module and everything it can name.

    Attributes:
        root: Name of the root module.
        operators: Every operator the root can name, and those that these need, by uid.
        variables: The root's variables, in the order in which they are written.
        constants: The root's constants, likewise.
        aliases: Every `@typeAlias` of the modules, by name.
        sources: The files read, by module; standard modules are not among them.
        extends: For each module read: itself and the modules that it extends, directly or not.
    """

    root: str
    operators: Mapping[str, Operator]
    variables: tuple[Declaration, ...]
    constants: tuple[Declaration, ...]
    aliases: Mapping[str, Alias]
    sources: Mapping[str, Source]
    extends: Mapping[str, frozenset[str]]

    @property
    def extended(self) -> frozenset[str]:
        """The root and the modules that it extends, directly or not."""
        return self.extends[self.root]

    def named(self, name: str) -> Operator:
        """The operator that the root module calls by this name.

        Raises:
            InvalidSpec: There is none.
        """
        if name not in self.operators:
            raise InvalidSpec(f"module {self.root} defines no {name}", self.file(self.root))
        return self.operators[name]

    def file(self, module: str) -> str:
        """The path of a module's file, or the module's name if it has none."""
        return str(self.sources[module].path) if module in self.sources else module

    def digest(self, root: str = "") -> str:
        """SHA-256 over names and bytes of all modules read, or of one and those it extends."""
        wanted = self.extends[root] if root else self.sources.keys()
        total = hashlib.sha256()
        for module, source in sorted(self.sources.items()):
            if module not in wanted:
                continue
            total.update(f"{module} {len(source.content)}\n".encode())
            total.update(source.content)
        return total.hexdigest()


def walk(node: Expression) -> Iterator[Expression]:
    """The node and everything below it, parents first."""
    yield node
    for child in _children(node):
        yield from walk(child)


def _children(node: Expression) -> Iterator[Expression]:
    match node:
        case App(args=args):
            yield from args
        case Bind(bounds=bounds, body=body):
            yield from (bound.over for bound in bounds if bound.over is not None)
            yield body
        case Let(definitions=definitions, body=body):
            yield from (definition.body for definition in definitions)
            yield body


def conjuncts(node: Expression) -> list[Expression]:
    """The conjuncts of a nested conjunction, in order."""
    if isinstance(node, App) and node.op in ("$ConjList", "\\land"):
        return [conjunct for arg in node.args for conjunct in conjuncts(arg)]
    return [node]


def has_primes(node: Expression) -> bool:
    """It says something about the next state itself, not only through an operator it calls."""
    return any(isinstance(part, App) and part.op in ("'", "UNCHANGED") for part in walk(node))


def substitute(node: Expression, new: Mapping[str, Expression]) -> Expression:
    """Replace local names by expressions, and `@` where `new` has it under "@".

    The expressions must not contain local names that are bound within `node`. An EXCEPT inside
    has an `@` of its own, which is left alone.
    """
    match node:
        case Name(name, "local") if name in new:
            return new[name]
        case At() if "@" in new:
            return new["@"]
        case App("$Except", (old, *changes)):
            inner = {name: value for name, value in new.items() if name != "@"}
            args = (substitute(old, new), *(substitute(change, inner) for change in changes))
            return replace(node, args=args)
        case App():
            return replace(node, args=tuple(substitute(arg, new) for arg in node.args))
        case Bind():
            bounds = tuple(
                bound if bound.over is None else replace(bound, over=substitute(bound.over, new))
                for bound in node.bounds
            )
            return replace(node, bounds=bounds, body=substitute(node.body, new))
        case Let():
            definitions = tuple(
                replace(operator, body=substitute(operator.body, new))
                for operator in node.definitions
            )
            return replace(node, definitions=definitions, body=substitute(node.body, new))
    return node
