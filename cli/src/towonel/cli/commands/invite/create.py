"""`towonel invite create`: make an invite, and print its token."""

from collections.abc import Sequence
from typing import Annotated

import typer

from towonel.api.invites import MAX_EXPIRY_S, MAX_SERVING_S, InviteIn, InviteOut
from towonel.api.limits import Limits
from towonel.cli.command import hub_command
from towonel.cli.commands.invite.flags import parse_hostnames, parse_invite_name
from towonel.cli.idempotent import create_once
from towonel.cli.options.expiry import parse_lifetime
from towonel.cli.options.flags import Name
from towonel.cli.options.limits import (
    MaxBandwidth,
    MaxConnectionRate,
    MaxConnections,
    format_limits,
    parse_limits,
)
from towonel.cli.output import Fields, Output, format_time, token_blocks
from towonel.client.operator import OperatorClient

app = typer.Typer()

ServeFor = Annotated[
    str,
    typer.Option(metavar="TIME", help="How long from now the tenant is served: 30d; or forever."),
]


@hub_command(
    app,
    "create",
    "towonel invite create --hostnames app.example.eu",
    "towonel invite create --name home --hostnames 'app.example.eu,*.home.example.eu' --expires 7d",
    "towonel invite create --hostnames app.example.eu --expires 48h --serve-for 30d",
    "towonel invite create --hostnames app.example.eu --max-connections 500 --max-bandwidth 100M",
)
async def create(
    hub: OperatorClient,
    hostnames: Annotated[
        list[str],
        typer.Option(
            metavar="A,B",
            help="What the tenant may publish; quote a *; repeat it.",
            show_default=False,
        ),
    ],
    name: Name = None,
    expires: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="How long agents can join with it: 48h, 7d, at most 30d; or never."
        ),
    ] = "never",
    serve_for: ServeFor = "forever",
    max_connections: MaxConnections = None,
    max_connection_rate: MaxConnectionRate = None,
    max_bandwidth: MaxBandwidth = None,
) -> Output:
    """Make an invite, and print its token: the hub does not keep it."""
    limits = parse_limits(
        connections=max_connections, connection_rate=max_connection_rate, bandwidth=max_bandwidth
    )
    invite = parse_invite(name, hostnames, expires, serve_for, limits)
    created = await create_once(lambda key: hub.invites.create(invite, idempotency_key=key))
    return _render(created, invite, serve_for)


def _render(created: InviteOut, invite: InviteIn, serve_for: str) -> Output:
    fields = [
        ("invite", created.invite_id),
        ("tenant", created.tenant_id.hex()),
        ("name", created.name),
        ("hostnames", ", ".join(invite.hostnames)),
        ("expires", format_time(created.expires_at_ms)),
        ("served", "forever" if invite.serves_for_secs is None else f"for {serve_for}"),
    ]
    document: dict[str, object] = created.model_dump()
    document |= {"hostnames": invite.hostnames, "serves_for_secs": invite.serves_for_secs}
    if invite.limits is not None:
        fields.append(("limits", format_limits(invite.limits)))
        document["limits"] = invite.limits.model_dump()
    token = token_blocks("agent", "TOWONEL_INVITE_TOKEN", created.token)
    return Output(document, Fields(fields), *token)


def parse_invite(
    name: str | None,
    hostnames: Sequence[str],
    expires: str,
    serve_for: str,
    limits: Limits | None = None,
) -> InviteIn:
    """Return the request that the flags describe.

    Raises:
        UsageError: naming the flag and the rule.
    """
    names = parse_hostnames("--hostnames", hostnames)
    return InviteIn(
        name=parse_invite_name(name),
        hostnames=names,
        expires_in_secs=parse_lifetime("--expires", expires, MAX_EXPIRY_S),
        serves_for_secs=parse_lifetime("--serve-for", serve_for, MAX_SERVING_S),
        limits=limits,
    )
