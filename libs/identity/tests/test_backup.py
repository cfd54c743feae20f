"""Encryption under a passphrase: the original's form of a key, and sealed files."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import vectors

from towonel.identity import backup
from towonel.identity.backup import export_key, import_key, seal, unseal
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError

VECTOR = vectors.load("backup")
PASSPHRASE, KEY = VECTOR["passphrase"], VECTOR["key"]
SALT, NONCE, SEED, FILE, SEALED = (
    bytes.fromhex(VECTOR[name]) for name in ("salt", "nonce", "seed", "file", "sealed")
)
PREFIX = "towonel-key-v1:"


def test_a_key_has_the_text_of_the_original() -> None:
    assert export_key(SEED, PASSPHRASE, salt=SALT, nonce=NONCE) == KEY
    assert import_key(f"  {KEY}\n", PASSPHRASE) == SEED


def test_a_sealed_file_has_the_bytes_of_the_vector() -> None:
    assert seal(FILE, PASSPHRASE, salt=SALT, nonce=NONCE) == SEALED
    assert unseal(SEALED, PASSPHRASE) == FILE


@settings(max_examples=15, deadline=None)  # Argon2 is slow by design
@given(st.binary(max_size=300), st.text(max_size=20), st.binary(min_size=28, max_size=28))
def test_what_is_sealed_opens_to_the_same(data: bytes, passphrase: str, random: bytes) -> None:
    sealed = seal(data, passphrase, salt=random[:16], nonce=random[16:])

    assert unseal(sealed, passphrase) == data


@pytest.mark.parametrize("passphrase", ["", "other", PASSPHRASE + " ", PASSPHRASE.upper()])
def test_a_wrong_passphrase_opens_nothing_and_is_not_shown(passphrase: str) -> None:
    with pytest.raises(Denied) as of_key:
        import_key(KEY, passphrase)
    with pytest.raises(Denied) as of_file:
        unseal(SEALED, passphrase)

    assert of_key.value.code is of_file.value.code is Code.UNAUTHORIZED
    assert str(of_key.value) == "unauthorized: another passphrase, or changed since"


@settings(max_examples=15, deadline=None)  # Argon2 is slow by design
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, change: int) -> None:
    sealed, key = bytearray(SEALED), bytearray(base64url.decode(KEY.removeprefix(PREFIX)))
    sealed[at % len(sealed)] ^= change
    key[at % len(key)] ^= change

    with pytest.raises((Denied, ProtocolError)):
        unseal(bytes(sealed), PASSPHRASE)
    with pytest.raises(Denied):
        import_key(PREFIX + base64url.encode(bytes(key)), PASSPHRASE)


@pytest.mark.parametrize(
    "text", ["", "towonel-key-v2:" + KEY, PREFIX, KEY + "AAAA", KEY[:-2], KEY + "=", PREFIX + "ü"]
)
def test_anything_but_a_backup_of_a_key_is_refused_untried(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        import_key(text, PASSPHRASE)

    assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize("sealed", [b"", b"PK\x03\x04" + bytes(100), SEALED[: 18 + 43]])
def test_anything_but_a_sealed_file_is_refused_untried(sealed: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        unseal(sealed, PASSPHRASE)

    assert caught.value.code is Code.MALFORMED


def test_an_empty_file_and_a_cut_one_are_told_apart() -> None:
    empty = seal(b"", PASSPHRASE, salt=SALT, nonce=NONCE)

    assert len(empty) == 18 + 44
    assert unseal(empty, PASSPHRASE) == b""
    with pytest.raises(Denied):
        unseal(SEALED[:-1], PASSPHRASE)


def test_files_above_the_limit_are_refused_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "MAX_SEALED_BYTES", len(FILE) - 1)

    with pytest.raises(ProtocolError) as sealing:
        seal(FILE, PASSPHRASE, salt=SALT, nonce=NONCE)
    with pytest.raises(ProtocolError) as opening:
        unseal(SEALED, PASSPHRASE)

    assert sealing.value.code is opening.value.code is Code.TOO_LARGE
    monkeypatch.setattr(backup, "MAX_SEALED_BYTES", len(FILE))
    assert unseal(seal(FILE, "p", salt=SALT, nonce=NONCE), "p") == FILE


def test_a_key_and_a_file_never_pass_for_each_other() -> None:
    key = base64url.decode(KEY.removeprefix(PREFIX))

    with pytest.raises(Denied):
        unseal(b"towonel-sealed-v1\n" + key, PASSPHRASE)


def test_a_passphrase_that_is_not_utf8_is_the_bytes_it_was() -> None:
    typed, other = (data.decode(errors="surrogateescape") for data in (b"\xff", b"\xfe"))
    text = export_key(SEED, typed, salt=SALT, nonce=NONCE)

    assert import_key(text, typed) == SEED
    with pytest.raises(Denied):
        import_key(text, other)
