"""Apalache's explorer server: what it answers, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from keepstep.checkers.apalache_explorer import Answer, Explorer, ExplorerLimits
from keepstep.errors import LocalViolation, ToolFailed, ToolMissing

COUNTER = """
---- MODULE Counter ----
EXTENDS Integers, Variants
CONSTANT
    \\* @type: Int;
    MOST
VARIABLES
    \\* @type: Int;
    count,
    \\* @type: NODE -> Set(Int);
    seen
OVERRIDE_MOST == 3
At0 == count = 0 /\\ seen = [n \\in {"n1_OF_NODE"} |-> {}]
At3 == count = 3 /\\ seen = [n \\in {"n1_OF_NODE"} |-> {1, 2}]
Never == count = 0 /\\ seen = [n \\in {"n1_OF_NODE"} |-> {}] /\\ count > MOST
Grow ==
    /\\ count < MOST
    /\\ count' = count + 1
    /\\ \\/ seen' = seen
       \\/ seen' = [n \\in {"n1_OF_NODE"} |-> seen[n] \\union {count'}]
Shrink == count > 0 /\\ count' = count - 1 /\\ UNCHANGED seen
Init ==
    \\/ Zero:: At0
    \\/ Three:: At3
    \\/ Nowhere:: Never
Next ==
    \\/ Growing:: Grow
    \\/ Shrinking:: Shrink
Unnamed ==
    \\/ Grow
    \\/ Shrinking:: Shrink
====
"""
INITIAL = ["Zero", "Three", "Nowhere"]
STEPS = ["Growing", "Shrinking"]


def state(count: int, *seen: int) -> dict[str, Any]:
    return {"count": count, "seen": {"#map": [["n1_OF_NODE", {"#set": list(seen)}]]}}


@pytest.fixture
def explorer(apalache: None) -> Iterator[Explorer]:
    with Explorer() as explorer:
        yield explorer


def load(explorer: Explorer, text: str = COUNTER, step: str = "Next") -> Any:
    return explorer.load([text], init="Init", next=step, initial_labels=INITIAL, step_labels=STEPS)


@pytest.mark.tools
class TestServer:
    def test_it_tells_steps_from_what_is_none(self, explorer: Explorer) -> None:
        loaded = load(explorer)
        # The disjunction within an action makes two transitions of it.
        assert [len(loaded.steps[label]) for label in STEPS] == [2, 1]
        for first, step, after, answer in [
            ("Zero", "Growing", state(1), Answer.YES),
            ("Zero", "Growing", state(1, 1), Answer.YES),
            ("Zero", "Growing", state(1, 2), Answer.NO),
            ("Zero", "Growing", state(2), Answer.NO),
            ("Zero", "Shrinking", state(1), Answer.NO),
            ("Zero", "Shrinking", state(-1), Answer.NO),
            ("Three", "Growing", state(4, 1, 2), Answer.NO),
            ("Three", "Shrinking", state(2, 2, 1), Answer.YES),
            ("Three", "Shrinking", state(2, 2), Answer.NO),
            ("Zero", "Growing", state(1), Answer.YES),
        ]:
            assert loaded.may_follow(first, step, after) is answer, (first, step, after)
        with pytest.raises(ToolFailed, match="no state that satisfies Nowhere"):
            loaded.may_follow("Nowhere", "Growing", state(1))
        with pytest.raises(LocalViolation, match="'Jumping'"):
            loaded.may_follow("Zero", "Jumping", state(1))
        with pytest.raises(ToolFailed, match=r"refuses assumeState: .*parse the state"):
            loaded.may_follow("Zero", "Growing", {"count": "one"})
        loaded.dispose()
        with pytest.raises(ToolFailed, match="refuses rollback: Session not found"):
            loaded.may_follow("Zero", "Growing", state(1))
        with pytest.raises(ToolFailed, match="with 0 known labels"):
            load(explorer, step="Unnamed")
        with pytest.raises(ToolFailed, match=r"refuses loadSpec: .*Could not parse"):
            load(explorer, COUNTER.replace("count = 3", "count = )"))
        with pytest.raises(ToolFailed, match=r"refuses loadSpec"):
            load(explorer, COUNTER.replace("count = 3", "count = TRUE"))

    @pytest.mark.usefixtures("apalache")
    def test_it_ends_whatever_happens_in_its_context(self) -> None:
        explorer, folders = Explorer(), []

        def interrupted() -> None:
            with explorer:
                server = psutil.Process(explorer.process_id)
                assert server.is_running()
                assert server.ppid() == os.getpid()
                folders.append(Path(server.cwd()))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert not psutil.pid_exists(explorer.process_id)
        assert not folders[0].exists()
        with pytest.raises(LocalViolation, match="entered once"):
            explorer.__enter__()

    def test_two_of_them_do_not_meet(self, explorer: Explorer) -> None:
        with Explorer() as other:
            assert other.process_id != explorer.process_id
            session = load(other)
            assert session.may_follow("Zero", "Growing", state(1)) is Answer.YES
            with pytest.raises(ToolFailed, match="Session not found"):
                type(session)(
                    explorer, session.session, session.start, session.initial, session.steps
                ).may_follow("Zero", "Growing", state(1))

    def test_a_server_that_was_killed_is_told(self, explorer: Explorer) -> None:
        loaded = load(explorer)
        psutil.Process(explorer.process_id).kill()
        with pytest.raises(ToolFailed, match="did not answer rollback"):
            loaded.may_follow("Zero", "Growing", state(1))

    @pytest.mark.parametrize(
        ("limits", "said"),
        [
            (ExplorerLimits(start=0.05), r"did not listen within 0\.05 s"),
            (ExplorerLimits(memory_mb=48), "ended|did not"),
        ],
        ids=["time", "memory"],
    )
    @pytest.mark.usefixtures("apalache")
    def test_limits(self, limits: ExplorerLimits, said: str) -> None:
        explorer = Explorer(limits)
        with pytest.raises(ToolFailed, match=said), explorer:
            load(explorer)
        assert not explorer.process_id or not psutil.pid_exists(explorer.process_id)


def test_where_apalache_is_not_nothing_is_started(
    cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("APALACHE_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    before = threading.active_count()
    with pytest.raises(ToolMissing, match="Apalache is missing"), Explorer():
        pass
    assert threading.active_count() == before


Reply = Callable[[dict[str, Any]], tuple[int, bytes]]


@pytest.fixture
def answering() -> Iterator[Callable[[Reply], Explorer]]:
    """An explorer whose server is ours, and answers as it is told."""
    servers: list[HTTPServer] = []

    def start(reply: Reply) -> Explorer:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, body = reply(asked)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(HTTPServer):
            def handle_error(self, *_: object) -> None:
                """That nobody waits for an answer any more is no error."""

        server = Server(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        explorer = Explorer()
        explorer._port = server.server_port
        return explorer

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


LOADED = {
    "sessionId": "1",
    "snapshotId": 0,
    "specParameters": {
        "initTransitions": [{"index": 0, "labels": ["Zero"]}],
        "nextTransitions": [{"index": 0, "labels": ["Growing", "Inner"]}],
    },
}


def test_an_answer_that_is_one_is_taken(answering: Callable[[Reply], Explorer]) -> None:
    explorer = answering(
        lambda asked: (200, json.dumps({"id": asked["id"], "result": LOADED}).encode())
    )
    loaded = load(explorer)
    assert loaded.initial == {"Zero": (0,), "Three": (), "Nowhere": ()}
    assert loaded.steps == {"Growing": (0,), "Shrinking": ()}


@pytest.mark.parametrize(
    ("status", "result", "said"),
    [
        (500, LOADED, "the HTTP status 500"),
        (200, {**LOADED, "snapshotId": "zero"}, "no answer to it: Expected `int`"),
        (200, {"sessionId": "1"}, "missing required field `snapshotId`"),
        (200, None, "no answer to it"),
        (200, "x" * 2**24, "more than 16777216 bytes"),
    ],
    ids=["status", "type", "field", "none", "length"],
)
def test_an_answer_that_is_none_is_refused(
    answering: Callable[[Reply], Explorer], status: int, result: Any, said: str
) -> None:
    explorer = answering(
        lambda asked: (status, json.dumps({"id": asked["id"], "result": result}).encode())
    )
    with pytest.raises(ToolFailed, match=said):
        load(explorer)


def test_so_is_one_to_another_question_and_what_is_no_json(
    answering: Callable[[Reply], Explorer],
) -> None:
    explorer = answering(lambda _: (200, json.dumps({"id": 77, "result": LOADED}).encode()))
    with pytest.raises(ToolFailed, match="another question than loadSpec"):
        load(explorer)
    explorer = answering(lambda _: (200, b"<html>"))
    with pytest.raises(ToolFailed, match="no answer to it"):
        load(explorer)


def test_one_that_takes_too_long_is_not_waited_for(
    answering: Callable[[Reply], Explorer],
) -> None:
    never = threading.Event()

    def reply(asked: dict[str, Any]) -> tuple[int, bytes]:
        never.wait(30)
        return 200, b""

    explorer = answering(reply)
    explorer.limits = ExplorerLimits(load=0.2)
    began = time.monotonic()
    with pytest.raises(ToolFailed, match=r"did not answer loadSpec within 0\.2 s"):
        load(explorer)
    assert time.monotonic() - began < 10
    never.set()
