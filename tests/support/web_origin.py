"""Web origin of the tests, which speaks HTTP/1.1 without TLS: uploads and downloads by hash, events, and a WebSocket.

POST /upload    answers with the SHA-256 of the body
GET /bytes/N    N bytes of the known pattern
GET /events     three server-sent events
GET /socket     a WebSocket, which sends one message back
GET /page/N     a page that tries all of these in a browser, with N bytes
POST /result    what the page has found
"""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from support.origins import digest, send

from towonel.runtime.sockets import abort_server

EVENTS = ("one", "two", "three")
_SOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_PAGE = """<!doctype html><script>
const once = (target, event) => new Promise(done => target[event] = done);
(async () => {
  const down = await (await fetch('/bytes/SIZE')).arrayBuffer();
  const hash = await (await fetch('/upload', {method: 'POST', body: down})).text();
  const source = new EventSource('/events'), events = [];
  while (events.length < 3) events.push((await once(source, 'onmessage')).data);
  source.close();
  const socket = new WebSocket(`wss://${location.host}/socket`);
  await once(socket, 'onopen');
  socket.send('hello');
  const echo = (await once(socket, 'onmessage')).data;
  const [entry] = performance.getEntriesByType('navigation');
  const found = [hash, events, echo, entry.nextHopProtocol];
  await fetch('/result', {method: 'POST', body: JSON.stringify(found)});
})().catch(error => fetch('/result', {method: 'POST', body: JSON.stringify(String(error))}));
</script>"""


@dataclass
class WebOrigin:
    """A web server, and what pages have told it."""

    port: int = 0
    results: asyncio.Queue[str] = field(default_factory=asyncio.Queue[str])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = (line.partition(": ") for line in head.split("\r\n")[1:])
                fields = {name.lower(): value for name, _, value in lines}
                path = head.split(" ", 2)[1]
                if not await self._answer(path, fields, reader, writer):
                    break
                await writer.drain()
        writer.close()

    async def _answer(
        self,
        path: str,
        fields: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer a request, and return whether another may follow."""
        _, kind, *rest = path.split("/")
        match kind, int(rest[0] if rest else fields.get("content-length", "0")):
            case "upload", size:
                respond(writer, (await digest(reader, size)).encode())
            case "result", size:
                self.results.put_nowait((await reader.readexactly(size)).decode())
                respond(writer, b"")
            case "bytes", size:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                await send(writer, size)
            case "page", size:
                respond(writer, _PAGE.replace("SIZE", str(size)).encode(), "text/html")
            case "events", _:
                return tell_events(writer)
            case _:
                return await echo(fields["sec-websocket-key"], reader, writer)
        return True


def respond(writer: asyncio.StreamWriter, body: bytes, kind: str = "text/plain") -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


def tell_events(writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    for event in EVENTS:
        writer.write(f"data: {event}\n\n".encode())
    return False


async def echo(key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Send the first message of a WebSocket back, which is short."""
    accept = base64.b64encode(hashlib.sha1(key.encode() + _SOCKET_KEY).digest())  # noqa: S324 RFC 6455
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    head, size = await reader.readexactly(2)
    mask = await reader.readexactly(4)
    masked = await reader.readexactly(size & 0x7F)
    text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
    writer.write(bytes([head, len(text)]) + text)
    await writer.drain()
    await reader.read()
    return False


@contextlib.asynccontextmanager
async def web_origin() -> AsyncIterator[WebOrigin]:
    """Serve on a free port."""
    origin = WebOrigin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        await abort_server(server)
