"""HTTP/3 server that sends as many bytes as a path says, and its client, which verifies the server's certificate."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast, override

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent
from support.origins import Certificates
from support.ports import free_port

_PATTERN = bytes(range(251))  # a prime: no part of a body is that of another place of a packet


def body_of(size: int) -> bytes:
    """Return what the server sends for the path of a size."""
    return (_PATTERN * (size // len(_PATTERN) + 1))[:size]


class _Http3(QuicConnectionProtocol):
    """End of a connection that speaks HTTP/3."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.http = H3Connection(self._quic)

    @override
    def quic_event_received(self, event: QuicEvent) -> None:
        for found in self.http.handle_event(event):
            self.handle(found)

    def handle(self, event: H3Event) -> None:
        """Act on what the other end says."""
        raise NotImplementedError


class _Server(_Http3):
    """Server of one client."""

    @override
    def handle(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            size = int(dict(event.headers)[b":path"].removeprefix(b"/"))
            self.http.send_headers(event.stream_id, [(b":status", b"200")])
            self.http.send_data(event.stream_id, body_of(size), end_stream=True)
            self.transmit()


@dataclass
class _Answer:
    """Answer to a request, as far as it has come."""

    is_complete: asyncio.Future[None]
    status: bytes = b""
    body: bytearray = field(default_factory=bytearray)


class Http3Client(_Http3):
    """Client of one server."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._answers: dict[int, _Answer] = {}

    async def get(self, authority: str, path: str) -> tuple[bytes, bytes]:
        """Return status and body of an answer."""
        stream_id = self._quic.get_next_available_stream_id()
        answer = _Answer(asyncio.get_running_loop().create_future())
        self._answers[stream_id] = answer
        named = {":method": "GET", ":scheme": "https", ":authority": authority, ":path": path}
        headers = [(name.encode(), value.encode()) for name, value in named.items()]
        self.http.send_headers(stream_id, headers, end_stream=True)
        self.transmit()
        await answer.is_complete
        return answer.status, bytes(answer.body)

    @override
    def quic_event_received(self, event: QuicEvent) -> None:
        super().quic_event_received(event)
        if isinstance(event, ConnectionTerminated):
            for answer in self._answers.values():
                if not answer.is_complete.done():
                    answer.is_complete.set_exception(ConnectionError(event.reason_phrase))

    @override
    def handle(self, event: H3Event) -> None:
        if not isinstance(event, HeadersReceived | DataReceived):
            return
        answer = self._answers[event.stream_id]
        if isinstance(event, HeadersReceived):
            answer.status = dict(event.headers)[b":status"]
        else:
            answer.body += event.data
        if event.stream_ended:
            answer.is_complete.set_result(None)


@contextlib.asynccontextmanager
async def http3_server(certificates: Certificates, hostname: str) -> AsyncIterator[int]:
    """Run a server with a certificate for a hostname, and return its port."""
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(*certificates.files(hostname))
    port = free_port()
    server = await serve("127.0.0.1", port, configuration=configuration, create_protocol=_Server)
    try:
        yield port
    finally:
        server.close()


@contextlib.asynccontextmanager
async def http3_client(
    certificates: Certificates, hostname: str, port: int
) -> AsyncIterator[Http3Client]:
    """Connect to a port of this machine, and verify that what answers has a certificate for the hostname."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=hostname)
    configuration.load_verify_locations(str(certificates.ca_file))
    async with connect(
        "127.0.0.1", port, configuration=configuration, create_protocol=Http3Client
    ) as client:
        yield cast("Http3Client", client)
