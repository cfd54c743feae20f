"""Load that runs in a pod, with nothing but Python: `guest_load.py EDGES NAME AUTHORITIES HUB FOLDER`.

Its input is the operator's key. It is detached, since a load may last for longer than the connection of who starts it: it
goes on until there is a file `over` in the folder, and then writes `outcome` there. Until then it asks for a page through the edges 200 times a second: 50 of these requests have a connection of
their own, and 150 use one of 30 connections, each of which is replaced after eight seconds. Beside them it asks the hub
for its invites ten times a second. EDGES and HUB are host:port. A request of its own connection is made when its time has
come, whatever became of those before it, up to a number. Those that fail are told by their reasons, with when.
"""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

NEW_PER_S, CONNECTIONS, REUSES_PER_S, REQUESTS_EACH, API_PER_S = 50.0, 30, 5.0, 40, 10.0
MAX_WAITING = 100  # of each kind: a machine without time for all this is to get no flood
PATIENCE_S = 15.0  # of a client
OFTEN_S = 0.1
FAILURES = OSError, EOFError, TimeoutError

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Target:
    """Where requests go, and what they carry."""

    kind: str
    address: tuple[str, int]
    head: bytes
    context: ssl.SSLContext | None = None
    name: str | None = None

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Streams]:
        async with asyncio.timeout(PATIENCE_S):
            streams = await asyncio.open_connection(
                *self.address, ssl=self.context, server_hostname=self.name
            )
        try:
            yield streams
        finally:
            streams[1].transport.abort()

    async def ask(self, streams: Streams) -> None:
        """Do one request, which must be answered with 200."""
        reader, writer = streams
        writer.write(self.head)
        async with asyncio.timeout(PATIENCE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            await reader.readexactly(length)
        if " 200 " not in head.partition("\r\n")[0]:
            raise ConnectionError(head.partition("\r\n")[0])


@dataclass
class Failures:
    """Requests that failed for one reason: when they began, and how long they took."""

    first_s: float
    last_s: float = 0.0
    longest_s: float = 0.0
    count: int = 0

    def describe(self) -> str:
        when = f"{self.first_s:.1f} to {self.last_s:.1f} s"
        return f"{self.count}, begun at {when}, failed after {self.longest_s:.2f} s at most"


@dataclass
class Load:
    """Requests until they are told to end, and what became of them."""

    web: Target
    api: Target
    end_file: Path
    began: float = field(default_factory=time.monotonic)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Failures] = field(default_factory=dict)
    slowest_s: float = 0.0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.offer(group, self.web, NEW_PER_S))
            group.create_task(self.offer(group, self.api, API_PER_S))
            for number in range(CONNECTIONS):
                group.create_task(self.keep(number / CONNECTIONS))
            while not self.end_file.exists():
                await asyncio.sleep(OFTEN_S)
            self.over.set()

    async def offer(self, group: asyncio.TaskGroup, target: Target, per_s: float) -> None:
        """Begin requests at a rate that does not depend on the answers."""
        number, waiting = 0, asyncio.Semaphore(MAX_WAITING)
        while not self.over.is_set():
            await waiting.acquire()
            group.create_task(self.ask(target)).add_done_callback(lambda _: waiting.release())
            number += 1
            await sleep_until(self.began + number / per_s)

    async def ask(self, target: Target) -> None:
        """Do a request on a connection of its own."""
        started = time.monotonic()
        try:
            async with target.connect() as streams:
                await target.ask(streams)
        except FAILURES as error:
            self.report(target.kind, started, error)
        else:
            self.count(target.kind, started)

    async def keep(self, share: float) -> None:
        """Use connections one after another, whose ends are not all at the same time."""
        left = 1 + int(share * REQUESTS_EACH)
        while not self.over.is_set():
            started = time.monotonic()
            try:
                async with self.web.connect() as streams:
                    while left and not self.over.is_set():
                        await self.web.ask(streams)
                        self.count("reused", started)
                        left -= 1
                        await sleep_until(started + 1 / REUSES_PER_S)
                        started = time.monotonic()
            except FAILURES as error:
                self.report("reused", started, error)
                await sleep_until(started + 1 / REUSES_PER_S)
            left = REQUESTS_EACH

    def count(self, kind: str, started: float) -> None:
        self.done[kind] += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - started)

    def report(self, kind: str, started: float, error: Exception) -> None:
        self.failed[kind] += 1
        now = time.monotonic()
        alike = self.failures.setdefault(f"{kind}: {error!r}", Failures(started - self.began))
        alike.count += 1
        alike.last_s = started - self.began
        alike.longest_s = max(alike.longest_s, now - started)

    def outcome(self) -> dict[str, object]:
        return {
            "seconds": round(time.monotonic() - self.began, 1),
            "done": dict(self.done),
            "failed": dict(self.failed),
            "failures": [f"{why}: {alike.describe()}" for why, alike in self.failures.items()],
            "slowest_s": round(self.slowest_s, 3),
        }


async def sleep_until(due: float) -> None:
    await asyncio.sleep(max(0.0, due - time.monotonic()))


def address(text: str) -> tuple[str, int]:
    """Return where a Service is: its name is looked up once, so that no request waits for name servers."""
    host, _, port = text.rpartition(":")
    return socket.gethostbyname(host), int(port)


def main(edges: str, name: str, authorities: str, hub: str, folder: str) -> None:
    key = sys.stdin.read().strip()
    context = ssl.create_default_context(cafile=authorities)
    page = f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
    invites = (
        f"GET /v1/invites?limit=1 HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {key}\r\n\r\n"
    )
    load = Load(
        Target("new", address(edges), page, context, name),
        Target("api", address(hub), invites.encode()),
        Path(folder) / "over",
    )
    if os.fork():
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # which `kubectl exec` waits for
        os.dup2(nothing, standard)
    asyncio.run(load.run())
    whole = Path(folder) / "outcome.new"
    whole.write_text(json.dumps(load.outcome()))
    whole.rename(whole.with_suffix(""))


if __name__ == "__main__":
    main(*sys.argv[1:])
