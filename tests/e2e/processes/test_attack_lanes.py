"""Attacks on an edge by lanes, and by handshakes that never end: refused, counted, and nobody else waits."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest
import pytest_asyncio
from support.attack import OF_HONEST, silent_clients, wait_descriptors, withstanding
from support.clients import Client, alert_of, client_hello
from support.lane_peers import LaneKeys, LanePeer, dial_lane, greet, receive
from support.origins import Certificates, CommandOrigin
from support.programs import OwnProcess, Program
from support.raw_agent import AgentIdentity, RawAgent
from support.stack import Node, Stack, service, until

from towonel.client.hub import HubClient
from towonel.identity.lanes import Role, prove
from towonel.relay.edge_lanes import MAX_HALF_OPEN
from towonel.wire import lane_admission, lanes
from towonel.wire.errors import Code
from towonel.wire.lane_admission import ANSWER_BYTES, HELLO_BYTES, MAGIC, LaneAnswer, LaneHello
from towonel.wire.lanes import HEAD, FrameType
from towonel.wire.messages import Welcome

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.attack]
REFUSED = "towonel_edge_connections_refused_total"
LANES_REFUSED = "towonel_edge_lanes_refused_total"
LANES_LOST = "towonel_edge_lanes_lost_total"
SOURCES = [f"127.0.0.{number}" for number in range(2, 7)]
MANY = pytest.mark.parametrize("count", [600, pytest.param(5_000, marks=pytest.mark.soak)])
ROUNDS = 20
BATCH = 25  # clients that say their byte in the same moment

type Ask = Callable[[], Awaitable[None]]
type Address = tuple[str, int]


@pytest_asyncio.fixture(loop_scope="module")
async def ask(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> Ask:
    """What an honest client does, whose agent has lanes."""
    agent = await processes.start_agent(
        await processes.invite(hostname), service(hostname, origin.port)
    )
    await agent.reaches(2, "towonel_agent_lanes", state="idle")
    client = Client(processes.edge_port, certificates.client(), hostname)

    async def ask() -> None:
        assert await client.ask("name") == b"home\n"

    return ask


def count_descriptors(stack: Stack) -> int:
    program = stack.edges[0].program
    assert isinstance(program, OwnProcess), "descriptors are those of a process of its own"
    return program.count_descriptors()


@contextlib.asynccontextmanager
async def flood(stack: Stack, first: bytes, count: int) -> AsyncIterator[list[socket.socket]]:
    """Clients of several addresses that say `first`, and then nothing."""
    async with contextlib.AsyncExitStack() as exits:
        made: list[socket.socket] = []
        for source in SOURCES:
            few = count // len(SOURCES)
            clients = silent_clients(stack.edge_port, first, few, source)
            made += await exits.enter_async_context(clients)
        yield made


@MANY
async def test_half_open_lanes_hold_256_places_and_delay_neither_client_nor_agent(
    processes: Stack, ask: Ask, origin: CommandOrigin, domain: str, count: int
) -> None:
    edge, before = processes.edges[0], count_descriptors(processes)
    refused = await sum_lanes_refused(edge)
    hello = lane_admission.encode_hello(LaneHello(b"s" * 16, b"n" * 16))[: HELLO_BYTES // 2]
    async with withstanding(edge.program, ask):
        async with (
            flood(processes, MAGIC, count // 2),
            flood(processes, hello, count // 2),
        ):
            most = refused + count - MAX_HALF_OPEN - OF_HONEST
            await until(partial(reaches, sum_lanes_refused, edge, most), within_s=25)
            later = service(f"later.{domain}", origin.port)
            token = await processes.invite(f"later.{domain}")
            agent = await processes.start_agent(token, later)
        await agent.reaches(2, "towonel_agent_lanes", state="idle")
    await wait_descriptors(edge.program, before)


@MANY
async def test_clients_that_say_nothing_or_a_byte_a_second_delay_nobody(
    processes: Stack, ask: Ask, hostname: str, count: int
) -> None:
    edge, before = processes.edges[0], count_descriptors(processes)
    refused = await sum_refused(edge)
    hello = client_hello(hostname)
    async with withstanding(edge.program, ask):
        async with (
            flood(processes, b"", count // 2) as silent,
            flood(processes, hello[:1], count // 2) as slow,
        ):
            for byte in hello[1 : 1 + 2 * count // 600]:
                await trickle(slow, bytes([byte]))
            assert len(silent) == len(slow) == count // 2
        await until(partial(reaches, sum_refused, edge, refused + count))
    await wait_descriptors(edge.program, before)


async def trickle(clients: list[socket.socket], byte: bytes) -> None:
    """Let each client say a byte more, spread over a second."""
    pause_s = BATCH / len(clients)
    for number, client in enumerate(clients):
        with contextlib.suppress(OSError):  # the edge has given up on it
            client.send(byte)
        if number % BATCH == 0:
            await asyncio.sleep(pause_s)


async def sum_refused(edge: Node[Program]) -> float:
    """Return how many left, or were given up on, before they said what they want."""
    codes = ("client_timeout", "client_closed")
    return sum([await edge.metric(REFUSED, code=code) for code in codes])


async def sum_lanes_refused(edge: Node[Program]) -> float:
    """Return how many half-open lanes found no place, or were given up on after five seconds."""
    codes = ("overloaded", "hello_timeout")
    return sum([await edge.metric(LANES_REFUSED, code=code) for code in codes])


async def reaches(
    measure: Callable[[Node[Program]], Awaitable[float]], edge: Node[Program], value: float
) -> bool:
    return await measure(edge) >= value


@contextlib.asynccontextmanager
async def hostile_agent(stack: Stack, name: str) -> AsyncIterator[tuple[AgentIdentity, LaneKeys]]:
    """An admitted agent without lanes, and what it would dial some with."""
    async with HubClient(stack.hub_url) as hub:
        identity = await AgentIdentity(await stack.invite(name)).bootstrap(hub)
    await until(stack.edges_are_up_to_date)
    with RawAgent(stack.edge_port) as agent:
        await agent.connected()
        await agent.hello(identity, name)
        welcome = await agent.message(Welcome)
        assert isinstance(welcome, Welcome)
        assert welcome.lane_secret
        assert identity.edge
        edge = identity.edge
        keys = LaneKeys(
            welcome.session_id, welcome.lane_secret, edge.edge_id, edge.certificate_sha256
        )
        yield identity, keys


def is_ended(sock: socket.socket) -> bool:
    try:
        while sock.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def be_refused(address: Address, keys: LaneKeys) -> None:
    """Greet as of a session that has ended."""
    with greet(address, keys.session_id)[0] as sock:
        assert lane_admission.decode_answer(receive(sock, ANSWER_BYTES)) is Code.WRONG_EDGE
        assert is_ended(sock)


def be_a_stranger(address: Address, keys: LaneKeys) -> None:
    be_refused(address, replace(keys, session_id=b"x" * 16))


def guess_the_secret(address: Address, keys: LaneKeys) -> None:
    with dial_lane(address, replace(keys, secret=b"x" * 32)).sock as sock:
        assert is_ended(sock)


def replay(address: Address, keys: LaneKeys) -> None:
    """Send again what an agent sent; the edge's nonce is another."""
    sock, nonce = greet(address, keys.session_id)
    with sock:
        answer = lane_admission.decode_answer(receive(sock, ANSWER_BYTES))
        assert isinstance(answer, LaneAnswer)
        proof = prove(keys.secret, Role.AGENT, keys.identify(nonce, answer.nonce))
        sock.sendall(proof)
    with socket.create_connection(address, timeout=10) as again:
        again.sendall(lane_admission.encode_hello(LaneHello(keys.session_id, nonce)))
        receive(again, ANSWER_BYTES)
        again.sendall(proof)
        assert is_ended(again)


def spoil_the_hello(address: Address, keys: LaneKeys) -> None:
    hello = MAGIC[:-1] + b"\x02" + bytes(HELLO_BYTES - len(MAGIC))
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(hello)
        answer = lane_admission.decode_answer(receive(sock, ANSWER_BYTES))
        assert answer is Code.UNSUPPORTED_VERSION
        assert is_ended(sock)


def send_on_a_lane(data: bytes) -> Callable[[Address, LaneKeys], None]:
    def send(address: Address, keys: LaneKeys) -> None:
        with dial_lane(address, keys).sock as sock:
            sock.sendall(data)
            assert is_ended(sock)

    return send


ON_ADMISSION = {
    "a stranger": (be_a_stranger, "wrong_edge"),
    "a wrong secret": (guess_the_secret, "invalid_signature"),
    "a replay": (replay, "invalid_signature"),
    "a changed hello": (spoil_the_hello, "unsupported_version"),
}
ON_A_LANE = {
    "a frame out of order": (lanes.encode_head(FrameType.DATA, 1, 1) + b"x", "unexpected_message"),
    "a reset of no use": (lanes.encode_code(FrameType.RESET, 9, Code.NORMAL), "unexpected_message"),
    "an unknown frame": (HEAD.pack(9 << 28), "unexpected_message"),
    "16 MiB": (HEAD.pack(FrameType.DATA << 28 | 1 << 24 | 0xFFFFFF), "too_large"),
}
HOSTILE = [
    *((name, act, LANES_REFUSED, code) for name, (act, code) in ON_ADMISSION.items()),
    *((name, send_on_a_lane(data), LANES_LOST, code) for name, (data, code) in ON_A_LANE.items()),
]


async def test_hostile_lanes_are_closed_and_counted_by_code(
    processes: Stack, ask: Ask, domain: str
) -> None:
    edge, before = processes.edges[0], count_descriptors(processes)
    address = "127.0.0.1", processes.edge_port
    async with (
        withstanding(edge.program, ask),
        hostile_agent(processes, f"hostile.{domain}") as (_, keys),
    ):
        for name, act, metric, code in HOSTILE:
            count = await edge.metric(metric, code=code)
            for _ in range(ROUNDS):
                await asyncio.to_thread(act, address, keys)
            await edge.reaches(count + ROUNDS, metric, code=code)
            assert await edge.metric(metric, code=code) == count + ROUNDS, name
    await wait_descriptors(edge.program, before)


def answer_a_use(lane: LanePeer, use: int, first: bytes = b"") -> None:
    """Send `first`, accept the use that comes next with an answer, and end it with the client."""
    kind, number, _ = lane.read_frame()
    assert (kind, number) == (FrameType.OPEN, use)
    accept = lanes.encode_head(FrameType.ACCEPT, use, 6) + b"answer"
    lane.sock.sendall(first + accept + lanes.encode_head(FrameType.END, use, 0))
    while kind is not FrameType.END:
        kind, _, _ = lane.read_frame()


async def test_a_late_reset_of_an_earlier_use_ends_no_other_and_one_of_an_older_is_counted(
    processes: Stack, ask: Ask, domain: str
) -> None:
    """The agent's RESET comes while the next use is open: it may have crossed the edge's END."""
    edge, name = processes.edges[0], f"late.{domain}"
    lost = await edge.metric(LANES_LOST, code="unexpected_message")
    late = partial(lanes.encode_code, FrameType.RESET, code=Code.NORMAL)
    async with (
        withstanding(edge.program, ask),
        hostile_agent(processes, name) as (_, keys),
    ):
        lane = await asyncio.to_thread(dial_lane, ("127.0.0.1", processes.edge_port), keys)
        with lane.sock:
            for use, first in ((1, b""), (2, late(use=1)), (3, late(use=2))):
                answering = asyncio.create_task(asyncio.to_thread(answer_a_use, lane, use, first))
                assert await alert_of(processes.edge_port, client_hello(name)) == b"answer"
                await answering
            lane.sock.sendall(late(use=1))
            assert await asyncio.to_thread(is_ended, lane.sock)
        await edge.reaches(lost + 1, LANES_LOST, code="unexpected_message")


async def test_lanes_of_a_revoked_tenant_are_closed_at_once_and_no_more_are_admitted(
    processes: Stack, ask: Ask, domain: str
) -> None:
    edge, address = processes.edges[0], ("127.0.0.1", processes.edge_port)
    refused = await edge.metric(LANES_REFUSED, code="wrong_edge")
    async with (
        withstanding(edge.program, ask),
        hostile_agent(processes, f"revoked.{domain}") as (identity, keys),
    ):
        held = [await asyncio.to_thread(dial_lane, address, keys) for _ in range(ROUNDS)]
        async with processes.operator() as operator:
            await operator.tenants.remove(identity.tenant.tenant_id)
        for lane in held:
            with lane.sock as sock:
                assert await asyncio.to_thread(is_ended, sock)
        for _ in range(ROUNDS):
            await asyncio.to_thread(be_refused, address, keys)
        await edge.reaches(refused + ROUNDS, LANES_REFUSED, code="wrong_edge")
