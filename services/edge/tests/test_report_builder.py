"""Reports of an edge: agents on real sessions, downloads in progress, and never more than fits."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json
from support.edge_front import Front
from support.tunnel import (
    EDGE,
    HUB,
    PEM,
    SERVICE,
    TENANT,
    ListeningEdge,
    RecordingPolicy,
    new_key,
    until,
)

from towonel.api.certificates.reports import MAX_CERTIFICATES, CertificateReport
from towonel.api.reports import (
    MAX_SERVICE_TRAFFIC,
    MAX_SESSIONS,
    MAX_TENANTS,
    EdgeReport,
    ServiceTraffic,
)
from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.service_index import ServiceIndex
from towonel.edge.core.session_ways import Lanes
from towonel.edge.core.traffic import RETENTION_S, Tally, Traffic
from towonel.edge.data_plane.port_listeners import ListenerFailure
from towonel.edge.metrics import Metrics, sum_samples
from towonel.edge.report_builder import (
    MAX_CERTIFICATE_BYTES,
    MAX_REPORT_BYTES,
    ReportBuilder,
    fit_keys,
    fit_services,
)
from towonel.edge.sessions import Sessions
from towonel.edge.streams.session_dialer import SessionDialer
from towonel.edge.streams.upstream import Upstream
from towonel.tunnel.listener import listen
from towonel.tunnel.session import Session
from towonel.tunnel.stream_requests import StreamRequest
from towonel.wire.ids import HubId, TenantId
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.routes import Route, RouteDelta
from towonel.wire.session.balance_hints import BalanceHints

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]

KIB = 1024
NO_LANES = Lanes(0, 0, 0)
CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class Edge:
    """Edge without a hub; `hub` makes its agents."""

    hub: ListeningEdge
    table: RouteTable
    sessions: Sessions
    traffic: Traffic
    upstream: Upstream
    metrics: Metrics
    observer: ReportBuilder
    now_s: float = 0.0
    lanes: Lanes = NO_LANES
    listeners: dict[str, ListenerFailure | None] = field(default_factory=dict)
    certificates: list[CertificateReport] = field(default_factory=list)

    async def describe_certificates(self) -> list[CertificateReport]:
        return self.certificates

    async def report(self) -> EdgeReport:
        return await self.observer.build()


@pytest.fixture
async def edge(metrics: Metrics) -> AsyncGenerator[Edge]:
    table, balancer, traffic = RouteTable(), Balancer(), Traffic()
    route = Route(ServiceKind.HTTPS, SERVICE.name, TENANT)
    table.apply(RouteDelta(1, snapshot=True, routes=(route,)))
    sessions = Sessions(table, balancer, metrics)
    sessions.hub_id = HubId(HUB.public)
    draw = Random(1).randrange
    upstream = SessionDialer(
        sessions, balancer, metrics, clock=lambda: 0.0, draw=draw, open_timeout_s=15.0
    )
    observer = ReportBuilder(
        *(sessions, traffic, metrics),
        lambda _: found.lanes,
        lambda: list(found.listeners.items()),
        lambda: found.describe_certificates(),  # noqa: PLW0108 it is made below
        clock=lambda: found.now_s,
        engine="compiled",
        skew_of=lambda: -1_500,
    )
    async with listen("127.0.0.1", 0, key=EDGE, certificate_pem=PEM, policy=sessions) as listener:
        hub = ListeningEdge(listener, RecordingPolicy())
        found = Edge(hub, table, sessions, traffic, upstream, metrics, observer)
        yield found


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = CLIENT.wrap_bio(incoming, outgoing, server_hostname=SERVICE.name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def generous(request: StreamRequest) -> None:
    """An agent whose origin answers whatever it reads with 100 KiB."""
    pipe = await request.accept()
    while await pipe.read():
        await pipe.write(bytes(100 * KIB))
    await pipe.write_eof()


async def test_an_agent_is_reported_with_who_and_where_it_is_and_what_it_serves(
    edge: Edge,
) -> None:
    agent, before_ms = new_key(), edge.sessions.now_ms()

    async with edge.hub.link(agent):
        report = await edge.report()
        [session] = report.sessions
        [known] = edge.sessions.all()

    assert session.session_id == known.session_id
    assert session.agent_id == agent.public
    assert session.tenant_id == TENANT
    assert (session.group, session.software) == ("g", "test")
    assert session.services == ["https:a.eu"]
    assert (session.peer, session.is_by_tcp) == (known.peer, False)
    assert before_ms <= session.since_ms <= edge.sessions.now_ms()
    assert (session.active_streams, report.sessions_active) == (0, 1)
    assert (session.way, session.way_reason) == ("stream", "not_wanted")
    assert before_ms - 60_000 < report.started_at_ms <= before_ms


async def test_lanes_of_an_agent_are_reported_with_the_way_that_its_clients_take(
    edge: Edge,
) -> None:
    ways: list[object] = []
    async with edge.hub.link():
        for edge.lanes in (Lanes(0, 0, 2), Lanes(3, 4, 8), Lanes(0, 0, 8)):
            (session,) = (await edge.report()).sessions
            ways.append((session.way, session.way_reason, session.active_streams))
            assert session.lanes == edge.lanes[:3]
            by_way = edge.metrics.sessions_by_way
            assert by_way.labels(session.way)._value.get() == sum_samples(by_way) == 1

    assert ways == [("stream", "none_came", 0), ("lane", None, 4), ("stream", "lost", 0)]


async def test_a_session_over_tcp_without_a_lane_has_no_way(edge: Edge) -> None:
    edge.lanes = Lanes(0, 0, 2)
    index = edge.sessions._by_tenant[TENANT] = many_sessions(1)
    for session in index.sessions:
        cast(SimpleNamespace, session).has_streams = False
    (report,) = (await edge.report()).sessions
    edge.sessions._by_tenant.clear()

    assert (report.is_by_tcp, report.way, report.way_reason) == (True, None, "none_came")
    assert sum_samples(edge.metrics.sessions_by_way) == 0


async def test_an_agent_that_left_is_not_reported_and_the_last_report_has_no_session(
    edge: Edge,
) -> None:
    async with edge.hub.link():
        last = await edge.observer.build_final()
        assert (last.sessions, last.sessions_active, last.is_final) == ([], 0, True)
        assert len((await edge.report()).sessions) == 1
    await until(lambda: not edge.sessions.all())

    assert (await edge.report()).sessions == []


async def reports_of_a_download(edge: Edge, front: StartFront, *words: bytes) -> list[EdgeReport]:
    """Return the reports after each answer to a client, and after the client has left."""
    reports: list[EdgeReport] = []
    async with (
        edge.hub.link(handle=generous),
        front(edge.table, edge.upstream, traffic=edge.traffic) as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        for some in words:
            writer.write(some)
            assert len(await reader.readexactly(100 * KIB)) == 100 * KIB
            await until(lambda: sum_samples(edge.metrics.connections_active) == 1)
            reports.append(await edge.report())
        writer.close()
        await running.drain()
        return [*reports, await edge.report()]


async def test_a_download_that_is_still_going_on_grows_between_two_reports(
    edge: Edge, front: StartFront
) -> None:
    hello = client_hello()
    reports = await reports_of_a_download(edge, front, hello, b"more", b"and more")

    carried = [0, 4, 12, 12]
    assert [report.bytes_in - len(hello) for report in reports] == carried
    assert [report.bytes_out // KIB for report in reports] == [100, 200, 300, 300]
    assert [report.connections_active for report in reports] == [1, 1, 1, 0]
    assert [report.sessions[0].active_streams for report in reports[:3]] == [1, 1, 1]
    for report in reports:
        [tenant] = report.tenants
        assert (tenant.tenant_id, tenant.connections_total) == (TENANT, 1)
        assert tenant.connections_active == report.connections_active
        assert (tenant.bytes_in, tenant.bytes_out) == (report.bytes_in, report.bytes_out)
        counts = report.connections_active, 1, report.bytes_in, report.bytes_out
        assert report.services == [(TENANT, "https:a.eu", *counts)]


async def test_a_client_that_is_refused_counts_for_the_edge_and_for_no_tenant(
    edge: Edge, front: StartFront
) -> None:
    async with front(edge.table, edge.upstream, traffic=edge.traffic) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(client_hello())
        assert await reader.read() != b""
        writer.close()
        await running.drain()
    report = await edge.report()

    assert (report.connections_total, report.refused_total, report.bytes_in) == (1, 1, 0)
    assert report.tenants == []


async def test_a_report_tells_of_workers_that_were_lost_and_keep_ending_and_of_their_engine(
    edge: Edge,
) -> None:
    edge.metrics.worker_restarts.inc(7)
    edge.metrics.workers_unstable.set(2)

    report = await edge.report()
    assert (report.worker_restarts, report.workers_unstable) == (7, 2)
    assert report.engine == "compiled"


async def test_a_report_leaves_out_a_tenant_without_agent_or_client_for_an_hour(
    edge: Edge,
) -> None:
    for tenant_id in (TENANT, TenantId(b"u" * 32)):
        with edge.traffic.connection((tenant_id, "tcp:ssh")):
            pass
    async with edge.hub.link():
        assert len((await edge.report()).tenants) == 2
        edge.now_s = RETENTION_S
        report = await edge.report()

    assert [tenant.tenant_id for tenant in report.tenants] == [TENANT]
    assert report.services == [(TENANT, "tcp:ssh", 0, 1, 0, 0)]


async def test_of_services_with_traffic_the_first_that_fit_are_reported() -> None:
    tallies = {(TENANT, key): Tally(1, 2, 3, 4) for key in ("tcp:one", 'tcp:"', "tcp:three")}
    reports = [ServiceTraffic(TENANT, key, 1, 2, 3, 4) for _, key in tallies]
    entry = len(f'["{TENANT.hex()}","tcp:one",1,2,3,4],')

    assert await fit_services(tallies, entry - 1) == []
    assert await fit_services(tallies, 2 * entry - 1) == reports[:2]
    assert await fit_services(tallies, 3 * entry) == reports[:2]
    assert await fit_services(tallies, 3 * entry + 1) == reports


def many_sessions(count: int) -> ServiceIndex[Session]:
    """Return sessions of the largest size, of which some announce as much as they can."""
    many = frozenset(ServiceKey(ServiceKind.TCP, f'"{n:040}') for n in range(1000))
    one = frozenset([SERVICE])
    index = ServiceIndex[Session]()
    for n in range(count):
        services = many if n % 50 == 0 else one
        session = SimpleNamespace(
            hints=BalanceHints(1000, services),
            has_streams=True,
            session_id=n.to_bytes(16),
            agent_id=n.to_bytes(32),
            tenant_id=TENANT,
            group="g" * 63,
            peer="[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            since_ms=1_800_000_000_000,
            services=services,
            active=1024,
            software='"\n\x7fé' * 99,
        )
        index.add(session.session_id, session.services, cast(Session, session))
    return index


async def test_a_report_is_bounded_and_large_sessions_displace_no_other(edge: Edge) -> None:
    edge.lanes = Lanes(0, 0, 2048)
    edge.sessions._by_tenant[TENANT] = many_sessions(MAX_SESSIONS + 5)
    with contextlib.ExitStack() as connections:
        for n in range(MAX_TENANTS + 5):
            service = TenantId(n.to_bytes(32)), f"https:{n:0253}"
            connections.enter_context(edge.traffic.connection(service))
        report = await edge.report()
    edge.sessions._by_tenant.clear()

    body = to_json(report)
    assert len(body) <= MAX_REPORT_BYTES < 8 * 1024 * KIB
    assert EdgeReport.model_validate_json(body) == report
    assert report.sessions_active == MAX_SESSIONS + 5
    assert (len(report.sessions), len(report.tenants)) == (MAX_SESSIONS, MAX_TENANTS)
    assert len(report.services) < MAX_SERVICE_TRAFFIC
    assert sum(one.services == ["https:a.eu"] for one in report.sessions) == MAX_SESSIONS * 49 // 50
    assert {one.software for one in report.sessions} == {'"' * 34}
    assert 0 < len(report.sessions[-1].services) < 1000


async def test_other_tasks_get_their_turn_while_a_report_is_built(edge: Edge) -> None:
    edge.sessions._by_tenant[TENANT] = many_sessions(1000)
    turns = 0
    async with asyncio.TaskGroup() as tasks:
        reporting = tasks.create_task(edge.report())
        while not reporting.done():
            turns += 1
            await asyncio.sleep(0)
    edge.sessions._by_tenant.clear()

    assert turns > 20


@given(st.lists(st.text('ab"\\é', max_size=9), unique=True, max_size=9), st.integers(-5, 200))
def test_as_many_keys_are_taken_as_fit(names: list[str], most: int) -> None:
    services = [ServiceKey(ServiceKind.TCP, name) for name in names]
    keys, taken = fit_keys(services, most, 9)

    assert keys == list(islice(sorted(map(str, services)), len(keys)))
    assert taken == sum(len(to_json(key)) + 2 for key in keys)
    assert taken <= max(0, most)
    if len(keys) < len(names):
        assert taken + len(to_json(sorted(map(str, services))[len(keys)])) + 2 > most
    assert fit_keys(services, most, 2)[0] == keys[:2]


def certificates(count: int, error: str = "") -> list[CertificateReport]:
    names = (f"n{number}.example.eu" for number in range(count))
    return [CertificateReport(hostname=name, state="failed", error=error) for name in names]


async def test_certificates_are_told_to_a_hub_that_takes_them(edge: Edge) -> None:
    edge.certificates = certificates(2)
    before = await edge.report()
    edge.observer.takes_certificates = True
    after = await edge.report()

    assert (before.certificates, before.certificates_total) == ([], 0)
    assert (after.certificates, after.certificates_total) == (edge.certificates, 2)


@pytest.mark.parametrize("error", ["", '"\u2603' * 150])
async def test_of_too_many_certificates_the_first_are_told(edge: Edge, error: str) -> None:
    edge.observer.takes_certificates = True
    edge.certificates = certificates(MAX_CERTIFICATES + 5, error)
    report = await edge.report()
    told, taken = report.certificates, len(report.model_dump_json(exclude_defaults=True).encode())

    assert told == edge.certificates[: len(told)]
    assert report.certificates_total == MAX_CERTIFICATES + 5
    assert EdgeReport.model_validate_json(to_json(report)) == report
    if error:
        assert MAX_CERTIFICATE_BYTES * 0.9 < taken < MAX_CERTIFICATE_BYTES + 1024
    else:
        assert len(told) == MAX_CERTIFICATES
