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
from keepstep.testing.wire import Address, ConnectionEnded, SessionGone, WireClient

__all__ = [
    "Connection",
    "Expiry",
    "Sessions",
    "connections",
    "dump",
    "expire",
    "four_letter_word",
    "mode_of",
    "monitor",
    "session_password",
    "watches_by_path",
    "watches_by_session",
]

_SESSION = re.compile(r"^\s*(0x[0-9a-f]+)")
_SECRET = 0xB3415C00
_MASK = (1 << 48) - 1
_ATTEMPTS = 20


def four_letter_word(address: Address, word: str, timeout: float = 5.0) -> str:
    """Ask a server one of its four-letter words.

    Raises:
        ConnectionEnded: Nobody listens, or no answer comes in time.
    """
    deadline = time.monotonic() + timeout
    pieces = []
    try:
        with socket.create_connection(address, timeout) as connection:
            connection.sendall(word.encode())
            while True:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                piece = connection.recv(65536)
                if not piece:
                    break
                pieces.append(piece)
    except OSError as error:
        raise ConnectionEnded(f"{address} did not answer {word!r}: {error}") from error
    return b"".join(pieces).decode(errors="replace")


def mode_of(address: Address, timeout: float = 0.25) -> str | None:
    """`standalone`, `leader`, `follower` or `observer`; None if the server does not serve now."""
    try:
        answer = four_letter_word(address, "srvr", timeout)
    except ConnectionEnded:
        return None
    found = re.search(r"^Mode: (\S+)", answer, re.MULTILINE)
    return found.group(1) if found else None


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
    """

    peer: Address
    session: int
    timeout: float
    queued: int


def connections(address: Address) -> list[Connection]:
    """Connections that a server holds."""
    found = []
    for line in four_letter_word(address, "cons").splitlines():
        peer = re.match(r"\s*/?\[?([^\s\]]+)\]?:(\d+)\[\d+\]\((.*)\)\s*$", line)
        if not peer:
            continue
        told = dict(part.split("=", 1) for part in peer.group(3).split(",") if "=" in part)
        found.append(
            Connection(
                Address(peer.group(1), int(peer.group(2))),
                int(told.get("sid", "0x0"), 16),
                int(told.get("to", "0")) / 1000,
                int(told.get("queued", "0")),
            )
        )
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
    after = dump(witness)
    left = set(owned) & {path for paths in after.ephemerals.values() for path in paths}
    still = [path for path in left if after.owner(path) == session]
    if session in after.alive or still:
        raise ToolFailed(f"session 0x{session:x} lives on with {_listed(still)}")
    return Expiry(session, owned, zxid)


def _end_session(address: Address, session: int) -> int:
    """Take a session over and close it; returns the zxid, or 0 if it ended without an answer."""
    for _ in range(_ATTEMPTS):
        try:
            client = WireClient(address, session=session, password=session_password(session))
            return client.end()
        except ConnectionEnded:
            # Its own client reconnected at the same moment, which closes our connection.
            continue
        except SessionGone:
            return 0
    raise ToolFailed(f"session 0x{session:x} could not be taken over: its client reconnects")


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths) or "no ephemeral"
