"""Budgets of certificate orders: what one source of clients, one tenant and one registered domain may cause."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Final

from publicsuffixlist import PublicSuffixList

from towonel.edge.certificates.acme.authority import OrderError, OrderRefused
from towonel.edge.core.certificates.issuance import Refusal
from towonel.tunnel.core.bounds.keyed_buckets import KeyedBuckets
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

HOUR_S: Final = 3600.0
WEEK_S: Final = 7 * 24 * HOUR_S
# Of one authority's account there are 300 in three hours; no tenant, and no stranger, is to take them all.
PER_TENANT: Final = 200
PER_SOURCE: Final = 20
MAX_KEYS: Final = 4096  # of each kind
PAUSE_S: Final = 15 * 60.0  # of new orders, once an authority takes no more of the account


class Budgets:
    """Budgets of one edge.

    Args:
        per_domain: names of a registered domain within a week that had no certificate; 0 is any number.
        clock: seconds, monotonic.
    """

    def __init__(self, per_domain: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._suffixes = PublicSuffixList()
        self._sources = KeyedBuckets[str](PER_SOURCE / HOUR_S, PER_SOURCE, MAX_KEYS)
        self._tenants = KeyedBuckets[TenantId](PER_TENANT / (3 * HOUR_S), PER_TENANT, MAX_KEYS)
        self._paused_until = float("-inf")
        self._domains: KeyedBuckets[str] | None = None
        if per_domain:
            self._domains = KeyedBuckets(per_domain / WEEK_S, per_domain, MAX_KEYS)

    def restore(self, names: Iterable[Hostname]) -> None:
        """Count names that got their first certificate within the last week, before this process began."""
        for name in names:
            if self._domains is not None:
                self._domains.take(self._find_domain(name), self._clock())

    def take_source(self, source: str) -> None:
        """Count a name that a client of a source asks for.

        Raises:
            OrderRefused: SOURCE.
        """
        if not self._sources.take(source, self._clock()):
            reason = f"clients of {source} had too many ordered within an hour"
            raise OrderRefused(Refusal.SOURCE, reason)

    def take(self, tenant: TenantId, name: Hostname, *, is_renewal: bool) -> None:
        """Count an order; a renewal, which authorities do not limit by domain, is one of its tenant only.

        Raises:
            OrderRefused: ACCOUNT, TENANT, DOMAIN.
        """
        now_s = self._clock()
        if not is_renewal and now_s < self._paused_until:
            minutes = math.ceil((self._paused_until - now_s) / 60)
            reason = (
                f"the authority takes no more orders of this account; asked again in {minutes} min"
            )
            raise OrderRefused(Refusal.ACCOUNT, reason)
        if not self._tenants.take(tenant, now_s):
            reason = "too many were ordered for the tenant within three hours"
            raise OrderRefused(Refusal.TENANT, reason)
        if is_renewal or self._domains is None:
            return
        domain = self._find_domain(name)
        if not self._domains.take(domain, now_s):
            self._tenants.put_back(tenant)
            raise OrderRefused(Refusal.DOMAIN, f"too many were ordered for {domain} within a week")

    def note_failure(self, name: Hostname, error: Exception) -> None:
        """Pause new orders of all names if the authority takes no more of the account; not where it speaks of this one."""
        if isinstance(error, OrderError) and error.is_rate_limited:
            reason = str(error)
            if name not in reason and self._find_domain(name) not in reason:
                self._paused_until = self._clock() + PAUSE_S

    def put_back(self, name: Hostname) -> None:
        """Count a name no longer whose first certificate has not come: authorities count those that have."""
        if self._domains is not None:
            self._domains.put_back(self._find_domain(name))

    def _find_domain(self, name: Hostname) -> str:
        """Return the registered domain of a name, or the name itself where it is none's."""
        return self._suffixes.privatesuffix(name) or name
