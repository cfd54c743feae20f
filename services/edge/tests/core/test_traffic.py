"""Tallies of tenants and services: what counts, who is forgotten, and that the sum never goes back."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.traffic import RETENTION_S, Tally, Traffic
from towonel.wire.ids import TenantId

ONE, OTHER, THIRD = (TenantId(letter * 32) for letter in (b"a", b"b", b"c"))
WEB, SSH = "https:app.example.eu", "tcp:ssh"


def fetch_page(
    traffic: Traffic, tenant_id: TenantId, bytes_in: int = 1, bytes_out: int = 2
) -> None:
    with traffic.connection((tenant_id, WEB)) as tallies:
        for tally in tallies:
            tally.bytes_in += bytes_in
            tally.bytes_out += bytes_out


def figures(traffic: Traffic) -> tuple[int, int, int, int]:
    total = traffic.total()
    return (
        total.connections_active,
        total.connections_total,
        total.bytes_in,
        total.bytes_out,
    )


def test_a_connection_counts_while_it_is_open_and_its_bytes_as_they_pass() -> None:
    traffic = Traffic()
    fetch_page(traffic, ONE)
    with (
        traffic.connection((ONE, WEB)) as (first, _),
        traffic.connection((ONE, SSH)) as (second, _),
    ):
        first.bytes_out += 10
        second.bytes_in += 20

        assert first is second
        assert list(traffic.tenants(9)) == [ONE]
        assert figures(traffic) == (2, 3, 21, 12)

    assert figures(traffic) == (0, 3, 21, 12)
    assert traffic.tenants(9)[ONE].connections_total == 3


def test_a_connection_that_ends_badly_ends_all_the_same() -> None:
    traffic = Traffic()
    with contextlib.suppress(KeyError), traffic.connection((ONE, WEB)):
        raise KeyError

    assert figures(traffic) == (0, 1, 0, 0)


def test_who_has_connections_comes_first_and_then_who_had_them_last() -> None:
    traffic = Traffic()
    for tenant_id in (ONE, OTHER):
        fetch_page(traffic, tenant_id)
    with traffic.connection((THIRD, WEB)):
        assert list(traffic.tenants(9)) == [THIRD, OTHER, ONE]
        assert list(traffic.tenants(2)) == [THIRD, OTHER]
        fetch_page(traffic, ONE)
        assert list(traffic.tenants(9)) == [THIRD, ONE, OTHER]


def test_a_tenant_is_forgotten_an_hour_after_it_was_found_of_use() -> None:
    traffic = Traffic()
    fetch_page(traffic, ONE)
    fetch_page(traffic, OTHER)
    traffic.sweep((), 100)
    traffic.sweep((OTHER,), 200)
    traffic.sweep((), 100 + RETENTION_S - 1)
    assert len(traffic.tenants(9)) == 2

    traffic.sweep((), 100 + RETENTION_S)
    assert list(traffic.tenants(9)) == [OTHER]
    traffic.sweep((), 200 + RETENTION_S)
    assert traffic.tenants(9) == {}
    assert figures(traffic) == (0, 2, 2, 4)


def test_a_new_connection_starts_the_hour_again_and_an_open_one_is_kept_for_ever() -> None:
    traffic = Traffic()
    fetch_page(traffic, ONE)
    traffic.sweep((), 0)
    with traffic.connection((ONE, WEB)):
        traffic.sweep((), 10 * RETENTION_S)
        assert list(traffic.tenants(9)) == [ONE]
    traffic.sweep((), 20 * RETENTION_S)
    traffic.sweep((), 21 * RETENTION_S - 1)

    assert list(traffic.tenants(9)) == [ONE]


def test_of_too_many_quiet_tenants_the_longest_quiet_is_forgotten() -> None:
    traffic = Traffic(max_quiet=2)
    for tenant_id in (ONE, OTHER, ONE, THIRD):
        fetch_page(traffic, tenant_id)

    assert list(traffic.tenants(9)) == [THIRD, ONE]
    assert figures(traffic) == (0, 4, 4, 8)


@given(st.lists(st.tuples(st.sampled_from([ONE, OTHER, THIRD]), st.integers(0, 9)), max_size=30))
def test_the_sum_counts_everybody_whoever_is_forgotten(fetches: list[tuple[TenantId, int]]) -> None:
    traffic = Traffic(max_quiet=1)
    for at, (tenant_id, count) in enumerate(fetches):
        fetch_page(traffic, tenant_id, count, 2 * count)
        traffic.sweep((ONE,), at * RETENTION_S / 2)

    carried = sum(count for _, count in fetches)
    assert figures(traffic) == (0, len(fetches), carried, 2 * carried)
    assert len(traffic.tenants(9)) <= 1


def test_each_service_counts_for_itself_and_all_of_them_for_their_tenant() -> None:
    traffic = Traffic()
    with traffic.connection((ONE, WEB)) as (_, web), traffic.connection((ONE, SSH)):
        web.bytes_in += 5
        traffic.add((OTHER, WEB), began=2, bytes_out=7)

        assert traffic.services(9) == {
            (ONE, WEB): Tally(1, 1, 5, 0),
            (ONE, SSH): Tally(1, 1, 0, 0),
            (OTHER, WEB): Tally(2, 2, 0, 7),
        }
        assert traffic.tenants(9)[ONE].connections_active == 2
        assert list(traffic.services(1)) == [(ONE, WEB)]


def test_a_service_is_kept_while_its_tenant_has_an_agent() -> None:
    traffic = Traffic()
    fetch_page(traffic, ONE)
    fetch_page(traffic, OTHER)
    traffic.sweep((ONE,), 0)
    traffic.sweep((ONE,), RETENTION_S)

    assert list(traffic.services(9)) == [(ONE, WEB)]
