"""Load balancer: groups by weight, standbys, agents whose origin fails, clients that stay with one agent."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.balance import Balancer
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import NO_HINTS, BalanceHints

WEB = ServiceKey(ServiceKind.HTTPS, "app.example.eu")
FAILING = BalanceHints(failing=frozenset({WEB}))
STICKY = BalanceHints(sticky=frozenset({WEB}))
CLIENTS = [bytes([10, 0, number >> 8, number & 0xFF]) for number in range(2000)]


@dataclass(frozen=True)
class Agent:
    name: str
    group: str = "default"
    hints: BalanceHints = NO_HINTS
    active: int = 0
    is_silent: bool = False
    going_away: bool = False

    @property
    def agent_id(self) -> bytes:
        return self.name.encode()

    @property
    def session_id(self) -> bytes:
        return b"session of " + self.agent_id


def order_names(
    agents: Sequence[Agent], *, seed: int = 0, client: bytes = b"\n\0\0\1"
) -> list[str]:
    draw = Random(seed).randrange
    ordered = Balancer().order(WEB, agents, now=0.0, draw=draw, client=client)
    return [agent.name for agent in ordered]


def share(agents: Sequence[Agent], clients: Sequence[bytes] = CLIENTS) -> Counter[str]:
    """Return how many clients come to each agent first."""
    return Counter(
        order_names(agents, seed=seed, client=client)[0] for seed, client in enumerate(clients)
    )


def of_group(group: str, weight: int, count: int, *, sticky: bool = False) -> list[Agent]:
    hints = BalanceHints(weight, sticky=frozenset({WEB}) if sticky else frozenset())
    return [Agent(f"{group}-{number}", group, hints) for number in range(count)]


@pytest.mark.parametrize("sticky", [False, True])
def test_groups_share_clients_by_weight_however_many_agents_they_have(*, sticky: bool) -> None:
    found = share([*of_group("a", 300, 1, sticky=sticky), *of_group("b", 100, 3, sticky=sticky)])

    assert 1400 < found["a-0"] < 1600
    assert all(100 < found[f"b-{number}"] < 240 for number in range(3))


def test_each_number_that_can_be_drawn_is_a_place_in_the_weights() -> None:
    agents = [*of_group("a", 2, 1), *of_group("b", 1, 1), *of_group("c", 3, 1)]
    draws = [partial(take_number, number) for number in range(6)]
    drawn = [Balancer().order(WEB, agents, now=0.0, draw=draw)[0].group for draw in draws]

    assert "".join(drawn) == "aabccc"


def take_number(number: int, below: int) -> int:
    return number % below


def test_while_a_group_gets_another_weight_the_largest_of_its_agents_counts() -> None:
    old, new = of_group("a", 1, 1), of_group("a", 100, 2)[1:]
    found = share([*old, *new, *of_group("b", 100, 1)])

    assert 850 < found["b-0"] < 1150


def test_a_standby_comes_after_healthy_agents_and_before_those_that_are_set_aside() -> None:
    balance = Balancer()
    balance.record_failure(WEB, b"session of cooling", now=0.0)
    agents = [
        Agent("failing", hints=FAILING),
        Agent("cooling"),
        Agent("standby", hints=BalanceHints(0)),
    ]
    draws = [Random(seed).randrange for seed in range(9)]
    orders = [balance.order(WEB, agents, now=0.0, draw=draw) for draw in draws]

    names = [[agent.name for agent in ordered] for ordered in orders]
    assert names == [["standby", "cooling", "failing"]] * 9
    assert order_names([*agents, Agent("healthy", active=99)])[:2] == ["cooling", "healthy"]


def test_standbys_of_several_groups_share_evenly() -> None:
    found = share([*of_group("a", 0, 1), *of_group("b", 0, 1)])

    assert 850 < found["a-0"] < 1150


def test_where_every_origin_fails_agents_are_tried_all_the_same_the_silent_ones_last() -> None:
    silent = Agent("silent", is_silent=True)
    agents = [silent, replace(silent, name="worse", hints=FAILING), Agent("failing", hints=FAILING)]

    assert order_names(agents)[0] == "failing"
    assert len(order_names(agents)) == 3


def test_a_failing_origin_of_one_service_says_nothing_of_another() -> None:
    other = BalanceHints(failing=frozenset({ServiceKey(ServiceKind.TCP, "ssh")}))

    assert order_names([Agent("a", hints=other), Agent("b", active=9)]) == ["a", "b"]


def test_agents_of_the_chosen_group_come_first_so_that_a_retry_keeps_the_shares() -> None:
    agents = [*of_group("a", 100, 2), *of_group("b", 100, 2)]

    for seed in range(50):
        groups = [name[0] for name in order_names(agents, seed=seed)]
        assert groups[0] == groups[1] != groups[2]


def test_a_client_that_waits_may_have_agents_of_the_same_group_and_health() -> None:
    same, other = Agent("same", active=5), Agent("other", "b")
    standby = Agent("standby", hints=BalanceHints(0))
    balance, first = Balancer(), Agent("first")

    assert balance.find_equals(WEB, [first, same, other, standby], 0.0) == [first, same]


def test_a_client_that_stays_waits_for_its_agent_alone() -> None:
    first, second = Agent("first"), Agent("second", hints=STICKY)

    assert Balancer().find_equals(WEB, [first, second], 0.0) == [first]


def test_a_client_stays_with_its_agent_however_loaded_it_is() -> None:
    agents = [Agent(str(number), hints=STICKY) for number in range(5)]
    name = order_names(agents)[0]
    loaded = [replace(agent, active=100 * (agent.name == name)) for agent in agents]

    assert [order_names(loaded, seed=seed)[0] for seed in range(20)] == [name] * 20


def test_addresses_of_one_ipv6_network_are_one_client() -> None:
    agents = [Agent(str(number), hints=STICKY) for number in range(16)]
    network = bytes.fromhex("20010db800000001")

    assert len({order_names(agents, client=network + bytes([n] * 8))[0] for n in range(50)}) == 1
    assert len({order_names(agents, client=bytes([n] * 16))[0] for n in range(50)}) > 8


names = st.lists(st.text("abcdef", min_size=1), min_size=2, max_size=8, unique=True)


@given(names, st.integers(0, 200))
def test_clients_of_others_stay_where_they_are_when_an_agent_joins_or_leaves(
    known: list[str], number: int
) -> None:
    agents = [Agent(name, hints=STICKY) for name in known]
    gone, client = known[0], CLIENTS[number]
    before, after = order_names(agents, client=client), order_names(agents[1:], client=client)

    assert after[0] == before[before[0] == gone]


weights = st.lists(st.integers(1, 1000), min_size=2, max_size=5)


@given(weights, st.booleans(), st.integers(0, 1000))
def test_any_weights_are_the_shares_of_their_groups(
    values: list[int],
    sticky: bool,
    seed: int,
) -> None:
    agents = [
        agent
        for number, weight in enumerate(values)
        for agent in of_group(str(number), weight, 1 + number % 2, sticky=sticky)
    ]
    random = Random(seed)
    found = Counter(
        name.split("-")[0]
        for name in share(agents, [random.randbytes(4) for _ in range(400)]).elements()
    )

    for number, weight in enumerate(values):
        wanted = weight / sum(values)
        spread = 6 * (wanted * (1 - wanted) / 400) ** 0.5
        assert abs(found[str(number)] / 400 - wanted) <= spread
