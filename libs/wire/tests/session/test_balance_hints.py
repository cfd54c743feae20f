"""Hints for load balancers: what a session says of them, and how they follow an agent's services."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire.cbor import Fields
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import (
    DEFAULT_WEIGHT,
    MAX_WEIGHT,
    BalanceHints,
    Hints,
    pack,
    read_hints,
    unpack,
    write_hints,
)

KEYS = [ServiceKey(kind, f"n{number}.eu") for kind in ServiceKind for number in range(5)]
A, B, C = KEYS[:3]
some = st.frozensets(st.sampled_from(KEYS))


@given(some, some, some, st.integers(0, MAX_WEIGHT))
def test_hints_about_an_agents_own_services_come_out_as_they_went_in(
    services: frozenset[ServiceKey],
    failing: frozenset[ServiceKey],
    sticky: frozenset[ServiceKey],
    weight: int,
) -> None:
    hints = BalanceHints(weight, failing, sticky)
    message = read_hints(Fields.of(write_hints(pack(hints, services))))

    assert unpack(message, services) == hints.keep(services)


def test_the_first_service_is_the_lowest_bit_of_the_first_byte() -> None:
    services = [
        ServiceKey(ServiceKind.UDP, "a"),
        ServiceKey(ServiceKind.HTTPS, "b.eu"),
        *KEYS[5:14],
    ]

    assert min(services) == ServiceKey(ServiceKind.HTTPS, "b.eu")
    assert pack(BalanceHints(7, frozenset(services[1:2])), services) == Hints(7, b"\x01", b"")
    assert pack(BalanceHints(7, sticky=frozenset({A})), [A, *KEYS[5:14]]).sticky == b"\x01"
    last = frozenset({max(services)})
    assert pack(BalanceHints(7, sticky=last), services).sticky == b"\x00\x04"


def test_hints_are_written_whole() -> None:
    assert write_hints(Hints(7, b"\x01")) == {"weight": 7, "failing": b"\x01", "sticky": b""}


def test_bits_behind_the_services_say_nothing() -> None:
    assert unpack(Hints(0, b"\xff", b"\xfe"), [A, B]) == BalanceHints(
        0, frozenset({A, B}), frozenset({B})
    )


def test_what_is_left_out_is_as_of_an_agent_without_hints() -> None:
    assert read_hints(Fields({})) == Hints() == pack(BalanceHints(), KEYS)
    assert BalanceHints().weight == DEFAULT_WEIGHT


@pytest.mark.parametrize(
    "fields", [{"weight": MAX_WEIGHT + 1}, {"weight": -1}, {"failing": bytes(126)}, {"sticky": 1}]
)
def test_hints_that_break_a_rule_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_hints(Fields(fields))

    assert caught.value.code is Code.MALFORMED


def test_services_are_marked_and_unmarked() -> None:
    hints = BalanceHints(5, frozenset({A}), frozenset({B}))

    assert hints.mark([B], failing=True, sticky=False) == BalanceHints(5, frozenset({A, B}))
    assert hints.mark([A], failing=False, sticky=True) == BalanceHints(
        5, frozenset(), frozenset({A, B})
    )
    assert hints.find_marked_anew(hints.mark([C], failing=True, sticky=True)) == {C}
    assert hints.find_marked_anew(BalanceHints(9)) == {A, B}


def test_services_are_split_by_their_marks() -> None:
    hints = BalanceHints(failing=frozenset({A, B}), sticky=frozenset({B}))

    assert hints.split([A, B, C]) == {(True, False): [A], (True, True): [B], (False, False): [C]}
