"""Ports are kept for tenants: single, in ranges, for each protocol, and never twice."""

from collections.abc import Awaitable

from support.callers import code_of, invite_id, keyed, publish_ports, refusal, tenant_id
from support.hub import TestHub, registration, running_hub, tenant_of

from towonel.api.invites import InviteEdit
from towonel.api.limits import Limits
from towonel.api.ports import Protocol, ReservationIn
from towonel.api.services import DesiredState, ServiceIn
from towonel.hub.core.ports import PortRules
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.identity.keys import NodeKey
from towonel.wire.errors import Code
from towonel.wire.tokens import EdgeToken, InviteToken


def wanted(
    token: InviteToken,
    first: int | None = None,
    last: int | None = None,
    protocol: Protocol = "tcp",
) -> ReservationIn:
    of = tenant_id(token)
    return ReservationIn(tenant_id=of, protocol=protocol, first_port=first, last_port=last)


async def retained(hub: TestHub) -> list[tuple[str, int, int]]:
    found = (await hub.client().ports.list()).ports
    return [(it.protocol, it.first_port, it.last_port) for it in found]


async def test_a_port_and_a_range_are_kept_and_told(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    one = await client.ports.reserve(wanted(token, 2222))
    many = await client.ports.reserve(wanted(token, 5000, 5009, "udp"))

    assert await retained(hub) == [("tcp", 2222, 2222), ("udp", 5000, 5009)]
    assert await client.ports.get(many.reservation_id) == many
    assert one.tenant_id == tenant_id(token)
    detail = (await client.invites.get(invite_id(token))).value
    assert [(it.protocol, it.first_port, it.last_port) for it in detail.ports] == await retained(
        hub
    )


async def test_the_protocols_do_not_share_their_ports(hub: TestHub) -> None:
    one, two = await hub.invite("a.eu"), await hub.invite("b.eu")
    await hub.client().ports.reserve(wanted(one, 2222, 2230, "tcp"))
    await hub.client().ports.reserve(wanted(two, 2222, 2230, "udp"))
    await publish_ports(hub, two, "udp", [2222])

    assert await code_of(publish_ports(hub, two, "tcp", [2222])) is Code.PORT_CONFLICT


async def test_overlaps_are_refused_with_all_that_is_in_the_way(hub: TestHub) -> None:
    one, two, client = await hub.invite("a.eu"), await hub.invite("b.eu"), hub.client()
    await client.ports.reserve(wanted(one, 2000, 2009))
    await client.ports.reserve(wanted(two, 2020))
    for first, last in ((2009, 2010), (1999, 2000), (2005, 2006), (1990, 2019), (2009, None)):
        refused = await refusal(client.ports.reserve(wanted(two, first, last)))

        assert refused.code is Code.PORT_CONFLICT
        assert refused.detail == "reserved already: tcp:2000-2009"
    both = await refusal(client.ports.reserve(wanted(one, 2009, 2020)))

    assert both.detail == "reserved already: tcp:2000-2009, tcp:2020"
    await client.ports.reserve(wanted(two, 2010, 2019))


async def test_without_a_number_the_lowest_free_port_is_kept(hub: TestHub) -> None:
    one, two, client = await hub.invite("a.eu"), await hub.invite("b.eu"), hub.client()
    await client.ports.reserve(wanted(one, 1024, 1025))
    await publish_ports(hub, one, "tcp", [1027])
    available = (await client.ports.available("tcp", 3)).ports
    found = [(await client.ports.reserve(wanted(two))).first_port for _ in range(2)]

    assert available == [1026, 1028, 1029]
    assert found == [1026, 1028]
    assert (await client.ports.available("udp")).ports == [1024]


async def test_ports_that_another_tenant_publishes_are_not_kept_and_ones_own_are(
    hub: TestHub,
) -> None:
    one, two, client = await hub.invite("a.eu"), await hub.invite("b.eu"), hub.client()
    await publish_ports(hub, one, "tcp", [2222])
    refused = await refusal(client.ports.reserve(wanted(two, 2220, 2225)))
    await client.ports.reserve(wanted(one, 2220, 2225))

    assert refused.code is Code.PORT_CONFLICT
    assert refused.detail == "published by another tenant: tcp:2222"


async def test_a_released_port_is_anybodys_and_what_is_published_on_it_stays(
    hub: TestHub,
) -> None:
    one, two, client = await hub.invite("a.eu"), await hub.invite("b.eu"), hub.client()
    made = await client.ports.reserve(wanted(one, 2222, 2223))
    await publish_ports(hub, one, "tcp", [2222])
    await client.ports.release(made.reservation_id)
    await publish_ports(hub, two, "tcp", [2223])

    assert await retained(hub) == []
    assert await code_of(client.ports.release(made.reservation_id)) is Code.NOT_FOUND
    assert await code_of(client.ports.get(made.reservation_id)) is Code.NOT_FOUND
    assert await code_of(publish_ports(hub, two, "tcp", [2222])) is Code.PORT_CONFLICT


async def test_a_reservation_can_not_exceed_the_quota_of_its_tenant(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    await client.invites.update(invite_id(token), InviteEdit(limits=Limits(ports=10)))
    await client.ports.reserve(wanted(token, 2000, 2005))
    refused = await refusal(client.ports.reserve(wanted(token, 3000, 3004, "udp")))
    await client.ports.reserve(wanted(token, 3000, 3003, "udp"))

    assert refused.code is Code.QUOTA_EXCEEDED
    assert "ports: 11 are wanted, and this tenant may have 10" in refused.detail


async def test_ports_below_1024_and_the_nodes_own_are_kept_for_nobody(database: Database) -> None:
    async with running_hub(database, RouteChanges(), ports=PortRules(own=(1024, 8443))) as hub:
        token, client = await hub.invite("a.eu"), hub.client()
        low = await refusal(client.ports.reserve(wanted(token, 443)))
        own = await refusal(client.ports.reserve(wanted(token, 8440, 8450, "udp")))
        published = await refusal(publish_ports(hub, token, "tcp", [8443, 25]))
        lowest = await client.ports.reserve(wanted(token))

        assert low.code is own.code is published.code is Code.INVALID_REQUEST
        assert "TOWONEL_HUB_ALLOW_PRIVILEGED_PORTS" in low.detail
        assert "port 8443" in own.detail
        assert "port 8443" in published.detail
        assert "port 25" in published.detail
        assert lowest.first_port == 1025


async def register_edge(hub: TestHub, *addresses: str) -> None:
    made = await hub.client().edge_invites.create("far")
    edge = NodeKey.from_seed(EdgeToken.decode(made.token).seed)
    body = registration(edge).model_copy(update={"addresses": [*addresses]})
    await hub.client().register_edge(edge, body)


async def test_ports_that_an_edge_is_reached_at_are_neither_published_nor_reserved(
    hub: TestHub,
) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    await publish_ports(hub, token, "udp", [7443])
    await register_edge(hub, "far.eu:7443", "[fd00::7]:1024")
    reserved = await refusal(client.ports.reserve(wanted(token, 7440, 7450, "udp")))
    published = await refusal(publish_ports(hub, token, "tcp", [7443, 2222]))
    await publish_ports(hub, token, "udp", [7443])  # as it did before the edge was there

    assert reserved.code is published.code is Code.PORT_CONFLICT
    assert "7443 (far.eu:7443)" in reserved.detail
    assert "another port: tcp:7443 (far.eu:7443)" in published.detail
    assert "2222" not in published.detail
    assert (await client.ports.available("tcp")).ports == [1025]
    assert (await client.ports.reserve(wanted(token))).first_port == 1025


async def test_ports_below_1024_are_kept_where_the_operator_allows_it(database: Database) -> None:
    async with running_hub(database, RouteChanges(), ports=PortRules(privileged=True)) as hub:
        token = await hub.invite("a.eu")
        await hub.client().ports.reserve(wanted(token, 443))
        await publish_ports(hub, token, "tcp", [443])

        assert (await hub.client().ports.available("tcp", 2)).ports == [1, 2]


async def test_a_hub_can_want_every_port_to_be_reserved(database: Database) -> None:
    async with running_hub(database, RouteChanges(), ports=PortRules(reserved_only=True)) as hub:
        token, client = await hub.invite("a.eu"), hub.client()
        await client.ports.reserve(wanted(token, 2222, 2223))
        refused = await refusal(publish_ports(hub, token, "tcp", [2222, 2224, 2225]))
        await publish_ports(hub, token, "tcp", [2222, 2223])

        assert refused.code is Code.PORT_CONFLICT
        assert "tcp:2224, tcp:2225" in refused.detail
        assert "tcp:2222" not in refused.detail


async def test_of_ports_that_are_reserved_for_another_every_one_is_named(hub: TestHub) -> None:
    one, two = await hub.invite("a.eu"), await hub.invite("b.eu")
    await hub.client().ports.reserve(wanted(one, 2222, 2230))
    refused = await refusal(publish_ports(hub, two, "tcp", [2221, 2222, 2230, 2231]))

    assert refused.code is Code.PORT_CONFLICT
    assert refused.detail == "reserved for another tenant: tcp:2222, tcp:2230"


async def test_a_service_of_two_groups_has_one_port_and_of_two_tenants_as_many(
    hub: TestHub,
) -> None:
    one, two = await hub.invite("a.eu"), await hub.invite("b.eu")

    def publish_ssh(
        token: InviteToken, group: str, port: int, name: str = "ssh"
    ) -> Awaitable[object]:
        hub.clock.now_ms += 10
        services = [ServiceIn(kind="tcp", name=name, port=port)]
        wanted = DesiredState(group=group, services=services)
        return hub.client().apply_desired_state(tenant_of(token), wanted)

    await publish_ssh(one, "blue", 2222)
    await publish_ssh(one, "green", 2222)
    await publish_ssh(two, "green", 2223)
    refused = await refusal(publish_ssh(one, "green", 2224))
    await publish_ssh(one, "green", 2224, "sftp")

    assert refused.code is Code.PORT_CONFLICT
    assert "the same port: tcp:ssh (group blue, port 2222)" in refused.detail
    await publish_ssh(one, "blue", 2225)  # where no other group has it, it may move


async def test_reservations_end_with_their_tenant(hub: TestHub) -> None:
    one, two, client = await hub.invite("a.eu"), await hub.invite("b.eu"), hub.client()
    await client.ports.reserve(wanted(one, 2222, 2223))
    await client.invites.revoke(invite_id(one))
    again = await client.ports.reserve(wanted(two, 2222))

    assert again.tenant_id == tenant_id(two)
    assert await retained(hub) == [("tcp", 2222, 2222)]


async def test_the_operator_of_a_tenant_keeps_and_releases_its_own_ports(hub: TestHub) -> None:
    one, two = await hub.invite("a.eu"), await hub.invite("b.eu")
    foreign = await hub.client().ports.reserve(wanted(two, 3000))
    own = await keyed(hub, "operator", tenant_of(one))
    made = await own.ports.reserve(wanted(one, 2222))
    listed = (await own.ports.list()).ports
    refused = [
        await code_of(own.ports.reserve(wanted(two, 2223))),
        await code_of(own.ports.release(foreign.reservation_id)),
    ]
    await own.ports.release(made.reservation_id)

    assert listed == [made]
    assert refused == [Code.NOT_FOUND, Code.NOT_FOUND]
    assert await retained(hub) == [("tcp", 3000, 3000)]


async def test_a_reservation_changes_the_etag_of_its_tenant(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    tags = [(await client.invites.get(invite_id(token))).etag]
    made = await client.ports.reserve(wanted(token, 2222))
    tags.append((await client.invites.get(invite_id(token))).etag)
    edit = client.invites.update(invite_id(token), InviteEdit(ports=[]), if_match=tags[0])
    stale = await code_of(edit)
    await client.ports.release(made.reservation_id)
    tags.append((await client.tenants.get(tenant_id(token))).etag)

    assert stale is Code.PRECONDITION_FAILED
    assert len(set(tags)) == 3


async def test_a_port_keeps_its_route_when_its_service_gets_another_name(hub: TestHub) -> None:
    tenant = tenant_of(await hub.invite("a.eu"))
    for name in ("old", "new"):
        hub.clock.now_ms += 10
        services = [ServiceIn(kind="tcp", name=name, port=2000)]
        state = DesiredState(group="g", services=services)
        await hub.client().apply_desired_state(tenant, state)
    (listed,) = (await hub.client().services.list()).services

    assert (listed.key, listed.name) == ("tcp:2000", "new")
