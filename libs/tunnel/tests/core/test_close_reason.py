"""Exceptions for the reasons of a close."""

from towonel.tunnel.core.close_reason import CloseReason, stream_error, to_error
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable


def test_a_reason_is_raised_as_the_class_of_its_code() -> None:
    assert isinstance(to_error(CloseReason(Code.FLOW_CONTROL)), ProtocolError)
    assert isinstance(to_error(CloseReason(Code.GRANT_EXPIRED)), Denied)
    assert isinstance(to_error(CloseReason(Code.SESSION_LOST)), Unavailable)


def test_a_stream_that_ended_is_told_by_what_its_code_means() -> None:
    assert stream_error(Code.ORIGIN_REFUSED).detail == "the agent's origin refuses connections"
    assert stream_error(Code.CANCELLED).detail == "the other end ended the stream"
