"""Refusal of clients by a worker: the alert, a clean close, and a report to control for the log.

Anyone can be refused at will. So only some refusals are described to control in one report; the others
are counted together, as one for each code.
"""

import contextlib
import socket
from socket import SocketType
from typing import TYPE_CHECKING, Final, override

from towonel.edge.worker.messages import Refused
from towonel.relay.loop import ENDED, READABLE, Handler, Loop
from towonel.relay.sockets import end_on_close
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.wire import clienthello
from towonel.wire.errors import Code, TowonelError
from towonel.wire.routes import Route

if TYPE_CHECKING:
    from towonel.edge.worker.clients import Client

MAX_LINGERING: Final = 1024  # refused clients that get time to read their alert; others are cut off
MAX_DESCRIBED: Final = 50  # in one report
LINGER_BYTES: Final = 256 * 1024
_READ_BYTES: Final = 16 * 1024


class Lingering(Handler):
    """Refused client that may still read its alert.

    Closing while bytes are unread would send a reset, and that takes with it what the client has not read
    yet. So what still comes is read and dropped, for a while.
    """

    def __init__(self, sock: SocketType, loop: Loop, refuser: "Refuser", linger_s: float) -> None:
        self._sock = sock
        self._loop = loop
        self._refuser = refuser
        self._left = LINGER_BYTES
        loop.wheel.arm(self, linger_s)

    @override
    def on_ready(self, events: int) -> None:
        if events & (READABLE | ENDED):
            self.discard()

    @override
    def expire(self) -> None:
        self.close()

    def discard(self) -> None:
        """Drop what has come, and close at its end."""
        try:
            while self._left > 0 and (count := len(self._sock.recv(_READ_BYTES))):
                self._left -= count
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        """Close at once."""
        self._loop.wheel.disarm(self)
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        self._refuser.on_closed(self)


def describe_refusal(client: "Client", error: TowonelError) -> Refused:
    """Return what control is to log of a client that is refused."""
    route: Route | None = getattr(client, "route", None)
    return Refused(
        error.code,
        error.detail,
        1,
        (str(client.source.ip), client.source.port),
        client.server_name,
        None if route is None else route.tenant_id,
        None if route is None else str(route.service),
    )


class Refuser:
    """Refuser of clients.

    Args:
        loop: of the worker.
        linger_s: for a refused client to read its alert.

    Attributes:
        lingering: clients that may still read their alert.
    """

    def __init__(self, loop: Loop, linger_s: float) -> None:
        self._loop = loop
        self._linger_s = linger_s
        self.lingering: set[Lingering] = set()
        self._described: list[Refused] = []
        self._counted: dict[int, Refused] = {}

    def refuse(self, sock: SocketType, refused: Refused) -> None:
        """Refuse a client, whose socket is in the loop, and owned by this from now on."""
        self._describe(refused)
        code = Code(refused.code)
        # A proxy without its header gets no alert, for it speaks no TLS.
        alert = b"" if code is Code.BAD_PROXY_HEADER else clienthello.alert(code)
        if isinstance(sock, TlsSocket):  # which has said what there is to say
            sock, alert = sock.release(), b""
        with contextlib.suppress(OSError):
            end_on_close(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            if alert:
                sock.send(alert)  # the first bytes on this socket: there is room
            sock.shutdown(socket.SHUT_WR)
        if len(self.lingering) >= MAX_LINGERING:
            self._loop.forget(sock.fileno())
            sock.close()
            return
        client = Lingering(sock, self._loop, self, self._linger_s)
        self._loop.replace(sock.fileno(), client)
        self.lingering.add(client)
        client.discard()

    def reset(self, sock: SocketType, refused: Refused) -> None:
        """Refuse a client that may speak anything, whose socket is in the loop: its connection is reset."""
        self._describe(refused)
        self._loop.forget(sock.fileno())
        sock.close()

    def on_closed(self, client: Lingering) -> None:
        """Forget a client that is closed."""
        self.lingering.discard(client)

    def take(self) -> list[Refused]:
        """Return what control is to log, since the last call."""
        taken = [*self._described, *self._counted.values()]
        self._described.clear()
        self._counted.clear()
        return taken

    def _describe(self, refused: Refused) -> None:
        if len(self._described) < MAX_DESCRIBED:
            self._described.append(refused)
            return
        before = self._counted.get(refused.code)
        count = 1 if before is None else before.count + 1
        self._counted[refused.code] = Refused(refused.code, refused.detail, count)
