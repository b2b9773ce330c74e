"""Apalache's explorer server: asked whether a state can be followed by another one.

`apalache-mc server --server-type=explorer` keeps a specification in the solver, and does one
thing at a time with it: it takes a transition, goes on to the next state, assumes what that
state is, and goes back to where it was before. It speaks JSON-RPC over HTTP; the methods are
those of `json-rpc/README.md` in Apalache's source. Loading a specification takes seconds, a
question a fraction of one.

The server listens at a port that the system chose, so no other program can have it, and ends
with its context. It cannot be told to listen at the loopback interface only, and knows no
passwords: whoever reaches the machine's ports can disturb it as long as it runs.
"""

from __future__ import annotations

import http.client
import json
import math
import re
import threading
import time
from base64 import b64encode
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import msgspec

from keepstep.checkers.toolchain import JAVA_FOR_APALACHE, find_apalache, find_java
from keepstep.errors import KeepstepError, LocalViolation, ToolFailed
from keepstep.process import Finished, Stopped, Supervisor, java_command, scratch_folder

if TYPE_CHECKING:
    from keepstep.process import Ended

__all__ = ["Answer", "Explorer", "ExplorerLimits", "LoadedSpec"]

_MAIN = "at.forsyte.apalache.tla.Tool"
_LOOPBACK = "127.0.0.1"
# Apalache asks the JVM for access that newer versions refuse by default.
_JAVA_THAT_WARNS = 23
_HEAP_SHARE = 0.6
"""How much of the memory the JVM may take; the solver has the rest."""
_LONGEST_ANSWER = 2**24
"""Bytes."""
_LINES_KEPT = 40
_POLL_SECONDS = 0.02
_SPARE_SECONDS = 30.0
"""How much longer than the solver an answer may take."""


class Answer(StrEnum):
    """What the solver says."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorerLimits:
    """What the server may take.

    Attributes:
        start: Seconds until it listens.
        load: Seconds for loading a specification.
        solve: Whole seconds of the solver for one question; after that its answer is UNKNOWN.
        memory_mb: What the server may hold of the machine's memory.
    """

    start: float = 60.0
    load: float = 600.0
    solve: int = 60
    memory_mb: int = 3072


class Explorer:
    """Apalache's explorer server, as long as the context lasts.

    Entering it starts the server; leaving it ends the server, whatever happened.

    Attributes:
        limits: What it may take.
    """

    def __init__(self, limits: ExplorerLimits | None = None) -> None:
        self.limits = limits or ExplorerLimits()
        self._supervisor = Supervisor()
        self._stack = ExitStack()
        self._output: deque[str] = deque(maxlen=_LINES_KEPT)
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._port = 0
        self._ended: Ended | None = None
        self._failed: Exception | None = None
        self._count = 0

    def __enter__(self) -> Self:
        """Start the server.

        Raises:
            ToolMissing: Apalache or a Java for it is missing.
            ToolFailed: It does not come to listen.
            LocalViolation: It was entered before.
        """
        if self._thread is not None:
            raise LocalViolation("an explorer is entered once")
        with ExitStack() as stack:
            self._start(stack)
            self._port = self._listening_port()
            if self.call("health", {}, _Health, self.limits.start).status != "OK":
                raise self._failure("says that it is not well")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def process_id(self) -> int:
        """Process id of the server; 0 if it was not started."""
        return self._pid

    def load(
        self,
        modules: Sequence[str],
        *,
        init: str,
        next: str,  # noqa: A002 - so it is called
        initial_labels: Sequence[str],
        step_labels: Sequence[str],
    ) -> LoadedSpec:
        """Load a specification without constants.

        Args:
            modules: Texts of its modules, the root first, without those that Apalache brings.
            init: A predicate of the root: a disjunction, each part with one of the labels.
            next: An action of the root, likewise.
            initial_labels: The labels of the parts of `init`.
            step_labels: Those of `next`.

        Raises:
            ToolFailed: Apalache refuses it, or cannot tell one part from another.
        """
        parameters = {
            "sources": [b64encode(text.encode()).decode("ascii") for text in modules],
            "init": init,
            "next": next,
            "invariants": [],
            "exports": [],
        }
        loaded = self.call("loadSpec", parameters, _Loaded, self.limits.load)
        found = loaded.spec_parameters
        return LoadedSpec(
            self,
            loaded.session_id,
            loaded.snapshot_id,
            self._by_label(found.init_transitions, initial_labels),
            self._by_label(found.next_transitions, step_labels),
        )

    def _by_label(
        self, entries: Sequence[_Entry], labels: Sequence[str]
    ) -> Mapping[str, tuple[int, ...]]:
        """The numbers of the transitions of each label.

        Apalache leaves out a part that it knows to be impossible. That a label is missing means
        this only if each transition has one.
        """
        found: dict[str, tuple[int, ...]] = dict.fromkeys(labels, ())
        for entry in entries:
            known = [label for label in entry.labels if label in found]
            if len(known) != 1:
                raise self._failure(
                    f"has a transition {entry.index} with {len(known)} known labels instead of one"
                )
            found[known[0]] = (*found[known[0]], entry.index)
        return found

    # --- The process ---

    def _start(self, stack: ExitStack) -> None:
        apalache, java = find_apalache(), find_java(JAVA_FOR_APALACHE)
        folder = stack.enter_context(scratch_folder())
        # The server must be gone before its folder is.
        stack.callback(self._end)
        # Most sessions are too short for the second compiler to pay.
        options = ["-Xss16m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        options.append("-Djava.net.preferIPv4Stack=true")
        if java.major >= _JAVA_THAT_WARNS:
            options += [
                "--sun-misc-unsafe-memory-access=allow",
                "--enable-native-access=ALL-UNNAMED",
            ]
        command = java_command(
            java.path,
            [apalache.jar],
            _MAIN,
            ["server", "--server-type=explorer", "--port=0", f"--out-dir={folder / 'out'}"],
            memory_mb=int(self.limits.memory_mb * _HEAP_SHARE),
            folder=folder,
            options=options,
        )

        def run() -> None:
            try:
                finished: Finished = self._supervisor.run(
                    command,
                    folder=folder,
                    output=folder / "output.txt",
                    seconds=math.inf,
                    on_start=started,
                    on_line=self._output.append,
                    memory_mb=self.limits.memory_mb,
                )
                self._ended = finished.ended
            except Stopped:
                self._ended = "itself"
            except (KeepstepError, OSError) as error:
                # It is for the thread that asks.
                self._failed = error

        def started(pid: int) -> None:
            self._pid = pid

        self._thread = threading.Thread(target=run, name="apalache-explorer", daemon=True)
        self._thread.start()

    def _end(self) -> None:
        """End the server and wait for it; any number of times."""
        self._supervisor.end_all()
        if self._thread is not None:
            self._thread.join()

    def _listening_port(self) -> int:
        """The port that the system gave to the server: its own process says which."""
        import psutil

        deadline = time.monotonic() + self.limits.start
        while time.monotonic() < deadline:
            if self._is_over():
                raise self._failure("ended before it listened")
            if self._pid:
                try:
                    found = psutil.Process(self._pid).net_connections(kind="tcp")
                except psutil.Error:
                    found = []
                for connection in found:
                    if connection.status == psutil.CONN_LISTEN:
                        return int(connection.laddr.port)
            time.sleep(_POLL_SECONDS)
        raise self._failure(f"did not listen within {self.limits.start:g} s")

    def _is_over(self) -> bool:
        if self._failed is not None:
            raise self._failed
        return self._ended is not None

    # --- Questions ---

    def call(
        self, method: str, parameters: Mapping[str, Any], wanted: type[_Result], seconds: float
    ) -> _Result:
        """Call a method of the server.

        Args:
            method: Its name.
            parameters: Its parameters, as JSON values.
            wanted: What its result must be.
            seconds: How long it may take.

        Raises:
            ToolFailed: It takes longer, is an error, or is not what it must be.
        """
        self._count += 1
        asked = {"jsonrpc": "2.0", "id": self._count, "method": method, "params": parameters}
        body = self._exchange(method, json.dumps(asked).encode(), seconds)
        try:
            reply = msgspec.json.decode(body, type=_Reply)
            if reply.id != self._count:
                raise self._failure(f"answered another question than {method}")
            if reply.error is not None:
                raise self._failure(f"refuses {method}: {_shortened(reply.error.message)}")
            return msgspec.json.decode(reply.result, type=wanted)
        except msgspec.MsgspecError as error:
            raise self._failure(f"answers {method} with what is no answer to it: {error}") from None

    def _exchange(self, method: str, body: bytes, seconds: float) -> bytes:
        connection = http.client.HTTPConnection(_LOOPBACK, self._port, timeout=seconds)
        try:
            connection.request("POST", "/rpc", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            found = response.read(_LONGEST_ANSWER + 1)
        except TimeoutError:
            raise self._failure(f"did not answer {method} within {seconds:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(f"did not answer {method}: {error}") from None
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise self._failure(f"answered {method} with the HTTP status {response.status}")
        if len(found) > _LONGEST_ANSWER:
            raise self._failure(f"answered {method} with more than {_LONGEST_ANSWER} bytes")
        return found

    def _failure(self, what: str) -> ToolFailed:
        """What went wrong, with what the server itself wrote of it."""
        if self._ended == "memory":
            what = f"was ended, as it held more than {self.limits.memory_mb} MB"
        written = [line for line in tuple(self._output) if _ERROR.search(line)]
        said = " ".join(_STAMP.sub("", line).strip() for line in written[-4:])
        tail = f": {_shortened(said)}" if said else ""
        return ToolFailed(f"Apalache's explorer server {what}{tail}")


@dataclass(frozen=True)
class LoadedSpec:
    """A specification in the server.

    Attributes:
        explorer: The server.
        session: What the server calls it.
        start: The number of the snapshot before the first state.
        initial: The numbers of the transitions to the first state, by their labels.
        steps: Those of the transitions from a state to the next one.
    """

    explorer: Explorer
    session: str
    start: int
    initial: Mapping[str, tuple[int, ...]]
    steps: Mapping[str, tuple[int, ...]]

    def may_follow(self, first: str, step: str, after: Mapping[str, Any]) -> Answer:
        """Whether a step of a label leads from the first state of a label to this state.

        Args:
            first: A label of a part of the initial predicate that one state satisfies.
            step: A label of a part of the next-state action.
            after: A value for each variable, as a JSON value of ITF.

        Raises:
            LocalViolation: There is no such label.
            ToolFailed: The server fails, or there is no such first state.
        """
        for label, labels in ((first, self.initial), (step, self.steps)):
            if label not in labels:
                raise LocalViolation(f"nothing that was loaded has the label {label!r}")
        self._roll_back(self.start)
        starts = self.initial[first]
        # Without a state before, no step would be possible, and for the wrong reason.
        if len(starts) != 1 or self._assume_transition(starts[0]) is not Answer.YES:
            raise ToolFailed(f"Apalache finds no state that satisfies {first}, or cannot tell")
        here = self._next_step()
        answer = Answer.NO
        for transition in self.steps[step]:
            self._roll_back(here)
            # Whether it is possible at all is asked together with the state after it.
            if self._assume_transition(transition, solving=False) is not Answer.NO:
                self._next_step()
                found = self._assume_state(after)
                if found is Answer.YES:
                    return found
                if found is Answer.UNKNOWN:
                    answer = found
        return answer

    def dispose(self) -> None:
        """Have the server forget it.

        Raises:
            ToolFailed: The server fails.
        """
        self._call("disposeSpec", {}, _Disposed)

    def _call(self, method: str, parameters: dict[str, Any], wanted: type[_Result]) -> _Result:
        seconds = self.explorer.limits.solve + _SPARE_SECONDS
        given = {"sessionId": self.session, **parameters}
        return self.explorer.call(method, given, wanted, seconds)

    def _roll_back(self, snapshot: int) -> None:
        self._call("rollback", {"snapshotId": snapshot}, _Snapshot)

    def _next_step(self) -> int:
        return self._call("nextStep", {}, _Snapshot).snapshot_id

    def _assume_transition(self, number: int, *, solving: bool = True) -> Answer:
        given = {"transitionId": number, **self._solving(solving=solving)}
        return _ANSWERS[self._call("assumeTransition", given, _Assumed).status]

    def _assume_state(self, state: Mapping[str, Any]) -> Answer:
        given = {"equalities": state, **self._solving()}
        return _ANSWERS[self._call("assumeState", given, _Assumed).status]

    def _solving(self, *, solving: bool = True) -> dict[str, Any]:
        return {"checkEnabled": solving, "timeoutSec": self.explorer.limits.solve}


# --- What the server answers: ExplorationServiceResult.scala ---------------------------------


class _Error(msgspec.Struct):
    code: int
    message: str


class _Reply(msgspec.Struct):
    id: int
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None


class _Health(msgspec.Struct):
    status: str


class _Entry(msgspec.Struct):
    index: int
    labels: list[str]


class _Parameters(msgspec.Struct, rename="camel"):
    init_transitions: list[_Entry]
    next_transitions: list[_Entry]


class _Loaded(msgspec.Struct, rename="camel"):
    session_id: str
    snapshot_id: int
    spec_parameters: _Parameters


class _Disposed(msgspec.Struct, rename="camel"):
    session_id: str


class _Snapshot(msgspec.Struct, rename="camel"):
    snapshot_id: int


class _Assumed(msgspec.Struct, rename="camel"):
    snapshot_id: int
    status: Literal["ENABLED", "DISABLED", "UNKNOWN"]


_Result = TypeVar("_Result", bound=msgspec.Struct)

_ANSWERS = {"ENABLED": Answer.YES, "DISABLED": Answer.NO, "UNKNOWN": Answer.UNKNOWN}

_ERROR = re.compile(r"[Ee]rror|Exception|OutOfMemory")
_STAMP = re.compile(r"\s+[A-Z]@\d\d:\d\d:\d\d\.\d+\s*$")


def _shortened(text: str) -> str:
    return " ".join(text.split())[:800]
