"""Resolver of names with a cache, over the system's own."""

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from towonel.runtime.dns.lookups import Answer, LookupThreads

type SocketAddress = tuple[str, int] | tuple[str, int, int, int]

MAX_NAMES = 1_024  # in the cache
FRESH_S = 5.0  # a container that is started anew has another address
MIN_AGE_S = 1.0  # so long an answer counts, even if nothing answers at its addresses
STALE_S = 3_600.0  # while name servers do not answer, the last addresses are used (RFC 8767)
STALE_WAIT_S = 1.0  # for an answer, where there are such addresses


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
        min_age_s: of an answer before `expire` has an effect.
    """

    def __init__(
        self,
        lookups: LookupThreads | None = None,
        clock: Callable[[], float] = time.monotonic,
        stale_wait_s: float = STALE_WAIT_S,
        min_age_s: float = MIN_AGE_S,
    ) -> None:
        self._lookups = lookups or LookupThreads()
        self._clock = clock
        self._stale_wait_s = stale_wait_s
        self._min_age_s = min_age_s
        self._cache: dict[str, _Entry] = {}

    async def resolve(self, host: str, port: int) -> tuple[SocketAddress, ...]:
        """Return the addresses of a name, in the system's order; an address is its own.

        Raises:
            OSError: the name does not resolve.
        """
        known = parse_address(host, port)
        return known or tuple(_with_port(address, port) for address in await self._find(host))

    def expire(self, host: str) -> None:
        """Have a name looked up anew: nothing answers at its addresses. Not if it just was."""
        entry, now_s = self._cache.get(host), self._clock()
        if entry and now_s - entry.at_s >= self._min_age_s:
            self._cache[host] = replace(entry, at_s=min(entry.at_s, now_s - FRESH_S))

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


def parse_address(host: str, port: int) -> tuple[SocketAddress, ...]:
    """Return what an IP address stands for, with its zone; nothing for a name."""
    try:
        answer: Answer = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError):
        return ()
    return tuple(address for *_, address in answer)
