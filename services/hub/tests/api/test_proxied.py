"""Requests that an edge passes on: the address in the header counts, if the header is believed."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_network
from typing import Any

import pytest
from support.hub import TestHub

from towonel.hub.api.http.proxied import make_protocol
from towonel.hub.context import Policy
from towonel.identity.hub_proof import TLV_HUB_PROOF, make_hub_proof
from towonel.runtime.web import serve_app
from towonel.wire import proxy
from towonel.wire.proxy import Address, ProxyHeader

CLIENT = Address(IPv4Address("198.51.100.7"), 1234)
HERE = Address(IPv4Address("192.0.2.1"), 443)
HEADER = proxy.encode(ProxyHeader(CLIENT, HERE))
REQUEST = b"GET / HTTP/1.1\r\nhost: hub.example.eu\r\nconnection: close\r\n\r\n"
TRUSTING = Policy(proxies=(ip_network("127.0.0.0/8"),))


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Say whose a request is."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            said = await receive()
            await send({"type": f"{said['type']}.complete"})
        return
    body = json.dumps({"client": scope["client"]}).encode()
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def serving(hub: TestHub, policy: Policy) -> AsyncIterator[int]:
    protocol = make_protocol(replace(hub.context, policy=policy))
    async with serve_app(answer, "127.0.0.1", 0, make_protocol=protocol) as port:
        yield port


async def ask(port: int, *parts: bytes) -> dict[str, Any]:
    """Send a request in parts, and return the body of what comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    body: dict[str, Any] = json.loads(said.partition(b"\r\n\r\n")[2])
    return body


async def test_an_edge_with_the_hubs_key_is_believed_wherever_it_connects_from(
    hub: TestHub,
) -> None:
    proof = make_hub_proof(hub.context.keys.node)
    header = proxy.encode(ProxyHeader(CLIENT, HERE, ((TLV_HUB_PROOF, proof),)))
    async with serving(hub, Policy()) as port:
        found = await ask(port, header + REQUEST)

    assert found == {"client": ["198.51.100.7", 1234]}


async def test_a_trusted_proxy_is_believed_however_its_header_is_cut(hub: TestHub) -> None:
    async with serving(hub, TRUSTING) as port:
        for cut in (1, 12, 20, len(HEADER)):
            found = await ask(port, HEADER[:cut], HEADER[cut:], REQUEST)

            assert found == {"client": ["198.51.100.7", 1234]}


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (HEADER, "TOWONEL_HUB_TRUSTED_PROXIES"),
        (
            proxy.encode(ProxyHeader(CLIENT, HERE, ((TLV_HUB_PROOF, b"x" * 32),))),
            "TOWONEL_HUB_TRUSTED_PROXIES",
        ),
        (proxy.SIGNATURE + b"\x33\x11\x00\x00", "version and command 0x33"),
        (proxy.SIGNATURE + b"\x21\x11\xff\xff", "at most 4096"),
    ],
)
async def test_a_header_that_is_not_believed_is_refused_with_the_reason(
    hub: TestHub, header: bytes, rule: str
) -> None:
    async with serving(hub, Policy()) as port:
        found = await ask(port, header)

    assert found["error"]["code"] == "invalid_request"
    assert rule in found["error"]["message"]


@pytest.mark.parametrize("before", [b"", proxy.LOCAL])
async def test_without_an_address_the_connections_own_counts(hub: TestHub, before: bytes) -> None:
    async with serving(hub, TRUSTING) as port:
        found = await ask(port, before, REQUEST)

    assert found["client"][0] == "127.0.0.1"


async def test_a_header_is_none_once_a_request_has_come(hub: TestHub) -> None:
    first = REQUEST.replace(b"connection: close\r\n", b"")
    async with serving(hub, TRUSTING) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first + HEADER + REQUEST)
        async with asyncio.timeout(20):
            said = await reader.read()
        writer.close()

    assert b"127.0.0.1" in said
    assert b"198.51.100.7" not in said
    assert b"HTTP/1.1 400" in said
