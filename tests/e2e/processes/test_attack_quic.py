"""Attacks on an edge over QUIC: strangers, and agents that keep no rule of the protocol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import pytest_asyncio
from support.attack import withstanding
from support.clients import Client, client_hello
from support.origins import Certificates, command_origin
from support.raw_agent import AgentIdentity, RawAgent, raw_agent
from support.raw_quic import PING, RawQuic, crypto_frame, frame, stream_frame
from support.stack import Stack, service

from towonel.client.hub import HubClient
from towonel.edge.core.session_limits import MIN_ADMISSION_BURST
from towonel.tunnel.session import ACCEPTED
from towonel.wire.errors import Code
from towonel.wire.messages import Renew, Window

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.attack]
MIB = 1024 * 1024
STRANGER, OTHER = "127.0.0.66", "127.0.0.77"
SESSIONS, LIMIT = 2, "limit_exceeded"
ENDS = [16 * MIB << shift for shift in range(4)]


@pytest.fixture(scope="module")
def edge_environ() -> dict[str, str]:
    """The edge admits few agents of one tenant, and few services; now and then, few times."""
    return {
        "TOWONEL_EDGE_MAX_SESSIONS_PER_TENANT": str(SESSIONS),
        "TOWONEL_EDGE_MAX_SERVICES_PER_TENANT": "1500",
        "TOWONEL_EDGE_ADMISSIONS_PER_SEC": "0.5",
    }


@pytest.fixture
def processes(process_stack: Stack) -> Stack:
    """The hub and edge of the module; the honest agent stays when a test ends."""
    return process_stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serve(
    process_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """What an honest client does meanwhile."""
    name, certificates = "honest.example.eu", Certificates(tmp_path_factory.mktemp("c"))
    async with command_origin("home", certificates.server(name)) as origin:
        token = await process_stack.invite(name)
        await process_stack.start_agent(token, service(name, origin.port))
        client = Client(process_stack.edge_port, certificates.client(), name)

        async def ask() -> None:
            assert await client.ask("name") == b"home\n"

        yield ask


async def attack_by_strangers(
    stack: Stack, send: Callable[[RawQuic], Awaitable[None]], count: int = 8
) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(attack_by_stranger(stack, send))


async def attack_by_stranger(stack: Stack, send: Callable[[RawQuic], Awaitable[None]]) -> None:
    with RawQuic(stack.edge_port, STRANGER) as stranger:
        await stranger.connected()
        await send(stranger)


@pytest.mark.parametrize("stream_id", [0, 1, 2])
async def test_a_stranger_that_sends_one_byte_far_away_takes_no_memory(
    processes: Stack, serve: Callable[[], Awaitable[object]], stream_id: int
) -> None:
    async def send(stranger: RawQuic) -> None:
        for end in ENDS:
            stranger.send(stream_frame(stream_id, end - 1, b"x"))
            await asyncio.sleep(0.02)
        await stranger.until(lambda: stranger.is_closed)

    async with withstanding(processes.edges[0].program, serve):
        await attack_by_strangers(processes, send)


async def test_a_stranger_that_sends_tls_messages_without_end_is_closed(
    processes: Stack, serve: Callable[[], Awaitable[object]]
) -> None:
    async def send(stranger: RawQuic) -> None:
        stranger.send(crypto_frame(500_000, b"x"))
        await stranger.until(lambda: stranger.is_closed)

    async with withstanding(processes.edges[0].program, serve):
        await attack_by_strangers(processes, send, 16)


async def test_a_stranger_that_sends_every_other_byte_takes_neither_memory_nor_time(
    processes: Stack, serve: Callable[[], Awaitable[object]]
) -> None:
    async def send(stranger: RawQuic) -> None:
        for packet in range(100):
            start = 8 + packet * 200
            frames = [stream_frame(1, offset, b"x") for offset in range(start, start + 200, 2)]
            stranger.send(*frames)
            await asyncio.sleep(0)

    async with withstanding(processes.edges[0].program, serve):
        await attack_by_strangers(processes, send)


async def test_a_stranger_that_acknowledges_nothing_takes_no_memory(
    processes: Stack, serve: Callable[[], Awaitable[object]]
) -> None:
    async def send(stranger: RawQuic) -> None:
        stranger.is_acknowledging = False
        for _ in range(60):
            for _ in range(10):
                stranger.send(frame(PING))
            await asyncio.sleep(0.02)

    async with withstanding(processes.edges[0].program, serve, memory=4 * MIB):
        await attack_by_strangers(processes, send)


async def shake_hands_and(serve: Callable[[], Awaitable[object]], stack: Stack) -> None:
    """What an honest agent and a client do."""
    with RawQuic(stack.edge_port, OTHER) as agent:
        await agent.connected()
        agent.leave()
    await serve()


async def refused(stack: Stack, code: str) -> float:
    return await stack.edges[0].metric("towonel_edge_sessions_rejected_total", code=code)


async def test_a_captured_token_opens_one_connection_however_often_it_is_sent(
    processes: Stack, serve: Callable[[], Awaitable[object]]
) -> None:
    before = await refused(processes, "hello_timeout")
    with RawQuic(processes.edge_port, STRANGER) as stranger:
        await stranger.connected()
        captured = stranger.sent[1]  # the second Initial has the token of the Retry
    async with withstanding(processes.edges[0].program, partial(shake_hands_and, serve, processes)):
        with RawQuic(processes.edge_port, STRANGER) as replaying:
            for _ in range(180):
                for _ in range(18):
                    replaying.send_datagram(captured)
                await asyncio.sleep(0.01)

    assert await refused(processes, "hello_timeout") - before < 100


async def test_a_source_has_few_handshakes_at_once_and_others_are_served(
    processes: Stack, serve: Callable[[], Awaitable[object]]
) -> None:
    async with (
        withstanding(processes.edges[0].program, partial(shake_hands_and, serve, processes)),
        contextlib.AsyncExitStack() as exits,
    ):
        for number in range(120):
            stranger = RawQuic(processes.edge_port, f"127.0.1.{number % 3}")
            stranger.stops_after_retry = True
            exits.enter_context(stranger)
            await asyncio.sleep(0.002)
    assert await refused(processes, "overloaded") > 0


async def test_agents_that_send_one_byte_far_away_take_little_memory_and_are_closed_beyond(
    processes: Stack, serve: Callable[[], Awaitable[object]]
) -> None:
    async with contextlib.AsyncExitStack() as exits:
        agents: list[RawAgent] = []
        for number in range(16 // SESSIONS):
            name = f"far{number}.example.eu"
            token = await processes.invite(name)
            opening = [raw_agent(processes, token, name) for _ in range(SESSIONS)]
            agents += [await exits.enter_async_context(agent) for agent in opening]
        async with withstanding(processes.edges[0].program, serve):
            for agent in agents:
                for end in (MIB // 4, MIB // 2, 3 * MIB // 4, MIB):
                    agent.send(stream_frame(1, end - 1, b"x"))
                await asyncio.sleep(0.02)
        assert not any(agent.is_closed for agent in agents)
        for agent in agents:
            agent.send(stream_frame(1, 2 * MIB - 1, b"x"))
            await agent.until(lambda: agent.is_closed)  # noqa: B023 called before the next agent


async def upload(stack: Stack, hostname: str) -> None:
    """Send to a hostname without end, until the edge ends it."""
    _, writer = await asyncio.open_connection("127.0.0.1", stack.edge_port)
    try:
        writer.write(client_hello(hostname))
        while True:
            writer.write(bytes(65_536))
            await writer.drain()
    except OSError:
        return
    finally:
        writer.transport.abort()


async def test_an_agent_that_grants_more_than_a_window_is_closed(
    processes: Stack, serve: Callable[[], Awaitable[object]]
) -> None:
    token = await processes.invite("greedy.example.eu")
    async with (
        withstanding(processes.edges[0].program, serve),
        raw_agent(processes, token, "greedy.example.eu") as agent,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(upload(processes, "greedy.example.eu"))
        await agent.until(lambda: 5 in agent.data)
        agent.quic.send_stream_data(5, ACCEPTED)
        agent.say(Window(5, 2**62 - 1), Window(None, 2**62 - 1))
        await agent.until(lambda: agent.is_closed)

    assert agent.close_code == Code.FLOW_CONTROL


async def test_an_agent_that_grants_and_acknowledges_nothing_holds_one_window_of_a_stream(
    processes: Stack, serve: Callable[[], Awaitable[object]]
) -> None:
    token = await processes.invite("mute.example.eu")
    edge = processes.edges[0]
    async with (
        withstanding(edge.program, serve),
        raw_agent(processes, token, "mute.example.eu") as agent,
        asyncio.TaskGroup() as tasks,
    ):
        client = tasks.create_task(upload(processes, "mute.example.eu"))
        await agent.until(lambda: 5 in agent.data)
        agent.quic.send_stream_data(5, ACCEPTED)
        agent.flush()
        agent.is_acknowledging = False
        limit = 256 * 1024
        for _ in range(40):
            limit = min(limit + MIB // 2, 15 * MIB)
            agent.send(agent.control_frame(Window(5, limit)))
            await asyncio.sleep(0.02)
        held = await edge.metric("towonel_edge_send_buffer_bytes")
        client.cancel()

    assert 2 * MIB < held <= 8 * MIB + 65_536


async def test_a_tenant_has_so_many_sessions_and_no_more(
    processes: Stack, serve: Callable[[], Awaitable[object]]
) -> None:
    token, before = await processes.invite("many.example.eu"), await refused(processes, LIMIT)
    admitted = 0
    async with (
        withstanding(processes.edges[0].program, serve),
        contextlib.AsyncExitStack() as exits,
    ):
        for _ in range(3 * SESSIONS):
            agent = raw_agent(processes, token, "many.example.eu")
            with contextlib.suppress(ConnectionError):
                await exits.enter_async_context(agent)
                admitted += 1

    assert admitted == SESSIONS
    assert await refused(processes, LIMIT) - before == 2 * SESSIONS


@pytest.mark.parametrize("kind", ["Renew", "Window"])
async def test_an_agent_that_sends_messages_without_end_is_closed(
    processes: Stack, serve: Callable[[], Awaitable[object]], kind: str
) -> None:
    token = await processes.invite(f"{kind.lower()}.example.eu")
    async with HubClient(processes.hub_url) as hub:
        identity = await AgentIdentity(token).bootstrap(hub)
    message = Renew(identity.grant) if kind == "Renew" else Window(None, 1)
    async with withstanding(processes.edges[0].program, serve):
        for _ in range(5):
            with RawAgent(processes.edge_port) as agent:
                await agent.connected()
                await agent.hello(identity, f"{kind.lower()}.example.eu")
                while not agent.is_closed:
                    agent.say(*[message] * 100)
                    await asyncio.sleep(0.005)
                assert agent.close_code == Code.RATE_LIMITED


async def test_a_tenant_that_opens_sessions_without_end_is_told_to_wait_and_others_are_not(
    processes: Stack, serve: Callable[[], Awaitable[object]], hostname: str
) -> None:
    names = (f"often.{hostname}", f"seldom.{hostname}")
    tokens = [await processes.invite(name) for name in names]
    identity, other = [await identity_of(processes, token) for token in tokens]
    codes: list[int | None] = []
    async with withstanding(processes.edges[0].program, serve):
        while Code.RATE_LIMITED not in codes:
            codes.append(await open_and_leave(processes, identity, names[0]))
        assert await open_and_leave(processes, other, names[1]) is None

    assert len(codes) > MIN_ADMISSION_BURST
    assert codes[:-1] == [None] * (len(codes) - 1)


async def test_a_tenant_has_so_many_different_services_and_its_replicas_have_the_same(
    processes: Stack, serve: Callable[[], Awaitable[object]], hostname: str
) -> None:
    token = await processes.invite(f"lots.{hostname}")
    first, second = [await identity_of(processes, token) for _ in range(2)]
    names = [f"name{number}.lots.{hostname}" for number in range(2000)]
    async with withstanding(processes.edges[0].program, serve):
        with RawAgent(processes.edge_port) as agent:
            await agent.connected()
            await agent.hello(first, *names[:1000])

            code = await open_and_leave(processes, second, *names[1000:])
            assert code == Code.QUOTA_EXCEEDED
            assert await open_and_leave(processes, second, *names[:1000]) is None
            assert await open_and_leave(processes, second, *names[500:1500]) is None


async def identity_of(stack: Stack, token: str) -> AgentIdentity:
    async with HubClient(stack.hub_url) as hub:
        return await AgentIdentity(token).bootstrap(hub)


async def open_and_leave(stack: Stack, identity: AgentIdentity, *hostnames: str) -> int | None:
    """Open a session and leave; returns the code with which the edge refused it."""
    with RawAgent(stack.edge_port) as agent:
        await agent.connected()
        try:
            await agent.hello(identity, *hostnames)
        except ConnectionError:
            return agent.close_code
        agent.leave()
        return None
