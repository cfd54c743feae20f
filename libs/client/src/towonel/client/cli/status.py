"""`towonel status`: is the hub there, and what does it know."""

import time

from towonel.client.cli.output import Fields, Rows, Shown
from towonel.client.hub import HubClient
from towonel.client.models import EdgeItem, EdgeList, InviteList


async def status(hub: HubClient) -> Shown:
    """Tell whether the hub answers; with a key, also its edges and invites."""
    health = await hub.health()
    fields = [
        ("hub", f"{hub.base_url} is up"),
        ("version", f"{health.version}, protocol {health.protocol_version}"),
        ("node id", health.node_id),
    ]
    document: dict[str, object] = {"hub_url": hub.base_url, **health.model_dump()}
    if not hub.has_key:
        told = "\nWith the operator key, this also shows edges and invites."
        return Shown({**document, "edges": None, "invites": None}, Fields(fields), told)
    edges, invites = await hub.list_edges(), await hub.list_invites()
    document |= {"edges": edges.model_dump()["edges"], "invites": invites.model_dump()["invites"]}
    fields.append(("invites", _count(invites)))
    return Shown(document, Fields(fields), "", _table(edges, time.time_ns() // 1_000_000))


def age(then_ms: int, now_ms: int) -> str:
    """Return how long ago something was, in the unit that reads best."""
    seconds = max(0, now_ms - then_ms) // 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _count(found: InviteList) -> str:
    revoked = sum(invite.status == "revoked" for invite in found.invites)
    return f"{len(found.invites) - revoked} in force, {revoked} revoked"


def _table(found: EdgeList, now_ms: int) -> Rows:
    columns = ("EDGE", "NAME", "ADDRESSES", "LAST SEEN")
    rows = [_row(edge, now_ms) for edge in found.edges]
    return Rows(columns, rows, "No edge has registered yet.")


def _row(edge: EdgeItem, now_ms: int) -> tuple[str, ...]:
    return edge.node_id[:16], edge.name, ", ".join(edge.addresses), age(edge.last_seen_ms, now_ms)
