"""Filter of edge reports: only tenants, services and ports that have routes are found in memory, and whose a name is."""

from collections.abc import Iterable

from towonel.api.certificates.reports import CertificateReport
from towonel.api.reports import MAX_PORTS_CHARS, EdgeReport, ListenerReport, SessionReport
from towonel.hub.core.route_history import RouteHistory
from towonel.wire.addresses import is_port
from towonel.wire.names import Hostname, ServiceKind, wildcard_of
from towonel.wire.policy.port_ranges import parse_range
from towonel.wire.session.balance_hints import to_bits


def filter_report(report: EdgeReport, known: RouteHistory) -> EdgeReport:
    """Return a report without the names, the tenants and the ports that have no route.

    Whose the name of a certificate is, is what the routes say. Files of a name without one are nobody's.
    """
    sessions = [_filter_session(session, known) for session in report.sessions]
    connected = {session.tenant_id for session in sessions}
    tenants = [
        it for it in report.tenants if it.tenant_id in known.tenants or it.tenant_id in connected
    ]
    listeners = _filter_listeners(report.listeners, known)
    certificates = [_set_owner(each, known) for each in report.certificates]
    return report.model_copy(
        update={
            "sessions": sessions,
            "tenants": tenants,
            "listeners": listeners,
            "certificates": certificates,
        }
    )


def _filter_session(session: SessionReport, known: RouteHistory) -> SessionReport:
    tenant_id = session.tenant_id
    services = [key for key in session.services if _is_published(tenant_id, key, known)]
    if len(services) == len(session.services):  # as a rule
        return session
    failing = set(session.services_failing)
    bits = to_bits(key in failing for key in services).hex()
    return session.model_copy(update={"services": services, "failing": bits})


def _is_published(tenant_id: bytes, key: str, known: RouteHistory) -> bool:
    """Whether a tenant publishes a service; agents announce `https:app.example.eu` or `tcp:ssh`."""
    route = known.routes.get(key)  # a port's key has its number, and no agent announces that
    is_name = route is not None and (route.kind, route.tenant_id) == (ServiceKind.HTTPS, tenant_id)
    return is_name or (tenant_id, key) in known.port_services


def _set_owner(certificate: CertificateReport, known: RouteHistory) -> CertificateReport:
    name = Hostname(certificate.hostname)
    wildcard = wildcard_of(name)
    route = known.routes.get(f"{ServiceKind.HTTPS}:{name}") or known.routes.get(
        f"{ServiceKind.HTTPS}:{wildcard}"
    )
    owner = None if route is None else route.tenant_id
    if owner == certificate.tenant_id:  # as a rule
        return certificate
    return certificate.model_copy(update={"tenant_id": owner})


def _is_port(key: str, known: RouteHistory) -> bool:
    """Whether a key is of a published port; edges report `tcp:2222`."""
    route = known.routes.get(key)
    return route is not None and route.kind is not ServiceKind.HTTPS


def _filter_listeners(
    listeners: Iterable[ListenerReport], known: RouteHistory
) -> list[ListenerReport]:
    """Return those of published ports; what is said alike of several ports of a range becomes one."""
    filtered: list[ListenerReport] = []
    parts: dict[tuple[str, str | None, str], list[str]] = {}
    for one in listeners:
        if _is_port(one.key, known):
            filtered.append(one)
        elif (found := _find_part(one.key, known)) is not None:
            key, ports = found
            parts.setdefault((key, one.code, one.detail), []).append(ports)
    for (key, code, detail), spans in parts.items():
        text = ", ".join(dict.fromkeys(spans))[:MAX_PORTS_CHARS]
        filtered.append(ListenerReport(key=key, code=code, detail=detail, ports=text))
    return filtered


def _find_part(key: str, known: RouteHistory) -> tuple[str, str] | None:
    """Return the key of the published range that has some ports, `tcp:27016-27018`, and those."""
    kind, _, ports = key.partition(":")
    span = parse_range(ports) or ((int(ports), int(ports)) if is_port(ports) else None)
    if span is None:
        return None
    first, last = (known.ranges.get(f"{kind}:{port}") for port in span)
    return None if first is None or first != last else (first, ports)
