"""`towonel invite revoke`: end a tenant."""

import typer

from towonel.cli.command import hub_command
from towonel.cli.options.flags import ItemId
from towonel.cli.output import Output
from towonel.client.operator import OperatorClient

app = typer.Typer()


@hub_command(app, "revoke", "towonel invite revoke --id pJ4yYx1sT0mQ8aWv7c2d3g")
async def revoke(hub: OperatorClient, invite_id: ItemId) -> Output:
    """Revoke an invite: its tenant's routes and sessions end at once."""
    await hub.invites.revoke(invite_id)
    return Output({"status": "revoked", "invite_id": invite_id}, f"revoked {invite_id}")
