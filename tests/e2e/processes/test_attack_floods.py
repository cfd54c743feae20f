"""Floods of frames, on lanes of an admitted agent and on sessions of strangers: whether others are served."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import pytest
from support import session_flood
from support.attack import withstanding
from support.clients import Client
from support.lane_peers import LanePeer
from support.origins import Certificates, CommandOrigin
from support.programs import OwnProcess
from support.raw_lanes import RawLanes, flooding, raw_lanes
from support.stack import Stack, service, until

from towonel.wire.lanes import PROBE_BYTES, FrameType, encode_head

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.attack]
PONG = encode_head(FrameType.PONG, 0, PROBE_BYTES) + bytes(PROBE_BYTES)


@contextlib.asynccontextmanager
async def dialed(lanes: RawLanes, count: int) -> AsyncIterator[list[LanePeer]]:
    """So many lanes of a session."""
    with contextlib.ExitStack() as sockets:
        peers = [await lanes.dial("127.0.0.3") for _ in range(count)]
        for peer in peers:
            sockets.enter_context(peer.sock)
        yield peers


async def test_lanes_full_of_short_frames_delay_no_client(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str, domain: str
) -> None:
    await processes.start_agent(await processes.invite(hostname), service(hostname, origin.port))
    honest = Client(processes.edge_port, certificates.client(), hostname)
    edge = processes.edges[0].program
    assert isinstance(edge, OwnProcess)
    workers = edge.workers()
    hostile = f"hostile.{domain}"

    async def ask() -> None:
        assert await honest.ask("name") == b"home\n"

    async with (
        raw_lanes(processes, await processes.invite(hostile), hostile) as lanes,
        dialed(lanes, 40) as peers,
        withstanding(edge, ask) as seen,
    ):
        with flooding(peers, PONG * 20_000):
            await until(lambda: len(seen.waits_s) >= 8)

    assert edge.workers() == workers


async def test_frames_of_strangers_without_end_delay_no_client(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    """The honest client goes by a stream, which control carries."""
    token = await processes.invite(hostname)
    await processes.start_agent(token, service(hostname, origin.port), TOWONEL_AGENT_LANES="off")
    honest = Client(processes.edge_port, certificates.client(), hostname)
    edge = processes.edges[0]

    async def ask() -> None:
        assert await honest.ask("name") == b"home\n"

    async with withstanding(edge.program, ask), asyncio.timeout(20):
        command = sys.executable, session_flood.__file__, str(processes.edge_port)
        process = await asyncio.create_subprocess_exec(*command)
        assert await process.wait() == 0
    rejected = "towonel_edge_sessions_rejected_total"
    assert await edge.metric(rejected, code="rate_limited") > 0
