"""Lists in pages: every row once while others come and go; filters; cursors that are none."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from support.callers import OPERATOR, body_of, code_of, invite_id, keyed, publish, tenant_id
from support.hub import TestHub, new_key, registration, running_hub, tenant_of
from support.postgres import Postgres
from support.reported_certificates import certificate, report_of

from towonel.api.invites import InviteIn, InviteOut
from towonel.api.keys import KeyIn
from towonel.api.ports import ReservationIn
from towonel.client.hub import HubClient
from towonel.hub import background
from towonel.hub.live.edge_reports import REFRESH_MS
from towonel.hub.live.route_changes import RouteChanges
from towonel.identity.keys import NodeKey
from towonel.wire import base64url, cbor
from towonel.wire.errors import Code
from towonel.wire.tokens import EdgeToken, InviteToken

type Fetch = Callable[..., Awaitable[Any]]
ROWS = 4


async def filled(hub: TestHub) -> None:
    """Four rows of every resource; some were made in the same millisecond."""
    client, token = hub.client(), await hub.invite("*.a.eu")
    await publish(hub, token, *(f"{n}.a.eu" for n in range(ROWS)))
    for number in range(ROWS):
        hub.clock.now_ms += number % 2
        await client.keys.create(KeyIn(name=f"k{number}", role="viewer"))
        await client.edge_invites.create(f"e{number}")
        await client.bootstrap(token, new_key(), f"g{number % 2}")
        await client.ports.reserve(ReservationIn(tenant_id=tenant_id(token), protocol="tcp"))
        if number:  # one there was
            await client.invites.create(InviteIn(name=f"i{number}", hostnames=[f"{number}.eu"]))
    found = (certificate(f"{n}.a.eu", hub.clock.now_ms) for n in range(ROWS))
    await client.report_edge(hub.context.keys.node, report_of(*found))
    hub.clock.now_ms += REFRESH_MS


def lists(client: HubClient) -> dict[str, tuple[Fetch, str, str]]:
    """Every list: how it is asked, the name of its rows, and what tells them apart."""
    return {
        "list_invites": (client.invites.list, "invites", "invite_id"),
        "list_edge_invites": (client.edge_invites.list, "invites", "invite_id"),
        "list_tenants": (client.tenants.list, "tenants", "tenant_id"),
        "list_services": (client.services.list, "services", "key"),
        "list_routes": (client.routes.list, "routes", "key"),
        "list_agents": (client.agents.list, "agents", "agent_id"),
        "list_edges": (client.edges.list, "edges", "node_id"),
        "list_ports": (client.ports.list, "ports", "reservation_id"),
        "list_keys": (client.keys.list, "keys", "key_id"),
        "list_audit": (client.audit.list, "audit", "id"),
        "list_certificates": (client.certificates.list, "certificates", "hostname"),
    }


async def walk(fetch: Fetch, rows: str, name: str, limit: int, **wanted: object) -> list[Any]:
    found, cursor = list[Any](), None
    while True:
        page = await fetch(limit=limit, cursor=cursor, **wanted)
        found += [getattr(row, name) for row in getattr(page, rows)]
        assert getattr(page, rows) or cursor is None, "a page after the last"
        cursor = page.next_cursor
        if cursor is None:
            return found
        assert len(getattr(page, rows)) == limit


async def test_every_list_of_the_document_comes_in_pages(hub: TestHub) -> None:
    paged = {
        operation["operationId"]
        for methods in hub.app.openapi()["paths"].values()
        for operation in methods.values()
        if {"limit", "cursor"} <= {it["name"] for it in operation.get("parameters", [])}
    }

    assert paged == set(lists(hub.client()))


@pytest.mark.both_databases
async def test_pages_of_any_size_hold_the_same_rows_in_the_same_order(hub: TestHub) -> None:
    await filled(hub)
    node = hub.context.keys.node
    await hub.client().register_edge(node, registration(node))
    for operation, (fetch, rows, name) in lists(hub.client()).items():
        whole = await walk(fetch, rows, name, 1000)

        assert len(set(whole)) == len(whole), operation
        assert len(whole) >= (1 if operation == "list_edges" else ROWS), operation
        for limit in (1, 3, ROWS):
            assert await walk(fetch, rows, name, limit) == whole, operation


@pytest.mark.both_databases
async def test_rows_that_come_and_go_hide_no_other_and_repeat_none(hub: TestHub) -> None:
    client = hub.client()
    made = [await client.invites.create(InviteIn(hostnames=[f"{n}.eu"])) for n in range(6)]
    stay = {it.invite_id for it in made}
    found, cursor, number = list[str](), None, 0
    while True:
        page = await client.invites.list(limit=2, cursor=cursor)
        found += [it.invite_id for it in page.invites]
        number += 1
        hub.clock.now_ms += 1
        await client.invites.create(InviteIn(hostnames=[f"new{number}.eu"]))
        async with (
            hub.context.store.write() as change
        ):  # the last row of the page ends, cursor or not
            gone = {"id": base64url.decode(found[-1])}
            for table in ("invite_hostnames", "invites"):
                statement = text(f"DELETE FROM {table} WHERE invite_id = :id")  # noqa: S608 two names
                await (await change.session.connection()).execute(statement, gone)
        cursor = page.next_cursor
        if cursor is None:
            break

    assert len(found) == len(set(found))
    assert set(found) == stay


@pytest.mark.both_databases
async def test_an_edge_that_registers_meanwhile_hides_no_other(hub: TestHub) -> None:
    client = hub.client()
    edges = [hub.context.keys.node, *[await edge(hub) for _ in range(4)]]
    for key in edges:
        await client.register_edge(key, registration(key))
    found = await walk(client.edges.list, "edges", "node_id", 2)

    assert found == sorted(key.public for key in edges)


async def edge(hub: TestHub) -> NodeKey:
    return NodeKey.from_seed(
        EdgeToken.decode((await hub.client().edge_invites.create()).token).seed
    )


async def test_a_cursor_that_is_none_of_the_list_is_refused(hub: TestHub) -> None:
    values: list[object] = [
        [], [1, 2], ["a"], [1, b"a", 2], [True, b"a"], [1.5, b"a"], [None, None], {"a": 1}, 5, "text",
        [1 << 63, b"a"], [-(1 << 63), b"a"], [1 << 64], [1 << 63], ["a\0", b"a", "b"],
        ["tcp", 1 << 70, b"a"], ["a\0", 1, b"a"], [[1], b"a"], [b"a", 1],
    ]  # fmt: skip
    cursors = [base64url.encode(cbor.encode(value)) for value in values]
    cursors += ["!", "=", "AA=", "_" * 513, "gA" * 200, base64url.encode(b"\x9f" * 300), "\x7f"]
    async with hub.raw() as http:
        for name, cursor in itertools.product(("invites", "services", "ports", "audit"), cursors):
            answer = await http.get(f"/v1/{name}", params={"cursor": cursor}, headers=OPERATOR)

            assert body_of(answer) == (400, "invalid_request"), (name, cursor)
            assert "cursor" in answer.json()["error"]["message"]


async def test_a_limit_is_1_to_1000(hub: TestHub) -> None:
    async with hub.raw() as http:
        for limit in ("0", "-1", "1001", "x", "1.5", "1e2", "9" * 40):
            answer = await http.get(f"/v1/tenants?limit={limit}", headers=OPERATOR)

            assert body_of(answer) == (400, "invalid_request")
            assert "limit" in answer.json()["error"]["message"]
        for limit in ("1", "1000"):
            assert (await http.get(f"/v1/tenants?limit={limit}", headers=OPERATOR)).is_success


@pytest.mark.both_databases
async def test_a_key_of_a_tenant_finds_no_other_by_a_cursor(hub: TestHub) -> None:
    mine = await hub.invite("mine.eu")
    await hub.invite("z.eu")
    await filled(hub)
    page = await hub.client().tenants.list(limit=1)
    own = await keyed(hub, "viewer", tenant_of(mine))
    found = await own.tenants.list(cursor=page.next_cursor)

    assert page.next_cursor
    assert {it.tenant_id for it in found.tenants} == {tenant_id(mine)}


async def four_tenants(hub: TestHub) -> tuple[Fetch, Fetch]:
    """Tenants that differ in what is filtered by; how the names of invites and tenants are asked."""
    client, made = hub.client(), dict[str, InviteOut]()
    names = {"Home_1": "a.eu", "home-2": "b.eu", "100%": "*.c.eu", "office": "d.eu"}
    for name, host in names.items():
        made[name] = await client.invites.create(InviteIn(name=name, hostnames=[host]))
    await client.invites.revoke(made["office"].invite_id)
    await client.tenants.suspend(made["home-2"].tenant_id)

    async def invites(**wanted: Any) -> set[str]:
        return {it.name for it in (await client.invites.list(**wanted)).invites}

    async def tenants(**wanted: Any) -> set[str]:
        return {it.name for it in (await client.tenants.list(**wanted)).tenants}

    return invites, tenants


@pytest.mark.both_databases
async def test_invites_and_tenants_are_found_by_name_and_hostname(hub: TestHub) -> None:
    for found in await four_tenants(hub):
        assert len(await found()) == 4
        assert await found(name="HOME") == {"Home_1", "home-2"}
        assert await found(name="_") == {"Home_1"}
        assert await found(name="%") == {"100%"}
        assert await found(hostname="*.C.eu") == {"100%"}
        assert await found(hostname="x.c.eu") == set()
        assert await found(name="home", hostname="b.eu") == {"home-2"}


@pytest.mark.both_databases
async def test_invites_and_tenants_are_found_by_how_they_stand(hub: TestHub) -> None:
    invites, tenants = await four_tenants(hub)

    assert await invites(status="revoked") == {"office"}
    assert await invites(status="pending") == {"Home_1", "home-2", "100%"}
    assert await tenants(status="active") == {"Home_1", "100%"}
    assert await tenants(status="suspended") == {"home-2"}
    assert await tenants(status="revoked") == {"office"}


@pytest.mark.both_databases
async def test_invites_are_found_by_what_can_still_be_done_with_them(hub: TestHub) -> None:
    client = hub.client()
    used, _ = [await hub.invite(name) for name in ("used.eu", "pending.eu")]
    brief = InviteIn(hostnames=["expired.eu"], expires_in_secs=15)
    expired = InviteToken.decode((await client.invites.create(brief)).token)
    trial = InviteIn(hostnames=["ended.eu"], expires_in_secs=15, serves_for_secs=15)
    ended = InviteToken.decode((await client.invites.create(trial)).token)
    for token in (used, expired, ended):
        await client.bootstrap(token, new_key(), "default")
    revoked = await hub.invite("revoked.eu")
    await client.invites.revoke(invite_id(revoked))
    hub.clock.now_ms += 15_000
    await background.end_serving(hub.context)
    listed = {item.hostnames[0]: item for item in (await client.invites.list()).invites}

    for state in ("pending", "used", "expired", "ended", "revoked"):
        (found,) = (await client.invites.list(state=state)).invites
        assert found == listed[f"{state}.eu"]
        assert found.state == state
        assert (await client.invites.get(found.invite_id)).value.state == state
    assert (listed["expired.eu"].status, listed["used.eu"].status) == ("pending", "pending")
    assert [listed[f"{name}.eu"].used_at is not None for name in ("pending", "used", "expired")] == [
        False, True, True,
    ]  # fmt: skip


@pytest.mark.both_databases
async def test_ports_are_found_by_tenant_and_protocol(hub: TestHub) -> None:
    one, two, client = await hub.invite("a.eu"), await hub.invite("b.eu"), hub.client()
    for token, protocol in ((one, "tcp"), (one, "udp"), (two, "tcp")):
        of = {"tenant_id": tenant_id(token), "protocol": protocol}
        await client.ports.reserve(ReservationIn.model_validate(of))

    async def ports(**wanted: bytes | str) -> list[tuple[str, int]]:
        found = (await client.ports.list(**wanted)).ports  # type: ignore[arg-type]
        return [(it.protocol, it.first_port) for it in found]

    assert await ports() == [("tcp", 1024), ("tcp", 1025), ("udp", 1024)]
    assert await ports(protocol="tcp") == [("tcp", 1024), ("tcp", 1025)]
    assert await ports(tenant_id=tenant_id(one)) == [("tcp", 1024), ("udp", 1024)]
    assert await ports(tenant_id=tenant_id(two), protocol="udp") == []


async def test_a_filter_with_a_value_that_cannot_be_is_refused_by_its_name(hub: TestHub) -> None:
    async with hub.raw() as http:
        for path, field in (
            ("/v1/tenants?status=asleep", "status"),
            ("/v1/invites?status=asleep", "status"),
            ("/v1/services?kind=quic", "kind"),
            ("/v1/services?tenant_id=abc", "tenant_id"),
            ("/v1/ports?protocol=sctp", "protocol"),
            ("/v1/agents?live=perhaps", "live"),
            ("/v1/audit?since=yesterday", "since"),
            ("/v1/audit?until=2026-11-24T12:00:00", "until"),
            ("/v1/invites?name=a%00b", "name"),
            ("/v1/audit?actor=" + "x" * 254, "actor"),
        ):
            answer = await http.get(path, headers=OPERATOR)

            assert body_of(answer) == (400, "invalid_request"), path
            assert field in answer.json()["error"]["message"]


async def test_services_of_a_kind_are_found_under_any_collation(server: Postgres) -> None:
    async with running_hub(server.database(), RouteChanges()) as hub:
        async with hub.context.store.write() as change:
            for column in ("services", "routes"):
                alter = f'ALTER TABLE {column} ALTER COLUMN key TYPE varchar COLLATE "en-x-icu"'
                await (await change.session.connection()).execute(text(alter))
        token = await hub.invite("*.a.eu")
        await publish(hub, token, *(f"{n}.a.eu" for n in ("a-b", "ab", "a", "b", "*")))
        client = hub.client()
        found = await walk(client.services.list, "services", "key", 2, kind="https")

        assert len(found) == len(set(found)) == 5
        assert await walk(client.services.list, "services", "key", 2, kind="tcp") == []


async def test_a_revoked_invite_stays_in_the_lists(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    await client.invites.revoke(invite_id(token))

    assert [it.status for it in (await client.invites.list()).invites] == ["revoked"]
    assert [it.status for it in (await client.tenants.list()).tenants] == ["revoked"]
    assert await code_of(client.invites.revoke(invite_id(token))) is Code.NOT_FOUND
