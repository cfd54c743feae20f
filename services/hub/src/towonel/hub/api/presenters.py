"""Rows as the API shows them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal

from towonel.api.invites import InviteDetail, InviteItem
from towonel.api.limits import Limits
from towonel.api.ports import PortRange, Reservation
from towonel.api.tenants import TenantStatus
from towonel.hub.core.quotas import Quotas
from towonel.hub.store.tables import REVOKED, InviteRow, ReservationRow
from towonel.wire import base64url


def to_datetime(time_ms: int) -> datetime:
    """Return a time as the API shows it: RFC 3339 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def to_optional_datetime(time_ms: int | None) -> datetime | None:
    """The same, where there may be none."""
    return None if time_ms is None else to_datetime(time_ms)


def to_optional_ms(at: datetime | None) -> int | None:
    """Return a time as the database has it: Unix milliseconds."""
    return None if at is None else round(at.timestamp() * 1000)


def limits_of(row: InviteRow) -> Limits:
    """Return a tenant's own limits."""
    return Limits(
        services=row.max_services,
        agents=row.max_agents,
        ports=row.max_ports,
        hostnames=row.max_hostnames,
    )


def quotas_of(row: InviteRow, default: Quotas) -> Quotas:
    """Return what holds for a tenant: its own limits, else the hub's."""
    own = limits_of(row)
    return Quotas(
        services=default.services if own.services is None else own.services,
        agents=default.agents if own.agents is None else own.agents,
        ports=default.ports if own.ports is None else own.ports,
        hostnames=default.hostnames if own.hostnames is None else own.hostnames,
    )


def tenant_status(row: InviteRow) -> TenantStatus:
    """Return how a tenant stands."""
    if row.status == REVOKED:
        return "revoked"
    return "active" if row.suspended_at_ms is None else "suspended"


def invite_status(row: InviteRow) -> Literal["pending", "revoked"]:
    """Return how an invite stands, in the original's words."""
    return "revoked" if row.status == REVOKED else "pending"


def invite_items(
    rows: Iterable[InviteRow], hostnames: Mapping[bytes, list[str]]
) -> list[InviteItem]:
    """Return invites as the original lists them."""
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


def invite_detail(
    row: InviteRow, hostnames: list[str], kept: Iterable[ReservationRow]
) -> InviteDetail:
    """Return one invite, whole."""
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
        ports=[port_range(kept_row) for kept_row in kept],
    )


def port_range(row: ReservationRow) -> PortRange:
    """Return the ports of a reservation."""
    protocol: Literal["tcp", "udp"] = "tcp" if row.protocol == "tcp" else "udp"
    return PortRange(protocol=protocol, first_port=row.first_port, last_port=row.last_port)


def reservation(row: ReservationRow) -> Reservation:
    """Return a reservation."""
    return Reservation(
        reservation_id=base64url.encode(row.reservation_id),
        tenant_id=row.tenant_id.hex(),
        protocol="tcp" if row.protocol == "tcp" else "udp",
        first_port=row.first_port,
        last_port=row.last_port,
        created_at=to_datetime(row.created_at_ms),
    )
