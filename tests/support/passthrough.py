"""Scenarios of HTTPS passthrough: what clients that people have see of a service, whichever way they travel."""

import hashlib
import ssl
from pathlib import Path

import h2.config
import h2.connection
import h2.events
from support.clients import Client, curl, run
from support.origins import Certificates, CommandOrigin

PAGE = b"hello from home\n"


async def check_certificate(client: Client, chain: Path) -> None:
    """The certificate a client sees is the origin's own: the first one of a file."""
    async with client.connect() as (_, writer):
        seen = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)

    pem = chain.read_text()
    served = ssl.PEM_cert_to_DER_cert(pem[: pem.index("-----END") + 25])
    assert hashlib.sha256(seen).hexdigest() == hashlib.sha256(served).hexdigest()


async def check_curl(client: Client, certificates: Certificates) -> None:
    """curl gets the page, over HTTP/1.1 and HTTP/2."""
    for option in ("--http1.1", "--http2"):
        got = await curl(client, str(certificates.ca_file), "/", option)

        assert got == (0, PAGE.decode())


async def check_openssl(client: Client, certificates: Certificates) -> None:
    """OpenSSL completes a verified handshake."""
    code, output = await run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{client.edge_port}"),
        *("-servername", client.hostname, "-CAfile", str(certificates.ca_file)),
        *("-verify_return_error", "-brief"),
        stdin=b"",
    )

    assert code == 0, output
    assert "Verification: OK" in output


async def check_many_requests(client: Client) -> None:
    """An HTTP/2 client runs many requests on one connection."""
    client.context.set_alpn_protocols(["h2"])
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    async with client.connect() as (reader, writer):
        http.initiate_connection()
        for stream in range(1, 41, 2):
            names = {":method": "GET", ":path": "/", ":scheme": "https"}
            names[":authority"] = client.hostname
            http.send_headers(stream, list(names.items()), end_stream=True)
        writer.write(http.data_to_send())
        bodies: dict[int, bytes] = {}
        ended = 0
        while ended < 20:
            for event in http.receive_data(await reader.read(65_536)):
                if isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                ended += isinstance(event, h2.events.StreamEnded)
            writer.write(http.data_to_send())

    assert set(bodies.values()) == {PAGE}
    assert len(bodies) == 20


async def check_proxied(client: Client) -> None:
    """An origin that reads PROXY v2 learns the client's address."""
    async with client.connect() as (reader, writer):
        writer.write(f"GET /who HTTP/1.0\r\nHost: {client.hostname}\r\n\r\n".encode())
        answer = (await reader.read(-1)).decode()
        local = writer.get_extra_info("sockname")

    assert answer.endswith(f"{local[0]}:{local[1]} {client.hostname}\n")


async def check_names(
    edge_port: int, certificates: Certificates, origin: CommandOrigin, *names: str
) -> None:
    """An origin serves names that some clients do not match with a wildcard of its certificate."""
    tls = certificates.client()
    tls.check_hostname = False  # OpenSSL matches no name with an underscore with a wildcard
    served = f"{origin.name}\n".encode()
    for name in names:
        assert await Client(edge_port, tls, name).ask("name") == served


async def check_alert(client: Client, certificates: Certificates, alert: str) -> None:
    """A client that gets no service gets an alert, and not silence."""
    code, output = await curl(client, str(certificates.ca_file))

    assert code == 35, output
    assert alert in output
