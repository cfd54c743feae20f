"""Filter of edge reports: only tenants, services and ports that have routes are kept in memory."""

from towonel.api.reports import EdgeReport, SessionReport
from towonel.hub.core.route_history import RouteHistory
from towonel.wire.names import ServiceKind


def filter_report(report: EdgeReport, known: RouteHistory) -> EdgeReport:
    """Return a report without the names, the tenants and the ports that have no route."""
    sessions = [_filter_session(session, known) for session in report.sessions]
    connected = {session.tenant_id for session in sessions}
    tenants = [
        it for it in report.tenants if it.tenant_id in known.tenants or it.tenant_id in connected
    ]
    listeners = [it for it in report.listeners if _is_port(it.key, known)]
    return report.model_copy(
        update={"sessions": sessions, "tenants": tenants, "listeners": listeners}
    )


def _filter_session(session: SessionReport, known: RouteHistory) -> SessionReport:
    tenant_id = session.tenant_id
    services = [key for key in session.services if _is_published(tenant_id, key, known)]
    if len(services) == len(session.services):  # as a rule
        return session
    return session.model_copy(update={"services": services})


def _is_published(tenant_id: bytes, key: str, known: RouteHistory) -> bool:
    """Whether a tenant publishes a service; agents announce `https:app.example.eu` or `tcp:ssh`."""
    route = known.routes.get(key)  # a port's key has its number, and no agent announces that
    is_name = route is not None and (route.kind, route.tenant_id) == (ServiceKind.HTTPS, tenant_id)
    return is_name or (tenant_id, key) in known.port_services


def _is_port(key: str, known: RouteHistory) -> bool:
    """Whether a key is of a published port; edges report `tcp:2222`."""
    route = known.routes.get(key)
    return route is not None and route.kind is not ServiceKind.HTTPS
