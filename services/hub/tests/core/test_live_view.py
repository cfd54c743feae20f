"""What is live, from the newest reports of all edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.api.certificates.reports import CertificateReport
from towonel.api.reports import (
    EdgeReport,
    ListenerReport,
    ServiceTraffic,
    SessionReport,
    TenantTraffic,
)
from towonel.api.traffic import Traffic
from towonel.hub.core.live_view import STALE_MS, LiveListener, LiveTenant, LiveView

NOW_MS = 1_800_000_000_000
PARIS, BERLIN = b"\x0e" * 32, b"\x1e" * 32
ALICE, BOB = b"\x0a" * 32, b"\x0b" * 32
TENANT, OTHER = b"\x0c" * 32, b"\x0d" * 32
APP, SSH = "https:app.example.eu", "tcp:ssh"


def session(agent: bytes = ALICE, **changes: object) -> SessionReport:
    facts = {
        "session_id": bytes(16),
        "agent_id": agent,
        "tenant_id": TENANT,
        "group": "default",
        "peer": "192.0.2.1:4433",
        "since_ms": NOW_MS - 1000,
        "services": [APP],
        "active_streams": 1,
        "software": "agent 1",
    }
    return SessionReport.model_validate({**facts, **changes})


def test_each_session_of_an_agent_tells_its_way() -> None:
    by_lane = session(way="lane", lanes=(2, 3, 8))
    by_stream = session(way="stream", way_reason="none_came")
    live = view(paris=report(by_lane), berlin=report(by_stream)).agents[ALICE]

    ways = {each.edge_id: (each.report.way, each.report.way_reason) for each in live.sessions}
    assert ways == {PARIS: ("lane", None), BERLIN: ("stream", "none_came")}


def test_an_edge_tells_how_many_workers_it_lost() -> None:
    lost = report().model_copy(update={"worker_restarts": 3, "workers_unstable": 2})
    edge = view(paris=lost).edges[PARIS]

    assert (edge.worker_restarts, edge.workers_unstable) == (3, 2)


def test_an_edge_tells_its_engine_unless_it_is_of_an_older_version() -> None:
    compiled = report().model_copy(update={"engine": "compiled"})
    edges = view(paris=compiled, berlin=report()).edges

    assert (edges[PARIS].engine, edges[BERLIN].engine) == ("compiled", None)


def traffic(tenant: bytes = TENANT, factor: int = 1) -> TenantTraffic:
    return TenantTraffic(
        tenant_id=tenant,
        connections_active=factor,
        connections_total=2 * factor,
        bytes_in=30 * factor,
        bytes_out=400 * factor,
    )


def report(*sessions: SessionReport, tenants: tuple[TenantTraffic, ...] = ()) -> EdgeReport:
    return EdgeReport(
        version="0.1.0",
        started_at_ms=NOW_MS - 5000,
        connections_active=5,
        connections_total=6,
        refused_total=1,
        bytes_in=70,
        bytes_out=80,
        sessions_active=len(sessions) + 100,
        sessions=list(sessions),
        tenants=list(tenants),
    )


def view(*, age_ms: int = 0, **edges: EdgeReport) -> LiveView:
    ids = {"paris": PARIS, "berlin": BERLIN}
    return LiveView(
        {ids[name]: (NOW_MS - age_ms, reported) for name, reported in edges.items()}, NOW_MS
    )


def test_without_reports_nothing_is_live() -> None:
    live = LiveView({}, NOW_MS)

    assert (live.agents, live.tenants, live.edges) == ({}, {}, {})
    assert live.agents_serving(TENANT, APP) == ()
    assert live.tenant(TENANT) == LiveTenant((), Traffic())


@pytest.mark.parametrize("by_tcp", [True, False])
def test_an_agent_goes_by_tcp_if_any_of_its_sessions_does(*, by_tcp: bool) -> None:
    agent = view(paris=report(session()), berlin=report(session(is_by_tcp=by_tcp))).agents[ALICE]

    assert agent.is_by_tcp == by_tcp


def test_an_agent_on_two_edges_is_one_since_its_first_session_and_as_its_newest_says() -> None:
    old = session(since_ms=1000, active_streams=2, software="agent 1")
    new = session(since_ms=2000, active_streams=3, software="agent 2")
    agent = view(paris=report(new), berlin=report(old)).agents[ALICE]

    assert (agent.software, agent.since_ms) == ("agent 2", 1000)
    assert (agent.edges, agent.active_streams) == ((PARIS, BERLIN), 5)


def test_of_two_sessions_of_one_moment_the_same_one_counts_whoever_reports_it() -> None:
    one = session(session_id=b"\x01" * 16, software="one")
    two = session(session_id=b"\x02" * 16, software="two")

    for live in (view(paris=report(one, two)), view(paris=report(two), berlin=report(one))):
        assert live.agents[ALICE].software == "two"
    assert view(paris=report(one, two)).agents[ALICE].edges == (PARIS,)


def test_a_tenant_is_what_all_edges_say_of_it() -> None:
    live = view(
        paris=report(session(BOB), tenants=(traffic(), traffic(OTHER, 7))),
        berlin=report(session(ALICE), session(BOB), tenants=(traffic(factor=10),)),
    )

    sums = Traffic(connections_active=11, connections_total=22, bytes_in=330, bytes_out=4400)
    assert live.tenant(TENANT) == LiveTenant((ALICE, BOB), sums)
    assert live.tenants[OTHER].agents == ()
    assert live.tenants[OTHER].traffic.bytes_out == 2800
    assert view(paris=report(session())).tenant(TENANT) == LiveTenant((ALICE,), Traffic())


def test_the_traffic_of_a_service_is_what_all_edges_say_of_it_for_its_tenant() -> None:
    app, other = ServiceTraffic(TENANT, APP, 1, 2, 3, 4), ServiceTraffic(OTHER, APP, 5, 5, 5, 5)
    live = view(
        paris=report().model_copy(update={"services": [app, other]}),
        berlin=report().model_copy(update={"services": [app._replace(connections_active=10)]}),
    )

    sums = Traffic(connections_active=11, connections_total=4, bytes_in=6, bytes_out=8)
    assert live.traffic_of(TENANT, APP) == sums
    assert live.traffic_of(OTHER, APP).bytes_in == 5
    assert live.traffic_of(OTHER, SSH) == Traffic()


def test_an_edge_is_what_it_says_of_itself_also_of_sessions_it_did_not_list() -> None:
    edge = view(paris=report(session()), age_ms=7).edges[PARIS]

    assert edge.sessions == 101
    assert edge.traffic == Traffic(
        connections_active=5, connections_total=6, bytes_in=70, bytes_out=80
    )


def test_a_service_is_served_by_its_own_tenants_agents_only() -> None:
    outsider = session(BOB, tenant_id=OTHER, services=[APP])
    live = view(
        paris=report(session(services=[APP, SSH]), outsider),
        berlin=report(session(services=[APP])),
    )

    assert live.agents_serving(TENANT, APP) == live.agents_serving(TENANT, SSH) == (ALICE,)
    assert live.agents_serving(OTHER, APP) == (BOB,)
    assert live.agents_serving(OTHER, SSH) == ()


def test_an_edge_that_said_nothing_for_35_s_is_gone_with_all_that_was_on_it() -> None:
    reported = report(session(), tenants=(traffic(),))
    assert ALICE in view(paris=reported, age_ms=STALE_MS).agents

    gone = view(paris=reported, age_ms=STALE_MS + 1)
    assert (gone.agents, gone.tenants, gone.edges) == ({}, {}, {})
    assert gone.agents_serving(TENANT, APP) == ()
    mixed = LiveView({PARIS: (0, reported), BERLIN: (NOW_MS, reported)}, NOW_MS)
    assert mixed.agents[ALICE].edges == (BERLIN,)


def test_a_report_from_the_future_of_another_replicas_clock_is_live() -> None:
    assert PARIS in view(paris=report(), age_ms=-5000).edges


def test_a_report_of_a_clock_that_was_put_back_since_is_not_live() -> None:
    assert PARIS in view(paris=report(), age_ms=-STALE_MS).edges
    assert PARIS not in view(paris=report(), age_ms=-STALE_MS - 1).edges


SESSIONS = st.builds(
    session,
    st.sampled_from([ALICE, BOB]),
    since_ms=st.integers(0, 9),
    tenant_id=st.sampled_from([TENANT, OTHER]),
    services=st.lists(st.sampled_from([APP, SSH]), unique=True),
    active_streams=st.integers(0, 9),
)


@given(st.lists(SESSIONS, max_size=8), st.lists(SESSIONS, max_size=8))
def test_every_session_is_found_from_every_side(
    here: list[SessionReport], there: list[SessionReport]
) -> None:
    live = view(paris=report(*here), berlin=report(*there))

    assert live.agents.keys() == {one.agent_id for one in (*here, *there)}
    for edge, sessions in ((PARIS, here), (BERLIN, there)):
        for one in sessions:
            agent = live.agents[one.agent_id]
            assert agent.since_ms <= one.since_ms
            assert edge in agent.edges
            assert one.agent_id in live.tenant(one.tenant_id).agents
            for key in one.services:
                assert one.agent_id in live.agents_serving(one.tenant_id, key)


def listening(*listeners: ListenerReport) -> EdgeReport:
    return report().model_copy(update={"listeners": list(listeners)})


def test_a_port_is_found_on_each_edge_that_reported_it() -> None:
    open_one = ListenerReport(key="tcp:2222")
    failing = ListenerReport(key="tcp:2222", code="port_in_use", detail="Address in use")
    other = ListenerReport(key="tcp:2223")
    live = view(paris=listening(open_one, other), berlin=listening(failing))

    assert live.listeners("tcp:2222") == (
        LiveListener(PARIS, open_one),
        LiveListener(BERLIN, failing),
    )
    assert live.listeners("tcp:2223") == (LiveListener(PARIS, other),)
    assert live.listeners(APP) == ()
    assert live.failing_ports == {"tcp:2222"}


def test_an_edge_that_names_a_port_twice_is_one_edge() -> None:
    failing = ListenerReport(key="tcp:2222", code="port_in_use")
    live = view(paris=listening(ListenerReport(key="tcp:2222"), failing))

    assert live.listeners("tcp:2222") == (LiveListener(PARIS, failing),)


def test_an_edge_says_several_things_of_a_range() -> None:
    key = "tcp:10-19"
    parts = [
        ListenerReport(key=key, ports="10, 12-19"),
        ListenerReport(key=key, code="port_in_use", ports="11"),
    ]
    live = view(paris=listening(*parts), berlin=listening(ListenerReport(key=key)))

    assert [(it.edge_id, it.report.ports) for it in live.listeners(key)] == [
        *((PARIS, "10, 12-19"), (PARIS, "11")),
        (BERLIN, ""),
    ]
    assert live.failing_ports == {key}


def test_the_ports_of_an_edge_that_is_not_live_are_not_there() -> None:
    failing = listening(ListenerReport(key="tcp:2222", code="port_in_use"))
    ended = view(paris=failing.model_copy(update={"is_final": True}))
    for live in (ended, view(paris=failing, age_ms=STALE_MS + 1)):
        assert (live.listeners("tcp:2222"), live.failing_ports) == ((), frozenset())


def test_an_edge_that_ended_in_order_is_not_live() -> None:
    ended = report(session(PARIS), tenants=(traffic(),)).model_copy(update={"is_final": True})

    seen = view(paris=ended, berlin=report(session(BERLIN)))

    assert list(seen.edges) == [BERLIN]
    assert list(seen.agents) == [BERLIN]


def test_services_fail_as_edges_say_by_bits_of_what_was_announced() -> None:
    keys = [f"tcp:{number}" for number in range(10)]
    first = session(ALICE, services=keys, failing="0102", weight=7)
    second = session(ALICE, services=keys, failing="02", weight=0, since_ms=NOW_MS)
    view = LiveView({b"one": (NOW_MS, report(first)), b"two": (NOW_MS, report(second))}, NOW_MS)
    agent = view.agents[ALICE]

    assert agent.services_failing == ("tcp:0", "tcp:1", "tcp:9")
    assert agent.weight == 0
    assert [view.count_failing(TENANT, key) for key in (*keys[:3], "tcp:none")] == [1, 1, 0, 0]


def certified(*names: str, issuer: str = "") -> EdgeReport:
    found = [CertificateReport(hostname=name, state="valid", issuer=issuer) for name in names]
    return report().model_copy(update={"certificates": found})


def test_certificates_of_all_edges_are_in_the_order_of_names_and_edges() -> None:
    live = view(berlin=certified("b.eu", "a.eu"), paris=certified("a.eu"))

    keys = [(each.report.hostname, each.edge_id) for each in live.certificates]
    assert keys == [("a.eu", PARIS), ("a.eu", BERLIN), ("b.eu", BERLIN)]


def test_of_a_certificate_that_an_edge_reports_twice_the_last_counts() -> None:
    twice = certified("a.eu", issuer="old").certificates + certified("a.eu").certificates
    live = view(paris=report().model_copy(update={"certificates": twice}))

    assert [each.report.issuer for each in live.certificates] == [""]
