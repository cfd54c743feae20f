"""Ordering of one certificate: in a thread, whose challenges workers answer until the order is over."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import structlog

from towonel.edge.certificates.acme.authority import OrderError
from towonel.edge.certificates.acme.threads import call_in_thread
from towonel.edge.certificates.certificate import Certificate, parse_certificate
from towonel.edge.certificates.store import CertificateStore
from towonel.wire.names import Hostname

ORDER_S: Final = (
    120.0  # for all of it: an authority that answers byte by byte holds no place for ever
)
_PRESENT_S: Final = 10.0
_SKEW: Final = timedelta(days=1)

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Order(Protocol):
    """Function that orders in a thread: of a name, showing challenges, in the place of a certificate as PEM."""

    def __call__(
        self, name: str, present: Callable[[bytes], None], replaced: bytes | None, /
    ) -> tuple[bytes, bytes]:
        """Return chain and key."""
        ...


class Ordering:
    """Ordering of certificates into a store.

    Args:
        order: orders one.
        store: of certificates.
        folder: of their files.
        clock: tells the time.
        order_s: that an order may take.
    """

    def __init__(
        self,
        order: Order,
        store: CertificateStore,
        folder: Path,
        clock: Callable[[], datetime],
        order_s: float = ORDER_S,
    ) -> None:
        self._order = order
        self._store = store
        self._folder = folder
        self._clock = clock
        self._order_s = order_s

    async def fetch(self, name: Hostname, replaced: Certificate | None) -> tuple[bytes, bytes]:
        """Return chain and key of a new certificate.

        Raises:
            OrderError: there is none, or none in time, or it is of no use at the time of this machine's clock.
            CertificateError: it is not the name's.
        """
        loop, is_over = asyncio.get_running_loop(), False

        async def show(pem: bytes) -> None:
            if is_over:  # the authority is not to look for what is not shown
                raise OrderError("the order is over")
            self._store.show_challenge(name, pem)

        def present(pem: bytes) -> None:  # before the authority looks
            asyncio.run_coroutine_threadsafe(show(pem), loop).result(_PRESENT_S)

        before = None if replaced is None else replaced.pem
        try:
            async with asyncio.timeout(self._order_s):
                pair = await call_in_thread(partial(self._order, name, present, before))
        except TimeoutError:
            raise OrderError(f"the authority took longer than {self._order_s:g} s") from None
        finally:
            is_over = True
            self._store.show_challenge(name, b"")
        self._check_life(parse_certificate(name, *pair))
        return pair

    def _check_life(self, certificate: Certificate) -> None:
        """Refuse a certificate that would not be used, and tell of a clock that is behind."""
        now = self._clock()
        if certificate.not_after <= now:
            raise OrderError(
                f"the clock is wrong, or the authority's: a new certificate ends {certificate.not_after.isoformat()},"
                f" and it is {now.isoformat(timespec='seconds')} here"
            )
        if certificate.not_before > now + _SKEW:
            begins = certificate.not_before.isoformat()
            log.warning("certificate.not_yet_valid", name=certificate.name, begins_at=begins)
