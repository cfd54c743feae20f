"""Signed entries as the original's programs send them: pipeline, words, sequences and vectors."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import cbor2
import pytest
from sqlmodel import col, func, select
from support import vectors
from support.hub import TestHub, new_key, running_hub
from support.legacy_client import (
    LegacyClient,
    b64,
    body_of,
    known_tenant,
    legacy_client,
    payload,
    signed,
)

from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.operations import tenant_lifecycle
from towonel.hub.store import routes, tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.database import Database
from towonel.hub.store.tables import AuditRow
from towonel.identity.keys import TenantKey
from towonel.identity.legacy.entries import verify_entry
from towonel.wire.errors import Code, Denied
from towonel.wire.legacy.entries import decode_entry

VECTORS = vectors.load("entries")
SEED = bytes.fromhex(VECTORS["seed"])
PAYLOADS = [bytes.fromhex(vector["payload"]) for vector in VECTORS["payloads"]]
NAMES = ("app.example.eu", "*.home.example.eu")
LAST = 2**63 - 1


@pytest.fixture
async def agent(hub: TestHub) -> AsyncGenerator[LegacyClient]:
    async with legacy_client(hub) as made:
        yield made


async def state_of(hub: TestHub) -> tuple[int, int]:
    """The routes' revision, and how much was audited."""
    async with hub.context.store.read() as session:
        audited = (await session.exec(select(func.count(col(AuditRow.id))))).one()
        return await routes.get_revision(session), audited


async def test_each_payload_of_the_vectors_is_taken_and_handed_out_as_the_same_bytes(
    agent: LegacyClient,
) -> None:
    key = await known_tenant(agent.hub, SEED, *NAMES)

    for vector, data in zip(VECTORS["payloads"], PAYLOADS, strict=True):
        sent = await agent.post_entry(signed(key, data))
        assert sent.status_code == 200, sent.text
        assert sent.headers["content-type"] == "application/cbor"
        assert cbor2.loads(sent.content) == {"status": "ok", "sequence": vector["sequence"]}
        assert (await agent.log(key.tenant_id))[-1]["payload"] == data


async def test_the_entry_of_the_vectors_is_taken_and_handed_out_byte_for_byte(
    agent: LegacyClient,
) -> None:
    key = await known_tenant(agent.hub, SEED, *NAMES)
    data = bytes.fromhex(VECTORS["entry"]["entry"])
    sent = await agent.post_entry(data)

    assert sent.status_code == 200, sent.text
    log = await agent.log(key.tenant_id)
    assert [cbor2.dumps(entry) for entry in log] == [data]
    assert list(log[0]) == ["payload", "signature", "tenant_id"]


async def test_a_log_is_by_sequence_and_empty_for_a_tenant_nobody_knows(
    agent: LegacyClient,
) -> None:
    key = await agent.tenant("*.a.eu")
    for sequence, name in ((5, "c.a.eu"), (7, "a.a.eu"), (300, "b.a.eu")):
        await agent.accept(key, sequence, "upsert_hostname", hostname=name)
    log = [cbor2.loads(entry["payload"]) for entry in await agent.log(key.tenant_id)]

    assert [said["sequence"] for said in log] == [5, 7, 300]
    assert [said["op"]["upsert_hostname"]["hostname"] for said in log] == [
        "c.a.eu",
        "a.a.eu",
        "b.a.eu",
    ]
    assert await agent.log(bytes(32)) == []


async def test_what_an_agent_says_at_boot_becomes_routes(agent: LegacyClient) -> None:
    key, me = await agent.tenant("app.a.eu", "*.a.eu"), new_key()
    steps: list[tuple[str, dict[str, object]]] = [
        ("upsert_agent", {"agent_id": me.public}),
        ("upsert_hostname", {"hostname": "App.a.eu"}),
        ("set_hostname_tls", {"hostname": "app.a.eu", "mode": {"mode": "terminate"}}),
        ("upsert_tcp_service", {"service": "ssh", "listen_port": 2222}),
        ("upsert_udp_service", {"service": "ssh", "listen_port": 2222}),
    ]
    for sequence, (op, fields) in enumerate(steps, 1):
        await agent.accept(key, sequence, op, **fields)
    client = agent.hub.client()
    listed = (await client.routes.list()).routes

    assert [(route.key, route.name, route.tls_mode) for route in listed] == [
        ("https:app.a.eu", "app.a.eu", "terminate"),
        ("tcp:2222", "ssh", "passthrough"),
        ("udp:2222", "ssh", "passthrough"),
    ]
    assert (await agent.heartbeat(me, key.tenant_id)).json()["next_interval_secs"] == 20


async def test_a_service_moves_to_a_new_port_and_may_be_said_again(agent: LegacyClient) -> None:
    key = await agent.tenant("a.eu")
    for sequence, port in enumerate((2222, 2222, 2223), 1):
        await agent.accept(key, sequence, "upsert_tcp_service", service="ssh", listen_port=port)
    moved = (await agent.hub.client().routes.list()).routes
    await agent.accept(key, 4, "delete_tcp_service", service="ssh")
    await agent.accept(key, 5, "delete_tcp_service", service="ssh")  # as a retry does

    assert [route.key for route in moved] == ["tcp:2223"]
    assert (await agent.hub.client().routes.list()).routes == []


@pytest.mark.parametrize("sequence", [0, 4, 5])
async def test_a_sequence_that_is_used_or_past_is_a_conflict(
    agent: LegacyClient, sequence: int
) -> None:
    key = await agent.tenant("*.a.eu")
    await agent.accept(key, 5, "upsert_hostname", hostname="a.a.eu")
    before = await state_of(agent.hub)
    refused = await agent.submit(key, sequence, "upsert_hostname", hostname="b.a.eu")

    assert body_of(refused) == (409, "sequence_conflict")
    assert await state_of(agent.hub) == before
    assert len(await agent.log(key.tenant_id)) == 1


async def test_an_entry_is_taken_once_also_after_its_traces_were_compacted(
    agent: LegacyClient,
) -> None:
    key = await agent.tenant("a.eu")
    first = signed(key, payload(key, 1, {"upsert_hostname": {"hostname": "a.eu"}}))
    assert (await agent.post_entry(first)).status_code == 200
    await agent.accept(key, 2, "delete_hostname", hostname="a.eu")
    await agent.accept(key, 3, "upsert_hostname", hostname="a.eu")
    await agent.accept(key, 4, "delete_hostname", hostname="a.eu")

    assert body_of(await agent.post_entry(first)) == (409, "sequence_conflict")
    assert (await agent.hub.client().routes.list()).routes == []


async def test_two_that_use_one_sequence_at_once_get_it_once(agent: LegacyClient) -> None:
    key = await agent.tenant("*.a.eu")
    async with asyncio.TaskGroup() as tasks:
        sent = [
            tasks.create_task(agent.submit(key, 1, "upsert_hostname", hostname=f"h{n}.a.eu"))
            for n in range(8)
        ]
    statuses = sorted(task.result().status_code for task in sent)

    assert statuses == [200] + [409] * 7
    assert len((await agent.hub.client().routes.list()).routes) == 1


HOST = {"upsert_hostname": {"hostname": "a.eu"}}
BROKEN: list[tuple[str, Any, tuple[int, str]]] = [
    ("an op nobody knows", {"upsert_moon": {}}, (400, "unsupported_op")),
    ("an op of [N]", {"register_agent": {"agent_id": bytes(32)}}, (400, "unsupported_op")),
    ("two ops", {**HOST, "delete_hostname": {"hostname": "a.eu"}}, (400, "unsupported_op")),
    ("no map", "upsert_hostname", (400, "unsupported_op")),
    ("a short agent", {"upsert_agent": {"agent_id": b"x"}}, (400, "unsupported_op")),
    ("a mode nobody knows", {"set_hostname_tls": {"hostname": "a.eu", "mode": {"mode": "x"}}},
     (400, "unsupported_op")),
    ("a port too high", {"upsert_tcp_service": {"service": "s", "listen_port": 65_536}},
     (400, "unsupported_op")),
    ("no hostname", {"upsert_hostname": {"hostname": "localhost"}}, (400, "invalid_request")),
    ("a NUL", {"upsert_hostname": {"hostname": "a\0.eu"}}, (400, "invalid_request")),
    ("a port 0", {"upsert_tcp_service": {"service": "s", "listen_port": 0}},
     (400, "invalid_request")),
    ("a low port", {"upsert_udp_service": {"service": "s", "listen_port": 53}},
     (400, "invalid_request")),
    ("no name", {"upsert_tcp_service": {"service": "", "listen_port": 2222}},
     (400, "invalid_request")),
    ("a long name", {"upsert_tcp_service": {"service": "s" * 65, "listen_port": 2222}},
     (400, "invalid_request")),
    ("a control", {"upsert_udp_service": {"service": "s\0", "listen_port": 2222}},
     (400, "invalid_request")),
    ("a foreign name", {"upsert_hostname": {"hostname": "b.eu"}}, (403, "hostname_not_owned")),
    ("a foreign deletion", {"delete_hostname": {"hostname": "b.eu"}}, (403, "hostname_not_owned")),
    ("a foreign mode", {"set_hostname_tls": {"hostname": "b.eu", "mode": {"mode": "terminate"}}},
     (403, "hostname_not_owned")),
]  # fmt: skip


@pytest.mark.parametrize(("op", "word"), [case[1:] for case in BROKEN], ids=[c[0] for c in BROKEN])
async def test_an_op_that_may_not_be_is_refused_with_the_originals_word(
    agent: LegacyClient, op: object, word: tuple[int, str]
) -> None:
    key = await agent.tenant("a.eu")
    before = await state_of(agent.hub)
    refused = await agent.post_entry(signed(key, payload(key, 1, op)))

    assert body_of(refused) == word
    assert await state_of(agent.hub) == before
    assert await agent.log(key.tenant_id) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"\xa0", b"\xff" * 64, cbor2.dumps([1]), cbor2.dumps({"payload": b""})],
    ids=repr,
)
async def test_a_body_that_is_no_entry_is_an_invalid_request(
    agent: LegacyClient, body: bytes
) -> None:
    assert body_of(await agent.post_entry(body)) == (400, "invalid_request")


@pytest.mark.parametrize("size", [0, 64, 100, 3308, 3310])
async def test_a_signature_of_another_length_is_an_invalid_request(
    agent: LegacyClient, size: int
) -> None:
    key = await agent.tenant("a.eu")
    entry = signed(key, payload(key, 1, HOST), signature=bytes(size))

    assert body_of(await agent.post_entry(entry)) == (400, "invalid_request")


async def test_what_is_wrong_is_told_in_the_originals_order(agent: LegacyClient) -> None:
    key, outsider = await agent.tenant("a.eu"), TenantKey.from_seed(bytes(32))
    forged = {"signature": bytes(3309)}
    second = payload(key, 1, {"upsert_moon": {}}, version=2)

    async def word(entry: bytes) -> tuple[int, str]:
        return body_of(await agent.post_entry(entry))

    unknown = signed(outsider, b"junk", **forged)
    assert await word(unknown) == (403, "tenant_not_allowed")
    assert await word(signed(key, b"junk", **forged)) == (400, "invalid_signature")
    assert await word(signed(key, b"junk")) == (400, "unsupported_op")
    assert await word(signed(key, second)) == (400, "unsupported_op")
    newer = payload(key, 1, HOST, version=2, tenant_id=outsider.tenant_id)
    assert await word(signed(key, newer)) == (422, "unsupported_version")
    foreign = payload(key, 1, {"upsert_hostname": {"hostname": "-"}}, tenant_id=outsider.tenant_id)
    assert await word(signed(key, foreign)) == (400, "invalid_signature")
    assert await word(signed(outsider, payload(key, 1, HOST), tenant_id=key.tenant_id)) == (
        400,
        "invalid_signature",
    )


async def test_a_port_of_another_tenant_is_an_invalid_request_and_its_own_kind_is_free(
    agent: LegacyClient,
) -> None:
    one, two = await agent.tenant("a.eu"), await agent.tenant("b.eu")
    await agent.accept(one, 1, "upsert_tcp_service", service="ssh", listen_port=2222)
    refused = await agent.submit(two, 1, "upsert_tcp_service", service="ssh", listen_port=2222)
    await agent.accept(two, 1, "upsert_udp_service", service="ssh", listen_port=2222)
    again = await agent.submit(one, 2, "upsert_tcp_service", service="web", listen_port=2222)

    assert body_of(refused) == (400, "invalid_request")
    assert "2222" in refused.json()["error"]["message"]
    assert body_of(again) == (400, "invalid_request")


async def test_an_entry_that_waits_while_its_tenant_is_suspended_is_refused(
    agent: LegacyClient,
) -> None:
    key, store = await agent.tenant("a.eu"), agent.hub.context.store
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(20), store.write() as change:
        sent = tasks.create_task(agent.submit(key, 1, "upsert_hostname", hostname="a.eu"))
        while not store._writing._waiters:  # it has read that the tenant is active
            await asyncio.sleep(0.01)
        row = await tenants.find(change.session, key.tenant_id)
        assert row is not None
        await tenant_lifecycle.suspend(change, Actor("operator", "r", "192.0.2.1"), row)

    assert body_of(sent.result()) == (403, "tenant_suspended")
    assert await agent.log(key.tenant_id) == []


async def test_a_log_is_closed_unless_the_operator_opens_it_to_the_originals_agents(
    agent: LegacyClient,
) -> None:
    tenant_id = (await agent.tenant("a.eu")).tenant_id
    path = f"/v1/tenants/{tenant_id.hex()}/entries"

    assert body_of(await agent.http.get(path)) == (401, "unauthorized")
    assert body_of(await agent.http.get("/v1/tenants/zz/entries")) == (400, "invalid_request")


async def test_an_open_log_needs_no_key(database: Database) -> None:
    async with (
        running_hub(database, RouteChanges(), open_tenant_logs=True) as hub,
        legacy_client(hub) as agent,
    ):
        key = await agent.tenant("a.eu")
        await agent.accept(key, 1, "upsert_hostname", hostname="a.eu")
        sent = await agent.http.get(f"/v1/tenants/{key.tenant_id.hex()}/entries")

    (entry,) = cbor2.loads(sent.content)
    assert cbor2.loads(entry["payload"])["op"] == {"upsert_hostname": {"hostname": "a.eu"}}
    assert sent.headers["content-type"] == "application/cbor"


async def test_a_tenant_reads_its_own_log_with_its_signature_once(agent: LegacyClient) -> None:
    key, other = await agent.tenant("a.eu"), await agent.tenant("b.eu")
    at_ms = agent.hub.clock()

    async def read(signer: TenantKey, tenant_id: bytes, time_ms: int = at_ms) -> int:
        message = f"towonel/tenant-request/v1/{signer.tenant_id.hex()}/{time_ms}"
        said = f"{signer.tenant_id.hex()}.{time_ms}.{b64(signer.sign(message.encode()))}"
        headers = {"authorization": f"Signature {said}"}
        path = f"/v1/tenants/{tenant_id.hex()}/entries"
        return (await agent.http.get(path, headers=headers)).status_code

    assert await read(key, key.tenant_id) == 200
    assert await read(key, key.tenant_id) == 401  # a replay
    assert await read(key, key.tenant_id, at_ms + 1) == 200
    assert await read(key, key.tenant_id, at_ms - 300_001) == 401
    assert await read(other, key.tenant_id) == 403


def test_an_entry_with_a_byte_anywhere_in_its_signature_changed_is_refused() -> None:
    key = TenantKey.from_seed(SEED)
    entry = bytes.fromhex(VECTORS["entry"]["entry"])
    start = (
        entry.index(bytes.fromhex(VECTORS["entry"]["payload"]))
        + len(VECTORS["entry"]["payload"]) // 2
    )
    start += len(cbor2.dumps("signature")) + 3  # the head of 3309 bytes

    verify_entry(key.public, decode_entry(entry))
    # Every byte of such a signature is changed in `libs/identity/tests/test_every_byte.py`.
    for at in {*range(start, start + 3309, 11), start + 3308}:
        changed = bytearray(entry)
        changed[at] ^= 1 << at % 8
        with pytest.raises(Denied) as caught:
            verify_entry(key.public, decode_entry(bytes(changed)))
        assert caught.value.code is Code.INVALID_SIGNATURE


async def test_the_hub_takes_no_entry_with_a_changed_byte_wherever_it_is(
    agent: LegacyClient,
) -> None:
    key = await known_tenant(agent.hub, SEED, *NAMES)
    entry = bytes.fromhex(VECTORS["entry"]["entry"])
    before = await state_of(agent.hub)
    refused = set[tuple[int, str]]()

    for at in [*range(250), *range(250, len(entry), 29), *range(len(entry) - 50, len(entry))]:
        changed = bytearray(entry)
        changed[at] ^= 1 << at % 8
        refused.add(body_of(await agent.post_entry(bytes(changed))))
    assert {(400, "invalid_signature"), (403, "tenant_not_allowed")} <= refused
    assert {status for status, _ in refused} == {400, 403}
    assert await state_of(agent.hub) == before
    assert await agent.log(key.tenant_id) == []


async def test_a_name_that_was_taken_away_does_not_stop_what_a_tenant_says_of_others(
    hub: TestHub,
) -> None:
    async with legacy_client(hub) as agent:
        key = await agent.tenant("a.eu", "b.eu")
        for sequence, hostname in enumerate(("a.eu", "b.eu"), 1):
            await agent.accept(key, sequence, "upsert_hostname", hostname=hostname)
        (item,) = (await hub.client().invites.list()).invites
        await hub.client().invites.remove_hostname(item.invite_id, "b.eu")
        await agent.accept(key, 3, "upsert_tcp_service", service="ssh", listen_port=2222)
    routes = (await hub.client().routes.list()).routes

    assert [route.key for route in routes] == ["https:a.eu", "tcp:2222"]
