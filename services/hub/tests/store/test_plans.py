"""Query plans: with thousands of tenants, nothing that edges, agents and pages ask reads a whole table."""

import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection
from support import large_database
from support.hub import TestHub, new_key, registration, running_hub, state, tenant_of
from support.large_database import StatementLog, log_statements
from support.legacy_client import legacy_client

from towonel.api.invites import HostnamesIn, InviteEdit, InviteIn
from towonel.api.keys import KeyIn
from towonel.api.ports import ReservationIn
from towonel.api.reports import EdgeReport
from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.hub import background
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import open_for_writing
from towonel.hub.store.retention import NONCE_MS, Retention
from towonel.identity.keys import NodeKey
from towonel.wire import base64url
from towonel.wire.tokens import EdgeToken

pytestmark = pytest.mark.both_databases

TENANTS = 3_000
# Few rows by nature: one an edge, one a tenant that was revoked today, one in all; requests of a minute.
SMALL = {
    *("edges", "edge_invites", "edge_reports", "blocked_tenants", "revision", "alembic_version"),
    "certificate_requests",
}
NOT_REMOVED = "WHERE routes.removed_at_ms IS NULL"  # tombstones are those of a day
REPORT = EdgeReport(
    version="1",
    started_at_ms=0,
    connections_active=0,
    connections_total=0,
    bytes_in=0,
    bytes_out=0,
    sessions_active=0,
    sessions=[],
    tenants=[],
)


@pytest.fixture
async def crowded(database: Database) -> AsyncGenerator[TestHub]:
    large_database.fill(database, TENANTS)
    async with running_hub(database, RouteChanges()) as hub:
        hub.clock.now_ms = large_database.NOW_MS
        yield hub


async def edge_path(hub: TestHub, client: HubClient) -> None:
    """All that edges and agents ask for while tenants come and go."""
    created = await client.edge_invites.create("second")
    edge = NodeKey.from_seed(EdgeToken.decode(created.token).seed)
    await client.register_edge(edge, registration(edge))
    token = await hub.invite("a.eu")
    agent = new_key()
    welcome = await client.bootstrap(token, agent, "g")
    assert welcome.grant is not None
    await client.refresh(base64url.decode(welcome.grant), agent)
    await client.apply_desired_state(tenant_of(token), state("a.eu"))
    await client.apply_desired_state(tenant_of(token), state())
    await client.report_edge(edge, REPORT)
    hub.clock.now_ms += 1
    await client.report_edge(edge, REPORT)
    await client.follow_routes(edge, hub.context.route_cache.revision - 1)
    await hub.context.route_cache.catch_up()
    await background.flush(hub.context)
    async with legacy_client(hub) as theirs:
        key = await theirs.tenant("b.eu")
        await theirs.accept(key, 1, "upsert_agent", agent_id=new_key().public)
        await theirs.accept(key, 2, "upsert_hostname", hostname="b.eu")
        await theirs.log(key.tenant_id)
        async with theirs.subscribed(edge) as stream:
            await stream.event()


async def ports_path(hub: TestHub, client: HubClient) -> None:
    """What agents of two groups publish that have a port."""
    token, services = await hub.invite("p.eu"), [ServiceIn(kind="tcp", name="ssh", port=60_001)]
    for group in ("blue", "green"):
        published = DesiredState(group=group, services=services)
        await client.apply_desired_state(tenant_of(token), published)


async def operators_path(hub: TestHub, client: HubClient) -> None:
    """What operators do to a tenant, from its beginning to its end."""
    created = await client.invites.create(InviteIn(hostnames=["c.eu"]), idempotency_key="k")
    await client.invites.update(created.invite_id, InviteEdit(name="x"))
    await client.invites.add_hostnames(created.invite_id, HostnamesIn(hostnames=["d.eu"]))
    await client.ports.reserve(
        ReservationIn(protocol="tcp", first_port=60_000, tenant_id=created.tenant_id)
    )
    tenant_id = created.tenant_id
    await client.tenants.suspend(tenant_id)
    await client.tenants.resume(tenant_id)
    viewer = await client.keys.create(KeyIn(name="v", role="viewer"))
    await hub.client(viewer.key).keys.whoami()
    await client.invites.revoke(created.invite_id)
    await client.tenants.remove(tenant_id)


async def pages(client: HubClient) -> None:
    """First pages, second pages, and those of one tenant."""
    tenant_id = (7).to_bytes(32).hex()
    for listed in (
        client.invites.list,
        client.tenants.list,
        client.services.list,
        client.routes.list,
        client.agents.list,
        client.keys.list,
        client.audit.list,
        client.ports.list,
    ):
        first: Any = await listed(limit=10)
        await listed(limit=10, cursor=first.next_cursor)
    for narrow in (client.services.list, client.routes.list, client.agents.list, client.audit.list):
        await narrow(tenant_id=tenant_id)
    await client.audit.list(actor="nobody")
    await client.audit.list(action="nothing")
    await client.audit.list(subject="nothing")
    await client.services.list(kind="https", limit=10)
    await client.services.get("https:n7.large.eu")
    await client.invites.list(hostname="n7.large.eu")


async def old_things(hub: TestHub) -> None:
    """What is forgotten, with a clock that moved so far that a tenth of the nonces are old."""
    hub.clock.now_ms = large_database.NOW_MS + NONCE_MS - TENANTS * 9 // 10
    await background.prune(hub.context, Retention())
    await background.end_serving(hub.context)


async def test_no_statement_reads_the_whole_of_a_large_table_but_one_that_has_to(
    crowded: TestHub, database: Database
) -> None:
    client = crowded.client()
    with log_statements(crowded.context.store.engine) as seen:
        await edge_path(crowded, client)
        await ports_path(crowded, client)
        await operators_path(crowded, client)
        await pages(client)
        await old_things(crowded)
    with log_statements(crowded.context.store.engine) as one_that_has_to:
        await client.invites.list(name="nobody")
    with open_for_writing(database) as connection:
        found = [(plan, statement) for statement, plan in scans(connection, seen)]
        wanted = {plan for _, plan in scans(connection, one_that_has_to)}

    assert found == []
    assert len(seen.statements) > 100
    assert len(wanted) == 1


def scans(connection: Connection, seen: StatementLog) -> Iterator[tuple[str, str]]:
    """Yield the statements that read a large table from end to end, and how."""
    is_sqlite = connection.dialect.name == "sqlite"
    for statement, parameters in seen.statements.items():
        if not statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
            continue
        if "pg_catalog" in statement or "FROM" not in statement:
            continue
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN (FORMAT JSON)"
        reported = connection.exec_driver_sql(f"{explain} {statement}", parameters).all()
        if is_sqlite:
            found = list(_sqlite_scans(statement, [row.detail for row in reported]))
        else:
            found = list(_postgres_scans(reported[0][0][0]["Plan"], stops=False))
        yield from ((statement, scan) for scan in found)


def _sqlite_scans(statement: str, plan: list[str]) -> Iterator[str]:
    # In the order of a key, up to a limit, it reads as much as it returns.
    ordered = "ORDER BY" in statement and not any("TEMP B-TREE" in line for line in plan)
    filtered = "WHERE" in statement.replace(NOT_REMOVED, "")
    for line in plan:
        scanned = re.match(r"SCAN (?!CONSTANT)(\w+)", line)
        stops = ordered and "LIMIT" in statement and not filtered
        if scanned is not None and scanned[1] not in SMALL and not stops:
            yield line


def _postgres_scans(plan: dict[str, Any], *, stops: bool) -> Iterator[str]:
    kind, table, filtered = plan["Node Type"], plan.get("Relation Name"), plan.get("Filter")
    stops = (stops or kind == "Limit") and kind not in {"Sort", "Aggregate", "Hash", "Gather"}
    narrow = plan.get("Index Cond") or plan.get("Recheck Cond")
    whole = kind == "Seq Scan" or not stops or filtered not in {None, "(removed_at_ms IS NULL)"}
    if table is not None and table not in SMALL and not narrow and whole and "Scan" in kind:
        yield f"{kind} {table} {filtered}"
    for inner in plan.get("Plans", ()):
        yield from _postgres_scans(inner, stops=stops)
