"""Attacks on a hub by a tenant and by an edge, with HTTP of their own: who else is served meanwhile."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from statistics import median

import pytest
from support.attack import Measured, withstanding
from support.programs import own_processes
from support.stack import Stack

from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.identity.keys import NodeKey, TenantKey
from towonel.identity.signatures import Domain, authorize_node, authorize_tenant
from towonel.wire.tokens import EdgeToken, InviteToken

pytestmark = [pytest.mark.attack, pytest.mark.processes]
UNLIMITED = {"TOWONEL_HUB_RATE_LIMIT_PER_SEC": "10000", "TOWONEL_HUB_RATE_LIMIT_BURST": "10000"}
CONNECTIONS = 100


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A hub in a process of its own, for which all that comes is from many addresses."""
    async with own_processes(tmp_path) as runner:
        stack = Stack(runner, tmp_path)
        await stack.start_hub(**UNLIMITED)
        yield stack


def state(*names: str) -> DesiredState:
    return DesiredState(group="g", services=[ServiceIn(kind="https", name=name) for name in names])


async def tenant(stack: Stack, hostname: str) -> TenantKey:
    return TenantKey.from_seed(InviteToken.decode(await stack.invite(hostname)).seed)


async def publish_again(
    port: int, key: TenantKey, times_ms: Iterator[int], seen: Measured, waits_s: list[float]
) -> None:
    """Publish the same on one connection, again and again, while honest callers are measured."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = state("x.b.eu").model_dump_json().encode()
    with contextlib.closing(writer):
        while len(seen.waits_s) < 9 or len(waits_s) <= CONNECTIONS:
            started = time.monotonic()
            signature = authorize_tenant(key, Domain.DESIRED_STATE, body, next(times_ms))
            head = f"PUT /v1/desired-state HTTP/1.1\r\nhost: hub\r\ncontent-length: {len(body)}\r\n"
            writer.write(f"{head}authorization: {signature}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            if answer[9:12] == b"200":
                waits_s.append(time.monotonic() - started)


async def test_a_tenant_that_publishes_without_end_has_no_other_wait(stack: Stack) -> None:
    assert stack.hub
    one, other = await tenant(stack, "*.a.eu"), await tenant(stack, "*.b.eu")
    waits_s = list[float]()  # of what the other published
    times_ms = itertools.count(time.time_ns() // 1_000_000, -1)  # each signature is good once
    async with (
        HubClient(stack.hub_url) as client,
        withstanding(
            stack.hub.program, lambda: client.apply_desired_state(one, state("x.a.eu"))
        ) as seen,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(CONNECTIONS):
            tasks.create_task(publish_again(stack.hub_port, other, times_ms, seen, waits_s))

    # It waits behind its own requests, and the honest tenant does not.
    assert median(seen.waits_s) < median(waits_s) / 3


async def test_an_edge_that_reads_no_table_takes_neither_memory_nor_places(stack: Stack) -> None:
    assert stack.hub
    token = InviteToken.decode(await stack.invite("*.a.eu"))
    async with stack.operator() as client, contextlib.AsyncExitStack() as connections:
        edge = EdgeToken.decode((await client.edge_invites.create("evil")).token).seed
        agent, names = NodeKey.from_seed(bytes(32)), (f"{'n' * 50}{at}.a.eu" for at in range(1_000))
        await client.bootstrap(token, agent, "g")
        await client.apply_desired_state(TenantKey.from_seed(token.seed), state(*names))
        answers, now_ms = list[bytes](), time.time_ns() // 1_000_000
        async with withstanding(stack.hub.program, client.invites.list), asyncio.timeout(30):
            for number in range(300):
                answers.append(await subscribe(stack.hub_port, edge, now_ms - number, connections))

    assert answers.count(b"200") == 8
    assert set(answers) == {b"200", b"429"}


async def subscribe(
    port: int, edge: bytes, at_ms: int, connections: contextlib.AsyncExitStack
) -> bytes:
    """Ask for the stream of routes, and read the status of the answer and no more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=16)
    connections.callback(writer.close)
    header = authorize_node(NodeKey.from_seed(edge), Domain.EDGE_SUBSCRIBE, b"", at_ms)
    head = f"GET /v1/routes/subscribe HTTP/1.1\r\nhost: hub\r\nauthorization: {header}\r\n\r\n"
    writer.write(head.encode())
    return (await reader.readexactly(12))[9:]
