"""Values of a role, as Python expressions."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepstep.derive.ast import (
    App,
    Bind,
    Bound,
    Lit,
    Name,
    Operator,
    Place,
    conjuncts,
    substitute,
    walk,
)
from keepstep.derive.names import local, snake
from keepstep.derive.subset import Rule, refusal
from keepstep.derive.types import AliasType
from keepstep.derive.vocabulary import accessed_tag, constructed_tag, identity_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from keepstep.derive.ast import Expression
    from keepstep.derive.plan import Fact, Role
    from keepstep.derive.vocabulary import Record
    from keepstep.errors import InvalidSpec

__all__ = ["Python", "Values"]

# How strongly the parts of a Python expression bind, from its grammar.
_CHOICE, _OR, _AND, _NOT, _COMPARE, _UNION, _INTERSECTION, _SUM, _PRODUCT, _SIGN, _ATOM = range(11)

_COMPARISONS = {
    "=": "==", "/=": "!=", "#": "!=", "<": "<", ">": ">", "=<": "<=", "<=": "<=", "\\leq": "<=",
    ">=": ">=", "\\geq": ">=", "\\in": "in", "\\notin": "not in", "\\subseteq": "<=",
}  # fmt: skip
_OPPOSITES = {"==": "!=", "!=": "==", "in": "not in", "not in": "in"}
_ARITHMETIC = {
    "+": ("+", _SUM), "-": ("-", _SUM), "*": ("*", _PRODUCT), "\\div": ("//", _PRODUCT),
    "%": ("%", _PRODUCT),
}  # fmt: skip
_SETS = {
    "\\union": ("|", _UNION), "\\cup": ("|", _UNION), "\\intersect": ("&", _INTERSECTION),
    "\\cap": ("&", _INTERSECTION), "\\": ("-", _SUM),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Python:
    """A Python expression and how strongly it binds."""

    text: str
    binds: int = _ATOM

    def within(self, binds: int) -> str:
        """Its text, in parentheses where something that binds this strongly is around it."""
        return self.text if self.binds >= binds else f"({self.text})"


class Values:
    """Writes expressions of one role.

    Attributes:
        imported: Names that the expressions written so far need from elsewhere.
        identities: Uninterpreted types whose Python classes they need.
    """

    def __init__(self, role: Role) -> None:
        self.role = role
        self.spec = role.spec
        self.imported: set[str] = set()
        self.identities: set[str] = set()
        self.records: dict[frozenset[str], list[Record]] = {}
        for vocabulary in role.vocabularies.values():
            for record in vocabulary.records:
                names = frozenset(field.name for field in record.fields)
                self.records.setdefault(names, []).append(record)
        self._locals: Mapping[str, str] = {}

    @contextmanager
    def naming(self, names: Mapping[str, str]) -> Iterator[None]:
        """While it lasts, these parameters are written as these expressions."""
        before, self._locals = self._locals, names
        try:
            yield
        finally:
            self._locals = before

    def _refuse(self, rule: Rule, message: str, at: Place, cure: str = "") -> InvalidSpec:
        return refusal(self.spec, rule, message, at, cure)

    def all_records(self) -> list[Record]:
        """The records that the role's vocabularies define."""
        return [record for records in self.records.values() for record in records]

    def text(self, node: Expression) -> str:
        """An expression where nothing is around it."""
        return self.python(node).text

    # --- By kind ---

    def python(self, node: Expression) -> Python:
        """An expression.

        Raises:
            InvalidSpec: It is not in the subset.
        """
        match node:
            case Lit():
                return Python(_literal(node))
            case Name():
                return self._name(node)
            case Bind():
                return self._binding(node)
            case App("$FcnApply"):
                return self._applied(node)
            case App(source="defined"):
                return self._call(node)
            case App(source="library" | "builtin"):
                return self._builtin(node)
        message = "LET is not allowed here" if hasattr(node, "definitions") else "no value"
        cure = "an operator of its own, with a comment and a type" if "LET" in message else ""
        raise self._refuse(Rule.VALUES, message, node.at, cure)

    def _name(self, node: Name) -> Python:
        if node.kind == "local":
            if node.name == self.role.me:
                return self._me(node.at)
            return Python(self._locals.get(node.name, local(node.name)))
        if node.kind == "constant":
            for setting in self.role.settings:
                if setting.constant == node.name:
                    return Python(f"self.settings.{setting.attribute}")
            message = f"{node.name} is neither a number, a string nor a truth value"
            raise self._refuse(Rule.SETTINGS, message, node.at)
        message = f"{node.name} is read as a whole, not for the role's own node"
        raise self._refuse(Rule.READING, message, node.at)

    def _me(self, at: Place) -> Python:
        if isinstance(self.role.node_type, AliasType):
            message = f"{self.role.me} is a record, and a machine knows itself by a name only"
            raise self._refuse(Rule.READING, message, at)
        name = self.role.node_type.name
        if name == "NODE":
            return Python("self.me")
        identity = identity_name(name)
        self.identities.add(name)
        return Python(f"{identity}(self.me)")

    def _applied(self, node: App) -> Python:
        """A variable for the role's own node; there are no other functions."""
        variable = self.role.at_me(node)
        if fact := self.role.fact(variable):
            if fact.optional:
                message = f"the optional fact {variable} is used as a set"
                raise self._refuse(Rule.OPTIONAL, message, node.at)
            return Python(f"self.facts.{fact.attribute}")
        if variable == self.role.inbox:
            message = f"{variable} is read otherwise than through an accessor of a message"
            raise self._refuse(Rule.READING, message, node.at)
        what = f"{variable} is not a fact" if variable else "a function is applied"
        message = f"{what}; a role reads its own facts and what it was told"
        raise self._refuse(Rule.READING, message, node.at)

    # --- Built-in operators ---

    def _builtin(self, node: App) -> Python:
        op, args = node.op, node.args
        if op in ("$ConjList", "\\land", "$DisjList", "\\lor"):
            return self._junction(node)
        if op in _COMPARISONS and len(args) == 2:
            return self._comparison(op, args[0], args[1])
        if op in _ARITHMETIC and len(args) == 2:
            sign, binds = _ARITHMETIC[op]
            left, right = self.python(args[0]), self.python(args[1])
            return Python(f"{left.within(binds)} {sign} {right.within(binds + 1)}", binds)
        if op in _SETS:
            sign, binds = _SETS[op]
            left, right = self.python(args[0]), self._collection(args[1])
            return Python(f"{left.within(binds)} {sign} {right.within(binds + 1)}", binds)
        match node:
            case App("\\lnot", (inner,)):
                return self._negation(inner)
            case App("=>", (premise, conclusion)):
                left, right = self._negation(premise), self.python(conclusion)
                parts = [part.within(_OR if part.binds == _OR else _NOT) for part in (left, right)]
                return Python(" or ".join(parts), _OR)
            case App("\\equiv" | "<=>", (first, second)):
                left, right = self.python(first), self.python(second)
                return Python(f"{left.within(_UNION)} == {right.within(_UNION)}", _COMPARE)
            case App("-.", (inner,)):
                return Python(f"-{self.python(inner).within(_SIGN)}", _SIGN)
            case App("$IfThenElse", (test, first, second)):
                yes, no = self.python(first), self.python(second)
                text = f"{yes.within(_OR)} if {self._test(test).within(_OR)} else {no.text}"
                return Python(text, _CHOICE)
        return self._structure(node)

    def _structure(self, node: App) -> Python:
        """Sets, records and what is made of them."""
        match node:
            case App("$SetEnumerate", ()):
                return Python("frozenset()")
            case App("$SetEnumerate" | "UNION" | ".."):
                return self._frozen(node)
            case App("Cardinality", (of,)):
                return Python(f"len({self.text(of)})")
            case App("$RcdSelect", (record, Lit(str(field)))):
                return Python(f"{self.python(record).within(_ATOM)}.{snake(field)}")
            case App("$RcdConstructor", pairs):
                return self._record(node, pairs)
            case App("$Except", (record, *changes)):
                return self._replaced(record, changes)
        message = f"{_spoken(node.op)} is not among the operators that can be derived"
        raise self._refuse(Rule.VALUES, message, node.at)

    def _junction(self, node: App) -> Python:
        """A conjunction or a disjunction, nested ones of the same kind in one line."""
        is_and = node.op in ("$ConjList", "\\land")
        same = ("$ConjList", "\\land") if is_and else ("$DisjList", "\\lor")
        binds = _AND if is_and else _OR

        def flat(part: Expression) -> Iterator[Expression]:
            if isinstance(part, App) and part.op in same:
                for arg in part.args:
                    yield from flat(arg)
            else:
                yield part

        operands = list(flat(node))
        if len(operands) == 1:
            return self.python(operands[0])
        parts = [self.python(part).within(_NOT) for part in operands]
        return Python((" and " if is_and else " or ").join(parts), binds)

    def _negation(self, node: Expression) -> Python:
        """What is false when the expression is true."""
        match node:
            case App("\\lnot", (inner,)):
                return self.python(inner)
            case App(op, (left, right)) if _COMPARISONS.get(op) in _OPPOSITES:
                opposites = {"=": "/=", "/=": "=", "\\in": "\\notin", "\\notin": "\\in"}
                return self._comparison(opposites.get(op, "="), left, right)
        return Python(f"not {self._test(node).within(_NOT)}", _NOT)

    def _test(self, node: Expression) -> Python:
        """An expression that is only asked whether it is true."""
        match node:
            case App("/=" | "#", (of, App("$SetEnumerate", ()))) if self._optional(of) is None:
                return self.python(of)
        return self.python(node)

    def _comparison(self, op: str, left: Expression, right: Expression) -> Python:
        if self._optional(left) or self._optional(right):
            return self._optional_comparison(op, left, right)
        match op, right:
            case "=", App("$SetEnumerate", ()):
                return Python(f"not {self.python(left).within(_NOT)}", _NOT)
            case (("/=" | "#"), App("$SetEnumerate", ())):
                return Python(f"bool({self.text(left)})")
            case "\\in", App("..", (low, high)):
                low_, of, high_ = (self.python(n).within(_UNION) for n in (low, left, high))
                return Python(f"{low_} <= {of} <= {high_}", _COMPARE)
            case (("=" | "/=" | "#"), Lit(bool(value))):
                return self.python(left) if value == (op == "=") else self._negation(left)
        is_set_test = op in ("\\in", "\\notin", "\\subseteq", "=", "/=", "#")
        second = self._collection(right) if is_set_test else self.python(right)
        first = self.python(left)
        text = f"{first.within(_UNION)} {_COMPARISONS[op]} {second.within(_UNION)}"
        return Python(text, _COMPARE)

    # --- Optional facts ---

    def _optional(self, node: Expression) -> Fact | None:
        """The optional fact that the expression reads, if it reads just that."""
        fact = self.role.fact(self.role.at_me(node))
        return fact if fact is not None and fact.optional else None

    def _optional_comparison(self, op: str, left: Expression, right: Expression) -> Python:
        sign = _COMPARISONS[op]
        if op == "\\in" or op == "\\notin":
            fact = self._optional(right)
            if fact is not None and self._optional(left) is None:
                text = self.python(left).within(_UNION)
                equal = "==" if op == "\\in" else "!="
                return Python(f"{text} {equal} self.facts.{fact.attribute}", _COMPARE)
        elif sign in ("==", "!="):
            first, second = self.held(left), self.held(right)
            if second.text == "None":
                sign = "is" if sign == "==" else "is not"
            return Python(f"{first.within(_UNION)} {sign} {second.within(_UNION)}", _COMPARE)
        raise self._refuse(Rule.OPTIONAL, f"an optional fact is compared with {op}", left.at)

    def held(self, node: Expression) -> Python:
        """A set of at most one element, as that element or None.

        Raises:
            InvalidSpec: It cannot be seen that the set has at most one element.
        """
        if fact := self._optional(node):
            return Python(f"self.facts.{fact.attribute}")
        match node:
            case App("$SetEnumerate", ()):
                return Python("None")
            case App("$SetEnumerate", (element,)):
                return self.python(element)
            case App("$IfThenElse", (test, first, second)):
                yes, no = self.held(first), self.held(second)
                text = f"{yes.within(_OR)} if {self._test(test).within(_OR)} else {no.text}"
                return Python(text, _CHOICE)
        message = "what an optional fact is compared with, or set to, may have several elements"
        raise self._refuse(Rule.OPTIONAL, message, node.at)

    # --- Sets ---

    def _collection(self, node: Expression) -> Python:
        """A set to the right of `in` or of a set operator: need not be frozen."""
        match node:
            case App("$SetEnumerate", items) if items:
                return Python("{" + ", ".join(self.text(item) for item in items) + "}")
            case Bind("$SubsetOf" | "$SetOfAll"):
                return Python("{" + self._comprehension(node) + "}")
        return self.python(node)

    def _frozen(self, node: App) -> Python:
        match node:
            case App("UNION", (Bind("$SetOfAll", bounds, body),)):
                loops = self._loops(bounds)
                inner = self.python(body).within(_OR)
                return Python(f"frozenset(item {loops} for item in {inner})")
            case App("UNION", (sets,)):
                parts = self.python(sets).within(_OR)
                return Python(f"frozenset(item for part in {parts} for item in part)")
            case App("..", (low, high)):
                start, end = self.text(low), self.python(high).within(_SUM)
                return Python(f"frozenset(range({start}, {end} + 1))")
        items = ", ".join(self.text(item) for item in node.args)
        return Python(f"frozenset({{{items}}})")

    def _binding(self, node: Bind) -> Python:
        match node.op:
            case "$SubsetOf" if whole := self._whole(node):
                return Python(f"frozenset({whole})")
            case "$SubsetOf" | "$SetOfAll":
                return Python(f"frozenset({self._comprehension(node)})")
            case "$BoundedExists" | "$BoundedForall":
                return self._quantified(node)
        message = f"{_spoken(node.op)} is not among the operators that can be derived"
        raise self._refuse(Rule.VALUES, message, node.at)

    def _whole(self, node: Bind) -> str:
        """What a filter ranges over if it keeps all of it, as after a lookup; else ""."""
        ((name,),) = [bound.names for bound in node.bounds]
        source, tests = self._loop_parts(name, node.bounds[0], node.body)
        return "" if tests else source

    def _comprehension(self, node: Bind) -> str:
        """The inside of a set comprehension, or of a generator."""
        if node.op == "$SubsetOf":
            ((name,),) = [bound.names for bound in node.bounds]
            return f"{local(name)} {self._loop(name, node.bounds[0], node.body)}"
        return f"{self.python(node.body).within(_OR)} {self._loops(node.bounds)}"

    def _loops(self, bounds: Sequence[Bound]) -> str:
        return " ".join(self._loop(name, bound) for bound in bounds for name in bound.names)

    def _loop(self, name: str, bound: Bound, condition: Expression | None = None) -> str:
        """`for x in s if ...`."""
        source, tests = self._loop_parts(name, bound, condition)
        return f"for {local(name)} in {source}{tests}"

    def _loop_parts(self, name: str, bound: Bound, condition: Expression | None) -> tuple[str, str]:
        """What a name ranges over, and the tests of a loop; a filter over a filter becomes one."""
        over = bound.over
        if over is None or bound.pattern:
            at = node_place(over)
            raise self._refuse(Rule.VALUES, "a name is bound to a tuple or to anything", at)
        if self._optional(over):
            message = "a name ranges over an optional fact in a set"
            raise self._refuse(Rule.OPTIONAL, message, over.at)
        conditions = conjuncts(condition) if condition is not None else []
        while isinstance(over, Bind) and over.op == "$SubsetOf":
            ((inner,),) = [inner_bound.names for inner_bound in over.bounds]
            if name != inner and _binds(over.body, name):
                break
            renamed = substitute(over.body, {inner: Name(name, "local", over.at)})
            conditions = [*conjuncts(renamed), *conditions]
            over = over.bounds[0].over or over
        source, conditions = self._looked_up(name, over, conditions)
        parts = [self._condition(part, last=len(conditions) == 1) for part in conditions]
        return source, f" if {' and '.join(parts)}" if parts else ""

    def _condition(self, node: Expression, *, last: bool) -> str:
        return self._test(node).within(_OR if last else _NOT)

    def _looked_up(
        self, name: str, over: Expression, conditions: list[Expression]
    ) -> tuple[str, list[Expression]]:
        """Where a name ranges over a keyed fact and one condition gives the key: a lookup."""
        fact = self.role.fact(self.role.at_me(over))
        if fact is not None and fact.key:
            for place, condition in enumerate(conditions):
                wanted = _key_wanted(name, fact.key, condition)
                if wanted is not None:
                    self.imported.add("where")
                    key = f"{snake(fact.key)}={self.text(wanted)}"
                    found = f"where(self.facts.{fact.attribute}, {key})"
                    return found, conditions[:place] + conditions[place + 1 :]
        if isinstance(over, Bind) and over.op == "$SetOfAll":
            return f"({self._comprehension(over)})", conditions
        return self.python(over).within(_OR), conditions

    def _quantified(self, node: Bind) -> Python:
        """Nested quantifiers of one kind become one `any` or `all`."""
        is_exists = node.op == "$BoundedExists"
        bounds: list[tuple[str, Bound]] = []
        body: Expression = node
        while isinstance(body, Bind) and body.op == node.op:
            bounds += [(name, bound) for bound in body.bounds for name in bound.names]
            body = body.body
        over = bounds[0][1].over
        if over is not None and (fact := self._optional(over)):
            return self._optional_quantified(node, fact)
        if is_exists:
            return self._some(bounds, conjuncts(body), node.at)
        return self._every(bounds, body, node.at)

    def _some(
        self, bounds: Sequence[tuple[str, Bound]], parts: list[Expression], at: Place
    ) -> Python:
        """An `any`: what gives a key goes into the loop, the rest is asked."""
        sources = []
        for place, (name, bound) in enumerate(bounds):
            later = {other for other, _ in bounds[place + 1 :]}
            key = self._key_among(name, bound, [p for p in parts if not _mentions(p, later)])
            parts = [part for part in parts if part is not key]
            sources.append((name, *self._loop_parts(name, bound, key)))
        if not parts and len(sources) == 1:
            return Python(f"bool({sources[0][1]})")
        loops = " ".join(f"for {local(name)} in {source}{tests}" for name, source, tests in sources)
        if not parts:
            return Python(f"any(True {loops})")
        asked = self._junction(App("$ConjList", tuple(parts), at=at))
        return Python(f"any({asked.within(_OR)} {loops})")

    def _key_among(self, name: str, bound: Bound, parts: Sequence[Expression]) -> Expression | None:
        """The condition by which a name that ranges over a keyed fact can be looked up."""
        fact = self.role.fact(self.role.at_me(bound.over)) if bound.over is not None else None
        if fact is None or not fact.key:
            return None
        return next((p for p in parts if _key_wanted(name, fact.key, p) is not None), None)

    def _every(self, bounds: Sequence[tuple[str, Bound]], body: Expression, at: Place) -> Python:
        """An `all`: the premises of an implication go into the loops, as early as they can."""
        premises: list[Expression] = []
        match body:
            case App("=>", (premise, conclusion)):
                premises, body = conjuncts(premise), conclusion
        loops = []
        for place, (name, bound) in enumerate(bounds):
            later = {other for other, _ in bounds[place + 1 :]}
            ready = tuple(p for p in premises if not _mentions(p, later))
            premises = [p for p in premises if _mentions(p, later)]
            loops.append(self._loop(name, bound, App("$ConjList", ready, at=at) if ready else None))
        return Python(f"all({self.python(body).within(_OR)} {' '.join(loops)})")

    def _optional_quantified(self, node: Bind, fact: Fact) -> Python:
        """A quantifier over an optional fact, without a loop."""
        if len(node.bounds) != 1 or len(node.bounds[0].names) != 1:
            raise self._refuse(Rule.OPTIONAL, "several names range over an optional fact", node.at)
        (name,) = node.bounds[0].names
        attribute = f"self.facts.{fact.attribute}"
        with self.naming({**self._locals, name: attribute}):
            inner = self.python(node.body)
        if node.op == "$BoundedExists":
            return Python(f"{attribute} is not None and {inner.within(_NOT)}", _AND)
        return Python(f"{attribute} is None or {inner.within(_AND)}", _OR)

    # --- Records ---

    def _record(self, node: App, pairs: Sequence[Expression]) -> Python:
        given = {}
        for pair in pairs:
            match pair:
                case App("$Pair", (Lit(str(field)), value)):
                    given[field] = value
        found = self.records.get(frozenset(given), [])
        if len(found) != 1:
            names = ", ".join(record.alias for record in found) or "none"
            message = (
                f"a record [{', '.join(given)}] has the fields of one @typeAlias; here: {names}"
            )
            raise self._refuse(Rule.RECORDS, message, node.at)
        (record,) = found
        self.imported.add(record.name)
        fields = [f"{snake(f.name)}={self.text(given[f.name])}" for f in record.fields]
        return Python(f"{record.name}({', '.join(fields)})")

    def _replaced(self, record: Expression, changes: Sequence[Expression]) -> Python:
        parts = []
        for change in changes:
            match change:
                case App("$Pair", (App("$Seq", (Lit(str(field)),)), new)):
                    old = App("$RcdSelect", (record, Lit(field)), at=change.at)
                    parts.append(f"{snake(field)}={self.text(substitute(new, {'@': old}))}")
                case _:
                    message = "EXCEPT changes fields of a record, one path each"
                    raise self._refuse(
                        Rule.RECORDS, message, change.at, '[s EXCEPT !.state = "lost"]'
                    )
        self.imported.add("replace")
        return Python(f"replace({self.text(record)}, {', '.join(parts)})")

    # --- Defined operators ---

    def _call(self, node: App) -> Python:
        operator = self.spec.operators[node.uid]
        if accessed_tag(operator):
            return self._told(node, operator)
        if tag := constructed_tag(operator):
            return self._made(node, tag, operator)
        if operator.at.module == "Numbers":
            return self._number(node, operator)
        if self.role.is_reading(node):
            return self._reading(node, operator)
        if not operator.params and not operator.recursive:
            return self.python(operator.body)
        message = f"{operator.name} is applied to something else than the role's node first"
        raise self._refuse(Rule.OPERATORS, message, node.at)

    def _told(self, node: App, operator: Operator) -> Python:
        """The payload of what was told: `AsConnected(inbox[n])`."""
        if self.role.at_me(node.args[0]) != self.role.inbox:
            message = f"{operator.name} is applied to something else than the inbox"
            raise self._refuse(Rule.READING, message, node.at)
        if accessed_tag(operator) not in self.role.inputs:
            message = f"{operator.name} reads what the inbox never holds"
            raise self._refuse(Rule.READING, message, node.at)
        return Python("told")

    def _made(self, node: App, tag: str, operator: Operator) -> Python:
        if tag not in self.role.requests:
            message = f"{operator.name} makes a message where a role makes requests only"
            raise self._refuse(Rule.REQUESTS, message, node.at)
        self.imported.add(tag)
        args = [self.text(arg) for arg in node.args]
        is_flag = any(isinstance(arg, Lit) and isinstance(arg.value, bool) for arg in node.args)
        if len(args) > 1 or is_flag:
            fields = self.role.requests[tag].fields
            args = [f"{snake(f.name)}={arg}" for f, arg in zip(fields, args, strict=True)]
        return Python(f"{tag}({', '.join(args)})")

    def _number(self, node: App, operator: Operator) -> Python:
        """Min, Max and The of module Numbers, which mean the same as Python's."""
        if operator.name not in ("Min", "Max", "The"):
            message = f"{operator.name} is not among the operators of Numbers that can be derived"
            raise self._refuse(Rule.VALUES, message, node.at, "Min, Max, The")
        (of,) = node.args
        if operator.name == "The" and (fact := self._optional(of)):
            self.imported.add("the")
            return Python(f"the(self.facts.{fact.attribute})")
        word = {"Min": "min", "Max": "max", "The": "only"}[operator.name]
        if word == "only":
            self.imported.add(word)
        if isinstance(of, Bind) and of.op in ("$SubsetOf", "$SetOfAll"):
            return Python(f"{word}({self._comprehension(of)})")
        return Python(f"{word}({self.text(of)})")

    def _reading(self, node: App, operator: Operator) -> Python:
        if operator.recursive:
            message = f"{operator.name} is recursive"
            raise self._refuse(Rule.OPERATORS, message, node.at, r"\A, \E, { x \in S : ... }")
        told = ["told"] if self.role.tags_read(operator.body) else []
        args = [self.text(arg) for arg in node.args[1:]]
        return Python(f"self.{snake(operator.name)}({', '.join(told + args)})")


def _literal(node: Lit) -> str:
    if isinstance(node.value, str):
        escaped = node.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(node.value)


def _spoken(op: str) -> str:
    known = {
        "$BoundedChoose": "CHOOSE",
        "$UnboundedChoose": "CHOOSE",
        "$UnboundedExists": "an unbounded quantifier",
        "$UnboundedForall": "an unbounded quantifier",
        "$FcnConstructor": "a function",
        "$Tuple": "a tuple",
        "$Case": "CASE",
        "$CartesianProd": "a product of sets",
        "$SetOfFcns": "a set of functions",
        "$SetOfRcds": "a set of records",
    }
    return known.get(op, op)


def node_place(node: Expression | None) -> Place:
    """Where a node is, if there is one."""
    return node.at if node is not None else Place()


def _binds(node: Expression, name: str) -> bool:
    return any(
        isinstance(part, Bind) and any(name in bound.names for bound in part.bounds)
        for part in walk(node)
    )


def _mentions(node: Expression, names: set[str]) -> bool:
    return any(isinstance(part, Name) and part.name in names for part in walk(node))


def _key_wanted(name: str, key: str, condition: Expression) -> Expression | None:
    """The `v` of the condition `x.key = v`, if `v` does not depend on `x`."""
    match condition:
        case App("=", (App("$RcdSelect", (Name(of, "local"), Lit(field))), wanted)) if (
            of == name and field == key and not _mentions(wanted, {name})
        ):
            return wanted
        case App("=", (wanted, App("$RcdSelect", (Name(of, "local"), Lit(field))))) if (
            of == name and field == key and not _mentions(wanted, {name})
        ):
            return wanted
    return None
