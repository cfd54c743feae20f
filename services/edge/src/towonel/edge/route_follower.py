"""Replication of the hub's routes: register, poll for changes, apply them, save them to disk.

Without Redis the hub holds each poll until there is a change (long polling). With Redis the edge
polls when it is notified, and every 15 s all the same. While the hub is unreachable the table stays
as it is; the edge goes on serving. A hub that cannot write takes no registration, but has routes.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from random import Random
from typing import Protocol

import structlog

from towonel.api.edges import EdgeRegisterIn, EdgeRegisterOut
from towonel.api.health import HealthOut
from towonel.edge.edge_notices import EdgeNotices
from towonel.edge.metrics import Metrics
from towonel.edge.route_notifications import RedisNotifications
from towonel.edge.route_store import RouteStore
from towonel.edge.timing import RouteTiming
from towonel.identity.keys import NodeKey
from towonel.runtime.admin import Health
from towonel.runtime.backoff import Backoff
from towonel.runtime.garbage import put_off_collection
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.ids import HubId
from towonel.wire.routes import RouteDelta

log: structlog.stdlib.BoundLogger = structlog.get_logger()

HUB, REGISTRATION = "hub", "registration"  # what is degraded


class RouteSource(Protocol):
    """Source of routes; `towonel.client.hub.HubClient` is one."""

    async def health(self) -> HealthOut:
        """Return the hub's id."""
        ...

    async def register_edge(self, edge: NodeKey, registration: EdgeRegisterIn) -> EdgeRegisterOut:
        """Register an edge and its addresses."""
        ...

    async def follow_routes(
        self, edge: NodeKey, since: int | None, wait_s: int = 0, tag: bytes | None = None
    ) -> RouteDelta:
        """Return what changed since a revision with a tag, after at most `wait_s` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Registration:
    """Registration of this edge with the hub: the key that signs it, and its body."""

    key: NodeKey
    body: EdgeRegisterIn


class RouteFollower:
    """Follower of the hub's routes, which polls for ever.

    Args:
        hub: where to poll.
        registration: of this edge.
        routes: takes the answers.
        notices: tell agents when the hub lists other edges.
        notifications: may say that there is a change to poll for.
        metrics: shows whether the hub answers.
        health: the same.
        clock: seconds, monotonic.
        rng: spreads the retries of many edges.
        timing: the timers.
    """

    def __init__(
        self,
        hub: RouteSource,
        registration: Registration,
        routes: RouteStore,
        notices: EdgeNotices,
        notifications: RedisNotifications,
        metrics: Metrics,
        health: Health,
        *,
        clock: Callable[[], float],
        rng: Random,
        timing: RouteTiming,
    ) -> None:
        self._hub = hub
        self._registration = registration
        self._routes = routes
        self._notices = notices
        self._notifications = notifications
        self._metrics = metrics
        self._health = health
        self._clock = clock
        self._rng = rng
        self._timing = timing
        self._since: int | None = None  # the first answer is whole: the hub may be another one now
        self._tag: bytes | None = None  # of the revision `_since`
        self._register_at = float("-inf")
        self._started_at = clock()
        self._interval_s = timing.min_interval_s
        self._was_notified = False
        self._was_reached = self._is_away = False
        self._failure: Code | None = None

    async def follow(self) -> None:
        """Poll for ever; while the hub is unreachable or refuses, poll less often."""
        timing = self._timing
        backoff = Backoff(timing.first_pause_s, timing.max_pause_s)
        while True:
            polled_at, known = self._clock(), (self._since, self._tag)
            try:
                is_taken = await self._poll()
            except TowonelError as error:
                self._on_failed(error)
                if error.code is Code.EDGE_UNKNOWN:
                    await self._routes.forget()
                pause_s = backoff.next_delay(self._rng)
                retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
                await asyncio.sleep(max(pause_s, min(retry_after_s or 0.0, timing.poll_every_s)))
            else:
                backoff.record_success(0)
                self._on_recovered()
                if is_taken:
                    await self._wait_after(polled_at, has_changed=known != (self._since, self._tag))
                else:
                    await asyncio.sleep(timing.poll_every_s)

    async def _wait_after(self, polled_at: float, *, has_changed: bool) -> None:
        """Wait until the next poll: notifications that nothing explains are followed less and less."""
        timing = self._timing
        self._interval_s = min(2 * self._interval_s, timing.max_interval_s)
        if has_changed:
            self._interval_s = timing.min_interval_s
        if self._notifications.is_listening:
            is_explained = has_changed or not self._was_notified
            wait_s = timing.poll_every_s if is_explained else timing.recheck_s
            self._was_notified = await self._notifications.wait(wait_s)
        await asyncio.sleep(polled_at + self._interval_s - self._clock())

    async def _poll(self) -> bool:
        """Ask for changes, and return whether the routes could take them."""
        if self._clock() >= self._register_at:
            await self._register()
        key = self._registration.key
        # The first answer has all routes, and comes at once.
        with put_off_collection() if self._since is None else contextlib.nullcontext():
            delta = await self._hub.follow_routes(key, self._since, self._long_poll_s(), self._tag)
        if not await self._routes.take(delta):
            return False
        self._since, self._tag = delta.revision, delta.tag
        await self._notices.follow(delta.edge_list)
        return True

    def _long_poll_s(self) -> int:
        """Return how long the hub may hold the next poll: not beyond the next registration.

        The first answer must not wait for a second change, nor that of a hub that is back: it shows
        that the hub answers. With notifications no poll need wait.
        """
        if self._since is None or self._is_away or self._notifications.is_listening:
            return 0
        until_register_s = ceil(self._register_at - self._clock())
        return max(min(self._timing.long_poll_s, until_register_s), 1)

    async def _register(self) -> None:
        """Register, and learn whose grants to accept; a hub that cannot write tells that all the same."""
        try:
            answer = await self._hub.register_edge(self._registration.key, self._registration.body)
        except Unavailable as error:
            if self._routes.hub_id is None:
                self._trust(HubId((await self._hub.health()).node_id))
            self._register_at = self._clock() + self._timing.register_retry_s
            reason = f"the hub takes no registration ({error}): agents may not find this edge"
            self._health.set_degraded(REGISTRATION, reason=reason)
            return
        self._trust(HubId(answer.hub_node_id))
        self._register_at = self._clock() + self._timing.register_every_s
        self._health.set_degraded(REGISTRATION, reason=None)
        log.debug("edge.registered", hub_id=answer.hub_node_id.hex(), revision=answer.revision)

    def _trust(self, hub_id: HubId) -> None:
        if hub_id != self._routes.hub_id:
            self._since = self._tag = None
        self._routes.trust(hub_id)

    def _on_failed(self, error: TowonelError) -> None:
        """Register again once the hub is back: it may have forgotten, or be another."""
        self._register_at, self._is_away = float("-inf"), True
        self._health.set_degraded(REGISTRATION, reason=None)  # what follows says more
        self._metrics.hub_reachable.set(0)
        is_away = isinstance(error, Unavailable)
        what = "does not answer" if is_away else f"refuses this edge ({error})"
        self._health.set_degraded(HUB, reason=f"the hub {what}: routes are those it told last")
        if error.code is self._failure or (is_away and self._is_starting()):
            return
        self._failure = error.code
        if is_away:
            log.warning("hub.unreachable", code=error.code.word, detail=error.detail)
        else:
            log.error("hub.refused", code=error.code.word, detail=error.detail)

    def _is_starting(self) -> bool:
        """Whether the hub may just not be up yet: both often start together."""
        waited_s = self._clock() - self._started_at
        return not self._was_reached and waited_s < self._timing.start_s

    def _on_recovered(self) -> None:
        self._was_reached, self._is_away = True, False
        self._metrics.hub_reachable.set(1)
        self._health.set_degraded(HUB, reason=None)
        if self._failure is not None:
            log.info("hub.reachable")
        self._failure = None
