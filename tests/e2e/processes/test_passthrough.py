"""TLS passthrough: a page of a service at home, seen by the clients people have."""

import asyncio
import hashlib
import ssl

import h2.config
import h2.connection
import h2.events
import pytest
from support.clients import Client, curl, run
from support.origins import Certificates, CommandOrigin, Nginx
from support.stack import Stack, service

pytestmark = pytest.mark.asyncio(loop_scope="module")


def client_of(stack: Stack, certificates: Certificates, hostname: str) -> Client:
    return Client(stack.edge_port, certificates.client(), hostname)


async def test_the_certificate_a_client_sees_is_the_origins_own(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    await stack.start_agent(await stack.invite(hostname), service(hostname, web.plain))

    async with client_of(stack, certificates, hostname).connect() as (_, writer):
        seen = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)

    pem = (web.folder.parent / f"{hostname}.crt").read_text()
    served = ssl.PEM_cert_to_DER_cert(pem[: pem.index("-----END") + 25])
    assert hashlib.sha256(seen).hexdigest() == hashlib.sha256(served).hexdigest()


async def test_curl_gets_the_page(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    await stack.start_agent(await stack.invite(hostname), service(hostname, web.plain))

    for options in (("--http1.1",), ("--http2",)):
        code, output = await curl(
            client_of(stack, certificates, hostname), str(certificates.ca_file), "/", *options
        )

        assert (code, output) == (0, "hello from home\n")


async def test_openssl_completes_a_verified_handshake(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    await stack.start_agent(await stack.invite(hostname), service(hostname, web.plain))

    code, output = await run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{stack.edge_port}"),
        *("-servername", hostname, "-CAfile", str(certificates.ca_file)),
        *("-verify_return_error", "-brief"),
        stdin=b"",
    )

    assert code == 0, output
    assert "Verification: OK" in output


async def test_an_h2_client_runs_many_requests_on_one_connection(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    await stack.start_agent(await stack.invite(hostname), service(hostname, web.plain))
    context = certificates.client()
    context.set_alpn_protocols(["h2"])
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))

    async with Client(stack.edge_port, context, hostname).connect() as (reader, writer):
        http.initiate_connection()
        for stream in range(1, 41, 2):
            names = {":method": "GET", ":path": "/", ":scheme": "https", ":authority": hostname}
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

    assert set(bodies.values()) == {b"hello from home\n"}
    assert len(bodies) == 20


async def test_an_origin_that_reads_proxy_v2_learns_the_clients_address(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    token = await stack.invite(hostname)
    await stack.start_agent(token, service(hostname, web.proxied, proxy_protocol="v2"))

    async with client_of(stack, certificates, hostname).connect() as streams:
        streams[1].write(f"GET /who HTTP/1.0\r\nHost: {hostname}\r\n\r\n".encode())
        answer = (await streams[0].read(-1)).decode()
        local = streams[1].get_extra_info("sockname")

    assert answer.endswith(f"{local[0]}:{local[1]} {hostname}\n")


async def test_a_wildcard_serves_one_level_and_an_exact_name_wins(
    stack: Stack,
    origin: CommandOrigin,
    web: Nginx,
    certificates: Certificates,
    hostname: str,
    domain: str,
) -> None:
    token = await stack.invite(f"*.{domain}")
    await stack.start_agent(
        token, service(f"*.{domain}", origin.port), service(hostname, web.plain)
    )

    assert await client_of(stack, certificates, hostname).get() == b"hello from home\n"
    assert await client_of(stack, certificates, f"b.{domain}").ask("name") == b"home\n"


async def test_names_with_an_underscore_are_served_by_a_wildcard_and_by_themselves(
    stack: Stack, origin: CommandOrigin, certificates: Certificates, domain: str
) -> None:
    token = await stack.invite(f"*.{domain}")
    published = (f"*.{domain}", f"c_d.{domain}")
    await stack.start_agent(token, *(service(name, origin.port) for name in published))
    tls = certificates.client()
    tls.check_hostname = False  # OpenSSL matches no such name with a wildcard

    for name in (f"a_b.{domain}", f"c_d.{domain}"):
        assert await Client(stack.edge_port, tls, name).ask("name") == b"home\n"


async def test_a_name_that_nobody_serves_gets_the_alert_for_it(
    stack: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))

    code, output = await curl(
        Client(stack.edge_port, certificates.client(), "nobody.example.eu"),
        str(certificates.ca_file),
    )

    assert code == 35, output
    assert "unrecognized name" in output


async def test_a_service_whose_agent_left_gets_an_alert_and_not_silence(
    stack: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    agent = await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))
    await agent.program.stop()

    async with asyncio.timeout(20):
        code, output = await curl(
            client_of(stack, certificates, hostname), str(certificates.ca_file)
        )

    assert code == 35, output
    assert "internal error" in output


async def test_an_origin_that_is_down_costs_an_alert_and_is_counted(
    stack: Stack, certificates: Certificates, hostname: str
) -> None:
    agent = await stack.start_agent(await stack.invite(hostname), service(hostname, 1))

    code, output = await curl(client_of(stack, certificates, hostname), str(certificates.ca_file))

    assert code == 35, output
    assert "internal error" in output
    await agent.reaches(1, "towonel_agent_stream_errors_total", reason="origin_refused")


async def test_an_agent_that_cannot_reach_its_origin_costs_a_retry_and_not_the_connection(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    token = await stack.invite(hostname)
    await stack.start_agent(token, service(hostname, 1))
    await stack.start_agent(token, service(hostname, web.plain))
    client = client_of(stack, certificates, hostname)

    pages = [await client.get() for _ in range(20)]

    assert pages == [b"hello from home\n"] * 20
    await stack.edges[0].reaches(1, "towonel_edge_retries_total", code="origin_refused")
