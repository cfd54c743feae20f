"""Release of an agent's place in the quota of its tenant, when the agent says that it ends."""

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store import agents, nonces
from towonel.identity.grants import Grant
from towonel.identity.signatures import Domain, Signature


async def release_agent(
    session: AsyncSession, signed: Signature, grant: Grant, now_ms: int
) -> None:
    """Record that an agent ended; one that is unknown here has no place to give back.

    Raises:
        Denied: REPLAYED.
    """
    await nonces.use(session, Domain.AGENT_LEAVE, signed)
    await agents.mark_left(session, grant.agent_id, grant.tenant_id, now_ms)
