"""Refusal of clients: the alert, the metric and the log line of each.

Anyone can be refused at will, so lines are counted: one a second for each reason and address, or
for each reason and service where it is an agent or its origin that fails.
"""

import socket
from dataclasses import dataclass

import structlog

from towonel.edge.listeners.first_flight import close_gracefully
from towonel.edge.metrics import Metrics
from towonel.runtime.addresses import source_of
from towonel.runtime.log_limit import LogLimit
from towonel.wire import clienthello
from towonel.wire.errors import Code, TowonelError
from towonel.wire.names import Hostname
from towonel.wire.proxy import Address
from towonel.wire.routes import Route

log: structlog.stdlib.BoundLogger = structlog.get_logger()

MAX_LINGERING = 1024  # refused clients that get time to read their alert; others are cut off
MAX_SOURCES = 10  # addresses with a line in one second; the lines of others are counted together


@dataclass(slots=True)
class ClientRecord:
    """Record of a client for the log, as far as it is known."""

    peer: Address | None = None
    hostname: Hostname | None = None
    route: Route | None = None

    @property
    def source(self) -> str | None:
        return None if self.peer is None else source_of(self.peer.ip)

    @property
    def service(self) -> str | None:
        return None if self.route is None else str(self.route.service)

    @property
    def tenant(self) -> str | None:
        return None if self.route is None else self.route.tenant_id.hex()

    def fields(self) -> dict[str, str]:
        """Return who the client is, and what it asked for."""
        known = {
            "peer": None if self.peer is None else str(self.peer),
            "hostname": self.hostname,
            "tenant_id": self.tenant,
        }
        return {key: value for key, value in known.items() if value is not None}


class Refusals:
    """Refuser of clients.

    Args:
        metrics: counts them by code.
        linger_s: for a refused client to read its alert.
    """

    def __init__(self, metrics: Metrics, linger_s: float) -> None:
        self._metrics = metrics
        self._linger_s = linger_s
        self._lingering = 0
        self._of_sources = LogLimit(max_keys=MAX_SOURCES)
        self._of_services = LogLimit()

    async def refuse(self, sock: socket.socket, client: ClientRecord, error: TowonelError) -> None:
        """Tell a client that it gets no service, if it has time to read that, and close."""
        self._metrics.connections_refused.labels(error.code.word).inc()
        self._log(client, error)
        if self._lingering >= MAX_LINGERING:
            return
        self._lingering += 1
        try:
            await close_gracefully(sock, _alert(error.code), self._linger_s)
        finally:
            self._lingering -= 1

    def flush(self) -> None:
        """Write the lines that are counted: at the end of the process."""
        self._of_sources.flush()
        self._of_services.flush()

    def _log(self, client: ClientRecord, error: TowonelError) -> None:
        code = error.code
        fields = {"code": code.word, "detail": error.detail, **client.fields()}
        of_source, of_service = (code, client.source), (code, client.tenant, client.service)
        if code is Code.CLIENT_CLOSED:  # as health checks and scanners do: nobody was refused
            log.debug("client.refused", **fields)
        elif code is Code.BAD_PROXY_HEADER:
            self._of_sources.warning("proxy.refused", key=of_source, **fields)
        elif code > Code.NO_ROUTE:
            self._of_services.info("client.refused", key=of_service, **fields)
        else:
            self._of_sources.info("client.refused", key=of_source, **fields)


def _alert(code: Code) -> bytes:
    """Return the alert for a code; a proxy without its header gets none, for it speaks no TLS."""
    return b"" if code is Code.BAD_PROXY_HEADER else clienthello.alert(code)
