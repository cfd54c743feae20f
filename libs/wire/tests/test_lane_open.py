"""Content of OPEN on a lane."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire import lane_open, preamble
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.lane_open import LaneOpen
from towonel.wire.lanes import MAX_FIRST_BYTES
from towonel.wire.names import ServiceKind, parse_service_key
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address

PREAMBLE = Preamble(
    Address(ip_address("203.0.113.7"), 54321),
    Address(ip_address("192.0.2.1"), 443),
    parse_service_key(ServiceKind.HTTPS, "app.example"),
)


@given(st.binary(max_size=300), st.booleans())
def test_what_is_encoded_is_decoded(first: bytes, more: bool) -> None:
    content = LaneOpen(PREAMBLE, first, more=more)

    assert lane_open.decode(lane_open.encode(content)) == content


def test_the_bytes_are_flags_then_the_preamble_then_the_clients_first() -> None:
    data = lane_open.encode(LaneOpen(PREAMBLE, b"first", more=True))

    assert data == b"\x01" + preamble.encode(PREAMBLE) + b"first"


def test_flags_of_later_versions_are_ignored() -> None:
    data = b"\xfe" + lane_open.encode(LaneOpen(PREAMBLE, b"first"))[1:]

    assert lane_open.decode(data) == LaneOpen(PREAMBLE, b"first")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.MALFORMED),
        (b"\x00", Code.BAD_PREAMBLE),
        (b"\x00" + preamble.encode(PREAMBLE)[:-1], Code.BAD_PREAMBLE),
        (b"\x00GET / HTTP/1.1\r\n", Code.BAD_PREAMBLE),
        (b"\x00" + preamble.encode(PREAMBLE) + bytes(MAX_FIRST_BYTES + 1), Code.TOO_LARGE),
    ],
    ids=["nothing", "flags alone", "cut", "no preamble", "too long"],
)
def test_content_that_breaks_the_format_is_refused(data: bytes, code: Code) -> None:
    with pytest.raises(ProtocolError) as refused:
        lane_open.decode(data)

    assert refused.value.code is code


def test_too_many_first_bytes_are_not_sent() -> None:
    with pytest.raises(ProtocolError) as refused:
        lane_open.encode(LaneOpen(PREAMBLE, bytes(MAX_FIRST_BYTES + 1)))

    assert refused.value.code is Code.TOO_LARGE


@given(st.binary(max_size=400))
def test_garbage_raises_nothing_but_a_protocol_error(data: bytes) -> None:
    try:
        lane_open.decode(data)
    except ProtocolError as error:
        assert error.code in {Code.MALFORMED, Code.BAD_PREAMBLE, Code.TOO_LARGE}
