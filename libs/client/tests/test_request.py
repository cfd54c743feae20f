"""One request as data: its headers are safe to send, and it shows no secret."""

import pytest

from towonel.client.request import HubRequest, is_header_value
from towonel.wire.errors import Code, Denied


def test_a_body_is_sent_with_its_type_and_nothing_else_is_added() -> None:
    assert HubRequest("GET", "/x").headers() == {
        "accept-encoding": "identity",
        "accept": "application/json, application/cbor",
    }
    assert HubRequest(
        "POST", "/x", b"{}", "Bearer k", extra_headers={"if-match": "*", "x": None}
    ).headers() == {
        "accept-encoding": "identity",
        "accept": "application/json, application/cbor",
        "content-type": "application/json",
        "authorization": "Bearer k",
        "if-match": "*",
    }


def test_what_is_not_asked_is_not_in_the_query() -> None:
    assert HubRequest("GET", "/x").params() == {}
    assert HubRequest("GET", "/x", query={"a": None, "b": "", "c": 0, "d": False}).params() == {
        "b": "",
        "c": 0,
        "d": False,
    }


@pytest.mark.parametrize("text", ["", " ", "a ", " a", "a\nb", "a\r", "ä", "\x7f", "a" * 1001])
def test_what_is_no_header_value_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(Denied, match="if-match") as caught:
        HubRequest("GET", "/x", extra_headers={"if-match": text}).headers()

    assert caught.value.code is Code.INVALID_REQUEST
    assert caught.value.detail == "if-match: must be visible ASCII characters"


@pytest.mark.parametrize("text", ["a", '"3"', '"1", "2"', "a" * 1000])
def test_visible_characters_are_a_header_value(text: str) -> None:
    assert is_header_value(text)


def test_neither_the_authorization_nor_the_body_is_shown() -> None:
    assert "secret" not in repr(HubRequest("POST", "/x", b"secret", "Bearer secret"))
