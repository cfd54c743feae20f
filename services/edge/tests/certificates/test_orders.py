"""Orders against a real authority: pebble, whose challenges a worker of the edge answers."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import httpx
import pytest
from support.edge_front import Front, Nowhere
from support.pebble import Pebble, find_ports, pebble
from support.relay import SECRET, SESSION
from support.tunnel import until

from towonel.edge.certificates.acme.account import ACCOUNT, ACCOUNT_KEY
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
NAME, WILDCARD = "app.example.eu", "*.wild.example.eu"
NAMES = (NAME, WILDCARD)


@pytest.fixture
async def edge(front: StartFront) -> AsyncIterator[Front]:
    table = RouteTable()
    routes = tuple(
        Route(ServiceKind.HTTPS, name, TENANT, tls_mode=TlsMode.TERMINATE) for name in NAMES
    )
    table.apply(RouteDelta(1, snapshot=True, routes=routes))
    async with front(table, Nowhere(), has_agent=False) as edge:
        edge.plane.tell(SessionAdmitted(SESSION, TENANT, SECRET, 0.3, slot=0))
        edge.plane.tell(SessionServices(SESSION, [f"https:{name}" for name in NAMES]))
        yield edge


@pytest.fixture
async def authority(edge: Front, tmp_path: Path) -> AsyncIterator[Pebble]:
    async with pebble(tmp_path / "pebble", edge.port) as found:
        yield found


@pytest.fixture
async def issuer(
    edge: Front, authority: Pebble, tmp_path: Path, metrics: Metrics
) -> AsyncIterator[Issuer]:
    folder, store = tmp_path / "certs", edge.plane.certificates
    orders = Orders(Authority(authority.directory, "me@example.eu", authority.root), folder)
    made = Issuer(orders.order, store, folder, lambda _: TENANT, Budgets(50), metrics)
    async with made.run():
        store.source = made
        yield made


async def connect(edge: Front, context: ssl.SSLContext, name: str) -> str:
    """Connect as a client, and return who issued the certificate."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", edge.port, ssl=context, server_hostname=name
    )
    found = writer.get_extra_info("peercert")
    writer.close()
    return str(found["issuer"])


async def test_the_first_client_of_a_name_waits_for_its_certificate_and_gets_it(
    edge: Front, issuer: Issuer, authority: Pebble, counted: Counted, tmp_path: Path
) -> None:
    trusted = await authority.clients()
    async with asyncio.TaskGroup() as tasks:
        clients = [tasks.create_task(connect(edge, trusted, NAME)) for _ in range(3)]
        clients.append(tasks.create_task(connect(edge, trusted, "any.wild.example.eu")))

    assert all("Pebble" in client.result() for client in clients)
    assert counted("certificate_orders_total", result="issued") == 2
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "certs").iterdir()}
    assert set(modes.values()) == {0o600}
    assert {f"{NAME}.crt", f"{NAME}.key", ACCOUNT_KEY, ACCOUNT} <= set(modes)


async def test_a_name_is_ordered_before_a_client_comes(
    edge: Front, issuer: Issuer, counted: Counted
) -> None:
    issuer.consider(map(Hostname, NAMES))
    await until(lambda: counted("certificate_orders_total", result="issued") == 1)

    assert set(edge.plane.certificates.certificates) == {NAME}


async def test_a_challenge_that_nobody_answers_fails_with_what_the_authority_said(
    edge: Front, authority: Pebble, tmp_path: Path
) -> None:
    orders = Orders(Authority(authority.directory, None, authority.root), tmp_path / "certs")

    with pytest.raises(OrderError, match=r"tls|connection"):
        await asyncio.to_thread(orders.order, NAME, lambda _: None)


async def test_an_account_that_the_authority_has_lost_is_made_again(
    edge: Front, tmp_path: Path
) -> None:
    store, ports = edge.plane.certificates, find_ports()
    orders: Orders | None = None

    def present(pem: bytes) -> None:
        store.show_challenge(Hostname(NAME), pem)

    uris = set[str]()
    for attempt in range(2):
        async with pebble(tmp_path / f"pebble{attempt}", edge.port, ports) as found:
            authority = Authority(found.directory, None, tmp_path / "root.crt")
            (tmp_path / "root.crt").write_bytes(found.root.read_bytes())
            orders = orders or Orders(authority, tmp_path / "certs")
            chain, _ = await asyncio.to_thread(orders.order, NAME, present)
            uris.add((tmp_path / "certs" / ACCOUNT).read_text())
            assert chain.startswith(b"-----BEGIN CERTIFICATE-----")

    assert len(uris) == 2


async def test_an_account_whose_key_is_lost_is_replaced_by_a_new_one(
    edge: Front, authority: Pebble, tmp_path: Path
) -> None:
    folder, store = tmp_path / "certs", edge.plane.certificates
    accounts = set[str]()
    for _ in range(2):
        orders = Orders(Authority(authority.directory, None, authority.root), folder)
        await asyncio.to_thread(orders.order, NAME, partial(store.show_challenge, Hostname(NAME)))
        accounts.add((folder / ACCOUNT).read_text())
        (folder / ACCOUNT_KEY).unlink()

    assert len(accounts) == 2


async def test_strangers_who_offer_the_protocol_get_nothing_and_cause_no_order(
    edge: Front, issuer: Issuer, authority: Pebble, counted: Counted
) -> None:
    context = await authority.clients()
    context.set_alpn_protocols(["acme-tls/1"])
    with contextlib.suppress(ssl.SSLError, OSError):
        await connect(edge, context, NAME)

    await until(lambda: counted("connections_refused_total", code="no_certificate") == 1)
    assert counted("certificate_orders_total", result="issued") == 0


async def test_a_certificate_is_revoked_by_the_account_that_ordered_it_and_by_no_other(
    edge: Front, issuer: Issuer, authority: Pebble, tmp_path: Path
) -> None:
    issuer.consider([Hostname(NAME)])
    await until(lambda: NAME in edge.plane.certificates.certificates)
    pem = edge.plane.certificates.certificates[Hostname(NAME)].pem
    own, other = (
        Orders(Authority(authority.directory, None, authority.root), tmp_path / folder)
        for folder in ("certs", "others")
    )
    with pytest.raises(OrderError, match="unauthorized"):
        await asyncio.to_thread(other.revoke, pem, 0)
    for _ in range(2):  # one that is revoked already is no error
        await asyncio.to_thread(own.revoke, pem, 1)
    async with httpx.AsyncClient(verify=authority.trust()) as http:
        serial = edge.plane.certificates.certificates[Hostname(NAME)].serial
        shown = (await http.get(f"{authority.management}/cert-status-by-serial/{serial}")).json()

    assert (shown["Status"], shown["Reason"]) == ("Revoked", 1)
