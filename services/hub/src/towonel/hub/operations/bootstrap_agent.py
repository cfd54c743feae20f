"""Bootstrap of an agent: the proof of its invite, and its first grant."""

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.agents import BootstrapIn
from towonel.hub.context import Hub
from towonel.hub.core import quotas
from towonel.hub.core.invites import check_invite
from towonel.hub.operations.renew_grant import is_revoked, new_grant, to_agent_row
from towonel.hub.store import agents, invites, nonces, tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import REVOKED, InviteRow
from towonel.identity.grants import Grant
from towonel.identity.keys import hash_invite_secret, secrets_equal
from towonel.identity.signatures import Domain, Signature
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import AgentId, TenantId


async def prove_invite(
    hub: Hub, session: AsyncSession, invite_id: bytes, body: BootstrapIn, address: str
) -> InviteRow:
    """Return the active invite whose secret the body has; a wrong secret is a strike.

    Raises:
        Denied: NOT_FOUND, INVALID_REQUEST, UNAUTHORIZED, INVITE_EXPIRED, TENANT_REVOKED or
            TENANT_SUSPENDED.
    """
    row = await invites.find(session, invite_id)
    if row is None:
        raise Denied(Code.NOT_FOUND, "no such invite")
    try:
        secret = base64url.decode(body.invite_secret)
    except ProtocolError as error:
        raise Denied(Code.INVALID_REQUEST, "invite_secret: is not base64url") from error
    matches = secrets_equal(hash_invite_secret(hub.keys.invite_hash, secret), row.secret_hash)
    if not matches:
        await hub.limiter.strike(address)
    check_invite(
        secret_matches=matches,
        is_revoked=row.status == REVOKED,
        expires_at_ms=row.expires_at_ms,
        now_ms=hub.now_ms(),
    )
    tenants.check_active(row)
    return row


async def refresh_reports(hub: Hub, invite: InviteRow, agent_id: bytes) -> None:
    """Read what edges tell of sessions that ended, where that decides about one more agent."""
    async with hub.store.read() as session:
        granted = await _count_running(hub, session, invite.tenant_id, agent_id, has_reports=False)
    if granted >= tenants.quotas_of(invite, hub.policy.quotas).agents:
        await hub.edge_reports.refresh(hub.now_ms())


async def bootstrap_agent(
    hub: Hub, write: Write, actor: Actor, invite: InviteRow, signed: Signature, group: str
) -> Grant:
    """Register an agent that proved the invite; returns its grant.

    Call `refresh_reports` before, outside the transaction.

    Raises:
        Denied: REPLAYED, or TENANT_NOT_ALLOWED for a revoked agent.
        Unavailable: RATE_LIMITED above the quota of agents, or of their grants.
    """
    await nonces.use(write.session, Domain.AGENT_BOOTSTRAP, signed)
    grant = new_grant(AgentId(signed.id), TenantId(invite.tenant_id), group, write.now_ms)
    await _check_agent(hub, write, invite, grant.agent_id)
    invites.mark_used(write, invite)
    await agents.upsert_bootstrapped(write.session, to_agent_row(grant, write.now_ms))
    after = {"group": group}
    write.audit(actor, "agent.bootstrapped", actor.name, invite.tenant_id, after=after)
    return grant


async def _check_agent(hub: Hub, write: Write, invite: InviteRow, agent_id: AgentId) -> None:
    row = await agents.find(write.session, agent_id)
    if is_revoked(row, TenantId(invite.tenant_id), write.now_ms):
        raise Denied(Code.TENANT_NOT_ALLOWED, "this agent was revoked; start it anew")
    if hub.policy.agents.get(agent_id, invite.tenant_id) != invite.tenant_id:
        raise Denied(Code.TENANT_NOT_ALLOWED, "TOWONEL_TENANTS gives this agent to another tenant")
    has_reports = bool(hub.edge_reports.view.edges)
    running = await _count_running(
        hub, write.session, invite.tenant_id, agent_id, has_reports=has_reports
    )
    most = tenants.quotas_of(invite, hub.policy.quotas).agents
    quotas.check_agents(running, most)
    grants = await agents.count_grants(write.session, invite.tenant_id, agent_id, write.now_ms)
    quotas.check_grants(grants, most)


async def _count_running(
    hub: Hub, session: AsyncSession, tenant_id: bytes, excluded_id: bytes, *, has_reports: bool
) -> int:
    """Return how many other agents of a tenant serve, or hold a grant with which they may."""
    now_ms, view = hub.now_ms(), hub.edge_reports.view
    live = set(view.tenant(tenant_id).agents) - {excluded_id}
    left = await agents.find_left(session, tenant_id, live)
    # Who is in a later report goes on serving, whatever it said.
    live -= {it for it, at_ms in left.items() if view.agents[it].reported_at_ms <= at_ms}
    waiting = await agents.find_waiting(
        session, tenant_id, excluded_id, now_ms, has_reports=has_reports
    )
    return len(live | waiting)
