"""Groups of agents that share a service: by weight, as a standby, by health, and clients that stay."""

import json
from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio
from support.checked_origins import CheckedOrigin, checked_origin, who_answers
from support.ports import free_port
from support.programs import Program
from support.stack import Node, Stack, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
_numbers = count()


class Groups:
    """Agents of one tenant that publish the same TCP service."""

    def __init__(self, stack: Stack, token: str, one: CheckedOrigin, two: CheckedOrigin) -> None:
        self.stack, self._token = stack, token
        self.one, self.two = one, two
        self.port = free_port()

    async def start(
        self, origin: CheckedOrigin, *, wait: bool = True, affinity: str = "none", **extra: str
    ) -> Node[Program]:
        """Start an agent in the group of its origin's name, unless in another."""
        services = json.dumps([origin.service(self.port, affinity=affinity)])
        environ = {"TOWONEL_AGENT_GROUP": origin.name, "TOWONEL_AGENT_TCP_SERVICES": services}
        agent = await self.stack.start_agent(self._token, wait=wait, **environ | extra)
        if wait:
            await until(lambda: self.are_linked(len(self.stack.agents)))
        return agent

    async def are_linked(self, agents: int) -> bool:
        return await self.stack.edges[0].metric("towonel_edge_active_sessions") == agents

    async def only(self, name: str) -> bool:
        """Whether an origin answers all of some clients."""
        return await who_answers(self.port, 5) == {name: 5}


@pytest_asyncio.fixture(loop_scope="module")
async def groups(stack: Stack) -> AsyncIterator[Groups]:
    token = await stack.invite(f"groups{next(_numbers)}.example.eu")
    async with checked_origin("one") as one, checked_origin("two") as two:
        yield Groups(stack, token, one, two)


async def test_two_groups_share_clients_by_their_weights(groups: Groups) -> None:
    await groups.start(groups.one, TOWONEL_AGENT_WEIGHT="300")
    await groups.start(groups.two, TOWONEL_AGENT_WEIGHT="100")
    await until(lambda: who_answers(groups.port))

    found = await who_answers(groups.port, 120)

    assert sorted(found) == ["one", "two"]
    assert 62 < found["one"] < 118  # 90, and six times its deviation


async def test_a_standby_takes_over_when_the_active_group_ends_and_gives_back(
    groups: Groups,
) -> None:
    active = await groups.start(groups.one)
    await groups.start(groups.two, TOWONEL_AGENT_WEIGHT="0")
    await until(lambda: groups.only("one"))
    await active.program.stop()

    await until(lambda: groups.only("two"))
    await groups.stack.restart(active)
    await until(lambda: groups.only("one"))


async def test_an_agent_whose_origin_fails_its_check_is_set_aside_and_comes_back(
    groups: Groups,
) -> None:
    for origin in (groups.one, groups.two):
        await groups.start(origin, TOWONEL_AGENT_GROUP="same")
    groups.one.is_healthy = False
    await until(lambda: groups.only("two"))
    groups.two.is_healthy = False
    await groups.stack.edges[0].reaches(2, "towonel_edge_sessions_failing")

    assert sum((await who_answers(groups.port, 20)).values()) == 20  # rather any than none
    groups.one.is_healthy = True
    await until(lambda: groups.only("one"))


async def test_a_new_group_gets_clients_only_once_it_is_healthy(groups: Groups) -> None:
    old = await groups.start(groups.one, TOWONEL_AGENT_GROUP="v1")
    groups.two.is_healthy = False
    new = await groups.start(groups.two, wait=False, TOWONEL_AGENT_GROUP="v2")
    await until(lambda: groups.are_linked(2))

    assert await who_answers(groups.port, 30) == {"one": 30}
    groups.two.is_healthy = True
    await until(lambda: who_answers_two(groups))
    assert new.program.log().count("agent.admitted") == 1
    await old.program.stop()
    await until(lambda: groups.only("two"))


async def who_answers_two(groups: Groups) -> int:
    return (await who_answers(groups.port, 5))["two"]


async def test_a_client_stays_with_its_agent_where_the_service_wants_it(groups: Groups) -> None:
    for origin in (groups.one, groups.two):
        await groups.start(origin, affinity="client", TOWONEL_AGENT_GROUP="same")
    await until(lambda: who_answers(groups.port))

    found = [await who_answers(groups.port, 4, f"127.0.0.{number}") for number in range(2, 18)]
    assert [len(each) for each in found] == [1] * 16
    assert len({name for each in found for name in each}) == 2
