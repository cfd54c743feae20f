"""`towonel edge`: the public machines, and what they carry."""

from typing import Annotated

import typer

from towonel.api.edges import EdgeItem
from towonel.cli.command import group, hub_command
from towonel.cli.options.ids import checked_hex
from towonel.cli.output import Fields, Shown, age, now, shown_time
from towonel.cli.tables import Limit, listed, shown_bytes, shown_list, shown_traffic
from towonel.client.hub import HubClient

COLUMNS = ("EDGE", "NAME", "ADDRESSES", "LIVE", "SESSIONS", "OPEN", "IN", "OUT", "LAST SEEN")

app = group()


@hub_command(app, "list", "towonel edge list", "towonel edge list --json")
async def list_all(hub: HubClient, limit: Limit = None) -> Shown:
    """List edges, by id, with what they carry. Those that registered and may still work."""
    found = await listed(hub.edges.list, lambda page: page.edges, limit)
    return shown_list("edges", found, COLUMNS, edge_row, "No edge has registered yet.")


@hub_command(app, "show", f"towonel edge show {'e1' * 32}")
async def show(
    hub: HubClient,
    edge: Annotated[str, typer.Argument(metavar="EDGE", help="The edge's id.", show_default=False)],
) -> Shown:
    """Show one edge: where it listens, and what it told last."""
    item = await hub.edges.get(checked_hex("EDGE", edge))
    fields = [
        ("edge", item.node_id),
        ("name", item.name),
        ("addresses", ", ".join(item.addresses)),
        ("certificate", f"SHA-256 {item.certificate_sha256}"),
        ("version", item.version),
        ("live", "yes" if item.is_live else "no"),
        ("last seen", shown_time(item.last_seen_at)),
        ("sessions", str(item.sessions)),
        ("traffic", shown_traffic(item.traffic)),
    ]
    return Shown(item, Fields(fields))


def edge_row(item: EdgeItem) -> tuple[str, ...]:
    """Return one edge as a row of a table."""
    traffic, now_ms = item.traffic, round(now().timestamp() * 1000)
    return (
        item.node_id,
        item.name,
        ", ".join(item.addresses),
        "yes" if item.is_live else "no",
        str(item.sessions),
        str(traffic.connections_active),
        shown_bytes(traffic.bytes_in),
        shown_bytes(traffic.bytes_out),
        age(item.last_seen_ms, now_ms),
    )
