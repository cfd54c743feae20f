"""Reservation and release of ports, and the search for free ones."""

import secrets
from dataclasses import replace

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.ports import LAST_PORT, ReservationIn
from towonel.hub.context import Hub
from towonel.hub.core import ports as rules
from towonel.hub.core.ports import Range, check_reservation
from towonel.hub.core.quotas import check_quota
from towonel.hub.operations.register_edge import find_edge_ports
from towonel.hub.store import ports, tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import InviteRow, ReservationRow
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.tokens import INVITE_ID_BYTES


async def reserve_ports(
    hub: Hub, write: Write, actor: Actor, tenant: InviteRow, body: ReservationIn
) -> ReservationRow:
    """Reserve the requested ports for a tenant, or the lowest free one if none is named.

    Raises:
        Denied: INVALID_REQUEST, QUOTA_EXCEEDED or PORT_CONFLICT.
    """
    first = body.first_port or await _lowest_free(hub, write.session, body.protocol)
    last = body.last_port or first
    requested = Range(body.protocol, first, last, TenantId(tenant.tenant_id))
    row = await reserve(hub, write, tenant, requested)
    write.touch(tenant)  # its ports are part of the tenant, so of its ETag
    after = {"ports": str(requested)}
    write.audit(actor, "ports.reserved", _subject(row), tenant.tenant_id, after=after)
    return row


async def reserve(hub: Hub, write: Write, tenant: InviteRow, requested: Range) -> ReservationRow:
    """Add a reservation.

    Raises:
        Denied: INVALID_REQUEST, QUOTA_EXCEEDED or PORT_CONFLICT.
    """
    held = await ports.list_of_tenant(write.session, tenant.tenant_id)
    size = requested.size + sum(ports.range_of(row).size for row in held)
    check_quota("ports", size, tenants.quotas_of(tenant, hub.policy.quotas).ports)
    area = (requested.protocol, requested.first, requested.last)
    check_reservation(
        requested,
        hub.policy.ports,
        await ports.find_reserved(write.session, *area),
        await ports.find_published(write.session, *area),
        await find_edge_ports(hub, write.session),
    )
    row = ReservationRow(
        reservation_id=secrets.token_bytes(INVITE_ID_BYTES),
        protocol=requested.protocol,
        first_port=requested.first,
        last_port=requested.last,
        tenant_id=tenant.tenant_id,
        created_at_ms=write.now_ms,
    )
    await ports.add(write, row)
    return row


async def release_ports(write: Write, actor: Actor, row: ReservationRow) -> None:
    """Delete a reservation; services that are published on its ports stay."""
    tenant = await tenants.find(write.session, row.tenant_id)
    if tenant is not None:
        write.touch(tenant)  # its ports are part of the tenant, so of its ETag
    before = {"ports": str(ports.range_of(row))}
    await ports.release(write, row)
    write.audit(actor, "ports.released", _subject(row), row.tenant_id, before=before)


async def free_ports(hub: Hub, session: AsyncSession, protocol: str, count: int) -> list[int]:
    """Return the lowest ports that are neither reserved nor published, nor an edge's."""
    held = await ports.find_reserved(session, protocol, 1, LAST_PORT)
    held += await ports.find_published(session, protocol, 1, LAST_PORT)
    own = {*hub.policy.ports.own, *await find_edge_ports(hub, session)}
    return list(rules.free_ports(protocol, replace(hub.policy.ports, own=own), held, count))


async def _lowest_free(hub: Hub, session: AsyncSession, protocol: str) -> int:
    free = await free_ports(hub, session, protocol, 1)
    if not free:
        raise Denied(Code.PORT_CONFLICT, f"there is no free {protocol} port left")
    return free[0]


def _subject(row: ReservationRow) -> str:
    return f"ports:{base64url.encode(row.reservation_id)}"
