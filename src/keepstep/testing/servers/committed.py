"""What an ensemble has committed, as the logs of its servers tell it.

Each server logs a transaction before it acknowledges it, and a transaction is committed once a
majority has acknowledged it. So the logs of a majority hold all that any client can have been
told, also while servers are down, paused or apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from keepstep.testing.network.wire import Opcode
from keepstep.testing.servers.admin import Sessions
from keepstep.testing.servers.observer import Transaction, TransactionLog

__all__ = ["CommittedLog", "SessionBook"]

_CREATES = {Opcode.CREATE, Opcode.CREATE2, Opcode.CREATE_CONTAINER, Opcode.CREATE_TTL}
_DELETES = {Opcode.DELETE, Opcode.DELETE_CONTAINER}


class CommittedLog:
    """The transactions that a majority of servers has logged, read on from call to call.

    Args:
        directories: `ZooKeeperServer.data_directory` of each server, by number.
    """

    def __init__(self, directories: Mapping[int, Path]) -> None:
        self._directories = dict(directories)
        self._majority = len(directories) // 2 + 1
        self._newest = -1
        self._without: frozenset[int] = frozenset()
        self._logs: dict[int, TransactionLog] = {}
        self._waiting: dict[int, dict[int, Transaction]] = {}
        self._open()

    def _open(self) -> None:
        self._logs = {
            number: TransactionLog(path, after=self._newest)
            for number, path in self._directories.items()
            if number not in self._without
        }
        self._waiting = {number: {} for number in self._logs}

    @property
    def newest(self) -> int:
        """The newest zxid that was returned; -1 if none was."""
        return self._newest

    def begin_anew(self, without: Collection[int] = ()) -> None:
        """Forget what was read: the data was removed.

        Args:
            without: Servers that still have data from before; they are not read until they
                are included again. The others alone have to have logged what is committed.
        """
        self._newest = -1
        self._without = frozenset(without)
        self._open()

    def include(self, number: int) -> None:
        """Read a server again, whose old data was removed as well."""
        self._without -= {number}
        self._logs[number] = TransactionLog(self._directories[number])
        self._waiting[number] = {}

    def read(self) -> list[Transaction]:
        """What was committed since the last call, in order of zxid.

        Raises:
            RemoteViolation: A log is damaged.
        """
        self._read_logs()
        newest = self._find_newest()
        if newest is None:
            return []
        if self._newest >= 0 and newest >> 32 > self._newest >> 32:
            # Another leader: it may have had others cut what was never committed off their logs.
            self._open()
            self._read_logs()
            newest = self._find_newest()
            if newest is None:
                return []
        found: dict[int, Transaction] = {}
        for waiting in self._waiting.values():
            # Who has logged the newest has everything before it, in its log or in a snapshot.
            if newest in waiting:
                found.update((zxid, t) for zxid, t in waiting.items() if zxid <= newest)
        self._newest = newest
        for number, waiting in self._waiting.items():
            self._waiting[number] = {z: t for z, t in waiting.items() if z > newest}
        return [found[zxid] for zxid in sorted(found)]

    def _read_logs(self) -> None:
        for number, log in self._logs.items():
            for entry in log.read():
                if entry.zxid > self._newest:
                    self._waiting[number][entry.zxid] = entry

    def _find_newest(self) -> int | None:
        """The newest transaction that a majority has logged and that is not read yet."""
        needed = max(1, self._majority - len(self._without))
        logged = Counter(zxid for waiting in self._waiting.values() for zxid in waiting)
        return max((z for z, count in logged.items() if count >= needed), default=None)


class SessionBook:
    """Sessions and their ephemerals, kept from the transactions."""

    def __init__(self) -> None:
        self._alive: set[int] = set()
        self._owners: dict[str, int] = {}

    def take(self, transactions: Iterable[Transaction]) -> None:
        """Take in what was committed since."""
        for transaction in transactions:
            if transaction.kind is Opcode.CREATE_SESSION and transaction.applied:
                self._alive.add(transaction.session)
            for change in transaction.changes:
                if change.kind in _CREATES and change.ephemeral:
                    self._owners[change.path] = transaction.session
                elif change.kind in _DELETES:
                    self._owners.pop(change.path, None)
                for path in change.deleted:
                    self._owners.pop(path, None)
            if transaction.kind is Opcode.CLOSE_SESSION:
                self._alive.discard(transaction.session)

    def sessions(self) -> Sessions:
        """As the `dump` of a leader would tell it."""
        owned: dict[int, list[str]] = {}
        for path, owner in self._owners.items():
            owned.setdefault(owner, []).append(path)
        return Sessions(
            frozenset(self._alive), {owner: tuple(sorted(paths)) for owner, paths in owned.items()}
        )
