"""A recorded run: what machines were told and did, and of elections what the servers decided.

A recording is a text of JSON lines. Its first line is a header, its last one says that it is
complete; several recordings may follow each other in one file. Records of a process are
numbered; transactions stand where they were read from the servers' log. There are no clocks:
docs/reference/record-file.md describes each line.

Nothing here knows a specification; `keepstep.validation.election_abstraction` knows that of
the election, and `keepstep.validation.protocol` those of users' own protocols.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from keepstep.errors import LocalViolation
from keepstep.tla.sources import Project

__all__ = [
    "AT_TIMES",
    "COMPOSITION",
    "EACH_STEP",
    "FORMAT",
    "PROMPT",
    "PROTOCOL",
    "Change",
    "Does",
    "Doing",
    "End",
    "Fault",
    "Header",
    "Input",
    "LogRead",
    "Outcome",
    "Record",
    "Recording",
    "RunHeader",
    "Start",
    "Stop",
    "Transaction",
    "decode",
    "encode",
    "free_file",
    "read_recordings",
    "replacing",
    "spec_digests",
    "write_recordings",
]

FORMAT = 1
PROTOCOL = "election"
LogRead: TypeAlias = Literal["before the next step", "after each step", "at times"]
Does: TypeAlias = Literal["create", "delete", "set", "check", "set_acl", "reconfig"]
Doing: TypeAlias = Literal["open", "close", "write", "refuse"]
PROMPT: LogRead = "before the next step"
EACH_STEP: LogRead = "after each step"
AT_TIMES: LogRead = "at times"
"""When the log was read: before anybody's next step, after each step while others may take
theirs, or now and then."""

Zxid: TypeAlias = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{1,16}$")]
SessionName: TypeAlias = Annotated[str, msgspec.Meta(pattern="^-?0x[0-9a-f]{1,16}$")]
ZnodePath: TypeAlias = Annotated[str, msgspec.Meta(pattern="^/")]

COMPOSITION = "spec/election/LeaderElection.tla"
_QUOTED = 60


class Header(msgspec.Struct, frozen=True):
    """The first line.

    Attributes:
        keepstep: Version of the format.
        protocol: Whose run it is.
        spec: SHA-256 of each module of the specification, by name.
        latch: Of an election: directory of the tickets.
        fence: Of an election: directory of the epoch znode.
        servers: Number of servers; with one, no contender reads from a server that is behind.
        log_read: When transactions were read: `PROMPT`, `EACH_STEP` or `AT_TIMES`.
        seed: What repeats the run, if anything does.
        source: Who recorded it.
        nodes: The contenders known beforehand; others are named when they start.
        server: Version of the servers, `3.9.5`; "" if it is not known, as in older files.
    """

    keepstep: int
    protocol: str
    spec: dict[str, str]
    latch: str = ""
    fence: str = ""
    servers: Annotated[int, msgspec.Meta(ge=1)] = 1
    log_read: LogRead = EACH_STEP
    seed: int | None = None
    source: str = ""
    nodes: tuple[str, ...] = ()
    server: str = ""


class RunHeader(Header, frozen=True, kw_only=True, omit_defaults=True):
    """The first line of a run of a user's own protocol.

    Attributes:
        role: The role module whose machines ran.
        model: The model of the manifest that says what the environment may do.
        constants: Its constants.
    """

    role: str
    model: str
    constants: dict[str, Any] = {}


class Start(msgspec.Struct, frozen=True, tag_field="kind", tag="start"):
    """A process begins.

    Attributes:
        process: Its name; never used again.
        seq: 0: the first record of the process.
        node: The contender's uuid; of a user's own protocol the name of the machine's node.
    """

    process: str
    seq: int
    node: str


class Input(msgspec.Struct, frozen=True, tag_field="kind", tag="input"):
    """A machine was told something, and took a step.

    Attributes:
        process: Which.
        seq: Number among the records of the process.
        told: Name of the input or of the command.
        action: The action it took, as the specification names it.
        before: Its mode before.
        after: Its mode after.
        facts: What it remembers after, by name; None for what it does not.
        content: Fields of the input.
        requests: What it asked for: `asks` is the name, the rest its fields.
    """

    process: str
    seq: int
    told: str
    action: str
    before: str
    after: str
    facts: dict[str, Any]
    content: dict[str, Any] = {}
    requests: tuple[dict[str, Any], ...] = ()


class Outcome(msgspec.Struct, frozen=True, tag_field="kind", tag="outcome"):
    """Something reached a shell, and its contender was not told.

    Attributes:
        process: Which.
        seq: Number among the records of the process.
        lane: On which way it came.
        what: What it was.
        stale: Whether it belonged to an earlier connection or request.
    """

    process: str
    seq: int
    lane: str
    what: str
    stale: bool = False


class Stop(msgspec.Struct, frozen=True, tag_field="kind", tag="stop"):
    """A process has ended; whatever its session owns is the servers' affair now."""

    process: str
    seq: int


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operation of a transaction that was applied.

    Attributes:
        do: What: `create`, `delete`, `set` or `check`; others are nothing that contenders do.
        path: The znode.
        version: Of a set the version since; of a check the one required, -1 for any.
        epoch: Of a create or set of the epoch znode: the number in its data.
        ephemeral: Whether a create made an ephemeral.
    """

    do: Does
    path: ZnodePath
    version: int = -1
    epoch: int | None = None
    ephemeral: bool = False


class Transaction(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="transaction"
):
    """What servers decided.

    Attributes:
        zxid: Its place in the order of all.
        session: Whose request it was.
        does: `open`, `close`, `write` or `refuse` (a multi of which nothing was applied).
        changes: The operations of a write, in order.
        deleted: The ephemerals that went with a session that was closed.
        refused: Which operation of a multi was refused, from 0; -1 if that is not known.
    """

    zxid: Zxid
    session: SessionName
    does: Doing
    changes: tuple[Change, ...] = ()
    deleted: tuple[str, ...] = ()
    refused: int = -1


class Fault(msgspec.Struct, frozen=True, tag_field="kind", tag="fault"):
    """What was done to the servers. Only `wipe`, the loss of all data, has to be known."""

    what: str


class End(msgspec.Struct, frozen=True, tag_field="kind", tag="end"):
    """The last line.

    Attributes:
        records: How many lines stand between the header and this one.
    """

    records: int


Record: TypeAlias = Start | Input | Outcome | Stop | Transaction | Fault | End

_ENCODER = msgspec.json.Encoder()
_RECORD = msgspec.json.Decoder(Record)
_HEADER = msgspec.json.Decoder(Header)
_RUN_HEADER = msgspec.json.Decoder(RunHeader)
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""What reading a line may raise: the second if its values are nested too deeply, the third if
its bytes are no text."""


def encode(record: Header | Record) -> bytes:
    """One line, without its end."""
    return _ENCODER.encode(record)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that was read.

    Attributes:
        header: Its first line.
        records: The others, in order; the last is an `End` if it is complete.
        name: The file, for messages.
        first_line: Number of the header's line in the file, from 1.
    """

    header: Header
    records: tuple[Record, ...]
    name: str = ""
    first_line: int = field(default=1, compare=False)

    @property
    def complete(self) -> bool:
        """Whether the recorder came to write the last line."""
        return bool(self.records) and isinstance(self.records[-1], End)

    def line(self, record: int) -> int:
        """Number of a record's line in the file."""
        return self.first_line + 1 + record

    def prefix(self, records: int) -> Recording:
        """The recording up to so many records."""
        return Recording(self.header, self.records[:records], self.name, self.first_line)


def spec_digests(project: Project, composition: str = COMPOSITION) -> dict[str, str]:
    """SHA-256 of each module of a composition, by name; of the election by default."""
    closure = project.closure(project.root / composition, shims=False)
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in closure.files.items()
    }


def decode(lines: Iterable[bytes], name: str = "the recording") -> Iterator[Recording]:
    """Read recordings.

    Args:
        lines: The lines of a file.
        name: How messages name it.

    Raises:
        LocalViolation: A line is none of a recording; the message names it.
    """
    header: Header | None = None
    records: list[Record] = []
    first = 1
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if header is None:
            header, first, records = _header(line, f"{name}:{number}"), number, []
            continue
        try:
            record = _RECORD.decode(line)
        except _UNREADABLE as error:
            if not line.endswith(b"\n"):
                break  # Whoever wrote it was interrupted in this very line.
            if line.startswith(b'{"keepstep"'):
                raise LocalViolation(
                    f"{name}:{number}: a recording begins before the one of line {first} has ended"
                ) from None
            raise _unreadable(line, f"{name}:{number}", error) from None
        records.append(record)
        if isinstance(record, End):
            yield Recording(header, tuple(records), name, first)
            header = None
    if header is not None:
        yield Recording(header, tuple(records), name, first)


def _header(line: bytes, place: str) -> Header:
    try:
        header = _HEADER.decode(line)
    except _UNREADABLE as error:
        raise _unreadable(line, place, error, "header of a recording") from None
    if header.keepstep != FORMAT:
        raise LocalViolation(
            f"{place}: the recording has format {header.keepstep}; this version of keepstep reads"
            f" format {FORMAT}"
        )
    if header.protocol != PROTOCOL:
        try:
            return _RUN_HEADER.decode(line)
        except _UNREADABLE as error:
            what = f"header of a recording of the protocol {header.protocol!r}"
            raise _unreadable(line, place, error, what) from None
    if not header.latch or not header.fence:
        raise LocalViolation(f"{place}: a recording of an election names its latch and its fence")
    return header


def _unreadable(line: bytes, place: str, error: Exception, what: str = "record") -> LocalViolation:
    shown = line[:_QUOTED].decode(errors="replace").rstrip()
    return LocalViolation(f"{place}: no {what}: {error} (it begins {shown!r})")


def read_recordings(path: Path) -> list[Recording]:
    """The recordings of a file; none if the file is empty.

    Raises:
        LocalViolation: The file cannot be read, or a line is none of a recording.
    """
    try:
        with path.open("rb") as file:
            return list(decode(file, str(path)))
    except OSError as error:
        raise LocalViolation(f"cannot read {path}: {error.strerror}") from None


def write_recordings(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings to a file, whole or not at all.

    Raises:
        LocalViolation: It cannot be written.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        for recording in recordings:
            for record in (recording.header, *recording.records):
                file.write(encode(record) + b"\n")


def free_file(folder: Path, stem: str, number: int) -> Path:
    """The first file `stem-00007.jsonl` of a folder, counted from a number, that is not there.

    So what an earlier run has recorded there is kept.
    """
    names = (f"{stem}-{count:05}.jsonl" for count in itertools.count(number))
    return next(file for name in names if not (file := folder / name).exists())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside another one, which takes its place if all goes well.

    Raises:
        LocalViolation: It cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise LocalViolation(f"cannot write {path}: {error.strerror}") from None
    finally:
        # Where its folder is no folder, or cannot be written to, there is nothing to remove.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
