"""Ports that the hub chooses: of the tenant's own ranges, one for each service, whoever asks at once."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
from support.callers import code_of, publish_ports, refusal, tenant_id
from support.hub import TestHub, migrated, registration, running_hub, tenant_of
from support.postgres import Postgres
from support.redis_server import running_redis
from support.replicas import hubs

from towonel.api.ports import Protocol, ReservationIn
from towonel.api.services import AppliedState, DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.client.request import MAX_LEAD_MS
from towonel.hub.live.route_changes import RouteChanges
from towonel.wire.errors import Code, Unavailable
from towonel.wire.tokens import InviteToken

pytestmark = pytest.mark.both_databases


def auto(*names: str, group: str = "g", kind: Protocol = "tcp") -> DesiredState:
    services = [ServiceIn(kind=kind, name=name, port="auto") for name in names]
    return DesiredState(group=group, services=services)


async def reserve(
    hub: TestHub, token: InviteToken, first: int, last: int, protocol: Protocol = "tcp"
) -> str:
    wanted = ReservationIn(
        tenant_id=tenant_id(token), protocol=protocol, first_port=first, last_port=last
    )
    return (await hub.client().ports.reserve(wanted)).reservation_id


async def apply(hub: TestHub, token: InviteToken, wanted: DesiredState) -> AppliedState:
    hub.clock.now_ms += 10  # the same request again would be a replay
    return await hub.client().apply_desired_state(tenant_of(token), wanted)


async def listed(hub: TestHub) -> dict[str, str]:
    return {it.key: it.name for it in (await hub.client().services.list()).services}


async def test_a_service_gets_the_lowest_reserved_port_and_keeps_it(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await reserve(hub, token, 3000, 3009)
    await reserve(hub, token, 2222, 2222, "udp")
    first = await apply(hub, token, auto("ssh"))
    await reserve(hub, token, 2000, 2000)
    wanted = [*auto("git", "ssh").services, *auto("game", kind="udp").services]
    second = await apply(hub, token, DesiredState(group="g", services=wanted))

    assert (first.created, first.ports) == (["tcp:3000"], {"tcp:ssh": 3000})
    assert (second.created, second.unchanged) == (["tcp:2000", "udp:2222"], 1)
    assert second.ports == {"tcp:git": 2000, "tcp:ssh": 3000, "udp:game": 2222}
    assert await listed(hub) == {"tcp:2000": "git", "tcp:3000": "ssh", "udp:2222": "game"}


async def test_a_chosen_port_is_published_as_one_that_was_named(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await reserve(hub, token, 3000, 3009)
    chosen = await apply(hub, token, auto("ssh"))
    named = DesiredState(group="g", services=[ServiceIn(kind="tcp", name="ssh", port=3000)])
    again = await apply(hub, token, named)

    assert (again.unchanged, again.ports) == (1, chosen.ports)
    assert again.publication == chosen.publication is not None


async def test_what_others_publish_is_not_chosen_nor_what_is_reserved_for_them(
    hub: TestHub,
) -> None:
    mine, theirs = await hub.invite("a.eu"), await hub.invite("b.eu")
    await publish_ports(hub, theirs, "tcp", [2222])
    await reserve(hub, theirs, 3000, 3000)
    await publish_ports(hub, mine, "tcp", [3001])
    await reserve(hub, mine, 3001, 3003)
    named = ServiceIn(kind="tcp", name="web", port=3002)
    wanted = DesiredState(group="g", services=[*auto("ssh").services, named])
    applied = await apply(hub, mine, wanted)

    assert applied.ports == {"tcp:ssh": 3003, "tcp:web": 3002}


async def test_a_service_that_takes_the_place_of_another_gets_its_only_port(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await reserve(hub, token, 3000, 3000)
    await apply(hub, token, auto("old"))
    applied = await apply(hub, token, auto("new"))

    assert (applied.changed, await listed(hub)) == (["tcp:3000"], {"tcp:3000": "new"})


async def test_a_port_that_a_sibling_publishes_too_is_not_free_when_its_service_ends(
    hub: TestHub,
) -> None:
    token = await hub.invite("a.eu")
    await reserve(hub, token, 3000, 3000)
    await apply(hub, token, auto("old"))
    sibling = [ServiceIn(kind="tcp", name="old", port=3000)]
    await apply(hub, token, DesiredState(group="sibling", services=sibling))

    assert await code_of(apply(hub, token, auto("new"))) is Code.PORT_CONFLICT
    assert (await apply(hub, token, auto("old"))).unchanged == 1


async def test_a_group_gets_the_port_of_another_that_publishes_the_same_service(
    hub: TestHub,
) -> None:
    token = await hub.invite("a.eu")
    await reserve(hub, token, 3000, 3009)
    named = ServiceIn(kind="tcp", name="ssh", port=4000)
    await apply(hub, token, DesiredState(group="blue", services=[named]))
    green = await apply(hub, token, auto("ssh", "web", group="green"))
    await apply(hub, token, auto(group="blue"))
    later = await apply(hub, token, auto("ssh", group="red"))

    assert (green.ports, later.ports) == ({"tcp:ssh": 4000, "tcp:web": 3000}, {"tcp:ssh": 4000})
    assert await listed(hub) == {"tcp:3000": "web", "tcp:4000": "ssh"}


async def test_a_reserved_port_that_an_edge_is_reached_at_is_not_chosen(hub: TestHub) -> None:
    token, node = await hub.invite("a.eu"), hub.context.keys.node
    await reserve(hub, token, 3000, 3001)
    body = registration(node).model_copy(update={"addresses": ["edge.eu:3000"]})
    await hub.client().register_edge(node, body)

    assert (await apply(hub, token, auto("ssh"))).ports == {"tcp:ssh": 3001}


async def test_without_a_reserved_port_nothing_is_published_until_there_is_one(
    hub: TestHub,
) -> None:
    token = await hub.invite("a.eu")
    await reserve(hub, token, 3000, 3000, "udp")
    refused = await refusal(apply(hub, token, auto("ssh")))
    before = await listed(hub)
    await reserve(hub, token, 3000, 3000)

    assert (refused.code, before) == (Code.PORT_CONFLICT, {})
    for part in ("tcp:ssh", "no tcp port is reserved", f"--tenant-id {tenant_id(token).hex()}"):
        assert part in refused.detail
    assert (await apply(hub, token, auto("ssh"))).ports == {"tcp:ssh": 3000}


async def test_a_tenant_that_is_suspended_is_refused_as_such(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await hub.client().tenants.suspend(tenant_id(token))

    assert await code_of(apply(hub, token, auto("ssh"))) is Code.TENANT_SUSPENDED


async def test_a_released_port_is_not_kept(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    released = await reserve(hub, token, 3000, 3000)
    await apply(hub, token, auto("ssh"))
    await hub.client().ports.release(released)
    await reserve(hub, token, 4000, 4000)
    applied = await apply(hub, token, auto("ssh"))

    assert (applied.ports, applied.deleted) == ({"tcp:ssh": 4000}, ["tcp:3000"])


@pytest.fixture(params=["sqlite", "postgres"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[list[TestHub]]:
    """Two replicas of a hub; of SQLite one, twice."""
    if request.param == "sqlite":
        database = await migrated(tmp_path / "hub.db")
        async with running_hub(database, RouteChanges()) as hub:
            yield [hub, hub]
        return
    server: Postgres = request.getfixturevalue("server")
    async with running_redis(tmp_path) as url, hubs(server.database(), url) as found:
        yield [*found]


async def apply_at_once(
    pair: Sequence[TestHub], token: InviteToken, *states: DesiredState
) -> list[AppliedState]:
    """Ask the replicas in turn, as agents do: again where others changed the routes meanwhile."""
    clients = [hub.client() for hub in pair]
    # Or both would get the same requests.
    clients[1]._transport._last_ms = pair[1].clock() + MAX_LEAD_MS // 2

    async def ask(client: HubClient, state: DesiredState) -> AppliedState:
        while True:
            try:
                return await client.apply_desired_state(tenant_of(token), state)
            except Unavailable:
                await asyncio.sleep(0)

    async with asyncio.timeout(50), asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(ask(clients[n % 2], it)) for n, it in enumerate(states)]
    return [task.result() for task in asked]


async def test_groups_that_ask_at_once_get_a_port_each(pair: list[TestHub]) -> None:
    token = await pair[0].invite("a.eu")
    await reserve(pair[0], token, 3000, 3009)
    states = [auto(f"ssh{number}", group=f"g{number}") for number in range(10)]
    applied = await apply_at_once(pair, token, *states)

    assert sorted(port for it in applied for port in it.ports.values()) == [*range(3000, 3010)]
    assert sorted(await listed(pair[1])) == [f"tcp:{port}" for port in range(3000, 3010)]


async def test_replicas_of_a_group_that_ask_at_once_get_one_port(pair: list[TestHub]) -> None:
    token = await pair[0].invite("a.eu")
    await reserve(pair[0], token, 3000, 3009)
    applied = await apply_at_once(pair, token, *[auto("git", "ssh")] * 10)

    assert [it.ports for it in applied] == [{"tcp:git": 3000, "tcp:ssh": 3001}] * 10
    assert len({it.publication.digest for it in applied if it.publication}) == 1
    assert sum(len(it.created) for it in applied) == 2


async def test_groups_that_ask_at_once_for_one_service_get_one_port(pair: list[TestHub]) -> None:
    token = await pair[0].invite("a.eu")
    await reserve(pair[0], token, 3000, 3009)
    states = [auto("ssh", group=f"g{number}") for number in range(10)]
    applied = await apply_at_once(pair, token, *states)

    assert [it.ports for it in applied] == [{"tcp:ssh": 3000}] * 10
    assert await listed(pair[1]) == {"tcp:3000": "ssh"}
