"""Fuzz of the hop: the compiled form and the one in Python are told apart by nothing, however bytes are cut."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hops import FORMS, HEAD_OF_DATA, SMALL, Ends, Form, frame_of, open_ends

from towonel.relay.hop.results import COUNT, PARSE, UNSENT_SHIFT
from towonel.wire.lanes import HEAD, HEAD_BYTES, MAX_DATA_BYTES

type Step = tuple[str, object]
LENGTHS = (0, 1, 2, 3, 4, 5, 60, 61, SMALL, MAX_DATA_BYTES, (1 << 24) - 1)
HEADS = (HEAD_OF_DATA, HEAD_OF_DATA ^ 1 << 24, HEAD_OF_DATA ^ 1 << 28, HEAD_OF_DATA ^ 1 << 31)

payloads = st.sampled_from((1, 2, 3, 4, 5, 59, 60, 61, SMALL)).map(bytes)
heads = st.builds(
    lambda head, length: HEAD.pack(head | length), st.sampled_from(HEADS), st.sampled_from(LENGTHS)
)
chunks = st.one_of(
    payloads.map(frame_of),
    st.tuples(payloads.map(frame_of), st.integers(1, 66)).map(lambda cut: cut[0][: cut[1]]),
    heads,
    st.binary(min_size=1, max_size=8),
)
steps = st.one_of(
    st.tuples(st.just("send"), chunks),
    st.tuples(st.sampled_from(("forward", "deliver")), st.sampled_from((5, 6, 64, SMALL))),
    st.tuples(st.just("receive"), st.sampled_from((1, 7, 1 << 16))),
    st.tuples(st.sampled_from(("fill", "end", "leave")), st.none()),
)


def play(form: Form, script: Sequence[Step]) -> list[object]:
    """Return everything that can be seen while a script is played."""
    seen: list[object] = []
    with open_ends() as ends:
        calls = make_calls(form, ends)
        for name, value in script:
            try:
                seen.append(calls[name](value))
            except OSError as error:  # of the script's own calls: full, or closed
                seen.append(error.errno)
        seen.append(ends.drain() if ends.receiver.fileno() >= 0 else None)
    return seen


def make_calls(form: Form, ends: Ends) -> dict[str, Callable[[Any], object]]:
    """Return what each step of a script does."""

    def hop(name: str, size: int) -> object:
        buffer = bytearray(size)
        result = getattr(form, name)(ends.source, ends.target, buffer, HEAD_OF_DATA)
        check(name, result, buffer)
        return result, bytes(buffer)

    return {
        "send": ends.sender.send,
        "forward": partial(hop, "forward"),
        "deliver": partial(hop, "deliver"),
        "receive": ends.receiver.recv,
        "fill": lambda _: ends.fill(),
        "end": lambda _: ends.sender.close(),
        "leave": lambda _: ends.receiver.close(),
    }


def check(name: str, result: int, buffer: bytearray) -> None:
    """Assert what is true of every result."""
    if result <= 0:
        return
    count, unsent = result & COUNT, result >> UNSENT_SHIFT & COUNT
    if name == "forward":
        assert buffer[:HEAD_BYTES] == HEAD.pack(HEAD_OF_DATA | count)
        assert not result & PARSE
        assert unsent <= count + HEAD_BYTES <= len(buffer)
        return
    is_whole = count > HEAD_BYTES and buffer[:HEAD_BYTES] == HEAD.pack(
        HEAD_OF_DATA | count - HEAD_BYTES
    )
    assert bool(result & PARSE) is not is_whole
    assert unsent <= max(count - HEAD_BYTES, 0)


@settings(deadline=None)  # under sanitizers a script takes as long as it takes
@given(st.lists(steps, min_size=4, max_size=24))
def test_both_forms_do_the_same(script: list[Step]) -> None:
    seen = [play(form, script) for form in FORMS.values()]

    assert seen[0] == seen[1]


@pytest.mark.soak
@settings(max_examples=5_000, deadline=None)
@given(st.lists(steps, min_size=4, max_size=60))
def test_both_forms_do_the_same_for_long(script: list[Step]) -> None:
    seen = [play(form, script) for form in FORMS.values()]

    assert seen[0] == seen[1]
