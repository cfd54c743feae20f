"""Reader and writer of a tenant's log of signed entries, which others may write at the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from random import SystemRandom

from towonel.client.hub import HubClient
from towonel.identity.keys import TenantKey
from towonel.identity.legacy.entries import sign_entry
from towonel.runtime.backoff import Backoff
from towonel.wire.errors import Code, Denied, TowonelError, Unavailable
from towonel.wire.legacy.entries import ENTRY_VERSION, EntryPayload, decode_payload
from towonel.wire.legacy.ops import (
    DeleteHostname,
    DeleteTcpService,
    DeleteUdpService,
    Op,
    RevokeAgent,
    SetHostnameTls,
    UpsertAgent,
    UpsertHostname,
    UpsertTcpService,
    UpsertUdpService,
)

ATTEMPTS = 10  # the original's
FIRST_DELAY_S, MAX_DELAY_S = 0.05, 2.0  # the original's
MAX_RETRY_AFTER_S = 30.0  # longer than people wait in front of a terminal

# In this order: names first, so that no client is sent to an agent that is gone.
_WITHDRAWALS = (DeleteHostname, DeleteTcpService, DeleteUdpService, RevokeAgent)


def withdrawals(ops: Iterable[Op]) -> list[Op]:
    """Return the operations that withdraw all that a log publishes.

    Args:
        ops: of the log, the oldest first.
    """
    remaining: dict[Op, None] = {}
    for op in ops:
        withdrawal = _withdrawal_of(op)
        remaining.pop(withdrawal, None)
        if not isinstance(op, _WITHDRAWALS):
            remaining[withdrawal] = None
    return sorted(remaining, key=lambda op: _WITHDRAWALS.index(type(op)))


def _withdrawal_of(op: Op) -> Op:
    """Return the operation that removes the subject of `op`; itself if it does."""
    match op:
        case UpsertHostname(hostname) | SetHostnameTls(hostname) | DeleteHostname(hostname):
            return DeleteHostname(hostname.lower())
        case UpsertTcpService(service):
            return DeleteTcpService(service)
        case UpsertUdpService(service):
            return DeleteUdpService(service)
        case UpsertAgent(agent_id):
            return RevokeAgent(agent_id)
        case _:
            return op


class TenantLog:
    """Log of a tenant whose key is here.

    Args:
        hub: the client of the hub that keeps it.
        tenant: the key that signs.
        first_delay_s: before the second try; it doubles with each.
        max_delay_s: at most.
    """

    def __init__(
        self,
        hub: HubClient,
        tenant: TenantKey,
        *,
        first_delay_s: float = FIRST_DELAY_S,
        max_delay_s: float = MAX_DELAY_S,
    ) -> None:
        self._hub = hub
        self._tenant = tenant
        self._delays_s = first_delay_s, max_delay_s
        self._last: int | None = None

    async def read(self) -> list[EntryPayload]:
        """Return all current entries, by sequence.

        Raises:
            TowonelError: as `Entries.list`; a log that cannot be read is never empty.
        """
        return await self._retry(self._read)

    async def append(self, op: Op) -> int:
        """Add an entry after all others, and return its sequence.

        Raises:
            TowonelError: as `Entries.submit`; SEQUENCE_CONFLICT only where another
                writer was faster ten times.
        """
        return await self._retry(lambda: self._submit(op))

    async def _read(self) -> list[EntryPayload]:
        entries = await self._hub.entries.list(self._tenant)
        payloads = [decode_payload(entry.payload) for entry in entries]
        self._last = max((payload.sequence for payload in payloads), default=0)
        return payloads

    async def _submit(self, op: Op) -> int:
        if self._last is None:
            await self._read()
        tenant, now_ms = self._tenant, time.time_ns() // 1_000_000
        sequence = (self._last or 0) + 1
        payload = EntryPayload(ENTRY_VERSION, tenant.tenant_id, sequence, now_ms, op)
        try:
            self._last = await self._hub.entries.submit(sign_entry(tenant, payload))
        except Denied as error:
            if error.code is Code.SEQUENCE_CONFLICT:
                self._last = None
            raise
        return self._last

    async def _retry[T](self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again where another writer was faster, or the hub limits the rate."""
        backoff, rng = Backoff(*self._delays_s), SystemRandom()
        for _ in range(ATTEMPTS - 1):
            try:
                return await ask()
            except TowonelError as error:
                delay_s = _retry_after_s(error)
                if delay_s is None:
                    raise
                await asyncio.sleep(max(delay_s, backoff.next_delay(rng)))
        return await ask()


def _retry_after_s(error: TowonelError) -> float | None:
    """Return the least time to wait, or None if a retry is of no use."""
    match error:
        # Replayed: another command of this tenant signed in the same millisecond.
        case Denied(code=Code.SEQUENCE_CONFLICT | Code.REPLAYED):
            return 0
        case Unavailable(code=Code.RATE_LIMITED):
            return min(error.retry_after_s or 0, MAX_RETRY_AFTER_S)
        case _:
            return None
