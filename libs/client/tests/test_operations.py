"""Each operation of the hub's API is a method: what it sends, and what it makes of the answer."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import override

import pytest
from support.scripted_server import Server

from towonel.api.agents import AgentItem, AgentPage
from towonel.api.audit import AuditItem, AuditPage
from towonel.api.bodies import Answer
from towonel.api.certificates.items import (
    CertificateDetail,
    CertificateItem,
    CertificatePage,
    CertificateRequestOut,
)
from towonel.api.edge_invites import EdgeInviteItem, EdgeInviteList, EdgeInviteOut
from towonel.api.edges import EdgeItem, EdgeList
from towonel.api.invites import (
    HostnamesIn,
    HostnamesOut,
    InviteDetail,
    InviteEdit,
    InviteIn,
    InviteList,
    InviteOut,
    RevokedOut,
)
from towonel.api.keys import KeyEdit, KeyIn, KeyItem, KeyOut, KeyPage, KeyRotation, WhoAmI
from towonel.api.limits import Limits
from towonel.api.ports import (
    AvailablePorts,
    PortRange,
    ReleasedOut,
    Reservation,
    ReservationIn,
    ReservationPage,
)
from towonel.api.services import RouteItem, RoutePage, ServiceDetail, ServicePage
from towonel.api.tenants import RemovedOut, TenantDetail, TenantEdit, TenantItem, TenantPage
from towonel.api.traffic import Traffic
from towonel.client.hub import HubClient
from towonel.client.transport import Tagged
from towonel.wire.errors import Code, Denied

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
ID, HEX, INVITE_ID = b"\xab" * 32, "ab" * 32, "pJ4yYx1sT0mQ8aWv7c2d3g"
KEY = "https:*.example.eu"
TRAFFIC = Traffic(connections_active=1, bytes_in=2)
INVITE = InviteOut(token="t", invite_id="aa", tenant_id=ID, name="n", expires_at_ms=None)
EDGE_INVITE = EdgeInviteItem(
    invite_id="aa", name="n", status="pending", edge_node_id=ID, created_at_ms=1
)
DETAIL = InviteDetail(
    invite_id="aa", name="n", hostnames=["a.b"], status="pending", expires_at_ms=None,
    tenant_id=ID, created_at_ms=1, created_at=AT, expires_at=None, suspended_at=None,
    limits=Limits(), ports=[PortRange(protocol="tcp", first_port=1, last_port=2)],
)  # fmt: skip
HOSTNAMES = HostnamesOut(invite_id="aa", remaining_hostnames=["a.b"])
TENANT = TenantItem(
    tenant_id=ID, invite_id="aa", name="n", status="active", hostnames=[], limits=Limits(),
    created_at=AT, expires_at=None, suspended_at=None, agents_live=1, traffic=TRAFFIC,
)  # fmt: skip
AGENT = AgentItem(
    agent_id=ID, tenant_id=ID, group="g", is_live=True, first_seen_at=AT, last_seen_at=AT,
    live_since=None, edges=[ID], software=None, connections_active=0,
)  # fmt: skip
TENANT_DETAIL = TenantDetail(**TENANT.model_dump(), services=1, ports=[], agents=[AGENT])
ROUTE = RouteItem(
    key=KEY, kind="https", name="a", port=None, tls_mode="passthrough", tenant_id=ID, revision=1
)
SERVICE = ServiceDetail(**ROUTE.model_dump(exclude={"revision"}), groups=["g"], agents=[AGENT])
EDGE = EdgeItem(
    node_id=ID, name="n", addresses=[], certificate_sha256=ID, version="1", last_seen_ms=1,
    last_seen_at=AT, is_live=False, sessions=0, traffic=TRAFFIC,
)  # fmt: skip
PORTS = Reservation(
    reservation_id=INVITE_ID, tenant_id=ID, protocol="tcp", first_port=5, last_port=6, created_at=AT
)
KEY_ITEM = KeyItem(
    key_id="AAAAAAAAAAA", name="n", role="viewer", tenant_id=None, status="active", created_at=AT,
    expires_at=None, last_used_at=None, rotated_at=None,
)  # fmt: skip
KEY_OUT = KeyOut(**KEY_ITEM.model_dump(), key="tt_key_1_x")
CERTIFICATE = CertificateItem(
    hostname="a.b", edge_id=ID, tenant_id=None, state="valid", source="acme", issuer="R11", serial="1",
    not_before=AT, not_after=AT, renews_at=None, is_ordering=False, error="", fix="", retry_at=None,
)  # fmt: skip
REQUESTED = CertificateRequestOut(hostname="a.b", action="renew", edges=[ID], expires_at=AT)
AUDIT = AuditItem(
    id=1, at=AT, actor="operator", action="a", subject="s", tenant_id=None, before=None,
    after={"a": 1}, request_id="r", address="192.0.2.1",
)  # fmt: skip
EVERY = "limit=5&cursor=c"


@dataclass(frozen=True)
class Ask:
    call: Callable[[HubClient], Awaitable[object]]
    request: str
    answer: Answer
    body: object = None

    @override
    def __str__(self) -> str:
        return self.request


READS = [
    Ask(lambda c: c.invites.list(), "GET /v1/invites", InviteList(invites=[])),
    Ask(
        lambda c: c.invites.list(limit=5, cursor="c", status="s", name="n", hostname="a.b"),
        f"GET /v1/invites?{EVERY}&status=s&name=n&hostname=a.b",
        InviteList(invites=[], next_cursor="d"),
    ),
    Ask(
        lambda c: c.edge_invites.list(limit=5, cursor="c"),
        f"GET /v1/edge-invites?{EVERY}",
        EdgeInviteList(invites=[EDGE_INVITE], next_cursor="d"),
    ),
    Ask(lambda c: c.edge_invites.get("aa"), "GET /v1/edge-invites/aa", EDGE_INVITE),
    Ask(
        lambda c: c.tenants.list(limit=5, cursor="c", status="active", name="n", hostname="a.b"),
        f"GET /v1/tenants?{EVERY}&status=active&name=n&hostname=a.b",
        TenantPage(tenants=[TENANT], next_cursor="d"),
    ),
    Ask(
        lambda c: c.services.list(limit=5, cursor="c", tenant_id=ID, group="g", kind="tcp"),
        f"GET /v1/services?{EVERY}&tenant_id={HEX}&group=g&kind=tcp",
        ServicePage(services=[]),
    ),
    Ask(lambda c: c.services.get(KEY), "GET /v1/services/https%3A%2A.example.eu", SERVICE),
    Ask(
        lambda c: c.routes.list(limit=5, cursor="c", tenant_id=ID, kind="udp"),
        f"GET /v1/routes?{EVERY}&tenant_id={HEX}&kind=udp",
        RoutePage(revision=7, routes=[ROUTE]),
    ),
    Ask(lambda c: c.routes.get("tcp:2222"), "GET /v1/routes/tcp%3A2222", ROUTE),
    Ask(
        lambda c: c.agents.list(limit=5, cursor="c", tenant_id=ID, group="g", live=True),
        f"GET /v1/agents?{EVERY}&tenant_id={HEX}&group=g&live=true",
        AgentPage(agents=[AGENT]),
    ),
    Ask(lambda c: c.agents.list(live=False), "GET /v1/agents?live=false", AgentPage(agents=[])),
    Ask(lambda c: c.agents.get(ID), f"GET /v1/agents/{HEX}", AGENT),
    Ask(
        lambda c: c.edges.list(limit=5, cursor="c"), f"GET /v1/edges?{EVERY}", EdgeList(edges=[])
    ),
    Ask(lambda c: c.edges.get(ID), f"GET /v1/edges/{HEX}", EDGE),
    Ask(
        lambda c: c.certificates.list(
            limit=5, cursor="c", hostname="a.b", tenant_id=ID, edge_id=ID, state="failed"
        ),
        f"GET /v1/certificates?{EVERY}&hostname=a.b&tenant_id={HEX}&edge_id={HEX}&state=failed",
        CertificatePage(certificates=[CERTIFICATE]),
    ),
    Ask(
        lambda c: c.certificates.get("a.b"), "GET /v1/certificates/a.b",
        CertificateDetail(hostname="a.b", tenant_id=None, certificates=[CERTIFICATE]),
    ),
    Ask(
        lambda c: c.ports.list(limit=5, cursor="c", tenant_id=ID, protocol="udp"),
        f"GET /v1/ports?{EVERY}&tenant_id={HEX}&protocol=udp",
        ReservationPage(ports=[PORTS]),
    ),
    Ask(lambda c: c.ports.get(INVITE_ID), f"GET /v1/ports/{INVITE_ID}", PORTS),
    Ask(
        lambda c: c.ports.available("tcp", 3),
        "GET /v1/ports/available?protocol=tcp&count=3",
        AvailablePorts(protocol="tcp", ports=[1024]),
    ),
    Ask(
        lambda c: c.keys.list(limit=5, cursor="c"), f"GET /v1/keys?{EVERY}", KeyPage(keys=[KEY_ITEM])
    ),
    Ask(
        lambda c: c.keys.whoami(), "GET /v1/keys/self", WhoAmI(actor="a", role="admin", tenant_id=None)
    ),
    Ask(
        lambda c: c.audit.list(
            limit=5, cursor="c", actor="a", action="b", subject="s", tenant_id=ID, since=AT,
            until="2026-11-25T00:00:00Z",
        ),
        f"GET /v1/audit?{EVERY}&actor=a&action=b&subject=s&tenant_id={HEX}"
        "&since=2026-11-24T12%3A00%3A00%2B00%3A00&until=2026-11-25T00%3A00%3A00Z",
        AuditPage(audit=[AUDIT]),
    ),
]  # fmt: skip
WRITES = [
    Ask(lambda c: c.invites.revoke("aa-_"), "DELETE /v1/invites/aa-_", RevokedOut()),
    Ask(
        lambda c: c.invites.add_hostnames("aa", HostnamesIn(hostnames=["a.b"])),
        "POST /v1/invites/aa/hostnames", HOSTNAMES, {"hostnames": ["a.b"]},
    ),
    Ask(
        lambda c: c.invites.remove_hostname("aa", "*.a.b"),
        "DELETE /v1/invites/aa/hostnames/%2A.a.b", HOSTNAMES,
    ),
    Ask(lambda c: c.edge_invites.revoke("aa"), "DELETE /v1/edge-invites/aa", RevokedOut()),
    Ask(lambda c: c.tenants.suspend(ID), f"POST /v1/tenants/{HEX}/suspend", TENANT),
    Ask(lambda c: c.tenants.resume(ID), f"POST /v1/tenants/{HEX}/resume", TENANT),
    Ask(lambda c: c.tenants.remove(ID), f"DELETE /v1/tenants/{HEX}", RemovedOut(tenant_id=ID)),
    Ask(
        lambda c: c.ports.release(INVITE_ID),
        f"DELETE /v1/ports/{INVITE_ID}", ReleasedOut(reservation_id=INVITE_ID),
    ),
    Ask(
        lambda c: c.keys.rotate("kk", KeyRotation(grace_secs=0)),
        "POST /v1/keys/kk/rotate", KEY_OUT, {"grace_secs": 0},
    ),
    Ask(lambda c: c.keys.rotate("k2"), "POST /v1/keys/k2/rotate", KEY_OUT, {"grace_secs": 3600}),
    Ask(
        lambda c: c.certificates.revoke("a.b"),
        "POST /v1/certificates/a.b/revoke", REQUESTED, {"reason": "unspecified"},
    ),
    Ask(lambda c: c.keys.revoke("kk"), "DELETE /v1/keys/kk", RevokedOut()),
]  # fmt: skip
CREATES = [
    Ask(
        lambda c: c.invites.create(InviteIn(hostnames=["a.b"]), idempotency_key="once"),
        "POST /v1/invites", INVITE, {"hostnames": ["a.b"]},
    ),
    Ask(
        lambda c: c.edge_invites.create("n", idempotency_key="once"), "POST /v1/edge-invites",
        EdgeInviteOut(token="t", invite_id="aa", name="n", edge_node_id=ID), {"name": "n"},
    ),
    Ask(
        lambda c: c.ports.reserve(
            ReservationIn(protocol="tcp", tenant_id=ID), idempotency_key="once"
        ),
        "POST /v1/ports", PORTS, {"protocol": "tcp", "tenant_id": HEX},
    ),
    Ask(
        lambda c: c.certificates.renew("a.b", idempotency_key="once"),
        "POST /v1/certificates/a.b/renew", REQUESTED,
    ),
    Ask(
        lambda c: c.keys.create(KeyIn(name="n", role="viewer"), idempotency_key="once"),
        "POST /v1/keys", KEY_OUT, {"name": "n", "role": "viewer"},
    ),
]  # fmt: skip
GETS_WITH_TAG = [
    Ask(lambda c: c.invites.get("aa"), "GET /v1/invites/aa", DETAIL),
    Ask(lambda c: c.tenants.get(ID), f"GET /v1/tenants/{HEX}", TENANT_DETAIL),
    Ask(lambda c: c.keys.get("kk"), "GET /v1/keys/kk", KEY_ITEM),
]
EDITS = [
    Ask(
        lambda c: c.invites.update(
            "aa", InviteEdit(expires_at=None, limits=Limits(ports=2)), if_match='"3"'
        ),
        "PATCH /v1/invites/aa", DETAIL, {"expires_at": None, "limits": {"ports": 2}},
    ),
    Ask(
        lambda c: c.tenants.update(ID, TenantEdit(name="n"), if_match='"3"'),
        f"PATCH /v1/tenants/{HEX}", TENANT_DETAIL, {"name": "n"},
    ),
    Ask(
        lambda c: c.keys.update("kk", KeyEdit(expires_at=None), if_match='"3"'),
        "PATCH /v1/keys/kk", KEY_ITEM, {"expires_at": None},
    ),
]  # fmt: skip
CONDITIONS = {"idempotency-key", "if-match"}


async def answered(server: Server, ask: Ask, **headers: str) -> object:
    server.reply(200, ask.answer.model_dump_json(), **headers)
    async with HubClient(server.url, operator_key="key") as hub:
        found = await ask.call(hub)

    [request] = server.requests
    assert f"{request.method} {request.target}" == ask.request
    assert request.headers["authorization"] == "Bearer key"
    assert (json.loads(request.body) if request.body else None) == ask.body
    assert request.headers.get("content-type") == ("application/json" if request.body else None)
    return found


@pytest.mark.parametrize("ask", READS + WRITES, ids=str)
async def test_an_operator_asks_with_the_key(server: Server, ask: Ask) -> None:
    assert await answered(server, ask) == ask.answer
    assert not CONDITIONS & server.requests[0].headers.keys()


@pytest.mark.parametrize("ask", CREATES, ids=str)
async def test_what_is_made_once_says_which_once(server: Server, ask: Ask) -> None:
    assert await answered(server, ask) == ask.answer
    assert server.requests[0].headers["idempotency-key"] == "once"


@pytest.mark.parametrize("ask", GETS_WITH_TAG, ids=str)
async def test_what_can_be_edited_is_shown_with_its_tag(server: Server, ask: Ask) -> None:
    assert await answered(server, ask, etag='"3"') == Tagged(ask.answer, '"3"')


@pytest.mark.parametrize("ask", EDITS, ids=str)
async def test_an_edit_sends_what_it_sets_and_what_it_knew(server: Server, ask: Ask) -> None:
    assert await answered(server, ask) == Tagged(ask.answer, None)
    assert server.requests[0].headers["if-match"] == '"3"'


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.invites.create(InviteIn(hostnames=["a.b"])),
        lambda c: c.tenants.update(ID, TenantEdit(name="n")),
    ],
    ids=["create", "edit"],
)
async def test_without_a_condition_no_header_is_sent(
    server: Server, call: Callable[[HubClient], Awaitable[object]]
) -> None:
    server.reply(404)
    async with HubClient(server.url, operator_key="key") as hub:
        with pytest.raises(Exception, match="404"):
            await call(hub)

    assert not CONDITIONS & server.requests[0].headers.keys()


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.invites.revoke("../edge-invites/x"),
        lambda c: c.invites.remove_hostname("aa", "a/b"),
        lambda c: c.invites.remove_hostname("a/b", "a.b"),
        lambda c: c.routes.get("a.b"),
        lambda c: c.tenants.get(""),
        lambda c: c.keys.rotate("a?b"),
        lambda c: c.edge_invites.create(idempotency_key="a\r\nb"),
        lambda c: c.keys.update("kk", KeyEdit(), if_match="ä"),
    ],
    ids=range(8),
)
async def test_what_could_change_the_path_or_the_headers_is_never_sent(
    server: Server, call: Callable[[HubClient], Awaitable[object]]
) -> None:
    async with HubClient(server.url, operator_key="key") as hub:
        with pytest.raises(Denied) as caught:
            await call(hub)

    assert caught.value.code is Code.INVALID_REQUEST
    assert server.requests == []


@pytest.mark.parametrize("code", ["precondition_failed", "forbidden", "quota_exceeded"])
async def test_a_refusal_keeps_its_word(server: Server, code: str) -> None:
    server.reply(412, json.dumps({"error": {"code": code, "message": "because"}}))
    async with HubClient(server.url, operator_key="key") as hub:
        with pytest.raises(Denied, match="because") as caught:
            await hub.tenants.update(ID, TenantEdit(name="n"), if_match='"1"')

    assert caught.value.code.word == code
