from __future__ import annotations

import pytest

from keepstep.errors import LocalViolation
from keepstep.znodes.operations import Check, Create, Delete, SetData, size


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Create, ("a", b"")),
        (Create, ("/a", "text")),
        (Create, ("/a", b"", 1)),
        (Create, ("/a", b"", False, None)),
        (SetData, ("/a", None)),
        (SetData, ("/a", b"", -2)),
        (Delete, ("/",)),
        (Delete, ("/a", True)),
        (Check, ("/a", "1")),
    ],
)
def test_arguments_are_validated_when_the_operation_is_made(kind, arguments):
    with pytest.raises(LocalViolation):
        kind(*arguments)


def test_the_size_counts_data_and_path():
    assert size(SetData("/a", b"x" * 1000)) > 1000
    assert size(Delete("/a" * 500)) > 1000
