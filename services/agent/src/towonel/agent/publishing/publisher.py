"""Publisher of the agent's services: publishes them, and says while they do not stand at the hub."""

from collections.abc import Callable, Mapping, Sequence
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
    tabulate_routes,
)
from towonel.agent.core.refusals import OF_CLOCKS, describe_refusal, find_fix
from towonel.agent.core.service_changes import compare_services, merge_services
from towonel.agent.core.services import Service
from towonel.agent.metrics import Metrics
from towonel.api.agents import Publication
from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.identity.keys import TenantKey
from towonel.runtime.admin import Health
from towonel.wire.errors import Denied

SERVICES = "services"
REFUSED = "refused_services"  # what the hub refused of a change
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Publisher:
    """Publisher of one agent's services, in its group.

    Args:
        hub: where they are published.
        tenant: whose they are.
        agent_id: of this agent.
        group: of this agent.
        services: to publish first of all.
        serve: has clients of these services served, and of no others.
        health: says what does not stand.
        metrics: count it.

    Attributes:
        times_published: how often the hub has taken services of this agent.
    """

    def __init__(
        self,
        hub: HubClient,
        tenant: TenantKey,
        agent_id: bytes,
        group: str,
        services: Sequence[Service],
        serve: Callable[[Sequence[Service]], None],
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._hub = hub
        self._tenant = tenant
        self._agent_id = agent_id
        self._group = group
        self._services = self._wanted = tuple(services)
        self._serve = serve
        self._health = health
        self._metrics = metrics
        self._own: Publication | None = None
        self._outcome: Outcome = Standing()
        self._refusal = ""
        self.times_published = 0
        self._ports: Mapping[str, int] = {}  # public ones of TCP and UDP services, by service key

    @property
    def has_published(self) -> bool:
        """Whether the hub has taken some services of this agent."""
        return self.times_published > 0

    @property
    def has_ports(self) -> bool:
        """Whether some of the services have public ports of their own."""
        return any(service.port is not None for service in self._services)

    @property
    def digest(self) -> bytes | None:
        """Digest of what was published; None before, and with a hub of an older version."""
        return None if self._own is None else self._own.digest

    @property
    def routes(self) -> Mapping[str, str]:
        """Service keys of what was published, by the keys of the routes."""
        return tabulate_routes(self._services, self._ports)

    @property
    def is_due(self) -> bool:
        """Whether there is something to publish: all of it at first, and what has changed later."""
        return not self.has_published or self._wanted != self._services

    def change(self, services: Sequence[Service]) -> None:
        """Have other services published by the next `publish`."""
        self._wanted = tuple(services)
        self._health.set_degraded(REFUSED, reason=None)

    async def publish(self) -> None:
        """Publish the services in place of what the group published before.

        Of a change that the hub refuses, nothing is kept: the services of before are.

        Raises:
            Denied: if the hub refuses the first of all: it takes all of them, or none.
            Unavailable: if it does not answer.
        """
        if self.has_published:
            await self._change(self._services, self._wanted)
        else:
            self._services = self._wanted
            self._serve(self._services)
            await self._apply(self._services)

    async def _change(self, before: tuple[Service, ...], after: tuple[Service, ...]) -> None:
        """Serve what is new before edges hear of it, and what ends until they have."""
        changes = compare_services(before, after)
        self._serve(merge_services(before, after))
        refusal = None
        if changes.are_public:  # else the hub knows all that it is to know
            refusal = await self._try_apply(after)
        if refusal is not None:
            self._serve(before)
            if self._wanted == after:  # and nothing else by now
                self._wanted = before
            code, fix = refusal.code.word, find_fix(refusal.code)
            log.error("services.refused", code=code, detail=refusal.detail, fix=fix)
            reason = f"the hub refuses what has changed, so what was before is served: {describe_refusal(refusal)}"
            self._health.set_degraded(REFUSED, reason=reason)
            return
        self._services = after
        self._serve(after)
        log.info(
            "services.changed",
            added=format_names(changes.added),
            changed=format_names(changes.changed),
            removed=format_names(changes.removed),
        )

    async def _try_apply(self, services: Sequence[Service]) -> Denied | None:
        """Publish services, and return why the hub refuses them, if it does.

        Raises:
            Denied: if it is about the time of the request, which another one would get right.
        """
        try:
            await self._apply(services)
        except Denied as error:
            if error.code in OF_CLOCKS:
                raise
            return error
        return None

    async def _apply(self, services: Sequence[Service]) -> None:
        wanted = [_to_wanted(service) for service in services]
        state = DesiredState(group=self._group, services=wanted)
        applied = await self._hub.apply_desired_state(self._tenant, state, self._agent_id)
        self._own = applied.publication
        self.times_published += 1
        before, self._ports = self._ports, applied.ports
        ranges = {str(each.key): each for each in services if each.last_port is not None}
        named = [
            f"{key} {ranges[key].ports if key in ranges else port}"
            for key, port in applied.ports.items()
        ]
        log.info(
            "services.published",
            created=applied.created,
            changed=applied.changed,
            deleted=applied.deleted,
            unchanged=applied.unchanged,
            ports=format_names(named),
        )
        for key, port in applied.ports.items():
            if before.get(key) != port and key not in ranges:
                log.info("port.assigned", service_key=key, port=port)
        self._tell(Standing(), "")  # the next refresh may be a minute away

    async def follow(self, newest: Publication | None) -> None:
        """Act on what the group published last, as the hub says; None from one of an older version.

        Raises:
            Unavailable: if the hub does not answer.
        """
        if newest is None:
            return
        outcome, refusal = compare(self._own, newest, self.routes), ""
        if outcome != self._outcome:
            _log_outcome(outcome)
            self._outcome = outcome
        if isinstance(outcome, Lost | Withdrawn):
            refusal = await self._publish_again()
            if not refusal:
                return
        self._tell(outcome, refusal)

    async def _publish_again(self) -> str:
        """Publish what the hub dropped or lost; returns why it refuses that, or nothing."""
        refusal = await self._try_apply(self._services)
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


def _to_wanted(service: Service) -> ServiceIn:
    wanted = ServiceIn(
        kind=service.key.kind.value,
        name=service.key.name,
        port=service.port,
        tls_mode=service.tls_mode.value,
    )
    further: dict[str, object] = {}  # fields that a hub of before does not know
    if service.last_port is not None:
        further["last_port"] = service.last_port
    if service.http2:
        further["http2"] = True
    if service.clients is not None:
        further["allow_cidrs"] = list(service.clients.allow)
        further["deny_cidrs"] = list(service.clients.deny)
    return wanted.model_copy(update=further)


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
