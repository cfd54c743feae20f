"""Relay to origins, over a real tunnel: clients reach those of the environment and no others."""

import asyncio
import contextlib
import copy
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from structlog.testing import capture_logs
from support.origins import silent_port
from support.tunnel import PREAMBLE, SERVICE, listening_edge, until

from towonel.agent.core.client_counts import ClientCounts
from towonel.agent.core.services import Origin, ProxyProtocol, Service, tabulate_origins
from towonel.agent.core.tls.origin_tls import OriginTls
from towonel.agent.metrics import Metrics
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.origins import Origins
from towonel.runtime.dns.lookups import Answer, LookupThreads
from towonel.runtime.dns.resolver import Resolver
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.session import Session
from towonel.tunnel.sockets import RESET_ON_CLOSE
from towonel.wire import proxy
from towonel.wire.errors import Code, TowonelError
from towonel.wire.names import Hostname, ServiceKey, ServiceKind

BESIDE = ServiceKey(ServiceKind.HTTPS, "beside.eu")
PORT = ServiceKey(ServiceKind.TCP, "ssh")


@contextlib.asynccontextmanager
async def agent(origins: Origins) -> AsyncGenerator[Session]:
    """An edge's session with an agent that has these origins."""
    async with listening_edge() as edge, edge.session(origins.handle) as (session, _):
        yield session


def origins(
    port: int,
    proxied: ProxyProtocol = ProxyProtocol.NONE,
    *,
    host: str = "127.0.0.1",
    timeout_s: float = 5.0,
    max_streams: int = 10,
    resolver: Resolver | None = None,
    counts: ClientCounts | None = None,
    tls: OriginTls | None = None,
) -> Origins:
    services = [
        Service(SERVICE, Origin(host, port, proxied, tls=tls)),
        Service(BESIDE, Origin("127.0.0.1", port, proxied)),
        Service(PORT, Origin(host, port, proxied), port=2222),
    ]
    dialer = OriginDialer(resolver or Resolver(), timeout_s)
    table = tabulate_origins(services)
    return Origins(table, dialer, Metrics(), max_streams=max_streams, counts=counts)


def resolver_of(*answers: str) -> Resolver:
    """A resolver that answers any name, each time with the next of these; `a b` are two addresses."""
    following = iter(answers)

    def look_up(*_: object) -> Answer:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
            for address in next(following).split()
        ]

    return Resolver(LookupThreads(look_up), min_age_s=0)


async def open_stream(session: Session, service: ServiceKey = SERVICE) -> Pipe:
    asked = copy.replace(PREAMBLE, service=service, authority=Hostname(service.name))
    return await session.open(asked, b"hello ")


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
    assert header is not None, "it names a client"
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
        for service in (SERVICE, PORT):
            pipe = await session.open(copy.replace(PREAMBLE, service=service, authority=None), b"")
            assert await pipe.read() == b"welcome"
            await pipe.close()


async def refusal(session: Session, service: ServiceKey = SERVICE) -> Code:
    with pytest.raises(TowonelError) as caught:
        await open_stream(session, service)
    return caught.value.code


async def test_a_service_that_is_not_in_the_environment_is_refused() -> None:
    async with agent(origins(1)) as session:
        other = ServiceKey(ServiceKind.HTTPS, "other.eu")
        with capture_logs() as lines:
            code = await refusal(session, other)

    assert code is Code.NO_SERVICE
    assert lines[-1]["detail"] == "this agent has no such service"


async def test_an_origin_that_is_down_is_reported_by_its_code() -> None:
    chosen = origins(1)
    async with agent(chosen) as session:
        assert await refusal(session) is Code.ORIGIN_REFUSED

    assert chosen._metrics.stream_errors.labels("origin_refused")._value.get() == 1


async def test_an_origin_that_does_not_answer_is_given_up_in_time() -> None:
    with silent_port("127.0.0.1") as port:
        async with agent(origins(port, timeout_s=0.3)) as session:
            assert await refusal(session) is Code.ORIGIN_TIMEOUT


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    async with agent(origins(1, host="nowhere.invalid")) as session:
        assert await refusal(session) is Code.ORIGIN_UNREACHABLE


async def test_a_name_that_no_server_answers_for_delays_no_other_origin(echo_port: int) -> None:
    ended = threading.Event()

    def look_up(*_: object) -> Answer:
        assert ended.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "no server answers")

    chosen = origins(echo_port, host="dead.eu", resolver=Resolver(LookupThreads(look_up)))
    async with agent(chosen) as session, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        stuck = [tasks.create_task(refusal(session)) for _ in range(9)]
        pipe = await open_stream(session, BESIDE)
        await pipe.write_eof()

        assert await read_all(pipe) == b"hello "
        ended.set()
    assert {task.result() for task in stuck} == {Code.ORIGIN_UNREACHABLE}


async def test_of_several_addresses_one_that_is_silent_holds_no_client_up(echo_port: int) -> None:
    chosen = origins(echo_port, host="two.eu", resolver=resolver_of("127.0.0.9 127.0.0.1"))
    with silent_port("127.0.0.9", echo_port):
        async with agent(chosen) as session, asyncio.timeout(4):
            pipe = await open_stream(session)
            await pipe.close()


async def test_an_origin_that_moved_is_found_where_its_name_points_now(echo_port: int) -> None:
    chosen = origins(echo_port, host="a.eu", resolver=resolver_of("127.0.0.9", "127.0.0.1"))
    async with agent(chosen) as session, asyncio.timeout(10):
        pipe = await open_stream(session)
        await pipe.close()


async def test_an_origin_that_resets_is_counted_as_such() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(6)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    chosen = origins(server.sockets[0].getsockname()[1])
    async with server, agent(chosen) as session, asyncio.timeout(20):
        pipe = await open_stream(session)
        with pytest.raises(TowonelError) as caught:
            await read_all(pipe)
        await chosen.in_flight.wait_idle()

    assert caught.value.code is Code.ORIGIN_RESET
    assert chosen._metrics.stream_errors.labels("origin_reset")._value.get() == 1


@contextlib.asynccontextmanager
async def closing_origin(answer: bytes, *, first: bool = True) -> AsyncGenerator[int]:
    """An origin that answers whatever comes, and closes: before the client does, or after it."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 if first else -1)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def hints(answer: bytes, proxied: ProxyProtocol, *, first: bool = True) -> list[object]:
    """What is logged about two clients of an origin that closes."""
    async with closing_origin(answer, first=first) as port:
        chosen = origins(port, proxied)
        with capture_logs() as lines:
            async with agent(chosen) as session, asyncio.timeout(20):
                for _ in range(2):
                    pipe = await open_stream(session)
                    if not first:
                        await pipe.write_eof()
                    with contextlib.suppress(TowonelError):
                        await read_all(pipe)
                    await pipe.close()
                    await chosen.in_flight.wait_idle()
    found = [line for line in lines if line["event"] == "origin.header_unread"]
    counted = chosen._metrics.headers_unread._value.get()
    return [(line["log_level"], line["service_key"]) for line in found] + [counted]


async def test_an_origin_that_closes_on_its_proxy_header_is_told_once_and_counted() -> None:
    told = [("warning", "https:a.eu"), 2.0]

    assert await hints(b"", ProxyProtocol.V2) == told
    assert await hints(b"HTTP/1.1 400 Bad Request\r\n\r\n", ProxyProtocol.V2) == told


async def test_an_origin_that_closes_for_another_reason_is_not_told() -> None:
    assert await hints(b"", ProxyProtocol.NONE) == [0.0]
    assert await hints(b"\x16\x03\x03\x00\x7a\x02\x00", ProxyProtocol.V2) == [0.0]
    assert await hints(b"", ProxyProtocol.V2, first=False) == [0.0]


async def test_refusals_are_counted_and_logged_once_a_second_for_each_service() -> None:
    chosen = origins(1, max_streams=64)
    with capture_logs() as lines:
        async with agent(chosen) as session, asyncio.TaskGroup() as tasks:
            for number in range(50):
                tasks.create_task(refusal(session, (SERVICE, BESIDE)[number % 2]))
        chosen.flush_logs()

    told = [line for line in lines if line["event"] == "stream.refused"]
    assert {line["service_key"] for line in told} == {"https:a.eu", "https:beside.eu"}
    assert sum(line.get("count", 1) for line in told) == 50
    assert len(told) < 10
    assert chosen._metrics.stream_errors.labels("origin_refused")._value.get() == 50


async def test_tls_to_the_origin_is_for_clients_whose_own_has_ended(echo_port: int) -> None:
    async with agent(origins(echo_port, tls=OriginTls("app.internal"))) as session:
        assert await refusal(session) is Code.NO_SERVICE


async def test_a_stream_too_many_is_sent_elsewhere(echo_port: int) -> None:
    async with agent(origins(echo_port, max_streams=1)) as session:
        first = await open_stream(session)

        assert await refusal(session) is Code.OVERLOADED
        await first.close()


async def test_clients_of_workers_and_streams_are_counted_together(echo_port: int) -> None:
    rows = [memoryview(bytearray(4)).cast("I") for _ in range(2)]
    worker = ClientCounts(rows, 1)
    worker.put(1)
    async with agent(origins(echo_port, max_streams=2, counts=ClientCounts(rows, 0))) as session:
        first = await open_stream(session)

        assert worker.elsewhere == 1
        assert await refusal(session) is Code.OVERLOADED
        worker.put(0)
        second = await open_stream(session)
        assert worker.elsewhere == 2
        for stream in (first, second):
            await stream.close()
        await until(lambda: worker.elsewhere == 0)
