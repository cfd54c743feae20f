"""Bodies about the audit log."""

from typing import Any

from pydantic import AwareDatetime

from towonel.api.bodies import Answer, Page
from towonel.api.fields import Hex32


class AuditItem(Answer):
    """One write: who did what to what, from where; secrets are never in it."""

    id: int
    at: AwareDatetime
    actor: str
    action: str
    subject: str
    tenant_id: Hex32 | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str
    address: str


class AuditPage(Page):
    """Writes, the newest first."""

    audit: list[AuditItem]
