"""Issuer of certificates: orders one where it is wanted and may be had, and renews those that it has ordered.

a client waits ──┐
a name appears ──┼─▶ queue ──▶ may it be ordered? ──▶ order, in a thread ──▶ files ──▶ store ──▶ workers
a third is left ─┘                └─▶ refused: workers are told why
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, override

import structlog

from towonel.edge.certificates.acme.authority import OrderRefused
from towonel.edge.certificates.acme.budgets import WEEK_S, Budgets
from towonel.edge.certificates.acme.histories import Histories
from towonel.edge.certificates.acme.order_lock import hold_order
from towonel.edge.certificates.acme.ordering import Order, Ordering
from towonel.edge.certificates.acme.refused_names import RefusedNames
from towonel.edge.certificates.acme.renewal_times import RenewalTimes
from towonel.edge.certificates.acme.renewals import Suggest
from towonel.edge.certificates.certificate import CertificateError, parse_certificate
from towonel.edge.certificates.files import MAX_CERTIFICATES
from towonel.edge.certificates.sources import CertificateSource
from towonel.edge.certificates.store import CertificateStore
from towonel.edge.core.certificates.fixes import NO_AGENT
from towonel.edge.core.certificates.issuance import Refusal
from towonel.edge.core.certificates.order_queue import OrderQueue
from towonel.edge.credentials import read_clock
from towonel.edge.metrics import Metrics
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

MAX_ORDERS: Final = 8  # at once
RESERVED_ORDERS: Final = 2  # of these, for names that clients wait for
MAX_QUEUED: Final = 512  # names that clients wait for, half of them of one tenant; and others
MAX_EAGER: Final = 10_000
LOOK_S: Final = 30.0
# For so long a name that may not be ordered is not looked at again, for clients and ahead of them.
REFUSED_S: Final = 10.0
REFUSED_EAGER_S: Final = 300.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()

type FindTenant = Callable[[Hostname], TenantId | None]
type Check = Callable[[Hostname], Awaitable[None]]


class Issuer(CertificateSource):
    """Issuer of certificates.

    Args:
        order: orders a certificate of a name in a thread, and shows the challenge meanwhile.
        store: of certificates.
        folder: of their files.
        find_tenant: returns whose name it is, if TLS of that ends here and an agent serves it now.
        budgets: of orders.
        metrics: count orders.
        check: raises OrderRefused where a name leads elsewhere; None for no check.
        suggest: asks when a certificate is to be renewed, in a thread; None for never.
        eager: whether one is ordered before a client comes.
        refused_s: for which clients of a name get the reason for which it was not ordered.
        clock: tells the time.

    Attributes:
        histories, queue, refused: of names: what came of their orders, what is ordered, and what not.
        times: when certificates are renewed.
    """

    def __init__(
        self,
        order: Order,
        store: CertificateStore,
        folder: Path,
        find_tenant: FindTenant,
        budgets: Budgets,
        metrics: Metrics,
        *,
        check: Check | None = None,
        suggest: Suggest | None = None,
        eager: bool = True,
        refused_s: float = REFUSED_S,
        clock: Callable[[], datetime] = read_clock,
    ) -> None:
        self._ordering = Ordering(order, store, folder, clock)
        self._store, self._folder = store, folder
        self._find_tenant = find_tenant
        self._budgets = budgets
        self._check = check
        self._metrics = metrics
        self._is_eager, self._refused_s, self._clock = eager, refused_s, clock
        self.histories = Histories(folder, clock)
        self.times = RenewalTimes(self.histories, store.certificates.values, suggest, clock)
        self.refused = RefusedNames()
        self.queue = OrderQueue[Hostname, TenantId](MAX_ORDERS, RESERVED_ORDERS, MAX_QUEUED)
        self._forced: set[Hostname] = set()  # are renewed before their time
        self._running: set[asyncio.Task[None]] = set()
        self._eager: dict[Hostname, None] = {}
        self._new: dict[Hostname, None] = {}  # of these, since the last look
        self._changed = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        metrics.certificate_orders_queued.set_function(lambda: len(self.queue))

    @contextlib.asynccontextmanager
    async def run(self, look_s: float = LOOK_S) -> AsyncGenerator[None]:
        """Issue certificates for the time of the block, and look every `look_s` what is to be renewed."""
        await self.histories.load()
        self._budgets.restore(self.histories.find_recent(WEEK_S))
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            following = [tasks.create_task(self._look_on(look_s))]
            if self.times.renewals is not None:
                following.append(tasks.create_task(self.times.renewals.follow(look_s)))
            try:
                yield
            finally:
                self._tasks = None
                for task in (*following, *self._running):
                    task.cancel()

    @override
    def want(self, name: Hostname, source: str) -> None:
        """Order the certificate that a client of a source waits for, or tell workers why there is none."""
        try:
            self._accept(name, source)
        except OrderRefused as refused:
            self._count(refused)
            of = source if refused.refusal is Refusal.SOURCE else ""
            self._store.refuse(name, str(refused), of)
        else:
            self._start()

    def _accept(self, name: Hostname, source: str) -> None:
        """Take a name that a client waits for into the queue, or move it up there.

        Raises:
            OrderRefused: it is not to be ordered now.
        """
        if name in self.queue:
            self.queue.move_up(name)
            return
        owner = self._find_owner(name)
        self._check_past(name, self._refused_s)
        if self._tasks is None or not self.queue.has_room_for(owner):
            raise OrderRefused(Refusal.QUEUE, "as many certificates are ordered as can be")
        self._budgets.take_source(source)
        self.queue.add_waited_for(name, owner)

    def _check_past(self, name: Hostname, within_s: float) -> None:
        """Refuse a name whose order has failed, or that was refused within so many seconds."""
        self.histories.check(name)
        self.refused.check(name, within_s)

    def _find_owner(self, name: Hostname) -> TenantId:
        tenant = self._find_tenant(name)
        if tenant is None:
            raise OrderRefused(Refusal.NOT_PUBLISHED, NO_AGENT)
        return tenant

    @override
    def consider(self, names: Iterable[Hostname]) -> None:
        """Order certificates of names before a client comes, if they are served here and have none."""
        if self._is_eager:
            for name in names:
                if not name.startswith("*") and len(self._eager) < MAX_EAGER:
                    self._eager[name] = self._new[name] = None
            self._changed.set()

    async def _look_on(self, look_s: float) -> None:
        while True:
            await self.histories.forget_old()
            await self.histories.learn([*self._store.certificates.values()])
            self._look([*self._eager, *self._store.certificates])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(look_s):
                    await self._look_at_new()

    async def _look_at_new(self) -> None:
        """Look at names as they appear: at these alone, since agents come and go often, and certificates are many."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            names = list(self._new)
            self._new.clear()
            self._look(names)

    def _look(self, names: Iterable[Hostname]) -> None:
        """Queue the orders that it is time for; one that may not be made now has its turn later."""
        now = self._clock()
        for name in names:
            if name in self.queue:
                continue
            if not self._is_due(name, now) or (owner := self._find_tenant(name)) is None:
                self._eager.pop(name, None)
            else:
                with contextlib.suppress(OrderRefused):
                    self._check_past(name, REFUSED_EAGER_S)
                    self.queue.add_eager(name, owner)
        self._start()

    def _is_due(self, name: Hostname, now: datetime) -> bool:
        """Tell whether a name has no certificate, or one that was ordered here and is to be renewed."""
        found = self._store.certificates.get(name)
        if found is None or name in self._forced:
            return True
        renews_at = self.times.find(found)
        return renews_at is not None and now >= renews_at

    def order_now(self, name: Hostname) -> None:
        """Order a certificate before its time, and whatever failed before.

        Raises:
            OrderRefused: it cannot be ordered now.
        """
        owner = self._find_owner(name)
        if self._tasks is None or not self.queue.has_room_for(owner):
            raise OrderRefused(Refusal.QUEUE, "as many certificates are ordered as can be")
        self.histories.forgive(name)
        self.refused.forget(name)
        self._forced.add(name)
        self.queue.move_up(name)
        self.queue.add_waited_for(name, owner)
        self._start()

    def _start(self) -> None:
        """Begin the orders that there are places for."""
        while self._tasks is not None and (name := self.queue.take()) is not None:
            task = self._tasks.create_task(self._issue(name))
            self._running.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    async def _issue(self, name: Hostname) -> None:
        reason = await self._try(name)
        self._forced.discard(name)
        self.queue.end(name)  # a client who comes from now on asks anew
        if reason is not None:
            self._store.refuse(name, reason)

    async def _try(self, name: Hostname) -> str | None:
        """Order, if it is still time for that, and return why there is no certificate, if there is none."""
        try:
            async with hold_order(self._folder, name):
                await self._store.load_name(self._folder, name)  # another process may have had it
                if self._is_due(name, self._clock()):
                    await self._issue_now(name)
        except OrderRefused as refused:
            return self._refuse(name, refused)
        except Exception as error:  # noqa: BLE001 what is wrong with one name must not end the edge
            return await self._fail(name, error)
        return None

    async def _issue_now(self, name: Hostname) -> None:
        """Order, if nothing is against it, and have what comes."""
        history = self.histories.get(name)
        if not self._store.has_room_for(name):
            raise OrderRefused(Refusal.FOLDER, f"the folder has {MAX_CERTIFICATES} certificates")
        if self._check is not None:
            await self._check(name)
        self._budgets.take(self._find_owner(name), name, is_renewal=history.issued)
        try:
            await self.histories.store(name, history)  # what cannot be stored is not ordered
            replaced = self._store.certificates.get(name) if history.issued else None
            pair = await self._ordering.fetch(name, replaced)
        except BaseException:
            if not history.issued:
                self._budgets.put_back(name)
            raise
        await self.histories.store_issued(name, parse_certificate(name, *pair).not_after)
        self.refused.forget(name)
        await self._store.put(self._folder, name, *pair)
        if name not in self._store.certificates:
            raise CertificateError("it was issued, and cannot be loaded from the folder")
        log.info("certificate.issued", name=name)
        self._metrics.certificate_orders.labels("issued").inc()

    async def _fail(self, name: Hostname, error: Exception) -> str:
        self._budgets.note_failure(name, error)
        failed = await self.histories.store_failure(name, error)
        retry_at = datetime.fromtimestamp(failed.retry_at, UTC).isoformat()
        log.warning("certificate.order_failed", name=name, reason=failed.reason, retry_at=retry_at)
        self._metrics.certificate_orders.labels("failed").inc()
        return failed.reason

    def _refuse(self, name: Hostname, refused: OrderRefused) -> str:
        """Remember why a name is not ordered, for clients that come within some seconds."""
        if self.refused.add(name, refused):
            log.warning("certificate.order_refused", name=name, reason=str(refused))
        self._count(refused)
        return str(refused)

    def _count(self, refused: OrderRefused) -> None:
        self._metrics.certificate_orders.labels("refused").inc()
        self._metrics.certificate_orders_refused.labels(refused.refusal).inc()
