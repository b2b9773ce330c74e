from __future__ import annotations

import pytest

from keepstep.errors import LocalViolation
from keepstep.znodes.paths import child_path, is_within, parents, validate_path


@pytest.mark.parametrize("path", ["/a", "/a/b", "/druid/overlord/_OVERLORD", "/ä/b c"])
def test_paths_of_znodes_are_accepted(path):
    assert validate_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", "/", "a", "a/b", "/a/", "//a", "/a//b", "/a/./b", "/a/..", "/a\0b", "/a\n", None, 3],
)
def test_what_zookeeper_would_refuse_is_refused_by_name(path):
    with pytest.raises(LocalViolation, match="fence_path"):
        validate_path(path, "fence_path")


def test_parents_are_listed_from_the_top_without_the_root():
    assert parents("/a/b/c") == ("/a", "/a/b")
    assert parents("/a") == ()


def test_a_sibling_with_the_same_beginning_is_not_within():
    assert is_within("/a/b", "/a")
    assert is_within("/a", "/a")
    assert not is_within("/ab", "/a")
    assert child_path("/a", "b") == "/a/b"
