"""`towonel invite`: make, list and revoke what lets a tenant in."""

from typing import Annotated

import typer

from towonel.client.cli.command import asks, group
from towonel.client.cli.durations import parse_duration
from towonel.client.cli.options import InviteId, Name
from towonel.client.cli.output import Fields, Rows, Shown, shown_time
from towonel.client.hub import HubClient
from towonel.client.models import MAX_EXPIRY_S, MAX_HOSTNAMES, InviteIn, InviteItem
from towonel.client.target import UsageError
from towonel.wire.errors import ProtocolError
from towonel.wire.names import parse_hostname

MAX_NAME_CHARS = 100

app = group("Invites let a tenant publish hostnames.")


@asks(
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
    made = await hub.create_invite(invite)
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


@asks(app, "list", "towonel invite list", "towonel invite list --json")
async def list_all(hub: HubClient) -> Shown:
    """List invites, the newest first."""
    found = await hub.list_invites()
    columns = ("ID", "NAME", "STATUS", "EXPIRES", "HOSTNAMES")
    return Shown(found, Rows(columns, [*map(_row, found.invites)], "There is no invite yet."))


@asks(app, "revoke", "towonel invite revoke --id pJ4yYx1sT0mQ8aWv7c2d3g")
async def revoke(hub: HubClient, invite_id: InviteId) -> Shown:
    """Revoke an invite: its tenant's routes and sessions end at once."""
    await hub.revoke_invite(invite_id)
    return Shown({"status": "revoked", "invite_id": invite_id}, f"revoked {invite_id}")


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
