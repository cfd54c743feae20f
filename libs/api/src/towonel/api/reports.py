"""Bodies of the reports of edges: sessions and traffic, every few seconds.

Counters only grow while an edge runs, from 0 at `started_at_ms`: a report that is lost loses
nothing, because the next one says it again. Only the newest report of an edge means anything.
"""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from towonel.api.bodies import Answer, Request
from towonel.api.certificates.reports import MAX_CERTIFICATES, CertificateReport, CertificateRequest
from towonel.api.fields import Hex32, HexCodec
from towonel.api.services import MAX_SERVICES
from towonel.api.traffic import EngineName, Way, WayReason

MAX_SESSIONS = 10_000  # in one report
MAX_TENANTS = 10_000  # in one report
MAX_LISTENERS = 10_000  # in one report
MAX_SERVICE_TRAFFIC = 5_000  # in one report
MAX_DETAIL_CHARS = 200
MAX_PORTS_CHARS = 4096  # every second port of the longest range
MAX_TEXTS = 500_000  # in one report: each takes more memory than bytes of the body
MAX_INTERVAL_S = 300
_MAX_COUNT = (1 << 63) - 1  # the largest integer of a database

_LAST_MS = 253_370_764_799_999  # the end of the last year that a moment can have

type Count = Annotated[int, Field(ge=0, le=_MAX_COUNT)]
type TimeMs = Annotated[int, Field(ge=0, le=_LAST_MS)]
type Key = Annotated[str, Field(max_length=260)]


class SessionReport(Request):
    """One agent on one edge; `services` are what it announced: `https:app.example.eu`, `tcp:ssh`.

    Any agent may announce any name: a service means something together with its tenant only. A session
    `is_by_tcp` where the agent gets no answer over UDP; its clients come over lanes alone.
    `way` is how its clients reach it now, and `way_reason` why that is no lane; `active_streams` counts
    clients of both. An edge of an older version says nothing of lanes.
    `weight` is of the agent's group. `failing` has a bit of each of `services` whose origin fails its check, in
    hexadecimal: that of the first is the lowest of the first byte.
    """

    session_id: Annotated[bytes, HexCodec(16)]
    agent_id: Hex32
    tenant_id: Hex32
    group: str = Field(max_length=63)
    peer: str = Field(max_length=64)
    since_ms: TimeMs
    services: list[Key] = Field(max_length=MAX_SERVICES)
    active_streams: Count
    software: str = Field(max_length=64)
    is_by_tcp: bool = False
    way: Way | None = None
    way_reason: WayReason | None = None
    lanes: tuple[Count, Count, Count] = (0, 0, 0)  # idle, in use, wanted
    weight: int | None = Field(default=None, ge=0, le=1000)
    failing: str = Field(default="", max_length=2 * MAX_SERVICES // 8, pattern="^([0-9a-f]{2})*$")

    @property
    def services_failing(self) -> list[str]:
        """Those of `services` whose origins fail their checks."""
        bits = int.from_bytes(bytes.fromhex(self.failing), "little")
        return [key for place, key in enumerate(self.services) if bits >> place & 1]


class ListenerReport(Request):
    """A port of a service on one edge, `tcp:2222`, or some of a range, `udp:27016-27018`.

    Without a code it is listened on. `ports` are of a range whose key is that of its route, as the hub keeps it, where
    it is not about all of them.
    """

    key: Key
    code: str | None = Field(default=None, max_length=32)
    detail: str = Field(default="", max_length=MAX_DETAIL_CHARS)
    ports: str = Field(default="", max_length=MAX_PORTS_CHARS, pattern="^[0-9, -]*$")


class TenantTraffic(Request):
    """Traffic of one tenant's clients; `bytes_in` went from them to origins, `bytes_out` came back.

    An edge forgets a tenant that has had neither a session nor a connection for an hour: its
    counters then start at 0 again. Those of the whole edge never go back.
    """

    tenant_id: Hex32
    connections_active: Count
    connections_total: Count
    bytes_in: Count
    bytes_out: Count


class ServiceTraffic(NamedTuple):
    """Traffic of the clients of one service, which are its tenant's, too, by the key that agents announce."""

    tenant_id: Hex32
    key: Key
    connections_active: Count
    connections_total: Count
    bytes_in: Count
    bytes_out: Count


class EdgeReport(Request):
    """An edge as it is now.

    `connections_total` are all that were accepted, `refused_total` those of them that got no
    service. `worker_restarts` are processes that ended, and took their clients along; `workers_unstable` is how
    many workers have ended three times within five minutes. `engine` carries the bytes of clients; an edge of an
    older version says nothing of it. `clock_skew_ms` is how far the edge's clock is ahead of the hub's, as it finds.
    `sessions_active` counts them all, `sessions`, `tenants` and `services` list as many as fit.
    `certificates` are as many as fit, those first that somebody has to look at; there are `certificates_total`. Only a
    hub that names `certificate_requests` in its answers is sent any: one of an older version would refuse the report.
    `is_final` is of an edge that ends: until its next report it is not live.
    """

    version: str = Field(max_length=64)
    started_at_ms: TimeMs
    connections_active: Count
    connections_total: Count
    refused_total: Count = 0
    worker_restarts: Count = 0
    workers_unstable: Count = 0
    engine: EngineName | None = None
    clock_skew_ms: Annotated[int, Field(ge=-_MAX_COUNT, le=_MAX_COUNT)] | None = None
    bytes_in: Count
    bytes_out: Count
    is_final: bool = False
    sessions_active: Count
    sessions: list[SessionReport] = Field(max_length=MAX_SESSIONS)
    tenants: list[TenantTraffic] = Field(max_length=MAX_TENANTS)
    services: list[ServiceTraffic] = Field(
        default_factory=list[ServiceTraffic], max_length=MAX_SERVICE_TRAFFIC
    )
    listeners: list[ListenerReport] = Field(
        default_factory=list[ListenerReport], max_length=MAX_LISTENERS
    )
    certificates: list[CertificateReport] = Field(
        default_factory=list[CertificateReport], max_length=MAX_CERTIFICATES
    )
    certificates_total: Count = 0


class EdgeReportOut(Answer):
    """That the hub took a report, and in how many seconds it wants the next one.

    `certificate_requests` are told once; null is of a hub of an older version, which takes no certificates.
    """

    status: Literal["ok"] = "ok"
    next_interval_secs: int = Field(default=10, ge=1, le=MAX_INTERVAL_S)
    certificate_requests: list[CertificateRequest] | None = None
