"""Edits of tenants: which fields of a row change, and how the audit log tells it."""

import secrets

from towonel.api.invites import InviteEdit
from towonel.api.ports import PortRange
from towonel.api.tenants import TenantEdit
from towonel.hub.api.presenters import limits_of, port_range, quotas_of, to_optional_ms
from towonel.hub.context import Hub
from towonel.hub.core.invites import parse_patterns
from towonel.hub.core.ports import Range, check_reservation
from towonel.hub.core.quotas import check as check_quota
from towonel.hub.operations import tenant_lifecycle
from towonel.hub.store import invites, ports
from towonel.hub.store.audit import Actor, AuditEvent, record
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import InviteRow, ReservationRow
from towonel.wire import base64url
from towonel.wire.ids import TenantId
from towonel.wire.tokens import INVITE_ID_BYTES


async def edit_invite(
    hub: Hub, change: Write, actor: Actor, row: InviteRow, edit: InviteEdit
) -> None:
    """Carry out what an edit says; what it does not name stays.

    Raises:
        Denied: by the rules of hostnames, ports and quotas; nothing is changed then.
    """
    before = await _state(change, row)
    _set_fields(row, edit)
    sent = edit.model_fields_set
    if "expires_at" in sent:
        row.expires_at_ms = to_optional_ms(edit.expires_at)
    if edit.hostnames is not None:
        wanted = parse_patterns(edit.hostnames)
        quotas = quotas_of(row, hub.policy.quotas)
        await tenant_lifecycle.set_hostnames(change, row, wanted, quotas, hub.now_ms())
    if edit.ports is not None:
        await _set_ports(hub, change, row, edit.ports)
    await _conclude(hub, change, actor, row, before)


async def edit_tenant(
    hub: Hub, change: Write, actor: Actor, row: InviteRow, edit: TenantEdit
) -> None:
    """The same for what a tenant's edit can say."""
    before = await _state(change, row)
    _set_fields(row, edit)
    await _conclude(hub, change, actor, row, before)


async def reserve(hub: Hub, change: Write, row: InviteRow, wanted: Range) -> ReservationRow:
    """Keep ports for a tenant.

    Raises:
        Denied: INVALID_REQUEST, QUOTA_EXCEEDED or PORT_CONFLICT.
    """
    session = change.session
    held = await ports.of_tenant(session, row.tenant_id)
    size = wanted.size + sum(ports.range_of(kept).size for kept in held)
    check_quota("ports", size, quotas_of(row, hub.policy.quotas).ports)
    area = (wanted.protocol, wanted.first, wanted.last)
    check_reservation(
        wanted,
        hub.policy.ports,
        await ports.reserved(session, *area),
        await ports.published(session, *area),
    )
    made = ReservationRow(
        reservation_id=secrets.token_bytes(INVITE_ID_BYTES),
        protocol=wanted.protocol,
        first_port=wanted.first,
        last_port=wanted.last,
        tenant_id=row.tenant_id,
        created_at_ms=hub.now_ms(),
    )
    await ports.add(change, made)
    return made


async def _set_ports(hub: Hub, change: Write, row: InviteRow, wanted: list[PortRange]) -> None:
    """Keep exactly these ports; ranges that stay the same keep their ids."""
    asked = {
        Range(item.protocol, item.first_port, item.last_port, TenantId(row.tenant_id))
        for item in wanted
    }
    for held in await ports.of_tenant(change.session, row.tenant_id):
        kept = ports.range_of(held)
        if kept in asked:
            asked.remove(kept)
        else:
            await ports.release(change, held)
    await change.session.flush()
    for item in sorted(asked):
        await reserve(hub, change, row, item)


def _set_fields(row: InviteRow, edit: InviteEdit | TenantEdit) -> None:
    if edit.name is not None:
        row.name = edit.name.strip() or row.name
    if edit.limits is not None:
        for name in edit.limits.model_fields_set:
            setattr(row, f"max_{name}", getattr(edit.limits, name))


async def _conclude(
    hub: Hub, change: Write, actor: Actor, row: InviteRow, before: dict[str, object]
) -> None:
    after = await _state(change, row)
    altered = [name for name in after if after[name] != before[name]]
    if not altered:
        return
    row.version += 1
    change.session.add(row)
    deed = AuditEvent(
        "invite.updated",
        f"invite:{base64url.encode(row.invite_id)}",
        row.tenant_id,
        {name: before[name] for name in altered},
        {name: after[name] for name in altered},
    )
    await record(change, actor, deed, hub.now_ms())


async def _state(change: Write, row: InviteRow) -> dict[str, object]:
    kept = await ports.of_tenant(change.session, row.tenant_id)
    return {
        "name": row.name,
        "expires_at_ms": row.expires_at_ms,
        "limits": limits_of(row).model_dump(),
        "hostnames": await invites.hostnames_of(change.session, row.invite_id),
        "ports": [port_range(item).model_dump() for item in kept],
    }
