"""Real ZooKeeper servers for tests: started, broken and ended at will.

    with ZooKeeperServer() as server:
        client = KazooClient(str(server.address))

Servers listen on the loopback interface only, keep their data in a directory of their own,
and end with the process that started them, however that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from keepstep.errors import InternalError, LocalViolation, RemoteViolation, ToolFailed
from keepstep.testing.network.namespaces import Network
from keepstep.testing.network.ports import LOOPBACK, HeldPort, hold_port, is_free
from keepstep.testing.network.proxy import FaultProxy
from keepstep.testing.network.wire import Address, Check, ConnectionEnded, Delete, WireClient
from keepstep.testing.servers import watchdog
from keepstep.testing.servers.admin import check_server, dump, mode_of
from keepstep.testing.servers.installation import find_installation
from keepstep.testing.servers.quick_start import class_archive

__all__ = ["ServerSettings", "ZooKeeperEnsemble", "ZooKeeperServer"]

_JVM_OPTIONS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dzookeeper.admin.enableServer=false",
    "-Dzookeeper.jmx.log4j.disable=true",
    # Milliseconds; after a partition servers would ask for each other once a minute only.
    "-Dzookeeper.fastleader.maxNotificationInterval=1000",
    # KiB; by default each log file takes 64 MiB.
    "-Dzookeeper.preAllocSize=1024",
)
_MAIN_CLASS = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
_OUTPUT_TAIL = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a server is configured.

    Attributes:
        tick: Seconds; session timeouts are rounded up to a multiple of it.
        longest_session: Seconds; no client gets a longer session timeout.
        force_sync: Whether the server waits for its disk; only power loss shows the difference.
        init_limit: Ticks that a follower may take to join.
        sync_limit: Ticks that a follower may be out of touch with its leader.
        start_timeout: Seconds to wait until a server serves.
        jvm_options: Further options of the Java machine.
        home: Folder of an unpacked release, or of Debian's package (`/usr/share/java`); else
            ZOOKEEPER_HOME, else the pinned jars.
        quick_start: Whether Java takes the server's classes from an archive in the user's cache,
            which the first server on a machine makes.
    """

    tick: float = 0.2
    longest_session: float = 60.0
    force_sync: bool = False
    init_limit: int = 20
    sync_limit: int = 5
    start_timeout: float = 30.0
    jvm_options: tuple[str, ...] = ()
    home: str = ""
    quick_start: bool = True


class _Watchdog:
    """The watchdog process of this Python process; started with its first server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._notes: dict[str, str] = {}
        self._mark = secrets.token_hex()
        atexit.register(self._end)
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def _leave_to_parent(self) -> None:
        """In a forked child: let go of the pipe, which must close when the parent ends."""
        self._lock = threading.Lock()
        self._notes = {}
        self._mark = secrets.token_hex()
        process, self._process = self._process, None
        if process and process.stdin:
            process.stdin.close()
            # It is not our child, so it is not ours to wait for.
            process.returncode = 0

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__],
            stdin=subprocess.PIPE,
            # Whole lines at once, and nothing in a buffer that a forked child would have as well.
            bufsize=0,
            start_new_session=True,
        )

    def _write(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            raise InternalError("the watchdog has no pipe")
        self._process.stdin.write(os.fsencode(f"{line}\n"))

    def _note(self, what: str, more: str = "") -> None:
        with self._lock:
            self._notes[what] = more
            self._tell(f"+ {what}{more}")

    def _forget(self, what: str) -> None:
        with self._lock:
            self._notes.pop(what, None)
            self._tell(f"- {what}")

    def _tell(self, line: str) -> None:
        try:
            if self._process:
                self._write(line)
                return
        except BrokenPipeError:
            # Somebody has ended it. Another one takes its place, and has to know everything.
            self._end()
        self._start()
        for what, more in self._notes.items():
            self._write(f"+ {what}{more}")

    def _end(self) -> None:
        """Close the pipe, so that the watchdog does what is left to do and ends."""
        process, self._process = self._process, None
        if process and process.stdin:
            process.stdin.close()
            process.wait()

    def environment(self) -> dict[str, str]:
        """Ours, with the mark of what ends with us even before it can be noted."""
        self._note(f"mark {self._mark}")
        return {**os.environ, watchdog.MARK: self._mark}

    def note_group(self, group: int, directory: Path) -> None:
        self._note(f"group {group}", f" {directory}")

    def forget_group(self, group: int) -> None:
        self._forget(f"group {group}")

    def note_directory(self, directory: Path) -> None:
        self._note(f"directory {directory}")

    def forget_directory(self, directory: Path) -> None:
        self._forget(f"directory {directory}")


_watchdog = _Watchdog()


def environment_of_ours() -> dict[str, str]:
    """Environment for a process that is to be given to `ends_with_us`.

    It ends with this process also if this one is killed before it can do so.
    """
    return _watchdog.environment()


def ends_with_us(group: int, directory: Path) -> None:
    """Have a process group killed when this process ends, however it ends.

    Args:
        group: Its number, which is the process id of its first process.
        directory: The working directory of that process.
    """
    _watchdog.note_group(group, directory)


def ended_by_us(group: int) -> None:
    """A process group is gone; its number may be given to others now."""
    _watchdog.forget_group(group)


class ZooKeeperServer:
    """One ZooKeeper server: alone, or a member of a `ZooKeeperEnsemble`.

    Args:
        settings: How to configure it.
        number: Its number in an ensemble; 0 for a server that is alone.
        members: Lines `server.N=...` of its ensemble as this server shall see it.
        port: Where clients connect; a free one by default.
        directory: Where it keeps its files, which are then kept when it is closed. By default a
            new directory, which is removed.
        network: Where it gets a namespace and an address by its number; by default it listens
            at the loopback interface.

    Entering its context starts it; leaving ends it and removes its data.

    Raises:
        LocalViolation: There is no such port, or the directory's name has several lines.
        ToolFailed: The port is taken.
    """

    def __init__(
        self,
        settings: ServerSettings | None = None,
        *,
        number: int = 0,
        members: Sequence[str] = (),
        port: int | None = None,
        directory: Path | None = None,
        network: Network | None = None,
    ) -> None:
        self.settings = settings or ServerSettings()
        self.number = number
        self._members = tuple(members)
        if directory is not None and "\n" in str(directory):
            raise LocalViolation(f"{str(directory)!r} cannot be written into a configuration")
        self._port = hold_port(port)
        # A server that is alone has the network's first place.
        self._host = network.host(number or 1) if network else LOOPBACK
        self._prefix = network.prefix(number or 1) if network else ()
        self._kept = directory is not None
        # The server runs in its directory, and the kernel tells the watchdog where that really is.
        if directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="keepstep-zookeeper-")).resolve()
            _watchdog.note_directory(self._directory)
        else:
            self._directory = directory.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._closed = False
        self._checked = False

    @property
    def address(self) -> Address:
        """Where clients connect; the same after a restart."""
        return Address(self._host, self._port.address.port)

    @property
    def data_directory(self) -> Path:
        """The directory with the server's logs and snapshots."""
        return self._directory / "data" / "version-2"

    @property
    def process_id(self) -> int:
        """Process id of the running server.

        Raises:
            LocalViolation: It does not run.
        """
        if self._process is None:
            raise LocalViolation("the server does not run; start() it first")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def paused(self) -> bool:
        """Whether it was paused and not resumed."""
        return self._paused

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _configuration(self) -> str:
        settings = self.settings
        tick = round(settings.tick * 1000)
        lines = [
            f"tickTime={tick}",
            # Where it runs; Java would read other letters than we write in a longer path.
            "dataDir=./data",
            f"clientPort={self.address.port}",
            f"clientPortAddress={self.address.host}",
            "admin.enableServer=false",
            "4lw.commands.whitelist=*",
            "maxClientCnxns=0",
            f"minSessionTimeout={2 * tick}",
            f"maxSessionTimeout={round(settings.longest_session * 1000)}",
        ]
        if self._members:
            lines += [
                f"initLimit={settings.init_limit}",
                f"syncLimit={settings.sync_limit}",
                "standaloneEnabled=false",
                *self._members,
            ]
        return "\n".join(lines) + "\n"

    def launch(self) -> None:
        """Start the process and return at once.

        Raises:
            LocalViolation: It runs already, or was closed.
            ToolMissing: Java or ZooKeeper are not there.
        """
        if self._closed:
            raise LocalViolation("the server was closed; make a new one")
        if self.running:
            raise LocalViolation("the server runs already")
        data = self._directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        if self.number:
            (data / "myid").write_text(f"{self.number}\n")
        configuration = self._directory / "zoo.cfg"
        configuration.write_text(self._configuration())
        installation = find_installation(self.settings.home)
        sync = "yes" if self.settings.force_sync else "no"
        archive = None
        if self.settings.quick_start:
            archive = class_archive(installation, _JVM_OPTIONS, self._serve_once)
        with (self._directory / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *self._prefix,
                    str(installation.java),
                    *_JVM_OPTIONS,
                    *([f"-XX:SharedArchiveFile={archive}"] if archive else []),
                    f"-Dzookeeper.forceSync={sync}",
                    *self.settings.jvm_options,
                    "-cp",
                    os.pathsep.join(map(str, installation.classpath)),
                    _MAIN_CLASS,
                    f"./{configuration.name}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                # With any other letters in the path of its directory Java is lost in the C locale.
                env={**_watchdog.environment(), "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        self._paused = False
        _watchdog.note_group(self._process.pid, self._directory)

    def _serve_once(self, options: tuple[str, ...]) -> None:
        """Run another server with these options of the Java machine, and use it a little."""
        settings = ServerSettings(home=self.settings.home, jvm_options=options, quick_start=False)
        # A quorum of one needs the classes of servers that are alone, and those of ensembles.
        with ZooKeeperEnsemble(1, settings) as ensemble:
            with WireClient(ensemble.leader().address) as client:
                client.create("/once", ephemeral=True)
                client.get_children("/", watch=True)
                client.multi([Check("/once", 0), Delete("/once")])
            dump(ensemble.leader().address)

    def mode(self) -> str | None:
        """`standalone`, `leader` or `follower`; None while it does not serve."""
        return mode_of(self.address) if self.running and not self._paused else None

    def wait_until_serving(self) -> str:
        """Wait until it serves, and return its mode.

        Raises:
            ToolFailed: It ended, or took longer than `settings.start_timeout`.
        """
        deadline = time.monotonic() + self.settings.start_timeout
        while True:
            mode = self.mode()
            if mode and self._is_known_by_now():
                return mode
            if not self.running or time.monotonic() > deadline:
                raise ToolFailed(self._failure())
            time.sleep(0.005)

    def _is_known_by_now(self) -> bool:
        """Whether it has said its version, which may be another one than its jar's name says.

        Raises:
            ToolFailed: It is older than what is supported.
        """
        if not self._checked:
            try:
                check_server(self.address)
            except (ConnectionEnded, RemoteViolation):
                # It lost its leader in the meantime.
                return False
            self._checked = True
        return True

    def _failure(self) -> str:
        fate = "is silent" if self.running else "has ended"
        told = f"the ZooKeeper server at {self.address} {fate}"
        if not self.running and not self._prefix and not is_free(self.address.port):
            return f"{told}: another program listens at port {self.address.port}"
        return f"{told}; it said: {self._said()}"

    def _said(self) -> str:
        output = self._directory / "output.txt"
        text = output.read_text(errors="replace") if output.exists() else ""
        return text[-_OUTPUT_TAIL:].strip() or "nothing"

    def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            LocalViolation: It runs already, or was closed.
            ToolMissing: Java or ZooKeeper are not there.
            ToolFailed: It does not serve in time.
        """
        self.launch()
        self.wait_until_serving()

    def _signal(self, number: signal.Signals) -> None:
        if not self.running:
            raise LocalViolation("the server does not run")
        os.killpg(self.process_id, number)

    def pause(self) -> None:
        """Stop its clock: it neither answers nor expires anything until `resume`."""
        stood_still = self._paused
        self._signal(signal.SIGSTOP)
        self._paused = True
        # The signal is only sent by now; the kernel tells when the last thread stands still, and
        # tells it once.
        while (
            not stood_still
            and self.running
            and not os.waitid(os.P_PID, self.process_id, os.WSTOPPED | os.WNOHANG)
        ):
            time.sleep(0.001)

    def resume(self) -> None:
        """Let it run on after `pause`."""
        self._signal(signal.SIGCONT)
        self._paused = False

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            # A paused process would not take note of an orderly signal.
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, number)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        _watchdog.forget_group(process.pid)
        self._process = None
        self._paused = False

    def stop(self) -> None:
        """End it in an orderly way; its data stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would; its data stays."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again at the same address with the same data."""
        self.kill()
        self.start()

    def wipe(self) -> None:
        """Kill it, remove all of its data and start it again: a new, empty ZooKeeper."""
        self.kill()
        self.forget_data()
        self.start()

    def forget_data(self) -> None:
        """Remove all data of a server that does not run.

        Raises:
            LocalViolation: It runs.
        """
        if self.running:
            raise LocalViolation("the server runs; stop() it before its data is removed")
        shutil.rmtree(self._directory / "data", ignore_errors=True)

    def close(self) -> None:
        """End it and remove everything of it; may be called again."""
        if self._closed:
            return
        self._closed = True
        try:
            self._end(signal.SIGTERM if self._kept else signal.SIGKILL)
        finally:
            if self._kept:
                for name in ("zoo.cfg", "output.txt"):
                    (self._directory / name).unlink(missing_ok=True)
            else:
                shutil.rmtree(self._directory, ignore_errors=True)
                _watchdog.forget_directory(self._directory)
            self._port.release()


class ZooKeeperEnsemble:
    """Several servers that form one ZooKeeper.

    Args:
        size: Number of servers, at least 1.
        settings: How to configure each.
        links: Whether all traffic between servers passes proxies, for lag and partitions.
        port: Where clients of server 1 connect, those of the next one port higher; free ones by
            default.
        directory: Where the servers keep their files, which are then kept when they are closed.
        network: Where each gets a namespace and an address, for partitions that the kernel makes.

    Attributes:
        network: As given.
        servers: By number, which starts at 1.

    Raises:
        LocalViolation: It would have no server.
        ToolFailed: A port is taken.
    """

    def __init__(
        self,
        size: int = 3,
        settings: ServerSettings | None = None,
        *,
        links: bool = False,
        port: int | None = None,
        directory: Path | None = None,
        network: Network | None = None,
    ) -> None:
        if size < 1:
            raise LocalViolation("an ensemble has at least one server")
        if links and network:
            raise LocalViolation("servers are separated by proxies or by the kernel, not by both")
        self.settings = settings or ServerSettings()
        self.network = network
        self.servers: dict[int, ZooKeeperServer] = {}
        self._ports: dict[int, tuple[HeldPort, HeldPort]] = {}
        self._links: dict[tuple[int, int], tuple[FaultProxy, FaultProxy]] = {}
        try:
            self._make(range(1, size + 1), port, directory, links=links)
        except BaseException:
            self.close()
            raise

    def _make(
        self, numbers: range, port: int | None, directory: Path | None, *, links: bool
    ) -> None:
        for number in numbers:
            self._ports[number] = hold_port(), hold_port()
        if links:
            for here in numbers:
                for there in numbers:
                    if here != there:
                        quorum, election = (
                            FaultProxy(held.address, framed=False) for held in self._ports[there]
                        )
                        self._links[here, there] = quorum, election
        for number in numbers:
            self.servers[number] = ZooKeeperServer(
                self.settings,
                number=number,
                members=[self._line(number, n) for n in numbers],
                port=None if port is None else port + number - 1,
                directory=None if directory is None else directory / f"server-{number}",
                network=self.network,
            )

    def _line(self, here: int, there: int) -> str:
        quorum, election = (port.address.port for port in self._ports[there])
        if (here, there) in self._links:
            quorum, election = (proxy.address.port for proxy in self._links[here, there])
        host = self.network.host(there) if self.network else LOOPBACK
        return f"server.{there}={host}:{quorum}:{election}"

    @property
    def linked(self) -> bool:
        """Whether the traffic between servers passes proxies."""
        return bool(self._links)

    @property
    def hosts(self) -> str:
        """Connect string of all servers."""
        return ",".join(str(server.address) for server in self.servers.values())

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start all servers and wait until all of them serve.

        Raises:
            ToolFailed: They do not find together in time.
        """
        for server in self.servers.values():
            server.launch()
        for server in self.servers.values():
            server.wait_until_serving()

    def leader(self) -> ZooKeeperServer:
        """The server that leads now.

        Raises:
            ToolFailed: None did so within `settings.start_timeout`.
        """
        deadline = time.monotonic() + self.settings.start_timeout
        while time.monotonic() < deadline:
            for server in self.servers.values():
                if server.mode() == "leader":
                    return server
            time.sleep(0.005)
        raise ToolFailed("no server of the ensemble leads")

    def followers(self) -> list[ZooKeeperServer]:
        """The servers that follow now, by number."""
        return [server for server in self.servers.values() if server.mode() == "follower"]

    def _between(self, one: int, other: int) -> list[FaultProxy]:
        if not self._links:
            raise LocalViolation("the ensemble was made without links=True")
        return [*self._links[one, other], *self._links[other, one]]

    def delay(self, one: int, other: int, seconds: float) -> None:
        """Let every byte between two servers take this much longer; 0 ends it."""
        for proxy in self._between(one, other):
            proxy.delay(seconds)

    def separate(self, one: int, other: int) -> None:
        """Let no byte pass between two servers; what was sent waits for `rejoin`."""
        if self.network:
            self.network.separate(one, other)
            return
        for proxy in self._between(one, other):
            proxy.hold()

    def rejoin(self, one: int, other: int) -> None:
        """End `separate`."""
        if self.network:
            self.network.rejoin(one, other)
            return
        for proxy in self._between(one, other):
            proxy.release()

    def rejoin_all(self) -> None:
        """End every `separate` and `delay`."""
        if self.network:
            self.network.rejoin_all()
        for pair in self._links.values():
            for proxy in pair:
                proxy.delay(0.0)
                proxy.release()

    def close(self) -> None:
        """End all servers and remove everything of them; may be called again."""
        # The last ones first, and all of them, even if the end of one is interrupted.
        with contextlib.ExitStack() as stack:
            for ports in self._ports.values():
                for port in ports:
                    stack.callback(port.release)
            for pair in self._links.values():
                for proxy in pair:
                    stack.callback(proxy.close)
            for server in self.servers.values():
                stack.callback(server.close)
