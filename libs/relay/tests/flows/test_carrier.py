"""Carriers: packets in frames over loopback."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest
from support.flow_loops import FlowLoop

from towonel.relay.flows import carrier as carriers
from towonel.relay.flows.carrier import Carrier, connect_pair, listen_on_loopback
from towonel.relay.flows.timer import Every
from towonel.wire.udp.datagrams import MAX_PACKET_BYTES, FrameDecoder, encode_frame


class Rig:
    """Carrier whose other end the test speaks for."""

    def __init__(self) -> None:
        self.loop = FlowLoop()
        self.packets: list[bytes] = []
        self.closed: list[Carrier] = []
        one, self.other = connect_pair()
        self.other.settimeout(5.0)
        self.take: Callable[[bytes], None] = self.packets.append
        self.carrier = Carrier(
            self.loop.loop,
            one,
            lambda _, packet: self.take(packet),
            self.closed.append,
            self.loop.crashes.append,
        )

    def close(self) -> None:
        """Close both ends."""
        self.carrier.close()
        self.other.close()
        self.loop.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def test_packets_go_both_ways_in_frames(rig: Rig) -> None:
    rig.carrier.send(b"out")
    rig.other.sendall(encode_frame(b"in") + encode_frame(b"") + encode_frame(b"again"))
    rig.loop.until(lambda: len(rig.packets) == 3)

    assert rig.packets == [b"in", b"", b"again"]
    assert rig.other.recv(100) == encode_frame(b"out")


def test_a_full_carrier_drops_the_newest_and_finishes_the_frame_that_has_begun(rig: Rig) -> None:
    sent: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            packet = len(sent).to_bytes(4) * 15_000
            rig.carrier.send(packet)
            sent.append(packet)
    with pytest.raises(BlockingIOError):
        rig.carrier.send(b"newest")
    decoder, found = FrameDecoder(), list[bytes]()
    rig.other.setblocking(False)

    def read() -> bool:
        with contextlib.suppress(BlockingIOError):
            found.extend(decoder.feed(rig.other.recv(1 << 20)))
        return len(found) == len(sent)

    rig.loop.until(read)
    assert found == sent
    rig.carrier.send(b"room again")
    rig.loop.until(lambda: not read())
    assert found[-1] == b"room again"


def test_a_frame_that_is_too_large_closes_it_once(rig: Rig) -> None:
    rig.other.sendall(encode_frame(b"good") + (MAX_PACKET_BYTES + 1).to_bytes(4))
    rig.loop.until(lambda: not rig.carrier.is_open)
    rig.carrier.close()

    assert rig.closed == [rig.carrier]
    with pytest.raises(ConnectionResetError):
        rig.other.recv(100)
    with pytest.raises(BlockingIOError):
        rig.carrier.send(b"x")


def test_an_end_of_the_peer_closes_it_after_what_it_had_sent(rig: Rig) -> None:
    rig.other.sendall(encode_frame(b"last"))
    rig.other.close()
    rig.loop.until(lambda: bool(rig.closed))

    assert rig.packets == [b"last"]


def test_who_closes_it_while_packets_come_gets_no_more_of_them(rig: Rig) -> None:
    def take(packet: bytes) -> None:
        rig.packets.append(packet)
        rig.carrier.close()

    rig.take = take
    rig.other.sendall(encode_frame(b"one") + encode_frame(b"two"))
    rig.loop.until(lambda: bool(rig.closed))
    rig.loop.turn()

    assert rig.packets == [b"one"]


def test_a_bug_of_its_taker_ends_it_alone_and_is_reported(rig: Rig) -> None:
    def take(packet: bytes) -> None:
        raise ZeroDivisionError

    rig.take = take
    rig.other.sendall(encode_frame(b"one"))
    rig.loop.until(lambda: bool(rig.closed))

    assert [type(error) for error in rig.loop.crashes] == [ZeroDivisionError]
    rig.loop.crashes.clear()


def test_it_is_idle_since_it_carried_a_packet_last(rig: Rig) -> None:
    loop = rig.loop
    assert not rig.carrier.is_idle(loop.now + 4.9, 5.0)
    assert rig.carrier.is_idle(loop.now + 5.0, 5.0)
    loop.advance(5.0)
    rig.carrier.send(b"x")
    assert not rig.carrier.is_idle(loop.now, 5.0)
    loop.advance(5.0)
    rig.other.sendall(encode_frame(b"x"))
    loop.until(lambda: bool(rig.packets))

    assert not rig.carrier.is_idle(loop.now, 5.0)


def test_both_ends_of_a_pair_know_each_other() -> None:
    one, other = connect_pair()
    with one, other:
        assert one.getsockname() == other.getpeername()
        assert one.getpeername() == other.getsockname()
        assert one.getsockname()[0] == "127.0.0.1"


def test_a_pair_refuses_an_intruder_that_came_first(monkeypatch: pytest.MonkeyPatch) -> None:
    intruders: list[socket.socket] = []

    def listen(backlog: int) -> socket.socket:
        listener = listen_on_loopback(backlog)
        intruders.append(socket.create_connection(listener.getsockname()))
        return listener

    monkeypatch.setattr(carriers, "listen_on_loopback", listen)
    with pytest.raises(OSError, match="another process"):
        connect_pair()
    [intruder] = intruders
    with intruder, contextlib.suppress(ConnectionResetError):
        assert intruder.recv(1) == b""


def test_a_timer_acts_again_and_again() -> None:
    loop, calls = FlowLoop(), list[float]()
    Every(loop.loop.wheel, 1.0, lambda: calls.append(loop.now))
    for _ in range(12):
        loop.advance(0.25)
    loop.close()

    assert calls == [1001.0, 1002.0, 1003.0]
