"""Comments and types, without any tool."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.derive import types as t
from keepstep.derive.comments import (
    comment_above,
    module_essay,
    trailing_comments,
    type_aliases,
)
from keepstep.derive.names import article, local, snake, words
from keepstep.errors import InvalidSpec

TEXT = r"""---- MODULE M ----
\* Why?
\*
\* Because.
EXTENDS Integers

\* A name:
\* of two parts.
\* @typeAlias: name =
\*      { node: NODE,
\*        number: Int };
\* @typeAlias: plain = Set(Int);
x == TRUE

    \* What it is,
    \* in two lines.
    \*
    \* And more.
    \* @type: NODE ->
    \*     Set($name);
    \* @fact @optional
    \* @key: task;
    y,

\* --- A heading ---

\* Short.
z == 1
MODES == {
    "one",  \* the first
    "two",  \* the second,
            \* which goes on
    "three" \* the last
}
four == 4 \* "four"
====""".splitlines()


def line_of(start):
    return next(n for n, line in enumerate(TEXT, start=1) if line.strip().startswith(start))


def test_prose_and_annotations_of_a_comment():
    comment = comment_above(TEXT, line_of("y,"))
    assert comment.prose == "What it is, in two lines.\n\nAnd more."
    assert comment.annotations == {
        "type": "NODE -> Set($name)",
        "fact": "",
        "optional": "",
        "key": "task",
    }


def test_a_heading_is_no_prose_and_an_empty_line_ends_a_comment():
    assert comment_above(TEXT, line_of("z ==")).prose == "Short."
    assert comment_above(TEXT, line_of("EXTENDS")).prose == "Why?\n\nBecause."
    assert comment_above(TEXT, line_of("four")).prose == ""


def test_the_essay_of_a_module():
    assert module_essay(TEXT) == "Why?\n\nBecause."


def test_aliases_with_their_prose():
    first, second = type_aliases("M", TEXT)
    assert (first.name, first.text) == ("name", "{ node: NODE, number: Int }")
    assert (first.comment, first.at.line) == ("A name: of two parts.", 9)
    assert (second.name, second.text, second.comment) == ("plain", "Set(Int)", "")


def test_comments_beside_an_enumeration():
    assert trailing_comments(TEXT, line_of("MODES")) == {
        "one": "the first",
        "two": "the second, which goes on",
        "three": "the last",
    }


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Int", t.IntType()),
        ("NODE -> Set($name)", t.FunctionType(t.ConstType("NODE"), t.SetType(t.AliasType("name")))),
        ("(NODE, Str) => Bool", t.OperatorType((t.ConstType("NODE"), t.StrType()), t.BoolType())),
        ("NODE => $a", t.OperatorType((t.ConstType("NODE"),), t.AliasType("a"))),
        ("() => Int", t.OperatorType((), t.IntType())),
        ("{ a: Int, b: Set(Str) }",
         t.RecordType((("a", t.IntType()), ("b", t.SetType(t.StrType()))))),
        ("A(UNIT) | B({ x: Int })",
         t.VariantType((("A", t.UnitType()), ("B", t.RecordType((("x", t.IntType()),)))))),
        ("<<Int, Str>>", t.TupleType((t.IntType(), t.StrType()))),
        ("Seq(Int)", t.SeqType(t.IntType())),
        ("Set(a) => a", t.OperatorType((t.SetType(t.TypeVariable("a")),), t.TypeVariable("a"))),
        ("(Int -> Int) -> Int",
         t.FunctionType(t.FunctionType(t.IntType(), t.IntType()), t.IntType())),
    ],
)  # fmt: skip
def test_types(text, meant):
    assert t.parse_type(text) == meant


_NAMES = st.sampled_from(["a", "ticket", "name"])
_TYPES = st.recursive(
    st.sampled_from([t.IntType(), t.StrType(), t.BoolType(), t.UnitType(), t.ConstType("NODE")])
    | st.builds(t.TypeVariable, _NAMES)
    | st.builds(t.AliasType, _NAMES),
    lambda inner: (
        st.builds(t.SetType, inner)
        | st.builds(t.SeqType, inner)
        | st.builds(t.TupleType, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(t.RecordType, st.lists(st.tuples(_NAMES, inner), max_size=3).map(tuple))
        | st.builds(
            t.VariantType,
            st.lists(
                st.tuples(st.sampled_from(["Told", "Asked"]), inner), min_size=1, max_size=3
            ).map(tuple),
        )
        | st.builds(t.FunctionType, inner, inner)
        | st.builds(t.OperatorType, st.lists(inner, max_size=3).map(tuple), inner)
    ),
    max_leaves=8,
)


@given(_TYPES)
def test_a_type_is_written_as_its_annotation(meant):
    assert t.parse_type(str(meant)) == meant


@pytest.mark.parametrize(
    "text", ["", "Int Int", "Set(Int", "-> Int", "{ a Int }", "(Int, Int)", "?"]
)
def test_what_is_no_type(text):
    with pytest.raises(InvalidSpec, match="cannot read the type"):
        t.parse_type(text)


def test_names():
    assert snake("TicketGone") == "ticket_gone"
    assert words("MiddleManager") == "middle manager"
    assert [article(name) for name in ("Overlord", "Contender", "User", "Unicorn", "Umpire")] == [
        "an overlord", "a contender", "a user", "a unicorn", "an umpire",
    ]  # fmt: skip
    assert [local(name) for name in ("t", "set", "told", "ownTicket")] == [
        "t", "set_", "told_", "own_ticket",
    ]  # fmt: skip
