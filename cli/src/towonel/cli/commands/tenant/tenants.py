"""`towonel tenant`: who may publish here, how they stand, and how they rest, come back or end."""

from functools import partial
from typing import Annotated

import typer

from towonel.api.agents import AgentItem
from towonel.api.tenants import TenantDetail, TenantEdit, TenantItem
from towonel.cli.command import group, hub_command
from towonel.cli.commands.invite.flags import Limit as OwnLimit
from towonel.cli.commands.invite.flags import limits_from, shown_limits
from towonel.cli.conditional_edit import Force, edited
from towonel.cli.options.choices import TenantStanding
from towonel.cli.options.ids import checked_hex, request
from towonel.cli.options.port_ranges import shown_range
from towonel.cli.output import Fields, Rows, Shown, shown_time
from towonel.cli.tables import SHORT, Limit, listed, shown_list, shown_live, shown_traffic
from towonel.cli.usage import UsageError
from towonel.client.hub import HubClient

app = group()

TenantArgument = Annotated[
    str | None, typer.Argument(metavar="TENANT", help="The tenant's id.", show_default=False)
]
TenantFlag = Annotated[
    str | None,
    typer.Option("--tenant-id", metavar="HEX", help="The same, as a flag.", show_default=False),
]


@hub_command(app, "list", "towonel tenant list", "towonel tenant list --status suspended --json")
async def list_all(
    hub: HubClient,
    status: Annotated[TenantStanding | None, typer.Option(help="Only those.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="PART", help="Only those with this in their name.")
    ] = None,
    hostname: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only the one that holds it, spelled so.")
    ] = None,
    limit: Limit = None,
) -> Shown:
    """List tenants, the newest first, with what is live of them."""
    fetch = partial(hub.tenants.list, status=status, name=name, hostname=hostname)
    found = await listed(fetch, lambda page: page.tenants, limit)
    columns = ("TENANT", "NAME", "STATUS", "AGENTS", "OPEN", "HOSTNAMES")
    return shown_list("tenants", found, columns, _row, "There is no such tenant.")


@hub_command(app, "show", f"towonel tenant show {'b7' * 32}")
async def show(
    hub: HubClient, tenant: TenantArgument = None, tenant_id: TenantFlag = None
) -> Shown:
    """Show one tenant: what it may have and has, and where."""
    return _shown((await hub.tenants.get(_id(tenant, tenant_id))).value)


@hub_command(
    app,
    "edit",
    f"towonel tenant edit {'b7' * 32} --max-services 20 --max-agents default",
)
async def edit(
    hub: HubClient,
    tenant: TenantArgument = None,
    tenant_id: TenantFlag = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Its new name.")] = None,
    max_services: OwnLimit = None,
    max_agents: OwnLimit = None,
    max_ports: OwnLimit = None,
    max_hostnames: OwnLimit = None,
    force: Force = False,
) -> Shown:
    """Change a tenant's name or limits."""
    wanted_id = _id(tenant, tenant_id)
    limits = limits_from(
        services=max_services, agents=max_agents, ports=max_ports, hostnames=max_hostnames
    )
    fields = {"name": name, "limits": limits}
    given = {field: value for field, value in fields.items() if value is not None}
    if not given:
        raise UsageError("nothing to change: give at least one of the flags that --help lists")
    wanted, found = request(TenantEdit, **given), await hub.tenants.get(wanted_id)
    return _shown(
        await edited(
            lambda if_match: hub.tenants.update(wanted_id, wanted, if_match=if_match),
            found.etag,
            force=force,
        )
    )


@hub_command(app, "suspend", f"towonel tenant suspend {'b7' * 32}")
async def suspend(
    hub: HubClient, tenant: TenantArgument = None, tenant_id: TenantFlag = None
) -> Shown:
    """Stop serving a tenant. Its sessions end; it keeps its names, ports and token."""
    item = await hub.tenants.suspend(_id(tenant, tenant_id))
    return Shown(item, f"suspended {item.tenant_id}")


@hub_command(app, "resume", f"towonel tenant resume {'b7' * 32}")
async def resume(
    hub: HubClient, tenant: TenantArgument = None, tenant_id: TenantFlag = None
) -> Shown:
    """Serve a suspended tenant again."""
    item = await hub.tenants.resume(_id(tenant, tenant_id))
    return Shown(item, f"resumed {item.tenant_id}")


@hub_command(app, "remove", f"towonel tenant remove --tenant-id {'b7' * 32}")
async def remove(
    hub: HubClient, tenant: TenantArgument = None, tenant_id: TenantFlag = None
) -> Shown:
    """End a tenant for ever. Its key is refused from now on, even if this hub never knew it."""
    removed = await hub.tenants.remove(_id(tenant, tenant_id))
    return Shown(removed, f"removed {removed.tenant_id}")


def agent_rows(agents: list[AgentItem]) -> Rows:
    """Return agents as a table."""
    columns = ("AGENT", "GROUP", "LIVE", "EDGES", "OPEN", "SOFTWARE")
    return Rows(columns, [*map(agent_row, agents)], "No agent is known.")


def agent_row(item: AgentItem) -> tuple[str, ...]:
    """Return one agent as a row of that table."""
    edges = ", ".join(edge[:SHORT] for edge in item.edges)
    live = shown_live(item.live_since)
    return item.agent_id, item.group, live, edges, str(item.connections_active), item.software or ""


def _id(argument: str | None, flag: str | None) -> str:
    if (argument is None) == (flag is None):
        raise UsageError("TENANT: give a tenant's id, once")
    if flag is None:
        return checked_hex("TENANT", argument or "")
    return checked_hex("--tenant-id", flag)


def _row(item: TenantItem) -> tuple[str, ...]:
    active = str(item.traffic.connections_active)
    names = ", ".join(item.hostnames)
    return item.tenant_id, item.name, item.status, str(item.agents_live), active, names


def _shown(tenant: TenantDetail) -> Shown:
    fields = [
        ("tenant", tenant.tenant_id),
        ("invite", tenant.invite_id),
        ("name", tenant.name),
        ("status", tenant.status),
        ("hostnames", ", ".join(tenant.hostnames)),
        ("services", str(tenant.services)),
        ("ports", ", ".join(map(shown_range, tenant.ports)) or "none"),
        ("limits", shown_limits(tenant.limits)),
        ("created", shown_time(tenant.created_at)),
        ("expires", shown_time(tenant.expires_at)),
        ("traffic", shown_traffic(tenant.traffic)),
    ]
    return Shown(tenant, Fields(fields), "", agent_rows(tenant.agents))
