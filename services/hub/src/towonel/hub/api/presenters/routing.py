"""Presenters of agents, edges, services and routes: database rows as the bodies of the API."""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import TypedDict

from towonel.api.agents import (
    MAX_FAILING_LISTENERS,
    AgentItem,
    AgentSession,
    Publication,
    ServiceListener,
)
from towonel.api.edges import EdgeItem, EdgeOut
from towonel.api.services import AppliedState, Listener, RouteItem, ServiceItem
from towonel.api.traffic import Traffic
from towonel.hub.context import Hub
from towonel.hub.core.desired_state import hash_routes
from towonel.hub.core.live_view import LiveSession
from towonel.hub.core.timestamps import to_datetime, to_optional_datetime
from towonel.hub.operations.publish import Published
from towonel.hub.store.edges import addresses_of
from towonel.hub.store.tables import (
    AgentRow,
    EdgeRow,
    PublicationRow,
    RouteRow,
    ServiceRow,
)
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.policy.client_networks import ClientNetworks, decode_networks


def to_agent_items(
    hub: Hub, rows: Iterable[AgentRow], displaced: Collection[bytes]
) -> list[AgentItem]:
    """Return the items of agents, with what the newest edge reports say of them.

    Args:
        hub: the hub.
        rows: of the agents.
        displaced: ids of those that serve something else than their group published last.
    """
    items: list[AgentItem] = []
    for row in rows:
        live = hub.edge_reports.view.agents.get(row.agent_id)
        items.append(
            AgentItem(
                agent_id=row.agent_id,
                tenant_id=row.tenant_id,
                group=row.group,
                is_live=live is not None,
                first_seen_at=to_datetime(row.first_seen_ms),
                last_seen_at=to_datetime(row.last_seen_ms),
                live_since=to_optional_datetime(live.since_ms if live else None),
                edges=list(live.edges) if live else [],
                software=live.software if live else None,
                connections_active=live.active_streams if live else 0,
                is_displaced=live is not None and row.agent_id in displaced,
                is_by_tcp=live is not None and live.is_by_tcp,
                weight=live.weight if live else None,
                services_failing=list(live.services_failing) if live else [],
                sessions=[_to_session(each) for each in live.sessions] if live else [],
                clock_skew_ms=row.clock_skew_ms,
                certificate_mismatches=(row.certificate_mismatches or "").splitlines(),
            )
        )
    return items


def to_edge_out(name: str, row: EdgeRow) -> EdgeOut:
    """Return an edge as agents need it."""
    return EdgeOut(
        edge_id=row.edge_id,
        addresses=addresses_of(row),
        certificate_sha256=row.certificate_sha256,
        certificate_pem=row.certificate_pem,
        name=name,
        region=row.region,
    )


def to_edge_item(hub: Hub, row: EdgeRow, name: str) -> EdgeItem:
    """Return the item of an edge, with what its newest report says."""
    seen_ms = max(row.last_seen_ms, hub.edges_seen.get(row.edge_id, 0))
    live = hub.edge_reports.view.edges.get(row.edge_id)
    return EdgeItem(
        node_id=row.edge_id,
        name=name,
        addresses=addresses_of(row),
        certificate_sha256=row.certificate_sha256,
        version=row.version,
        last_seen_ms=seen_ms,
        last_seen_at=to_datetime(seen_ms),
        is_live=live is not None,
        sessions=live.sessions if live else 0,
        traffic=live.traffic if live else Traffic(),
        worker_restarts=live.worker_restarts if live else 0,
        workers_unstable=live.workers_unstable if live else 0,
        engine=live.engine if live else None,
        clock_skew_ms=live.clock_skew_ms if live else None,
        region=row.region,
    )


def _to_session(session: LiveSession) -> AgentSession:
    report = session.report
    idle, in_use, wanted = report.lanes
    return AgentSession(
        edge_id=session.edge_id,
        way=report.way,
        way_reason=report.way_reason,
        connections_active=report.active_streams,
        lanes_idle=idle,
        lanes_in_use=in_use,
        lanes_wanted=wanted,
    )


def to_service_item(hub: Hub, row: ServiceRow, route: RouteRow) -> ServiceItem:
    """Return the item of a service and its route."""
    tenant_id, name, view = row.tenant_id, service_key(route), hub.edge_reports.view
    return ServiceItem(
        key=row.key,
        kind=ServiceKind(route.kind).value,
        name=route.name,
        port=route.port,
        last_port=route.last_port,
        tls_mode=route.tls_mode,
        http2=route.http2,
        tenant_id=tenant_id,
        group=row.group,
        created_at=to_datetime(row.created_at_ms),
        agents_live=len(view.agents_serving(tenant_id, name)),
        agents_failing=view.count_failing(tenant_id, name),
        **to_cidrs(route),
        listeners=to_listeners(hub, row.key),
        traffic=view.traffic_of(tenant_id, name),
    )


class ClientCidrs(TypedDict):
    """Fields of the networks of clients."""

    allow_cidrs: list[str]
    deny_cidrs: list[str]


def to_cidrs(route: RouteRow) -> ClientCidrs:
    """Return the networks of clients of a route, as the fields that say them."""
    clients = decode_networks(route.client_networks) or ClientNetworks()
    return {"allow_cidrs": list(clients.allow), "deny_cidrs": list(clients.deny)}


def to_listeners(hub: Hub, key: str) -> list[Listener]:
    """Return what each live edge said of the port of a route."""
    return [
        Listener(
            edge_id=it.edge_id,
            code=it.report.code,
            detail=it.report.detail,
            ports=it.report.ports,
        )
        for it in hub.edge_reports.view.listeners(key)
    ]


def to_failing_listeners(hub: Hub, keys: Iterable[str]) -> list[ServiceListener]:
    """Return the ports of these routes that edges do not listen on, by key; as many as one answer has."""
    view = hub.edge_reports.view
    found = (
        ServiceListener(
            key=key,
            edge_id=it.edge_id,
            code=it.report.code,
            detail=it.report.detail,
            ports=it.report.ports,
        )
        for key in sorted(view.failing_ports.intersection(keys))
        for it in view.listeners(key)
        if it.report.code
    )
    return list(islice(found, MAX_FAILING_LISTENERS))


def service_key(route: RouteRow) -> str:
    """Return the key of a route's service, as edges report it."""
    return str(ServiceKey(ServiceKind(route.kind), route.name))


def to_route_item(row: RouteRow) -> RouteItem:
    """Return the item of a route."""
    return RouteItem(
        key=row.key,
        kind=ServiceKind(row.kind).value,
        name=row.name,
        port=row.port,
        last_port=row.last_port,
        tls_mode=row.tls_mode,
        http2=row.http2,
        tenant_id=row.tenant_id,
        revision=row.revision,
        **to_cidrs(row),
    )


def to_publication(row: PublicationRow | None, services: list[str] | None) -> Publication:
    """Return what a group published last, with what stands of it, if that is not all."""
    if row is None:
        return Publication(number=0, services=services)
    return Publication(
        number=row.number, digest=row.digest, agent_id=row.agent_id, services=services
    )


def to_applied_state(published: Published, revision: int) -> AppliedState:
    """Return what a desired state changed, and its ports."""
    plan, desired, row = published.plan, published.routes, published.row
    number, digest = (0, hash_routes(())) if row is None else (row.number, row.digest)
    return AppliedState(
        revision=revision,
        created=[route.key for route in plan.created],
        changed=[route.key for route in plan.changed],
        deleted=[route.key for route in plan.deleted],
        unchanged=plan.unchanged,
        publication=Publication(number=number, digest=digest),
        ports={str(it.service): it.port for it in desired if it.port is not None},
    )
