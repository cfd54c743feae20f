"""`towonel route`: public names and ports, and whose they are."""

from functools import partial

import typer

from towonel.api.services import RouteItem
from towonel.cli.command import hub_command
from towonel.cli.options.routes import OfKind, RouteKey
from towonel.cli.output import Fields, Output
from towonel.cli.tables import Limit, TenantId, fetch_all, format_tls, list_output
from towonel.client.operator import OperatorClient

app = typer.Typer()


@hub_command(app, "list", "towonel route list", "towonel route list --kind udp --json")
async def list_all(
    hub: OperatorClient, tenant_id: TenantId = None, kind: OfKind = None, limit: Limit = None
) -> Output:
    """List public names and ports, by key, as edges serve them."""
    fetch = partial(hub.routes.list, tenant_id=tenant_id, kind=kind)
    routes = await fetch_all(fetch, lambda page: page.routes, limit)
    columns = ("KEY", "NAME", "TLS", "REVISION", "TENANT")
    return list_output("routes", routes, columns, _to_row, "Nothing is published.")


@hub_command(app, "show", "towonel route show tcp:2222")
async def show(hub: OperatorClient, key: RouteKey) -> Output:
    """Show whose a public name or port is."""
    item = await hub.routes.get(key)
    fields = [
        ("route", item.key),
        ("name", item.name),
        ("tls", format_tls(item)),
        ("tenant", item.tenant_id.hex()),
        ("revision", str(item.revision)),
    ]
    return Output(item, Fields(fields))


def _to_row(item: RouteItem) -> tuple[str, ...]:
    return item.key, item.name, format_tls(item), str(item.revision), item.tenant_id.hex()
