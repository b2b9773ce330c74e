"""TLS and permissions, as they are passed through to kazoo."""

from __future__ import annotations

import contextlib
import gc
import select
import socket
import ssl
import threading
from pathlib import Path

import pytest
from kazoo.security import make_digest_acl

from keepstep.shell import NotConnected
from keepstep.testing import Refusal, WireClient
from keepstep.znodes.latch import ticket_prefix

HERE = Path(__file__).parent
# The key is published here on purpose: it is good for nothing but the loopback interface.
KEY_AND_CERTIFICATE = HERE / "loopback.pem"
CERTIFICATE = HERE / "loopback-ca.pem"


class Terminator:
    """Speaks TLS to clients and passes what they say on to a server in plain."""

    def __init__(self, upstream):
        self._upstream = upstream
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(KEY_AND_CERTIFICATE)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.hosts = f"localhost:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(plain,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, plain):
        with plain, contextlib.suppress(OSError):
            plain.settimeout(10)
            with (
                self._context.wrap_socket(plain, server_side=True) as client,
                socket.create_connection(self._upstream) as server,
            ):
                while True:
                    ready = [client] if client.pending() else []
                    ready = ready or select.select([client, server], [], [])[0]
                    for source, sink in ((client, server), (server, client)):
                        if source in ready:
                            data = source.recv(65536)
                            if not data:
                                return
                            sink.sendall(data)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def terminator(shared_server):
    terminator = Terminator(shared_server.address)
    yield terminator
    terminator.close()


def test_an_election_over_tls(shared_server, terminator, elections, eventually):
    tls = {"use_ssl": True, "ca": str(CERTIFICATE), "check_hostname": True}
    with elections(shared_server, hosts=terminator.hosts, **tls) as election:
        assert election.wait_until_elected(10) == 1
        shell = election._shell
        session = shell.session
        shell._link.cut(shell._connection)
        eventually(lambda: election.epoch == 2)
        assert shell.session == session, "a cut keeps the session over TLS as well"


# kazoo forgets the sockets of refused handshakes; they must not be blamed on a later test.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_certificate_that_is_not_trusted_is_no_connection(shared_server, terminator, elections):
    election = elections(shared_server, hosts=terminator.hosts, use_ssl=True)
    with pytest.raises(NotConnected):
        election.start(timeout=0.5)
    gc.collect()


def test_permissions_are_given_to_all_that_is_created(shared_server, elections, path):
    options = {
        "auth_data": [("digest", "user:password")],
        "acl": [make_digest_acl("user", "password", all=True)],
    }
    with elections(shared_server, **options) as election:
        election.wait_until_elected(10)
        with WireClient(shared_server.address) as stranger:
            ticket = f"{path}/{ticket_prefix(election._shell.node)}0000000000"
            with pytest.raises(Refusal, match="NoAuth"):
                stranger.get_data(ticket)
            for readable in (path, f"/keepstep{path}"):
                with pytest.raises(Refusal, match="NoAuth"):
                    stranger.get_children(readable)
