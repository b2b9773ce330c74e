"""The fault packages, bound to the servers of a test, so that a test breaks them by name."""

from __future__ import annotations

from contextlib import ExitStack
from random import Random
from typing import Self

from keepstep.testing.faults import (
    Aim,
    Availability,
    ClientWays,
    Fault,
    FaultPackage,
    Target,
    package_of,
    packages,
)
from keepstep.testing.servers.ensemble import ZooKeeperEnsemble, ZooKeeperServer

__all__ = ["BoundFaults"]


class BoundFaults:
    """Breaks the servers of a test, and mends them when the test ends.

    Args:
        servers: What is broken.
        seed: Chooses where a test leaves a choice.

    Attributes:
        target: The servers, and the ways of clients to them.
        ways: Of the test's own client: one that connects to `ways.hosts` can be hit.
        injected: The faults so far, in order.
    """

    def __init__(self, servers: ZooKeeperServer | ZooKeeperEnsemble, seed: int = 0) -> None:
        self.target = Target(servers)
        self.ways = self.target.add_client("test")
        self.injected: list[Fault] = []
        self._random = Random(seed)  # noqa: S311 - it has to be repeatable
        self._stack = ExitStack()
        self._stack.callback(self.target.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def packages(self) -> dict[str, FaultPackage]:
        """All packages by name, also those that this machine does not allow."""
        return packages()

    def available(self, name: str) -> Availability:
        """Whether a fault can be done here, and if not, why.

        Raises:
            LocalViolation: There is none of that name.
        """
        return package_of(name).available(self.target)

    def add_client(self, name: str) -> ClientWays:
        """Ways of one more client through which it can be hit; `hosts` is its connect string."""
        return self.target.add_client(name)

    def inject(
        self,
        name: str,
        *,
        client: str | None = None,
        server: int | None = None,
        session: int | None = None,
        strength: float | None = None,
    ) -> Fault:
        """Break something; it is healed when the test ends, or before by `heal()` of the result.

        Args:
            name: The package.
            client: Name of a client of `add_client`; that of `ways` is "test".
            server: Number of a server.
            session: A session id.
            strength: What the package takes.

        Raises:
            LocalViolation: There is no such fault, or it is not available here.
        """
        aim = Aim(client=client, server=server, session=session, strength=strength)
        fault = package_of(name).inject(self.target, aim, self._random)
        self._stack.callback(fault.heal)
        self.injected.append(fault)
        return fault
