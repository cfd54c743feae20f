"""Requests of people about certificates that were ordered here: to renew one, or to revoke it.

The hub passes each on once. What comes of it is in the log, and in the records of the name.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from towonel.api.certificates.reports import MAX_REQUESTS, CertificateRequest
from towonel.edge.certificates.acme.authority import OrderError, OrderRefused
from towonel.edge.certificates.acme.history import OrderHistory
from towonel.edge.certificates.acme.issuer import Issuer
from towonel.edge.certificates.acme.threads import call_in_thread
from towonel.edge.certificates.store import CertificateStore
from towonel.wire.errors import ProtocolError
from towonel.wire.names import Hostname, parse_server_name

FOREIGN: Final = "its certificate was not ordered here"
REASONS: Final = {  # RFC 5280 §5.3.1
    "unspecified": 0,
    "key_compromise": 1,
    "superseded": 4,
    "cessation_of_operation": 5,
}

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class CertificateRequests:
    """Requests of people, done one after the other.

    Args:
        issuer: of the certificates.
        store: of certificates.
        folder: of their files.
        revoke: revokes a certificate for a reason of RFC 5280, in a thread.
    """

    def __init__(
        self,
        issuer: Issuer,
        store: CertificateStore,
        folder: Path,
        revoke: Callable[[bytes, int], None],
    ) -> None:
        self._issuer = issuer
        self._store = store
        self._folder = folder
        self._revoke_at_authority = revoke
        self._waiting = asyncio.Queue[CertificateRequest](MAX_REQUESTS)

    def take(self, requests: Iterable[CertificateRequest]) -> None:
        """Do what is asked, after what was asked before; what is too much is left out."""
        for request in requests:
            try:
                self._waiting.put_nowait(request)
            except asyncio.QueueFull:
                _log_failure(request, "too many requests wait")

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Do what is asked for the time of the block."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._run())
            try:
                yield
            finally:
                task.cancel()

    async def _run(self) -> None:
        while True:
            request = await self._waiting.get()
            try:
                reason = await self._perform(request)
            except (OrderError, OrderRefused, OSError, ProtocolError) as error:
                reason = str(error)
            if reason is None:
                name, action = request.hostname, request.action
                log.info("certificate.request_done", name=name, action=action)
            else:
                _log_failure(request, reason)

    async def _perform(self, request: CertificateRequest) -> str | None:
        """Do what is asked; return why it is not done, if so."""
        name = parse_server_name(request.hostname)
        if name in self._issuer.queue:
            return "an order for it is under way"
        found = self._store.certificates.get(name)
        if found is not None and not self._issuer.histories.is_ours(found):
            return FOREIGN
        match request.action:
            case "renew":
                self._issuer.order_now(name)
            case "revoke":
                return await self._revoke(name, REASONS.get(request.reason, 0))
            case _:
                return "this version of the edge does not know how"
        return None

    async def _revoke(self, name: Hostname, reason: int) -> str | None:
        """Revoke a certificate and remove it; nothing is ordered for the name meanwhile, nor afterwards."""
        certificate, histories = self._store.certificates.get(name), self._issuer.histories
        if certificate is None:
            return "there is no certificate of it"
        history = histories.get(name)
        await histories.store(name, replace(history, revoked=True))
        try:
            await call_in_thread(partial(self._revoke_at_authority, certificate.pem, reason))
        except OrderError:
            await histories.store(name, history)
            raise
        await histories.store(name, OrderHistory(revoked=True, first_at=history.first_at))
        await self._store.remove(self._folder, name)
        return None


def _log_failure(request: CertificateRequest, reason: str) -> None:
    name, action = request.hostname, request.action
    log.warning("certificate.request_failed", name=name, action=action, reason=reason)
