"""The guarantees of ZooKeeper, each as a small function that asks a service for it.

The first paragraph of each docstring is the guarantee. A function returns if it is kept,
raises `Broken` if it is not, and `NotApplicable` if the service cannot show it. Znodes are made
below `scene.folder` only. A client sees what another has written after its own `sync`.
"""

from keepstep.testing.zookeeper_kit.checks import (
    ephemerals,
    errors,
    numbers,
    sessions,
    transactions,
    versions,
    views,
    watches,
)

__all__ = ["GROUPS"]

GROUPS = (sessions, ephemerals, versions, numbers, transactions, watches, views, errors)
"""The modules of checks, in the order in which they are run."""
