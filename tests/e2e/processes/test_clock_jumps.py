"""Clocks that are put right while a program runs, as by NTP after a start with a wrong clock."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from support import plain_http
from support.clients import Client
from support.faketime import ShiftedClock
from support.origins import Certificates, Nginx
from support.programs import Program, own_processes
from support.stack import Node, Stack, service, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
AHEAD_S = 2 * 3600
FOUND_S = 20.0


async def says(node: Node[Program], words: str) -> bool:
    """Whether `/readyz` gives this reason."""
    try:
        return words in (await plain_http.get(node.health_port, "/readyz")).text
    except OSError:
        return False


async def test_an_agent_whose_clock_is_put_right_is_admitted_within_seconds(
    fresh_processes: Stack, web: Nginx, certificates: Certificates, hostname: str, tmp_path: Path
) -> None:
    clock, wanted = ShiftedClock(tmp_path / "clock", AHEAD_S), service(hostname, web.plain)
    token, port = await fresh_processes.invite(hostname), fresh_processes.edge_port
    async with shimmed(fresh_processes, tmp_path) as stack:
        agent = await stack.start_agent(token, wanted, wait=False, **clock.environ)
        await until(partial(says, agent, "clock_skew"), FOUND_S)

        clock.shift(0)

        await until(partial(is_served, port, certificates, hostname), FOUND_S)
        assert not await says(agent, "clock_skew")


async def test_an_edge_whose_clock_is_put_right_learns_what_was_revoked_meanwhile(
    fresh_processes: Stack, web: Nginx, certificates: Certificates, hostname: str, tmp_path: Path
) -> None:
    invite, edge = await fresh_processes.new_invite(hostname), fresh_processes.edges[0]
    await fresh_processes.start_agent(invite.token, service(hostname, web.plain))
    assert await edge.program.stop() == 0
    clock = ShiftedClock(tmp_path / "clock", AHEAD_S)
    edge.environ |= clock.environ
    async with shimmed(fresh_processes, tmp_path) as stack:
        await stack.restart(edge)  # ready, from its snapshot
        await until(partial(says, edge, "clock_skew"), FOUND_S)
        assert await edge.metric("towonel_edge_degraded", check="hub") == 1
        await revoke(stack, invite.invite_id)

        clock.shift(0)

        await until(stack.edges_are_up_to_date, FOUND_S)
        assert not await is_served(edge.port, certificates, hostname)
        assert await edge.metric("towonel_edge_degraded", check="hub") == 0


@contextlib.asynccontextmanager
async def shimmed(stack: Stack, folder: Path) -> AsyncIterator[Stack]:
    """The stack, whose next programs start by their command: a shim is loaded before a program."""
    forking = stack.runner
    async with own_processes(folder, forked=False) as stack.runner:
        yield stack
    stack.runner = forking


async def revoke(stack: Stack, invite_id: str) -> None:
    async with stack.operator() as operator:
        await operator.invites.revoke(invite_id)


async def is_served(port: int, certificates: Certificates, hostname: str) -> bool:
    try:
        client = Client(port, certificates.client(), hostname)
        return await client.get() == b"hello from home\n"
    except (OSError, EOFError):
        return False
