"""The original's command line and bootstrap, word by word: what they send, and what they are told."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from support.hub import TestHub, new_key, running_hub
from support.legacy_client import (
    OPERATOR,
    LegacyClient,
    Token,
    authorization,
    b64,
    body_of,
    legacy_client,
    payload,
    signed,
    unb64,
)

from towonel.hub.core.rate_limits import FREE_STRIKES, Rate
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.identity.keys import TenantKey

DAY_S = 86_400
BROKEN_IDS = ["AAAA", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA==", "no id!", "ä" * 22]


@pytest.fixture
async def cli(hub: TestHub) -> AsyncGenerator[LegacyClient]:
    async with legacy_client(hub) as made:
        yield made


def keys_of(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    return set(answer.json())


async def test_health_tells_who_the_hub_is_and_needs_no_key(cli: LegacyClient) -> None:
    answer = (await cli.http.get("/v1/health")).json()

    assert answer["status"] == "ok"
    assert answer["node_id"] == cli.hub.context.keys.node.public.hex()
    assert answer["protocol_version"] == 1
    assert isinstance(answer["version"], str)


async def test_an_invite_is_answered_with_a_token_of_four_parts(cli: LegacyClient) -> None:
    made = await cli.invite("app.example.eu", "*.home.example.eu", name="home")
    token = Token.parse(made["token"], "tt_inv_2_")

    assert made["status"] == "ok"
    assert made["name"] == "home"
    assert made["expires_at_ms"] is None
    assert token.hub_url == "https://hub.example.eu"
    assert token.invite_id == made["invite_id"]
    assert [len(unb64(token.invite_id)), len(unb64(token.invite_secret))] == [16, 32]
    assert TenantKey.from_seed(token.seed).tenant_id.hex() == made["tenant_id"]


@pytest.mark.parametrize(
    ("body", "lasts_s"),
    [
        ({}, None),
        ({"expires_in_secs": None}, None),
        ({"expires_in_secs": 0}, None),
        ({"expires_in_secs": 48 * 3600}, 48 * 3600),
        ({"expires_in_secs": 30 * DAY_S}, 30 * DAY_S),
    ],
    ids=["left out", "null", "0", "two days", "the most"],
)
async def test_no_expiry_and_0_are_never(
    cli: LegacyClient, body: dict[str, Any], lasts_s: int | None
) -> None:
    sent = await cli.http.post(
        "/v1/invites", json={"hostnames": ["a.eu"], **body}, headers=OPERATOR
    )
    expires_at_ms = None if lasts_s is None else cli.hub.clock() + lasts_s * 1000

    assert sent.json()["expires_at_ms"] == expires_at_ms
    assert sent.json()["name"].count("-") == 1  # two words, where none is given


@pytest.mark.parametrize(
    "body",
    [
        {"hostnames": []}, {}, {"hostnames": ["localhost"]}, {"hostnames": ["*"]},
        {"hostnames": ["a..eu"]}, {"hostnames": ["a b.eu"]}, {"hostnames": ["a.eu."]},
        {"hostnames": ["-a.eu"]}, {"hostnames": ["a.*.eu"]}, {"hostnames": [f"{'a' * 64}.eu"]},
        {"hostnames": ["a.eu"], "expires_in_secs": 30 * DAY_S + 1},
        {"hostnames": ["a.eu"], "expires_in_secs": -1},
    ],
    ids=str,
)  # fmt: skip
async def test_an_invite_that_breaks_a_rule_is_an_invalid_request(
    cli: LegacyClient, body: dict[str, Any]
) -> None:
    sent = await cli.http.post("/v1/invites", json=body, headers=OPERATOR)

    assert body_of(sent) == (400, "invalid_request")


async def test_a_name_is_promised_once_in_whatever_case_until_its_invite_is_revoked(
    cli: LegacyClient,
) -> None:
    made = await cli.invite("App.Example.eu")
    body = {"hostnames": ["b.eu", "aPP.example.EU"]}
    refused = await cli.http.post("/v1/invites", json=body, headers=OPERATOR)
    await cli.delete(f"/v1/invites/{made['invite_id']}")

    assert body_of(refused) == (409, "hostname_conflict")
    assert (await cli.invite("app.example.eu"))["status"] == "ok"


async def test_invites_are_listed_the_newest_first(cli: LegacyClient) -> None:
    first = await cli.invite("a.eu", name="first")
    cli.hub.clock.now_ms += 1
    second = await cli.invite("b.eu", name="second")
    await cli.delete(f"/v1/invites/{first['invite_id']}")
    listed = (await cli.http.get("/v1/invites", headers=OPERATOR)).json()["invites"]

    assert [(item["name"], item["status"]) for item in listed] == [
        ("second", "pending"),
        ("first", "revoked"),
    ]
    assert (
        listed[0].items()
        >= {
            "invite_id": second["invite_id"],
            "name": "second",
            "hostnames": ["b.eu"],
            "status": "pending",
            "expires_at_ms": None,
            "tenant_id": second["tenant_id"],
            "created_at_ms": cli.hub.clock(),
        }.items()
    )


async def test_an_edge_invite_is_made_listed_and_revoked(cli: LegacyClient) -> None:
    made = (await cli.http.post("/v1/edge-invites", json={"name": "rome"}, headers=OPERATOR)).json()
    token = Token.parse(made.pop("token"), "tt_edge_2_")
    listed = (await cli.http.get("/v1/edge-invites", headers=OPERATOR)).json()["invites"]
    revoked = await cli.delete(f"/v1/edge-invites/{made['invite_id']}")

    edge_id = new_key().from_seed(token.seed).public.hex()
    about = {"invite_id": token.invite_id, "name": "rome", "edge_node_id": edge_id}
    assert made == {"status": "ok", **about}
    wanted = {**about, "status": "pending", "created_at_ms": cli.hub.clock()}
    assert [item.items() >= wanted.items() for item in listed] == [True]
    assert revoked.json() == {"status": "revoked"}
    assert body_of(await cli.delete(f"/v1/edge-invites/{made['invite_id']}")) == (404, "not_found")


@pytest.mark.parametrize("kind", ["invites", "edge-invites"])
async def test_what_is_revoked_twice_or_unknown_is_not_found(cli: LegacyClient, kind: str) -> None:
    body = {"hostnames": ["a.eu"]} if kind == "invites" else {}
    made = (await cli.http.post(f"/v1/{kind}", json=body, headers=OPERATOR)).json()
    path = f"/v1/{kind}/{made['invite_id']}"

    assert (await cli.delete(path)).json() == {"status": "revoked"}
    assert body_of(await cli.delete(path)) == (404, "not_found")
    assert body_of(await cli.delete(f"/v1/{kind}/{b64(bytes(16))}")) == (404, "not_found")


@pytest.mark.parametrize("kind", ["invites", "edge-invites"])
@pytest.mark.parametrize("invite_id", BROKEN_IDS)
async def test_an_id_that_is_none_is_an_invalid_request(
    cli: LegacyClient, kind: str, invite_id: str
) -> None:
    assert body_of(await cli.delete(f"/v1/{kind}/{invite_id}")) == (400, "invalid_request")


async def test_a_removed_tenant_may_nothing_and_one_never_seen_can_be_removed(
    cli: LegacyClient,
) -> None:
    made = await cli.invite("a.eu")
    token = Token.parse(made["token"], "tt_inv_2_")
    tenant = TenantKey.from_seed(token.seed)
    await cli.accept(tenant, 1, "upsert_hostname", hostname="a.eu")
    removed = await cli.delete(f"/v1/tenants/{made['tenant_id']}")
    entry = signed(tenant, payload(tenant, 2, {"upsert_hostname": {"hostname": "a.eu"}}))

    assert removed.json() == {"status": "removed", "tenant_id": made["tenant_id"]}
    assert body_of(await cli.post_entry(entry)) == (403, "tenant_not_allowed")
    assert body_of(await cli.http.post("/v1/bootstrap", json=token.proof)) == (401, "unauthorized")
    assert await cli.log(tenant.tenant_id) == []
    unknown = await cli.delete(f"/v1/tenants/{'ab' * 32}")
    assert unknown.json() == {"status": "removed", "tenant_id": "ab" * 32}
    assert body_of(await cli.delete("/v1/tenants/abc")) == (400, "invalid_request")


async def test_a_bootstrap_has_every_field_of_the_original_however_often_it_is_asked(
    cli: LegacyClient,
) -> None:
    made = await cli.invite("b.eu", "A.eu")
    proof = Token.parse(made["token"], "tt_inv_2_").proof
    edges = [(await cli.edge()).public.hex() for _ in range(2)]
    first = await cli.http.post("/v1/bootstrap", json=proof)
    again = await cli.http.post("/v1/bootstrap", json=proof)

    answer = first.json()
    assert answer["status"] == "ok"
    assert answer["tenant_id"] == made["tenant_id"]
    assert answer["hostnames"] == ["b.eu", "a.eu"]
    assert answer["hub_node_id"] == cli.hub.context.keys.node.public.hex()
    assert sorted(answer["trusted_edges"]) == sorted(edges)  # before they ever registered
    assert answer["edge_node_id"] == answer["trusted_edges"][0]
    assert answer["edge_addresses"] == []
    assert again.json() == answer


async def test_a_wrong_secret_and_a_revoked_invite_are_told_the_same(cli: LegacyClient) -> None:
    made = await cli.invite("a.eu")
    proof = Token.parse(made["token"], "tt_inv_2_").proof
    wrong = await cli.http.post("/v1/bootstrap", json={**proof, "invite_secret": b64(bytes(32))})
    await cli.delete(f"/v1/invites/{made['invite_id']}")
    revoked = await cli.http.post("/v1/bootstrap", json=proof)

    assert body_of(wrong) == body_of(revoked) == (401, "unauthorized")
    assert wrong.json() == revoked.json()


async def test_who_guesses_the_secret_of_an_invite_is_locked_out(cli: LegacyClient) -> None:
    proof = Token.parse((await cli.invite("a.eu"))["token"], "tt_inv_2_").proof
    wrong = {**proof, "invite_secret": b64(bytes(32))}
    guesses = [
        body_of(await cli.http.post("/v1/bootstrap", json=wrong)) for _ in range(FREE_STRIKES + 1)
    ]

    assert set(guesses) == {(401, "unauthorized")}
    assert body_of(await cli.http.post("/v1/bootstrap", json=proof)) == (429, "rate_limited")


async def test_an_unknown_an_expired_and_a_broken_invite_each_have_their_word(
    cli: LegacyClient,
) -> None:
    made = await cli.invite("a.eu", expires_in_secs=60)
    proof = Token.parse(made["token"], "tt_inv_2_").proof
    cli.hub.clock.now_ms += 60_000

    async def requested(**other: str) -> tuple[int, str]:
        return body_of(await cli.http.post("/v1/bootstrap", json={**proof, **other}))

    assert await requested() == (410, "invite_expired")
    assert await requested(invite_id=b64(bytes(16))) == (404, "not_found")
    assert await requested(invite_id=b64(bytes(15))) == (400, "invalid_request")
    assert await requested(invite_secret="no base64!") == (400, "invalid_request")
    assert await requested(invite_id=f"{proof['invite_id']}==") == (400, "invalid_request")


OPERATORS = [
    ("POST", "/v1/invites"), ("GET", "/v1/invites"), ("DELETE", f"/v1/invites/{'A' * 22}"),
    ("POST", "/v1/edge-invites"), ("GET", "/v1/edge-invites"),
    ("DELETE", f"/v1/edge-invites/{'A' * 22}"), ("DELETE", f"/v1/tenants/{'ab' * 32}"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OPERATORS)
async def test_an_operators_mistake_with_the_key_has_its_own_message(
    cli: LegacyClient, method: str, path: str
) -> None:
    headers: list[dict[str, str]] = [
        {}, {"authorization": "Bearer"}, {"authorization": "Bearer wrong"},
    ]  # fmt: skip
    headers.append({"authorization": "Basic b3BlcmF0b3ItCmtleQ=="})
    answers = [await cli.http.request(method, path, headers=sent) for sent in headers]

    assert [body_of(answer) for answer in answers] == [(401, "unauthorized")] * 4
    messages = [answer.json()["error"]["message"] for answer in answers]
    assert len(set(messages)) == 3  # missing, malformed or of another scheme, wrong


async def test_the_scheme_of_the_key_may_be_written_in_any_case(cli: LegacyClient) -> None:
    for scheme in ("bearer", "BEARER"):  # RFC 9110 §11.1
        headers = {"authorization": OPERATOR["authorization"].replace("Bearer", scheme)}

        assert (await cli.http.get("/v1/invites", headers=headers)).status_code == 200


async def test_a_body_above_64_kib_is_refused_and_a_path_that_is_none_not_found(
    cli: LegacyClient,
) -> None:
    fits = await cli.http.post("/v1/entries", content=bytes(64 * 1024))
    large = await cli.http.post("/v1/entries", content=bytes(64 * 1024 + 1))

    assert body_of(fits) == (400, "invalid_request")
    assert body_of(large) == (413, "too_large")
    assert (await cli.http.get("/v1/nothing")).status_code == 404


async def test_what_anybody_may_ask_is_limited_by_address_and_nothing_else(
    database: Database,
) -> None:
    anybody = [
        ("POST", "/v1/bootstrap"), ("POST", "/v1/entries"), ("POST", "/v1/agent/heartbeat"),
        ("GET", f"/v1/tenants/{'ab' * 32}/entries"), ("GET", "/v1/health"),
    ]  # fmt: skip
    async with (
        running_hub(database, RouteChanges(), per_address=Rate(0.001, 1)) as hub,
        hub.raw() as http,
    ):
        await http.post("/v1/bootstrap")
        header = authorization(new_key(), "towonel/edge-sub/v1", b"", hub.clock())
        outsider = {"authorization": header}
        limited = [await http.request(*requested) for requested in anybody]
        limited.append(await http.get("/v1/routes/subscribe", headers=outsider))
        free = await http.get("/v1/edges", headers=OPERATOR)

    assert [body_of(answer) for answer in limited] == [(429, "rate_limited")] * 6
    assert all(int(answer.headers["retry-after"]) > 0 for answer in limited)
    assert free.status_code == 200


async def test_a_request_id_comes_back(cli: LegacyClient) -> None:
    given = await cli.http.get("/v1/health", headers={"x-request-id": "mine"})
    made = await cli.http.get("/v1/health")

    assert given.headers["x-request-id"] == "mine"
    assert len(made.headers["x-request-id"]) >= 32


async def test_answers_have_the_fields_of_the_original_and_more_only_where_it_ignores_them(
    cli: LegacyClient,
) -> None:
    made = await cli.http.post("/v1/invites", json={"hostnames": ["a.eu"]}, headers=OPERATOR)
    proof = Token.parse(made.json()["token"], "tt_inv_2_").proof
    welcome = await cli.http.post("/v1/bootstrap", json=proof)
    requested = {"status", "tenant_id", "hostnames", "hub_node_id", "trusted_edges"}

    assert keys_of(made) == {
        *("status", "token", "invite_id", "tenant_id", "name", "expires_at_ms"),
    }
    assert keys_of(welcome) >= {*requested, "edge_node_id", "edge_addresses"}
    assert keys_of(await cli.http.get("/v1/invites", headers=OPERATOR)) >= {"invites"}
    assert keys_of(await cli.http.get("/v1/edges", headers=OPERATOR)) >= {"edges"}
