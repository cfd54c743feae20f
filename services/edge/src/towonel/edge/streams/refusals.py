"""Refusals of clients in the log, and of those that control serves: the alert and the metric.

Anyone can be refused at will, so lines are counted: one a second for each reason and address, or
for each reason and service where it is an agent or its origin that fails.
"""

import socket
from dataclasses import dataclass

import structlog

from towonel.edge.metrics import Metrics
from towonel.edge.streams.graceful_close import close_gracefully
from towonel.runtime.addresses import source_of
from towonel.runtime.log_limit import LogLimit
from towonel.wire import clienthello
from towonel.wire.errors import Code, TowonelError
from towonel.wire.proxy import Address

log: structlog.stdlib.BoundLogger = structlog.get_logger()

MAX_SOURCES = 10  # addresses with a line in one second; the lines of others are counted together


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """Record of a client for the log, as far as it is known."""

    peer: Address | None = None
    hostname: str | None = None
    tenant: str | None = None
    service: str | None = None

    @property
    def source(self) -> str | None:
        return None if self.peer is None else source_of(self.peer.ip)

    def fields(self) -> dict[str, str]:
        """Return who the client is, and what it asked for."""
        known = {
            "peer": None if self.peer is None else str(self.peer),
            "hostname": self.hostname,
            "tenant_id": self.tenant,
        }
        return {key: value for key, value in known.items() if value is not None}


class Refusals:
    """Refuser of clients, which also writes the lines of those that workers refused.

    Args:
        metrics: counts them by code.
        linger_s: for a refused client to read its alert.
    """

    def __init__(self, metrics: Metrics, linger_s: float) -> None:
        self._metrics = metrics
        self._linger_s = linger_s
        self._of_sources = LogLimit(max_keys=MAX_SOURCES)
        self._of_services = LogLimit()

    async def refuse(self, sock: socket.socket, client: ClientRecord, error: TowonelError) -> None:
        """Tell a client that gets no service, and close; one that named no host may speak anything, and is reset."""
        self._metrics.connections_refused.labels(error.code.word).inc()
        self.log(client, error.code, error.detail)
        if client.hostname is None:
            sock.close()
        else:
            await close_gracefully(sock, clienthello.alert(error.code), self._linger_s)

    def flush(self) -> None:
        """Write the lines that are counted: at the end of the process."""
        self._of_sources.flush()
        self._of_services.flush()

    def log(self, client: ClientRecord, code: Code, detail: str, times: int = 1) -> None:
        """Write a line about a refusal, or `times` of them, or count it."""
        fields = {"code": code.word, "detail": detail, **client.fields()}
        of_source, of_service = (code, client.source), (code, client.tenant, client.service)
        if code is Code.CLIENT_CLOSED:  # as health checks and scanners do: nobody was refused
            log.debug("client.refused", **fields)
        elif code is Code.BAD_PROXY_HEADER:
            self._of_sources.warning("proxy.refused", key=of_source, times=times, **fields)
        elif code > Code.NO_ROUTE:
            self._of_services.info("client.refused", key=of_service, times=times, **fields)
        else:
            self._of_sources.info("client.refused", key=of_source, times=times, **fields)
