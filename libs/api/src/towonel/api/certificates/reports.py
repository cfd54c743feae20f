"""Bodies of the reports of edges about certificates, and what edges are asked to do with them."""

from typing import Annotated, Literal

from pydantic import Field

from towonel.api.bodies import Answer, Request
from towonel.api.fields import Hex32

MAX_CERTIFICATES = 3_000  # in one report
MAX_REQUESTS = 100  # in the answer to one report
MAX_ISSUER_CHARS = 64
MAX_ERROR_CHARS = 300
MAX_FIX_CHARS = 200

# `valid` and `expiring` ones serve clients: of those that expire, the time of renewal is long over. Without a
# certificate a name is `ordering`, `failed` or `expired`, or `missing` where nothing has been tried yet.
type CertificateState = Literal["valid", "expiring", "ordering", "missing", "failed", "expired"]
type CertificateSource = Literal["folder", "acme"]  # files that somebody put there, or an authority
type CertificateAction = Literal["renew", "revoke"]
type RevocationReason = Literal[
    "unspecified", "key_compromise", "superseded", "cessation_of_operation"
]
_Moment = Annotated[int, Field(ge=0, le=253_370_764_799_999)]


class CertificateReport(Request):
    """A name's certificate on one edge, or that it wants one; never its key.

    `tenant_id` is whose name it is by the routes, null for files of a name without a route. `renews_at_ms` is when
    it is renewed; null where nobody does. `error` is of the last order or of the files, `fix` what to do about it,
    `retry_at_ms` when the edge tries again by itself.
    """

    hostname: str = Field(max_length=253)
    state: CertificateState
    source: CertificateSource | None = None
    tenant_id: Hex32 | None = None
    issuer: str = Field(default="", max_length=MAX_ISSUER_CHARS)
    serial: str = Field(default="", max_length=40, pattern="^[0-9a-f]*$")
    not_before_ms: _Moment | None = None
    not_after_ms: _Moment | None = None
    renews_at_ms: _Moment | None = None
    is_ordering: bool = False
    error: str = Field(default="", max_length=MAX_ERROR_CHARS)
    fix: str = Field(default="", max_length=MAX_FIX_CHARS)
    retry_at_ms: _Moment | None = None


class CertificateRequest(Answer):
    """Request about the certificate of a name: an edge is told once, and leaves out actions that it does not know."""

    hostname: str
    action: str
    reason: str = "unspecified"
