"""How much a tenant may have."""

from dataclasses import replace

import pytest

from towonel.hub.core.desired_state import CurrentState, check_quotas
from towonel.hub.core.quotas import Quotas, check_agents, check_quota
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


def test_a_quota_of_0_allows_none() -> None:
    check_quota("ports", 0, 0)
    with pytest.raises(Denied):
        check_quota("ports", 1, 0)


def test_one_more_agent_may_run_until_the_quota_is_reached() -> None:
    check_agents(1, 2)
    with pytest.raises(Unavailable) as caught:
        check_agents(2, 2)

    assert caught.value.code is Code.RATE_LIMITED
    assert caught.value.retry_after_s == 10
    assert "agents: 2 run, and this tenant may run 2" in caught.value.detail


def test_services_of_all_groups_count_and_one_that_two_publish_counts_once() -> None:
    check_quotas([WEB, SSH], current({"https:a.eu"}), Quotas(services=2))

    refused = refusal([WEB, SSH], {"https:b.eu"}, Quotas(services=2))
    assert refused.code is Code.QUOTA_EXCEEDED
    assert "services: 3" in refused.detail


def test_only_services_with_a_port_count_as_ports_each_protocol_for_itself() -> None:
    check_quotas([WEB, SSH, DNS], current({"https:b.eu"}), Quotas(ports=2))

    assert "ports: 2" in refusal([WEB, SSH, DNS], set(), Quotas(ports=1)).detail
    assert "ports: 3" in refusal([SSH, DNS], {"tcp:2223"}, Quotas(ports=2)).detail


def test_who_is_above_a_lowered_limit_keeps_what_it_has_or_gives_some_up() -> None:
    own = {route.key: route for route in (WEB, SSH, DNS)}
    there = CurrentState(own=own, siblings={"tcp:1"}, tenants={}, owners={})
    for wanted in ([WEB, SSH, DNS], [SSH, DNS], [WEB], []):
        check_quotas(wanted, there, Quotas(services=1, ports=0))
    with pytest.raises(Denied, match="services: 5"):
        check_quotas([WEB, SSH, DNS, replace(WEB, name="b.eu")], there, Quotas(services=4))
    with pytest.raises(Denied, match="ports: 4"):
        check_quotas([SSH, DNS, replace(SSH, port=5)], there, Quotas(services=4, ports=3))
