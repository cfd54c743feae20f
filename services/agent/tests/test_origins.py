"""Relay to origins, over a real tunnel: clients reach those of the environment and no others."""

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from support.tunnel import PREAMBLE, SERVICE, listening_edge

from towonel.agent.core.services import Origin, OriginTable, ProxyProtocol, Service
from towonel.agent.metrics import Metrics
from towonel.agent.origins import Origins
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.session import Session
from towonel.wire import proxy
from towonel.wire.errors import Code, TowonelError
from towonel.wire.names import ServiceKey, ServiceKind


@contextlib.asynccontextmanager
async def agent(origins: Origins) -> AsyncGenerator[Session]:
    """An edge's session with an agent that has these origins."""
    async with listening_edge() as edge, edge.session(origins.handle) as (session, _):
        yield session


def origins(port: int, proxied: ProxyProtocol = ProxyProtocol.NONE, **limits: float) -> Origins:
    service = Service(SERVICE, Origin("127.0.0.1", port, proxied))
    chosen = {"timeout_s": 5.0, "max_streams": 10, **limits}
    return Origins(
        OriginTable([service]),
        Metrics(),
        timeout_s=chosen["timeout_s"],
        max_streams=int(chosen["max_streams"]),
    )


async def open_stream(session: Session, service: ServiceKey = SERVICE) -> Pipe:
    return await session.open(dataclasses.replace(PREAMBLE, service=service), b"hello ")


async def read_all(pipe: Pipe) -> bytes:
    data = b""
    while more := await pipe.read():
        data += more
    return data


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(-1))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_client_reaches_its_origin_and_half_closes_travel(echo_port: int) -> None:
    chosen = origins(echo_port)
    async with agent(chosen) as session, asyncio.timeout(20):
        pipe = await open_stream(session)
        await pipe.write(b"world")
        await pipe.write_eof()
        answer = await read_all(pipe)
        await chosen.in_flight.wait_idle()

    assert answer == b"hello world"
    assert chosen._metrics.carried.labels("edge_to_origin")._value.get() == 11
    assert chosen._metrics.streams_completed._value.get() == 1


async def test_an_origin_that_wants_it_gets_the_clients_address_before_any_byte(
    echo_port: int,
) -> None:
    async with agent(origins(echo_port, ProxyProtocol.V2)) as session, asyncio.timeout(20):
        pipe = await open_stream(session)
        await pipe.write_eof()
        answer = await read_all(pipe)

    found = proxy.read(answer)
    assert found is not None
    header, length = found
    assert (header.source, header.destination) == (PREAMBLE.source, PREAMBLE.destination)
    assert header.tlvs == ((proxy.TLV_AUTHORITY, b"a.eu"),)
    assert answer[length:] == b"hello "


async def test_a_server_that_speaks_first_gets_the_header_at_once() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(16)
        writer.write(b"welcome")
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, agent(origins(port, ProxyProtocol.V2)) as session, asyncio.timeout(20):
        pipe = await session.open(PREAMBLE, b"")
        assert await pipe.read() == b"welcome"
        await pipe.close()


async def refusal(session: Session, service: ServiceKey = SERVICE) -> Code:
    with pytest.raises(TowonelError) as caught:
        await open_stream(session, service)
    return caught.value.code


async def test_a_service_that_is_not_in_the_environment_is_refused() -> None:
    async with agent(origins(1)) as session:
        other = ServiceKey(ServiceKind.HTTPS, "other.eu")

        assert await refusal(session, other) is Code.NO_SERVICE


async def test_an_origin_that_is_down_is_reported_by_its_code() -> None:
    chosen = origins(1)
    async with agent(chosen) as session:
        assert await refusal(session) is Code.ORIGIN_REFUSED

    assert chosen._metrics.stream_errors.labels("origin_refused")._value.get() == 1


async def test_an_origin_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        async with agent(origins(port, timeout_s=0.3)) as session:
            code = await refusal(session)
        for filler in fillers:
            filler.close()

    assert code is Code.ORIGIN_TIMEOUT


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    service = Service(SERVICE, Origin("nowhere.invalid", 1, ProxyProtocol.NONE))
    chosen = Origins(OriginTable([service]), Metrics(), timeout_s=5, max_streams=10)
    async with agent(chosen) as session:
        assert await refusal(session) is Code.ORIGIN_UNREACHABLE


async def test_a_stream_too_many_is_sent_elsewhere(echo_port: int) -> None:
    async with agent(origins(echo_port, max_streams=1)) as session:
        first = await open_stream(session)

        assert await refusal(session) is Code.OVERLOADED
        await first.close()
