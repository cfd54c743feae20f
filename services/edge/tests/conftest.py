"""Fixtures of the edge's tests: an origin with its certificate, and a listener in front of it."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trustme
from prometheus_client import CollectorRegistry

from towonel.edge.core.admission import Admission, AdmissionLimits
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.traffic import Traffic
from towonel.edge.listeners.accept import Acceptor, accept_clients
from towonel.edge.listeners.sockets import bind_sockets
from towonel.edge.listeners.tls import TlsListener
from towonel.edge.metrics import Metrics
from towonel.edge.relays import Relays
from towonel.edge.upstream import Upstream

AMPLE = AdmissionLimits(99, 99, 99)
NAMES = ("app.example.eu", "*.example.eu")


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def origin(authority: trustme.CA) -> AsyncIterator[int]:
    """A TLS server that sends back what it gets; its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*NAMES).configure_cert(context)
    async with await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


@pytest.fixture
def counted(registry: CollectorRegistry, metrics: Metrics) -> Callable[..., float]:
    """Returns the value of a metric: counted("bytes_in_total"), counted(name, code="no_sni")."""
    return lambda name, **labels: registry.get_sample_value(f"towonel_edge_{name}", labels) or 0.0


@pytest.fixture
def front(metrics: Metrics) -> Callable[..., contextlib.AbstractAsyncContextManager[Acceptor]]:
    """Starts a listener on a free port: `async with front(table, upstream, ...) as acceptor`."""

    def start(
        table: RouteTable,
        upstream: Upstream,
        limits: AdmissionLimits = AMPLE,
        host: str = "127.0.0.1",
        **options: Any,
    ) -> contextlib.AbstractAsyncContextManager[Acceptor]:
        options = {
            "relays": Relays(table, clock=time.monotonic),
            "traffic": Traffic(),
            "handshake_timeout_s": 5.0,
            "linger_s": 1.0,
            "proxies": (),
            **options,
        }
        listener = TlsListener(table, upstream, Admission(limits), metrics, **options)
        sockets: list[socket.socket] = bind_sockets(host, 0, 1)
        return accept_clients(sockets, listener.serve, metrics)

    return start
