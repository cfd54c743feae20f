"""Exceptions for the reasons of a close."""

from towonel.tunnel.core.close_reason import CloseReason, to_error
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable


def test_a_reason_is_raised_as_the_class_of_its_code() -> None:
    assert isinstance(to_error(CloseReason(Code.FLOW_CONTROL)), ProtocolError)
    assert isinstance(to_error(CloseReason(Code.GRANT_EXPIRED)), Denied)
    assert isinstance(to_error(CloseReason(Code.SESSION_LOST)), Unavailable)
