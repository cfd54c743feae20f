"""Two hundred documents at once, of tenants that want the same names and ports."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.hub import TestHub, migrated, running_hub, tenant_of
from support.postgres import Postgres
from support.redis_server import running_redis
from support.replicas import hubs

from towonel.api.services import AppliedState, DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.client.request import MAX_LEAD_MS
from towonel.hub.backup.check import problems
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.identity.keys import TenantKey
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.routes import Route

pytestmark = pytest.mark.both_databases

TENANTS = 20
FIRST_PORT, PORTS_EACH, STEP = 30_000, 4, 3  # neighbours want one port both
GREEDY = 4  # each fourth tenant also wants a name that is its neighbour's


@dataclass
class Contender:
    """A tenant, what its agents ask for, and what they are told."""

    number: int
    key: TenantKey
    answers: list[AppliedState | Denied] = field(default_factory=list[AppliedState | Denied])

    @property
    def ports(self) -> set[int]:
        start = FIRST_PORT + STEP * self.number
        return set(range(start, start + PORTS_EACH))

    @property
    def foreign_name(self) -> str | None:
        return name_of(self.number + 1) if self.number % GREEDY == 0 else None

    @property
    def wanted(self) -> DesiredState:
        names = [name_of(self.number), *filter(None, [self.foreign_name])]
        services = [ServiceIn(kind="https", name=name) for name in names]
        services += [ServiceIn(kind="tcp", name=f"p{port}", port=port) for port in self.ports]
        return DesiredState(group="default", services=services)

    @property
    def keys(self) -> set[str]:
        return {f"https:{name_of(self.number)}", *(f"tcp:{port}" for port in self.ports)}

    @property
    def has_won(self) -> bool:
        return isinstance(self.answers[0], AppliedState)


@dataclass
class Arena:
    database: Database
    hubs: tuple[TestHub, TestHub]


def name_of(number: int) -> str:
    return f"n{number}.example.eu"


@pytest.fixture(params=["sqlite", "postgres"])
async def arena(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Arena]:
    if request.param == "sqlite":
        database = await migrated(tmp_path / "hub.db")
        async with running_hub(database, RouteChanges()) as hub:
            yield Arena(database, (hub, hub))
        return
    server: Postgres = request.getfixturevalue("server")
    database = server.database()
    async with running_redis(tmp_path) as url, hubs(database, url) as pair:
        yield Arena(database, pair)


async def contenders(hub: TestHub) -> list[Contender]:
    """Every tenant has its own name, and one of them all that are left."""
    patterns = ["*.example.eu", *map(name_of, range(1, TENANTS))]
    return [Contender(n, tenant_of(await hub.invite(name))) for n, name in enumerate(patterns)]


async def apply(client: HubClient, contender: Contender) -> None:
    """Ask as an agent does: again where the hub is busy."""
    answer: AppliedState | Denied | None = None
    async with asyncio.timeout(50):
        while answer is None:
            try:
                answer = await client.apply_desired_state(contender.key, contender.wanted)
            except Denied as error:
                answer = error
            except Unavailable:
                await asyncio.sleep(0.05)
    contender.answers.append(answer)


async def published(hub: TestHub) -> dict[str, Route]:
    await hub.context.route_cache.catch_up()
    return {route.key: route for route in hub.context.route_cache.delta(None).routes}


@pytest.fixture(params=[4, pytest.param(10, marks=pytest.mark.soak)])
def replicas(request: pytest.FixtureRequest) -> int:
    """How many agents each tenant has."""
    return int(request.param)


@pytest.fixture
async def tenants(arena: Arena, replicas: int) -> list[Contender]:
    """The tenants, after all their agents asked at once."""
    made = await contenders(arena.hubs[0])
    clients = [hub.client() for hub in arena.hubs]
    # Or both would get the same requests.
    clients[1]._transport._last_ms = arena.hubs[1].clock() + MAX_LEAD_MS // 2
    async with asyncio.TaskGroup() as tasks:
        for number in range(TENANTS * replicas):
            tasks.create_task(apply(clients[number % 2], made[number // 2 % TENANTS]))
    return made


async def test_each_name_and_port_has_one_owner_and_losers_learn_which_and_why(
    arena: Arena, tenants: list[Contender], replicas: int
) -> None:
    seen = [await published(hub) for hub in arena.hubs]
    winners = [tenant for tenant in tenants if tenant.has_won]

    assert seen[0] == seen[1]
    assert {key: route.tenant_id for key, route in seen[0].items() if route.port} == {
        f"tcp:{port}": tenant.key.tenant_id for tenant in winners for port in tenant.ports
    }
    for tenant in tenants:
        assert len(tenant.answers) == replicas
        (check_winner if tenant.has_won else check_loser)(tenant, seen[0])
    assert problems(arena.database) == []
    applied = (await arena.hubs[0].client().audit.list(action="services.published")).audit
    assert len(applied) == len(winners)


def check_winner(winner: Contender, owned: dict[str, Route]) -> None:
    """All its agents were told that it is published, and all of it is."""
    assert all(isinstance(answer, AppliedState) for answer in winner.answers)
    assert {owned[key].tenant_id for key in winner.keys} == {winner.key.tenant_id}


def check_loser(loser: Contender, owned: dict[str, Route]) -> None:
    """All its agents were told the same kind of thing, with every name and port that is not its."""
    taken = {port for port in loser.ports if f"tcp:{port}" in owned}
    for answer in loser.answers:
        assert isinstance(answer, Denied)
        if loser.foreign_name:
            assert answer.code in {Code.HOSTNAME_CONFLICT, Code.HOSTNAME_NOT_OWNED}
            assert loser.foreign_name in answer.detail
        else:
            assert answer.code is Code.PORT_CONFLICT
            assert any(str(port) in answer.detail for port in taken)
    assert loser.key.tenant_id not in {
        route.tenant_id for key, route in owned.items() if key.startswith("tcp:")
    }
