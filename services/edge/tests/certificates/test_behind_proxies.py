"""An edge behind HAProxy or nginx: it gets certificates, and serves its names, beside a site of the proxy's own."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from support.edge_front import Front, Nowhere
from support.pebble import pebble
from support.relay import SECRET, SESSION
from support.tls_proxies import Proxy, tls_proxy

from towonel.edge.certificates.acme.authority import Authority
from towonel.edge.certificates.acme.budgets import Budgets
from towonel.edge.certificates.acme.issuer import Issuer
from towonel.edge.certificates.acme.orders import Orders
from towonel.edge.core.route_table import RouteTable
from towonel.edge.metrics import Metrics
from towonel.edge.worker.messages import SessionAdmitted, SessionServices
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta, TlsMode

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]

TENANT = TenantId(b"t" * 32)
NAME, SITE = "app.example.eu", "www.example.eu"
ROUTE = Route(ServiceKind.HTTPS, NAME, TENANT, tls_mode=TlsMode.TERMINATE)
TRUSTED = {"haproxy": ["127.0.0.0/8"], "nginx": list[str]()}  # peers that send PROXY v2


@dataclass
class Behind:
    """Edge behind a proxy, and what its clients trust."""

    port: int
    edge: Front
    trusted: ssl.SSLContext

    async def issuer_of(self, name: str, context: ssl.SSLContext) -> str:
        """Connect to the proxy, and return who issued the certificate."""
        _, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=name
        )
        found = writer.get_extra_info("peercert")
        writer.close()
        return str(found["issuer"])


async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.fixture
async def site(authority: trustme.CA) -> AsyncIterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(SITE).configure_cert(context)
    async with await asyncio.start_server(close, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture(params=["haproxy", "nginx"])
async def behind(
    request: pytest.FixtureRequest,
    front: StartFront,
    site: int,
    metrics: Metrics,
    tmp_path: Path,
) -> AsyncIterator[Behind]:
    proxy: Proxy = request.param
    table = RouteTable()
    table.apply(RouteDelta(1, snapshot=True, routes=(ROUTE,)))
    folder = tmp_path / "certs"
    async with (
        front(table, Nowhere(), has_agent=False, proxies=TRUSTED[proxy]) as edge,
        tls_proxy(proxy, tmp_path / proxy, edge.port, site) as port,
        pebble(tmp_path / "pebble", port) as found,
    ):
        edge.plane.tell(SessionAdmitted(SESSION, TENANT, SECRET, 0.3, slot=0))
        edge.plane.tell(SessionServices(SESSION, [str(ROUTE.service)]))
        orders = Orders(Authority(found.directory, None, found.root), folder)
        store = edge.plane.certificates
        parts = orders.order, store, folder, lambda _: TENANT
        issuer = Issuer(*parts, Budgets(50), metrics)
        async with issuer.run():
            store.source = issuer
            yield Behind(port, edge, await found.clients())


async def test_the_challenge_and_clients_pass_the_proxy_and_its_own_site_is_its_own(
    behind: Behind, authority: trustme.CA
) -> None:
    own = ssl.create_default_context()
    authority.configure_trust(own)

    assert "Pebble" in await behind.issuer_of(NAME, behind.trusted)
    assert "trustme" in await behind.issuer_of(SITE, own)
    assert set(behind.edge.plane.certificates.certificates) == {NAME}
