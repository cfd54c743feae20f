"""Latency probe of a hub: small requests again and again show what holds up its event loop.

    python latency_probe.py URL         prints a line and begins; ends with its standard input, and prints
                                {"others_waited_ms": the longest, "others_median_ms": …}

A process of its own, so that what it sees is the hub and not the benchmark.
"""

import http.client
import json
import select
import statistics
import sys
import time
from urllib.parse import urlsplit

PAUSE_S = 0.005


def main(url: str) -> None:
    where = urlsplit(url)
    hub = http.client.HTTPConnection(where.hostname or "", where.port)
    probe(hub)  # the first is slower: a hub makes much of itself when it is needed
    waits = [probe(hub)]
    print("begun", flush=True)
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        waits.append(probe(hub))
    print(
        json.dumps(
            {
                "others_waited_ms": max(waits),
                "others_median_ms": statistics.median(waits),
            }
        )
    )


def probe(hub: http.client.HTTPConnection) -> float:
    started = time.perf_counter()
    hub.request("GET", "/v1/health")
    answer = hub.getresponse()
    answer.read()
    assert answer.status == 200
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main(sys.argv[1])
