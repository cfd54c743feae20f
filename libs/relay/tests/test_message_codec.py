"""Codec of messages: dataclasses go over a channel, and come out as they went in."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.relay.channel import Channel, ChannelMessage
from towonel.relay.message_codec import MessageCodec
from towonel.wire.errors import Code, ProtocolError

type Pair = tuple[str, int]


@dataclass(frozen=True)
class Ports:
    """Message with arrays in arrays."""

    numbers: tuple[int, ...]
    pairs: tuple[tuple[bytes, int], ...] = ()
    maybe: tuple[Pair, ...] | None = None
    either: tuple[str, int] | tuple[str, int, int] = ("", 0)
    aliased: Pair = ("", 0)


@dataclass(frozen=True)
class Named:
    """Message without arrays."""

    name: str
    held: object = None


CODEC = MessageCodec[Ports | Named]({"ports": Ports, "named": Named})
INTEGERS = st.integers(-(2**63), 2**63)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, sock = Channel.pair()
    other = Channel(sock)
    yield one, other
    one.close()
    other.close()


@given(
    st.lists(INTEGERS, max_size=4).map(tuple),
    st.lists(st.tuples(st.binary(max_size=9), INTEGERS), max_size=4).map(tuple),
    st.none() | st.lists(st.tuples(st.text(max_size=9), INTEGERS), max_size=4).map(tuple),
)
def test_a_message_comes_out_as_it_went_in(
    numbers: tuple[int, ...],
    pairs: tuple[tuple[bytes, int], ...],
    maybe: tuple[Pair, ...] | None,
) -> None:
    message = Ports(numbers, pairs, maybe, ("::1", 1, 2), ("::1", 1))
    one, sock = Channel.pair()
    other = Channel(sock)
    one.send(*CODEC.encode(message))
    [found] = map(CODEC.decode, other.receive())
    one.close()
    other.close()

    assert found == message
    assert hash(found) == hash(message), "tuples, and no lists"


def test_fields_that_are_missing_have_their_defaults(ends: tuple[Channel, Channel]) -> None:
    ends[0].send("ports", {"numbers": [1]})
    [found] = map(CODEC.decode, ends[1].receive())

    assert found == Ports((1,))


def test_only_fields_that_are_tuples_are_made_such() -> None:
    assert CODEC.decode(ChannelMessage("named", {"name": "x", "held": [1]})) == Named("x", [1])


def test_a_type_that_is_not_known_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        CODEC.decode(ChannelMessage("other", {}))
    assert caught.value.code is Code.UNEXPECTED_MESSAGE
    assert caught.value.detail == "other"


@pytest.mark.parametrize("fields", [{}, {"numbers": [], "surplus": 1}])
def test_fields_that_do_not_fit_are_refused_by_the_name_of_their_type(
    fields: dict[str, object],
) -> None:
    with pytest.raises(ProtocolError, match="ports") as caught:
        CODEC.decode(ChannelMessage("ports", fields))
    assert caught.value.code is Code.MALFORMED
