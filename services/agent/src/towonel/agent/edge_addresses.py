"""Addresses of an edge: all that its advertised names stand for."""

import asyncio
from collections.abc import Iterable

from towonel.runtime.dns.resolver import Resolver, SocketAddress
from towonel.runtime.logs import describe_error

RESOLVE_S = 5.0
SETTLE_S = 0.05  # for slower names, once one has resolved (RFC 8305 §3)

type _Answer = tuple[SocketAddress, ...] | OSError


async def resolve_edge(
    resolver: Resolver, advertised: Iterable[tuple[str, int]], within_s: float = RESOLVE_S
) -> list[SocketAddress]:
    """Return the addresses of an edge, in the order of what it advertises.

    A name that does not resolve in time is left out; its addresses are tried with the next dialling.

    Raises:
        OSError: none resolves.
    """
    async with asyncio.TaskGroup() as tasks:
        lookups = [tasks.create_task(_resolve(resolver, *address)) for address in advertised]
        await _wait_any(set(lookups), within_s)
        answers = [task.result() for task in lookups if task.done()]
        for task in lookups:
            task.cancel()
    found = [address for answer in answers if isinstance(answer, tuple) for address in answer]
    if not found:
        failures = [describe_error(answer) for answer in answers if isinstance(answer, OSError)]
        raise OSError("; ".join(failures) or f"no name server answers within {within_s:g} s")
    return found


async def _wait_any(left: set[asyncio.Task[_Answer]], within_s: float) -> None:
    """Wait until an address is known, and a little for those of other names."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + within_s
    while left and (wait_s := end_s - loop.time()) > 0:
        done, left = await asyncio.wait(left, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        if any(isinstance(task.result(), tuple) for task in done):
            end_s = min(end_s, loop.time() + SETTLE_S)


async def _resolve(resolver: Resolver, host: str, port: int) -> _Answer:
    try:
        return await resolver.resolve(host, port)
    except OSError as error:
        return OSError(f"{host}: {error.strerror or describe_error(error)}")
