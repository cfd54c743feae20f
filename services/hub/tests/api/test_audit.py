"""Every write is in the audit log: who, what, before and after, request and address; never a secret."""

import json
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from support.callers import (
    OPERATOR,
    bearer,
    code_of,
    following,
    invite_id,
    keyed,
    made_key,
    publish,
    publish_ports,
    tenant_id,
)
from support.every_write import REQUEST_ID, every_write, scene
from support.hub import TestHub, running_hub, tenant_of
from support.legacy_client import legacy_client

from towonel.api.audit import AuditItem
from towonel.api.invites import InviteEdit, InviteIn
from towonel.api.keys import KeyEdit, KeyIn
from towonel.api.limits import Limits
from towonel.api.ports import PortRange, ReservationIn
from towonel.api.tenants import TenantEdit
from towonel.hub.backup import copy
from towonel.hub.core.access import ApiKey
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.audit import MAX_DETAIL_BYTES, Actor
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import open_read_only
from towonel.wire.errors import Code, Denied, Unavailable

NOTES = {"refresh", "heartbeat", "leave", "report_edge"}  # that somebody is there is no write
SIGNERS = {
    "register_edge": "edge:",
    "bootstrap": "agent:",
    "apply_desired_state": "tenant:",
    "submit_entry": "tenant:",
}


async def log(hub: TestHub, **wanted: Any) -> list[AuditItem]:
    return (await hub.client().audit.list(limit=1000, **wanted)).audit


def at(now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms / 1000, UTC)


async def test_a_key_has_one_id_as_actor_and_as_subject_also_in_rows_of_earlier_hubs(
    hub: TestHub,
) -> None:
    made = await hub.client().keys.create(KeyIn(name="ci", role="operator"))
    client = hub.client(made.key)
    await client.invites.create(InviteIn(hostnames=["a.eu"]))
    name = f"key:{made.key_id}"
    old_name = f"key:{ApiKey.parse(made.key).key_id.hex()}"
    async with hub.context.store.write() as write:
        write.audit(Actor(old_name, "r", "192.0.2.1"), "invite.created", "invite:old")

    assert [item.action for item in await log(hub, subject=name)] == ["key.created"]
    for actor in (name, old_name):
        found = await log(hub, actor=actor)
        assert found[0].subject == "invite:old"
        assert [item.actor for item in found] == [name] * 2


async def test_every_write_leaves_its_row_with_who_from_where_and_when(hub: TestHub) -> None:
    there = await scene(hub)
    for operation, (write, actions) in every_write(there).items():
        hub.clock.now_ms += 1_000
        last_id = (await log(hub))[0].id
        await write()
        made = [item for item in await log(hub) if item.id > last_id]

        assert sorted(item.action for item in made) == actions, operation
        for item in made:
            assert item.actor.startswith(SIGNERS.get(operation, "operator")), operation
            assert (item.request_id, item.address) == (REQUEST_ID, "127.0.0.1"), operation
            assert item.at == at(hub.clock.now_ms)
            assert item.subject.partition(":")[2]
            assert item.before or item.after, operation


async def test_no_operation_that_writes_is_forgotten_here(hub: TestHub) -> None:
    writing = {
        operation["operationId"]
        for methods in hub.app.openapi()["paths"].values()
        for method, operation in methods.items()
        if method != "get"
    }

    assert writing - NOTES == set(every_write(await scene(hub)))


async def test_no_secret_is_in_the_log_nor_in_the_events(hub: TestHub, database: Database) -> None:
    there = await scene(hub)
    for write, _ in every_write(there).values():
        hub.clock.now_ms += 1_000
        await write()
    with open_read_only(database) as connection:
        (table,) = [it for it in copy.reflect_tables(connection) if it.name == "audit"]
        rows = [str(list(row)) for row in copy.rows_of(connection, table)]
    retained = "\n".join(rows)

    assert len(there.secrets) == 5
    assert len(rows) > len(every_write(there))
    assert [secret for secret in there.secret_parts() if secret in retained] == []


async def test_an_edit_tells_only_what_it_changed_and_how_it_was(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    retained = [PortRange(protocol="tcp", first_port=2222, last_port=2223)]
    edit = InviteEdit(hostnames=["a.eu", "b.eu"], ports=retained, limits=Limits(agents=2))
    await client.invites.update(invite_id(token), edit)
    (row, _) = await log(hub)

    unlimited = dict.fromkeys(Limits.model_fields)
    assert (row.subject, row.tenant_id) == (f"invite:{invite_id(token)}", tenant_id(token))
    assert row.before == {"hostnames": ["a.eu"], "ports": [], "limits": unlimited}
    assert row.after == {
        "hostnames": ["a.eu", "b.eu"],
        "ports": [retained[0].model_dump()],
        "limits": {**unlimited, "agents": 2},
    }


async def test_what_is_published_is_told_with_what_it_replaces(hub: TestHub) -> None:
    token = await hub.invite("*.a.eu")
    await publish(hub, token, "1.a.eu", "2.a.eu")
    await publish(hub, token, "2.a.eu", "3.a.eu")
    row = (await log(hub))[0]

    assert (row.action, row.subject) == ("services.published", "group:default")
    assert row.before == {"services": ["https:1.a.eu"]}
    assert row.after == {"services": ["https:3.a.eu"]}


async def test_an_entry_is_one_write_told_with_what_it_publishes(hub: TestHub) -> None:
    async with legacy_client(hub) as there:
        tenant = await there.tenant("a.eu")
        for sequence, port in ((1, 2222), (2, 2223)):
            fields = {"service": "ssh", "listen_port": port}
            await there.accept(tenant, sequence, "upsert_tcp_service", **fields)
        await there.accept(tenant, 3, "upsert_agent", agent_id=bytes(32))
    reported = [(row.subject, row.before, row.after) for row in (await log(hub))[:3]]

    assert {row.action for row in (await log(hub))[:3]} == {"entry.applied"}
    about = {"op": "upsert_tcp_service", "subject": "tcp:ssh"}
    assert reported == [
        ("entry:3", None, {"op": "upsert_agent", "subject": f"agent:{'00' * 32}"}),
        ("entry:2", {"services": ["tcp:2222"]}, {**about, "services": ["tcp:2223"]}),
        ("entry:1", {"services": []}, {**about, "services": ["tcp:2222"]}),
    ]


async def test_what_changes_nothing_leaves_no_row(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    key = await client.keys.create(KeyIn(name="k", role="viewer"))
    await publish(hub, token, "a.eu")
    before = len(await log(hub))
    await publish(hub, token, "a.eu")
    await client.invites.update(invite_id(token), InviteEdit(hostnames=["a.eu"]))
    await client.tenants.update(tenant_id(token), TenantEdit())
    await client.keys.update(key.key_id, KeyEdit(name="k"))
    await client.tenants.resume(tenant_id(token))

    assert len(await log(hub)) == before


async def test_a_refused_write_leaves_no_row(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    viewer = await keyed(hub, "viewer")
    before = len(await log(hub))
    refused = [
        client.invites.create(InviteIn(hostnames=["b.eu", "a.eu"])),
        client.invites.update(invite_id(token), InviteEdit(name="x"), if_match='"9"'),
        client.invites.remove_hostname(invite_id(token), "a.eu"),
        client.keys.create(KeyIn(name="x", role="viewer", tenant_id=b"\xab" * 32)),
        client.ports.reserve(
            ReservationIn(tenant_id=tenant_id(token), protocol="tcp", first_port=1)
        ),
        viewer.tenants.remove(tenant_id(token)),
        hub.client("wrong").invites.revoke(invite_id(token)),
        publish(hub, token, "b.eu"),
    ]
    for call in refused:
        with pytest.raises(Denied):
            await call

    assert len(await log(hub)) == before


async def test_a_write_and_its_row_are_kept_together_or_not_at_all(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: object) -> None:
        raise Unavailable(Code.HUB_UNAVAILABLE, "database")

    token = await hub.invite("a.eu")
    before = await log(hub)
    async with hub.raw() as http:
        with monkeypatch.context() as patched:
            patched.setattr("sqlmodel.ext.asyncio.session.AsyncSession.commit", crash)
            path = f"/v1/tenants/{tenant_id(token).hex()}/suspend"
            answer = await http.post(path, headers=OPERATOR)

    assert answer.status_code == 503
    assert await log(hub) == before
    assert (await hub.client().tenants.get(tenant_id(token))).value.status == "active"


async def test_the_address_is_the_one_that_a_trusted_proxy_tells(database: Database) -> None:
    async with running_hub(database, RouteChanges(), proxies=(ip_network("127.0.0.0/8"),)) as hub:
        headers = {**OPERATOR, "x-forwarded-for": "198.51.100.7, 203.0.113.9"}
        async with hub.raw() as http:
            await http.post("/v1/edge-invites", headers=headers)

        assert (await log(hub))[0].address == "203.0.113.9"


async def test_the_log_is_filtered_by_who_what_whom_and_when(hub: TestHub) -> None:
    one, two = await hub.invite("a.eu"), await hub.invite("b.eu")
    key = await made_key(hub, "operator")
    start_ms = hub.clock.now_ms
    hub.clock.now_ms += 60_000
    await hub.client(key).tenants.suspend(tenant_id(one))
    await publish_ports(hub, two, "tcp", [2222])
    actor = (await hub.client(key).keys.whoami()).actor

    async def actions(**wanted: object) -> list[str]:
        return [item.action for item in await log(hub, **wanted)]

    assert await actions(actor=actor) == ["tenant.suspended"]
    assert await actions(action="invite.created") == ["invite.created"] * 2
    assert await actions(subject=f"tenant:{tenant_id(one).hex()}") == ["tenant.suspended"]
    assert await actions(tenant_id=tenant_id(two)) == ["services.published", "invite.created"]
    assert await actions(since=at(start_ms + 1)) == ["services.published", "tenant.suspended"]
    assert len(await actions(until=at(start_ms + 1))) == 3
    assert await actions(since=at(start_ms + 60_000), until=at(start_ms + 60_001)) == [
        "tenant.suspended"
    ]
    assert await actions(since=at(start_ms + 60_000), until=at(start_ms + 60_000)) == []
    assert await actions(tenant_id=tenant_id(one), action="services.published") == []


async def test_the_newest_comes_first_and_ids_grow(hub: TestHub) -> None:
    for number in range(5):
        await hub.invite(f"{number}.eu")
    ids = [item.id for item in await log(hub)]
    pages, cursor = list[int](), None
    for _ in range(3):
        page = await hub.client().audit.list(limit=2, cursor=cursor)
        pages += [item.id for item in page.audit]
        cursor = page.next_cursor
        await hub.invite(f"more{cursor}.eu".replace("_", "-").lower())

    assert ids == sorted(ids, reverse=True)
    assert (pages, cursor) == (ids, None)


async def test_a_row_that_would_be_too_long_names_its_fields(hub: TestHub) -> None:
    async with hub.context.store.write() as write:
        after = {"b": "x" * MAX_DETAIL_BYTES, "a": 1}
        write.audit(Actor("operator", "r", "192.0.2.1"), "test.made", "test:1", after=after)
    (row,) = await log(hub)

    assert row.after == {"too_long": True, "fields": ["a", "b"]}


async def test_events_follow_the_log_and_begin_where_they_left_off(hub: TestHub) -> None:
    await hub.invite("a.eu")
    (first,) = await log(hub)
    await hub.invite("b.eu")
    async with following(hub, "operator-key", since=first.id) as following_one:
        missed = await following_one()
        await hub.invite("c.eu")
        new = await following_one()

    assert [AuditItem.model_validate(it) for it in (new, missed)] == (await log(hub))[:2]
    assert json.loads((await log(hub))[0].model_dump_json()) == new


async def test_a_viewer_is_not_told_by_events_who_did_it_nor_of_keys(hub: TestHub) -> None:
    await made_key(hub, "admin")
    async with following(hub, await made_key(hub, "viewer"), since=0) as following_one:
        await hub.invite("a.eu")
        event = await following_one()

    assert event["action"] == "invite.created"
    assert (event["actor"], event["request_id"], event["address"]) == ("", "", "")


async def test_a_key_of_a_tenant_follows_only_its_own_events(hub: TestHub) -> None:
    mine, other = await hub.invite("a.eu"), await hub.invite("b.eu")
    key = await made_key(hub, "operator", tenant_of(mine))
    async with following(hub, key, since=0) as following_one:
        await hub.client().tenants.suspend(tenant_id(other))
        await hub.client().edge_invites.create("e")
        await hub.client().tenants.suspend(tenant_id(mine))
        events = [await following_one() for _ in range(2)]

    assert [event["action"] for event in events] == ["invite.created", "tenant.suspended"]
    assert {event["tenant_id"] for event in events} == {tenant_id(mine).hex()}
    assert {event["address"] for event in events} == {""}
    async with hub.raw() as http:
        assert (await http.get("/v1/audit", headers=bearer(key))).status_code == 403


async def test_the_log_cannot_be_written_or_erased_over_the_api(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    async with hub.raw() as http:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await http.request(method, "/v1/audit", headers=OPERATOR)

            assert answer.status_code == 405
    assert await code_of(hub.client("x").audit.list()) is Code.UNAUTHORIZED
    assert [item.tenant_id for item in await log(hub)] == [tenant_id(token)]
