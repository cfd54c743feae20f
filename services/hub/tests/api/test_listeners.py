"""Ports that edges listen on or not, as operators and agents see them."""

import json
import zlib
from dataclasses import dataclass

import pytest
from support.callers import publish, publish_ports
from support.hub import TestHub, new_key, registration, tenant_of

from towonel.api.agents import MAX_FAILING_LISTENERS, ServiceListener
from towonel.api.reports import MAX_DETAIL_CHARS, MAX_LISTENERS, EdgeReport, ListenerReport
from towonel.api.services import DesiredState, Listener, ServiceIn
from towonel.hub.live.edge_reports import REFRESH_MS
from towonel.hub.store.tables import ReportRow
from towonel.identity.keys import NodeKey
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import EdgeToken, InviteToken

IN_USE = ("port_in_use", "[Errno 98] Address already in use")
NAMES = ("started_at_ms", "connections_active", "connections_total", "bytes_in", "bytes_out")


def report(*listeners: ListenerReport) -> EdgeReport:
    counts = dict.fromkeys((*NAMES, "sessions_active"), 0)
    return EdgeReport.model_validate(
        {"version": "1", "sessions": [], "tenants": [], **counts, "listeners": [*listeners]}
    )


def failing(port: int, protocol: str = "tcp") -> ListenerReport:
    code, detail = IN_USE
    return ListenerReport(key=f"{protocol}:{port}", code=code, detail=detail)


async def second_edge(hub: TestHub) -> NodeKey:
    made = await hub.client().edge_invites.create("other")
    edge = NodeKey.from_seed(EdgeToken.decode(made.token).seed)
    await hub.client().register_edge(edge, registration(edge))
    return edge


@dataclass
class Agent:
    """An agent of the group that `publish_ports` publishes."""

    hub: TestHub
    key: NodeKey
    grant: bytes

    @classmethod
    async def start(cls, hub: TestHub, token: InviteToken, group: str = "tcps") -> "Agent":
        key = new_key()
        answer = await hub.client().bootstrap(token, key, group)
        return cls(hub, key, base64url.decode(answer.grant or ""))

    async def listeners(self) -> list[ServiceListener]:
        self.hub.clock.now_ms += REFRESH_MS
        return (await self.hub.client().refresh(self.grant, self.key)).listeners


@pytest.mark.both_databases
async def test_a_service_names_each_edge_that_listens_on_its_port_and_why_one_does_not(
    hub: TestHub,
) -> None:
    token, client, node = await hub.invite("a.eu"), hub.client(), hub.context.keys.node
    await publish(hub, token, "a.eu")
    await publish_ports(hub, token, "tcp", [2222, 2223])
    other = await second_edge(hub)
    await client.report_edge(node, report(ListenerReport(key="tcp:2222")))
    await client.report_edge(other, report(failing(2222)))
    listed = {it.key: it.listeners for it in (await client.services.list()).services}
    code, detail = IN_USE
    expected = [
        Listener(edge_id=node.public, code=None, detail=""),
        Listener(edge_id=other.public, code=code, detail=detail),
    ]

    assert (await client.services.get("tcp:2222")).listeners == listed["tcp:2222"]
    assert listed["tcp:2222"] == sorted(expected, key=lambda it: it.edge_id)
    assert listed["https:a.eu"] == listed["tcp:2223"] == []


@pytest.mark.both_databases
async def test_an_agent_hears_of_the_ports_of_its_group_that_an_edge_does_not_listen_on(
    hub: TestHub,
) -> None:
    mine, theirs = await hub.invite("a.eu"), await hub.invite("b.eu")
    agent, sibling = await Agent.start(hub, mine), await Agent.start(hub, mine, "other")
    await publish_ports(hub, mine, "tcp", [2222, 2223])
    await publish_ports(hub, theirs, "tcp", [3333])
    node = hub.context.keys.node
    before = await agent.listeners()
    await hub.client().report_edge(
        node, report(ListenerReport(key="tcp:2222"), failing(2223), failing(3333))
    )
    code, detail = IN_USE
    told = ServiceListener(key="tcp:2223", edge_id=node.public, code=code, detail=detail)

    assert (before, await agent.listeners(), await sibling.listeners()) == ([], [told], [])
    await hub.client().report_edge(node, report(ListenerReport(key="tcp:2223")))
    assert await agent.listeners() == []


async def test_a_port_of_udp_is_another_one_than_that_of_tcp(hub: TestHub) -> None:
    token, client, node = await hub.invite("a.eu"), hub.client(), hub.context.keys.node
    agent = await Agent.start(hub, token)
    both = [ServiceIn(kind=kind, name="game", port=2222) for kind in ("tcp", "udp")]
    await client.apply_desired_state(tenant_of(token), DesiredState(group="tcps", services=both))
    await client.report_edge(node, report(ListenerReport(key="tcp:2222"), failing(2222, "udp")))
    (found,) = await agent.listeners()
    codes = {it.key: it.listeners[0].code for it in (await client.services.list()).services}

    assert (found.key, found.code) == ("udp:2222", IN_USE[0])
    assert codes == {"tcp:2222": None, "udp:2222": IN_USE[0]}


@pytest.mark.both_databases
async def test_an_agent_hears_of_a_hundred_at_most(hub: TestHub) -> None:
    token, node, other = await hub.invite("a.eu"), hub.context.keys.node, await second_edge(hub)
    agent, ports = await Agent.start(hub, token), range(2000, 2060)
    await publish_ports(hub, token, "tcp", ports)
    for edge in (node, other):
        await hub.client().report_edge(edge, report(*map(failing, ports)))
    found = [it.key for it in await agent.listeners()]

    assert len(found) == MAX_FAILING_LISTENERS
    assert found == sorted([f"tcp:{port}" for port in ports] * 2)[:MAX_FAILING_LISTENERS]


async def test_ten_thousand_ports_are_taken_and_one_more_is_refused(hub: TestHub) -> None:
    longest = {"code": "c" * 32, "detail": "d" * MAX_DETAIL_CHARS}
    token = await hub.invite("a.eu")
    await publish_ports(hub, token, "tcp", [2222])
    ports = [ListenerReport(key=f"tcp:{port}", **longest) for port in range(MAX_LISTENERS)]
    client, node = hub.client(), hub.context.keys.node
    await client.report_edge(node, report(*ports))
    (listener,) = (await client.services.get("tcp:2222")).listeners
    over = report().model_copy(update={"listeners": [*ports, ports[0]]})
    with pytest.raises(Denied) as refused:
        await client.report_edge(node, over)

    assert (listener.code, listener.detail) == (longest["code"], longest["detail"])
    assert (refused.value.code, "listeners" in refused.value.detail) == (
        Code.INVALID_REQUEST,
        True,
    )


@pytest.mark.both_databases
async def test_a_report_is_kept_without_ports_that_have_no_route(hub: TestHub) -> None:
    """And without the field where none is left: a replica of an older version does not know it."""
    token, node = await hub.invite("a.eu"), hub.context.keys.node
    await publish_ports(hub, token, "tcp", [2222])
    kept: list[bytes] = []
    for ports in ([2223], [2222, 2223]):
        hub.clock.now_ms += REFRESH_MS
        await hub.client().report_edge(node, report(*map(failing, ports)))
        kept.append(await stored(hub, node))

    assert b"listeners" not in kept[0]
    assert [it["key"] for it in json.loads(kept[1])["listeners"]] == ["tcp:2222"]


async def stored(hub: TestHub, edge: NodeKey) -> bytes:
    async with hub.context.store.read() as session:
        row = await session.get(ReportRow, edge.public)
    assert row
    return zlib.decompress(row.body)
