"""`towonel tenant suspend`, `resume` and `remove`."""

import typer

from towonel.cli.command import hub_command
from towonel.cli.commands.tenant.flags import TenantArgument, TenantFlag, parse_tenant_id
from towonel.cli.output import Output
from towonel.client.operator import OperatorClient

app = typer.Typer()


@hub_command(app, "suspend", f"towonel tenant suspend {'b7' * 32}")
async def suspend(
    hub: OperatorClient, tenant: TenantArgument = None, tenant_id: TenantFlag = None
) -> Output:
    """Stop serving a tenant. Its sessions end; it keeps its names, ports and token."""
    item = await hub.tenants.suspend(parse_tenant_id(tenant, tenant_id))
    return Output(item, f"suspended {item.tenant_id.hex()}")


@hub_command(app, "resume", f"towonel tenant resume {'b7' * 32}")
async def resume(
    hub: OperatorClient, tenant: TenantArgument = None, tenant_id: TenantFlag = None
) -> Output:
    """Serve a suspended tenant again."""
    item = await hub.tenants.resume(parse_tenant_id(tenant, tenant_id))
    return Output(item, f"resumed {item.tenant_id.hex()}")


@hub_command(app, "remove", f"towonel tenant remove --tenant-id {'b7' * 32}")
async def remove(
    hub: OperatorClient, tenant: TenantArgument = None, tenant_id: TenantFlag = None
) -> Output:
    """End a tenant for ever. Its key is refused from now on, even if this hub never knew it."""
    removed = await hub.tenants.remove(parse_tenant_id(tenant, tenant_id))
    return Output(removed, f"removed {removed.tenant_id.hex()}")
