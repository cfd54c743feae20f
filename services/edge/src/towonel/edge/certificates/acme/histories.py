"""Histories of all names: in memory, and in the folder, where another process may have added some."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from copy import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from towonel.edge.certificates.acme.authority import OrderError, OrderRefused
from towonel.edge.certificates.acme.history import (
    NO_ORDERS,
    OrderHistory,
    read_all_histories,
    read_histories,
    remove_histories,
    write_history,
)
from towonel.edge.certificates.certificate import Certificate
from towonel.edge.core.certificates.fixes import REVOKED
from towonel.edge.core.certificates.issuance import Refusal, find_retry, trust_time
from towonel.runtime.logs import describe_error
from towonel.wire.names import Hostname

_REASON_CHARS: Final = 300
_OLD: Final = timedelta(days=7)


class Histories:
    """Histories of the orders of names.

    Args:
        folder: of their files.
        clock: tells the time.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._clock = clock
        self._histories: dict[Hostname, OrderHistory] = {}

    def get(self, name: Hostname) -> OrderHistory:
        """Return the history of a name."""
        return self._histories.get(name, NO_ORDERS)

    def names(self) -> set[Hostname]:
        """Return the names that have one."""
        return set(self._histories)

    def forgive(self, name: Hostname) -> None:
        """Let a name be ordered again, whatever failed before, or was revoked; until a restart, unless it is."""
        self._histories[name] = replace(self.get(name), retry_at=0.0, revoked=False)

    async def load(self) -> None:
        """Have all histories that there are."""
        self._histories = await asyncio.to_thread(read_all_histories, self._folder)

    def is_ours(self, certificate: Certificate) -> bool:
        """Tell whether a certificate is the one that was ordered here, not one that was put there by hand."""
        history = self.get(certificate.name)
        return history.issued and history.ends_at in {0.0, certificate.not_after.timestamp()}

    async def learn(self, certificates: Iterable[Certificate]) -> None:
        """Have the histories of certificates that another process has put there, and may have ordered."""
        before = {
            each.name: self._histories.get(each.name)
            for each in certificates
            if each.name not in self._histories
            or (self._histories[each.name].issued and not self.is_ours(each))
        }
        if before:
            found = await asyncio.to_thread(read_histories, self._folder, before)
            for name, history in found.items():
                if self._histories.get(name) is before[name]:  # else it is newer than the file was
                    self._histories[name] = history

    async def forget_old(self) -> None:
        """Forget names that never had a certificate, and were to be tried again long ago: below a wildcard are any."""
        now = self._clock()
        old = [name for name, history in self._histories.items() if _is_old(history, now)]
        for name in old:
            del self._histories[name]
        if old:
            await asyncio.to_thread(remove_histories, self._folder, old)

    def find_recent(self, within_s: float) -> Iterator[Hostname]:
        """Yield the names whose first certificate came within so many seconds."""
        now = self._clock()
        for name, history in self._histories.items():
            first_at = trust_time(history.first_at, now)
            if first_at is not None and (now - first_at).total_seconds() < within_s:
                yield name

    def check(self, name: Hostname) -> None:
        """Refuse a name whose order has failed, until it is to be tried again, or whose certificate was revoked.

        Raises:
            OrderRefused: FAILED_BEFORE, REVOKED.
        """
        history, now = self.get(name), self._clock()
        if history.revoked:
            raise OrderRefused(Refusal.REVOKED, REVOKED)
        retry_at = trust_time(history.retry_at, now)
        if retry_at is not None and now < retry_at:
            again = retry_at.isoformat(timespec="seconds")
            raise OrderRefused(Refusal.FAILED_BEFORE, f"{history.reason}; tried again at {again}")

    async def store(self, name: Hostname, history: OrderHistory) -> None:
        """Remember a history, also over a restart.

        Raises:
            OSError: it cannot be written.
        """
        self._histories[name] = history
        await asyncio.to_thread(write_history, self._folder, name, history)

    async def store_issued(self, name: Hostname, ends_at: datetime) -> None:
        """Remember that a certificate has come; as `store`."""
        now_s = self._clock().timestamp()
        first_at = self.get(name).first_at or now_s
        ends_s = ends_at.timestamp()
        issued = OrderHistory(issued=True, first_at=first_at, issued_at=now_s, ends_at=ends_s)
        await self.store(name, issued)

    async def store_failure(self, name: Hostname, error: Exception) -> OrderHistory:
        """Remember that an order has failed, and return what there is to be said of it."""
        before = self.get(name)
        failures = before.failures + 1
        is_rate_limited = isinstance(error, OrderError) and error.is_rate_limited
        retry_at = self._clock() + find_retry(failures, is_rate_limited=is_rate_limited)
        failed = replace(
            before,
            failures=failures,
            retry_at=retry_at.timestamp(),
            reason=_to_text(error),
        )
        with contextlib.suppress(OSError):  # then it is forgotten at the next start
            await self.store(name, failed)
        return failed


def _is_old(history: OrderHistory, now: datetime) -> bool:
    if history.first_at or not history.failures:
        return False
    retry_at = trust_time(history.retry_at, now)
    return retry_at is None or now - retry_at > _OLD


def _to_text(error: Exception) -> str:
    """Return what an error says, of bounded length; halves of surrogate pairs, as JSON may have them, reach no worker."""
    return describe_error(error)[:_REASON_CHARS].encode(errors="replace").decode()
