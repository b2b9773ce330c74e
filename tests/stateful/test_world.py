"""The checks after each step find shells that believe what is not so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keepstep.errors import RemoteViolation
from keepstep.roles.election_types import EpochRaised, TicketsListed
from keepstep.shell.contender_shell import ContenderShell
from keepstep.shell.inbox import Lane
from keepstep.shell.service import ElectionService, Served
from keepstep.testing.election.suite import replay
from keepstep.testing.election.world import Arena, Step

pytestmark = pytest.mark.zookeeper


class Impatient(ContenderShell):
    """Takes itself for the first in the queue."""

    def _step(self, told, lane, arrival=None):
        if isinstance(told, TicketsListed):
            told = TicketsListed(frozenset(t for t in told.names if t.node == self.node))
        return super()._step(told, lane, arrival)


class _Pretending(ElectionService):
    ahead = 1

    def _raise_epoch(self, fence, ticket):
        yield lambda zk: zk.exists_async(self._ticket_path(ticket))
        return Served(EpochRaised(replace(fence, epoch=fence.epoch + self.ahead)))


class Pretender(ContenderShell):
    """Leads under an epoch that it has not raised."""

    service_class = _Pretending


class _Copying(_Pretending):
    ahead = 0

    def _raise_epoch(self, fence, ticket):
        if fence.epoch == 0:
            return (yield from ElectionService._raise_epoch(self, fence, ticket))
        return (yield from super()._raise_epoch(fence, ticket))


class Copycat(ContenderShell):
    """Leads under the epoch of the leader before it."""

    service_class = _Copying


class Breaking(ContenderShell):
    """Fails where it should go on."""

    def _deliver_down(self, arrival, connection):
        self.fail(RemoteViolation(f"connection {connection} is down"))
        return self._nothing(Lane.STATE, arrival)


class Raising(ContenderShell):
    """Has a plain mistake in it."""

    def _deliver_down(self, arrival, connection):
        raise AttributeError(f"{arrival} of connection {connection}")


BEGIN = Step("begin", {"count": 2})
REPLACED = (BEGIN, Step("delete_ticket", {"position": 0}), Step("run"))
CUT = (BEGIN, Step("cut", {"who": "leader"}), Step("run"))


@pytest.mark.parametrize(
    ("shell_class", "steps", "promise"),
    [
        (Impatient, [BEGIN], "one believer in office"),
        (Pretender, [BEGIN], "who leads has raised the epoch"),
        (Copycat, REPLACED, "one current fence"),
        (Breaking, CUT, "a shell never fails"),
        (Raising, CUT, "a shell takes whatever it is told"),
    ],
)
def test_a_false_belief_is_found(shell_class, steps, promise):
    with Arena() as arena:
        world = replay(steps, arena, shell_class=shell_class)
        assert world.broken, "\n".join(world.story)
        assert world.broken.promise == promise
        assert not replay(steps, arena).broken
