"""The epoch znode: one znode for two things.

It is the only child of the fence path. Its name is the incarnation of the ensemble's data,
a random number; its data is JSON: the epoch that users see, and who raised it; its version is
the token that writes are conditional on.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from keepstep.core.ids import Incarnation
from keepstep.errors import RemoteViolation
from keepstep.znodes.paths import child_path

__all__ = [
    "EpochData",
    "decode_epoch",
    "default_fence_path",
    "encode_epoch",
    "epoch_path",
    "incarnation_name",
    "read_incarnation",
]

_NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)
_QUOTED = 80


class EpochData(NamedTuple):
    """What the epoch znode holds.

    Attributes:
        epoch: Number of the leadership; never falls within an incarnation.
        leader: Id of the participant that raised it, "" when it was founded.
    """

    epoch: int
    leader: str


def default_fence_path(latch_path: str) -> str:
    """Where the epoch of an election is kept, unless a setting says otherwise.

    It lies outside the latch directory, because Curator takes each child there for a
    contender.
    """
    return f"/keepstep{latch_path}"


def incarnation_name(incarnation: int) -> Incarnation:
    """The name of the epoch znode of an incarnation: its 128 bits as 32 hexadecimal digits."""
    return Incarnation(f"{incarnation:032x}")


def read_incarnation(name: str) -> int | None:
    """The incarnation that a child of the fence path names, or None if it is no such name."""
    return int(name, 16) if _NAME.fullmatch(name) else None


def epoch_path(fence_path: str, incarnation: int) -> str:
    """Path of the epoch znode of an incarnation."""
    return child_path(fence_path, incarnation_name(incarnation))


def encode_epoch(data: EpochData) -> bytes:
    """The bytes of the epoch znode."""
    return json.dumps(data._asdict(), ensure_ascii=False).encode()


def decode_epoch(data: bytes) -> EpochData:
    """What the bytes of an epoch znode say.

    Raises:
        RemoteViolation: They are not what `encode_epoch` writes.
    """
    quoted = repr(data[:_QUOTED])
    try:
        read = json.loads(data)
    except (ValueError, RecursionError):
        raise RemoteViolation(f"the epoch znode holds {quoted}, which is no JSON") from None
    if not isinstance(read, dict):
        raise RemoteViolation(f"the epoch znode holds {quoted}, not an object")
    epoch, leader = read.get("epoch"), read.get("leader", "")
    if type(epoch) is not int or epoch < 0 or not isinstance(leader, str):
        raise RemoteViolation(f"the epoch znode holds {quoted}: no epoch that can be used")
    return EpochData(epoch, leader)
