"""Ranges of ports: each client gets the port of the origin's host that it used, and a busy one is a state of its own.

Edges listen on 127.0.0.1, and origins on the same ports of 127.0.0.2.
"""

import asyncio
import json
import socket
from functools import partial
from itertools import count

import pytest
from support.origins import listening
from support.polling import pauses
from support.ports import free_ports
from support.stack import Stack, Way, until
from support.tcp_origins import plain_origin
from support.udp_origins import is_answered, udp_client, udp_origin

from towonel.client.hub import HubClient

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOME = "127.0.0.2"
SIZE = 8
_numbers = count()


def game(first: int, last: int | None = None) -> dict[str, object]:
    """Return a service of a range, as an agent's environment has it."""
    return {
        "name": "game",
        "origin": HOME,
        "listen_port_range": f"{first}-{last or first + SIZE - 1}",
    }


async def start_agent(
    stack: Stack, *tcp: dict[str, object], udp: tuple[dict[str, object], ...] = ()
) -> None:
    """Start an agent of a tenant of its own."""
    await stack.start_agent(
        await stack.invite(f"r{next(_numbers)}.example.eu"),
        TOWONEL_AGENT_TCP_SERVICES=json.dumps(tcp),
        TOWONEL_AGENT_UDP_SERVICES=json.dumps(udp),
    )


async def say(port: int, data: bytes) -> bytes:
    """Return all that the service of a port says to a client that says something and ends."""
    await listening(port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    said = await reader.read()
    writer.close()
    return said


async def states_become(operator: HubClient, key: str, *expected: tuple[str | None, str]) -> None:
    """Wait until the edge says so of its listeners: codes, and the ports that they are about."""
    for pause_s in pauses():
        found = {(it.code, it.ports) for it in (await operator.services.get(key)).listeners}
        if found == {*expected}:
            return
        await asyncio.sleep(pause_s)


@pytest.mark.parametrize("way", ["lanes", "streams"])
async def test_clients_of_two_ports_of_a_range_get_two_origins(processes: Stack, way: Way) -> None:
    first, processes.way = free_ports(SIZE), way
    second = first + SIZE - 1
    async with plain_origin(b"one:", HOME, first), plain_origin(b"two:", HOME, second):
        await start_agent(processes, game(first))

        assert await say(first, b"a") == b"one:aend"
        assert await say(second, b"b") == b"two:bend"
    processes.way = "any"


async def test_datagrams_to_each_port_of_a_range_go_to_the_same_port_at_home(
    processes: Stack,
) -> None:
    first = free_ports(SIZE)
    last = first + SIZE - 1
    async with (
        udp_origin(address=(HOME, first)) as one,
        udp_origin(address=(HOME, last)) as two,
    ):
        await start_agent(processes, udp=(game(first),))
        for port in (first, last):
            await until(partial(is_answered, port))
            with udp_client(port) as client:
                assert await client.ask(b"to %d" % port) == b"to %d" % port
        for origin, port in ((one, first), (two, last)):
            others = {data for them in origin.received.values() for data in them} - {b"ping"}
            assert others == {b"to %d" % port}


async def test_a_busy_port_of_a_range_is_named_to_its_owner_and_the_others_are_served(
    processes: Stack,
) -> None:
    first = free_ports(SIZE)
    busy, last = first + 2, first + SIZE - 1
    with socket.create_server(("127.0.0.1", busy)) as other:
        async with plain_origin(b"one:", HOME, first), plain_origin(b"mid:", HOME, busy):
            await start_agent(processes, game(first))
            key, rest = f"tcp:{first}-{last}", f"{first}-{busy - 1}, {busy + 1}-{last}"
            async with processes.operator() as operator, asyncio.timeout(60):
                await states_become(operator, key, (None, rest), ("port_in_use", str(busy)))
                assert await say(first, b"a") == b"one:aend"
                other.close()
                await states_become(operator, key, (None, ""))
                assert await say(busy, b"b") == b"mid:bend"
