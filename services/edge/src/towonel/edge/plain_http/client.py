"""Client of plain HTTP: who it is, and the head of its request."""

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

from towonel.edge.core.access_log import AccessRecord
from towonel.edge.core.http.plain_http import END, MAX_HEAD_BYTES
from towonel.edge.streams.refusals import ClientRecord
from towonel.runtime.addresses import unmap
from towonel.runtime.sockets import wait_readable
from towonel.wire.errors import Code, ProtocolError, Unavailable
from towonel.wire.names import Hostname
from towonel.wire.proxy import Address
from towonel.wire.routes import Route


@dataclass(slots=True)
class HttpClient:
    """Client, and what is known of it for the log."""

    sock: socket.socket
    source: Address
    destination: Address
    name: Hostname | None = None
    route: Route | None = None
    record: AccessRecord | None = None
    bytes_in: int = 0
    bytes_out: int = 0

    def describe(self) -> ClientRecord:
        """Return who it is."""
        if self.route is None:
            return ClientRecord(self.source, self.name)
        tenant, service = self.route.tenant_id.hex(), str(self.route.service)
        return ClientRecord(self.source, self.name, tenant, service)

    @classmethod
    def of(cls, sock: socket.socket) -> Self:
        """Return the client of an accepted socket.

        Raises:
            OSError: it has left.
        """
        peer, local = sock.getpeername(), sock.getsockname()
        return cls(
            sock,
            Address(unmap(ip_address(peer[0])), peer[1]),
            Address(unmap(ip_address(local[0])), local[1]),
        )

    async def read_head(self) -> bytes:
        """Return the head of its request, with the empty line; what follows is not looked at.

        Raises:
            Unavailable: CLIENT_CLOSED.
            ProtocolError: TOO_LARGE.
        """
        head = b""
        while (end := head.find(END)) < 0:
            if len(head) >= MAX_HEAD_BYTES:
                raise ProtocolError(Code.TOO_LARGE, f"a head of more than {MAX_HEAD_BYTES} bytes")
            try:
                data = self.sock.recv(MAX_HEAD_BYTES - len(head))
            except BlockingIOError:
                await wait_readable(self.sock)
                continue
            except OSError as error:
                raise Unavailable(Code.CLIENT_CLOSED, str(error)) from error
            if not data:
                raise Unavailable(Code.CLIENT_CLOSED, f"after {len(head)} bytes")
            head += data
            self.bytes_in = len(head)
        return head[: end + len(END)]
