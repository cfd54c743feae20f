"""Presenter of certificates, as edges reported them."""

from towonel.api.certificates.items import CertificateItem
from towonel.hub.core.live_view import LiveCertificate
from towonel.hub.core.timestamps import to_optional_datetime


def to_certificate_item(found: LiveCertificate) -> CertificateItem:
    """Return the item of a name's certificate on one edge."""
    report = found.report
    return CertificateItem(
        hostname=report.hostname,
        edge_id=found.edge_id,
        tenant_id=report.tenant_id,
        state=report.state,
        source=report.source,
        issuer=report.issuer,
        serial=report.serial,
        not_before=to_optional_datetime(report.not_before_ms),
        not_after=to_optional_datetime(report.not_after_ms),
        renews_at=to_optional_datetime(report.renews_at_ms),
        is_ordering=report.is_ordering,
        error=report.error,
        fix=report.fix,
        retry_at=to_optional_datetime(report.retry_at_ms),
    )
