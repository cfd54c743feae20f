"""Addresses of edges: names that do not resolve delay no others, and are named."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from towonel.agent.edge_addresses import resolve_edge
from towonel.runtime.dns.lookups import Answer, LookupThreads
from towonel.runtime.dns.resolver import Resolver

SIX, FOUR = ("2001:db8::1", 443, 0, 0), ("192.0.2.1", 443)


class Names:
    """Name servers that know two names, and do not answer for the others until the end."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.resolver = Resolver(LookupThreads(self.look_up))

    def look_up(self, host: str, *_: object) -> Answer:
        match host:
            case "both.eu":
                return [(0, 0, 0, "", (SIX[0], 0, 0, 0)), (0, 0, 0, "", (FOUR[0], 0))]
            case "unknown.eu":
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            case _:
                assert self.ended.wait(20)
                return []


@pytest.fixture
def names() -> Iterator[Names]:
    names = Names()
    yield names
    names.ended.set()


async def test_every_address_of_every_name_is_returned(names: Names) -> None:
    advertised = [("both.eu", 443), ("192.0.2.7", 8443)]

    assert await resolve_edge(names.resolver, advertised) == [SIX, FOUR, ("192.0.2.7", 8443)]


@pytest.mark.parametrize("beside", ["unknown.eu", "silent.eu"])
async def test_a_name_that_does_not_resolve_leaves_the_others(names: Names, beside: str) -> None:
    async with asyncio.timeout(4):
        found = await resolve_edge(names.resolver, [(beside, 443), ("both.eu", 443)])

    assert found == [SIX, FOUR]


async def test_names_of_which_none_resolves_are_told(names: Names) -> None:
    with pytest.raises(OSError, match=r"unknown\.eu: Name or service not known"):
        await resolve_edge(names.resolver, [("unknown.eu", 443), ("silent.eu", 443)], within_s=1)
    with pytest.raises(OSError, match="no name server answers within"):
        await resolve_edge(names.resolver, [("silent.eu", 443)], within_s=0.1)
    with pytest.raises(OSError, match="no name server answers within"):
        await resolve_edge(names.resolver, [], within_s=0.1)
