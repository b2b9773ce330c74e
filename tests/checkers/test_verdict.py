from __future__ import annotations

import itertools

import pytest

from keepstep.checkers.verdict import Exit, Verdict, merge, merge_exits

ALL = [
    Verdict.holds(),
    Verdict.bounded(5),
    Verdict.not_run("missing"),
    Verdict.unknown("no end within 3 s"),
    Verdict.violated("OneFenceInv"),
]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(ALL, ALL)))
def test_merging_never_upgrades(first: Verdict, second: Verdict) -> None:
    assert merge([first, second]).kind == max(first.kind, second.kind)


def test_of_two_bounds_the_smaller_one_remains() -> None:
    assert merge([Verdict.bounded(7), Verdict.bounded(3), Verdict.holds()]) == Verdict.bounded(3)


def test_nothing_is_not_run() -> None:
    assert merge([]).kind == Verdict.not_run("").kind


@pytest.mark.parametrize("verdict", ALL)
def test_a_verdict_survives_json(verdict: Verdict) -> None:
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_how_verdicts_are_written() -> None:
    assert [str(one) for one in ALL] == [
        "HOLDS",
        "HOLDS up to 5",
        "NOT RUN (missing)",
        "UNKNOWN (no end within 3 s)",
        "VIOLATED (OneFenceInv)",
    ]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], Exit.AS_EXPECTED),
        ([0, 0], Exit.AS_EXPECTED),
        ([0, 3], Exit.WEAKER),
        ([3, 2, 0], Exit.COULD_NOT_RUN),
        ([3, 2, 1], Exit.DIFFERS),
        ([0, 99], Exit.COULD_NOT_RUN),
    ],
)
def test_merging_exit_codes(codes: list[int], expected: Exit) -> None:
    assert merge_exits(codes) == expected
