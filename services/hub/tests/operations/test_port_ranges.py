"""Ranges of ports as a hub publishes them: one service, refused where a port of it is another's, and its states."""

import pytest
from support.callers import publish_ports, tenant_id
from support.hub import TestHub, tenant_of

from towonel.api.ports import Protocol, ReservationIn
from towonel.api.reports import EdgeReport, ListenerReport
from towonel.api.services import AppliedState, DesiredState, ServiceIn
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import InviteToken

pytestmark = pytest.mark.both_databases
COUNTS = ("started_at_ms", "connections_active", "connections_total", "bytes_in", "bytes_out")


def ports_of(name: str, first: int, last: int | None = None, kind: Protocol = "tcp") -> ServiceIn:
    return ServiceIn(kind=kind, name=name, port=first, last_port=last)


async def apply(
    hub: TestHub, token: InviteToken, *services: ServiceIn, group: str = "g"
) -> AppliedState:
    hub.clock.now_ms += 10  # the same request again would be a replay
    wanted = DesiredState(group=group, services=[*services])
    return await hub.client().apply_desired_state(tenant_of(token), wanted)


async def refusal_of(
    hub: TestHub, token: InviteToken, *services: ServiceIn, group: str = "g"
) -> str:
    with pytest.raises(Denied) as caught:
        await apply(hub, token, *services, group=group)
    assert caught.value.code in {Code.PORT_CONFLICT, Code.QUOTA_EXCEEDED}
    return caught.value.detail


async def reserve(hub: TestHub, token: InviteToken, first: int, last: int) -> None:
    wanted = ReservationIn(
        tenant_id=tenant_id(token), protocol="tcp", first_port=first, last_port=last
    )
    await hub.client().ports.reserve(wanted)


async def test_a_range_is_one_service_and_one_route_with_both_ends(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    applied = await apply(hub, token, ports_of("game", 27015, 27030, "udp"))
    (service,), (route,) = (
        (await client.services.list()).services,
        (await client.routes.list()).routes,
    )

    assert (applied.created, applied.ports) == (["udp:27015-27030"], {"udp:game": 27015})
    assert (service.key, service.name) == ("udp:27015-27030", "game")
    for item in (service, route, await client.services.get(service.key)):
        assert (item.key, item.port, item.last_port) == (service.key, 27015, 27030)
    again = await apply(hub, token, ports_of("game", 27015, 27030, "udp"))
    assert (again.unchanged, again.publication) == (1, applied.publication)


async def test_edges_get_each_port_of_a_range_and_lose_those_that_it_has_no_more(
    hub: TestHub,
) -> None:
    token, node = await hub.invite("a.eu"), hub.context.keys.node
    first = await apply(hub, token, ports_of("game", 3000, 3004))
    whole = await hub.client().follow_routes(node, None)
    await apply(hub, token, ports_of("game", 3002, 3006))
    delta = await hub.client().follow_routes(node, first.revision)

    assert [route.key for route in whole.routes] == [f"tcp:{port}" for port in range(3000, 3005)]
    assert [route.key for route in delta.routes] == [f"tcp:{port}" for port in range(3002, 3007)]
    assert {*delta.removed} - {route.key for route in delta.routes} == {"tcp:3000", "tcp:3001"}


async def test_a_range_with_a_port_of_another_tenant_is_refused_and_so_is_that_port_for_them(
    hub: TestHub,
) -> None:
    mine, theirs = await hub.invite("a.eu"), await hub.invite("b.eu")
    await publish_ports(hub, theirs, "tcp", [3005])
    await apply(hub, mine, ports_of("game", 3006, 3010))

    assert await refusal_of(hub, mine, ports_of("game", 3000, 3010)) == (
        "taken by another tenant: tcp:3000-3010 (port 3005)"
    )
    for first, last, port in ((3010, None, 3010), (3006, 3007, 3006), (3008, 3009, 3008)):
        named = f"tcp:{first}" if last is None else f"tcp:{first}-{last} (port {port})"
        found = await refusal_of(hub, theirs, ports_of("x", first, last), group="more")
        assert found == f"taken by another tenant: {named}"
    other_kind = await apply(hub, theirs, ports_of("x", 3006, 3010, "udp"), group="more")
    assert other_kind.created == ["udp:3006-3010"]


async def test_groups_of_a_tenant_share_a_range_and_do_not_overlap(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await apply(hub, token, ports_of("game", 3000, 3009), group="blue")
    shared = await apply(hub, token, ports_of("game", 3000, 3009), group="red")

    assert shared.created == ["tcp:3000-3009"]
    detail = await refusal_of(hub, token, ports_of("ssh", 3009), group="red")
    assert detail == (
        "published by another group of this tenant; give one of them other ports: tcp:3009"
    )


async def test_a_reservation_and_a_range_keep_others_from_each_of_their_ports(
    hub: TestHub,
) -> None:
    mine, theirs = await hub.invite("a.eu"), await hub.invite("b.eu")
    await reserve(hub, theirs, 3005, 3006)
    await apply(hub, mine, ports_of("game", 4000, 4009))

    assert await refusal_of(hub, mine, ports_of("more", 3000, 3005), group="h") == (
        "reserved for another tenant: tcp:3000-3005 (port 3005)"
    )
    with pytest.raises(Denied, match="published by another tenant: tcp:4000-4009"):
        await reserve(hub, theirs, 4009, 4020)
    await reserve(hub, mine, 4005, 4020)
    free = await hub.client().ports.available("tcp", 1)
    assert free.ports == [1024]


async def test_each_port_of_a_range_counts_in_the_quota_and_none_of_them_is_chosen(
    hub: TestHub,
) -> None:
    token = await hub.invite("a.eu")
    await reserve(hub, token, 3000, 3004)
    auto = ServiceIn(kind="tcp", name="ssh", port="auto")
    chosen = await apply(hub, token, ports_of("game", 3000, 3002), auto)
    detail = await refusal_of(hub, token, ports_of("game", 3000, 3100))

    assert chosen.ports == {"tcp:game": 3000, "tcp:ssh": 3003}
    assert detail.startswith("ports: 101 are wanted, and this tenant may have 100")


async def test_a_busy_port_of_a_range_is_a_state_of_its_service(hub: TestHub) -> None:
    token, client, node = await hub.invite("a.eu"), hub.client(), hub.context.keys.node
    await apply(hub, token, ports_of("game", 3000, 3009))
    listeners = [
        ListenerReport(key="tcp:3000-3003"),
        ListenerReport(key="tcp:3004", code="port_in_use", detail="busy"),
        ListenerReport(key="tcp:3005-3009"),
    ]
    report = {"version": "1", "sessions": [], "tenants": [], "listeners": listeners}
    counts = dict.fromkeys((*COUNTS, "sessions_active"), 0)
    await client.report_edge(node, EdgeReport.model_validate(report | counts))
    (service,) = (await client.services.list()).services

    assert [(it.code, it.ports, it.detail) for it in service.listeners] == [
        (None, "3000-3003, 3005-3009", ""),
        ("port_in_use", "3004", "busy"),
    ]
