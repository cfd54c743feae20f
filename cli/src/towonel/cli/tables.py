"""Tables of resources, and formats of their numbers."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated

import typer
from pydantic import BaseModel

from towonel.api.agents import AgentItem, AgentSession
from towonel.api.services import RouteItem, ServiceDetail, ServiceItem
from towonel.api.tenants import TenantItem
from towonel.api.traffic import Traffic, WayReason
from towonel.cli.output import Output, Rows, format_time
from towonel.client.pages import Fetch, Paged, pages

SHORT = (
    16  # characters of an id that tables show; more than enough to tell apart, and to search for
)
_WHY_NO_LANES: dict[WayReason, str] = {
    "none_came": "no lane has come yet; is TCP to the edge's port of sessions open, are the agent's lanes on, "
    "and does its /readyz say `degraded`?",
    "lost": "its lanes were lost; look at the agent's /readyz, and at TCP between agent and edge",
    "not_wanted": "it takes no more clients",
}
_RIGHT_MS = 5_000  # of a clock: what is measured is off by up to two seconds
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024

Limit = Annotated[
    int | None,
    typer.Option("--limit", "-n", metavar="N", min=1, help="At most so many. [default: all]"),
]
TenantId = Annotated[
    str | None,
    typer.Option("--tenant-id", metavar="HEX", help="Only this tenant's.", show_default=False),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group", metavar="NAME", help="Only of this group of agents.", show_default=False
    ),
]


async def fetch_all[P: Paged, T: BaseModel](
    fetch: Fetch[P], items: Callable[[P], Iterable[T]], limit: int | None = None
) -> list[T]:
    """Fetch a list, page after page, up to a limit."""
    fetched: list[T] = []
    async for item in pages(fetch, items):
        fetched.append(item)
        if len(fetched) == limit:
            break
    return fetched


def format_status(tenant: TenantItem) -> str:
    """Return the status of a tenant; one whose time is over is suspended in the API's words."""
    is_ended = tenant.status == "suspended" and tenant.ended_at is not None
    return "ended" if is_ended else tenant.status


def format_tls(item: ServiceItem | ServiceDetail | RouteItem) -> str:
    """Return where the TLS of a public name ends, and whether HTTP/2 is offered inside."""
    return f"{item.tls_mode} (HTTP/2)" if item.http2 else item.tls_mode


def list_output[T: BaseModel](
    name: str,
    listed: Sequence[T],
    columns: Sequence[str],
    row: Callable[[T], Sequence[str]],
    empty: str,
) -> Output:
    """Return a list as output; `name` is its key in JSON."""
    document: dict[str, object] = {name: [item.model_dump(mode="json") for item in listed]}
    return Output(document, Rows(columns, [row(item) for item in listed], empty))


def format_bytes(count: int) -> str:
    """Format an amount of data with three digits at least: `999 B`, `1.50 KiB`, `12.3 GiB`."""
    size = float(count)
    for unit in _UNITS[:-1]:
        if size < _STEP:
            return _three_digits(size, unit)
        size /= _STEP
    return _three_digits(size, _UNITS[-1])


def format_traffic(traffic: Traffic) -> str:
    """Format traffic counters."""
    return (
        f"{traffic.connections_active} open of {traffic.connections_total} connections,"
        f" {format_bytes(traffic.bytes_in)} in, {format_bytes(traffic.bytes_out)} out"
    )


def format_live(since: datetime | None) -> str:
    """Format since when an agent is live, or that it is not."""
    return "no" if since is None else f"since {format_time(since)}"


def format_skew(skew_ms: int | None) -> str:
    """Format how far a clock is from the hub's; nothing where it is right, or not known."""
    if skew_ms is None or abs(skew_ms) < _RIGHT_MS:
        return ""
    return f"{abs(skew_ms) // 1000} s {'ahead' if skew_ms > 0 else 'behind'}"


def describe_skew(skew_ms: int | None) -> str:
    """Format the same as a sentence."""
    if skew_ms is None:
        return "unknown"
    if not format_skew(skew_ms):
        return "as the hub's"
    side = "ahead of" if skew_ms > 0 else "behind"
    return f"{abs(skew_ms) // 1000} s {side} the hub's, which refuses more than 5 min"


def _three_digits(size: float, unit: str) -> str:
    if unit == "B":
        return f"{size:.0f} B"
    places = max(0, 3 - len(str(int(size))))
    return f"{size:.{places}f} {unit}"


def agent_rows(agents: list[AgentItem]) -> Rows:
    """Return agents as a table."""
    columns = ("AGENT", "GROUP", "LIVE", "EDGES", "WAY", "OPEN", "DISPLACED", "CLOCK", "SOFTWARE")
    return Rows(columns, [*map(agent_row, agents)], "No agent is known.")


def agent_row(item: AgentItem) -> tuple[str, ...]:
    """Return one agent as a row of that table."""
    edges = ", ".join(edge.hex()[:SHORT] for edge in item.edges)
    live = format_live(item.live_since)
    active = str(item.connections_active)
    displaced = "yes" if item.is_displaced else ""
    ways = ", ".join(sorted({each.way.replace("_", " ") for each in item.sessions if each.way}))
    clock, software = format_skew(item.clock_skew_ms), item.software or ""
    return item.agent_id.hex(), item.group, live, edges, ways, active, displaced, clock, software


def format_session(session: AgentSession) -> str:
    """Format the way of a session's clients, and why that is no lane."""
    if session.way is None and session.way_reason is None:
        return "its edge does not tell"
    text = (session.way or "none").replace("_", " ")
    if session.way_reason is not None:
        return f"{text}: {_WHY_NO_LANES[session.way_reason]}"
    lanes = f"{session.lanes_in_use} in use, {session.lanes_idle} idle"
    return f"{text}: {lanes}, {session.lanes_wanted} wanted"
