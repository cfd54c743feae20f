"""Codec of control messages: cut anywhere, bounded before buffered, unknown things ignored."""

import struct

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.messages import (
    MAX_FRAME_BYTES,
    Abandoned,
    Challenge,
    DatagramSecret,
    Decoder,
    EdgesChanged,
    GoAway,
    Hello,
    LanesWanted,
    Message,
    Renew,
    ServicesChanged,
    TlsLanesWanted,
    Welcome,
    Window,
    encode,
)
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import Hints

UINTS = st.integers(0, 2**63 - 1)
KEYS = st.one_of(
    st.sampled_from(["a.eu", "*.example.eu"]).map(lambda n: ServiceKey(ServiceKind.HTTPS, n)),
    st.sampled_from(["ssh", "my game"]).map(lambda n: ServiceKey(ServiceKind.UDP, n)),
)
HINTS = st.builds(Hints, st.integers(0, 1000), st.binary(max_size=9), st.binary(max_size=9))
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Challenge,
        st.lists(st.integers(0, 99), max_size=16).map(tuple),
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=32, max_size=32),
    ),
    st.builds(
        Hello,
        UINTS,
        st.binary(max_size=200),
        st.lists(KEYS, max_size=5).map(tuple),
        st.binary(min_size=64, max_size=64),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=64),
        HINTS,
    ),
    st.builds(
        Welcome,
        st.binary(min_size=16, max_size=16),
        st.none() | st.binary(min_size=32, max_size=32),
    ),
    st.builds(Window, st.none() | UINTS, UINTS),
    st.builds(Abandoned, UINTS, UINTS),
    st.just(GoAway()),
    st.builds(Renew, st.binary(max_size=200)),
    st.builds(LanesWanted, UINTS),
    st.builds(ServicesChanged, st.lists(KEYS, max_size=5).map(tuple)),
    HINTS,
    st.builds(EdgesChanged, UINTS),
)


def frame(value: object) -> bytes:
    body = cbor2.dumps(value)
    return struct.pack(">I", len(body)) + body


@pytest.mark.branches
@given(st.lists(MESSAGES, max_size=5), st.integers(1, 50))
def test_messages_come_out_as_they_went_in_wherever_they_are_cut(
    messages: list[Message], size: int
) -> None:
    data = b"".join(map(encode, messages))
    decoder = Decoder()
    found = [m for at in range(0, len(data), size) for m in decoder.feed(data[at : at + size])]

    assert found == messages


def test_the_numbers_of_messages_are_frozen() -> None:
    first = (Challenge, Hello, Welcome, Window, Abandoned, GoAway, Renew, LanesWanted)
    later = (ServicesChanged, TlsLanesWanted, DatagramSecret, Hints, EdgesChanged)

    assert [kind.type for kind in first + later] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    assert encode(GoAway()) == bytes.fromhex("00000003 82 06 a0")
    assert encode(LanesWanted(2)) == bytes.fromhex("0000000a 82 08 a1 65 636f756e74 02")


def test_a_hello_without_hints_is_what_it_was_before_there_were_any() -> None:
    before = frame([2, HELLO])
    hello = Hello(1, b"g", (ServiceKey(ServiceKind.HTTPS, "a.eu"),), bytes(64), "x")

    assert encode(hello) == before
    assert list(Decoder().feed(before)) == [hello]


def test_a_welcome_without_lanes_is_what_it_was_before_there_were_any() -> None:
    before = frame([3, {"session_id": bytes(16)}])

    assert encode(Welcome(bytes(16))) == before
    assert list(Decoder().feed(before)) == [Welcome(bytes(16), None)]


def test_unknown_types_and_keys_are_skipped() -> None:
    data = frame([99, {"new": 1}]) + frame([6, {"reason": "later"}])

    assert list(Decoder().feed(data)) == [None, GoAway()]


def test_a_frame_above_the_limit_is_refused_by_its_length_alone() -> None:
    with pytest.raises(ProtocolError) as caught:
        list(Decoder().feed(struct.pack(">I", MAX_FRAME_BYTES + 1)))

    assert caught.value.code is Code.TOO_LARGE


def test_a_message_that_no_peer_would_take_is_not_made() -> None:
    with pytest.raises(ProtocolError) as caught:
        encode(Renew(bytes(MAX_FRAME_BYTES)))

    assert caught.value.code is Code.TOO_LARGE


HELLO = {
    "version": 1,
    "grant": b"g",
    "services": [["https", "a.eu"]],
    "signature": bytes(64),
    "software": "x",
}


@pytest.mark.parametrize(
    "value",
    [
        1, [], [6], [6, {}, 1], ["6", {}], [True, {}], [6, []],
        [1, {"versions": ["1"], "nonce": bytes(32), "edge_id": bytes(32)}],
        [1, {"versions": [True], "nonce": bytes(32), "edge_id": bytes(32)}],
        [1, {"versions": list(range(17)), "nonce": bytes(32), "edge_id": bytes(32)}],
        [1, {"versions": [1], "nonce": bytes(31), "edge_id": bytes(32)}],
        [2, {**HELLO, "services": [1]}],
        [2, {**HELLO, "services": [["https"]]}],
        [2, {**HELLO, "services": [["gopher", "a.eu"]]}],
        [2, {**HELLO, "services": [["https", "a.eu"]] * 1001}],
        [2, {**HELLO, "signature": bytes(63)}],
        [2, {**HELLO, "software": "x" * 65}],
        [2, {**HELLO, "grant": bytes(1025)}],
        [2, {**HELLO, "hints": 1}],
        [12, {"weight": 1001}],
        [3, {"session_id": bytes(15)}],
        [3, {"session_id": bytes(16), "lane_secret": bytes(31)}],
        [3, {"session_id": bytes(16), "lane_secret": "x" * 32}],
        [4, {"stream_id": -1, "limit": 1}],
        [4, {"stream_id": 1}],
        [5, {"stream_id": 1}],
        [7, {}],
        [8, {}],
        [9, {}],
        [9, {"services": [["https", "a.eu"]] * 1001}],
        [8, {"count": -1}],
    ],
)  # fmt: skip
def test_known_messages_of_the_wrong_form_are_refused(value: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        list(Decoder().feed(frame(value)))

    assert caught.value.code is Code.MALFORMED


def test_a_service_with_a_bad_name_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        list(Decoder().feed(frame([2, {**HELLO, "services": [["https", "a b.eu"]]}])))

    assert caught.value.code is Code.BAD_NAME


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_never_buffered_beyond_a_frame(data: bytes) -> None:
    decoder = Decoder()
    try:
        list(decoder.feed(data))
    except ProtocolError:
        return

    assert len(decoder._buffer) <= MAX_FRAME_BYTES + 4
