"""Roles, tenants' own keys, and when an API key counts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.hub.core.access import (
    KEY_ID_BYTES,
    KEY_SECRET_BYTES,
    KeyState,
    Presented,
    Principal,
    Role,
)
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId

A, B = TenantId(b"a" * 32), TenantId(b"b" * 32)
NOW = 1_000_000
NEW, OLD, WRONG = b"n" * 32, b"o" * 32, b"w" * 32
KEY = KeyState(NEW, None, None, None, revoked=False)


@pytest.mark.parametrize("needed", Role)
@pytest.mark.parametrize("held", Role)
def test_a_role_may_do_all_that_those_below_it_may(held: Role, needed: Role) -> None:
    principal = Principal("key:1", held)
    if held >= needed:
        principal.require(needed)
        return
    with pytest.raises(Denied, match=f"needs the role {needed.name.lower()}") as caught:
        principal.require(needed)
    assert caught.value.code is Code.FORBIDDEN


def test_a_key_of_one_tenant_sees_that_one_and_may_not_ask_for_all() -> None:
    principal = Principal("key:1", Role.OPERATOR, A)
    with pytest.raises(Denied) as caught:
        principal.require_all_tenants()

    assert caught.value.code is Code.FORBIDDEN
    assert principal.may_see(A)
    assert not principal.may_see(B)


def test_a_key_of_no_tenant_sees_them_all() -> None:
    principal = Principal("key:1", Role.VIEWER)
    principal.require_all_tenants()

    assert principal.may_see(A)
    assert principal.may_see(B)


def test_a_list_is_of_the_keys_tenant_and_of_no_other() -> None:
    bound, free = Principal("key:1", Role.VIEWER, A), Principal("key:2", Role.VIEWER)
    with pytest.raises(Denied) as caught:
        bound.scope(B)

    assert caught.value.code is Code.FORBIDDEN
    assert bound.scope(None) == bound.scope(A) == free.scope(A) == A
    assert free.scope(None) is None


@pytest.mark.parametrize("role", Role)
def test_the_audit_log_is_for_operators_of_all_tenants(role: Role) -> None:
    assert Principal("key:1", role).reads_audit == (role is not Role.VIEWER)
    assert not Principal("key:1", role, A).reads_audit


@given(
    st.binary(min_size=KEY_ID_BYTES, max_size=KEY_ID_BYTES),
    st.binary(min_size=KEY_SECRET_BYTES, max_size=KEY_SECRET_BYTES),
)
def test_a_key_is_read_as_it_was_written(key_id: bytes, secret: bytes) -> None:
    key = Presented(key_id, secret)

    assert Presented.parse(key.encode()) == key


@pytest.mark.parametrize(
    "text",
    [
        "tt_key_1_",
        "tt_key_1_.",
        "tt_key_1_AAAAAAAAAAA",
        f"tt_key_1_AAAAAAAAAAA.{'A' * 42}",
        f"tt_key_1_AAAAAAAAAAA.{'A' * 44}",
        f"tt_key_1_AAAAAAAAAAA.{'A' * 42}B",  # not the shortest form of its last bits
        f"tt_key_1_AAAAAAAAAAA.{'A' * 43}.A",
        f"tt_key_1_AAAAAAAAAA.{'A' * 43}",
        f"tt_key_1_AAAAAAAAAA=.{'A' * 43}",
        f"tt_key_1_é.{'A' * 43}",
    ],
)
def test_a_text_of_another_form_is_no_key_and_is_not_repeated(text: str) -> None:
    with pytest.raises(Denied) as caught:
        Presented.parse(text)

    assert caught.value.code is Code.UNAUTHORIZED
    assert "AAAA" not in caught.value.detail


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    try:
        key = Presented.parse(f"tt_key_1_{text}")
    except Denied as error:
        assert error.code is Code.UNAUTHORIZED
    else:
        assert key.encode() == f"tt_key_1_{text}"


def test_only_its_own_secret_opens_a_key() -> None:
    assert KEY.matches(NEW, NOW)
    assert not KEY.matches(WRONG, NOW)
    assert not KEY.matches(bytes(32), NOW)  # what stands in for the secret before it, where none is


def test_after_a_rotation_both_secrets_count_until_the_old_one_is_over() -> None:
    rotated = replace(KEY, old_secret_hash=OLD, old_until_ms=NOW)

    assert rotated.matches(OLD, NOW - 1)
    assert rotated.matches(NEW, NOW - 1)
    assert not rotated.matches(WRONG, NOW - 1)
    assert not rotated.matches(OLD, NOW)
    assert rotated.matches(NEW, NOW)


def test_an_old_secret_without_an_end_does_not_count() -> None:
    assert not replace(KEY, old_secret_hash=OLD).matches(OLD, NOW)


def test_a_key_counts_until_its_last_millisecond() -> None:
    ending = replace(KEY, expires_at_ms=NOW, old_secret_hash=OLD, old_until_ms=NOW + 9)

    assert ending.matches(NEW, NOW - 1)
    assert ending.counts(NOW - 1)
    assert not ending.counts(NOW)
    assert not ending.matches(NEW, NOW)
    assert not ending.matches(OLD, NOW)


def test_a_revoked_key_opens_nothing_with_either_secret() -> None:
    revoked = replace(KEY, revoked=True, old_secret_hash=OLD, old_until_ms=NOW + 9)

    assert not revoked.counts(NOW)
    assert not revoked.matches(NEW, NOW)
    assert not revoked.matches(OLD, NOW)
