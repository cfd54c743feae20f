"""Roles, tenants' own keys, and when an API key counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.hub.core.access import (
    KEY_ID_BYTES,
    KEY_SECRET_BYTES,
    ApiKey,
    Principal,
    Role,
    current_name,
    key_name,
    key_status,
    old_key_name,
    secret_matches,
)
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId

A, B = TenantId(b"a" * 32), TenantId(b"b" * 32)
NOW = 1_000_000
NEW, OLD, WRONG = b"n" * 32, b"o" * 32, b"w" * 32


def opens(
    presented: bytes, now_ms: int, old: bytes | None = None, until: int | None = None
) -> bool:
    return secret_matches(
        presented, now_ms, secret_hash=NEW, old_secret_hash=old, old_until_ms=until
    )


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
    assert Principal("key:1", role).may_read_audit == (role is not Role.VIEWER)
    assert not Principal("key:1", role, A).may_read_audit


@pytest.mark.branches
@given(
    st.binary(min_size=KEY_ID_BYTES, max_size=KEY_ID_BYTES),
    st.binary(min_size=KEY_SECRET_BYTES, max_size=KEY_SECRET_BYTES),
)
def test_a_key_is_read_as_it_was_written(key_id: bytes, secret: bytes) -> None:
    key = ApiKey(key_id, secret)

    assert ApiKey.parse(key.encode()) == key


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
        ApiKey.parse(text)

    assert caught.value.code is Code.UNAUTHORIZED
    assert "AAAA" not in caught.value.detail


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    try:
        key = ApiKey.parse(f"tt_key_1_{text}")
    except Denied as error:
        assert error.code is Code.UNAUTHORIZED
    else:
        assert key.encode() == f"tt_key_1_{text}"


def test_only_its_own_secret_opens_a_key() -> None:
    assert opens(NEW, NOW)
    assert not opens(WRONG, NOW)
    assert not opens(bytes(32), NOW)  # the placeholder of a missing old secret


def test_after_a_rotation_both_secrets_count_until_the_old_one_is_over() -> None:
    assert opens(OLD, NOW - 1, OLD, NOW)
    assert opens(NEW, NOW - 1, OLD, NOW)
    assert not opens(WRONG, NOW - 1, OLD, NOW)
    assert not opens(OLD, NOW, OLD, NOW)
    assert opens(NEW, NOW, OLD, NOW)


def test_an_old_secret_without_an_end_does_not_count() -> None:
    assert not opens(OLD, NOW, OLD)


def test_a_key_counts_until_its_last_millisecond() -> None:
    assert key_status(revoked=False, expires_at_ms=None, now_ms=NOW) == "active"
    assert key_status(revoked=False, expires_at_ms=NOW, now_ms=NOW - 1) == "active"
    assert key_status(revoked=False, expires_at_ms=NOW, now_ms=NOW) == "expired"


def test_a_revoked_key_is_revoked_whenever_it_expires() -> None:
    assert key_status(revoked=True, expires_at_ms=None, now_ms=NOW) == "revoked"
    assert key_status(revoked=True, expires_at_ms=NOW - 1, now_ms=NOW) == "revoked"


@pytest.mark.branches
@given(st.binary(min_size=KEY_ID_BYTES, max_size=KEY_ID_BYTES))
def test_an_actor_of_an_earlier_hub_is_the_same_key(key_id: bytes) -> None:
    old = f"key:{key_id.hex()}"

    assert old_key_name(key_name(key_id)) == old
    assert current_name(old) == key_name(key_id)


@pytest.mark.parametrize(
    "name", ["operator", "key:", "key:AA", "key:not base64", "AAAAAAAAAAA", f"tenant:{'ab' * 8}"]
)
def test_an_actor_that_is_no_key_has_one_name(name: str) -> None:
    assert old_key_name(name) == current_name(name) == name
