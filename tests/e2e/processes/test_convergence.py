"""Convergence: whatever comes and goes, all edges end with the hub's table, and nothing is left over."""

import asyncio
import json
from dataclasses import dataclass, field
from functools import partial

import pytest
from support.origins import Nginx
from support.ports import free_port, is_free
from support.programs import Program
from support.rivalry import (
    Count,
    Ended,
    Rival,
    digest_of_hub,
    digest_on_disk,
    restart_hub,
    settles,
)
from support.stack import Node, Stack, service, until
from support.tcp_origins import port_service

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
SPARE = 8  # descriptors: a request to the hub, a lane that is being dialled, a file that is written
FOUND_S = 40.0


@dataclass
class Turmoil:
    """A hub with two edges and a steady agent, and those who come and go beside them."""

    stack: Stack
    web: Nginx
    domain: str
    token: str = ""  # of the second edge
    ended: Ended = field(default_factory=Ended)
    port: int = field(default_factory=free_port)
    edges: int = 0

    async def start(self) -> Node[Program]:
        """Start what stays, and return the agent of it."""
        self.token = await self.invite_edge("steady")
        await self.start_edge(self.token)
        steady = f"steady.{self.domain}"
        token = await self.stack.invite(steady)
        agent = await self.stack.start_agent(token, service(steady, self.web.plain))
        await until(partial(has_links, agent, 2), FOUND_S)
        await agent.reaches(4, "towonel_agent_lanes", state="idle")
        return agent

    async def start_edge(self, token: str) -> Node[Program]:
        """Start an edge on an address of its own: all edges listen on the same ports."""
        self.edges += 1
        address = f"127.0.0.{1 + self.edges}:{free_port()}"
        names = ("TOWONEL_EDGE_LISTEN_ADDR", "TOWONEL_EDGE_ADVERTISED_ADDRESSES")
        return await self.stack.start_edge(token, **dict.fromkeys(names, address))

    async def invite_edge(self, name: str) -> str:
        async with self.stack.operator() as operator:
            return (await operator.edge_invites.create(name)).token

    async def flap(self, times: int) -> None:
        """Let an agent with services of its own come and go, now in order and now killed; then revoke it."""
        port = free_port()
        name = f"flap{port}.{self.domain}"
        invite, wanted = await self.stack.new_invite(name), service(name, self.web.plain)
        services = {"TOWONEL_AGENT_TCP_SERVICES": json.dumps([port_service("t", 1, port)])}
        for number in range(times):
            agent = await self.stack.start_agent(invite.token, wanted, wait=False, **services)
            if number % 3 == 0:  # now and then it is there, else it has hardly begun
                await until(partial(is_linked, agent), FOUND_S)
            await self.ended.end(agent.program, killed=number % 2 == 0)
            self.stack.agents.remove(agent)
        async with self.stack.operator() as operator:
            await operator.invites.revoke(invite.invite_id)

    async def join(self, times: int) -> None:
        """Let an edge join and leave, now revoked and now stopped or killed first."""
        for number in range(times):
            async with self.stack.operator() as operator:
                made = await operator.edge_invites.create(f"edge-{number}")
            edge = await self.start_edge(made.token)
            if number % 2:
                await self.ended.end(edge.program, killed=number % 4 == 1)
            async with self.stack.operator() as operator:
                await operator.edge_invites.revoke(made.invite_id)
            if not number % 2:
                await self.ended.end(edge.program, killed=number % 4 == 0)
            self.stack.edges.remove(edge)

    async def fight(self, rivals: list[Rival], times: int) -> None:
        """Let tenants fight for one name and one port."""
        for _ in range(times):
            async with asyncio.TaskGroup() as tasks:
                for rival in rivals:
                    tasks.create_task(rival.fight())

    async def has_converged(self) -> bool:
        """Whether all edges have on disk what the hub has."""
        truth = await digest_of_hub(self.stack, self.token)
        return {digest_on_disk(edge) for edge in self.stack.edges} == {truth}


async def has_links(agent: Node[Program], number: int) -> bool:
    return await agent.metric("towonel_agent_links_active") == number


async def is_linked(agent: Node[Program]) -> bool:
    try:
        return await agent.metric("towonel_agent_links_active") > 0
    except OSError:
        return False


async def has_listeners(edge: Node[Program], number: int) -> bool:
    return await edge.metric("towonel_edge_listeners", state="listening") == number


async def has_sessions_of_one_agent(edge: Node[Program]) -> bool:
    return await edge.metric("towonel_edge_active_sessions") == 1


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("flaps", "joins"), [(3, 1), pytest.param(100, 20, marks=pytest.mark.soak)]
)
async def test_whatever_comes_and_goes_all_tables_become_the_hubs_and_nothing_is_left(
    fresh_processes: Stack, web: Nginx, domain: str, flaps: int, joins: int
) -> None:
    turmoil = Turmoil(fresh_processes, web, domain)
    agent = await turmoil.start()
    steady = [agent.program, *(edge.program for edge in turmoil.stack.edges)]
    before = Count.of(*steady)
    rivals = await make_rivals(turmoil)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(turmoil.flap(flaps // 2))
        tasks.create_task(turmoil.fight(rivals, 2 * flaps))
        await turmoil.join(joins // 2)
    await restart_hub(turmoil.stack)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(turmoil.flap(flaps - flaps // 2))
        tasks.create_task(turmoil.fight(rivals, 2 * flaps))
        await turmoil.join(joins - joins // 2)
    await check_end(turmoil, agent, rivals)
    await settles(partial(Count.of, *steady), before, SPARE)


async def make_rivals(turmoil: Turmoil) -> list[Rival]:
    invites = [await turmoil.stack.new_invite(f"r{n}.{turmoil.domain}") for n in range(2)]
    name = f"wanted.{turmoil.domain}"
    return [Rival(turmoil.stack, invite, name, turmoil.port) for invite in invites]


async def check_end(turmoil: Turmoil, agent: Node[Program], rivals: list[Rival]) -> None:
    """One of the rivals has the port in the end, and all that ended is gone."""
    stack = turmoil.stack
    assert all(rival.won for rival in rivals)
    await until(partial(rivals[0].wins, rivals[1]), FOUND_S)
    await check_edges(turmoil, listeners=1)
    assert not is_free(turmoil.port)
    async with stack.operator() as operator:
        await rivals[0].let_go(operator)
    await check_edges(turmoil, listeners=0)
    assert is_free(turmoil.port)
    await until(partial(has_links, agent, 2), FOUND_S)
    await until(turmoil.ended.is_gone, FOUND_S)


async def check_edges(turmoil: Turmoil, listeners: int) -> None:
    """All edges have the hub's table, so many ports, and the session of the agent that stays."""
    await until(turmoil.has_converged, FOUND_S)
    for edge in turmoil.stack.edges:
        await until(partial(has_listeners, edge, listeners), FOUND_S)
        await until(partial(has_sessions_of_one_agent, edge), FOUND_S)
