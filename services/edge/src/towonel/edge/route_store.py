"""Store of the routes: the table of this edge, and the snapshot file that outlives its process."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

import structlog

from towonel.edge.core.route_table import RouteTable, TableChange
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions
from towonel.edge.snapshot import Snapshot, SnapshotFile
from towonel.runtime.admin import Health
from towonel.runtime.environment.memory_files import describe_lack, need_memory_file
from towonel.runtime.garbage import put_off_collection
from towonel.wire.errors import Code
from towonel.wire.ids import HubId, TenantId
from towonel.wire.routes import RouteDelta

log: structlog.stdlib.BoundLogger = structlog.get_logger()

CHECK = "routes"
SNAPSHOT = "snapshot"  # is degraded while the disk takes no file
MEMORY = "route_memory"  # is degraded while there is no memory for what the hub has sent


class RouteObserver(Protocol):
    """Observer of the table, which ends the clients of routes that went."""

    def change_routes(self, delta: RouteDelta, changed: Collection[str]) -> None:
        """The table has taken a delta, as of `RouteTable.compare`, which changed these routes."""
        ...

    async def replace_routes(self, delta: RouteDelta) -> None:
        """Let the table take the routes of a delta that has many of them, all of which differ.

        Raises:
            OSError: there is no memory for it; the table stays as it is.
        """
        ...


class RouteStore:
    """Store of the table and its file.

    Each change reaches the sessions, the metrics and the health check, too.
    """

    def __init__(
        self,
        table: RouteTable,
        sessions: Sessions,
        plane: RouteObserver,
        file: SnapshotFile,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._table = table
        self._sessions = sessions
        self._plane = plane
        self._file = file
        self._metrics = metrics
        self._health = health
        self._is_unsaved = asyncio.Event()
        self.loaded = asyncio.Event()  # set once there is a table, from the file or the hub
        self.hub_id: HubId | None = None
        health.set(CHECK, ok=False, reason="no routes yet: the hub has not answered")

    async def load(self) -> None:
        """Use the routes of this edge's last run, until the hub has answered.

        Raises:
            GiveUp: there is no memory for them.
        """
        snapshot = await self._file.load()
        if snapshot is not None:
            self.trust(snapshot.hub_id)
            with need_memory_file("the routes of its last run"):
                await self._take(snapshot.routes)
            self._is_unsaved.clear()
            log.info("routes.loaded", revision=snapshot.routes.revision, routes=len(self._table))

    def trust(self, hub_id: HubId) -> None:
        """Accept grants of this hub from now on."""
        if hub_id == self.hub_id:
            return
        if self.hub_id is not None:
            log.warning("hub.changed", hub_id=hub_id.hex(), before=self.hub_id.hex())
        self.hub_id = hub_id
        self._sessions.hub_id = hub_id
        self._is_unsaved.set()

    async def take(self, delta: RouteDelta) -> bool:
        """Apply what the hub sent: end sessions of tenants blocked now, and clients without a route.

        Where that is much, it does not stop the event loop, and whoever is blocked is so at once.

        Returns:
            whether there was memory for it; else the routes stay as they are.
        """
        try:
            changed, blocked = await self._take(delta)
        except OSError as error:
            lack = describe_lack("the routes that the hub has sent", error)
            self._health.set_degraded(MEMORY, reason=f"routes are those before: {lack}")
            if not self.loaded.is_set():
                self._health.set(CHECK, ok=False, reason=f"no routes yet: {lack}")
            return False
        self._health.set_degraded(MEMORY, reason=None)
        if changed or blocked:
            _log(delta, changed, blocked)
        return True

    def apply(self, delta: RouteDelta) -> None:
        """Apply a few changes."""
        change = self._apply(delta)
        if change:
            _log(delta, len(change.changed), change.blocked)

    async def _take(self, delta: RouteDelta) -> tuple[int, Collection[TenantId]]:
        """Apply a delta, and return how many routes it changed, and who is blocked now."""
        if self._table.is_small(delta):
            change = self._apply(delta)
            return len(change.changed), change.blocked
        blocked = self._change(_block(delta, self._table.revision)).blocked
        with put_off_collection():
            difference = await asyncio.to_thread(self._table.copy().compare, delta)
        changed = len(difference.routes) + len(difference.removed)
        if not self._table.is_small(difference):
            await self._plane.replace_routes(difference)
            difference = replace(difference, routes=(), removed=())
            self._is_unsaved.set()
        self._apply(difference)
        return changed, blocked

    def _apply(self, delta: RouteDelta) -> TableChange:
        before = self._table.revision
        change = self._change(delta)
        self._metrics.revision.set(delta.revision)
        self._metrics.routes.set(len(self._table))
        self._health.set(CHECK, ok=True)
        self.loaded.set()
        if change or before != delta.revision:
            self._is_unsaved.set()
        return change

    def _change(self, delta: RouteDelta) -> TableChange:
        difference = self._table.compare(delta)
        change = self._table.apply(difference)
        self._sessions.revoke(change.blocked)
        self._plane.change_routes(difference, change.changed)
        return change

    async def forget(self) -> None:
        """Forget the hub, and all that it has sent: it knows this edge no more, so nobody is to be served.

        Sessions and clients end at once, and agents ask the hub. Whatever it sends later counts again.
        """
        reason = "the hub does not know this edge any more: its invite was revoked"
        if self.hub_id is not None:
            sessions = self._sessions.all()
            log.error("edge.revoked", sessions=len(sessions))
            self.hub_id = self._sessions.hub_id = None
            for session in sessions:
                session.close(Code.EDGE_UNKNOWN)
            await self.take(RouteDelta(revision=0, snapshot=True))
            self._is_unsaved.clear()
            await self._file.remove()
        self._health.set(CHECK, ok=False, reason=reason)

    async def save_changes(self, pause_s: float) -> None:
        """Write the file whenever something has changed, at most once in `pause_s` seconds.

        A disk that takes nothing is tried ten times less often: encoding all routes is work.
        """
        while True:
            await self._is_unsaved.wait()
            is_saved = await self.save()
            await asyncio.sleep(pause_s if is_saved else 10 * pause_s)

    async def save(self) -> bool:
        """Write the file, if something has changed since; return whether the disk takes it."""
        if self.hub_id is None or not self._is_unsaved.is_set():
            return True
        self._is_unsaved.clear()
        hub_id = self.hub_id
        with put_off_collection():
            routes = await asyncio.to_thread(self._table.copy().snapshot)
            if hub_id != self.hub_id:  # forgotten meanwhile
                return True
            problem = await self._file.save(Snapshot(hub_id, routes))
        if problem is not None:
            self._is_unsaved.set()
            problem = f"routes cannot be stored, a restart needs the hub: {problem}"
        self._health.set_degraded(SNAPSHOT, reason=problem)
        return problem is None


def _block(delta: RouteDelta, revision: int | None) -> RouteDelta:
    """Return what of a delta cannot wait."""
    return RouteDelta(revision or 0, snapshot=False, blocked=delta.blocked)


def _log(delta: RouteDelta, changed: int, blocked: Collection[TenantId]) -> None:
    log.info(
        "routes.changed",
        revision=delta.revision,
        changed=changed,
        blocked=[tenant_id.hex() for tenant_id in blocked],
    )
