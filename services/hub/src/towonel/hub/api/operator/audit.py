"""Endpoints of the audit log: pages, and a stream of new events."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Annotated

from anyio import CancelScope
from fastapi import Header, Query
from fastapi.responses import StreamingResponse

from towonel.api.audit import AuditItem, AuditPage
from towonel.api.fields import Moment
from towonel.hub.api.http.auth import Caller, Operator, TenantViewer, is_still_valid
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import OfTenant, Page, Text
from towonel.hub.api.http.router import create_router
from towonel.hub.api.http.sse import stream_events
from towonel.hub.context import Hub, HubDep
from towonel.hub.core.access import Principal, current_name, old_key_name
from towonel.hub.core.timestamps import to_datetime, to_optional_ms
from towonel.hub.store import audit as store
from towonel.hub.store.tables import AuditRow
from towonel.wire.errors import Code, Unavailable

router = create_router("/v1")
At = Annotated[Moment | None, Query(description="RFC 3339, as in 2026-11-24T12:00:00Z.")]


@router.get("/audit", tags=["audit"], responses=error_responses(400))
async def list_audit(
    hub: HubDep,
    caller: Operator,
    paging: Page,
    tenant_id: OfTenant,
    actor: Text = None,
    action: Text = None,
    subject: Text = None,
    since: At = None,
    until: At = None,
) -> AuditPage:
    """List writes, the newest first: who did what to what, from where."""
    actors = None if actor is None else {actor, old_key_name(actor), current_name(actor)}
    matching = store.AuditFilter(
        actors, action, subject, tenant_id, to_optional_ms(since), to_optional_ms(until)
    )
    async with hub.store.read() as session:
        page = await store.list_page(session, paging, matching)
    return AuditPage(audit=[_to_item(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get(
    "/events",
    tags=["audit"],
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Server-sent events: `id` counts up, `event` is the action, `data` an"
            " AuditItem.",
        },
        **error_responses(400),
    },
)
async def follow_events(
    hub: HubDep,
    caller: TenantViewer,
    last_event_id: Annotated[
        int | None, Header(ge=0, lt=1 << 63, description="Begin after this event.")
    ] = None,
) -> StreamingResponse:
    """Follow changes as they are made; with Last-Event-ID, also those missed meanwhile.

    Only who may read the audit log is told who made them, and of keys.
    """
    async with hub.store.read() as session:
        newest = await store.get_newest_id(session)
    own = sum(principal.name == caller.principal.name for principal in hub.followers.values())
    if len(hub.followers) >= hub.bounds.followers or own >= hub.bounds.followers_of_key:
        raise Unavailable(Code.OVERLOADED, "too many follow the events", retry_after_s=30)
    start = newest if last_event_id is None else min(last_event_id, newest)
    return await stream_events(_stream(hub, start, caller))


async def _stream(hub: Hub, last_id: int, caller: Caller) -> AsyncGenerator[bytes]:
    clock = asyncio.get_running_loop().time
    sent_at = clock()
    me = object()
    hub.followers[me] = caller.principal
    try:
        yield b""  # for `stream_events`
        yield b": following\n\n"
        while not hub.stopping.is_set():
            next_write = hub.audit_signal.next_write_event()
            rows = await _read_after(hub, caller, last_id)
            if rows is None:
                return
            for row in rows:
                last_id = row.id or last_id
                if (item := _visible(row, caller.principal)) is not None:
                    sent_at = clock()
                    yield _encode(item)
            if len(rows) == hub.bounds.events:
                continue
            if clock() - sent_at >= hub.timing.events_keepalive_s:
                sent_at = clock()
                yield b": quiet\n\n"
            await _wait(next_write, hub.timing.events_poll_s)
    finally:
        del hub.followers[me]


async def _read_after(hub: Hub, caller: Caller, last_id: int) -> list[AuditRow] | None:
    """Return the events after an id, or None if the caller's key is no longer valid."""
    with CancelScope(shield=True):  # a cancelled read would close its connection
        if not await is_still_valid(hub, caller):
            return None
        with contextlib.suppress(Unavailable):
            async with hub.store.read() as session:
                return list(await store.list_after(session, last_id, hub.bounds.events))
    return []  # until the database is back, or the follower leaves


async def _wait(next_write: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await next_write.wait()


def _visible(row: AuditRow, principal: Principal) -> AuditItem | None:
    """Return the event as a caller may see it, or None."""
    item = _to_item(row)
    if principal.may_read_audit:
        return item
    of_another = principal.tenant_id is not None and row.tenant_id != principal.tenant_id
    if of_another or item.action.startswith("key."):
        return None
    return item.model_copy(update={"actor": "", "request_id": "", "address": ""})


def _to_item(row: AuditRow) -> AuditItem:
    """Return an event of the audit log."""
    return AuditItem(
        id=row.id or 0,
        at=to_datetime(row.at_ms),
        actor=current_name(row.actor),
        action=row.action,
        subject=row.subject,
        tenant_id=row.tenant_id,
        before=json.loads(row.before) if row.before else None,
        after=json.loads(row.after) if row.after else None,
        request_id=row.request_id,
        address=row.address,
    )


def _encode(item: AuditItem) -> bytes:
    return f"id: {item.id}\nevent: {item.action}\ndata: {item.model_dump_json()}\n\n".encode()
