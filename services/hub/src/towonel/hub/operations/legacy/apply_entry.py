"""Application of a signed entry: its op changes what the tenant publishes, or names an agent."""

from collections.abc import Mapping, Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.services import ServiceIn
from towonel.hub.context import Hub
from towonel.hub.core import desired_state
from towonel.hub.core.legacy import signed_entries as rules
from towonel.hub.core.ownership import Claim, candidates, check_claim
from towonel.hub.core.quotas import Quotas, check_quota
from towonel.hub.operations.change_tokens import ChangeTokens
from towonel.hub.operations.legacy.heartbeat import ENTRIES_GROUP, new_agent_row
from towonel.hub.operations.publish import before_and_after, count_changes, publish
from towonel.hub.store import agents, invites, tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.legacy import entries
from towonel.hub.store.tables import AgentRow, InviteRow
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.legacy.entries import EntryPayload, SignedEntry
from towonel.wire.legacy.ops import Op, RevokeAgent, UpsertAgent
from towonel.wire.names import Hostname
from towonel.wire.routes import Route

type _Details = Mapping[str, object]


async def count_entry_changes(hub: Hub, session: AsyncSession, tenant_id: TenantId, op: Op) -> int:
    """Return how many routes an entry would change now; 0 where it would be refused."""
    if isinstance(op, UpsertAgent | RevokeAgent):
        return 0
    state = rules.apply(rules.replay(await entries.read_ops(session, tenant_id)), op)
    try:
        routes = await _routes_of(hub, session, tenant_id, op, state)
    except Denied:
        return 0
    return await count_changes(session, tenant_id, ENTRIES_GROUP, routes)


async def apply_entry(
    hub: Hub,
    write: Write,
    actor: Actor,
    entry: SignedEntry,
    payload: EntryPayload,
    op: Op,
    tokens: ChangeTokens,
) -> None:
    """Append a verified entry to its tenant's log, and apply its normalized op.

    Raises:
        Denied: TENANT_NOT_ALLOWED, TENANT_REVOKED, TENANT_SUSPENDED, SEQUENCE_CONFLICT, QUOTA_EXCEEDED,
            or those of `publish`.
    """
    invite = await tenants.get(write.session, entry.tenant_id)
    tenants.check_active(invite)
    rules.check_sequence(invite.last_sequence, payload.sequence)
    previous = rules.replay(await entries.read_ops(write.session, entry.tenant_id))
    state = rules.apply(previous, op)
    if len(state.ops) > len(previous.ops):
        _check_quotas(state, tenants.quotas_of(invite, hub.policy.quotas))
    before, after = await _apply(hub, write, invite, op, state, tokens)
    await entries.append(write, invite, entry, payload, op)
    write.audit(
        actor,
        "entry.applied",
        f"entry:{payload.sequence}",
        entry.tenant_id,
        before=before or None,
        after={"op": op.name, "subject": rules.subject_of(op), **after},
    )


def _check_quotas(state: rules.TenantState, most: Quotas) -> None:
    check_quota("agents", len(state.agents), most.agents)
    # TLS modes of names that are not published are stored, too: they count as services.
    check_quota("services", len(state.ops) - len(state.agents), 2 * most.services)


async def _apply(
    hub: Hub,
    write: Write,
    invite: InviteRow,
    op: Op,
    state: rules.TenantState,
    tokens: ChangeTokens,
) -> tuple[_Details, _Details]:
    """Apply an op; returns what it removed and added, for the audit log."""
    tenant_id = TenantId(invite.tenant_id)
    if isinstance(op, UpsertAgent | RevokeAgent):
        await _name_agent(hub, write, tenant_id, op)
        return {}, {}
    routes = await _routes_of(hub, write.session, tenant_id, op, state)
    plan = await publish(hub, write, invite, ENTRIES_GROUP, routes, tokens)
    return ({}, {}) if plan.is_empty else before_and_after(plan)


async def _routes_of(
    hub: Hub, session: AsyncSession, tenant_id: TenantId, op: Op, state: rules.TenantState
) -> Sequence[Route]:
    services = rules.services_of(state)
    hostname = getattr(op, "hostname", None)
    claims = await _claims(session, tenant_id, services, hostname)
    if hostname is not None:
        _check_claim(hostname, claims[hostname])
    allowed = _allowed_services(hub, services, claims, getattr(op, "service", None))
    return desired_state.parse(allowed, tenant_id, hub.policy.ports)


def _check_claim(hostname: str, claim: Claim) -> None:
    if claim is not Claim.OWNED:
        code = Code.HOSTNAME_NOT_OWNED if claim is Claim.FOREIGN else Code.HOSTNAME_CONFLICT
        raise Denied(code, f"{hostname}: not covered by this invite")


def _allowed_services(
    hub: Hub, services: Sequence[ServiceIn], claims: Mapping[str, Claim], own: str | None
) -> list[ServiceIn]:
    """Return the services but those that are no longer allowed; the op's own is never skipped."""
    ports = hub.policy.ports
    return [
        item
        for item in services
        if claims.get(item.name) in {None, Claim.OWNED}
        and (
            not isinstance(item.port, int)
            or item.name == own
            or ports.problem(item.port, item.port) is None
        )
    ]


async def _claims(
    session: AsyncSession, tenant_id: TenantId, services: Sequence[ServiceIn], also: str | None
) -> dict[str, Claim]:
    names = {item.name for item in services if item.kind == "https"}
    names |= set() if also is None else {also}
    patterns = {pattern for name in names for pattern in candidates(Hostname(name))}
    owners = await invites.find_owners(session, patterns)
    return {name: check_claim(tenant_id, Hostname(name), owners) for name in names}


async def _name_agent(
    hub: Hub, write: Write, tenant_id: TenantId, op: UpsertAgent | RevokeAgent
) -> None:
    """Add or revoke an agent of a tenant; one of another tenant is added once it runs there no more.

    Anybody may write down any id: a name alone neither ends nor takes what is another tenant's. The
    agent's own next heartbeat does.
    """
    row = await agents.find(write.session, op.agent_id)
    if row is not None and row.tenant_id != tenant_id:
        if isinstance(op, RevokeAgent):
            return
        _check_free(row, write.now_ms)
    if hub.policy.agents.get(op.agent_id, tenant_id) != tenant_id:
        raise Denied(Code.INVALID_REQUEST, "agent_id: TOWONEL_TENANTS gives it to another tenant")
    if row is not None and row.tenant_id != tenant_id:
        return
    row = row or new_agent_row(tenant_id, op.agent_id, write.now_ms)
    row.revoked_at_ms = write.now_ms if isinstance(op, RevokeAgent) else None
    write.session.add(row)


def _check_free(row: AgentRow, now_ms: int) -> None:
    """Check that an agent of another tenant does not run.

    Raises:
        Denied: INVALID_REQUEST.
    """
    if row.revoked_at_ms is None and now_ms - row.last_seen_ms < agents.FRESH_MS:
        raise Denied(Code.INVALID_REQUEST, "agent_id: another tenant's agent runs with it")
