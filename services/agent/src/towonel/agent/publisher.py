"""Publisher of the agent's services: publishes them, and says while they do not stand at the hub."""

from collections.abc import Sequence
from typing import assert_never

import structlog

from towonel.agent.core.publication import (
    MAX_NAMED,
    Displaced,
    Lost,
    Outcome,
    Standing,
    Withdrawn,
    compare,
    format_names,
)
from towonel.agent.core.refusals import describe_refusal, find_fix
from towonel.agent.core.services import Service
from towonel.agent.metrics import Metrics
from towonel.api.agents import Publication
from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.identity.keys import TenantKey
from towonel.runtime.admin import Health
from towonel.wire.errors import Denied

SERVICES = "services"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Publisher:
    """Publisher of one agent's services, in its group."""

    def __init__(
        self,
        hub: HubClient,
        tenant: TenantKey,
        agent_id: bytes,
        group: str,
        services: Sequence[Service],
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._hub = hub
        self._tenant = tenant
        self._agent_id = agent_id
        self._state = DesiredState(
            group=group,
            services=[
                ServiceIn(kind=s.key.kind.value, name=s.key.name, tls_mode=s.tls_mode.value)
                for s in services
            ],
        )
        self._keys = tuple(str(service.key) for service in services)
        self._health = health
        self._metrics = metrics
        self._own: Publication | None = None
        self._outcome: Outcome = Standing()
        self._refusal = ""
        self.has_published = False

    @property
    def digest(self) -> bytes | None:
        """Digest of what was published; None before, and with a hub of an older version."""
        return None if self._own is None else self._own.digest

    async def publish(self) -> None:
        """Publish the services in place of what the group published before.

        Raises:
            Denied: if the hub refuses one of them: then it takes none.
        """
        applied = await self._hub.apply_desired_state(self._tenant, self._state, self._agent_id)
        self._own, self.has_published = applied.publication, True
        log.info(
            "services.published",
            created=applied.created,
            changed=applied.changed,
            deleted=applied.deleted,
            unchanged=applied.unchanged,
        )

    async def follow(self, newest: Publication | None) -> None:
        """Act on what the group published last, as the hub says; None from one of an older version.

        Raises:
            Unavailable: if the hub does not answer.
        """
        if newest is None:
            return
        outcome, refusal = compare(self._own, newest, self._keys), ""
        if outcome != self._outcome:
            _log_outcome(outcome)
            self._outcome = outcome
        if isinstance(outcome, Lost | Withdrawn):
            refusal = await self._publish_again()
            if not refusal:
                outcome = Standing()
        self._tell(outcome, refusal)

    async def _publish_again(self) -> str:
        """Publish what the hub dropped or lost; returns why it refuses that, or nothing."""
        refusal: Denied | None = None
        try:
            await self.publish()
        except Denied as error:
            refusal = error
        reason = "" if refusal is None else describe_refusal(refusal)
        if refusal is not None and reason != self._refusal:  # asked at each refresh, told once
            code, fix = refusal.code, find_fix(refusal.code)
            log.error("hub.refused", code=code.word, detail=refusal.detail, fix=fix)
        self._refusal = reason
        return reason

    def _tell(self, outcome: Outcome, refusal: str) -> None:
        """Say in health and metrics what does not stand, and in the log that all stands again."""
        missing = () if isinstance(outcome, Standing) else outcome.services
        self._metrics.unpublished.set(len(missing))
        self._health.set_degraded(SERVICES, reason=_explain(outcome, refusal))
        if isinstance(outcome, Standing) and self._outcome != outcome:
            _log_outcome(outcome)
            self._outcome = outcome


def _log_outcome(outcome: Outcome) -> None:
    match outcome:
        case Standing():
            log.info("services.restored")
        case Lost(services):
            log.warning("services.lost", services=services[:MAX_NAMED], count=len(services))
        case Withdrawn(services):
            log.warning("services.withdrawn", services=services[:MAX_NAMED], count=len(services))
        case Displaced(services, agent_id):
            by = None if agent_id is None else agent_id.hex()
            named = services[:MAX_NAMED]
            log.warning("services.displaced", services=named, count=len(services), by=by)
        case _:
            assert_never(outcome)


def _explain(outcome: Outcome, refusal: str) -> str | None:
    match outcome:
        case Standing():
            return None
        case Lost():
            return f"the hub does not know what this agent published, and refuses it: {refusal}"
        case Withdrawn(services):
            return (
                f"the hub publishes no longer {format_names(services)}, and refuses to: {refusal}"
            )
        case Displaced(services, agent_id):
            who = "another agent" if agent_id is None else f"agent {agent_id.hex()}"
            lost = f"; no longer published: {format_names(services)}" if services else ""
            return (
                f"{who} of the same group published other services{lost}. Agents with different services"
                " need different groups: set TOWONEL_AGENT_GROUP, and restart this agent"
            )
        case _:
            assert_never(outcome)
