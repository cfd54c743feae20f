"""Limits of a tenant's clients: set on the invite, live, and kept by the edge, by lanes and by streams."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from support.clients import Client
from support.origins import CHUNK, Certificates, CommandOrigin, digest, expected_digest
from support.stack import Stack, Way, running_stack, service, until

from towonel.api.invites import InviteEdit, InviteOut
from towonel.api.limits import Limits

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
REFUSED = "towonel_edge_connections_refused_total"
MBIT = 1_000_000


async def limit(stack: Stack, invite: InviteOut, **limits: int | None) -> None:
    """Change limits of a tenant, and wait until the edge has heard of it."""
    async with stack.operator() as operator:
        await operator.invites.update(
            invite.invite_id, InviteEdit(limits=Limits.model_validate(limits))
        )
    await until(stack.edges_are_up_to_date)


async def is_served(client: Client) -> bool:
    return await client.reaches_home()


@pytest.fixture
async def invite(processes: Stack, origin: CommandOrigin, hostname: str) -> InviteOut:
    made = await processes.new_invite(hostname)
    await processes.start_agent(made.token, service(hostname, origin.port))
    return made


@pytest.fixture
def client(processes: Stack, certificates: Certificates, hostname: str) -> Client:
    return Client(processes.edge_port, certificates.client(), hostname)


async def test_a_tenant_has_as_many_clients_at_once_as_its_invite_says_now(
    processes: Stack, invite: InviteOut, client: Client
) -> None:
    before = await processes.edges[0].metric(REFUSED, code="too_many_connections")
    await limit(processes, invite, connections=1)
    async with client.connect() as (reader, writer):
        writer.write(b"echo\nhello")
        assert await reader.readexactly(5) == b"hello"
        assert not await is_served(client)
        await limit(processes, invite, connections=None)
        assert await is_served(client)
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"

    await processes.edges[0].reaches(before + 1, REFUSED, code="too_many_connections")


async def test_a_tenant_gets_as_many_new_clients_a_second_as_its_invite_says_now(
    processes: Stack, invite: InviteOut, client: Client
) -> None:
    before = await processes.edges[0].metric(REFUSED, code="rate_limited")
    await limit(processes, invite, connection_rate=1)
    assert await is_served(client)
    assert not await is_served(client)
    await until(partial(is_served, client), within_s=5.0)
    await limit(processes, invite, connection_rate=1000)
    assert [await is_served(client) for _ in range(3)] == [True] * 3

    assert await processes.edges[0].metric(REFUSED, code="rate_limited") > before


async def download(client: Client, size: int) -> str:
    async with client.connect() as (reader, writer):
        writer.write(f"source {size}\n".encode())
        return await digest(reader, size)


async def upload(client: Client, size: int) -> str:
    whole = CHUNK * (size // len(CHUNK) + 1)
    return (await client.ask(f"sink {size}", whole[:size])).decode().strip()


@asynccontextmanager
async def measured(megabytes: float) -> AsyncIterator[None]:
    """Check that so many bytes take as long as ten megabits a second say; a busy machine carries less than it may."""
    began = time.monotonic()
    yield
    expected_s = megabytes * 8 / 10
    assert 0.9 * expected_s - 0.2 < time.monotonic() - began < 3 * expected_s


async def test_a_tenant_has_the_bandwidth_of_its_invite_and_every_byte_is_right(
    processes: Stack, invite: InviteOut, client: Client
) -> None:
    await limit(processes, invite, bandwidth=10 * MBIT)
    size = 1_250_000
    async with measured(5.0):
        found = await asyncio.gather(
            *(download(client, size) for _ in range(2)), *(upload(client, size) for _ in range(2))
        )
    assert set(found) == {expected_digest(size)}
    began = time.monotonic()
    await limit(processes, invite, bandwidth=None)
    assert await download(client, 5 * size) == expected_digest(5 * size)
    assert time.monotonic() - began < 4.0


@pytest.mark.parametrize("way", ["streams", "TLS lanes"])
async def test_the_bandwidth_is_the_same_by_another_way_and_over_several_workers(
    tmp_path: Path,
    origin: CommandOrigin,
    certificates: Certificates,
    hostname: str,
    way: Way,
) -> None:
    environ = {"TOWONEL_EDGE_LISTEN_WORKERS": "2"}
    async with running_stack("processes", tmp_path, **environ) as stack:
        stack.way = way
        invite = await stack.new_invite(hostname)
        await stack.start_agent(invite.token, service(hostname, origin.port))
        await limit(stack, invite, bandwidth=10 * MBIT)
        client, size = Client(stack.edge_port, certificates.client(), hostname), 600_000
        async with measured(2.4):
            found = await asyncio.gather(*(download(client, size) for _ in range(4)))
        assert set(found) == {expected_digest(size)}
        await stack.stop_agents()


@pytest.mark.soak
async def test_over_ten_seconds_the_bandwidth_is_a_tenth_off_at_most(
    processes: Stack, invite: InviteOut, client: Client
) -> None:
    await limit(processes, invite, bandwidth=10 * MBIT)
    async with client.connect() as (reader, writer):
        writer.write(b"source 100000000\n")
        got, until_s = 0, time.monotonic() + 10.0
        while time.monotonic() < until_s:
            got += len(await reader.read(65_536))

    assert abs(got * 8 / 10 / MBIT - 10) < 1
