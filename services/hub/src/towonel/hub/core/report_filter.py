"""Filter of edge reports: only tenants and services that have routes are kept in memory."""

from collections.abc import Mapping

from towonel.api.reports import EdgeReport, SessionReport
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route


class PublishedServices:
    """Services that tenants publish, by the key that agents announce: `https:app.example.eu`, `tcp:ssh`.

    Args:
        routes: all of them, by key; for https it is the service's key, too.
    """

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self._ports = {
            (route.tenant_id, str(route.service))
            for route in routes.values()
            if route.kind is not ServiceKind.HTTPS
        }
        self._tenants = {route.tenant_id for route in routes.values()}

    def filter(self, report: EdgeReport) -> EdgeReport:
        """Return a report without the names and the tenants that have no route."""
        sessions = [self._filter_session(session) for session in report.sessions]
        known = self._tenants | {session.tenant_id for session in sessions}
        tenants = [it for it in report.tenants if it.tenant_id in known]
        return report.model_copy(update={"sessions": sessions, "tenants": tenants})

    def _filter_session(self, session: SessionReport) -> SessionReport:
        tenant_id = session.tenant_id
        services = [key for key in session.services if self._is_published(tenant_id, key)]
        return session.model_copy(update={"services": services})

    def _is_published(self, tenant_id: bytes, key: str) -> bool:
        route = self._routes.get(key)
        is_name = route is not None and (route.kind, route.tenant_id) == (
            ServiceKind.HTTPS,
            tenant_id,
        )
        return is_name or (tenant_id, key) in self._ports
