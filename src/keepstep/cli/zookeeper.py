"""`keepstep zookeeper`: real servers to tinker with, and faults by hand."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shlex
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keepstep.errors import KeepstepError, LocalViolation

if TYPE_CHECKING:
    from keepstep.testing import ZooKeeperEnsemble, ZooKeeperServer
    from keepstep.testing.faults import Target

__all__ = ["command"]

CLIENT = "client"
_MOST_NAMES = 5

COMMANDS = {
    "status": ("", "which servers run, lead and follow; sessions and their ephemerals"),
    "kill": ("N", "kill server N as a crash would"),
    "start": ("N", "start server N again, with its data"),
    "pause": ("N", "stop the process of server N"),
    "resume": ("N", "let it run on"),
    "wipe": ("N", "kill server N, remove its data, start it again"),
    "partition": ("N M", "let no byte pass between servers N and M"),
    "expire": ("SESSION", "end a session at once, whatever its client believes"),
    "cut": ("", "reset the connections that pass the proxies"),
    "fault": ("NAME [SECONDS]", "inject a fault package, show its proof, heal it"),
    "faults": ("", "list the fault packages, and which are available here"),
    "heal": ("", "end every fault and start every server that is down"),
    "help": ("", "this list"),
    "quit": ("", "end the servers and remove what was made"),
}


class _Tinkering:
    """Obeys commands about some servers, and says what came of them.

    Args:
        target: The servers.
        as_json: Whether lines are JSON objects.
    """

    def __init__(self, target: Target, *, as_json: bool) -> None:
        self._target = target
        self._as_json = as_json

    def say(self, event: str, text: str, **fields: Any) -> None:
        """Print one event."""
        line = json.dumps({"event": event} | fields) if self._as_json else text
        click.echo(line)
        sys.stdout.flush()

    def ready(self) -> None:
        """Say how to reach the servers."""
        servers = self._servers()
        fields: dict[str, Any] = {"hosts": self._hosts(), "servers": servers}
        lines = [f"connect string: {self._hosts()}"]
        if CLIENT in self._target.clients:
            fields["proxies"] = self._target.clients[CLIENT].hosts
            lines.append(f"through proxies: {fields['proxies']}")
        lines += [self._line(server) for server in servers]
        if sys.stdin is not None and sys.stdin.isatty():
            lines.append("type `help` for what can be done with them; `quit` or Ctrl-C ends them")
        self.say("ready", "\n".join(lines), **fields)

    def _hosts(self) -> str:
        return ",".join(str(server.address) for server in self._target.servers.values())

    def _servers(self) -> list[dict[str, Any]]:
        return [
            {
                "number": number,
                "address": str(server.address),
                "state": _state(server),
                "process": server.process_id if server.running else None,
                "data": str(server.data_directory),
            }
            for number, server in self._target.servers.items()
        ]

    @staticmethod
    def _line(server: dict[str, Any]) -> str:
        process = f", process {server['process']}" if server["process"] else ""
        return (
            f"server {server['number']}: {server['address']}, {server['state']}{process}, "
            f"data in {server['data']}"
        )

    def obey(self, text: str) -> bool:
        """Do what a line says; False if it says to quit."""
        try:
            words = shlex.split(text)
        except ValueError as error:
            self.say("error", f"cannot be read: {error}", error=str(error))
            return True
        if not words:
            return True
        name, *arguments = words
        if name == "quit":
            return False
        try:
            self._do(name, arguments)
        except KeepstepError as error:
            self.say("error", f"error: {error}", command=name, error=str(error))
        return True

    def _do(self, name: str, arguments: list[str]) -> None:
        if name not in COMMANDS:
            raise LocalViolation(f"{name!r} is no command; `help` lists them")
        wanted = COMMANDS[name][0].split()
        least = len([word for word in wanted if not word.startswith("[")])
        if not least <= len(arguments) <= len(wanted):
            raise LocalViolation(f"write: {name} {COMMANDS[name][0]}")
        action: Callable[..., None] = getattr(self, f"_{name}")
        action(*arguments)

    def _server(self, number: str) -> ZooKeeperServer:
        known = self._target.servers
        if not number.isdecimal() or int(number) not in known:
            raise LocalViolation(f"there is no server {number}; there are {_listed(known)}")
        return known[int(number)]

    def _help(self) -> None:
        width = max(len(f"{name} {what}") for name, (what, _) in COMMANDS.items())
        lines = [f"{f'{name} {what}':{width}}  {text}" for name, (what, text) in COMMANDS.items()]
        self.say("help", "\n".join(lines), commands=list(COMMANDS))

    def _status(self) -> None:
        servers = self._servers()
        lines = [self._line(server) for server in servers]
        sessions: dict[str, list[str]] = {}
        if any(server["state"] in {"leader", "standalone"} for server in servers):
            told = self._target.sessions()
            sessions = {
                f"0x{session:x}": list(told.ephemerals.get(session, ()))
                for session in sorted(told.alive)
            }
        lines += [f"session {s}: {', '.join(p) or 'no ephemeral'}" for s, p in sessions.items()]
        self.say("status", "\n".join(lines), servers=servers, sessions=sessions)

    def _after(self, name: str, number: str) -> None:
        server = self._servers()[list(self._target.servers).index(int(number))]
        self.say(name, self._line(server), server=server)

    def _kill(self, number: str) -> None:
        self._server(number).kill()
        self._after("kill", number)

    def _start(self, number: str) -> None:
        self._server(number).launch()
        if len(self._target.alive()) > len(self._target.servers) // 2:
            self._server(number).wait_until_serving()
        self._after("start", number)

    def _pause(self, number: str) -> None:
        self._server(number).pause()
        self._after("pause", number)

    def _resume(self, number: str) -> None:
        self._server(number).resume()
        self._after("resume", number)

    def _wipe(self, number: str) -> None:
        server = self._server(number)
        server.kill()
        server.forget_data()
        self._start(number)

    def _partition(self, one: str, other: str) -> None:
        ensemble = self._target.ensemble
        if ensemble is None or one == other:
            raise LocalViolation("a partition needs two different servers of an ensemble")
        for number in (one, other):
            self._server(number)
        ensemble.separate(int(one), int(other))
        text = f"no byte passes between servers {one} and {other}; `heal` ends it"
        self.say("partition", text, servers=[int(one), int(other)])

    def _expire(self, session: str) -> None:
        from keepstep.testing import expire

        if not re.fullmatch("(0x)?[0-9a-f]{1,16}", session):
            raise LocalViolation(
                f"{session!r} is no session; write it as `status` does, such as 0x10000ab"
            )
        number = int(session, 16)
        address = self._target.leader().address
        proof = expire(address, number, address)
        gone = ", ".join(proof.ephemerals) or "no ephemeral"
        text = f"ended session 0x{number:x}, and with it {gone}"
        self.say("expire", text, session=f"0x{number:x}", ephemerals=list(proof.ephemerals))

    def _cut(self) -> None:
        if CLIENT not in self._target.clients:
            raise LocalViolation("there are no proxies; start with --proxies")
        proxies = self._target.clients[CLIENT].proxies.values()
        count = sum(proxy.cut().connections for proxy in proxies)
        self.say("cut", f"{count} connections were reset", connections=count)

    def _faults(self) -> None:
        from keepstep.testing.faults import packages

        found = {name: package.available(self._target) for name, package in packages().items()}
        width = max(map(len, found))
        lines = [
            f"{name:{width}}  {packages()[name].what}"
            + ("" if has.allowed else f" NOT AVAILABLE: {has.reason}")
            for name, has in found.items()
        ]
        told = {name: {"available": a.allowed, "reason": a.reason} for name, a in found.items()}
        self.say("faults", "\n".join(lines), faults=told)

    def _fault(self, name: str, seconds: str = "1") -> None:
        from keepstep.testing.faults import FaultRunner, ScheduledFault

        try:
            lasts = float(seconds)
        except ValueError:
            lasts = -1.0
        if not 0 <= lasts < float("inf"):
            raise LocalViolation(f"{seconds!r} is no number of seconds")
        seed = int.from_bytes(os.urandom(4), "big")
        with FaultRunner(self._target) as runner:
            record = runner.do(ScheduledFault(name, 0.0, lasts, seed))
        hit = f" on {record.victim}" if record.victim else ""
        text = f"{name}{hit}: {record.status.value}: {record.detail}"
        if record.healed_after > 0:
            text += f"; healed in {record.healed_after:.2f} s"
        self.say("fault", text, record=record.as_dict())

    def _heal(self) -> None:
        self._target.heal()
        self._status()


def _state(server: ZooKeeperServer) -> str:
    if not server.running:
        return "down"
    return "paused" if server.paused else server.mode() or "does not serve"


def _listed(numbers: Any) -> str:
    return ", ".join(map(str, numbers))


def _read_lines(lines: queue.SimpleQueue[str]) -> None:
    """Pass standard input on; at its end the servers go on without."""
    # Not through sys.stdin: its lock, held while waiting, would be missed when Python ends.
    partial = b""
    with contextlib.suppress(OSError):
        while data := os.read(0, 4096):
            *whole, partial = (partial + data).split(b"\n")
            for line in whole:
                lines.put(line.decode(errors="replace"))
    if partial:
        lines.put(partial.decode(errors="replace"))


@contextlib.contextmanager
def _cluster(
    servers: int, home: str, data: Path | None, port: int | None, *, namespaces: bool
) -> Iterator[ZooKeeperServer | ZooKeeperEnsemble]:
    from keepstep.testing import ServerSettings, ZooKeeperEnsemble, ZooKeeperServer
    from keepstep.testing.network.namespaces import Network

    settings = ServerSettings(home=home, force_sync=data is not None)
    with contextlib.ExitStack() as stack:
        if data is not None:
            stack.enter_context(_kept(data, servers))
        if namespaces:
            network = stack.enter_context(Network(servers))
            yield stack.enter_context(
                ZooKeeperEnsemble(servers, settings, port=port, directory=data, network=network)
            )
        elif servers == 1:
            directory = None if data is None else data / "server-1"
            yield stack.enter_context(ZooKeeperServer(settings, port=port, directory=directory))
        else:
            yield stack.enter_context(
                ZooKeeperEnsemble(servers, settings, links=True, port=port, directory=data)
            )


@contextlib.contextmanager
def _kept(data: Path, servers: int) -> Iterator[None]:
    """Hold a data directory against other runs, and against another number of servers."""
    from filelock import FileLock, Timeout

    try:
        data.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in data.iterdir()} - {"keepstep.lock"}
        mine = {f"server-{number}" for number in range(1, servers + 1)}
        if there and there != mine:
            some = ", ".join(sorted(there)[:_MOST_NAMES]) + ", ..." * (len(there) > _MOST_NAMES)
            raise LocalViolation(
                f"{data} holds {some}; --data names a directory of an earlier run with "
                f"--servers {servers}, or an empty one"
            )
        lock = FileLock(data / "keepstep.lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise LocalViolation(f"another `keepstep zookeeper` uses {data}") from None
    except OSError as error:
        raise LocalViolation(f"{data} cannot be used for data: {error}") from error
    try:
        yield
    finally:
        # In this order: nobody can have locked the file that is removed.
        (data / "keepstep.lock").unlink(missing_ok=True)
        lock.release()


def _look(hosts: str, *, as_json: bool) -> None:
    """Say what servers there are that somebody else started."""
    from keepstep.testing import Address, check_server

    found = []
    for host in hosts.partition("/")[0].split(","):
        name, _, port = host.strip().rpartition(":")
        if not name or not port.isdecimal():
            raise LocalViolation(f"{host!r} is no HOST:PORT")
        address = Address(name, int(port))
        told = check_server(address)
        found.append({"address": str(address), "version": told.version, "mode": told.mode})
    if as_json:
        click.echo(json.dumps({"servers": found}))
        return
    for one in found:
        click.echo(f"{one['address']}: ZooKeeper {one['version']}, {one['mode'] or 'no leader'}")


@click.command(name="zookeeper", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--servers",
    type=click.IntRange(1, 9),
    default=1,
    show_default=True,
    help="How many; 3 and 5 form an ensemble, with proxies between its servers.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data here, for the next time; by default it is removed at the end.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Where clients connect to server 1, to the next one port higher; else free ones.",
)
@click.option(
    "--home",
    default="",
    help="An unpacked release, or /usr/share/java for Debian's package.  [default: ZOOKEEPER_HOME, "
    "else the pinned release]",
)
@click.option(
    "--proxies", is_flag=True, help="Add a proxy before each server, for faults of connections."
)
@click.option(
    "--namespaces",
    is_flag=True,
    help="A network namespace for each server, so that the kernel separates them; only under "
    "`unshare -Urn`.",
)
@click.option(
    "--look", metavar="HOSTS", help="Start nothing: say what HOSTS are, and whether they will do."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(
    servers: int,
    data: Path | None,
    port: int | None,
    home: str,
    proxies: bool,  # noqa: FBT001 - click passes it by keyword
    namespaces: bool,  # noqa: FBT001 - click passes it by keyword
    look: str | None,
    as_json: bool,  # noqa: FBT001 - click passes it by keyword
) -> None:
    """Run ZooKeeper servers to tinker with, until Ctrl-C, SIGTERM or `quit`.

    Prints the connect string, which server leads, and where the data is. Standard input takes
    commands: `help` lists them. Nothing is left behind, except the data that --data keeps.

    Exit codes: 0 ended as ordered; 2 the servers cannot be started, or are none of ZooKeeper 3.8
    or newer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_args, **_more: click.echo(
            f"keepstep: {message}", err=True
        )
        if look is not None:
            _look(look, as_json=as_json)
            return
        cluster = _cluster(servers, home, data, port, namespaces=namespaces)
        _run(cluster, proxies=proxies, as_json=as_json)


def _run(
    making: contextlib.AbstractContextManager[ZooKeeperServer | ZooKeeperEnsemble],
    *,
    proxies: bool,
    as_json: bool,
) -> None:
    from keepstep.testing.faults import Target

    try:
        with making as cluster, Target(cluster) as target:
            target.leader()
            if proxies:
                target.add_client(CLIENT)
            tinkering = _Tinkering(target, as_json=as_json)
            tinkering.ready()
            lines: queue.SimpleQueue[str] = queue.SimpleQueue()
            # Where there is no standard input, its number belongs to something else by now.
            if sys.stdin is not None:
                threading.Thread(target=_read_lines, args=(lines,), daemon=True).start()
            try:
                while tinkering.obey(lines.get()):
                    pass
            finally:
                target.abandon()
    except KeyboardInterrupt:
        click.echo("keepstep: asked to end; the servers have ended", err=True)
