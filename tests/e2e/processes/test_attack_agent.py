"""Attacks on an agent by an edge that its hub names, beside an honest one."""

import os
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import pytest
import pytest_asyncio
from support.attack import withstanding
from support.clients import Client
from support.lane_peers import LanePeer
from support.origins import Certificates, CommandOrigin
from support.programs import Program
from support.raw_edge import LANES, Act, raw_edge
from support.stack import Node, Stack, service, until

from towonel.wire import lane_open, lanes
from towonel.wire.errors import Code
from towonel.wire.lane_open import LaneOpen
from towonel.wire.lanes import PROBE_BYTES, FrameType, encode_head
from towonel.wire.messages import GoAway, LanesWanted
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.attack]
PING = encode_head(FrameType.PING, 0, PROBE_BYTES) + bytes(PROBE_BYTES)
END, SHORT = encode_head(FrameType.END, 1, 0), encode_head(FrameType.DATA, 1, 1) + b"x"
ERRORS = "towonel_agent_stream_errors_total"
REFUSED = "towonel_agent_edge_connections_rejected_total"

type Serve = Callable[[], Awaitable[object]]


@pytest_asyncio.fixture(loop_scope="module")
async def serve(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> Serve:
    """What an honest client of the agent does meanwhile, by the honest edge."""
    client = Client(processes.edge_port, certificates.client(), hostname)

    async def ask() -> None:
        assert await client.ask("name") == b"home\n"

    return ask


async def start_agent(stack: Stack, hostname: str, port: int) -> Node[Program]:
    token = await stack.invite(hostname)
    return await stack.start_agent(token, service(hostname, port))


def open_for(name: str, trap: tuple[str, int]) -> bytes:
    """Content of an OPEN for a name, which says that the client came to `trap`."""
    source, to = Address(ip_address("203.0.113.7"), 1), Address(ip_address(trap[0]), trap[1])
    wanted = ServiceKey(ServiceKind.HTTPS, name)
    return lane_open.encode(LaneOpen(Preamble(source, to, wanted), b"first bytes"))


def say(lane: LanePeer, data: bytes) -> None:
    """Send this, and wait for the end of the lane."""
    lane.sock.sendall(data)
    lane.is_closed()


def ask_for_names(lane: LanePeer, domain: str, trap: tuple[str, int]) -> None:
    """Open one use after another for names that nobody serves."""
    for use in range(1, 200):
        lane.sock.sendall(lane.open(use, open_for(f"n{os.getpid()}{use}.{domain}", trap)))
        kind, number, _ = lane.read_frame()
        assert (kind, number) == (FrameType.REJECT, use % 16)
        lane.sock.sendall(lanes.encode_code(FrameType.RESET, use, Code.CANCELLED))


def acts_of(domain: str, trap: tuple[str, int]) -> list[Act]:
    """What a lane's edge does, and no honest one."""
    unserved = open_for(f"other.{domain}", trap)
    return [
        lambda lane: ask_for_names(lane, domain, trap),
        lambda lane: say(lane, lane.open(1, os.urandom(18_000))),
        lambda lane: say(lane, lane.open(1, unserved) * 2),
        lambda lane: say(lane, lane.open(2, unserved)),
        lambda lane: say(lane, encode_head(FrameType.OPEN, 1, len(unserved)) + unserved),
        lambda lane: say(lane, b"\x20\xff\xff\xff"),
        lambda lane: say(lane, lane.open(1, unserved) + END + SHORT),
        lambda lane: lane.sock.sendall(lane.open(1, unserved)[:-1]),
        lambda lane: lane.sock.sendall(PING * 50_000),
        lambda lane: lane.sock.recv(12),
    ]


async def test_an_edge_that_breaks_every_rule_of_lanes_reaches_nothing_and_delays_nobody(
    processes: Stack, serve: Serve, origin: CommandOrigin, hostname: str, domain: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        async with raw_edge(processes, hostname) as edge:
            edge.on_open = lambda session: session.say(LanesWanted(LANES))
            agent = await start_agent(processes, hostname, origin.port)
            attack = edge.lanes(acts_of(domain, trap.getsockname()))
            async with withstanding(agent.program, serve), attack:
                await agent.reaches(500, ERRORS, reason="no_service")
                await agent.reaches(5, ERRORS, reason="bad_preamble")
                for code in ("too_large", "invalid_signature", "unexpected_message"):
                    await agent.reaches(5, "towonel_agent_lanes_lost_total", reason=code)
        with pytest.raises(BlockingIOError):
            trap.accept()


async def test_an_edge_that_names_its_sessions_alike_ends_no_agent(
    processes: Stack, serve: Serve, origin: CommandOrigin, hostname: str
) -> None:
    async with raw_edge(processes, hostname) as edge:
        edge.make_id = lambda: b"i" * 16
        edge.on_open = lambda session: session.say(GoAway())
        agent = await start_agent(processes, hostname, origin.port)
        async with withstanding(agent.program, serve):
            await until(lambda: sum(session.is_open for session in edge.sessions) >= 2)
            for session in edge.sessions:
                session.close()
            await agent.reaches(1, REFUSED, reason="unexpected_message")
