"""Keepstep: state machines derived from a checked TLA+ specification, run on real ZooKeeper.

`keepstep.roles` has the derived machines, `keepstep.shell` runs them over kazoo, and
`keepstep.testing` drives them against real servers under real faults. Importing this
package imports none of them.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
