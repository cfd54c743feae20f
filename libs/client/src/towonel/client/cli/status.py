"""`towonel status`: is the hub there, and what does it know."""

import asyncio
import time
from dataclasses import dataclass

import typer

from towonel.client.cli.options import ApiKey, HubUrl, Json, target
from towonel.client.cli.output import print_fields, print_json, print_table, reported
from towonel.client.models import EdgeItem, EdgeList, HealthOut, InviteList
from towonel.client.target import Target


@dataclass(frozen=True, slots=True)
class Known:
    """What the hub told; edges and invites only to an operator."""

    health: HealthOut
    edges: EdgeList | None = None
    invites: InviteList | None = None

    def as_json(self, hub_url: str) -> dict[str, object]:
        return {
            "hub_url": hub_url,
            **self.health.model_dump(),
            "edges": self.edges and self.edges.model_dump()["edges"],
            "invites": self.invites and self.invites.model_dump()["invites"],
        }


def status(hub_url: HubUrl = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Tell whether the hub answers; with the operator key, also its edges and invites."""
    with reported(as_json=as_json):
        hub = target(hub_url, api_key, needs_key=False)
        known = asyncio.run(_ask(hub))
        if as_json:
            print_json(known.as_json(hub.hub_url))
            return
        _show(hub, known)


def age(then_ms: int, now_ms: int) -> str:
    """Return how long ago something was, in the unit that reads best."""
    seconds = max(0, now_ms - then_ms) // 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


async def _ask(hub: Target) -> Known:
    async with hub.client() as client:
        health = await client.health()
        if hub.operator_key is None:
            return Known(health)
        return Known(health, await client.list_edges(), await client.list_invites())


def _show(hub: Target, known: Known) -> None:
    health = known.health
    print_fields(
        [
            ("hub", f"{hub.hub_url} is up"),
            ("version", f"{health.version}, protocol {health.protocol_version}"),
            ("node id", health.node_id),
        ]
    )
    if known.edges is None or known.invites is None:
        typer.echo("\nWith the operator key, this also shows edges and invites.")
        return
    revoked = sum(invite.status == "revoked" for invite in known.invites.invites)
    total = len(known.invites.invites)
    print_fields([("invites", f"{total - revoked} in force, {revoked} revoked")])
    typer.echo()
    now_ms = time.time_ns() // 1_000_000
    columns = ("EDGE", "NAME", "ADDRESSES", "LAST SEEN")
    rows = (_row(edge, now_ms) for edge in known.edges.edges)
    print_table(columns, rows, empty="No edge has registered yet.")


def _row(edge: EdgeItem, now_ms: int) -> tuple[str, ...]:
    return edge.node_id[:16], edge.name, ", ".join(edge.addresses), age(edge.last_seen_ms, now_ms)
