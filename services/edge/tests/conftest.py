"""Fixtures of the edge's tests: an origin with its certificate, and a data plane in front of it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import trustme
from prometheus_client import CollectorRegistry
from support.edge_front import Front, start_front

from towonel.edge.metrics import Metrics

NAMES = ("app.example.eu", "*.example.eu")


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
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
def front(metrics: Metrics) -> Callable[..., contextlib.AbstractAsyncContextManager[Front]]:
    """Starts a data plane on a free port: `async with front(table, upstream, ...) as front`."""
    return partial(start_front, metrics)
