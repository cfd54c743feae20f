"""`towonel invite list`."""

from functools import partial
from typing import Annotated

import typer

from towonel.api.invites import InviteItem, InviteState, InviteStatus
from towonel.cli.command import hub_command
from towonel.cli.commands.invite.flags import parse_name
from towonel.cli.output import Output, format_time
from towonel.cli.tables import fetch_all, list_output
from towonel.client.operator import OperatorClient

AT_ONCE = 100  # each may have a thousand names
app = typer.Typer()


@hub_command(
    app,
    "list",
    "towonel invite list",
    "towonel invite list --status pending --hostname app.example.eu --json",
)
async def list_all(
    hub: OperatorClient,
    status: Annotated[
        InviteStatus | None, typer.Option(help="Only those that are revoked, or are not.")
    ] = None,
    state: Annotated[
        InviteState | None,
        typer.Option(
            help="Only those in this state, which the column STATUS shows: nobody used them yet, some joined"
            " with them, they expired, are served no more, or were revoked."
        ),
    ] = None,
    hostname: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those with exactly this hostname.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="PART", help="Only those with this in their name.")
    ] = None,
) -> Output:
    """List invites, the newest first."""
    pattern = None if hostname is None else parse_name("--hostname", hostname)
    fetch = partial(
        hub.invites.list,
        limit=AT_ONCE,
        status=status,
        state=state,
        hostname=pattern,
        name=name,
    )
    invites = await fetch_all(fetch, lambda page: page.invites)
    columns = ("ID", "NAME", "STATUS", "EXPIRES", "ENDS", "HOSTNAMES")
    is_filtered = any(given is not None for given in (status, state, hostname, name))
    empty = "There is no such invite." if is_filtered else "There is no invite yet."
    return list_output("invites", invites, columns, _to_row, empty)


def _to_row(invite: InviteItem) -> tuple[str, ...]:
    expires, ends = format_time(invite.expires_at_ms), format_time(invite.serves_until)
    state = invite.state or invite.status  # earlier hubs tell no state
    return invite.invite_id, invite.name, state, expires, ends, ", ".join(invite.hostnames)
