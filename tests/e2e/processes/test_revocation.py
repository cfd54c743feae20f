"""Revocation: sessions and routes end at every edge; a wrong token is refused."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from support.clients import Client
from support.origins import Certificates, CommandOrigin
from support.programs import OwnProcess, Program
from support.redis_server import running_redis
from support.stack import Node, Stack, running_stack, service, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOTIFIED_S = 15  # an edge that is not notified asks again after 25 s


async def start_second_edge(stack: Stack) -> None:
    async with stack.operator() as operator:
        token = (await operator.edge_invites.create(name="second")).token
    await stack.start_edge(token)


async def revoke(
    stack: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    """Two edges serve a client each; revoking the invite ends both, and the routes."""
    await start_second_edge(stack)
    invite = await stack.new_invite(hostname)
    await stack.start_agent(invite.token, service(hostname, origin.port))
    clients = [Client(edge.port, certificates.client(), hostname) for edge in stack.edges]
    for client in clients:
        await until(client.reaches_home)

    async with clients[0].connect() as first, clients[1].connect() as second:
        for _, writer in (first, second):
            writer.write(b"echo\nhello")
        await asyncio.wait([asyncio.Task(reader.readexactly(5)) for reader, _ in (first, second)])
        async with stack.operator() as operator:
            await operator.invites.revoke(invite.invite_id)
        async with asyncio.timeout(NOTIFIED_S):
            await wait_end(first[0])
            await wait_end(second[0])
            for edge, client in zip(stack.edges, clients, strict=True):
                await until(partial(has_no_session, edge))
                assert not await client.reaches_home()


async def test_clients_of_a_hostname_that_is_taken_from_a_live_invite_end_and_others_stay(
    stack: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str, domain: str
) -> None:
    other = f"other.{domain}"
    invite = await stack.new_invite(hostname, other)
    services = [service(name, origin.port) for name in (hostname, other)]
    await stack.start_agent(invite.token, *services)
    taken, left = (
        Client(stack.edge_port, certificates.client(), name) for name in (hostname, other)
    )

    async with taken.connect() as ending, left.connect() as staying:
        for reader, writer in (ending, staying):
            writer.write(b"echo\nhello")
            await reader.readexactly(5)
        async with stack.operator() as operator:
            await operator.invites.remove_hostname(invite.invite_id, hostname)
        async with asyncio.timeout(NOTIFIED_S):
            await wait_end(ending[0])
        staying[1].write(b"again")

        assert await staying[0].readexactly(5) == b"again"
        assert not await taken.reaches_home()


async def wait_end(reader: asyncio.StreamReader) -> None:
    try:
        assert await reader.read(-1) == b""
    except OSError:
        return


async def has_no_session(edge: Node[Program]) -> bool:
    return await edge.metric("towonel_edge_active_sessions") == 0


async def test_without_redis_every_edge_is_told_of_a_revoked_tenant(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    await revoke(processes, origin, certificates, hostname)

    assert len(processes.edges) == 2


@pytest.mark.processes
async def test_with_redis_every_edge_is_told_of_a_revoked_tenant(
    tmp_path: Path, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    async with running_redis(tmp_path) as url, running_stack("processes", tmp_path, url) as stack:
        await revoke(stack, origin, certificates, hostname)

        assert len(stack.edges) == 2


@pytest.mark.parametrize("spoiled", ["secret", "seed", "id"])
async def test_a_token_with_a_wrong_part_is_refused_and_never_logged(
    processes: Stack, origin: CommandOrigin, spoiled: str, hostname: str
) -> None:
    token = await processes.invite(hostname)
    parts = token.split(".")
    index = {"id": 1, "secret": 2, "seed": 3}[spoiled]
    parts[index] = ("B" if parts[index][0] == "A" else "A") + parts[index][1:]

    agent = await processes.start_agent(".".join(parts), service(hostname, origin.port), wait=False)

    assert isinstance(agent.program, OwnProcess)
    assert await agent.program.wait() == 1
    log = agent.program.log()
    assert {"id": "not_found", "secret": "unauthorized", "seed": "tenant"}[spoiled] in log
    assert processes.hub
    for secret in (token, parts[2], parts[3]):
        assert secret not in log
        assert secret not in processes.hub.program.log()
