"""The ways of one client to several servers, broken and mended as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from keepstep.testing.network.proxy import Effect, FaultProxy, PlannedFault, Traffic

__all__ = ["Planned", "Way", "Ways"]


class Planned(Protocol):
    """A fault that waits for its request; see `PlannedFault`."""

    @property
    def fault(self) -> str:
        """Its name."""

    @property
    def effect(self) -> Effect | None:
        """What it did, or None while it has not struck."""

    @property
    def pending(self) -> bool:
        """Whether it still waits."""


class Way(Protocol):
    """What can be done to the way of a client to its servers; see `FaultProxy`."""

    def cut(self) -> Effect:
        """Close all connections; new ones are accepted."""

    def hold(self) -> Effect:
        """Let nothing pass any more, and close nothing."""

    def release(self) -> Effect:
        """End `hold`."""

    def delay(self, seconds: float) -> Effect:
        """From now on let everything take this much longer."""

    def drop_next_reply(self) -> Planned:
        """Lose the answer to the next write."""

    def drop_next_request(self) -> Planned:
        """Lose the next write."""

    def heal(self) -> None:
        """End every fault."""


class _PlannedSomewhere:
    """A fault that strikes on the first of several ways on which a fitting request comes.

    Attributes:
        fault: Its name.
    """

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self._parts: list[PlannedFault] = []

    def add(self, part: PlannedFault) -> None:
        """Take in the same fault on another way."""
        self._parts.append(part)

    def fits(self, request: Traffic) -> bool:
        """Any write, but only the first."""
        return request.writes and self.effect is None

    @property
    def effect(self) -> Effect | None:
        """What it did, or None while it has not struck."""
        return next((part.effect for part in self._parts if part.effect), None)

    @property
    def pending(self) -> bool:
        """Whether it still waits for its request."""
        return self.effect is None and any(part.pending for part in self._parts)


class Ways:
    """A proxy to each server, treated as one.

    Args:
        proxies: By the server's number, in the order in which the client shall try them.
    """

    def __init__(self, proxies: Mapping[int, FaultProxy]) -> None:
        self.proxies = dict(proxies)

    @property
    def hosts(self) -> str:
        """The connect string that the client is to use."""
        return ",".join(str(proxy.address) for proxy in self.proxies.values())

    def _all(self, work: Callable[[FaultProxy], Effect]) -> Effect:
        effects = [work(proxy) for proxy in self.proxies.values()]
        return replace(
            effects[0],
            connections=sum(effect.connections for effect in effects),
            sessions=tuple(session for effect in effects for session in effect.sessions),
            waiting=sum(effect.waiting for effect in effects),
        )

    def cut(self) -> Effect:
        """Close all connections; new ones are accepted."""
        return self._all(FaultProxy.cut)

    def hold(self) -> Effect:
        """Let nothing pass any more, and close nothing."""
        return self._all(FaultProxy.hold)

    def release(self) -> Effect:
        """End `hold`."""
        return self._all(FaultProxy.release)

    def delay(self, seconds: float) -> Effect:
        """From now on let everything take this much longer; 0 ends it."""
        return self._all(lambda proxy: proxy.delay(seconds))

    def refuse(self) -> Effect:
        """Cut all connections and refuse new ones."""
        return self._all(FaultProxy.refuse)

    def accept(self) -> Effect:
        """End `refuse`."""
        return self._all(FaultProxy.accept)

    def heal(self) -> None:
        """End every fault."""
        for proxy in self.proxies.values():
            proxy.heal()

    def drop_next_reply(self) -> Planned:
        """Lose the answer to the next write, whichever server it goes to."""
        planned = _PlannedSomewhere("dropped reply")
        for proxy in self.proxies.values():
            planned.add(proxy.drop_next_reply(planned.fits))
        return planned

    def drop_next_request(self) -> Planned:
        """Lose the next write, whichever server it is meant for."""
        planned = _PlannedSomewhere("dropped request")
        for proxy in self.proxies.values():
            planned.add(proxy.drop_next_request(planned.fits))
        return planned
