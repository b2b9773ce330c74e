"""kazoo's Party: who believes to take part, and whom others see."""

from __future__ import annotations

from peers import Peer

from keepstep.testing import Observer, expire


def test_who_takes_part_is_seen_by_others(
    alice: Peer, bob: Peer, observer: Observer, path: str, *, fault: bool
) -> None:
    """After a lost session nobody joins again, and `participating` stays True.

    Apache Storm and Kafka had this bug (STORM-1941, KAFKA-1387): alive, and registered nowhere.
    """
    party = alice.kazoo.Party(path, "alice")
    party.join()
    if fault:
        alice.lose_session()
    else:
        alice.lose_connection()

    assert party.participating, "so says kazoo, with and without the fault"
    kept = observer.children(path) == [party.node]
    assert kept is not fault
    assert list(bob.kazoo.Party(path)) == ([] if fault else ["alice"])


def test_who_joins_takes_part_in_their_own_session(
    alice: Peer, observer: Observer, path: str, *, fault: bool
) -> None:
    """The znode of a dying session is taken for ours, and goes away with it (A30, A34)."""
    party = alice.kazoo.Party(path, "alice")
    party.join()
    earlier = 0
    if fault:
        earlier = alice.give_up_session()
    else:
        alice.kazoo.stop()
        alice.kazoo.start()
    party.join()

    assert party.participating
    kept = alice.owns(party.create_path)
    assert kept is not fault
    if fault:
        expire(alice.server.address, earlier)
    assert party.participating, "so says kazoo, with and without the fault"
    assert observer.children(path) == ([] if fault else [party.node])
