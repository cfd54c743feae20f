import json

import pytest
from support.scripted_server import Request, Server

from towonel.api.edges import EdgeRegisterIn
from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.identity.keys import NodeKey, TenantKey
from towonel.identity.signatures import Domain, Signature
from towonel.wire import base64url
from towonel.wire.errors import ProtocolError
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.heartbeat import Heartbeat, decode_heartbeat
from towonel.wire.routes import RouteDelta, encode_delta
from towonel.wire.tokens import InviteToken

NOW_MS = 1_800_000_000_000
NODE = NodeKey.from_seed(b"\x01" * 32)
TENANT = TenantKey.from_seed(b"\x02" * 32)
TOKEN = InviteToken("https://hub.example.eu", b"\x03" * 16, b"\x04" * 32, b"\x05" * 32)
STATE = DesiredState(group="g", services=[ServiceIn(kind="https", name="a.example.eu")])
APPLIED = {"revision": 1, "created": [], "changed": [], "deleted": [], "unchanged": 1}
REFRESHED = {"grant": "AA", "grant_expires_at_ms": 1, "edges": []}
REGISTERED = {"hub_node_id": "ab" * 32, "revision": 3}
BOOTSTRAPPED: dict[str, object] = {
    "tenant_id": "ab" * 32,
    "hostnames": [],
    "hub_node_id": "cd" * 32,
    "trusted_edges": [],
    "edge_node_id": None,
    "edge_addresses": [],
}


def client(server: Server) -> HubClient:
    return HubClient(server.url, operator_key="key", now_ms=lambda: NOW_MS)


def check(request: Request, domain: Domain, now_ms: int = NOW_MS) -> None:
    Signature.parse(request.headers["authorization"]).check_node(domain, request.body, now_ms)


async def test_bootstrap_shows_the_invite_and_is_signed_by_the_agent(server: Server) -> None:
    server.reply(200, json.dumps(BOOTSTRAPPED))

    async with client(server) as hub:
        answer = await hub.bootstrap(TOKEN, NODE, "blue")

    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/v1/bootstrap")
    assert json.loads(request.body) == {
        "invite_id": base64url.encode(TOKEN.invite_id),
        "invite_secret": base64url.encode(TOKEN.secret),
        "agent_id": NODE.public.hex(),
        "group": "blue",
    }
    check(request, Domain.AGENT_BOOTSTRAP)
    assert answer.grant is None


async def test_refresh_shows_the_grant_and_is_signed_by_the_agent(server: Server) -> None:
    server.reply(200, json.dumps(REFRESHED))

    async with client(server) as hub:
        await hub.refresh(b"grant", NODE)

    [request] = server.requests
    assert request.target == "/v1/agent/refresh"
    assert json.loads(request.body) == {"grant": base64url.encode(b"grant")}
    check(request, Domain.AGENT_REFRESH)


async def test_an_agent_that_leaves_shows_its_grant_and_signs(server: Server) -> None:
    server.reply(200, json.dumps({"status": "ok"}))

    async with client(server) as hub:
        await hub.leave(b"grant", NODE)

    [request] = server.requests
    assert request.target == "/v1/agent/leave"
    assert json.loads(request.body) == {"grant": base64url.encode(b"grant")}
    check(request, Domain.AGENT_LEAVE)


async def test_an_agent_of_the_original_tells_that_it_is_there(server: Server) -> None:
    server.reply(200, json.dumps({"status": "ok", "next_interval_secs": 20}))
    tenant_id = TenantId(TENANT.tenant_id)

    async with client(server) as hub:
        answer = await hub.heartbeat(NODE, tenant_id)

    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/v1/agent/heartbeat")
    assert request.headers["content-type"] == "application/cbor"
    assert decode_heartbeat(request.body) == Heartbeat(tenant_id, AgentId(NODE.public))
    check(request, Domain.AGENT_HEARTBEAT)
    assert answer.next_interval_secs == 20


async def test_a_desired_state_is_signed_by_the_tenant(server: Server) -> None:
    server.reply(200, json.dumps(APPLIED))

    async with client(server) as hub:
        applied = await hub.apply_desired_state(TENANT, STATE)

    [request] = server.requests
    assert (request.method, request.target) == ("PUT", "/v1/desired-state")
    assert DesiredState.model_validate_json(request.body) == STATE
    signature = Signature.parse(request.headers["authorization"])
    signature.check_tenant(TENANT.public, Domain.DESIRED_STATE, request.body, NOW_MS)
    assert applied.unchanged == 1


async def test_an_edge_registers_with_its_own_signature(server: Server) -> None:
    server.reply(200, json.dumps(REGISTERED))
    registration = EdgeRegisterIn(addresses=["a:1"], certificate_pem="pem", version="1")

    async with client(server) as hub:
        answer = await hub.register_edge(NODE, registration)

    [request] = server.requests
    assert request.target == "/v1/edges/register"
    check(request, Domain.EDGE_REGISTER)
    assert answer.revision == 3


@pytest.mark.parametrize(
    ("since", "target"), [(None, "/v1/routes/feed?wait=5"), (7, "/v1/routes/feed?since=7&wait=5")]
)
async def test_routes_are_asked_from_a_revision_on(
    server: Server, since: int | None, target: str
) -> None:
    delta = RouteDelta(9, snapshot=True, routes=(), removed=(), blocked=(), unblocked=())
    server.reply(200, encode_delta(delta))

    async with client(server) as hub:
        found = await hub.follow_routes(NODE, since, 5)

    assert found == delta
    assert server.requests[0].target == target
    check(server.requests[0], Domain.EDGE_SUBSCRIBE)


async def test_routes_that_are_none_are_malformed(server: Server) -> None:
    server.reply(200, b"junk")

    async with client(server) as hub:
        with pytest.raises(ProtocolError):
            await hub.follow_routes(NODE, None)


async def test_two_requests_in_one_millisecond_have_two_times_or_one_would_be_a_replay(
    server: Server,
) -> None:
    server.reply(200, json.dumps(REFRESHED))

    async with client(server) as hub:
        await hub.refresh(b"grant", NODE)
        await hub.refresh(b"grant", NODE)

    stamps = [Signature.parse(r.headers["authorization"]).timestamp_ms for r in server.requests]
    assert stamps == [NOW_MS, NOW_MS + 1]
