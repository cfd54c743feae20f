"""Messages that admit a lane."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire import lane_admission
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.lane_admission import LaneAnswer, LaneHello, tls_pool_id
from towonel.wire.messages import SESSION_ID_BYTES

NONCES = st.binary(min_size=16, max_size=16)


@pytest.mark.branches
@given(NONCES, NONCES)
def test_a_hello_is_read_as_it_was_written(session_id: bytes, nonce: bytes) -> None:
    data = lane_admission.encode_hello(LaneHello(session_id, nonce))

    assert data == b"\xf7TWLANE\x01" + session_id + nonce
    assert len(data) == lane_admission.HELLO_BYTES == 40
    assert lane_admission.decode_hello(data) == LaneHello(session_id, nonce)


def test_another_version_is_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        lane_admission.decode_hello(b"\xf7TWLANE\x02" + bytes(32))

    assert refused.value.code is Code.UNSUPPORTED_VERSION


@pytest.mark.branches
@given(NONCES, st.binary(min_size=32, max_size=32))
def test_an_answer_is_read_as_it_was_written(nonce: bytes, mac: bytes) -> None:
    data = lane_admission.encode_answer(LaneAnswer(nonce, mac))

    assert data == b"\x00\x00" + nonce + mac
    assert len(data) == lane_admission.ANSWER_BYTES
    assert lane_admission.decode_answer(data) == LaneAnswer(nonce, mac)


def test_a_refusal_has_a_code_and_proves_nothing() -> None:
    data = lane_admission.encode_refusal(Code.OVERLOADED)

    assert data == b"\x00\x6a" + bytes(48)
    assert lane_admission.decode_answer(data) is Code.OVERLOADED
    assert lane_admission.decode_answer(b"\xff\xff" + bytes(48)) is Code.INTERNAL


@pytest.mark.branches
@given(st.binary(min_size=SESSION_ID_BYTES, max_size=SESSION_ID_BYTES))
def test_the_pool_inside_tls_has_an_id_that_leads_back_to_the_session(session_id: bytes) -> None:
    pool_id = tls_pool_id(session_id)

    assert pool_id != session_id
    assert (len(pool_id), tls_pool_id(pool_id)) == (SESSION_ID_BYTES, session_id)
