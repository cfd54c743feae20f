"""Presenters: database rows as the bodies of the API."""

import json
from collections.abc import Iterable, Mapping
from typing import cast

from towonel.api.agents import AgentItem
from towonel.api.audit import AuditItem
from towonel.api.edge_invites import EdgeInviteItem
from towonel.api.edges import EdgeItem, EdgeOut
from towonel.api.invites import InviteDetail, InviteItem, InviteStatus
from towonel.api.keys import KeyItem
from towonel.api.keys import Role as RoleName
from towonel.api.ports import PortRange, Protocol, Reservation
from towonel.api.services import AppliedState, RouteItem, ServiceItem
from towonel.api.tenants import TenantItem, TenantStatus
from towonel.hub.context import Hub
from towonel.hub.core.access import key_status
from towonel.hub.core.desired import Plan
from towonel.hub.core.timestamps import to_datetime, to_optional_datetime
from towonel.hub.store.edges import addresses_of
from towonel.hub.store.invites import limits_of
from towonel.hub.store.tables import (
    REVOKED,
    AgentRow,
    AuditRow,
    EdgeInviteRow,
    EdgeRow,
    InviteRow,
    KeyRow,
    ReservationRow,
    RouteRow,
    ServiceRow,
)
from towonel.wire import base64url
from towonel.wire.names import ServiceKey, ServiceKind


def tenant_status(row: InviteRow) -> TenantStatus:
    """Return the status of a tenant."""
    if row.status == REVOKED:
        return "revoked"
    return "active" if row.suspended_at_ms is None else "suspended"


def invite_status(row: InviteRow | EdgeInviteRow) -> InviteStatus:
    """Return the status of an invite; an active one is `pending`, as in the original."""
    return "revoked" if row.status == REVOKED else "pending"


def to_invite_items(
    rows: Iterable[InviteRow], hostnames: Mapping[bytes, list[str]]
) -> list[InviteItem]:
    """Return the items of a list of invites."""
    return [
        InviteItem(
            invite_id=base64url.encode(row.invite_id),
            name=row.name,
            hostnames=hostnames.get(row.invite_id, []),
            status=invite_status(row),
            expires_at_ms=row.expires_at_ms,
            tenant_id=row.tenant_id.hex(),
            created_at_ms=row.created_at_ms,
        )
        for row in rows
    ]


def to_invite_detail(
    row: InviteRow, hostnames: list[str], reservations: Iterable[ReservationRow]
) -> InviteDetail:
    """Return the details of an invite."""
    return InviteDetail(
        invite_id=base64url.encode(row.invite_id),
        name=row.name,
        hostnames=hostnames,
        status=invite_status(row),
        expires_at_ms=row.expires_at_ms,
        tenant_id=row.tenant_id.hex(),
        created_at_ms=row.created_at_ms,
        created_at=to_datetime(row.created_at_ms),
        expires_at=to_optional_datetime(row.expires_at_ms),
        suspended_at=to_optional_datetime(row.suspended_at_ms),
        limits=limits_of(row),
        ports=[to_port_range(reserved) for reserved in reservations],
    )


def to_edge_invite_item(row: EdgeInviteRow) -> EdgeInviteItem:
    """Return the item of an edge invite."""
    return EdgeInviteItem(
        invite_id=base64url.encode(row.invite_id),
        name=row.name,
        status=invite_status(row),
        edge_node_id=row.edge_id.hex(),
        created_at_ms=row.created_at_ms,
    )


def to_tenant_item(hub: Hub, row: InviteRow, hostnames: list[str]) -> TenantItem:
    """Return the item of a tenant, with what the newest edge reports say of it."""
    return TenantItem(
        tenant_id=row.tenant_id.hex(),
        invite_id=base64url.encode(row.invite_id),
        name=row.name,
        status=tenant_status(row),
        hostnames=hostnames,
        limits=limits_of(row),
        created_at=to_datetime(row.created_at_ms),
        expires_at=to_optional_datetime(row.expires_at_ms),
        suspended_at=to_optional_datetime(row.suspended_at_ms),
        agents_live=len(hub.edge_reports.agents_of(row.tenant_id)),
        traffic=hub.edge_reports.traffic_of(row.tenant_id),
    )


def to_key_item(hub: Hub, row: KeyRow) -> KeyItem:
    """Return the item of an API key."""
    used_ms = max(hub.key_uses.get(row.key_id, 0), row.last_used_ms or 0)
    return KeyItem(
        key_id=base64url.encode(row.key_id),
        name=row.name,
        role=cast(RoleName, row.role),
        tenant_id=row.tenant_id.hex() if row.tenant_id else None,
        status=key_status(
            revoked=row.revoked_at_ms is not None,
            expires_at_ms=row.expires_at_ms,
            now_ms=hub.now_ms(),
        ),
        created_at=to_datetime(row.created_at_ms),
        expires_at=to_optional_datetime(row.expires_at_ms),
        last_used_at=to_optional_datetime(used_ms or None),
        rotated_at=to_optional_datetime(row.rotated_at_ms),
    )


def to_port_range(row: ReservationRow) -> PortRange:
    """Return the ports of a reservation."""
    protocol = cast(Protocol, row.protocol)
    return PortRange(protocol=protocol, first_port=row.first_port, last_port=row.last_port)


def to_reservation(row: ReservationRow) -> Reservation:
    """Return a reservation."""
    return Reservation(
        reservation_id=base64url.encode(row.reservation_id),
        tenant_id=row.tenant_id.hex(),
        protocol=cast(Protocol, row.protocol),
        first_port=row.first_port,
        last_port=row.last_port,
        created_at=to_datetime(row.created_at_ms),
    )


def to_agent_items(hub: Hub, rows: Iterable[AgentRow]) -> list[AgentItem]:
    """Return the items of agents, with what the newest edge reports say of them."""
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


def to_edge_out(row: EdgeRow) -> EdgeOut:
    """Return an edge as agents need it."""
    return EdgeOut(
        edge_id=row.edge_id.hex(),
        addresses=addresses_of(row),
        certificate_sha256=row.certificate_sha256.hex(),
        certificate_pem=row.certificate_pem,
    )


def to_edge_item(hub: Hub, row: EdgeRow, name: str) -> EdgeItem:
    """Return the item of an edge, with what its newest report says."""
    seen_ms = max(row.last_seen_ms, hub.edges_seen.get(row.edge_id, 0))
    return EdgeItem(
        node_id=row.edge_id.hex(),
        name=name,
        addresses=addresses_of(row),
        certificate_sha256=row.certificate_sha256.hex(),
        version=row.version,
        last_seen_ms=seen_ms,
        last_seen_at=to_datetime(seen_ms),
        is_live=hub.edge_reports.edge_is_live(row.edge_id),
        sessions=hub.edge_reports.sessions_of(row.edge_id),
        traffic=hub.edge_reports.traffic_of_edge(row.edge_id),
    )


def to_service_item(hub: Hub, row: ServiceRow, route: RouteRow) -> ServiceItem:
    """Return the item of a service and its route."""
    return ServiceItem(
        key=row.key,
        kind=ServiceKind(route.kind).value,
        name=route.name,
        port=route.port,
        tls_mode=route.tls_mode,
        tenant_id=row.tenant_id.hex(),
        group=row.group,
        created_at=to_datetime(row.created_at_ms),
        agents_live=len(hub.edge_reports.serving(row.tenant_id, service_key(route))),
    )


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
        tls_mode=row.tls_mode,
        tenant_id=row.tenant_id.hex(),
        revision=row.revision,
    )


def to_applied_state(plan: Plan, revision: int) -> AppliedState:
    """Return what a desired state changed."""
    return AppliedState(
        revision=revision,
        created=[route.key for route in plan.created],
        changed=[route.key for route in plan.changed],
        deleted=[route.key for route in plan.deleted],
        unchanged=plan.unchanged,
    )


def to_audit_item(row: AuditRow) -> AuditItem:
    """Return an event of the audit log."""
    return AuditItem(
        id=row.id or 0,
        at=to_datetime(row.at_ms),
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        tenant_id=row.tenant_id.hex() if row.tenant_id else None,
        before=json.loads(row.before) if row.before else None,
        after=json.loads(row.after) if row.after else None,
        request_id=row.request_id,
        address=row.address,
    )
