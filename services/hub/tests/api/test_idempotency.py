"""A create that is repeated with its Idempotency-Key is done once, and answered alike."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlmodel import select
from support.callers import OPERATOR, bearer, body_of, code_of, keyed, made_key, refusal, tenant_id
from support.hub import TestHub, tenant_of
from support.reported_certificates import certificate, report_of

from towonel.api.invites import InviteIn
from towonel.api.keys import KeyIn, KeyRotation
from towonel.api.ports import ReservationIn
from towonel.client.hub import HubClient
from towonel.hub.backup import copy
from towonel.hub.live.edge_reports import REFRESH_MS
from towonel.hub.store import retention
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import open_read_only
from towonel.hub.store.tables import AnswerRow, AuditRow
from towonel.wire.errors import Code
from towonel.wire.tokens import InviteToken

DAY_MS = 86_400_000
INVITE = InviteIn(hostnames=["a.eu"])

type Create = Callable[[HubClient, str], Awaitable[Any]]


async def creates(hub: TestHub) -> dict[str, Create]:
    """Every operation that takes the header, each with all it needs."""
    token, client = await hub.invite("tenant.eu"), hub.client()
    key_id = (await client.keys.create(KeyIn(name="rotates", role="viewer"))).key_id
    ports = ReservationIn(tenant_id=tenant_id(token), protocol="tcp")
    key = KeyIn(name="new", role="viewer")
    names = ["renewed.eu", "revoked.eu"]
    found = (certificate(name, hub.clock.now_ms) for name in names)
    hub.clock.now_ms += REFRESH_MS
    await client.report_edge(hub.context.keys.node, report_of(*found))
    return {
        "create_invite": lambda it, once: it.invites.create(INVITE, idempotency_key=once),
        "create_edge_invite": lambda it, once: it.edge_invites.create(idempotency_key=once),
        "create_key": lambda it, once: it.keys.create(key, idempotency_key=once),
        "rotate_key": lambda it, once: it.keys.rotate(key_id, idempotency_key=once),
        "reserve_ports": lambda it, once: it.ports.reserve(ports, idempotency_key=once),
        "renew_certificate": lambda it, once: it.certificates.renew(names[0], idempotency_key=once),
        "revoke_certificate": lambda it, once: it.certificates.revoke(
            names[1], idempotency_key=once
        ),
    }


async def written(hub: TestHub) -> int:
    async with hub.context.store.read() as session:
        return len((await session.exec(select(AuditRow))).all())


async def test_every_create_of_the_document_takes_the_header(hub: TestHub) -> None:
    found = {
        operation["operationId"]
        for methods in hub.app.openapi()["paths"].values()
        for operation in methods.values()
        if any(it["name"] == "idempotency-key" for it in operation.get("parameters", []))
    }

    assert found == set(await creates(hub))


async def test_the_same_request_again_is_answered_alike_and_does_nothing(hub: TestHub) -> None:
    for name, create in (await creates(hub)).items():
        before = await written(hub)
        first, second = [await create(hub.client(), f"key of {name}") for _ in range(2)]

        assert first == second
        assert await written(hub) == before + 1


async def test_the_same_key_of_another_caller_is_another(hub: TestHub) -> None:
    admin = await keyed(hub, "admin")
    others = await admin.edge_invites.create(idempotency_key="mine")
    again = await hub.client().edge_invites.create(idempotency_key="mine")

    assert others.invite_id != again.invite_id


async def test_another_body_or_path_with_the_key_is_a_conflict(hub: TestHub) -> None:
    client = hub.client()
    one, two = [await client.keys.create(KeyIn(name=name, role="viewer")) for name in "ab"]
    await client.invites.create(INVITE, idempotency_key="k")
    await client.keys.rotate(one.key_id, idempotency_key="r")
    refused = [
        await refusal(client.invites.create(InviteIn(hostnames=["b.eu"]), idempotency_key="k")),
        await refusal(client.edge_invites.create(idempotency_key="k")),
        await refusal(client.keys.rotate(two.key_id, idempotency_key="r")),
        await refusal(
            client.keys.rotate(one.key_id, KeyRotation(grace_secs=1), idempotency_key="r")
        ),
    ]

    assert {it.code for it in refused} == {Code.IDEMPOTENCY_CONFLICT}
    assert {it.detail for it in refused} == {"Idempotency-Key: came before with another request"}
    assert len((await client.invites.list()).invites) == 1


async def test_without_a_key_each_request_counts(hub: TestHub) -> None:
    client = hub.client()
    made = [await client.edge_invites.create("same") for _ in range(2)]

    assert made[0].invite_id != made[1].invite_id


async def test_a_refused_create_leaves_the_key_free(hub: TestHub) -> None:
    await hub.invite("a.eu")
    client = hub.client()
    refused = await code_of(client.invites.create(INVITE, idempotency_key="k"))
    (held,) = (await client.invites.list()).invites
    await client.invites.revoke(held.invite_id)
    made = await client.invites.create(INVITE, idempotency_key="k")

    assert refused is Code.HOSTNAME_CONFLICT
    assert made.token


async def test_a_key_is_remembered_for_a_day(hub: TestHub) -> None:
    first = await hub.client().edge_invites.create(idempotency_key="k")
    answers = list[str]()
    for passed_ms in (DAY_MS, 1):
        hub.clock.now_ms += passed_ms
        async with hub.context.store.write() as change:
            await retention.prune(change)
        again = await hub.client().edge_invites.create(idempotency_key="k")
        answers.append(again.invite_id)

    assert answers[0] == first.invite_id
    assert answers[1] != first.invite_id


async def test_of_many_at_the_same_time_one_creates(hub: TestHub) -> None:
    clients = [hub.client() for _ in range(5)]
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(it.invites.create(INVITE, idempotency_key="k")) for it in clients
        ]

    assert len({task.result().token for task in running}) == 1
    assert len((await hub.client().invites.list()).invites) == 1
    assert await written(hub) == 1


async def test_the_answer_is_kept_so_that_only_its_caller_can_read_it(
    hub: TestHub, database: Database
) -> None:
    made = await hub.client().invites.create(INVITE, idempotency_key="k")
    secret = InviteToken.decode(made.token).secret
    with open_read_only(database) as connection:
        rows = [
            row
            for table in copy.reflect_tables(connection)
            for row in copy.rows_of(connection, table)
        ]
    async with hub.context.store.read() as session:
        (retained,) = (await session.exec(select(AnswerRow))).all()

    held = b"".join(value for row in rows for value in row if isinstance(value, bytes))
    assert retained.sealed in held
    assert secret not in held
    assert made.token.encode() not in held
    assert b"operator-key" not in held


async def test_a_caller_whose_secret_was_rotated_is_told_that_the_answer_is_lost(
    hub: TestHub,
) -> None:
    admin = await hub.client().keys.create(KeyIn(name="a", role="admin"))
    await hub.client(admin.key).invites.create(INVITE, idempotency_key="k")
    rotated = await hub.client().keys.rotate(admin.key_id)
    late = await hub.client(admin.key).invites.create(INVITE, idempotency_key="k")
    lost = await refusal(hub.client(rotated.key).invites.create(INVITE, idempotency_key="k"))

    assert late.token
    assert lost.code is Code.IDEMPOTENCY_CONFLICT
    assert "another secret" in lost.detail


async def test_a_key_that_may_not_create_gets_no_answer_of_those_that_may(hub: TestHub) -> None:
    await hub.client().invites.create(INVITE, idempotency_key="k")
    viewer = await keyed(hub, "viewer")

    assert await code_of(viewer.invites.create(INVITE, idempotency_key="k")) is Code.FORBIDDEN


async def test_an_answer_is_given_again_to_the_operator_of_a_tenant_only_for_its_own(
    hub: TestHub,
) -> None:
    one, two = await hub.invite("a.eu"), await hub.invite("b.eu")
    keys = [await made_key(hub, "operator", tenant_of(token)) for token in (one, two)]
    requested = ReservationIn(tenant_id=tenant_id(one), protocol="udp")
    made = await hub.client(keys[0]).ports.reserve(requested, idempotency_key="k")
    again = await hub.client(keys[0]).ports.reserve(requested, idempotency_key="k")
    foreign = hub.client(keys[1]).ports.reserve(requested, idempotency_key="k")

    assert made == again
    assert await code_of(foreign) is Code.NOT_FOUND


@pytest.mark.parametrize("key", ["", "x" * 129])
async def test_a_key_that_is_empty_or_too_long_is_refused(hub: TestHub, key: str) -> None:
    headers = {**OPERATOR, "idempotency-key": key}
    async with hub.raw() as http:
        answer = await http.post("/v1/edge-invites", headers=headers)
        nobodys = await http.post("/v1/edge-invites", headers={**headers, **bearer("wrong")})

    assert body_of(answer) == (400, "invalid_request")
    assert "idempotency-key" in answer.json()["error"]["message"]
    assert body_of(nobodys) == (401, "unauthorized")
