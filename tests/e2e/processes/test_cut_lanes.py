"""Lanes that are cut in the middle of requests: none of them happens twice."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
import pytest_asyncio
from support.clients import Client, client_hello, early_hello
from support.firewall import Firewall
from support.origins import Certificates, CommandOrigin
from support.ports import free_port
from support.scripted_server import serving
from support.stack import Stack, running_stack, service, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
AT_ONCE = 4
NUMBER_BYTES = 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def firewall(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Stack, Firewall]]:
    """A stack whose edge is behind a firewall, for its agents."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("s")
    async with running_stack(
        "processes", folder, TOWONEL_EDGE_ADVERTISED_ADDRESSES=address
    ) as stack:
        made = Firewall(stack.edge_port)
        made.passes_udp = True
        async with made.run(port):
            yield stack, made


@dataclass
class Origin:
    """Origin that counts requests, and has the lanes cut in the middle of some."""

    hello_bytes: int
    cut: Callable[[], None]
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    happened: Counter[int] = field(default_factory=Counter[int])
    cuts: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readexactly(self.hello_bytes)
            number = await reader.readexactly(NUMBER_BYTES)
            self.happened[int.from_bytes(number)] += 1
            if self.rng.random() < 0.3:
                self.cuts += 1
                self.cut()
            await asyncio.sleep(self.rng.choice((0, 0.01, 0.03)))  # ACCEPT is sent after 20 ms
            writer.write(number)
        writer.close()


async def ask(client: Client, number: int, hello: bytes) -> bool:
    """Make a request behind a first flight, or after a handshake; return whether it was answered."""
    request = number.to_bytes(NUMBER_BYTES)
    try:
        async with asyncio.timeout(30), connect(client, hello) as (reader, writer):
            writer.write(hello + request)
            return await reader.readexactly(NUMBER_BYTES) == request
    except (OSError, asyncio.IncompleteReadError):
        return False


@contextlib.asynccontextmanager
async def connect(
    client: Client, hello: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    if not hello:
        async with client.connect() as streams:
            yield streams
        return
    reader, writer = await asyncio.open_connection("127.0.0.1", client.edge_port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask_all(client: Client, count: int, hello: bytes) -> set[int]:
    """Make so many requests, some at once, and return those that were answered."""
    answered, numbers = set[int](), iter(range(count))

    async def work() -> None:
        for number in numbers:
            if await ask(client, number, hello):
                answered.add(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())
    return answered


FLIGHTS: dict[str, Callable[[str], bytes]] = {
    "after a handshake": lambda _: b"",
    "as early data": early_hello,
    "behind a ClientHello": client_hello,
}


@pytest.mark.parametrize(
    ("flight", "count"),
    [
        ("after a handshake", 30),
        ("behind a ClientHello", 30),
        *(pytest.param(flight, 1_000, marks=pytest.mark.soak) for flight in FLIGHTS),
    ],
)
async def test_no_request_happens_twice_and_those_that_are_answered_happen_once(
    firewall: tuple[Stack, Firewall],
    certificates: Certificates,
    hostname: str,
    flight: str,
    count: int,
) -> None:
    stack, wall = firewall
    hello = FLIGHTS[flight](hostname)
    origin = Origin(len(hello), wall.cut)
    tls = None if hello else certificates.server(hostname)
    async with serving(origin.serve, tls) as port:
        agent = await stack.start_agent(await stack.invite(hostname), service(hostname, port))
        await agent.reaches(2, "towonel_agent_lanes", state="idle")
        client = Client(stack.edge_port, certificates.client(), hostname)
        answered = await ask_all(client, count, hello)
        await agent.reaches(count / 2, "towonel_agent_clients_total", way="lane")
        await stack.stop_agents()

    assert set(origin.happened.values()) == {1}
    assert answered <= origin.happened.keys()
    assert 0 < len(answered) < count  # some were cut


async def is_served(client: Client) -> bool:
    try:
        return await client.ask("name") == b"home\n"
    except OSError:
        return False


async def test_a_preamble_that_was_changed_on_the_way_reaches_no_origin(
    firewall: tuple[Stack, Firewall],
    origin: CommandOrigin,
    certificates: Certificates,
    hostname: str,
) -> None:
    stack, wall = firewall
    agent = await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))
    await agent.reaches(2, "towonel_agent_lanes", state="idle")
    client = Client(stack.edge_port, certificates.client(), hostname)
    wall.spoils = True
    served = [await is_served(client) for _ in range(5)]
    await agent.reaches(2, "towonel_agent_lanes_lost_total", reason="invalid_signature")
    by_lane = await agent.metric("towonel_agent_clients_total", way="lane")
    dialled = await agent.metric("towonel_agent_clients_total")
    wall.spoils = False
    await until(partial(is_served, client))
    await stack.stop_agents()

    assert by_lane == 0
    assert dialled == sum(served)  # those went by streams
