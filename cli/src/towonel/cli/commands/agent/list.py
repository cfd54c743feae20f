"""`towonel agent list` and `show`."""

from functools import partial
from typing import Annotated

import typer

from towonel.cli.command import hub_command
from towonel.cli.options.ids import parse_hex_id
from towonel.cli.output import Fields, Output, format_time
from towonel.cli.tables import (
    SHORT,
    Group,
    Limit,
    TenantId,
    agent_rows,
    describe_skew,
    fetch_all,
    format_live,
    format_session,
)
from towonel.client.operator import OperatorClient

app = typer.Typer()
_DISPLACED = "yes: another agent of its group published other services"
_BY_TCP = "TCP, since UDP between it and an edge gets no answer"


@hub_command(app, "list", "towonel agent list", "towonel agent list --live --json")
async def list_all(
    hub: OperatorClient,
    tenant_id: TenantId = None,
    group_name: Group = None,
    live: Annotated[
        bool | None,
        typer.Option("--live/--not-live", help="Only those that an edge has, or has not."),
    ] = None,
    limit: Limit = None,
) -> Output:
    """List agents, the newest first. Those that are gone for a day are forgotten."""
    fetch = partial(hub.agents.list, tenant_id=tenant_id, group=group_name, live=live)
    agents = await fetch_all(fetch, lambda page: page.agents, limit)
    document: dict[str, object] = {"agents": [item.model_dump(mode="json") for item in agents]}
    return Output(document, agent_rows(agents))


@hub_command(app, "show", f"towonel agent show {'a1' * 32}")
async def show(
    hub: OperatorClient,
    agent: Annotated[
        str, typer.Argument(metavar="AGENT", help="The agent's id.", show_default=False)
    ],
) -> Output:
    """Show one agent: whose it is, where it is linked, and since when."""
    item = await hub.agents.get(parse_hex_id("AGENT", agent))
    fields = [
        ("agent", item.agent_id.hex()),
        ("tenant", item.tenant_id.hex()),
        ("group", item.group),
        ("live", format_live(item.live_since)),
        ("edges", ", ".join(edge.hex() for edge in item.edges) or "none"),
        *((f"way at {each.edge_id.hex()[:SHORT]}", format_session(each)) for each in item.sessions),
        ("open", f"{item.connections_active} connections"),
        ("way", _BY_TCP if item.is_by_tcp else "QUIC" if item.is_live else "none"),
        ("weight", format_weight(item.weight)),
        ("failing", ", ".join(item.services_failing) or "none"),
        ("mismatches", ", ".join(item.certificate_mismatches) or "none"),
        ("displaced", _DISPLACED if item.is_displaced else "no"),
        ("clock", describe_skew(item.clock_skew_ms)),
        ("software", item.software or "unknown"),
        ("first seen", format_time(item.first_seen_at)),
        ("last seen", format_time(item.last_seen_at)),
    ]
    return Output(item, Fields(fields))


def format_weight(weight: int | None) -> str:
    """Format the weight of an agent's group."""
    if weight is None:
        return "unknown"
    return str(weight) if weight else "0: its group is on standby"
