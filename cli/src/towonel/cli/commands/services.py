"""`towonel service` and `towonel route`: what is published, and whose a public name or port is."""

from functools import partial
from typing import Annotated

import typer

from towonel.api.services import RouteItem, ServiceItem
from towonel.cli.command import group, hub_command
from towonel.cli.commands.tenant.tenants import agent_rows
from towonel.cli.options.choices import Kind
from towonel.cli.output import Fields, Shown
from towonel.cli.tables import SHORT, Group, Limit, TenantId, listed, shown_list
from towonel.client.hub import HubClient

services = group()
routes = group()

Key = Annotated[
    str,
    typer.Argument(
        metavar="KEY", help="As lists show it: https:app.example.eu, tcp:2222.", show_default=False
    ),
]
OfKind = Annotated[Kind | None, typer.Option(help="Only of this kind.")]


@hub_command(
    services, "list", "towonel service list", "towonel service list --kind tcp --group home"
)
async def list_services(
    hub: HubClient,
    tenant_id: TenantId = None,
    group_name: Group = None,
    kind: OfKind = None,
    limit: Limit = None,
) -> Shown:
    """List what groups of agents publish, by key."""
    fetch = partial(hub.services.list, tenant_id=tenant_id, group=group_name, kind=kind)
    found = await listed(fetch, lambda page: page.services, limit)
    columns = ("KEY", "NAME", "TLS", "GROUP", "AGENTS", "TENANT")
    return shown_list("services", found, columns, _service, "Nothing is published.")


@hub_command(services, "show", "towonel service show https:app.example.eu")
async def show_service(hub: HubClient, key: Key) -> Shown:
    """Show one public name or port. Who publishes it, and which agents serve it now."""
    item = await hub.services.get(key)
    fields = [
        ("service", item.key),
        ("name", item.name),
        ("tls", item.tls_mode),
        ("tenant", item.tenant_id),
        ("groups", ", ".join(item.groups)),
    ]
    return Shown(item, Fields(fields), "", agent_rows(item.agents))


@hub_command(routes, "list", "towonel route list", "towonel route list --kind udp --json")
async def list_routes(
    hub: HubClient, tenant_id: TenantId = None, kind: OfKind = None, limit: Limit = None
) -> Shown:
    """List public names and ports, by key, as edges serve them."""
    fetch = partial(hub.routes.list, tenant_id=tenant_id, kind=kind)
    found = await listed(fetch, lambda page: page.routes, limit)
    columns = ("KEY", "NAME", "TLS", "REVISION", "TENANT")
    return shown_list("routes", found, columns, _route, "Nothing is published.")


@hub_command(routes, "show", "towonel route show tcp:2222")
async def show_route(hub: HubClient, key: Key) -> Shown:
    """Show whose a public name or port is."""
    item = await hub.routes.get(key)
    fields = [
        ("route", item.key),
        ("name", item.name),
        ("tls", item.tls_mode),
        ("tenant", item.tenant_id),
        ("revision", str(item.revision)),
    ]
    return Shown(item, Fields(fields))


def _service(item: ServiceItem) -> tuple[str, ...]:
    tenant, live = item.tenant_id[:SHORT], str(item.agents_live)
    return item.key, item.name, item.tls_mode, item.group, live, tenant


def _route(item: RouteItem) -> tuple[str, ...]:
    return item.key, item.name, item.tls_mode, str(item.revision), item.tenant_id
