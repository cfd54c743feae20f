"""Attacks of clients on an edge: what they cost it, and whether others are served meanwhile."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
import pytest_asyncio
from support.attack import silent_clients, withstanding
from support.clients import Client, client_hello
from support.origins import Certificates, CommandOrigin
from support.programs import OwnProcess
from support.redis_server import flood, redis_server
from support.stack import Stack, running_stack, service, until
from support.tls_lanes import hello_of, hello_of_a_lane

from towonel.tunnel.streams import MAX_STREAMS
from towonel.wire.routes import CHANGES_CHANNEL as CHANNEL
from towonel.wire.tcp.session_frames import ALPN as SESSIONS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.attack]
REFUSED = "towonel_edge_connections_refused_total"


async def serve(stack: Stack, **origins: int) -> None:
    """Start an agent for these hostnames and the ports of their origins."""
    services = [service(name, port) for name, port in origins.items()]
    await stack.start_agent(await stack.invite(*origins), *services)


async def test_one_address_that_holds_connections_does_not_hold_all_places(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str, domain: str
) -> None:
    silent = socket.create_server(("127.0.0.1", 0), backlog=MAX_STREAMS)  # nothing accepts
    victim = f"silent.{domain}"
    await serve(processes, **{hostname: origin.port, victim: silent.getsockname()[1]})
    honest = Client(processes.edge_port, certificates.client(), hostname)
    edge = processes.edges[0]

    async def ask() -> None:
        assert await honest.ask("name") == b"home\n"

    async def refused_all_but_a_share() -> bool:
        refused = await edge.metric(REFUSED, code="limit_exceeded")
        return refused == 2_000 - MAX_STREAMS // 4

    async with withstanding(edge.program, ask):
        hello = client_hello(victim)
        async with silent_clients(processes.edge_port, hello, 2_000, "127.0.0.2"):
            await until(refused_all_but_a_share, within_s=25)
    silent.close()


@pytest.mark.soak
async def test_a_flood_of_messages_in_redis_delays_no_client(
    tmp_path: Path, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    async with (
        redis_server(tmp_path) as redis,
        running_stack("processes", tmp_path, redis.url) as stack,
    ):
        await serve(stack, **{hostname: origin.port})
        honest = Client(stack.edge_port, certificates.client(), hostname)

        async def ask() -> None:
            assert await honest.ask("name") == b"home\n"

        async with withstanding(stack.edges[0].program, ask) as seen, flood(redis.port, CHANNEL):
            await until(lambda: len(seen.waits_s) >= 15)


async def say_at_once(port: int, hello: bytes, count: int) -> contextlib.ExitStack:
    """Connect so many clients of many addresses, and then let all of them say `hello`."""
    loop, sockets = asyncio.get_running_loop(), contextlib.ExitStack()
    connected: list[socket.socket] = []
    for number in range(count):
        sock = sockets.enter_context(socket.socket())
        sock.setblocking(False)
        sock.bind((f"127.0.3.{1 + number % 50}", 0))
        await loop.sock_connect(sock, ("127.0.0.1", port))
        connected.append(sock)
    for sock in connected:
        with contextlib.suppress(OSError):
            sock.send(hello)
    return sockets


@pytest_asyncio.fixture(loop_scope="module")
async def both_ways(
    processes: Stack, origin: CommandOrigin, hostname: str, domain: str
) -> tuple[str, str]:
    """Names of two agents: one that serves by lanes as well, and one by streams alone."""
    by_stream = f"streams.{domain}"
    await serve(processes, **{hostname: origin.port})
    token = await processes.invite(by_stream)
    await processes.start_agent(token, service(by_stream, origin.port), TOWONEL_AGENT_LANES="off")
    return hostname, by_stream


@pytest.mark.parametrize("kind", ["sessions", "clients without lanes"])
async def test_more_connections_for_control_than_it_takes_cost_no_worker(
    processes: Stack, certificates: Certificates, both_ways: tuple[str, str], kind: str
) -> None:
    by_lane, by_stream = both_ways
    honest = Client(processes.edge_port, certificates.client(), by_lane)
    edge = processes.edges[0]
    assert isinstance(edge.program, OwnProcess)
    workers = edge.program.workers()
    hello = hello_of(SESSIONS.decode()) if kind == "sessions" else client_hello(by_stream)

    async def ask() -> None:
        assert await honest.ask("name") == b"home\n"

    async def refused_some() -> bool:
        return await edge.metric(REFUSED, code="overloaded") > before

    before = await edge.metric(REFUSED, code="overloaded")
    async with withstanding(edge.program, ask):
        with await say_at_once(processes.edge_port, hello, 2_400):
            await until(refused_some)
    assert edge.program.workers() == workers


async def test_handshakes_of_tls_lanes_without_an_end_hold_256_places_and_delay_no_client(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    await serve(processes, **{hostname: origin.port})
    honest = Client(processes.edge_port, certificates.client(), hostname)
    edge = processes.edges[0]

    async def ask() -> None:
        assert await honest.ask("name") == b"home\n"

    async def refused_all_that_found_no_place() -> bool:
        refused = "towonel_edge_lanes_refused_total"
        return await edge.metric(refused, code="overloaded") > 300

    async with (
        withstanding(edge.program, ask),
        silent_clients(processes.edge_port, hello_of_a_lane(), 600, "127.0.0.2"),
    ):
        await until(refused_all_that_found_no_place, within_s=25)
