"""One contender of kazoo's own Election as a process, to compare with.

Prints the moments of the machine's monotonic clock at which it begins to lead, as JSON; reads
"resign", upon which it returns from the leader function and contends again.

    python kazoo_contender.py HOSTS PATH ID SESSION_TIMEOUT
"""

from __future__ import annotations

import json
import sys
import threading
import time

from kazoo.client import KazooClient


def main() -> None:
    hosts, path, identity, timeout = sys.argv[1:]
    retry = {"max_tries": -1, "delay": 0.05, "max_delay": float(timeout) / 10}
    client = KazooClient(hosts, timeout=float(timeout), connection_retry=retry)
    client.start()
    print(json.dumps({"event": "connected"}), flush=True)
    resign = threading.Event()

    def lead() -> None:
        resign.clear()
        print(json.dumps({"event": "elected", "at": time.monotonic()}), flush=True)
        resign.wait()

    def contend() -> None:
        while True:
            client.Election(path, identity).run(lead)

    threading.Thread(target=contend, daemon=True).start()
    for line in sys.stdin:
        if line.strip() == "resign":
            resign.set()


main()
