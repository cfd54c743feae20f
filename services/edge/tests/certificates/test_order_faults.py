"""Orders against an authority with faults: slow, gone, forgetful; and renewals while clients come."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
from support.authority_proxy import AuthorityProxy, authority_proxy
from support.edge_front import Front, Nowhere
from support.pebble import Pebble, pebble
from support.ports import free_port
from support.relay import SECRET, SESSION
from support.tunnel import until

from towonel.edge.certificates.acme.authority import Authority, OrderError
from towonel.edge.certificates.acme.budgets import Budgets
from towonel.edge.certificates.acme.issuer import Issuer
from towonel.edge.certificates.acme.orders import Orders
from towonel.edge.core.route_table import RouteTable
from towonel.edge.metrics import Metrics
from towonel.edge.worker.messages import SessionAdmitted, SessionServices
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.routes import Route, RouteDelta, TlsMode

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]

TENANT = TenantId(b"t" * 32)
NAME = Hostname("app.example.eu")
ROUTE = Route(ServiceKind.HTTPS, NAME, TENANT, tls_mode=TlsMode.TERMINATE)
# Of a hundred nonces, so many are refused, and of valid authorizations so many are used again.
FAULTS = {"PEBBLE_WFE_NONCEREJECT": "40", "PEBBLE_AUTHZREUSE": "50"}
YEAR = timedelta(days=365)


@pytest.fixture
async def edge(front: StartFront) -> AsyncIterator[Front]:
    table = RouteTable()
    table.apply(RouteDelta(1, snapshot=True, routes=(ROUTE,)))
    async with front(table, Nowhere(), has_agent=False) as edge:
        edge.plane.tell(SessionAdmitted(SESSION, TENANT, SECRET, 0.3, slot=0))
        edge.plane.tell(SessionServices(SESSION, [str(ROUTE.service)]))
        yield edge


@pytest.fixture
async def authority(edge: Front, tmp_path: Path) -> AsyncIterator[Pebble]:
    async with pebble(tmp_path / "pebble", edge.port, (), **FAULTS) as found:
        yield found


class Clock:
    """Clock that is ahead by what a test says."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@contextlib.asynccontextmanager
async def issuing(
    edge: Front, orders: Orders, folder: Path, metrics: Metrics, clock: Clock | None = None
) -> AsyncIterator[Issuer]:
    store = edge.plane.certificates
    made = Issuer(
        *(orders.order, store, folder, lambda _: TENANT, Budgets(50), metrics),
        suggest=orders.suggest,
        clock=clock or Clock(),
    )
    async with made.run(look_s=0.02):
        store.source = made
        yield made


def has_issued(counted: Counted, count: int) -> bool:
    return counted("certificate_orders_total", result="issued") == count


async def connect_until(edge: Front, context: ssl.SSLContext, ending: asyncio.Event) -> int:
    """Shake hands again and again, and return how often."""
    count = 0
    while not ending.is_set():
        _, writer = await asyncio.open_connection(
            "127.0.0.1", edge.port, ssl=context, server_hostname=NAME
        )
        writer.transport.abort()
        await until(lambda: edge.plane.active < 9)
        count += 1
    return count


async def test_renewals_go_on_under_traffic_and_an_authority_that_fails_at_random(
    edge: Front, authority: Pebble, metrics: Metrics, tmp_path: Path, counted: Counted
) -> None:
    orders = Orders(Authority(authority.directory, None, authority.root), tmp_path / "certs")
    clock, ending = Clock(), asyncio.Event()
    async with issuing(edge, orders, tmp_path / "certs", metrics, clock) as issuer:
        issuer.consider([NAME])
        await until(partial(has_issued, counted, 1))
        trusted = await authority.clients()
        async with asyncio.TaskGroup() as tasks:
            client = tasks.create_task(connect_until(edge, trusted, ending))
            for count, years in ((2, 4.0), (3, 4.6)):  # of five that each certificate has
                clock.ahead = years * YEAR
                await until(partial(has_issued, counted, count))
            ending.set()

    assert client.result() > 3
    assert counted("certificate_orders_total", result="failed") == 0
    assert counted("connections_refused_total", code="no_certificate") == 0


@pytest.fixture
async def proxy(authority: Pebble, tmp_path: Path) -> AsyncIterator[AuthorityProxy]:
    async with authority_proxy(authority, tmp_path / "pebble") as made:
        yield made


async def test_a_certificate_is_renewed_when_the_authority_wants_it_and_replaces_the_one_before(
    *, edge: Front, authority: Pebble, proxy: AuthorityProxy, metrics: Metrics, tmp_path: Path, counted: Counted
) -> None:  # fmt: skip
    proxy.suggest(datetime.now(UTC) + YEAR)
    orders = Orders(Authority(proxy.directory, None, authority.root), tmp_path / "certs")
    clock = Clock()
    async with issuing(edge, orders, tmp_path / "certs", metrics, clock) as issuer:
        issuer.consider([NAME])
        await until(lambda: len(proxy.requested) == 1)
        clock.ahead = YEAR + timedelta(days=1)
        await until(lambda: len(proxy.requested) == 2)

    assert has_issued(counted, 2)
    assert [each for each, _ in groupby(proxy.replaced)] == [None, proxy.requested[0]]
    assert proxy.requested[1] != proxy.requested[0]


async def test_an_authority_without_renewal_information_is_not_asked_for_a_day(
    authority: Pebble, proxy: AuthorityProxy, edge: Front, tmp_path: Path
) -> None:
    present = partial(edge.plane.certificates.show_challenge, NAME)
    known = Authority(proxy.directory, None, authority.root)
    chain, _ = await asyncio.to_thread(Orders(known, tmp_path / "certs").order, NAME, present)
    with pytest.raises(OrderError, match=r"."):  # for 500
        await asyncio.to_thread(Orders(known, tmp_path / "certs").suggest, chain)
    proxy.has_renewals = False
    answer = await asyncio.to_thread(Orders(known, tmp_path / "certs").suggest, chain)

    assert (answer.window, answer.again_s) == (None, 86400.0)


async def test_an_authority_that_is_gone_or_silent_fails_in_bounded_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (silent.getsockname()[1], free_port()):
            known = Authority(f"https://127.0.0.1:{port}/dir", None)
            orders = Orders(known, tmp_path / str(port), request_s=1.0)
            with pytest.raises(OrderError, match="no answer of the authority"):
                await asyncio.to_thread(orders.order, NAME, lambda _: None)


async def test_an_authority_that_cannot_be_trusted_names_this_clock(
    authority: Pebble, tmp_path: Path
) -> None:
    orders = Orders(Authority(authority.directory, None), tmp_path / "certs")

    with pytest.raises(OrderError, match=r"cannot be trusted, by this machine's clock \(20"):
        await asyncio.to_thread(orders.order, NAME, lambda _: None)
