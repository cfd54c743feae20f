"""Clients that workers hand over: each is carried to an agent by a stream of a QUIC session.

    handed over ─▶ find route ─▶ open upstream ─▶ relay ─▶ closed
                        │              │
                        └──────────────┴─▶ refused: alert, clean close

A worker has read the client's first bytes, and counts it until it has ended here.
"""

import socket
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from towonel.edge.core.access_log import AccessRecord, Way
from towonel.edge.core.route_table import PublicName, RouteTable, find_hostname
from towonel.edge.core.traffic import Tally, Traffic
from towonel.edge.limits.stream_bandwidth import StreamBandwidth
from towonel.edge.metrics import Metrics
from towonel.edge.streams.access_log import AccessLogWriter
from towonel.edge.streams.refusals import ClientRecord, Refusals
from towonel.edge.streams.relays import Relays
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.relay.sockets import bound_receive_buffer
from towonel.runtime.in_flight import InFlight
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.relay import relay
from towonel.tunnel.sockets import SocketPipe
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.proxy import Address

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class HandedOverClient:
    """Client that a worker has handed over, on a non-blocking socket."""

    sock: socket.socket
    source: Address
    destination: Address
    name: PublicName
    first: bytes  # bytes of it that the worker has read
    record: AccessRecord | None = None  # for the access log, if it gets a line there
    lanes_silent: bool = False  # lanes of its agent answered nothing


class StreamClients:
    """Server of clients by streams, one per call of `serve`.

    Args:
        table: the routes.
        upstream: opens a pipe to a service.
        metrics: what is counted.
        refusals: refuses clients.
        access_log: writes lines about clients that have a record.
        relays: where a client is registered while it is relayed.
        traffic: what is counted for each tenant.

    Attributes:
        arriving: clients that are neither relayed nor refused yet.
        bandwidth: of tenants that have a limit.
    """

    def __init__(
        self,
        table: RouteTable,
        upstream: Upstream,
        metrics: Metrics,
        refusals: Refusals,
        access_log: AccessLogWriter,
        *,
        relays: Relays,
        traffic: Traffic,
    ) -> None:
        self._table = table
        self._upstream = upstream
        self._metrics = metrics
        self._refusals = refusals
        self._access_log = access_log
        self._relays = relays
        self._traffic = traffic
        self.bandwidth = StreamBandwidth(table.limits)
        self.arriving = InFlight()

    async def serve(self, client: HandedOverClient) -> None:
        """Serve one client to its end, and close it; never raises an `Exception`."""
        with client.sock, self._contain_crash():
            try:
                await self._serve(client)
            except TowonelError as error:
                self._log_end(client, error.code, len(client.first), 0)
                await self._refusals.refuse(client.sock, self._describe(client), error)

    @contextmanager
    def _contain_crash(self) -> Generator[None]:
        """Log and count an exception that is a bug of ours, or the kernel's, and go on."""
        try:
            yield
        except Exception:  # this client ends, the others go on
            self._metrics.connections_refused.labels(Code.INTERNAL.word).inc()
            log.exception("client.crashed")

    async def _serve(self, client: HandedOverClient) -> None:
        with self.arriving:
            route = self._table.lookup(client.name)
            if route is None:
                raise Unavailable(Code.NO_ROUTE, client.name)
            pipe = await self._upstream.open(
                ClientConnection(
                    client.source,
                    client.destination,
                    route,
                    find_hostname(client.name),
                    client.first,
                    client.record,
                    client.lanes_silent,
                )
            )
        self._metrics.connections_served.labels(Way.STREAM).inc()
        if client.record is not None:
            client.record.accepted_at, client.record.way = time.monotonic(), Way.STREAM
        try:
            with self._traffic.connection((route.tenant_id, str(route.service))) as tallies:
                await self._relay(client, pipe, route.tenant_id, tallies)
        finally:
            await pipe.close()

    async def _relay(
        self, client: HandedOverClient, pipe: Pipe, tenant_id: TenantId, tallies: Iterable[Tally]
    ) -> None:
        """Carry bytes to the end."""

        def count_in(count: int) -> None:
            spend(count)
            for tally in tallies:
                tally.bytes_in += count
            tracked.bytes_in += count
            tracked.carried_bytes += count
            self._metrics.bytes_in.inc(count)

        def count_out(count: int) -> None:
            spend(count)
            for tally in tallies:
                tally.bytes_out += count
            tracked.carried_bytes += count
            self._metrics.bytes_out.inc(count)

        spend = partial(self.bandwidth.spend, tenant_id)
        admit = partial(self.bandwidth.admit, tenant_id)
        end = SocketPipe(client.sock, broken=Code.CLIENT_CLOSED, bound_buffer=bound_receive_buffer)
        with self._relays.track(client.sock, end, pipe, client.name, tenant_id) as tracked:
            count_in(len(client.first))
            code = await relay(end, pipe, count_in, count_out, admit)
        await end.close()
        self._metrics.connections_ended.labels(code.word).inc()
        self._log_end(client, code, tracked.bytes_in, tracked.carried_bytes - tracked.bytes_in)

    def _log_end(self, client: HandedOverClient, code: Code, bytes_in: int, bytes_out: int) -> None:
        record = client.record
        if record is None:
            return
        route = self._table.lookup(client.name)
        if route is not None:
            record.tenant_id, record.service = route.tenant_id, str(route.service)
        self._access_log.write(record.finish(code, bytes_in, bytes_out, time.monotonic()))

    def _describe(self, client: HandedOverClient) -> ClientRecord:
        route = self._table.lookup(client.name)
        if route is None:
            return ClientRecord(client.source, find_hostname(client.name))
        tenant, service = route.tenant_id.hex(), str(route.service)
        return ClientRecord(client.source, find_hostname(client.name), tenant, service)
