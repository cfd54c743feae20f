"""`towonel edge-invite`: make, list and revoke what lets another edge in."""

import asyncio

import typer

from towonel.client.cli.invites import checked_name
from towonel.client.cli.options import ApiKey, HubUrl, InviteId, Json, Name, examples, target
from towonel.client.cli.output import print_fields, print_json, print_table, reported
from towonel.client.models import EdgeInviteItem, EdgeInviteList, EdgeInviteOut
from towonel.client.target import Target

app = typer.Typer(
    no_args_is_help=True,
    help="Edge invites let an edge on another machine serve for this hub.",
    rich_markup_mode=None,
)


@app.command(epilog=examples("towonel edge-invite create --name frankfurt"))
def create(
    name: Name = None, hub_url: HubUrl = None, api_key: ApiKey = None, as_json: Json = False
) -> None:
    """Make an edge invite, and print its token: the hub does not keep it."""
    with reported(as_json=as_json):
        made = asyncio.run(_create(target(hub_url, api_key), checked_name(name)))
        if as_json:
            print_json(made.model_dump())
            return
        print_fields([("invite", made.invite_id), ("edge", made.edge_node_id), ("name", made.name)])
        typer.echo("\nThe token, shown this once; give it to the edge:")
        typer.echo(f"TOWONEL_EDGE_INVITE_TOKEN={made.token}")


@app.command("list", epilog=examples("towonel edge-invite list", "towonel edge-invite list --json"))
def list_all(hub_url: HubUrl = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """List edge invites, the newest first."""
    with reported(as_json=as_json):
        found = asyncio.run(_list(target(hub_url, api_key)))
        if as_json:
            print_json(found.model_dump())
            return
        columns = ("ID", "NAME", "STATUS", "EDGE")
        print_table(columns, map(_row, found.invites), empty="There is no edge invite yet.")


@app.command(epilog=examples("towonel edge-invite revoke --id pJ4yYx1sT0mQ8aWv7c2d3g"))
def revoke(
    invite_id: InviteId, hub_url: HubUrl = None, api_key: ApiKey = None, as_json: Json = False
) -> None:
    """Revoke an edge invite: the hub gives that edge no routes and names it to no agent."""
    with reported(as_json=as_json):
        asyncio.run(_revoke(target(hub_url, api_key), invite_id))
        if as_json:
            print_json({"status": "revoked", "invite_id": invite_id})
            return
        typer.echo(f"revoked {invite_id}")


def _row(invite: EdgeInviteItem) -> tuple[str, ...]:
    return invite.invite_id, invite.name, invite.status, invite.edge_node_id


async def _create(hub: Target, name: str | None) -> EdgeInviteOut:
    async with hub.client() as client:
        return await client.create_edge_invite(name)


async def _list(hub: Target) -> EdgeInviteList:
    async with hub.client() as client:
        return await client.list_edge_invites()


async def _revoke(hub: Target, invite_id: str) -> None:
    async with hub.client() as client:
        await client.revoke_edge_invite(invite_id)
