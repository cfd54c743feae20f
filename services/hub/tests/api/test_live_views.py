"""What is live, as edges tell it over the API: honest ones, silent ones, and ones that lie."""

import json
import zlib
from collections.abc import Iterable
from typing import Any

import httpx
import pytest
from sqlmodel import select, update
from support.callers import body_of, keyed, publish, tenant_id
from support.hub import TestHub, new_key, registration, tenant_of
from support.legacy_client import legacy_client

from towonel.api.reports import MAX_TEXTS, EdgeReport
from towonel.api.traffic import Traffic
from towonel.hub.api.http.request_body import MAX_BYTES
from towonel.hub.live.edge_reports import REFRESH_MS
from towonel.hub.store import reports
from towonel.hub.store.reports import MAX_REPORT_BYTES
from towonel.hub.store.tables import ReportRow
from towonel.identity.keys import NodeKey
from towonel.identity.signatures import Domain, authorize_node
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import EdgeToken, InviteToken

HUGE = 2**63 - 1
LAST_MOMENT_MS = 253_370_764_799_999  # of the year 9998


def session(agent: bytes, tenant: bytes, **more: Any) -> dict[str, Any]:
    return {
        "session_id": "ab" * 16,
        "agent_id": agent.hex(),
        "tenant_id": tenant.hex(),
        "group": "g",
        "peer": "192.0.2.1:1",
        "since_ms": 1_600_000_000_000,
        "services": ["https:a.eu"],
        "active_streams": 1,
        "software": "agent/1",
        **more,
    }


def traffic(number: int) -> dict[str, int]:
    names = ("connections_active", "connections_total", "bytes_in", "bytes_out")
    return dict.fromkeys(names, number)


def report(
    sessions: Iterable[dict[str, Any]] = (), tenants: Iterable[bytes] = (), number: int = 0
) -> EdgeReport:
    sessions = list(sessions)
    reported = [{"tenant_id": tenant.hex(), **traffic(number)} for tenant in tenants]
    return EdgeReport.model_validate(
        {
            "version": "1",
            "started_at_ms": 1_600_000_000_000,
            **traffic(number),
            "sessions_active": len(sessions),
            "sessions": sessions,
            "tenants": reported,
        }
    )


async def invited_edge(hub: TestHub) -> NodeKey:
    made = await hub.client().edge_invites.create("other")
    edge = NodeKey.from_seed(EdgeToken.decode(made.token).seed)
    await hub.client().register_edge(edge, registration(edge))
    return edge


async def one_agent(hub: TestHub, name: str = "a.eu") -> tuple[InviteToken, NodeKey]:
    """A tenant that publishes a name by an agent that proved its invite."""
    token, agent = await hub.invite(name), new_key()
    await hub.client().bootstrap(token, agent, "g")
    await publish(hub, token, name)
    return token, agent


async def test_edges_together_show_a_tenant_its_agents_and_what_they_carried(hub: TestHub) -> None:
    token, agent = await one_agent(hub)
    client, tenant = hub.client(), tenant_id(token)
    node, other = hub.context.keys.node, await invited_edge(hub)
    here, there = session(agent.public, tenant), session(agent.public, tenant)
    await client.register_edge(node, registration(node))
    await client.report_edge(node, report([{**here, "since_ms": 5_000}], [tenant], 2))
    await client.report_edge(other, report([{**there, "since_ms": 6_000}], [tenant], 3))
    displayed = (await client.tenants.get(tenant)).value
    (listed,) = (await client.tenants.list()).tenants

    assert displayed.traffic == listed.traffic == Traffic.model_validate(traffic(5))
    assert (displayed.agents_live, listed.agents_live) == (1, 1)
    assert displayed.agents == [await client.agents.get(agent.public)]
    (seen,) = displayed.agents
    assert (seen.connections_active, seen.software) == (2, "agent/1")
    assert seen.edges == sorted([node.public, other.public])
    assert seen.live_since is not None
    assert seen.live_since.timestamp() == 5
    edge = await client.edges.get(other.public)
    assert (edge.is_live, edge.sessions, edge.traffic.bytes_in) == (True, 1, 3)
    assert edge in (await client.edges.list()).edges


async def test_an_edge_was_last_seen_when_it_last_reported(hub: TestHub) -> None:
    edge = await invited_edge(hub)
    hub.clock.now_ms += 12_000
    await hub.client().report_edge(edge, report())

    assert (await hub.client().edges.get(edge.public)).last_seen_ms == hub.clock.now_ms


async def test_an_edge_that_falls_silent_is_gone_with_all_that_was_on_it(hub: TestHub) -> None:
    token, agent = await one_agent(hub)
    client, tenant, node = hub.client(), tenant_id(token), hub.context.keys.node
    await client.register_edge(node, registration(node))
    await client.report_edge(node, report([session(agent.public, tenant)], [tenant], 2))

    async def live() -> tuple[bool, bool, int, int, int, int]:
        (service,) = (await client.services.list()).services
        edge, displayed = await client.edges.get(node.public), await client.tenants.get(tenant)
        reported = await client.agents.get(agent.public)
        page = (await client.agents.list(live=True)).agents
        numbers = (displayed.value.agents_live, service.agents_live, len(page), edge.sessions)
        return edge.is_live, reported.is_live, *numbers

    assert await live() == (True, True, 1, 1, 1, 1)
    hub.clock.now_ms += 35_000
    assert await live() == (True, True, 1, 1, 1, 1)
    hub.clock.now_ms += 1_000
    assert await live() == (False, False, 0, 0, 0, 0)
    assert (await client.tenants.get(tenant)).value.traffic == Traffic()


async def test_an_edge_that_ended_is_not_live_until_it_reports_again(hub: TestHub) -> None:
    client, node = hub.client(), hub.context.keys.node
    await client.register_edge(node, registration(node))
    seen: list[bool] = []
    for is_final in (False, True, False):
        hub.clock.now_ms += REFRESH_MS
        await client.report_edge(node, report().model_copy(update={"is_final": is_final}))
        seen.append((await client.edges.get(node.public)).is_live)

    assert seen == [True, False, True]


async def test_what_an_edge_tells_replaces_what_it_told_and_nothing_of_others(hub: TestHub) -> None:
    token, agent = await one_agent(hub)
    client, tenant, node = hub.client(), tenant_id(token), hub.context.keys.node
    liar = await invited_edge(hub)
    honest = report([session(agent.public, tenant)], [tenant], 7)
    await client.report_edge(node, honest)
    await client.report_edge(liar, report([session(agent.public, tenant)], [tenant], 1))
    await client.report_edge(liar, report())
    hub.clock.now_ms += 2_000

    assert (await client.agents.get(agent.public)).edges == [node.public]
    assert (await client.tenants.get(tenant)).value.traffic.bytes_in == 7


async def test_only_edges_with_an_invite_are_heard_and_what_they_sign_once(hub: TestHub) -> None:
    made = await hub.client().edge_invites.create("short")
    gone, outsider = NodeKey.from_seed(EdgeToken.decode(made.token).seed), new_key()
    await hub.client().edge_invites.revoke(made.invite_id)
    token, agent = await one_agent(hub)
    body = report([session(agent.public, tenant_id(token))]).model_dump_json().encode()

    async def answers(edge: NodeKey, other: bytes) -> httpx.Response:
        header = authorize_node(edge, Domain.EDGE_REPORT, body, hub.clock())
        async with hub.raw() as http:
            headers = {"authorization": header}
            return await http.post("/v1/edges/report", content=other, headers=headers)

    for edge in (gone, outsider):
        assert body_of(await answers(edge, body)) == (403, "edge_unknown")
    node = hub.context.keys.node
    assert body_of(await answers(node, body + b" ")) == (400, "invalid_signature")
    assert (await hub.client().agents.list(live=True)).agents == []
    assert (await answers(node, body)).json()["next_interval_secs"] == 10
    assert body_of(await answers(node, body)) == (401, "replayed")


async def test_an_edge_that_lies_about_tenants_moves_no_agent_to_another(hub: TestHub) -> None:
    mine, agent = await one_agent(hub)
    theirs, victim = await one_agent(hub, "b.eu")
    liar, client = await invited_edge(hub), hub.client()
    claims = [
        session(victim.public, tenant_id(mine), since_ms=LAST_MOMENT_MS),
        session(new_key().public, tenant_id(theirs), services=["https:b.eu"]),
    ]
    await client.report_edge(liar, report(claims, [tenant_id(mine)], HUGE))
    scoped = await keyed(hub, "viewer", tenant_of(mine))

    assert [it.agent_id for it in (await scoped.agents.list()).agents] == [agent.public]
    assert (await scoped.services.get("https:a.eu")).agents == []
    assert (await client.services.get("https:b.eu")).agents == []
    assert (await client.agents.get(victim.public)).tenant_id == tenant_id(theirs)


async def test_an_edge_that_lies_adds_no_agent_to_what_the_originals_edges_serve(
    hub: TestHub,
) -> None:
    liar, rogue = await invited_edge(hub), new_key()
    async with legacy_client(hub) as node:
        key, agent = await node.tenant("a.eu"), new_key()
        await node.accept(key, 1, "upsert_agent", agent_id=agent.public)
        await node.accept(key, 2, "upsert_hostname", hostname="a.eu")
        claim = session(rogue.public, key.tenant_id)
        await hub.client().report_edge(liar, report([claim]))
        async with node.subscribed(liar) as stream:
            table = await stream.table()

    assert table["routes"] == {"a.eu": [agent.public]}


async def test_the_largest_numbers_break_no_view(hub: TestHub) -> None:
    token, agent = await one_agent(hub)
    client, tenant, node = hub.client(), tenant_id(token), hub.context.keys.node
    edges = [node, await invited_edge(hub)]
    await client.register_edge(node, registration(node))
    late = {"since_ms": LAST_MOMENT_MS, "active_streams": HUGE}
    for edge in edges:
        reported = session(agent.public, tenant, **late)
        await client.report_edge(edge, report([reported], [tenant], HUGE))

    assert (await client.agents.get(agent.public)).connections_active == 2 * HUGE
    assert (await client.tenants.get(tenant)).value.traffic.bytes_out == 2 * HUGE
    assert (await client.edges.get(node.public)).traffic.bytes_in == HUGE
    assert len((await client.agents.list(live=True)).agents) == 1


async def post(hub: TestHub, body: bytes) -> httpx.Response:
    """A report by the hub's own edge, as these bytes."""
    hub.clock.now_ms += 1_500
    header = authorize_node(hub.context.keys.node, Domain.EDGE_REPORT, body, hub.clock())
    async with hub.raw() as http:
        headers = {"authorization": header}
        return await http.post("/v1/edges/report", content=body, headers=headers)


@pytest.mark.parametrize("field", ["since_ms", "started_at_ms"])
async def test_a_moment_that_no_calendar_has_is_refused(hub: TestHub, field: str) -> None:
    said = report([session(b"\x0a" * 32, b"\x0b" * 32)]).model_dump(mode="json")
    (said if field in said else said["sessions"][0])[field] = LAST_MOMENT_MS + 1
    refused = await post(hub, json.dumps(said).encode())

    assert body_of(refused) == (400, "invalid_request"), refused.text
    assert field in refused.json()["error"]["message"]


async def test_ten_thousand_sessions_are_shown_and_one_more_is_refused(hub: TestHub) -> None:
    token, agent = await one_agent(hub)
    tenant, client, node = tenant_id(token), hub.client(), hub.context.keys.node
    await client.register_edge(node, registration(node))
    ids = [agent.public, *(number.to_bytes(32) for number in range(9_999))]
    full = report([session(agent_id, tenant) for agent_id in ids])
    taken = await post(hub, full.model_dump_json().encode())
    more = full.model_dump(mode="json")
    more["sessions"].append(session(b"\xff" * 32, tenant))
    refused = await post(hub, json.dumps(more).encode())

    assert taken.status_code == 200
    assert body_of(refused) == (400, "invalid_request")
    assert (await client.edges.get(node.public)).sessions == 10_000
    assert (await client.tenants.get(tenant)).value.agents_live == 10_000
    displayed = (await client.agents.list(live=True)).agents
    assert [it.agent_id for it in displayed] == [agent.public]


def long_body(said: EdgeReport, agent: bytes, tenant: bytes, size: int) -> bytes:
    """A report with as many more sessions as fit into a size, as bytes."""
    one = session(agent, tenant, services=[f"https:{'x' * 249}.eu"] * 100)
    text = said.model_dump_json()
    more = (size - len(text)) // (len(json.dumps(one, separators=(",", ":"))) + 1)
    sessions = [*said.model_dump(mode="json")["sessions"], *[one] * more]
    return json.dumps(
        {**said.model_dump(mode="json"), "sessions": sessions}, separators=(",", ":")
    ).encode()


async def test_a_report_of_8_mib_is_shown_and_a_longer_one_is_refused(hub: TestHub) -> None:
    token, agent = await one_agent(hub)
    body = long_body(report(), agent.public, tenant_id(token), MAX_REPORT_BYTES)
    taken = await post(hub, body.ljust(MAX_REPORT_BYTES))
    refused = await post(hub, body.ljust(MAX_REPORT_BYTES + 1))
    (seen,) = (await hub.client().agents.list(live=True)).agents

    assert MAX_BYTES["/v1/edges/report"] == MAX_REPORT_BYTES
    assert taken.status_code == 200
    assert body_of(refused) == (413, "too_large")
    assert seen.agent_id == agent.public


async def test_names_without_a_route_are_not_kept(hub: TestHub) -> None:
    token, agent = await one_agent(hub)
    body = long_body(report(), agent.public, tenant_id(token), MAX_REPORT_BYTES - 100)
    taken = await post(hub, body.replace(b'"services":[', b'"services":["https:a.eu",', 1))
    async with hub.context.store.read() as session:
        (stored,) = (await session.exec(select(ReportRow.body))).all()
    text = zlib.decompress(stored)

    assert taken.status_code == 200
    assert text.count(b"https:") == text.count(b"https:a.eu") == 1
    assert (await hub.client().services.get("https:a.eu")).agents[0].agent_id == agent.public


async def test_a_report_of_too_many_names_is_refused(hub: TestHub) -> None:
    token, agent = await one_agent(hub)
    names = [str(number) for number in range(1_000)]
    sessions = [session(agent.public, tenant_id(token), services=names)] * (MAX_TEXTS // 1_000)
    refused = await post(hub, report(sessions).model_dump_json().encode())

    assert body_of(refused) == (413, "too_large")


async def test_a_report_that_is_too_long_written_out_is_not_stored(hub: TestHub) -> None:
    names = ["x" * 260] * 1_000
    longest = report([session(bytes(32), bytes(32), services=names)] * 33)
    async with hub.context.store.write_fact() as write:
        with pytest.raises(Denied) as caught:
            await reports.put(write, bytes(32), longest, 0)

    assert caught.value.code is Code.TOO_LARGE


@pytest.mark.parametrize("retained", ["a bomb", "no deflate", "no report", "of another version"])
async def test_a_kept_report_that_cannot_be_read_hides_no_other(
    hub: TestHub, retained: str
) -> None:
    token, agent = await one_agent(hub)
    client, liar = hub.client(), await invited_edge(hub)
    whole = report([session(agent.public, tenant_id(token))])
    broken = {
        "a bomb": zlib.compress(bytes(4 * MAX_REPORT_BYTES)),
        "no deflate": b"\x00junk",
        "no report": zlib.compress(b"[]"),
        "of another version": zlib.compress(b'{"moons": 3}'),
    }
    await client.report_edge(liar, whole)
    async with hub.context.store.write() as change:
        await change.session.exec(update(ReportRow).values(body=broken[retained]))
    await client.report_edge(hub.context.keys.node, whole)
    reported_by = (await client.agents.get(agent.public)).edges

    assert reported_by == [hub.context.keys.node.public]
    assert not (await client.edges.get(liar.public)).is_live
