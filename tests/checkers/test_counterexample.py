from __future__ import annotations

from html.parser import HTMLParser

import msgspec
import pytest

from keepstep.checkers.counterexample import Counterexample, changes_between, pretty
from keepstep.checkers.outcome import Outcome, Step, Trace
from keepstep.checkers.run import Judgement, Result, Source
from keepstep.checkers.verdict import Exit, Verdict
from keepstep.tla.manifest import Model
from keepstep.tla.sources import Project
from keepstep.tla.values import Fn, parse_value

UNIT = "U_OF_UNIT"


def variant(tag: str, value: object = UNIT) -> Fn:
    return Fn(tag=tag, value=value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('"n1_OF_NODE"', "n1"),
        ('"offline"', "offline"),
        ('""', '""'),
        ('{"n2_OF_NODE", "n1_OF_NODE"}', "{n1, n2}"),
        ('[tag |-> "Sync", value |-> "U_OF_UNIT"]', "Sync"),
        ('[tag |-> "Connected", value |-> [session |-> 1]]', "Connected(session: 1)"),
        ('[tag |-> "Named", value |-> {1}]', "Named({1})"),
        ("<<1, TRUE>>", "<1, TRUE>"),
        ("<<>>", "<>"),
        ('("n1_OF_NODE" :> 1 @@ "n2_OF_NODE" :> 2)', "[n1: 1, n2: 2]"),
    ],
)
def test_values_are_short(text: str, shown: str) -> None:
    assert pretty(parse_value(text)) == shown


def test_a_variant_without_payload_is_the_same_whatever_the_solver_calls_its_payload() -> None:
    before = parse_value('[tag |-> "Synced", value |-> "FRESH17_OF_UNIT"]')
    after = parse_value('[tag |-> "Synced", value |-> "FRESH31_OF_UNIT"]')
    other = parse_value('[tag |-> "Suspended", value |-> "FRESH31_OF_UNIT"]')
    assert pretty(before) == "Synced"
    assert changes_between({"inbox": before}, {"inbox": after}) == []
    assert [str(change) for change in changes_between({"inbox": before}, {"inbox": other})] == [
        "inbox: Synced -> Suspended"
    ]


def test_only_what_changed_is_shown_at_its_innermost_place() -> None:
    before = {
        "mode": Fn({"n1_OF_NODE": "offline", "n2_OF_NODE": "offline"}),
        "tree": Fn(latch=Fn(drawn=0, znodes=frozenset({1, 2}))),
        "same": 1,
        "inbox": Fn({"n1_OF_NODE": variant("None")}),
    }
    after = {
        "mode": Fn({"n1_OF_NODE": "syncing", "n2_OF_NODE": "offline"}),
        "tree": Fn(latch=Fn(drawn=1, znodes=frozenset({2, 3}))),
        "same": 1,
        "inbox": Fn({"n1_OF_NODE": variant("Connected", Fn(session=1))}),
    }
    assert [str(change) for change in changes_between(before, after)] == [
        "mode[n1]: offline -> syncing",
        "tree.latch.drawn: 0 -> 1",
        "tree.latch.znodes: + 3, - 1",
        "inbox[n1]: None -> Connected(session: 1)",
    ]


def state(inbox: Fn, outbox: Fn, place: str) -> dict[str, object]:
    return {
        "place": Fn(n1_OF_NODE=place),
        "inbox": Fn(n1_OF_NODE=inbox),
        "request": Fn(n1_OF_NODE=outbox),
    }


IDLE = variant("Nothing")
TRACE = Trace(
    (
        Step("", state(IDLE, IDLE, "outside")),
        Step('C!Ask("n1_OF_NODE")', state(IDLE, variant("Enter", Fn(round=1)), "asking")),
        Step("S!Serve", state(variant("Granted"), IDLE, "asking")),
        Step("C!Enter", state(IDLE, IDLE, "inside")),
    ),
    loop=1,
    loop_action="C!Leave",
)

MODULE = r"""---- MODULE Mutex ----
VARIABLES
    \* Where it is.
    place,
    \* What it was told.
    \* @inbox
    \* @type: NODE -> $input;
    inbox,
    \* @outbox
    request
Init == TRUE
====
"""


@pytest.fixture
def picture(project: Project) -> Counterexample:
    (project.root / "spec/Mutex.tla").write_text(MODULE)
    table = {
        "name": "m",
        "spec": "spec/Mutex.tla",
        "checker": "tlc",
        "mode": "safety",
        "expected": "HOLDS",
    }
    verdict = Verdict.violated("ExclusionInv")
    outcome = Outcome(verdict=verdict, seconds=1.0, trace=TRACE)
    judgement = Judgement(Exit.DIFFERS, "must hold")
    model = msgspec.convert(table, Model)
    return Counterexample.of(project, Result(model, verdict, judgement, Source.RAN, outcome))


def test_requests_and_answers_are_found_by_their_marks(picture: Counterexample) -> None:
    assert (picture.inboxes, picture.outboxes) == ({"inbox"}, {"request"})
    assert [(one.source, one.target, one.label) for one in picture.events()] == [
        ("n1", "ZooKeeper", "Enter(round: 1)"),
        ("ZooKeeper", "n1", "Granted"),
        ("n1", "", ""),
    ]


def test_the_text_has_table_diagram_and_ending(picture: Counterexample) -> None:
    text = picture.as_text()
    assert "m: ExclusionInv is violated after 3 steps and then for ever" in text
    assert "  2  C!Ask(n1)\n       place[n1]    outside -> asking\n" in text
    assert "and then back to state 2 by C!Leave, for ever" in text
    (asked,) = [line for line in text.splitlines() if line.startswith("2 C!Ask(n1)")]
    assert asked.endswith(">|")
    assert "- Enter(round: 1) -" in asked
    assert all(len(line) <= 120 for line in text.splitlines())


def test_mermaid(picture: Counterexample) -> None:
    lines = [line.strip() for line in picture.as_mermaid().splitlines()]
    assert lines[0] == "sequenceDiagram"
    assert "participant P1 as ZooKeeper" in lines
    assert "P0->>P1: Enter(round: 1)" in lines
    assert "P1-->>P0: Granted" in lines


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.loads += [str(value) for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "br", "line", "circle", "path", "text"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def test_the_page_loads_nothing_and_is_complete(picture: Counterexample) -> None:
    text = picture.as_html()
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.loads == []
    assert {"svg", "table", "details"} <= page.seen
    assert "Enter(round: 1)" in text
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_a_page_escapes_what_it_shows(picture: Counterexample) -> None:
    picture.title = "<script>alert(1)</script>"
    assert "<script>" not in picture.as_html()


def test_a_trace_without_marks_has_no_diagram(picture: Counterexample) -> None:
    picture.inboxes = picture.outboxes = set()
    assert picture.events() == []
    assert "ZooKeeper" not in picture.as_text()
    assert "Note over P0: 2 C!Ask(n1)" in picture.as_mermaid()
    assert "<svg" not in picture.as_html()
