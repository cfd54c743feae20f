"""Streams of events: they are followed to their end, and no longer than the hub is there."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

import pytest
from support.scripted_server import Server, serving

from towonel.api.audit import AuditItem
from towonel.client.hub import HubClient
from towonel.identity.keys import NodeKey
from towonel.identity.signatures import Domain, Signature
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable

NOW_MS = 1_800_000_000_000
NODE = NodeKey.from_seed(b"\x01" * 32)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
ITEM = AuditItem(
    id=7, at=datetime(2026, 11, 24, tzinfo=UTC), actor="operator", action="tenant.suspended",
    subject="s", tenant_id=None, before=None, after=None, request_id="r", address="192.0.2.1",
)  # fmt: skip


def stream(*parts: bytes) -> bytes:
    return HEAD + b"connection: close\r\n\r\n" + b"".join(parts)


def event(name: str, data: str, number: int = 7) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {data}\n\n".encode()


def client(url: str, silence_s: float = 20) -> HubClient:
    return HubClient(url, operator_key="key", silence_s=silence_s, now_ms=lambda: NOW_MS)


async def followed(url: str, last_event_id: int | None = None) -> list[AuditItem]:
    async with client(url) as hub:
        return [item async for item in hub.audit.follow(last_event_id=last_event_id)]


@pytest.mark.parametrize(("last", "header"), [(None, None), (0, "0"), (41, "41")])
async def test_writes_are_followed_until_the_hub_ends_it(
    server: Server, last: int | None, header: str | None
) -> None:
    server.answer = stream(b": quiet\n\n", event("a.b", ITEM.model_dump_json()) * 2)

    assert await followed(server.url, last) == [ITEM, ITEM]
    [request] = server.requests
    assert (request.method, request.target) == ("GET", "/v1/events")
    assert request.headers["authorization"] == "Bearer key"
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers.get("last-event-id") == header


async def test_an_event_that_is_no_write_is_malformed_and_quoted_nowhere(server: Server) -> None:
    server.answer = stream(event("a.b", '{"id": "secret"}'))

    with pytest.raises(ProtocolError, match="/v1/events") as caught:
        await followed(server.url)

    assert caught.value.code is Code.MALFORMED
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", [b"text/html", b"text/event-streams", b""])
async def test_a_page_that_is_no_stream_is_malformed(server: Server, kind: bytes) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\n\r\n<html>\n\n"

    with pytest.raises(ProtocolError) as caught:
        await followed(server.url)

    assert caught.value.code is Code.MALFORMED


async def test_a_refusal_of_a_stream_keeps_its_word(server: Server) -> None:
    server.reply(403, json.dumps({"error": {"code": "forbidden", "message": "because"}}))

    with pytest.raises(Denied, match="because") as caught:
        await followed(server.url)

    assert caught.value.code is Code.FORBIDDEN


async def test_an_event_without_end_is_refused_at_a_mebibyte(server: Server) -> None:
    server.answer = stream(b"data: ", b"x" * (1024 * 1024))

    with pytest.raises(ProtocolError) as caught:
        await followed(server.url)

    assert caught.value.code is Code.TOO_LARGE


async def test_a_line_that_breaks_is_an_unavailable_hub(server: Server) -> None:
    chunk = event("a.b", ITEM.model_dump_json())
    server.answer = HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(chunk), chunk)
    seen: list[AuditItem] = []

    async with client(server.url) as hub:
        with pytest.raises(Unavailable) as caught:
            seen.extend([item async for item in hub.audit.follow()])
    assert caught.value.code is Code.HUB_UNAVAILABLE


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(stream(event("a.b", ITEM.model_dump_json())))
    await reader.read()  # until the client leaves
    writer.close()


@pytest.mark.parametrize("silence_s", [0.1, 0.4])
async def test_a_hub_that_falls_silent_is_unavailable_and_its_last_word_was_heard(
    silence_s: float,
) -> None:
    clock = asyncio.get_running_loop().time
    async with (
        serving(silent) as port,
        client(f"http://127.0.0.1:{port}", silence_s) as hub,
    ):
        events = hub.audit.follow()
        assert await anext(events) == ITEM
        heard_at = clock()
        with pytest.raises(Unavailable, match="/v1/events") as caught:
            await anext(events)

    assert caught.value.code is Code.HUB_UNAVAILABLE
    assert clock() - heard_at >= silence_s / 2


async def test_a_follower_that_leaves_ends_the_connection() -> None:
    left = asyncio.Event()

    async def watched(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent(reader, writer)
        left.set()

    async with serving(watched) as port, client(f"http://127.0.0.1:{port}") as hub:
        async with aclosing(hub.audit.follow()) as events:
            assert await anext(events) == ITEM
        async with asyncio.timeout(20):
            await left.wait()


async def tables(server: Server) -> list[bytes]:
    async with client(server.url) as hub:
        found: AsyncGenerator[bytes] = hub.subscribe_routes(NODE)
        return [table async for table in found]


async def test_the_originals_tables_come_one_by_one_and_other_events_are_skipped(
    server: Server,
) -> None:
    one, two = b"\xa0", b"\xa1" * 2_000_000
    server.answer = stream(
        event("routes", base64url.encode(one)),
        event("news", "!"),
        event("routes", base64url.encode(two)),
    )

    assert await tables(server) == [one, two]
    [request] = server.requests
    assert (request.method, request.target) == ("GET", "/v1/routes/subscribe")
    signature = Signature.parse(request.headers["authorization"])
    signature.check_node(Domain.EDGE_SUBSCRIBE, b"", NOW_MS)


async def test_a_table_that_is_not_base64url_is_malformed(server: Server) -> None:
    server.answer = stream(event("routes", "a=="))

    with pytest.raises(ProtocolError) as caught:
        await tables(server)

    assert caught.value.code is Code.MALFORMED
