"""A fenced transaction, as users write it in a `with` block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from keepstep.errors import LocalViolation
from keepstep.znodes.operations import Check, Create, Delete, Operation, SetData

__all__ = ["FencedTransaction"]


class FencedTransaction:
    """Operations that are applied together when the `with` block ends, if we still lead.

    Unlike kazoo's transactions it raises whatever goes wrong. An exception inside the block
    leaves everything unwritten.

    Args:
        commit: Writes the operations and returns their results.

    Attributes:
        results: After the block: one result for each operation, in their order.
    """

    def __init__(self, commit: Callable[[Sequence[Operation]], list[Any]]) -> None:
        self._commit = commit
        self._operations: list[Operation] = []
        self._ended = False
        self.results: list[Any] = []

    def _append(self, operation: Operation) -> None:
        if self._ended:
            raise LocalViolation("this transaction has ended: begin another with fenced()")
        self._operations.append(operation)

    def create(
        self, path: str, data: bytes = b"", *, ephemeral: bool = False, sequential: bool = False
    ) -> None:
        """Create a znode; the result is its path, with the number that a sequential one got."""
        self._append(Create(path, data, ephemeral, sequential))

    def set_data(self, path: str, data: bytes, *, version: int = -1) -> None:
        """Replace a znode's data; the result is its new stat."""
        self._append(SetData(path, data, version))

    def delete(self, path: str, *, version: int = -1) -> None:
        """Delete a znode; the result is True."""
        self._append(Delete(path, version))

    def check(self, path: str, *, version: int = -1) -> None:
        """Write nothing at all unless the znode has this version; the result is True."""
        self._append(Check(path, version))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del error, trace
        self._ended = True
        if kind is None:
            self.results = self._commit(self._operations)
