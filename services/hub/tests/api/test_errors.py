"""Every answer that is an error has the envelope, whoever made it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import Request
from sqlalchemy import update
from support.callers import OPERATOR
from support.hub import MAX_CONNECTIONS, TestHub, tenant_of

from towonel.hub.api.http.errors import STATUS, STATUS_DESCRIPTIONS, respond, status_of
from towonel.hub.api.http.request_body import MAX_BODY_BYTES, MAX_BYTES
from towonel.hub.bounds import Bounds
from towonel.hub.store.tables import AuditRow
from towonel.hub.timing import Timing
from towonel.identity.signatures import Domain, authorize_tenant
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_what_curl_does_unless_told_otherwise_is_told_what_to_do(hub: TestHub) -> None:
    form = {"content-type": "application/x-www-form-urlencoded", **OPERATOR}
    async with hub.raw() as http:
        reported = [
            (await http.post("/v1/invites", content=b'{"hostnames": []}', headers=form)).text,
            (await http.post("/v1/invites", json=["a.example.eu"], headers=OPERATOR)).text,
            (await http.get("/v1/invite", headers=OPERATOR)).text,
        ]

    assert ["content-type: application/json" in text for text in reported] == [True, True, False]
    assert "/v1/openapi.json" in reported[2]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (
            "/v1/invites",
            {"hostnames": ["a.eu"], "expires": "90d"},
            "expires: is unknown (did you mean expires_in_secs?), known are expires_in_secs, hostnames, limits, name, serves_for_secs",
        ),
        ("/v1/ports", {"tenant_id": "ab" * 32, "protocol": "tcp", "port": 22}, "did you mean"),
        ("/v1/invites", {"hostnames": ["a.eu"], "zzz": 1}, "zzz: is unknown, known are expires_in"),
    ],
)
async def test_an_unknown_field_is_told_the_nearest_and_which_there_are(
    hub: TestHub, path: str, body: dict[str, object], message: str
) -> None:
    async with hub.raw() as http:
        answer = await http.post(path, json=body, headers=OPERATOR)

    assert error_of(answer) == (400, "invalid_request")
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/invites?limit=x", "query.limit: must be a whole number"),
        ("/v1/invites?limit=0", "query.limit: must be at least 1"),
        ("/v1/invites/zzz", "invite_id: must be 22 characters of base64url, as the list shows it"),
        ("/v1/keys/zzz", "key_id: must be 11 characters of base64url, as the list shows it"),
    ],
)
async def test_a_value_in_an_address_is_named_with_its_rule(
    hub: TestHub, path: str, message: str
) -> None:
    async with hub.raw() as http:
        method = "GET" if "?" in path or "invites" in path else "DELETE"
        answer = await http.request(method, path, headers=OPERATOR)

    assert error_of(answer) == (400, "invalid_request")
    assert answer.json()["error"]["message"] == message


async def test_a_body_that_is_no_json_is_said_to_be_none(hub: TestHub) -> None:
    headers = {**OPERATOR, "content-type": "application/json"}
    async with hub.raw() as http:
        answer = await http.post("/v1/invites", content=b'{"hostnames": [}', headers=headers)

    assert error_of(answer) == (400, "invalid_request")
    assert answer.json()["error"]["message"] == "body: is not JSON: Expecting value at character 16"


async def test_an_unknown_field_within_a_signed_body_is_told_the_nearest(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    service = {"kind": "https", "name": "a.eu", "hostname": "a.eu"}
    body = json.dumps({"group": "g", "services": [service]}).encode()
    header = authorize_tenant(tenant_of(token), Domain.DESIRED_STATE, body, hub.clock.now_ms)
    async with hub.raw() as http:
        answer = await http.put(
            "/v1/desired-state", content=body, headers={"authorization": header}
        )

    told = (
        "services.0.hostname: is unknown (did you mean name?), "
        "known are allow_cidrs, deny_cidrs, http2, kind, last_port, name, port, tls_mode"
    )
    assert answer.json()["error"]["message"] == told


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("path", "limit"), [("/v1/bootstrap", MAX_BODY_BYTES), *MAX_BYTES.items()])
async def test_a_body_above_the_limit_is_refused_declared_or_not(
    hub: TestHub, declared: bool, path: str, limit: int
) -> None:
    async def streamed() -> AsyncIterator[bytes]:
        yield bytes(limit)
        yield b"x"

    method = "PUT" if path.endswith("state") else "POST"
    signer = hub.context.keys.node.public.hex()  # what strangers send as an edge is not read at all
    headers = {"authorization": f"Signature {signer}.{hub.clock.now_ms}.AA"}
    async with hub.raw() as http:
        content = bytes(limit + 1) if declared else streamed()
        answer = await http.request(method, path, content=content, headers=headers)

    assert error_of(answer) == (413, "too_large")


async def test_a_bug_is_an_internal_error_that_tells_nothing(hub: TestHub) -> None:
    await hub.invite("a.eu")
    async with hub.context.store.write_fact() as session:
        await session.exec(update(AuditRow).values(after="no JSON"))
    async with hub.raw() as http:
        answer = await http.get("/v1/audit", headers=OPERATOR)

    assert error_of(answer) == (500, "internal")
    assert "Expecting value" not in answer.text


async def test_a_request_id_is_kept_or_made(hub: TestHub) -> None:
    async with hub.raw() as http:
        retained = await http.get("/v1/health", headers={"x-request-id": "abc-1"})
        made = await http.get("/v1/health", headers={"x-request-id": "bad id\t"})

    assert retained.headers["x-request-id"] == "abc-1"
    assert len(made.headers["x-request-id"]) == 32


async def test_requests_are_counted_by_route_and_status(hub: TestHub) -> None:
    async with hub.raw() as http:
        await http.get("/v1/health")
        await http.get("/v1/invites")
        await http.get("/nowhere")

    def count(endpoint: str, status: str) -> float:
        return float(hub.context.metrics.requests.labels(endpoint, status)._value.get())

    assert count("/v1/health", "200") == 1
    assert count("/v1/invites", "401") == 1
    assert count("unmatched", "404") == 1
    assert hub.context.metrics.refused.labels("unauthorized")._value.get() == 1


def test_a_status_follows_the_code_else_the_class() -> None:
    assert status_of(Denied(Code.HOSTNAME_CONFLICT)) == 409
    assert status_of(Denied(Code.CERTIFICATE_MISMATCH)) == 403
    assert status_of(ProtocolError(Code.BAD_NAME)) == 400
    assert status_of(Unavailable(Code.HUB_UNAVAILABLE)) == 503
    assert set(STATUS.values()) <= set(STATUS_DESCRIPTIONS) | {405}


@pytest.mark.parametrize("timing", [Timing(database_begin_s=2)])  # enough to connect
async def test_what_is_unavailable_says_when_to_come_back(hub: TestHub) -> None:
    async with hub.raw() as http, AsyncExitStack() as stack, asyncio.timeout(20):
        for _ in range(MAX_CONNECTIONS):
            await stack.enter_async_context(hub.context.store.read())
        answer = await http.get("/v1/invites", headers=OPERATOR)

    assert error_of(answer) == (503, "hub_unavailable")
    assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize(("retry_after_s", "header"), [(None, "1"), (0.2, "1"), (2.1, "3")])
async def test_who_is_to_come_back_is_told_in_whole_seconds_and_never_too_early(
    hub: TestHub, retry_after_s: float | None, header: str
) -> None:
    request = Request({"type": "http", "path": "/", "headers": [], "client": ("192.0.2.1", 1)})
    error = Unavailable(Code.HUB_UNAVAILABLE, retry_after_s=retry_after_s)

    assert respond(hub.context, request, error).headers["retry-after"] == header


@pytest.mark.parametrize("bounds", [Bounds(requests=1)])
async def test_of_too_many_requests_at_once_the_last_is_told_to_come_back(hub: TestHub) -> None:
    node = hub.context.keys.node
    async with hub.raw() as http, asyncio.TaskGroup() as tasks:
        tasks.create_task(hub.client().follow_routes(node, 0, 25))
        while not hub.context.route_changes.waiting:
            await asyncio.sleep(0.01)
        refused = await http.get("/v1/health")
        hub.context.stop()
    async with hub.raw() as http:
        answered = await http.get("/v1/health")

    assert error_of(refused) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert answered.status_code == 200
