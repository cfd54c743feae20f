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
from towonel.identity.signatures import Domain, authorize_node
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
