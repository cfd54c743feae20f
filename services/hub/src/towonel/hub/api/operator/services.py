"""What is published and who serves it: services, routes and agents."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Query

from towonel.api.agents import AgentItem, AgentPage
from towonel.api.services import RouteItem, RoutePage, ServiceDetail, ServiceItem, ServicePage
from towonel.hub.api.http.auth import TenantViewer
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import HexId, OfTenant, Page, RouteKey, Text, parse_hex
from towonel.hub.api.presenters import to_datetime, to_optional_datetime
from towonel.hub.context import Hub, HubDep
from towonel.hub.store import agents, services
from towonel.hub.store import routes as store
from towonel.hub.store.db.pagination import Paging
from towonel.hub.store.services import ServiceFilter
from towonel.hub.store.tables import AgentRow, RouteRow, ServiceRow
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind

router = APIRouter(prefix="/v1")
MAX_IDS = 1_000  # in one query; of more agents, pages are filtered once they are read
FIRST_AGENTS = Paging(limit=100)
Kind = Annotated[ServiceKind | None, Query(description="Only of this kind.")]


@router.get("/services", tags=["services"], responses=error_responses(400))
async def list_services(
    hub: HubDep,
    caller: TenantViewer,
    paging: Page,
    tenant_id: OfTenant,
    kind: Kind = None,
    group: Text = None,
) -> ServicePage:
    """List what groups of agents publish, by route key."""
    tenant = caller.principal.scope(tenant_id)
    async with hub.store.read() as session:
        wanted = ServiceFilter(tenant, kind and kind.value, group)
        found = await services.services(session, paging, wanted)
        routes = await store.rows_of(session, sorted({row.key for row in found.rows}))
    await hub.edge_reports.refresh(hub.now_ms())
    return ServicePage(
        services=[_service(hub, row, routes[row.key]) for row in found.rows if row.key in routes],
        next_cursor=found.next_cursor,
    )


@router.get("/services/{key}", tags=["services"], responses=error_responses(404))
async def get_service(hub: HubDep, caller: TenantViewer, key: RouteKey) -> ServiceDetail:
    """Show one public name or port: who publishes it, and which agents serve it now."""
    await hub.edge_reports.refresh(hub.now_ms())
    async with hub.store.read() as session:
        route = await services.live_route(session, key)
        rows = await services.services_of_key(session, key)
        if route is None or not rows or not caller.principal.may_see(route.tenant_id):
            raise Denied(Code.NOT_FOUND, "no such service")
        serving = hub.edge_reports.serving(route.tenant_id, _service_key(route))
        wanted = agents.AgentFilter(TenantId(route.tenant_id), agent_ids=serving[:MAX_IDS])
        found = await agents.newest(session, FIRST_AGENTS, wanted)
    return ServiceDetail(
        key=key,
        kind=ServiceKind(route.kind).value,
        name=route.name,
        port=route.port,
        tls_mode=route.tls_mode,
        tenant_id=route.tenant_id.hex(),
        groups=[row.group for row in rows],
        agents=agent_items(hub, found.rows),
    )


@router.get("/routes", tags=["routes"], responses=error_responses(400))
async def list_routes(
    hub: HubDep, caller: TenantViewer, paging: Page, tenant_id: OfTenant, kind: Kind = None
) -> RoutePage:
    """List public names and ports, by key, as edges serve them."""
    tenant = caller.principal.scope(tenant_id)
    async with hub.store.read() as session:
        found = await services.routes(session, paging, ServiceFilter(tenant, kind and kind.value))
        revision = await store.revision(session)
    return RoutePage(
        revision=revision,
        routes=[_route(row) for row in found.rows],
        next_cursor=found.next_cursor,
    )


@router.get("/routes/{key}", tags=["routes"], responses=error_responses(404))
async def get_route(hub: HubDep, caller: TenantViewer, key: RouteKey) -> RouteItem:
    """Show whose a public name or port is."""
    async with hub.store.read() as session:
        row = await services.live_route(session, key)
    if row is None or not caller.principal.may_see(row.tenant_id):
        raise Denied(Code.NOT_FOUND, "no such route")
    return _route(row)


@router.get("/agents", tags=["agents"], responses=error_responses(400))
async def list_agents(
    hub: HubDep,
    caller: TenantViewer,
    paging: Page,
    tenant_id: OfTenant,
    group: Text = None,
    live: Annotated[
        bool | None, Query(description="Only those an edge has a session with.")
    ] = None,
) -> AgentPage:
    """List agents, the newest first; those gone for a day are forgotten.

    With `live`, a page can have fewer than `limit`, or none, and a page after it.
    """
    await hub.edge_reports.refresh(hub.now_ms())
    ids = hub.edge_reports.agent_ids() if live else None
    only = None if ids is None or len(ids) > MAX_IDS else ids
    wanted = agents.AgentFilter(caller.principal.scope(tenant_id), group, only)
    async with hub.store.read() as session:
        found = await agents.newest(session, paging, wanted)
    items = agent_items(hub, found.rows)
    if live is not None:
        items = [item for item in items if item.is_live is live]
    return AgentPage(agents=items, next_cursor=found.next_cursor)


@router.get("/agents/{agent_id}", tags=["agents"], responses=error_responses(400, 404))
async def get_agent(hub: HubDep, caller: TenantViewer, agent_id: HexId) -> AgentItem:
    """Show one agent: where it is linked, since when, and what it carries."""
    await hub.edge_reports.refresh(hub.now_ms())
    async with hub.store.read() as session:
        row = await agents.find(session, parse_hex(agent_id, "agent_id"))
    if row is None or not caller.principal.may_see(row.tenant_id):
        raise Denied(Code.NOT_FOUND, "no such agent, or it was forgotten")
    return agent_items(hub, [row])[0]


def agent_items(hub: Hub, rows: Iterable[AgentRow]) -> list[AgentItem]:
    """Return agents with what edges told of them."""
    items: list[AgentItem] = []
    for row in rows:
        live = hub.edge_reports.agent(row.agent_id)
        items.append(
            AgentItem(
                agent_id=row.agent_id.hex(),
                tenant_id=row.tenant_id.hex(),
                group=row.group,
                is_live=live is not None,
                first_seen_at=to_datetime(row.first_seen_ms),
                last_seen_at=to_datetime(row.last_seen_ms),
                live_since=to_optional_datetime(live.since_ms if live else None),
                edges=sorted(live.edges) if live else [],
                software=live.software if live else None,
                connections_active=live.active_streams if live else 0,
            )
        )
    return items


def _service(hub: Hub, row: ServiceRow, route: RouteRow) -> ServiceItem:
    return ServiceItem(
        key=row.key,
        kind=ServiceKind(route.kind).value,
        name=route.name,
        port=route.port,
        tls_mode=route.tls_mode,
        tenant_id=row.tenant_id.hex(),
        group=row.group,
        created_at=to_datetime(row.created_at_ms),
        agents_live=len(hub.edge_reports.serving(row.tenant_id, _service_key(route))),
    )


def _service_key(route: RouteRow) -> str:
    return str(ServiceKey(ServiceKind(route.kind), route.name))


def _route(row: RouteRow) -> RouteItem:
    return RouteItem(
        key=row.key,
        kind=ServiceKind(row.kind).value,
        name=row.name,
        port=row.port,
        tls_mode=row.tls_mode,
        tenant_id=row.tenant_id.hex(),
        revision=row.revision,
    )
