"""Issuer of certificates: orders one where it is wanted and may be had, and renews those that it has ordered.

a client waits ──┐
a name appears ──┼─▶ may it be ordered? ──▶ order, in a thread ──▶ files ──▶ store ──▶ workers
a third is left ─┘        └─▶ refused: workers are told why
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from copy import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, override

import structlog

from towonel.edge.certificates.acme.authority import OrderError
from towonel.edge.certificates.acme.history import (
    NO_ORDERS,
    OrderHistory,
    read_histories,
    write_history,
)
from towonel.edge.certificates.acme.threads import call_in_thread
from towonel.edge.certificates.certificate import CertificateError, parse_certificate
from towonel.edge.certificates.store import CertificateSource, CertificateStore
from towonel.edge.core.issuance import find_renewal, find_retry
from towonel.edge.credentials import read_clock, to_datetime
from towonel.edge.metrics import Metrics
from towonel.tunnel.core.bounds.keyed_buckets import KeyedBuckets
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

MAX_ORDERS: Final = 8  # at once
MAX_IN_FLIGHT: Final = 512  # names that are ordered, or wait for it
MAX_EAGER: Final = 10_000
HOUR_S: Final = 3600.0
# Of one authority's account there are 300 in three hours; no tenant, and no stranger, is to take them all.
PER_TENANT: Final = 200
PER_SOURCE: Final = 20
LOOK_S: Final = 30.0
_PRESENT_S: Final = 10.0
_REASON_CHARS: Final = 300

log: structlog.stdlib.BoundLogger = structlog.get_logger()

type Order = Callable[[str, Callable[[bytes | None], None]], tuple[bytes, bytes]]
type FindTenant = Callable[[Hostname], TenantId | None]


class Issuer(CertificateSource):
    """Issuer of certificates.

    Args:
        order: orders a certificate of a name in a thread, and shows the challenge meanwhile.
        store: of certificates.
        folder: of their files.
        find_tenant: returns whose name it is, if TLS of that ends here and an agent serves it now.
        metrics: count orders.
        eager: whether one is ordered before a client comes.
        clock: tells the time.
    """

    def __init__(
        self,
        order: Order,
        store: CertificateStore,
        folder: Path,
        find_tenant: FindTenant,
        metrics: Metrics,
        *,
        eager: bool = True,
        clock: Callable[[], datetime] = read_clock,
    ) -> None:
        self._order = order
        self._store = store
        self._folder = folder
        self._find_tenant = find_tenant
        self._metrics = metrics
        self._is_eager = eager
        self._clock = clock
        self._histories: dict[Hostname, OrderHistory] = {}
        self._in_flight: dict[Hostname, asyncio.Task[None]] = {}
        self._eager: dict[Hostname, None] = {}
        self._changed = asyncio.Event()
        self._places = asyncio.Semaphore(MAX_ORDERS)
        self._tenants = KeyedBuckets[TenantId](PER_TENANT / (3 * HOUR_S), PER_TENANT, 4096)
        self._sources = KeyedBuckets[str](PER_SOURCE / HOUR_S, PER_SOURCE, 4096)
        self._tasks: asyncio.TaskGroup | None = None

    @contextlib.asynccontextmanager
    async def run(self, look_s: float = LOOK_S) -> AsyncGenerator[None]:
        """Issue certificates for the time of the block, and look every `look_s` what is to be renewed."""
        self._histories = await asyncio.to_thread(read_histories, self._folder)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            looking = tasks.create_task(self._look_on(look_s))
            try:
                yield
            finally:
                self._tasks = None
                looking.cancel()
                for task in tuple(self._in_flight.values()):
                    task.cancel()

    @override
    def want(self, name: Hostname, source: str) -> None:
        """Order the certificate that a client of a source waits for, or tell workers why there is none."""
        if name in self._in_flight:
            return
        tenant = self._find_tenant(name)
        if tenant is None:
            reason: str | None = "no agent publishes it with terminate"
        else:
            reason = self._refuse(name, tenant, source)
        if reason is None:
            self._start(name)
        else:
            self._metrics.certificate_orders.labels("refused").inc()
            self._store.refuse(name, reason)

    @override
    def consider(self, names: Iterable[Hostname]) -> None:
        """Order certificates of names before a client comes, if they are served here and have none."""
        if self._is_eager:
            for name in names:
                if not name.startswith("*") and len(self._eager) < MAX_EAGER:
                    self._eager[name] = None
            self._changed.set()

    def _refuse(self, name: Hostname, tenant: TenantId, source: str | None) -> str | None:
        """Return why a certificate is not ordered now, if it is not."""
        history, now_s = self._histories.get(name, NO_ORDERS), time.monotonic()
        if self._clock().timestamp() < history.retry_at:
            return f"{history.reason}; tried again at {_show(history.retry_at)}"
        if self._tasks is None or len(self._in_flight) >= MAX_IN_FLIGHT:
            return "as many certificates are ordered as can be"
        if source is not None and not self._sources.take(source, now_s):
            return f"clients of {source} had too many ordered within an hour"
        if not self._tenants.take(tenant, now_s):
            return "too many were ordered for the tenant within three hours"
        return None

    async def _look_on(self, look_s: float) -> None:
        while True:
            self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(look_s):
                    await self._changed.wait()
            self._changed.clear()

    def _look(self) -> None:
        """Start the orders that it is time for; one that is refused now has its turn later."""
        now, certificates = self._clock(), self._store.certificates
        for name in [*self._eager, *certificates]:
            found = certificates.get(name)
            is_due = found is None or (
                now >= find_renewal(name, found.not_before, found.not_after)
                and self._histories.get(name, NO_ORDERS).issued
            )
            tenant = self._find_tenant(name) if is_due and name not in self._in_flight else None
            if tenant is None:
                self._eager.pop(name, None)
            elif self._refuse(name, tenant, None) is None:
                self._eager.pop(name, None)
                self._start(name)

    # Orders.

    def _start(self, name: Hostname) -> None:
        assert self._tasks is not None, "it is refused before"
        task = self._tasks.create_task(self._issue(name))
        self._in_flight[name] = task
        task.add_done_callback(lambda _: self._in_flight.pop(name, None))

    async def _issue(self, name: Hostname) -> None:
        try:
            async with self._places:
                await self._issue_now(name)
        except (OrderError, CertificateError, OSError) as error:
            await self._fail(name, error)
        else:
            self._metrics.certificate_orders.labels("issued").inc()

    async def _issue_now(self, name: Hostname) -> None:
        history = self._histories.get(name, NO_ORDERS)
        await self._remember(name, history)  # what cannot be stored is not ordered
        loop = asyncio.get_running_loop()

        def present(pem: bytes | None) -> None:
            presented = asyncio.run_coroutine_threadsafe(self._present(name, pem), loop)
            if pem is not None:  # the authority looks soon
                presented.result(_PRESENT_S)

        pair = await call_in_thread(partial(self._order, name, present))
        parse_certificate(name, *pair)
        await self._remember(name, OrderHistory(issued=True))
        await self._store.put(self._folder, name, *pair)
        log.info("certificate.issued", name=name)

    async def _present(self, name: Hostname, pem: bytes | None) -> None:
        self._store.show_challenge(name, pem or b"")

    async def _fail(self, name: Hostname, error: Exception) -> None:
        history = self._histories.get(name, NO_ORDERS)
        failures = history.failures + 1
        is_rate_limited = isinstance(error, OrderError) and error.is_rate_limited
        retry_at = self._clock() + find_retry(failures, is_rate_limited=is_rate_limited)
        reason = str(error)[:_REASON_CHARS]
        with contextlib.suppress(OSError):  # then it is forgotten at the next start
            await self._remember(
                name,
                replace(history, failures=failures, retry_at=retry_at.timestamp(), reason=reason),
            )
        log.warning(
            "certificate.order_failed", name=name, reason=reason, retry_at=retry_at.isoformat()
        )
        self._metrics.certificate_orders.labels("failed").inc()
        self._store.refuse(name, reason)

    async def _remember(self, name: Hostname, history: OrderHistory) -> None:
        self._histories[name] = history
        await asyncio.to_thread(write_history, self._folder, name, history)


def _show(seconds: float) -> str:
    return to_datetime(int(seconds * 1000)).isoformat(timespec="seconds")
