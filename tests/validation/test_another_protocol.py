"""A protocol that shares nothing with the lease lock: customers who call each other by numbers.

Its nodes read each other's variables, its numbers are abstracted, and inputs name nodes.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from keepstep.tla.sources import Project
from keepstep.validation.protocol_trace import search_run
from keepstep.validation.protocol_validation import ProtocolValidator, load_protocol_validator
from keepstep.validation.recording import End, Input, Recording, RunHeader, Start
from keepstep.validation.validator import Reason, Verdict

from .protocol_walks import walk

HERE = Path(__file__).parent
SHIMS = HERE.parents[1] / "docs/examples/lease-lock/models/shims"

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hall")
    shutil.copytree(HERE / "hall", folder, dirs_exist_ok=True)
    shutil.copytree(SHIMS, folder / "models/shims")
    return Project(folder)


@pytest.fixture(scope="module")
def validator(project):
    return load_protocol_validator(project, "Clerk")


class Hall:
    """Writes down who draws and who is called."""

    def __init__(self, validator: ProtocolValidator, **customers: str) -> None:
        protocol = validator.protocol
        self._header = RunHeader(
            keepstep=1, protocol="Hall", spec=dict(protocol.digests), role="Clerk", model="hall",
            constants=dict(protocol.model.constants),
        )  # fmt: skip
        self._records = []
        self._numbers = {}
        for process, name in customers.items():
            self.begin(process, name)

    def begin(self, process, name):
        self._records.append(Start(process, 0, name))
        self._numbers[process] = 0
        return self

    def _step(self, process, told, action, modes, ticket, content=None, requests=()):
        self._numbers[process] += 1
        number, facts = self._numbers[process], {"ticket": ticket}
        step = Input(process, number, told, action, *modes, facts, content or {}, requests)
        self._records.append(step)
        return self

    def draw(self, process):
        asked = ({"asks": "DrawTicket"},)
        return self._step(process, "DrawDue", "Draw", ("idle", "drawing"), None, {}, asked)

    def keep(self, process, ticket, told=None):
        content = {"ticket": told or ticket}
        return self._step(process, "Drawn", "Keep", ("drawing", "waiting"), ticket, content)

    def attend(self, process, caller):
        content = {"caller": caller}
        return self._step(process, "Called", "Attend", ("waiting", "idle"), None, content)

    @property
    def recording(self):
        records = (*self._records, End(len(self._records)))
        return Recording(self._header, records, "the hall")


@pytest.fixture
def hall(validator):
    return Hall(validator, ann="ann", bob="bob", ann2="ann")


@pytest.fixture
def waiting(hall):
    """bob has the lower number, for he had it before ann asked."""
    return hall.draw("bob").keep("bob", "turn#17").draw("ann").keep("ann", "turn#18")


def test_what_is_shared_only_where_nodes_meet_and_what_only_counts(validator):
    assert validator.protocol.counters == {"draws": "DRAWS"}
    assert validator.protocol.bounds == {"STEP": 1}
    assert not validator.protocol.idle


@pytest.mark.parametrize("exact", [False, True])
def test_a_run_is_a_behaviour_beyond_the_bound_of_its_model(validator, waiting, exact):
    """The model draws two numbers, the run draws four."""
    run = waiting.attend("bob", "ann").draw("bob").attend("ann", "bob").keep("bob", "turn#40")
    run.attend("bob", "bob").draw("ann2").keep("ann2", "turn#3")
    found = ProtocolValidator(validator.protocol, exact=exact).validate(run.recording)
    assert found.verdict is Verdict.VALID, str(found)


@pytest.mark.parametrize("exact", [False, True])
def test_no_behaviour_of_the_specification_is_ever_refused(validator, exact):
    asking = ProtocolValidator(validator.protocol, exact=exact, most=1000)
    lot = random.Random(1)  # noqa: S311 - nothing here is secret
    found = [asking.validate(walk(validator.protocol, 3, 60, lot)) for _ in range(20)]
    assert not [str(each) for each in found if each.verdict is Verdict.DIVERGES]
    # Everybody's number may be called in everybody's name: the exact sets are large at times.
    least = 5 if exact else 20
    assert sum(each.verdict is Verdict.VALID for each in found) >= least


def test_tlc_says_so_too(validator, project, waiting):
    assert search_run(project, validator.protocol, waiting.attend("bob", "ann").recording)


def out_of_turn(hall):
    """ann was called, so bob was called before, and not by eve, who came later."""
    return hall.attend("ann", "bob").begin("eve", "eve").attend("bob", "eve")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (out_of_turn, Reason.CONTENT),
        (lambda hall: hall.attend("bob", "eve"), Reason.CONTENT),
        (lambda hall: hall.draw("ann2").keep("ann2", "turn#17"), Reason.CONTENT),
        (lambda hall: hall.draw("ann2").keep("ann2", "turn#18", "turn#19"), Reason.RESULT),
        (lambda hall: hall.draw("bob"), Reason.STATE),
    ],
    ids=["out of turn", "by nobody", "a number twice", "another number", "while waiting"],
)
def test_a_run_that_cannot_be_is_refused(validator, project, waiting, what, reason):
    found = validator.validate(what(waiting).recording)
    assert (found.verdict, found.reason) == (Verdict.DIVERGES, reason)
    assert found.first_bad == len(waiting.recording.records) - 2
    assert "the model bounds what may happen: STEP = 1" in str(found)


def test_names_stand_for_whatever_fits(validator, project, hall):
    """Both had asked before either was told a number, so either may be the lower one."""
    hall.draw("bob").draw("ann").keep("bob", "turn#17").keep("ann", "turn#18")
    recording = hall.attend("ann", "bob").begin("eve", "eve").attend("bob", "eve").recording
    assert validator.validate(recording).verdict is Verdict.UNDER_COVERED
    assert search_run(project, validator.protocol, recording)


def test_tlc_refuses_the_call_out_of_turn(validator, project, waiting):
    assert not search_run(project, validator.protocol, out_of_turn(waiting).recording)


# --- What decides which steps there are -------------------------------------------------------


def test_what_only_a_quantifier_over_steps_reads_is_not_forgotten(project, tmp_path):
    shutil.copytree(project.root, tmp_path, dirs_exist_ok=True)
    hall = tmp_path / "spec/Hall.tla"
    text = hall.read_text()
    for old, new in [
        ("    draws\n", "    draws,\n    \\* @type: Set(NODE);\n    callers\n"),
        ("<<next, queue, draws>>", "<<next, queue, draws, callers>>"),
        ("/\\ draws = 0", "/\\ draws = 0 /\\ callers = {}"),
        ("    /\\ draws' = draws + 1", "    /\\ callers' = {n}\n    /\\ draws' = draws + 1"),
        ("request, next, draws>>", "request, next, draws, callers>>"),
        ("\\E m \\in NODES : Call", "\\E m \\in callers : Call"),
    ]:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    hall.write_text(text)
    validator = load_protocol_validator(Project(tmp_path), "Clerk")
    # Nothing else reads it, and nobody would ever be called if it stayed empty.
    assert "callers" not in validator.protocol.idle
    for caller, verdict in (("one", Verdict.UNDER_COVERED), ("two", Verdict.DIVERGES)):
        run = Hall(validator, one="one", two="two").draw("one").keep("one", "turn#7")
        found = validator.validate(run.attend("one", caller).recording)
        assert found.verdict is verdict
    assert found.reason is Reason.CONTENT
