"""Endpoints of services, routes and agents."""

from typing import Annotated

from fastapi import Query

from towonel.api.agents import AgentItem, AgentPage
from towonel.api.services import (
    RouteItem,
    RoutePage,
    ServiceDetail,
    ServicePage,
)
from towonel.hub.api.http.auth import TenantViewer
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import HexId, OfTenant, Page, RouteKey, Text, parse_hex
from towonel.hub.api.http.router import create_router
from towonel.hub.api.presenters.routing import (
    service_key,
    to_agent_items,
    to_cidrs,
    to_listeners,
    to_route_item,
    to_service_item,
)
from towonel.hub.context import HubDep
from towonel.hub.store import agents, publications, services
from towonel.hub.store import routes as store
from towonel.hub.store.db.pagination import Paging
from towonel.hub.store.services import ServiceFilter
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind

router = create_router("/v1")
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
        matching = ServiceFilter(tenant, kind and kind.value, group)
        page = await services.list_services(session, paging, matching)
        routes = await store.find_rows(session, sorted({row.key for row in page.rows}))
    await hub.edge_reports.refresh(hub.now_ms())
    items = [to_service_item(hub, row, routes[row.key]) for row in page.rows if row.key in routes]
    return ServicePage(services=items, next_cursor=page.next_cursor)


@router.get("/services/{key}", tags=["services"], responses=error_responses(404))
async def get_service(hub: HubDep, caller: TenantViewer, key: RouteKey) -> ServiceDetail:
    """Show one public name or port: who publishes it, and which agents serve it now."""
    await hub.edge_reports.refresh(hub.now_ms())
    async with hub.store.read() as session:
        route = await services.find_live_route(session, key)
        rows = await services.find_services(session, key)
        if route is None or not rows or not caller.principal.may_see(route.tenant_id):
            raise Denied(Code.NOT_FOUND, "no such service")
        view, service = hub.edge_reports.view, service_key(route)
        serving = view.agents_serving(route.tenant_id, service)
        matching = agents.AgentFilter(
            TenantId(route.tenant_id), agent_ids=serving[: hub.bounds.agent_ids]
        )
        page = await agents.list_page(session, FIRST_AGENTS, matching)
        displaced = await publications.find_displaced(session, page.rows)
    return ServiceDetail(
        key=key,
        kind=ServiceKind(route.kind).value,
        name=route.name,
        port=route.port,
        last_port=route.last_port,
        tls_mode=route.tls_mode,
        http2=route.http2,
        tenant_id=route.tenant_id,
        groups=[row.group for row in rows],
        agents=to_agent_items(hub, page.rows, displaced),
        **to_cidrs(route),
        listeners=to_listeners(hub, key),
        traffic=view.traffic_of(route.tenant_id, service),
    )


@router.get("/routes", tags=["routes"], responses=error_responses(400))
async def list_routes(
    hub: HubDep, caller: TenantViewer, paging: Page, tenant_id: OfTenant, kind: Kind = None
) -> RoutePage:
    """List public names and ports, by key, as edges serve them."""
    tenant = caller.principal.scope(tenant_id)
    async with hub.store.read() as session:
        page = await services.list_routes(
            session, paging, ServiceFilter(tenant, kind and kind.value)
        )
        revision = await store.get_revision(session)
    routes = [to_route_item(row) for row in page.rows]
    return RoutePage(revision=revision, routes=routes, next_cursor=page.next_cursor)


@router.get("/routes/{key}", tags=["routes"], responses=error_responses(404))
async def get_route(hub: HubDep, caller: TenantViewer, key: RouteKey) -> RouteItem:
    """Show whose a public name or port is."""
    async with hub.store.read() as session:
        row = await services.find_live_route(session, key)
    if row is None or not caller.principal.may_see(row.tenant_id):
        raise Denied(Code.NOT_FOUND, "no such route")
    return to_route_item(row)


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
    ids = list(hub.edge_reports.view.agents) if live else None
    only = None if ids is None or len(ids) > hub.bounds.agent_ids else ids
    matching = agents.AgentFilter(caller.principal.scope(tenant_id), group, only)
    async with hub.store.read() as session:
        page = await agents.list_page(session, paging, matching)
        displaced = await publications.find_displaced(session, page.rows)
    items = to_agent_items(hub, page.rows, displaced)
    if live is not None:
        items = [item for item in items if item.is_live is live]
    return AgentPage(agents=items, next_cursor=page.next_cursor)


@router.get("/agents/{agent_id}", tags=["agents"], responses=error_responses(400, 404))
async def get_agent(hub: HubDep, caller: TenantViewer, agent_id: HexId) -> AgentItem:
    """Show one agent: where it is linked, since when, and what it carries."""
    await hub.edge_reports.refresh(hub.now_ms())
    async with hub.store.read() as session:
        row = await agents.find(session, parse_hex(agent_id, "agent_id"))
        if row is None or not caller.principal.may_see(row.tenant_id):
            raise Denied(Code.NOT_FOUND, "no such agent, or it was forgotten")
        displaced = await publications.find_displaced(session, [row])
    return to_agent_items(hub, [row], displaced)[0]
