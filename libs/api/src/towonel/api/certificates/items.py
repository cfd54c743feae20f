"""Bodies about certificates of names whose TLS ends at edges, as people see them and ask about them."""

from typing import Literal

from pydantic import AwareDatetime

from towonel.api.bodies import Answer, Page, Request
from towonel.api.certificates.reports import (
    CertificateAction,
    CertificateSource,
    CertificateState,
    RevocationReason,
)
from towonel.api.fields import Hex32


class CertificateItem(Answer):
    """The certificate of a name on one edge, as that reported it, or that it wants one.

    `valid` and `expiring` ones serve clients; `expiring` means that the time of renewal is long over. Without a
    certificate it is `ordering`, `failed` or `expired`, or `missing` where nothing has been tried yet. `issuer` is the
    authority's name, `source` whether it was ordered by ACME or put into the folder as files. `renews_at` is null where
    nobody renews it. `error` is of the last order, or of the files, and may be there while an older certificate serves;
    `fix` says what to do, `retry_at` when the edge tries again by itself.
    """

    hostname: str
    edge_id: Hex32
    tenant_id: Hex32 | None
    state: CertificateState
    source: CertificateSource | None
    issuer: str
    serial: str
    not_before: AwareDatetime | None
    not_after: AwareDatetime | None
    renews_at: AwareDatetime | None
    is_ordering: bool
    error: str
    fix: str
    retry_at: AwareDatetime | None


class CertificatePage(Page):
    """Certificates, by hostname and edge."""

    certificates: list[CertificateItem]


class CertificateDetail(Answer):
    """A name, and its certificate on each edge that has or wants one."""

    hostname: str
    tenant_id: Hex32 | None
    certificates: list[CertificateItem]


class RevocationIn(Request):
    """Reason why a certificate is revoked; the authority publishes it."""

    reason: RevocationReason = "unspecified"


class CertificateRequestOut(Answer):
    """Confirmation that these edges are told with their next report, within 10 s, or never after `expires_at`."""

    status: Literal["requested"] = "requested"
    hostname: str
    action: CertificateAction
    edges: list[Hex32]
    expires_at: AwareDatetime
