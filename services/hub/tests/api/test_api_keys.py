"""API keys: shown once, hashed at rest, rotated without an outage, and of no use once they end."""

import asyncio
from datetime import UTC, datetime

import pytest
from support.callers import code_of, invite_id, keyed, made_key, refusal, tenant_id
from support.hub import TestHub, running_hub, tenant_of
from support.legacy_client import streamed

from towonel.api.invites import InviteIn
from towonel.api.keys import KeyEdit, KeyIn, KeyRotation
from towonel.hub import background
from towonel.hub.backup import copy
from towonel.hub.core.access import ApiKey
from towonel.hub.core.rate_limits import FREE_STRIKES, Rate
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import open_read_only
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied

VIEWER = KeyIn(name="ci", role="viewer")
HOUR_MS = 3_600_000


def at(now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms / 1000, UTC)


async def opens(hub: TestHub, key: str) -> bool:
    """Whether a key lets its holder in."""
    try:
        await hub.client(key).keys.whoami()
    except Denied as error:
        assert error.code is Code.UNAUTHORIZED
        return False
    return True


async def test_a_key_opens_what_its_role_may_and_tells_whose_it_is(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    created = await hub.client().keys.create(
        KeyIn(name="ci", role="operator", tenant_id=tenant_id(token))
    )
    found = await hub.client(created.key).keys.whoami()

    assert found.actor == f"key:{created.key_id}"
    assert (found.role, found.tenant_id) == ("operator", tenant_id(token))
    assert (created.name, created.status, created.expires_at) == ("ci", "active", None)
    assert (await hub.client().keys.whoami()).model_dump() == {
        "actor": "operator",
        "role": "admin",
        "tenant_id": None,
    }


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(
    hub: TestHub, database: Database
) -> None:
    client = hub.client()
    created = await client.keys.create(VIEWER)
    rotated = await client.keys.rotate(created.key_id)
    displayed = [
        (await client.keys.list()).model_dump_json(),
        (await client.keys.get(created.key_id)).value.model_dump_json(),
        (await client.audit.list()).model_dump_json(),
    ]
    with open_read_only(database) as there:
        rows = [row for it in copy.reflect_tables(there) for row in copy.rows_of(there, it)]
    retained = [it.hex() if isinstance(it, bytes) else str(it) for row in rows for it in row]

    assert ApiKey.parse(created.key).key_id.hex() in retained
    for key in (created.key, rotated.key):
        secret = ApiKey.parse(key).secret
        forms = (key, base64url.encode(secret), secret.hex(), str(secret))
        assert [text for text in [*displayed, *retained] for form in forms if form in text] == []


async def test_a_wrong_secret_an_unknown_id_and_another_form_are_refused_alike(
    hub: TestHub,
) -> None:
    key = await made_key(hub, "admin")
    right = ApiKey.parse(key)
    wrong = (
        ApiKey(right.key_id, bytes(32)).encode(),
        ApiKey(bytes(8), right.secret).encode(),
    )
    first, second = [await refusal(hub.client(text).keys.whoami()) for text in wrong]

    assert first.code is second.code is Code.UNAUTHORIZED
    assert first.detail == second.detail
    assert not await opens(hub, key[:-1])
    assert not await opens(hub, key.removeprefix("tt_key_1_"))
    assert await opens(hub, key)


async def test_after_a_rotation_both_secrets_work_until_the_grace_is_over(hub: TestHub) -> None:
    client = hub.client()
    old = await client.keys.create(VIEWER)
    new = await client.keys.rotate(old.key_id, KeyRotation(grace_secs=60))
    during = [await opens(hub, key) for key in (old.key, new.key)]
    hub.clock.now_ms += 60_000

    assert during == [True, True]
    assert not await opens(hub, old.key)
    assert await opens(hub, new.key)
    assert (new.key_id, new.role) == (old.key_id, "viewer")
    assert new.rotated_at == at(hub.clock.now_ms - 60_000)


async def test_a_rotation_without_grace_ends_the_old_secret_at_once(hub: TestHub) -> None:
    client = hub.client()
    old = await client.keys.create(VIEWER)
    new = await client.keys.rotate(old.key_id, KeyRotation(grace_secs=0))

    assert not await opens(hub, old.key)
    assert await opens(hub, new.key)


async def test_a_key_rotates_itself_and_a_lost_answer_costs_nobody_the_old_secret(
    hub: TestHub,
) -> None:
    first = (await hub.client().keys.create(KeyIn(name="a", role="admin"))).key
    client = hub.client(first)
    which = base64url.encode(ApiKey.parse(first).key_id)
    lost, again = [await client.keys.rotate(which, idempotency_key="r1") for _ in range(2)]

    assert lost == again
    assert await opens(hub, first)
    assert await opens(hub, again.key)


async def test_a_key_ends_on_its_time_and_an_edit_moves_that(hub: TestHub) -> None:
    client = hub.client()
    created = await client.keys.create(KeyIn(name="ci", role="viewer", expires_in_secs=3600))
    assert created.expires_at == at(hub.clock.now_ms + HOUR_MS)
    hub.clock.now_ms += HOUR_MS
    ended = await opens(hub, created.key)
    displayed = (await client.keys.get(created.key_id)).value
    edit = KeyEdit(expires_at=at(hub.clock.now_ms + 1), name="longer")
    moved = (await client.keys.update(created.key_id, edit)).value

    assert (ended, displayed.status) == (False, "expired")
    assert (moved.status, moved.name) == ("active", "longer")
    assert await opens(hub, created.key)
    forever = (await client.keys.update(created.key_id, KeyEdit(expires_at=None))).value
    hub.clock.now_ms += 1_000 * HOUR_MS
    assert forever.expires_at is None
    assert await opens(hub, created.key)


async def test_a_revoked_key_opens_nothing_more_and_cannot_be_changed(hub: TestHub) -> None:
    client = hub.client()
    old = await client.keys.create(VIEWER)
    new = await client.keys.rotate(old.key_id)
    await client.keys.revoke(old.key_id)
    opened_by = [await opens(hub, key) for key in (old.key, new.key)]
    calls = (
        client.keys.revoke(old.key_id),
        client.keys.rotate(old.key_id),
        client.keys.update(old.key_id, KeyEdit(expires_at=None)),
    )

    assert opened_by == [False, False]
    assert [await code_of(call) for call in calls] == [Code.NOT_FOUND] * 3
    assert (await client.keys.get(old.key_id)).value.status == "revoked"


async def test_its_last_use_is_told_at_once_and_kept(hub: TestHub) -> None:
    client = hub.client()
    created = await client.keys.create(VIEWER)
    before = (await client.keys.get(created.key_id)).value
    hub.clock.now_ms += 5_000
    await opens(hub, created.key)
    reported = (await client.keys.get(created.key_id)).value
    await background.flush(hub.context)
    hub.context.key_uses.clear()
    (retained,) = (await client.keys.list()).keys

    assert before.last_used_at is None
    assert reported.last_used_at == retained.last_used_at == at(hub.clock.now_ms)


async def test_a_use_after_the_clock_was_put_back_replaces_the_one_of_before(hub: TestHub) -> None:
    client = hub.client()
    created = await client.keys.create(VIEWER)
    hub.clock.now_ms += 3 * 3_600_000
    await opens(hub, created.key)
    await background.flush(hub.context)
    hub.clock.now_ms -= 2 * 3_600_000
    await opens(hub, created.key)
    await background.flush(hub.context)

    retained = (await client.keys.get(created.key_id)).value
    assert retained.last_used_at == at(hub.clock.now_ms)


async def test_a_refused_key_counts_as_no_use(hub: TestHub) -> None:
    created = await hub.client().keys.create(VIEWER)
    await hub.client().keys.revoke(created.key_id)
    await opens(hub, created.key)

    assert (await hub.client().keys.get(created.key_id)).value.last_used_at is None


async def test_a_key_of_one_tenant_is_no_admin_and_needs_a_tenant_that_lives(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    admin = KeyIn(name="x", role="admin", tenant_id=tenant_id(token))
    nobody = KeyIn(name="x", role="viewer", tenant_id=b"\xab" * 32)
    ended = KeyIn(name="x", role="viewer", tenant_id=tenant_id(token))
    refused = [await code_of(client.keys.create(wanted)) for wanted in (admin, nobody)]
    await client.invites.revoke(invite_id(token))
    refused.append(await code_of(client.keys.create(ended)))

    assert refused == [Code.INVALID_REQUEST, Code.NOT_FOUND, Code.NOT_FOUND]
    assert (await client.keys.list()).keys == []


async def test_an_admin_key_makes_and_ends_keys_as_the_operator_does(hub: TestHub) -> None:
    admin = await keyed(hub, "admin")
    made = await admin.keys.create(VIEWER)
    await admin.keys.revoke(made.key_id)

    assert [key.status for key in (await admin.keys.list()).keys].count("revoked") == 1


@pytest.mark.parametrize("ending", ["revoked", "expired"])
async def test_a_stream_of_events_ends_with_the_key_that_opened_it(
    hub: TestHub, ending: str
) -> None:
    client = hub.client()
    created = await client.keys.create(KeyIn(name="x", role="viewer", expires_in_secs=60))
    header = f"Bearer {created.key}"
    async with streamed(hub.app, "/v1/events", header) as stream:
        assert await stream.block() == b": following"
        if ending == "revoked":
            await client.keys.revoke(created.key_id)
        else:
            hub.clock.now_ms += 60_000
        await client.invites.create(InviteIn(hostnames=["after.eu"]))

        assert await stream.ended()
        assert b"after.eu" not in stream._text


async def test_guessing_locks_the_address_out_for_right_keys_too(hub: TestHub) -> None:
    right = await made_key(hub, "viewer")
    wrong = ApiKey(ApiKey.parse(right).key_id, bytes(32)).encode()
    guesses = [await code_of(hub.client(wrong).keys.whoami()) for _ in range(FREE_STRIKES + 1)]
    locked = await refusal(hub.client(right).keys.whoami())

    assert set(guesses) == {Code.UNAUTHORIZED}
    assert locked.code is Code.RATE_LIMITED
    assert "too many wrong secrets" in locked.detail


async def test_each_key_has_a_rate_of_its_own_and_is_told_when_to_come_back(
    database: Database,
) -> None:
    async with running_hub(database, RouteChanges(), per_key=Rate(per_second=0.1, burst=3)) as hub:
        one = await made_key(hub, "viewer")
        two = await made_key(hub, "viewer")
        async with hub.raw() as http, asyncio.timeout(20):
            requested = {"authorization": f"Bearer {one}"}
            answers = [await http.get("/v1/keys/self", headers=requested) for _ in range(4)]

        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 10
        assert await opens(hub, two)


async def test_every_key_is_of_one_tenant_or_of_all(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await made_key(hub, "viewer", tenant_of(token))
    await made_key(hub, "admin")
    found = (await hub.client().keys.list()).keys

    assert {(key.role, key.tenant_id) for key in found} == {
        ("viewer", tenant_id(token)),
        ("admin", None),
    }


@pytest.mark.parametrize(("after_ms", "rule"), [(0, "is over"), (3661 * 86_400_000, "at most")])
async def test_an_edit_has_the_bounds_of_a_new_key(hub: TestHub, after_ms: int, rule: str) -> None:
    client = hub.client()
    created = await client.keys.create(KeyIn(name="ci", role="viewer"))
    edit = KeyEdit(expires_at=at(hub.clock.now_ms + after_ms))
    refused = await refusal(client.keys.update(created.key_id, edit))

    assert refused.code is Code.INVALID_REQUEST
    assert refused.detail.startswith("expires_at: ")
    assert rule in refused.detail
