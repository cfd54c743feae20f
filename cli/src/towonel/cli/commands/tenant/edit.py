"""`towonel tenant show` and `edit`."""

from typing import Annotated

import typer

from towonel.api.tenants import TenantDetail, TenantEdit
from towonel.cli.command import hub_command
from towonel.cli.commands.tenant.flags import TenantArgument, TenantFlag, parse_tenant_id
from towonel.cli.conditional_edit import Force, send_edit
from towonel.cli.errors import UsageError
from towonel.cli.options.ids import build_request
from towonel.cli.options.limits import (
    MaxAgents,
    MaxBandwidth,
    MaxConnectionRate,
    MaxConnections,
    MaxHostnames,
    MaxPorts,
    MaxServices,
    format_limits,
    name_limits,
    parse_limits,
)
from towonel.cli.options.port_ranges import format_range
from towonel.cli.output import Fields, Output, format_time
from towonel.cli.tables import agent_rows, format_status, format_traffic
from towonel.client.operator import OperatorClient

app = typer.Typer()


@hub_command(app, "show", f"towonel tenant show {'b7' * 32}")
async def show(
    hub: OperatorClient, tenant: TenantArgument = None, tenant_id: TenantFlag = None
) -> Output:
    """Show one tenant: what it may have and has, and where."""
    return _render((await hub.tenants.get(parse_tenant_id(tenant, tenant_id))).value)


@hub_command(
    app,
    "edit",
    f"towonel tenant edit {'b7' * 32} --max-services 20 --max-agents default",
)
async def edit(
    hub: OperatorClient,
    tenant: TenantArgument = None,
    tenant_id: TenantFlag = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Its new name.")] = None,
    max_services: MaxServices = None,
    max_agents: MaxAgents = None,
    max_ports: MaxPorts = None,
    max_hostnames: MaxHostnames = None,
    max_connections: MaxConnections = None,
    max_connection_rate: MaxConnectionRate = None,
    max_bandwidth: MaxBandwidth = None,
    force: Force = False,
) -> Output:
    """Change a tenant's name or limits."""
    wanted_id = parse_tenant_id(tenant, tenant_id)
    limits = name_limits(
        *(max_services, max_agents, max_ports, max_hostnames),
        *(max_connections, max_connection_rate, max_bandwidth),
    )
    fields = {"name": name, "limits": parse_limits(**limits)}
    changes = {field: value for field, value in fields.items() if value is not None}
    if not changes:
        raise UsageError("nothing to change: give at least one of the flags that --help lists")
    edit_request, current = build_request(TenantEdit, **changes), await hub.tenants.get(wanted_id)
    return _render(
        await send_edit(
            lambda if_match: hub.tenants.update(wanted_id, edit_request, if_match=if_match),
            current.etag,
            force=force,
        )
    )


def _render(tenant: TenantDetail) -> Output:
    fields = [
        ("tenant", tenant.tenant_id.hex()),
        ("invite", tenant.invite_id),
        ("name", tenant.name),
        ("status", format_status(tenant)),
        ("hostnames", ", ".join(tenant.hostnames)),
        ("services", str(tenant.services)),
        ("ports", ", ".join(map(format_range, tenant.ports)) or "none"),
        ("limits", format_limits(tenant.limits)),
        ("created", format_time(tenant.created_at)),
        ("expires", format_time(tenant.expires_at)),
        ("ends", format_time(tenant.serves_until)),
        ("traffic", format_traffic(tenant.traffic)),
    ]
    return Output(tenant, Fields(fields), "", agent_rows(tenant.agents))
