"""`towonel edge-invite`: create, list and revoke invites of edges."""

import typer

from towonel.api.edge_invites import EdgeInviteItem
from towonel.cli.command import hub_command
from towonel.cli.commands.invite.flags import parse_invite_name
from towonel.cli.idempotent import create_once
from towonel.cli.options.flags import ItemId, Name
from towonel.cli.output import Fields, Output, format_time, token_blocks
from towonel.cli.tables import fetch_all, list_output
from towonel.client.operator import OperatorClient

app = typer.Typer()


@hub_command(app, "create", "towonel edge-invite create --name frankfurt")
async def create(hub: OperatorClient, name: Name = None) -> Output:
    """Make an edge invite, and print its token: the hub does not keep it."""
    checked = parse_invite_name(name)
    invite = await create_once(lambda key: hub.edge_invites.create(checked, idempotency_key=key))
    fields = [
        ("invite", invite.invite_id),
        ("edge", invite.edge_node_id.hex()),
        ("name", invite.name),
    ]
    token = token_blocks("edge", "TOWONEL_EDGE_INVITE_TOKEN", invite.token)
    return Output(invite, Fields(fields), *token)


@hub_command(app, "list", "towonel edge-invite list", "towonel edge-invite list --json")
async def list_all(hub: OperatorClient) -> Output:
    """List edge invites, the newest first."""
    invites = await fetch_all(hub.edge_invites.list, lambda page: page.invites)
    columns = ("ID", "NAME", "STATUS", "EDGE")
    return list_output("invites", invites, columns, _to_row, "There is no edge invite yet.")


@hub_command(app, "show", "towonel edge-invite show --id pJ4yYx1sT0mQ8aWv7c2d3g")
async def show(hub: OperatorClient, invite_id: ItemId) -> Output:
    """Show one edge invite; its token is not kept."""
    invite = await hub.edge_invites.get(invite_id)
    fields = [
        ("invite", invite.invite_id),
        ("edge", invite.edge_node_id.hex()),
        ("name", invite.name),
        ("status", invite.state or invite.status),
        ("created", format_time(invite.created_at_ms)),
    ]
    return Output(invite, Fields(fields))


@hub_command(app, "revoke", "towonel edge-invite revoke --id pJ4yYx1sT0mQ8aWv7c2d3g")
async def revoke(hub: OperatorClient, invite_id: ItemId) -> Output:
    """Revoke an edge invite. The hub gives that edge no routes and names it to no agent."""
    await hub.edge_invites.revoke(invite_id)
    return Output({"status": "revoked", "invite_id": invite_id}, f"revoked {invite_id}")


def _to_row(invite: EdgeInviteItem) -> tuple[str, ...]:
    return invite.invite_id, invite.name, invite.state or invite.status, invite.edge_node_id.hex()
