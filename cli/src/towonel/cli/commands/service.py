"""`towonel service`: what groups of agents publish."""

from functools import partial

import typer

from towonel.api.services import ServiceItem
from towonel.cli.command import hub_command
from towonel.cli.options.routes import OfKind, RouteKey
from towonel.cli.output import Fields, Output
from towonel.cli.tables import SHORT, Group, Limit, TenantId, agent_rows, fetch_all, list_output
from towonel.client.operator import OperatorClient

app = typer.Typer()


@hub_command(app, "list", "towonel service list", "towonel service list --kind tcp --group home")
async def list_all(
    hub: OperatorClient,
    tenant_id: TenantId = None,
    group_name: Group = None,
    kind: OfKind = None,
    limit: Limit = None,
) -> Output:
    """List what groups of agents publish, by key."""
    fetch = partial(hub.services.list, tenant_id=tenant_id, group=group_name, kind=kind)
    services = await fetch_all(fetch, lambda page: page.services, limit)
    columns = ("KEY", "NAME", "TLS", "GROUP", "AGENTS", "TENANT")
    return list_output("services", services, columns, _to_row, "Nothing is published.")


@hub_command(app, "show", "towonel service show https:app.example.eu")
async def show(hub: OperatorClient, key: RouteKey) -> Output:
    """Show one public name or port. Who publishes it, and which agents serve it now."""
    item = await hub.services.get(key)
    fields = [
        ("service", item.key),
        ("name", item.name),
        ("tls", item.tls_mode),
        ("tenant", item.tenant_id.hex()),
        ("groups", ", ".join(item.groups)),
    ]
    return Output(item, Fields(fields), "", agent_rows(item.agents))


def _to_row(item: ServiceItem) -> tuple[str, ...]:
    tenant, live = item.tenant_id.hex()[:SHORT], str(item.agents_live)
    return item.key, item.name, item.tls_mode, item.group, live, tenant
