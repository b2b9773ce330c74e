"""Random programs for any ZooKeeper, and everything that clients can see of their runs.

A program is drawn from a seed alone, so the same one runs on the fake and on real servers.
Sessions are named by their order, zxids by their distance from the program's first one.
"""

from __future__ import annotations

import random

from keepstep.testing.network.wire import (
    Check,
    ConnectionEnded,
    Create,
    Delete,
    Opcode,
    Refusal,
    SetData,
    multi_body,
)
from keepstep.testing.zookeeper_kit.checks.asking import CODES, results_of

CLIENTS = 3
LENGTH = 60
NAMES = ["a", "b", "n-0000000002"]


class Run:
    """One program on one service; `seen` is what its clients were told."""

    def __init__(self, service, seed):
        self.service = service
        self.draw = random.Random(seed)  # noqa: S311 - it is to be repeated
        self.seen = []
        self.sessions = {0: "nobody"}
        self.places = list(range(CLIENTS))
        self.clients = [self.connect(place) for place in self.places]
        self.folder = self.clients[0].create("/program-", sequential=True)
        self.base = self.clients[0].exists(self.folder).czxid
        for client in self.clients:
            client.sync()

    def connect(self, number, session=0):
        client = self.service.connect(number % self.service.servers, session)
        self.sessions.setdefault(client.session, f"session {len(self.sessions)}")
        return client

    # --- What is drawn ---

    def path(self, depth=None):
        depth = depth or self.draw.choice([1] * 6 + [2] * 3 + [3])
        return self.folder + "".join(f"/{self.draw.choice(NAMES)}" for _ in range(depth))

    def version(self):
        return self.draw.choice([-1, -1, 0, 0, 1, 2])

    def data(self):
        return self.draw.choice([b"", b"x", b"yy"])

    def operation(self):
        path = self.path()
        match self.draw.choice(["create"] * 4 + ["sequential", "delete", "set", "set", "check"]):
            case "create":
                return Create(path, self.data(), ephemeral=self.draw.random() < 0.3)
            case "sequential":
                stem = path.rpartition("/")[0] + self.draw.choice(["/n-", "/m-", "/"])
                ephemeral = self.draw.random() < 0.3
                return Create(stem, self.data(), ephemeral=ephemeral, sequential=True)
            case "delete":
                return Delete(path, self.version())
            case "set":
                return SetData(path, self.data(), self.version())
        return Check(path, self.version())

    # --- What is seen ---

    def plain(self, value):
        """A value without what differs from one service to another."""
        if isinstance(value, tuple) and hasattr(value, "czxid"):
            zxids = [z - self.base for z in (value.czxid, value.mzxid, value.pzxid)]
            owner = self.sessions[value.ephemeral_owner]
            return (
                *zxids, value.version, value.cversion, value.aversion, owner, value.data_length,
                value.num_children,
            )  # fmt: skip
        if isinstance(value, tuple):
            return tuple(map(self.plain, value))
        if isinstance(value, str):
            return value.replace(self.folder, "")
        return value

    def note(self, what, act):
        try:
            found = self.plain(act())
        except Refusal as refusal:
            found = refusal.name
        except ConnectionEnded:
            found = "the connection ended"
        self.seen.append((self.plain(what), found))

    def step(self):
        number = self.draw.randrange(CLIENTS)
        client = self.clients[number]
        act = self.draw.choice(
            ["write"] * 8 + ["multi"] * 4 + ["data", "exists", "children"] * 3
            + ["end", "resume", "resume", "expire"]
        )  # fmt: skip
        watch = self.draw.random() < 0.6
        match act:
            case "write":
                self.write(client)
            case "multi":
                many = [self.operation() for _ in range(self.draw.randint(1, 4))]
                self.note(
                    f"{number} multi {self.plain(str(many))}",
                    lambda: tuple(results_of(client, many)),
                )
            case "data" | "exists" | "children":
                path = self.path()
                read = {
                    "data": client.get_data, "exists": client.exists,
                    "children": client.get_children,
                }[act]  # fmt: skip
                self.note((number, act, path, watch), lambda: read(path, watch=watch))
            case "end":
                self.note((number, "end"), lambda: client.end() - self.base)
                self.clients[number] = self.connect(self.places[number])
            case "resume":
                # At the same server or, where there are several, perhaps at another one.
                client.abandon()
                self.places[number] += self.draw.randrange(CLIENTS)
                self.clients[number] = self.connect(self.places[number], client.session)
            case "expire":
                self.service.expire(client.session)
                # A server that has made a new session has applied the end of the old one.
                self.clients[number] = self.connect(self.places[number])
                self.note((number, "after expiry"), lambda: client.create(f"{self.folder}/late"))
        self.hear()

    def write(self, client):
        operation = self.operation()
        if isinstance(operation, Check):
            return
        reply = client.answer(client.submit_operation(operation))
        names = {code: name for name, code in CODES.items()}
        error = names.get(reply.error, reply.error)
        self.seen.append((self.plain(str(operation)), error, reply.zxid - self.base))
        if isinstance(operation, SetData) and not reply.error:
            self.note("stat", lambda: client.exists(operation.path))

    def hear(self):
        """Everybody catches up, and tells what it heard."""
        for number, client in enumerate(self.clients):
            client.sync()
            told = [(event.kind, self.plain(event.path)) for event in client.notifications]
            client.notifications.clear()
            # Ephemerals that go with one session are told of in any order.
            self.seen.append((number, "heard", sorted(told)))

    def tree(self, path):
        client = self.clients[0]
        found = {self.plain(path): self.plain(client.get_data(path))}
        for name in client.get_children(path):
            found |= self.tree(f"{path}/{name}")
        return found


def transcript(service, seed, length=LENGTH):
    """All that the clients of one program see, and the tree at its end."""
    run = Run(service, seed)
    for _ in range(length):
        run.step()
    empty = run.clients[0].answer(run.clients[0].submit(Opcode.MULTI, multi_body([])))
    found = [*run.seen, empty.error, run.tree(run.folder)]
    for client in run.clients:
        client.end()
    return found
