"""Publishing: what a group wants is decided by the rules and carried out, whole or not at all."""

from collections.abc import Mapping, Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.api.presenters import quotas_of
from towonel.hub.context import Hub
from towonel.hub.core import desired
from towonel.hub.core.desired import Current, Plan
from towonel.hub.core.ownership import candidates
from towonel.hub.operations.hostname_ownership import reconcile_placeholders
from towonel.hub.store import invites, ports, routes
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import InviteRow
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.routes import Route


async def publish(
    hub: Hub, change: Write, invite: InviteRow, group: str, wanted: Sequence[Route]
) -> Plan:
    """Replace what a group publishes; the caller tells the audit log.

    Raises:
        Denied: HOSTNAME_NOT_OWNED, HOSTNAME_CONFLICT, PORT_CONFLICT or QUOTA_EXCEEDED; nothing is
            changed then.
    """
    tenant_id = TenantId(invite.tenant_id)
    current = await _current(change.session, tenant_id, group, wanted)
    plan = desired.plan(tenant_id, wanted, current, reserved_only=hub.policy.ports.reserved_only)
    desired.check_quotas(wanted, current, quotas_of(invite, hub.policy.quotas))
    if not plan.is_empty:
        await routes.apply(change, tenant_id, group, plan, hub.now_ms())
    # A sibling may publish what this group gave up: then the route stays, and only this ends.
    await routes.drop_services(change, tenant_id, group, [route.key for route in wanted])
    gone = [Hostname(r.name) for r in plan.deleted if r.kind is ServiceKind.HTTPS]
    await reconcile_placeholders(change, gone, hub.now_ms())
    return plan


def before_and_after(plan: Plan) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return what a plan takes away and what it brings, as the audit log tells it."""
    before = [route.key for route in (*plan.changed, *plan.deleted)]
    after = [route.key for route in (*plan.created, *plan.changed)]
    return {"services": before}, {"services": after}


async def _current(
    session: AsyncSession, tenant_id: TenantId, group: str, wanted: Sequence[Route]
) -> Current:
    patterns = {
        pattern
        for route in wanted
        if route.kind is ServiceKind.HTTPS
        for pattern in candidates(Hostname(route.name))
    }
    return Current(
        own=await routes.published(session, tenant_id, group),
        siblings=await routes.published_by_siblings(session, tenant_id, group),
        tenants=await routes.tenants_of(session, [route.key for route in wanted]),
        owners=await invites.pattern_owners(session, patterns),
        reserved=await _reserved(session, wanted),
    )


async def _reserved(session: AsyncSession, wanted: Sequence[Route]) -> dict[str, TenantId]:
    found: dict[str, TenantId] = {}
    for kind in (ServiceKind.TCP, ServiceKind.UDP):
        asked = {route.port: route.key for route in wanted if route.kind is kind and route.port}
        if asked:
            ranges = await ports.reserved(session, kind.value, min(asked), max(asked))
            found |= {
                key: held.tenant_id
                for port, key in asked.items()
                for held in ranges
                if port in held
            }
    return found
