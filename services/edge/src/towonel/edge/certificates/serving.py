"""Serving of certificates: those of the folder, and those that an authority gives."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from towonel.edge.certificates.acme.authority import LETS_ENCRYPT, STAGING, Authority
from towonel.edge.certificates.acme.budgets import Budgets
from towonel.edge.certificates.acme.issuer import FindTenant, Issuer
from towonel.edge.certificates.acme.name_check import NameCheck
from towonel.edge.certificates.acme.order_view import OrderView
from towonel.edge.certificates.acme.requests import CertificateRequests
from towonel.edge.certificates.store import CertificateStore
from towonel.edge.core.http.hub_route import HUB
from towonel.edge.core.route_table import RouteTable
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions
from towonel.edge.settings import EdgeSettings
from towonel.runtime.addresses import parse_address
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname
from towonel.wire.routes import TlsMode

if TYPE_CHECKING:
    from towonel.edge.certificates.acme.orders import Orders

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@contextlib.asynccontextmanager
async def serve_certificates(
    store: CertificateStore,
    settings: EdgeSettings,
    table: RouteTable,
    sessions: Sessions,
    metrics: Metrics,
) -> AsyncGenerator[None]:
    """Have the certificates of a folder, and order others if there is an authority, for the time of the block."""
    folder, authority = settings.certificate_folder, find_authority(settings)
    metrics.certificates.set_function(lambda: len(store.certificates))
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(store.follow(folder))
        if authority is not None:
            find_tenant = make_find_tenant(store, table, sessions)
            orders = _make_orders(authority, folder)
            issuer = _make_issuer(orders, store, settings, find_tenant, metrics)
            await stack.enter_async_context(issuer.run())
            requests = CertificateRequests(issuer, store, folder, orders.revoke)
            await stack.enter_async_context(requests.run())
            for name, none in (("source", None), ("orders", None), ("requests", store.requests)):
                stack.callback(setattr, store, name, none)
            store.source, store.orders, store.requests = issuer, OrderView(issuer), requests
        yield


def serve_hub_name(store: CertificateStore, settings: EdgeSettings) -> None:
    """Get the certificate of the hub's own name, if this edge answers it: clients, and authorities, get in from now on."""
    if settings.hub_route is None:
        return
    name = store.hub_name = settings.hub_route.name
    if store.source is not None:
        store.source.consider([name])
    elif name not in store.certificates:
        log.warning("hub_name.uncertified", name=name)


def find_authority(settings: EdgeSettings) -> Authority | None:
    """Return the authority that certificates are ordered from, if they are."""
    if settings.acme_email is None and settings.acme_directory is None:
        return None
    key_id, hmac_key = settings.acme_eab_key_id, settings.acme_eab_hmac_key
    binding = None
    if key_id is not None and hmac_key is not None:
        binding = key_id, hmac_key.get_secret_value()
    return Authority(
        settings.acme_directory or (STAGING if settings.acme_staging else LETS_ENCRYPT),
        settings.acme_email,
        settings.acme_root,
        binding,
        settings.acme_eager,
    )


def _make_orders(authority: Authority, folder: Path) -> "Orders":
    # Its library and HTTP client take a quarter of a second and 20 MiB, of which most edges need nothing.
    from towonel.edge.certificates.acme.orders import Orders  # noqa: PLC0415

    return Orders(authority, folder)


def _make_issuer(
    orders: "Orders",
    store: CertificateStore,
    settings: EdgeSettings,
    find_tenant: FindTenant,
    metrics: Metrics,
) -> Issuer:
    return Issuer(
        orders.order,
        store,
        settings.certificate_folder,
        find_tenant,
        Budgets(settings.acme_per_domain),
        metrics,
        check=NameCheck(find_hosts(settings)).check if settings.acme_check_dns else None,
        suggest=orders.suggest,
        eager=settings.acme_eager,
    )


def find_hosts(settings: EdgeSettings) -> list[str]:
    """Return the names and addresses at which others reach this edge, as far as settings say."""
    port = settings.session_address[1]
    return [parse_address(address)[0] for address in settings.agent_addresses(port)]


def make_find_tenant(store: CertificateStore, table: RouteTable, sessions: Sessions) -> FindTenant:
    """Return what tells whose a name is, if its TLS ends here and an agent, or the hub itself, serves it now."""

    def find_tenant(name: Hostname) -> TenantId | None:
        if name == store.hub_name:
            return HUB
        route = table.lookup(name)
        if route is None or route.tls_mode is not TlsMode.TERMINATE:
            return None
        return route.tenant_id if sessions.find(route.tenant_id, route.service) else None

    return find_tenant
