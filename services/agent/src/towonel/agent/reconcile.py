"""Reconciler of the agent with its hub: gets a grant, publishes services, refreshes both.

Links live on while the hub is unreachable.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import SystemRandom

import structlog

from towonel.agent.core.edges import Edge, EdgeChoice
from towonel.agent.core.listener_failures import ListenerFailure
from towonel.agent.core.refusals import OF_CLOCKS, describe_refusal, find_fix
from towonel.agent.links import Links
from towonel.agent.publishing.listener_log import ListenerLog
from towonel.agent.publishing.publisher import Publisher
from towonel.agent.timing import HubTiming
from towonel.api.agents import ServiceListener
from towonel.api.edges import EdgeOut
from towonel.client.hub import HubClient
from towonel.identity.keys import SEED_BYTES, NodeKey, TenantKey
from towonel.runtime.addresses import parse_address
from towonel.runtime.admin import Health
from towonel.runtime.backoff import Backoff
from towonel.runtime.lifecycle import GiveUp
from towonel.runtime.logs import describe_error
from towonel.tunnel.core.handshake import EdgeIdentity
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError, Unavailable
from towonel.wire.ids import EdgeId
from towonel.wire.tokens import InviteToken

HUB = "hub"
# Refusals of a bootstrap: of a wrong secret or a revoked invite alike, and of a revoked agent.
_REVOKED = frozenset({Code.UNAUTHORIZED, Code.TENANT_NOT_ALLOWED})
# And those that pass for an agent that was admitted: the hub may have been put back to an older copy.
_NEVER_GOOD = frozenset({Code.NOT_FOUND, Code.INVITE_EXPIRED, Code.GRANT_INVALID})
log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True)
class AgentIdentity:
    """Identity of the agent: its key, its group, and the tenant it speaks for."""

    token: InviteToken
    tenant: TenantKey
    agent: NodeKey
    group: str


def create_identity(token: InviteToken, group: str) -> AgentIdentity:
    """Return a new identity of an agent: its own key is new at each start, and never stored."""
    agent = NodeKey.from_seed(secrets.token_bytes(SEED_BYTES))
    return AgentIdentity(token, TenantKey.from_seed(token.seed), agent, group)


class Reconciler:
    """Reconciler that asks the hub until it agrees, and then refreshes for ever."""

    def __init__(
        self,
        hub: HubClient,
        identity: AgentIdentity,
        publisher: Publisher,
        links: Links,
        choice: EdgeChoice,
        health: Health,
        timing: HubTiming,
        find_mismatches: Callable[[], list[str]],
    ) -> None:
        self._hub = hub
        self._identity = identity
        self._publisher = publisher
        self._links = links
        self._choice = choice
        self._health = health
        self._listeners = ListenerLog(health)
        self._timing = timing
        self._find_mismatches = find_mismatches
        self._grant: bytes | None = None
        self._was_admitted = False
        self._failure: Code | None = None  # as the log has it
        self._times_published = 0
        self._soon: Iterator[float] = iter(
            ()
        )  # pauses before the next refreshes, while they are short
        self._unlinked = Backoff(timing.unlinked_first_s, timing.unlinked_max_s)
        self._started_at = asyncio.get_running_loop().time()
        self._rng = SystemRandom()

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            GiveUp: if the hub refuses the invite before it has ever accepted it, or it was revoked.
        """
        timing = self._timing
        backoff = Backoff(timing.first_pause_s, timing.max_pause_s)
        while True:
            self._links.is_outdated.clear()
            try:
                await self._reconcile()
            except Unavailable as error:
                delay_s = max(backoff.next_delay(self._rng), error.retry_after_s or 0)
                self._log_unreachable(error, delay_s)
                self._health.set_degraded(HUB, reason=f"the hub does not answer: {error.detail}")
            except TowonelError as error:
                delay_s = self._on_refused(error, backoff)
                reason = f"the hub refuses this agent: {describe_refusal(error)}"
                self._health.set_degraded(HUB, reason=reason)
            else:
                backoff.record_success(0)
                self._on_answered()
                delay_s = timing.first_pause_s
                await self._wait_outdated(self._choose_pause() - delay_s)
            await asyncio.sleep(delay_s)

    async def leave(self) -> None:
        """Give this agent's place back: the last request, once no stream is left."""
        if self._grant is None:
            return
        try:
            async with asyncio.timeout(self._timing.leave_s):
                await self._hub.leave(self._grant, self._identity.agent)
        except (TimeoutError, TowonelError) as error:  # the hub learns it from edges, or is older
            log.debug("agent.leave_failed", detail=describe_error(error))

    def _log_unreachable(self, error: Unavailable, retry_s: float) -> None:
        """Warn once that the hub is away; one that was never there may just be starting, too."""
        waited_s = asyncio.get_running_loop().time() - self._started_at
        is_starting = not self._was_admitted and waited_s < self._timing.start_s
        if error.code is self._failure or is_starting:
            return
        self._failure = error.code
        rounded_s = round(retry_s, 1)
        log.warning("hub.unreachable", code=error.code.word, detail=error.detail, retry_s=rounded_s)

    def _on_answered(self) -> None:
        self._health.set_degraded(HUB, reason=None)
        if self._failure is not None:
            log.info("hub.reachable")
        self._failure = None

    def _choose_pause(self) -> float:
        """Return the seconds until the next refresh: few after services with ports were published, or without a link."""
        publisher, timing = self._publisher, self._timing
        if publisher.times_published != self._times_published and publisher.has_ports:
            self._soon = iter(timing.after_publish_s)
        self._times_published = publisher.times_published
        pause_s = min(next(self._soon, timing.refresh_s), timing.refresh_s)
        if self._links.is_serving:
            self._unlinked.record_success(0)
        else:
            pause_s = min(pause_s, self._unlinked.next_delay(self._rng))
        return pause_s * self._rng.uniform(0.8, 1)

    async def _wait_outdated(self, timeout_s: float) -> None:
        """Wait until an edge knows of what only the hub can explain, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._links.is_outdated.wait()

    async def _reconcile(self) -> None:
        """Get a grant and publish the services; with a grant, refresh it and the edges, and publish what has changed.

        An agent that needs another grant later does not publish: the next refresh tells whether it should.
        """
        publisher, answer = self._publisher, None
        if self._grant is None:
            grant, edges = await self._bootstrap()
            if not publisher.has_published:
                await publisher.publish()
        else:
            answer = await self._hub.refresh(
                self._grant, self._identity.agent, publisher.digest, self._find_mismatches()
            )
            grant, edges = base64url.decode(answer.grant), answer.edges
        self._grant, self._was_admitted = grant, True
        self._links.renew(grant)
        chosen = self._choice.choose(map(_to_edge, edges))
        self._links.update_edges(chosen, left_out=len(edges) - len(chosen))
        if answer is not None and not publisher.is_due:  # else it is about what ends now
            await publisher.follow(answer.publication)
        while publisher.is_due:
            await publisher.publish()
        if answer is not None:
            self._listeners.update(map(_to_failure, answer.listeners), publisher.routes)

    async def _bootstrap(self) -> tuple[bytes, list[EdgeOut]]:
        identity = self._identity
        answer = await self._hub.bootstrap(identity.token, identity.agent, identity.group)
        if answer.tenant_id != identity.tenant.tenant_id:
            raise Denied(
                Code.TENANT_NOT_ALLOWED,
                "the hub knows this invite as another tenant's: wrong token",
            )
        if answer.grant is None:
            raise Denied(Code.GRANT_INVALID, "the hub gave no grant: is it an older version?")
        log.info("agent.admitted", tenant_id=answer.tenant_id.hex(), hostnames=answer.hostnames)
        return base64url.decode(answer.grant), answer.edges

    def _on_refused(self, error: TowonelError, backoff: Backoff) -> float:
        """Act on a refusal, and return the seconds after which to ask again."""
        if error.code is not self._failure:  # asked for ever, told once
            self._failure, code, fix = error.code, error.code.word, find_fix(error.code)
            log.error("hub.refused", code=code, detail=error.detail, fix=fix)
        if self._is_final(error.code):
            raise GiveUp(f"the hub refuses this agent: {describe_refusal(error)}")
        if error.code is Code.TENANT_SUSPENDED:
            self._links.update_edges(())
        if error.code in {Code.GRANT_EXPIRED, Code.GRANT_INVALID}:
            self._grant = None
            return self._timing.first_pause_s
        if error.code in OF_CLOCKS:
            return backoff.next_delay(self._rng)
        return self._timing.refused_pause_s

    def _is_final(self, code: Code) -> bool:
        """Whether a refusal ends the agent: what was revoked stays so, whether it was running or starts."""
        if code is Code.TENANT_REVOKED:
            return True
        if self._grant is not None:
            return False
        return code in _REVOKED or (not self._was_admitted and code in _NEVER_GOOD)


def _to_edge(edge: EdgeOut) -> Edge:
    identity = EdgeIdentity(EdgeId(edge.edge_id), edge.certificate_pem, edge.certificate_sha256)
    try:
        addresses = tuple(parse_address(address) for address in edge.addresses)
    except ValueError as error:
        detail = f"the hub names an edge at {edge.addresses!r}: {error}"
        raise ProtocolError(Code.MALFORMED, detail) from None
    return Edge(identity, addresses, edge.name, edge.region)


def _to_failure(listener: ServiceListener) -> ListenerFailure:
    return ListenerFailure(
        listener.key, listener.edge_id, listener.code, listener.detail, listener.ports
    )
