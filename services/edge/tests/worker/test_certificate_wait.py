"""Clients that wait for a certificate, and authorities that look at a challenge."""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import override

import pytest
import trustme
from support.edge_front import Front, Nowhere
from support.relay import SECRET, SESSION
from support.tunnel import until

from towonel.edge.certificates.acme.challenge import IDENTIFIER, make_challenge_certificate
from towonel.edge.certificates.sources import CertificateSource
from towonel.edge.core.route_table import RouteTable
from towonel.edge.worker.messages import SessionAdmitted, SessionServices
from towonel.edge.worker.termination.messages import CertificateLoaded
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.policy.client_networks import ClientNetworks
from towonel.wire.routes import Route, RouteDelta, TlsMode

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]

NAME = Hostname("app.example.eu")
TENANT = TenantId(b"t" * 32)
ROUTE = Route(ServiceKind.HTTPS, NAME, TENANT, tls_mode=TlsMode.TERMINATE)
FOREIGN = ClientNetworks(("192.0.2.0/24",))


class Source(CertificateSource):
    """Source that notes what is wanted, and gives nothing."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, str]] = []

    @override
    def want(self, name: Hostname, source: str) -> None:
        self.wanted.append((name, source))

    @override
    def consider(self, names: Iterable[Hostname]) -> None:
        return


@contextlib.asynccontextmanager
async def serving(
    front: StartFront, route: Route = ROUTE, **options: object
) -> AsyncIterator[Front]:
    table = RouteTable()
    table.apply(RouteDelta(1, snapshot=True, routes=(route,)))
    async with front(table, Nowhere(), has_agent=False, **options) as edge:
        edge.plane.tell(SessionAdmitted(SESSION, TENANT, SECRET, 0.3, slot=0))
        edge.plane.tell(SessionServices(SESSION, [str(route.service)]))
        yield edge


@pytest.fixture
async def edge(front: StartFront) -> AsyncIterator[Front]:
    async with serving(front) as edge:
        yield edge


@pytest.fixture
def source(edge: Front) -> Source:
    edge.plane.certificates.source = source = Source()
    return source


def issue(authority: trustme.CA) -> CertificateLoaded:
    issued = authority.issue_cert(NAME)
    pem = issued.cert_chain_pems[0].bytes() + issued.private_key_pem.bytes()
    return CertificateLoaded(NAME, pem)


async def shake_hands(edge: Front, context: ssl.SSLContext) -> ssl.SSLObject:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", edge.port, ssl=context, server_hostname=NAME
    )
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.close()
    return tls


@contextlib.asynccontextmanager
async def shaking_hands(
    edge: Front, context: ssl.SSLContext, count: int = 1
) -> AsyncIterator[list[asyncio.Task[ssl.SSLObject]]]:
    async with asyncio.TaskGroup() as tasks:
        yield [tasks.create_task(shake_hands(edge, context)) for _ in range(count)]


async def test_clients_wait_for_a_certificate_that_is_asked_for_once(
    edge: Front, source: Source, authority: trustme.CA, client_tls: ssl.SSLContext
) -> None:
    async with shaking_hands(edge, client_tls, 5) as clients:
        await until(lambda: bool(source.wanted))
        await until(lambda: edge.plane.active == 5)
        edge.plane.tell(issue(authority))

    assert source.wanted == [(NAME, "127.0.0.1")]
    assert all(each.result().getpeercert() for each in clients)


async def test_an_address_of_ipv6_counts_as_its_network(
    front: StartFront, client_tls: ssl.SSLContext
) -> None:
    async with serving(front, host="::1") as edge:
        edge.plane.certificates.source = source = Source()
        waiting = asyncio.ensure_future(
            asyncio.open_connection("::1", edge.port, ssl=client_tls, server_hostname=NAME)
        )
        await until(lambda: source.wanted == [(NAME, "::/64")])
        edge.plane.certificates.refuse(NAME, "for a reason")
        with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
            await waiting


async def test_clients_that_wait_in_vain_get_an_alert_and_the_next_one_asks_again(
    edge: Front, source: Source, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    for number in range(1, 3):
        waiting = asyncio.ensure_future(shake_hands(edge, client_tls))
        while len(source.wanted) < number:
            await asyncio.sleep(0)
        edge.plane.certificates.refuse(NAME, "for a reason", "127.0.0.1" if number == 2 else "")
        with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
            await waiting

    await until(lambda: counted("connections_refused_total", code="no_certificate") == 2)


async def test_those_of_one_source_are_refused_and_another_asks(
    edge: Front, source: Source, authority: trustme.CA, client_tls: ssl.SSLContext
) -> None:
    async with shaking_hands(edge, client_tls) as clients:
        await until(lambda: bool(source.wanted))
        edge.plane.certificates.refuse(NAME, "too many", "192.0.2.1")
        await until(lambda: len(source.wanted) == 2)
        edge.plane.tell(issue(authority))
    assert clients[0].result().getpeercert()


async def test_nobody_waits_for_ever(
    front: StartFront, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    async with serving(front, certificate_s=0.25) as edge:
        edge.plane.certificates.source = Source()
        with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
            await shake_hands(edge, client_tls)
        await until(lambda: counted("active_connections") == 0)

    assert counted("connections_refused_total", code="no_certificate") == 1


async def test_so_many_wait_and_no_more(
    front: StartFront, authority: trustme.CA, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    async with serving(front, certificate_clients=1) as edge:
        edge.plane.certificates.source = source = Source()
        async with shaking_hands(edge, client_tls):
            await until(lambda: bool(source.wanted))
            with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
                await shake_hands(edge, client_tls)
            edge.plane.tell(issue(authority))

    assert counted("connections_refused_total", code="overloaded") == 1


async def leave(edge: Front, client_tls: ssl.SSLContext, source: Source) -> None:
    """Begin a handshake, wait until the certificate is wanted, and reset the connection."""
    context = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_tls.wrap_bio(*context, server_hostname=NAME)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(context[1].read())
    await until(lambda: bool(source.wanted))
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(1, 13, linger)  # SO_LINGER: close by a reset
    writer.transport.abort()


async def test_a_client_that_leaves_while_it_waits_is_forgotten(
    edge: Front, source: Source, authority: trustme.CA, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    await leave(edge, client_tls, source)

    await until(lambda: counted("connections_refused_total", code="client_closed") == 1)
    edge.plane.tell(issue(authority))
    await shake_hands(edge, client_tls)


async def test_clients_that_have_left_take_no_place_of_others(
    front: StartFront, authority: trustme.CA, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    async with serving(front, certificate_clients=1) as edge:
        edge.plane.certificates.source = source = Source()
        await leave(edge, client_tls, source)
        await until(lambda: counted("connections_refused_total", code="client_closed") == 1)
        async with shaking_hands(edge, client_tls) as clients:
            await until(lambda: edge.plane.active == 1)
            edge.plane.tell(issue(authority))

    assert clients[0].result().getpeercert()
    assert source.wanted == [(NAME, "127.0.0.1")]


# Challenges.


def authority_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["acme-tls/1"])
    return context


@pytest.mark.parametrize("route", [ROUTE, replace(ROUTE, clients=FOREIGN)])
async def test_a_challenge_is_answered_while_it_is_pending(
    front: StartFront, counted: Counted, route: Route
) -> None:
    async with serving(front, route) as edge:
        pem = make_challenge_certificate(NAME, "token.thumbprint", datetime.now(UTC))
        edge.plane.certificates.show_challenge(NAME, pem)
        tls = await shake_hands(edge, authority_context())
        edge.plane.certificates.show_challenge(NAME, b"")
        with pytest.raises(OSError, match=r"."):
            await shake_hands(edge, authority_context())

        assert tls.selected_alpn_protocol() == "acme-tls/1"
        found = tls.getpeercert(binary_form=True)
        assert found is not None
        assert IDENTIFIER.dotted_string == "1.3.6.1.5.5.7.1.31"
    await until(lambda: counted("connections_refused_total", code="normal") == 1)
    assert list(edge.plane.certificates.describe()) == []


async def test_a_stranger_who_says_to_be_an_authority_wants_no_certificate(
    edge: Front, source: Source, counted: Counted
) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
        await shake_hands(edge, authority_context())

    await until(lambda: counted("connections_refused_total", code="no_certificate") == 1)
    assert source.wanted == []
