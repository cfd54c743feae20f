"""Codec of base64url: bytes have one text each, and every other text is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire import base64url
from towonel.wire.errors import Code, ProtocolError


@given(st.binary(max_size=100))
def test_what_is_encoded_decodes_to_the_same(data: bytes) -> None:
    assert base64url.decode(base64url.encode(data)) == data


def test_the_alphabet_is_the_url_safe_one_without_padding() -> None:
    assert base64url.encode(b"\xfb\xff\xfe\x00") == "-__-AA"


@pytest.mark.parametrize("text", ["QQ==", "Q Q", "QQ\n", "+/AA", "é", "A", "QR"])
def test_padding_spaces_foreign_letters_and_stray_bits_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        base64url.decode(text)

    assert caught.value.code is Code.MALFORMED


@given(st.text(max_size=40))
def test_any_text_decodes_to_what_encodes_to_it_or_is_refused(text: str) -> None:
    try:
        data = base64url.decode(text)
    except ProtocolError as error:
        assert error.code is Code.MALFORMED
    else:
        assert base64url.encode(data) == text
