"""Terminate: the edge has the certificate, and the origin at home speaks HTTP without TLS, or TLS of its own."""

import asyncio
import base64
import hashlib
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from support import passthrough
from support.clients import Client, curl
from support.origins import Certificates, Nginx, expected_digest, nginx, send
from support.stack import Stack, running_stack, service, until
from support.web_origin import EVENTS, WebOrigin, web_origin

pytestmark = pytest.mark.asyncio(loop_scope="module")
PLAIN, INSIDE, PROXIED, CLEAR, FOREIGN = (
    f"{label}.example.eu" for label in ("plain", "inside", "proxied", "clear", "foreign")
)
SIZE = 8 * 1024 * 1024
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-headless-shell")
GIB = 1024 * 1024 * 1024


@dataclass(frozen=True)
class Home:
    """Origins, and the stack that their clients travel through."""

    stack: Stack
    certificates: Certificates
    web: WebOrigin
    folder: Path

    def client(self, name: str) -> Client:
        return Client(self.stack.edge_port, self.certificates.client(), name)

    async def curl(self, name: str, path: str, *options: str) -> str:
        """What curl gets, and the version of HTTP."""
        ca, version = str(self.certificates.ca_file), ("-w", " %{http_version}")
        code, output = await curl(self.client(name), ca, path, *version, *options)
        assert code == 0, output
        return output


def publish(web: WebOrigin, server: Nginx, ca: Path) -> list[dict[str, object]]:
    """Services whose TLS ends at the edge, and goes on to some origins inside TLS again."""
    inside = {"http2": True, "origin_ca": str(ca)}
    services: list[dict[str, object]] = [
        dict(service(PLAIN, web.port)),
        {**service(INSIDE, server.plain), "origin_server_name": INSIDE, **inside},
        {**service(PROXIED, server.proxied, "v2"), "origin_server_name": PROXIED, **inside},
        {**service(FOREIGN, server.plain), "origin_server_name": "foreign.example.org", **inside},
        {**service(CLEAR, server.clear), "http2": True},
    ]
    return [{**each, "tls_mode": {"mode": "terminate"}} for each in services]


def install(certificates: Certificates, folder: Path, *names: str) -> None:
    """Give an edge the certificates of names."""
    folder.mkdir(mode=0o700, parents=True)
    for name in names:
        chain, key = certificates.files(name)
        shutil.copy(chain, folder)
        (folder / key.name).touch(0o600)
        (folder / key.name).write_bytes(key.read_bytes())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    folder = tmp_path_factory.mktemp("termination")
    names = PLAIN, INSIDE, PROXIED, CLEAR, FOREIGN
    at_edge, at_home = folder / "at_edge", folder / "at_home"
    for each in (at_edge, at_home):
        each.mkdir()
    certificates, own = Certificates(at_edge), Certificates(at_home)
    install(certificates, folder / "state" / "certs", *names)
    async with (
        running_stack("processes", folder) as stack,
        web_origin() as web,
        nginx(folder / "nginx", own, INSIDE, PROXIED, FOREIGN, behind=web.port) as server,
    ):
        published = publish(web, server, own.ca_file)
        await stack.start_agent(await stack.invite(*names), *published)
        yield Home(stack, certificates, web, folder)
        await stack.stop_agents()


async def upload(client: Client, size: int) -> str:
    """Send so many bytes of the known pattern, and return what the origin says of them."""
    async with client.connect() as (reader, writer):
        head = f"POST /upload HTTP/1.1\r\nHost: {client.hostname}\r\nContent-Length: {size}\r\n\r\n"
        writer.write(head.encode())
        await send(writer, size)
        await reader.readuntil(b"\r\n\r\n")
        return (await reader.readexactly(64)).decode()


async def test_a_page_is_fetched_over_https_from_an_origin_without_tls(home: Home) -> None:
    body = await home.client(PLAIN).get(f"/bytes/{SIZE}")

    assert len(body) == SIZE
    assert await upload(home.client(PLAIN), SIZE) == expected_digest(SIZE)
    [edge] = home.stack.edges
    await edge.reaches(2, "towonel_edge_connections_served_total", way="tls_lane")
    assert await edge.metric("towonel_edge_connections_served_total", way="lane") == 0


async def test_openssl_completes_a_verified_handshake_with_the_edge(home: Home) -> None:
    await passthrough.check_openssl(home.client(PLAIN), home.certificates)


@pytest.mark.parametrize(("option", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
async def test_an_origin_of_tls_speaks_what_the_client_does(
    home: Home, option: str, version: str
) -> None:
    assert await home.curl(INSIDE, "/", option) == f"hello from home\n {version}"


async def test_an_origin_without_tls_gets_http_2_as_the_client_speaks_it(home: Home) -> None:
    assert await home.curl(CLEAR, "/", "--http2") == "hello from home\n 2"


async def test_a_name_whose_origin_does_not_say_so_is_offered_http_1_only(home: Home) -> None:
    assert (await home.curl(PLAIN, "/bytes/0", "--http2")).strip() == "1.1"


async def test_an_h2_client_runs_many_requests_on_one_connection(home: Home) -> None:
    await passthrough.check_many_requests(home.client(INSIDE))


async def test_an_origin_of_tls_learns_the_clients_address_before_its_handshake(home: Home) -> None:
    await passthrough.check_proxied(home.client(PROXIED))


async def test_an_origin_that_cannot_prove_its_name_gets_nobody(home: Home) -> None:
    with pytest.raises((OSError, EOFError)):
        await home.client(FOREIGN).get()

    [edge], [agent] = home.stack.edges, home.stack.agents
    await edge.reaches(1, "towonel_edge_connections_refused_total", code="origin_tls_failed")
    reason = "is not for foreign.example.org: set origin_server_name"
    await until(lambda: reason in agent.program.log())


async def test_server_sent_events_come_as_they_are_sent(home: Home) -> None:
    async with home.client(PLAIN).connect() as (reader, writer):
        writer.write(f"GET /events HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n".encode())
        events = (await reader.read(-1)).partition(b"\r\n\r\n")[2]

    assert events.decode() == "".join(f"data: {event}\n\n" for event in EVENTS)


async def test_a_websocket_carries_messages_both_ways(home: Home) -> None:
    key = base64.b64encode(bytes(16)).decode()
    async with home.client(PLAIN).connect() as (reader, writer):
        head = f"GET /socket HTTP/1.1\r\nHost: {PLAIN}\r\nUpgrade: websocket\r\n"
        writer.write(f"{head}Sec-WebSocket-Key: {key}\r\n\r\n".encode())
        switched = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x81\x85\x00\x00\x00\x00hello")

        assert b" 101 " in switched
        assert await reader.readexactly(7) == b"\x81\x05hello"


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_gibibyte_passes_both_ways_whole(home: Home) -> None:
    assert await upload(home.client(PLAIN), GIB) == expected_digest(GIB)
    file = home.folder / "downloaded"
    await home.curl(PLAIN, f"/bytes/{GIB}", "--max-time", "200", "-o", str(file))
    with file.open("rb") as downloaded:
        assert hashlib.file_digest(downloaded, "sha256").hexdigest() == expected_digest(GIB)


@pytest.mark.soak
@pytest.mark.timeout(120)
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize(("name", "protocol"), [(PLAIN, "http/1.1"), (INSIDE, "h2")])
async def test_chromium_loads_sends_listens_and_converses(
    home: Home, tmp_path: Path, name: str, protocol: str
) -> None:
    browser = await asyncio.create_subprocess_exec(
        *(str(CHROMIUM), "--headless", "--no-sandbox", "--remote-debugging-port=0"),
        *(f"--user-data-dir={tmp_path}", "--host-resolver-rules=MAP * 127.0.0.1"),
        *("--ignore-certificate-errors", f"https://{name}:{home.stack.edge_port}/page/{SIZE}"),
        start_new_session=True,  # with processes of its own
    )
    try:
        async with asyncio.timeout(60):
            found = json.loads(await home.web.results.get())
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        await browser.wait()

    assert found == [expected_digest(SIZE), list(EVENTS), "hello", protocol]
