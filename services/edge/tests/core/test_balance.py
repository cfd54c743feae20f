"""Load balancer: power of two choices, cooldown after failures, silent sessions last."""

from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.balance import (
    FIRST_PAUSE_S,
    MAX_PAUSE_S,
    MAX_TRIES,
    Balancer,
)
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import NO_HINTS, BalanceHints

WEB = ServiceKey(ServiceKind.HTTPS, "app.example.eu")
SSH = ServiceKey(ServiceKind.TCP, "ssh")


@dataclass
class Agent:
    name: str
    active: int = 0
    is_silent: bool = False
    going_away: bool = False
    group: str = "default"
    hints: BalanceHints = NO_HINTS

    @property
    def agent_id(self) -> bytes:
        return self.name.encode()

    @property
    def session_id(self) -> bytes:
        return self.name.encode()


def order_names(balance: Balancer, *agents: Agent, now: float = 0.0, seed: int = 0) -> list[str]:
    draw = Random(seed).randrange
    return [agent.name for agent in balance.order(WEB, agents, now=now, draw=draw)]


def test_without_candidates_the_order_is_empty() -> None:
    assert order_names(Balancer()) == []


def test_one_session_needs_no_randomness() -> None:
    def never(_: int) -> int:
        raise AssertionError("nothing to draw")

    assert len(Balancer().order(WEB, [Agent("a")], now=0, draw=never)) == 1


@pytest.mark.parametrize("seed", range(20))
def test_of_two_the_less_loaded_is_always_first(seed: int) -> None:
    assert order_names(Balancer(), Agent("busy", 5), Agent("idle", 1), seed=seed) == [
        "idle",
        "busy",
    ]


def test_of_many_each_gets_its_share_by_chance() -> None:
    agents = [Agent(str(number), active=3) for number in range(8)]

    first = Counter(order_names(Balancer(), *agents, seed=seed)[0] for seed in range(1000))

    assert len(first) == 8
    assert max(first.values()) < 3 * min(first.values())


def test_the_busiest_of_many_is_never_first_and_the_idlest_most_often() -> None:
    agents = [Agent(str(number), active=number) for number in range(4)]

    first = Counter(order_names(Balancer(), *agents, seed=seed)[0] for seed in range(1000))

    assert first["3"] == 0
    assert 400 < first["0"] < 600  # it wins each of the 3 in 6 pairs that it is in
    assert first.most_common(1)[0][0] == "0"


def test_three_are_tried_at_most_each_of_them_once() -> None:
    order = order_names(Balancer(), *(Agent(str(number)) for number in range(10)))

    assert MAX_TRIES == 3
    assert len(set(order)) == 3


def test_a_session_that_goes_away_is_not_tried() -> None:
    assert order_names(Balancer(), Agent("leaving", going_away=True), Agent("a", 9)) == ["a"]


def test_a_silent_session_comes_last_after_one_that_failed() -> None:
    balance = Balancer()
    balance.record_failure(WEB, b"failed", now=0.0)

    order = order_names(
        balance, Agent("silent", is_silent=True), Agent("failed"), Agent("busy", 100)
    )

    assert order == ["busy", "failed", "silent"]


def test_a_session_that_failed_cools_down_for_a_moment_only() -> None:
    balance = Balancer()
    balance.record_failure(WEB, b"a", now=10.0)

    assert order_names(balance, Agent("a"), Agent("b", 9), now=10.0 + FIRST_PAUSE_S / 2) == [
        "b",
        "a",
    ]
    assert order_names(balance, Agent("a"), Agent("b", 9), now=10.0 + FIRST_PAUSE_S) == ["a", "b"]


def test_a_failure_for_one_service_says_nothing_of_another() -> None:
    balance = Balancer()
    balance.record_failure(SSH, b"a", now=0.0)

    assert order_names(balance, Agent("a"), Agent("b", 9)) == ["a", "b"]


def measure_pauses(balance: Balancer, count: int) -> list[float]:
    """The lengths of pauses when each retry fails as soon as it may be made."""
    found, now = [], 0.0
    for _ in range(count):
        balance.record_failure(WEB, b"a", now=now)
        start = now
        while order_names(balance, Agent("a"), Agent("b", 9), now=now)[0] == "b":
            now += FIRST_PAUSE_S
        found.append(now - start)
    return found


def test_the_pause_doubles_with_each_failure_in_a_row_up_to_its_limit() -> None:
    assert measure_pauses(Balancer(), 9) == [
        0.5,
        1,
        2,
        4,
        8,
        16,
        MAX_PAUSE_S,
        MAX_PAUSE_S,
        MAX_PAUSE_S,
    ]


def test_failures_of_clients_that_were_under_way_together_count_once() -> None:
    balance = Balancer()
    for _ in range(50):
        balance.record_failure(WEB, b"a", now=0.0)

    assert order_names(balance, Agent("a"), Agent("b", 9), now=FIRST_PAUSE_S) == ["a", "b"]


def test_success_ends_the_pause_and_starts_the_next_from_the_beginning() -> None:
    balance = Balancer()
    assert measure_pauses(balance, 3)[-1] == 2

    balance.record_failure(WEB, b"a", now=100.0)
    balance.record_success(WEB, b"a")

    assert order_names(balance, Agent("a"), Agent("b", 9), now=100.0) == ["a", "b"]
    assert measure_pauses(balance, 1) == [FIRST_PAUSE_S]


def test_success_for_one_service_leaves_the_other_cooling_down() -> None:
    balance = Balancer()
    balance.record_failure(WEB, b"a", now=0.0)
    balance.record_success(SSH, b"a")
    balance.record_success(SSH, b"unheard of")

    assert order_names(balance, Agent("a"), Agent("b", 9)) == ["b", "a"]


def test_a_session_that_ended_is_forgotten() -> None:
    balance = Balancer()
    balance.record_failure(WEB, b"a", now=0.0)
    balance.forget(b"a")
    balance.forget(b"a")

    assert order_names(balance, Agent("a"), Agent("b", 9)) == ["a", "b"]


agents = st.lists(
    st.builds(Agent, st.uuids().map(str), st.integers(0, 9), st.booleans(), st.booleans())
)


@given(agents, st.randoms(use_true_random=False), st.data())
def test_any_order_has_healthy_sessions_first_and_no_session_twice(
    candidates: list[Agent], random: Random, data: st.DataObject
) -> None:
    balance = Balancer()
    failed = {agent.name for agent in candidates if data.draw(st.booleans())}
    for name in failed:
        balance.record_failure(WEB, name.encode(), now=0.0)
    order = balance.order(WEB, candidates, now=0.0, draw=random.randrange)

    usable = [agent for agent in candidates if not agent.going_away]
    rank = {agent.name: 2 if agent.is_silent else agent.name in failed for agent in usable}
    assert [rank[agent.name] for agent in order] == sorted(rank.values())[:MAX_TRIES]
    assert len({agent.name for agent in order}) == len(order)
