"""Resolver of names: the system's, in threads of its own, with a cache.

The system's `getaddrinfo` knows what the machine knows (the hosts file, search domains, mDNS), and
blocks for as long as a name server does not answer. So each name has at most one thread, which waits
for itself alone: other names, addresses, and the end of the process do not wait for it.
"""

import asyncio
import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any, override

type SocketAddress = tuple[str, int] | tuple[str, int, int, int]
type Answer = list[tuple[Any, Any, int, str, Any]]  # as of `socket.getaddrinfo`
type LookUp = Callable[..., Answer]
type Question = tuple[object, ...]

MAX_THREADS = 64  # names that are asked for at once; further ones queue
MAX_NAMES = 1_024  # in the cache
FRESH_S = 5.0  # a container that is started anew has another address
STALE_S = 3_600.0  # while name servers do not answer, the last addresses are used (RFC 8767)
STALE_WAIT_S = 1.0  # for an answer, where there are such addresses


class LookupThreads:
    """Threads that wait for name servers, one for a question, however many ask it.

    Args:
        look_up: blocks, and answers as `socket.getaddrinfo` does.
        max_threads: at once; further questions queue.
    """

    def __init__(
        self, look_up: LookUp = socket.getaddrinfo, max_threads: int = MAX_THREADS
    ) -> None:
        self._look_up = look_up
        self._max_threads = max_threads
        self._running = 0
        self._queue: deque[Question] = deque()
        self._answers: dict[Question, asyncio.Future[Answer]] = {}

    async def ask(self, *question: object) -> Answer:
        """Return the answer to a question; who stops waiting stops nobody else.

        Raises:
            OSError: the name does not resolve.
        """
        answer = self._answers.get(question)
        if answer is None:
            answer = self._answers[question] = asyncio.get_running_loop().create_future()
            self._queue.append(question)
            self._start_threads()
        return await asyncio.shield(answer)

    def _start_threads(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue and self._running < self._max_threads:
            self._running += 1
            # A daemon: the process ends without it.
            Thread(target=self._run, args=(loop, self._queue.popleft()), daemon=True).start()

    def _run(self, loop: asyncio.AbstractEventLoop, question: Question) -> None:
        try:
            found: Answer | Exception = self._look_up(*question)
        except Exception as error:  # noqa: BLE001 whoever asks gets it
            found = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(self._finish, question, found)

    def _finish(self, question: Question, found: Answer | Exception) -> None:
        self._running -= 1
        self._start_threads()
        answer = self._answers.pop(question)
        if isinstance(found, UnicodeError):  # of the IDNA codec
            found = socket.gaierror(socket.EAI_NONAME, "it is no name that DNS can hold")
        if isinstance(found, Exception):
            answer.set_exception(found)
            answer.exception()  # read here: all who asked may have stopped waiting
        else:
            answer.set_result(found)


class EventLoop(asyncio.SelectorEventLoop):
    """Event loop whose libraries look names up in such threads, too."""

    def __init__(self) -> None:
        super().__init__()
        self._lookups = LookupThreads()

    @override
    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Answer:
        """See `asyncio.loop.getaddrinfo`."""
        return await self._lookups.ask(host, port, family, type, proto, flags)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Addresses of a name, with port 0, and when they were asked for."""

    addresses: tuple[SocketAddress, ...]
    at_s: float


class Resolver:
    """Resolver with a cache; addresses need neither.

    Args:
        lookups: the threads.
        clock: seconds, monotonic.
        stale_wait_s: for an answer, while there are addresses that are no longer fresh.
    """

    def __init__(
        self,
        lookups: LookupThreads | None = None,
        clock: Callable[[], float] = time.monotonic,
        stale_wait_s: float = STALE_WAIT_S,
    ) -> None:
        self._lookups = lookups or LookupThreads()
        self._clock = clock
        self._stale_wait_s = stale_wait_s
        self._cache: dict[str, _Entry] = {}

    async def resolve(self, host: str, port: int) -> tuple[SocketAddress, ...]:
        """Return the addresses of a name, in the system's order; an address is its own.

        Raises:
            OSError: the name does not resolve.
        """
        found = _parse_address(host) or await self._find(host)
        return tuple(_with_port(address, port) for address in found)

    def expire(self, host: str) -> None:
        """Have a name looked up anew: nothing answers at its addresses."""
        if entry := self._cache.get(host):
            self._cache[host] = replace(entry, at_s=min(entry.at_s, self._clock() - FRESH_S))

    async def _find(self, host: str) -> tuple[SocketAddress, ...]:
        entry, now_s = self._cache.get(host), self._clock()
        if entry is None or now_s - entry.at_s >= STALE_S:
            return await self._look_up(host)
        if now_s - entry.at_s < FRESH_S:
            return entry.addresses
        try:
            async with asyncio.timeout(self._stale_wait_s):
                return await self._look_up(host)
        except TimeoutError:
            return entry.addresses
        except socket.gaierror as error:
            if error.errno != socket.EAI_AGAIN:
                raise
            return entry.addresses

    async def _look_up(self, host: str) -> tuple[SocketAddress, ...]:
        answer = await self._lookups.ask(host, None, 0, socket.SOCK_STREAM)
        addresses = tuple(address for *_, address in answer)
        self._cache.pop(host, None)
        while len(self._cache) >= MAX_NAMES:
            del self._cache[next(iter(self._cache))]
        self._cache[host] = _Entry(addresses, self._clock())
        return addresses


def _with_port(address: SocketAddress, port: int) -> SocketAddress:
    return (address[0], port) if len(address) == 2 else (address[0], port, *address[2:])  # noqa: PLR2004 IPv4


def _parse_address(host: str) -> tuple[SocketAddress, ...]:
    """Return what an IP address stands for, with its zone; nothing for a name."""
    try:
        answer: Answer = socket.getaddrinfo(
            host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError):
        return ()
    return tuple(address for *_, address in answer)
