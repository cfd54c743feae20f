"""Edits of invites and tenants: name, expiry, end of serving, limits, hostnames and reserved ports."""

from collections.abc import Iterable

from towonel.api.invites import MAX_EXPIRY_S, MAX_SERVING_S, InviteEdit
from towonel.api.ports import PortRange
from towonel.api.tenants import TenantEdit
from towonel.hub.context import Hub
from towonel.hub.core.invites import parse_patterns
from towonel.hub.core.ports import Range
from towonel.hub.core.timestamps import check_end, to_optional_ms
from towonel.hub.operations import tenant_lifecycle
from towonel.hub.operations.reserve_ports import reserve
from towonel.hub.store import invites, ports, tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import InviteRow
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname


async def edit_invite(
    hub: Hub, write: Write, actor: Actor, row: InviteRow, edit: InviteEdit
) -> None:
    """Apply an edit; fields that were not sent stay.

    Raises:
        Denied: by the rules of ends, hostnames, ports and quotas; nothing is changed then.
    """
    before = await _snapshot(write, row)
    await _set_fields(write, row, edit)
    if "expires_at" in edit.model_fields_set:
        end_ms, former_ms = to_optional_ms(edit.expires_at), row.expires_at_ms
        check_end("expires_at", end_ms, write.now_ms, MAX_EXPIRY_S, past=False, former_ms=former_ms)
        row.expires_at_ms = end_ms
    if "serves_until" in edit.model_fields_set:
        end_ms, former_ms = to_optional_ms(edit.serves_until), row.serves_until_ms
        check_end(
            "serves_until", end_ms, write.now_ms, MAX_SERVING_S, past=True, former_ms=former_ms
        )
        await tenant_lifecycle.set_serving_end(write, actor, row, end_ms)
    if edit.hostnames is not None:
        patterns = parse_patterns(edit.hostnames)
        quotas = tenants.quotas_of(row, hub.policy.quotas)
        await tenant_lifecycle.set_hostnames(write, row, patterns, quotas)
    if edit.ports is not None:
        await _set_ports(hub, write, row, edit.ports)
    await _save(write, actor, row, before)


async def edit_tenant(write: Write, actor: Actor, row: InviteRow, edit: TenantEdit) -> None:
    """Apply an edit; fields that were not sent stay."""
    before = await _snapshot(write, row)
    await _set_fields(write, row, edit)
    await _save(write, actor, row, before)


async def add_hostnames(
    hub: Hub, write: Write, actor: Actor, row: InviteRow, added: Iterable[Hostname]
) -> list[Hostname]:
    """Add hostnames to an active invite; returns all that it has then.

    Raises:
        Denied: QUOTA_EXCEEDED or HOSTNAME_CONFLICT.
    """
    held = await invites.get_hostnames(write.session, row.invite_id)
    patterns = list(dict.fromkeys([*map(Hostname, held), *added]))
    await _save_hostnames(hub, write, actor, row, held, patterns)
    return patterns


async def remove_hostname(
    hub: Hub, write: Write, actor: Actor, row: InviteRow, removed: Hostname
) -> list[Hostname]:
    """Remove a hostname from an active invite; returns those that it has then.

    Raises:
        Denied: NOT_FOUND if it has no such hostname, INVALID_REQUEST if it has no other.
    """
    held = await invites.get_hostnames(write.session, row.invite_id)
    if removed not in held:
        raise Denied(Code.NOT_FOUND, f"the invite has no hostname {removed}")
    if len(held) == 1:
        raise Denied(Code.INVALID_REQUEST, "an invite keeps one hostname; revoke it instead")
    patterns = [Hostname(pattern) for pattern in held if pattern != removed]
    await _save_hostnames(hub, write, actor, row, held, patterns)
    return patterns


async def _save_hostnames(
    hub: Hub,
    write: Write,
    actor: Actor,
    row: InviteRow,
    held: list[str],
    patterns: list[Hostname],
) -> None:
    if patterns == held:
        return
    quotas = tenants.quotas_of(row, hub.policy.quotas)
    await tenant_lifecycle.set_hostnames(write, row, patterns, quotas)
    write.touch(row)
    before, after = {"hostnames": held}, {"hostnames": patterns}
    write.audit(actor, "invite.updated", _subject(row), row.tenant_id, before=before, after=after)


async def _set_ports(hub: Hub, write: Write, row: InviteRow, ranges: list[PortRange]) -> None:
    """Replace the reservations of a tenant; ranges that stay the same keep their ids."""
    tenant_id = TenantId(row.tenant_id)
    missing = {Range(item.protocol, item.first_port, item.last_port, tenant_id) for item in ranges}
    for held in await ports.list_of_tenant(write.session, row.tenant_id):
        held_range = ports.range_of(held)
        if held_range in missing:
            missing.remove(held_range)
        else:
            await ports.release(write, held)
    await write.session.flush()
    for item in sorted(missing):
        await reserve(hub, write, row, item)


async def _set_fields(write: Write, row: InviteRow, edit: InviteEdit | TenantEdit) -> None:
    if edit.name is not None:
        row.name = edit.name.strip() or row.name
    if edit.limits is not None:
        await tenants.set_limits(write, row, edit.limits)


async def _save(write: Write, actor: Actor, row: InviteRow, before: dict[str, object]) -> None:
    after = await _snapshot(write, row)
    changed = [name for name in after if after[name] != before[name]]
    if not changed:
        return
    write.touch(row)
    write.audit(
        actor,
        "invite.updated",
        _subject(row),
        row.tenant_id,
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )


async def _snapshot(write: Write, row: InviteRow) -> dict[str, object]:
    """Return the fields that an edit can change, as the audit log has them."""
    held = await ports.list_of_tenant(write.session, row.tenant_id)
    return {
        "name": row.name,
        "expires_at_ms": row.expires_at_ms,
        "serves_until_ms": row.serves_until_ms,
        "limits": tenants.limits_of(row).model_dump(),
        "hostnames": await invites.get_hostnames(write.session, row.invite_id),
        "ports": [
            item.model_dump(include={"protocol", "first_port", "last_port"}) for item in held
        ],
    }


def _subject(row: InviteRow) -> str:
    return f"invite:{base64url.encode(row.invite_id)}"
