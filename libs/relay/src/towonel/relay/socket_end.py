"""Socket of the relay: what epoll said of it, and its bounded pending output.

Output is what the socket did not take at once: bytes, and then what is in a pipe. While there is any,
the end is not `clear`, and whoever feeds it waits; so it is at most one buffer and one pipe.
"""

import fcntl
import os
import socket
import sys
import termios
from socket import SocketType
from typing import Final

from towonel.relay.core.stall import INFO_BYTES, StallDetector
from towonel.relay.hop.results import BROKEN, COUNT, UNSENT_SHIFT
from towonel.relay.loop import Handler, Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import SPLICE_FLAGS, Pipe
from towonel.relay.sockets import bound_receive_buffer
from towonel.relay.tls.tls_socket import TlsSocket

STALL_CHECK_S: Final = 5.0


class SocketEnd(Handler):
    """Socket in the loop.

    Args:
        sock: connected and non-blocking; it belongs to this from now on.
        loop: tells when it is ready.
        memory: what bytes pass through.

    Attributes:
        readable: whether `recv` may find something.
        hung_up: whether the peer has ended its bytes, of which some may not be read yet.
        ended_well: whether it did so by an end (FIN), before any failure.
        clear: whether there is no pending output, and the socket takes more.
        broken: whether the socket takes nothing any more.
    """

    # Most sockets never need these: as defaults of the class they take no memory of an instance, which has
    # little as long as it is at most 30 attributes that are set (those of a larger one are a table of 1.5 KiB).
    hung_up: bool = False
    ended_well: bool = False
    broken: bool = False
    _pipe: Pipe | None = None
    _pipe_bytes: int = 0
    _stall: StallDetector | None = None
    _bounded: bool = False  # its receive buffer
    _tls: TlsSocket | None = None  # the socket, if TLS protects it

    def __init__(self, sock: SocketType, loop: Loop, memory: Memory) -> None:
        self.sock = sock
        self.descriptor = sock.fileno()
        self.loop = loop
        self.memory = memory
        self.readable = True
        self.clear = True
        self._held = b""
        if isinstance(sock, TlsSocket):
            self._tls = sock

    def on_readable(self) -> None:
        """Read what there is, or leave it while it cannot be passed on."""
        raise NotImplementedError

    def on_clear(self) -> None:
        """Go on feeding the socket."""
        raise NotImplementedError

    def on_broken(self) -> None:
        """Act on the end of all output."""
        raise NotImplementedError

    def send(self, data: bytes | memoryview, flags: int = 0) -> int:
        """Send bytes, hold what the socket does not take, and return how many it took."""
        if not self.clear:
            assert self._pipe is None, "who sends after a pipe waits until the end is clear"
            if not self.broken:
                self._held += data
            return 0
        try:
            sent = self.sock.send(data, flags)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._fail_output()
            return 0
        if sent < len(data):
            self._held = bytes(data[sent:])
            self.clear = False
        return sent

    def hold_rest(self, data: memoryview, result: int) -> int:
        """Hold what a hop did not send of a message, and return how many bytes it sent."""
        unsent = result >> UNSENT_SHIFT & COUNT
        if result & BROKEN:
            self._fail_output()
        elif unsent:
            self._held = bytes(data[len(data) - unsent :])
            self.clear = False
        return len(data) - unsent

    def send_pipe(self, pipe: Pipe, length: int) -> int:
        """Send what is in a pipe, after what is held; the pipe goes back once it is empty."""
        if self.broken:
            self.memory.pipes.give_back(pipe, empty=False)
            return 0
        self._pipe, self._pipe_bytes = pipe, length
        return self._empty_pipe() if self.clear else 0

    def flush(self) -> bool:
        """Send pending output, and return whether the end is clear now."""
        held, self._held = self._held, b""
        self.clear = True
        if held:
            self.on_sent(self.send(held, socket.MSG_MORE if self._pipe is not None else 0))
        if self._pipe is not None and self.clear:
            self.on_sent(self._empty_pipe())
        return self.clear

    def is_cut_short(self) -> bool:
        """Return whether the last read ended early, so that there may be more although it got little."""
        return self._tls is not None and self._tls.has_more

    def bound_kernel_memory(self) -> None:
        """Bound what the kernel holds of a socket that much comes from."""
        if not self._bounded:
            self._bounded = bound_receive_buffer(self.sock)

    def is_stalled(self) -> bool:
        """Return whether the peer is gone with bytes on the way to it; asked every few seconds."""
        if self._stall is None:
            self._stall = StallDetector()
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
        return self._stall.check(info, self.loop.wheel.now)

    def on_sent(self, count: int) -> None:
        """Count bytes of pending output that the socket took."""

    @property
    def pending_bytes(self) -> int:
        """Bytes of pending output."""
        return len(self._held) + (self._pipe_bytes if self._pipe is not None else 0)

    def count_unsent(self) -> int:
        """Return the bytes of pending output, and of the kernel's that the peer has not acknowledged."""
        waiting = fcntl.ioctl(self.descriptor, termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(waiting, sys.byteorder) + self.pending_bytes

    def break_off(self) -> None:
        """Drop pending output: the socket takes no more."""
        self.broken = True
        self.clear = False
        self._held = b""
        if self._pipe is not None:
            self.memory.pipes.give_back(self._pipe, empty=False)
            self._pipe = None

    def close(self) -> None:
        """Close the socket; what is pending is lost."""
        self.break_off()
        self.loop.wheel.disarm(self)
        self.loop.forget(self.descriptor)
        self.sock.close()

    def _fail_output(self) -> None:
        self.break_off()
        self.on_broken()

    def _empty_pipe(self) -> int:
        pipe, length = self._pipe, self._pipe_bytes
        assert pipe is not None, "what is in it is to be sent"
        try:
            while self._pipe_bytes:
                self._pipe_bytes -= os.splice(
                    pipe.reader, self.descriptor, self._pipe_bytes, flags=SPLICE_FLAGS
                )
        except BlockingIOError:
            self.clear = False
        except OSError:
            self._fail_output()
        else:
            self._pipe = None
            self.memory.pipes.give_back(pipe, empty=True)
        return length - self._pipe_bytes
