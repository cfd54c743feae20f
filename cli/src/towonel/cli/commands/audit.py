"""`towonel audit`: the audit log, past and as it is written."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from random import SystemRandom
from typing import Annotated, cast

import typer

from towonel.api.audit import AuditItem
from towonel.cli.command import hub_command
from towonel.cli.errors import UsageError, warn
from towonel.cli.options.durations import parse_duration
from towonel.cli.output import Output, now
from towonel.cli.tables import Limit, TenantId, fetch_all, list_output
from towonel.cli.target import is_unknown_operation
from towonel.client.envelope import printable
from towonel.client.operator import OperatorClient
from towonel.runtime.backoff import Backoff
from towonel.wire.errors import Code, Denied, Unavailable

app = typer.Typer()
FIRST_RETRY_S, MAX_RETRY_S = 0.5, 15.0
MAX_RETRY_AFTER_S = 30.0  # longer than people wait in front of a terminal

Actor = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only what this one did: operator, key:ID.")
]
Action = Annotated[str | None, typer.Option(metavar="NAME", help="Only this: invite.created.")]
Subject = Annotated[str | None, typer.Option(metavar="NAME", help="Only what was done to this.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Not before: 1h ago, or 2026-11-24T12:00:00Z.")
]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Conditions on audit events, each ignored if None."""

    tenant_id: str | None = None
    actor: str | None = None
    action: str | None = None
    subject: str | None = None

    def admits(self, item: AuditItem) -> bool:
        """Tell whether an event meets all conditions."""
        pairs = (
            (self.tenant_id, item.tenant_id.hex() if item.tenant_id else None),
            (self.actor, item.actor),
            (self.action, item.action),
            (self.subject, item.subject),
        )
        return all(condition in {None, value} for condition, value in pairs)


@hub_command(
    app, "list", "towonel audit list --since 1h", "towonel audit list -n 20 --actor operator"
)
async def list_all(
    hub: OperatorClient,
    tenant_id: TenantId = None,
    actor: Actor = None,
    action: Action = None,
    subject: Subject = None,
    since: Since = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before; as --since.")] = None,
    limit: Limit = None,
) -> Output:
    """List writes, the newest first."""
    fetch = partial(
        hub.audit.list,
        tenant_id=tenant_id,
        actor=actor,
        action=action,
        subject=subject,
        since=_parse_time("--since", since),
        until=_parse_time("--until", until),
    )
    events = await fetch_all(fetch, lambda page: page.audit, limit)
    columns = ("AT", "ACTOR", "ACTION", "SUBJECT", "FROM", "WHAT")
    return list_output("audit", events, columns, _to_row, "Nothing was written.")


@hub_command(
    app, "tail", "towonel audit tail", "towonel audit tail -n 0 --action invite.created --json"
)
def tail(
    hub: OperatorClient,
    tenant_id: TenantId = None,
    actor: Actor = None,
    action: Action = None,
    subject: Subject = None,
    lines: Annotated[
        int,
        typer.Option("--lines", "-n", metavar="N", min=0, max=1_000, help="Begin with the last N."),
    ] = 10,
) -> AsyncGenerator[Output]:
    """Follow writes as they are made, until Ctrl-C. A hub that goes away is asked again."""
    audit_filter = AuditFilter(tenant_id, actor, action, subject)
    return follow(hub, audit_filter, lines, Backoff(FIRST_RETRY_S, MAX_RETRY_S))


async def follow(
    hub: OperatorClient, audit_filter: AuditFilter, lines: int, backoff: Backoff
) -> AsyncGenerator[Output]:
    """Yield the last events, then new ones for ever; a hub that does not answer is asked again.

    Args:
        hub: the client of the hub.
        audit_filter: which events.
        lines: how many of the past.
        backoff: the delays between tries.
    """
    last_id: int | None = None
    for item in await _recent(hub, audit_filter, lines):
        last_id = item.id
        yield Output(item, _format_line(item))
    async with aclosing(_stream(hub, last_id, backoff)) as items:
        async for item in items:
            if audit_filter.admits(item):
                yield Output(item, _format_line(item))


async def _recent(hub: OperatorClient, audit_filter: AuditFilter, lines: int) -> list[AuditItem]:
    if lines == 0:
        return []
    try:
        page = await hub.audit.list(
            limit=lines,
            tenant_id=audit_filter.tenant_id,
            actor=audit_filter.actor,
            action=audit_filter.action,
            subject=audit_filter.subject,
        )
    except Denied as error:
        if (
            error.code is not Code.FORBIDDEN
        ):  # a caller that may not read the log may still follow it
            raise
        return []
    return page.audit[::-1]


async def _stream(
    hub: OperatorClient, last_id: int | None, backoff: Backoff
) -> AsyncGenerator[AuditItem]:
    rng = SystemRandom()
    for attempt in itertools.count():
        wait_s = 0.0
        try:
            async with aclosing(hub.audit.follow(last_event_id=last_id)) as events:
                async for item in events:
                    backoff.record_success(0)
                    last_id = item.id
                    yield item
            reason = "the hub stopped"
        except Unavailable as error:
            if attempt == 0 and is_unknown_operation(error):
                raise
            reason, wait_s = error.detail, min(error.retry_after_s or 0, MAX_RETRY_AFTER_S)
        warn(f"{reason}; asking again")
        await asyncio.sleep(max(wait_s, backoff.next_delay(rng)))


def _parse_time(flag: str, text: str | None) -> datetime | None:
    """Return a time that is given as such, or by how long ago it was."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        pass
    else:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at
    try:
        ago_s = parse_duration(text.strip().removesuffix("ago"))
        if ago_s is None:
            raise ValueError("never is not a time")  # noqa: TRY301 one message for all
        return now() - timedelta(seconds=ago_s)
    except (ValueError, OverflowError):
        raise UsageError(f"{flag}: write 90min, 2d or 2026-11-24T12:00:00Z") from None


def _format_line(item: AuditItem) -> str:
    origin = (
        f"from {item.address}" if item.address else ""
    )  # empty for callers that may not know it
    parts = (_format_at(item), item.actor, item.action, item.subject, origin, _format_change(item))
    return printable("  ".join(part for part in parts if part))


def _to_row(item: AuditItem) -> tuple[str, ...]:
    return (
        _format_at(item),
        item.actor,
        item.action,
        item.subject,
        item.address,
        _format_change(item),
    )


def _format_at(item: AuditItem) -> str:
    return item.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _format_change(item: AuditItem) -> str:
    """Return what changed: `name=home`, or `name=old->new`."""
    before, after = _flatten(item.before or {}), _flatten(item.after or {})
    return ", ".join(
        f"{name}={_format_value(before[name])}->{_format_value(after.get(name))}"
        if name in before
        else f"{name}={_format_value(after[name])}"
        for name in before | after
        if name not in before or before[name] != after.get(name)
    )


def _flatten(values: Mapping[str, object], above: str = "") -> dict[str, object]:
    """Return `{"limits": {"services": 3}}` as `{"limits.services": 3}`."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(cast("dict[str, object]", value), f"{above}{name}.")
        else:
            flat[above + name] = value
    return flat


def _format_value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, cast("list[object]", value))) or "none"
    return "none" if value is None else str(value)
