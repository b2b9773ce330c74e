"""What is worked out for one contender serves for others: that must not change what is possible.

Others are alike to a contender (`Sight`), a specification asks for no more of a state than it
needs (`with_one_points`), and late requests that the log never shows are lost at once.
"""

from __future__ import annotations

import random

import pytest

from keepstep.conformance.cells import Cells, Observed
from keepstep.derive.system import translate
from keepstep.tla.operations import UNIT, Undefined
from keepstep.tla.values import Fn
from keepstep.validation.candidates import FEATURES, PARTS, Candidates
from keepstep.validation.election_abstraction import Directory, Sight, Tree, node_name
from keepstep.validation.one_point import with_one_points
from keepstep.validation.recording import Input
from keepstep.validation.validator import Reason, Validator, Verdict

from .election_walks import composition, scripted, walked
from .tampering import edited

pytestmark = pytest.mark.tools

ME = node_name(1)
CONSTANTS = {
    "NODES": frozenset({ME}),
    "DUTIES": frozenset({"heartbeat_OF_DUTY", "write_OF_DUTY"}),
    "FEATURES": FEATURES,
    "FAULTS": 1_000_000,
}
NOBODYS = {"S!Exorcise", "S!Intrude", "S!RemoveParent", "S!Wipe"}
"""What concerns no contender, or somebody else's ticket."""


@pytest.fixture(scope="module")
def states(validator):
    """States of a contender and its environment, in which others are told apart."""
    exact = Validator(validator.spec, validator.digests, exact=True)
    system = composition(validator.spec, 3, ("wipe",))
    for seed in range(4):
        lot = random.Random(seed)  # noqa: S311 - nothing here is secret
        recording = walked(validator.spec, validator.digests, system, 160, lot)
        assert exact.validate(recording).verdict is not Verdict.DIVERGES
    candidates = exact.candidates_for(recording)
    lot = random.Random(0)  # noqa: S311
    values, trees = candidates.locals, seen_trees(candidates)
    found = []
    for local in lot.sample(values, 400):
        named = dict(zip(PARTS, local, strict=True))
        state = {name: Fn({ME: value}) for name, value in named.items() if name != "live"}
        state |= {"live": named["live"], "wipes": 0, "faults": 0, "ghostWrite": frozenset()}
        found.append(state | {"tree": lot.choice(trees)})
    return found


def seen_trees(candidates):
    """All data that some context had, with tickets of several others in them."""
    cells = candidates._cells
    first = cells.first[candidates.system.number("tree")]
    epochs, latches = cells.values[first], cells.values[first + 1]
    trees = [Fn(epochs=epoch, latch=latch) for epoch in epochs for latch in latches]
    assert any(len({z["name"]["node"] for z in tree["latch"]["znodes"]}) > 2 for tree in trees)
    return trees


def results(leaf, variables, state):
    """What an action does: the variables that it assigns, with their values."""
    try:
        return {
            frozenset((variables[number], value) for number, value in update)
            for update in leaf.run(tuple(state[name] for name in variables))
        }
    except Undefined:
        return "undefined"


def seen(value, name):
    """A value in which others have other names, and owners of their tickets are all alike."""
    match value:
        case str():
            return name(value) if value.endswith("_OF_NODE") else value
        case frozenset():
            return frozenset(seen(item, name) for item in value)
        case tuple():
            return tuple(seen(item, name) for item in value)
        case Fn() if value.keys() == {"name", "owner"} and value["owner"]["node"] != ME:
            owner = Fn(node=node_name(2), number=1)
            return Fn(name=seen(value["name"], name), owner=owner)
        case Fn():
            return Fn({seen(key, name): seen(item, name) for key, item in value.items()})
    return value


def swapped_names(node):
    return {node_name(2): node_name(3), node_name(3): node_name(2)}.get(node, node)


def all_myself(node):
    return ME


@pytest.mark.parametrize(("name", "fits"), [(swapped_names, True), (all_myself, False)])
def test_the_specification_asks_nothing_of_others_but_whether_they_are_others(
    validator, states, name, fits
):
    system = translate(validator.spec, CONSTANTS)
    taken = differ = 0
    for state in states:
        other = {variable: seen(value, name) for variable, value in state.items()}
        for leaf in system.leaves:
            if leaf.label in NOBODYS:
                continue
            found = results(leaf, system.variables, state)
            taken += bool(found)
            differ += seen_results(found, name) != results(leaf, system.variables, other)
    assert taken > 1000
    assert (differ == 0) is fits


def seen_results(found, name):
    if found == "undefined":
        return found
    return {frozenset((variable, seen(value, name)) for variable, value in u) for u in found}


def test_steps_are_the_same_with_the_one_point_rule(validator, states):
    plain, ruled = (
        translate(spec, CONSTANTS) for spec in (validator.spec, with_one_points(validator.spec))
    )
    assert plain.source != ruled.source
    taken = 0
    for state in states:
        for one, other in zip(plain.leaves, ruled.leaves, strict=True):
            assert one.full_label == other.full_label
            found = results(one, plain.variables, state)
            taken += bool(found)
            assert found == results(other, ruled.variables, state)
    assert taken > 1000


@pytest.mark.parametrize("ruled", [False, True])
def test_a_list_depends_on_tickets_only_because_of_the_one_point_rule(validator, states, ruled):
    spec = with_one_points(validator.spec) if ruled else validator.spec
    system = translate(spec, CONSTANTS)
    (leaf,) = (leaf for leaf in system.leaves if leaf.label == "S!ServeList")
    state = next(state for state in states if state["tree"]["latch"]["exists"])
    asking = {
        "request": Fn(tag="ListTickets", value=UNIT), "inbox": Fn(tag="NoInput", value=UNIT),
        "link": "up", "sessions": 1, "behind": frozenset(),
    }  # fmt: skip
    state = state | {name: Fn({ME: value}) for name, value in asking.items()}
    state |= {"live": frozenset({Fn(node=ME, number=1)})}
    values = tuple(state[name] for name in system.variables)
    cells = Cells(system.variables, values)
    observed = Observed(cells)
    observed.begin(cells.encode(values))
    assert list(leaf.run(observed))
    read = {cells.name(cell) for cell in observed.reads}
    assert "tree[latch]" in read
    assert ("tree[epochs]" in read) is not ruled


# --- Who is who -------------------------------------------------------------------------------


def test_others_are_alike_and_their_tickets_are_not():
    holders = {}
    mine = Sight(2, holders)
    tickets = [(1, 1), (3, 2), (2, 3), (3, 1), (5, 1), (2, 1)]
    names = [mine.ticket(ticket) for ticket in tickets]
    assert names == [(2, 1), (2, 2), (1, 3), (3, 1), (4, 1), (1, 1)]
    assert len(set(names)) == len(tickets)
    assert [mine.ticket(ticket) for ticket in tickets] == names
    apart = Sight(2)
    assert [apart.ticket(ticket) for ticket in tickets[:4]] == [(2, 1), (3, 2), (1, 3), (3, 1)]


def test_owners_are_told_apart_where_they_are_sessions_of_the_contender():
    tree = Tree(
        Directory(True, 3, frozenset({(1, 1, 1, 4), (2, 2, 2, 1), (2, 3, 2, 2)})),
        Directory(True, 0, frozenset({(0, 1, 1, frozenset({1}))})),
    )
    latch, epochs = Sight(2, {}).tree(tree)
    assert latch.znodes == {(2, 1, 2, 1), (1, 2, 1, 1), (1, 3, 1, 2)}
    assert epochs.znodes == {(0, 1, 1, frozenset({2}))}
    assert Sight(2).tree(tree).latch.znodes == {(2, 1, 2, 4), (1, 2, 1, 1), (1, 3, 1, 2)}


JOINED = """
S!OpenSession C!Attach S!ServeSync C!Survey S!MissList C!Restore S!ServeParent C!Resurvey
S!ServeList C!Join S!ServeCreate C!Rank
"""
FOLLOWING = """
S!OpenSession C!Attach S!ServeSync C!Survey S!ServeList C!Join S!ServeCreate C!Rank S!ServeList
C!Wait
"""


def of(node, labels):
    return " ".join(f"{label}@{node}" for label in labels.split())


def test_tickets_with_one_number_of_two_others_are_told_apart(validator):
    """The directory was deleted between them, and numbers began again."""
    labels = f"{of(1, JOINED)} S!Expire@1 S!RemoveParent {of(2, JOINED)} {of(3, FOLLOWING)}"
    system = composition(validator.spec, 3)
    recording = scripted(validator.spec, validator.digests, system, labels)
    found = validator.validate(recording)
    assert (found.verdict, found.reason) == (Verdict.UNDER_COVERED, Reason.LEADERLESS), str(found)
    number, waits = next(
        (number, record)
        for number, record in enumerate(recording.records)
        if isinstance(record, Input) and record.action == "Wait"
    )
    first, second = (
        record.changes[0].path.rpartition("/")[2]
        for record in recording.records
        if any(c.ephemeral and c.path.endswith("0") for c in getattr(record, "changes", ()))
    )
    (asked,) = waits.requests
    assert asked["ticket"] == second != first
    names = [first if name == second else name for name in waits.content["names"]]
    forged = edited(
        recording, number, content={"names": names}, requests=({**asked, "ticket": first},)
    )
    found = validator.validate(forged)
    assert (found.verdict, found.reason) == (Verdict.DIVERGES, Reason.CONTENT), str(found)


# --- Late requests ----------------------------------------------------------------------------


def test_late_requests_stay_as_long_as_the_log_may_show_them(validator):
    candidates = Candidates(validator.spec)
    flight = Fn(session=2, request=Fn(tag="CreateTicket", value="U_OF_UNIT"))
    late = PARTS.index("late")
    (start,) = candidates.sets[candidates.start]
    code = list(candidates._codes[start])
    code[late] = candidates._cells.number(late, frozenset({flight}))
    members = candidates._set(frozenset({start, candidates._local(tuple(code))}))
    for shown in ({(2, "CreateTicket")}, {(1, "Sync"), (2, "CreateTicket")}):
        assert candidates.without_lost(members, frozenset(shown)) == members
    for shown in (set(), {(1, "CreateTicket")}, {(2, "DeleteTicket")}):
        assert candidates.without_lost(members, frozenset(shown)) == candidates.start


def test_a_late_request_is_found_where_the_log_shows_it(validator):
    """A ticket that was asked for before contact was lost is drawn after it is back."""
    labels = """
    S!OpenSession C!Attach S!ServeSync C!Survey S!MissList C!Restore S!ServeParent C!Resurvey
    S!ServeList C!Join S!Disconnect S!Notice C!Suspend S!Reconnect C!Attach S!ServeSync
    C!Survey S!ApplyLate S!ServeList C!Verify
    """
    system = composition(validator.spec, 1)
    recording = scripted(validator.spec, validator.digests, system, labels)
    found = validator.validate(recording)
    assert (found.verdict, found.reason) == (Verdict.UNDER_COVERED, Reason.SHORT), str(found)
    number = next(
        number
        for number, record in enumerate(recording.records)
        if isinstance(record, Input) and record.action == "Join"
    )
    unasked = edited(recording, number, requests=())
    assert validator.validate(unasked).verdict is Verdict.DIVERGES
