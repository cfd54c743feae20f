"""Carrier: sealed packets in frames over TCP, for where UDP does not pass; a lane inside TLS takes them on.

    flow worker ──▶ loopback ──▶ worker ──▶ lane ──▶ worker ──▶ loopback ──▶ flow worker

What finds no room is dropped, as on a network that is too slow; a frame that has begun is finished.
"""

import contextlib
import socket
from collections.abc import Callable
from typing import Final, override

from towonel.relay.loop import ENDED, READABLE, WRITABLE, Handler, Loop
from towonel.relay.sockets import tune
from towonel.wire.errors import ProtocolError
from towonel.wire.udp.datagrams import FrameDecoder, encode_frame

_READ_BYTES: Final = 256 * 1024
IDLE_S: Final = 60.0
UNNEEDED_S: Final = 5.0  # after which it ends where UDP passes again
_LOOPBACK: Final = "127.0.0.1"


class Carrier(Handler):
    """One end of a carrier.

    Args:
        loop: of the worker.
        sock: connected; closed with this.
        take: gets this end and each packet that comes.
        on_closed: is told once that it has ended.
        report_crash: is told of an exception that is a bug.

    Attributes:
        is_open: whether it has not ended.
        used_at: when it carried a packet last, in seconds.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        take: Callable[["Carrier", bytes], None],
        on_closed: Callable[["Carrier"], None],
        report_crash: Callable[[Exception], None],
    ) -> None:
        sock.setblocking(False)
        tune(sock)
        self._loop = loop
        self._sock = sock
        self._take = take
        self._on_closed = on_closed
        self._report_crash = report_crash
        self._decoder = FrameDecoder()
        self._rest = b""  # of a frame that has begun
        self.is_open = True
        self.used_at = loop.wheel.now
        loop.add(sock.fileno(), self)

    def send(self, packet: bytes) -> None:
        """Send a packet.

        Raises:
            BlockingIOError: there is no room for it.
        """
        self.used_at = self._loop.wheel.now
        if self._rest or not self.is_open:
            raise BlockingIOError
        self._send(encode_frame(packet))

    def is_idle(self, now: float, idle_s: float) -> bool:
        """Whether it has carried nothing for so long."""
        return now - self.used_at >= idle_s

    def close(self) -> None:
        """End it; what its peer has not read is lost. Idempotent."""
        if self.is_open:
            self.is_open = False
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._on_closed(self)

    @override
    def on_ready(self, events: int) -> None:
        if events & WRITABLE and self._rest:
            rest, self._rest = self._rest, b""
            self._send(rest)
        if self.is_open and events & (READABLE | ENDED) and self._read():
            self._loop.queue(self)

    @override
    def take_turn(self) -> bool:
        return self.is_open and self._read()

    @override
    def crash(self, error: Exception) -> None:
        self._report_crash(error)
        self.close()

    def _send(self, data: bytes) -> None:
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._rest = data[sent:]

    def _read(self) -> bool:
        """Take what has come, and return whether there may be more."""
        try:
            data = self._sock.recv(_READ_BYTES)
            packets = self._decoder.feed(data)
        except BlockingIOError:
            return False
        except (OSError, ProtocolError):
            self.close()
            return False
        if not data:
            self.close()
            return False
        self.used_at = self._loop.wheel.now
        for packet in packets:
            if self.is_open:
                self._take(self, packet)
        return self.is_open


def listen_on_loopback(backlog: int) -> socket.socket:
    """Return a non-blocking socket that listens on a free port of the loopback interface.

    Raises:
        OSError: there is none.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind((_LOOPBACK, 0))
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def connect_pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection over loopback, which no other process has come in between.

    Raises:
        OSError: there is no descriptor left, or another process came first.
    """
    with contextlib.closing(listen_on_loopback(1)) as listener:
        listener.setblocking(True)
        one = socket.create_connection(listener.getsockname(), timeout=1.0)
        try:
            listener.settimeout(1.0)
            other, peer = listener.accept()
        except OSError:
            one.close()
            raise
    if peer != one.getsockname():
        one.close()
        other.close()
        raise OSError("another process has connected")
    tune(other)
    return one, other
