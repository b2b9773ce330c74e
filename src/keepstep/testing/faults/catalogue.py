"""All fault packages by name."""

from __future__ import annotations

from keepstep.errors import LocalViolation
from keepstep.testing.faults.clients import CLIENT_PACKAGES
from keepstep.testing.faults.nodes import SERVER_PACKAGES
from keepstep.testing.faults.package import FaultPackage

__all__ = ["package_of", "packages"]


def packages() -> dict[str, FaultPackage]:
    """Every fault package by name."""
    return {package.name: package for package in (*CLIENT_PACKAGES, *SERVER_PACKAGES)}


def package_of(name: str) -> FaultPackage:
    """The package of that name.

    Raises:
        LocalViolation: There is none; the message lists those that there are.
    """
    known = packages()
    if name not in known:
        raise LocalViolation(f"there is no fault {name!r}; there are: {', '.join(known)}")
    return known[name]
