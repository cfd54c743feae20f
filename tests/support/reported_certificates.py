"""Reports of edges about certificates, for tests of hubs."""

from typing import Any

from towonel.api.certificates.reports import CertificateReport
from towonel.api.reports import EdgeReport

_COUNTS = ("connections_active", "connections_total", "bytes_in", "bytes_out", "sessions_active")
DAY_MS = 24 * 3_600_000


def certificate(hostname: str, now_ms: int, **changes: Any) -> CertificateReport:
    """Return a certificate that was ordered, with sixty days left."""
    fields: dict[str, Any] = {
        "hostname": hostname,
        "state": "valid",
        "source": "acme",
        "issuer": "R11",
        "serial": "3f0c",
        "not_before_ms": now_ms - 30 * DAY_MS,
        "not_after_ms": now_ms + 60 * DAY_MS,
        "renews_at_ms": now_ms + 30 * DAY_MS,
    }
    return CertificateReport.model_validate({**fields, **changes})


def report_of(*certificates: CertificateReport) -> EdgeReport:
    """Return the report of an edge without agents, and with these certificates."""
    fields: dict[str, Any] = dict.fromkeys(_COUNTS, 0)
    return EdgeReport(
        version="1",
        started_at_ms=0,
        sessions=[],
        tenants=[],
        certificates=list(certificates),
        certificates_total=len(certificates),
        **fields,
    )
