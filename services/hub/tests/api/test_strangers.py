"""Who has neither key nor invite: costs little, and passes for nobody else."""

import asyncio
from ipaddress import ip_network

import httpx
import pytest
from support.hub import TestHub, new_key, registration, running_hub, state, tenant_of

from towonel.hub.core.rate_limits import FREE_STRIKES, Rate
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.identity.keys import NodeKey
from towonel.identity.signatures import (
    BODY_HASH_HEADER,
    Domain,
    authorize_node,
    authorize_tenant,
    hash_body,
)
from towonel.wire.errors import Unavailable

OF_EDGES = {
    "/v1/edges/register": Domain.EDGE_REGISTER,
    "/v1/edges/report": Domain.EDGE_REPORT,
}


async def sent(hub: TestHub, path: str, key: NodeKey, body: bytes = b"{") -> tuple[int, str]:
    header = authorize_node(key, OF_EDGES[path], body, hub.clock.now_ms)
    async with hub.raw() as http:
        answer = await http.post(path, content=body, headers={"authorization": header})
        return answer.status_code, answer.json()["error"]["code"]


async def guess(http: httpx.AsyncClient) -> int:
    headers = {"authorization": "Bearer wrong"}
    return (await http.get("/v1/invites", headers=headers)).status_code


@pytest.mark.parametrize("path", OF_EDGES)
async def test_nobody_reads_what_a_stranger_says_as_an_edge(hub: TestHub, path: str) -> None:
    assert await sent(hub, path, new_key()) == (403, "edge_unknown")
    assert await sent(hub, path, hub.context.keys.node) == (400, "invalid_request")


async def test_nobody_reads_a_desired_state_whose_signature_is_forged(hub: TestHub) -> None:
    tenant, other = tenant_of(await hub.invite("a.eu")), tenant_of(await hub.invite("b.eu"))
    own, forged = (
        authorize_tenant(key, Domain.DESIRED_STATE, b"{", hub.clock.now_ms)
        for key in (tenant, other)
    )
    of_tenant = forged.replace(other.tenant_id.hex(), tenant.tenant_id.hex())
    codes = list[str]()
    async with hub.raw() as http:
        for header in (of_tenant, own):
            answer = await http.put(
                "/v1/desired-state", content=b"{", headers={"authorization": header}
            )
            codes.append(answer.json()["error"]["code"])

    assert codes == ["invalid_signature", "invalid_request"]


@pytest.mark.parametrize("path", OF_EDGES)
async def test_a_stranger_who_calls_itself_an_edge_keeps_no_writer_waiting(
    hub: TestHub, path: str
) -> None:
    outsider = new_key()
    async with hub.context.store.write(), asyncio.timeout(20):
        body = registration(outsider).model_dump_json().encode()
        assert await sent(hub, path, outsider, body) == (403, "edge_unknown")


@pytest.mark.parametrize("path", OF_EDGES)
async def test_an_address_may_not_call_itself_an_edge_as_often_as_it_likes(
    database: Database, path: str
) -> None:
    async with running_hub(database, RouteChanges(), per_address=Rate(0.001, 2)) as hub:
        answers = [await sent(hub, path, new_key()) for _ in range(3)]
        answers += [await sent(hub, path, hub.context.keys.node) for _ in range(3)]

    outsiders = ["edge_unknown", "edge_unknown", "rate_limited"]
    assert [code for _, code in answers] == [*outsiders, *["invalid_request"] * 3]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/v1/health", {}),
        ("GET", "/v1/health", {"authorization": "Bearer x"}),
        ("GET", "/nowhere", {}),
        ("GET", "/nowhere", {"authorization": "Bearer x"}),
        ("DELETE", "/v1/invites", {"authorization": "Bearer x"}),
        ("GET", "/docs", {}),
        ("GET", "/docs/assets/swagger-ui.css", {"authorization": "Bearer x"}),
        ("GET", "/v1/openapi.json", {}),
        ("GET", "/v1/invites", {}),
        ("GET", "/v1/invites", {"authorization": "Basic x"}),
        ("POST", "/v1/invites", {"authorization": "Bearer x", "content-length": "99999999"}),
    ],
)
async def test_every_request_without_a_key_counts_against_its_address(
    database: Database, method: str, path: str, headers: dict[str, str]
) -> None:
    async with (
        running_hub(database, RouteChanges(), per_address=Rate(0.001, 2)) as hub,
        hub.raw() as http,
    ):
        answers = [await http.request(method, path, headers=headers) for _ in range(3)]
        key = {"authorization": "Bearer operator-key"}
        honest = await http.get("/v1/invites", headers=key)

    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    assert answers[-1].json()["error"]["code"] == "rate_limited"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert honest.status_code == 200


@pytest.mark.parametrize("with_hash", [True, False])
async def test_a_signature_of_an_edge_that_is_invented_counts_against_its_address(
    database: Database, with_hash: bool
) -> None:
    async with running_hub(database, RouteChanges(), per_address=Rate(0.001, 2)) as hub:
        edge = hub.context.keys.node.public.hex()
        headers = {"authorization": f"Signature {edge}.{hub.clock.now_ms}.{'A' * 86}"}
        headers |= {BODY_HASH_HEADER: hash_body(b"{")} if with_hash else {}
        async with hub.raw() as http:
            sent = [
                await http.post("/v1/edges/report", content=b"{", headers=headers) for _ in "123"
            ]

    codes = [answer.json()["error"]["code"] for answer in sent]
    assert codes == ["invalid_signature", "invalid_signature", "rate_limited"]


async def test_what_strangers_cause_is_logged_once_a_second_with_its_path_cut(
    hub: TestHub, capsys: pytest.CaptureFixture[str]
) -> None:
    async with hub.raw() as http:
        for _ in range(50):
            await http.get("/" + "a" * 5_000)
    hub.context.stop()
    lines = [line for line in capsys.readouterr().out.splitlines() if "request.refused" in line]

    assert len(lines) == 2
    assert "count=49" in lines[1]
    assert all(len(line) < 800 for line in lines)
    assert all("address=127.0.0.1" in line and "code=not_found" in line for line in lines)


async def test_a_wrong_key_is_logged_with_the_address_it_came_from(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy = (ip_network("127.0.0.0/8"),)
    async with running_hub(database, RouteChanges(), proxies=proxy) as hub, hub.raw() as http:
        for number in range(1, 4):
            headers = {"authorization": "Bearer wrong", "x-forwarded-for": f"192.0.2.{number}"}
            await http.get("/v1/invites", headers=headers)
    seen = [line for line in capsys.readouterr().out.splitlines() if "code=unauthorized" in line]

    assert [f"address=192.0.2.{number}" in seen[number - 1] for number in (1, 2, 3)] == [True] * 3


async def test_who_guesses_keys_silences_nobody_who_signs(hub: TestHub) -> None:
    client, token = hub.client(), await hub.invite("a.eu")
    async with hub.raw() as http:
        answers = [await guess(http) for _ in range(FREE_STRIKES + 2)]
    with pytest.raises(Unavailable, match="too many wrong secrets"):
        await client.bootstrap(token, new_key(), "default")
    applied = await client.apply_desired_state(tenant_of(token), state("a.eu"))

    assert answers[-1] == 429
    assert applied.created == ["https:a.eu"]


async def test_what_a_client_says_before_the_line_of_its_proxy_makes_it_nobody_else(
    database: Database,
) -> None:
    async with (
        running_hub(database, RouteChanges(), proxies=(ip_network("127.0.0.0/8"),)) as hub,
        hub.raw() as http,
    ):

        async def guess_as(number: int) -> int:
            headers = [
                ("authorization", "Bearer wrong"),
                ("x-forwarded-for", f"192.0.2.{number}"),  # the client's
                ("x-forwarded-for", "198.51.100.1"),  # HAProxy's
            ]
            return (await http.get("/v1/invites", headers=headers)).status_code

        answers = [await guess_as(number) for number in range(FREE_STRIKES + 2)]

    assert answers[-1] == 429
