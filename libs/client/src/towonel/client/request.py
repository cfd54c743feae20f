"""HTTP request to the hub as plain data: headers, query, and bounds of the answer."""

import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from towonel.wire.errors import Code, Denied

TOTAL_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024  # a page or a route table has a limit of its own
MAX_PAGE_BYTES = 64 * 1024 * 1024  # 100 invites, each of 1 000 names as long as can be, are 26 MB
MAX_LEAD_MS = 1_000  # far below the skew that a hub allows, far above a burst of requests
MAX_ROUND_TRIP_MS = (
    3_000  # of an answer whose date tells the time; that of a long poll tells nothing
)
_DATE_MS = 1_000  # a date has whole seconds
JSON, CBOR, EVENTS = "application/json", "application/cbor", "text/event-stream"
_VISIBLE = re.compile(r"[!-~](?:[ -~]{0,998}[!-~])?", re.ASCII)  # nothing that could end a header

type Query = Mapping[str, str | int | bytes | None]


@dataclass(frozen=True, slots=True)
class HubRequest:
    """HTTP request to the hub.

    Args:
        method: of HTTP.
        path: below the hub's address, percent-encoded.
        body: empty if there is none.
        authorization: a whole header value, where it is signed made for exactly this `body`.
        query: parameters, bytes in hexadecimal; ignored if None.
        extra_headers: by lower-case name; ignored if None.
        content_type: of the body.
        accept: the answers that can be read.
        max_bytes: of the answer, and of one event in a stream.
        timeout_s: for the whole answer, or for a stream to begin.
    """

    method: str
    path: str
    body: bytes = field(default=b"", repr=False)
    authorization: str | None = field(default=None, repr=False)
    query: Query | None = None
    extra_headers: Mapping[str, str | None] | None = None
    content_type: str = JSON
    accept: str = f"{JSON}, {CBOR}"
    max_bytes: int = MAX_ANSWER_BYTES
    timeout_s: float = TOTAL_TIMEOUT_S

    def headers(self) -> dict[str, str]:
        """Return the request's headers.

        Raises:
            Denied: INVALID_REQUEST for a value that could not be one.
        """
        # Compressed answers would make the size limit meaningless.
        headers = {"accept-encoding": "identity", "accept": self.accept}
        if self.body:
            headers["content-type"] = self.content_type
        if self.authorization is not None:
            headers["authorization"] = self.authorization
        for name, value in (self.extra_headers or {}).items():
            if value is None:
                continue
            if not is_header_value(value):
                raise Denied(Code.INVALID_REQUEST, f"{name}: must be visible ASCII characters")
            headers[name] = value
        return headers

    def params(self) -> dict[str, str | int]:
        """Return the query parameters that are set."""
        return {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in (self.query or {}).items()
            if value is not None
        }


def is_header_value(text: str) -> bool:
    """Tell whether a text can be sent as it is: visible ASCII, at most 1000 characters."""
    return _VISIBLE.fullmatch(text) is not None


def next_timestamp(now_ms: int, last_ms: int) -> int:
    """Return the time to sign with after a request that was signed with `last_ms`.

    A hub takes the same time from one signer as a replay, so requests within a millisecond are
    numbered on. A clock that was put back by more is followed: who went on from the old time would
    be refused for as long as the clock had been ahead.
    """
    return last_ms + 1 if 0 <= last_ms - now_ms < MAX_LEAD_MS else now_ms


def measure_skew(sent_ms: int, received_ms: int, date: str | None) -> int | None:
    """Return by how much our clock is ahead of the server's, in ms, to within two seconds.

    Args:
        sent_ms: when the request was sent, by our clock.
        received_ms: when the head of its answer was here.
        date: of that head, as of RFC 9110 section 6.6.1.

    Returns:
        the difference; None where the answer does not tell it.
    """
    if date is None or not 0 <= received_ms - sent_ms <= MAX_ROUND_TRIP_MS:
        return None
    try:
        date_ms = int(email.utils.parsedate_to_datetime(date).timestamp()) * 1000
    except (ValueError, OverflowError):
        return None
    return (sent_ms + received_ms) // 2 - (date_ms + _DATE_MS // 2)
