"""Rates of new connections of tenants."""

import pytest
from support.limits import share_limits

from towonel.edge.core.connection_rates import ConnectionRates
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)


def admitted(rates: ConnectionRates, tries: int, now: float, tenant: TenantId = ALICE) -> int:
    count = 0
    for _ in range(tries):
        try:
            rates.take(tenant, now)
        except Denied as denied:
            assert denied.code is Code.RATE_LIMITED
        else:
            count += 1
    return count


def test_a_tenant_gets_a_seconds_worth_at_once_and_then_so_many_a_second() -> None:
    rates = ConnectionRates(*share_limits())
    rates.change(ALICE, 5, now=100.0)

    assert admitted(rates, 9, now=100.0) == 5
    assert admitted(rates, 9, now=100.4) == 2
    assert admitted(rates, 9, now=200.0) == 5
    assert admitted(rates, 99, now=200.0, tenant=BOB) == 99


def test_a_refusal_names_the_tenant_and_its_limit() -> None:
    rates = ConnectionRates(*share_limits())
    rates.change(ALICE, 1, now=100.0)
    rates.take(ALICE, 100.0)

    with pytest.raises(Denied, match=f"tenant {ALICE.hex()} may have 1 new connections a second"):
        rates.take(ALICE, 100.0)


def test_a_limit_changes_and_goes_while_clients_come() -> None:
    rates = ConnectionRates(*share_limits())
    rates.change(ALICE, 5, now=100.0)
    assert admitted(rates, 9, now=100.0) == 5

    rates.change(ALICE, 48, now=100.0)
    assert admitted(rates, 99, now=100.125) == 6
    rates.change(ALICE, None, now=100.125)
    assert admitted(rates, 99, now=100.125) == 99
    rates.change(BOB, None, now=100.125)


def test_processes_keep_a_limit_together() -> None:
    one, two = map(ConnectionRates, share_limits(2))
    for rates in (one, two):
        rates.change(ALICE, 10, now=100.0)

    passed = admitted(one, 7, now=100.0) + admitted(two, 9, now=100.001)

    assert passed == 10
    assert admitted(one, 9, now=101.001) + admitted(two, 9, now=101.002) == 10
