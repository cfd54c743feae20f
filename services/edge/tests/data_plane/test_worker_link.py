"""Worker link: what workers say reaches the log, and their death costs only what they had."""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import override

import pytest
from structlog.testing import capture_logs
from support.clients import alert_of, client_hello
from support.descriptors import use_up_descriptors
from support.edge_front import Front
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.data_plane.start import WORKER
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.edge.worker.acceptor import PAUSE_S
from towonel.edge.worker.codec import encode
from towonel.edge.worker.messages import ClientHandedOver, Draining, Ready
from towonel.relay.channel import Channel
from towonel.relay.supervisor import WorkerProcess, exec_python
from towonel.runtime.admin import Health
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.sockets import SocketPipe
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]

NAME = "app.example.eu"
UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])


class Direct(Upstream):
    """Upstream without a tunnel: a TCP connection to the origin."""

    def __init__(self, port: int = 0) -> None:
        self.port = port

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        pipe = SocketPipe(socket.create_connection(("127.0.0.1", self.port)))
        await pipe.write(client.first)
        return pipe


def table(count: int = 1) -> RouteTable:
    made = RouteTable()
    names = [NAME, *(f"{number}.example.org" for number in range(count - 1))]
    routes = tuple(Route(ServiceKind.HTTPS, name, TenantId(b"t" * 32)) for name in names)
    made.apply(RouteDelta(1, snapshot=True, routes=routes))
    return made


async def echo(port: int, tls: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=NAME)
    writer.write(b"hello")
    answer = await reader.readexactly(5)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_lack_of_descriptors_is_a_line_a_second(
    front: StartFront, counted: Counted
) -> None:
    started = asyncio.get_running_loop().time()
    with capture_logs() as lines:
        async with front(table(), Direct()) as edge:
            with socket.create_connection(("127.0.0.1", edge.port)):
                await until(lambda: counted("active_connections") == 1)
                with use_up_descriptors():
                    late = socket.create_connection(("127.0.0.1", edge.port))
                    await until(lambda: counted("accept_errors_total") >= 6)
                late.close()
    lasted_s = asyncio.get_running_loop().time() - started

    failed = [line for line in lines if line["event"] == "edge.accept_failed"]
    assert failed[0]["error"] == "EMFILE"
    assert failed[0]["pause_s"] == PAUSE_S
    assert 0 < len(failed) <= lasted_s + 2


class Killable:
    """Starter of workers by exec, which remembers them."""

    def __init__(self) -> None:
        self.pids: list[int] = []

    async def start(self, channel: socket.socket) -> WorkerProcess:
        process = await exec_python("-m", WORKER)(channel)
        self.pids.append(process.pid)
        return process


async def test_a_worker_that_is_killed_is_replaced_and_clients_on_streams_stay(
    front: StartFront, origin: int, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    workers = Killable()
    async with front(table(), Direct(origin), start_worker=workers.start) as edge:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", edge.port, ssl=client_tls, server_hostname=NAME
        )
        os.kill(workers.pids[0], signal.SIGKILL)
        await until(lambda: len(workers.pids) == 2)
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        assert await alert_of(edge.port, client_hello("nobody.example.eu")) == UNRECOGNIZED_NAME
        writer.close()

    assert counted("worker_restarts_total") == 1


async def test_clients_on_streams_of_a_worker_that_is_killed_are_counted_until_they_end(
    front: StartFront, origin: int, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    workers = Killable()
    async with front(table(), Direct(origin), start_worker=workers.start) as edge:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", edge.port, ssl=client_tls, server_hostname=NAME
        )
        await until(lambda: counted("active_connections") == 1)
        os.kill(workers.pids[0], signal.SIGKILL)
        await until(lambda: edge.plane.links[0].is_ready and len(workers.pids) == 2)
        assert await alert_of(edge.port, client_hello("nobody.example.eu")) == UNRECOGNIZED_NAME
        await until(lambda: counted("connections_refused_total", code="no_route") == 1)
        assert counted("active_connections") == 1
        draining = asyncio.create_task(edge.drain())
        await until(lambda: edge.plane.links[0].draining is not None)
        assert not draining.done()
        writer.transport.abort()  # TLS would wait for an answer to its close
        async with asyncio.timeout(10):
            await draining

    assert counted("active_connections") == 0


class Doomed(Killable):
    """Starter whose first workers alone start, so many as an edge has."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        self._left = workers

    @override
    async def start(self, channel: socket.socket) -> WorkerProcess:
        if not self._left:
            raise OSError("no memory")
        self._left -= 1
        return await super().start(channel)


@pytest.mark.parametrize(("count", "is_ready"), [(1, False), (2, True)])
async def test_an_edge_says_which_workers_keep_ending_and_is_not_ready_without_any(
    front: StartFront, counted: Counted, count: int, *, is_ready: bool
) -> None:
    workers, health = Doomed(count), Health()
    with capture_logs() as lines:
        async with front(
            table(), Direct(), health=health, start_worker=workers.start, workers=count
        ):
            assert health.ready
            os.kill(workers.pids[-1], signal.SIGKILL)
            await until(lambda: health.degraded)
            assert counted("workers_unstable") == 1

    reason = "workers keep ending, and their clients are reset: cannot be started: no memory"
    assert health.reasons == {"workers": f"1 of {count} {reason}"}
    assert health.ready is is_ready
    assert [line["event"] for line in lines].count("workers.degraded") == 1


async def test_a_drain_waits_for_no_worker_that_cannot_be_started(front: StartFront) -> None:
    workers = Doomed(1)
    async with asyncio.timeout(20), front(table(), Direct(), start_worker=workers.start) as edge:
        with socket.create_connection(("127.0.0.1", edge.port)):
            os.kill(workers.pids[0], signal.SIGKILL)
            await until(lambda: not edge.plane.links[0].is_ready)
            with socket.create_connection(("127.0.0.1", edge.port)) as waits:
                await edge.drain()
                with pytest.raises(ConnectionResetError):
                    waits.recv(1)


async def test_what_a_worker_counted_is_forgotten_as_soon_as_it_is_lost(
    front: StartFront, counted: Counted
) -> None:
    async def start(channel: socket.socket) -> WorkerProcess:
        if len(workers.pids) == 2:
            raise OSError("no memory")
        return await workers.start(channel)

    workers = Killable()
    async with front(table(), Endless(), start_worker=start, workers=2) as edge:
        shared = edge.plane.shared
        with socket.create_connection(("127.0.0.1", edge.port)) as client:
            client.sendall(client_hello(NAME))
            await until(lambda: any(map(any, shared._rows)))
            for pid in workers.pids:
                os.kill(pid, signal.SIGKILL)
            await until(lambda: counted("worker_restarts_total") >= 2)

            assert not any(map(any, shared._rows))


class Endless(Upstream):
    """Upstream that never opens a pipe."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        self.asked.set()
        return await asyncio.Future[Pipe]()


class Scripted:
    """Two workers: while the second one exits, the first hands a client over."""

    pid = 0

    def __init__(self, upstream: Endless) -> None:
        self.channels: list[Channel] = []
        self._upstream = upstream

    async def start(self, channel: socket.socket) -> WorkerProcess:
        self.channels.append(Channel(channel.dup()))
        self.channels[-1].send(*encode(Ready()))
        return self

    def kill(self) -> None:
        pass

    async def wait(self) -> int:
        if not self._upstream.asked.is_set():
            address = ("127.0.0.1", 1)
            message = ClientHandedOver(1, address, address, NAME, b"")
            self.channels[0].send(*encode(message), [socket.socket().detach()])
            await self._upstream.asked.wait()
        return 0


async def test_a_client_that_comes_while_workers_end_is_cut_as_well(front: StartFront) -> None:
    upstream = Endless()
    workers = Scripted(upstream)
    async with asyncio.timeout(10):
        async with front(table(), upstream, start_worker=workers.start, workers=2) as edge:
            for link in edge.plane.links:
                link.draining = Draining(0, 0)

    assert upstream.asked.is_set()
    for channel in workers.channels:
        channel.close()


async def test_a_table_that_fills_many_messages_reaches_a_worker_whole(
    front: StartFront, origin: int, client_tls: ssl.SSLContext
) -> None:
    async with front(table(20_000), Direct(origin), has_agent=False) as edge:
        assert await alert_of(edge.port, client_hello("19998.example.org")) != UNRECOGNIZED_NAME
        edge.admit(table().snapshot().routes)
        assert await echo(edge.port, client_tls) == b"hello"
        assert await alert_of(edge.port, client_hello("x.example.org")) == UNRECOGNIZED_NAME
