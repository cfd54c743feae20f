"""A load generator in a process of its own, so that its work is not the test's.

    python load.py PORT HOSTNAME CA_FILE WORKERS REQUESTS_EACH keep|new

Each worker does its requests one after another: on one connection (`keep`), or each on a new one.
It prints one JSON object a line: a progress line per ended worker, and the totals last. A request
that fails is counted by the name of its exception, and the worker goes on with a new connection.
"""

import asyncio
import contextlib
import ssl
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from e2e.clients import Client, request


@dataclass
class Load:
    client: Client
    keep: bool
    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    longest_gap_s: float = 0.0  # between two answers of any worker
    last_answer: float = field(default_factory=time.monotonic)

    async def work(self, requests: int) -> None:
        left = requests
        while left > 0:
            try:
                async with asyncio.timeout(40), self.client.connect() as streams:
                    while left > 0:
                        await request(streams, self.client.hostname)
                        left -= 1
                        self.answered()
                        if not self.keep:
                            break
            except (OSError, EOFError, TimeoutError, AssertionError) as error:
                self.failed[type(error).__name__] += 1
                left -= 1

    def answered(self) -> None:
        now = time.monotonic()
        self.longest_gap_s = max(self.longest_gap_s, now - self.last_answer)
        self.last_answer = now
        self.done += 1

    async def report(self) -> None:
        while True:
            await asyncio.sleep(0.1)


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
    {
        "done": load.done,
        "failed": dict(load.failed),
        "longest_gap_s": round(load.longest_gap_s, 3),
        "seconds": round(time.monotonic() - started, 2),
    }


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
