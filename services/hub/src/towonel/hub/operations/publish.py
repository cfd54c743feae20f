"""Publication of a group's desired state: planned by the rules, and applied whole or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.context import Hub
from towonel.hub.core import desired_state
from towonel.hub.core.current_state import CurrentState, ports_of
from towonel.hub.core.desired_state import Plan
from towonel.hub.core.ownership import candidates
from towonel.hub.core.ports import Range
from towonel.hub.operations.change_tokens import ChangeTokens
from towonel.hub.operations.hostname_ownership import reconcile_placeholders
from towonel.hub.operations.register_edge import find_edge_ports
from towonel.hub.operations.settle_ports import settle_ports
from towonel.hub.store import invites, nonces, ports, publications, routes, services, tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import InviteRow, PublicationRow
from towonel.identity.signatures import Domain, Signature
from towonel.wire.errors import Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.routes import Route


@dataclass(frozen=True, slots=True)
class Published:
    """Desired state that was applied.

    Args:
        plan: what it changed.
        routes: all of it, with the ports that the hub chose.
        row: what is recorded of it; None for a group that never published a service.
    """

    plan: Plan
    routes: Sequence[Route]
    row: PublicationRow | None


async def publish_desired_state(
    hub: Hub,
    write: Write,
    actor: Actor,
    signed: Signature,
    group: str,
    desired_routes: Sequence[Route],
    agent_id: bytes | None,
    tokens: ChangeTokens,
) -> Published:
    """Replace what a group of an active tenant publishes, as its signed request says.

    Args:
        hub: the hub.
        write: the transaction.
        actor: who asks.
        signed: its signature.
        group: of agents.
        desired_routes: all that the group is to publish; ports that are left to the hub are None.
        agent_id: the agent that asks, where it says so.
        tokens: for as many changes.

    Raises:
        Denied: TENANT_NOT_ALLOWED, TENANT_REVOKED, TENANT_SUSPENDED, REPLAYED, or those of `settle_ports`
            and `publish`.
    """
    invite = await tenants.get(write.session, TenantId(signed.id))
    tenants.check_active(invite)
    await nonces.use(write.session, Domain.DESIRED_STATE, signed)
    tenant_id = TenantId(invite.tenant_id)
    # Here, where no other write is between: two groups would choose one port else.
    settled = await settle_ports(hub, write.session, tenant_id, group, desired_routes)
    plan = await publish(hub, write, invite, group, settled, tokens)
    if not plan.is_empty:
        before, after = before_and_after(plan)
        subject = f"group:{group}"
        write.audit(actor, "services.published", subject, tenant_id, before=before, after=after)
    digest, count = desired_state.hash_routes(settled), len(settled)
    row = await publications.record(write, tenant_id, group, digest, count, agent_id)
    return Published(plan, settled, row)


async def count_desired_changes(
    hub: Hub, tenant_id: TenantId, group: str, desired_routes: Sequence[Route]
) -> int:
    """Return how many routes a desired state would change now; 0 where it has no ports."""
    async with hub.store.read() as session:
        try:
            settled = await settle_ports(hub, session, tenant_id, group, desired_routes)
        except Denied:  # the write says so, after all that comes before
            return 0
        return await count_changes(session, tenant_id, group, settled)


async def count_changes(
    session: AsyncSession, tenant_id: TenantId, group: str, desired_routes: Sequence[Route]
) -> int:
    """Return how many routes `publish` would change now, unless it refuses."""
    own = await routes.find_published(session, tenant_id, group)
    changes = desired_state.compare(desired_routes, own)
    if not changes.deleted:
        return changes.size
    siblings = await routes.find_siblings(session, tenant_id, group)
    return desired_state.compare(desired_routes, own, siblings).size


async def publish(
    hub: Hub,
    write: Write,
    invite: InviteRow,
    group: str,
    desired_routes: Sequence[Route],
    tokens: ChangeTokens,
) -> Plan:
    """Replace what a group publishes, without an audit event.

    Raises:
        Denied: HOSTNAME_NOT_OWNED, HOSTNAME_CONFLICT, PORT_CONFLICT or QUOTA_EXCEEDED; nothing is
            changed then.
        Unavailable: RATE_LIMITED for a tenant that changes its routes too often.
    """
    tenant_id = TenantId(invite.tenant_id)
    current = await _current(hub, write, tenant_id, group, desired_routes)
    desired_state.check_names(desired_routes, hub.policy.reserved_names)
    reserved_only = hub.policy.ports.reserved_only
    plan = desired_state.plan(tenant_id, desired_routes, current, reserved_only=reserved_only)
    desired_state.check_quotas(
        desired_routes, current, tenants.quotas_of(invite, hub.policy.quotas)
    )
    invites.mark_used(write, invite)  # the original's agents are not bootstrapped by a write
    if not plan.is_empty:
        # Every edge hears of each change, and a deleted name is remembered for a day.
        tokens.use(plan.size)
        await routes.apply(write, tenant_id, group, plan)
    # A route that a sibling group publishes too stays; only this group's service ends.
    await routes.drop_services(write, tenant_id, group, [route.key for route in desired_routes])
    withdrawn = [Hostname(r.name) for r in plan.deleted if r.kind is ServiceKind.HTTPS]
    await reconcile_placeholders(write, withdrawn)
    return plan


def before_and_after(plan: Plan) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return the route keys that a plan removes and adds, for the audit log."""
    before = [route.key for route in (*plan.changed, *plan.deleted)]
    after = [route.key for route in (*plan.created, *plan.changed)]
    return {"services": before}, {"services": after}


async def _current(
    hub: Hub, write: Write, tenant_id: TenantId, group: str, desired_routes: Sequence[Route]
) -> CurrentState:
    session = write.session
    patterns = {
        pattern
        for route in desired_routes
        if route.kind is ServiceKind.HTTPS
        for pattern in candidates(Hostname(route.name))
    }
    groups = await routes.count_siblings(session, tenant_id, group)
    has_ports = any(route.port is not None for route in desired_routes)
    return CurrentState(
        own=await routes.find_published(session, tenant_id, group),
        siblings=await routes.find_siblings(session, tenant_id, group) if groups else (),
        groups=groups,
        tenants=await routes.find_tenants(session, [route.key for route in desired_routes]),
        owners=await invites.find_owners(session, patterns),
        reserved=await _find_reservations(session, desired_routes),
        beside=await services.find_beside(session, tenant_id, group, desired_routes, write.now_ms)
        if groups
        else (),
        elsewhere=await ports.find_elsewhere(session, tenant_id, group)
        if groups and has_ports
        else (),
        edges=await find_edge_ports(hub, session) if has_ports else {},
        overlapping=(await ports.find_overlapping(session, desired_routes)).values()
        if has_ports
        else (),
    )


async def _find_reservations(session: AsyncSession, desired_routes: Sequence[Route]) -> list[Range]:
    """Return the reservations that have desired ports."""
    found: list[Range] = []
    for kind in (ServiceKind.TCP, ServiceKind.UDP):
        wanted = [ports_of(route) for route in desired_routes if route.kind is kind and route.port]
        if wanted:
            first, last = min(it.first for it in wanted), max(it.last for it in wanted)
            held = await ports.find_reserved(session, kind.value, first, last)
            found += [one for one in held if any(one.overlaps(it) for it in wanted)]
    return found
