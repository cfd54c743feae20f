"""Presenters of invites, tenants and ports: database rows as the bodies of the API."""

from collections.abc import Iterable, Mapping
from typing import cast

from towonel.api.edge_invites import EdgeInviteItem
from towonel.api.invites import InviteDetail, InviteItem, InviteStatus
from towonel.api.ports import PortRange, Protocol, Reservation
from towonel.api.tenants import TenantItem, TenantStatus
from towonel.hub.context import Hub
from towonel.hub.core.invites import invite_state
from towonel.hub.core.timestamps import to_datetime, to_optional_datetime
from towonel.hub.store.invites import state_of
from towonel.hub.store.tables import (
    REVOKED,
    EdgeInviteRow,
    InviteRow,
    ReservationRow,
)
from towonel.hub.store.tenants import is_suspended, limits_of
from towonel.wire import base64url


def tenant_status(row: InviteRow) -> TenantStatus:
    """Return the status of a tenant."""
    if row.status == REVOKED:
        return "revoked"
    return "suspended" if is_suspended(row) else "active"


def invite_status(row: InviteRow | EdgeInviteRow) -> InviteStatus:
    """Return the status of an invite; an active one is `pending`, as in the original."""
    return "revoked" if row.status == REVOKED else "pending"


def to_invite_items(
    rows: Iterable[InviteRow], hostnames: Mapping[bytes, list[str]], now_ms: int
) -> list[InviteItem]:
    """Return the items of a list of invites."""
    return [
        InviteItem(
            invite_id=base64url.encode(row.invite_id),
            name=row.name,
            hostnames=hostnames.get(row.invite_id, []),
            status=invite_status(row),
            expires_at_ms=row.expires_at_ms,
            tenant_id=row.tenant_id,
            created_at_ms=row.created_at_ms,
            state=state_of(row, now_ms),
            created_at=to_datetime(row.created_at_ms),
            expires_at=to_optional_datetime(row.expires_at_ms),
            used_at=to_optional_datetime(row.used_at_ms),
            serves_until=to_optional_datetime(row.serves_until_ms),
        )
        for row in rows
    ]


def to_invite_detail(
    row: InviteRow, hostnames: list[str], reservations: Iterable[ReservationRow], now_ms: int
) -> InviteDetail:
    """Return the details of an invite."""
    return InviteDetail(
        invite_id=base64url.encode(row.invite_id),
        name=row.name,
        hostnames=hostnames,
        status=invite_status(row),
        expires_at_ms=row.expires_at_ms,
        tenant_id=row.tenant_id,
        created_at_ms=row.created_at_ms,
        created_at=to_datetime(row.created_at_ms),
        expires_at=to_optional_datetime(row.expires_at_ms),
        suspended_at=to_optional_datetime(row.suspended_at_ms),
        state=state_of(row, now_ms),
        used_at=to_optional_datetime(row.used_at_ms),
        serves_until=to_optional_datetime(row.serves_until_ms),
        limits=limits_of(row),
        ports=[to_port_range(reserved) for reserved in reservations],
    )


def to_edge_invite_item(row: EdgeInviteRow) -> EdgeInviteItem:
    """Return the item of an edge invite."""
    return EdgeInviteItem(
        invite_id=base64url.encode(row.invite_id),
        name=row.name,
        status=invite_status(row),
        edge_node_id=row.edge_id,
        created_at_ms=row.created_at_ms,
        state=invite_state(
            is_revoked=row.status == REVOKED,
            has_ended=False,
            expires_at_ms=None,
            used_at_ms=row.used_at_ms,
            now_ms=0,
        ),
        created_at=to_datetime(row.created_at_ms),
        used_at=to_optional_datetime(row.used_at_ms),
    )


def to_tenant_item(hub: Hub, row: InviteRow, hostnames: list[str]) -> TenantItem:
    """Return the item of a tenant, with what the newest edge reports say of it."""
    live = hub.edge_reports.view.tenant(row.tenant_id)
    return TenantItem(
        tenant_id=row.tenant_id,
        invite_id=base64url.encode(row.invite_id),
        name=row.name,
        status=tenant_status(row),
        hostnames=hostnames,
        limits=limits_of(row),
        created_at=to_datetime(row.created_at_ms),
        expires_at=to_optional_datetime(row.expires_at_ms),
        suspended_at=to_optional_datetime(row.suspended_at_ms),
        agents_live=len(live.agents),
        traffic=live.traffic,
        serves_until=to_optional_datetime(row.serves_until_ms),
        ended_at=to_optional_datetime(row.ended_at_ms),
    )


def to_port_range(row: ReservationRow) -> PortRange:
    """Return the ports of a reservation."""
    protocol = cast(Protocol, row.protocol)
    return PortRange(protocol=protocol, first_port=row.first_port, last_port=row.last_port)


def to_reservation(row: ReservationRow) -> Reservation:
    """Return a reservation."""
    return Reservation(
        reservation_id=base64url.encode(row.reservation_id),
        tenant_id=row.tenant_id,
        protocol=cast(Protocol, row.protocol),
        first_port=row.first_port,
        last_port=row.last_port,
        created_at=to_datetime(row.created_at_ms),
    )
