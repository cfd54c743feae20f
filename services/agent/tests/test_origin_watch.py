"""Origins that go without a word: their clients end, and those of origins that pause do not."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator

import pytest
from support.network import far_machine, listener_of
from support.tunnel import PREAMBLE, SERVICE, listening_edge

from towonel.agent.core.services import Origin, ProxyProtocol, Service, tabulate_origins
from towonel.agent.metrics import Metrics
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.origins import Origins
from towonel.agent.timing import OriginTiming
from towonel.runtime.dns.resolver import Resolver
from towonel.tunnel.pipe import Pipe
from towonel.wire.errors import Code, TowonelError

TIMING = OriginTiming(unacknowledged_s=0.5, check_s=0.05)


@contextlib.asynccontextmanager
async def client_of(
    address: tuple[str, int], idle_s: int = 0
) -> AsyncGenerator[tuple[Pipe, Origins]]:
    """A client's stream to an origin, over an edge and an agent that watches."""
    table = tabulate_origins([Service(SERVICE, Origin(*address, ProxyProtocol.NONE, idle_s))])
    dialer = OriginDialer(Resolver(), timeout_s=5)
    origins = Origins(table, dialer, Metrics(), max_streams=9, timing=TIMING)
    async with (
        asyncio.timeout(20),
        asyncio.TaskGroup() as tasks,
        listening_edge() as edge,
        edge.session(origins.handle) as (session, _),
    ):
        watching = tasks.create_task(origins.watch.run())
        yield await session.open(PREAMBLE, b"hello"), origins
        watching.cancel()


async def test_a_client_that_sends_and_gets_nothing_for_too_long_is_ended_and_no_other_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with client_of(listener.getsockname(), idle_s=1) as (client, origins):
            began_s = asyncio.get_running_loop().time()
            origin, _ = await asyncio.to_thread(listener.accept)
            with origin:
                for _ in range(30):  # for longer than the limit
                    await client.write(b".")
                    await asyncio.sleep(0.05)
                quiet_s = asyncio.get_running_loop().time()
                with pytest.raises(TowonelError) as caught:
                    await client.read()
                await origins.in_flight.wait_idle()
            ended_s = asyncio.get_running_loop().time()

    assert caught.value.code is Code.CLIENT_TIMEOUT
    assert quiet_s - began_s > 1
    assert ended_s - quiet_s > 1 - 0.05 - TIMING.check_s
    assert origins._metrics.stream_errors.labels("client_timeout")._value.get() == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")
async def test_a_client_of_an_origin_whose_network_vanished_ends() -> None:
    with far_machine() as machine, listener_of(machine) as listener:
        async with client_of(listener.getsockname()) as (client, origins):
            machine.vanish()
            await client.write(b"are you there?")
            with pytest.raises(TowonelError) as caught:
                await client.read()
            await origins.in_flight.wait_idle()

    assert caught.value.code is Code.ORIGIN_TIMEOUT
    assert origins._metrics.stream_errors.labels("origin_timeout")._value.get() == 1


async def test_an_origin_that_pauses_for_longer_than_the_limit_is_not_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with client_of(listener.getsockname()) as (client, origins):
            origin, _ = await asyncio.to_thread(listener.accept)
            with origin:
                sending = asyncio.Task(client.write(bytes(32 * 1024 * 1024)))
                await asyncio.wait([sending], timeout=4 * TIMING.unacknowledged_s)
                assert origins.in_flight.count == 1
                assert not sending.done()
                sending.cancel()
            await client.close()
