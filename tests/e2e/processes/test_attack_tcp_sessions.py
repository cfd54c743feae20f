"""Attacks of strangers who begin sessions over TCP: what they cost control, and whether others are served."""

import asyncio
import sys

import pytest
from support import session_flood
from support.attack import withstanding
from support.clients import Client
from support.origins import Certificates, CommandOrigin
from support.stack import Stack, service

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.attack]


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
    assert await edge.metric(rejected, code="rate_limited") >= session_flood.CONNECTIONS // 2
