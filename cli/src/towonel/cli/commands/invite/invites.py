"""`towonel invite`: make, list and revoke what lets a tenant in."""

from functools import partial
from typing import Annotated

import typer

from towonel.api.fields import MAX_HOSTNAMES
from towonel.api.invites import MAX_EXPIRY_S, InviteIn, InviteItem
from towonel.cli.command import group, hub_command
from towonel.cli.idempotent import once
from towonel.cli.options.choices import Status
from towonel.cli.options.expiry import seconds
from towonel.cli.options.flags import ItemId, Name
from towonel.cli.output import Fields, Shown, shown_time
from towonel.cli.tables import listed, shown_list
from towonel.cli.usage import UsageError
from towonel.client.hub import HubClient
from towonel.wire.errors import ProtocolError
from towonel.wire.names import parse_hostname

MAX_NAME_CHARS = 100
AT_ONCE = 100  # each may have a thousand names

app = group()


@hub_command(
    app,
    "create",
    "towonel invite create --hostnames app.example.eu",
    "towonel invite create --name home --hostnames 'app.example.eu,*.home.example.eu' --expires 7d",
)
async def create(
    hub: HubClient,
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
) -> Shown:
    """Make an invite, and print its token: the hub does not keep it."""
    invite = invite_from(name, hostnames, expires)
    made = await once(lambda key: hub.invites.create(invite, idempotency_key=key))
    fields = Fields(
        [
            ("invite", made.invite_id),
            ("tenant", made.tenant_id),
            ("name", made.name),
            ("hostnames", ", ".join(invite.hostnames)),
            ("expires", shown_time(made.expires_at_ms)),
        ]
    )
    document = {**made.model_dump(), "hostnames": invite.hostnames}
    told = "\nThe token, shown this once; give it to the agent:"
    return Shown(document, fields, told, made.token)


@hub_command(
    app,
    "list",
    "towonel invite list",
    "towonel invite list --status pending --hostname app.example.eu --json",
)
async def list_all(
    hub: HubClient,
    status: Annotated[Status | None, typer.Option(help="Only those of this status.")] = None,
    hostname: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those with it, spelled so.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="PART", help="Only those with this in their name.")
    ] = None,
) -> Shown:
    """List invites, the newest first."""
    wanted = None if hostname is None else parse_name("--hostname", hostname)
    fetch = partial(hub.invites.list, limit=AT_ONCE, status=status, hostname=wanted, name=name)
    found = await listed(fetch, lambda page: page.invites)
    columns = ("ID", "NAME", "STATUS", "EXPIRES", "HOSTNAMES")
    is_filtered = any(given is not None for given in (status, hostname, name))
    empty = "There is no such invite." if is_filtered else "There is no invite yet."
    return shown_list("invites", found, columns, _row, empty)


@hub_command(app, "revoke", "towonel invite revoke --id pJ4yYx1sT0mQ8aWv7c2d3g")
async def revoke(hub: HubClient, invite_id: ItemId) -> Shown:
    """Revoke an invite: its tenant's routes and sessions end at once."""
    await hub.invites.revoke(invite_id)
    return Shown({"status": "revoked", "invite_id": invite_id}, f"revoked {invite_id}")


def invite_from(name: str | None, hostnames: str, expires: str) -> InviteIn:
    """Return the request that the flags ask for.

    Raises:
        UsageError: naming the flag and the rule.
    """
    return InviteIn(
        name=checked_name(name),
        hostnames=hostnames_from("--hostnames", hostnames),
        expires_in_secs=seconds("--expires", expires, MAX_EXPIRY_S),
    )


def hostnames_from(flag: str, text: str) -> list[str]:
    """Return the hostnames that commas separate.

    Raises:
        UsageError: naming the flag and the rule.
    """
    names = [item.strip() for item in text.split(",") if item.strip()]
    if not 1 <= len(names) <= MAX_HOSTNAMES:
        raise UsageError(f"{flag}: give 1 to {MAX_HOSTNAMES}, separated by commas")
    return [parse_name(flag, item) for item in names]


def parse_name(flag: str, text: str) -> str:
    """Return one hostname as the hub spells it; errors as in `hostnames_from`."""
    try:
        return parse_hostname(text.strip())
    except ProtocolError as error:
        raise UsageError(f"{flag}: {error.detail}") from error


def checked_name(name: str | None) -> str | None:
    """Return the name of an invite as given; None lets the hub choose one."""
    if name is not None and len(name) > MAX_NAME_CHARS:
        raise UsageError(f"--name: at most {MAX_NAME_CHARS} characters")
    return name


def _row(invite: InviteItem) -> tuple[str, ...]:
    expires = shown_time(invite.expires_at_ms)
    return invite.invite_id, invite.name, invite.status, expires, ", ".join(invite.hostnames)
