"""Names and numbers that must not be mixed up."""

from __future__ import annotations

from typing import NewType

__all__ = ["Duty", "Incarnation", "NodeId"]

NodeId = NewType("NodeId", str)
"""A running process, as its own protocol names it."""

Incarnation = NewType("Incarnation", str)
"""One life of an ensemble's data, from its founding until it is wiped."""

Duty = NewType("Duty", str)
"""A write that a leader owes, by a name that its shell can look up."""
