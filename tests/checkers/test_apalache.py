from __future__ import annotations

from collections.abc import Callable

import pytest

from keepstep.checkers.apalache import check, wrapper
from keepstep.checkers.outcome import Outcome
from keepstep.checkers.verdict import Kind
from keepstep.errors import InvalidSpec
from keepstep.process import Supervisor
from keepstep.tla.manifest import Model
from keepstep.tla.sources import Project

Define = Callable[..., tuple[Project, Model]]

PROOF = "spec/MutexProof.tla"
BOUNDED = 'checker = "apalache"\nmode = "bounded"\nexpected = "HOLDS up to k"\nlength = 3\n'
INDUCTIVE = 'checker = "apalache"\nmode = "inductive"\nexpected = "HOLDS"\n'
TYPES = 'checker = "apalache"\nmode = "typecheck"\nexpected = "HOLDS"\n'


def checked(define: Define, keys: str) -> Outcome:
    project, model = define(keys, PROOF)
    return check(project, model, supervisor=Supervisor())


def test_constants_get_their_values_in_a_module_of_our_own(define: Define) -> None:
    _, model = define(BOUNDED + 'invariants = ["TypeInv"]')
    assert wrapper(model, "Mutex").splitlines() == [
        "---- MODULE KeepstepModel ----",
        "EXTENDS Mutex",
        "KeepstepConstInit ==",
        '    /\\ PROCS = {"p1_OF_PROC", "p2_OF_PROC"}',
        "    /\\ ROUNDS = 3",
        "====",
    ]


def test_a_predicate_for_the_constants_may_be_named_instead(define: Define) -> None:
    _, model = define(BOUNDED + 'invariants = ["TypeInv"]\nconstants = {}\ncinit = "PROC2"', PROOF)
    assert "KeepstepConstInit" not in wrapper(model, "MutexProof")


@pytest.mark.tools
@pytest.mark.usefixtures("apalache")
class TestRuns:
    def test_types(self, define: Define) -> None:
        assert checked(define, TYPES).verdict.kind == Kind.HOLDS

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("    /\\ rounds = 0\n", "    /\\ rounds = TRUE\n", "same type"),
            (
                "    \\* @type: Int;\n    rounds",
                "    rounds",
                "type annotation for VARIABLE rounds",
            ),
            ("    /\\ rounds = 0\n", "    /\\ rounds = )\n", "syntax error"),
        ],
    )
    def test_an_error_in_the_spec_has_file_and_line(
        self, define: Define, old: str, new: str, message: str
    ) -> None:
        project, model = define(TYPES, PROOF)
        path = project.root / "spec/Mutex.tla"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(InvalidSpec, match=message) as caught:
            check(project, model, supervisor=Supervisor())
        assert caught.value.file == "spec/Mutex.tla"
        assert caught.value.line > 10

    def test_bounded(self, define: Define) -> None:
        outcome = checked(define, BOUNDED + 'invariants = ["TypeInv", "ExclusionInv"]')
        assert (outcome.verdict.kind, outcome.verdict.bound) == (Kind.BOUNDED, 3)
        assert not outcome.vacuous

    @pytest.mark.parametrize(
        "names", ['["TypeInv", "InsideExample"]', '["TypeInv", "FewActionInv"]']
    )
    def test_a_violation_is_told_by_its_name(self, define: Define, names: str) -> None:
        outcome = checked(define, BOUNDED + f"invariants = {names}")
        assert outcome.verdict.kind == Kind.VIOLATED
        assert outcome.verdict.property in names.replace("TypeInv", "")
        assert outcome.trace is not None
        assert outcome.trace.steps[0].state == {
            "place": {"p1_OF_PROC": "outside", "p2_OF_PROC": "outside"},
            "taken": False,
            "rounds": 0,
        }

    @pytest.mark.parametrize(
        "keys", ['init = "NoInit"\n', 'next = "Nobody"\n'], ids=["no start", "no step"]
    )
    def test_too_short_executions_are_vacuous(self, define: Define, keys: str) -> None:
        outcome = checked(define, BOUNDED + 'invariants = ["TypeInv"]\n' + keys)
        assert outcome.vacuous

    @pytest.mark.full
    def test_an_inductive_proof(self, define: Define) -> None:
        keys = 'implies = ["ExclusionInv", "TypeInv"], actions = ["AscendActionInv"]'
        outcome = checked(
            define, INDUCTIVE + f'inductive = {{ invariant = "IndInv", {keys} }}\nseconds = 240'
        )
        assert outcome.verdict.kind == Kind.HOLDS
        assert not outcome.vacuous

    @pytest.mark.full
    def test_an_inductive_proof_with_a_start_of_its_own(self, define: Define) -> None:
        keys = 'invariant = "Lemma", start = "IndInv", implies = ["ExclusionInv"]'
        outcome = checked(define, INDUCTIVE + f"inductive = {{ {keys} }}\nseconds = 240")
        assert outcome.verdict.kind == Kind.HOLDS

    @pytest.mark.full
    def test_an_invariant_that_is_too_weak_is_named(self, define: Define) -> None:
        keys = 'inductive = { invariant = "IndWeak" }\nseconds = 240'
        outcome = checked(define, INDUCTIVE + keys)
        assert (outcome.verdict.kind, outcome.verdict.property) == (Kind.VIOLATED, "IndWeak")

    @pytest.mark.full
    def test_an_action_invariant_that_fails_where_nothing_of_it_changes(
        self, define: Define
    ) -> None:
        keys = 'inductive = { invariant = "IndInv", actions = ["StrictActionInv"] }\nseconds = 240'
        outcome = checked(define, INDUCTIVE + keys)
        assert outcome.verdict.property == "StrictActionInv"

    @pytest.mark.full
    def test_what_does_not_follow_is_named(self, define: Define) -> None:
        proof = 'inductive = { invariant = "IndInv", implies = ["TypeInv", "InsideExample"] }'
        keys = proof + "\nseconds = 240"
        outcome = checked(define, INDUCTIVE + keys)
        assert (outcome.verdict.kind, outcome.verdict.property) == (Kind.VIOLATED, "InsideExample")

    def test_time_that_is_up_is_unknown(self, define: Define) -> None:
        outcome = checked(define, BOUNDED + 'invariants = ["TypeInv"]\nseconds = 1')
        assert outcome.verdict.kind == Kind.UNKNOWN
        assert outcome.verdict.reason == "no end within 1 s"
