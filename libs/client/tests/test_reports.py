"""What an edge reports: how it is sent, and what a report can be."""

import json

import pytest
from pydantic import ValidationError
from support.scripted_server import Server

from towonel.api.reports import EdgeReport, SessionReport, TenantTraffic
from towonel.client.hub import HubClient
from towonel.identity.keys import NodeKey
from towonel.identity.signatures import Domain, Signature
from towonel.wire.errors import Code, Denied, ProtocolError

NOW_MS = 1_800_000_000_000
EDGE = NodeKey.from_seed(b"\x01" * 32)
SESSION = SessionReport(
    session_id=b"\x0a" * 16,
    agent_id=b"\x0b" * 32,
    tenant_id=b"\x0c" * 32,
    group="default",
    peer="[2001:db8::7]:4433",
    since_ms=NOW_MS,
    services=["https:app.example.eu"],
    active_streams=2,
    software="towonel-agent 1.0",
)
TENANT = TenantTraffic(
    tenant_id=b"\x0c" * 32, connections_active=1, connections_total=2, bytes_in=3, bytes_out=4
)
REPORT = EdgeReport(
    version="0.1.0",
    started_at_ms=NOW_MS,
    connections_active=1,
    connections_total=3,
    bytes_in=3,
    bytes_out=4,
    sessions_active=1,
    sessions=[SESSION],
    tenants=[TENANT],
)


def client(server: Server) -> HubClient:
    return HubClient(server.url, now_ms=lambda: NOW_MS)


async def test_a_report_is_signed_by_the_edge_for_nothing_else(server: Server) -> None:
    server.reply(200, json.dumps({"status": "ok", "next_interval_secs": 30}))

    async with client(server) as hub:
        answer = await hub.report_edge(EDGE, REPORT)

    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/v1/edges/report")
    assert EdgeReport.model_validate_json(request.body) == REPORT
    signature = Signature.parse(request.headers["authorization"])
    signature.check_node(Domain.EDGE_REPORT, request.body, NOW_MS)
    with pytest.raises(Denied):
        signature.check_node(Domain.EDGE_REGISTER, request.body, NOW_MS)
    assert answer.next_interval_secs == 30


async def test_what_is_as_by_default_is_not_sent_for_older_hubs_refuse_what_they_do_not_know(
    server: Server,
) -> None:
    server.reply(200, json.dumps({"status": "ok"}))
    async with client(server) as hub:
        await hub.report_edge(EDGE, REPORT)

    sent = json.loads(server.requests[0].body)
    assert {"certificates", "certificates_total", "listeners", "is_final"} & sent.keys() == set()
    assert {"weight", "failing"} & sent["sessions"][0].keys() == set()


async def test_a_hub_that_wants_reports_without_a_pause_is_none(server: Server) -> None:
    for seconds in (0, 301):
        server.reply(200, json.dumps({"status": "ok", "next_interval_secs": seconds}))
        async with client(server) as hub:
            with pytest.raises(ProtocolError) as caught:
                await hub.report_edge(EDGE, REPORT)
        assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        (SESSION, {"session_id": "0a" * 32}),
        (SESSION, {"agent_id": "0B" * 32}),
        (SESSION, {"tenant_id": ""}),
        (SESSION, {"group": "g" * 64}),
        (SESSION, {"services": ["https:a.eu"] * 1001}),
        (SESSION, {"services": ["x" * 261]}),
        (SESSION, {"active_streams": -1}),
        (SESSION, {"software": "s" * 65}),
        (TENANT, {"bytes_in": 1 << 63}),
        (TENANT, {"bytes_inn": 1}),
        (REPORT, {"connections_total": -1}),
        (REPORT, {"sessions": [SESSION.model_dump()] * 10_001}),
        (REPORT, {"tenants": [TENANT.model_dump()] * 10_001}),
    ],
)
def test_every_part_of_a_report_is_bounded(
    part: SessionReport | TenantTraffic | EdgeReport, changes: dict[str, object]
) -> None:
    [name] = changes
    with pytest.raises(ValidationError) as caught:
        type(part).model_validate({**part.model_dump(), **changes})

    assert {error["loc"][0] for error in caught.value.errors()} == {name}
