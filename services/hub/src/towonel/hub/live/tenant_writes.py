"""Admission of the writes of tenants: a few of each at once, and some that wait.

Writes are serialized, and first come, first served: a tenant with many agents, or with many addresses,
would have those of all others wait behind its own.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from weakref import WeakValueDictionary

from towonel.hub.bounds import Bounds
from towonel.hub.core.places import KeyedPlaces
from towonel.wire.errors import Code, Unavailable


class TenantWrites:
    """Admission of writes; ask for it once the tenant, or its agent, has proved itself.

    Args:
        bounds: of the hub.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        most = bounds.tenant_writes + bounds.waiting_tenant_writes
        self._requests = KeyedPlaces(most, "requests of this tenant", retry_after_s=1)
        self._running = WeakValueDictionary[bytes, asyncio.Semaphore]()

    @contextlib.asynccontextmanager
    async def admit(self, tenant_id: bytes) -> AsyncGenerator[None]:
        """Wait until a tenant may write, and hold its place for the time of the block.

        Raises:
            Unavailable: RATE_LIMITED where too many requests of the tenant wait already,
                HUB_UNAVAILABLE where those before it take too long.
        """
        with self._requests.hold(tenant_id):
            running = self._running.get(tenant_id)
            if running is None:
                running = asyncio.Semaphore(self._bounds.tenant_writes)
                self._running[tenant_id] = running
            try:
                async with asyncio.timeout(self._bounds.tenant_write_wait_s):
                    await running.acquire()
            except TimeoutError as error:
                detail = "database: busy with earlier requests of this tenant"
                raise Unavailable(Code.HUB_UNAVAILABLE, detail, retry_after_s=2) from error
            try:
                yield
            finally:
                running.release()
