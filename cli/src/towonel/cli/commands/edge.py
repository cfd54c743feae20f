"""`towonel edge`: registered edges, and their traffic."""

from typing import Annotated

import typer

from towonel.api.edges import EdgeItem
from towonel.cli.command import hub_command
from towonel.cli.options.ids import parse_hex_id
from towonel.cli.output import Fields, Output, format_age, format_time, now
from towonel.cli.tables import (
    Limit,
    describe_skew,
    fetch_all,
    format_bytes,
    format_skew,
    format_traffic,
    list_output,
)
from towonel.client.operator import OperatorClient

COLUMNS = (
    *("EDGE", "NAME", "ADDRESSES", "LIVE", "SESSIONS", "OPEN", "IN", "OUT"),
    *("REGION", "ENGINE", "CLOCK", "LAST SEEN"),
)

app = typer.Typer()


@hub_command(app, "list", "towonel edge list", "towonel edge list --json")
async def list_all(hub: OperatorClient, limit: Limit = None) -> Output:
    """List edges, by id, with what they carry. Those that registered and may still work."""
    edges = await fetch_all(hub.edges.list, lambda page: page.edges, limit)
    return list_output("edges", edges, COLUMNS, edge_row, "No edge has registered yet.")


@hub_command(app, "show", f"towonel edge show {'e1' * 32}")
async def show(
    hub: OperatorClient,
    edge: Annotated[str, typer.Argument(metavar="EDGE", help="The edge's id.", show_default=False)],
) -> Output:
    """Show one edge: where it listens, and its last report."""
    item = await hub.edges.get(parse_hex_id("EDGE", edge))
    fields = [
        ("edge", item.node_id.hex()),
        ("name", item.name),
        ("region", item.region or "none"),
        ("addresses", ", ".join(item.addresses)),
        ("certificate", f"SHA-256 {item.certificate_sha256.hex()}"),
        ("version", item.version),
        ("live", "yes" if item.is_live else "no"),
        ("last seen", format_time(item.last_seen_at)),
        ("sessions", str(item.sessions)),
        ("traffic", format_traffic(item.traffic)),
        ("engine", item.engine or "unknown"),
        ("clock", describe_skew(item.clock_skew_ms)),
        ("restarts", f"{item.worker_restarts} of workers"),
        ("unstable", f"{item.workers_unstable} workers have ended three times within five minutes"),
    ]
    return Output(item, Fields(fields))


def _format_live(item: EdgeItem) -> str:
    """Format whether an edge is live, and how many of its workers keep ending."""
    if not item.workers_unstable:
        return "yes" if item.is_live else "no"
    return f"yes, {item.workers_unstable} of its workers keep ending"


def edge_row(item: EdgeItem) -> tuple[str, ...]:
    """Return one edge as a row of a table."""
    traffic, now_ms = item.traffic, round(now().timestamp() * 1000)
    return (
        item.node_id.hex(),
        item.name,
        ", ".join(item.addresses),
        _format_live(item),
        str(item.sessions),
        str(traffic.connections_active),
        format_bytes(traffic.bytes_in),
        format_bytes(traffic.bytes_out),
        item.region or "",
        item.engine or "",
        format_skew(item.clock_skew_ms),
        format_age(item.last_seen_ms, now_ms),
    )
