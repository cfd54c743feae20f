"""`towonel invite show` and `edit`."""

from typing import Annotated

import typer

from towonel.api.invites import InviteDetail
from towonel.cli.command import hub_command
from towonel.cli.commands.invite.flags import InviteChanges, parse_edit
from towonel.cli.conditional_edit import Force, send_edit
from towonel.cli.options.expiry import ExpiresAt
from towonel.cli.options.flags import ItemId
from towonel.cli.options.limits import (
    MaxAgents,
    MaxBandwidth,
    MaxConnectionRate,
    MaxConnections,
    MaxHostnames,
    MaxPorts,
    MaxServices,
    format_limits,
    name_limits,
)
from towonel.cli.options.port_ranges import format_range
from towonel.cli.output import Fields, Output, format_time, now
from towonel.client.operator import OperatorClient

app = typer.Typer()

Several = list[str] | None
UntilJoined = Annotated[
    str | None,
    typer.Option(
        "--expires", metavar="TIME", help="How long agents can join: 48h, 7d, at most 30d; never."
    ),
]
ServeFor = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="How long from now it is served: 48h, 30d, forever."),
]
ServeUntil = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Or until when: 2027-01-31, 2027-01-31T12:00:00Z."),
]
NewName = Annotated[str | None, typer.Option(metavar="NAME", help="Its new name.")]
Hostnames = Annotated[
    Several, typer.Option(metavar="A,B", help="All that it may publish; quote a *; repeat it.")
]
AddHostname = Annotated[Several, typer.Option(metavar="A,B", help="More; repeat it.")]
RemoveHostname = Annotated[Several, typer.Option(metavar="A,B", help="No more these; repeat it.")]
AddPort = Annotated[
    Several,
    typer.Option(
        "--add-port",
        "--port",
        metavar="PORTS",
        help="Keep tcp:2222,udp:27015-27030 for it; repeat it.",
    ),
]
RemovePort = Annotated[
    Several, typer.Option(metavar="PORTS", help="Release ports, as for --add-port.")
]


@hub_command(app, "show", "towonel invite show --id pJ4yYx1sT0mQ8aWv7c2d3g")
async def show(hub: OperatorClient, invite_id: ItemId) -> Output:
    """Show one invite; its token is not kept."""
    return _render((await hub.invites.get(invite_id)).value)


@hub_command(
    app,
    "edit",
    "towonel invite edit --id pJ4yYx1sT0mQ8aWv7c2d3g --add-hostname b.example.eu --expires never",
    "towonel invite edit --id pJ4yYx1sT0mQ8aWv7c2d3g --serve-for 30d",
    "towonel invite edit --id pJ4yYx1sT0mQ8aWv7c2d3g --port udp:27015-27030 --max-services 20",
    "towonel invite edit --id pJ4yYx1sT0mQ8aWv7c2d3g --max-connections 500 --max-bandwidth 100M",
)
async def edit(
    hub: OperatorClient,
    invite_id: ItemId,
    name: NewName = None,
    hostnames: Hostnames = None,
    add_hostname: AddHostname = None,
    remove_hostname: RemoveHostname = None,
    add_port: AddPort = None,
    remove_port: RemovePort = None,
    expires: UntilJoined = None,
    expires_at: ExpiresAt = None,
    serve_for: ServeFor = None,
    serve_until: ServeUntil = None,
    max_services: MaxServices = None,
    max_agents: MaxAgents = None,
    max_ports: MaxPorts = None,
    max_hostnames: MaxHostnames = None,
    max_connections: MaxConnections = None,
    max_connection_rate: MaxConnectionRate = None,
    max_bandwidth: MaxBandwidth = None,
    force: Force = False,
) -> Output:
    """Change what a live invite may do; its token stays good."""
    limits = name_limits(
        *(max_services, max_agents, max_ports, max_hostnames),
        *(max_connections, max_connection_rate, max_bandwidth),
    )
    changes = InviteChanges(
        *(name, hostnames, add_hostname, remove_hostname, add_port, remove_port),
        *(expires, expires_at, serve_for, serve_until, limits),
    )
    current = await hub.invites.get(invite_id)
    edit_request = parse_edit(current.value, changes, now())
    return _render(
        await send_edit(
            lambda if_match: hub.invites.update(invite_id, edit_request, if_match=if_match),
            current.etag,
            force=force,
        )
    )


def _render(invite: InviteDetail) -> Output:
    fields = [
        ("invite", invite.invite_id),
        ("tenant", invite.tenant_id.hex()),
        ("name", invite.name),
        ("status", invite.state or invite.status),
        ("hostnames", ", ".join(invite.hostnames)),
        ("ports", ", ".join(map(format_range, invite.ports)) or "none"),
        ("limits", format_limits(invite.limits)),
        ("created", format_time(invite.created_at)),
        ("expires", format_time(invite.expires_at)),
        ("ends", format_time(invite.serves_until)),
        ("suspended", format_time(invite.suspended_at)),
    ]
    return Output(invite, Fields(fields))
