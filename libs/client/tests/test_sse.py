"""Server-sent events come out the same however the bytes were cut, and never in any amount."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.client.sse import MAX_EVENT_BYTES, Event, EventDecoder
from towonel.wire.errors import Code, ProtocolError

TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def decoded(*pieces: bytes, max_bytes: int = MAX_EVENT_BYTES) -> list[Event]:
    decoder = EventDecoder(max_bytes)
    return [event for piece in pieces for event in decoder.feed(piece)]


def cut(data: bytes, at: list[int]) -> list[bytes]:
    points = [0, *sorted(point % (len(data) + 1) for point in at), len(data)]
    return [data[a:b] for a, b in pairwise(points)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [Event("message", "a")]),
        (b"data:a\n\ndata: b\n\n", [Event("message", "a"), Event("message", "b")]),
        (b"data:  a\n\n", [Event("message", " a")]),
        (b"data: a\ndata: b\n\n", [Event("message", "a\nb")]),
        (b"data\n\n", [Event("message", "")]),
        (b"data: a: b\n\n", [Event("message", "a: b")]),
        (b"event: x\nid: 7\ndata: a\n\n", [Event("x", "a", "7")]),
        (b"event: x\n\ndata: a\n\n", [Event("message", "a")]),
        (
            b"id: 7\ndata: a\n\ndata: b\n\n",
            [Event("message", "a", "7"), Event("message", "b", "7")],
        ),
        (b"id: 7\ndata: a\n\nid\ndata: b\n\n", [Event("message", "a", "7"), Event("message", "b")]),
        (b"id: 1\nid: 7\0\ndata: a\n\n", [Event("message", "a", "1")]),
        (b": quiet\n\n:\n\nretry: 5\nnews: 1\ndata: a\n\n", [Event("message", "a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("message", "a")]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [Event("message", "a")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n", [Event("message", "a"), Event("message", "b")]),
        (b"data: a\n", []),
        (b"data: a", []),
        (b"", []),
    ],
)
def test_a_stream_is_read_by_the_rules_of_server_sent_events(
    stream: bytes, events: list[Event]
) -> None:
    assert decoded(stream) == events
    assert decoded(*[bytes([byte]) for byte in stream]) == events


@given(
    st.lists(st.tuples(TEXT.filter(lambda t: t != ""), st.lists(TEXT, min_size=1), TEXT)),
    ENDS,
    st.lists(st.integers(0, 10_000)),
)
def test_events_are_the_same_wherever_the_bytes_are_cut(
    sent: list[tuple[str, list[str], str]], end: str, at: list[int]
) -> None:
    lines: list[str] = []
    for name, data, number in sent:
        lines += [": quiet", f"event: {name}", f"id: {number}"]
        lines += [*(f"data: {line}" for line in data), ""]
    stream = "".join(line + end for line in lines).encode()

    events = [Event(name, "\n".join(data), number) for name, data, number in sent]
    assert decoded(*cut(stream, at)) == events


@given(st.lists(st.binary()))
def test_garbage_is_events_or_an_error_of_ours(pieces: list[bytes]) -> None:
    try:
        decoded(*pieces)
    except ProtocolError as error:
        assert error.code is Code.MALFORMED


@pytest.mark.parametrize("line", [b"data: \xff", b"data:a\nevent: \xff", b"data:a\nid: \xff"])
def test_an_event_that_is_not_text_is_malformed(line: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decoded(line + b"\n\n")

    assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize(
    "stream",
    [b"x" * 101, b":" * 101, b"data:" + b"x" * 96, b"data: aaaa\n" * 100, b"data\n" * 102],
)
def test_what_never_ends_is_refused_at_the_bound(stream: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decoded(*[bytes([byte]) for byte in stream], max_bytes=100)

    assert caught.value.code is Code.TOO_LARGE


def test_the_bound_is_for_each_event_and_line_and_not_for_the_stream() -> None:
    stream = b":" + b"x" * 99 + b"\n" + (b"data:" + b"x" * 90 + b"\n\n") * 50

    assert len(decoded(stream, max_bytes=100)) == 50
