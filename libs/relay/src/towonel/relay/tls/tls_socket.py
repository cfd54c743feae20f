"""TLS socket of the relay: the calls of a plain one, with TLS 1.3 between them and the network.

    recv_into ◀── SSLObject ◀── incoming BIO ◀── recv of records
    send      ──▶ SSLObject ──▶ outgoing BIO ──▶ unsent ──▶ send of records

Nothing here waits. The loop is edge-triggered, so `recv_into` keeps a promise of the kernel's: what is
less than there was room for is all that there is, unless it `has_more`. At most a read of records waits on the
way in, and one of `WRITE_BYTES` on the way out.
"""

import contextlib
import socket
import ssl
from socket import SocketType
from typing import TYPE_CHECKING, Final, cast, override

from towonel.relay.tls.tls_memory import RECORDS_BYTES, TlsMemory

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

WRITE_BYTES: Final = 32 * 1024  # two records
# Of one call: records without a byte in them, such as updates of keys, may not be as long.
MAX_READ_BYTES: Final = 4 * RECORDS_BYTES
MAX_RECORDS: Final = 128  # read at a time, however few bytes are in them
MAX_UNSENT_BYTES: Final = 2 * WRITE_BYTES  # answers to such records included


class TlsSocket(socket.socket):
    """Socket of a connection that TLS protects; the handshake goes on with whatever is called.

    After `send` took less than all, or raised BlockingIOError, the next call begins with the bytes that were
    not taken: some of them are encrypted already.

    Args:
        sock: connected and non-blocking; it belongs to this from now on.
        context: of this end.
        memory: of all such sockets of a loop.
        server_name: that a client asks for; None at the server.
        received: bytes that were read of the socket before.
        before: bytes that are sent in front of those of TLS.

    Attributes:
        has_more: whether the last read ended early, for records of few bytes each take long, or before an end.
    """

    def __init__(
        self,
        sock: SocketType,
        context: ssl.SSLContext,
        memory: TlsMemory,
        *,
        server_name: str | None = None,
        received: bytes = b"",
        before: bytes = b"",
    ) -> None:
        super().__init__(sock.family, sock.type, sock.proto, sock.detach())
        self.setblocking(False)
        self.memory = memory
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._incoming.write(received)
        self._tls: ssl.SSLObject = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_name is None,
            server_hostname=server_name,
        )
        self._unsent = before  # and records
        self._encrypted = 0  # bytes of the next `send` that are among them
        self._drained = False  # whether the kernel had no more at the last read
        self.has_more = False
        self._is_full = False  # the last reader's room, so that part of a record may be left
        self._ended = False  # the peer's bytes, as TLS says it

    @property
    def certificate(self) -> bytes | None:
        """The server's certificate in DER, once the handshake is done."""
        return self._tls.getpeercert(binary_form=True)

    @property
    def protocol(self) -> str | None:
        """Protocol that both ends speak, once the handshake is done."""
        return self._tls.selected_alpn_protocol()

    def shake_hands(self) -> None:
        """Go on with the handshake, and return once it is done.

        Raises:
            BlockingIOError: it goes on when the socket is ready.
            OSError: it failed.
        """
        read_bytes = 0
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                read_bytes = self._read_records(read_bytes)
            except ssl.SSLError:
                self._try_flush()  # it may say why
                raise
            else:
                self._flush()
                return

    @override
    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        data = bytearray(bufsize)
        return bytes(data[: self.recv_into(data)])

    @override
    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """Read what there is.

        Raises:
            BlockingIOError: there is nothing.
            OSError: the connection failed, was cut without an end of TLS, or what came is none of TLS.
        """
        self.has_more = False
        got = 0 if self._ended else self._receive(memoryview(buffer))
        self.has_more = self.has_more or (self._ended and got > 0)
        return got

    def _receive(self, view: memoryview) -> int:
        room, got, read_bytes, records = len(view), 0, 0, 0
        self._drained = False  # more may have come since the last call, as the loop was told then
        while got < room and records < MAX_RECORDS:
            if self._incoming.pending or (self._is_full and self._tls.pending()):
                count = self._decrypt(view[got:])
                self._is_full = got + count == room
                if not count:
                    self._ended = True
                    return got
                if count > 0:
                    got += count
                    records += 1
                    continue
            if got and (self._drained or read_bytes >= MAX_READ_BYTES):
                self.has_more = not self._drained
                break
            try:
                read_bytes = self._read_records(read_bytes)
            except BlockingIOError:
                if not got:
                    raise
                break
        self.has_more = self.has_more or records == MAX_RECORDS
        return got

    @override
    def send(self, data: "ReadableBuffer", flags: int = 0, /) -> int:
        """Send bytes, and return how many of them are sent as records, whole.

        Raises:
            BlockingIOError: none.
            OSError: the connection failed.
        """
        self._flush(flags)
        view = memoryview(data)
        size = len(view)
        at, self._encrypted = self._encrypted, 0
        while at < size:
            begun = at
            at += self._tls.write(view[at : at + WRITE_BYTES])
            try:
                self._flush(flags)
            except BlockingIOError:
                self._encrypted = at - begun
                if begun:
                    return begun
                raise
        return size

    def end(self) -> None:
        """Say that no bytes follow, as far as there is room to."""
        with contextlib.suppress(OSError):
            self._tls.unwrap()  # which asks for the peer's end, too
        self._try_flush()

    @override
    def shutdown(self, how: int, /) -> None:
        """End the bytes to the peer, for TLS and for TCP; its own may go on."""
        self.end()
        super().shutdown(how)

    def release(self) -> SocketType:
        """Return the socket beneath; the peer is told that no bytes follow inside TLS."""
        self.end()
        return SocketType(self.family, self.type, self.proto, self.detach())

    def _decrypt(self, room: memoryview) -> int:
        """Return how many bytes of the peer's were read, 0 at its end of TLS, and -1 for none."""
        try:
            count = cast("int", self._tls.read(len(room), cast("bytearray", room)))
        except ssl.SSLWantReadError:
            count = -1
        except ssl.SSLZeroReturnError:  # its end, after ours
            count = 0
        except ssl.SSLError:
            self._try_flush()
            raise
        if self._outgoing.pending:  # of the handshake, or an answer to an update of keys
            self._try_flush()
            if len(self._unsent) > MAX_UNSENT_BYTES:
                raise ConnectionAbortedError("the peer does not read its answers")
        return count

    def _read_records(self, before: int) -> int:
        """Read records of the socket, and return their bytes, with those that were read before."""
        records = self.memory.records_view
        count = super().recv_into(records)
        if not count:
            raise ConnectionResetError("cut without an end of TLS")
        self._drained = count < RECORDS_BYTES
        self._incoming.write(records[:count])
        if before >= MAX_READ_BYTES:
            raise ConnectionAbortedError("records without bytes")
        return before + count

    def _flush(self, flags: int = 0) -> None:
        """Send records.

        Raises:
            BlockingIOError: some are left.
        """
        if self._outgoing.pending:
            self._unsent += self._outgoing.read()
        if self._unsent:
            self._unsent = self._unsent[super().send(self._unsent, flags) :]
            if self._unsent:
                raise BlockingIOError

    def _try_flush(self) -> None:
        """Send records as far as there is room."""
        with contextlib.suppress(OSError):
            self._flush()
