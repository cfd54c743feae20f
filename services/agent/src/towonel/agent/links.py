"""Pool of links, one to every edge that the hub names: each is dialled again when it ends."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from functools import partial
from random import SystemRandom

import structlog

from towonel.agent.core import refusals
from towonel.agent.core.edges import Edge, plan_links
from towonel.agent.data_plane.flow_plane import FlowPlane
from towonel.agent.data_plane.lanes import Lanes
from towonel.agent.edge_addresses import resolve_edge
from towonel.agent.edge_notices import EdgeNotices
from towonel.agent.leaving_links import LeavingLinks, ends_in, report_failure, wait_going_away
from towonel.agent.metrics import Metrics
from towonel.agent.origins import Origins
from towonel.agent.tcp_links import dial_edge, dial_edge_by_tcp
from towonel.agent.timing import LinkTiming
from towonel.identity.keys import NodeKey
from towonel.runtime.admin import Health
from towonel.runtime.backoff import Backoff
from towonel.runtime.dns.resolver import Resolver
from towonel.tunnel.core.events import HintsRequested, RenewRequested, ServicesRequested
from towonel.tunnel.core.handshake import AgentHandshake
from towonel.tunnel.link import Link
from towonel.wire.errors import Code, TowonelError
from towonel.wire.ids import EdgeId
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import NO_HINTS, BalanceHints, pack

# An edge may have another certificate than the hub named, or have heard of a suspension or its own end first.
_ASK_HUB = frozenset({Code.CERTIFICATE_MISMATCH, Code.TENANT_REVOKED, Code.EDGE_UNKNOWN})
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Links:
    """Pool of links with one task per edge; the hub's answers come by `update_edges` and `renew`.

    `software` tells edges, and through them the hub, what this agent is; `hints` are for load balancers. It
    `is_serving` while clients may come.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        key: NodeKey,
        services: tuple[ServiceKey, ...],
        origins: Origins,
        lanes: Lanes,
        flows: FlowPlane,
        resolver: Resolver,
        metrics: Metrics,
        health: Health,
        timing: LinkTiming,
        software: str,
        hints: BalanceHints = NO_HINTS,
    ) -> None:
        self._tasks = tasks
        self._key = key
        self._services = services
        self._origins = origins
        self._lanes = lanes
        self._flows = flows
        self._resolver = resolver
        self._metrics = metrics
        self._health = health
        self._timing = timing
        self._software = software
        self._hints = hints
        self._grant = b""
        self._edges: dict[EdgeId, Edge] = {}
        self._left_out = 0  # edges of the hub that are not dialled
        self._silent: dict[Link, str] = {}  # over TCP, and what UDP said
        self._tasks_by_edge: dict[EdgeId, asyncio.Task[None]] = {}
        self._failures: dict[EdgeId, str] = {}  # why there is no link, last
        self._links: set[Link] = set()
        self._draining = False
        self.is_outdated = asyncio.Event()  # an edge knows what only the hub can explain
        self._rng = SystemRandom()
        self._notices = EdgeNotices(self.is_outdated.set, self._rng, timing.notice_pause_s)
        self._update_health()

    def renew(self, grant: bytes) -> None:
        """Use a newer grant, on the links there are and on new ones."""
        if grant != self._grant:
            self._grant = grant
            for link in self._links:
                link.channel.request(RenewRequested(grant))

    def change_services(self, services: tuple[ServiceKey, ...]) -> None:
        """Tell edges what this agent serves from now on, on the links there are and on new ones."""
        if services != self._services:
            self._services = services
            for link in self._links:
                self._announce(link)

    def change_hints(self, hints: BalanceHints) -> None:
        """Tell edges other hints for their load balancers, on the links there are and on new ones."""
        self._hints = hints
        for link in self._links:
            link.channel.request(HintsRequested(pack(hints, self._services)))

    def update_edges(self, wanted: Iterable[Edge], *, left_out: int = 0) -> None:
        """Dial edges that are new, leave those that are gone, redial those that changed; `left_out` are not chosen."""
        if self._draining:
            return
        self._left_out = left_out
        changes = plan_links(self._edges, wanted)
        for edge_id in changes.leave:
            self._tasks_by_edge.pop(edge_id).cancel()
            del self._edges[edge_id]
            self._failures.pop(edge_id, None)
            log.info("edge.removed", edge_id=edge_id.hex())
        for edge in changes.dial:
            self._edges[edge.edge_id] = edge
            self._tasks_by_edge[edge.edge_id] = self._tasks.create_task(self._maintain_link(edge))
        self._update_health()

    async def drain(self) -> None:
        """Take no more clients, and return when those that there are have ended."""
        self._draining = True
        for link in self._links:
            link.go_away()
        self._flows.drain()
        await self._lanes.drain()
        await self._origins.in_flight.wait_idle()

    def close(self) -> None:
        """End every link now."""
        self._draining = True
        for task in self._tasks_by_edge.values():
            task.cancel()
        self._tasks_by_edge.clear()
        self._edges.clear()

    async def _maintain_link(self, edge: Edge) -> None:
        """Link to an edge again and again; a new link is there before one that goes away has ended."""
        timing = self._timing
        backoff = Backoff(timing.first_pause_s, timing.max_pause_s, timing.healthy_s)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            leaving = LeavingLinks(tasks)
            while not self._draining:
                started = loop.time()
                try:
                    await self._hold_link(edge, leaving)
                except Exception as error:  # noqa: BLE001 a bug met by one edge ends that link
                    report_failure(error)
                backoff.record_success(loop.time() - started)
                if not self._draining:
                    await asyncio.sleep(backoff.next_delay(self._rng))

    async def _hold_link(self, edge: Edge, leaving: LeavingLinks) -> None:
        """Hold a link until it ends or its edge sends GoAway; over TCP while UDP is blocked."""
        exits = contextlib.AsyncExitStack()
        try:
            link = await self._dial_first(edge, exits)
            while link is not None:
                link, exits = await self._hold_until_replaced(edge, link, exits, leaving)
        finally:
            await exits.aclose()

    async def _dial_first(self, edge: Edge, exits: contextlib.AsyncExitStack) -> Link | None:
        try:
            return await exits.enter_async_context(self._dial(edge))
        except (TowonelError, OSError) as error:
            link = None
            if self._lanes.enabled and refusals.is_silence(error):
                link = await self._dial_again(edge, exits, refusals.describe_link_error(error))
            if link is None:
                self._on_failed(edge, error)
            return link

    async def _hold_until_replaced(
        self,
        edge: Edge,
        link: Link,
        exits: contextlib.AsyncExitStack,
        leaving: LeavingLinks,
    ) -> tuple[Link | None, contextlib.AsyncExitStack]:
        """Hold a link to its end, or until there is a better one: that one is returned.

        While a link goes over TCP, UDP is tried now and then. TCP is tried when the edge answers no
        more on a link over UDP: lanes live until its session is lost, so that no client is refused.
        """
        timing, newer = self._timing, None
        silence = "" if link.is_by_tcp else f"{link.peer}: no answer: is UDP blocked?"
        pauses = Backoff(timing.silence_check_s, timing.max_pause_s, timing.healthy_s)
        if link.is_by_tcp:
            pauses = Backoff(timing.first_udp_s, timing.max_udp_s, timing.healthy_s)
        async with contextlib.AsyncExitStack() as found:
            async with exits, asyncio.TaskGroup() as tasks:
                holding = tasks.create_task(self._hold_open(edge, link, exits, leaving))
                while not await ends_in(holding, pauses.next_delay(self._rng)):
                    if not self._needs_other(link):
                        pauses.record_success(timing.healthy_s)
                    elif newer := await self._dial_again(edge, found, silence):
                        if not holding.done():
                            link.close(Code.SUPERSEDED)
                        break
            return newer, found.pop_all()

    def _needs_other(self, link: Link) -> bool:
        silent_s = link.channel.connection.unanswered_s
        is_silent = silent_s >= self._timing.session.dead_s
        return link.is_by_tcp or (self._lanes.enabled and is_silent)

    async def _dial_again(
        self, edge: Edge, exits: contextlib.AsyncExitStack, silence: str = ""
    ) -> Link | None:
        """Dial an edge over TCP because of that silence, or over QUIC without one."""
        try:
            link = await exits.enter_async_context(self._dial(edge, by_tcp=bool(silence)))
        except (TowonelError, OSError):
            return None
        if silence:
            log.warning("link.by_tcp", **edge.facts, peer=link.peer, detail=silence)
            self._silent[link] = silence
            exits.callback(self._silent.pop, link, None)
            self._update_health()
        return link

    async def _hold_open(
        self, edge: Edge, link: Link, exits: contextlib.AsyncExitStack, leaving: LeavingLinks
    ) -> None:
        facts = {**edge.facts, "peer": link.peer}
        log.info("link.opened", **facts)
        exits.callback(self._on_closed, link, facts)
        self._metrics.links_opened.inc()
        if await wait_going_away(link):
            log.info("link.go_away_received", **facts)
            self._lanes.go_away(link)
            leaving.add(link, exits.pop_all())
            return
        await link.wait_closed()

    def _on_failed(self, edge: Edge, error: TowonelError | OSError) -> None:
        code = error.code if isinstance(error, TowonelError) else Code.SESSION_LOST
        detail = refusals.describe_link_error(error, has_lanes=self._lanes.enabled)
        self._metrics.links_refused.labels(code.word).inc()
        log.warning("link.failed", **edge.facts, code=code.word, detail=detail)
        self._failures[edge.edge_id] = f"{edge.advertised}: {code.word}: {detail}"
        self._update_health()
        self._note_code(code)

    def _on_closed(self, link: Link, facts: Mapping[str, str]) -> None:
        code = link.end_code or Code.NORMAL  # which is of this agent
        self._metrics.links_refused.labels(code.word).inc()
        log.info("link.closed", **facts, code=code.word)
        self._note_code(code)

    def _note_code(self, code: Code) -> None:
        if code in _ASK_HUB:
            self.is_outdated.set()

    @contextlib.asynccontextmanager
    async def _dial(self, edge: Edge, *, by_tcp: bool = False) -> AsyncGenerator[Link]:
        addresses = await resolve_edge(self._resolver, edge.addresses)
        announced = self._services, self._hints
        about = self._services, self._software, self._hints
        handshake = AgentHandshake(self._key, self._grant, *about)
        dialing = dial_edge_by_tcp if by_tcp else partial(dial_edge, self._origins.handle)
        async with dialing(addresses, edge, handshake, self._timing.session) as link:
            self._links.add(link)
            link.observe_edges = self._notices.take
            if announced != (self._services, self._hints):  # changed while this was dialled
                self._announce(link)
            if self._draining:  # dialled before the drain began: the edge does not know of it
                link.go_away()
            self._failures.pop(edge.edge_id, None)
            self._update_health()
            try:
                with self._lanes.hold(link, edge.server_name), self._flows.hold(link):
                    yield link
            finally:
                self._links.discard(link)
                self._update_health()

    def _announce(self, link: Link) -> None:
        """Tell an edge the services, and the hints that name them by their places."""
        link.channel.request(ServicesRequested(self._services))
        link.channel.request(HintsRequested(pack(self._hints, self._services)))

    def _update_health(self) -> None:
        serving = sum(link.is_serving for link in self._links)
        self._metrics.links.set(serving)
        self._metrics.links_by_tcp.set(sum(link.is_by_tcp for link in self._links))
        failures = list(self._failures.values())
        reason = refusals.explain_no_link(len(self._edges), failures, left_out=self._left_out)
        self.is_serving = serving > 0
        self._health.set("edges", ok=self.is_serving, reason=reason)
        silent = [detail for link, detail in self._silent.items() if link.is_serving]
        self._health.set_degraded("udp", reason=refusals.explain_silence(silent, len(self._edges)))
