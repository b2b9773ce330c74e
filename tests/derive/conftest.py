from __future__ import annotations

import pytest

from keepstep.checkers.toolchain import find_java, find_tlc
from keepstep.derive.sany import Sany


@pytest.fixture(scope="session")
def sany():
    return Sany(find_java().path, find_tlc().jar)
