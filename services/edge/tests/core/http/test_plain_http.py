"""Plain HTTP: heads that are read, heads that are refused, and what is answered."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from towonel.edge.core.http.plain_http import (
    Challenge,
    Redirect,
    Refusal,
    Request,
    decide,
    encode_answer,
    find_status,
    parse_head,
)
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import Hostname

NAME = Hostname("app.example.eu")
CHALLENGE = "/.well-known/acme-challenge/"


def head(target: str = "/", host: str = "app.example.eu", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode()


@pytest.mark.parametrize("host", ["App.example.eu", "app.example.eu:80", "app.example.eu.:8080"])
def test_a_head_has_a_name_and_a_path(host: str) -> None:
    assert parse_head(head("/a?b=%20", host)) == Request("GET", NAME, "/a?b=%20")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\r\n\r\n", Code.MALFORMED),
        (b"GET / HTTP/2.0\r\nHost: a.eu\r\n\r\n", Code.MALFORMED),
        (b"GET http://a.eu/ HTTP/1.1\r\nHost: a.eu\r\n\r\n", Code.MALFORMED),
        (b"GET /a b HTTP/1.1\r\nHost: a.eu\r\n\r\n", Code.MALFORMED),
        (b"get / HTTP/1.1\r\nHost: a.eu\r\n\r\n", Code.MALFORMED),
        (b"GET / HTTP/1.1\r\n\r\n", Code.MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a.eu\r\nhost: b.eu\r\n\r\n", Code.MALFORMED),
        (b"GET / HTTP/1.1\r\nHost : a.eu\r\n\r\n", Code.MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a.eu\r\n b.eu\r\n\r\n", Code.MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a.eu\nX: y\r\n\r\n", Code.MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a.eu\x00\r\n\r\n", Code.MALFORMED),
        (head(host="[::1]"), Code.BAD_NAME),
        (head(host="a.eu/b"), Code.BAD_NAME),
        (head(host="me@a.eu"), Code.BAD_NAME),
        (head(host=""), Code.BAD_NAME),
        (head(host="localhost"), Code.BAD_SNI),
    ],
)
def test_what_is_no_request_for_one_name_is_refused(data: bytes, code: Code) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_head(data)

    assert caught.value.code is code


@given(st.binary(max_size=300), st.text(max_size=30))
@example(b"GET / HTTP/1.1\r\nHost: a.eu\r\n\r\n", "")
def test_garbage_is_refused_and_what_is_not_can_be_written_into_a_header(
    data: bytes, text: str
) -> None:
    for each in (data, head(text), head(host=text), head(method=text)):
        try:
            request = parse_head(each)
        except ProtocolError:
            continue
        answer = decide(request, lambda _: True)
        if isinstance(answer, Redirect):
            assert re.fullmatch(r"https://[a-z0-9_.-]+/[\x21-\x7e]*", answer.location)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (Request("GET", NAME, "/a?b"), Redirect("https://app.example.eu/a?b")),
        (Request("POST", NAME, "//evil.eu"), Redirect("https://app.example.eu//evil.eu")),
        (Request("GET", NAME, f"{CHALLENGE}a-B_9"), Challenge(NAME, "a-B_9")),
        (Request("POST", NAME, f"{CHALLENGE}a"), Refusal(405, Code.METHOD_NOT_ALLOWED)),
        (Request("GET", NAME, CHALLENGE), Refusal(404, Code.NOT_FOUND)),
        (Request("GET", NAME, f"{CHALLENGE}../admin"), Refusal(404, Code.NOT_FOUND)),
        (Request("GET", NAME, f"{CHALLENGE}a?b"), Refusal(404, Code.NOT_FOUND)),
        (Request("GET", NAME, f"{CHALLENGE}{'a' * 129}"), Refusal(404, Code.NOT_FOUND)),
        (Request("GET", Hostname("b.eu"), f"{CHALLENGE}a"), Refusal(404, Code.NO_ROUTE)),
    ],
)
def test_published_names_are_redirected_and_challenges_are_asked_for(
    request_: Request, answer: object
) -> None:
    assert decide(request_, lambda name: name == NAME) == answer


def test_an_answer_says_that_the_connection_ends() -> None:
    redirect = encode_answer(308, "https://app.example.eu/")

    assert redirect.startswith(b"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://")
    assert redirect.endswith(b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    assert b"Location" not in encode_answer(404)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.CLIENT_NOT_ALLOWED, 403),
        (Code.NO_SERVICE, 404),
        (Code.ORIGIN_TIMEOUT, 504),
        (Code.NO_AGENT, 503),
        (Code.ORIGIN_REFUSED, 502),
    ],
)
def test_failures_of_agents_have_a_status(code: Code, status: int) -> None:
    assert find_status(code) == status
