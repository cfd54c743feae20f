"""Reports of edges: what has no route is not kept, whatever an edge names."""

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

from towonel.api.certificates.reports import CertificateReport
from towonel.api.reports import MAX_PORTS_CHARS, EdgeReport
from towonel.hub.core.report_filter import filter_report
from towonel.hub.core.route_history import RouteHistory
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route

MINE, OTHER, UNKNOWN = (TenantId(bytes([number]) * 32) for number in (1, 2, 3))
ROUTES = (
    Route(ServiceKind.HTTPS, "a.eu", MINE),
    Route(ServiceKind.HTTPS, "*.b.eu", OTHER),
    Route(ServiceKind.TCP, "ssh", MINE, 2222),
)
COUNTS = {"connections_active": 0, "connections_total": 1, "bytes_in": 2, "bytes_out": 3}


def filtered(
    tenant: bytes,
    *services: str,
    tenants: tuple[bytes, ...] = (),
    known: RouteHistory | None = None,
    failing: str = "",
) -> EdgeReport:
    session: dict[str, Any] = {
        "session_id": "ab" * 16, "agent_id": "cd" * 32, "tenant_id": tenant.hex(), "group": "g",
        "peer": "192.0.2.1:1", "since_ms": 1, "services": list(services), "active_streams": 1,
        "software": "agent/1", "failing": failing,
    }  # fmt: skip
    report = {
        "version": "1", "started_at_ms": 1, "sessions_active": 1, "sessions": [session], **COUNTS,
        "tenants": [{"tenant_id": of.hex(), **COUNTS} for of in tenants],
    }  # fmt: skip
    return filter_report(EdgeReport.model_validate_json(as_json(report)), known or published())


def published() -> RouteHistory:
    known = RouteHistory()
    known.apply((route.key, route, 1) for route in ROUTES)
    return known


def of_ports(*keys: str) -> list[str]:
    """The ports of a report with these that are kept."""
    counts = {"version": "1", "started_at_ms": 1, "sessions_active": 0, **COUNTS}
    listeners = [{"key": key} for key in keys]
    report = {**counts, "sessions": [], "tenants": [], "listeners": listeners}
    return [
        it.key for it in filter_report(EdgeReport.model_validate(report), published()).listeners
    ]


def as_json(report: dict[str, Any]) -> bytes:
    return EdgeReport.model_validate(report).model_dump_json().encode()


def test_services_of_the_tenant_that_have_a_route_are_kept() -> None:
    (session,) = filtered(MINE, "https:a.eu", "tcp:ssh").sessions

    assert session.services == ["https:a.eu", "tcp:ssh"]


def test_names_without_a_route_of_that_tenant_are_left_out() -> None:
    foreign = ["https:*.b.eu", "https:c.eu", "tcp:2222", "tcp:web", "udp:ssh", "nonsense"]
    (session,) = filtered(MINE, *foreign, "https:a.eu").sessions
    (others,) = filtered(OTHER, "tcp:ssh", "https:*.b.eu").sessions

    assert session.services == ["https:a.eu"]
    assert others.services == ["https:*.b.eu"]


def test_origins_that_fail_are_those_of_the_services_that_are_left() -> None:
    services = ("https:c.eu", "https:a.eu", "tcp:ssh")
    (session,) = filtered(MINE, *services, failing="05").sessions  # the first and the last
    (whole,) = filtered(MINE, "https:a.eu", "tcp:ssh", failing="01").sessions

    assert session.services_failing == ["tcp:ssh"]
    assert whole.services_failing == ["https:a.eu"]


def test_tenants_with_neither_route_nor_session_are_left_out() -> None:
    report = filtered(OTHER, tenants=(MINE, OTHER, UNKNOWN))
    connected = filtered(UNKNOWN, tenants=(UNKNOWN,))

    assert [one.tenant_id for one in report.tenants] == [MINE, OTHER]
    assert [one.tenant_id for one in connected.tenants] == [UNKNOWN]


def test_ports_without_a_route_are_left_out() -> None:
    assert of_ports("tcp:2223", "https:a.eu", "tcp:ssh", "nonsense", "tcp:2222") == ["tcp:2222"]


GAME = Route(ServiceKind.TCP, "game", MINE, 2998, last_port=3003)


def of_game(
    *listeners: tuple[str, str | None], game: Route = GAME
) -> list[tuple[str, str | None, str]]:
    """What is kept of a report about some ports, each with a code, where the game's are published."""
    known = published()
    known.apply([(game.key, game, 2)])
    counts = {"version": "1", "started_at_ms": 1, "sessions_active": 0, **COUNTS}
    items = [{"key": key, "code": code} for key, code in listeners]
    report = {**counts, "sessions": [], "tenants": [], "listeners": items}
    found = filter_report(EdgeReport.model_validate(report), known).listeners
    return [(one.key, one.code, one.ports) for one in found]


def test_what_is_said_alike_of_ports_of_a_range_is_kept_together() -> None:
    assert of_game((GAME.key, None)) == [("tcp:2998-3003", None, "")]
    assert of_game(
        *(("tcp:2998", None), ("tcp:2999", "port_in_use"), ("tcp:3000", None)),
        *(("tcp:3001-3002", "port_in_use"), ("tcp:3001-3002", "port_in_use")),
    ) == [
        ("tcp:2998-3003", None, "2998, 3000"),
        ("tcp:2998-3003", "port_in_use", "2999, 3001-3002"),
    ]


def test_ports_beside_a_range_or_across_its_ends_are_left_out() -> None:
    keys = ("tcp:3004", "tcp:3002-3005", "udp:2999", "tcp:2997-2999", "tcp:3001-3000", "tcp:")

    assert of_game(*((key, None) for key in keys)) == []


def test_more_than_an_edge_can_say_of_a_range_is_cut_off() -> None:
    game = replace(GAME, last_port=3060)
    spans = [
        (f"tcp:{first}-{last}", None)
        for first in range(2998, 3060)
        for last in range(first + 1, 3060)
    ]
    ((_, _, ports),) = of_game(*(it for it in spans if it[0] != game.key), game=game)

    assert ports.startswith("2998-2999, 2998-3000, ")
    assert len(ports) == MAX_PORTS_CHARS


def test_what_was_withdrawn_or_moved_is_left_out() -> None:
    before = published()
    after = before.copy()
    moved = Route(ServiceKind.TCP, "ssh", OTHER, 2222)
    after.apply([("https:a.eu", None, 2), (moved.key, moved, 2), (moved.key, moved, 3)])
    services = ("https:a.eu", "tcp:ssh")

    assert filtered(OTHER, *services, known=after).sessions[0].services == ["tcp:ssh"]
    assert filtered(MINE, *services, known=after).sessions[0].services == []
    assert filtered(MINE, *services, known=before).sessions[0].services == list(services)
    assert [it.tenant_id for it in filtered(OTHER, tenants=(MINE,), known=after).tenants] == []


def test_a_service_on_two_ports_is_kept_until_both_are_withdrawn() -> None:
    known = published()
    second = Route(ServiceKind.TCP, "ssh", MINE, 2223)
    known.apply([(second.key, second, 2), ("tcp:2222", None, 3)])
    (one,) = filtered(MINE, "tcp:ssh", known=known).sessions
    known.apply([(second.key, None, 4)])
    (none,) = filtered(MINE, "tcp:ssh", known=known).sessions

    assert (one.services, none.services) == (["tcp:ssh"], [])


def test_no_report_walks_all_routes() -> None:
    """Of a table that cannot be walked, only what the report names is looked up."""
    known = published()
    routes = Mock(spec_set=("get",))
    routes.get = known.routes.get
    known.routes = routes

    assert filtered(MINE, "https:a.eu", known=known).sessions[0].services == ["https:a.eu"]


def owners(*certificates: tuple[str, TenantId | None]) -> list[bytes | None]:
    """Whose the certificates of a report are, after what its edge says."""
    found = [
        CertificateReport(hostname=name, state="valid", tenant_id=tenant)
        for name, tenant in certificates
    ]
    report = filtered(MINE).model_copy(update={"certificates": found})
    return [it.tenant_id for it in filter_report(report, published()).certificates]


def test_whose_a_certificate_is_is_what_the_routes_say() -> None:
    assert owners(("a.eu", MINE), ("x.b.eu", OTHER)) == [MINE, OTHER]
    assert owners(("a.eu", OTHER), ("x.b.eu", None)) == [MINE, OTHER]
    assert owners(("c.eu", MINE), ("x.y.b.eu", OTHER), ("eu", None)) == [None, None, None]
