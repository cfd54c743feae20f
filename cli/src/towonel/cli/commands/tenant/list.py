"""`towonel tenant list`."""

from functools import partial
from typing import Annotated

import typer

from towonel.api.tenants import TenantItem, TenantStatus
from towonel.cli.command import hub_command
from towonel.cli.output import Output
from towonel.cli.tables import Limit, fetch_all, format_status, list_output
from towonel.client.operator import OperatorClient

app = typer.Typer()


@hub_command(app, "list", "towonel tenant list", "towonel tenant list --status suspended --json")
async def list_all(
    hub: OperatorClient,
    status: Annotated[TenantStatus | None, typer.Option(help="Only those.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="PART", help="Only those with this in their name.")
    ] = None,
    hostname: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those with exactly this hostname.")
    ] = None,
    limit: Limit = None,
) -> Output:
    """List tenants, the newest first, with what is live of them."""
    fetch = partial(hub.tenants.list, status=status, name=name, hostname=hostname)
    tenants = await fetch_all(fetch, lambda page: page.tenants, limit)
    columns = ("TENANT", "NAME", "STATUS", "AGENTS", "OPEN", "HOSTNAMES")
    return list_output("tenants", tenants, columns, _to_row, "There is no such tenant.")


def _to_row(item: TenantItem) -> tuple[str, ...]:
    active = str(item.traffic.connections_active)
    names, status = ", ".join(item.hostnames), format_status(item)
    return item.tenant_id.hex(), item.name, status, str(item.agents_live), active, names
