"""Client of the audit log: pages of past events, and a stream of new ones."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from http import HTTPMethod

from towonel.api.audit import AuditItem, AuditPage
from towonel.client.request import EVENTS, HubRequest
from towonel.client.sse import MAX_EVENT_BYTES
from towonel.client.transport import HubTransport, parse_answer


class Audit:
    """Client of the audit log, and of its stream of events."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        tenant_id: bytes | str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
    ) -> AuditPage:
        """List writes, the newest first.

        Args:
            limit: how many at most, 1 to 1000.
            cursor: the `next_cursor` of the part before.
            actor: only events of this actor.
            action: only of this kind, `tenant.suspended`.
            subject: only events about this subject.
            tenant_id: only about this tenant, in hexadecimal.
            since: not before; RFC 3339 or a datetime with its zone.
            until: before; the same.
        """
        query = {
            "limit": limit,
            "cursor": cursor,
            "actor": actor,
            "action": action,
            "subject": subject,
            "tenant_id": tenant_id,
            "since": _rfc3339(since),
            "until": _rfc3339(until),
        }
        return await self._hub.get(AuditPage, "/v1/audit", query)

    async def follow(self, *, last_event_id: int | None = None) -> AsyncGenerator[AuditItem]:
        """Yield writes as they happen, until the hub ends the stream; `aclose` it when left early.

        Args:
            last_event_id: the id of the last write seen: those after it come first. None for what
                happens from now on.

        Raises:
            Unavailable: HUB_UNAVAILABLE also for a hub that is silent for 45 s; ask again with the
                last id.
        """
        request = HubRequest(
            HTTPMethod.GET,
            "/v1/events",
            authorization=self._hub.bearer(),
            extra_headers={"last-event-id": None if last_event_id is None else str(last_event_id)},
            accept=EVENTS,
            max_bytes=MAX_EVENT_BYTES,
        )
        async with aclosing(self._hub.events(request)) as events:
            async for event in events:
                yield parse_answer(AuditItem, event.data, request)


def _rfc3339(at: datetime | str | None) -> str | None:
    return at.isoformat() if isinstance(at, datetime) else at
