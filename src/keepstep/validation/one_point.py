r"""Read a specification so that it asks for no more of a state than it needs.

`\E view \in IF behind = {} THEN {tree} ELSE behind : P(view)` makes a set of the data, and
whoever makes a set of something looks at all of it. By the one-point rule it says the same as
`IF behind = {} THEN P(tree) ELSE \E view \in behind : P(view)`, and that looks only at what P
looks at. `Candidates` remembers results by what was looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from keepstep.derive.ast import App, Bind, Expression, Let, Name, Operator, Spec, substitute, walk

__all__ = ["with_one_points"]


def with_one_points(spec: Spec) -> Spec:
    """The same specification, with the one-point rule applied wherever it can be."""
    operators = {
        uid: replace(operator, body=_rewritten(operator.body, spec.operators))
        for uid, operator in spec.operators.items()
    }
    return replace(spec, operators=operators)


def _rewritten(node: Expression, known: Mapping[str, Operator]) -> Expression:
    match node:
        case App():
            return replace(node, args=tuple(_rewritten(arg, known) for arg in node.args))
        case Let():
            definitions = tuple(
                replace(definition, body=_rewritten(definition.body, known))
                for definition in node.definitions
            )
            return replace(node, definitions=definitions, body=_rewritten(node.body, known))
        case Bind():
            node = replace(node, body=_rewritten(node.body, known))
            match node.op, node.bounds:
                case "$BoundedExists", (bound,) if bound.over is not None and not bound.pattern:
                    if len(bound.names) == 1:
                        over = _unfolded(bound.over, known)
                        if _has_one_point(over) and not any(
                            isinstance(part, Let) for part in walk(node.body)
                        ):
                            return _instead(node, bound.names[0], over)
    return node


def _unfolded(node: Expression, known: Mapping[str, Operator]) -> Expression:
    """What calls of operators stand for, as far as they bind no names."""
    while isinstance(node, App) and node.source == "defined":
        operator = known[node.uid]
        if operator.recursive or any(isinstance(p, Bind | Let) for p in walk(operator.body)):
            break
        node = substitute(operator.body, dict(zip(operator.params, node.args, strict=True)))
    return node


def _has_one_point(over: Expression) -> bool:
    """Whether a set is the one of a variable, in some case."""
    match over:
        case App("$SetEnumerate", (Name(_, "variable"),)):
            return True
        case App("$IfThenElse", (_, yes, no)):
            return _has_one_point(yes) or _has_one_point(no)
    return False


def _instead(node: Bind, name: str, over: Expression) -> Expression:
    r"""What `\E name \in over : body` says."""
    match over:
        case App("$SetEnumerate", (Name(_, "variable") as variable,)):
            return substitute(node.body, {name: variable})
        case App("$IfThenElse", (condition, yes, no)):
            return replace(
                over, args=(condition, _instead(node, name, yes), _instead(node, name, no))
            )
    (bound,) = node.bounds
    return replace(node, bounds=(replace(bound, over=over),))
