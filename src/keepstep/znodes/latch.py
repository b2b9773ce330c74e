"""Tickets of an election, in the layout of Curator's LeaderLatch.

A ticket is an ephemeral sequential znode `<latch>/_c_<uuid>-latch-<number>`, its data the
participant's id as UTF-8. Curator's participants sort ours by the text after `latch-`.
"""

from __future__ import annotations

import re
import uuid
from typing import NamedTuple

from keepstep.core.ids import NodeId
from keepstep.errors import LocalViolation

__all__ = [
    "Ticket",
    "decode_participant",
    "encode_participant",
    "new_node",
    "read_ticket",
    "ticket_name",
    "ticket_prefix",
]

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# ZooKeeper prints a signed 32-bit counter with "%010d"; after an overflow it is negative.
_NUMBER = r"(?P<number>\d{10}|-\d{9,10})"
_PROTECTED = re.compile(rf"_c_(?P<node>{_UUID})-latch-{_NUMBER}", re.ASCII)
_FOREIGN = re.compile(rf"(?P<node>.*latch-){_NUMBER}", re.ASCII | re.DOTALL)
_NODE = re.compile(_UUID, re.ASCII)
_LARGEST_PARTICIPANT = 4096


class Ticket(NamedTuple):
    """A ticket, as its name tells.

    Attributes:
        node: Who drew it: the uuid of the contender. Of a participant that names its znodes
            in another way, everything before the number: it still counts in the queue.
        number: What ZooKeeper drew; the smallest is first.
    """

    node: NodeId
    number: int


def new_node(entropy: uuid.UUID) -> NodeId:
    """The node of a contender that drew this uuid."""
    return NodeId(str(entropy))


def ticket_prefix(node: NodeId) -> str:
    """What the name of a contender's ticket begins with; ZooKeeper appends the number.

    Raises:
        LocalViolation: The node is not a uuid in lower case.
    """
    if _NODE.fullmatch(node) is None:
        raise LocalViolation(f"a contender's node is a uuid in lower case, not {node!r}")
    return f"_c_{node}-latch-"


def ticket_name(ticket: Ticket) -> str:
    """The name of the znode; the inverse of `read_ticket`."""
    own = _NODE.fullmatch(ticket.node) is not None
    return f"{ticket_prefix(ticket.node) if own else ticket.node}{ticket.number:010d}"


def read_ticket(name: str) -> Ticket | None:
    """The ticket that a child of the latch is, or None if its name is not a ticket's."""
    match = _PROTECTED.fullmatch(name) or _FOREIGN.fullmatch(name)
    if match is None:
        return None
    ticket = Ticket(NodeId(match["node"]), int(match["number"]))
    # "-0000000000" and the like are not what ZooKeeper prints: not the name of that ticket.
    return ticket if ticket_name(ticket) == name else None


def encode_participant(identity: object) -> bytes:
    """The data of a ticket.

    Args:
        identity: Participant id, for example "http://host:8090".

    Raises:
        LocalViolation: It is no text, empty, or longer than 4096 bytes.
    """
    if not isinstance(identity, str) or not identity:
        raise LocalViolation(
            f"identity must be a text such as 'http://host:8090', not {identity!r}"
        )
    try:
        data = identity.encode()
    except UnicodeEncodeError:
        raise LocalViolation(f"identity {identity!r} cannot be written as UTF-8") from None
    if len(data) > _LARGEST_PARTICIPANT:
        raise LocalViolation(f"identity is longer than {_LARGEST_PARTICIPANT} bytes")
    return data


def decode_participant(data: bytes) -> str:
    """The participant id in a ticket; what is no UTF-8 is shown as replacement characters."""
    return data.decode(errors="replace")
