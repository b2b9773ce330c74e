"""What an operator of ZooKeeper can see and do, as tests need it: oracles and expiry.

Everything here asks the server itself, on connections of its own. Nothing of it knows what
any client believes.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keepstep.errors import LocalViolation, RemoteViolation, ToolFailed
from keepstep.testing.network.wire import (
    Address,
    ConnectionEnded,
    Refusal,
    SessionGone,
    WireClient,
    resume_request,
)
from keepstep.testing.servers.installation import (
    defects_of,
    parse_version,
    require_supported,
    warn_of_defects,
)

__all__ = [
    "Connection",
    "Expiry",
    "Introduction",
    "Knock",
    "Sessions",
    "check_server",
    "connections",
    "dump",
    "expire",
    "four_letter_word",
    "knock",
    "mode_of",
    "monitor",
    "session_password",
    "watches_by_path",
    "watches_by_session",
    "zxid_of",
]

_LONGEST_ANSWER = 64 * 1024 * 1024
_SESSION = re.compile(r"^\s*(0x[0-9a-f]+)")
_SECRET = 0xB3415C00
_MASK = (1 << 48) - 1
_ATTEMPTS = 20
_CLOSING = 2.0
"""Seconds that a server may take to close a session that it refuses already."""
_NO_SESSION = 1
_FAR_XID = 1 << 30
"""No client has sent so many requests; see `WireClient` on numbers that two connections share."""


def four_letter_word(address: Address, word: str, timeout: float = 5.0) -> str:
    """Ask a server one of its four-letter words.

    Raises:
        ConnectionEnded: Nobody listens, or no answer comes in time.
        RemoteViolation: The answer has no end.
    """
    deadline = time.monotonic() + timeout
    pieces = bytearray()
    try:
        with socket.create_connection(address, timeout) as connection:
            connection.sendall(word.encode())
            while True:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                piece = connection.recv(65536)
                if not piece:
                    break
                pieces += piece
                if len(pieces) > _LONGEST_ANSWER:
                    raise RemoteViolation(f"{address} answers {word!r} without an end")
    except OSError as error:
        raise ConnectionEnded(f"{address} did not answer {word!r}: {error}") from error
    return pieces.decode(errors="replace")


def mode_of(address: Address, timeout: float = 0.25) -> str | None:
    """`standalone`, `leader`, `follower` or `observer`; None if the server does not serve now."""
    try:
        answer = four_letter_word(address, "srvr", timeout)
    except (ConnectionEnded, RemoteViolation):
        return None
    found = re.search(r"^Mode: (\w+)", answer, re.MULTILINE)
    return found.group(1) if found else None


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a server says of itself.

    Attributes:
        version: Its version, as it writes it.
        mode: `standalone`, `leader`, `follower` or `observer`; empty while it does not serve.
        defects: What is known to be wrong with that version.
    """

    version: str
    mode: str
    defects: tuple[str, ...]


def check_server(address: Address, timeout: float = 5.0) -> Introduction:
    """Ask a server what it is. Of known defects a `ServerWarning` is given.

    Raises:
        ConnectionEnded: Nobody listens there, or does not answer in time.
        RemoteViolation: It is no ZooKeeper server, or does not want to be asked.
        ToolFailed: It is older than 3.8.
    """
    told = four_letter_word(address, "srvr", timeout)
    found = re.search(r"^Zookeeper version: *(\d[\w.${}-]*)", told, re.MULTILINE)
    if not found:
        raise RemoteViolation(_stranger(address, told.strip()))
    version = parse_version(found.group(1))
    require_supported(version, str(address))
    warn_of_defects(version, str(address))
    mode = re.search(r"^Mode: (\w+)", told, re.MULTILINE)
    return Introduction(found.group(1), mode.group(1) if mode else "", defects_of(version))


def _stranger(address: Address, told: str) -> str:
    if "not in the whitelist" in told:
        return (
            f"the server at {address} does not answer the command srvr; "
            "set 4lw.commands.whitelist=* in its configuration"
        )
    if "not currently serving" in told:
        return f"the ZooKeeper server at {address} does not serve now: it has no leader"
    # Only what can be shown on a terminal, however long: anybody may have written it.
    if other := re.search(r"^([ -~]{1,40}) version: *([!-~]{0,40})", told, re.MULTILINE):
        return (
            f"at {address} there is {other.group(1)} {other.group(2).rstrip(',')}, not Apache "
            "ZooKeeper; nothing that is shown here holds for it"
        )
    said = f"it says {told[:60]!r}" if told else "it says nothing"
    return f"what listens at {address} is no ZooKeeper server: {said}"


@dataclass(frozen=True, slots=True)
class Sessions:
    """What a server's `dump` tells.

    Attributes:
        alive: Sessions that the server tracks, also those without ephemerals.
        ephemerals: Paths by owning session, sorted; only of sessions that own some.
    """

    alive: frozenset[int]
    ephemerals: dict[int, tuple[str, ...]]

    def owner(self, path: str) -> int | None:
        """The session that owns a path, or None if it is no ephemeral."""
        for session, paths in self.ephemerals.items():
            if path in paths:
                return session
        return None


def dump(address: Address) -> Sessions:
    """Sessions and their ephemerals, as the leader or a server that is alone knows them.

    Raises:
        ConnectionEnded: The server does not answer.
        RemoteViolation: The answer is no dump, for example from a server that does not serve yet.
    """
    answer = four_letter_word(address, "dump")
    tracked, separator, rest = answer.partition("ephemeral nodes dump:")
    if not separator:
        raise RemoteViolation(f"{address} gave no dump: {answer.strip()[:200]!r}")
    owned, _, _ = rest.partition("Connections dump:")
    alive = {
        int(found.group(1), 16) for found in map(_SESSION.match, tracked.splitlines()) if found
    }
    ephemerals = {session: tuple(sorted(paths)) for session, paths in _blocks(owned)}
    return Sessions(frozenset(alive), ephemerals)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Lines `0x...:` with the indented paths that follow each."""
    session, paths = 0, list[str]()
    for line in text.splitlines():
        found = _SESSION.match(line)
        if found:
            if session:
                yield session, paths
            session, paths = int(found.group(1), 16), []
        elif line.startswith("\t"):
            paths.append(line[1:])
    if session:
        yield session, paths


@dataclass(frozen=True, slots=True)
class Connection:
    """One line of `cons`.

    Attributes:
        peer: The client's end, as the server sees it.
        session: The session that it serves; 0 if none, as for a four-letter word.
        timeout: The session's negotiated timeout in seconds.
        queued: Requests of it that are under way in the server.
        received: Packets that the server has received through it.
    """

    peer: Address
    session: int
    timeout: float
    queued: int
    received: int = 0


def connections(address: Address) -> list[Connection]:
    """Connections that a server holds.

    Raises:
        ConnectionEnded: The server does not answer.
        RemoteViolation: It tells numbers that are none.
    """
    found = []
    for line in four_letter_word(address, "cons").splitlines():
        peer = re.match(r"\s*/?\[?([^\s\]]+)\]?:(\d+)\[\d+\]\((.*)\)\s*$", line)
        if not peer:
            continue
        told = dict(part.split("=", 1) for part in peer.group(3).split(",") if "=" in part)
        try:
            found.append(
                Connection(
                    Address(peer.group(1), int(peer.group(2))),
                    int(told.get("sid", "0x0"), 16),
                    int(told.get("to", "0")) / 1000,
                    int(told.get("queued", "0")),
                    int(told.get("recved", "0")),
                )
            )
        except ValueError as error:
            raise RemoteViolation(f"{address} tells of a connection: {line[:200]!r}") from error
    return found


def watches_by_session(address: Address) -> dict[int, tuple[str, ...]]:
    """Paths that each session watches at this server (`wchc`)."""
    return {session: tuple(sorted(p)) for session, p in _blocks(four_letter_word(address, "wchc"))}


def watches_by_path(address: Address) -> dict[str, frozenset[int]]:
    """Sessions that watch each path at this server (`wchp`)."""
    watched: dict[str, set[int]] = {}
    path = ""
    for line in four_letter_word(address, "wchp").splitlines():
        if line.startswith("/"):
            path = line
            watched[path] = set()
        elif path and (found := _SESSION.match(line)):
            watched[path].add(int(found.group(1), 16))
    return {path: frozenset(sessions) for path, sessions in watched.items()}


def monitor(address: Address) -> dict[str, str]:
    """The server's own figures (`mntr`), by name without the prefix `zk_`."""
    lines = four_letter_word(address, "mntr").splitlines()
    pairs = (line.removeprefix("zk_").split("\t", 1) for line in lines if "\t" in line)
    return {pair[0]: pair[1] for pair in pairs}


def zxid_of(address: Address, timeout: float = 5.0) -> int:
    """The newest transaction that a server has applied (`srvr`).

    Raises:
        ConnectionEnded: The server does not answer.
        RemoteViolation: It does not serve now.
    """
    answer = four_letter_word(address, "srvr", timeout)
    found = re.search(r"^Zxid: 0x([0-9a-f]+)", answer, re.MULTILINE)
    if not found:
        raise RemoteViolation(f"{address} tells no zxid: {answer.strip()[:200]!r}")
    return int(found.group(1), 16)


@dataclass(frozen=True, slots=True)
class Knock:
    """What came of knocking at an address.

    Attributes:
        outcome: `answered` by a server; `silent`: connected, and no answer; `closed`: connected,
            and the connection was ended; `refused`: nobody listens; `unreached`: no connection
            came about, and nobody refused it.
        seconds: How long it took, up to the time limit.
    """

    outcome: str
    seconds: float

    @property
    def answered(self) -> bool:
        """Whether a server answered."""
        return self.outcome == "answered"


def knock(address: Address, timeout: float = 1.0, size: int = 16) -> Knock:
    """Ask a server, directly or through a proxy, to resume a session that does not exist.

    It answers at once, and neither a session nor a transaction comes of it. So this tells
    whether the way to a server is open, without a trace in what is under test.

    Args:
        address: Where to knock.
        timeout: Seconds to wait, for the connection and the answer together.
        size: Bytes of the password that is sent, for ways that are slow by the byte.
    """
    begin = time.monotonic()
    outcome = _knock(address, begin + timeout, size)
    return Knock(outcome, time.monotonic() - begin)


def _knock(address: Address, deadline: float, size: int) -> str:
    def left() -> float:
        return max(0.001, deadline - time.monotonic())

    try:
        connection = socket.create_connection(address, left())
    except TimeoutError:
        return "unreached"
    except OSError:
        return "refused"
    with connection:
        try:
            connection.settimeout(left())
            connection.sendall(resume_request(_NO_SESSION, b"\xff" * size))
            connection.settimeout(left())
            return "answered" if connection.recv(4) else "closed"
        except TimeoutError:
            return "silent"
        except OSError:
            return "closed"


def session_password(session: int) -> bytes:
    """The 16 bytes with which a session can be resumed; ZooKeeper derives them from its id.

    It seeds `java.util.Random` with the id and a constant that is part of its source.
    """
    state = (session ^ _SECRET ^ 0x5DEECE66D) & _MASK
    password = bytearray()
    for _ in range(4):
        state = (state * 0x5DEECE66D + 0xB) & _MASK
        password += (state >> 16 & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(password)


@dataclass(frozen=True, slots=True)
class Expiry:
    """Proof that a session was ended.

    Attributes:
        session: The session.
        ephemerals: What it owned before; all of it is gone.
        zxid: Transaction that ended it; 0 if the server's answer was lost.
    """

    session: int
    ephemerals: tuple[str, ...]
    zxid: int


def expire(address: Address, session: int, oracle: Address | None = None) -> Expiry:
    """End any session now, whatever its client believes, as if it had timed out.

    Args:
        address: Server to ask; in an ensemble any of them.
        session: The session's id.
        oracle: Server whose `dump` proves it: the leader of an ensemble. `address` by default.

    Raises:
        LocalViolation: There is no such session.
        ToolFailed: The server still knows the session or one of its ephemerals afterwards.
    """
    witness = oracle or address
    before = dump(witness)
    if session not in before.alive:
        raise LocalViolation(f"session 0x{session:x} is not alive; nothing was expired")
    owned = before.ephemerals.get(session, ())
    zxid = _end_session(address, session)
    deadline = time.monotonic() + _CLOSING
    while True:
        after = dump(witness)
        still = [path for path in owned if after.owner(path) == session]
        if session not in after.alive and not still:
            break
        # Whoever finds the session gone may be told so before the server has closed it.
        if time.monotonic() > deadline:
            raise ToolFailed(f"session 0x{session:x} lives on with {_listed(still)}")
        time.sleep(0.005)
    return Expiry(session, owned, zxid)


def _end_session(address: Address, session: int) -> int:
    """Take a session over and close it; returns the zxid, or 0 if it ended without an answer."""
    for _ in range(_ATTEMPTS):
        try:
            password = session_password(session)
            client = WireClient(address, session=session, password=password, first_xid=_FAR_XID)
            return client.end()
        except (ConnectionEnded, Refusal):
            # Its own client reconnected at the same moment, which closes our connection or, at
            # another server, has our request refused.
            continue
        except SessionGone:
            return 0
    raise ToolFailed(f"session 0x{session:x} could not be taken over: its client reconnects")


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths) or "no ephemeral"
