"""Challenges of authorities: the request that an origin gets of a token."""

import pytest

from towonel.wire.names import Hostname
from towonel.wire.policy.challenge import TOKEN, encode_challenge_request


def test_of_a_challenge_the_token_travels_and_the_request_is_always_the_same() -> None:
    request = encode_challenge_request(Hostname("app.example.eu"), "a-B_9")

    assert request.startswith(b"GET /.well-known/acme-challenge/a-B_9 HTTP/1.1\r\n")
    assert b"\r\nHost: app.example.eu\r\n" in request
    assert request.endswith(b"\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("text", ["", "a/b", "..", "a b", "a%2f", "a\r\nb", "é", "a" * 129])
def test_a_token_leads_nowhere_else(text: str) -> None:
    assert TOKEN.fullmatch(text) is None
