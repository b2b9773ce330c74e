"""All fault packages by name."""

from __future__ import annotations

from keepstep.errors import LocalViolation
from keepstep.testing.faults.nodes import SERVER_PACKAGES
from keepstep.testing.faults.package import FaultPackage
from keepstep.testing.faults.sessions import SESSION_PACKAGES
from keepstep.testing.faults.ways import WAY_PACKAGES

__all__ = ["package_of", "packages"]


def packages() -> dict[str, FaultPackage]:
    """Every fault package by name."""
    everything = (*SESSION_PACKAGES, *WAY_PACKAGES, *SERVER_PACKAGES)
    return {package.name: package for package in everything}


def package_of(name: str) -> FaultPackage:
    """The package of that name.

    Raises:
        LocalViolation: There is none; the message lists those that there are.
    """
    known = packages()
    if name not in known:
        raise LocalViolation(f"there is no fault {name!r}; there are: {', '.join(known)}")
    return known[name]
