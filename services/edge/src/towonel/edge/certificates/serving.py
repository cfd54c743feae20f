"""Serving of certificates: those of the folder, and those that an authority gives."""

import contextlib
from collections.abc import AsyncGenerator

from towonel.edge.certificates.acme.authority import LETS_ENCRYPT, STAGING, Authority
from towonel.edge.certificates.acme.budgets import Budgets
from towonel.edge.certificates.acme.issuer import FindTenant, Issuer
from towonel.edge.certificates.acme.name_check import NameCheck
from towonel.edge.certificates.store import CertificateStore
from towonel.edge.core.route_table import RouteTable
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions
from towonel.edge.settings import EdgeSettings
from towonel.runtime.addresses import parse_address
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname
from towonel.wire.routes import TlsMode


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
    metrics.certificate_expiry.set_function(lambda: _find_first_end(store))
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(store.follow(folder))
        if authority is not None:
            find_tenant = make_find_tenant(table, sessions)
            issuer = _make_issuer(store, settings, authority, find_tenant, metrics)
            await stack.enter_async_context(issuer.run())
            store.source = issuer
            stack.callback(setattr, store, "source", None)
        yield


def _find_first_end(store: CertificateStore) -> float:
    """Return when the first certificate ends, in Unix seconds; 0 without any."""
    ends = (each.not_after.timestamp() for each in store.certificates.values())
    return min(ends, default=0.0)


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


def _make_issuer(
    store: CertificateStore,
    settings: EdgeSettings,
    authority: Authority,
    find_tenant: FindTenant,
    metrics: Metrics,
) -> Issuer:
    # Its library and HTTP client take a quarter of a second and 20 MiB, of which most edges need nothing.
    from towonel.edge.certificates.acme.orders import Orders  # noqa: PLC0415

    orders = Orders(authority, settings.certificate_folder)
    return Issuer(
        orders.order,
        store,
        settings.certificate_folder,
        find_tenant,
        Budgets(settings.acme_per_domain),
        metrics,
        check=NameCheck(find_hosts(settings)).check if settings.acme_check_dns else None,
        suggest=orders.suggest,
        eager=authority.eager,
    )


def find_hosts(settings: EdgeSettings) -> list[str]:
    """Return the names and addresses at which others reach this edge, as far as settings say."""
    port = settings.session_address[1]
    return [parse_address(address)[0] for address in settings.agent_addresses(port)]


def make_find_tenant(table: RouteTable, sessions: Sessions) -> FindTenant:
    """Return what tells whose a name is, if its TLS ends here and an agent serves it now."""

    def find_tenant(name: Hostname) -> TenantId | None:
        route = table.lookup(name)
        if route is None or route.tls_mode is not TlsMode.TERMINATE:
            return None
        return route.tenant_id if sessions.find(route.tenant_id, route.service) else None

    return find_tenant
