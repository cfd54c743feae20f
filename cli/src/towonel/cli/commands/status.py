"""`towonel status`: health of the hub, with counts of what it knows and what is live."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable
from functools import partial
from typing import Annotated, get_args

import typer

from towonel.api.agents import AgentItem
from towonel.api.edges import EdgeItem
from towonel.api.health import HealthOut
from towonel.api.services import ServiceItem
from towonel.api.tenants import TenantStatus
from towonel.api.traffic import Way
from towonel.cli.certificates import count_troubles, find_troubles, trouble_rows
from towonel.cli.command import hub_command
from towonel.cli.commands.edge import COLUMNS, edge_row
from towonel.cli.output import Fields, Output, Rows, now
from towonel.cli.tables import SHORT, fetch_all, format_session, format_status
from towonel.cli.target import is_unknown_operation
from towonel.client.operator import OperatorClient
from towonel.wire.errors import Code, Denied, Unavailable

MAX_COUNTED = 1_000  # one page of each
MAX_EDGES = 50
MAX_STREAMS = 20  # sessions without lanes that are shown
MAX_RETRY_AFTER_S = 30.0  # longer than people wait in front of a terminal
RECOUNT_EVERY = 15  # refreshes between counts of what seldom changes: watching must not cost much
_BY_TCP = "an edge does not answer these agents over UDP, so their sessions go over TCP"
_INTERCEPTED = "agents find that clients of these services see another certificate than the origin's: see `towonel agent show`"
_FAILING = "an edge does not listen on the ports of these services: see `towonel service list`"
STATUSES: tuple[TenantStatus, ...] = get_args(TenantStatus.__value__)

type Counts = dict[str, int | None]

_WAYS: dict[Way, str] = {
    "lane": "sessions_by_lane",
    "tls_lane": "sessions_by_tls_lane",
    "stream": "sessions_by_stream",
}


app = typer.Typer()


@hub_command(
    app,
    "status",
    "towonel status",
    "towonel status --watch",
    "towonel status --hub-url https://hub.example.eu",
    needs_key=False,
)
def status(
    hub: OperatorClient,
    watch: Annotated[
        bool,
        typer.Option("--watch", "-w", help="Repeat until Ctrl-C, also while the hub is away."),
    ] = False,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.5, max=3600, help="How often, with --watch.")
    ] = 2.0,
) -> AsyncGenerator[Output]:
    """Tell whether the hub answers; with a key, also what it knows and what is live."""
    return watch_status(hub, every) if watch else _once(hub)


async def watch_status(
    hub: OperatorClient, every_s: float, recount_every: int = RECOUNT_EVERY
) -> AsyncGenerator[Output]:
    """Yield the status again and again, also that a hub does not answer.

    Args:
        hub: the client of the hub.
        every_s: how often.
        recount_every: after how many times all is counted again.
    """
    counted: Counts = {}
    for number in itertools.count():
        wait_s = every_s
        if number % recount_every == 0:
            counted.clear()
        try:
            yield (await _status(hub, counted)).as_screen()
        except Unavailable as error:
            if number == 0 and is_unknown_operation(error):
                raise
            yield _unavailable(hub, error).as_screen()
            wait_s = max(every_s, min(error.retry_after_s or 0, MAX_RETRY_AFTER_S))
        await asyncio.sleep(wait_s)


async def _once(hub: OperatorClient) -> AsyncGenerator[Output]:
    yield await _status(hub, {})


async def _status(hub: OperatorClient, counted: Counts) -> Output:
    """Return the status; `counted` is a cache of what is slow to count."""
    health = await hub.health()
    document: dict[str, object] = {"hub_url": hub.base_url, **health.model_dump()}
    fields = _health_fields(hub, health)
    if not hub.has_key:
        return Output(document, Fields(fields), "\nWith a key, this also shows what is live.")
    if not counted:
        counted |= await _count_all(hub)
    agents = await _list_agents(hub)
    troubles = await find_troubles(hub)
    edges, known = await _edges(hub), counted | _count_agents(agents) | count_troubles(troubles)
    document |= known
    document["edges"] = None if edges is None else [e.model_dump(mode="json") for e in edges]
    fields += [(name.replace("_", " "), _format_count(count)) for name, count in known.items()]
    if known.get("services_failing"):
        fields.append(("why failing", _FAILING))
    tables = [it for it in (_stream_table(agents or []), trouble_rows(troubles or [])) if it.rows]
    more = [block for table in tables for block in ("", table)]
    if edges is None:
        return Output(document, Fields(fields), "\nThis key does not show edges.", *more)
    if known.get("services_intercepted"):
        fields.append(("why intercepted", _INTERCEPTED))
    if known.get("agents_by_tcp"):
        fields.append(("why tcp", _BY_TCP))
    live = sum(edge.is_live for edge in edges)
    fields.append(("edges live", f"{live} of {_format_count(len(edges), MAX_EDGES)}"))
    return Output(document, Fields(fields), "", _edge_table(edges), *more)


def _unavailable(hub: OperatorClient, error: Unavailable) -> Output:
    failure = {"code": error.code.word, "message": error.detail}
    document: dict[str, object] = {"hub_url": hub.base_url, "status": "away", "error": failure}
    at = now().strftime("%H:%M:%S")
    return Output(document, Fields([("hub", f"{hub.base_url} is away at {at}: {error.detail}")]))


def _health_fields(hub: OperatorClient, health: HealthOut) -> list[tuple[str, str]]:
    return [
        ("hub", f"{hub.base_url} is up"),
        ("version", f"{health.version}, protocol {health.protocol_version}"),
        ("node id", health.node_id.hex()),
    ]


async def _count_all(hub: OperatorClient) -> Counts:
    """Return how many there are of each; None for what the key does not show."""
    counts: Counts = {}
    for standing in STATUSES:
        fetch = partial(hub.tenants.list, status=standing, limit=MAX_COUNTED)
        tenants = await _unless_forbidden(fetch_all(fetch, lambda page: page.tenants, MAX_COUNTED))
        for status in (standing, "ended") if standing == "suspended" else (standing,):
            counts[f"tenants_{status}"] = (
                None if tenants is None else [*map(format_status, tenants)].count(status)
            )
    services = fetch_all(
        partial(hub.services.list, limit=MAX_COUNTED), lambda page: page.services, MAX_COUNTED
    )
    return counts | _count_services(await _unless_forbidden(services))


def _count_services(services: list[ServiceItem] | None) -> Counts:
    """Return how many services there are, and of how many a port is not listened on."""
    if services is None:
        return dict.fromkeys(("services", "services_failing"))
    failing = [item for item in services if any(it.code for it in item.listeners)]
    return {"services": len(services), "services_failing": len(failing)}


async def _list_agents(hub: OperatorClient) -> list[AgentItem] | None:
    fetch = partial(hub.agents.list, live=True, limit=MAX_COUNTED)
    return await _unless_forbidden(fetch_all(fetch, lambda page: page.agents, MAX_COUNTED))


def _count_agents(agents: list[AgentItem] | None) -> Counts:
    """Return how many agents are live, how many another one of their group displaced, and how they are reached."""
    if agents is None:
        names = (
            *("agents_live", "agents_displaced", "agents_by_tcp", "services_intercepted"),
            *_WAYS.values(),
        )
        return dict.fromkeys(names)
    ways = [session.way for agent in agents for session in agent.sessions]
    return {
        "agents_live": len(agents),
        "agents_displaced": sum(agent.is_displaced for agent in agents),
        "agents_by_tcp": sum(agent.is_by_tcp for agent in agents),
        "services_intercepted": len(
            {(agent.tenant_id, key) for agent in agents for key in agent.certificate_mismatches}
        ),
        **{name: ways.count(way) for way, name in _WAYS.items()},
    }


def _stream_table(agents: list[AgentItem]) -> Rows:
    """Return the sessions without lanes, and why."""
    rows = [
        (agent.agent_id.hex()[:SHORT], each.edge_id.hex()[:SHORT], format_session(each))
        for agent in agents
        for each in agent.sessions
        if each.way_reason is not None
    ]
    return Rows(("AGENT", "EDGE", "WAY"), rows[:MAX_STREAMS], "")


async def _edges(hub: OperatorClient) -> list[EdgeItem] | None:
    fetch = partial(hub.edges.list, limit=MAX_EDGES)
    return await _unless_forbidden(fetch_all(fetch, lambda page: page.edges, MAX_EDGES))


async def _unless_forbidden[T](call: Awaitable[T]) -> T | None:
    try:
        return await call
    except Denied as error:
        if error.code is not Code.FORBIDDEN:
            raise
        return None


def _format_count(count: int | None, at_most: int = MAX_COUNTED) -> str:
    if count is None:
        return "not shown to this key"
    return f"{count} or more" if count == at_most else str(count)


def _edge_table(edges: list[EdgeItem]) -> Rows:
    rows = [(edge.node_id.hex()[:SHORT], *edge_row(edge)[1:]) for edge in edges]
    return Rows(COLUMNS, rows, "No edge has registered yet.")
