import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.client.envelope import ForeignAnswer, error_from, printable, retry_after_s
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable

REQUESTED = "GET https://hub.example.eu/v1/edges"


def envelope(code: str, message: str = "because") -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (401, "unauthorized", Denied),
        (403, "tenant_revoked", Denied),
        (409, "hostname_conflict", Denied),
        (400, "malformed", ProtocolError),
        (400, "bad_proxy_header", ProtocolError),
        (404, "no_route", Unavailable),
        (408, "client_timeout", Unavailable),
        (429, "rate_limited", Unavailable),
        (500, "internal", Unavailable),
        (503, "unauthorized", Unavailable),
    ],
)
def test_the_hubs_word_becomes_its_code_and_says_who_has_to_act(
    status: int, word: str, kind: type[Exception]
) -> None:
    error = error_from(status, envelope(word), {}, REQUESTED)

    assert type(error) is kind
    assert error.code.word == word
    assert error.detail == "because"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Code.INVALID_REQUEST),
        (401, Code.UNAUTHORIZED),
        (403, Code.FORBIDDEN),
        (404, Code.NOT_FOUND),
        (405, Code.METHOD_NOT_ALLOWED),
        (409, Code.INVALID_REQUEST),
        (410, Code.INVITE_EXPIRED),
        (412, Code.PRECONDITION_FAILED),
        (413, Code.TOO_LARGE),
        (418, Code.INVALID_REQUEST),
        (429, Code.RATE_LIMITED),
        (500, Code.HUB_UNAVAILABLE),
        (599, Code.HUB_UNAVAILABLE),
    ],
)
def test_a_word_of_a_newer_hub_is_read_by_its_status(status: int, code: Code) -> None:
    assert error_from(status, envelope("word_of_tomorrow"), {}, REQUESTED).code is code


@pytest.mark.parametrize(
    "body", [b"", b"404 page not found", b"[]", b'{"error": "x"}', b'{"error": {"code": 1}}']
)
@pytest.mark.parametrize("status", [302, 400, 401, 404, 502])
def test_an_error_that_is_not_the_hubs_means_the_hub_is_not_there(status: int, body: bytes) -> None:
    error = error_from(status, body, {"retry-after": "7"}, REQUESTED)

    assert isinstance(error, ForeignAnswer)
    assert (error.code, error.status, error.retry_after_s) == (Code.HUB_UNAVAILABLE, status, 7)
    assert error.detail.startswith(f"{REQUESTED}: answered {status}")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), (" 30 ", 30), ("999999", 3600), ("-1", None), ("Fri, 01 Jan", None), ("٣", None)],
)
def test_retry_after_is_read_in_seconds_and_bounded(text: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": text}) == seconds


def test_a_strangers_words_cannot_steer_a_terminal_or_forge_a_line() -> None:
    assert printable("a\x1b[2Jb\nc\u202ed") == "a [2Jb c d"
    assert len(printable("x" * 10_000)) == 500


@given(st.integers(300, 599), st.binary())
def test_any_answer_that_is_no_success_becomes_an_error_of_ours(status: int, body: bytes) -> None:
    assert error_from(status, body, {}, REQUESTED).code in Code
