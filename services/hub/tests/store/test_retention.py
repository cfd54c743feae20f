"""What is forgotten, when, and in parts that hold nobody up."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import SQLModel, func, select, update
from support.hub import TestHub, state, tenant_of

from towonel.hub import background
from towonel.hub.core.route_history import TAGS
from towonel.hub.live.route_cache import RouteCache
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store import retention, routes
from towonel.hub.store.certificate_requests import REQUEST_MS
from towonel.hub.store.retention import Retention
from towonel.hub.store.tables import (
    AgentRow,
    AnswerRow,
    AuditRow,
    BlockRow,
    CertificateRequestRow,
    NonceRow,
    ReportRow,
    RevisionRow,
    RevisionTagRow,
    RouteRow,
)
from towonel.wire.ids import TenantId
from towonel.wire.routes import RouteDelta

pytestmark = pytest.mark.both_databases


def key(number: int) -> bytes:
    return number.to_bytes(32)


def tombstone(number: int, at_ms: int | None) -> RouteRow:
    name = f"n{number}.eu"
    return RouteRow(
        key=f"https:{name}",
        kind="https",
        name=name,
        tenant_id=b"t",
        tls_mode="passthrough",
        revision=number,
        removed_at_ms=at_ms,
    )


DAYS = 30
KEEP = Retention(audit_days=DAYS)
IN_PARTS = replace(KEEP, rows_at_once=4)
KINDS: dict[str, tuple[Callable[[int, int], SQLModel], int]] = {
    "a signed request": (
        lambda n, at: NonceRow(domain="d", signer=key(n), timestamp_ms=at),
        retention.NONCE_MS,
    ),
    "an answer to a repeated create": (
        lambda n, at: AnswerRow(answer_id=key(n), request_hash=b"", sealed=b"", created_at_ms=at),
        retention.DAY_MS,
    ),
    "an agent": (
        lambda n, at: AgentRow(
            agent_id=key(n), tenant_id=b"t", group="g", first_seen_ms=0, last_seen_ms=at
        ),
        retention.DAY_MS,
    ),
    "an edge's report": (
        lambda n, at: ReportRow(edge_id=key(n), reported_at_ms=at, body=b""),
        retention.DAY_MS,
    ),
    "a request about a certificate": (
        lambda n, at: CertificateRequestRow(
            edge_id=key(n), hostname="a.eu", action="renew", reason="", requested_at_ms=at
        ),
        REQUEST_MS,
    ),
    "an audited write": (
        lambda n, at: AuditRow(
            at_ms=at, actor="", action="", subject="", request_id="", address=""
        ),
        DAYS * retention.DAY_MS,
    ),
    "a route that ended": (tombstone, retention.DAY_MS),
    "a block": (
        lambda n, at: BlockRow(tenant_id=key(n), revision=n, blocked_at_ms=at),
        retention.BLOCK_MS,
    ),
}


async def test_tags_are_kept_for_the_newest_revisions(hub: TestHub) -> None:
    tags = [RevisionTagRow(revision=number, tag=b"12345678") for number in (1, 2, 3)]
    await put(hub, list(tags))
    async with hub.context.store.write() as change:
        await change.session.exec(update(RevisionRow).values(value=TAGS + 2))
    await background.prune(hub.context, KEEP)
    async with hub.context.store.read() as session:
        left = (await session.exec(select(RevisionTagRow.revision))).all()

    assert sorted(left) == [2, 3]


async def put(hub: TestHub, rows: list[SQLModel]) -> None:
    async with hub.context.store.write() as change:
        change.session.add_all(rows)


async def count(hub: TestHub, table: type[Any]) -> int:
    async with hub.context.store.read() as session:
        return (await session.exec(select(func.count()).select_from(table))).one()


@pytest.mark.parametrize("what", KINDS)
async def test_each_kind_is_kept_for_its_time_and_then_forgotten(hub: TestHub, what: str) -> None:
    make, retained_ms = KINDS[what]
    now = hub.clock.now_ms
    await put(hub, [make(number, now) for number in (1, 2, 3)])
    hub.clock.now_ms = now + retained_ms
    await background.prune(hub.context, KEEP)
    retained = await count(hub, type(make(0, 0)))
    hub.clock.now_ms += 1
    await background.prune(hub.context, KEEP)

    assert retained == 3
    assert await count(hub, type(make(0, 0))) == 0


@pytest.mark.parametrize("what", KINDS)
async def test_a_backlog_is_forgotten_in_parts_the_oldest_first(hub: TestHub, what: str) -> None:
    make, _ = KINDS[what]
    table = type(make(0, 0))
    await put(hub, [make(number, number) for number in range(1, 10)])
    left: list[int] = []
    more = True
    while more:
        async with hub.context.store.write() as change:
            more = await retention.prune(change, IN_PARTS)
        left.append(await count(hub, table))

    assert left == [5, 1, 0]


async def test_chores_go_on_until_a_backlog_is_gone(hub: TestHub) -> None:
    await put(hub, [NonceRow(domain="d", signer=key(n), timestamp_ms=n) for n in range(10)])
    await background.prune(hub.context, IN_PARTS)

    assert await count(hub, NonceRow) == 0


async def test_of_too_many_tombstones_the_oldest_are_forgotten_and_edges_get_everything(
    hub: TestHub,
) -> None:
    tenant = tenant_of(await hub.invite("*.eu"))
    for names in (["a.eu", "b.eu", "c.eu"], ["b.eu", "c.eu"], ["c.eu"], []):
        hub.clock.now_ms += 1
        await hub.client().apply_desired_state(tenant, state(*names))
    await background.prune(hub.context, replace(KEEP, tombstones=2, rows_at_once=1))
    old, new = await reported(hub, 1), await reported(hub, 2)

    assert await count(hub, RouteRow) == 2
    assert (old.snapshot, old.removed) == (True, ())
    assert (new.snapshot, new.removed) == (False, ("https:b.eu", "https:c.eu"))


async def test_live_routes_are_never_forgotten(hub: TestHub) -> None:
    await put(hub, [tombstone(1, None)])
    hub.clock.now_ms += 10**12
    await background.prune(hub.context, KEEP)

    assert await count(hub, RouteRow) == 1


async def reported(hub: TestHub, since: int) -> RouteDelta:
    """What a hub tells that was started just now."""
    fresh = RouteCache(hub.context.store, RouteChanges())
    await fresh.catch_up()
    return fresh.delta(since)


async def test_an_edge_older_than_what_was_forgotten_gets_everything(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu", "b.eu"), hub.client()
    await client.apply_desired_state(tenant_of(token), state("a.eu", "b.eu"))
    hub.clock.now_ms += 1
    before = hub.context.route_changes.revision
    await client.apply_desired_state(tenant_of(token), state("a.eu"))
    since = hub.context.route_changes.revision
    delta = await reported(hub, before)
    hub.clock.now_ms += retention.TOMBSTONE_MS + 1
    await background.prune(hub.context, KEEP)

    assert (delta.snapshot, delta.removed) == (False, ("https:b.eu",))
    assert (await reported(hub, before)).snapshot
    assert [route.key for route in (await reported(hub, before)).routes] == ["https:a.eu"]
    assert not (await reported(hub, since)).snapshot


async def test_an_edge_that_missed_the_end_of_a_block_gets_everything(hub: TestHub) -> None:
    tenant = TenantId(key(1))
    async with hub.context.store.write() as change:
        await routes.block_tenant(change, tenant)
    blocked = hub.context.route_changes.revision
    async with hub.context.store.write() as change:
        await routes.unblock_tenant(change, tenant)
    hub.clock.now_ms += retention.BLOCK_MS + 1
    await background.prune(hub.context, KEEP)
    delta = await reported(hub, blocked)

    assert (delta.snapshot, delta.blocked) == (True, ())


async def test_a_clock_set_back_does_not_take_back_what_was_forgotten(hub: TestHub) -> None:
    now = hub.clock.now_ms
    await put(hub, [tombstone(7, now - 10), tombstone(3, now)])
    hub.clock.now_ms = now + retention.TOMBSTONE_MS
    await background.prune(hub.context, KEEP)
    hub.clock.now_ms += 1
    await background.prune(hub.context, KEEP)
    async with hub.context.store.write() as change:
        change.revision = 7

    async with hub.context.store.read() as session:
        pruned = (await session.exec(select(RevisionRow.pruned))).one()
    assert pruned == 7
