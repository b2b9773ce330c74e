"""Automatic mutants of a derived class: small edits of the shipped file, each a wrong class.

An edit works on the syntax tree, so every mutant is a module that Python can read. It is
named by the place and the kind of the edit, and the name stays the same as long as the place
exists: the list of equivalent mutants refers to it.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

__all__ = ["Mutant", "class_mutants"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong class.

    Attributes:
        name: The place and the kind of the edit.
        text: The text of the module.
        what: What was done, in a few words.
    """

    name: str
    text: str
    what: str


_Edit: TypeAlias = Callable[[ast.Module], None]


def class_mutants(text: str, *, every: bool = False) -> list[Mutant]:
    """All mutants of a role's module, in a stable order, no two alike.

    Args:
        text: The text of the module.
        every: Each transition to and from every state; otherwise some of them, chosen by place.
    """
    tree = ast.parse(text)
    machine = _machine(tree)
    original = ast.unparse(tree)
    seen = {original}
    names: dict[str, int] = {}
    found = []
    for name, what, edit in _edits(machine, every=every):
        changed = copy.deepcopy(tree)
        edit(changed)
        mutated = ast.unparse(ast.fix_missing_locations(changed))
        if mutated in seen:
            continue
        seen.add(mutated)
        names[name] = names.get(name, 0) + 1
        unique = name if names[name] == 1 else f"{name}#{names[name]}"
        found.append(Mutant(unique, mutated, what))
    return found


def _machine(tree: ast.Module) -> ast.ClassDef:
    """The role machine: the last class of the module."""
    return [node for node in tree.body if isinstance(node, ast.ClassDef)][-1]


def _edits(machine: ast.ClassDef, *, every: bool) -> Iterator[tuple[str, str, _Edit]]:
    yield from _state_edits(machine)
    yield from _event_edits(machine, every=every)
    yield from _method_edits(machine)


# --- States ---------------------------------------------------------------------------------


def _states(machine: ast.ClassDef) -> list[str]:
    return [
        target.id
        for node in machine.body
        if isinstance(node, ast.Assign) and _calls(node.value, "State")
        for target in node.targets
        if isinstance(target, ast.Name)
    ]


def _calls(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _state_edits(machine: ast.ClassDef) -> Iterator[tuple[str, str, _Edit]]:
    states = _states(machine)

    def start_in(state: str) -> _Edit:
        def edit(tree: ast.Module) -> None:
            for node in _machine(tree).body:
                if (
                    isinstance(node, ast.Assign)
                    and isinstance(node.value, ast.Call)
                    and (_calls(node.value, "State"))
                ):
                    is_first = isinstance(node.targets[0], ast.Name) and (
                        node.targets[0].id == state
                    )
                    node.value.keywords = (
                        [ast.keyword("initial", ast.Constant(value=True))] if is_first else []
                    )

        return edit

    if len(states) > 1:
        yield f"state.{states[1]}.initial", f"starts in {states[1]}", start_in(states[1])


# --- Events and transitions -----------------------------------------------------------------


@dataclass(slots=True)
class _Term:
    """One member of an event: `a.to(b, ...)`, `b.from_(a, ...)` or `internally(a, ...)`."""

    kind: str
    sources: list[str]
    target: str
    guards: dict[str, str]
    action: str
    internal: bool = False

    def expression(self) -> ast.expr:
        keywords = "".join(f", {key}={value!r}" for key, value in self.guards.items())
        if self.internal and self.sources == [self.target]:
            keywords += ", internal=True"
        keywords += f", on={self.action!r}"
        given = ", ".join(self.sources)
        if self.kind == "internally":
            text = f"internally({given}{keywords})"
        elif self.kind == "to" and len(self.sources) == 1:
            text = f"{given}.to({self.target}{keywords})"
        else:
            text = f"{self.target}.from_({given}{keywords})"
        return ast.parse(text, mode="eval").body


_Change: TypeAlias = Callable[[dict[str, list[_Term]]], object]
_Changed: TypeAlias = Callable[[_Change], _Edit]


def _without(event: str, at: int) -> _Change:
    return lambda mine: mine[event].pop(at)


def _sooner(event: str, at: int) -> _Change:
    return lambda mine: mine[event].insert(at - 1, mine[event].pop(at))


def _with(event: str, at: int, **parts: object) -> _Change:
    def change(mine: dict[str, list[_Term]]) -> None:
        for name, value in parts.items():
            setattr(mine[event][at], name, value)

    return change


def _events(machine: ast.ClassDef) -> dict[str, list[_Term]]:
    found = {}
    for node in machine.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and (_calls(node.value, "Event") and isinstance(node.targets[0], ast.Name))
        ):
            found[node.targets[0].id] = [_term(part) for part in _members(node.value.args[0])]
    return found


def _members(node: ast.expr) -> list[ast.Call]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_members(node.left), *_members(node.right)]
    return [node] if isinstance(node, ast.Call) else []


def _term(call: ast.Call) -> _Term:
    keywords = {
        keyword.arg: keyword.value.value
        for keyword in call.keywords
        if keyword.arg and isinstance(keyword.value, ast.Constant)
    }
    guards: dict[str, str] = {
        key: str(keywords[key]) for key in ("cond", "unless") if key in keywords
    }
    action = str(keywords.get("on", ""))
    names = [arg.id for arg in call.args if isinstance(arg, ast.Name)]
    if isinstance(call.func, ast.Name):
        return _Term("internally", names, "", guards, action)
    head = call.func.value if isinstance(call.func, ast.Attribute) else None
    state = head.id if isinstance(head, ast.Name) else ""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "to":
        return _Term("to", [state], names[0], guards, action, internal="internal" in keywords)
    return _Term("from_", names, state, guards, action)


def _write_events(events: dict[str, list[_Term]]) -> _Edit:
    """An edit that gives every event these members; one without members is dropped."""

    def edit(tree: ast.Module) -> None:
        machine = _machine(tree)
        body: list[ast.stmt] = []
        for node in machine.body:
            if (
                isinstance(node, ast.Assign)
                and _calls(node.value, "Event")
                and isinstance(node.targets[0], ast.Name)
            ):
                name = node.targets[0].id
                terms = [term for term in events[name] if term.sources]
                if not terms:
                    continue
                joined = terms[0].expression()
                for term in terms[1:]:
                    joined = ast.BinOp(joined, ast.BitOr(), term.expression())
                call = node.value
                if isinstance(call, ast.Call):
                    call.args = [joined]
            body.append(node)
        machine.body = body

    return edit


def _event_edits(machine: ast.ClassDef, *, every: bool) -> Iterator[tuple[str, str, _Edit]]:
    events, states = _events(machine), _states(machine)

    def changed(change: _Change) -> _Edit:
        mine = copy.deepcopy(events)
        change(mine)
        return _write_events(mine)

    for event, terms in events.items():
        for at, term in enumerate(terms):
            place = f"{event}.{term.action}"
            yield (
                f"{place}.dropped",
                f"{event}: no {term.action}",
                changed(_without(event, at)),
            )
            yield from _guard_edits(event, at, term, place, changed)
            yield from _end_edits(event, at, term, place, states, changed, every=every)
            if at:
                yield (
                    f"{place}.sooner",
                    f"{event}: {term.action} before the one above",
                    changed(_sooner(event, at)),
                )
    yield from _cross_edits(events, changed)


def _guard_edits(
    event: str, at: int, term: _Term, place: str, changed: _Changed
) -> Iterator[tuple[str, str, _Edit]]:
    if not term.guards:
        return

    def with_guards(guards: dict[str, str]) -> _Edit:
        return changed(_with(event, at, guards=guards))

    yield f"{place}.unguarded", f"{term.action} without its guard", with_guards({})
    for key, text in term.guards.items():
        rest = {other: value for other, value in term.guards.items() if other != key}
        opposite = "unless" if key == "cond" else "cond"
        if opposite not in rest:
            yield (
                f"{place}.{key}.negated",
                f"{term.action}: guard negated",
                with_guards({**rest, opposite: text}),
            )
        literals = re.split(r"\s+(?:and|or)\s+", text)
        if len(literals) > 1:
            word = " or " if " and " in text else " and "
            yield (
                f"{place}.{key}.and-or",
                f"{term.action}: and for or",
                with_guards({**rest, key: word.join(literals)}),
            )
            joint = " and " if " and " in text else " or "
            for number, literal in enumerate(literals):
                others = [*literals[:number], *literals[number + 1 :]]
                yield (
                    f"{place}.{key}.without-{_word(literal)}",
                    f"{term.action}: no {literal}",
                    (with_guards({**rest, key: joint.join(others)})),
                )
                flipped = (
                    literal.removeprefix("not ")
                    if literal.startswith("not ")
                    else (f"not {literal}")
                )
                every = [*literals[:number], flipped, *literals[number + 1 :]]
                yield (
                    f"{place}.{key}.flipped-{_word(literal)}",
                    f"{term.action}: {flipped}",
                    (with_guards({**rest, key: joint.join(every)})),
                )


def _word(literal: str) -> str:
    return literal.replace(" ", "-")


def _end_edits(
    event: str,
    at: int,
    term: _Term,
    place: str,
    states: Sequence[str],
    changed: _Changed,
    *,
    every: bool,
) -> Iterator[tuple[str, str, _Edit]]:
    def with_sources(sources: list[str]) -> _Edit:
        kind = "from_" if term.kind == "to" and len(sources) > 1 else term.kind
        return changed(_with(event, at, sources=sources, kind=kind))

    if term.kind != "internally":
        for other in _some(states, term.target, event, every=every):
            yield (
                f"{place}.to-{other}",
                f"{term.action} leads to {other}",
                changed(_with(event, at, target=other)),
            )
    else:
        for other in _some(states, "", event, every=every)[:2]:
            yield (
                f"{place}.moves-to-{other}",
                f"{term.action} leads to {other}",
                changed(_with(event, at, kind="from_", target=other)),
            )
    if len(term.sources) > 1:
        for source in term.sources:
            rest = [name for name in term.sources if name != source]
            yield (
                f"{place}.not-from-{source}",
                f"{term.action} not from {source}",
                with_sources(rest),
            )
    foreign = [state for state in states if state not in term.sources]
    for other in _some(foreign, "", event + term.action, every=every):
        yield (
            f"{place}.also-from-{other}",
            f"{term.action} also from {other}",
            with_sources([*term.sources, other]),
        )


def _some(states: Sequence[str], but: str, seed: str, *, every: bool) -> list[str]:
    """Every state but one; or three of them, the same ones each time."""
    others = [state for state in states if state != but]
    if every or len(others) <= 3:
        return others
    start = sum(map(ord, seed)) % len(others)
    step = max(1, len(others) // 3)
    return list(dict.fromkeys(others[(start + turn * step) % len(others)] for turn in range(3)))


def _cross_edits(
    events: dict[str, list[_Term]], changed: _Changed
) -> Iterator[tuple[str, str, _Edit]]:
    """Edits that mix two events."""
    names = list(events)
    for one, two in pairwise(names):

        def swap(mine: dict[str, list[_Term]], one: str = one, two: str = two) -> None:
            mine[one], mine[two] = mine[two], mine[one]

        yield f"{one}.swapped-with-{two}", f"{one} and {two} change places", changed(swap)

        def extra(mine: dict[str, list[_Term]], one: str = one, two: str = two) -> None:
            added = copy.deepcopy(mine[one][0])
            added.guards = {}
            mine[two].append(added)

        action = events[one][0].action
        yield f"{two}.extra-{action}", f"{two} triggers {action} as well", changed(extra)
        first, second = events[one][0].action, events[two][0].action

        def act(mine: dict[str, list[_Term]], one: str = one, second: str = second) -> None:
            mine[one][0].action = second

        yield f"{one}.{first}.acts-as-{second}", f"{one} does what {second} does", changed(act)


# --- Methods ----------------------------------------------------------------------------------


def _method_edits(machine: ast.ClassDef) -> Iterator[tuple[str, str, _Edit]]:
    facts = sorted(
        {
            node.attr
            for node in ast.walk(machine)
            if isinstance(node, ast.Attribute) and _is_facts(node.value)
        }
        | {
            keyword.arg
            for node in ast.walk(machine)
            if isinstance(node, ast.Call) and _is_self_call(node, "remember")
            for keyword in node.keywords
            if keyword.arg
        }
    )
    plain_requests = sorted(
        {
            node.args[0].func.id
            for node in ast.walk(machine)
            if isinstance(node, ast.Call)
            and _is_self_call(node, "ask")
            and isinstance(node.args[0], ast.Call)
            and isinstance(node.args[0].func, ast.Name)
            and not node.args[0].args
            and not node.args[0].keywords
        }
    )
    for number, node in enumerate(machine.body):
        if not isinstance(node, ast.FunctionDef):
            continue
        yield from _statement_edits(number, node, facts, plain_requests)
        yield from _expression_edits(number, node, facts)


def _is_facts(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "facts"
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def _is_self_call(node: ast.Call, name: str) -> bool:
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr == name
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "self"
    )


def _method(tree: ast.Module, number: int) -> ast.FunctionDef:
    node = _machine(tree).body[number]
    if not isinstance(node, ast.FunctionDef):
        raise TypeError(ast.dump(node))
    return node


def _self_call(statement: ast.stmt, name: str) -> ast.Call | None:
    if (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and (_is_self_call(statement.value, name))
    ):
        return statement.value
    return None


def _statement_edits(  # noqa: C901 - what can be wrong with statements
    number: int, method: ast.FunctionDef, facts: Sequence[str], requests: Sequence[str]
) -> Iterator[tuple[str, str, _Edit]]:
    """Edits of `ask` and `remember`."""
    name = method.name
    doing = [
        at
        for at, statement in enumerate(method.body)
        if _self_call(statement, "ask") or _self_call(statement, "remember")
    ]
    is_action = bool(doing) or all(_is_docstring(statement) for statement in method.body)
    for at in doing:
        statement = method.body[at]
        if asked := _self_call(statement, "ask"):
            yield f"{name}.ask.dropped", f"{name} asks for nothing", _drop(number, at)
            yield f"{name}.ask.twice", f"{name} asks twice", _repeat(number, at)
            yield from _request_edits(number, at, name, asked, requests)
        elif remembered := _self_call(statement, "remember"):
            yield f"{name}.remember.dropped", f"{name} remembers nothing", _drop(number, at)
            for place, keyword in enumerate(remembered.keywords):
                yield from _fact_edits(number, at, place, name, keyword, facts)
    if len(doing) > 1:
        yield f"{name}.order", f"{name} remembers before it asks", _swap(number, doing[0], doing[1])
    if is_action:
        told = {
            keyword.arg
            for at in doing
            if (call := _self_call(method.body[at], "remember"))
            for keyword in call.keywords
        }
        for fact in facts:
            if fact not in told:
                yield f"{name}.forgets-{fact}", f"{name} forgets {fact}", _remember(number, fact)
        if not any(_self_call(method.body[at], "ask") for at in doing):
            for request in requests[:2]:
                yield f"{name}.asks-{request}", f"{name} asks for {request}", _ask(number, request)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _drop(number: int, at: int) -> _Edit:
    def edit(tree: ast.Module) -> None:
        method = _method(tree, number)
        del method.body[at]
        if not method.body:
            method.body.append(ast.Pass())

    return edit


def _repeat(number: int, at: int) -> _Edit:
    def edit(tree: ast.Module) -> None:
        method = _method(tree, number)
        method.body.insert(at, copy.deepcopy(method.body[at]))

    return edit


def _swap(number: int, one: int, two: int) -> _Edit:
    def edit(tree: ast.Module) -> None:
        body = _method(tree, number).body
        body[one], body[two] = body[two], body[one]

    return edit


def _remember(number: int, fact: str) -> _Edit:
    def edit(tree: ast.Module) -> None:
        added = ast.parse(f"self.remember({fact}=type(self.facts)().{fact})").body[0]
        _method(tree, number).body.append(added)

    return edit


def _ask(number: int, request: str) -> _Edit:
    def edit(tree: ast.Module) -> None:
        _method(tree, number).body.append(ast.parse(f"self.ask({request}())").body[0])

    return edit


def _request_edits(
    number: int, at: int, name: str, asked: ast.Call, requests: Sequence[str]
) -> Iterator[tuple[str, str, _Edit]]:
    request = asked.args[0]
    if not isinstance(request, ast.Call) or not isinstance(request.func, ast.Name):
        return
    mine = request.func.id
    others = [other for other in requests if other != mine]
    for other in others[:2]:

        def rename(tree: ast.Module, other: str = other) -> None:
            call = _self_call(_method(tree, number).body[at], "ask")
            if call is not None:
                call.args[0] = ast.Call(ast.Name(other, ast.Load()), [], [])

        yield f"{name}.ask.{other}", f"{name} asks for {other}", rename


def _rename_keyword(place: int, name: str) -> Callable[[ast.Call], object]:
    return lambda call: setattr(call.keywords[place], "arg", name)


def _fact_edits(
    number: int, at: int, place: int, name: str, keyword: ast.keyword, facts: Sequence[str]
) -> Iterator[tuple[str, str, _Edit]]:
    fact = keyword.arg or ""

    def with_call(change: Callable[[ast.Call], object]) -> _Edit:
        def edit(tree: ast.Module) -> None:
            call = _self_call(_method(tree, number).body[at], "remember")
            if call is not None:
                change(call)

        return edit

    yield (
        f"{name}.{fact}.kept",
        f"{name} keeps {fact}",
        with_call(lambda call: call.keywords.pop(place)),
    )
    if not isinstance(keyword.value, ast.Constant):
        default = ast.parse(f"type(self.facts)().{fact}", mode="eval").body
        yield (
            f"{name}.{fact}.cleared",
            f"{name} clears {fact}",
            with_call(lambda call: setattr(call.keywords[place], "value", default)),
        )
    for other in facts:
        if other != fact:
            yield (
                f"{name}.{fact}.is-{other}",
                f"{name} changes {other} instead of {fact}",
                with_call(_rename_keyword(place, other)),
            )


_COMPARISONS: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


def _expression_edits(
    number: int, method: ast.FunctionDef, facts: Sequence[str]
) -> Iterator[tuple[str, str, _Edit]]:
    """Edits within the expressions of a method, its guards and readers above all."""
    for place, node in enumerate(ast.walk(method)):
        for kind, what, change in _node_edits(node, facts):

            def edit(
                tree: ast.Module, place: int = place, change: Callable[[ast.AST], None] = change
            ) -> None:
                change(list(ast.walk(_method(tree, number)))[place])

            yield f"{method.name}.{kind}", f"{method.name}: {what}", edit


def _node_edits(  # noqa: C901 - a case for each kind of expression
    node: ast.AST, facts: Sequence[str]
) -> Iterator[tuple[str, str, Callable[[ast.AST], None]]]:
    match node:
        case ast.Return(value=ast.expr() as value):
            negated = ast.UnaryOp(ast.Not(), copy.deepcopy(value))
            yield "returns-not", "result negated", _set("value", negated)
        case ast.Compare(ops=[op]) if type(op) in _COMPARISONS:
            for other in _COMPARISONS[type(op)]:
                yield (
                    other.__name__.lower(),
                    f"{_sign(op)} is {_sign(other())}",
                    _set("ops", [other()]),
                )
        case ast.BoolOp(op=op):
            other_op = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield "and-or", "and for or", _set("op", other_op)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            twice = ast.UnaryOp(ast.Not(), copy.deepcopy(operand))
            yield "affirmed", "not dropped", _set("operand", twice)
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            yield "arithmetic", "another operation", _set("op", _ARITHMETIC[type(op)]())
        case ast.Name(id=name) if name in _NAMES:
            yield f"{name}-{_NAMES[name]}", f"{_NAMES[name]} for {name}", _set("id", _NAMES[name])
        case ast.Call(func=ast.Name(id="the" | "only"), args=[_]):
            yield "the-dropped", "an optional fact is used unchecked", _unwrap
        case ast.comprehension(ifs=[_, *_]):
            yield "unfiltered", "filter dropped", _set("ifs", [])
        case ast.Attribute(attr=attr, value=value) if _is_facts(value):
            for fact in facts:
                if fact != attr:
                    yield f"{attr}-{fact}", f"{fact} for {attr}", _set("attr", fact)
        case ast.Constant(value=bool(flag)):
            yield "constant", f"{not flag}", _set("value", not flag)
        case ast.Constant(value=int(amount)):
            yield "constant", f"{amount + 1}", _set("value", amount + 1)
    if isinstance(node, ast.Call) and len(node.keywords) > 1:
        yield "arguments", "two arguments change places", _swap_arguments


def _sign(op: ast.cmpop) -> str:
    compared = ast.Compare(ast.Name("a"), [op], [ast.Name("b")])
    return ast.unparse(compared)[2:-2]


def _set(attribute: str, value: object) -> Callable[[ast.AST], None]:
    return lambda node: setattr(node, attribute, value)


def _unwrap(node: ast.AST) -> None:
    """Turn `the(x)` into `next(iter([x]))`, which checks nothing."""
    if isinstance(node, ast.Call):
        inner = node.args[0]
        if isinstance(inner, ast.GeneratorExp):
            node.func = ast.Name("next", ast.Load())
            return
        listed = ast.Call(ast.Name("iter", ast.Load()), [ast.List([inner], ast.Load())], [])
        node.func, node.args = ast.Name("next", ast.Load()), [listed]


def _swap_arguments(node: ast.AST) -> None:
    if isinstance(node, ast.Call):
        first, second = node.keywords[0], node.keywords[1]
        first.value, second.value = second.value, first.value
