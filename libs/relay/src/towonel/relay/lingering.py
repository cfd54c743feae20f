"""Lingering close: what a failed connection has taken is delivered before its socket is reset.

A reset makes the kernel drop what it has still to send, and many a receiver drop what its program has
not read. So the socket's bytes are ended first, and it is reset once its peer has ended as well, or takes
nothing more for a while; what comes from it meanwhile is dropped.
"""

import socket
from typing import Final

from towonel.relay.socket_end import SocketEnd
from towonel.relay.sockets import end_on_close
from towonel.wire.errors import Code

LINGER_S: Final = 2.0
_DISCARDS: Final = 8  # reads at a time
_NOT_ENDED: Final = Code.NORMAL


class LingeringEnd(SocketEnd):
    """Socket that can be closed so; arguments as of `SocketEnd`.

    Attributes:
        lingering: whether it is closed so.
        linger_s: how long the peer may take for each part of what is left.
        code: why it ended; NORMAL until then, and after an orderly end.
    """

    lingering: bool = False
    linger_s: float = LINGER_S
    code: Code = _NOT_ENDED
    _drained: bool = False  # nothing will come any more
    _left: int = 0  # bytes that were to be sent, when that was last looked at

    def finish(self, code: Code) -> None:
        """Close the socket now."""
        raise NotImplementedError

    def linger(self, code: Code) -> None:
        """Begin the lingering close."""
        self.code = code
        self.lingering = True
        self.loop.wheel.arm(self, self.linger_s)
        if self.clear and not self.shut_down():
            self.finish(code)
        elif self.readable:
            self.loop.queue(self)

    def shut_down(self) -> bool:
        """End the bytes to the peer, and return whether that was possible."""
        if self._drained:
            self.close_in_order()
            return True
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True

    def close_in_order(self) -> None:
        """Close the socket by an end of its bytes, which the kernel delivers."""
        if self._tls is not None:
            self._tls.end()
        end_on_close(self.sock, self.memory.hop)
        self.finish(self.code)

    def discard(self) -> None:
        """Drop what has come, once it lingers, and close once the peer has ended and has all."""
        if not self.lingering:
            return
        for _ in range(_DISCARDS):
            try:
                count = self.sock.recv_into(self.memory.body_view)
            except BlockingIOError:
                self.readable = False
                return
            except OSError:
                self.finish(self.code)
                return
            if not count:
                self.readable = False
                self._drained = True
                if self.clear:
                    self.close_in_order()
                return
        self.loop.queue(self)

    def check_progress(self) -> None:
        """Reset the socket, unless its peer has taken some of what is left since the last time."""
        left = self.count_unsent()
        if left and left != self._left:
            self._left = left
            self.loop.wheel.arm(self, self.linger_s)
        else:
            self.finish(self.code)
