"""Load generator in a process of its own, so that its work is not the test's.

    python load.py PORT HOSTNAME CA_FILE WORKERS REQUESTS_EACH keep|new

Each worker does its requests one after another: on one connection (`keep`), with a pause after each, or
each on a new one.
It prints one JSON object a line: a progress line per ended worker, and the totals last. A request
that fails is counted by the name of its exception, and the worker goes on with a new connection.
"""

import asyncio
import contextlib
import json
import ssl
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from support.clients import Client, request

PAUSE_S = 0.05  # so that connections last until a test has acted on them


@dataclass
class Load:
    client: Client
    keep: bool
    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0  # of the requests that succeeded, connecting included

    async def work(self, requests: int) -> None:
        left = requests
        while left > 0:
            started = time.monotonic()
            try:
                async with asyncio.timeout(40), self.client.connect() as streams:
                    while left > 0:
                        await request(streams, self.client.hostname)
                        left -= 1
                        self.done += 1
                        self.slowest_s = max(self.slowest_s, time.monotonic() - started)
                        if not self.keep:
                            break
                        await asyncio.sleep(PAUSE_S)
                        started = time.monotonic()
            except (OSError, EOFError, TimeoutError, AssertionError) as error:
                self.failed[type(error).__name__] += 1
                left -= 1

    async def report(self) -> None:
        while True:
            say({"progress": self.done})
            await asyncio.sleep(0.05)


async def main(port: str, hostname: str, ca_file: str, workers: str, each: str, mode: str) -> None:
    context = ssl.create_default_context(cafile=ca_file)
    load = Load(Client(int(port), context, hostname), mode == "keep")
    started = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        reporting = tasks.create_task(load.report())
        async with asyncio.TaskGroup() as group:
            for _ in range(int(workers)):
                group.create_task(load.work(int(each)))
        reporting.cancel()
    say(
        {
            "done": load.done,
            "failed": dict(load.failed),
            "slowest_s": round(load.slowest_s, 3),
            "seconds": round(time.monotonic() - started, 2),
        }
    )


def say(line: dict[str, object]) -> None:
    """Tell the test; the other end of the pipe may be gone."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
