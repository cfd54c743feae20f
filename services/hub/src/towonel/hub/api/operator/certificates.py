"""Endpoints of certificates of names whose TLS ends at edges."""

from typing import Annotated

from fastapi import Query

from towonel.api.certificates.items import (
    CertificateDetail,
    CertificatePage,
    CertificateRequestOut,
    RevocationIn,
)
from towonel.api.certificates.reports import CertificateState
from towonel.hub.api.http.auth import Caller, TenantOperator, TenantViewer
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.idempotency import Idempotent, idempotent
from towonel.hub.api.http.parameters import OfEdge, OfTenant, Page, ServerName, Text
from towonel.hub.api.http.router import create_router
from towonel.hub.api.presenters.certificates import to_certificate_item
from towonel.hub.context import Hub, HubDep
from towonel.hub.core.live_view import LiveCertificate
from towonel.hub.operations.request_certificate import request_certificate
from towonel.hub.store.db.pagination import page_in_memory
from towonel.wire.errors import Code, Denied

router = create_router("/v1/certificates", tags=["certificates"])


@router.get("", responses=error_responses(400))
async def list_certificates(
    hub: HubDep,
    caller: TenantViewer,
    paging: Page,
    tenant_id: OfTenant,
    edge_id: OfEdge,
    hostname: Text = None,
    state: Annotated[CertificateState | None, Query(description="Only those in it.")] = None,
) -> CertificatePage:
    """List the certificates that live edges have or want, by hostname and edge, as they reported them.

    An edge reports 3 000 at most, those first that somebody has to look at.
    """
    tenant = caller.principal.scope(tenant_id)
    await hub.edge_reports.refresh(hub.now_ms())
    wanted = (tenant, edge_id, None if hostname is None else hostname.lower(), state)
    found = [
        each
        for each in hub.edge_reports.view.certificates
        if all(value in {None, has} for value, has in zip(wanted, _traits(each), strict=True))
    ]
    page = page_in_memory(found, paging, lambda each: each.key)
    items = [to_certificate_item(each) for each in page.rows]
    return CertificatePage(certificates=items, next_cursor=page.next_cursor)


@router.get("/{hostname}", responses=error_responses(404))
async def get_certificate(
    hub: HubDep, caller: TenantViewer, hostname: ServerName
) -> CertificateDetail:
    """Show the certificate of a name on each edge that has or wants one."""
    found = await _find(hub, caller, hostname)
    return CertificateDetail(
        hostname=found[0].report.hostname,
        tenant_id=found[0].report.tenant_id,
        certificates=[to_certificate_item(each) for each in found],
    )


@router.post("/{hostname}/renew", responses=error_responses(400, 404, 409))
async def renew_certificate(
    hub: HubDep, caller: TenantOperator, hostname: ServerName, request: Idempotent
) -> CertificateRequestOut:
    """Have a certificate ordered anew on each edge, also after failures, or after it was revoked.

    Edges are told with their next report; what comes of it is seen in the certificate.
    """
    found = await _find(hub, caller, hostname)
    async with (
        hub.store.write() as write,
        idempotent(write, caller, request, CertificateRequestOut) as answer,
    ):
        if answer.is_new:
            answer.body = await request_certificate(write, caller.actor, found, "renew")
    return answer.body


@router.post("/{hostname}/revoke", responses=error_responses(400, 404, 409))
async def revoke_certificate(
    hub: HubDep,
    caller: TenantOperator,
    hostname: ServerName,
    request: Idempotent,
    body: RevocationIn | None = None,
) -> CertificateRequestOut:
    """Have a certificate revoked by its authority, and removed, on each edge that ordered one.

    Nothing is ordered for the name from then on, until it is renewed: clients get no certificate.
    """
    found = await _find(hub, caller, hostname)
    reason = (body or RevocationIn()).reason
    async with (
        hub.store.write() as write,
        idempotent(write, caller, request, CertificateRequestOut) as answer,
    ):
        if answer.is_new:
            answer.body = await request_certificate(write, caller.actor, found, "revoke", reason)
    return answer.body


def _traits(found: LiveCertificate) -> tuple[bytes | None, bytes, str, str]:
    report = found.report
    return report.tenant_id, found.edge_id, report.hostname, report.state


async def _find(hub: Hub, caller: Caller, hostname: str) -> list[LiveCertificate]:
    """Return what each live edge reported of a name.

    Raises:
        Denied: NOT_FOUND, also for the name of another tenant than the caller's.
    """
    await hub.edge_reports.refresh(hub.now_ms())
    name, of = hostname.lower(), caller.tenant_id
    certificates = hub.edge_reports.view.certificates
    found = [each for each in certificates if each.report.hostname == name]
    if not found or of not in {None, found[0].report.tenant_id}:
        raise Denied(Code.NOT_FOUND, "no live edge has or wants a certificate of this name")
    return found
