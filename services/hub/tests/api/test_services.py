"""Services, routes and agents as they are listed and shown, and what limits them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from support.callers import code_of, invite_id, keyed, publish, publish_ports, refusal, tenant_id
from support.hub import TestHub, new_key, running_hub, tenant_of

from towonel.api.invites import HostnamesIn, InviteIn
from towonel.api.limits import Limits
from towonel.api.reports import EdgeReport, SessionReport
from towonel.api.services import DesiredState, ServiceIn
from towonel.api.tenants import TenantEdit
from towonel.hub.bounds import Bounds
from towonel.hub.core.quotas import Quotas
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.identity.keys import NodeKey
from towonel.wire.errors import Code
from towonel.wire.tokens import InviteToken


def session(agent: NodeKey, token: InviteToken, since_ms: int, *services: str) -> SessionReport:
    return SessionReport(
        session_id=b"\xab" * 16,
        agent_id=agent.public,
        tenant_id=tenant_id(token),
        group="blue",
        peer="192.0.2.1:1",
        since_ms=since_ms,
        services=list(services),
        active_streams=0,
        software="agent/1",
    )


def report(*sessions: SessionReport) -> EdgeReport:
    """What an edge with these sessions tells, and nothing else to tell."""
    names = ("started_at_ms", "connections_active", "connections_total", "bytes_in", "bytes_out")
    counts = dict.fromkeys(names, 0)
    found = {"version": "1", "sessions_active": len(sessions), "tenants": [], **counts}
    return EdgeReport.model_validate({**found, "sessions": [*sessions]})


async def test_a_service_tells_its_route_its_groups_and_its_tenant(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu", "*.a.eu"), hub.client()
    await publish(hub, token, "a.eu", "*.a.eu", group="blue")
    await publish(hub, token, "a.eu", group="green")
    await publish_ports(hub, token, "tcp", [2222])
    listed = (await client.services.list()).services
    displayed = await client.services.get("https:a.eu")
    port = await client.services.get("tcp:2222")

    assert [(it.key, it.group) for it in listed] == [
        ("https:*.a.eu", "blue"),
        ("https:a.eu", "blue"),
        ("https:a.eu", "green"),
        ("tcp:2222", "tcps"),
    ]
    assert (displayed.groups, displayed.tenant_id) == (["blue", "green"], tenant_id(token))
    assert (port.kind, port.name, port.port) == ("tcp", "s2222", 2222)
    assert (await client.services.get("https:*.a.eu")).name == "*.a.eu"


async def test_routes_tell_the_revision_they_are_of(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    first = await publish(hub, token, "a.eu")
    second = await publish_ports(hub, token, "udp", [5000])
    listed = await client.routes.list()

    assert listed.revision == second
    assert [(it.key, it.revision) for it in listed.routes] == [
        ("https:a.eu", first),
        ("udp:5000", second),
    ]
    assert await client.routes.get("udp:5000") == listed.routes[1]
    assert {it.tenant_id for it in listed.routes} == {tenant_id(token)}


async def test_what_was_withdrawn_is_neither_listed_nor_shown(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu", "b.eu"), hub.client()
    await publish(hub, token, "a.eu", "b.eu")
    await publish(hub, token, "b.eu")

    assert [it.key for it in (await client.services.list()).services] == ["https:b.eu"]
    assert [it.key for it in (await client.routes.list()).routes] == ["https:b.eu"]
    assert await code_of(client.services.get("https:a.eu")) is Code.NOT_FOUND
    assert await code_of(client.routes.get("https:a.eu")) is Code.NOT_FOUND


async def test_a_name_kept_from_a_wildcard_is_a_route_and_no_service(hub: TestHub) -> None:
    wide = await hub.invite("*.example.eu")
    await publish(hub, wide, "*.example.eu")
    narrow = await hub.invite("app.example.eu")
    client = hub.client()

    assert (await client.routes.get("https:app.example.eu")).tenant_id == tenant_id(narrow)
    assert await code_of(client.services.get("https:app.example.eu")) is Code.NOT_FOUND


async def test_lists_are_filtered_by_tenant_kind_and_group(hub: TestHub) -> None:
    one, two = await hub.invite("a.eu", "b.eu"), await hub.invite("c.eu")
    await publish(hub, one, "a.eu", group="blue")
    await publish(hub, one, "b.eu", group="green")
    await publish_ports(hub, two, "tcp", [2222])
    await publish_ports(hub, two, "udp", [2222])
    client, of = hub.client(), tenant_id

    async def services(**wanted: bytes | str) -> list[str]:
        return [it.key for it in (await client.services.list(**wanted)).services]  # type: ignore[arg-type]

    assert await services(kind="https") == ["https:a.eu", "https:b.eu"]
    assert await services(kind="tcp") == ["tcp:2222"]
    assert await services(tenant_id=of(two)) == ["tcp:2222", "udp:2222"]
    assert await services(tenant_id=of(one), kind="udp") == []
    assert await services(group="green") == ["https:b.eu"]
    assert await services(tenant_id="ab" * 32) == []
    routes = (await client.routes.list(tenant_id=of(two), kind="udp")).routes
    assert [it.key for it in routes] == ["udp:2222"]


async def three_agents(hub: TestHub) -> tuple[list[bytes], int]:
    """Three agents, of which an edge has the second; their ids, the newest first, and since when."""
    token, client, node = await hub.invite("a.eu"), hub.client(), hub.context.keys.node
    agents = [new_key() for _ in range(3)]
    for number, agent in enumerate(agents):
        hub.clock.now_ms += 1_000
        await client.bootstrap(token, agent, "blue" if number else "green")
    await publish(hub, token, "a.eu", group="blue")
    since_ms = hub.clock.now_ms
    await client.report_edge(node, report(session(agents[1], token, since_ms, "https:a.eu")))
    return [agent.public for agent in reversed(agents)], since_ms


async def test_agents_are_known_from_their_bootstrap_and_live_by_what_edges_tell(
    hub: TestHub,
) -> None:
    ids, since_ms = await three_agents(hub)
    client, node = hub.client(), hub.context.keys.node
    listed = (await client.agents.list()).agents
    displayed = await client.agents.get(ids[1])
    service = await client.services.get("https:a.eu")

    assert [it.agent_id for it in listed] == ids
    assert [it.is_live for it in listed] == [False, True, False]
    assert displayed == listed[1]
    assert (displayed.edges, displayed.software) == ([node.public], "agent/1")
    assert displayed.live_since == datetime.fromtimestamp(since_ms / 1000, UTC)
    assert [it.agent_id for it in service.agents] == [ids[1]]
    assert (await client.services.list()).services[0].agents_live == 1


async def test_an_agent_tells_its_weight_and_what_fails_its_checks(hub: TestHub) -> None:
    token, client, agent = await hub.invite("a.eu", "b.eu"), hub.client(), new_key()
    await client.bootstrap(token, agent, "blue")
    await publish(hub, token, "a.eu", "b.eu", group="blue")
    reported = session(agent, token, 1, "https:a.eu", "https:b.eu")
    failing = reported.model_copy(update={"weight": 0, "failing": "02"})
    await client.report_edge(hub.context.keys.node, report(failing))
    item = await client.agents.get(agent.public)
    services = (await client.services.list()).services

    assert (item.weight, item.services_failing) == (0, ["https:b.eu"])
    assert [(it.key, it.agents_live, it.agents_failing) for it in services] == [
        ("https:a.eu", 1, 0),
        ("https:b.eu", 1, 1),
    ]


@pytest.mark.both_databases
async def test_agents_are_found_by_group_tenant_and_whether_they_are_live(hub: TestHub) -> None:
    ids, _ = await three_agents(hub)
    client = hub.client()

    async def found(**wanted: Any) -> list[bytes]:
        return [it.agent_id for it in (await client.agents.list(**wanted)).agents]

    assert await found(live=True) == [ids[1]]
    assert await found(live=False) == [ids[0], ids[2]]
    assert await found(group="green") == [ids[2]]
    assert await found(group="blue", live=False) == [ids[0]]
    assert await found(tenant_id="ab" * 32) == []


async def test_services_of_every_kind_are_served_and_ports_of_tcp_and_udp_are_apart(
    hub: TestHub,
) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    tcp = ServiceIn(kind="tcp", name="game", port=2222)
    udp = ServiceIn(kind="udp", name="game", port=2222)
    wanted = DesiredState(group="g", services=[ServiceIn(kind="https", name="a.eu"), tcp, udp])
    applied = await client.apply_desired_state(tenant_of(token), wanted)
    services = {item.key: item.is_served for item in (await client.services.list()).services}
    routes = {item.key: item.is_served for item in (await client.routes.list()).routes}

    assert (applied.not_served, applied.ports) == ([], {"tcp:game": 2222, "udp:game": 2222})
    assert services == routes == dict.fromkeys(["https:a.eu", "tcp:2222", "udp:2222"], True)
    assert (await client.services.get("udp:2222")).is_served


@pytest.mark.parametrize("bounds", [Bounds(agent_ids=2)])
async def test_every_live_agent_is_listed_however_many_there_are(hub: TestHub) -> None:
    token, client, node = await hub.invite("a.eu"), hub.client(), hub.context.keys.node
    agents = [new_key() for _ in range(5)]
    for agent in agents:
        await client.bootstrap(token, agent, "g")
    await client.report_edge(node, report(*(session(agent, token, 1) for agent in agents[:4])))
    found, cursor = list[bytes](), None
    while True:
        page = await client.agents.list(live=True, limit=2, cursor=cursor)
        found += [it.agent_id for it in page.agents]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert sorted(found) == sorted(agent.public for agent in agents[:4])


@pytest.mark.both_databases
async def test_a_key_of_a_tenant_sees_its_own_in_every_list_and_nothing_else(hub: TestHub) -> None:
    mine, other = await hub.invite("a.eu"), await hub.invite("b.eu")
    for token, name, port in ((mine, "a.eu", 2222), (other, "b.eu", 3333)):
        await hub.client().bootstrap(token, new_key(), "default")
        await publish(hub, token, name)
        await publish_ports(hub, token, "tcp", [port])
    own, of = await keyed(hub, "viewer", tenant_of(mine)), tenant_id(mine)
    lists: list[Sequence[Any]] = [
        (await own.tenants.list()).tenants,
        (await own.services.list()).services,
        (await own.services.list(kind="https", tenant_id=of)).services,
        (await own.routes.list()).routes,
        (await own.agents.list()).agents,
        (await own.tenants.list(name="")).tenants,
    ]

    assert [{it.tenant_id for it in found} for found in lists] == [{of}] * 6
    assert (await own.tenants.list(hostname="b.eu")).tenants == []
    for call in (own.services.get("https:b.eu"), own.routes.get("tcp:3333")):
        assert await code_of(call) is Code.NOT_FOUND
    assert (await own.services.get("https:a.eu")).tenant_id == of


async def test_what_a_tenant_publishes_is_bound_by_its_quotas(database: Database) -> None:
    quotas = Quotas(services=3, ports=0, hostnames=4)
    async with running_hub(database, RouteChanges(), quotas=quotas) as hub:
        token, client = await hub.invite("*.a.eu"), hub.client()
        await publish(hub, token, "1.a.eu", "2.a.eu", group="one")
        services = await refusal(publish(hub, token, "3.a.eu", "4.a.eu", group="two"))
        ports = await refusal(publish_ports(hub, token, "tcp", [2222]))
        names = [f"{n}.b.eu" for n in range(5)]
        hostnames = await refusal(client.invites.create(InviteIn(hostnames=names)))
        added = client.invites.add_hostnames(invite_id(token), HostnamesIn(hostnames=names[:4]))
        more = await refusal(added)
        await client.tenants.update(tenant_id(token), TenantEdit(limits=Limits(services=4)))
        await publish(hub, token, "3.a.eu", "4.a.eu", group="two")

        refused = (services, ports, hostnames, more)
        assert {it.code for it in refused} == {Code.QUOTA_EXCEEDED}
        assert "services: 4 are wanted, and this tenant may have 3" in services.detail
        assert "ports: 1 are wanted, and this tenant may have 0" in ports.detail
        assert "hostnames: 5 are wanted, and this tenant may have 4" in hostnames.detail
        assert "hostnames: 5" in more.detail


async def test_a_refused_document_is_applied_in_no_part(database: Database) -> None:
    async with running_hub(database, RouteChanges(), quotas=Quotas(services=2)) as hub:
        token = await hub.invite("*.a.eu")
        revision = await publish(hub, token, "1.a.eu")
        refused = await code_of(publish(hub, token, "2.a.eu", "3.a.eu", "4.a.eu"))
        client = hub.client()

        assert refused is Code.QUOTA_EXCEEDED
        assert [it.key for it in (await client.services.list()).services] == ["https:1.a.eu"]
        assert (await client.routes.list()).revision == revision
