"""Rules of invites."""

import pytest

from towonel.hub.core.invites import (
    check_invite,
    expiry_ms,
    invite_state,
    is_serving_over,
    parse_patterns,
)
from towonel.wire.errors import Code, Denied

NOW = 1_000_000


def check(expires_at_ms: int | None, *, revoked: bool = False, matches: bool = True) -> None:
    check_invite(
        secret_matches=matches, is_revoked=revoked, expires_at_ms=expires_at_ms, now_ms=NOW
    )


def code(expires_at_ms: int | None, *, revoked: bool = False, matches: bool = True) -> Code:
    with pytest.raises(Denied) as caught:
        check(expires_at_ms, revoked=revoked, matches=matches)
    return caught.value.code


def test_hostnames_are_taken_once_each_in_lower_case_and_in_order() -> None:
    assert parse_patterns([" B.eu ", "*.a.eu", "b.eu"]) == ("b.eu", "*.a.eu")


def test_every_broken_hostname_is_told() -> None:
    with pytest.raises(Denied) as caught:
        parse_patterns(["ok.eu", "single", "a b.eu"])

    assert caught.value.code is Code.INVALID_REQUEST
    assert "single" in caught.value.detail
    assert "a b.eu" in caught.value.detail


def test_no_expiry_and_0_mean_never() -> None:
    assert expiry_ms(None, NOW) is None
    assert expiry_ms(0, NOW) is None
    assert expiry_ms(2, NOW) == NOW + 2000


def test_an_invite_counts_until_its_last_millisecond() -> None:
    check(None)
    check(NOW + 1)

    assert code(NOW) is Code.INVITE_EXPIRED


def test_a_wrong_secret_and_a_revoked_invite_cannot_be_told_apart() -> None:
    assert code(None, revoked=True) is Code.UNAUTHORIZED
    assert code(None, matches=False) is Code.UNAUTHORIZED
    assert code(NOW - 1, matches=False) is Code.UNAUTHORIZED
    assert code(NOW - 1, revoked=True) is Code.UNAUTHORIZED


@pytest.mark.parametrize(
    ("revoked", "ended", "expires", "used", "state"),
    [
        (False, False, None, None, "pending"),
        (False, False, 1_001, None, "pending"),
        (False, False, 1_001, 5, "used"),
        (False, False, 1_000, 5, "expired"),
        (False, False, 1_000, None, "expired"),
        (False, True, None, 5, "ended"),
        (False, True, 1_000, 5, "ended"),
        (True, True, 1_000, 5, "revoked"),
    ],
)
def test_the_state_of_an_invite_is_what_can_still_be_done_with_it(
    revoked: bool, ended: bool, expires: int | None, used: int | None, state: str
) -> None:
    found = invite_state(
        is_revoked=revoked, has_ended=ended, expires_at_ms=expires, used_at_ms=used, now_ms=1_000
    )

    assert found == state


def test_a_tenant_is_served_until_its_last_millisecond() -> None:
    assert not is_serving_over(None, NOW)
    assert not is_serving_over(NOW + 1, NOW)
    assert is_serving_over(NOW, NOW)
