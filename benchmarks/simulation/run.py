"""How many short runs a second the fake ZooKeeper makes. README.md says what is measured."""

from __future__ import annotations

import argparse
import json
import statistics
import time

from keepstep.simulation import FakeZooKeeper
from keepstep.testing import Check, SetData

BAR = 1000


def short_run(servers: int, seed: int) -> int:
    """Two clients, eleven requests, a session that ends; the number of steps."""
    zookeeper = FakeZooKeeper(servers=servers, seed=seed)
    one, two = zookeeper.connect(0), zookeeper.connect(servers - 1)
    one.create("/e")
    two.sync()
    path = one.create("/e/n-", sequential=True, ephemeral=True)
    two.create("/e/n-", sequential=True, ephemeral=True)
    two.exists(path, watch=True)
    one.set_data("/e", b"1")
    one.get_children("/e")
    one.multi([Check("/e", 1), SetData("/e", b"2")])
    one.end()
    zookeeper.settle()
    two.get_children("/e")
    two.multi([Check("/e", 2), SetData("/e", b"3")])
    return zookeeper.steps


def measure(servers: int, runs: int, batches: int = 7) -> dict[str, float]:
    """Runs a second of processor time, of several batches; and steps a run."""
    rates = []
    steps = 0
    for batch in range(batches):
        began = time.process_time()
        steps += sum(short_run(servers, batch * runs + seed) for seed in range(runs))
        rates.append(runs / (time.process_time() - began))
    return {
        "servers": servers,
        "runs a second": round(statistics.median(rates)),
        "best": round(max(rates)),
        "steps a run": round(steps / (runs * batches), 1),
    }


def main() -> int:
    """Measure with 1 and 3 servers; 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="runs in a batch [500]")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args()
    figures = [measure(servers, chosen.runs) for servers in (1, 3)]
    for found in figures:
        print(
            json.dumps(found) if chosen.json else ", ".join(f"{k}: {v}" for k, v in found.items())
        )
    return 0 if all(found["runs a second"] >= BAR for found in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
