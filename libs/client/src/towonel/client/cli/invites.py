"""`towonel invite`: make, list and revoke what lets a tenant in."""

import asyncio
from typing import Annotated

import typer

from towonel.client.cli.durations import parse_duration
from towonel.client.cli.options import ApiKey, HubUrl, InviteId, Json, Name, examples, target
from towonel.client.cli.output import print_fields, print_json, print_table, reported, shown_time
from towonel.client.models import (
    MAX_EXPIRY_S,
    MAX_HOSTNAMES,
    InviteIn,
    InviteItem,
    InviteList,
    InviteOut,
)
from towonel.client.target import Target, UsageError
from towonel.wire.errors import ProtocolError
from towonel.wire.names import parse_hostname

MAX_NAME_CHARS = 100

app = typer.Typer(
    no_args_is_help=True, help="Invites let a tenant publish hostnames.", rich_markup_mode=None
)


@app.command(
    epilog=examples(
        "towonel invite create --hostnames app.example.eu",
        "towonel invite create --name home --hostnames 'app.example.eu,*.home.example.eu'"
        " --expires 7d",
    )
)
def create(
    hostnames: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="What the tenant may publish; quote a *.", show_default=False
        ),
    ],
    name: Name = None,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="How long it can be used: 48h, 7d, never.")
    ] = "never",
    hub_url: HubUrl = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Make an invite, and print its token: the hub does not keep it."""
    with reported(as_json=as_json):
        invite = invite_from(name, hostnames, expires)
        made = asyncio.run(_create(target(hub_url, api_key), invite))
        if as_json:
            print_json({**made.model_dump(), "hostnames": invite.hostnames})
            return
        print_fields(
            [
                ("invite", made.invite_id),
                ("tenant", made.tenant_id),
                ("name", made.name),
                ("hostnames", ", ".join(invite.hostnames)),
                ("expires", shown_time(made.expires_at_ms)),
            ]
        )
        typer.echo(f"\nThe token, shown this once; give it to the agent:\n{made.token}")


@app.command("list", epilog=examples("towonel invite list", "towonel invite list --json"))
def list_all(hub_url: HubUrl = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """List invites, the newest first."""
    with reported(as_json=as_json):
        found = asyncio.run(_list(target(hub_url, api_key)))
        if as_json:
            print_json(found.model_dump())
            return
        columns = ("ID", "NAME", "STATUS", "EXPIRES", "HOSTNAMES")
        print_table(columns, map(_row, found.invites), empty="There is no invite yet.")


@app.command(epilog=examples("towonel invite revoke --id pJ4yYx1sT0mQ8aWv7c2d3g"))
def revoke(
    invite_id: InviteId, hub_url: HubUrl = None, api_key: ApiKey = None, as_json: Json = False
) -> None:
    """Revoke an invite: its tenant's routes and sessions end at once."""
    with reported(as_json=as_json):
        asyncio.run(_revoke(target(hub_url, api_key), invite_id))
        if as_json:
            print_json({"status": "revoked", "invite_id": invite_id})
            return
        typer.echo(f"revoked {invite_id}")


def invite_from(name: str | None, hostnames: str, expires: str) -> InviteIn:
    """Return the request that the flags ask for.

    Raises:
        UsageError: naming the flag and the rule.
    """
    names = [item.strip() for item in hostnames.split(",") if item.strip()]
    if not 1 <= len(names) <= MAX_HOSTNAMES:
        raise UsageError(f"--hostnames: give 1 to {MAX_HOSTNAMES}, separated by commas")
    return InviteIn(
        name=checked_name(name),
        hostnames=[_hostname(item) for item in names],
        expires_in_secs=_expiry(expires),
    )


def checked_name(name: str | None) -> str | None:
    """Return the name of an invite as given; None lets the hub choose one."""
    if name is not None and len(name) > MAX_NAME_CHARS:
        raise UsageError(f"--name: at most {MAX_NAME_CHARS} characters")
    return name


def _hostname(text: str) -> str:
    try:
        return parse_hostname(text)
    except ProtocolError as error:
        raise UsageError(f"--hostnames: {error.detail}") from error


def _expiry(text: str) -> int | None:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--expires: {error}") from error
    if seconds is not None and seconds > MAX_EXPIRY_S:
        raise UsageError(f"--expires: at most {MAX_EXPIRY_S // 86_400}d, or never")
    return seconds


def _row(invite: InviteItem) -> tuple[str, ...]:
    expires = shown_time(invite.expires_at_ms)
    return invite.invite_id, invite.name, invite.status, expires, ", ".join(invite.hostnames)


async def _create(hub: Target, invite: InviteIn) -> InviteOut:
    async with hub.client() as client:
        return await client.create_invite(invite)


async def _list(hub: Target) -> InviteList:
    async with hub.client() as client:
        return await client.list_invites()


async def _revoke(hub: Target, invite_id: str) -> None:
    async with hub.client() as client:
        await client.revoke_invite(invite_id)
