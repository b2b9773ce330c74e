"""Could servers have written this log?

What the transactions of a recording say of each other, whoever asked for them: they are in one
order, a session does nothing before it begins or after its end, and whatever is made, set or
deleted within the directories of the election was as it had to be before. A log that fails here
is none that a ZooKeeper writes, so it proves nothing of the contenders.

Sources: ZooKeeper's guarantees (docs/explanation/zookeeper-facts.md). What is not asked: that the
end of a session takes all that the session owned, because servers have been seen to leave some of
it (ZOOKEEPER-4785; `Haunt` in the specification), and anything of znodes elsewhere, of which a
recording need not hold every change.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from keepstep.validation.recording import Change, Transaction

__all__ = ["ServerLog"]


class _Znode(NamedTuple):
    """A znode that is there: the session that owns it, or "", and its version."""

    owner: str
    version: int


class ServerLog:
    """What is known of sessions and znodes after some transactions.

    Args:
        directories: The directories whose changes are all recorded. None of them exists at first.
    """

    def __init__(self, *directories: str) -> None:
        self._tops = directories
        self._below = tuple(top + "/" for top in directories)
        self.wipe()

    def wipe(self) -> None:
        """All data was lost: numbers, sessions and znodes begin again."""
        self._zxid = -1
        self._met: set[str] = set()
        self._closed: set[str] = set()
        self._znodes: dict[str, _Znode] = {}
        self._children: Counter[str] = Counter()

    def has_ended(self, session: str) -> bool:
        """Whether the end of a session was seen."""
        return session in self._closed

    def take(self, transaction: Transaction) -> str:
        """Follow a transaction.

        Returns:
            What no server does; "" if a server may have done it.
        """
        zxid = int(transaction.zxid, 16)
        if zxid <= self._zxid:
            return f"zxid {transaction.zxid} comes after 0x{self._zxid:x}"
        self._zxid = zxid
        does = transaction.does
        if (transaction.changes and does != "write") or (transaction.deleted and does != "close"):
            return f"`{does}` does not change this"
        # The end of a session may be decided while its last requests are under way.
        return "" if does == "refuse" else self._do(transaction)

    def _do(self, transaction: Transaction) -> str:
        session, does = transaction.session, transaction.does
        if session in self._closed:
            return f"session {session} has ended before"
        if does == "open" and session in self._met:
            return f"session {session} has done something before it begins"
        self._met.add(session)
        if does == "close":
            return self._close(session, transaction.deleted)
        for change in transaction.changes:
            if change.path in self._tops or change.path.startswith(self._below):
                odd = self._change(change, session)
                if odd:
                    return odd
        return ""

    def _close(self, session: str, deleted: tuple[str, ...]) -> str:
        self._closed.add(session)
        for path in deleted:
            found = self._znodes.get(path)
            if found is None or found.owner != session:
                return f"the end of session {session} deletes {path}, which is not its own"
            self._remove(path)
        return ""

    def _remove(self, path: str) -> None:
        del self._znodes[path]
        self._children[path.rpartition("/")[0]] -= 1

    def _create(self, change: Change, session: str) -> str:
        path, parent = change.path, change.path.rpartition("/")[0]
        if path in self._znodes:
            return f"{path} is created and was there before"
        if path not in self._tops:
            above = self._znodes.get(parent)
            if above is None or above.owner:
                return f"{path} is created in what is no directory"
        self._znodes[path] = _Znode(session if change.ephemeral else "", 0)
        self._children[parent] += 1
        return ""

    def _change(self, change: Change, session: str) -> str:
        if change.do == "create":
            return self._create(change, session)
        path, version = change.path, change.version
        found = self._znodes.get(path)
        if found is None:
            return f"`{change.do}` of {path}, which is not there"
        match change.do:
            case "delete":
                if self._children[path]:
                    return f"{path} is deleted with what is in it"
                self._remove(path)
            case "set":
                if version != found.version + 1:
                    return f"{path} is set to version {version} after version {found.version}"
                self._znodes[path] = found._replace(version=version)
            case "check":
                if version not in {-1, found.version}:
                    return f"{path} has version {found.version}, and {version} is found"
        return ""
