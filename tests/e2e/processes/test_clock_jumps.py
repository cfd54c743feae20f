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
NEAR_S = 3.0  # of a skew that is measured


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


@pytest.mark.parametrize("skew_s", [240, pytest.param(-240, marks=pytest.mark.soak)])
async def test_clocks_four_minutes_off_serve_and_are_reported(
    skew_s: int,
    fresh_processes: Stack,
    web: Nginx,
    certificates: Certificates,
    hostname: str,
    tmp_path: Path,
) -> None:
    clock, edge = ShiftedClock(tmp_path / "clock", skew_s), fresh_processes.edges[0]
    assert await edge.program.stop() == 0
    edge.environ |= clock.environ
    token = await fresh_processes.invite(hostname)
    async with shimmed(fresh_processes, tmp_path) as stack:
        await stack.restart(edge)
        agent = await stack.start_agent(
            token, service(hostname, web.plain), wait=True, **clock.environ
        )
        await until(partial(is_listed_with, stack, skew_s), FOUND_S)

        assert await is_served(edge.port, certificates, hostname)
        side = "ahead of" if skew_s > 0 else "behind"
        for node, name in ((edge, "edge"), (agent, "agent")):
            assert await says(node, f"s {side} the hub's, which refuses more than 300 s")
            assert abs(await node.metric(f"towonel_{name}_clock_skew_seconds") - skew_s) < NEAR_S
            assert node.program.log().count("clock.skewed") == 1


@pytest.mark.soak  # reports come every ten seconds
async def test_a_clock_that_is_put_right_is_reported_no_more(
    fresh_processes: Stack, tmp_path: Path
) -> None:
    clock, edge = ShiftedClock(tmp_path / "clock", 240), fresh_processes.edges[0]
    assert await edge.program.stop() == 0
    edge.environ |= clock.environ
    async with shimmed(fresh_processes, tmp_path) as stack:
        await stack.restart(edge)
        await until(partial(is_listed_with, stack, 240), FOUND_S)

        clock.shift(0)
        await until(partial(is_listed_with, stack, 0), FOUND_S)

        assert await edge.metric("towonel_edge_degraded", check="clock") == 0
        assert edge.program.log().count("clock.corrected") == 1


async def is_listed_with(stack: Stack, skew_s: int) -> bool:
    """Whether the hub lists its edge with a clock that is so far ahead."""
    async with stack.operator() as operator:
        (edge,) = (await operator.edges.list()).edges
    return edge.clock_skew_ms is not None and abs(edge.clock_skew_ms / 1000 - skew_s) < NEAR_S


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
