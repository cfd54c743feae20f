"""Channel of control and worker: messages and descriptors arrive whole, in order, and are bounded."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.descriptors import open_descriptors, use_up_descriptors

from towonel.relay import channel
from towonel.relay.channel import Channel, ChannelClosed
from towonel.wire import cbor
from towonel.wire.errors import Code, ProtocolError

HELD_BYTES = 20 * 60_500


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    both = Channel(one, max_held_bytes=HELD_BYTES), Channel(other)
    yield both
    for end in both:
        end.close()


NULL = Path("/dev/null")


def send_until_refused(end: Channel) -> None:
    for _ in range(100):
        end.send("big", {"bytes": bytes(60_000)})


def test_messages_come_apart_and_in_order(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    for number in range(20):
        one.send("count", {"number": number, "bytes": b"x" * 1000})

    found = list(other.receive())

    assert [(m.kind, m.fields["number"]) for m in found] == [("count", n) for n in range(20)]
    assert list(other.receive()) == []


def test_a_socket_is_handed_over_and_closed_here(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    kept, given = socket.socketpair()
    one.send("client", {"first": b"hello"}, [given.detach()])

    (message,) = other.receive()
    (descriptor,) = message.descriptors
    with kept, socket.socket(fileno=descriptor) as taken:
        kept.sendall(b"still here")
        assert taken.recv(100) == b"still here"
        assert not os.get_inheritable(descriptor)


def test_what_the_other_end_does_not_read_is_held_and_bounded(
    ends: tuple[Channel, Channel],
) -> None:
    one, other = ends
    with pytest.raises(ChannelClosed):
        send_until_refused(one)
    count = 0
    while found := len(list(other.receive())):
        count += found
        one.flush()

    assert count > 20
    assert not one.holds
    one.send("big", {"bytes": bytes(60_000)})
    assert [message.kind for message in other.receive()] == ["big"]


def test_messages_are_not_too_many_before_their_bytes_are(ends: tuple[Channel, Channel]) -> None:
    """At its start a worker is told of ten thousand sessions."""
    one, other = ends
    for number in range(20_000):
        one.send("count", {"number": number})
    waiting = one.waiting
    read = 0
    while found := len(list(other.receive())):
        read += found
        one.flush()

    assert waiting > 15_000
    assert read == 20_000
    assert one.waiting == 0


def test_a_message_that_is_too_large_is_refused(ends: tuple[Channel, Channel]) -> None:
    one, _ = ends
    before = open_descriptors()
    with pytest.raises(ProtocolError) as large:
        one.send("big", {"bytes": bytes(channel.MAX_MESSAGE_BYTES)}, [os.dup(1)])
    with pytest.raises(ProtocolError):
        one.send("many", {}, [os.dup(1) for _ in range(channel.MAX_DESCRIPTORS + 1)])

    assert large.value.code is Code.TOO_LARGE
    assert open_descriptors() == before


def test_the_end_of_one_is_known_to_the_other() -> None:
    one, other = Channel.pair()
    end = Channel(other)
    one.send("last", {})
    one.close()

    messages = end.receive()
    assert next(messages).kind == "last"
    with pytest.raises(ChannelClosed):
        next(messages)
    with pytest.raises(ChannelClosed):
        end.send("late", {})
    end.close()


@pytest.mark.parametrize(
    "data", [b"\xff", cbor.encode(1), cbor.encode([1, {}]), cbor.encode(["a", 1])]
)
def test_a_malformed_message_leaves_no_descriptor_open(data: bytes) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end = Channel(other)
    with NULL.open("rb") as file:
        before = open_descriptors()
        socket.send_fds(one, [data], [file.fileno()])
        with pytest.raises(ProtocolError):
            list(end.receive())
        assert open_descriptors() == before

    one.close()
    end.close()


def test_descriptors_that_find_no_room_are_counted_and_their_message_is_dropped(
    ends: tuple[Channel, Channel],
) -> None:
    one, other = ends
    given = [os.open(NULL, os.O_RDONLY) for _ in range(4)]
    one.send("clients", {}, given)
    before = open_descriptors()
    with use_up_descriptors():
        found = list(other.receive())

    assert found == []
    assert other.dropped == 1
    assert open_descriptors() == before


def test_a_vital_message_whose_descriptor_finds_no_room_is_an_error() -> None:
    one, other = Channel.pair()
    end = Channel(other, vital=frozenset({"table"}))
    for kind in ("client", "table"):
        one.send(kind, {}, [os.open(NULL, os.O_RDONLY) for _ in range(4)])
    before = open_descriptors()
    with use_up_descriptors(), pytest.raises(ProtocolError) as caught:
        list(end.receive())

    assert caught.value.code is Code.OVERLOADED
    assert "for table" in caught.value.detail
    assert open_descriptors() == before
    one.close()
    end.close()


def test_closing_closes_what_was_not_sent() -> None:
    one, other = Channel.pair()
    before = len(open_descriptors())
    while not one.holds:
        one.send("big", {"bytes": bytes(60_000)})
    one.send("client", {}, [os.open(NULL, os.O_RDONLY)])
    assert len(open_descriptors()) == before + 1
    one.close()
    other.close()

    assert len(open_descriptors()) == before - 2
