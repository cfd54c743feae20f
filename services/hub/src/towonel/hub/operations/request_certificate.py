"""Requests of people to renew or revoke a name's certificate, which edges are told with their next report."""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.certificates.items import CertificateRequestOut
from towonel.api.certificates.reports import (
    MAX_REQUESTS,
    CertificateAction,
    CertificateRequest,
    RevocationReason,
)
from towonel.hub.core.live_view import LiveCertificate
from towonel.hub.core.timestamps import to_datetime
from towonel.hub.store import certificate_requests as store
from towonel.hub.store.audit import Actor
from towonel.hub.store.certificate_requests import REQUEST_MS
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import CertificateRequestRow
from towonel.wire.errors import Code, Denied, Unavailable

_FOLDER = "hostname: its certificate is of files that somebody put into the edge's folder, and not ordered"
_EVENTS: dict[CertificateAction, str] = {
    "renew": "certificate.renewal_requested",
    "revoke": "certificate.revocation_requested",
}


async def request_certificate(
    write: Write,
    actor: Actor,
    found: Sequence[LiveCertificate],
    action: CertificateAction,
    reason: RevocationReason = "unspecified",
) -> CertificateRequestOut:
    """Ask the edges that have a name's certificate to renew or revoke it; those that want one, to order it.

    Args:
        write: of the database.
        actor: who asks.
        found: the name on each edge, at least one.
        action: what is asked.
        reason: why it is revoked.

    Raises:
        Denied: INVALID_REQUEST where there is nothing that an edge could do.
        Unavailable: RATE_LIMITED where too many requests wait for an edge.
    """
    first = found[0].report
    if not (edges := [each.edge_id for each in found if _is_possible(each, action)]):
        raise Denied(Code.INVALID_REQUEST, _describe_refusal(found))
    for edge_id in edges:
        row = CertificateRequestRow(
            edge_id=edge_id,
            hostname=first.hostname,
            action=action,
            reason=reason,
            requested_at_ms=write.now_ms,
        )
        await _put(write, row)
    after: dict[str, object] = {"edges": [edge_id.hex() for edge_id in edges]}
    after |= {"reason": reason} if action == "revoke" else {}
    subject = f"certificate:{first.hostname}"
    write.audit(actor, _EVENTS[action], subject, first.tenant_id, after=after)
    end = to_datetime(write.now_ms + REQUEST_MS)
    return CertificateRequestOut(
        hostname=first.hostname, action=action, edges=edges, expires_at=end
    )


async def _put(write: Write, row: CertificateRequestRow) -> None:
    others = await store.count_others(write.session, row.edge_id, row.hostname, write.now_ms)
    if others >= MAX_REQUESTS:
        detail = f"{MAX_REQUESTS} requests wait for the edge {row.edge_id.hex()}; ask again"
        raise Unavailable(Code.RATE_LIMITED, detail, retry_after_s=10)
    await store.put(write, row)


async def take_requests(
    session: AsyncSession, edge_id: bytes, now_ms: int
) -> list[CertificateRequest]:
    """Return what people ask of an edge, which is told once; as many as one answer has."""
    found = await store.take(session, edge_id, now_ms)
    return [
        CertificateRequest(hostname=hostname, action=action, reason=reason)
        for hostname, action, reason in found
    ]


def _describe_refusal(found: Sequence[LiveCertificate]) -> str:
    if all(each.report.source == "folder" for each in found):
        return _FOLDER
    return f"hostname: no edge has a certificate of {found[0].report.hostname} to revoke"


def _is_possible(found: LiveCertificate, action: CertificateAction) -> bool:
    source = found.report.source
    return source == "acme" if action == "revoke" else source != "folder"
