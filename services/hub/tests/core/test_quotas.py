"""How much a tenant may have."""

from dataclasses import replace

import pytest

from towonel.hub.core.current_state import CurrentState
from towonel.hub.core.desired_state import check_quotas
from towonel.hub.core.quotas import (
    GRANTS_PER_AGENT,
    Quotas,
    check_agents,
    check_grants,
    check_quota,
)
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, TlsMode

A = TenantId(b"a" * 32)
WEB = Route(ServiceKind.HTTPS, "a.eu", A, None, TlsMode.PASSTHROUGH)
SSH, DNS = Route(ServiceKind.TCP, "ssh", A, 2222), Route(ServiceKind.UDP, "dns", A, 2222)


def refusal(wanted: list[Route], siblings: set[str], most: Quotas) -> Denied:
    with pytest.raises(Denied) as caught:
        check_quotas(wanted, current(siblings), most)
    return caught.value


def current(siblings: set[str]) -> CurrentState:
    return CurrentState(own={}, siblings=siblings, tenants={}, owners={})


def test_a_quota_is_what_may_be_had_and_one_more_is_refused_with_both_numbers() -> None:
    check_quota("ports", 10, 10)
    with pytest.raises(Denied) as caught:
        check_quota("ports", 11, 10)

    assert caught.value.code is Code.QUOTA_EXCEEDED
    assert "ports: 11 are wanted, and this tenant may have 10" in caught.value.detail


def test_a_tenant_starts_ten_times_as_many_agents_in_a_day_as_may_run() -> None:
    most = 3 * GRANTS_PER_AGENT
    check_grants(most - 1, 3)
    with pytest.raises(Unavailable) as caught:
        check_grants(most, 3)

    assert GRANTS_PER_AGENT == 10
    assert caught.value.code is Code.RATE_LIMITED
    assert "30 were started" in caught.value.detail


def test_a_quota_of_0_allows_none() -> None:
    check_quota("ports", 0, 0)
    with pytest.raises(Denied):
        check_quota("ports", 1, 0)


def test_one_more_agent_may_run_until_the_quota_is_reached() -> None:
    check_agents(1, 2)
    with pytest.raises(Unavailable) as caught:
        check_agents(2, 2)

    assert caught.value.code is Code.RATE_LIMITED
    assert caught.value.retry_after_s == 5
    assert "agents: 2 run, and this tenant may run 2" in caught.value.detail


def test_services_of_all_groups_count_and_one_that_two_publish_counts_once() -> None:
    check_quotas([WEB, SSH], current({"https:a.eu"}), Quotas(services=2))

    refused = refusal([WEB, SSH], {"https:b.eu"}, Quotas(services=2))
    assert refused.code is Code.QUOTA_EXCEEDED
    assert "services: 3" in refused.detail


def test_groups_that_publish_nothing_do_not_count() -> None:
    others = {f"g{number}": 1 for number in range(32)}
    check_quotas([], grouped(others), Quotas())
    check_quotas([WEB], grouped({"a": 1}), Quotas(groups=2))
    with pytest.raises(
        Denied, match="groups: 33 are wanted, and this tenant may have 32"
    ) as caught:
        check_quotas([WEB], grouped(others), Quotas())

    assert "TOWONEL_HUB_QUOTA_GROUPS" in caught.value.detail


def test_a_service_that_many_groups_publish_counts_once_in_each() -> None:
    check_quotas([WEB, SSH], grouped({"a": 2, "b": 1}), Quotas(group_services=5))
    with pytest.raises(Denied, match="together publish 5, and may publish 4") as caught:
        check_quotas([WEB, SSH], grouped({"a": 2, "b": 1}), Quotas(group_services=4))

    assert "TOWONEL_HUB_QUOTA_GROUP_SERVICES" in caught.value.detail


def test_a_group_that_stays_as_large_is_kept_above_lowered_quotas() -> None:
    there = replace(grouped({"a": 9}), own={WEB.key: WEB, SSH.key: SSH})
    for wanted in ([WEB, SSH], [WEB, DNS], [WEB], []):
        check_quotas(wanted, there, Quotas(groups=1, group_services=1))


def grouped(groups: dict[str, int]) -> CurrentState:
    return replace(current(set()), groups=groups)


def test_only_services_with_a_port_count_as_ports_each_protocol_for_itself() -> None:
    check_quotas([WEB, SSH, DNS], current({"https:b.eu"}), Quotas(ports=2))

    assert "ports: 2" in refusal([WEB, SSH, DNS], set(), Quotas(ports=1)).detail
    assert "ports: 3" in refusal([SSH, DNS], {"tcp:2223"}, Quotas(ports=2)).detail


def test_each_port_of_a_range_counts() -> None:
    game = replace(SSH, name="game", port=10, last_port=19)

    check_quotas([game, DNS], current({"udp:20-22"}), Quotas(ports=14, services=3))
    assert "ports: 14" in refusal([game, DNS], {"udp:20-22"}, Quotas(ports=13)).detail


def test_who_is_above_a_lowered_limit_keeps_what_it_has_or_gives_some_up() -> None:
    own = {route.key: route for route in (WEB, SSH, DNS)}
    there = CurrentState(own=own, siblings={"tcp:1"}, tenants={}, owners={})
    for wanted in ([WEB, SSH, DNS], [SSH, DNS], [WEB], []):
        check_quotas(wanted, there, Quotas(services=1, ports=0))
    with pytest.raises(Denied, match="services: 5"):
        check_quotas([WEB, SSH, DNS, replace(WEB, name="b.eu")], there, Quotas(services=4))
    with pytest.raises(Denied, match="ports: 4"):
        check_quotas([SSH, DNS, replace(SSH, port=5)], there, Quotas(services=4, ports=3))
