"""Limits of tenants, as edges get them."""

import pytest

from towonel.wire.ids import TenantId
from towonel.wire.policy.tenant_limits import (
    NO_LIMITS,
    TenantLimits,
    decode_limits,
    encode_limits,
)

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)


def test_only_limits_that_there_are_travel() -> None:
    limits = {ALICE: TenantLimits(connections=9, bandwidth=10_000_000), BOB: NO_LIMITS}

    items = encode_limits(limits)

    assert items == [
        {"tenant": ALICE, "connections": 9, "bandwidth": 10_000_000},
        {"tenant": BOB},
    ]
    assert decode_limits(items) == limits


def test_limits_of_a_newer_hub_are_left_out() -> None:
    assert decode_limits([{"tenant": ALICE, "requests": 5}]) == {ALICE: NO_LIMITS}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [(NO_LIMITS, False), (TenantLimits(), False), (TenantLimits(connection_rate=0), True)],
)
def test_limits_are_true_where_there_is_one(limits: TenantLimits, *, expected: bool) -> None:
    assert bool(limits) is expected
