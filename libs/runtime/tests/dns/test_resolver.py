"""Resolver: a name server that does not answer costs its own names, and nothing else."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Any, override

import pytest

from towonel.runtime.dns.lookups import Answer, EventLoop, LookupThreads
from towonel.runtime.dns.resolver import (
    FRESH_S,
    MAX_NAMES,
    MIN_AGE_S,
    STALE_S,
    Resolver,
)

DEAD = "dead.example.eu"


def answer(*addresses: str) -> Answer:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


@dataclass
class NameServer:
    """Name server whose answers are set, and that does not answer for `DEAD` until its end."""

    found: Answer | Exception = field(default_factory=lambda: answer("192.0.2.1"))
    asked: list[object] = field(default_factory=list[object])
    ended: threading.Event = field(default_factory=threading.Event)
    is_dead: bool = False
    waiting: int = 0

    def look_up(self, host: str, *_: object) -> Answer:
        self.asked.append(host)
        if host.endswith(DEAD) or self.is_dead:
            self.waiting += 1
            assert self.ended.wait(20)
            self.waiting -= 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.ended.set()


async def code_of(asking: Awaitable[Answer]) -> int | None:
    with pytest.raises(socket.gaierror) as caught:
        await asking
    return caught.value.errno


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Cached:
    """A resolver whose clock and name server are set."""

    server: NameServer
    clock: Clock = field(default_factory=Clock)
    stale_wait_s: float = 20.0
    resolver: Resolver = field(init=False)

    def __post_init__(self) -> None:
        lookups = LookupThreads(self.server.look_up)
        self.resolver = Resolver(lookups, self.clock, stale_wait_s=self.stale_wait_s)

    async def address(self, host: str = "a.example.eu") -> str:
        return (await self.resolver.resolve(host, 80))[0][0]


@pytest.fixture
def cached(server: NameServer) -> Cached:
    return Cached(server)


async def test_many_who_ask_for_a_dead_name_take_one_thread_and_delay_no_other(
    server: NameServer, cached: Cached
) -> None:
    before = threading.active_count()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(cached.address(DEAD)) for _ in range(12)]
        while DEAD not in server.asked:
            await asyncio.sleep(0.01)

        assert await cached.address() == "192.0.2.1"
        assert threading.active_count() <= before + 2
        asking.pop().cancel()
        server.ended.set()

    assert {task.result() for task in asking} == {"192.0.2.1"}
    assert server.asked.count(DEAD) == 1


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", ("192.0.2.7", 80)),
        ("2001:db8::7", ("2001:db8::7", 80, 0, 0)),
        ("::1", ("::1", 80, 0, 0)),
    ],
)
async def test_an_address_is_its_own_without_a_lookup(
    server: NameServer, cached: Cached, host: str, expected: object
) -> None:
    assert await cached.resolver.resolve(host, 80) == (expected,)
    assert server.asked == []


async def test_more_names_than_threads_queue_and_are_answered(server: NameServer) -> None:
    lookups = LookupThreads(server.look_up, max_threads=2)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        dead = [tasks.create_task(lookups.ask(f"{n}.{DEAD}")) for n in range(2)]
        queued = tasks.create_task(lookups.ask("a.example.eu"))
        while len(server.asked) < 2:
            await asyncio.sleep(0.01)
        assert "a.example.eu" not in server.asked
        server.ended.set()

    assert all(task.result() for task in [*dead, queued])


@dataclass
class ThreadLimit:
    """Maker of threads that do not start while the system has no more, as `Thread.start` tells it."""

    is_reached: bool = True

    def __call__(self, **arguments: Any) -> threading.Thread:
        limit = self

        class LimitedThread(threading.Thread):
            @override
            def start(self) -> None:
                if limit.is_reached:
                    raise RuntimeError("can't start new thread")
                super().start()

        return LimitedThread(**arguments)


async def test_a_name_without_a_thread_fails_and_is_looked_up_once_there_are_some(
    server: NameServer,
) -> None:
    limit = ThreadLimit()
    lookups = LookupThreads(server.look_up, max_threads=1, make_thread=limit)
    async with asyncio.timeout(10):
        for _ in range(3):
            with pytest.raises(OSError, match="can't start new thread"):
                await lookups.ask("a.example.eu")
        limit.is_reached = False

        assert await lookups.ask("a.example.eu") == answer("192.0.2.1")


async def test_an_answer_is_given_though_no_thread_is_left_for_those_that_queue(
    server: NameServer,
) -> None:
    limit = ThreadLimit(is_reached=False)
    lookups = LookupThreads(server.look_up, max_threads=1, make_thread=limit)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        dead = tasks.create_task(lookups.ask(DEAD))
        queued = [tasks.create_task(code_of(lookups.ask(f"{n}.eu"))) for n in range(2)]
        while DEAD not in server.asked:
            await asyncio.sleep(0.01)
        limit.is_reached = True
        server.ended.set()

    assert dead.result() == answer("192.0.2.1")
    assert [task.result() for task in queued] == [socket.EAI_AGAIN] * 2


async def test_an_answer_is_used_again_while_it_is_fresh(
    server: NameServer, cached: Cached
) -> None:
    await cached.address()
    server.found = answer("192.0.2.2")
    cached.clock.now_s += FRESH_S - 0.1

    assert await cached.address() == "192.0.2.1"
    cached.clock.now_s += 0.1
    assert await cached.address() == "192.0.2.2"


async def test_an_answer_that_is_expired_is_asked_for_anew(
    server: NameServer, cached: Cached
) -> None:
    await cached.address()
    server.found = answer("192.0.2.2")
    cached.clock.now_s += MIN_AGE_S
    cached.resolver.expire("a.example.eu")
    cached.resolver.expire("unknown.example.eu")

    assert await cached.address() == "192.0.2.2"


async def test_an_origin_that_refuses_every_client_costs_one_look_up_a_second(
    server: NameServer, cached: Cached
) -> None:
    for _ in range(30):
        await cached.address()
        cached.resolver.expire("a.example.eu")
        cached.clock.now_s += MIN_AGE_S / 10

    assert len(server.asked) == 3


@pytest.mark.parametrize("way", ["silent", "away"])
async def test_the_last_answer_is_used_while_name_servers_are_away_and_not_for_ever(
    server: NameServer, way: str
) -> None:
    cached = Cached(server, stale_wait_s=0.02)
    await cached.address()
    cached.clock.now_s += STALE_S - 1
    server.is_dead, server.found = way == "silent", socket.gaierror(socket.EAI_AGAIN, "away")

    assert await cached.address() == "192.0.2.1"
    cached.clock.now_s += 1
    server.ended.set()
    with pytest.raises(socket.gaierror, match="away"):
        await cached.address()


async def test_a_name_that_is_gone_is_gone_at_once(server: NameServer, cached: Cached) -> None:
    await cached.address()
    cached.clock.now_s += FRESH_S
    server.found = socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(socket.gaierror, match="unknown"):
        await cached.address()


async def test_a_text_that_cannot_be_a_name_does_not_resolve(cached: Cached) -> None:
    resolver = Resolver()
    for host in ("a..b", "x" * 64, "", "a b"):
        with pytest.raises(socket.gaierror):
            await resolver.resolve(host, 80)


async def test_the_cache_forgets_the_oldest_name(server: NameServer, cached: Cached) -> None:
    for number in range(MAX_NAMES + 1):
        await cached.address(f"n{number}.example.eu")

    assert len(cached.resolver._cache) == MAX_NAMES
    assert "n0.example.eu" not in cached.resolver._cache


async def test_the_systems_hosts_file_counts() -> None:
    assert ("127.0.0.1", 80) in await Resolver().resolve("localhost", 80)


def test_a_loop_ends_while_a_name_server_is_silent(server: NameServer) -> None:
    async def look_up() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.get_running_loop().getaddrinfo(DEAD, 80)

    loop = EventLoop()
    loop._lookups = LookupThreads(server.look_up)
    asyncio.run(look_up(), loop_factory=lambda: loop)

    assert server.waiting == 1
