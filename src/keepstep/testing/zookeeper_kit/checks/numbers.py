"""Guarantees about sequence numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.testing.network.wire import Create, Delete, Operation
from keepstep.testing.zookeeper_kit.checks.asking import refused, same

if TYPE_CHECKING:
    from keepstep.testing.zookeeper_kit.services import Scene

__all__ = [
    "check_a_multi_draws_numbers_in_order",
    "check_a_number_alone_is_a_name",
    "check_a_number_is_part_of_the_name",
    "check_a_set_gives_no_number_back",
    "check_deletes_give_no_number_back",
    "check_every_parent_counts_for_itself",
    "check_numbers_begin_anew_with_the_parent",
    "check_numbers_count_every_create",
    "check_numbers_count_from_zero",
    "check_numbers_have_ten_digits",
    "check_refused_creates_draw_no_number",
    "check_the_end_of_a_session_gives_no_number_back",
]


def check_numbers_count_from_zero(scene: Scene) -> None:
    """Sequential znodes get the numbers 0, 1, 2 of their parent, as ten digits."""
    client, other = scene.two()
    found = [client.create(f"{scene.folder}/n-", sequential=True) for _ in range(2)]
    found.append(other.create(f"{scene.folder}/m-", sequential=True))
    names = [f"{scene.folder}/{name}" for name in ("n-0000000000", "n-0000000001", "m-0000000002")]
    same(found, names, "The paths")
    client.sync()
    same(client.get_children(scene.folder), ["m-0000000002", "n-0000000000", "n-0000000001"],
          "The children")  # fmt: skip


def check_numbers_have_ten_digits(scene: Scene) -> None:
    """Numbers are filled up with zeros, so that names sort as they were made."""
    client = scene.client()
    made = [client.create(f"{scene.folder}/n-", sequential=True) for _ in range(12)]
    same(made, [f"{scene.folder}/n-{number:010d}" for number in range(12)], "The paths")


def check_numbers_count_every_create(scene: Scene) -> None:
    """Every create below a parent counts for its numbers, also of znodes without a number."""
    client = scene.client()
    client.create(f"{scene.folder}/plain")
    client.create(f"{scene.folder}/mine", ephemeral=True)
    found = client.create(f"{scene.folder}/n-", sequential=True)
    same(found, f"{scene.folder}/n-0000000002", "The path")


def check_deletes_give_no_number_back(scene: Scene) -> None:
    """A number is not given out again when its znode is deleted."""
    client = scene.client()
    for number in range(3):
        path = client.create(f"{scene.folder}/n-", sequential=True)
        same(path, f"{scene.folder}/n-{number:010d}", "The path")
        client.delete(path)


def check_a_set_gives_no_number_back(scene: Scene) -> None:
    """Writing to a parent below which znodes were deleted gives out no number again."""
    client = scene.client()
    for _ in range(2):
        client.delete(client.create(f"{scene.folder}/n-", sequential=True))
    client.set_data(scene.folder, b"x")
    path = client.create(f"{scene.folder}/n-", sequential=True)
    same(path, f"{scene.folder}/n-0000000002", "The path")


def check_the_end_of_a_session_gives_no_number_back(scene: Scene) -> None:
    """A number is not given out again when its ephemeral goes with its session."""
    client, other = scene.two()
    for _ in range(2):
        client.create(f"{scene.folder}/n-", ephemeral=True, sequential=True)
    client.end()
    path = other.create(f"{scene.folder}/n-", sequential=True)
    same(path, f"{scene.folder}/n-0000000002", "The path")


def check_refused_creates_draw_no_number(scene: Scene) -> None:
    """A create that is refused, alone or with its transaction, counts for no number."""
    client = scene.client()
    client.create(f"{scene.folder}/plain")
    refused("NodeExists", lambda: client.create(f"{scene.folder}/plain"))
    lost: list[Operation] = [
        Create(f"{scene.folder}/n-", sequential=True),
        Delete(f"{scene.folder}/none"),
    ]
    refused("NoNode", lambda: client.multi(lost))
    path = client.create(f"{scene.folder}/n-", sequential=True)
    same(path, f"{scene.folder}/n-0000000001", "The path")


def check_numbers_begin_anew_with_the_parent(scene: Scene) -> None:
    """A parent that is deleted and made anew counts from 0 again."""
    client = scene.client()
    parent = client.create(f"{scene.folder}/parent")
    client.delete(client.create(f"{parent}/n-", sequential=True))
    client.delete(parent)
    client.create(parent)
    same(client.create(f"{parent}/n-", sequential=True), f"{parent}/n-0000000000", "The path")


def check_every_parent_counts_for_itself(scene: Scene) -> None:
    """The numbers below one parent do not depend on what happens below or to another one."""
    client = scene.client()
    one = client.create(f"{scene.folder}/one")
    two = client.create(f"{one}/two")
    client.create(f"{two}/n-", sequential=True)
    client.set_data(one, b"x")
    same(client.create(f"{one}/n-", sequential=True), f"{one}/n-0000000001", "The path")


def check_a_multi_draws_numbers_in_order(scene: Scene) -> None:
    """Sequential creates of one transaction get numbers in the order of its operations."""
    client = scene.client()
    names = ("b-", "a-", "b-")
    client.multi([Create(f"{scene.folder}/{name}", sequential=True) for name in names])
    found = client.get_children(scene.folder)
    same(found, ["a-0000000001", "b-0000000000", "b-0000000002"], "The children")


def check_a_number_is_part_of_the_name(scene: Scene) -> None:
    """A sequential create is refused if a client has given its name to another znode before."""
    client = scene.client()
    client.create(f"{scene.folder}/n-0000000001")
    refused("NodeExists", lambda: client.create(f"{scene.folder}/n-", sequential=True))
    client.delete(f"{scene.folder}/n-0000000001")
    path = client.create(f"{scene.folder}/n-", sequential=True)
    same(path, f"{scene.folder}/n-0000000001", "The path")


def check_a_number_alone_is_a_name(scene: Scene) -> None:
    """A sequential create may ask for nothing but a number; digits before it are no number."""
    client = scene.client()
    same(client.create(f"{scene.folder}/", sequential=True), f"{scene.folder}/0000000000", "Path")
    path = client.create(f"{scene.folder}/n-0000000007", sequential=True)
    same(path, f"{scene.folder}/n-00000000070000000001", "The path")
    same(client.get_children(scene.folder), ["0000000000", "n-00000000070000000001"], "Children")
