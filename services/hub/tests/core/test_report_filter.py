"""Reports of edges: what has no route is not kept, whatever an edge names."""

from typing import Any

from towonel.api.reports import EdgeReport
from towonel.hub.core.report_filter import PublishedServices
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


def filtered(tenant: bytes, *services: str, tenants: tuple[bytes, ...] = ()) -> EdgeReport:
    session: dict[str, Any] = {
        "session_id": "ab" * 16, "agent_id": "cd" * 32, "tenant_id": tenant.hex(), "group": "g",
        "peer": "192.0.2.1:1", "since_ms": 1, "services": list(services), "active_streams": 1,
        "software": "agent/1",
    }  # fmt: skip
    report = {
        "version": "1", "started_at_ms": 1, "sessions_active": 1, "sessions": [session], **COUNTS,
        "tenants": [{"tenant_id": of.hex(), **COUNTS} for of in tenants],
    }  # fmt: skip
    routes = {route.key: route for route in ROUTES}
    return PublishedServices(routes).filter(EdgeReport.model_validate_json(as_json(report)))


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


def test_tenants_with_neither_route_nor_session_are_left_out() -> None:
    report = filtered(OTHER, tenants=(MINE, OTHER, UNKNOWN))
    connected = filtered(UNKNOWN, tenants=(UNKNOWN,))

    assert [one.tenant_id for one in report.tenants] == [MINE, OTHER]
    assert [one.tenant_id for one in connected.tenants] == [UNKNOWN]
