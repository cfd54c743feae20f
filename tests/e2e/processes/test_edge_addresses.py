"""Edges whose name stands for IPv6 and IPv4, of which only one leads to them."""

import json
from functools import partial
from pathlib import Path

import pytest
from support.mounts import Mounts, needs_root, start_agent
from support.ports import free_port
from support.programs import own_processes
from support.stack import Stack, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes, needs_root]
NAME = "edge.example"
HOSTS = {"/etc/hosts": f"127.0.0.1 localhost {NAME}\n::1 {NAME}\n"}  # sorted IPv6 first (RFC 6724)


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("[::1]", marks=pytest.mark.soak)])
async def test_an_edge_is_linked_to_at_the_family_that_it_listens_on(
    tmp_path: Path, hostname: str, host: str
) -> None:
    port = free_port()
    listening = {
        "TOWONEL_EDGE_SESSION_LISTEN_ADDR": f"{host}:{port}",
        "TOWONEL_EDGE_ADVERTISED_ADDRESSES": f"{NAME}:{port}",
    }
    async with own_processes(tmp_path) as runner:
        stack = Stack(runner, tmp_path / "state")
        await stack.start_hub()
        await stack.start_edge(**listening)
        (tmp_path / "agent").mkdir()
        mounts = Mounts(tmp_path / "agent", HOSTS)
        agent = await start_agent(stack, mounts, await stack.invite(hostname))

        lines = [json.loads(line) for line in agent.log().splitlines()]
        (opened,) = [line for line in lines if line["event"] == "link.opened"]
        assert (opened["address"], opened["peer"]) == (f"{NAME}:{port}", f"{host}:{port}")
        await until(partial(has_a_session, stack))
        assert await agent.stop() == 0


async def has_a_session(stack: Stack) -> bool:
    return await stack.edges[0].metric("towonel_edge_active_sessions") == 1
