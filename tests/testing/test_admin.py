from __future__ import annotations

import threading

import pytest

from keepstep.errors import LocalViolation
from keepstep.testing import (
    ConnectionEnded,
    Refusal,
    SessionGone,
    WireClient,
    connections,
    dump,
    expire,
    monitor,
    session_password,
    watches_by_path,
    watches_by_session,
)

pytestmark = pytest.mark.zookeeper


def test_the_password_of_a_session_follows_from_its_id(shared_server):
    with WireClient(shared_server.address) as client:
        assert session_password(client.session) == client.password
        # The negative control: another password does not resume the session.
        with pytest.raises(SessionGone):
            WireClient(shared_server.address, session=client.session, password=bytes(16))


def test_dump_tells_sessions_and_their_ephemerals(shared_server, folder):
    with WireClient(shared_server.address) as owner, WireClient(shared_server.address) as other:
        owner.create(f"{folder}/b", ephemeral=True)
        owner.create(f"{folder}/a c", ephemeral=True)
        other.create(f"{folder}/lasting")
        told = dump(shared_server.address)
        assert {owner.session, other.session} <= told.alive
        assert told.ephemerals[owner.session] == (f"{folder}/a c", f"{folder}/b")
        assert other.session not in told.ephemerals
        assert told.owner(f"{folder}/b") == owner.session
        assert told.owner(f"{folder}/lasting") is None
    assert not {owner.session, other.session} & dump(shared_server.address).alive


def test_any_session_can_be_expired_and_its_ephemerals_are_gone(shared_server, folder, observer):
    with WireClient(shared_server.address) as victim:
        victim.create(f"{folder}/mine", ephemeral=True)
        with WireClient(shared_server.address) as bystander:
            bystander.create(f"{folder}/theirs", ephemeral=True)
            proof = expire(shared_server.address, victim.session)
            assert proof.ephemerals == (f"{folder}/mine",)
            assert observer.children(folder) == ["theirs"]
            assert bystander.session in dump(shared_server.address).alive
        with pytest.raises(ConnectionEnded):
            victim.exists(folder)
        with pytest.raises(SessionGone):
            WireClient(shared_server.address, session=victim.session, password=victim.password)
        with pytest.raises(LocalViolation, match="not alive"):
            expire(shared_server.address, victim.session)


def test_a_client_that_fights_for_its_session_loses_it(shared_server):
    with WireClient(shared_server.address) as victim:
        fighting = threading.Event()
        fighting.set()

        def fight():
            while fighting.is_set():
                try:
                    WireClient(
                        shared_server.address, session=victim.session, password=victim.password
                    ).abandon()
                except ConnectionEnded:
                    continue
                except SessionGone:
                    return

        thread = threading.Thread(target=fight)
        thread.start()
        try:
            expire(shared_server.address, victim.session)
            thread.join(10)
            assert not thread.is_alive()
        finally:
            fighting.clear()
            thread.join()
        assert victim.session not in dump(shared_server.address).alive


def test_connections_and_watches_are_told(shared_server, folder):
    with WireClient(shared_server.address, session_timeout=4) as client:
        client.exists(f"{folder}/awaited", watch=True)
        (mine,) = (c for c in connections(shared_server.address) if c.session == client.session)
        assert mine.timeout == client.session_timeout == 4
        assert client.session in watches_by_path(shared_server.address)[f"{folder}/awaited"]
        assert watches_by_session(shared_server.address)[client.session] == (f"{folder}/awaited",)
        client.create(f"{folder}/awaited")
        assert [(n.kind, n.path) for n in client.notifications] == [(1, f"{folder}/awaited")]
        assert f"{folder}/awaited" not in watches_by_path(shared_server.address)


def test_monitor_tells_figures(shared_server):
    assert monitor(shared_server.address)["server_state"] == "standalone"


def test_refusals_are_named(shared_server, folder):
    with WireClient(shared_server.address) as client:
        with pytest.raises(Refusal, match="NoNode"):
            client.delete(f"{folder}/nothing")
        client.create(f"{folder}/once")
        with pytest.raises(Refusal, match="NodeExists"):
            client.create(f"{folder}/once")
        with pytest.raises(Refusal, match="BadVersion"):
            client.set_data(f"{folder}/once", b"", version=7)
