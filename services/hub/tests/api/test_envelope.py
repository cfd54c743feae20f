"""The envelope of errors, whatever refuses a request; times in answers are RFC 3339 in UTC."""

import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest
from support.callers import OPERATOR, body_of, invite_id, keyed, publish, tenant_id
from support.every_write import every_write, scene
from support.hub import TestHub, new_key, registration, tenant_of

from towonel.api.keys import KeyIn
from towonel.hub.api.http.request_body import MAX_BODY_BYTES
from towonel.identity.signatures import Domain, authorize_tenant
from towonel.wire import base64url

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
JSON = {**OPERATOR, "content-type": "application/json"}
SIGNED = (
    ("POST", "/v1/bootstrap"),
    ("POST", "/v1/agent/refresh"),
    ("POST", "/v1/agent/leave"),
)
UNREADABLE = (b"[" * 60_000, b'{"group": "\\ud800"}', b"\xff", b"{}", b"5")
# Bodies that are no invite, and their content types: first of a wrong kind, then of broken JSON.
BROKEN_BODIES: tuple[tuple[bytes, str | None], ...] = (
    (b'{"hostnames": ["a.eu"]}', "text/plain"),
    (b'{"hostnames": ["a.eu"]}', "application/cbor"),
    (b'{"hostnames": ["a.eu"]}', None),
    (b"hostnames=a.eu", "application/x-www-form-urlencoded"),
    *(
        (body, "application/json")
        for body in (
            b"",
            b"null",
            b"NaN",
            b"\xff\xfe",
            b"[" * 60_000,
            b"{'hostnames': []}",
            b'{"hostnames": ["a.eu"],}',
            b'{"hostnames": ["a.eu"]} {}',
            b'{"hostnames": NaN}',
            b'{"hostnames": [1]}',
            b'{"hostnames": "a.eu"}',
            b'{"hostnames": ["\\ud800.eu"]}',
            b'{"hostnames": ["\\u0000.eu"]}',
            b'{"hostnames": ["a.eu"], "name": 5}',
            b'{"hostnames": ["a.eu"], "name": "\\ud800"}',
            b'{"hostnames": ["a.eu"], "name": "\\u0000"}',
            b'{"hostnames": ["a.eu"], "name": "\\u009b2J"}',
            b'{"hostnames": ["a.eu"], "expires_in_secs": 1e400}',
            b'{"hostnames": ["a.eu"], "expires_in_secs": -1}',
            b'{"hostnames": ["a.eu"], "a": ' + b'{"a":' * 9_000,
        )
    ),
)


async def test_what_is_nowhere_is_404_whoever_asks(hub: TestHub) -> None:
    async with hub.raw() as http:
        paths = ("/", "/v1", "/v2/invites", "/v1/invites/a/b/c", "/v1/../etc/passwd", "/docs/x")
        for path in (*paths, "/docs/assets/none.js", "/v1/%00", "/v1/routes/%2e%2e"):
            for headers in ({}, OPERATOR):
                answer = await http.get(path, headers=headers)
                wanted = (404, "not_found")
                if path.startswith("/v1/routes/") and not headers:
                    wanted = (401, "unauthorized")

                assert body_of(answer) == wanted, path


async def test_a_path_with_a_slash_too_many_sends_nobody_elsewhere(hub: TestHub) -> None:
    async with hub.raw() as http:
        for method, path in (("GET", "/v1/invites/"), ("POST", "/v1/invites/"), ("GET", "/docs/")):
            answer = await http.request(method, path, headers=OPERATOR)

            assert body_of(answer) == (404, "not_found")
            assert "location" not in answer.headers


async def test_a_wrong_method_is_405_and_told_the_right_ones(hub: TestHub) -> None:
    async with hub.raw() as http:
        for method, path, allowed in (
            ("PUT", "/v1/invites", "GET, HEAD, POST"),
            ("POST", "/v1/audit", "GET, HEAD"),
            ("GET", "/v1/bootstrap", "POST"),
            ("HEAD", "/v1/bootstrap", "POST"),
            ("PUT", f"/v1/tenants/{'ab' * 32}", "DELETE, GET, HEAD, PATCH"),
            ("TRACE", "/v1/health", "GET, HEAD"),
            ("DELETE", "/v1/health", "GET, HEAD"),
            ("POST", "/v1/openapi.json", "GET, HEAD"),
        ):
            answer = await http.request(method, path, headers=OPERATOR)

            assert answer.status_code == 405
            assert answer.headers["allow"] == allowed
            assert method == "HEAD" or body_of(answer) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "path",
    ["/v1/health", "/v1/invites", "/v1/keys/self", "/docs", "/v1/openapi.json", "/v1/events"],
)
async def test_head_tells_the_headers_of_get_and_no_body(hub: TestHub, path: str) -> None:
    async with hub.raw() as http, asyncio.timeout(20):
        told = await http.head(path, headers=OPERATOR)
        if path != "/v1/events":  # which never ends
            got = await http.get(path, headers=OPERATOR)
            assert {**got.headers, "x-request-id": ""} == {**told.headers, "x-request-id": ""}

    assert (told.status_code, told.content) == (200, b"")
    assert not hub.context.followers


async def test_head_is_refused_as_get_is(hub: TestHub) -> None:
    async with hub.raw() as http:
        refused = await http.head("/v1/invites")
        unknown = await http.head("/v1/nothing")

    assert (refused.status_code, unknown.status_code) == (401, 404)


async def test_an_invite_whose_body_is_not_one_is_400_and_makes_none(hub: TestHub) -> None:
    async with hub.raw() as http:
        for body, kind in BROKEN_BODIES:
            headers = OPERATOR if kind is None else {**OPERATOR, "content-type": kind}
            answer = await http.post("/v1/invites", content=body, headers=headers)

            assert body_of(answer) == (400, "invalid_request"), body[:60]
        listed = await http.get("/v1/invites", headers=OPERATOR)

    assert listed.json()["invites"] == []


async def test_a_signed_request_whose_body_is_not_one_is_400(hub: TestHub) -> None:
    headers = {"authorization": f"Signature {'0' * 64}.1.AA"}
    async with hub.raw() as http:
        for method, path in SIGNED:
            for body in UNREADABLE:
                answer = await http.request(method, path, content=body, headers=headers)

                assert body_of(answer) == (400, "invalid_request"), (path, body[:60])


async def test_a_desired_state_of_a_tenant_that_is_not_one_is_400(hub: TestHub) -> None:
    tenant = tenant_of(await hub.invite("a.eu"))
    async with hub.raw() as http:
        for body in UNREADABLE:
            signed = authorize_tenant(tenant, Domain.DESIRED_STATE, body, hub.clock.now_ms)
            headers = {"authorization": signed}
            answer = await http.put("/v1/desired-state", content=body, headers=headers)

            assert body_of(answer) == (400, "invalid_request"), body[:60]


async def test_a_parameter_or_a_field_of_a_wrong_form_is_400(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    proof = {
        "invite_id": base64url.encode(token.invite_id),
        "invite_secret": base64url.encode(token.secret),
    }
    broken = [
        ("invite_secret", "A"),
        ("invite_id", "AA"),
        ("invite_secret", "!"),
        ("agent_id", "x"),
    ]
    async with hub.raw() as http:
        answers = [await http.post("/v1/bootstrap", json={**proof, n: v}) for n, v in broken]
        answers.append(await http.get("/v1/routes/feed?since=-1"))

    assert [body_of(answer) for answer in answers] == [(400, "invalid_request")] * 5


async def test_a_refusal_does_not_repeat_what_was_sent(hub: TestHub) -> None:
    secret = "hush-" * 20
    sent = [
        {"hostnames": ["a.eu"], "name": [secret]},
        {"hostnames": {"x": secret}},
        {"hostnames": ["a.eu"], "expires_in_secs": secret},
    ]
    async with hub.raw() as http:
        answers = [await http.post("/v1/invites", json=body, headers=OPERATOR) for body in sent]
        answers.append(await http.get(f"/v1/tenants?status={secret}", headers=OPERATOR))

    assert [body_of(answer)[0] for answer in answers] == [400] * 4
    assert [answer.text for answer in answers if "hush" in answer.text] == []


async def test_a_body_just_as_long_as_allowed_is_read(hub: TestHub) -> None:
    body = b'{"hostnames": ["a.eu"]}'
    async with hub.raw() as http:
        fits = await http.post("/v1/invites", content=body.ljust(MAX_BODY_BYTES), headers=JSON)
        over = await http.post("/v1/invites", content=body.ljust(MAX_BODY_BYTES + 1), headers=JSON)

    assert fits.status_code == 200
    assert body_of(over) == (413, "too_large")


async def test_every_edit_refuses_fields_it_does_not_know(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    key = await hub.client().keys.create(KeyIn(name="k", role="viewer"))
    async with hub.raw() as http:
        for method, path in (
            ("PATCH", f"/v1/invites/{invite_id(token)}"),
            ("PATCH", f"/v1/tenants/{tenant_id(token).hex()}"),
            ("PATCH", f"/v1/keys/{key.key_id}"),
            ("POST", f"/v1/keys/{key.key_id}/rotate"),
            ("POST", "/v1/edge-invites"),
        ):
            for body in ({"role": "admin"}, {"tenant_id": None}, {"status": "x", "version": 1}):
                answer = await http.request(method, path, json=body, headers=OPERATOR)

                assert body_of(answer) == (400, "invalid_request")
                assert str(next(iter(body))) in answer.json()["error"]["message"]


@pytest.mark.both_databases
async def test_times_are_rfc_3339_in_utc_in_every_answer(hub: TestHub) -> None:
    there, found = await scene(hub), list[str]()
    for write, _ in every_write(there).values():
        hub.clock.now_ms += 1_001
        await write()
    await publish(hub, there.tenant, "a.eu")
    node = hub.context.keys.node
    hub.clock.now_ms += 1_000
    await hub.client().register_edge(node, registration(node))
    agent = new_key()
    await hub.client().bootstrap(there.tenant, agent, "g")
    await (await keyed(hub, "viewer")).keys.whoami()
    paths = (
        *("tenants", "services", "agents", "keys", "audit", "ports", "edges", "invites", "routes"),
        *(f"tenants/{tenant_id(there.tenant).hex()}", f"invites/{invite_id(there.tenant)}"),
        *(f"agents/{agent.public.hex()}", f"keys/{there.key.key_id}", f"edges/{node.public.hex()}"),
    )
    async with hub.raw() as http:
        for path in paths:
            answer = await http.get(f"/v1/{path}", headers=OPERATOR)
            found += times(answer)

    assert len(found) > 50
    assert [text for text in found if not RFC_3339.fullmatch(text)] == []


def times(answer: httpx.Response) -> list[str]:
    """The values of all fields that are named for a moment."""
    assert answer.status_code == 200

    def walk(value: object) -> Iterator[str]:
        if isinstance(value, list):
            for item in value:  # pyright: ignore[reportUnknownVariableType]
                yield from walk(item)
        if isinstance(value, dict):
            for name, item in value.items():  # pyright: ignore[reportUnknownVariableType]
                if (name == "at" or name.endswith(("_at", "_since"))) and item is not None:
                    yield str(item)
                yield from walk(item)

    return list(walk(answer.json()))
