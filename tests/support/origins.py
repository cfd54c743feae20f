"""Origins of the tests: a TLS server that obeys its client, and nginx."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from support.ports import free_port

from towonel.runtime.sockets import abort_server

CHUNK = bytes(range(256)) * 256  # 64 KiB
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


class Certificates:
    """A certificate authority of the test's own, and what it signs."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.ca_file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def files(self, *hostnames: str) -> tuple[Path, Path]:
        leaf = self._ca.issue_cert(*hostnames)
        stem = hostnames[0].replace("*", "any")
        chain, key = self._folder / f"{stem}.crt", self._folder / f"{stem}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        return chain, key

    def server(self, *hostnames: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.files(*hostnames))
        return context

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))


@dataclass
class Progress:
    """How many bytes a sender got rid of."""

    count: int = 0

    async def stalled(self, quiet_s: float = 1.5) -> None:
        """Wait until it began, and then for `quiet_s` without progress."""
        before, since = 0, asyncio.get_running_loop().time()
        while not before or asyncio.get_running_loop().time() - since < quiet_s:
            if self.count != before:
                before, since = self.count, asyncio.get_running_loop().time()
            await asyncio.sleep(0.02)


@dataclass
class CommandOrigin:
    """An origin that obeys the first line of each connection.

    `echo` sends everything back; `source N` sends N bytes and closes; `sink` reads to the end of
    the client's bytes and answers with their SHA-256; `sleep` reads nothing until `wake` is set,
    and then does what `sink` does; `name` answers who it is; `half N` sends N bytes at once and
    goes on reading, answering with the count at the end.
    """

    name: str
    reads_hello: bool = False  # a ClientHello, after which the bytes are not TLS
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    active: int = 0
    sent: Progress = field(default_factory=Progress)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.active += 1
        try:
            if self.reads_hello:
                head = await reader.readexactly(5)
                await reader.readexactly(int.from_bytes(head[3:]))
            command, _, size = (await reader.readline()).decode().strip().partition(" ")
            await self._obey(command, int(size or 0), reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            self.active -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
                await writer.wait_closed()

    async def _obey(
        self, command: str, size: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match command:
            case "echo":
                while data := await reader.read(65_536):
                    writer.write(data)
                    await writer.drain()
            case "source":
                await send(writer, size, self.sent)
            case "name":
                writer.write(f"{self.name}\n".encode())
            case "sink" | "sleep":
                if command == "sleep":
                    await self.wake.wait()
                writer.write(f"{await digest(reader, size)}\n".encode())
            case _:
                writer.write(b"unknown command\n")
        await writer.drain()


async def send(writer: asyncio.StreamWriter, size: int, progress: Progress | None = None) -> None:
    """Write `size` bytes of the known pattern."""
    for start in range(0, size, len(CHUNK)):
        writer.write(CHUNK[: size - start])
        await writer.drain()
        if progress is not None:
            progress.count = start + len(CHUNK)


async def digest(reader: asyncio.StreamReader, size: int) -> str:
    """Read `size` bytes, and return their SHA-256."""
    found = hashlib.sha256()
    while size and (data := await reader.read(min(size, 65_536))):
        found.update(data)
        size -= len(data)
    return found.hexdigest()


def expected_digest(size: int) -> str:
    found = hashlib.sha256()
    for start in range(0, size, len(CHUNK)):
        found.update(CHUNK[: size - start])
    return found.hexdigest()


@contextlib.asynccontextmanager
async def command_origin(
    name: str,
    context: ssl.SSLContext | None,
    *,
    limit: int = 65_536,
    sock: socket.socket | None = None,
) -> AsyncIterator[CommandOrigin]:
    """Serve a `CommandOrigin` on a free port, or a socket; without TLS, it is behind the ClientHello that edges need."""
    origin = CommandOrigin(name, reads_hello=context is None)
    sock = sock or socket.create_server(("127.0.0.1", 0))
    server = await asyncio.start_server(origin.serve, sock=sock, ssl=context, limit=limit)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        await abort_server(server)


NGINX_CONFIGURATION = """
{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  map $http_upgrade $after_request {{ default upgrade; "" close; }}
  server {{
    listen 127.0.0.1:{plain} ssl http2;
    listen 127.0.0.1:{proxied} ssl http2 proxy_protocol;
    listen 127.0.0.1:{clear} http2;
    ssl_certificate {chain}; ssl_certificate_key {key};
    location = / {{ return 200 "hello from home\\n"; }}
    location = /who {{ return 200 "$proxy_protocol_addr:$proxy_protocol_port $ssl_server_name\\n"; }}
    location /files/ {{ alias {folder}/files/; }}
    location /slow/ {{ alias {folder}/files/; limit_rate 1m; }}
    location ~ ^/(bytes|events|page|result|socket|upload) {{
      proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $after_request;
      client_max_body_size 0; proxy_request_buffering off;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A real web server: one port as it is, one behind PROXY protocol, and one for HTTP/2 without TLS."""

    plain: int
    proxied: int
    clear: int
    folder: Path


def configure_nginx(server: Nginx, chain: Path, key: Path, behind: int) -> str:
    return NGINX_CONFIGURATION.format(
        user="user root;" if os.geteuid() == 0 else "",  # test folders are for their owner
        folder=server.folder,
        plain=server.plain,
        proxied=server.proxied,
        clear=server.clear,
        behind=behind,
        chain=chain,
        key=key,
    )


@contextlib.asynccontextmanager
async def nginx(
    folder: Path, certificates: Certificates, *hostnames: str, behind: int = 1
) -> AsyncIterator[Nginx]:
    """Serve with a certificate for these names, and pass on what is for a `WebOrigin` at the port behind."""
    assert NGINX, "nginx is missing: run `make tools`"
    folder.mkdir()
    (folder / "files").mkdir()
    chain, key = certificates.files(*hostnames)
    server = Nginx(free_port(), free_port(), free_port(), folder)
    configuration = folder / "nginx.conf"
    configuration.write_text(configure_nginx(server, chain, key, behind))
    folder.chmod(0o755)
    process = await asyncio.create_subprocess_exec(NGINX, "-c", str(configuration))
    try:
        await listening(server.plain)
        yield server
    finally:
        process.terminate()
        await process.wait()


async def listening(port: int, within_s: float = 10.0) -> None:
    """Wait until something accepts on a loopback port."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@contextlib.contextmanager
def silent_port(host: str, port: int = 0) -> Generator[int]:
    """A port whose listener answers nobody: its queue is full."""
    with contextlib.ExitStack() as held:
        full = held.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()[1]
